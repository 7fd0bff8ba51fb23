"""A bag with hands as a Recording: HandPair, the images' stamps, CameraInfo, the robot's JointState, in the frame asked for."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fourdhands_core.episodes.clocks import Clock
from fourdhands_core.episodes.order import hidden, in_order
from fourdhands_core.episodes.recording import HAND_FIELDS, HAND_NUMBERS, HandRows, Recording, Rows, measured_alike
from fourdhands_core.episodes.resampling import usual_period
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rotations import matrix_from_quaternion, quaternion_from_matrix

from ..bags.camera import Options as Conversion
from ..bags.info import HAND_PAIR, pair_store
from ..bags.reading import Bag
from ..bags.topics import IMAGES, frame_topics, topics_of
from ..convert.transforms import TransformBuffer, TransformError
from .beside import image_size, read_cameras, read_marks
from .own_camera import Seen, own_images, read_intrinsics
from .robot import read_robot

CAMERA_FRAME = "camera"
"""In place of a frame's name: the camera's own."""
_WAIT = 500_000_000
"""Nanoseconds after a HandPair's recording within which the transforms of its time are recorded too."""
_LATE = "HandPair whose stamp is repeated or out of order"
_OFF_UNIT = 0.1
"""By which a quaternion's length may be off 1; what is further off is no orientation."""
_NEEDED = set(HAND_FIELDS) - {"joints_2d", "joint_confidence"}
"""Fields without whose numbers a hand is not there; of several cameras' hands there are no pixels."""


@dataclass(frozen=True)
class Chosen:
    """What of a bag is read. topic: of HandPair; empty for the only one. images: image topics; None for the hands' camera's.
    robot: topic of JointState, empty for the only one or /joint_states. frame: of positions, or CAMERA_FRAME. split: see
    Cutting."""

    topic: str = ""
    images: tuple[str, ...] | None = None
    robot: str = ""
    frame: str = CAMERA_FRAME
    split: str = ""


def hands_topic(bag: Bag, wanted: str) -> str | None:
    """The HandPair topic to read; None where there is none at all. Raises InputError where it has to be said which."""
    there = topics_of(bag.topics, HAND_PAIR)
    if wanted:
        if there and wanted not in there:
            raise InputError(f"--topic {wanted} holds no HandPair in {bag.path}; there are {', '.join(there)}")
        return wanted if there else None
    if len(there) > 1:
        raise InputError(f"{bag.path} has the hands of several cameras, {', '.join(there)}; choose one with --topic")
    return there[0] if there else None


def read_recording(
    hands: Bag, images: Bag, chosen: Chosen, folder: Path | None = None, found: Conversion | None = None
) -> Recording:
    """The recording of a bag with hands. images: the bag with the rest, the same or that which the hands were found in; found:
    then by which options. folder: on whose disk its numbers are kept meanwhile.

    Raises InputError where topics are missing or messages do not unpack, or no transform leads to the frame.
    """
    topic = hands_topic(hands, chosen.topic)
    if topic is None:
        raise InputError(f"{hands.path} holds no HandPair")
    namespace = topic.rpartition("/")[0]
    reader = _HandReader(hands, topic, images, chosen, folder)
    table, clock = reader.read()
    of_frame = namespace, reader.camera
    own = "" if reader.fused else own_images(images, *of_frame, chosen.images or ())
    asked = (own,) if chosen.images is None else sorted(chosen.images, key=lambda name: name != own)
    cameras, unusable, apart = read_cameras(images, tuple(filter(None, asked)), clock)
    robot, missed, silent = read_robot(images, chosen.robot, folder, (int(table.stamp[0]), int(table.stamp[-1])), clock)
    unusable.update(reader.unusable)
    unusable.update(missed)
    marks, unknown = read_marks(images, chosen.split, clock)
    unusable.update(unknown)
    intrinsics = np.zeros(0, np.int64), np.zeros((0, 4))
    unknown_lens: list[str] = []
    if not reader.fused:
        sizes = [(one.width, one.height) for one in cameras.values() if one.topic == own]
        size = sizes[0] if sizes else image_size(images, own) if own else None
        intrinsics, unknown_lens = read_intrinsics(images, *of_frame, own, size, reader.seen, found)
    notes = [*reader.notes(table), *apart, *silent, *(unknown_lens if cameras else ())]
    if marks is not None and clock.apart:
        words = f"{abs(clock.apart):.1f} s {'behind' if clock.apart > 0 else 'ahead of'} their recording"
        notes.append(f"the stamps of {topic} are {words}: marks, which have none, are taken to be of what was recorded then")
    if cameras and not reader.fused and own not in [camera.topic for camera in cameras.values()]:
        words = "in the pictures, which are of other cameras, neither hand.joints_2d nor camera.intrinsics hold"
        notes.append(f"{topic} is of the camera {own or reader.camera}: {words}")
        reader.facts["other_pictures"] = True
    if chosen.images is None and not cameras:
        there = topics_of(images.topics, *IMAGES)
        why = f"choose them with --images: {', '.join(there)}" if there else "`fourdhands bag` leaves them in its input"
        notes.append(f"no images beside {topic}, so there are no pictures; {why}")
    return Recording(
        name=images.path.resolve().name,
        frame=reader.frame,
        hands=table,
        cameras=cameras,
        intrinsics=intrinsics,
        robot=robot,
        marks=marks,
        facts=reader.facts | ({"fused": True} if reader.fused else {}),
        unusable={reason: count for reason, count in sorted(unusable.items()) if count},
        warnings=list(dict.fromkeys([*hands.warnings, *images.warnings, *notes])),
    )


