"""The command `fourdhands`: its subcommands come from `commands`, in the order of its help."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from .commands import EXIT_INTERRUPTED, EXIT_USER_ERROR, Parser, ablate, bag, benchmark, data, evaluate, track, train, weights
from .errors import FourDHandsError
from .extras import needed_for
from .streams import flush_output, prepare_streams


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = Parser(prog="fourdhands", description="Both hands' pose, shape, mesh and position in metres from camera images.")
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (track, benchmark, bag, weights, train, evaluate, ablate, data):
        module.add(commands)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for an error that the user can fix, 130 when interrupted."""
    prepare_streams()
    try:
        try:
            args = build_parser().parse_args(argv)
            with needed_for(f"fourdhands {args.command}", args.extra):
                return args.run(args)
        finally:
            flush_output()
    except (FourDHandsError, OSError) as error:
        print(f"fourdhands: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("fourdhands: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


class _Version(argparse.Action):
    """--version, looked up only when asked for."""

    def __init__(self, option_strings, dest, **kwargs):
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser, *_):
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(version("fourdhands"))
        except PackageNotFoundError:  # in a colcon workspace, where pip knows nothing of it
            print("unknown: fourdhands is not installed by pip here")
        parser.exit()


def run() -> NoReturn:
    """The command as `python -m`: ends with main's exit code."""
    exit_code = main()
    exec("")  # forgets an interrupt handled above: CPython ends `-m` by SIGINT if one passed through exec of a string
    sys.exit(exit_code)


if __name__ == "__main__":
    run()
