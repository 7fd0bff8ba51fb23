"""Records topics of the ROS graph into a rosbag2 mcap, with rosbags: ROS 2 from PyPI has no rosbag2.

`python -m fourdhands_ros.recorder` (in a workspace `hands_recorder`) records what belongs to the hands until SIGINT or
SIGTERM. After `kill -9` or a loss of power all but the last second is in the bag, without an index: `fourdhands bag` and
the player read it as it is, rosbag2 after `ros2 bag reindex`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

from fourdhands_core.commands import path
from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.outputs import check_folder
from fourdhands_core.streams import printable, utf8

from ..executable import Stop, end, parser_of
from ..node.diagnostics import array_of, diagnostic_status
from ..process import node_alone, parse, run_ros
from ..pypi.message_types import message_type, typestore
from .recorded_topics import IMAGES, RecordedTopic, Selection
from .writing import BagWriter, NameTaken, WriteQueue

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.qos import QoSProfile

_FOREVER = QosTime(9223372036, 854775807)
_DIAGNOSTICS_PERIOD = 0.5
_DISCOVERY = 3.0
"""Seconds for the graph to be known."""
_CACHE = 1 << 29
"""Bytes that rosbag2 holds while the disk is busy."""
_SILENCE = 5.0
"""Seconds without a message after which that is said."""
_BACK = 100_000_000
"""Nanoseconds by which messages of a topic may overtake each other; more, and their clock was set back."""
_ADVICE = "start the node or the camera, in this ROS_DOMAIN_ID, or name other topics with --topic"
_POLL, _SPIN, _LOOK = 0.005, 0.1, 1.0
"""Seconds between two looks for messages, for new topics and requests to the node, and for what is lost."""


class Recorder:
    """Subscribes to topics as somebody publishes them, and writes each message as it arrived.

    selection: gives the topics; None for every one.
    Messages are never deserialised, and no executor wakes for each: all that came is taken at once. Each is stored with the
    time at which DDS received it; with use_sim_time with that of /clock, and nothing before there is one. Where a clock is set
    back, times go on from the last: readers sort by them, and would mix what came before with what came after. A topic whose
    type is not known is named in `skipped`. What does not arrive, or comes faster than the disk takes it, is counted: `lost`.
    Up to `memory` bytes are packed and written at the end only. With 0 nothing older than a second is lost, whatever
    happens, and large messages are not packed.
    """

    def __init__(self, node: Node, path: str | Path, selection: Selection | None = None, memory: int = 2**30) -> None:
        self._node, self._selection = node, selection or Selection(everything=True)
        self._queue = WriteQueue(BagWriter(path, pack=memory > 0), memory)
        self._topics: dict[str, RecordedTopic] = {}
        self.skipped: dict[str, str] = {}
        self._error: Exception | None = None
        self._closing = False
        self._simulated = node.get_parameter("use_sim_time").value
        self._ahead = 0
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name="recorder", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """Messages by topic that are in the bag, or will be."""
        return {name: topic.written for name, topic in tuple(self._topics.items())}

    @property
    def types(self) -> set[str]:
        """Of the messages that are in the bag, or will be."""
        return {topic.type_name for topic in tuple(self._topics.values()) if topic.written}

    @property
    def lost(self) -> dict[str, str]:
        """In words, how many messages are missing, by topic; only of topics where any are."""
        losses = {name: topic.losses for name, topic in tuple(self._topics.items())}
        return {name: words for name, words in losses.items() if words}

    def check(self) -> None:
        """Raise what has stopped the recording, such as a full disk."""
        error = self._error or self._queue.error
        if error is not None:
            words = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
            raise InputError(f"the recording stopped: {words}") from error

    def publishers(self, topic: str) -> int:
        """How many publishers a recorded topic is connected to; 0 before it is recorded."""
        recorded = self._topics.get(self._node.resolve_topic_name(topic))
        return recorded.publishers if recorded else 0

    def close(self) -> None:
        """Stop and complete the bag. Raises as `check` does, the bag being complete with what came before."""
        self._closing = True
        self._thread.join()
        self._executor.remove_node(self._node)
        for topic in self._topics.values():
            topic.destroy()
        self._queue.close()
        self.check()

    def _spin(self) -> None:
        spun = looked = 0.0
        try:
            while not self._closing:
                self._take()
                now = time.monotonic()
                if self._simulated or now - spun > _SPIN:
                    self._executor.spin_once(timeout_sec=0)
                if now - spun > _SPIN:
                    spun = now
                    self._discover()
                if now - looked > _LOOK:
                    looked = now
                    for topic in self._topics.values():
                        topic.look()
                time.sleep(_POLL)
            self._take()
            for topic in self._topics.values():
                topic.look(last=True)
        except Exception as error:  # in a thread it would otherwise end in silence
            self._error = error

    def _take(self) -> None:
        simulated = self._node.get_clock().now().nanoseconds if self._simulated else None
        if simulated == 0:
            return
        for topic in tuple(self._topics.values()):
            for data, at in topic.take():
                if self._queue.put(topic.connection, self._after(topic, simulated or at or time.time_ns()), data):
                    topic.written += 1
                else:
                    topic.refused += 1

    def _after(self, topic: RecordedTopic, at: int) -> int:
        """The time to store: `at`, or where the clock was set back, after what came before."""
        if (back := topic.newest - at - self._ahead) > _BACK:
            self._ahead += back + 1
            self._node.get_logger().warning(
                f"the clock went back by {back / 1e9:.3f} s: what comes now is recorded after what came before, with its own "
                "stamps",
                throttle_duration_sec=_SILENCE,
            )
        topic.newest = at + self._ahead
        return topic.newest

    def _discover(self) -> None:
        for name, type_name in self._selection(self._node).items():
            if name in self._topics or name in self.skipped:
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            own = all(
                (info.node_name, info.node_namespace) == (self._node.get_name(), self._node.get_namespace())
                for info in publishers
            )
            if not publishers or (own and not self._topics):  # what the recorder tells of itself is nothing to record by itself
                continue
            offers = [info.qos_profile for info in publishers]
            try:
                kind = message_type(type_name)
                connection = self._queue.add_connection(
                    name, type_name, typestore=typestore(), offered_qos_profiles=[bag_qos(offer) for offer in offers]
                )
                self._topics[name] = RecordedTopic(self._node, kind, type_name, name, connection)
                for topic in self._topics.values():
                    topic.beside(self._topics)
            except (KeyError, ImportError, AttributeError, FourDHandsError) as error:
                self.skipped[name] = f"type {type_name} is not known ({type(error).__name__})"


def bag_qos(offered: QoSProfile) -> Qos:
    """A publisher's QoS as the bag keeps it; what discovery does not tell is what rosbag2 itself would write."""
    history = QosHistory.KEEP_LAST if offered.history == HistoryPolicy.KEEP_LAST else QosHistory.UNKNOWN
    reliable = offered.reliability == ReliabilityPolicy.RELIABLE
    latched = offered.durability == DurabilityPolicy.TRANSIENT_LOCAL
    reliability = QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    automatic = QosLiveliness.AUTOMATIC
    return Qos(history, offered.depth, reliability, durability, _FOREVER, _FOREVER, automatic, _FOREVER, False)


