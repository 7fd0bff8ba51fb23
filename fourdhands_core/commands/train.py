"""`fourdhands train`: what the package ships, trained."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import add_command, positive, replaced


def add(commands) -> None:
    """Its arguments, by what is trained."""
    command = commands.add_parser("train", help="train what the package ships")
    trained = command.add_subparsers(dest="trained", required=True, metavar="WHAT")
    command = add_command(trained, "landmark", train_landmark, "the landmark network, from synthetic motion alone")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights to write (safetensors)")
    command.add_argument("--seed", type=int, default=1, help="of every random number")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                         help="another value for a setting of learning.train.TrainSettings; may be repeated")
    command = add_command(trained, "errors", train_errors, "the detector's errors, measured on rendered clips")
    command.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: the package's own)")
    command.add_argument("--clips", type=positive, default=150, help="rendered clips to measure on")
    command.add_argument("--seed", type=int, default=7, help="of the clips")


def train_landmark(args: argparse.Namespace) -> int:
    """Train the landmark network."""
    from ..learning.train import TrainSettings
    from ..learning.train import train_landmark as train

    figures = train(args.out, replaced(TrainSettings(seed=args.seed), args.set))
    print(f"{figures}\nwritten to {args.out}")
    return 0


def train_errors(args: argparse.Namespace) -> int:
    """Measure the detector's errors, which the training imitates."""
    from ..learning.measure_errors import MEASURED, measure

    out = args.out or MEASURED
    measure(out, clips=args.clips, seed=args.seed)
    print(f"written to {out}")
    return 0
