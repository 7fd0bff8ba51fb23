"""The node's publishers, and what goes out on each of them for one estimate."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from fourdhands_core.pipeline.types import HandPairEstimate

from ..convert.encoders import HandPairEncoder, MarkerEncoder, TransformEncoder, encode_faces
from ..lifecycle import open_publisher
from ..pypi.message_types import HandFaces, HandPair, TFMessage
from .debug_image import DebugImage
from .diagnostics import Statistics
from .parameters import Parameters
from .poses import HandPoses
from .quiet import PUBLISHES_QUIETLY

_SENT = 1000
"""Messages on /tf that are known again: more than come back between two looks at it."""


class Outputs:
    """Publishes a camera's estimates on `hands`, `/tf`, `hands/left_wrist`, `hands/right_wrist`, `hands/openxr`,
    `hands/markers`, `hands/debug_image` and its `compressed`, and once on `hands/faces`.

    node: the rclpy node. faces: for left and right, (F, 3) vertex numbers.
    camera: put before the names of topics and frames, "" or such as "left/". pictures: offer hands/debug_image. Meshes are
    laid out, and images drawn, only while somebody subscribes to them. The methods may be called from different threads.
    topic: the name of `hands`. sent: hashes of the newest messages on /tf, by which `FrameWatch` knows them again.

    Another topic is a publisher here; `bags/recorded_topics.py` records it where `HANDS` or `MARKERS` match its name, a
    converted bag has it by `written_topics` of `bags/camera.py` and `HandMessages` of `bags/messages.py`, and `KINDS` of
    `episodes/player.py` plays its type.
    """

    def __init__(
        self, node: Node, parameters: Parameters, faces: Sequence[np.ndarray], camera: str = "", pictures: bool = True
    ) -> None:
        self._camera = camera
        self._pairs = HandPairEncoder(parameters.network, parameters.hand_name)
        self._meshes = MarkerEncoder(faces)  # it knows what viewers show, whatever parameters change
        self._lock, self._hidden = threading.Lock(), False
        self.sent: deque[int] = deque(maxlen=_SENT)
        options = QoSOverridingOptions.with_default_policies()
        with ExitStack() as made:

            def publisher(kind: Any, topic: str, depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> Any:
                qos = QoSProfile(depth=depth, durability=durability)
                quiet: Any = {"qos_overriding_options": options, "event_callbacks": PUBLISHES_QUIETLY}
                return open_publisher(node, made, kind, topic, qos, **quiet)

            self.hands = publisher(HandPair, camera + "hands", 5)
            self.topic = self.hands.topic_name
            self.tf = publisher(TFMessage, "/tf", 100)
            self.markers = publisher(MarkerArray, camera + "hands/markers", 5)
            self._faces_topic = publisher(HandFaces, camera + "hands/faces", 1, DurabilityPolicy.TRANSIENT_LOCAL)
            self.poses = HandPoses(node, lambda kind, topic: publisher(kind, topic, 5), camera, parameters.target_frame, made)
            self.debug = None
            if pictures:
                plain = publisher(Image, camera + "hands/debug_image", 1)
                compressed = publisher(CompressedImage, camera + "hands/debug_image/compressed", 1)
                self.debug = DebugImage(plain, compressed, node.get_logger(), parameters.lookahead)
                made.callback(self.debug.stop)
            self._faces_topic.publish(encode_faces(faces, parameters.hand_name))
            self.apply(parameters)
            self._made = made.pop_all()

    def apply(self, parameters: Parameters) -> None:
        """Use other values of the parameters from the next estimate on."""
        prefix = parameters.frame_prefix + self._camera.lstrip("/")
        self._meshes.lifetime = parameters.marker_lifetime
        # One assignment, as `publish` may run in another thread.
        self._settings = TransformEncoder(parameters.tf, prefix), parameters.publish_vertices

    @property
    def frames(self) -> list[str]:
        """The names of the frames that are published on /tf."""
        return self._settings[0].frames

    def frames_problem(self, frame_id: str) -> str:
        """Why nothing is published on /tf of hands in images of that frame, or ""."""
        return self._settings[0].problem(frame_id)

    @property
    def wants_vertices(self) -> bool:
        """True while somebody takes meshes: `HandPairTracker.process` computes them only then."""
        return self._settings[1] or self.markers.get_subscription_count() > 0

    def keep_image(self, stamp: int, image: np.ndarray) -> None:
        """Hand over an image (H, W, 3) uint8 RGB before its estimate, for `hands/debug_image`."""
        if self.debug is not None and self.debug.wanted:
            self.debug.keep(stamp, image)

    def publish(
        self, estimate: HandPairEstimate, frame_id: str, latency: dict[str, float], received: float, statistics: Statistics
    ) -> bool:
        """Publish an estimate, the smallest messages first. False while nothing is shown, which is counted as a drop.

        frame_id: of the image. latency: seconds by stage so far; "total" since `received` (time.perf_counter) and
        "publish" (everything here) are added. statistics: of its images.
        """
        with self._lock:
            if self._hidden:
                statistics.count_dropped()
                return False
            began = time.perf_counter()
            transforms, with_vertices = self._settings
            if (data := transforms.encode(estimate, frame_id)) is not None:
                self.sent.append(hash(data))  # before: it may come back at once
                _publish(self.tf, data)
            latency["total"] = time.perf_counter() - received
            counts = statistics.published + 1, statistics.dropped, statistics.rejected
            _publish(self.hands, self._pairs.encode(estimate, frame_id, latency, counts, with_vertices))
            self.poses.publish(estimate, frame_id)
            if self.markers.get_subscription_count() > 0:
                _publish(self.markers, self._meshes.encode(estimate, frame_id))
            if self.debug is not None and self.debug.wanted:
                self.debug.show(estimate, frame_id)
            latency["publish"] = time.perf_counter() - began
            return True

    def hide(self, hidden: bool) -> None:
        """Remove what is shown from viewers and publish nothing more, until that is taken back."""
        with self._lock:
            self._hidden = hidden
            _publish(self.markers, self._meshes.clear())

    def destroy(self) -> None:
        """Remove what is shown from viewers, and the publishers."""
        _publish(self.markers, self._meshes.clear())
        self._made.close()


def _publish(publisher: Any, data: bytes | None) -> None:
    if data is not None:
        publisher.publish(data)
