"""Batches of the mixture: batch k of a run is a function of the seed and k alone, so that a run can go on anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ...errors import DatasetError
from ...hand_model.assets import HandAsset
from ...hand_model.skeleton import LEFT, RIGHT
from ...pipeline.image_regression import square_of
from ...runtime.crops import CROP_SIZE, MARGIN, square_around
from ..datasets.frames import DatasetFrame, window
from ..datasets.registry import dataset_class, open_dataset
from .augmentation import Augmentation
from .samples import MIRROR, ImageSample
from .settings import SourceSettings, TrainingSettings

_UNSEEN = 1_000_003
"""Added to the seed for renders that are not trained on: other motion, skins and backgrounds."""


class SynthesisSource:
    """Rendered sequences."""

    def __init__(self, settings: TrainingSettings, asset: HandAsset, seed: int):
        self.settings, self._asset, self._seed = settings, asset, seed

    @cached_property
    def _synthesis(self):
        from ..synthesis.clips import ClipSynthesis  # compiles, and needs Numba

        return ClipSynthesis(self.settings.synthesis, self._seed, self._asset)

    def draw(self, rng: np.random.Generator, count: int) -> list[ImageSample]:
        """`count` samples."""
        data = self.settings.data
        clips = self._synthesis.draw(int(rng.integers(2**62)), count, data.gap * np.arange(data.length))
        return [self._sample(clip, rng) for clip in clips]

    def _sample(self, clip, rng):
        augmentation = Augmentation(self.settings.augmentation, rng)
        sample = ImageSample(len(clip.present), self.settings.network.virtual_camera)
        for t, present in enumerate(clip.present):
            squares = np.zeros((2, 4))
            for side in np.flatnonzero(present):
                squares[side] = augmentation.square(square_of(clip.points[t, side]))
            sample.place(t, squares, clip.camera)
            crops, seen = self._synthesis.crops(clip, t, squares)
            for side in np.flatnonzero(seen):
                sample.arrays["crops"][t, side] = augmentation(crops[side], cover=False)
                sample.add_hand(t, side, clip.points[t, side], clip.joints[t, side], clip.rotations[t, side], clip.betas[side])
            if seen.all():
                sample.relate(t, clip.root[t, LEFT] * (-1.0, 1.0, 1.0) - clip.root[t, RIGHT])
        return sample


class DatasetSource:
    """Sequences of a dataset, or single frames where it has no sequences. MANO's poses and shapes are left out without MANO."""

    def __init__(self, settings: TrainingSettings, source: SourceSettings, hands: tuple[HandAsset, HandAsset]):
        self.settings = settings
        self._posed = bool(settings.data.hand_model) or not dataset_class(source.name).of_mano
        self.dataset = open_dataset(source.name, Path(source.path), source.split, hands if self._posed else None)
        if not len(self.dataset):
            raise DatasetError(f"{source.name} at {source.path} has no frames to train on")
        self._sequences = list(self.dataset.sequences.values())
        self._ends = np.cumsum([len(sequence) for sequence in self._sequences])

    def draw(self, rng: np.random.Generator, count: int) -> list[ImageSample]:
        """`count` samples."""
        return [self._sample(self._frames(rng), rng) for _ in range(count)]

    def _frames(self, rng) -> list[DatasetFrame]:
        data = self.settings.data
        if data.length == 1 or not self._sequences:
            return [self.dataset[int(rng.integers(len(self.dataset)))]] * data.length
        position = int(rng.integers(self._ends[-1]))
        k = int(np.searchsorted(self._ends, position, side="right"))
        sequence = self._sequences[k]
        gap = max(1, round(data.gap * (self.dataset.frame_rate or 30.0)))
        start = position - (self._ends[k] - len(sequence))
        return [self.dataset[number] for number in window(sequence, start, data.length | 1, gap)[: data.length]]

    def _sample(self, frames, rng):
        augmentation = Augmentation(self.settings.augmentation, rng)
        sample = ImageSample(len(frames), self.settings.network.virtual_camera)
        for t, frame in enumerate(frames):
            if t and frame is frames[t - 1]:  # a single image stands for a sequence in which nothing moves
                for values in sample.arrays.values():
                    values[t] = values[t - 1]
                continue
            add_frame(sample, t, frame, augmentation, self.dataset.usable, self._posed)
        return sample


