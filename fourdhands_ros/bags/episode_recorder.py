"""Records demonstrations one by one, each a bag with its episode.json: started, stopped and judged by services.

Services of the node hands_recorder (std_srvs/Trigger): ~/start, ~/stop, ~/toggle, which does either, ~/keep, ~/discard,
~/success, ~/failure, and the topic ~/note of std_msgs/String; in a terminal the same words as lines, `note TEXT` for notes, or
KEYS (episode_keys.py). keep, discard and notes are of the episode that is recorded, or else of the last one; of none where the
last start was refused, as on a full disk, of which nothing stays. An episode that is stopped is kept until it is discarded; one
that shows nothing (`_BESIDE`) is discarded until it is kept.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from fourdhands_core.episodes.sidecar import DISCARDED, KEPT, RECORDING, Sidecar
from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.outputs import check_folder, make_folder
from fourdhands_core.streams import printable

from ..convert.images import stamp_of
from ..executable import Stop, program
from ..node.diagnostics import array_of, diagnostic_status
from ..process import make_node, node_alone
from ..pypi.message_types import HandPair, create_subscription
from .episode_keys import NOTE, TO_TYPE, WORDS, can_read, lines_typed, word_of
from .info import HAND_PAIR
from .recorded_topics import Selection
from .recorder import Recorder, first_free
from .topics import CAMERA_INFO, JOINT_STATE, TF_MESSAGE, some

_STALE = 2.0
"""Seconds without a HandPair, or without a valid hand, after which that is missing."""
_ROOM = 2 << 30
"""Bytes of the disk below which it is nearly full."""
_BESIDE = {CAMERA_INFO, TF_MESSAGE, "diagnostic_msgs/msg/DiagnosticArray"}
"""Types that come beside hands and images, and show nothing by themselves."""
_LOOK = 0.5
_STAMPS = 5
"""Messages by whose stamps it is told which stamp is now."""


class _Stamps:
    """By how much the stamps of messages are ahead of `time.monotonic`. came: when, by that, the last one did."""

    def __init__(self) -> None:
        self.came = -1e9
        self._ahead: deque[int] = deque(maxlen=_STAMPS)

    def add(self, header: Any) -> None:
        """One more has come."""
        if time.monotonic() - self.came > _STALE:
            self._ahead.clear()  # their clock may be another now
        self.came = time.monotonic()
        with contextlib.suppress(InputError):  # a stamp that is no time says of no moment, and ends no recording
            self._ahead.append(stamp_of(header) - time.monotonic_ns())

    @property
    def ahead(self) -> int | None:
        """Nanoseconds, by the last ones, of which one may be wrong; None where none comes."""
        known = time.monotonic() - self.came <= _STALE and len(self._ahead) > _STAMPS // 2
        return sorted(self._ahead)[len(self._ahead) // 2] if known else None


class Watch:
    """Looks at the HandPairs and CameraInfo of all cameras, and whether the robot's states come that are selected, while
    nothing and something is recorded, and says what is missing."""

    def __init__(self, node: Any, folder: Path, selected: Selection) -> None:
        self._node, self._folder, self._selected = node, folder, selected
        self._topics: dict[str, Any] = {}
        self._seen = -1e9
        self._robots: dict[str, dict[str, float]] = {}
        self._scaled = self._informed = True
        self._unpublished: list[str] = []
        self._hands, self._infos = _Stamps(), dict[str, _Stamps]()

    def look(self) -> None:
        """Subscribe to what has come up."""
        qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        for name, types in self._node.get_topic_names_and_types():
            if HAND_PAIR in types and name not in self._topics:
                self._topics[name] = create_subscription(self._node, HandPair, name, self._take, qos)
        selected = self._selected(self._node)
        self._informed = any(kind == CAMERA_INFO and self._node.count_publishers(name) for name, kind in selected.items())
        self._unpublished = self._selected.missing(self._node)
        for name, kind in selected.items():
            if kind == JOINT_STATE and name not in self._topics:
                joints = self._robots[name] = {"": time.monotonic()}
                self._topics[name] = self._node.create_subscription(
                    JointState, name, lambda state, joints=joints: _hear(joints, state), qos
                )
            if kind == CAMERA_INFO and name not in self._topics:
                stamps = self._infos[name] = _Stamps()
                self._topics[name] = self._node.create_subscription(
                    CameraInfo, name, lambda info, stamps=stamps: stamps.add(info.header), qos
                )

    @property
    def _ahead(self) -> int | None:
        """See _Stamps: of HandPairs, or where none comes of CameraInfo, as of images in which the hands are found later."""
        found = (one.ahead for one in (self._hands, *(one for _, one in sorted(self._infos.items()))))
        return next((ahead for ahead in found if ahead is not None), None)

    @property
    def stamped(self) -> bool:
        """Whether messages come by whose stamps `moment` goes."""
        return self._ahead is not None

    def moment(self, at: float) -> int:
        """What the stamp of a HandPair would be, ns, at a time of `time.monotonic`: by the stamps of what comes, or the clock
        where nothing does."""
        if (ahead := self._ahead) is not None:
            return round(at * 1e9) + ahead
        return self._node.get_clock().now().nanoseconds - round((time.monotonic() - at) * 1e9)

    def missing(self) -> list[str]:
        """What is not there, in words."""
        now, words = time.monotonic(), []
        if now - self._hands.came > _STALE:
            words.append("no HandPair comes: start the node or its camera")
        elif now - self._seen > _STALE:
            words.append("no hand is seen" if self._informed else "no hand is seen, and nobody publishes CameraInfo")
        elif not self._scaled:
            words.append("no CameraInfo: positions are not metres")
        for name, joints in self._robots.items():
            silent = [joint for joint, came in joints.items() if now - came > _STALE]
            if silent:
                some_come = len(silent) < len(joints)
                words.append(f"no JointState {f'of {some(silent)} ' if some_come else ''}comes on {name}")
        words += self._unpublished
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:  # removed, or its disk
            return [*words, f"the folder {self._folder} is not there ({error.strerror})"]
        if free < _ROOM:
            words.append(f"the disk is nearly full: less than {1 << (free >> 20).bit_length()} MB are left")
        return words

    def _take(self, pair: Any) -> None:
        self._hands.add(pair.header)
        hands = [hand for hand in (pair.left, pair.right) if hand.valid]
        if hands:
            self._seen, self._scaled = self._hands.came, all(hand.scaled for hand in hands)


def _hear(joints: dict[str, float], state: JointState) -> None:
    """Note when each joint was told last, of which several may each tell their own."""
    joints.pop("", None)
    joints.update(dict.fromkeys(state.name or [""], time.monotonic()))


class EpisodeRecorder:
    """Episodes into bags of a folder.

    node: for services; its executor calls what is here. folder: of the bags. task: of all of them. selection: of topics.
    countdown: seconds from start to the part that is exported, for the topics to be connected. make: makes a node for the
    recording. Raises InputError where the folder cannot be made.
    """

    def __init__(
        self, node: Any, folder: Path, task: str, selection: Selection, countdown: float, make: Callable[[], Any]
    ) -> None:
        self._node, self._folder, self._task, self._selection = node, folder, task, selection
        self._countdown, self._make = countdown, make
        self._recorder: Recorder | None = None
        self._under: Any = None
        self._sidecar, self._bag, self._refused = Sidecar(), Path(), False
        self._go: float | None = None
        self._begin, self._stamped = 0.0, False
        self._told: list[str] = []
        check_folder(folder)
        make_folder(folder)
        self.watch = Watch(node, folder, selection)
        for word in WORDS:
            node.create_service(Trigger, f"~/{word}", lambda _, response, word=word: self._answer(word, response))
        node.create_subscription(String, "~/note", lambda message: self.try_to(NOTE, message.data), 10)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)

    @property
    def recording(self) -> bool:
        """Whether an episode is being recorded."""
        return self._recorder is not None

    def do(self, word: str, text: str = "") -> str:
        """One of WORDS, or a note. Returns what was done, in words. Raises InputError where that means nothing now."""
        if word == "toggle":
            word = "stop" if self.recording else "start"
        if word == "start":
            return self._start()
        if word == "stop":
            return self._stop()
        if word not in (*WORDS, NOTE):
            raise InputError(f"{word!r} means nothing here; {TO_TYPE}")
        if not self._bag.name:
            why = "the last start was refused" if self._refused else "no episode has been recorded yet"
            raise InputError(f"{word}: {why}; start one" + (", or see `fourdhands episodes relabel`" if self._refused else ""))
        if word in ("keep", "discard"):
            state = DISCARDED if word == "discard" else KEPT
            if self._recorder is not None:
                self._sidecar.state = state  # also where the disk is full
                return self._stop()
            self._sidecar.state = state
        elif word == NOTE:
            self._sidecar.notes.append(text)
        else:
            self._sidecar.outcome = word
        self._sidecar.write(self._bag)
        return f"{self._bag.name}: {self._sidecar.state}, {self._sidecar.outcome or 'outcome not said'}"

    def tick(self) -> None:
        """Look for what is missing, count down, tell. Raises InputError where the recording was stopped, as by a full disk."""
        self.watch.look()
        missing = self.watch.missing()
        logger = self._node.get_logger()
        if missing != self._told:
            for words in missing:
                if words not in self._told:
                    logger.warning(words)
            if self._told and not missing:
                logger.info("everything is there again")
            self._told = missing
        if self._recorder is not None:
            self._recorder.check()
            if self._go is not None and time.monotonic() >= self._go:
                self._begin, self._stamped, self._go = time.monotonic(), False, None
                self._sidecar.span = (self._first(), None)
                self._sidecar.write(self._bag)
                logger.info(f"{self._bag.name}: go")
            elif self._sidecar.span and not self._stamped and self.watch.stamped:
                self._sidecar.span = (self._first(), None)
                self._sidecar.write(self._bag)
            new = [words for words in missing if words not in self._sidecar.missing]
            if new and self._go is None:
                self._sidecar.missing += new
                self._sidecar.write(self._bag)
        state = "counting down" if self._go is not None else "recording" if self._recorder is not None else "waiting"
        level = DiagnosticStatus.WARN if missing else DiagnosticStatus.OK
        status = diagnostic_status("hands_recorder", str(self._folder), level, "; ".join(missing) or state, {"state": state})
        self._diagnostics.publish(array_of(status))

    def _first(self) -> int:
        """The stamp from which on is exported what is recorded: by what comes, or by the clock until something does, as where
        the recorder is started before what it records, whose clock may be another."""
        self._stamped = self._stamped or self.watch.stamped
        return self.watch.moment(self._begin)

    def close(self) -> None:
        """Stop what is recorded."""
        if self._recorder is not None:
            self._stop()

    def _answer(self, word: str, response: Any) -> Any:
        response.message, response.success = self.try_to(word)
        return response

    def try_to(self, word: str, text: str = "") -> tuple[str, bool]:
        """As `do`, whose words are told, and never raises what a user can cause. Returns the words, and whether it was done."""
        try:
            words = self.do(word, text)
        except (FourDHandsError, OSError) as error:
            words = printable(str(error))
            self._node.get_logger().warning(words)
            return words, False
        self._node.get_logger().info(words)
        return words, True

    def _start(self) -> str:
        if self._recorder is not None:
            raise InputError(f"start: {self._bag.name} is being recorded; stop it first")
        taken = [int(path.name[8:]) for path in self._folder.glob("episode_*") if path.name[8:].isdigit()]
        names = (self._folder / f"episode_{number:06}" for number in itertools.count(max(taken, default=-1) + 1))
        # Until it is there: what is said of an episode that was refused must not be said of the one before.
        self._bag, self._sidecar, self._refused = Path(), Sidecar(task=self._task, state=RECORDING), True
        under = self._make()
        try:
            bag, recorder = first_free(names, partial(Recorder, under, selection=self._selection, memory=0))
            try:
                self._sidecar.write(bag)
            except InputError:
                with contextlib.suppress(InputError):
                    recorder.close()
                shutil.rmtree(bag, ignore_errors=True)
                raise
        except InputError:
            under.destroy_node()
            raise
        self._bag, self._under, self._recorder, self._refused = bag, under, recorder, False
        self._go = time.monotonic() + self._countdown
        missing = self.watch.missing()
        return f"{self._bag.name}: go in {self._countdown:g} s" + (f"; missing: {'; '.join(missing)}" if missing else "")

    def _stop(self) -> str:
        if self._recorder is None:
            raise InputError("stop: nothing is being recorded; start an episode")
        recorder, self._recorder = self._recorder, None
        begin = self._sidecar.span[0] if self._sidecar.span else None
        if begin is not None:
            begin = begin if self._stamped or not self.watch.stamped else self._first()
            self._sidecar.span = (begin, max(self.watch.moment(time.monotonic()), begin + 1))
        elif self._go is not None and self._sidecar.state == RECORDING:
            self._sidecar.state = DISCARDED  # stopped before its beginning
        self._go = None
        try:
            recorder.close()
        finally:
            empty = recorder.types <= _BESIDE
            if empty:
                self._sidecar.state = DISCARDED
            elif self._sidecar.state == RECORDING:
                self._sidecar.state = KEPT
            try:
                self._sidecar.write(self._bag)
            finally:
                self._under.destroy_node()  # last: Fast DDS may fail where it leaves what a killed process wrote to
        counts = ", ".join(f"{topic} {count}" for topic, count in sorted(recorder.counts.items())) or "no message"
        why = ", as neither hands nor images came" if empty else ""
        return f"{self._bag.name}: {self._sidecar.state}{why}; {counts}"


def record_episodes(folder: Path, task: str, selection: Selection, countdown: float, stop: Stop) -> int:
    """Record until stopped. Returns the exit status: 0, or 2 where the disk is full or the folder cannot be written."""
    with node_alone("hands_recorder") as node:
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        status, looked = 0, 0.0
        lines = lines_typed() if can_read() else None
        recorder = None
        try:
            make = partial(make_node, rclpy.create_node, "hands_episode", enable_rosout=False)
            recorder = EpisodeRecorder(node, folder, task, selection, countdown, make)
            node.get_logger().info(printable(f"episodes into {folder}: {TO_TYPE if lines else _keys_elsewhere(node)}"))
            while not stop.is_set():
                executor.spin_once(timeout_sec=0.05)
                while lines and not lines.empty():
                    if (line := lines.get()) is not None:
                        recorder.try_to(*word_of(line))
                if time.monotonic() - looked > _LOOK:
                    looked = time.monotonic()
                    recorder.tick()
        except (InputError, OSError) as error:
            kept = "; the episode is kept with what came before" if recorder is not None and recorder.recording else ""
            node.get_logger().error(printable(f"{error}{kept}"))
            status = 2
        finally:
            try:
                if recorder is not None:
                    recorder.close()
            except (InputError, OSError) as error:
                if not status:
                    node.get_logger().error(printable(str(error)))
                status = 2
    return status


def _keys_elsewhere(node: Any) -> str:
    """How to record where there is no keyboard, as under `ros2 launch`."""
    name, space = program("recorder"), node.get_namespace()
    command = (name if name.startswith("python") else f"ros2 run fourdhands_ros {name}") + " --keys"
    command += "" if space == "/" else f" --ros-args -r __ns:={space}"
    return f"no keyboard here; run `{command}` in a terminal, or call the services of {node.get_fully_qualified_name()}"
