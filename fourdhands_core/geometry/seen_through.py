"""How images of hands are to be read where nobody says it: told by where joints lie in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .camera import Camera

_OFF = 2.0
"""Pixels by which joints lie beside those that are told, in the median, before another lens is thought of."""


def lie_mirrored(points: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether points (..., 3) in a camera's optical frame lie at their pixels (..., 2) as in a mirrored image."""
    points, pixels = np.asarray(points, np.float64).reshape(-1, 3), np.asarray(pixels, np.float64).reshape(-1, 2)
    good = np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1) & (points[:, 2] > 1e-3)
    if not good.any():
        return False
    x, u = points[good, 0] / points[good, 2], pixels[good, 0]
    return bool(((x - x.mean()) * (u - u.mean())).sum() < 0.0)


def lens_of(points: np.ndarray, pixels: np.ndarray, cameras: Sequence[Camera], mirrored: bool) -> int:
    """Through which of the cameras points (N, 3), metres, are seen at their pixels (N, 2): the first, which is the likely one,
    unless another one's are clearly nearer. mirrored: see lie_mirrored."""
    off = []
    for camera in cameras:
        beside = _as_large(camera.project(points * (-1.0, 1.0, 1.0) if mirrored else points), pixels) - pixels
        off.append(float(np.nan_to_num(np.median(np.linalg.norm(beside, axis=1)), nan=np.inf)))
    best = int(np.argmin(off))
    return best if off[0] > _OFF and off[best] < 0.5 * off[0] else 0


def _as_large(hands: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Hands of 21 joints, (N, 2) pixels, as large around their wrists as others (N, 2) are: `joints_2d` show a hand as large as
    it is seen, which `joints` are not. Other numbers of points come back as they are."""
    if len(hands) % 21:
        return hands
    mine, theirs = hands.reshape(-1, 21, 2), others.reshape(-1, 21, 2)
    around, seen = mine - mine[:, :1], theirs - theirs[:, :1]
    times = (around * seen).sum((1, 2)) / np.maximum(np.square(around).sum((1, 2)), 1e-9)
    return (mine[:, :1] + times.clip(0.8, 1.25)[:, None, None] * around).reshape(-1, 2)
