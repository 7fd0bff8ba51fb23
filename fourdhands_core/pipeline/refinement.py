"""The network's pose as a prior, the detector's landmarks as a measurement: the most likely pose given both."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry.rotations import matrix_from_axis_angle
from ..hand_model.arrays import HandArrays
from ..hand_model.landmarks import Landmarks
from ..hand_model.skeleton import JOINT_PARENTS, MANO_IN_21
from .translation import NEAREST, solve_translations


def _moved_by() -> np.ndarray:
    """(16, 21) 1 where a MANO joint's rotation moves one of the 21 joints."""
    moved = np.zeros((21, 21))
    for joint in range(21):
        parent = JOINT_PARENTS[joint]
        while parent >= 0:
            moved[parent, joint] = 1.0
            parent = JOINT_PARENTS[parent]
    moved[0, 0] = 1.0  # what stands beside the wrist turns with it
    return moved[MANO_IN_21]


MOVED = _moved_by()
FINGERS = np.arange(1, 16), MANO_IN_21[1:]
"""MANO's finger joints, and their numbers among the 21."""

SPREAD = np.concatenate(
    [
        [0.94],
        [0.94, 0.93, 1.04, 1.19],
        [0.67, 0.76, 1.06, 1.43],
        [0.65, 0.73, 1.09, 1.51],
        [0.66, 0.76, 1.11, 1.49],
        [0.76, 0.84, 1.07, 1.35],
    ]
)
"""(21,) how large the detector's error of each landmark is beside their mean: fingertips err twice as far as knuckles
(learning.landmark.detector_errors, slow and fast together)."""

_SIGMAS, _ORIENTATION = (0.2, 0.1, 0.05), 0.09
"""Expected error of the network's flexion, abduction and twist, and of its global orientation, radians."""


class PoseRefinement:
    """Gauss-Newton on all joint rotations and the wrist's position against the landmarks, with the network as prior.

    hands: (left, right) models. frames: (2, 15, 3, 3) each joint's flexion, abduction and twist axes as columns, in its
    side's axes. iterations: Gauss-Newton steps. landmarks: where the detector sees the joints of both hands, (2, 21, 3).
    """

    def __init__(self, hands: HandArrays, frames: np.ndarray, landmarks: Landmarks, iterations: int = 2) -> None:
        self.hands, self.landmarks = hands, landmarks
        self.axes = np.concatenate([np.tile(np.eye(3), (2, 1, 1, 1)), frames], axis=1)
        self.iterations = iterations
        prior = np.tile(_SIGMAS, (16, 1))
        prior[0] = _ORIENTATION
        self.precision = np.concatenate([1.0 / prior.ravel() ** 2, np.zeros(3)])

    def __call__(
        self,
        rotations: np.ndarray,
        betas: np.ndarray,
        rays: np.ndarray,
        sigma: np.ndarray,
        seen: np.ndarray,
        uncertainty: np.ndarray = np.ones(2),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Refined rotations (2, 16, 3, 3), each hand in its side's convention, camera axes, and wrists (2, 3), metres.

        rotations: the network's. betas: (2, 10). rays: (2, 21, 2) undistorted normalised image coordinates. sigma:
        (2, 21) expected error of the rays. seen: sides to refine; the others come back as they are. uncertainty: (2,) how many
        times as large as `_SIGMAS` the error of each side's rotations is.
        """
        total = np.zeros((2, 51))
        precision = self.precision / uncertainty[:, None] ** 2
        prior = np.eye(51) * (precision + 1e-9)[:, None]
        points, bones = self.hands.joints_and_bones(rotations[:, 0], rotations[:, 1:], betas)
        wrists = np.zeros((2, 3))
        wrists[:, 2] = 1.0
        seen_points = points + self.landmarks.beside(bones)
        wrists[seen], _ = solve_translations(seen_points[seen], rays[seen], sigma[seen], iterations=2)
        for step in range(self.iterations):
            if step:
                points, bones = self.hands.joints_and_bones(rotations[:, 0], rotations[:, 1:], betas)
                seen_points = points + self.landmarks.beside(bones)
            axes = bones @ self.axes  # (2, 16, 3, 3), columns in camera axes
            arms = (seen_points[:, None] - points[:, MANO_IN_21, None]) * MOVED[..., None]  # (2, 16, 21, 3)
            arms[:, FINGERS[0], FINGERS[1]] = (bones @ self.landmarks.after[:, MANO_IN_21, :, None])[:, 1:, :, 0]
            placed = seen_points + wrists[:, None]
            z = np.maximum(placed[..., 2], NEAREST)
            seen_at = placed[..., :2] / z[..., None]
            residual = (seen_at - rays) / sigma[..., None]
            weight = np.sqrt(1.0 / np.maximum(1.0, np.sqrt((residual * residual).sum(-1)) / 2.0))
            scale = weight / (sigma * z)
            # a turn about `axis` moves the image point (u, v) by (axis x arm) . (1, 0, -u) = axis . (arm x (1, 0, -u)), so v
            crossed = arms.swapaxes(1, 2) @ self._crossing(seen_at, scale)  # (2, 21, 16, 6)
            crossed = crossed.reshape(2, 21, 16, 2, 3).transpose(0, 2, 4, 1, 3).reshape(2, 16, 3, 42)
            jacobian = np.empty((2, 51, 21, 2))
            jacobian[:, :48] = (axes.swapaxes(-1, -2) @ crossed).reshape(2, 48, 21, 2)
            jacobian[:, 48:50] = 0.0
            jacobian[:, 48, :, 0] = jacobian[:, 49, :, 1] = scale
            jacobian[:, 50] = -seen_at * scale[..., None]
            jacobian = jacobian.reshape(2, 51, 42)
            error = (residual * weight[..., None]).reshape(2, 42, 1)
            hessian = jacobian @ jacobian.swapaxes(-1, -2) + prior
            gradient = (jacobian @ error)[..., 0] + precision * total
            change = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
            change[:, :48] = change[:, :48].clip(-0.7, 0.7)
            total += change
            wrists = wrists + change[:, 48:]
            vectors = (self.axes @ change[:, :48].reshape(2, 16, 3, 1))[..., 0]
            turned = rotations @ matrix_from_axis_angle(vectors)
            rotations = rotations.copy()
            rotations[seen] = turned[seen]
        return rotations, wrists

    @staticmethod
    def _crossing(points: np.ndarray, scale: Any) -> np.ndarray:
        """(2, 21, 3, 6) C with arm @ C = (arm x (1, 0, -u), arm x (0, 1, -v)) times scale (2, 21), points (2, 21, 2)."""
        c = np.zeros((2, 21, 3, 6))
        scaled = points * scale[..., None]
        u, v = scaled[..., 0], scaled[..., 1]
        c[..., 1, 0], c[..., 0, 1], c[..., 2, 1], c[..., 1, 2] = -u, u, scale, -scale
        c[..., 1, 3], c[..., 2, 3], c[..., 0, 4], c[..., 0, 5] = -v, -scale, v, scale
        return c
