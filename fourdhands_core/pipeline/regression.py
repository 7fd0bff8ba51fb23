"""What the network makes of a window of frames, in the camera's frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.camera import Camera
from ..geometry.rotations import mirror_matrix
from ..hand_model.skeleton import LEFT, RIGHT
from ..network.execution import Execution
from ..perception.detector import HandDetection
from .depth import DepthImage

if TYPE_CHECKING:
    import torch

MIRROR = np.array([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
"""Factors on the coordinates of (left, right) between the camera's frame and each hand's own: left hands are mirrored."""


@dataclass(eq=False)
class Frame:
    """One image on its way through the tracker, kept while it is in the window.

    stamp: nanoseconds. camera: of the image. found: what the detector saw, of any number and side. detect_seconds: what
    that took. first: what came before it is forgotten. followed: `found` is not the detector's, but where the hands were
    before; epoch: since how many resets. depth: the depth image beside it. given: the camera of the image as given, which
    is not `camera` where images are mirrored.
    Then, set by the tracker: detections of the (left, right) hand, and rays (2, 21, 2), their landmarks as undistorted
    x/z, y/z; radius (2,), the hand's RMS radius as seen from the camera, in units of the focal length. The regressors
    keep for themselves: image (H, W, 3) until it is cropped, squares (2, 4) the crops' x, y, w, h, hands (2, C) tokens,
    turn (2, 3, 3) camera frame to virtual camera.
    """

    stamp: int
    camera: Camera
    found: list[HandDetection]
    detect_seconds: float = 0.0
    first: bool = False
    followed: bool = False
    epoch: int = 0
    given: Camera | None = None
    depth: DepthImage | None = None
    detections: tuple[HandDetection | None, HandDetection | None] = (None, None)
    rays: np.ndarray = field(default_factory=lambda: np.zeros((2, 21, 2)))
    radius: np.ndarray | None = None
    image: np.ndarray | None = None
    squares: np.ndarray | None = None
    hands: np.ndarray | torch.Tensor | None = None
    turn: np.ndarray | None = None

    @property
    def present(self) -> np.ndarray:
        """(2,) bool: the (left, right) hand was seen."""
        left, right = self.detections
        return np.array((left is not None, right is not None))

    @property
    def confidence(self) -> np.ndarray:
        """(2, 21) confidence of the landmarks; 0 of a hand that was not seen."""
        return np.array([np.zeros(21) if detection is None else detection.confidence for detection in self.detections])


@dataclass(frozen=True, eq=False)
class Regression:
    """The network's answer for one frame; hands (left, right), each in its own side's convention, camera axes.

    rotations: (2, 16, 3, 3), wrist to camera, then MANO's 15 joints relative to the flat hand. betas: (2, 10).
    joint_sigma: (2, 21), expected error of the wrist-relative joints, metres a coordinate. relative: (3,), left minus
    right wrist, metres; relative_sigma: its expected error a coordinate. landmarks: (2, 21, 2) pixels where the network
    itself sees the joints in the picture it was given, NaN where it does not; None from a network that is told them. prompt:
    (2, 16, 3, 3), rotations from the frame alone, which trail no motion, where the window has a past and no future.
    doubt: (2,) how many times as large as with a long past the error of each hand's rotations is. What concerns absent hands
    means nothing.
    """

    rotations: np.ndarray
    betas: np.ndarray
    joint_sigma: np.ndarray
    relative: np.ndarray
    relative_sigma: float
    landmarks: np.ndarray | None = None
    prompt: np.ndarray | None = None
    doubt: np.ndarray = field(default_factory=lambda: np.ones(2))


class LandmarkRegressor:
    """Runs the landmark network: `encode` once a frame, `regress` on the window around the frame in question."""

    sees = False
    """Whether the network is given the image."""

    def __init__(self, network: Execution):
        self.config = network.config
        self._network = network
        self._no_hands = np.zeros((2, network.config.width), np.float32)

    def add_camera(self) -> None:
        """Nothing to do: several threads may call at the same time."""

    @property
    def half_window(self) -> float:
        """Seconds between the estimated frame and either end of its window."""
        return self.config.window // 2 * self.config.frame_gap

    def encode(self, frame: Frame) -> None:
        """Hand tokens of a frame whose `detections` and `rays` are known."""
        present = frame.present
        if not present.any():
            return
        world = np.zeros((2, 21, 3))
        for side in np.flatnonzero(present):
            world[side] = frame.detections[side].world
        has_world = np.isfinite(world).all((1, 2)) & present
        world = np.where(has_world[:, None, None], world, 0.0) * MIRROR[:, None]
        frame.hands, turn, radius = self._network.encode(
            (frame.rays * MIRROR[:, None, :2]).astype(np.float32), world.astype(np.float32), has_world, present)
        frame.turn, frame.radius = turn.astype(float), radius.astype(float)

    def regress(self, frames: Sequence[Frame], target: Frame) -> Regression:
        """The hands in `target`, one of `frames` (in order of time), from the window around it."""
        picked, offsets = pick_window(frames, target, self.config)
        window = [frames[k] for k in picked.tolist()]
        hands = np.array([self._no_hands if frame.hands is None else frame.hands for frame in window]).swapaxes(0, 1)
        valid = np.array([[frame.detections[side] is not None for frame in window] for side in (LEFT, RIGHT)])
        offsets = offsets.astype(np.float32)
        rotations, betas, other_root, other_sigma, joint_sigma = (
            value.astype(float) for value in self._network.reason(hands, offsets, valid))
        prompt = None
        if len(frames) > 1 and target is frames[-1]:
            # attention to nothing but this frame is what its repetition gives, section 3.3
            prompt = self._turned(self._network.reason(hands, offsets, valid & (offsets == 0.0))[0].astype(float), target)
        # the fewer frames the network has seen of a hand, the less its pose is to be held to
        doubt = 1.0 + 1.0 / np.maximum(valid[:, np.diff(picked, prepend=-1) > 0].sum(1), 1)
        return Regression(self._turned(rotations, target), betas, joint_sigma,
                          *_relative(target.turn, other_root, other_sigma), prompt=prompt, doubt=doubt)

    @staticmethod
    def _turned(rotations, target):
        """Rotations (2, 16, 3, 3) from the virtual cameras, own coordinates, to the camera's, each side's convention."""
        rotations[:, 0] = np.swapaxes(target.turn, -1, -2) @ rotations[:, 0]
        rotations[LEFT] = mirror_matrix(rotations[LEFT])
        return rotations


def pick_window(frames: Sequence[Frame], target: Frame, config) -> tuple[np.ndarray, np.ndarray]:
    """Indices (T,) of the frames nearest in time to the window around `target`, and their (T,) times from it in gaps.

    By stamps, so that dropped frames and slower cameras keep the spacing. What lies beyond either end is filled with
    the first or the newest frame, as at the ends of a video.
    """
    half = config.window // 2
    ages = np.array([(frame.stamp - target.stamp) * 1e-9 for frame in frames]) / config.frame_gap
    picked = np.abs(ages - np.arange(-half, half + 1)[:, None]).argmin(axis=1)
    return picked, ages[picked]


def _relative(turn, root, sigma):
    """The left wrist relative to the right one from both sides' regressions, and its sigma, metres."""
    from_right = turn[RIGHT].T @ root[RIGHT]
    from_left = -(turn[LEFT].T @ root[LEFT]) * MIRROR[LEFT]
    weights = 1.0 / sigma ** 2
    mean = (weights[LEFT] * from_left + weights[RIGHT] * from_right) / weights.sum()
    return mean, float(np.sqrt(0.5 * (sigma ** 2).mean()))


def forget_old(frames: deque[Frame], target: Frame, half_window: float) -> None:
    """Drop frames at the front that no window around `target`, one of them, or around a later one picks."""
    start = target.stamp - int(half_window * 1e9)
    while frames[0] is not target and frames[1].stamp <= start:
        frames.popleft()
