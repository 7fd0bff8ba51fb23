"""`fourdhands report`: a recording as one HTML file."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from ..errors import InputError
from . import FILE, Commands, add_command, add_settings, check_out
from .view import add_recording, episodes_of, hands_of, kind_of, open_chosen, refuse_others


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(commands, "report", report, "write what a recording came to as one HTML file that needs nothing else")
    command.add_argument(
        "source",
        metavar="SOURCE",
        help="hands.npz or its folder, a bag with hands or a folder of such bags, a dataset, or a video",
    )
    command.add_argument("--out", **FILE, required=True, help="the HTML file to write")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    add_recording(command)
    add_settings(command, "mirrored")


def report(args: argparse.Namespace) -> int:
    """Read the recording and write its report."""
    from tqdm import tqdm

    from ..view.report import write_report

    if args.out.is_dir():
        raise InputError(f"--out {args.out} is a folder; name the file to write in it, such as {args.out / 'report.html'}")
    refuse_others(args, kind_of(args.source))
    source = Path(args.source)
    result = source / "hands.npz"  # of a folder of `track` only what is read
    inputs = [result, source / "overlay.mp4"] if result.is_file() else [source]
    check_out(args, [args.out], *inputs, args.video)
    if args.out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {args.out} is to be an HTML file; give a name such as {args.out.with_suffix('.html')}")
    episodes = episodes_of(args.source, args, hands_of(args))
    _, recording = open_chosen(args, args.source, episodes)
    with closing(recording), tqdm(unit="image", disable=args.quiet) as bar:
        write_report(recording, args.out, lambda rows: bar.update(rows - bar.n))
    print(f"written to {args.out}")
    return 0
