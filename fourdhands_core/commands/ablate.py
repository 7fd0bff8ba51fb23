"""`fourdhands ablate`: Table 5 of the paper on synthetic data."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import add_command, positive, replaced


def add(commands) -> None:
    """Its arguments."""
    command = add_command(
        commands, "ablate", ablate, "train and measure the rows of the paper's Table 5 on synthetic data", extra="train"
    )
    command.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for ablation.json, ablation.md and ablation.png; the command of a run that was ended continues it",
    )
    command.add_argument("--seeds", type=positive, metavar="N", help="runs of each row (default: 3)")
    command.add_argument(
        "--steps",
        type=positive,
        metavar="N",
        help="optimiser steps of a run on single frames (default: 2400); on clips an eighth of it",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a setting of learning.landmark.ablation.AblationSettings; may be repeated",
    )


def ablate(args: argparse.Namespace) -> int:
    """Train what is missing, and report."""
    import json

    from ..learning.landmark import ablation, ablation_report

    steps = {} if args.steps is None else {"single_steps": args.steps, "clip_steps": max(1, args.steps // 8)}
    seeds = {} if args.seeds is None else {"seeds": args.seeds}
    given = [f"{name}={value}" for name, value in (seeds | steps).items()]
    settings = replaced(ablation.AblationSettings(), [*given, *args.set])
    args.out.mkdir(parents=True, exist_ok=True)
    result = ablation.ablate(args.out, settings)
    (args.out / "ablation.json").write_text(json.dumps(result, indent=1) + "\n")
    table = ablation_report.markdown(result)
    (args.out / "ablation.md").write_text(table, encoding="utf-8")
    ablation_report.plot(result, args.out / "ablation.png")
    print(f"{table}\nwritten to {args.out}: ablation.json, ablation.md, ablation.png")
    return 0
