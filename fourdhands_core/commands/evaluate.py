"""`fourdhands evaluate`: accuracy and steadiness."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from . import add_command, add_models, positive, tracker_settings


def add(commands) -> None:
    """Its arguments."""
    command = add_command(commands, "evaluate", evaluate, "measure accuracy and steadiness beside a MediaPipe baseline")
    command.add_argument("--clips", type=positive, default=24, help="rendered clips of unseen motion")
    command.add_argument("--depth", action="store_true",
                         help="instead, wrists with a depth image beside the colour image, at 0.5 and 1 m (12 clips do)")
    command.add_argument("--real", type=Path, metavar="DIR", help="folder with video/, freihand/ and onehand10k/")
    command.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to this file")
    command.add_argument("--mirrored", action="store_true", help="the real videos are mirrored, as in a selfie")
    add_models(command)


def evaluate(args: argparse.Namespace) -> int:
    """Measure the tracker beside its baseline."""
    import json

    from ..learning import evaluate as evaluation

    if args.real is not None and not args.real.is_dir():
        raise InputError(f"--real {args.real} is not a folder; give one with video/, freihand/ and onehand10k/")
    if args.depth:
        from ..learning.evaluate_depth import evaluate_depth
        text = json.dumps(evaluate_depth(tracker_settings(args), args.clips), indent=1)
    else:
        text = json.dumps(evaluation.evaluate(tracker_settings(args), args.clips, args.real), indent=1)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")
    return 0
