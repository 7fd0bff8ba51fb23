"""MPII NZSL (Simon et al., CVPR 2017): CMU's hands with keypoints by hand, and its rendered ones. In two dimensions.

Source: the CMU Panoptic hand database (domedb.perception.cs.cmu.edu/handdb.html: "Hands with Manual Keypoint Annotations",
of MPII photographs and New Zealand Sign Language videos, and "Hands from Synthetic Data"), as read by public readers of it:
hand_pts (21, 3) x, y and 1 where known, is_left; the order of the joints is OpenPose's. A picture may hold more hands than
the one that its file annotates; each of them has a file of its own.

    ROOT/hand_labels/{manual_train,manual_test}/000015774_01_l.{jpg,json}
    ROOT/hand_labels_synth/{synth1,synth2,synth3,synth4}/0001.{jpg,json}
"""

from __future__ import annotations

import numpy as np

from ...errors import DatasetError
from ...hand_model.skeleton import LEFT, RIGHT
from .files import read_json, understood
from .frames import DatasetFrame, HandDataset, HandTruth, box_around, read_image
from .whole_body import known_points

_FOLDERS = {
    name: f"hand_labels{'_synth' if name.startswith('synth') else ''}/{name}"
    for name in ("manual_train", "manual_test", "synth1", "synth2", "synth3", "synth4")
}
_PARTS = {**{name: (name,) for name in _FOLDERS}, "train": tuple(name for name in _FOLDERS if name != "manual_test")}


class MpiiNzsl(HandDataset):
    """Single hands. Split "train" is manual_train and the four synthetic parts together."""

    name = "MPII-NZSL"
    splits = ("train", *_FOLDERS)
    of_mano = False

    def _open(self) -> None:
        for part in _PARTS[self.split]:
            folder = self.need(_FOLDERS[part], "images and keypoints")
            found = sorted(folder.glob("*.json"))
            if not found:
                raise DatasetError(f"{self.name}: {folder} holds no *.json, which have the keypoints; unpack it anew")
            self._frames += found
        self._annotations = [_read(path) for path in self._frames]

    def __getitem__(self, index: int) -> DatasetFrame:
        path = self._frames[index].with_suffix(".jpg")
        side, points = self._annotations[index]
        hand = HandTruth(box_around(points), points) if np.isfinite(points).any() else None
        hands = (hand, None) if side == LEFT else (None, hand)
        return DatasetFrame(str(path.relative_to(self.root)), hands, None, lambda: read_image(path), complete=False)


def _read(path):
    data = read_json(path)
    with understood(f"{path} lacks hand_pts (21, 3) or is_left"):
        return LEFT if data["is_left"] else RIGHT, known_points(np.array(data["hand_pts"], np.float64).reshape(21, 3))
