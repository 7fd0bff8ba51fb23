"""What every dataset gives: frames of one or two hands, with what ground truth exists, in one convention."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import DatasetError
from ...files import not_a
from ...geometry.camera import Camera
from ...hand_model.assets import HandAsset
from ...media import images


@dataclass(frozen=True, eq=False)
class HandTruth:
    """What a dataset says of one hand in one frame; None (or NaN in a row) where it says nothing.

    box: (4,) x1, y1, x2, y2 around the hand, pixels. points: (21, 2) pixels, pixel centres at integers, NaN where not
    annotated. joints: (21, 3) metres, camera optical frame, NaN where not annotated. metric: False where the joints are
    known up to the wrist's position only (they are then relative to the wrist). vertices: (778, 3) metres, as the
    joints. rotations: (16, 3, 3), wrist to camera optical frame, then MANO's 15 joints in MANO's order relative to the
    flat hand, in this side's own convention, as HandEstimate. betas: (10,). The 21 joints are in the order of
    hand_model.skeleton.JOINT_NAMES.
    """

    box: np.ndarray
    points: np.ndarray | None = None
    joints: np.ndarray | None = None
    metric: bool = True
    vertices: np.ndarray | None = None
    rotations: np.ndarray | None = None
    betas: np.ndarray | None = None

    @property
    def ground_truth(self) -> tuple[str, ...]:
        """Names of the fields that are known."""
        names = ("points", "joints", "vertices", "rotations", "betas")
        return tuple(name for name in names if getattr(self, name) is not None)


@dataclass(frozen=True, eq=False)
class DatasetFrame:
    """One image and its hands.

    key: names the image within the dataset. hands: (left, right), None for a hand that is absent or not annotated.
    complete: a hand that is None is known to be absent (False: the dataset annotates one hand of several). camera: None
    where the intrinsics are unknown. load: reads the image, (H, W, 3) uint8 RGB.
    """

    key: str
    hands: tuple[HandTruth | None, HandTruth | None]
    camera: Camera | None
    load: Callable[[], np.ndarray]
    complete: bool = True


class HandDataset(ABC):
    """A dataset on disk. A subclass reads its annotations in `_open`, and images only when a frame is loaded.

    root: the folder as published. split: one of `splits`. hands: (left, right) models, where given, to make vertices
    and joints of MANO parameters; without them that ground truth is absent. Raises DatasetError naming what is missing.
    """

    name: ClassVar[str]
    splits: ClassVar[tuple[str, ...]]
    frame_rate: float | None = None
    """Frames a second of its sequences; None for a dataset of single images."""
    of_mano: ClassVar[bool] = True
    """Whether it states meshes, poses or shapes of MANO, which mean little to another hand."""

    def __init__(self, root: Path, split: str, hands: tuple[HandAsset, HandAsset] | None = None):
        if split not in self.splits:
            raise DatasetError(f"{self.name} has no split {split!r}; it has {', '.join(self.splits)}")
        if not Path(root).is_dir():
            raise DatasetError(f"{root} is not a folder; give the folder that holds {self.name} as published")
        self.root, self.split, self.hands = Path(root), split, hands
        self._frames: Any = []
        self._sequences: dict[str, Any] = {}
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Reads the annotations of `root`, `split`; DatasetError where they are not as published."""

    def __len__(self) -> int:
        """Number of frames: of `_frames`, where a subclass keeps what it makes one of."""
        return len(self._frames)

    @abstractmethod
    def __getitem__(self, index: int) -> DatasetFrame:
        """The frame of that number."""

    @property
    def sequences(self) -> Mapping[str, Sequence[int]]:
        """DatasetFrame numbers in order of time by the name of the sequence; empty for a dataset of single images."""
        return self._sequences

    def usable(self, image: np.ndarray) -> bool:
        """False for an image that the dataset's users leave out (a black one); to be asked once it is loaded."""
        return True

    def need(self, relative: str, what: str) -> Path:
        """A path below the root, DatasetError where nothing is there; what: its contents in the dataset's own words."""
        path = self.root / relative
        if not path.exists():
            raise DatasetError(f"{self.name}: {path} is missing ({what}); the folder must be laid out as published")
        return path

    def need_hands(self) -> tuple[HandAsset, HandAsset]:
        """The hand models of a dataset that states hands by MANO's parameters alone; DatasetError where none were given."""
        if self.hands is None:
            raise DatasetError(
                f"{self.name} states its hands by MANO's parameters alone, so that even their places in the image need the "
                "hand model; give it (--hand-model, in training data.hand_model: an npz from `fourdhands convert-mano`)"
            )
        return self.hands


