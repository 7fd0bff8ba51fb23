"""What a recording says of the hands and the robot in it, as arrays over its messages."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..hand_model.skeleton import RESHAPED, palm_length

HAND_FIELDS = {
    "joints": (2, 21, 3),
    "joint_confidence": (2, 21),
    "joints_2d": (2, 21, 2),
    "wrist": (2, 3),
    "orientation": (2, 4),
    "hand_pose": (2, 45),
    "betas": (2, 10),
}
"""Arrays of `Hands` that are interpolated, and the shape of each at one moment; the first axis is left, right."""


@dataclass(eq=False)
class Hands:
    """Both hands at N moments; numbers of a hand that is not valid are NaN.

    stamp: (N,) int64 nanoseconds, rising. valid, scaled: (N, 2) bool. confidence: (N, 2). The other arrays as in HAND_FIELDS:
    joints, wrist: metres in the frame of the recording. joints_2d: pixels. orientation: quaternion x, y, z, w of the wrist.
    hand_pose: axis-angle of MANO's 15 joints, radians. betas: shape.
    """

    stamp: np.ndarray
    valid: np.ndarray
    scaled: np.ndarray
    confidence: np.ndarray
    joints: np.ndarray
    joint_confidence: np.ndarray
    joints_2d: np.ndarray
    wrist: np.ndarray
    orientation: np.ndarray
    hand_pose: np.ndarray
    betas: np.ndarray

    def __len__(self) -> int:
        return len(self.stamp)

    def arrays(self) -> dict[str, np.ndarray]:
        """The interpolated arrays by name."""
        return {name: getattr(self, name) for name in HAND_FIELDS}

    def part(self, rows: slice) -> Hands:
        """Some of the moments."""
        return Hands(**{name: array[rows] for name, array in vars(self).items()})


class Rows:
    """A table (N, D) in a file without a name, so that a long recording takes no more memory than a short one.

    kind: of its numbers. folder: on whose disk the file is; None for that of temporary files.
    """

    def __init__(self, size: int, kind: type, folder: Path | None = None) -> None:
        self._size, self._count = size, 0
        self._kind: np.dtype = np.dtype(kind)
        self._kept: np.ndarray | None = None
        self._file = tempfile.TemporaryFile(dir=folder, buffering=1 << 18)

    def append(self, row: np.ndarray) -> None:
        """Add (D,) numbers."""
        self._file.write(np.ascontiguousarray(row, self._kind).tobytes())
        self._count += 1

    def keep(self, rows: np.ndarray) -> None:
        """Be a table of these alone, (K,) rising, to which nothing is added any more."""
        if len(rows) < self._count:
            self._kept = rows

    def __len__(self) -> int:
        return self._count if self._kept is None else len(self._kept)

    def __getitem__(self, some: slice) -> np.ndarray:
        """(n, D) of the rows of a slice whose step is 1."""
        first, last, _ = some.indices(len(self))
        if self._kept is None or first >= last:
            return self._read(first, last)
        kept = self._kept[first:last]
        return self._read(int(kept[0]), int(kept[-1]) + 1)[kept - kept[0]]

    def _read(self, first: int, last: int) -> np.ndarray:
        width = self._size * self._kind.itemsize
        self._file.flush()
        self._file.seek(first * width)
        data = self._file.read(max(last - first, 0) * width)
        self._file.seek(0, 2)
        return np.frombuffer(data, self._kind).reshape(-1, self._size)


@dataclass(eq=False)
class HandRows:
    """As Hands, of a whole recording, whose arrays are in a file.

    hidden: (N,) int64 ns before each for which its clock, that was set back, showed what it had shown before: that much time
    passed which the stamps do not show. None for nowhere. measure: (N, 2) int, another one of a hand from where on its
    distances mean something else, see measured_alike, also while it is not seen; None where they mean the same throughout.
    """

    stamp: np.ndarray
    valid: np.ndarray
    scaled: np.ndarray
    confidence: np.ndarray
    numbers: Rows | np.ndarray
    hidden: np.ndarray | None = None
    measure: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.stamp)

    def part(self, rows: slice) -> Hands:
        """Some of the moments, in memory."""
        numbers, at, arrays = self.numbers[rows], 0, {}
        for name, shape in HAND_FIELDS.items():
            size = int(np.prod(shape))
            arrays[name] = numbers[:, at : at + size].reshape(-1, *shape)
            at += size
        return Hands(self.stamp[rows], self.valid[rows], self.scaled[rows], self.confidence[rows], **arrays)


HAND_NUMBERS = sum(int(np.prod(shape)) for shape in HAND_FIELDS.values())
"""In a row of HandRows' file: HAND_FIELDS, one after the other."""


def measured_alike(scaled: np.ndarray, joints: np.ndarray, betas: np.ndarray) -> np.ndarray:
    """(...) whether distances mean the same in two hands each, scaled (2, ...), joints (2, ..., 21, 3), betas (2, ..., 10):
    both in metres or not, and of one size, or no other shape."""
    size = palm_length(joints)
    reshaped = (np.abs(size[1] - size[0]) > RESHAPED * size[0]) & (betas[0] != betas[1]).any(axis=-1)
    return (scaled[0] == scaled[1]) & ~reshaped


@dataclass(eq=False)
class Signal:
    """Numbers with stamps, such as a robot's joints. names: (D,). stamp: (N,) int64 ns, rising. values: (N, D) float64."""

    names: tuple[str, ...]
    stamp: np.ndarray
    values: Rows | np.ndarray


@dataclass(eq=False)
class Camera:
    """Images of one topic. stamp: (M,) int64 ns of those that are used, rising. number: (M,) which of the topic's messages each
    is. width, height: pixels."""

    topic: str
    stamp: np.ndarray
    number: np.ndarray
    width: int
    height: int


@dataclass(eq=False)
class Recording:
    """One recorded demonstration, or several in a row.

    frame: of positions. cameras: by the name that they have in a dataset; the first is that of the hands. intrinsics: stamps
    (K,) and fx, fy, cx, cy (K, 4). robot: its joints, apart where several tell theirs. marks: (start, end) of the parts to
    take, ns, where the recording says. facts: what holds for all of it (hand model, network). unusable: (reason, number) of
    messages that were left out. warnings: for the user.
    """

    name: str
    frame: str
    hands: HandRows
    cameras: dict[str, Camera] = field(default_factory=dict)
    intrinsics: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.zeros(0, np.int64), np.zeros((0, 4))))
    robot: tuple[Signal, ...] = ()
    marks: list[tuple[int, int]] | None = None
    task: str = ""
    outcome: str = ""
    facts: dict[str, str | bool] = field(default_factory=dict)
    unusable: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all."""
