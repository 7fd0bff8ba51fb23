"""Fourth stage: the network's pose, held to the landmarks and to human limits, and filtered over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle
from ..hand_model.arrays import HandArrays
from ..hand_model.landmarks import Landmarks
from ..hand_model.limits import clamp
from ..hand_model.skeleton import LEFT
from .frame import Frame
from .hand_track import HandTrack, ShapeMemory
from .refinement import SPREAD, PoseRefinement
from .regression import MIRROR, Regression
from .settings import TrackerSettings

_PROMPT = 0.5
"""How much of what the landmarks change in the window's pose is changed at once in the newest frame's, the rest as it lasts:
they are of that frame too, but so is their jitter."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Pose and shape of the hands that are seen, (left, right) first, each in its side's convention, camera axes.

    rotations, raw: (2, 16, 3, 3) with and without the temporal filter. betas: (2, 10). joints, joints_raw: (N, 21, 3) of the
    N hands that are seen, relative to the wrist, metres. landmarks, landmarks_raw: (N, 21, 3) where they are seen, likewise.
    wrists: (N, 3) first guess of the wrists' positions, or None.
    """

    rotations: np.ndarray
    raw: np.ndarray
    betas: np.ndarray
    joints: np.ndarray
    joints_raw: np.ndarray
    landmarks: np.ndarray
    landmarks_raw: np.ndarray
    wrists: np.ndarray | None


class Refine:
    """Makes a Pose of a Regression.

    joint_frames: (15, 3, 3) axes of the right hand's joints. landmarks: where the joints of both are seen, (2, 21, 3). tracks:
    the (left, right) hand's.
    """

    def __init__(
        self,
        hands: HandArrays,
        joint_frames: np.ndarray,
        landmarks: Landmarks,
        tracks: tuple[HandTrack, HandTrack],
        settings: TrackerSettings,
    ) -> None:
        self._hands, self.tracks, self._settings = hands, tracks, settings
        self._joint_frames = np.stack([MIRROR[LEFT][:, None] * joint_frames, joint_frames])
        self._solve = PoseRefinement(hands, self._joint_frames, landmarks)
        self._landmarks = landmarks
        self.reset()

    def reset(self) -> None:
        """Forget the shape as far as it was estimated."""
        self.shape = ShapeMemory()

    def __call__(
        self, frame: Frame, seen: np.ndarray, intervals: dict[int, float], regressed: Regression, known: np.ndarray | None
    ) -> Pose:
        """seen: sides of the hands in the frame. intervals: by side, seconds since each was last seen. known: the shape (10,)
        that both hands are known to have; None to estimate it."""
        betas = self._betas(seen, regressed.betas, known)
        raw, wrists = regressed.rotations, None
        if regressed.landmarks is None:  # the network is told the landmarks, but not held to them
            sigma = self._settings.landmark_error * SPREAD * frame.radius[:, None] / np.sqrt(frame.confidence.clip(0.05))
            raw, wrists = self._solve(raw, betas, frame.rays, sigma, seen, regressed.uncertainty)
            wrists = wrists[seen]
        raw = self._within_limits(raw)
        rotations = raw.copy()
        prompt: Any = (None, None)
        if regressed.prompt is not None:
            prompt = corrected(regressed.prompt, regressed.rotations, raw)
        for side in seen:
            rotations[side] = self.tracks[side].smooth(raw[side], prompt[side], intervals[side])
        rotations = self._within_limits(rotations)
        both = np.stack([rotations, raw])
        joints, bones = self._hands.joints_and_bones(both[:, :, 0], both[:, :, 1:], np.stack([betas, betas]))
        landmarks = joints + self._landmarks.beside(bones)
        (joints, joints_raw), (landmarks, landmarks_raw) = joints[:, seen], landmarks[:, seen]
        return Pose(rotations, raw, betas, joints, joints_raw, landmarks, landmarks_raw, wrists)

    def _betas(self, seen: np.ndarray, regressed: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        """(2, 10): the known shape, else the one that the track began with."""
        betas = np.zeros((2, 10))
        for side in seen:
            track = self.tracks[side]
            self.shape.add(regressed[side])
            if known is not None:
                track.betas = known
            elif track.betas is None:
                track.betas = self.shape.mean
            betas[side] = track.betas
        return betas

    def _within_limits(self, rotations: np.ndarray) -> np.ndarray:
        """Rotations (2, 16, 3, 3) with every joint angle inside the human limits."""
        within = rotations.copy()
        within[:, 1:] = clamp(rotations[:, 1:], self._joint_frames)
        return within


def corrected(prompt: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) turned by `_PROMPT` of what turns `before` to `after`."""
    change = axis_angle_from_matrix(np.swapaxes(before, -1, -2) @ after)
    return prompt @ matrix_from_axis_angle(_PROMPT * change)
