"""`fourdhands calibrate-cameras`: where cameras stand, from the hands that they see."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..files import kind_of
from . import (
    DEFAULT_FOV,
    FILE,
    REPEATED,
    Commands,
    add_command,
    add_settings,
    add_shape,
    camera_of,
    check_out,
    frame,
    is_topic,
    path,
    refuse_options,
    ros_side,
    tracker_settings,
)

if TYPE_CHECKING:
    from ..fusion.rig import Rig
    from ..fusion.rig.extrinsics import FoundPoses


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(
        commands, "calibrate-cameras", calibrate_cameras, "find where cameras stand, from moving hands, recorded or live"
    )
    command.add_argument(
        "sources",
        type=path,
        nargs="+",
        metavar="SOURCE",
        help="a bag with the images of several cameras, a video of each, which begin at the same moment, or the image topics "
        "of running cameras such as /left/image_raw /right/image_raw; half a minute in which all cameras see both hands "
        "move through the space that they share, high and low, near and far",
    )
    command.add_argument(
        "--seconds", type=float, default=30.0, metavar="S", help="for which running cameras are watched (default: 30)"
    )
    command.add_argument("--out", **FILE, help="YAML file of the cameras' poses to write")
    command.add_argument("--launch", **FILE, help="launch file of static transforms to write")
    command.add_argument("--picture", **FILE, help="picture of cameras and hands to write, such as rig.png")
    command.add_argument("--check", **FILE, help="compare with these poses; exit status 1 where they differ")
    command.add_argument(
        "--names", nargs="+", default=[], metavar="NAME", help="names of videos' cameras (default: the files')"
    )
    command.add_argument("--topic", **REPEATED, metavar="TOPIC", help="image topic of a bag; repeat it")
    command.add_argument(
        "--fixed-frame", type=frame, default="", metavar="NAME", help="name of the frame (default: the first camera's)"
    )
    scale = command.add_mutually_exclusive_group()
    scale.add_argument(
        "--hand-length",
        type=float,
        default=0.0,
        metavar="M",
        help="metres from the crease of the wrist to the tip of the stretched middle finger: makes the metres true",
    )
    scale.add_argument(
        "--distance", type=float, default=0.0, metavar="M", help="metres between the first two cameras, likewise"
    )
    add_shape(scale)
    scale.add_argument(
        "--depth", action="store_true", help="take the metres from depth images in the view of a camera's images, or several's"
    )
    command.add_argument(
        "--fov", type=float, metavar="DEGREES", help="horizontal field of view of all videos, or of cameras without CameraInfo"
    )
    command.add_argument("--intrinsics", **FILE, dest="lenses", nargs="+", default=[], help="calibration of each video's lens")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    add_settings(command, "mirrored", "mirrored_cameras")


def calibrate_cameras(args: argparse.Namespace) -> int:
    """Solve, tell, and write."""
    from ..fusion.rig import load_rig, save_rig
    from ..fusion.rig.extrinsics import calibrate, compare
    from ..media.draw_rig import draw_rig
    from ..media.images import check_ending, write_image
    from ..media.track_cameras import collect
    from ..outputs import write_text
    from ..pipeline.shape_calibration import hand_length, tracker_with_shape

    for name, value, most in (("--hand-length", args.hand_length, 0.3), ("--distance", args.distance, 100.0)):
        if not 0.0 <= value <= most:
            raise InputError(f"{name} {value:g} is not between 0 and {most:g} metres")
    if not 5.0 <= args.seconds <= 3600.0:
        raise InputError(f"--seconds {args.seconds:g} is not between 5 and 3600")
    if args.picture:
        check_ending(args.picture)
    given = load_rig(args.check) if args.check else None
    topics = [str(source) for source in args.sources if is_topic(str(source))]
    if given and (topics or len(args.sources) > 1):  # a bag's cameras are known when it has been opened
        _check_named(args, given, _given(args, topics))
    check_out(args, [file for file in (args.out, args.launch, args.picture) if file], *args.sources, args.check, *args.lenses)
    with closing(tracker_with_shape(tracker_settings(args), args.hand_shape, measured=True)) as tracker:
        frames: dict[str, str] = {}
        seen = collect(_seen(args, topics, tracker, frames), _given(args, topics))
        length = args.hand_length if tracker.betas is None else hand_length(tracker.hands, tracker.betas)
        found = calibrate(seen, tracker.assets, length, args.distance, tracker.landmarks, args.depth)
    names = list(found.poses)
    lines = _told(found)
    print(f"scale: {found.scale}")
    for name, line in lines.items():
        print(f"{name}: {line}")
    frames = _own_frames(names, frames)
    rig = _rig(args, found, frames)
    if args.out:
        notes = {
            name: {
                "hands": one.hands,
                "residual": round(one.residual, 5),
                "angle_sigma": round(one.angle, 3),
                "position_sigma": round(one.distance, 5),
            }
            for name, one in found.certainty.items()
        }
        save_rig(args.out, rig, f"Found from hands by `fourdhands calibrate-cameras`; scale: {found.scale}.", notes)
        print(f"written to {args.out}")
    if args.launch:
        write_text(args.launch, launch_file(rig, frames))
        print(f"written to {args.launch}")
    if args.picture:
        write_image(args.picture, draw_rig(found.poses, found.points, lines))
    if given is None:
        return 0
    _check_named(args, given, names)
    worst = 0.0
    for name, one in compare(given.poses, found).items():
        sure = found.certainty[name]
        off = (
            one.angle > 1.0 + 2.0 * sure.angle
            or one.baseline > 0.03 + 3.0 * sure.distance / max(one.distance, 1e-6) * one.baseline
        )
        worst = max(worst, float(off))
        print(
            f"{name} beside {names[0]}: given and found differ by {one.angle:.2f} degrees and {1e3 * one.distance:.0f} mm, "
            f"{100 * one.baseline:.1f} % of the baseline" + (": it has moved, or its pose is wrong" if off else ": as given")
        )
    return int(worst)


def _check_named(args: argparse.Namespace, given: Rig, names: Iterable[str]) -> None:
    if missing := [name for name in names if name not in given.poses]:
        raise InputError(f"{args.check} has no camera {', '.join(missing)}; it names {', '.join(given.poses)}")


def _given(args: argparse.Namespace, topics: Sequence[str]) -> list[str]:
    """The cameras' names in the order in which they were given, whichever delivers first."""
    if topics or len(args.sources) == 1:
        return [camera_of(topic) for topic in topics or args.topic]
    return args.names or [file.stem for file in args.sources]


