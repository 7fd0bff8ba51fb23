"""`fourdhands data`: datasets on disk."""

from __future__ import annotations

import argparse
from functools import partial

from . import COUNT, Commands, add_command, check_out, path, refuse_options, seed


def add(commands: Commands) -> None:
    """Its arguments, by what is done."""
    command = commands.add_parser("data", help="look into datasets on disk")
    done = command.add_subparsers(dest="done", required=True, metavar="WHAT")
    command = add_command(done, "check", check, "say what is found in a dataset and draw annotated samples", extra="train")
    command.add_argument("name", metavar="NAME", help="InterHand2.6M, FreiHAND, ...; an unknown name lists them all")
    command.add_argument("path", type=path, metavar="PATH", help="its folder, as published")
    command.add_argument("--split", help="train, val or test, by the dataset's own names (default: its first)")
    command.add_argument("--out", type=path, metavar="PNG", help="draw annotated samples to this file")
    command.add_argument("--samples", **COUNT, default=12, help="frames to draw (default: 12)")
    command.add_argument("--frames", **COUNT, default=1000, help="frames to look at, evenly spaced (default: 1000)")
    command.add_argument(
        "--hand-model", metavar="NPZ", help="right MANO hand from convert-mano: makes meshes and joints of MANO parameters"
    )
    command.add_argument(
        "--hand-model-left", metavar="NPZ", help="left hand from convert-mano (default: the right hand's mirror image)"
    )
    command = add_command(
        done, "synthesise", synthesise, "render clips of two moving hands with their exact truth", extra="train"
    )
    command.add_argument("out", type=path, metavar="OUT", help="folder to write, new or empty")
    command.add_argument("--clips", **COUNT, default=100, help="clips to render (default: 100)")
    command.add_argument("--frames", **COUNT, default=30, help="frames of each (default: 30)")
    command.add_argument("--rate", **COUNT, default=30, help="frames a second (default: 30)")
    command.add_argument("--seed", type=seed, default=0, help="of everything random")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def synthesise(args: argparse.Namespace) -> int:
    """Render a dataset."""
    from tqdm import tqdm

    from ..learning.synthesis.write import synthesise
    from ..streams import counted

    progress = partial(tqdm, desc="clips", disable=args.quiet)
    synthesise(args.out, args.clips, args.frames, args.rate, args.seed, progress=progress)
    print(
        f"{counted(args.clips, 'clips')} of {counted(args.frames, 'frames')} written to {args.out}; look at them with: "
        f"fourdhands data check synthetic {args.out} --out samples.png"
    )
    return 0


def check(args: argparse.Namespace) -> int:
    """Say what is found in a dataset and draw annotated samples."""
    from ..errors import InputError
    from ..hand_model.assets import load_hand, pair_of
    from ..learning.datasets.check import check, draw_samples
    from ..learning.datasets.registry import open_dataset
    from ..media.images import check_ending

    if args.out is not None:
        check_out(args, [args.out], args.path)
        check_ending(args.out)
    else:
        refuse_options(args, ["samples"], "data check without --out PNG")
    if args.hand_model_left and not args.hand_model:
        raise InputError("--hand-model-left was given without --hand-model; give the right hand too")
    hands = None
    if args.hand_model:
        hands = pair_of(load_hand(args.hand_model), load_hand(args.hand_model_left) if args.hand_model_left else None)
    dataset = open_dataset(args.name, args.path, args.split, hands)
    print(check(dataset, args.frames))
    if args.out is not None:
        draw_samples(dataset, args.out, args.samples)
        print(f"written to {args.out}")
    return 0
