"""FreiHAND (Zimmermann et al., ICCV 2019), versions 1 and 2: single right hands with MANO's shape.

Source: lmb-freiburg/freihand (README.md; utils/fh_utils.py: files, numbers of the images, order of the joints, metres;
view_samples.py and utils/model.py: the 61 numbers are 48 of the pose, in axis-angle from MANO's mean pose, 10 of the shape,
then a root and a scale that place the hand, which the joints do better). The annotations of split "evaluation" came out
later (FreiHAND_pub_v2_eval), its vertices and those of "training" with version 2.

    ROOT/{training,evaluation}_{K,xyz,mano}.json     lists, one entry a hand; verts.json in version 2
    ROOT/{training,evaluation}/rgb/00000000.jpg      224x224; training: entry k is also image k + n, k + 2 n, k + 3 n,
                                                     n entries, with other backgrounds
"""

from __future__ import annotations

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from ...hand_model.skeleton import RIGHT
from .files import JsonRows, read_json, understood
from .frames import DatasetFrame, HandDataset, HandTruth, box_around, read_image
from .joint_orders import OPENPOSE
from .mano import ManoTruth

_SIZE = 224, 224
_BACKGROUNDS = 4
"""Green screen, homogenised, and two ways of colouring."""


class FreiHand(HandDataset):
    """Single images; those backgrounds of the training images are there whose first image is.

    The vertices are the published ones; without verts.json they are made of MANO's parameters, where hand models are given,
    with the wrist at the published joint.
    """

    name = "FreiHAND"
    splits = ("training", "evaluation")

    def _open(self) -> None:
        paths = {
            what: self.need(f"{self.split}_{what}.json", text)
            for what, text in (("K", "the intrinsics"), ("xyz", "the joints"), ("mano", "the MANO parameters"))
        }
        self._images = self.need(f"{self.split}/rgb", "the images")
        with understood(f"{self.root}: {self.split}_K, _xyz or _mano.json is not FreiHAND's"):
            self._matrices = np.array(read_json(paths["K"]), np.float64).reshape(-1, 3, 3)
            self._joints = np.array(read_json(paths["xyz"]), np.float64).reshape(-1, 21, 3)[:, OPENPOSE]
            self._fits = np.array(read_json(paths["mano"]), np.float64).reshape(-1, 61)
        counts = [len(self._matrices), len(self._joints), len(self._fits)]
        vertices = self.root / f"{self.split}_verts.json"
        self._vertices = JsonRows(vertices) if vertices.is_file() else None
        if self._vertices is not None:
            counts.append(len(self._vertices))
        if len(set(counts)) != 1:
            raise DatasetError(
                f"{self.root}: {self.split}_K, _xyz, _mano and _verts.json have {counts} entries, which must be equally "
                "many; take them from one release"
            )
        self._unique = counts[0]
        versions = _BACKGROUNDS if self.split == "training" else 1
        self._versions = sum(self._path(k * self._unique).is_file() for k in range(versions)) or 1
        self._mano = ManoTruth(self.hands, flat=False)

    def _path(self, number):
        return self._images / f"{number:08d}.jpg"

    def __len__(self) -> int:
        return self._unique * self._versions

    def __getitem__(self, index: int) -> DatasetFrame:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row, path = index % self._unique, self._path(index)
        camera = Camera(*_SIZE, self._matrices[row])
        joints, fit = self._joints[row], self._fits[row]
        fields = self._mano.fields(RIGHT, fit[:48], fit[48:58], np.zeros(3))
        made, vertices = fields.pop("joints"), fields.pop("vertices")
        if self._vertices is not None:
            vertices = np.array(self._vertices[row], np.float64).reshape(778, 3)
        elif vertices is not None:
            vertices = vertices - made[0] + joints[0]
        points = camera.project(joints)
        truth = HandTruth(box_around(points), points, joints, vertices=vertices, **fields)
        return DatasetFrame(f"{self.split}/{path.name}", (None, truth), camera, lambda: read_image(path), complete=False)