def _seen(args: argparse.Namespace, topics: Sequence[str], tracker: Any, frames: dict[str, str]) -> Iterator[Any]:
    """What the cameras of a bag, of videos, or of topics see. topics: those of the sources that are. frames: gets, by camera,
    the one that its images name."""
    from ..geometry.camera_source import CameraSource
    from ..media.track_cameras import CameraVideo, watch

    if topics:
        if other := [str(source) for source in args.sources if str(source) not in topics]:
            raise InputError(f"{topics[0]} is a topic and {other[0]} a recording; give one kind at a time")
        if len(set(topics)) < 2:
            raise InputError(f"{topics[0]} is one camera's, and one alone does not tell where it stands; give all topics")
        refuse_options(args, ("names", "topic", "lenses"), f"{args.command} {' '.join(topics)}")
        (live,) = ros_side("live topics", "tools.live_cameras")
        topics = list(dict.fromkeys(topics))
        yield from live.watch_topics(topics, tracker, args.seconds, args.fov, not args.quiet, args.depth, frames)
        return
    if len(args.sources) == 1:
        if args.sources[0].is_file() and kind_of(args.sources[0])[0] == "a video":
            raise InputError(
                f"{args.sources[0]} is one camera's, and one alone does not tell where it stands; "
                "give a video of each, A.mp4 B.mp4, or the bag of all"
            )
        refuse_options(args, ("names", "lenses"), f"{args.command} {args.sources[0]}")
        (cameras,) = ros_side("calibrate-cameras BAG", "bags.cameras")
        yield from cameras.watch_bag(args.sources[0], tracker, tuple(args.topic), args.fov, not args.quiet, args.depth, frames)
        return
    refuse_options(args, ("depth",), f"{args.command} {' '.join(map(str, args.sources))}")
    names = _given(args, topics)
    if len(names) != len(args.sources) or len(set(names)) < len(names):
        raise InputError(
            f"{len(args.sources)} videos need as many names, all different, and these are {', '.join(names)}; --names"
        )
    if args.lenses and len(args.lenses) not in (1, len(names)):
        raise InputError(
            f"{len(args.lenses)} files of --intrinsics were given for {len(names)} videos; give one, or one for each"
        )
    if not args.lenses and args.fov is None:
        raise InputError("the lenses are not known; give --intrinsics of each video, or --fov")
    lenses = args.lenses * (len(names) if len(args.lenses) == 1 else 1) or [None] * len(names)
    videos = [
        CameraVideo(name, file, CameraSource(DEFAULT_FOV, fov=None if lens else args.fov, intrinsics=lens))
        for name, file, lens in zip(names, args.sources, lenses)
    ]
    yield from watch(videos, tracker, not args.quiet)


