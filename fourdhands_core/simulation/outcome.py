"""What became of a cube that a simulated robot was to pick up and set down."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

OFF = 0.015
"""Metres from its place at which it is off the table."""
LIFTED = 0.05
"""Metres from its place on the table at which the cube counts as lifted."""


def cube_report(
    when: np.ndarray, cubes: np.ndarray, times: np.ndarray, places: np.ndarray, states: list[tuple[float, str]]
) -> dict[str, Any]:
    """What became of the cube. when (N,), cubes (N, 3): its middle; times (M,), places (M, 3): the arm's end; states: what
    teleoperation said when. All by one clock, seconds, and in the arm's base, metres.

    held: whether the cube stayed in the hand wherever nothing was followed for a second or longer while it was off the table;
    None where that did not happen.
    """
    start, high, rest = cubes[0], cubes[:, 2].max(), cubes[-1]
    lifted = bool(high - start[2] > LIFTED)
    placed = lifted and abs(rest[2] - start[2]) < 0.01 and _lowered(when, cubes[:, 2], times, places)
    return {
        "lifted": lifted,
        "placed": bool(placed),
        "held": _held(when, cubes[:, 2] - start[2], states),
        "highest_metres": round(float(high - start[2]), 4),
        "moved_aside_metres": round(float(rest[1] - start[1]), 4),
    }


def _lowered(when: np.ndarray, heights: np.ndarray, times: np.ndarray, places: np.ndarray) -> bool:
    """Whether the arm was down when the cube came back to the table, which else fell."""
    top = int(np.argmax(heights))
    back = top + int(np.argmax(heights[top:] < heights[0] + 0.01))
    at = int(np.clip(np.searchsorted(times, when[back]), 0, len(times) - 1))
    return bool(places[at, 2] < places[:, 2].min() + 0.04)


def _held(when: np.ndarray, lifted: np.ndarray, states: list[tuple[float, str]]) -> bool | None:
    held: bool | None = None
    for following, group in itertools.groupby(states, lambda said: said[1] in ("RAMP", "ENGAGED")):
        stretch = [at for at, _ in group]
        seen = lifted[(when >= stretch[0]) & (when <= stretch[-1])]
        if not following and stretch[-1] - stretch[0] >= 1.0 and len(seen) and seen[0] > OFF:
            held = held is not False and bool(seen.min() > seen[0] - 0.01)
    return held
