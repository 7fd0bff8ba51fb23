"""Crops in files and in memory: rendered ones, made once by any number of processes, and real ones, from videos and photos."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ...errors import InputError
from ...media.images import SUFFIXES, jpeg, read_image
from ...media.video import VideoReader
from ...outputs import make_folder, writing
from ...perception.hand_detector import SEARCHES, HandDetector
from ...perception.hand_networks import HAND_SIZE, HandNetworks
from ...perception.squares import around_landmarks, cut
from .crops import FAMILIES, coloured, elsewhere, in_square, jittered, rendered, stretched

PART = 60
"""Clips of one hand family in one file."""
_QUALITY = 95
_LOOKS = (0.0, 1.0), (4.0, 1.0), (-4.0, 1.0), (0.0, 1.05), (0.0, 0.95)
"""Degrees and scales of the looks of which a real hand's landmarks are the mean."""
_SURE, _AGREE = 0.6, 8.0
"""Least presence of a real hand, and the most, pixels of a crop, that its looks may differ from their mean."""
_VERSION = 2


@dataclass(eq=False)
class Crops:
    """N pictures and what is to be seen in them.

    pictures: of each the bytes of a JPEG file. points: (N, 21, 2) pixels of the crop. hand: (N,) bool, there is one.
    """

    pictures: list[np.ndarray]
    points: torch.Tensor
    hand: torch.Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def images(self, which: Iterable[int], pool: Executor | None = None) -> torch.Tensor:
        """Those crops as the network sees them, (M, 3, 224, 224), 0-1. pool: threads that decode them."""
        each = map if pool is None else pool.map
        decoded = list(each(lambda k: cv2.imdecode(self.pictures[k], cv2.IMREAD_COLOR)[..., ::-1], which))
        return torch.from_numpy(np.stack(decoded).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255.0))

    @classmethod
    def of(cls, rows: Sequence[tuple[np.ndarray, np.ndarray | None]]) -> Crops:
        """Of pictures (224, 224, 3) uint8 RGB and their points, None where there is no hand."""
        nothing = np.zeros((21, 2))
        points = np.stack([nothing if at is None else at for _, at in rows]) if rows else np.zeros((0, 21, 2))
        return cls(
            [np.frombuffer(jpeg(picture, _QUALITY), np.uint8) for picture, _ in rows],
            torch.from_numpy(points).float(),
            torch.tensor([at is not None for _, at in rows], dtype=torch.bool),
        )

    @classmethod
    def joined(cls, parts: Sequence[Crops]) -> Crops:
        """All of them."""
        return cls(
            [picture for part in parts for picture in part.pictures],
            torch.cat([part.points for part in parts]),
            torch.cat([part.hand for part in parts]),
        )

    def save(self, path: Path, about: str) -> None:
        """Write as npz; `about` says what they are of, for `read`."""
        lengths = np.array([len(picture) for picture in self.pictures])
        data = np.concatenate(self.pictures) if self.pictures else np.zeros(0, np.uint8)
        with writing(path) as partial, partial.open("wb") as file:
            np.savez(file, data=data, lengths=lengths, points=self.points.numpy(), hand=self.hand.numpy(), about=about)

    @classmethod
    def read(cls, path: Path, about: str) -> Crops:
        """What `save` wrote. Raises InputError where it cannot be read or holds others."""
        try:
            with np.load(path, allow_pickle=False) as file:
                held, data, ends = str(file["about"]), file["data"], np.cumsum(file["lengths"])[:-1]
                points, hand = torch.from_numpy(file["points"]), torch.from_numpy(file["hand"])
        except (OSError, KeyError, ValueError, EOFError) as error:
            raise InputError(f"{path} holds no crops ({error}); give another folder, or remove it") from error
        if held != about:
            raise InputError(f"{path} holds other crops, {held}, not {about}; give another folder, or remove it")
        return cls(np.split(data, ends) if len(points) else [], points, hand)


def _make(asked: tuple[Path, int, int]) -> Path:
    """One file, where it is not there yet."""
    path, seed, clips = asked
    if not path.exists():
        cv2.setNumThreads(1)
        torch.set_num_threads(1)
        family = seed % len(FAMILIES)
        rows = [(crop.picture, crop.points) for k in range(clips) for crop in rendered(seed * PART + k, family)]
        Crops.of(rows).save(path, _about(seed, clips))
    return path


