"""How far two results of the same images are apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .moments import Course
from .plots import Lines, by_side
from .recordings import Recording

JOINTS, WRISTS, ARTICULATION = "Differences: joints, mm", "Differences: wrists, mm", "Differences: joints about the wrist, mm"
DIFFERENCES = JOINTS, WRISTS, ARTICULATION
"""What is plotted: the mean distance of the joints; that of the wrists; that of joints with the wrists on each other."""


def nearest(stamps: np.ndarray, wanted: np.ndarray, tolerance: float = 0.02) -> np.ndarray:
    """For each wanted stamp, nanoseconds, the row of the nearest of `stamps`, in any order; -1 beyond `tolerance` seconds."""
    if not len(stamps):
        return np.full(len(wanted), -1)
    order = np.argsort(stamps, kind="stable")
    after = np.clip(np.searchsorted(stamps, wanted, sorter=order), 0, len(stamps) - 1)
    before = np.maximum(after - 1, 0)
    after, before = order[after], order[before]
    rows = np.where(np.abs(stamps[before] - wanted) <= np.abs(stamps[after] - wanted), before, after)
    return np.where(np.abs(stamps[rows] - wanted) <= tolerance * 1e9, rows, -1)


def differences(one: Course, other: Course, rows: np.ndarray, kind: str = JOINTS) -> np.ndarray:
    """One of DIFFERENCES of two courses, metres (N, 2), in rows of the first; NaN where not both see the hand."""
    if not len(other):
        return np.full((len(rows), 2), np.nan)
    found = nearest(other.taken, one.taken[rows])
    joints = np.where((found >= 0)[:, None, None, None], other.joints[np.maximum(found, 0)], np.nan)
    apart = one.joints[rows] - joints
    if kind == WRISTS:
        return np.linalg.norm(apart[:, :, 0], axis=-1)
    if kind == ARTICULATION:
        apart = (apart - apart[:, :, :1])[:, :, 1:]
    return np.linalg.norm(apart, axis=-1).mean(axis=-1)


def difference_plot(kind: str, other: Recording) -> Callable[[Course, np.ndarray], Lines]:
    """The lines of a plot of one of DIFFERENCES, millimetres."""
    return lambda course, rows: by_side(1e3 * differences(course, other.course, rows, kind))