class _Rows:
    """What is collected of the HandPairs. folder: see recording.Rows."""

    def __init__(self, folder: Path | None) -> None:
        self.stamp, self.time, self.state = array("q"), array("q"), bytearray()
        self.confidence, self.measure, self.numbers = array("f"), array("i"), Rows(HAND_NUMBERS, np.float64, folder)

    def add(
        self,
        stamp: int,
        time: int,
        state: tuple[bool, ...],
        confidence: tuple[float, ...],
        measure: list[int],
        numbers: np.ndarray,
    ) -> None:
        """time: of recording. state: valid and scaled of left and right. measure: see HandRows."""
        self.measure.extend(measure)
        self.stamp.append(stamp)
        self.time.append(time)
        self.state += bytes(state)
        self.confidence.extend(confidence)
        self.numbers.append(numbers)

    def table(self) -> tuple[HandRows, Clock]:
        """Those whose stamps rise, and their clock; to be called once."""
        stamp, time = (np.frombuffer(column, np.int64) for column in (self.stamp, self.time))
        kept = in_order(stamp, time)
        self.numbers.keep(kept)
        state = np.frombuffer(self.state, bool).reshape(-1, 4)[kept]
        confidence = np.frombuffer(self.confidence, np.float32).reshape(-1, 2)[kept] * state[:, :2]
        passed = None if len(kept) == len(stamp) else hidden(stamp, kept)
        measure = np.frombuffer(self.measure, np.int32).reshape(-1, 2)[kept]
        rows = HandRows(stamp[kept], state[:, :2], state[:, 2:], confidence, self.numbers, passed, measure)
        return rows, Clock(stamp[kept], np.maximum.accumulate(time[kept]))


