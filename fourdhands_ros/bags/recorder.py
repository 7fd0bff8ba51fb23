"""Records topics of the ROS graph into a rosbag2 mcap, with rosbags: ROS 2 from PyPI has no rosbag2.

`python -m fourdhands_ros.bags.recorder` (in a workspace `hands_recorder`) records what belongs to the hands until SIGINT or
SIGTERM. After `kill -9` or a loss of power all but the last second is in the bag, without an index: `fourdhands bag` and
the player read it as it is, rosbag2 after `ros2 bag reindex`.
"""

from __future__ import annotations

import argparse
import re
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from fourdhands_core.errors import FourDHandsError, InputError

from .writing import BagWriter
from ..node.diagnostics import diagnostic_status
from ..executable import Stop, end, program
from ..pypi.message_types import message_type, typestore
from ..process import make_node, parse, run_ros

_FOREVER = QosTime(9223372036, 854775807)
_DIAGNOSTICS_PERIOD = 0.5
_DEPTH = 200
"""Messages a subscription holds while the recorder is busy: seconds of any topic."""

HANDS = (r"(.*/)?hands", r"(.*/)?hands/faces", r"/tf", r"/tf_static", r"(.*/)?camera_info", r"/diagnostics")
"""Topics that belong to the hands, regular expressions of whole names."""
MARKERS = r"(.*/)?hands/markers"
IMAGES = {"none": (), "raw": (r"(.*/)?image_\w+",), "compressed": (r"(.*/)?image_\w+/compressed",)}


_TELLS_RECEPTION = hasattr(Subscription, "CallbackType")
"""Whether rclpy hands a callback the time of reception too; Humble's does not."""