def recording_status(bag: Path, recorder: Recorder | None, problem: str = "") -> DiagnosticArray:
    """What is told on /diagnostics: ERROR where the recording stopped, WARN where something is not recorded."""
    counts, skipped, lost = (recorder.counts, dict(recorder.skipped), recorder.lost) if recorder else ({}, {}, {})
    level, message = DiagnosticStatus.OK, f"recording to {bag}"
    if problem:
        level, message = DiagnosticStatus.ERROR, problem
    elif skipped:
        level, message = DiagnosticStatus.WARN, "not recorded: " + ", ".join(sorted(skipped))
    elif lost:
        level, message = DiagnosticStatus.WARN, "; ".join(f"{topic}: {words}" for topic, words in sorted(lost.items()))
    elif not any(counts.values()):
        message = f"nothing has come to be recorded to {bag} yet"
    values = {
        **{topic: f"{count}, {lost[topic]}" if topic in lost else str(count) for topic, count in sorted(counts.items())},
        **skipped,
    }
    return array_of(diagnostic_status("hands_recorder", str(bag), level, message, values))


def main(args: list[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM. Returns the exit status: 0, or 2 where nothing came, the bag cannot be
    made or the disk is full."""
    parser = parser_of("recorder", __doc__)
    parser.add_argument("bag", type=path, nargs="?", help="folder to write (default: hands_ and the time)")
    parser.add_argument("--images", choices=IMAGES, default="none", help="also record images (default: none)")
    parser.add_argument("--no-markers", action="store_true", help="leave the meshes out, which the node then need not compute")
    parser.add_argument("--topic", action="append", default=[], metavar="REGEX", help="also record this; may be repeated")
    parser.add_argument(
        "--rosbag2", action="store_true", help="have `ros2 bag record` do it, without a word of what is lost on the way to it"
    )
    parser.add_argument("--episodes", type=path, metavar="DIR", help="record episodes, one by one, as bags of this folder")
    parser.add_argument("--task", type=utf8, default="", metavar="TEXT", help="what is shown in the episodes")
    parser.add_argument("--countdown", type=float, default=3.0, metavar="S", help="from the start of an episode (default: 3)")
    parser.add_argument(
        "--keys", action="store_true", help="type here what the recorder of episodes is to do that runs without a terminal"
    )
    given, command_line = parse(parser, args)
    if given.keys:
        if given.bag or given.episodes:
            parser.error("--keys is for a recorder that runs already; give neither a bag nor --episodes")
        from .episode_keys import send_keys

        return run_ros("hands_keys", parser.prog, command_line, send_keys)
    if given.episodes and (given.bag or given.rosbag2):
        parser.error("--episodes DIR names the folder of the bags; give neither a bag nor --rosbag2")
    if not 0.0 <= given.countdown <= 60.0:
        parser.error("--countdown is from 0 to 60 seconds")
    now = f"hands_{datetime.now():%Y_%m_%d-%H_%M_%S}"
    names = [given.bag] if given.bag else [Path(now), *(Path(f"{now}_{number}") for number in range(2, 100))]
    try:
        selection = Selection(given.topic, given.images, not given.no_markers)
    except re.error as error:
        parser.error(f"--topic is no regular expression: {error}")

    if given.episodes:
        from .episode_recorder import record_episodes  # which records with the Recorder of this module

        body = partial(record_episodes, given.episodes, given.task, selection, given.countdown)
    elif given.rosbag2:
        return _hand_over(names[0], selection, parser.prog, command_line)
    else:
        body = partial(_record, names, selection)
    # The bag is completed, however long that takes.
    return run_ros("hands_recorder", parser.prog, command_line, body, patience=None)


def first_free(names: Iterable[Path], make: Callable[[Path], Recorder]) -> tuple[Path, Recorder]:
    """The first name that nobody has taken, not even in this moment, and what records under it. Raises NameTaken where all are
    taken."""
    taken = NameTaken("no name is left")
    for name in names:
        try:
            return name, make(name)
        except NameTaken as error:
            taken = error
    raise taken


def _hand_over(bag: Path, selection: Selection, prog: str, command_line: list[str]) -> int:
    """Become `ros2 bag record` of the same topics; returns only where that cannot be."""
    command = []

    def look(stop: Stop) -> int:
        check_folder(bag.parent)
        if importlib.util.find_spec("rosbag2_py") is None or shutil.which("ros2") is None:
            raise InputError(
                "--rosbag2 needs `ros2 bag`, which is not installed: apt install ros-$ROS_DISTRO-ros2bag "
                "ros-$ROS_DISTRO-rosbag2-storage-mcap, or leave --rosbag2 out"
            )
        with node_alone("hands_recorder") as node:
            if not stop.wait(_DISCOVERY):
                simulated = ["--use-sim-time"] if node.get_parameter("use_sim_time").value else []
                command.extend(["ros2", "bag", "record", "--storage", "mcap", "--output", str(bag)])
                command.extend(["--max-cache-size", str(_CACHE), *simulated, *selection.for_rosbag2(node)])
        return 0

    status = run_ros("hands_recorder", prog, command_line, look)
    if command:
        sys.stdout.flush()
        os.execvp(command[0], command)
    return status


def _record(names: Sequence[Path], selection: Selection, stop: Stop) -> int:
    bag = names[0]
    with node_alone("hands_recorder") as node:
        logger, recorder = node.get_logger(), None
        diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        try:
            check_folder(bag.parent)
            bag.parent.mkdir(parents=True, exist_ok=True)
            bag, begun = first_free(names, partial(Recorder, node, selection=selection, memory=0))
            with contextlib.closing(begun) as recorder:
                logger.info(printable(f"recording to {bag}"))
                silent_until = time.monotonic() + _SILENCE
                while not stop.wait(_DIAGNOSTICS_PERIOD):
                    recorder.check()
                    diagnostics.publish(recording_status(bag, recorder))
                    if time.monotonic() > silent_until:
                        silent_until = math.inf
                        if not any(recorder.counts.values()):
                            logger.warning(f"nothing has come yet; {_ADVICE}")
                        for words in selection.missing(node):
                            logger.warning(words)
        except (InputError, OSError) as error:
            problem = printable(str(error))
            logger.error(problem)
            diagnostics.publish(recording_status(bag, recorder, problem))
            time.sleep(0.2)  # for it to leave
            return 2
    for topic, reason in recorder.skipped.items():
        logger.warning(f"{topic} was not recorded: {reason}")
    lost, counts = recorder.lost, sorted(recorder.counts.items())
    for topic, words in sorted(lost.items()):
        logger.warning(
            f"{topic}: {words}; {recorder.counts[topic]} are in the bag. A busy computer, small socket buffers and a "
            "slow disk lose images (docs/troubleshooting.md)"
        )
    if not any(count for _, count in counts):
        _remove(bag)
        logger.error(printable(f"nothing came that is recorded, and {bag} is not kept; {_ADVICE}"))
        return 2
    told = ", ".join(f"{topic} {count}" + (f" ({lost[topic]})" if topic in lost else "") for topic, count in counts)
    logger.info(printable(f"recorded to {bag}: {told}"))
    return 0


def _remove(bag: Path) -> None:
    """What a Recorder made, and nothing that somebody else has put beside it."""
    for file in (bag / "metadata.yaml", *bag.glob("*.mcap")):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        bag.rmdir()


if __name__ == "__main__":
    end(main())
