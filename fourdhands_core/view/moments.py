"""What is shown of one image, and what is plotted of all of a recording's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..hand_model.skeleton import SIDES, TIP_JOINTS
from ..pipeline.types import ABSENT, HELD, TRACKED, HandEstimate, HandPairEstimate

UNKNOWN, NOT_SEEN, SEEN, KEPT = -1, 0, 1, 2
"""Of a hand in an image, as numbers in `Course.state`: not read yet; ABSENT, TRACKED, HELD."""
_STATES = {ABSENT: NOT_SEEN, TRACKED: SEEN, HELD: KEPT}
_ROOM, _MOST_STAGES = 256, 32
_SHAPES: dict[str, tuple[tuple[int, ...], type]] = {
    "stamp": ((), np.int64),
    "taken": ((), np.int64),
    "state": ((2,), np.int8),
    "confidence": ((2,), np.float32),
    "age": ((2,), np.float32),
    "joints": ((2, 21, 3), np.float32),
    "scaled": ((2,), np.int8),
    "dropped": ((), np.int64),
    "rejected": ((), np.int64),
}


@dataclass(frozen=True, eq=False)
class Moment:
    """Both hands in one image and what else its message says.

    latency: seconds by stage, in order. dropped, rejected: images since the node's start that were replaced by newer ones,
    or refused. notes: sentences about this image, such as why it was refused.
    """

    pair: HandPairEstimate
    latency: dict[str, float] = field(default_factory=dict)
    dropped: int = 0
    rejected: int = 0
    notes: tuple[str, ...] = ()

    @property
    def stamp(self) -> int:
        """Of the image, nanoseconds."""
        return self.pair.stamp


class Course:
    """What is plotted of a recording, a row an image; rows are added, or filled in later where their number is known.
    room: rows for which there is room from the beginning.

    stamp: (N,) nanoseconds, increasing: the time line's, which of a bag is when the message was recorded. taken: (N,)
    nanoseconds, the image's own stamp, 0 where it has not been read. state: (N, 2) UNKNOWN, NOT_SEEN, SEEN or KEPT by side.
    confidence, age: (N, 2). joints: (N, 2, 21, 3) metres in the camera's optical frame, NaN where the hand is not seen.
    scaled: (N, 2) 1 where a hand's positions are metres. dropped, rejected: (N,) counts so far. stages: by name (N,) seconds of
    the stages of processing, in their order, NaN where a stage did not run.
    """

    stamp: np.ndarray
    taken: np.ndarray
    state: np.ndarray
    confidence: np.ndarray
    age: np.ndarray
    joints: np.ndarray
    scaled: np.ndarray
    dropped: np.ndarray
    rejected: np.ndarray

    def __init__(self, stamps: np.ndarray | None = None, room: int = _ROOM) -> None:
        self._columns: dict[str, np.ndarray] = {}
        self._stages: dict[str, np.ndarray] = {}
        self._count = 0
        self.read = 0
        self._grow(room if stamps is None else max(len(stamps), 1))
        if stamps is not None:
            self._count = len(stamps)
            self._columns["stamp"][: self._count] = stamps
            self._point()

    def __len__(self) -> int:
        return self._count

    @property
    def stages(self) -> dict[str, np.ndarray]:
        """See the class."""
        return {name: times[: self._count] for name, times in self._stages.items()}

    def times(self) -> np.ndarray:
        """(N,) nanoseconds by which hands move: the images' own stamps, as messages arrive unevenly; the time line's where
        those do not increase throughout, as where some have not been read."""
        return self.taken if (np.diff(self.taken) > 0).all() else self.stamp

    def add(self, moment: Moment) -> None:
        """A row at the end."""
        if self._count == len(self._columns["stamp"]):
            self._grow(2 * self._count)
        self._count += 1
        self._point()
        self.stamp[-1] = moment.stamp
        self.fill(self._count - 1, moment)

    def fill(self, row: int, moment: Moment) -> None:
        """A row whose moment has been read."""
        self.read += bool((self.state[row] == UNKNOWN).all())
        self.taken[row] = moment.stamp
        for side, hand in enumerate(moment.pair.hands):
            self.state[row, side] = _STATES[hand.state]
            self.confidence[row, side] = hand.confidence if hand.valid else np.nan
            self.age[row, side] = hand.age
            self.joints[row, side] = hand.joints if hand.valid and hand.joints is not None else np.nan
            self.scaled[row, side] = hand.valid and hand.scaled
        for name, seconds in moment.latency.items():
            if name not in self._stages and len(self._stages) < _MOST_STAGES:
                self._stages[name] = np.full(len(self._columns["stamp"]), np.nan, np.float32)
            if name in self._stages:
                self._stages[name][row] = seconds
        self.dropped[row], self.rejected[row] = moment.dropped, moment.rejected

    def _grow(self, rows: int) -> None:
        for name, (shape, kind) in _SHAPES.items():
            empty = np.nan if kind is np.float32 else UNKNOWN if name == "state" else 0
            column: np.ndarray = np.full((rows, *shape), empty, kind)
            if name in self._columns:
                column[: self._count] = self._columns[name][: self._count]
            self._columns[name] = column
        for name, times in self._stages.items():
            self._stages[name] = np.concatenate([times, np.full(rows - len(times), np.nan, np.float32)])
        self._point()

    def _point(self) -> None:
        for name, column in self._columns.items():
            setattr(self, name, column[: self._count])


def pinch(joints: np.ndarray) -> np.ndarray:
    """Metres between the tips of thumb and index finger (...,) of joints (..., 21, 3)."""
    return np.linalg.norm(joints[..., TIP_JOINTS[0], :] - joints[..., TIP_JOINTS[1], :], axis=-1)


def flexion(joints: np.ndarray) -> np.ndarray:
    """How far each finger is bent, radians (..., 5), of joints (..., 21, 3): the angles at its joints, added up.

    Thumb to little finger; 0 where wrist, joints and tip lie on a line.
    """
    fingers = joints[..., 1:, :].reshape(*joints.shape[:-2], 5, 4, 3)
    wrist = np.broadcast_to(joints[..., None, :1, :], (*fingers.shape[:-2], 1, 3))
    steps = np.diff(np.concatenate([wrist, fingers], axis=-2), axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = steps / np.linalg.norm(steps, axis=-1, keepdims=True)
        angles = np.arccos(np.clip((steps[..., 1:, :] * steps[..., :-1, :]).sum(axis=-1), -1.0, 1.0))
    return angles.sum(axis=-1)


def words(moment: Moment) -> list[str]:
    """The moment for people, a sentence a line: each hand, whether positions are metres, what was dropped and refused."""
    lines = [_hand_words(hand, cameras) for hand, cameras in zip(moment.pair.hands, moment.pair.cameras)]
    there = [hand for hand in moment.pair.hands if hand.state != ABSENT]
    if there and not all(hand.scaled for hand in there):
        lines.append("Not scaled: the camera is not calibrated, distances mean nothing.")
    elif there:
        lines.append("Scaled: positions are metres.")
    if moment.dropped or moment.rejected:
        lines.append(f"{moment.dropped} images dropped for newer ones, {moment.rejected} refused.")
    return [*lines, *moment.notes]


def _hand_words(hand: HandEstimate, cameras: Sequence[str]) -> str:
    """cameras: those that it is made of, where they are fused; from their fixed frame it is not away."""
    name = SIDES[hand.side]
    if hand.state == TRACKED:
        where = ""
        if cameras:
            where = f", made of {' and '.join(cameras)}"
        elif hand.joints is not None and hand.joints_2d is not None and hand.scaled:  # without pixels it is fused
            where = f", {np.linalg.norm(hand.joints[0]):.2f} m away"
        return f"{name} TRACKED, confidence {hand.confidence:.2f}{where}"
    if hand.state == HELD:
        return f"{name} HELD, seen {hand.age:.2f} s ago"
    return f"{name} ABSENT" + (f", seen {hand.age:.1f} s ago" if np.isfinite(hand.age) else "")