def _about(seed: int, clips: int) -> str:
    return f"{clips} clips of the {FAMILIES[seed % len(FAMILIES)]} hand from {seed * PART} on, version {_VERSION}"


def rendered_crops(folder: Path, parts: int, seed: int, workers: int = 1, clips: int = PART) -> Crops:
    """Crops of `parts` files of `clips` clips each, the families by turns; those that are in the folder are not made again.

    workers: processes that render. Raises InputError where a file holds others.
    """
    make_folder(folder)
    asked = [(folder / f"{number}.npz", number, clips) for number in range(seed, seed + parts)]
    missing = [row for row in asked if not row[0].exists()]
    if workers > 1 and len(missing) > 1:
        with multiprocessing.get_context("spawn").Pool(min(workers, len(missing))) as pool:
            list(tqdm(pool.imap_unordered(_make, missing), total=len(missing), desc="rendered crops", mininterval=5.0))
    else:
        for row in tqdm(missing, desc="rendered crops", mininterval=5.0, disable=not missing):
            _make(row)
    return Crops.joined([Crops.read(path, _about(number, clips)) for path, number, _ in asked])


class RealCrops:
    """Crops of the hands that the detector finds in real pictures, its landmarks the mean of several looks; and of none."""

    def __init__(self, networks: HandNetworks, seed: int, each: int = 4) -> None:
        self._networks, self._each = networks, each
        self._rng = np.random.default_rng([seed, 8])

    def of(self, files: Iterable[Path]) -> Crops:
        """Of every image of videos, as they are and mirrored, of photos in all four turns, and of the images in folders, every
        second one mirrored."""
        rows: list[tuple[np.ndarray, np.ndarray | None]] = []
        for images, detector in self._seen(files):
            for image in images:
                rows.extend(self._rows(image, [found.landmarks for found in detector.detect(image) if found.presence > _SURE]))
            detector.close()
        return Crops.of(rows)

    def _seen(self, files: Iterable[Path]) -> Iterator[tuple[Iterator[np.ndarray], HandDetector]]:
        """Images that belong together, and a detector for them."""
        for path in files:
            if path.is_dir():
                shown = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
                simple = replace(SEARCHES["thorough"], turned=False)
                images = (_turned(_photo(file), 0, mirrored=k % 2 > 0) for k, file in enumerate(shown))
                yield images, HandDetector(self._networks, rules=simple, single_images=True)
            elif path.suffix.lower() in SUFFIXES:
                photo = _photo(path)
                yield (_turned(photo, turn) for turn in range(4)), HandDetector(self._networks, single_images=True)
            else:
                for mirrored in (False, True):
                    with VideoReader(path) as reader:
                        yield (_turned(image, 0, mirrored) for _, image in reader), HandDetector(self._networks)

    def _rows(self, image: np.ndarray, hands: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for seen in hands:
            square = around_landmarks(seen)
            looks = self._networks.looks(image, [square.turned(np.radians(angle), scale) for angle, scale in _LOOKS])
            apart = HAND_SIZE / square.side * np.array([np.linalg.norm(look.landmarks - seen, axis=1).mean() for look in looks])
            if (apart > _AGREE).any():
                continue
            mean = np.mean([look.landmarks for look in looks], axis=0)
            for number in range(self._each):
                moved = jittered(square, self._rng)
                picture, points = cut(image, moved, HAND_SIZE, cv2.BORDER_REPLICATE), in_square(mean, moved)
                if number:
                    picture, points = stretched(picture, points, self._rng)
                    picture = coloured(picture, self._rng, tint=0.15)
                yield picture, points
        if (square := elsewhere(image, hands, self._rng)) is not None:
            yield cut(image, square, HAND_SIZE, cv2.BORDER_REPLICATE), None


def _photo(path: Path) -> np.ndarray:
    if (image := read_image(path)) is None:
        raise InputError(f"{path} is no image that can be read; leave it out")
    return image


def _turned(image: np.ndarray, quarters: int, mirrored: bool = False) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, quarters))