def add_frame(
    sample: ImageSample,
    t: int,
    frame: DatasetFrame,
    augmentation: Augmentation,
    usable: Callable[[np.ndarray], bool] = lambda image: True,
    posed: bool = True,
) -> None:
    """Crops and ground truth of a dataset's frame, its camera rolled about the optical axis; none where its image is unusable.

    posed: its rotations and betas are of the hand model that is learned.
    """
    image = frame.load()
    if not usable(image):
        return
    height, width = image.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2]) if frame.camera is None else frame.camera.matrix[:2, 2]
    cosine, sine = math.cos(augmentation.roll), math.sin(augmentation.roll)
    roll = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    squares, points = np.zeros((2, 4)), [None, None]
    for side, hand in enumerate(frame.hands):
        if hand is None:
            continue
        corners = hand.box[[[0, 1], [2, 1], [2, 3], [0, 3]]]
        if hand.points is not None:
            points[side] = (hand.points - middle) @ roll[:2, :2].T + middle
        if points[side] is not None and np.isfinite(points[side]).all():
            squares[side] = square_of(points[side])
        else:
            corners = (corners - middle) @ roll[:2, :2].T + middle
            squares[side] = square_around(np.concatenate([corners.min(0), corners.max(0)]))
        squares[side] = augmentation.square(squares[side])
    sample.place(t, squares, frame.camera)
    roots: list[np.ndarray | None] = [None, None]
    for side, hand in enumerate(frame.hands):
        if hand is None:
            continue
        own = MIRROR if side == LEFT else np.eye(3)
        joints = None if hand.joints is None else hand.joints @ roll.T
        rotations = None
        if posed and hand.rotations is not None:
            rotations = own @ np.concatenate([roll @ hand.rotations[:1], hand.rotations[1:]]) @ own
        sample.arrays["crops"][t, side] = augmentation(rolled_crop(image, squares[side], side == LEFT, roll, middle), True)
        sample.add_hand(t, side, points[side], None if joints is None else joints @ own, rotations, hand.betas)
        if joints is not None and hand.metric and np.isfinite(joints[0]).all():
            roots[side] = joints[0]
    if roots[LEFT] is not None and roots[RIGHT] is not None:
        sample.relate(t, roots[LEFT] - roots[RIGHT])


def rolled_crop(image: np.ndarray, square: np.ndarray, mirrored: bool, roll: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The crop (256, 192, 3) uint8 of a square of the image turned by `roll` (3, 3) about `middle` (2,)."""
    scale, centre = square[2] / CROP_SIZE, square[:2] + square[2:] / 2
    linear = roll[:2, :2].T * scale @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    start = roll[:2, :2].T @ (centre - middle) + middle - linear @ (CROP_SIZE / 2 - MARGIN, CROP_SIZE / 2)
    while scale > 2.0:  # against aliasing
        image, linear, start, scale = cv2.pyrDown(image), linear / 2, start / 2, scale / 2
    return cv2.warpAffine(
        image,
        np.column_stack([linear, start]),
        (CROP_SIZE - 2 * MARGIN, CROP_SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )


class Batches(Dataset):
    """Batch k of a process of the run as tensors by the names of ImageSample's arrays, (B, L, ...).

    hands: (left, right) hand models. rank: of the process. unseen: renders that are not trained on, instead of the mixture.
    """

    def __init__(self, settings: TrainingSettings, hands: tuple[HandAsset, HandAsset], rank: int = 0, unseen: bool = False):
        seed = settings.run.seed + (_UNSEEN if unseen else 0)
        self.settings, self._seed = settings, [seed, rank]
        sources = (SourceSettings("synthesis"),) if unseen else settings.data.sources
        self.sources = [
            SynthesisSource(settings, hands[RIGHT], seed)
            if source.name == "synthesis"
            else DatasetSource(settings, source, hands)
            for source in sources
        ]
        weights = np.array([source.weight for source in sources])
        self._weights = weights / weights.sum()

    def __len__(self) -> int:
        return self.settings.run.steps

    def __getitem__(self, k: int) -> dict[str, torch.Tensor]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng([*self._seed, k])
        counts = rng.multinomial(self.settings.run.batch, self._weights)
        samples = [sample for source, count in zip(self.sources, counts) if count for sample in source.draw(rng, count)]
        for sample in samples:
            if rng.random() < self.settings.data.opposite:
                sample.mirror_single_hand()
        return {name: torch.from_numpy(np.stack([sample.arrays[name] for sample in samples])) for name in samples[0].arrays}


def loader(batches: Batches, start: int, settings: TrainingSettings) -> DataLoader:
    """The batches from number `start` on, made by the run's worker processes ahead of time."""
    workers = settings.run.workers
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, settings.run.steps),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        persistent_workers=workers > 0,
        multiprocessing_context="spawn" if workers else None,
    )
