"""`fourdhands episodes`: recorded demonstrations, and datasets of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..episodes import FORMATS
from ..errors import InputError
from ..pipeline.settings import OFFLINE_LOOKAHEAD
from ..streams import counted, said_of, utf8
from . import (
    FILE,
    REPEATED,
    TOPIC,
    Commands,
    add_command,
    add_images,
    add_jobs,
    add_settings,
    add_shape,
    frame,
    given_settings,
    place,
    ros_side,
)


def _here(text: str) -> Path:
    """The type of arguments that can only be of this machine."""
    if isinstance(one := place(text), Path):
        return one
    raise argparse.ArgumentTypeError(f"{one} is an address, which this command does not read; give a copy on this machine")


def add(commands: Commands) -> None:
    """Its subcommands and their arguments."""
    episodes = commands.add_parser("episodes", help="recorded demonstrations, and datasets of them that train a policy")
    inner = episodes.add_subparsers(dest="episodes", required=True, metavar="COMMAND")
    _add_export(inner)
    _add_import(inner)
    _add_keeping(inner)
    command = add_command(inner, "check", check, "check a dataset, or folders with episodes, and say what is wrong")
    command.add_argument(
        "paths",
        type=place,
        nargs="+",
        metavar="PATH",
        help="datasets that were exported, or folders with bags; or URLs of such",
    )


def _add_import(inner: Commands) -> None:
    command = add_command(inner, "import", import_dataset, "write the episodes of a LeRobot dataset as bags, one each")
    command.add_argument("dataset", type=_here, metavar="DATASET", help="LeRobotDataset v3.0, this package's or another's")
    command.add_argument("--out", type=_here, required=True, metavar="DIR", help="folder for the bags")
    command.add_argument("--episode", type=int, action="append", metavar="N", help="may be repeated (default: all)")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_keeping(inner: Commands) -> None:
    command = add_command(inner, "list", list_episodes, "list recorded episodes: length, hands, task, outcome, notes")
    command.add_argument("paths", type=_here, nargs="+", metavar="BAG|DIR")
    command = add_command(inner, "play", play, "play episodes, as replay.launch.py does")
    command.add_argument("paths", type=_here, nargs=1, metavar="BAG|DIR|DATASET")
    command.add_argument("--episode", type=int, metavar="N", help="of a folder or a dataset, from 0 (default: all in turn)")
    command.add_argument("--rate", type=float, default=1.0, metavar="N", help="how many times as fast as recorded")
    command = add_command(inner, "trim", trim, "say which part of episodes is exported; the bags themselves stay as they are")
    command.add_argument("paths", type=_here, nargs="+", metavar="BAG|DIR")
    command.add_argument("--begin", type=float, default=0.0, metavar="S", help="seconds after the first HandPair (default: 0)")
    command.add_argument("--end", type=float, metavar="S", help="default: its end")
    command = add_command(inner, "relabel", relabel, "change what is said of episodes: task, outcome, kept or discarded, notes")
    command.add_argument("paths", type=_here, nargs="+", metavar="BAG|DIR")
    command.add_argument("--task", type=utf8, metavar="TEXT")
    command.add_argument("--outcome", choices=("success", "failure", "none"))
    command.add_argument("--state", choices=("kept", "discarded"), help="discarded ones are not exported")
    command.add_argument("--note", type=utf8, **REPEATED, metavar="TEXT", help="added to those there; may be repeated")


def _add_export(inner: Commands) -> None:
    command = add_command(inner, "export", export, "make a dataset of bags with hands, or of bags or videos to find them in")
    command.add_argument(
        "paths",
        type=place,
        nargs="+",
        metavar="BAG|DIR|VIDEO",
        help="bags, or folders with bags, or URLs of such (s3://, sftp://, https://, ...; extra [cluster]); the command of a "
        "run that was ended continues it",
    )
    command.add_argument(
        "--out", type=place, required=True, metavar="DATASET", help="folder or URL to make, where nothing may be yet"
    )
    command.add_argument("--format", choices=FORMATS, default=FORMATS[0], help="default: lerobot, v3.0")
    command.add_argument("--fps", type=int, default=30, metavar="N", help="rows a second (default: 30)")
    command.add_argument(
        "--action",
        default="mano102",
        metavar="NAME",
        help="mano102 (default): wrist, orientation and MANO's pose; tips48: wrist, rotation and fingertips; wrist: "
        "position, yaw, pitch, roll; robot:NAME or robot:NAME:left: a robot's joints by that hand (extra [robot])",
    )
    command.add_argument(
        "--operator", **FILE, help="of a robot's action: the operator's range, which teleoperation had (`fourdhands retarget`)"
    )
    command.add_argument(
        "--frame", type=frame, default="camera", metavar="FRAME", help="of positions: camera (default), or a TF frame"
    )
    command.add_argument("--task", type=utf8, default="", metavar="TEXT", help="what is done, where a bag does not say it")
    command.add_argument(
        "--split",
        default="gap",
        metavar="HOW",
        help="gap (default): an episode ends where a hand is lost; bag: it does not, lost hands are masked; topic:/NAME: by a "
        "topic of Bool or String",
    )
    command.add_argument(
        "--hands",
        choices=("auto", "both", "left", "right"),
        default="auto",
        help="which have to be there; auto (default): each that is in a third of what is taken of a bag",
    )
    command.add_argument(
        "--min-valid", type=float, default=0.8, metavar="SHARE", help="of hands in whole episodes (--split bag, topic), 0.8"
    )
    command.add_argument("--min-seconds", type=float, default=1.0, metavar="S", help="shorter ones are left out (default: 1)")
    command.add_argument("--outcome", choices=("success", "failure"), default="", help="only episodes that ended so")
    command.add_argument("--topic", **TOPIC, help="of HandPair, where a bag has several cameras' hands")
    text = "image topic to export; may be repeated (default: the hands' camera's)"
    pictures = command.add_mutually_exclusive_group()
    pictures.add_argument("--images", action="append", metavar="TOPIC", help=text)
    pictures.add_argument("--no-images", action="store_true", help="export no images")
    command.add_argument("--robot", **TOPIC, help="of JointState (default: the only one, or /joint_states)")
    add_images(command, "of videos, and of bags with images alone, without CameraInfo: ")
    add_shape(command)
    add_settings(command, "mirrored", "mirrored_cameras")
    command.add_argument("--vcodec", default="h264", metavar="CODEC", help="of images: h264 or av1 (default: h264)")
    add_jobs(command)
    command.add_argument("--skip-failed", action="store_true", help="make the dataset without the bags that failed")
    command.add_argument("--quiet", action="store_true", help="no progress bar, no list of what was left out")


def export(args: argparse.Namespace) -> int:
    """Make a dataset of bags."""
    from ..episodes.actions import action_of
    from ..episodes.resampling import Cutting

    action_of(args.action, args.operator)
    cutting = Cutting(args.fps, args.hands, args.split, args.min_valid, args.min_seconds)
    work, source, whole, camera = ros_side("episodes", "episodes.export", "episodes.source", "episodes.whole", "bags.camera")
    images = () if args.no_images else tuple(args.images) if args.images else None
    chosen = source.Chosen(args.topic, images, args.robot, args.frame, cutting.split)
    given = {**given_settings(args), "hand_shape": str(args.hand_shape or "")}
    parameters = camera.Parameters(**given, lookahead=OFFLINE_LOOKAHEAD, rectified=args.rectified)
    told = {name: getattr(args, name) for name in "camera_info depth fov intrinsics".split()}
    conversion = camera.Options(parameters, markers=False, **told)
    options = work.Options(chosen, args.action, cutting, args.task, args.vcodec, args.outcome, conversion, args.operator)
    report = work.export(args.paths, args.out, options, args.format, args.jobs, args.address, args.quiet, args.skip_failed)
    if not args.quiet:
        for line in whole.left_out_words(args.out):
            print(line)
    if report.again:
        print(f"{args.out}: {counted(report.episodes, 'episodes')}, of these bags and options already; nothing was done")
    else:
        print(f"{args.out}: {counted(report.episodes, 'episodes')}, {counted(report.rows, 'rows')}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Say what is wrong with datasets or folders with episodes; 1 where something is that is kept."""
    from ..copies import call_here, fetched
    from ..episodes.folder import MANIFEST
    from ..remote import UPLOADING, Remote

    wrong = 0
    for path in args.paths:
        if isinstance(path, Remote) and path.inside(UPLOADING).is_file() and not path.inside(MANIFEST).is_file():
            print(f"{path}: is not whole yet; wait for the command that brings it, or give that again", file=sys.stderr)
            wrong += 1
            continue
        good, bad = call_here(_checked, fetched(path.with_all() if isinstance(path, Remote) else path), str(path))
        for line in good:
            print(line)
        for line in bad:
            print(said_of(path, line), file=sys.stderr)
        wrong += len(bad)
    return 1 if wrong else 0


