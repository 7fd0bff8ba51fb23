"""Where the search for a hand's joints begins after a jump: postures of its fingers out of a table."""

from __future__ import annotations

import numpy as np

from .model import RobotModel

_COUNT = 300
_FAR = 0.3
"""Of a finger's length, by which its points have to be off for another posture to be looked for."""
_BETTER = 0.5
"""Of the squares of that, which another posture leaves at most."""


class Postures:
    """Random postures of a robot's hand, and where its points are in each.

    finger_of: (P,) the finger of each of the robot's points; tips: (F,) the bodies of the fingers' tips; lengths: (F,) of the
    fingers, metres; weights: (P,) of the points. Joints that move several fingers, or none, are neutral in all of them.
    """

    def __init__(
        self, robot: RobotModel, finger_of: np.ndarray, tips: np.ndarray, lengths: np.ndarray, weights: np.ndarray
    ) -> None:
        moves = robot.moving(tips)
        self._own = moves & (moves.sum(axis=0) == 1)
        drawn = np.random.default_rng(0).uniform(robot.lower, robot.upper, (_COUNT, len(robot.names)))
        self._joints = np.where(self._own.any(axis=0), drawn, robot.neutral)
        self._points = np.array([robot.pose(joints, collisions=False).points for joints in self._joints])
        self._weights = (finger_of[:, None] == np.arange(len(tips))) * (weights**2)[:, None]
        self._far = (_FAR * lengths) ** 2 * self._weights.sum(axis=0)

    def begin(self, joints: np.ndarray, points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Joints (n,) whose points (P, 3), metres, are far from `wanted` in some fingers: those fingers' of the table, where
        they are much nearer."""
        now = ((points - wanted) ** 2).sum(-1) @ self._weights
        if not (now > self._far).any():
            return joints
        off = ((self._points - wanted) ** 2).sum(-1) @ self._weights
        best = off.argmin(axis=0)
        begun = joints.copy()
        for finger in np.flatnonzero((now > self._far) & (off.min(axis=0) < _BETTER * now)):
            own = self._own[finger]
            begun[own] = self._joints[best[finger], own]
        return begun
