"""The topics of one camera's hands, its images and its depth, subscribed to while somebody looks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.pipeline.session import Counts, Notes
from fourdhands_core.pipeline.types import HandPairEstimate
from fourdhands_core.view.cloud import Cloud, CloudMaker
from fourdhands_core.view.lens import SeenThrough, same_camera
from fourdhands_core.view.moments import Course, Moment
from fourdhands_core.view.recordings import ASSUMED_FOV, fitted_to

from ..bags.depth import usual_depth_names
from ..convert.camera_info import info_topics, lenses_of
from ..convert.cdr import frame_in, stamp_in
from ..convert.decoders import pair_estimate, without_numbers
from ..convert.depth_buffer import DepthBuffer
from ..convert.images import ImageDecoder
from ..node.polling import PolledSubscription
from ..pypi.message_types import HandPair, deserialize, deserialize_ros

Topics = Sequence[tuple[str, Sequence[str]]]
"""Names with their types, as a node's get_topic_names_and_types has them."""
_KEPT, _KEPT_BYTES = 100, 1 << 27
"""Images that wait for their hands, which come later by all that the node takes: seconds on a busy machine."""
_QUEUED, _QUEUED_IMAGES = 5, 30
"""Messages between two calls of `take`, of which the oldest are lost; more of images, which come before their hands."""
_ROWS = 4096
"""Of the course, after which it begins anew: two minutes at 30 Hz."""
_STAMP_ENDS = 12
"""Byte of a serialised message that begins with a header: what follows is a camera's, and seldom changes."""
_TOLERANCE = 0.02
"""Seconds between the stamps of an image and its depth image."""
_CLOUD_PERIOD = 0.2
"""Seconds between two clouds, which are larger than all else."""
_LATE = 0.2
"""Seconds for which hands wait for their image, which comes later over a network: it is larger."""
_JUDGED, _FEW = 45, 0.3
"""So many shown hands tell whether images come: below this share of them with an image that is said."""


