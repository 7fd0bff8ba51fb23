"""The command `fourdhands`: its subcommands come from `commands`, in the order of its help."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import NoReturn

from . import __version__, signals
from .commands import EXIT_USER_ERROR, Parser
from .errors import FourDHandsError
from .extras import needed_for
from .streams import flush_output, leave, prepare_streams

COMMANDS = "track cameras view report benchmark bag episodes retarget teleop weights train evaluate ablate data".split()
"""Modules of `commands` in the order of the help, each with one subcommand or several."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = Parser(prog="fourdhands", description="Both hands' pose, shape, mesh and position in metres from camera images.")
    parser.add_argument("--version", action="version", version=__version__, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f".commands.{name}", __package__).add(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for an error that the user can fix, 128 and the number of the signal that
    ended it (130 after Ctrl-C)."""
    prepare_streams()
    try:
        with signals.running():
            try:
                args = build_parser().parse_args(argv)
                with needed_for(f"fourdhands {args.command}", args.extra):
                    return args.run(args)
            finally:
                flush_output()
    except (FourDHandsError, OSError) as error:
        print(f"fourdhands: error: {_sentence(error)}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt as error:
        number = signals.number_of(error)
        print(f"fourdhands: {signals.words(number)}", file=sys.stderr)
        return 128 + number


def _sentence(error: Exception) -> str:
    """What an error says, without the numbers and quotes of Python's own."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def run() -> NoReturn:
    """The command as its script and `python -m` start it: ends with main's exit code."""
    leave(main())


if __name__ == "__main__":
    run()
