"""RHD, the Rendered Handpose Dataset (Zimmermann and Brox, ICCV 2017), version 2: both hands of rendered people.

Source: the release's README and view_samples.py as quoted by lmb-freiburg/hand3d (create_binary_db.py: files, keys, metres)
and open-mmlab/mmpose (configs/_base_/datasets/rhd2d.py: each finger from its tip to the palm, the left hand first).

    ROOT/{training,evaluation}/anno_{training,evaluation}.pickle     {number: xyz (42, 3), uv_vis (42, 3), K (3, 3)}
    ROOT/{training,evaluation}/color/00000.png                       320x320
"""

from __future__ import annotations

import numpy as np

from ...geometry.camera import Camera
from .files import read_pickle, understood
from .frames import DatasetFrame, HandDataset, HandTruth, box_around, read_image
from .joint_orders import WRIST_THEN_TIPS_FIRST

_SIZE = 320, 320


class Rhd(HandDataset):
    """Single images; a hand of which no keypoint is visible counts as absent, though its joints are published."""

    name = "RHD"
    splits = ("training", "evaluation")
    of_mano = False

    def _open(self) -> None:
        path = self.need(f"{self.split}/anno_{self.split}.pickle", "the keypoints")
        self._images = self.need(f"{self.split}/color", "the images")
        data = read_pickle(path)
        with understood(f"{path} is not RHD's"):
            self._frames = sorted(data)
            self._joints, self._points, self._matrices = (
                np.array([np.asarray(data[number][key]).reshape(shape) for number in self._frames], np.float32)
                for key, shape in (("xyz", (2, 21, 3)), ("uv_vis", (2, 21, 3)), ("K", (3, 3)))
            )

    def __getitem__(self, index: int) -> DatasetFrame:
        path = self._images / f"{self._frames[index]:05d}.png"
        camera = Camera(*_SIZE, self._matrices[index])
        hands = tuple(_hand(self._joints[index, side], self._points[index, side]) for side in (0, 1))
        return DatasetFrame(f"{self.split}/{path.name}", hands, camera, lambda: read_image(path))


def _hand(joints, points):
    if not (points[:, 2] > 0).any():
        return None
    joints, points = (array[WRIST_THEN_TIPS_FIRST].astype(np.float64) for array in (joints, points[:, :2]))
    return HandTruth(box_around(points), points, joints)
