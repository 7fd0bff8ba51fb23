"""`fourdhands track`: both hands through a video."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import EXIT_INTERRUPTED, add_command, add_models, keep_inputs, tracker_settings


def add(commands) -> None:
    """Its arguments."""
    command = add_command(commands, "track", track, "track both hands through a video: hands.npz and overlay.mp4")
    command.add_argument(
        "video", metavar="VIDEO", help="video file, folder of images (taken for 30 a second), or index of a camera"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    lens = command.add_mutually_exclusive_group()
    lens.add_argument("--fov", type=float, metavar="DEGREES", help="the camera's horizontal field of view")
    lens.add_argument("--intrinsics", type=Path, metavar="FILE", help="the camera's calibration, a camera_info YAML")
    command.add_argument(
        "--rectified",
        action="store_true",
        help="the images are rectified: FILE's projection_matrix and no distortion holds for them",
    )
    command.add_argument("--mirrored", action="store_true", help="the video is mirrored, as in a selfie")
    command.add_argument("--mesh", action="store_true", help="draw the meshes on the overlay too")
    command.add_argument(
        "--lookahead",
        type=int,
        default=0,
        metavar="FRAMES",
        help="frames of the future each estimate may use, 0 (as on a robot) to 60; 4 is the landmark model's window",
    )
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    add_models(command)


def track(args: argparse.Namespace) -> int:
    """Track the hands through a video."""
    from ..geometry.camera_source import CameraSource
    from ..media.sources import camera_index
    from ..media.track_video import OUTPUTS, track_video
    from ..media.video import VideoReader
    from ..pipeline.tracker import HandPairTracker

    # A file that cannot be read is told before the models are loaded; a camera's images would grow old meanwhile.
    video = args.video if camera_index(args.video) is not None else VideoReader(args.video)
    keep_inputs(args, [args.out / name for name in OUTPUTS], *getattr(video, "files", ()))
    settings = tracker_settings(args)
    cameras = CameraSource(
        settings.default_fov,
        fov=args.fov,
        intrinsics=args.intrinsics,
        rectified=args.rectified,
        unknown="neither --fov nor --intrinsics was given",
    )
    tracker = HandPairTracker(settings)
    try:
        summary = track_video(video, args.out, tracker, cameras, mesh=args.mesh, progress=not args.quiet)
    finally:
        tracker.close()
    print(f"{summary}\nwritten to {args.out}: hands.npz, overlay.mp4, contact_sheet.png")
    return EXIT_INTERRUPTED if summary.interrupted else 0
