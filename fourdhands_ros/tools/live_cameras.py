"""What several running cameras see for a while: their newest images, tracked in this process."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tqdm import tqdm

from fourdhands_core.commands import DEFAULT_FOV, camera_of
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.media.track_cameras import Seen
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.session import Counts, HandSession, Notes
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.streams import warn

from ..bags.depth import COMPRESSED, usual_depth_names
from ..bags.topics import IMAGES
from ..convert.camera_info import calibration_from_info, info_topics, rectified_by_name
from ..convert.depth_buffer import DepthBuffer
from ..convert.images import ImageDecoder, stamp_of
from ..executable import Stop
from ..node.parameters import Parameters
from ..node.polling import PolledSubscription
from ..process import node_alone, run_ros
from ..pypi.message_types import deserialize_ros

_PATIENCE = 5.0
"""Seconds in which each camera's first image and CameraInfo are to come."""
_SILENT = 1.0
"""Seconds without images of a camera, at the end, that are told."""
_FEW = 5.0
"""Images a second of a camera, below which that is told."""
_PAUSE = 0.002
"""Seconds between two looks at topics on which nothing came."""


class TrackedCamera:
    """Tracks the hands in one topic's images, as they come, once its lens is known.

    name: the topic's namespace. images: so many came, the last one at `came`; hands: so many were seen in them. frame: that
    they name. with_depth: place hands by the depth images beside them, if `depth_topic` there is one; each image then waits for
    the next one, as its depth image comes later than it.
    """

    def __init__(self, node: Node, topic: str, tracker: HandPairTracker, fov: float | None, with_depth: bool = False) -> None:
        types = dict(node.get_topic_names_and_types()).get(topic, [""])
        if types[0] not in IMAGES:
            raise InputError(f"{topic} is of type {types[0]}, and no topic of images" if types[0] else _absent(node, topic))
        self.topic, self.name = topic, camera_of(topic)
        self.images, self.hands, self.came = 0, 0, time.monotonic()
        self._has_lens, self._no_lens = fov is not None, f"no CameraInfo came on {' or '.join(info_topics(topic))}"
        compressed = IMAGES[types[0]]
        self._decoder = ImageDecoder(compressed)
        self._source = CameraSource(DEFAULT_FOV, fov=fov, rectified=rectified_by_name(topic))
        self._notes = Notes(lambda text: warn(f"{self.name}: {text}"))
        counts = Counts()
        self._session = HandSession(tracker, self._source, counts, self._notes, live=True)
        if (number := node.count_publishers(topic)) > 1:
            self._notes.warning(f"{number} programs publish {topic}, and images of all are taken by turns; end all but one")
        offered = {info.qos_profile.reliability for info in node.get_publishers_info_by_topic(topic)}
        reliable = offered == {ReliabilityPolicy.RELIABLE}  # of large images best effort may deliver none
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        self._topics = [PolledSubscription(node, CompressedImage if compressed else Image, topic, qos)]
        sensor = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._topics += [PolledSubscription(node, CameraInfo, info, sensor) for info in info_topics(topic)]
        self._place = len(self._topics)
        self.depth_topic = _depth_topic(node, topic) if with_depth else ""
        self._depth: DepthBuffer | None = None
        self.frame, self._held, self._newest = "", b"", b""
        if self.depth_topic:
            self._depth = DepthBuffer(Parameters().depth_tolerance, counts, self._notes, self.depth_topic.endswith(COMPRESSED))
            self._depths = PolledSubscription(node, self._depth.message_type, self.depth_topic, sensor)

    def hear(self) -> None:
        """Keep its newest image, and what its other topics say."""
        images, *infos = self._topics
        for data, _ in self._depths.take() if self._depth else ():
            self._depth.put(data)
        for place, info in enumerate(infos):
            for data, _ in info.take():
                if place <= self._place:  # the image's own CameraInfo before that of its namespace
                    self._place = place
                    self._inform(data)
        for data, _ in images.take():
            self.images, self.came, self._newest = self.images + 1, time.monotonic(), data

    def take(self) -> list[Seen]:
        """What the newest image that was heard shows, once."""
        data, self._newest = self._newest, b""
        if not data or not self._has_lens:
            return []
        if self._depth is not None:
            data, self._held = self._held, data
            if not data:
                return []
        seen: list[Seen] = []
        for estimate, _ in self._session.process(partial(self._load, data), self._find):
            if estimate.rays is not None and estimate.camera.calibrated:
                self.hands += sum(hand.valid for hand in estimate.hands)
                seen.append((self.name, estimate, estimate.rays))
        return seen

    @property
    def uncalibrated(self) -> str:
        """Why its lens is not known, in words; else empty."""
        return self._source.problem if self._has_lens else self._no_lens

    def close(self) -> None:
        """Let go of its topics."""
        for topic in [*self._topics, *([self._depths] if self._depth else [])]:
            topic.destroy()

    def _load(self, data: bytes) -> tuple[Any, int, None]:
        header, image = self._decoder.decode(data)
        self.frame = header.frame_id
        return image, stamp_of(header), None

    def _find(self, frame: Frame) -> Any:
        size = frame.camera.width, frame.camera.height
        return None if self._depth is None else self._depth.find(frame.stamp, size, self.frame)

    def _inform(self, data: bytes) -> None:
        try:
            self._source.update(calibration_from_info(deserialize_ros(data, CameraInfo)))
            self._has_lens = True
        except Exception as error:  # rclpy's RMWError has no public name
            if not self._notes.kept:
                self._notes.warning(f"a message that is not a CameraInfo: {error}")


