"""The hands of people in photographs, in COCO's format: COCO-WholeBody and Halpe. In two dimensions, of unknown cameras.

Sources: jin-s13/COCO-WholeBody (data_format.md: keys, validity, visibility), Fang-Haoshu/Halpe-FullBody (README.md: which of
the 136 keypoints are hands, where the images come from; vis.py) and open-mmlab/mmpose (docs: dataset_zoo, 2d_wholebody:
folders, which AlphaPose's instructions vary for Halpe; both are read).

    COCO-WholeBody    ROOT/annotations/coco_wholebody_{train,val}_v1.0.json, ROOT/{train,val}2017/000000000139.jpg
    Halpe             ROOT/[annotations/]halpe_{train,val}_v1.json, ROOT/hico_20160224_det/images/train2015/HICO_*.jpg or
                      ROOT/images/train2015/HICO_*.jpg, ROOT/[images/]val2017/000000000139.jpg
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from .files import read_json, understood
from .frames import DatasetFrame, HandDataset, HandTruth, box_around, read_image
from .joint_orders import OPENPOSE

LEAST = 2
"""Keypoints below which a hand has no size, and so no box."""


class _People(HandDataset):
    """A frame a person with an annotated hand. Other people in the same picture have frames of their own, and their hands
    are in none but those: no hand is known to be absent."""

    splits = ("train", "val")
    of_mano = False

    def _open(self) -> None:
        path = self._annotations()
        self._folder = self._images()
        with understood(f"{path} is not {self.name}'s"):
            data = read_json(path, self._shrunk)
            names = {image["id"]: Path(image["file_name"]).name for image in data["images"]}
            people = [person for person in data["annotations"] if np.isfinite(person["hands"]).any()]
            self._names = [names[person["image_id"]] for person in people]
            self._frames = [f"{name}#{person['id']}" for name, person in zip(self._names, people)]
            self._points = np.array([person["hands"] for person in people], np.float32).reshape(-1, 2, 21, 2)

    def _shrunk(self, entry):
        """A person's annotation as it is read, without what is not needed: a file has hundreds of thousands."""
        if "image_id" not in entry:
            return entry
        hands = np.stack([known_points(keypoints) for keypoints in self._hands_of(entry)]).astype(np.float32)
        return {"image_id": entry["image_id"], "id": entry["id"], "hands": hands}

    @abstractmethod
    def _annotations(self) -> Path:
        """The JSON file."""

    @abstractmethod
    def _images(self) -> Path:
        """The images' folder."""

    @abstractmethod
    def _hands_of(self, person: dict[str, Any]) -> list[np.ndarray]:
        """(left, right) keypoints (21, 3) x, y, visibility of an annotation; visibility 0 where there is none."""

    def __getitem__(self, index: int) -> DatasetFrame:
        path = self._folder / self._names[index]
        left, right = (
            HandTruth(box_around(points), points) if np.isfinite(points).any() else None
            for points in self._points[index].astype(np.float64)
        )
        return DatasetFrame(self._frames[index], (left, right), None, lambda: read_image(path), complete=False)

    def need_one(self, relatives: tuple[str, ...], what: str) -> Path:
        """The first of several paths that is there; the error names the first."""
        return next((self.root / relative for relative in relatives if (self.root / relative).exists()), None) or self.need(
            relatives[0], what
        )


class CocoWholeBody(_People):
    """The hands that were clear enough to be labelled (`lefthand_valid`, `righthand_valid`)."""

    name = "COCO-WholeBody"

    def _annotations(self):
        return self.need(f"annotations/coco_wholebody_{self.split}_v1.0.json", "the keypoints")

    def _images(self):
        return self.need(f"{self.split}2017", "COCO's images")

    def _hands_of(self, person):
        return [
            np.array(person[f"{side}_kpts"] if person[f"{side}_valid"] else np.zeros(63), np.float64).reshape(21, 3)
            for side in ("lefthand", "righthand")
        ]


class Halpe(_People):
    """The hands with labelled keypoints among a person's 136."""

    name = "Halpe"

    def _annotations(self):
        file = f"halpe_{self.split}_v1.json"
        return self.need_one((file, f"annotations/{file}"), "the keypoints")

    def _images(self):
        if self.split == "train":
            return self.need_one(("hico_20160224_det/images/train2015", "images/train2015"), "HICO-DET's images")
        return self.need_one(("val2017", "images/val2017"), "COCO's images")

    def _hands_of(self, person):
        keypoints = person.get("keypoints")
        if not isinstance(keypoints, list):  # people with a box alone
            return [np.zeros((21, 3))] * 2
        keypoints = np.array(keypoints, np.float64).reshape(136, 3)
        return [keypoints[94:115], keypoints[115:136]]


def known_points(keypoints: np.ndarray) -> np.ndarray:
    """Keypoints (21, 3) x, y, visibility as points (21, 2), NaN where not labelled, and all NaN where fewer than LEAST are."""
    known = keypoints[:, 2] > 0
    return np.where((known & (known.sum() >= LEAST))[:, None], keypoints[:, :2], np.nan)[OPENPOSE]
