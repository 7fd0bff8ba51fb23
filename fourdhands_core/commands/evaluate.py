"""`fourdhands evaluate`: accuracy and steadiness."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from . import COUNT, FILE, FOLDER, Commands, add_command, add_settings, check_out, path, refuse_options, tell, tracker_settings


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(
        commands,
        "evaluate",
        evaluate,
        "measure accuracy: on rendered clips and real videos beside the "
        "detector's own landmarks, or on a dataset beside the paper's figures",
        extra="train",
    )
    command.add_argument("--clips", **COUNT, default=24, help="rendered clips of unseen motion")
    command.add_argument(
        "--depth",
        action="store_true",
        help="instead, wrists with a depth image beside the colour image, at 0.5 and 1 m (12 clips do)",
    )
    command.add_argument("--real", **FOLDER, help="folder with video/, freihand/ and onehand10k/")
    command.add_argument(
        "--out",
        **FILE,
        help="also write the JSON to this file; with --dataset a folder: "
        "tables, JSON, every hand's errors, a picture of the worst hands",
    )
    command.add_argument(
        "--dataset",
        metavar="NAME",
        help="instead, this dataset in --data: InterHand2.6M, DexYCB, HIC, ...; an unknown name lists them all",
    )
    command.add_argument("--data", type=path, metavar="PATH", help="the dataset's folder, as published")
    command.add_argument("--split", help="its split, by its own names (default: the one for testing)")
    command.add_argument(
        "--boxes",
        type=lambda text: "ground-truth" if text == "truth" else text,  # as it was called before
        choices=("ground-truth", "detector"),
        help="what the network sees: the ground truth's boxes, as in the paper (default with model image), or what the "
        "detector finds (default with model landmark)",
    )
    command.add_argument("--frames", **COUNT, help="stop after so many frames of the dataset")
    add_settings(command, "mirrored")


def evaluate(args: argparse.Namespace) -> int:
    """Measure the tracker beside its baseline."""
    if args.dataset or args.data:
        return evaluate_dataset(args)
    refuse_options(args, ("split", "boxes", "frames"), "evaluate without --dataset")
    if args.depth:
        refuse_options(args, ["real"], "evaluate --depth")
    if args.out is not None:
        check_out(args, [args.out], args.real)
    if args.real is not None and not args.real.is_dir():
        raise InputError(f"--real {args.real} is not a folder; give one with video/, freihand/ and onehand10k/")
    if args.depth:
        from ..learning.evaluation.depth import evaluate_depth

        tell(evaluate_depth(tracker_settings(args), args.clips), args.out)
    else:
        from ..learning.evaluation.clips import evaluate as evaluate_clips

        tell(evaluate_clips(tracker_settings(args), args.clips, args.real), args.out)
    return 0


def evaluate_dataset(args: argparse.Namespace) -> int:
    """Measure a network or the tracker on a dataset."""
    from ..hand_model.assets import HUMAN, open_pair
    from ..learning.evaluation import dataset as evaluation
    from ..learning.evaluation import report as report
    from ..learning.evaluation.predictors import make_predictor

    if not (args.dataset and args.data):
        raise InputError("--dataset NAME and --data PATH go together; give both")
    if args.depth or args.real:
        raise InputError("--depth and --real are measurements of their own; leave them out with --dataset")
    refuse_options(args, ["clips"], "evaluate --dataset")
    if args.out is not None:
        check_out(args, [args.out / name for name in report.OUTPUTS])
        if args.out.is_dir() and args.data.is_dir() and args.out.samefile(args.data):
            raise InputError(f"--out {args.out} is the dataset's folder; give another one")
    settings = tracker_settings(args)
    hands = open_pair(settings.hand_model, settings.hand_model_left) if settings.hand_model else None
    dataset, notes = evaluation.open_for_evaluation(args.dataset, args.data, args.split, hands)
    predictor = make_predictor(settings, args.boxes)
    result = evaluation.evaluate_dataset(dataset, predictor, args.frames)
    result.notes = notes + result.notes
    weights = args.weights or "shipped"
    text = report.as_text(result, f"{args.model}, {Path(weights).name}")
    print(text)
    if args.out is not None:
        about = {"model": args.model, "weights": weights, "hand_model": args.hand_model or HUMAN}
        report.write(result, dataset, args.out, text, **about, predictor=type(predictor).__name__)
        print(f"written to {args.out}: tables.txt, results.json, samples.csv, worst.png")
    return 0