def _depth_topic(node: Node, image: str) -> str:
    """The topic of depth images in the view of an image topic, as drivers call it; empty where nobody publishes one."""
    names = [f"{name}{end}" for name in usual_depth_names(image) for end in ("", COMPRESSED)]
    return next((name for name in names if node.count_publishers(name)), "")


def _absent(node: Node, topic: str) -> str:
    there = sorted(name for name, types in node.get_topic_names_and_types() if types[0] in IMAGES)
    return f"no node publishes {topic}; topics of images are: {', '.join(there) or 'none'}"


def watch_topics(
    topics: Sequence[str],
    tracker: HandPairTracker,
    seconds: float,
    fov: float | None = None,
    progress: bool = True,
    with_depth: bool = False,
    frames: dict[str, str] | None = None,
) -> list[Seen]:
    """What the cameras of these image topics see, for so many seconds from when all of them deliver.

    tracker: of the first one; the others' are made of it. fov: degrees, of cameras without CameraInfo. with_depth: see
    TrackedCamera. frames: gets, by camera, the one that its images name. Raises InputError where a topic is none of images or
    none come, where two are of one namespace, or with_depth none has depth images, and KeyboardInterrupt where it is to end
    before.
    """
    seen: list[Seen] = []

    def body(stop: Stop) -> int:
        with ExitStack() as made:
            node = made.enter_context(node_alone("calibrate_cameras"))
            _wait(lambda: all(node.count_publishers(topic) for topic in topics), stop)
            cameras: list[TrackedCamera] = []
            settings = tracker.settings
            settings.check_cameras(map(camera_of, topics))
            for topic in topics:
                one = tracker if not cameras else tracker.for_another_camera()
                if one is not tracker:
                    made.callback(one.close)
                one.apply(settings.of_camera(camera_of(topic)))
                cameras.append(TrackedCamera(node, topic, one, fov, with_depth))
                made.callback(cameras[-1].close)
            if with_depth and not any(camera.depth_topic for camera in cameras):
                name = usual_depth_names(topics[0])[0]
                raise InputError(f"no node publishes depth images in a camera's view, such as {name}; --depth needs them")
            _check_names(cameras)
            seen.extend(_watch(cameras, stop, seconds, progress))
            if frames is not None:
                frames.update({camera.name: camera.frame for camera in cameras})
        return 130 if stop.is_set() else 0

    if run_ros("calibrate_cameras", "fourdhands calibrate-cameras", sys.argv[:1], body, failed=None) == 130:
        raise KeyboardInterrupt
    return seen


def _check_names(cameras: Sequence[TrackedCamera]) -> None:
    named: dict[str, str] = {}
    for camera in cameras:
        if named.setdefault(camera.name, camera.topic) != camera.topic:
            raise InputError(f"{named[camera.name]} and {camera.topic} are both of the camera {camera.name}; choose one")


def _wait(until: Any, stop: Stop) -> bool:
    ends = time.monotonic() + _PATIENCE
    while not (met := until()) and time.monotonic() < ends and not stop.wait(0.05):
        pass
    return bool(met)


def take(cameras: Sequence[TrackedCamera]) -> list[Seen]:
    """What the newest images of all cameras show. All are heard before one is tracked: on a slow computer they would be of
    other moments otherwise, and hands that move are compared at one only."""
    for camera in cameras:
        camera.hear()
    return [one for camera in cameras for one in camera.take()]


def _watch(cameras: Sequence[TrackedCamera], stop: Stop, seconds: float, progress: bool) -> list[Seen]:
    def ready() -> bool:
        take(cameras)
        return all(camera.images and not camera.uncalibrated for camera in cameras)

    if not _wait(ready, stop) and not stop.is_set():
        if silent := ", ".join(camera.topic for camera in cameras if not camera.images):
            raise InputError(f"no images came on {silent} within {_PATIENCE:.0f} s")
        camera = next(camera for camera in cameras if camera.uncalibrated)
        raise InputError(
            f"the lens of {camera.name} is not known: {camera.uncalibrated}; give --fov, or publish its CameraInfo"
        )
    seen: list[Seen] = []
    began, before = time.monotonic(), {camera.name: camera.images for camera in cameras}
    with tqdm(desc="move both hands", total=round(seconds), unit="s", disable=not progress) as bar:
        while (elapsed := time.monotonic() - began) < seconds and not stop.is_set():
            taken = take(cameras)
            seen += taken
            if int(elapsed) > bar.n:
                bar.set_postfix({camera.name: f"{camera.hands} hands" for camera in cameras}, refresh=False)
                bar.update(int(elapsed) - bar.n)
            if not taken:
                stop.wait(_PAUSE)
        bar.update(0 if stop.is_set() else bar.total - bar.n)
    for camera in cameras:
        if not stop.is_set() and (since := time.monotonic() - camera.came) > _SILENT:
            warn(f"{camera.name}: no images came for the last {since:.0f} s of {seconds:.0f}")
        elif not stop.is_set() and (rate := (camera.images - before[camera.name]) / seconds) < _FEW:
            warn(
                f"{camera.name}: {rate:.1f} images a second came or could be tracked, too few of hands that move; where this "
                "computer is slow, record a bag and give that"
            )
    return seen
