"""A raw video as a recording: hands are found in its frames, which are its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from rclpy.qos import QoSProfile

from fourdhands_core.episodes.recording import Camera, Progress, Recording
from fourdhands_core.errors import InputError
from fourdhands_core.files import kind_of
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.session import Counts, HandSession, Notes, loaded
from fourdhands_core.pipeline.shape_calibration import tracker_with_shape
from fourdhands_core.remote import Place

from ..bags.depth import AUTO, NONE
from ..bags.info import HAND_PAIR
from ..bags.messages import HandMessages
from ..bags.reading import Bag
from ..bags.recorder import bag_qos
from ..bags.writing import BagWriter
from ..pypi.message_types import typestore
from .options import Options
from .source import CAMERA_FRAME, read_recording

FRAME, NAME = "camera_optical_frame", "observation.images.camera"
_TOPIC = "/hands"
_BEGINS = 1_000_000_000
"""Stamp of the first frame, ns: what says 0 is taken for not set."""


def is_video(path: Place) -> bool:
    """Whether it is a video file of this machine."""
    return isinstance(path, Path) and kind_of(path)[0] == "a video"


def read_video(source: Path, scratch: Path, options: Options, progress: Progress) -> Recording:
    """Find the hands in a video. scratch: of a bag to keep them in meanwhile, not there yet; its folder is that of the numbers.

    Raises InputError where it cannot be read, or something is asked of it that only bags have.
    """
    chosen, conversion = options.chosen, options.conversion
    _refuse_bags_options(source, options)
    cameras = CameraSource(
        conversion.parameters.default_fov,
        fov=conversion.fov,
        intrinsics=conversion.intrinsics,
        rectified=conversion.parameters.rectified == "true",
        unknown=f"neither --fov nor --intrinsics says the lens of {source.name}",
    )
    notes = Notes(lambda text: None)
    session_counts = Counts()
    stamps: list[int] = []
    with (
        VideoReader(source) as video,
        closing(tracker_with_shape(conversion.parameters.tracker_settings(), conversion.parameters.hand_shape)) as tracker,
        closing(BagWriter(scratch)) as writer,
    ):
        camera = cameras.camera_for(video.width, video.height)
        session = HandSession(tracker, cameras, session_counts, notes, conversion.parameters.reset_gap)
        messages = HandMessages(tracker.faces, conversion.parameters, "", "", markers=False)
        connection = writer.add_connection(
            _TOPIC, HAND_PAIR, typestore=typestore(), offered_qos_profiles=[bag_qos(QoSProfile(depth=10))]
        )
        published = 0

        def take(results: list) -> None:
            nonlocal published
            for estimate, _ in results:
                published += 1
                numbers = published, 0, session_counts.rejected
                for topic, _, data in messages.encode(estimate, FRAME, estimate.stamp, numbers):
                    if topic == _TOPIC:
                        writer.write(connection, estimate.stamp, data)

        for stamp, image in video:
            stamps.append(_BEGINS + stamp)
            take(session.process(loaded(image, stamps[-1])))
            progress(len(stamps), max(video.frame_count or 0, len(stamps)))
        take(session.finish())
        session.tell_unseen(source.name)
        size, missing = (video.width, video.height), video.missing
    if not published:
        raise InputError(f"no frame of {source} could be used: {session_counts.last_problem}")
    with Bag(scratch) as hands:
        recording = read_recording(hands, hands, replace(chosen, images=()), scratch.parent)
    if chosen.images is None:
        recording.cameras = {NAME: Camera(source.name, np.array(stamps, np.int64), np.arange(len(stamps)), *size)}
    if camera.calibrated:
        lens = camera.matrix[[0, 1, 0, 1], [0, 1, 2, 2]][None]
        recording.intrinsics = np.array(stamps[:1], np.int64), lens
    if missing:
        recording.unusable["frame of the video that is damaged or missing"] = missing
    recording.unusable |= {f"frame refused ({reason})": count for reason, count in session_counts.refused.items()}
    recording.warnings = [*recording.warnings, *notes.kept]
    return recording


def _refuse_bags_options(source: Path, options: Options) -> None:
    chosen, conversion = options.chosen, options.conversion
    given = {
        "topic": chosen.topic,
        "robot": chosen.robot,
        "frame": chosen.frame if chosen.frame != CAMERA_FRAME else "",
        "split": chosen.split if chosen.split.startswith("topic:") else "",
        "images": (chosen.images or ("",))[0],
        "camera-info": conversion.camera_info,
        "depth": conversion.depth if conversion.depth not in (AUTO, NONE) else "",
        "mirrored-cameras": " ".join(conversion.parameters.mirrored_cameras),
    }
    for option, value in given.items():
        if value:
            raise InputError(f"--{option} {value}: {source} is a video, which has neither topics nor frames; leave it out")


def frames_of(source: Path, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """The frames (H, W, 3) uint8 RGB of these places, rising."""
    wanted = map(int, numbers)
    following = next(wanted, None)
    with VideoReader(source) as video:
        for number, (_, image) in enumerate(video):
            if following is None:
                return
            if number == following:
                following = next(wanted, None)
                yield image
