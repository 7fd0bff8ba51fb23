"""From a window of frames to what the landmark network says of one of them, in the camera's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..geometry.rotations import mirror_matrix
from ..hand_model.skeleton import LEFT, RIGHT
from ..network.image_config import ImageConfig
from ..network.landmark_config import LandmarkConfig
from ..runtime.landmark import Execution
from .frame import Frame

MIRROR = np.array([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
"""Factors on the coordinates of (left, right) between the camera's frame and each hand's own: left hands are mirrored."""


@dataclass(frozen=True, eq=False)
class Regression:
    """The network's answer for one frame; hands (left, right), each in its own side's convention, camera axes.

    rotations: (2, 16, 3, 3), wrist to camera, then MANO's 15 joints relative to the flat hand. betas: (2, 10).
    joint_sigma: (2, 21), expected error of the wrist-relative joints, metres a coordinate. relative: (3,), left minus
    right wrist, metres; relative_sigma: its expected error a coordinate. landmarks: (2, 21, 2) pixels where the network
    itself sees the joints in the picture it was given, NaN where it does not; None from a network that is told them. prompt:
    (2, 16, 3, 3), rotations from the frame alone, which trail no motion, where the window has a past and no future.
    uncertainty: (2,) how many times as large as with a long past the error of each hand's rotations is. What concerns
    absent hands means nothing.
    """

    rotations: np.ndarray
    betas: np.ndarray
    joint_sigma: np.ndarray
    relative: np.ndarray
    relative_sigma: float
    landmarks: np.ndarray | None = None
    prompt: np.ndarray | None = None
    uncertainty: np.ndarray = field(default_factory=lambda: np.ones(2))


class Regressor(Protocol):
    """Runs a network on windows of frames. `encode` sets a frame's `tokens` and, where it knows it, `radius`."""

    sees: bool
    """Whether the network is given the image."""
    half_window: float
    """Seconds between the estimated frame and either end of its window."""

    def add_camera(self) -> None:
        """Be ready for one camera more, whose threads will call too."""

    def encode(self, frame: Frame) -> None:
        """What is computed of a frame once, when its `detections` and `rays` are known."""

    def regress(self, frames: Sequence[Frame], target: Frame) -> Regression:
        """The hands in `target`, one of `frames` (in order of time), from the window around it."""


@dataclass(frozen=True, eq=False)
class LandmarkTokens:
    """hands: (2, C) float32 hand tokens. turn: (2, 3, 3) camera frame to each hand's virtual camera."""

    hands: np.ndarray
    turn: np.ndarray


class LandmarkRegressor:
    """Runs the landmark network: `encode` once a frame, `regress` on the window around the frame in question."""

    sees = False
    """Whether the network is given the image."""

    def __init__(self, network: Execution) -> None:
        self.config = network.config
        self.half_window = network.config.window // 2 * network.config.frame_gap
        self.execution = network
        self._no_hands = np.zeros((2, network.config.width), np.float32)

    def add_camera(self) -> None:
        """Nothing to do: several threads may call at the same time."""

    def encode(self, frame: Frame) -> None:
        """Hand tokens of a frame whose `detections` and `rays` are known."""
        present = frame.present
        if not present.any():
            return
        world = np.zeros((2, 21, 3))
        for side, detection in enumerate(frame.detections):
            if detection is not None:
                world[side] = detection.world
        has_world = np.isfinite(world).all((1, 2)) & present
        world = np.where(has_world[:, None, None], world, 0.0) * MIRROR[:, None]
        hands, turn, radius = self.execution.encode(
            (frame.rays * MIRROR[:, None, :2]).astype(np.float32), world.astype(np.float32), has_world, present
        )
        frame.tokens, frame.radius = LandmarkTokens(hands, turn.astype(float)), radius.astype(float)

    def regress(self, frames: Sequence[Frame], target: Frame) -> Regression:
        """The hands in `target`, one of `frames` (in order of time), from the window around it."""
        picked, offsets = pick_window(frames, target, self.config)
        window = [frames[k] for k in picked.tolist()]
        hands = np.array([self._no_hands if frame.tokens is None else frame.tokens.hands for frame in window]).swapaxes(0, 1)
        valid = np.array([[frame.detections[side] is not None for frame in window] for side in (LEFT, RIGHT)])
        rotations, _, other_root, other_sigma, joint_sigma, alone = (
            value.astype(float) for value in self.execution.reason(hands, offsets.astype(np.float32), valid)
        )
        newest = len(frames) > 1 and target is frames[-1]
        # the fewer frames the network has seen of a hand, the less its pose is to be held to
        uncertainty = 1.0 + 1.0 / np.maximum(valid[:, np.diff(picked, prepend=-1) > 0].sum(1), 1)
        relative, relative_sigma = _relative(target.tokens.turn, other_root, other_sigma)
        return Regression(
            self._turned(rotations, target),
            # the mean hand: of a person's shape one camera tells nothing, and what the network guesses is 2.4 % too short
            np.zeros((2, 10)),
            joint_sigma,
            relative,
            relative_sigma,
            prompt=self._turned(alone, target) if newest else None,
            uncertainty=uncertainty,
        )

    @staticmethod
    def _turned(rotations: np.ndarray, target: Frame) -> np.ndarray:
        """Rotations (2, 16, 3, 3) from the virtual cameras, own coordinates, to the camera's, each side's convention."""
        rotations[:, 0] = np.swapaxes(target.tokens.turn, -1, -2) @ rotations[:, 0]
        rotations[LEFT] = mirror_matrix(rotations[LEFT])
        return rotations


def pick_window(frames: Sequence[Frame], target: Frame, config: LandmarkConfig | ImageConfig) -> tuple[np.ndarray, np.ndarray]:
    """Indices (T,) of the frames nearest in time to the window around `target`, and their (T,) times from it in gaps.

    By stamps, so that dropped frames and slower cameras keep the spacing. What lies beyond either end is filled with
    the first or the newest frame, as at the ends of a video.
    """
    half = config.window // 2
    ages = np.array([(frame.stamp - target.stamp) * 1e-9 for frame in frames]) / config.frame_gap
    picked = np.abs(ages - np.arange(-half, half + 1)[:, None]).argmin(axis=1)
    return picked, ages[picked]


def _relative(turn: np.ndarray, root: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, float]:
    """The left wrist relative to the right one from both sides' regressions, and its sigma, metres."""
    from_right = turn[RIGHT].T @ root[RIGHT]
    from_left = -(turn[LEFT].T @ root[LEFT]) * MIRROR[LEFT]
    weights = 1.0 / sigma**2
    mean = (weights[LEFT] * from_left + weights[RIGHT] * from_right) / weights.sum()
    return mean, float(np.sqrt(0.5 * (sigma**2).mean()))
