"""The image network over a stream: one pass of the backbone a frame, hand tokens kept, windows picked by time stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.camera import Camera
from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_matrix, turn_to_axis
from ..hand_model.arrays import HandArrays
from ..hand_model.skeleton import LEFT, RIGHT
from ..runtime.crops import CROP_SIZE, from_crop, square_around
from ..runtime.image import ImageExecution
from .frame import Frame
from .regression import MIRROR, Regression, pick_window

if TYPE_CHECKING:
    import torch

BOX_MARGIN = 1.1
"""The landmarks' bounding box times this encloses the hand's skin."""
JOINT_SIGMA, RELATIVE_SIGMA = 0.008, 0.02
"""Expected errors a coordinate, metres, of joints and of the relative root: the network states none of its own."""
FOCAL = 5000.0
"""Focal length, in pixels of the crop, of the camera that the network's s, tx, ty belong to."""


@dataclass(frozen=True, eq=False)
class ImageTokens:
    """hands: (2, C) hand tokens, of numpy or torch. squares: (2, 4) x, y, w, h of what each hand was cropped from, pixels."""

    hands: np.ndarray | torch.Tensor
    squares: np.ndarray


class ImageRegressor:
    """Runs the image network: `encode` once a frame, `regress` on the window around the frame in question.

    Several cameras may share it, each in a thread of its own; the network then takes them together where they wait for it.
    hands: the (left, right) hand models. mean_pose: (45,) axis-angle of the right hand model's mean pose, which a network
    with `mean_pose` is relative to.
    """

    sees = True

    def __init__(self, network: ImageExecution, hands: HandArrays, mean_pose: np.ndarray) -> None:
        self.config = network.config
        self.half_window = network.config.window // 2 * network.config.frame_gap
        self.execution, self._cameras = network, 1
        self._hands = hands
        self._mean = mean_pose.reshape(15, 3) if network.config.mean_pose else np.zeros((15, 3))

    def add_camera(self) -> None:
        """Be ready for one camera more, whose thread will call too."""
        self._cameras += 1
        self.execution.prepare(self._cameras)

    def encode(self, frame: Frame) -> None:
        """Hand tokens of a frame whose `image` and `detections` are known; the image is let go."""
        present = frame.present
        image, frame.image = frame.image, None
        if not present.any():
            return
        assert image is not None, "the frame was encoded before"
        squares = np.zeros((2, 4))
        for side, detection in enumerate(frame.detections):
            if detection is not None:
                squares[side] = square_of(detection.landmarks)
        frame.tokens = ImageTokens(self.execution.encode(image, squares, present), squares)

    def regress(self, frames: Sequence[Frame], target: Frame) -> Regression:
        """The hands in `target`, one of `frames` (in order of time), from the window around it."""
        window = [frames[k] for k in pick_window(frames, target, self.config)[0]]
        valid = np.stack([frame.present for frame in window], 1)
        return self._in_camera(
            target, *self.execution.reason([None if frame.tokens is None else frame.tokens.hands for frame in window], valid)
        )

    def _in_camera(
        self, target: Frame, rotations: np.ndarray, betas: np.ndarray, camera: np.ndarray, relative: np.ndarray
    ) -> Regression:
        """Own rotations, shapes, weak-perspective cameras and the relative root as a Regression."""
        if self._mean.any():
            rotations[:, 1:] = matrix_from_axis_angle(axis_angle_from_matrix(rotations[:, 1:]) + self._mean)
        rotations[LEFT] = mirror_matrix(rotations[LEFT])
        joints = self._hands.joints(rotations[:, 0], rotations[:, 1:], betas)
        root = joints[:, self.config.root]
        own = (joints - root[:, None]) * MIRROR[:, None]
        landmarks = np.full((2, 21, 2), np.nan)
        for side in np.flatnonzero(target.present):
            s, x, y = camera[side]
            if s <= 0.0:
                continue
            points = own[side] + (x, y, 2.0 * FOCAL / (CROP_SIZE * s))
            seen = FOCAL * points[:, :2] / points[:, 2:] + CROP_SIZE / 2
            landmarks[side] = from_crop(seen, target.tokens.squares[side], side == LEFT)
        if self.config.virtual_camera:
            back = np.swapaxes(virtual_turns(target.camera, target.tokens.squares), -1, -2)
            rotations[:, 0] = back @ rotations[:, 0]
            root, relative = (back @ root[..., None])[..., 0], back[RIGHT] @ relative
        wrists = relative - root[LEFT] + root[RIGHT]
        return Regression(rotations, betas, np.full((2, 21), JOINT_SIGMA), wrists, RELATIVE_SIGMA, landmarks)


def virtual_turns(camera: Camera, squares: np.ndarray) -> np.ndarray:
    """Rotations (2, 3, 3) from the camera's axes to those of a camera turned towards the middle of each square (2, 4).

    Not turned where the lens has no ray to there.
    """
    return turn_to_axis(np.nan_to_num(camera.unproject(squares[:, :2] + squares[:, 2:] / 2)))


def square_of(landmarks: np.ndarray) -> np.ndarray:
    """The square (4,) x, y, w, h that a hand with these landmarks (21, 2) is cropped from."""
    low, high = landmarks.min(0), landmarks.max(0)
    centre, half = (low + high) / 2, BOX_MARGIN * (high - low) / 2
    return square_around(np.concatenate([centre - half, centre + half]))
