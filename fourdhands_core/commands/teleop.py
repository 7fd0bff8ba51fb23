"""`fourdhands teleop`: a recorded hand moves a simulated robot, without ROS."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import (
    FOLDER,
    Commands,
    add_command,
    add_lens,
    add_settings,
    add_shape,
    check_out,
    check_there,
    given_settings,
    is_bag,
    path,
    refuse_options,
    ros_side,
)
from .track import track_one

if TYPE_CHECKING:
    import numpy as np

OUTPUTS = "trajectory.npz", "trajectory.csv", "robot.mp4"
_KEYS = "stamp", "valid", "joints", "wrist_rotation"
"""Of hands.npz, that are needed."""


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(
        commands, "teleop", teleop, "let a simulated arm with a robot hand follow the hand in a video", "robot"
    )
    command.add_argument(
        "video",
        metavar="VIDEO",
        help="video file, folder of images; or hands found before: hands.npz of `fourdhands track`, or a bag with hands",
    )
    command.add_argument("--topic", metavar="TOPIC", help="of a bag: the HandPair topic (default: the first by name)")
    command.add_argument(
        "--robot",
        required=True,
        metavar="NAME|FILE",
        help="hand or gripper of the arm: a name of `fourdhands retarget --list`, or a YAML file beside a URDF or MJCF",
    )
    command.add_argument("--out", **FOLDER, required=True, help="folder for the results")
    command.add_argument("--side", choices=("left", "right"), help="of the hand to follow, where the robot follows either")
    command.add_argument("--operator", type=path, metavar="YAML", help="the operator's range, from `fourdhands retarget`")
    command.add_argument("--scale", type=float, default=1.0, help="metres of the robot per metre of the hand (default 1)")
    add_lens(command)
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    add_shape(command)
    add_settings(command, "mirrored")


def teleop(args: argparse.Namespace) -> int:
    """Track the hand where it is not, and replay it on the robot."""
    from ..retargeting import load_retargeter
    from ..retargeting.model_check import tell_of_model
    from ..simulation.robot import SimulatedRobot
    from ..simulation.scene import Cube
    from ..streams import warn

    if not 0.01 <= args.scale <= 10.0:
        raise InputError(f"--scale {args.scale} is no number from 0.01 to 10; 1 moves the robot as far as the hand")
    retargeter = load_retargeter(args.robot, args.side, args.operator)
    tell_of_model(args.robot, retargeter, warn)
    robot = SimulatedRobot(args.robot, [Cube(0.45, 0.0), Cube(0.52, 0.14, colour=(0.2, 0.42, 0.8), turn=0.4)])
    described = [robot.config.source, robot.config.model]
    check_out(args, [args.out / name for name in OUTPUTS], args.video, args.operator, *described)
    check_there(args.video)
    tracks = not args.video.endswith(".npz") and not is_bag(Path(args.video))
    if not tracks:
        options = "fov", "intrinsics", "hand_shape", *given_settings(args)
        refuse_options(args, options, f"teleop {args.video}, in which hands are found already")
    if not is_bag(Path(args.video)):
        refuse_options(args, ["topic"], f"teleop {args.video}, which is no bag")
    arrays, ended_by = _tracked(args) if tracks else (_found(args), 0)
    summary = _replay(args, arrays, robot, retargeter, args.out / "overlay.mp4" if tracks else None)
    print(f"{summary}\nwritten to {args.out}: {', '.join(OUTPUTS)}")
    return 128 + ended_by if ended_by else 0


def _found(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays of hands.npz, of one or of a bag."""
    from ..media.hands_file import is_fused, read_hands
    from ..streams import warn

    if is_bag(Path(args.video)):
        (bags,) = ros_side("bags", "bags.hands")
        return dict(bags.read_bag_hands(args.video, args.topic))
    arrays = read_hands(args.video, _KEYS)
    if is_fused(arrays):
        warn(
            f"{args.video} has hands of fused cameras, which are followed as if their fixed frame was a camera's (x right, y "
            "down, z forward); where it is not, give one camera's own, CAMERA/hands.npz beside it"
        )
    return arrays


def _tracked(args: argparse.Namespace) -> tuple[dict[str, np.ndarray], int]:
    """The arrays of the hands.npz that is made now in the folder for the results; the signal that ended tracking, or 0."""
    from ..media.hands_file import read_hands
    from ..media.video import VideoReader

    tracked = track_one(args, VideoReader(args.video))
    return read_hands(args.out / "hands.npz", _KEYS), tracked.ended_by


def _replay(args: argparse.Namespace, arrays: dict[str, np.ndarray], robot: Any, retargeter: Any, overlay: Path | None) -> str:
    """Write trajectory and video; what it came to, in words. overlay: video of the hand, to stand beside the robot."""
    import numpy as np
    from tqdm import tqdm

    from ..media.draw import draw_text
    from ..media.images import side_by_side
    from ..media.robot_scene import ScenePicture
    from ..media.video import VideoReader, VideoWriter
    from ..simulation.replay import Track, replay, replay_settings

    track = Track.of_arrays(arrays, retargeter.side)
    settings = replay_settings(robot, retargeter, track, args.scale)
    args.out.mkdir(parents=True, exist_ok=True)
    fps = float(1.0 / np.median(np.diff(track.stamp))) if len(track.stamp) > 1 else 30.0
    scene = ScenePicture(robot)
    frames = iter(VideoReader(overlay)) if overlay is not None and overlay.is_file() else None
    with (
        VideoWriter(args.out / "robot.mp4", fps) as writer,
        tqdm(total=len(track.stamp), unit="frame", desc="robot", disable=args.quiet) as bar,
    ):

        def picture(number: int) -> None:
            image = scene.draw()
            if not track.valid[number]:
                draw_text(image, "hand lost: the robot holds", (8, 8), (255, 210, 120))
            left = next(frames, (0, None))[1] if frames is not None else None
            writer.write(image if left is None else side_by_side(left, image))
            bar.update()

        log = replay(track, robot, retargeter, settings, picture)
    log.write(args.out)
    if not log.times:
        return "one image alone: the robot did not move"
    numbers = log.arrays()
    error = np.linalg.norm(numbers["ee"][:, :3] - numbers["ee_target"][:, :3], axis=1)
    followed = np.isin(numbers["state"], ("RAMP", "ENGAGED")).mean()
    return (
        f"{len(log.times)} commands in {log.times[-1]:.1f} s, {100 * followed:.0f} % of them following the "
        f"{retargeter.side} hand; "
        f"the arm's end {1000 * np.median(error):.0f} mm behind its target (median)"
    )
