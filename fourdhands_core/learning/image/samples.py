"""Samples for the image network: sequences of both hands' crops with their squares and whatever ground truth there is."""

from __future__ import annotations

import numpy as np

from ...geometry.camera import Camera
from ...geometry.rotations import mirror_matrix
from ...hand_model.skeleton import LEFT, RIGHT
from ...network.image_config import CROP_HEIGHT, CROP_WIDTH
from ...network.image_relation import FAR
from ...pipeline.image_regression import virtual_turns
from ...runtime.crops import to_crop

MIRROR = np.diag([-1.0, 1.0, 1.0])
_FIELDS = {
    "crops": ((2, CROP_HEIGHT, CROP_WIDTH, 3), np.uint8),
    "squares": ((2, 4), np.float32),
    "present": ((2,), bool),
    "points": ((2, 21, 2), np.float32),
    "point_valid": ((2, 21), bool),
    "joints": ((2, 21, 3), np.float32),
    "joint_valid": ((2, 21), bool),
    "rotations": ((2, 16, 3, 3), np.float32),
    "betas": ((2, 10), np.float32),
    "has_mano": ((2,), bool),
    "left_root": ((3,), np.float32),
    "left_to_right": ((3, 3), np.float32),
    "related": ((), bool),
}


class ImageSample:
    """L frames of the (left, right) hand, each hand in its own coordinates: the left one mirrored in x.

    With `virtual` these are the axes of the virtual cameras of ImageConfig.virtual_camera, else the camera's. Arrays, the
    first axis L: crops (2, 256, 192, 3) uint8 RGB. squares (2, 4), pixels. present (2,). points (2, 21, 2), of the square
    as 256 pixels (perception.crops.to_crop). joints (2, 21, 3), metres around the wrist. rotations (2, 16, 3, 3), betas
    (2, 10) where has_mano (2,). left_root (3,): left minus right wrist in the right hand's axes, where related ().
    left_to_right (3, 3): directions in the left hand's coordinates to the right hand's. point_valid, joint_valid (2, 21).
    """

    def __init__(self, length: int, virtual: bool):
        self.virtual = virtual
        self.arrays = {name: np.zeros((length, *shape), kind) for name, (shape, kind) in _FIELDS.items()}
        self.arrays["rotations"][:] = np.eye(3)
        self.arrays["left_to_right"][:] = MIRROR
        self._turns = np.broadcast_to(np.eye(3), (length, 2, 3, 3)).copy()

    def place(self, t: int, squares: np.ndarray, camera: Camera | None) -> None:
        """The squares (2, 4) of a frame; they say where the virtual cameras look."""
        self.arrays["squares"][t] = squares
        if self.virtual and camera is not None:
            turns = virtual_turns(camera, np.asarray(squares, float))
            turns[LEFT] = mirror_matrix(turns[LEFT])
            self._turns[t] = turns
            self.arrays["left_to_right"][t] = turns[RIGHT] @ MIRROR @ turns[LEFT].T

    def add_hand(
        self,
        t: int,
        side: int,
        points: np.ndarray | None = None,
        joints: np.ndarray | None = None,
        rotations: np.ndarray | None = None,
        betas: np.ndarray | None = None,
    ) -> None:
        """What is true of a hand in a frame that was placed, in its own coordinates with the camera's axes.

        points: (21, 2) pixels of the image. joints: (21, 3) metres. rotations: (16, 3, 3). betas: (10,). None, or NaN in
        a row, where unknown.
        """
        arrays, turn = self.arrays, self._turns[t, side]
        arrays["present"][t, side] = True
        if points is not None:
            arrays["point_valid"][t, side] = np.isfinite(points).all(-1)
            arrays["points"][t, side] = np.nan_to_num(to_crop(points, arrays["squares"][t, side].astype(float), side == LEFT))
        if joints is not None and np.isfinite(joints[0]).all():
            arrays["joint_valid"][t, side] = np.isfinite(joints).all(-1)
            arrays["joints"][t, side] = np.nan_to_num((joints - joints[0]) @ turn.T)
        if rotations is not None and betas is not None:
            arrays["has_mano"][t, side] = True
            arrays["rotations"][t, side] = rotations
            arrays["rotations"][t, side, 0] = turn @ rotations[0]
            arrays["betas"][t, side] = betas

    def relate(self, t: int, left_root: np.ndarray) -> None:
        """The left wrist minus the right wrist (3,), metres, camera axes, in a frame with both hands."""
        self.arrays["left_root"][t] = self._turns[t, RIGHT] @ left_root
        self.arrays["related"][t] = True

    def mirror_single_hand(self) -> None:
        """Where only one side's hand is there, put its flipped crop in the other's place, far away (paper section 4.5)."""
        arrays = self.arrays
        there = arrays["present"].any(0)
        if there.sum() != 1:
            return
        side = int(np.flatnonzero(there)[0])
        other = 1 - side
        for name in "crops squares present points point_valid joints joint_valid rotations betas has_mano".split():
            arrays[name][:, other] = arrays[name][:, side]
        arrays["squares"][:, other, 0] += (-FAR if other == LEFT else FAR) * arrays["squares"][:, side, 2]
