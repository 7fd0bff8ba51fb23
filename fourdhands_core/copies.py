"""Copies of what lies on storages, in a cache on a local disk, for as long as somebody works on them: inputs that are fetched,
and outputs that are made there and brought to their places."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import FourDHandsError, InputError
from .outputs import locked, locked_if_possible, make_folder
from .remote import Place, Remote

_NOTES = "notes"


@dataclass(frozen=True)
class Fetched:
    """In place of an argument: the path of a copy that is there for as long as the call lasts."""

    remote: Remote

    @contextlib.contextmanager
    def here(self) -> Iterator[Path]:
        """The copy."""
        folder = cache() / "inputs"
        for left in folder.glob("*"):  # by processes that were killed
            with contextlib.suppress(InputError, OSError), locked(left, "in use"):  # without locks nobody knows: it stays
                shutil.rmtree(left, ignore_errors=True)
        mine = folder / uuid.uuid4().hex
        with locked_if_possible(mine):
            try:
                self.remote.fetch(mine / self.remote.name)
                with _called(mine / self.remote.name, self.remote):
                    yield mine / self.remote.name
            finally:
                shutil.rmtree(mine, ignore_errors=True)


@dataclass(frozen=True)
class Brought:
    """In place of an argument: the path of a folder to make, which is brought to its place after the call.

    last: see Remote.put. kept: a folder that an earlier call made, and was killed before it was brought to its place, is there,
    as always what lies beside it; and nobody else may bring another one meanwhile.
    """

    remote: Remote
    last: tuple[str, ...]
    kept: bool = False

    @contextlib.contextmanager
    def here(self) -> Iterator[Path]:
        """The path."""
        folder = cache() / "outputs" / _digest(self.remote.url)
        with locked_if_possible(folder, f"another process writes {self.remote}; wait for it or choose another place"):
            path = folder / self.remote.name
            if not self.kept:
                shutil.rmtree(path, ignore_errors=True)
            with _called(path, self.remote):
                yield path
            self.remote.put(path, self.last, alone=self.kept)
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _called(path: Path, remote: Remote) -> Iterator[None]:
    """Errors name the place on the storage, not the path that it has here meanwhile."""
    try:
        yield
    except FourDHandsError as error:
        words = re.sub(re.escape(str(path)) + r"(?!\.partial)", lambda _: str(remote), str(error))
        raise type(error)(words) from error


def fetched(one: Place) -> Path | Fetched:
    """For an argument that is read."""
    return Fetched(one) if isinstance(one, Remote) else one


def brought(one: Place, *last: str) -> Path | Brought:
    """For an argument that is a folder to be made."""
    return Brought(one, last) if isinstance(one, Remote) else one


def call_here(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function of arguments, of which those that lie on storages are paths of this machine meanwhile."""
    with contextlib.ExitStack() as stack:
        here = [stack.enter_context(one.here()) if isinstance(one, (Fetched, Brought)) else one for one in arguments]
        return function(*here)


def cache() -> Path:
    """The folder of copies: FOURDHANDS_CACHE, or fourdhands in the user's folder for caches."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FOURDHANDS_CACHE") or Path(base, "fourdhands"))


def note_of(source: Remote, options: str) -> str | None:
    """What was noted of these very files and options; None for nothing."""
    try:
        return _note(source, options).read_text()
    except OSError:
        return None


def note(source: Remote, options: str, text: str) -> None:
    """Keep a text about files, for which a later call need not copy them; not where nobody says when they change."""
    if source.files and all(file.tag for file in source.files):
        make_folder(cache() / _NOTES)
        beside = _note(source, options).with_suffix(f".{uuid.uuid4().hex}")
        beside.write_text(text)
        beside.replace(_note(source, options))


def _note(source: Remote, options: str) -> Path:
    return cache() / _NOTES / _digest(source.url, options, *(f"{file.name}\0{file.tag}" for file in source.files))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0\0".join(texts).encode(errors="surrogateescape")).hexdigest()[:32]
