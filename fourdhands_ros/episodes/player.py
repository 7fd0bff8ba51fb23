"""Plays a bag, whole or cut off, or a dataset's episodes: images as a camera, hands for RViz. ROS 2 from PyPI has no rosbag2.

`python -m fourdhands_ros.player BAG` (in a workspace `hands_player`) publishes the recorded messages under their own names,
with the QoS that was recorded, in their order and at their pace; a minute and more without any is passed over. They are
serialised as they were recorded, older HandPairs in today's form. Each episode of a LeRobot dataset is made a bag first, which
is removed after it was played.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock

from fourdhands_core.commands import path
from fourdhands_core.episodes.check import is_dataset
from fourdhands_core.errors import InputError
from fourdhands_core.streams import counted, printable, warn

from ..bags.camera import CAMERA_INFO, IMAGES
from ..bags.info import HAND_PAIR
from ..bags.reading import Bag
from ..bags.topics import Topic
from ..convert.encoders import split_stamp
from ..executable import Stop, end, make_room_for_images, parser_of
from ..process import node_alone, parse, run_ros
from ..pypi.message_types import message_type
from .finding import find_bags, is_bag

if TYPE_CHECKING:
    from rclpy.node import Node


_HANDS = (HAND_PAIR, "fourdhands_ros/msg/HandFaces", "visualization_msgs/msg/MarkerArray", "tf2_msgs/msg/TFMessage")
KINDS = {"images": (*IMAGES, CAMERA_INFO), "hands": _HANDS, "all": (*IMAGES, CAMERA_INFO, *_HANDS)}
"""Types of the messages that are played."""
_LATCHED = ("/tf_static", "/faces")
_CLOCK_PERIOD = 10_000_000
_GAP = 60 * 10**9
"""Nanoseconds without a message that are not waited for if longer: a clock that was set meanwhile makes years of it."""
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
    """Publishes a bag's messages of some types. node: for the publishers. clock: also publish /clock, the bag's time. made: the
    publishers of the bags before, by topic and type, which it goes on with and adds to. new: whether it made any."""

    def __init__(
        self, node: Node, bag: Bag, kinds: Iterable[str], clock: bool = False, made: dict[tuple[str, str], Any] | None = None
    ) -> None:
        made = {} if made is None else made
        before = len(made)
        self._bag, self._publishers, self._lacking = bag, {}, {}
        for name, topic in sorted(bag.topics.items()):
            if topic.type in kinds:
                self._lacking[name] = lacking(topic)
                # Latched like what the node and tf2 latch; the others reliable, which serves every subscriber.
                latched = DurabilityPolicy.TRANSIENT_LOCAL if name.endswith(_LATCHED) else DurabilityPolicy.VOLATILE
                if (name, topic.type) not in made:
                    qos = QoSProfile(depth=100, durability=latched)
                    made[name, topic.type] = node.create_publisher(message_type(topic.type), name, qos)
                self._publishers[name] = made[name, topic.type]
        if not self._publishers:
            some = "nothing of that kind" if {*kinds} < {*KINDS["all"]} else "neither images nor hands"
            what = "choose with --what" if {*kinds} < {*KINDS["all"]} else "`ros2 bag play` plays those"
            raise InputError(f"{bag.path} holds {some}, but {', '.join(sorted(bag.topics)) or 'no topic'}; {what}")
        if clock and ("/clock", "") not in made:
            made["/clock", ""] = node.create_publisher(Clock, "/clock", 10)
        self._clock = made["/clock", ""] if clock else None
        self.new = len(made) > before
        self.topics = sorted(self._publishers)

    def play(self, rate: float, stopped: Stop, warn: Callable[[str], Any]) -> int:
        """Publish everything once, `rate` times as fast as it came, or until stopped. Returns the number of messages. warn:
        takes what is not as it came."""
        first, began, ticked, newest, count = None, time.monotonic(), 0, 0, 0
        for topic, at, data in self._bag.messages(self._publishers.keys()):
            if first is None:
                first, ticked, newest = at, at - _CLOCK_PERIOD, at  # a tick before all else, of a bag that begins anew too
            if (gap := at - newest) > _GAP:
                first += gap
                silent = timedelta(seconds=round(gap / 1e9))
                warn(f"no message came for {silent} in {printable(str(self._bag.path))}; that is passed over")
            newest = max(newest, at)
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
    """Play until the end, SIGINT or SIGTERM. Returns the exit status: 0, or 2 where something cannot be played."""
    parser = parser_of("player", __doc__)
    parser.add_argument(
        "bag", type=path, help="folder or file of a rosbag2, mcap or sqlite3, a folder of such, or a LeRobot dataset"
    )
    parser.add_argument("--episode", type=int, metavar="N", help="of a folder or a dataset, from 0 (default: all in turn)")
    parser.add_argument("--what", choices=KINDS, default="all", help="images as a camera, the hands, or all of them")
    parser.add_argument("--rate", type=float, default=1.0, help="how many times as fast as recorded")
    parser.add_argument("--delay", type=float, default=1.0, help="seconds before the first message, for others to connect")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    parser.add_argument("--clock", action="store_true", help="publish /clock, for nodes with use_sim_time")
    given, command_line = parse(parser, args)
    if not given.rate > 0 or not given.delay >= 0:
        parser.error("--rate must be above 0, --delay at least 0")
    make_room_for_images(os.environ)
    return run_ros("hands_player", parser.prog, command_line, lambda stop: _play(given, stop))


def play(source: Path, episode: int | None, rate: float) -> int:
    """As `main`, for a command, which says what is wrong: raises InputError, and DatasetError."""
    given = argparse.Namespace(bag=source, episode=episode, rate=rate, what="all", delay=1.0, loop=False, clock=False)
    make_room_for_images(os.environ)
    body = partial(_play, given, say=lambda text: print(text, flush=True), warn=warn)
    return run_ros("hands_player", "fourdhands episodes play", sys.argv[:1], body, failed=None)


def _play(
    given: argparse.Namespace, stop: Stop, say: Callable[[str], Any] | None = None, warn: Callable[[str], Any] | None = None
) -> int:
    """say, warn: take what somebody should know, without which it is logged."""
    episodes, made = _episodes(given.bag, given.episode), dict[tuple[str, str], Any]()
    with node_alone("hands_player") as node:
        logger, count = node.get_logger(), 0
        say, warn = say or logger.info, warn or logger.warning
        while not stop.is_set():
            for episode in episodes:
                with contextlib.ExitStack() as opened:
                    bag = opened.enter_context(Bag(episode(opened)))
                    for warning in bag.warnings:
                        warn(printable(warning))
                    player = Player(node, bag, KINDS[given.what], given.clock, made)
                    if player.new:
                        stop.wait(given.delay)
                    whose = f" of {printable(bag.path.name)}" if len(episodes) > 1 else ""
                    say(f"playing {', '.join(player.topics)}{whose}")
                    count += player.play(given.rate, stop, warn)
                if stop.is_set():
                    break
            if not given.loop:
                stop.wait(0.2)  # for the last messages to leave
                break
        say(f"{counted(count, 'messages')} played")
    return 0


_Episode = Callable[[contextlib.ExitStack], Path]
"""Opens a bag, and says where it is until the stack is left."""


def _episodes(source: Path, number: int | None) -> list[_Episode]:
    """What is to be played, in turn. Raises InputError, or DatasetError, where there is no such episode."""
    there: list[_Episode]
    if is_dataset(source):
        from fourdhands_core.episodes.reading import Dataset

        there = [partial(_of_dataset, source, k) for k in range(len(Dataset(source).episodes))]
    elif source.is_dir() and not is_bag(source) and not (source / "metadata.yaml").exists():
        there = [partial(_as_it_is, bag) for bag in find_bags([source])]
    else:
        there = [partial(_as_it_is, source)]
    if number is None or not source.exists():  # which is told where it is opened
        return there
    if not 0 <= number < len(there):
        has = f"the episodes 0 to {len(there) - 1}" if len(there) > 1 else "one episode, 0"
        raise InputError(f"--episode {number}: {source} has {has}")
    return [there[number]]


def _as_it_is(bag: Path, opened: contextlib.ExitStack) -> Path:
    return bag


def _of_dataset(source: Path, number: int, opened: contextlib.ExitStack) -> Path:
    """An episode of a dataset as a bag, for as long as it is played."""
    from .importing import import_dataset

    folder = Path(opened.enter_context(TemporaryDirectory(prefix="fourdhands_")))
    return import_dataset(source, folder, [number], quiet=True)[0]


if __name__ == "__main__":
    end(main())
