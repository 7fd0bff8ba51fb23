"""`fourdhands bag`: hands in rosbag2 recordings."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..errors import InputError
from ..pipeline.settings import OFFLINE_LOOKAHEAD
from . import (
    FILE,
    REPEATED,
    Commands,
    add_command,
    add_images,
    add_jobs,
    add_settings,
    add_shape,
    frame,
    given_settings,
    place,
    positive,
    refuse_options,
    ros_side,
)

if TYPE_CHECKING:
    from ..remote import Place

INFO = "info"


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(commands, "bag", bag, "find both hands in the images of rosbag2 recordings; or summarise them")
    command.usage = "fourdhands bag [options] IN [IN ...] OUT\n       fourdhands bag info [--json] BAG [BAG ...]"
    command.add_argument(
        "paths",
        type=_path_or_info,
        nargs="+",
        metavar="PATH",
        help="bags with images, mcap or sqlite3, and the bag to write (of several the folder for them); "
        "after the word `info` bags with hands. Each may be a URL (s3://, sftp://, https://, ...; extra [cluster]). "
        "The command of a run that was ended continues it",
    )
    text = "image topic, raw or compressed; may be repeated (default: every camera's)"
    command.add_argument("--topic", **REPEATED, metavar="TOPIC", help=text)
    add_images(command, "of images without CameraInfo: ")
    add_shape(command)
    add_settings(command, "mirrored", "mirrored_cameras", "lookahead", lookahead=OFFLINE_LOOKAHEAD)
    command.add_argument(
        "--cameras",
        **FILE,
        help="where the bag's cameras stand, from `fourdhands calibrate-cameras`: also one pair of hands of all, on /hands",
    )
    command.add_argument(
        "--fixed-frame",
        type=frame,
        default="",
        metavar="NAME",
        help="the same, where the cameras stand being in the bag's /tf and /tf_static; with --cameras the file's frame",
    )
    command.add_argument("--tf", choices=("none", "wrist", "joints"), default="wrist", help="frames to write to /tf")
    command.add_argument("--no-markers", action="store_true", help="leave the meshes out, nine tenths of the bag")
    command.add_argument(
        "--interval",
        type=positive,
        metavar="IMAGES",
        default=1000,
        help="images after which what was done is kept if the run is killed (default: 1000)",
    )
    add_jobs(command, "; OUT is then the folder for the bags")
    command.add_argument("--json", action="store_true", help="info: print JSON")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


def _path_or_info(text: str) -> Place | str:
    """The type of PATH: the word `info` alone is no path; ./info is one."""
    return INFO if text == INFO else place(text)


def bag(args: argparse.Namespace) -> int:
    """Find the hands in the images of rosbag2 recordings, or summarise the hands in them."""
    camera, command = ros_side("bags", "bags.camera", "bags.command")
    if args.paths[0] == INFO:
        refuse_options(args, vars(args).keys() - {"paths", "json", "quiet", "command", "run", "extra", "parser"}, "bag info")
        _info(command, _places(args.paths[1:]), args.json)
        return 0
    *sources, out = _places(args.paths)
    refuse_options(args, ["json"], "bag IN OUT")
    if not sources:
        raise InputError(f"one path was given, {out}; give the bag to read and the bag to write, or `bag info {out}`")
    given = {**given_settings(args), "hand_shape": str(args.hand_shape or "")}
    parameters = camera.Parameters(**given, tf=args.tf, rectified=args.rectified)
    rig = None
    if args.cameras:
        from ..fusion.rig import load_rig

        rig = load_rig(args.cameras)
    told = {name: getattr(args, name) for name in "camera_info depth fov intrinsics interval fixed_frame".split()}
    options = camera.Options(parameters, tuple(args.topic), markers=not args.no_markers, rig=rig, **told)
    command.convert_bags(sources, out, options, args.jobs, args.quiet, args.address)
    return 0


def _places(paths: list[Place | str]) -> list[Place]:
    """The word `info` is a path after all where it is not the first."""
    return [Path(one) if isinstance(one, str) else one for one in paths]


def _info(command: ModuleType, paths: list[Place], as_json: bool) -> None:
    there = os.path.isdir(INFO) and f"; the folder called {INFO} is ./{INFO}"
    if not paths:
        raise InputError(f"`bag info` needs the bags with hands to summarise{there or ''}")
    if there and (missing := next((path for path in paths if isinstance(path, Path) and not path.exists()), None)):
        raise InputError(f"{missing} does not exist, and `bag info` summarises bags{there}")
    command.info(paths, as_json=as_json)
