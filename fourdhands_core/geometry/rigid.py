"""Where one frame stands in another: a rotation and a position."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .rotations import axis_angle_from_matrix, matrix_from_axis_angle


@dataclass(frozen=True, eq=False)
class Rigid:
    """A frame in its parent's axes: rotation (3, 3), position (3,) metres. `rigid @ other` is other, given in rigid's frame,
    in the parent's."""

    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def __matmul__(self, other: Rigid) -> Rigid:
        return Rigid(self.rotation @ other.rotation, self.rotation @ other.position + self.position)

    def inverse(self) -> Rigid:
        """The parent in this frame's axes."""
        return Rigid(self.rotation.T, -self.rotation.T @ self.position)

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of this frame in the parent's axes."""
        return points @ self.rotation.T + self.position

    def towards(self, other: Rigid, share: float) -> Rigid:
        """Between this (share 0) and another one (share 1), as tf2 interpolates: the turn and the way in equal parts."""
        turn = axis_angle_from_matrix(self.rotation.T @ other.rotation)
        return Rigid(
            self.rotation @ matrix_from_axis_angle(share * turn), self.position + share * (other.position - self.position)
        )

    def angle_to(self, other: Rigid) -> float:
        """By how much the other one is turned from this, radians."""
        return float(np.linalg.norm(axis_angle_from_matrix(self.rotation.T @ other.rotation)))


def aligned(here: np.ndarray, there: np.ndarray, weights: np.ndarray) -> Rigid:
    """What brings points `here` (N, 3) nearest to `there`, in least squares of weights (N,) (Kabsch, 1976)."""
    share = weights / weights.sum()
    a, b = share @ here, share @ there
    u, _, vt = np.linalg.svd((there - b).T @ ((here - a) * share[:, None]))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    return Rigid(rotation, b - rotation @ a)
