"""`fourdhands view` as a program for launch files, hands_view, which takes ROS's own arguments too."""

from __future__ import annotations

import sys

from fourdhands_core.commands import EXIT_USER_ERROR, Parser, view
from fourdhands_core.errors import FourDHandsError

from ..executable import program
from ..process import parse


def main(args: list[str] | None = None) -> int:
    """Serve the page until SIGINT or SIGTERM. Returns the exit status: 0, or 2 where it cannot be served."""
    parser = Parser(prog=program("view"), description=__doc__)
    view.add_arguments(parser)
    given, command_line = parse(parser, args)
    given.command, given.parser = "view", parser
    try:
        return view.view(given, command_line)
    except FourDHandsError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
