"""Plays a bag, whole or cut off: its images as a camera, or its hands for RViz. ROS 2 from PyPI has no rosbag2.

`python -m fourdhands_ros.player BAG` (in a workspace `hands_player`) publishes the recorded messages, serialised as they
are (HandPairs of before in today's form), under their own names and as they were offered, in the order and at the pace in
which they came.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock

from fourdhands_core.commands import path
from fourdhands_core.errors import InputError
from fourdhands_core.streams import counted, printable

from ..convert.encoders import split_stamp
from ..executable import Stop, end, parser_of
from ..process import node_alone, parse, run_ros
from ..pypi.message_types import message_type
from .camera import CAMERA_INFO, IMAGES
from .info import HAND_PAIR
from .reading import Bag
from .topics import Topic

if TYPE_CHECKING:
    from rclpy.node import Node


_HANDS = (HAND_PAIR, "fourdhands_ros/msg/HandFaces", "visualization_msgs/msg/MarkerArray", "tf2_msgs/msg/TFMessage")
KINDS = {"images": (*IMAGES, CAMERA_INFO), "hands": _HANDS, "all": (*IMAGES, CAMERA_INFO, *_HANDS)}
"""Types of the messages that are played."""
_LATCHED = ("/tf_static", "/faces")
_CLOCK_PERIOD = 10_000_000
_LATER = "left_cameras", "right_cameras"
"""Lists at the end of HandPair that recordings of before lack."""


def lacking(topic: Topic) -> int:
    """How many lists the messages of a recording of before lack at their end."""
    if topic.type != HAND_PAIR or not topic.definition:
        return 0
    return sum(re.search(rf"^string\[\] {name}\b", topic.definition, re.MULTILINE) is None for name in _LATER)


def todays(data: bytes, lists: int) -> bytes:
    """A message in today's form: with so many empty lists at its end, whose lengths begin at a multiple of 4 bytes."""
    return bytes(data) + bytes(-len(data) % 4 + 4 * lists) if lists else data


class Player:
    """Publishes a bag's messages of some types. node: for the publishers. clock: also publish /clock, the bag's time."""

    def __init__(self, node: Node, bag: Bag, kinds: Iterable[str], clock: bool = False) -> None:
        self._bag, self._publishers, self._lacking = bag, {}, {}
        for name, topic in sorted(bag.topics.items()):
            if topic.type in kinds:
                self._lacking[name] = lacking(topic)
                # Latched like what the node and tf2 latch; the others reliable, which serves every subscriber.
                latched = DurabilityPolicy.TRANSIENT_LOCAL if name.endswith(_LATCHED) else DurabilityPolicy.VOLATILE
                self._publishers[name] = node.create_publisher(
                    message_type(topic.type), name, QoSProfile(depth=100, durability=latched)
                )
        if not self._publishers:
            raise InputError(f"{bag.path} holds nothing of that kind, but {', '.join(sorted(bag.topics))}; choose with --what")
        self._clock = node.create_publisher(Clock, "/clock", 10) if clock else None
        self.topics = sorted(self._publishers)

    def play(self, rate: float, stopped: Stop) -> int:
        """Publish everything once, `rate` times as fast as it came, or until stopped. Returns the number of messages."""
        first, began, ticked, count = None, time.monotonic(), 0, 0
        for topic, at, data in self._bag.messages(self._publishers.keys()):
            if first is None:
                first = ticked = at
            while True:
                left = (at - first) / rate / 1e9 - (time.monotonic() - began)
                now = at - max(0, round(left * rate * 1e9))
                if self._clock is not None and now - ticked >= _CLOCK_PERIOD:
                    tick = Clock()
                    tick.clock.sec, tick.clock.nanosec = split_stamp(now)
                    self._clock.publish(serialize_message(tick))
                    ticked = now
                if left <= 0 or stopped.wait(min(left, _CLOCK_PERIOD / rate / 1e9) if self._clock is not None else left):
                    break
            if stopped.is_set():
                break
            self._publishers[topic].publish(todays(data, self._lacking[topic]))
            count += 1
        return count


def main(args: list[str] | None = None) -> int:
    """Play until the end, SIGINT or SIGTERM. Returns the exit status: 0, or 2 where the bag cannot be played."""
    parser = parser_of("player", __doc__)
    parser.add_argument("bag", type=path, help="folder or file of a rosbag2, mcap or sqlite3")
    parser.add_argument("--what", choices=KINDS, default="all", help="images as a camera, the hands, or all of them")
    parser.add_argument("--rate", type=float, default=1.0, help="how many times as fast as recorded")
    parser.add_argument("--delay", type=float, default=1.0, help="seconds before the first message, for others to connect")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    parser.add_argument("--clock", action="store_true", help="publish /clock, for nodes with use_sim_time")
    given, command_line = parse(parser, args)
    if not given.rate > 0 or not given.delay >= 0:
        parser.error("--rate must be above 0, --delay at least 0")
    return run_ros("hands_player", parser.prog, command_line, lambda stop: _play(given, stop))


def _play(given: argparse.Namespace, stop: Stop) -> int:
    with node_alone("hands_player") as node, Bag(given.bag) as bag:
        logger = node.get_logger()
        for warning in bag.warnings:
            logger.warning(printable(warning))
        player = Player(node, bag, KINDS[given.what], given.clock)
        stop.wait(given.delay)
        logger.info(f"playing {', '.join(player.topics)}")
        count = 0
        while not stop.is_set():
            count += player.play(given.rate, stop)
            if not given.loop:
                stop.wait(0.2)  # for the last messages to leave
                break
        logger.info(f"{counted(count, 'messages')} played")
    return 0


if __name__ == "__main__":
    end(main())
