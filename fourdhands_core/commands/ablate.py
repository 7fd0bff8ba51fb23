"""`fourdhands ablate`: Table 5 of the paper on synthetic data."""

from __future__ import annotations

import argparse

from . import COUNT, FOLDER, REPEATED, Commands, add_command, check_out, replaced


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(
        commands, "ablate", ablate, "train and measure the rows of the paper's Table 5 on synthetic data", extra="train"
    )
    command.add_argument(
        "--out",
        **FOLDER,
        required=True,
        help="folder for ablation.json, ablation.md and ablation.png; the command of a run that was ended continues it",
    )
    command.add_argument("--seeds", **COUNT, help="runs of each row (default: 3)")
    command.add_argument(
        "--steps", **COUNT, help="optimiser steps of a run on single frames (default: 2400); on clips an eighth of it"
    )
    command.add_argument(
        "--set",
        **REPEATED,
        metavar="NAME=VALUE",
        help="another value for a setting of learning.landmark.ablation.AblationSettings; may be repeated",
    )


def ablate(args: argparse.Namespace) -> int:
    """Train what is missing, and report."""
    import json

    from ..learning.landmark import ablation, ablation_report
    from ..outputs import make_folder, write_text, writing

    steps = {} if args.steps is None else {"single_steps": args.steps, "clip_steps": max(1, args.steps // 8)}
    seeds = {} if args.seeds is None else {"seeds": args.seeds}
    given = [f"{name}={value}" for name, value in (seeds | steps).items()]
    settings = replaced(ablation.AblationSettings(), [*given, *args.set])
    check_out(args, [args.out / name for name in ("ablation.json", "ablation.md", "ablation.png")])
    make_folder(args.out)
    result = ablation.ablate(args.out, settings)
    write_text(args.out / "ablation.json", json.dumps(result, indent=1) + "\n")
    table = ablation_report.markdown(result)
    write_text(args.out / "ablation.md", table)
    with writing(args.out / "ablation.png") as partial:
        ablation_report.plot(result, partial)
    print(f"{table}\nwritten to {args.out}: ablation.json, ablation.md, ablation.png")
    return 0
