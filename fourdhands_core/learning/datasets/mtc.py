"""MTC, the hands of Monocular Total Capture (Xiang et al., CVPR 2019) from the Panoptic Studio's HD cameras, `a4_release`.

Source: CMU-Perceptual-Computing-Lab/MonocularTotalCapture (POF/data/DomeReader.py: keys, which hands of which cameras are
used, the lens; POF/utils/keypoint_conversion.py: order of joints). The lens is taken for OpenCV's: the authors' code has
x^2 y^2 where OpenCV's tangential terms have x y (at most 0.8 pixels for a coefficient of 0.001). Lengths are centimetres.

    ROOT/annotation.pkl        {"training_data", "testing_data"}: lists of seqName, frame_str, {left,right}_hand with
                               landmarks (63 numbers, world) and 2D: {camera: insideImg, occluded, overlap}
    ROOT/camera_data.pkl       {sequence: {camera: K, R, t, distCoef}}
    ROOT/hdImgs/SEQUENCE/FRAME/00_{camera:02d}_FRAME.jpg       1920x1080
"""

from __future__ import annotations

import os

import numpy as np

from ...geometry.camera import Camera
from ...hand_model.skeleton import LEFT, RIGHT, SIDES
from .files import read_pickle, understood
from .frames import DatasetFrame, HandDataset, HandTruth, box_around, read_image
from .joint_orders import OPENPOSE

_SIZE = 1920, 1080
_CENTIMETRES = 1e-2


class Mtc(HandDataset):
    """Single images with the hands' joints. A hand is given where the authors use it: whole in the image, no joint
    occluded, no overlap with another person; images without such a hand are left out, and no hand is known to be absent.

    MTC also has a list of hands found wrong by eye (a4_hands_annotated.txt, in the authors' code); it is not in the
    release and not used here.
    """

    name = "MTC"
    splits = ("train", "test")
    of_mano = False

    def _open(self) -> None:
        path = self.need("annotation.pkl", "the joints")
        cameras = self.need("camera_data.pkl", "the cameras")
        self._images = self.need("hdImgs", "the images")
        data = read_pickle(path)
        self._cameras = read_pickle(cameras)
        with understood(f"{path} is not MTC's annotation"):
            samples = data["training_data" if self.split == "train" else "testing_data"]
            self._frames = [row for sample in samples for row in self._rows_of(sample)]
            if samples and not self._frames:
                self.need(f"hdImgs/{samples[0]['seqName']}/{samples[0]['frame_str']}", "a frame's images")

    def _rows_of(self, sample):
        """(sequence, frame, camera, world joints (left, right) or None) of a sample's usable views."""
        sequence, frame = str(sample["seqName"]), str(sample["frame_str"])
        folder = self._images / sequence / frame
        present = set(os.listdir(folder)) if folder.is_dir() else ()
        joints: list[np.ndarray | None] = [None, None]
        views: list[dict] = [{}, {}]
        for side in (LEFT, RIGHT):
            hand = sample.get(f"{SIDES[side]}_hand")
            if hand is not None:
                joints[side] = np.array(hand["landmarks"], np.float64).reshape(21, 3)[OPENPOSE] * _CENTIMETRES
                pairs = hand["2D"].items() if isinstance(hand["2D"], dict) else enumerate(hand["2D"])
                views[side] = {int(camera): view for camera, view in pairs}
        for camera in sorted({*views[LEFT], *views[RIGHT]}):
            kept = tuple(joints[side] if _usable(views[side].get(camera)) else None for side in (LEFT, RIGHT))
            if any(hand is not None for hand in kept) and f"00_{camera:02d}_{frame}.jpg" in present:
                yield sequence, frame, camera, kept

    def __getitem__(self, index: int) -> DatasetFrame:
        sequence, frame, number, joints = self._frames[index]
        with understood(f"{self.root / 'camera_data.pkl'} has no usable camera {number} of {sequence}"):
            lens = {key: np.array(self._cameras[sequence][number][key], np.float64) for key in ("K", "R", "t", "distCoef")}
            camera = Camera(*_SIZE, lens["K"].reshape(3, 3), "plumb_bob", lens["distCoef"])
            rotation, offset = lens["R"].reshape(3, 3), lens["t"].reshape(3) * _CENTIMETRES
        hands = tuple(None if world is None else _hand(world @ rotation.T + offset, camera) for world in joints)
        key = f"{sequence}/{frame}/00_{number:02d}_{frame}.jpg"
        return DatasetFrame(key, hands, camera, lambda: read_image(self._images / key), complete=False)


def _hand(joints, camera):
    points = camera.project(joints)
    return HandTruth(box_around(points), points, joints)


def _usable(view) -> bool:
    return (
        view is not None
        and all(np.ravel(view["insideImg"]))
        and not any(np.ravel(view["occluded"]))
        and not any(np.ravel(view.get("overlap", False)))
    )
