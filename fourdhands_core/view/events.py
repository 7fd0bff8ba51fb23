"""Where something happens in a recording: a hand is lost, sides are exchanged, images are refused or missing."""

from __future__ import annotations

import numpy as np

from ..hand_model.skeleton import SIDES
from .moments import SEEN, UNKNOWN, Course

LOSS, EXCHANGE, REFUSAL, GAP = "loss", "exchange", "refusal", "gap"
KINDS = LOSS, EXCHANGE, REFUSAL, GAP
"""A hand that was TRACKED is not any more; the hands are where the other one was; images were refused; images are missing.

Another one is found by `find`, told by `describe`, counted in words by `summary` of `view/report.py`, which leaves out those
that it does not name, and, where it is worth a picture, chosen by `worst` there; a mark below the time line is a colour of
`MARK_COLOURS` of `view/timeline.py`, which with its docstring and `docs/view.md` tells the colours. The page has a button for
each.
"""
_GAP = 3.0
"""Usual periods between two images from which on some are missing."""
_FRESH = 0.5
"""Seconds: where a hand was longer ago says nothing of an exchange."""
_APART = 0.06
"""Metres that both hands must be apart for an exchange to be told from a meeting."""
_FASTEST = 2.5
"""Metres a second; hands that may have gone there themselves were not exchanged."""


def find(course: Course, kind: str) -> np.ndarray:
    """The rows, increasing, at which an event of this kind begins; rows that have not been read are passed over."""
    return {LOSS: _losses, EXCHANGE: _exchanges, REFUSAL: _refusals, GAP: _gaps}[kind](course)


def following(course: Course, kind: str, row: int, backwards: bool = False) -> int | None:
    """The row of the next event of a kind after this row, or of the last one before it; None where there is none."""
    rows = find(course, kind)
    rows = rows[rows < row][::-1] if backwards else rows[rows > row]
    return int(rows[0]) if len(rows) else None


def describe(course: Course, kind: str, row: int) -> str:
    """An event in words."""
    if kind == LOSS:
        lost = [SIDES[side] for side in range(2) if course.state[row, side] != SEEN and course.state[row - 1, side] == SEEN]
        return f"{' and '.join(lost)} lost"
    if kind == EXCHANGE:
        return "left and right exchanged"
    if kind == REFUSAL:
        return f"{course.rejected[row] - course.rejected[row - 1]} images refused"
    return f"{(course.stamp[row] - course.stamp[row - 1]) / 1e9:.2f} s without images"


def _losses(course: Course) -> np.ndarray:
    before, now = course.state[:-1], course.state[1:]
    return 1 + np.flatnonzero(((before == SEEN) & (now != SEEN) & (now != UNKNOWN)).any(axis=1))


def _refusals(course: Course) -> np.ndarray:
    read = (course.state != UNKNOWN).all(axis=1)
    return 1 + np.flatnonzero((np.diff(course.rejected) > 0) & read[1:] & read[:-1])


def _gaps(course: Course) -> np.ndarray:
    periods = np.diff(course.stamp)
    return 1 + np.flatnonzero(periods > _GAP * np.median(periods)) if len(periods) else np.zeros(0, int)


def _exchanges(course: Course) -> np.ndarray:
    """Rows from which on a hand is where the other one was in the last row in which that one was seen, and not where it was
    itself: by the sum of both ways, of hands that were apart."""
    wrist = course.joints[:, :, 0]
    seen = np.isfinite(wrist).all(axis=2)
    where = [np.flatnonzero(seen[:, side]) for side in range(2)]
    if not all(map(len, where)):
        return np.zeros(0, int)
    times = course.times()
    rows = np.unique(np.concatenate([_fast(times, wrist[:, side], where[side]) for side in range(2)]))
    number = np.stack([np.searchsorted(one, rows) - 1 for one in where], axis=1)
    known = (number >= 0).all(axis=1)
    rows = rows[known]
    last = np.stack([where[side][number[known, side]] for side in range(2)], axis=1)  # in which each side was seen
    at = wrist[last, [0, 1]].astype(np.float64)
    now, here = np.nan_to_num(wrist[rows]), seen[rows]
    old = (times[rows, None] - times[last]) / 1e9
    moved = (np.linalg.norm(now - at, axis=-1) * here).sum(axis=1)
    crossed = (np.linalg.norm(now - at[:, ::-1], axis=-1) * here).sum(axis=1)
    apart = np.linalg.norm(at[:, 0] - at[:, 1], axis=-1) > _APART
    jumped = (crossed < 0.5 * moved) & (moved > _FASTEST * (old * here).sum(axis=1))
    return rows[(old < _FRESH).all(axis=1) & apart & jumped]


def _fast(times: np.ndarray, wrist: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The rows, of those in which a hand is seen, before which it moved about as fast as in an exchange: few of an hour's, of
    which alone the rest is asked."""
    ways = np.linalg.norm(np.diff(wrist[seen], axis=0), axis=1)
    return seen[1:][ways > 0.99 * _FASTEST * np.diff(times[seen]) / 1e9]
