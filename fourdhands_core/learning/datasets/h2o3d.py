"""H2O3D (Hampali et al., CVPR 2022): two hands with an object, in the manner of HO3D.

Source: shreyashampali/ho3d (README.md, vis_H2O3D.py, utils/vis_utils.py: files, keys, order of joints, OpenGL's axes, pose
from the flat hand) and adwardlee/RenderIH (utils/dataset_gen/h2o3d_dataloader.py: lists of frames, 640x480).

    ROOT/{train,evaluation}.txt                       "sequence/0000" a line
    ROOT/{train,evaluation}/SEQUENCE/rgb/0000.jpg     (.png where a folder has no .jpg)
    ROOT/{train,evaluation}/SEQUENCE/meta/0000.pkl    camMat, {right,left}Hand{Pose,Trans,Joints3D,BoundingBox}, handBeta
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from ...hand_model.skeleton import LEFT, RIGHT, SIDES
from .files import read_pickle, understood
from .frames import DatasetFrame, HandDataset, HandTruth, hand_in_view, read_image
from .joint_orders import MANO_WITH_TIPS
from .mano import ManoTruth

FROM_OPENGL = np.diag([1.0, -1.0, -1.0])
_SIZE = 640, 480


class H2o3d(HandDataset):
    """Frames of sequences with both hands; in split "evaluation" only boxes and wrists are published.

    Not published is whether the left hand's fits use MANO's left model as released or with its shape directions put right;
    with hand models given, the one that gives the published left joints is taken.
    """

    name = "H2O3D"
    splits = ("train", "evaluation")

    def _open(self) -> None:
        lines = self.need(f"{self.split}.txt", "the frames' names").read_text(encoding="utf-8").splitlines()
        self._frames = [tuple(line.strip().split("/")) for line in lines if line.strip()]
        if any(len(frame) != 2 for frame in self._frames):
            raise DatasetError(f"{self.root / self.split}.txt must have sequence/frame a line; get it anew")
        self._suffixes: dict[Path, str] = {}
        for index in sorted(range(len(self._frames)), key=self._frames.__getitem__):
            self._sequences.setdefault(self._frames[index][0], []).append(index)
        for sequence in self._sequences:
            self.need(f"{self.split}/{sequence}/meta", "the annotations")
            self.need(f"{self.split}/{sequence}/rgb", "the images")
        self._mano = self._statement() if self.hands is not None and self.split == "train" else ManoTruth(None, flat=True)

    def _statement(self) -> ManoTruth:
        candidates = [ManoTruth(self.hands, flat=True, left_as_released=released) for released in (True, False)]
        for sequence, frame in self._frames:
            meta = self._meta(sequence, frame)
            if meta.get("leftHandPose") is not None:
                joints = np.asarray(meta["leftHandJoints3D"]).reshape(21, 3)[MANO_WITH_TIPS]
                # the tips' vertices differ between toolkits: MANO's own joints are compared
                return min(
                    candidates,
                    key=lambda mano: np.abs(_fields(mano, meta, LEFT)["joints"] - joints @ FROM_OPENGL)[
                        [0, 1, 2, 3, 5, 6, 7, 9, 10, 11]
                    ].mean(),
                )
        return candidates[0]

    def _meta(self, sequence, frame):
        path = self.root / self.split / sequence / "meta" / f"{frame}.pkl"
        meta = read_pickle(path)
        if not isinstance(meta, dict) or "camMat" not in meta:
            raise DatasetError(f"{path} has no camMat; it is not {self.name}'s annotation, get it anew")
        return meta

    def __getitem__(self, index: int) -> DatasetFrame:
        sequence, number = self._frames[index]
        meta = self._meta(sequence, number)
        folder = self.root / self.split / sequence / "rgb"
        with understood(f"{folder.parent / 'meta' / number}.pkl is not {self.name}'s annotation"):
            camera = Camera(*_SIZE, np.array(meta["camMat"], np.float64).reshape(3, 3))
            hands = tuple(self._hand(meta, side, camera) for side in (LEFT, RIGHT))
        path = folder / f"{number}{self._suffix(folder)}"
        complete = all(meta.get(f"{name}HandJoints3D") is not None for name in SIDES)
        return DatasetFrame(f"{sequence}/{number}", hands, camera, lambda: read_image(path), complete=complete)

    def _suffix(self, folder):
        """Of a sequence's images: .jpg, in version 2 of HO3D .png."""
        if folder not in self._suffixes:
            self._suffixes[folder] = ".png" if any(folder.glob("*.png")) and not any(folder.glob("*.jpg")) else ".jpg"
        return self._suffixes[folder]

    def _hand(self, meta, side, camera):
        name = SIDES[side]
        published = meta.get(f"{name}HandJoints3D")
        if published is None:
            return None
        published = np.array(published, np.float64).reshape(-1, 3) @ FROM_OPENGL
        if len(published) == 1:  # evaluation: the wrist alone
            joints = np.full((21, 3), np.nan)
            joints[0] = published[0]
            return HandTruth(np.array(meta[f"{name}HandBoundingBox"], np.float64), camera.project(joints), joints)
        fields = _fields(self._mano, meta, side) if meta.get(f"{name}HandPose") is not None else {}
        return hand_in_view(camera, {**fields, "joints": published[MANO_WITH_TIPS]})


def _fields(mano, meta, side):
    name = SIDES[side]
    return mano.fields(side, meta[f"{name}HandPose"], meta["handBeta"], meta[f"{name}HandTrans"], (FROM_OPENGL, np.zeros(3)))
