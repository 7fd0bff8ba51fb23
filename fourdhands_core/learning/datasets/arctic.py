"""ARCTIC (Fan et al., CVPR 2023): both hands manipulate objects before eight fixed cameras and an egocentric one.

Source: zc-alexfan/arctic (docs/data/data_doc.md: files, keys; src/arctic: splits, frames, cameras, MANO with the pose from
the mean pose and the left model as released; common/transforms.py: the egocentric lens, OpenCV's rational model).

    ROOT/meta/misc.json                              per subject: ioi_offset, image_size, intris_mat, world2cam
    ROOT/splits_json/protocol_{p1,p2}.json           p1: fixed cameras, p2: egocentric
    ROOT/raw_seqs/s01/SEQUENCE.{mano,egocam.dist}.npy
    ROOT/images/s01/SEQUENCE/{0..8}/00001.jpg        full images; view 0 is egocentric

The published cropped images are not read: their crops are told only by the 18 GB of processed splits.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from ...hand_model.skeleton import LEFT, RIGHT, SIDES
from .files import read_json, read_npy, understood
from .frames import DatasetFrame, VideoDataset, hand_in_view, read_image
from .mano import ManoTruth

_BLACK = 10
"""Images left out at either end of a sequence, which may be black (src/arctic/split.py)."""


class Arctic(VideoDataset):
    """The fixed cameras, both hands; a hand out of view is absent. Hand models must be given: all truth is MANO's.

    Left hands have no betas, as they mean another shape in MANO's left model as released (mano.ManoTruth).
    """

    name = "ARCTIC"
    splits = ("train", "val")  # the truth of "test" is not published
    frame_rate = 30.0
    protocol: ClassVar[str] = "p1"
    views: ClassVar[range] = range(1, 9)

    def _open(self) -> None:
        self._subjects = read_json(self.need("meta/misc.json", "the cameras"))
        path = self.need(f"splits_json/protocol_{self.protocol}.json", "which sequences are in a split")
        names = read_json(path)
        if not isinstance(names, dict) or self.split not in names:
            raise DatasetError(f"{path} has no list {self.split!r}; get it anew")
        self._mano = ManoTruth(self.need_hands(), flat=False, left_as_released=True)
        self._images = self.need("images", "the full images")
        self._fits: dict[str, dict] = {}
        self._lenses: dict[str, dict] = {}
        held_out = set(names.get("val", ())) | set(names.get("test", ()))
        for name in names[self.split]:
            if self.split != "train" or name not in held_out:
                self._take_sequence(name)

    def _take_sequence(self, name):
        path = self.need(f"raw_seqs/{name}.mano.npy", "the MANO parameters")
        subject = name.split("/")[0]
        data = read_npy(path)
        with understood(f"{path} or its subject in meta/misc.json is not ARCTIC's"):
            self._fits[name] = {
                side: {key: np.asarray(data[SIDES[side]][key], np.float32) for key in ("rot", "pose", "trans", "shape")}
                for side in (LEFT, RIGHT)
            }
            if 0 in self.views:
                lens = read_npy(self.need(f"raw_seqs/{name}.egocam.dist.npy", "the egocentric camera"))
                self._lenses[name] = {
                    key: np.asarray(lens[key], np.float64) for key in ("R_k_cam_np", "T_k_cam_np", "intrinsics", "dist8")
                }
            count, offset = len(self._fits[name][LEFT]["rot"]), int(self._subjects[subject]["ioi_offset"])
        numbers = range(max(_BLACK, offset), count - _BLACK)
        for view in self.views:
            self._add_video(f"{name}/{view}", len(numbers), name, view, numbers.start)

    def __getitem__(self, index: int) -> DatasetFrame:
        name, view, first, place = self._find(index)
        number = first + place
        row = number - int(self._subjects[name.split("/")[0]]["ioi_offset"])
        camera, extrinsics = self._camera(name, view, row)
        hands = tuple(self._hand(name, row, side, camera, extrinsics) for side in (LEFT, RIGHT))
        key = f"{name}/{view}/{number:05d}.jpg"
        return DatasetFrame(key, hands, camera, lambda: read_image(self._images / key))

    def _camera(self, name, view, row):
        subject = self._subjects[name.split("/")[0]]
        width, height = (int(size) for size in subject["image_size"][view])
        if view == 0:
            lens = self._lenses[name]
            camera = Camera(width, height, lens["intrinsics"], "rational_polynomial", lens["dist8"])
            return camera, (lens["R_k_cam_np"][row], lens["T_k_cam_np"][row].reshape(3))
        pose = np.asarray(subject["world2cam"][view - 1], np.float64)
        return Camera(width, height, np.asarray(subject["intris_mat"][view - 1])), (pose[:3, :3], pose[:3, 3])

    def _hand(self, name, row, side, camera, extrinsics):
        fit = self._fits[name][side]
        pose = np.concatenate([fit["rot"][row], fit["pose"][row]])
        shape = fit["shape"] if fit["shape"].ndim == 1 else fit["shape"][min(row, len(fit["shape"]) - 1)]
        return hand_in_view(camera, self._mano.fields(side, pose, shape, fit["trans"][row], extrinsics))


class ArcticEgo(Arctic):
    """The egocentric camera, its lens's distortion included."""

    name = "ARCTIC-ego"
    protocol = "p2"
    views = range(1)
