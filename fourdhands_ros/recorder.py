"""Records every topic of the ROS graph into a rosbag2 mcap, with rosbags: ROS 2 from PyPI has no rosbag2."""

from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from fourdhands_core.errors import FourDHandsError, InputError

from .message_types import message_type, typestore

_FOREVER = QosTime(9223372036, 854775807)
_DEPTH = 200
"""Messages a subscription holds while the recorder is busy: seconds of any topic."""


class Recorder:
    """Subscribes to every topic that somebody publishes, as it appears, and writes each message as it arrived.

    Messages are never deserialised. Each is stored with the time at which DDS received it. A topic is recorded with
    the reliability and durability that its publisher offers; one whose type is not known is named in `skipped`.
    Up to `memory` bytes are packed and written at the end only: for raw images that takes a tenth of a core and more,
    which would be missing from the node that is recorded.
    """

    def __init__(self, node, path: str | Path, exclude: tuple[str, ...] = (), memory: int = 2**30):
        self._node, self._exclude = node, exclude
        self._pending, self._pending_bytes, self._memory = deque(), 0, memory
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)  # mcap's own, a fifth of the size
        self._writer.open()
        self._subscriptions = {}
        self.counts: dict[str, int] = {}
        self.skipped: dict[str, str] = {}
        self.last_arrival = 0.0
        self._error: Exception | None = None
        self._closing = False
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._timer = node.create_timer(0.1, self._discover)
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what has stopped the recording, such as a full disk."""
        if self._error is not None:
            raise InputError(f"the recording stopped: {type(self._error).__name__}: {self._error}") from self._error

    def publishers(self, topic: str) -> int:
        """How many publishers a recorded topic is connected to; 0 before it is recorded."""
        subscription = self._subscriptions.get(self._node.resolve_topic_name(topic))
        return subscription.get_publisher_count() if subscription else 0

    def close(self) -> None:
        """Stop and complete the bag."""
        self._closing = True
        self._thread.join()
        self._executor.remove_node(self._node)
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._node.destroy_timer(self._timer)
        self.check()
        self._write_down_to(0)
        self._writer.close()

    def _spin(self):
        try:
            while not self._closing:
                self._executor.spin_once(timeout_sec=0.1)
        except Exception as error:  # in a thread it would otherwise end in silence
            self._error = error

    def _write_down_to(self, size):
        while self._pending_bytes > size:
            connection, stamp, data = self._pending.popleft()
            self._writer.write(connection, stamp, data)
            self._pending_bytes -= len(data)

    def _discover(self):
        for topic, types in self._node.get_topic_names_and_types():
            if topic in self._subscriptions or topic in self.skipped or topic in self._exclude:
                continue
            offers = self._node.get_publishers_info_by_topic(topic)
            if not offers:
                continue
            try:
                self._record(topic, types[0], offers[0].qos_profile)
            except (KeyError, ImportError, AttributeError, FourDHandsError) as error:
                self.skipped[topic] = f"type {types[0]} is not known ({type(error).__name__})"

    def _record(self, topic, type_name, offered):
        kind = message_type(type_name)
        connection = self._writer.add_connection(
            topic, type_name, typestore=typestore(), offered_qos_profiles=[bag_qos(offered)])
        self.counts[topic] = 0

        def write(data, info):
            self._pending.append((connection, info["received_timestamp"] or time.time_ns(), data))
            self._pending_bytes += len(data)
            self._write_down_to(self._memory)
            self.counts[topic] += 1
            self.last_arrival = time.monotonic()

        qos = QoSProfile(depth=_DEPTH, reliability=offered.reliability, durability=offered.durability)
        self._subscriptions[topic] = self._node.create_subscription(kind, topic, write, qos, raw=True)


def bag_qos(offered) -> Qos:
    """A publisher's QoS as the bag keeps it; what discovery does not tell is what rosbag2 itself would write."""
    reliable = offered.reliability == ReliabilityPolicy.RELIABLE
    latched = offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
    kept = offered.history == HistoryPolicy.KEEP_LAST
    return Qos(
        QosHistory.KEEP_LAST if kept else QosHistory.UNKNOWN, offered.depth,
        QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        _FOREVER, _FOREVER, QosLiveliness.AUTOMATIC, _FOREVER, False)