def _told(found: FoundPoses) -> dict[str, str]:
    lines = {}
    for name, pose in found.poses.items():
        one = found.certainty[name]
        x, y, z = pose.position
        lines[name] = (
            f"{one.hands} hands, residual {1e3 * one.residual:.1f} mm; at {x:+.3f} {y:+.3f} {z:+.3f} m, "
            f"+- {one.angle:.2f} degrees and {1e3 * one.distance:.1f} mm"
        )
    return lines


def _own_frames(names: Sequence[str], frames: Mapping[str, str]) -> dict[str, str]:
    """By camera the frame that its images name, of those of which no other's name it too."""
    named = {name: frames.get(name, "").lstrip("/") for name in names}
    count = Counter(named.values())
    return {name: frame for name, frame in named.items() if frame and count[frame] == 1}


def _rig(args: argparse.Namespace, found: FoundPoses, frames: Mapping[str, str]) -> Rig:
    from ..fusion.rig import Rig

    lenses: dict[str, dict[str, Any]] = {}
    if len(args.sources) > 1:
        for k, name in enumerate(found.poses):
            if args.lenses:
                lenses[name] = {"intrinsics": args.lenses[k % len(args.lenses)].resolve()}
            elif args.fov is not None:
                lenses[name] = {"fov": args.fov}
    return Rig(args.fixed_frame or _frame_of(next(iter(found.poses)), frames), found.poses, lenses)


def _frame_of(name: str, frames: Mapping[str, str]) -> str:
    return frames.get(name) or f"{name.strip('/')}_optical_frame"


_LAUNCH = '''"""Where the cameras stand{unknown}.

Drivers must not publish these too: a frame has one parent.
"""

from launch import LaunchDescription
from launch_ros.actions import Node


def generate_launch_description():
    return LaunchDescription(
        [
{nodes}
        ]
    )
'''


def launch_file(rig: Rig, frames: Mapping[str, str]) -> str:
    """A launch file that publishes a rig's poses as static transforms. frames: by camera the one that its images name; of
    others it is called <name>_optical_frame."""
    from ..geometry.rotations import quaternion_from_matrix

    nodes = []
    for name, pose in rig.poses.items():
        frame = _frame_of(name, frames)
        if frame == rig.fixed_frame:
            continue
        numbers = [f"{value:.6f}" for value in (*pose.position, *quaternion_from_matrix(pose.rotation))]
        keys = "--x", "--y", "--z", "--qx", "--qy", "--qz", "--qw", "--frame-id", "--child-frame-id"
        words = [word for pair in zip(keys, [*numbers, rig.fixed_frame, frame]) for word in pair]
        nodes.append(f'            Node(package="tf2_ros", executable="static_transform_publisher", arguments={words!r}),')
    unknown = "" if frames.keys() >= rig.poses.keys() else "; replace the names of their frames by those that their images name"
    return _LAUNCH.format(unknown=unknown, nodes="\n".join(nodes))