def _checked(path: Path, name: str) -> tuple[list[str], list[str]]:
    """What a dataset or folder holds and what is wrong, in words that say its name."""
    from ..episodes.check import check_dataset, is_dataset

    if is_dataset(path):
        good, bad = check_dataset(path)
    else:
        (keeping,) = ros_side("episodes", "episodes.keeping")
        good, bad = keeping.check(path)
    return [line.replace(str(path), name) for line in good], [line.replace(str(path), name) for line in bad]


def import_dataset(args: argparse.Namespace) -> int:
    """Write a dataset's episodes as bags."""
    (work,) = ros_side("episodes", "episodes.importing")
    before = {*args.out.glob("episode_*")}
    bags = work.import_dataset(args.dataset, args.out, args.episode, args.quiet)
    there = len(before & {*bags})
    left = f", {there} of which were there already and were left alone, of whatever dataset they are" if there else ""
    print(f"{args.out}: {counted(len(bags), 'bags')}{left}")
    return 0


def list_episodes(args: argparse.Namespace) -> int:
    """Print a line an episode; 1 where one cannot be read."""
    (keeping,) = ros_side("episodes", "episodes.keeping")
    unread = 0
    for line, read in keeping.lines(args.paths):
        print(line)
        unread += not read
    return 1 if unread else 0


def play(args: argparse.Namespace) -> int:
    """Publish episodes' messages as they came."""
    (player,) = ros_side("episodes", "episodes.player")
    if not args.rate > 0.0:
        raise InputError(f"--rate {args.rate:g} is not above 0; 1 plays as fast as recorded")
    return player.play(args.paths[0], args.episode, args.rate)


def trim(args: argparse.Namespace) -> int:
    """Write what part of episodes is exported into their sidecars."""
    (keeping,) = ros_side("episodes", "episodes.keeping")
    for line in keeping.trim(args.paths, args.begin, args.end):
        print(line)
    return 0


def relabel(args: argparse.Namespace) -> int:
    """Change episodes' sidecars."""
    (keeping,) = ros_side("episodes", "episodes.keeping")
    for line in keeping.relabel(args.paths, args.task, args.outcome, args.state, args.note):
        print(line)
    return 0