class LiveCamera:
    """The topics of one camera's hands. pairs: HandPair topic. image: its images; None for the topic beside it that somebody
    publishes, raw or compressed.

    `open` subscribes, `close` lets go. Nothing is woken by a message: `take` takes in what has come. newest: what came last,
    with its image where that came too. fused: the hands are made of several cameras' images. frame_id, model: of the last
    message, the frame and the hand model of its poses.
    """

    def __init__(self, node: Node, pairs: str, image: str | None) -> None:
        self._node, self.pairs, self._wanted = node, pairs, image
        self.images: deque[tuple[int, bytes]] = deque(maxlen=_KEPT)
        self._hands: PolledSubscription | None = None
        self._pictures: PolledSubscription | None = None
        self._infos: list[PolledSubscription] = []
        self._info = b""
        self._image_topic, self._decoder = "", ImageDecoder(False)
        self._camera: Camera | None = None
        self._lenses: list[Camera] = []  # that CameraInfo may mean, the likely one first
        self._seen = SeenThrough()
        self.waiting: deque[tuple[int | None, float, bytes]] = deque(maxlen=_KEPT)  # stamp, when it came, message
        self._imaged: deque[bool] = deque(maxlen=_JUDGED)
        self._depth: DepthBuffer | None = None
        self._depths: PolledSubscription | None = None
        self._maker: CloudMaker | None = None
        self._clouded, self._cloud = 0.0, None  # type: tuple[float, Cloud | None]
        self.fused = False
        self.course = Course(room=_ROWS)
        self.came = 0.0
        self.problems: dict[str, str] = {}
        self.frame_id, self.model = "", ""

    def open(self) -> None:
        """Subscribe to the hands; to images with `look_for_images`."""
        self._hands = self._subscribe(HandPair, self.pairs)

    def look_for_images(self, topics: Topics) -> None:
        """Subscribe to images where a topic of them has appeared, and to another where nobody publishes that any more. topics:
        all that there are."""
        if self._hands is None or (self._image_topic and self._node.count_publishers(self._image_topic)):
            return
        kinds = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
        present = {name: types[0] for name, types in topics if types[0] in kinds}
        present = {name: kind for name, kind in present.items() if self._node.count_publishers(name)}
        topic = image_beside(self.pairs, present) if self._wanted is None else self._wanted
        if topic not in present:
            return
        self._close_images()
        compressed = kinds[present[topic]] is CompressedImage
        self._image_topic, self._decoder = topic, ImageDecoder(compressed)
        self._pictures = self._subscribe(kinds[present[topic]], topic, _QUEUED_IMAGES)
        self._infos = [self._subscribe(CameraInfo, info) for info in info_topics(topic)]

    def look_for_depth(self, topics: Topics, wanted: bool) -> None:
        """Subscribe to depth images in the images' view where they are wanted and somebody publishes them; else let go."""
        if not wanted or not self._image_topic:
            self._close_depth()
            return
        if self._depths is not None:
            return
        present = {name: types[0] for name, types in topics}
        for name in usual_depth_names(self._image_topic):
            for topic, kind in (
                (name, "sensor_msgs/msg/Image"),
                (f"{name}/compressedDepth", "sensor_msgs/msg/CompressedImage"),
            ):
                if present.get(topic) == kind and self._node.count_publishers(topic):
                    compressed = kind.endswith("CompressedImage")
                    self._depth = DepthBuffer(_TOLERANCE, Counts(), Notes(), compressed)
                    self._depths = self._subscribe(CompressedImage if compressed else Image, topic)
                    return

    def cloud(self, stamp: int, image: np.ndarray | None) -> Cloud | None:
        """The depth image of a stamp as points; the last one where that is a moment ago, None where there is none."""
        now = time.monotonic()
        if self._depth is None or self._camera is None:
            return None
        size = self._camera.width, self._camera.height
        if now - self._clouded < _CLOUD_PERIOD or (depth := self._depth.find(stamp, size)) is None:
            return self._cloud if now - self._clouded < 5 * _CLOUD_PERIOD else None
        if self._maker is None or not same_camera(self._maker.camera, self._camera):
            self._maker = CloudMaker(self._camera)
        self._clouded, self._cloud = now, self._maker.make(depth, image, self._seen.mirrored)
        return self._cloud

    def close(self) -> None:
        """Let go of all topics."""
        if self._hands is not None:
            self._hands.destroy()
        self._hands = None
        self.waiting.clear()
        self._close_images()

    def take(self) -> None:
        """Take in what has come; hands first, so that their image is there too."""
        for data in _of(self._hands):
            self.came = time.monotonic()
            self.waiting.append((stamp_in(data), self.came, data))
        for info in self._infos:
            for data in _of(info):
                self._take_info(data)
        for data in _of(self._pictures):
            self._take_image(data)
        for data in _of(self._depths):
            self._take_depth(data)

    def newest(self) -> tuple[Moment, np.ndarray | None] | None:
        """The newest hands that have their image, once; without it where that does not come in time; None where none came."""
        self.take()
        images = dict(self.images)  # by stamp
        data = self._next_pair(images)
        if data is None:
            return None
        try:
            message = deserialize(data, HandPair)
            pair = pair_estimate(message, self._camera or Camera.from_fov(640, 480, ASSUMED_FOV))
            self.frame_id = str(message.header.frame_id)
            self.model = next((str(one.model) for one in (message.left, message.right) if one.valid), self.model)
            stored = images.get(pair.stamp)
            self.images = deque((one for one in self.images if one[0] > pair.stamp), _KEPT)  # hands come in their order
            image = None if stored is None else self._decoder.decode(stored)[1]
            self.problems.pop("image", None)
            notes = without_numbers(message)
            self._judge(image is not None)
        except InputError as error:
            self.problems["image"] = str(error)
            return None
        except Exception as error:  # rosbags and rclpy let out whatever they run into
            self.problems["image"] = f"a message of {self.pairs} does not unpack ({type(error).__name__}: {error})"
            return None
        self.fused = self.fused or any(pair.cameras)
        if not self.fused:
            if not self._lenses:
                self._fit_camera(pair, image)
            pair = self._seen.pair(pair, *(self._lenses or [self._camera or pair.camera]))
            self._camera = pair.camera
        latency = dict(zip(message.latency_stages, map(float, message.latency)))
        return Moment(pair, latency, int(message.frames_dropped), int(message.frames_rejected), notes), image

    def _next_pair(self, images: Mapping[int, bytes]) -> bytes | None:
        """The message to be shown of those that wait; those before it are let go."""
        imaged = [number for number, (stamp, _, _) in enumerate(self.waiting) if stamp in images]
        late = self._pictures is None or (self.waiting and time.monotonic() - self.waiting[0][1] > _LATE)
        number = imaged[-1] if imaged else len(self.waiting) - 1 if late else -1
        data = self.waiting[number][2] if number >= 0 else None
        for _ in range(number + 1):
            self.waiting.popleft()
        return data

    def _judge(self, imaged: bool) -> None:
        """Say where hands come without images. imaged: whether those that are shown have one."""
        self._imaged.append(imaged)
        came = sum(self._imaged)
        if self.fused or len(self._imaged) < _JUDGED or came > _FEW * _JUDGED:
            self.problems.pop("images", None)
        elif self._pictures is None:
            missing = (
                "none are published beside them; --image names them" if self._wanted is None else f"none on {self._wanted}"
            )
            self.problems["images"] = f"{self.pairs} without images: {missing}."
        else:
            self.problems["images"] = (
                f"{self._image_topic}: {came} of {_JUDGED} images come here: docs/troubleshooting.md, Large images."
            )

    def add(self, moment: Moment) -> None:
        """To the course."""
        if len(self.course) >= _ROWS or (len(self.course) and moment.stamp <= self.course.stamp[-1]):
            self.course = Course(room=_ROWS)  # time jumped back, as with a bag that begins anew
        self.course.add(moment)

    def _fit_camera(self, pair: HandPairEstimate, image: np.ndarray | None) -> None:
        """Take the camera by which the pair's own points fit, where no CameraInfo tells of it."""
        size = None if image is None else (image.shape[1], image.shape[0])
        if self._camera is None or size not in (None, (self._camera.width, self._camera.height)):
            self._camera = fitted_to(pair, size) or self._camera

    def _subscribe(self, kind: Any, topic: str, depth: int = _QUEUED) -> PolledSubscription:
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
        return PolledSubscription(self._node, kind, topic, qos)

    def _take_image(self, data: bytes) -> None:
        stamp = stamp_in(data)
        if stamp is None:
            return
        self.images.append((stamp, data))
        while len(self.images) > max(2, _KEPT_BYTES // len(data)):
            self.images.popleft()

    def _take_depth(self, data: bytes) -> None:
        """Only what is in the images' view, which its frame tells."""
        if self._depth is not None and frame_in(data) == self.frame_id.lstrip("/"):
            self._depth.put(data)

    def _close_images(self) -> None:
        """Let go of the images, and of what is found by their topic's name."""
        self._close_depth()
        for topic in (self._pictures, *self._infos):
            if topic is not None:
                topic.destroy()
        self._pictures, self._infos, self._image_topic, self._info = None, [], "", b""
        self.images.clear()
        self._imaged.clear()

    def _close_depth(self) -> None:
        if self._depths is not None:
            self._depths.destroy()
        self._depth, self._depths = None, None

    def _take_info(self, data: bytes) -> None:
        if data[_STAMP_ENDS:] == self._info:
            return
        self._info = data[_STAMP_ENDS:]
        try:
            lenses = lenses_of(deserialize_ros(data, CameraInfo), self._image_topic)
        except Exception as error:  # rclpy's RMWError has no public name
            self.problems["camera_info"] = f"CameraInfo: {error}"
            return
        if lenses:
            self._lenses, self._camera = lenses, lenses[0]


def _of(topic: PolledSubscription | None) -> Iterator[bytes]:
    """What has come on a topic, none where it is not open."""
    return (data for data, _ in topic.take()) if topic is not None else iter(())


def image_beside(pairs: str, present: Sequence[str] | dict[str, Any]) -> str:
    """Of the image topics that are present the one beside a HandPair topic, compressed before raw; "" where there is none."""
    beside = pairs.rpartition("/")[0] + "/"
    found = [name for name in present if name.startswith(beside + "image") and name.count("/") <= beside.count("/") + 1]
    return min(found, key=lambda name: (not name.endswith("/compressed"), len(name), name), default="")
