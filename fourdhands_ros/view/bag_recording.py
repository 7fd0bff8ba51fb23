"""A bag with hands as a Recording: opened by its index, read where somebody looks; all its cameras, and robots that follow."""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from std_msgs.msg import String

from fourdhands_core.episodes.sidecar import Sidecar, read_sidecar
from fourdhands_core.errors import DatasetError
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.hand_model.assets import HandAsset
from fourdhands_core.view.moments import Course, Moment
from fourdhands_core.view.recordings import Recording
from fourdhands_core.view.robots import RobotState, parse_state
from fourdhands_core.view.sights import RobotSight, Sight

from ..bags.index import BagIndex
from ..bags.info import pair_topics
from ..bags.reading import Bag
from ..bags.topics import frame_topics
from ..convert.diagnosis import sentences
from ..convert.transforms import TransformError
from ..pypi.message_types import deserialize_ros
from .bag_camera import RecordedCamera
from .bag_frames import BagFrames
from .bag_topics import DIAGNOSTICS, STRING, camera_topics, present

_STALE = 1_000_000_000
"""Nanoseconds after which what a robot said holds no more."""


class BagRecording(Recording):
    """The HandPair topics of a bag. topic: whose rows are the course; None for the first by name. image: that one's image
    topic; None for the one beside it.

    Rows of `course` are in the order, and have the times, of recording. Raises InputError where the bag cannot be read or holds
    no hands.
    """

    def __init__(
        self, path: Path, hands: tuple[HandAsset, HandAsset], topic: str | None = None, image: str | None = None
    ) -> None:
        self.hands = hands
        self.warnings: list[str] = []
        self._bag = Bag(path)
        try:
            self._open(path, topic, image)
        except BaseException:
            self._bag.__exit__()
            raise
        self.name, self.model = f"{path} {self._main.topics.pairs}", self._main.model
        self.course = Course(self._main.times)
        self._told: tuple[int, str, tuple[str, ...]] = (-1, "", ())
        self.about, self.span = self._sidecar(path)
        self._warn()

    def moment(self, row: int) -> Moment:
        """See Recording. A message that does not unpack shows no hands, and says so."""
        moment = self._main.moment(row)
        if told := self._diagnosis(int(self.course.stamp[row]), self._main.frame):
            moment = Moment(moment.pair, moment.latency, moment.dropped, moment.rejected, (*moment.notes, *told))
        self.course.fill(row, moment)
        return moment

    def image(self, row: int) -> np.ndarray | None:
        """See Recording."""
        return self._main.image(row)

    def sights(self, row: int, shown: Mapping[str, bool]) -> list[Sight]:
        """See Recording: the main camera, and of the others the last that was recorded until then."""
        moment, main = self.moment(row), self._main
        image, cloud = self._pictures(main, row, shown)
        result = [Sight(main.topics.pairs, moment, image, cloud=cloud, fused=main.fused, model=main.model)]
        time, frame = int(self.course.stamp[row]), main.frame
        for camera in self._others:
            other = camera.row_at(time)
            if other is None:
                continue
            moment = camera.moment(other)
            image, cloud = self._pictures(camera, other, shown)
            pose, problem = self._pose(frame, camera.frame, moment.stamp, time)
            result.append(Sight(camera.topics.pairs, moment, image, False, cloud, camera.fused, pose, problem, camera.model))
        return result

    def robots(self, row: int) -> list[RobotSight]:
        """See Recording."""
        time, frame = int(self.course.stamp[row]), self._main.frame
        found = []
        for topic in self._robot_topics:
            state = self._robot_state(topic, time)
            if state is not None:
                pose, problem = self._pose(frame, state.base_frame, int(self.course.taken[row]), time)
                found.append(RobotSight(topic.removesuffix("/state"), state, pose, problem))
        return found

    def close(self) -> None:
        """See Recording."""
        self._index.close()
        self._bag.__exit__()

    def _open(self, path: Path, topic: str | None, image: str | None) -> None:
        bag = self._bag
        first, *others = pair_topics(bag, topic)
        topics = [camera_topics(bag, first, image), *(camera_topics(bag, name, None) for name in others)]
        strings = [name for name, one in bag.topics.items() if one.type == STRING and one.count and name.endswith("/state")]
        frames = frame_topics(bag.topics)
        fixed = [name for name in (DIAGNOSTICS, *frames) if present(bag, name)]
        names = dict.fromkeys([*(name for one in topics for name in one.names()), *strings, *fixed])
        self._index = BagIndex(bag, list(names))
        self._main, *self._others = [RecordedCamera(bag, self._index, one) for one in topics]
        self._frames = BagFrames(self._index, *frames)
        self._robot_topics = [name for name in sorted(strings) if self._robot_state_of(name, 0) is not None]

    def _warn(self) -> None:
        """What is to be said of the bag as a whole."""
        self.warnings += self._bag.warnings
        for camera in (self._main, *self._others):
            self.warnings += camera.warnings
        if not self._main.topics.image and not self._main.fused:
            self.warnings.append("no images beside the hands in this bag")

    def _sidecar(self, path: Path) -> tuple[list[str], tuple[int, int] | None]:
        """What is said of a recorded episode beside its messages, and the part of it that is exported."""
        try:
            sidecar = read_sidecar(path)
        except DatasetError as error:
            self.warnings.append(str(error))
            return [], None
        return ([], None) if sidecar is None else (_sidecar_words(sidecar), self._span(sidecar))

    def _span(self, sidecar: Sidecar) -> tuple[int, int] | None:
        """Stamps are those of images: on the time line they are where the messages with these were recorded, which may be at
        another pace, as while a bag is played slower."""
        if not len(self.course) or (sidecar.span is None and sidecar.trim is None):
            return None
        first = self._main.stamp(0)
        begin, end = first, 2**62
        if sidecar.span is not None:
            begin, end = sidecar.span[0], sidecar.span[1] or end
        if sidecar.trim is not None:
            begin, end = max(begin, first + round(sidecar.trim[0] * 1e9)), min(end, first + round(sidecar.trim[1] * 1e9))
        rows = range(len(self.course))
        low, high = bisect_left(rows, begin, key=self._main.stamp), bisect_right(rows, end, key=self._main.stamp) - 1
        return int(self.course.stamp[min(low, rows[-1])]), int(self.course.stamp[max(high, 0)])

    def _pictures(self, camera: RecordedCamera, row: int, shown: Mapping[str, bool]):
        image = camera.image(row) if shown["Image"] or (shown["Depth cloud"] and camera.topics.depth) else None
        cloud = camera.cloud(row, image) if shown["Depth cloud"] else None
        return image if shown["Image"] else None, cloud

    def _pose(self, target: str, source: str, stamp: int, time: int) -> tuple[Rigid | None, str]:
        if not source or not target:
            return None, "its messages name no frame"
        try:
            return self._frames.lookup(target, source, stamp, time), ""
        except TransformError as error:
            return None, str(error)

    def _robot_state(self, topic: str, time: int) -> RobotState | None:
        times = self._index.times[topic]
        number = int(np.searchsorted(times, time, "right")) - 1
        return self._robot_state_of(topic, number) if number >= 0 and time - times[number] < _STALE else None

    def _robot_state_of(self, topic: str, number: int) -> RobotState | None:
        with contextlib.suppress(Exception):  # damaged: it is not shown
            return parse_state(deserialize_ros(self._index.read(topic, number), String).data)
        return None

    def _diagnosis(self, time: int, frame_id: str) -> tuple[str, ...]:
        """What the node told last before a time."""
        if DIAGNOSTICS not in self._index.times:
            return ()
        number = int(np.searchsorted(self._index.times[DIAGNOSTICS], time, "right")) - 1
        if number >= 0 and self._told[:2] != (number, frame_id):
            try:
                array = deserialize_ros(self._index.read(DIAGNOSTICS, number), DiagnosticArray)
                self._told = number, frame_id, sentences(array, frame_id)
            except Exception:  # damaged: it only explains
                self._told = number, frame_id, ()
        return self._told[2] if number >= 0 else ()


def _sidecar_words(sidecar: Sidecar) -> list[str]:
    lines = [f"Task: {sidecar.task}."] if sidecar.task else []
    lines.append(f"Episode: {sidecar.state}, {sidecar.outcome or 'outcome not said'}.")
    if sidecar.trim is not None:
        lines.append(f"Trimmed to {sidecar.trim[0]:.2f} to {sidecar.trim[1]:.2f} s.")
    lines += [f"Note: {note}" for note in sidecar.notes]
    return lines + [f"Missing while recorded: {words}." for words in sidecar.missing]
