"""HIC, "Hands in Action" (Tzionas et al., IJCV 2016): two hands and hands with objects before one RGB-D camera.

Published at https://files.is.tue.mpg.de/dtzionas/Hand-Object-Capture (sequences, MANO fits). Sources:
facebookresearch/InterWild (data/HIC: HIC.json, intrinsics, meshes in metres in the camera's frame) and adwardlee/RenderIH
(utils/dataset_gen/tzionas_generation.py: the pickles' keys). 4DHands and InterWild test on it.

    ROOT/HIC.json                                        COCO: images, and annotations that name the meshes
    ROOT/01/1/rgb/000.png                                sequences 01-11, 15-21
    ROOT/IJCV16___Results_MANO___parms_for___joints21/IJCV16___fakeGT___IJCV___01___Model_Hand_R___ncomps45/000.{ply,pkl}
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from ...hand_model.mano_files import dense
from ...hand_model.skeleton import LEFT, RIGHT, SIDES
from .files import read_json, read_pickle, read_ply_vertices, understood
from .frames import DatasetFrame, HandDataset, hand_in_view, read_image
from .mano import ManoTruth, regress_joints

_CAMERA = np.array([[525.0, 0.0, 319.5], [0.0, 525.0, 239.5], [0.0, 0.0, 1.0]])
_REPRODUCED = 1e-3
"""Metres: MANO parameters are believed where they give the mesh to this mean distance."""


class Hic(HandDataset):
    """Frames with the meshes fitted to RGB-D; a hand without a mesh is absent.

    The vertices are the published ones, the joints MANO's of the mesh. How the pickles beside the meshes state the pose
    (angles or components, from which pose, with which left model) is not published: with hand models given, the
    statement that reproduces the first meshes of a side is looked for; where none does, rotations and betas are left out.
    """

    name = "HIC"
    splits = ("test",)

    def _open(self) -> None:
        path = self.need("HIC.json", "images and meshes, from InterWild")
        data = read_json(path)
        with understood(f"{path} is not InterWild's HIC.json"):
            images = {image["id"]: image for image in data["images"]}
            for annotation in data["annotations"]:
                image = images[annotation["image_id"]]
                meshes = tuple(annotation[f"{side}_mano_path"] for side in SIDES)
                self._frames.append((image["file_name"], int(image["width"]), int(image["height"]), meshes))
        self._frames.sort()
        for index, (name, *_) in enumerate(self._frames):
            self._sequences.setdefault(str(Path(name).parent), []).append(index)
        for folder in sorted({Path(mesh).parts[0] for *_, meshes in self._frames for mesh in meshes if mesh}):
            self.need(folder, "the MANO fits")
        for folder in sorted({Path(name).parts[0] for name, *_ in self._frames}):
            self.need(folder, "a sequence of images")
        self._mano = tuple(self._statement(side) for side in (LEFT, RIGHT))

    def _statement(self, side) -> ManoTruth | None:
        """The reading of the pickles that reproduces the first mesh of a side."""
        mesh = next((meshes[side] for *_, meshes in self._frames if meshes[side]), None)
        if self.hands is None or mesh is None:
            return None
        vertices, fit = read_ply_vertices(self.root / mesh), self._fit(mesh)
        for components, flat, released in product((True, False), (False, True), (True, False)):
            if components and self.hands[side].hands_components is None:
                continue
            mano = ManoTruth(self.hands, flat, components, left_as_released=released)
            if fit is not None and _distance(mano.fields(side, *fit)["vertices"], vertices) < _REPRODUCED:
                return mano
        return None

    def _fit(self, mesh):
        """(pose, betas, translation) beside a mesh, None where there is no pickle."""
        path = (self.root / mesh).with_suffix(".pkl")
        if not path.is_file():
            return None
        data = read_pickle(path)
        with understood(f"{path} has no pose, betas and trans"):
            return tuple(np.ravel(dense(data[key])).astype(np.float64) for key in ("pose", "betas", "trans"))

    def __getitem__(self, index: int) -> DatasetFrame:
        name, width, height, meshes = self._frames[index]
        camera = Camera(width, height, _CAMERA)
        hands = tuple(self._hand(side, meshes[side], camera) for side in (LEFT, RIGHT))
        return DatasetFrame(name, hands, camera, lambda: read_image(self.root / name))

    def _hand(self, side, mesh, camera):
        if not mesh:
            return None
        fields = {"vertices": read_ply_vertices(self.root / mesh)}
        if fields["vertices"].shape != (778, 3):
            raise DatasetError(f"{self.root / mesh} has {len(fields['vertices'])} vertices, MANO has 778; get it anew")
        if self.hands is not None:
            fields["joints"] = regress_joints(fields["vertices"], self.hands[side])
        fit = None if self._mano[side] is None else self._fit(mesh)
        if fit is not None:
            made = self._mano[side].fields(side, *fit)
            if _distance(made["vertices"], fields["vertices"]) < _REPRODUCED:
                fields.update(joints=made["joints"], rotations=made["rotations"], betas=made["betas"])
        return hand_in_view(camera, fields)


def _distance(a, b):
    return float(np.linalg.norm(a - b, axis=1).mean())
