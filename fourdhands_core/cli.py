"""The command `fourdhands`: its subcommands' arguments; their work lies in the rooms and is imported when needed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .errors import DependencyError, FourDHandsError, InputError

EXIT_USER_ERROR, EXIT_INTERRUPTED = 2, 130


def track(args: argparse.Namespace) -> int:
    """Track the hands through a video."""
    from .media.track_video import track_video
    from .pipeline.tracker import HandPairTracker

    tracker = HandPairTracker(_tracker_settings(args))
    try:
        summary = track_video(args.video, args.out, tracker, fov=args.fov, intrinsics=args.intrinsics, mesh=args.mesh,
                              progress=not args.quiet)
    finally:
        tracker.close()
    print(f"{summary}\nwritten to {args.out}: hands.npz, overlay.mp4, contact_sheet.png")
    return EXIT_INTERRUPTED if summary.interrupted else 0


def convert_mano(args: argparse.Namespace) -> int:
    """Convert official MANO pickles once to npz."""
    from .hand_model import mano_files

    if args.out.suffix == ".npz" and len(args.pickles) > 1:
        raise InputError(f"--out {args.out} is one file for {len(args.pickles)} pickles; give a folder")
    for path in args.pickles:
        print(mano_files.convert_mano(path, args.out))
    return 0


def import_weights(args: argparse.Namespace) -> int:
    """Convert a published checkpoint to weights of the image network."""
    from .network.checkpoint import save_weights
    from .network.image_config import ImageConfig
    from .network.import_weights import import_backbone, import_released

    if args.backbone:
        imported = import_backbone(args.checkpoint, ImageConfig.of_size(args.backbone))
    else:
        imported = import_released(args.checkpoint, args.window)
    if imported.superfluous:
        print(f"of no use here: {', '.join(imported.superfluous)}")
    out = args.out or args.checkpoint.with_suffix(".safetensors")
    save_weights(imported.network, out, source=args.checkpoint.name)
    print(f"written to {out}")
    return 0


def train_landmark(args: argparse.Namespace) -> int:
    """Train the landmark network."""
    from .learning.train import TrainSettings
    from .learning.train import train_landmark as train

    figures = train(args.out, _replaced(TrainSettings(seed=args.seed), args.set))
    print(f"{figures}\nwritten to {args.out}")
    return 0


def train_errors(args: argparse.Namespace) -> int:
    """Measure the detector's errors, which the training imitates."""
    from .learning.measure_errors import MEASURED, measure

    out = args.out or MEASURED
    measure(out, clips=args.clips, seed=args.seed)
    print(f"written to {out}")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Measure the tracker beside its baseline."""
    import json

    from .learning import evaluate as evaluation

    if args.real is not None and not args.real.is_dir():
        raise InputError(f"--real {args.real} is not a folder; give one with video/, freihand/ and onehand10k/")
    if args.depth:
        from .learning.evaluate_depth import evaluate_depth
        text = json.dumps(evaluate_depth(_tracker_settings(args), args.clips), indent=1)
    else:
        text = json.dumps(evaluation.evaluate(_tracker_settings(args), args.clips, args.real), indent=1)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")
    return 0


def export(args: argparse.Namespace) -> int:
    """Write a network as ONNX."""
    from .network.checkpoint import load_weights
    from .network.parts import export_onnx

    for path in export_onnx(load_weights(args.weights or None), args.out):
        print(path)
    return 0


def benchmark(args: argparse.Namespace) -> int:
    """Measure speed."""
    import json

    from . import benchmark as speed

    *of_ros, video = args.video or [None]
    if of_ros not in ([], ["ros"]) or video == "ros" or (video is None) == (args.backbone is None):
        raise InputError("give a VIDEO to run the tracker on, `ros VIDEO` for the ROS side, or --backbone SIZE for the "
                         "image network alone")
    if of_ros:
        try:
            from fourdhands_ros.benchmark import run
        except ImportError as error:
            raise DependencyError(f"benchmark ros needs ROS 2, and {error.name} is not installed: pip install "
                                  "'fourdhands[ros]', or source a ROS 2 workspace") from error
        result = run(Path(video), seconds=args.frames / 30.0)
    elif video is not None:
        result = speed.benchmark(_tracker_settings(args), Path(video), args.frames)
    else:
        import torch

        from .hand_model.arrays import HandArrays
        from .hand_model.assets import load_generic_hand, pair_of
        from .network.image_config import ImageConfig
        from .network.image_model import ImageNetwork

        torch.set_num_threads(args.threads)
        result = speed.benchmark_network(ImageNetwork(ImageConfig.of_size(args.backbone)), HandArrays(pair_of(
            load_generic_hand())), args.device, args.precision, args.frames)
    text = json.dumps(result, indent=1)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n")
    return 0


def bag(args: argparse.Namespace) -> int:
    """Find the hands in the images of rosbag2 recordings, or summarise the hands in them."""
    try:
        from fourdhands_ros.bag_camera import Options, Parameters
        from fourdhands_ros.bag_command import convert_bags, info
    except ImportError as error:
        raise DependencyError(f"bags need ROS 2 and rosbags, and {error.name} is not installed: pip install "
                              "'fourdhands[ros]', or source a ROS 2 workspace and pip install rosbags mcap") from error

    *sources, out = args.paths
    if sources and str(sources[0]) == "info":
        info([*sources[1:], out], as_json=args.json)
        return 0
    if not sources:
        raise InputError(f"one path was given, {out}; give the bag to read and the bag to write, or `bag info {out}`")
    parameters = Parameters(lookahead=args.lookahead, mirrored=args.mirrored, model=args.model, weights=args.weights,
                            device=args.device, precision=args.precision, tf=args.tf,
                            hand_model=args.hand_model, hand_model_left=args.hand_model_left)
    options = Options(parameters, tuple(args.topic), args.camera_info, args.fov, args.intrinsics, not args.no_markers,
                      args.interval)
    convert_bags(sources, out, options, args.jobs, args.quiet)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    parser = argparse.ArgumentParser(
        prog="fourdhands", description="Both hands' pose, shape, mesh and position in metres from camera images.")
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _command(commands, "track", track, "track both hands through a video: hands.npz and overlay.mp4")
    command.add_argument("video", metavar="VIDEO", help="video file, or index of a camera")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    lens = command.add_mutually_exclusive_group()
    lens.add_argument("--fov", type=float, metavar="DEGREES", help="the camera's horizontal field of view")
    lens.add_argument("--intrinsics", type=Path, metavar="FILE", help="the camera's calibration, a camera_info YAML")
    command.add_argument("--mirrored", action="store_true", help="the video is mirrored, as in a selfie")
    command.add_argument("--mesh", action="store_true", help="draw the meshes on the overlay too")
    command.add_argument("--lookahead", type=int, default=0, metavar="FRAMES",
                         help="frames of the future each estimate may use, 0 (as on a robot) to 60; 4 is the landmark model's window")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_models(command)

    command = _command(commands, "benchmark", benchmark, "measure latency by stage, throughput and memory on this machine")
    command.usage = "fourdhands benchmark [options] (VIDEO | ros VIDEO | --backbone SIZE)"
    command.add_argument("video", nargs="*", metavar="VIDEO",
                         help="run the whole tracker on this video; after the word `ros`: publishing beside message objects, "
                         "and the age of HandPair in another process with 1, 2 and 4 cameras that play it")
    command.add_argument("--backbone", choices=("S", "B", "L", "H"), metavar="SIZE",
                         help="the image network alone, untrained, with a ViT of this size (S, B, L, H; the paper's is H), "
                         "beside the window recomputed")
    command.add_argument("--frames", type=_positive, default=200, metavar="N", help="frames to measure (default: 200)")
    command.add_argument("--threads", type=_positive, default=1, metavar="N", help="threads of the network (default: 1)")
    command.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to this file")
    _add_models(command)

    command = _command(commands, "bag", bag, "find both hands in the images of rosbag2 recordings; or summarise them")
    command.usage = "fourdhands bag [options] IN [IN ...] OUT\n       fourdhands bag info [--json] BAG [BAG ...]"
    command.add_argument("paths", type=Path, nargs="+", metavar="PATH",
                         help="bags with images, mcap or sqlite3, and the bag to write (of several the folder for them); "
                         "after the word `info` bags with hands. The command of a run that was ended continues it")
    command.add_argument("--topic", action="append", default=[], metavar="TOPIC",
                         help="image topic, raw or compressed; may be repeated (default: every camera's)")
    command.add_argument("--camera-info", default="", metavar="TOPIC",
                         help="the camera's CameraInfo topic (default: camera_info beside the image topic)")
    lens = command.add_mutually_exclusive_group()
    lens.add_argument("--fov", type=float, metavar="DEGREES", help="horizontal field of view of images without CameraInfo")
    lens.add_argument("--intrinsics", type=Path, metavar="FILE", help="calibration for them, a camera_info YAML")
    command.add_argument("--mirrored", action="store_true", help="the images are mirrored, as in a selfie")
    command.add_argument("--lookahead", type=int, default=4, metavar="IMAGES",
                         help="images of the future each estimate may use, 0 to 60 (default: 4, the landmark model's window)")
    command.add_argument("--tf", choices=("none", "wrist", "joints"), default="wrist", help="frames to write to /tf")
    command.add_argument("--no-markers", action="store_true", help="leave the meshes out, nine tenths of the bag")
    command.add_argument("--interval", type=_positive, default=1000, metavar="IMAGES",
                         help="images after which what was done is kept if the run is killed (default: 1000)")
    command.add_argument("--jobs", type=int, default=0, metavar="N",
                         help="bags to convert at once (default: one a core)")
    command.add_argument("--json", action="store_true", help="info: print JSON")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    _add_models(command)

    command = _command(commands, "convert-mano", convert_mano, "convert official MANO pickles once to npz")
    command.add_argument("pickles", type=Path, nargs="+", metavar="PKL", help="MANO_RIGHT.pkl, MANO_LEFT.pkl")
    command.add_argument("--out", type=Path, default=Path(), metavar="PATH",
                         help="folder (default: this one) or npz file")

    command = _command(commands, "import-weights", import_weights,
                       "convert the authors' released checkpoint to weights for model image")
    command.add_argument("checkpoint", type=Path, metavar="PTH", help="Demo_Video.pth, Eval_Video.pth or Demo_Image.pth")
    command.add_argument("--out", type=Path, metavar="FILE", help="safetensors to write (default: beside the checkpoint)")
    command.add_argument("--window", type=_positive, metavar="FRAMES",
                         help="frames that the network was trained with: 9, or 1 (default: 1 for a name with `image` in it)")
    command.add_argument("--backbone", choices=("S", "B", "L", "H"), metavar="SIZE",
                         help="take only the ViT of this size (S, B, L, H) from a HaMeR or ViTPose checkpoint, to train from")

    command = _command(commands, "export", export, "write the network as ONNX, for device onnx: machines without torch")
    command.add_argument("--weights", default="", metavar="FILE", help="network weights (default: the shipped ones)")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for encode.onnx and reason.onnx")

    command = commands.add_parser("train", help="train what the package ships")
    trained = command.add_subparsers(dest="trained", required=True, metavar="WHAT")
    command = _command(trained, "landmark", train_landmark, "the landmark network, from synthetic motion alone")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="weights to write (safetensors)")
    command.add_argument("--seed", type=int, default=1, help="of every random number")
    command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                         help="another value for a setting of learning.train.TrainSettings; may be repeated")
    command = _command(trained, "errors", train_errors, "the detector's errors, measured on rendered clips")
    command.add_argument("--out", type=Path, metavar="FILE", help="file to write (default: the package's own)")
    command.add_argument("--clips", type=_positive, default=150, help="rendered clips to measure on")
    command.add_argument("--seed", type=int, default=7, help="of the clips")

    command = _command(commands, "evaluate", evaluate, "measure accuracy and steadiness beside a MediaPipe baseline")
    command.add_argument("--clips", type=_positive, default=24, help="rendered clips of unseen motion")
    command.add_argument("--depth", action="store_true",
                         help="instead, wrists with a depth image beside the colour image, at 0.5 and 1 m (12 clips do)")
    command.add_argument("--real", type=Path, metavar="DIR", help="folder with video/, freihand/ and onehand10k/")
    command.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to this file")
    command.add_argument("--mirrored", action="store_true", help="the real videos are mirrored, as in a selfie")
    _add_models(command)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 2 for an error that the user can mend, 130 when interrupted."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
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


def _command(commands, name, run, text):
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _add_models(command):
    command.add_argument("--weights", default="", metavar="FILE", help="network weights (default: the shipped ones)")
    command.add_argument("--model", default="landmark", choices=("landmark", "image"),
                         help="landmark (default), or image with --weights from `fourdhands import-weights`")
    command.add_argument("--device", default="cpu", choices=("cpu", "cuda", "onnx"),
                         help="cpu (default); cuda, for model image; onnx, with --weights DIR from `fourdhands export`")
    command.add_argument("--precision", default="float32", choices=("float32", "float16", "bfloat16"),
                         help="of model image")
    command.add_argument("--hand-model", default="", metavar="NPZ",
                         help="right hand from convert-mano (default: the generic hand)")
    command.add_argument("--hand-model-left", default="", metavar="NPZ",
                         help="left hand from convert-mano (default: the right hand's mirror image)")


def _tracker_settings(args):
    from .pipeline.tracker import TrackerSettings

    return TrackerSettings(model=args.model, weights=args.weights, device=args.device, precision=args.precision,
                           hand_model=args.hand_model, hand_model_left=args.hand_model_left,
                           mirrored=getattr(args, "mirrored", False), lookahead=getattr(args, "lookahead", 0),
                           threads=getattr(args, "threads", 1))


def _positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _replaced(settings, assignments: list[str]):
    """A dataclass with some fields replaced by NAME=VALUE texts, each of the type of the field's default."""
    from dataclasses import fields, replace

    kinds = {field.name: type(getattr(settings, field.name)) for field in fields(settings)}
    values = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in kinds:
            raise InputError(f"--set {assignment}: there is no setting {name!r}; there are {', '.join(kinds)}")
        try:
            values[name] = kinds[name](value)
        except ValueError as error:
            raise InputError(f"--set {assignment}: {value!r} is not of type {kinds[name].__name__}") from error
    return replace(settings, **values)


if __name__ == "__main__":
    exit_code = main()
    exec("")  # forgets an interrupt handled above: CPython ends `-m` by SIGINT if one passed through exec of a string
    sys.exit(exit_code)
