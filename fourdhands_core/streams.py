"""Standard input, output and error of a command, whatever they were given: closed, full, or of a locale that is ASCII's."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import io
import os
import sys
from typing import NoReturn

from .errors import InputError


def prepare_streams() -> None:
    """Make the three streams ones that a command can rely on; to be called first in a process, before it has threads.

    One that is closed becomes /dev/null: else the next file that is opened would take its number, and what libraries write
    to stderr would land in it. What stderr cannot take is lost, as there is nobody to tell; stdout raises InputError. Names
    that are not of the locale's encoding are printed with escapes.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # takes the lowest number that is free
    for name, kind in (("stdout", _Output), ("stderr", _Errors)):
        if (before := getattr(sys, name)) is getattr(sys, f"__{name}__"):  # else it is a test's own
            setattr(sys, name, _stream(kind, before))
            setattr(sys, f"__{name}__", getattr(sys, name))


def flush_output() -> None:
    """Write what was printed. Raises InputError where stdout takes no more; the rest is forgotten, which Python would try to
    write once more when it ends, and fail."""
    try:
        sys.stdout.flush()
    except InputError:
        sys.stdout = open(os.devnull, "w")
        raise


def leave(status: int) -> NoReturn:
    """End the command, whose output is flushed, after what is registered for the end.

    Python's own teardown is left out. It would wait for ever for a thread whose start a signal interrupted, and abort the
    process where a daemon thread comes back from native code.
    """
    atexit._run_exitfuncs()
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, full, or nobody reads it
        sys.stderr.flush()
    os._exit(status)


def counted(number: int, things: str) -> str:
    """So many of them, in words: "2 images", and "1 image" of things whose plural ends in s."""
    return f"{number} {things.removesuffix('s') if number == 1 else things}"


def said_of(name: object, words: str) -> str:
    """Words of something, after its name unless they begin with that."""
    name = printable(str(name))  # as errors say it
    return words if words.startswith((f"{name}: ", f"{name} ", f"{name}/")) else f"{name}: {words}"


def utf8(text: str) -> str:
    """The type of arguments that are written into files as text, in which bytes that are not UTF-8 have no place."""
    if printable(text) != text:
        raise argparse.ArgumentTypeError(f"{printable(text)} is not UTF-8")
    return text


def warn(text: str) -> None:
    """Say on stderr what a user should know; above a progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(f"fourdhands: warning: {text}", file=sys.stderr)


def printable(text: str) -> str:
    """The text for libraries that take UTF-8 alone: parts of names that are not are escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Output(io.FileIO):
    """Standard output."""

    number = 1

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise InputError(f"standard output cannot be written ({error.strerror}); what was printed is lost") from error


class _Errors(io.FileIO):
    """Standard error, whose `write` never fails."""

    number = 2

    def write(self, data) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def _stream(kind, before):
    """A text stream over `kind`, buffered as the one before; None where there was none."""
    raw = kind(kind.number, "w", closefd=False)
    encoding, *buffering = (before.encoding, before.line_buffering, before.write_through) if before else ("utf-8", False, False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", None, *buffering)
