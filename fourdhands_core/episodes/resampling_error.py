"""How far rows between two messages are from where the hands were: an estimate from the recording itself.

Linear interpolation over a step is off by half the acceleration times the times to both of its ends. The acceleration is that
of the messages, so that the tracker's noise counts as movement; against truth see benchmarks/episodes.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .recording import Hands
from .resampling import SNAP, Episode

_BLOCK = 500
"""Rows that are looked at together."""


def resampling_error(episodes: Sequence[Episode]) -> dict[str, float]:
    """Mean, 95 % and most over all rows that have a hand, millimetres, the mean over a hand's joints; 0 for no rows."""
    found = np.concatenate([np.zeros(0), *(row_errors(episode) for episode in episodes)])
    found = found[np.isfinite(found)]
    if not len(found):
        return {"mean_mm": 0.0, "p95_mm": 0.0, "most_mm": 0.0}
    values = found.mean(), np.quantile(found, 0.95), found.max()
    return {name: round(float(value), 4) for name, value in zip(("mean_mm", "p95_mm", "most_mm"), values)}


def row_errors(episode: Episode) -> np.ndarray:
    """(N,) estimated millimetres, of the hand that is further off; NaN where none is there."""
    pieces, recorded = [], episode.recorded
    for first in range(0, episode.length, _BLOCK):
        stamp = episode.stamp[first : min(first + _BLOCK, episode.length)]
        begin = max(int(np.searchsorted(recorded.stamp, stamp[0])) - 2, 0)
        end = int(np.searchsorted(recorded.stamp, stamp[-1])) + 3
        pieces.append(_errors(recorded.part(slice(begin, end)), stamp))
    return np.concatenate(pieces)


def _errors(hands: Hands, stamp: np.ndarray) -> np.ndarray:
    if len(hands) < 3:
        return np.full(len(stamp), np.nan)
    after = np.clip(np.searchsorted(hands.stamp, stamp), 1, len(hands) - 1)
    to_before, to_after = stamp - hands.stamp[after - 1], hands.stamp[after] - stamp
    exact = np.minimum(np.abs(to_before), np.abs(to_after)) <= SNAP
    ends = _accelerations(hands)[np.stack([after - 1, after])]  # (2, N, 2)
    known = np.isfinite(ends)
    acceleration = np.where(known, ends, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    off = 0.5e3 * acceleration * (np.maximum(to_before, 0) * np.maximum(to_after, 0) / 1e18)[:, None]
    off = np.where(exact[:, None], 0.0, off)
    there = np.where(exact[:, None], hands.valid[after - 1] | hands.valid[after], known.any(axis=0))
    return np.where(there.any(axis=1), np.where(there, off, 0.0).max(axis=1), np.nan)


def _accelerations(hands: Hands) -> np.ndarray:
    """(M, 2) m/s² at messages, the mean over a hand's joints; NaN at both ends and where the hand is not in all three."""
    joints, step = hands.joints.astype(np.float64), np.diff(hands.stamp).reshape(-1, 1, 1, 1) / 1e9
    velocity = np.diff(joints, axis=0) / step
    bent = 2.0 * np.diff(velocity, axis=0) / (step[1:] + step[:-1])
    result = np.full((len(hands), 2), np.nan)
    result[1:-1] = np.linalg.norm(bent, axis=-1).mean(axis=-1)
    return result
