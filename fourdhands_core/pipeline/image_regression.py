"""The image network over a stream: one pass of the backbone a frame, hand tokens kept, windows picked by time stamps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import DependencyError
from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_matrix
from ..hand_model.arrays import HandArrays
from ..hand_model.skeleton import LEFT, RIGHT
from ..network.image_model import ImageNetwork
from ..perception.crops import CROP_SIZE, crop_hands, from_crop, square_around
from .regression import MIRROR, Frame, Regression, pick_window

BOX_MARGIN = 1.1
"""The landmarks' bounding box times this encloses the hand's skin."""
JOINT_SIGMA, RELATIVE_SIGMA = 0.008, 0.02
"""Expected errors a coordinate, metres, of joints and of the relative root: the network states none of its own."""
_FOCAL = 5000.0
"""Focal length, in pixels of the crop, of the camera that the network's s, tx, ty belong to."""

PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class ImageRegressor:
    """Runs the image network: `encode` once a frame, `regress` on the window around the frame in question.

    network: takes its device and precision from here. hands: the (left, right) hand models. mean_pose: (45,) axis-angle
    of the right hand model's mean pose, which a network with `mean_pose` is relative to. device: "cpu" or "cuda".
    Raises DependencyError where the device is not there.
    """

    sees = True

    def __init__(self, network: ImageNetwork, hands: HandArrays, mean_pose: np.ndarray, device: str = "cpu",
                 precision: str = "float32"):
        if device == "cuda" and not torch.cuda.is_available():
            raise DependencyError("device cuda was asked for, but torch sees no CUDA device here; use device cpu, or "
                                  "install a driver and a torch build with CUDA")
        self.config = network.config
        self.device = torch.device(device)
        self._type = PRECISIONS[precision]
        self._network = network.to(self.device, self._type).eval().requires_grad_(False)
        self._hands = hands
        self._mean = mean_pose.reshape(15, 3) if network.config.mean_pose else np.zeros((15, 3))
        self._no_hand = torch.zeros(network.config.hand_width, device=self.device, dtype=self._type)
        self._encode, self._reason = self._network.encode, self._network.reason
        if device == "cuda":
            self._warm_up()

    @property
    def half_window(self) -> float:
        """Seconds between the estimated frame and either end of its window."""
        return self.config.window // 2 * self.config.frame_gap

    @torch.inference_mode()
    def encode(self, frame: Frame) -> None:
        """Hand tokens of a frame whose `image` and `detections` are known; the image is let go."""
        present = frame.present
        image, frame.image = frame.image, None
        if not present.any():
            return
        frame.squares = np.zeros((2, 4))
        for side in np.flatnonzero(present):
            frame.squares[side] = square_of(frame.detections[side].landmarks)
        pixels = torch.from_numpy(image).to(self.device, non_blocking=True)
        crops = crop_hands(pixels, frame.squares[present], np.flatnonzero(present) == LEFT).to(self._type)
        squares = torch.from_numpy(frame.squares).to(self.device, torch.float32)[None]
        tokens = self._encode(crops, squares, torch.from_numpy(present).to(self.device)[None])[0]
        frame.hands = tokens.clone()

    @torch.inference_mode()
    def regress(self, frames: Sequence[Frame], target: Frame) -> Regression:
        """The hands in `target`, one of `frames` (in order of time), from the window around it."""
        window = [frames[k] for k in pick_window(frames, target, self.config)[0]]
        tokens = torch.stack([
            self._no_hand.expand(2, -1) if frame.hands is None else frame.hands for frame in window], 1)
        valid = np.stack([frame.present for frame in window], 1)
        known = None if valid.all() else torch.from_numpy(valid).to(self.device)[None]
        hands = self._reason(tokens[None], known)
        # one copy to the host, which is where the stream waits for the device
        flat = torch.cat([value.float().flatten() for value in (
            hands.rotations, hands.betas, hands.camera, hands.left_root_relative)]).cpu().numpy().astype(float)
        rotations, betas, camera, relative = (
            part.reshape(shape) for part, shape in zip(np.split(flat, [288, 308, 314]), ((2, 16, 3, 3), (2, 10), (2, 3), (3,))))
        return self._in_camera(target, rotations.copy(), betas, camera, relative)

    def _in_camera(self, target, rotations, betas, camera, relative):
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
            points = own[side] + (x, y, 2.0 * _FOCAL / (CROP_SIZE * s))
            seen = _FOCAL * points[:, :2] / points[:, 2:] + CROP_SIZE / 2
            landmarks[side] = from_crop(seen, target.squares[side], side == LEFT)
        wrists = relative - root[LEFT] + root[RIGHT]
        return Regression(rotations, betas, np.full((2, 21), JOINT_SIGMA), wrists, RELATIVE_SIGMA, landmarks)

    def _warm_up(self):
        """On a GPU: record both parts for two present hands as CUDA graphs; other inputs take the ordinary way."""
        from ..network.cuda_graphs import Recorded

        config, device = self.config, self.device
        both = torch.ones(1, 2, dtype=torch.bool, device=device)
        encode = Recorded(lambda crops, squares: self._network.encode(crops, squares, both), [
            torch.zeros(2, 3, 256, 192, device=device, dtype=self._type), torch.ones(1, 2, 4, device=device)])
        reason = Recorded(self._network.reason, [
            torch.zeros(1, 2, config.window, config.hand_width, device=device, dtype=self._type)])
        self._encode = lambda crops, squares, present: (
            encode(crops, squares) if len(crops) == 2 else self._network.encode(crops, squares, present))
        self._reason = lambda tokens, valid: reason(tokens) if valid is None else self._network.reason(tokens, valid)


def square_of(landmarks: np.ndarray) -> np.ndarray:
    """The square (4,) x, y, w, h that a hand with these landmarks (21, 2) is cropped from."""
    low, high = landmarks.min(0), landmarks.max(0)
    centre, half = (low + high) / 2, BOX_MARGIN * (high - low) / 2
    return square_around(np.concatenate([centre - half, centre + half]))
