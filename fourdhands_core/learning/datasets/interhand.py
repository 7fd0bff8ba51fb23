"""InterHand2.6M (Moon et al., ECCV 2020), v1.0, 5 and 30 frames a second, human and machine (H+M) annotations.

Sources: https://mks0601.github.io/InterHand2.6M (files, joints), facebookresearch/InterHand2.6M (tool/MANO_world_to_camera:
the pose counts from MANO's mean pose, world frame, left shape directions put right; data/InterHand2.6M/dataset.py) and
Dw1010/IntagHand (dataset/interhand.py: which frames are valid).

    ROOT/annotations/{train,val,test}/InterHand2.6M_{split}_{data,camera,joint_3d,MANO_NeuralAnnot}.json
    ROOT/images/{train,val,test}/Capture*/SEQUENCE/cam*/image*.jpg
"""

from __future__ import annotations

from sys import intern
from typing import ClassVar

import numpy as np

from ...geometry.camera import Camera
from ...hand_model.skeleton import LEFT, RIGHT, SIDES
from .files import read_json, understood
from .frames import DatasetFrame, HandDataset, HandTruth, box_around, read_image, without_gaps
from .joint_orders import TIPS_FIRST
from .mano import ManoTruth

_ROWS = {RIGHT: slice(0, 21), LEFT: slice(21, 42)}
_FIT = ("pose", "shape", "trans")
_DARKEST = 10.0
"""Mean grey level below which IntagHand leaves an image out."""
_MILLIMETRES = 1e-3
_FRAME = np.dtype(
    [("capture", "i4"), ("camera", "i4"), ("frame", "i4"), ("width", "i2"), ("height", "i2"), ("hands_known", "?")]
)


class InterHand(HandDataset):
    """Frames at 5 a second with two interacting hands, the invalid ones left out as IntagHand does.

    Left out are frames that are not of interacting hands, whose hand type is not valid, or in which a hand has no MANO
    parameters, which parts a sequence in two; black images are told when loaded (`usable`). The joints are the measured ones
    (joint_3d.json); MANO was fitted to them to about 5 mm, so vertices, rotations and betas differ from them by that much.
    """

    name = "InterHand2.6M"
    splits = ("train", "val", "test")
    frame_rate = 5.0
    interacting: ClassVar[bool] = True
    """Whether frames are left out as said above; otherwise all annotated frames of one and two hands are there."""

    def _open(self) -> None:
        folder = f"annotations/{self.split}/InterHand2.6M_{self.split}_"
        paths = {
            what: self.need(f"{folder}{what}.json", text)
            for what, text in (
                ("data", "images and hand types"),
                ("camera", "the cameras"),
                ("joint_3d", "the joints"),
                ("MANO_NeuralAnnot", "the MANO parameters"),
            )
        }
        self._images = self.need(f"images/{self.split}", "the images")
        self._mano = ManoTruth(self.hands, flat=False)
        with understood(f"{paths['data'].parent}: an annotation file is not InterHand2.6M's, v1.0"):
            self._cameras = read_json(paths["camera"])
            self._joints = {
                (int(capture), int(frame)): (
                    np.array(a["world_coord"], np.float32).reshape(42, 3),
                    np.array(a["joint_valid"]).reshape(42) > 0,
                )
                for capture, frames in read_json(paths["joint_3d"]).items()
                for frame, a in frames.items()
            }
            self._fits = {
                (int(capture), int(frame), side): tuple(np.array(fit[key], np.float32) for key in _FIT)
                for capture, frames in read_json(paths["MANO_NeuralAnnot"]).items()
                for frame, fits in frames.items()
                for side in (LEFT, RIGHT)
                if (fit := fits.get(SIDES[side]))
            }
            self._take_frames(read_json(paths["data"], _compact))

    def _take_frames(self, data):
        images = {image[0]: image[1:] for image in data["images"]}
        rows: list[tuple] = []
        self._names: list[str] = []
        for image_id, interacting, known in data["annotations"]:
            capture, camera, frame, width, height, sequence, name = images[image_id]
            both = interacting and all((capture, frame, side) in self._fits for side in (LEFT, RIGHT))
            if (capture, frame) not in self._joints or (self.interacting and not (known and both)):
                continue
            self._sequences.setdefault(f"Capture{capture}/{sequence}/cam{camera}", []).append(len(rows))
            rows.append((capture, camera, frame, width, height, known))
            self._names.append(name)
        self._frames = np.array(rows, _FRAME)
        for sequence in self._sequences.values():
            sequence.sort(key=lambda index: self._frames["frame"][index])
        if self.interacting:
            self._sequences = {
                part: [sequence[k] for k in run]
                for name, sequence in self._sequences.items()
                for part, run in without_gaps(name, self._frames["frame"][sequence])
            }

    def usable(self, image: np.ndarray) -> bool:
        return float(image.mean()) >= _DARKEST

    def __getitem__(self, index: int) -> DatasetFrame:
        row, name = self._frames[index], self._names[index]
        lens = {
            key: np.array(self._cameras[str(row["capture"])][key][str(row["camera"])], np.float64)
            for key in ("campos", "camrot", "focal", "princpt")
        }
        matrix = np.array([[lens["focal"][0], 0, lens["princpt"][0]], [0, lens["focal"][1], lens["princpt"][1]], [0, 0, 1]])
        camera = Camera(int(row["width"]), int(row["height"]), matrix)
        rotation = lens["camrot"].reshape(3, 3)
        extrinsics = rotation, -rotation @ lens["campos"].reshape(3) * _MILLIMETRES
        hands = tuple(self._hand(row, side, camera, extrinsics) for side in (LEFT, RIGHT))
        return DatasetFrame(name, hands, camera, lambda: read_image(self._images / name), complete=bool(row["hands_known"]))

    def _hand(self, row, side, camera, extrinsics):
        place = int(row["capture"]), int(row["frame"])
        world, valid = (array[_ROWS[side]][TIPS_FIRST] for array in self._joints[place])
        fields = {}
        if fit := self._fits.get((*place, side)):
            pose, betas, trans = fit
            fields = self._mano.fields(side, pose, betas, trans, world_to_camera=extrinsics)
        if valid.any():
            rotation, offset = extrinsics
            fields["joints"] = np.where(valid[:, None], world * _MILLIMETRES @ rotation.T + offset, np.nan)
        if fields.get("joints") is None:
            return None
        points = camera.project(fields["joints"])
        return HandTruth(box_around(points), points, **fields) if np.isfinite(points).any() else None


def _compact(entry: dict):
    """What is needed of an image or an annotation of data.json, which has millions; other objects as they are."""
    if "file_name" in entry:
        numbers = [int(entry[key]) for key in ("capture", "camera", "frame_idx", "width", "height")]
        return entry["id"], *numbers, intern(entry["seq_name"]), entry["file_name"]
    if "image_id" in entry:
        return entry["image_id"], entry["hand_type"] == "interacting", entry["hand_type_valid"] not in (0, [0])
    return entry


class InterHandAll(InterHand):
    """All annotated frames at 5 a second, of one and of two hands."""

    interacting = False


class InterHand30(InterHand):
    """The 30 frames a second release: the same files with more frames."""

    name = "InterHand2.6M-30fps"
    frame_rate = 30.0


class InterHand30All(InterHand30):
    """All annotated frames at 30 a second, of one and of two hands."""

    interacting = False