class _HandReader:
    """Reads the HandPairs of one topic, moved into the frame asked for. fused: they are of several cameras, in no camera's
    frame. camera: the frame that the first of them names. seen: where they lie in their camera's images."""

    def __init__(self, bag: Bag, topic: str, frames: Bag, chosen: Chosen, folder: Path | None) -> None:
        self._bag, self._topic, self._frames, self._chosen = bag, topic, frames, chosen
        self._rows = _Rows(folder)
        self.unusable: Counter[str] = Counter()
        self.facts: dict[str, str | bool] = {}
        self.fused, self.camera, self.seen = False, "", Seen()
        self._buffer = TransformBuffer()
        self._measure = [0, 0]
        self._before: list[tuple[bool, np.ndarray, np.ndarray] | None] = [None, None]
        self._last_error = ""
        self.frame = ""

    def read(self) -> tuple[HandRows, Clock]:
        """All of them in the order of their stamps, and what clock these are of."""
        store = pair_store(self._bag.path, self._topic, self._bag.topics[self._topic])
        moved = self._chosen.frame != CAMERA_FRAME
        waiting: deque[tuple[int, Any]] = deque()
        for name, time, data in self._entries(moved):
            if name != self._topic:
                self._buffer.put(data)
            else:
                waiting.append((time, self._unpack(store, data)))
            while waiting and (not moved or waiting[0][0] + _WAIT < time):
                self._add(*waiting.popleft(), moved)
        for entry in waiting:
            self._add(*entry, moved)
        if not self._rows.stamp:
            if self._last_error:
                raise InputError(f"{self._frames.path}: --frame {self._chosen.frame}: {self._last_error}")
            raise InputError(f"{self._bag.path}: no HandPair of {self._topic} can be read")
        hands, clock = self._rows.table()
        self.unusable[_LATE] = len(self._rows.stamp) - len(hands)
        return hands, clock

    def notes(self, hands: HandRows) -> list[str]:
        """What the user should know of the hands."""
        notes = []
        late = self.unusable[_LATE] * usual_period(hands.stamp) / 1e9
        if late >= 1.0:
            words = "s of HandPairs with stamps repeated or out of order are left out, as where a clock was set back"
            notes.append(f"{late:.1f} {words}")
        if (hands.valid & ~hands.scaled).any():
            notes.append("the camera was not calibrated: distances are of an assumed field of view, not metres (hand.scaled)")
        if not self.fused and self.seen.mirrored:
            self.facts["mirrored"] = True
            words = "and positions are those of the camera as it would be unmirrored"
            notes.append(f"the images are mirrored: pictures and hand.joints_2d are as they were recorded, {words}")
        if self._last_error:
            notes.append(f"hands without a transform are left out: {self._last_error}")
        return notes

    def _entries(self, moved: bool) -> Iterator[tuple[str, int, bytes]]:
        if not moved:
            return self._bag.messages([self._topic])
        moving, static = frame_topics(self._frames.topics)
        for _, _, data in self._frames.messages([static]):  # recorded late, it holds for what was before too
            self._buffer.put(data, static=True)
        if self._frames is self._bag:
            return self._bag.messages([self._topic, moving])
        return heapq.merge(self._bag.messages([self._topic]), self._frames.messages([moving]), key=lambda entry: entry[1])

    def _unpack(self, store: Any, data: bytes) -> Any:
        try:
            return store.deserialize_cdr(data, HAND_PAIR)
        except Exception as error:  # rosbags lets out whatever it runs into
            raise InputError(
                f"{self._bag.path}: a message of {self._topic} does not unpack ({type(error).__name__}: {error}); it is damaged"
            ) from error

    def _add(self, time: int, pair: Any, moved: bool) -> None:
        """Take in a HandPair that was recorded at a time, ns. moved: into the frame of positions, by recorded transforms."""
        stamp = pair.header.stamp.sec * 1_000_000_000 + pair.header.stamp.nanosec
        camera = pair.header.frame_id.lstrip("/")
        self.camera = self.camera or camera
        pose = None
        if moved:
            try:
                pose = self._buffer.lookup(self._chosen.frame, camera, stamp)
            except TransformError as error:
                self._last_error = str(error)
                self.unusable[f"no transform to {self._chosen.frame}"] += 1
                return
        elif self.frame and self.frame != camera:
            raise InputError(
                f"{self._bag.path}: {self._topic} is of the frames {self.frame} and {camera}; choose one with --frame"
            )
        self.frame = self._chosen.frame if moved else camera
        hands = pair.left, pair.right
        facts = {"hand_model": hands[0].model, "flat_hand_mean": bool(hands[0].flat_hand_mean), "network": pair.network}
        self.facts = self.facts or facts
        if any(facts[name] != self.facts[name] for name in ("hand_model", "flat_hand_mean")):  # its numbers mean other poses
            self.unusable[f"HandPair of the hand model {facts['hand_model']}, after those of {self.facts['hand_model']}"] += 1
            return
        for hand in hands:
            if hand.valid and len(hand.joints_2d) == 2 * len(hand.joints) > 0:
                self.seen.add(partial(_points, hand), hand.joints_2d)
            self.fused = self.fused or bool(hand.valid and not len(hand.joints_2d))
        both = [_numbers(hand, pose) for hand in hands]
        valid = []
        for hand, one in zip(hands, both):
            finite = bool(np.isfinite(hand.confidence)) and all(np.isfinite(one[name]).all() for name in _NEEDED)
            self.unusable["hand with numbers that are not finite"] += int(hand.valid and not finite)
            valid.append(bool(hand.valid and finite))
        numbers = np.concatenate([one[name].ravel() for name in HAND_FIELDS for one in both])
        scaled, confidence = tuple(bool(hand.scaled) for hand in hands), tuple(float(hand.confidence) for hand in hands)
        for side in np.flatnonzero(valid).tolist():
            self._measure[side] += self._is_measured_otherwise(side, scaled[side], both[side])
        self._rows.add(stamp, time, (*valid, *scaled), confidence, self._measure, numbers)

    def _is_measured_otherwise(self, side: int, scaled: bool, numbers: dict[str, np.ndarray]) -> bool:
        """Whether a hand's distances mean something else than when it was last there."""
        now = scaled, numbers["joints"], numbers["betas"]
        before, self._before[side] = self._before[side], now
        if before is None or (before[0] == scaled and np.array_equal(before[2], now[2])):
            return False
        return not measured_alike(np.array([before[0], scaled]), np.stack([before[1], now[1]]), np.stack([before[2], now[2]]))


def _points(hand: Any) -> np.ndarray:
    """(21, 3), or as many as there are."""
    return np.array([(point.x, point.y, point.z) for point in hand.joints]).reshape(-1, 3)


def _numbers(hand: Any, pose: Any) -> dict[str, np.ndarray]:
    """The arrays of HAND_FIELDS of one Hand message, one side of them; NaN where it is not valid."""
    shapes = {name: shape[1:] for name, shape in HAND_FIELDS.items()}
    if not hand.valid:
        return {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    place, turn = hand.wrist.position, hand.wrist.orientation
    joints = _points(hand)
    wrist, orientation = np.array((place.x, place.y, place.z)), np.array((turn.x, turn.y, turn.z, turn.w))
    if not abs(np.linalg.norm(orientation) - 1.0) < _OFF_UNIT:
        orientation = np.full(4, np.nan)
    if pose is not None:
        joints, wrist = pose.apply(joints), pose.apply(wrist)
        orientation = quaternion_from_matrix(pose.rotation @ matrix_from_quaternion(orientation))
    values = {
        "joints": joints,
        "wrist": wrist,
        "orientation": orientation,
        **{name: getattr(hand, name) for name in ("joint_confidence", "joints_2d", "hand_pose", "betas")},
    }
    result = {}
    for name, shape in shapes.items():
        flat = np.asarray(values[name], np.float64).ravel()
        size = int(np.prod(shape))
        result[name] = flat.reshape(shape) if flat.size == size else np.full(shape, np.nan)
    return result
