"""`fourdhands bag`: hands in rosbag2 recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from . import add_command, add_models, positive, refuse_options, ros_side


def add(commands) -> None:
    """Its arguments."""
    command = add_command(commands, "bag", bag, "find both hands in the images of rosbag2 recordings; or summarise them")
    command.usage = "fourdhands bag [options] IN [IN ...] OUT\n       fourdhands bag info [--json] BAG [BAG ...]"
    command.add_argument(
        "paths",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="bags with images, mcap or sqlite3, and the bag to write (of several the folder for them); "
        "after the word `info` bags with hands. The command of a run that was ended continues it",
    )
    command.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="TOPIC",
        help="image topic, raw or compressed; may be repeated (default: every camera's)",
    )
    command.add_argument(
        "--camera-info",
        default="",
        metavar="TOPIC",
        help="the camera's CameraInfo topic (default: camera_info beside the image topic)",
    )
    command.add_argument(
        "--depth",
        default="auto",
        metavar="TOPIC",
        help="topic of depth images in the image's view; none; auto (default): one beside the image whose "
        "messages name the image's frame",
    )
    lens = command.add_mutually_exclusive_group()
    lens.add_argument("--fov", type=float, metavar="DEGREES", help="horizontal field of view of images without CameraInfo")
    lens.add_argument("--intrinsics", type=Path, metavar="FILE", help="calibration for them, a camera_info YAML")
    command.add_argument(
        "--rectified",
        choices=("auto", "true", "false"),
        default="auto",
        help="whether the images are rectified, so that P of CameraInfo and no distortion holds for them "
        "(default: auto, by the topic's name, image_rect and the like)",
    )
    command.add_argument("--mirrored", action="store_true", help="the images are mirrored, as in a selfie")
    command.add_argument(
        "--lookahead",
        type=int,
        default=4,
        metavar="IMAGES",
        help="images of the future each estimate may use, 0 to 60 (default: 4, the landmark model's window)",
    )
    command.add_argument("--tf", choices=("none", "wrist", "joints"), default="wrist", help="frames to write to /tf")
    command.add_argument("--no-markers", action="store_true", help="leave the meshes out, nine tenths of the bag")
    command.add_argument(
        "--interval",
        type=positive,
        default=1000,
        metavar="IMAGES",
        help="images after which what was done is kept if the run is killed (default: 1000)",
    )
    command.add_argument("--jobs", type=int, default=0, metavar="N", help="bags to convert at once (default: one a core)")
    command.add_argument("--json", action="store_true", help="info: print JSON")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    add_models(command)


def bag(args: argparse.Namespace) -> int:
    """Find the hands in the images of rosbag2 recordings, or summarise the hands in them."""
    camera, command = ros_side("bags", "bags.camera", "bags.command")
    *sources, out = args.paths
    if sources and str(sources[0]) == "info":
        refuse_options(args, vars(args).keys() - {"paths", "json", "quiet", "command", "run", "extra", "parser"}, "bag info")
        command.info([*sources[1:], out], as_json=args.json)
        return 0
    refuse_options(args, ["json"], "bag IN OUT")
    if not sources:
        raise InputError(f"one path was given, {out}; give the bag to read and the bag to write, or `bag info {out}`")
    parameters = camera.Parameters(
        lookahead=args.lookahead,
        mirrored=args.mirrored,
        model=args.model,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
        tf=args.tf,
        rectified=args.rectified,
        hand_model=args.hand_model,
        hand_model_left=args.hand_model_left,
    )
    options = camera.Options(
        parameters,
        tuple(args.topic),
        args.camera_info,
        args.depth,
        args.fov,
        args.intrinsics,
        not args.no_markers,
        args.interval,
    )
    command.convert_bags(sources, out, options, args.jobs, args.quiet)
    return 0