class Recorder:
    """Subscribes to topics as somebody publishes them, and writes each message as it arrived.

    only: regular expressions, one of which must match the whole name of a topic; empty for every topic. exclude: names.
    Messages are never deserialised. Each is stored with the time at which DDS received it. A topic is recorded with
    the reliability and durability that its publishers offer; one whose type is not known is named in `skipped`.
    Up to `memory` bytes are packed and written at the end only: for raw images that takes a tenth of a core and more,
    which would be missing from the node that is recorded. With 0 nothing older than a second is lost, whatever happens.
    """

    def __init__(self, node, path: str | Path, exclude: tuple[str, ...] = (), memory: int = 2**30,
                 only: Sequence[str] = ()):
        self._node, self._exclude, self._only = node, exclude, re.compile("|".join(f"(?:{name})" for name in only))
        self._any = not only
        self._pending, self._pending_bytes, self._memory = deque(), 0, memory
        self._writer = BagWriter(path)
        self._subscriptions = {}
        self.counts: dict[str, int] = {}
        self.skipped: dict[str, str] = {}
        self.last_arrival = 0.0
        self._error: Exception | None = None
        self._closing = False
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._timers = [node.create_timer(0.1, self._discover), node.create_timer(1.0, self._writer.keep)]
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what has stopped the recording, such as a full disk."""
        if self._error is not None:
            raise InputError(f"the recording stopped: {type(self._error).__name__}: {self._error}") from self._error

    def publishers(self, topic: str) -> int:
        """How many publishers a recorded topic is connected to; 0 before it is recorded."""
        subscription = self._subscriptions.get(self._node.resolve_topic_name(topic))
        if subscription is None:
            return 0
        count = getattr(subscription, "get_publisher_count", None)  # Humble lacks it
        return count() if count else self._node.count_publishers(subscription.topic_name)

    def close(self) -> None:
        """Stop and complete the bag. Raises as `check` does, the bag being complete with what came before."""
        self._closing = True
        self._thread.join()
        self._executor.remove_node(self._node)
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        for timer in self._timers:
            self._node.destroy_timer(timer)
        try:
            if self._error is None:
                self._write_down_to(0)
        except OSError as error:
            self._error = error
        try:
            self._writer.close()
        except OSError as error:
            self._error = self._error or error
        self.check()

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
            if topic in self._subscriptions or topic in self.skipped or topic in self._exclude or not (
                    self._any or self._only.fullmatch(topic)):
                continue
            offers = self._node.get_publishers_info_by_topic(topic)
            if not offers:
                continue
            try:
                self._record(topic, types[0], [offer.qos_profile for offer in offers])
            except (KeyError, ImportError, AttributeError, FourDHandsError) as error:
                self.skipped[topic] = f"type {types[0]} is not known ({type(error).__name__})"

    def _record(self, topic, type_name, offers):
        kind = message_type(type_name)
        connection = self._writer.add_connection(
            topic, type_name, typestore=typestore(), offered_qos_profiles=[bag_qos(offer) for offer in offers])
        self.counts[topic] = 0

        def write_received(data, info):
            self._pending.append((connection, info["received_timestamp"] or time.time_ns(), data))
            self._pending_bytes += len(data)
            self._write_down_to(self._memory)
            self.counts[topic] += 1
            self.last_arrival = time.monotonic()

        write = write_received if _TELLS_RECEPTION else lambda data: write_received(data, {"received_timestamp": 0})
        # What every publisher fulfils: a reliable subscription hears no best-effort publisher, and so on.
        reliable = all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
        latched = all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
        qos = QoSProfile(
            depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE)
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


def recording_status(bag: Path, recorder: Recorder | None, problem: str = "") -> DiagnosticArray:
    """What is told on /diagnostics: ERROR where the recording stopped, WARN where a topic cannot be recorded."""
    counts, skipped = (dict(recorder.counts), dict(recorder.skipped)) if recorder else ({}, {})
    level, message = DiagnosticStatus.OK, f"recording to {bag}"
    if problem:
        level, message = DiagnosticStatus.ERROR, problem
    elif skipped:
        level, message = DiagnosticStatus.WARN, "not recorded: " + ", ".join(sorted(skipped))
    values = {**{topic: str(count) for topic, count in sorted(counts.items())}, **skipped}
    array = DiagnosticArray(status=[diagnostic_status("hands_recorder", str(bag), level, message, values)])
    array.header.stamp.sec, array.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
    return array


def main(args: list[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM. Returns the exit status: 0, or 2 where the bag cannot be made or the disk is full."""
    parser = argparse.ArgumentParser(prog=program("bags.recorder"), description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bag", type=Path, nargs="?", help="folder to write (default: hands_ and the time)")
    parser.add_argument("--images", choices=IMAGES, default="none", help="also record images (default: none)")
    parser.add_argument("--no-markers", action="store_true",
                        help="leave the meshes out, which the node then need not compute")
    parser.add_argument("--topic", action="append", default=[], metavar="REGEX", help="also record this; may be repeated")
    given, command_line = parse(parser, args)
    bag = given.bag or Path(f"hands_{datetime.now():%Y_%m_%d-%H_%M_%S}")
    only = [*HANDS, *IMAGES[given.images], *given.topic, *([] if given.no_markers else [MARKERS])]
    try:
        re.compile("|".join(only))
    except re.error as error:
        parser.error(f"--topic is no regular expression: {error}")

    # The bag is completed, however long that takes.
    return run_ros("hands_recorder", parser.prog, command_line, lambda stop: _record(bag, only, stop), patience=None)


def _record(bag: Path, only: list[str], stop: Stop) -> int:
    node = make_node(rclpy.create_node, "hands_recorder", enable_rosout=False)
    logger, recorder = node.get_logger(), None
    diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    try:
        bag.parent.mkdir(parents=True, exist_ok=True)
        recorder = Recorder(node, bag, memory=0, only=only)
        logger.info(f"recording to {bag}")
        try:
            while not stop.wait(_DIAGNOSTICS_PERIOD):
                recorder.check()
                diagnostics.publish(recording_status(bag, recorder))
        finally:
            recorder.close()
    except (InputError, OSError) as error:
        logger.error(str(error))
        diagnostics.publish(recording_status(bag, recorder, str(error)))
        time.sleep(0.2)  # for it to leave
        return 2
    finally:
        node.destroy_node()
    for topic, reason in recorder.skipped.items():
        logger.warning(f"{topic} was not recorded: {reason}")
    logger.info(f"recorded to {bag}: " + (", ".join(f"{topic} {count}" for topic, count in sorted(recorder.counts.items()))
                                          or "no topic came up"))
    return 0


if __name__ == "__main__":
    end(main())
