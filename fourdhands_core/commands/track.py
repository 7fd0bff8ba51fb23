"""`fourdhands track`: both hands through a video."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from . import (
    DEFAULT_FOV,
    Commands,
    add_command,
    add_lens,
    add_settings,
    add_shape,
    check_out,
    lens_of,
    path,
    refuse_options,
    tracker_settings,
)

if TYPE_CHECKING:
    from ..media.track_video import TrackSummary
    from ..media.video import VideoReader
    from ..pipeline.tracker import HandPairTracker


def add(commands: Commands) -> None:
    """Its arguments."""
    command = add_command(commands, "track", track, "track both hands through a video: hands.npz and overlay.mp4")
    command.add_argument(
        "video", metavar="VIDEO", help="video file, folder of images (taken for 30 a second), or index of a camera"
    )
    command.add_argument("others", nargs="*", metavar="VIDEO", help="with --cameras, those of the other cameras")
    command.add_argument(
        "--cameras",
        type=path,
        metavar="FILE",
        help="where the cameras of several videos stand and what their lenses are, from `fourdhands calibrate-cameras`: one "
        "estimate of all; videos that are called as the cameras are theirs, else in the file's order",
    )
    command.add_argument("--out", type=path, required=True, metavar="DIR", help="folder for the results")
    add_lens(command)
    command.add_argument(
        "--rectified",
        action="store_true",
        help="the images are rectified: FILE's projection_matrix and no distortion holds for them",
    )
    command.add_argument("--mesh", action="store_true", help="draw the meshes on the overlay too")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    add_shape(command)
    add_settings(command, "mirrored", "mirrored_cameras", "lookahead")


def track(args: argparse.Namespace) -> int:
    """Track the hands through a video, or through those of several cameras."""
    if args.cameras:
        return _track_cameras(args)
    if args.others:
        raise InputError(
            f"{1 + len(args.others)} videos were given; say where their cameras stand with --cameras FILE, or give one"
        )
    refuse_options(args, ["mirrored_cameras"], "track of one camera")
    from ..media.sources import camera_index
    from ..media.video import VideoReader

    # A file that cannot be read is told before the models are loaded; a camera's images would grow old meanwhile.
    summary = track_one(args, args.video if camera_index(args.video) is not None else VideoReader(args.video), args.mesh)
    print(f"{summary}\nwritten to {args.out}: hands.npz, overlay.mp4, contact_sheet.png")
    return 128 + summary.ended_by if summary.ended_by else 0


def track_one(args: argparse.Namespace, video: VideoReader | str, mesh: bool = False) -> TrackSummary:
    """Track the hands through one video, or a camera by its index, into the folder args.out."""
    from ..media.track_video import check_results, track_video

    inputs = args.weights, args.hand_model, args.hand_model_left, args.hand_shape, args.intrinsics
    check_results(args.out, getattr(video, "files", ()), *inputs)
    cameras = lens_of(args)
    with closing(_tracker(args)) as tracker:
        return track_video(video, args.out, tracker, cameras, mesh=mesh, progress=not args.quiet)


def _tracker(args: argparse.Namespace, measured: bool = False) -> HandPairTracker:
    """That of the arguments, which knows the person's hand shape where they name it. measured: see tracker_with_shape."""
    from ..pipeline.shape_calibration import tracker_with_shape

    return tracker_with_shape(tracker_settings(args), args.hand_shape, measured)


def _track_cameras(args: argparse.Namespace) -> int:
    """Track the hands through the videos of several cameras, as one."""
    from ..fusion.rig import load_rig
    from ..geometry.camera_source import CameraSource
    from ..media.track_cameras import CameraVideo, outputs, track_cameras

    refuse_options(args, ("mesh",), "track --cameras")
    rig = load_rig(args.cameras)
    paths = [Path(video) for video in (args.video, *args.others)]
    names = [file.stem for file in paths]
    named = rig.poses.keys() & set(names)
    if len(named) < len(names):
        if named or len(rig.poses) != len(names):
            raise InputError(
                f"{args.cameras} names {len(rig.poses)} cameras, {', '.join(rig.poses)}, and the videos are called "
                f"{', '.join(names)}; give videos that are called as the cameras, or one of each, all called otherwise, in "
                "that order"
            )
        names = list(rig.poses)
    lenses = [lens.get("intrinsics") for lens in rig.lenses.values()]
    check_out(args, outputs(args.out, names), *paths, args.cameras, *lenses)
    videos = []
    for name, file in zip(names, paths):
        lens = rig.lenses.get(name, {})
        intrinsics = args.intrinsics or lens.get("intrinsics")
        fov = None if intrinsics else args.fov or lens.get("fov")
        source = CameraSource(
            DEFAULT_FOV, fov=fov, intrinsics=intrinsics, rectified=args.rectified, unknown="no lens was given"
        )
        videos.append(CameraVideo(name, file, source))
    with closing(_tracker(args, measured=True)) as tracker:
        summary = track_cameras(videos, rig, args.out, tracker, progress=not args.quiet)
    print(f"{summary}\nwritten to {args.out}: hands.npz in {rig.frame()}, and each camera's own")
    return 0
