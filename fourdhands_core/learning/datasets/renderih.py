"""RenderIH (Li et al., ICCV 2023): a million rendered images of two interacting hands.

Source: adwardlee/RenderIH (rendering_code/steps.md and step7_gen_annotations.py: files, keys; models/manolayer.py: pose
as 45 components from MANO's mean pose, wrist as a matrix, left shape directions put right).

    ROOT/train/color_img/366358.jpg      256x256; ROOT may be the folder train itself
    ROOT/train/color_annot/366358.pkl    camera (R, t, camera), mano_params (R, pose, shape, trans), metres
"""

from __future__ import annotations

import numpy as np

from ...geometry.camera import Camera
from ...geometry.rotations import axis_angle_from_matrix
from ...hand_model.skeleton import LEFT, RIGHT, SIDES
from .files import read_pickle, understood
from .frames import DatasetFrame, HandDataset, hand_in_view, read_image
from .mano import ManoTruth

_SIZE = 256


class RenderIH(HandDataset):
    """Single images, both hands, stated by MANO's parameters alone: hand models must be given."""

    name = "RenderIH"
    splits = ("train",)

    def _open(self) -> None:
        self._base = "" if (self.root / "color_annot").is_dir() else f"{self.split}/"
        annotations = self.need(f"{self._base}color_annot", "the annotations")
        self._images = self.need(f"{self._base}color_img", "the images")
        self._frames = sorted(annotations.glob("*.pkl"), key=lambda path: (len(path.stem), path.stem))
        self._mano = ManoTruth(self.need_hands(), flat=False, components=True)

    def __getitem__(self, index: int) -> DatasetFrame:
        path = self._frames[index]
        data = read_pickle(path)
        with understood(f"{path} is not RenderIH's annotation"):
            lens = data["camera"]
            camera = Camera(_SIZE, _SIZE, np.array(lens["camera"], np.float64).reshape(3, 3))
            extrinsics = np.array(lens["R"], np.float64).reshape(3, 3), np.array(lens["t"], np.float64).reshape(3)
            hands = tuple(self._hand(side, data["mano_params"][SIDES[side]], camera, extrinsics) for side in (LEFT, RIGHT))
        return DatasetFrame(path.stem, hands, camera, lambda: read_image(self._images / f"{path.stem}.jpg"))

    def _hand(self, side, params, camera, extrinsics):
        wrist = axis_angle_from_matrix(np.array(params["R"], np.float64).reshape(3, 3))
        pose = np.concatenate([wrist, np.ravel(params["pose"])])
        return hand_in_view(camera, self._mano.fields(side, pose, params["shape"], params["trans"], extrinsics))
