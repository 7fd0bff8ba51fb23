"""`fourdhands train`: a network of one's own from a configuration, or what the package ships."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from . import COUNT, REPEATED, Commands, add_command, check_out, path, refuse_options, replaced, seed


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(
        commands, "train", train, "train the image network from a configuration, or what the package ships", extra="train"
    )
    command.usage = (
        "fourdhands train [--out DIR] [--set SECTION.FIELD=VALUE ...] [--quiet] CONFIG\n"
        "       fourdhands train landmark --out FILE [--seed N] [--set NAME=VALUE ...]\n"
        "       fourdhands train errors [--out FILE] [--seed N] [--clips N]\n"
        "       fourdhands train detector --out FILE [--seed N] [--set NAME=VALUE ...]"
    )
    command.add_argument(
        "what",
        metavar="CONFIG",
        help="training configuration, YAML (config/train has examples), of the "
        "image network; a run that was ended goes on where it was. The word `landmark`: the landmark network, "
        "from synthetic motion alone. The word `errors`: the detector's errors, measured on rendered clips. The word "
        "`detector`: the detector's landmark network, trained on with rendered hands",
    )
    command.add_argument(
        "--out",
        type=path,
        metavar="PATH",
        help="CONFIG: the run's folder (default: runs/NAME of the "
        "configuration); landmark: weights to write; errors: file to write (default: the package's own); "
        "detector: ONNX file to write",
    )
    command.add_argument(
        "--set",
        **REPEATED,
        metavar="NAME=VALUE",
        help="another value for a setting, of CONFIG as SECTION.FIELD, or of learning.landmark.train.TrainSettings or "
        "learning.detector.tune.TuneSettings; may be repeated",
    )
    command.add_argument("--seed", type=seed, help="landmark, errors, detector: of every random number (default: 1, 7, 1)")
    command.add_argument("--clips", **COUNT, help="errors: rendered clips to measure on (default: 150)")
    command.add_argument("--quiet", action="store_true", help="CONFIG: no progress bar")


def train(args: argparse.Namespace) -> int:
    """Train what was asked for."""
    what, means_nothing = {
        "landmark": (train_landmark, ("clips", "quiet")),
        "errors": (train_errors, ("set", "quiet")),
        "detector": (train_detector, ("clips", "quiet")),
    }.get(args.what, (train_image, ("seed", "clips")))
    refuse_options(args, means_nothing, f"train {args.what}")
    return what(args)


def train_image(args: argparse.Namespace) -> int:
    """Train the image network by a configuration."""
    import json

    from ..learning.image.run import STATE, WEIGHTS
    from ..learning.image.run import train as train_run
    from ..learning.image.settings import read_settings

    settings = read_settings(args.what, args.set)
    out = args.out or Path("runs") / Path(args.what).stem
    start, data = settings.start, settings.data
    outputs = [out / name for name in (WEIGHTS, STATE, "curve.jsonl", "curve.png")]
    check_out(args, outputs, args.what, start.weights, start.backbone, data.hand_model, data.hand_model_left)
    figures = train_run(settings, out, progress=not args.quiet)
    print(f"{json.dumps(figures)}\nwritten to {out}: {WEIGHTS}, curve.jsonl, curve.png, tensorboard/")
    return 0


def train_landmark(args: argparse.Namespace) -> int:
    """Train the landmark network."""
    from ..learning.landmark.detector_errors import MEASURED
    from ..learning.landmark.train import TrainSettings
    from ..learning.landmark.train import train_landmark as train_network

    if args.out is None:
        raise InputError("train landmark needs --out FILE, the weights to write (safetensors)")
    settings = replaced(TrainSettings(seed=1 if args.seed is None else args.seed), args.set)
    if not settings.single_steps + settings.window_steps + settings.measured_steps:
        raise InputError(
            "single_steps, window_steps and measured_steps are 0, so that nothing would be learned; give one of them"
        )
    check_out(args, [args.out], settings.start, settings.measured_folder, MEASURED)
    figures = train_network(args.out, settings)
    print(f"{figures}\nwritten to {args.out}")
    return 0


def train_errors(args: argparse.Namespace) -> int:
    """Measure the detector's errors, which the training imitates."""
    from ..learning.landmark.measure_errors import MEASURED, measure

    out = args.out or MEASURED
    check_out(args, [out])
    measure(out, clips=args.clips or 150, seed=7 if args.seed is None else args.seed)
    print(f"written to {out}")
    return 0


def train_detector(args: argparse.Namespace) -> int:
    """Train the detector's landmark network on."""
    import json

    from ..learning.detector.tune import TuneSettings
    from ..learning.detector.tune import train_detector as train_network

    if args.out is None:
        raise InputError("train detector needs --out FILE, the network to write (ONNX)")
    settings = replaced(TuneSettings(seed=1 if args.seed is None else args.seed), args.set)
    given = [settings.start, *settings.real.split(","), *settings.real_held.split(",")]
    check_out(args, [args.out, args.out.with_name(args.out.name + ".state")], *filter(None, given))
    print(f"{json.dumps(train_network(args.out, settings))}\nwritten to {args.out}")
    return 0
