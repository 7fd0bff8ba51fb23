"""How a single camera's pose of a hand lies beside the one that several show: remembered for when that camera is alone."""

from __future__ import annotations

import math

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle

_FOLLOWS = 0.15
"""Seconds in which what is remembered follows what is seen."""
_LASTS = 5.0
"""Seconds in which it fades to a third once nothing more is seen: a hand that has turned is mistaken otherwise."""


class Deviations:
    """By camera and side, the turns (16, 3) from the camera's own pose to the common one.

    One camera cannot tell well whether a finger, or the palm, points towards it or away, and its network guesses the same
    again and again; as hands turn slowly beside a camera's rate, it is wrong in the next images as in the last.
    """

    def __init__(self) -> None:
        self._turns: dict[tuple[str, int], np.ndarray] = {}
        self._stamps: dict[tuple[str, int], int] = {}

    def take(self, camera: str, side: int, own: np.ndarray, common: np.ndarray, stamp: int) -> None:
        """A camera's own rotations (16, 3, 3) of a hand, and those that several show at a stamp, nanoseconds."""
        key = camera, side
        turns = axis_angle_from_matrix(np.swapaxes(own, -1, -2) @ common)
        if key in self._turns:
            turns = turns + self._left(key, stamp, _FOLLOWS) * (self._turns[key] - turns)
        self._turns[key], self._stamps[key] = turns, stamp

    def corrected(self, camera: str, side: int, own: np.ndarray, stamp: int) -> np.ndarray:
        """What a camera's own rotations (16, 3, 3) are likeliest to stand for."""
        key = camera, side
        if key not in self._turns:
            return own
        return own @ matrix_from_axis_angle(self._left(key, stamp, _LASTS) * self._turns[key])

    def _left(self, key: tuple[str, int], stamp: int, seconds: float) -> float:
        return math.exp(-max(0.0, (stamp - self._stamps[key]) * 1e-9) / seconds)
