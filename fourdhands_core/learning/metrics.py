"""Errors of hand poses in millimetres: MPJPE, PA-MPJPE, MRRPE, wrist position, jitter and lag. Input in metres."""

from __future__ import annotations

import numpy as np


def mpjpe(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean joint distance after moving both wrists (joint 0) to the origin: (..., 21, 3) -> (...), mm."""
    predicted = predicted - predicted[..., :1, :]
    true = true - true[..., :1, :]
    return 1000.0 * np.linalg.norm(predicted - true, axis=-1).mean(-1)


def procrustes(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """`predicted` (..., N, 3) moved onto `true` by the best similarity (rotation, scale, translation)."""
    mean_p, mean_t = predicted.mean(-2, keepdims=True), true.mean(-2, keepdims=True)
    p, t = predicted - mean_p, true - mean_t
    u, s, vt = np.linalg.svd(np.swapaxes(t, -1, -2) @ p)
    sign = np.ones(s.shape)
    sign[..., 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[..., None, :]) @ vt
    scale = (s * sign).sum(-1) / np.maximum((p * p).sum((-1, -2)), 1e-18)
    return scale[..., None, None] * p @ np.swapaxes(rotation, -1, -2) + mean_t


def pa_mpjpe(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Mean joint distance after the best similarity: (..., 21, 3) -> (...), mm."""
    return 1000.0 * np.linalg.norm(procrustes(predicted, true) - true, axis=-1).mean(-1)


def mrrpe(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Error of the left root relative to the right root: (..., 3) -> (...), mm."""
    return 1000.0 * np.linalg.norm(predicted - true, axis=-1)


def hand_size(joints: np.ndarray) -> np.ndarray:
    """Wrist to middle knuckle: (..., 21, 3) -> (...), in the unit given."""
    return np.linalg.norm(joints[..., 9, :] - joints[..., 0, :], axis=-1)


def jitter(joints: np.ndarray) -> float:
    """Mean norm of the second differences of root-relative joints (T, 21, 3), in hand sizes (median wrist to middle
    knuckle). Frames with NaN are left out together with the differences they touch."""
    relative = (joints - joints[:, :1]) / np.nanmedian(hand_size(joints))
    second = relative[2:] - 2.0 * relative[1:-1] + relative[:-2]
    return float(np.nanmean(np.linalg.norm(second[:, 1:], axis=-1)))


def lag(joints: np.ndarray, reference: np.ndarray, smoothing: float = 2.0, most: int = 6) -> float:
    """By how many frames `joints` (T, 21, 3) trail `reference` (T, 21, 3), positive where they are late.

    The peak, interpolated between frames by a parabola, of the correlation of root-relative joint velocities, both
    smoothed by the same zero-phase Gaussian (`smoothing`, frames). NaN frames are left out.
    """
    from scipy.ndimage import gaussian_filter1d

    def velocities(points):
        relative = (points - points[:, :1]) / np.nanmedian(hand_size(points))
        bad = ~np.isfinite(relative).all((1, 2))
        good = np.flatnonzero(~bad)
        flat = relative.reshape(len(relative), -1)
        flat = np.stack([np.interp(np.arange(len(flat)), good, column[good]) for column in flat.T], axis=1)
        velocity = np.gradient(gaussian_filter1d(flat, smoothing, axis=0), axis=0)
        margin = gaussian_filter1d(bad.astype(float), smoothing) > 1e-3
        return velocity, margin

    a, bad_a = velocities(joints)
    b, bad_b = velocities(reference)
    shifts = np.arange(-most, most + 1)
    scores = []
    for shift in shifts:
        rows = np.arange(max(0, -shift), min(len(a), len(a) - shift))
        rows = rows[~(bad_a[rows + shift] | bad_b[rows])]
        x, y = a[rows + shift], b[rows]
        scores.append((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))
    k = int(np.clip(np.argmax(scores), 1, len(shifts) - 2))
    before, here, after = scores[k - 1:k + 2]
    return float(shifts[k] + 0.5 * (before - after) / (before - 2.0 * here + after))