class VideoDataset(HandDataset):
    """A dataset of videos of which too many frames are there to list them all: what is known of a video stands once."""

    def _add_video(self, name: str, length: int, *about: Any) -> None:
        """The next frames are those of a video; one without any is passed over."""
        if length:
            first = len(self)
            self._frames.append((first, about))
            self._sequences[name] = range(first, first + length)

    def __len__(self) -> int:
        return next(reversed(self._sequences.values())).stop if self._sequences else 0

    def _find(self, index: int) -> tuple[Any, ...]:
        """What is known of the video that a frame is of, and the frame's number in it. IndexError where there is none."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        first, about = self._frames[bisect_right(self._frames, index, key=itemgetter(0)) - 1]
        return *about, index - first


def window(sequence: Sequence[int], position: int, length: int = 9, gap: int = 5) -> list[int]:
    """DatasetFrame numbers of the window of `length` frames, `gap` apart, around sequence[position] (paper section 4.1).

    Beyond either end the first or the last frame is repeated.
    """
    half = length // 2
    last = len(sequence) - 1
    return [sequence[min(max(position + gap * k, 0), last)] for k in range(-half, half + 1)]


def without_gaps(name: str, numbers: Sequence[int] | np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(name, positions) of the parts of a sequence, of frame `numbers` in order, between which frames were left out."""
    steps = np.diff(numbers)
    wide = steps > 1.5 * np.median(steps) if len(steps) else steps
    for run in np.split(np.arange(len(numbers)), np.flatnonzero(wide) + 1):
        yield (name if not len(run) or run[0] == 0 else f"{name} from {numbers[run[0]]}"), run


def read_image(path: Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB; DatasetError where it is missing or none."""
    if not path.is_file():
        raise DatasetError(f"image {path} is missing; the dataset's images must be unpacked beside its annotations")
    image = images.read_image(path)
    if image is None:
        raise DatasetError(not_a(path, "a readable image", advice="unpack it anew", known=["a picture"]))
    return image


def box_around(points: np.ndarray, margin: float = 0.1) -> np.ndarray:
    """The box (4,) x1, y1, x2, y2 of points (N, 2), NaN rows left out, wider by `margin` of its longer side all around."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    wider = margin * (high - low).max()
    return np.concatenate([low - wider, high + wider])


def in_view(points: np.ndarray, camera: Camera, least: int = 3) -> bool:
    """Whether at least `least` of the points (N, 2) lie in the camera's image; a hand with fewer cannot be told."""
    with np.errstate(invalid="ignore"):
        inside = ((points >= -0.5) & (points < (camera.width - 0.5, camera.height - 0.5))).all(axis=1)
    return int(inside.sum()) >= least


def hand_in_view(camera: Camera, fields: dict[str, Any]) -> HandTruth | None:
    """The hand of metric `joints` (or, without them, `vertices`) and other fields of HandTruth; None out of view.

    Its points are the joints through the camera, its box is around what is known of it.
    """
    joints, vertices = fields.get("joints"), fields.get("vertices")
    points = None if joints is None else camera.project(joints)
    known = points if points is not None else camera.project(vertices)
    return HandTruth(box_around(known), points, **fields) if in_view(known, camera) else None
