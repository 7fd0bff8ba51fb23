"""Rendered clips on disk, as `fourdhands data synthesise` writes them, with their exact truth.

ROOT/annotations.npz           the truth of every frame, and the cameras
ROOT/images/00000/00000.jpg    clip, frame
"""

from __future__ import annotations

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from .frames import DatasetFrame, HandDataset, HandTruth, box_around, read_image

ANNOTATIONS = "annotations.npz"
SHAPES = {
    "clip": (),
    "frame": (),
    "present": (2,),
    "matrix": (3, 3),
    "size": (2,),
    "points": (2, 21, 2),
    "joints": (2, 21, 3),
    "rotations": (2, 16, 3, 3),
    "betas": (2, 10),
    "vertices": (2, 778, 3),
}
"""Arrays of the annotations and their shape in each frame; hands (left, right), fields as those of HandTruth."""


def image_path(clip: int, frame: int) -> str:
    """Of a frame's image below the root."""
    return f"images/{clip:05d}/{frame:05d}.jpg"


class Synthetic(HandDataset):
    """Rendered clips. Every truth is exact; `hands` plays no part, the hand that was rendered is in the annotations."""

    name = "synthetic"
    splits = ("all",)
    of_mano = False

    def _open(self) -> None:
        path = self.need(ANNOTATIONS, "the truth of every frame")
        try:
            with np.load(path, allow_pickle=False) as file:
                self._arrays = dict(file)
            self.frame_rate = float(self._arrays.pop("frame_rate"))
            count = len(self._arrays["clip"])
            for name, shape in SHAPES.items():
                if self._arrays[name].shape != (count, *shape):
                    raise ValueError(f"{name} has shape {self._arrays[name].shape}, not {(count, *shape)}")
                if not np.isfinite(self._arrays[name]).all():
                    raise ValueError(f"{name} holds values that are not finite")
            if not 0.0 < self.frame_rate < np.inf:
                raise ValueError(f"frame_rate is {self.frame_rate}")
        except Exception as error:  # numpy and zipfile fail in many ways on a damaged file
            raise DatasetError(
                f"{path} cannot be read ({type(error).__name__}: {error}); write the dataset anew with "
                "fourdhands data synthesise"
            ) from error
        clips = self._arrays["clip"]
        order = np.argsort(clips, kind="stable")
        runs = np.split(order, np.flatnonzero(np.diff(clips[order])) + 1)
        self._sequences = {f"{clips[run[0]]:05d}": run.tolist() for run in runs if len(run)}

    def __len__(self) -> int:
        return len(self._arrays["clip"])

    def __getitem__(self, index: int) -> DatasetFrame:
        row = {name: values[index] for name, values in self._arrays.items()}
        left, right = (self._hand(row, side) if row["present"][side] else None for side in (0, 1))
        key = image_path(row["clip"], row["frame"])
        width, height = row["size"].tolist()
        camera = Camera(width, height, row["matrix"])
        return DatasetFrame(key, (left, right), camera, lambda: read_image(self.root / key))

    @staticmethod
    def _hand(row, side):
        values = {name: row[name][side].astype(float) for name in ("points", "joints", "vertices", "rotations", "betas")}
        return HandTruth(box_around(values["points"]), **values)
