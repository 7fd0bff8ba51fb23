"""How images of hands are to be read where nobody says it: told by where joints lie in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry.camera import Camera
from .landmarks import SEEN_SIZE

_OFF = 2.0
"""Pixels by which joints lie beside those that are told, in the median, before another lens is thought of."""
SIZES = SEEN_SIZE, 1.0
"""How large hands may be in `joints_2d` beside `joints`: as one camera sees them, or, as in others' recordings, alike."""


def resized(joints: np.ndarray, size: float | np.ndarray) -> np.ndarray:
    """Hands (..., 21, D) that are so many times as large around their wrists."""
    return joints[..., :1, :] + size * (joints - joints[..., :1, :])


def lie_mirrored(points: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether points (..., 3) in a camera's optical frame lie at their pixels (..., 2) as in a mirrored image."""
    points, pixels = np.asarray(points, np.float64).reshape(-1, 3), np.asarray(pixels, np.float64).reshape(-1, 2)
    good = np.isfinite(points).all(axis=1) & np.isfinite(pixels).all(axis=1) & (points[:, 2] > 1e-3)
    if not good.any():
        return False
    x, u = points[good, 0] / points[good, 2], pixels[good, 0]
    return bool(((x - x.mean()) * (u - u.mean())).sum() < 0.0)


def lens_of(hands: np.ndarray, pixels: np.ndarray, cameras: Sequence[Camera], mirrored: bool) -> int:
    """Through which of the cameras hands (N, 21, 3), metres, are seen at their pixels (N, 21, 2): the first, which is the
    likely one, unless another one's are clearly nearer. mirrored: see lie_mirrored."""
    off = []
    for camera in cameras:
        beside = _as_large(camera.project(hands * (-1.0, 1.0, 1.0) if mirrored else hands), pixels) - pixels
        off.append(float(np.nan_to_num(np.median(np.linalg.norm(beside, axis=-1)), nan=np.inf)))
    best = int(np.argmin(off))
    return best if off[0] > _OFF and off[best] < 0.5 * off[0] else 0


def _as_large(hands: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Hands (N, 21, 2), pixels, each as large around its wrist as the others are. Beside cameras that are known the size can be
    left to each hand; a camera that is sought is found by SIZES, as it could make up for any other."""
    around, seen = hands - hands[:, :1], others - others[:, :1]
    times = (around * seen).sum((1, 2)) / np.maximum(np.square(around).sum((1, 2)), 1e-9)
    return resized(hands, times.clip(0.8, 1.25)[:, None, None])
