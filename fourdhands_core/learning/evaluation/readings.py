"""What a robot hand reads of a human one: how far the thumb is from the fingertips, how far the fingers are bent."""

from __future__ import annotations

import numpy as np

from ...hand_model.skeleton import SIDES, TIP_JOINTS
from ...retargeting.human import bends, measure

NEAR = 40.0
"""Millimetres between the thumb's tip and a finger's, up to which their error counts."""
CLOSED, OPEN, BETWEEN = 10.0, 25.0, 17.5
"""Millimetres: a pinch below the first is closed, above the second open, and told by which side of the third it is read on."""
JOINTS = ("mcp", "pip")
"""Of the four fingers; the thumb's knuckle turns about no single axis."""


def gaps(joints: np.ndarray) -> np.ndarray:
    """Distances (..., 4), mm, of the thumb's tip to the fingers' tips, of joints (..., 21, 3), metres."""
    thumb, fingers = joints[..., TIP_JOINTS[:1], :], joints[..., TIP_JOINTS[1:], :]
    return 1000.0 * np.linalg.norm(fingers - thumb, axis=-1)


def finger_bends(joints: np.ndarray, side: int) -> np.ndarray:
    """Bends (N, 4, 2) of the four fingers' MCP and PIP, degrees, of joints (N, 21, 3), as retargeting reads them."""
    return np.array([np.degrees(bends(measure(hand, SIDES[side]))[1:, :2]) for hand in joints]).reshape(-1, 4, 2)


class Readings:
    """Adds up what is read of hands beside what is true."""

    def __init__(self) -> None:
        self._gaps: list[np.ndarray] = [np.zeros((0, 4, 2))]
        self._bends: list[np.ndarray] = [np.zeros((0, 4, 2, 2))]

    def add(self, predicted: np.ndarray, true: np.ndarray, chosen: np.ndarray) -> None:
        """Joints (N, 2, 21, 3), metres, of the hands (left, right) that are chosen (N, 2) and finite."""
        chosen = chosen & np.isfinite(predicted).all((-1, -2))
        for side in range(2):
            hands = [joints[chosen[:, side], side] for joints in (true, predicted)]
            self._gaps.append(np.stack([gaps(joints) for joints in hands], -1))
            self._bends.append(np.stack([finger_bends(joints, side) for joints in hands], -1))

    def summary(self) -> dict[str, float]:
        """gap: mean error, mm, where the true distance is below NEAR. told: closed and open pinches that are read as what they
        are, the mean of both shares, percent. mcp, pip: mean errors, degrees; the slope, intercept (degrees) and correlation of
        the estimate as a line over the truth. What there is none of is left out."""
        true, read = np.concatenate(self._gaps).reshape(-1, 2).T
        result = {}
        if (near := true < NEAR).any():
            result["gap"] = round(float(np.abs(read - true)[near].mean()), 2)
        if (closed := true < CLOSED).any() and (apart := true > OPEN).any():
            shares = (read[closed] < BETWEEN).mean(), (read[apart] >= BETWEEN).mean()
            result |= {"told": round(50.0 * float(sum(shares)), 1), "closed_pinches": int(closed.sum())}
        every = np.concatenate(self._bends)
        for k, name in enumerate(JOINTS):
            t, p = every[:, :, k].reshape(-1, 2).T
            if len(t) > 2 and t.std() > 1e-6:
                slope = float(((t - t.mean()) * p).mean() / t.var())
                result[name] = round(float(np.abs(p - t).mean()), 2)
                result[f"{name}_slope"] = round(slope, 3)
                result[f"{name}_intercept"] = round(float(p.mean() - slope * t.mean()), 2)
                result[f"{name}_correlation"] = round(float(slope * t.std() / max(p.std(), 1e-6)), 3)
        return result
