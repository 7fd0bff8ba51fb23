"""Whether cameras that cannot be calibrated saw the same hands, but by clocks that are apart or run at another rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ...errors import InputError
from ...geometry.rigid import aligned
from .shared_hands import LEAST_HANDS, Sightings

_RATES = 1.0, 24 / 25, 25 / 24, 24 / 30, 25 / 30, 30 / 25, 30 / 24, 0.5, 2.0
"""By which a clock may run: the same, or that of a video whose frames a second are said to be others."""
_MOST, _STEPS = 2.0, (0.04, 0.01)
"""Seconds by which clocks may be apart, and between two tries: first, and around the best of these."""
_LEAST = 0.015
"""Seconds apart that are worth a word."""
_GAP = 0.1
"""Seconds between two images between which a hand's place is interpolated."""
_FEW = 400
"""Images that are looked at, evenly spread."""


def clocks_apart(cameras: Mapping[str, Sightings], solves: Callable[[Mapping[str, Sightings]], object]) -> str:
    """What is wrong with the clocks, in words; empty where that is not known.

    solves: calibrates, and raises InputError where that does not succeed. The clocks are what is wrong where it does with
    stamps that are moved so that what each camera alone makes of the hands' places fits the first one's best.
    """
    names, moved, told = list(cameras), dict(cameras), []
    for name in names[1:]:
        late, rate = _fitting(_places(cameras[names[0]]), _places(cameras[name]))
        if rate == 1.0 and abs(late) < _LEAST:
            continue
        stamps = np.array(cameras[name].stamps, np.int64)
        begin = stamps.min()
        moved[name] = replace(cameras[name], stamps=(begin + ((stamps - begin) * rate - late * 1e9).astype(np.int64)).tolist())
        if rate == 1.0:
            ms, than = round(1e3 * abs(late)), "later" if late > 0 else "earlier"
            told.append(f"stamps of {name} are about {ms} ms {than} than those of {names[0]}")
        else:
            told.append(f"the time of {name} passes about {1.0 / rate:.2f} times as fast as that of {names[0]}")
    if not told:
        return ""
    try:
        solves(moved)
    except InputError:
        return ""
    return (
        f"the clocks are apart: {', '.join(told)}; synchronise the cameras' clocks, or have videos begin at the same moment, "
        "with the frames a second with which they were recorded"
    )


def _places(seen: Sightings) -> tuple[np.ndarray, np.ndarray]:
    """Stamps (N,) in seconds and the hands' middles (N, 2, 3) there, NaN of hands that were not seen."""
    joints = np.array(seen.joints).reshape(-1, 2, 21, 3)
    return np.array(seen.stamps, np.int64) * 1e-9, joints.mean(2)


def _fitting(first: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Seconds by which the other's stamps are late, and the rate by which they become the first one's; (0, 1) where
    nothing fits better."""
    every = max(1, len(first[0]) // _FEW)
    times, places = first[0][::every], first[1][::every]
    best, least = (0.0, 1.0), 0.8 * _misfit(times, places, other, 0.0, 1.0)
    for rate in _RATES:
        middle = 0.0
        for step, reach in zip(_STEPS, (_MOST, _STEPS[0])):
            tries = middle + np.arange(-reach, reach + step / 2, step)
            costs = [_misfit(times, places, other, late, rate) for late in tries]
            middle = float(tries[int(np.argmin(costs))])
        if min(costs) < least:
            best, least = (middle, rate), 0.9 * min(costs)  # another rate has to be better by some
    return best


def _misfit(times: np.ndarray, places: np.ndarray, other: tuple[np.ndarray, np.ndarray], late: float, rate: float) -> float:
    """Mean of the squared distances, at most 0.1 m, of the first one's hands from the other's, turned and moved to fit."""
    stamps = other[0][0] + (other[0] - other[0][0]) * rate - late if len(other[0]) else other[0]
    if len(stamps) < 2:
        return np.inf
    after = np.clip(np.searchsorted(stamps, times), 1, len(stamps) - 1)
    before = after - 1
    share = (times - stamps[before]) / np.maximum(stamps[after] - stamps[before], 1e-9)
    there = other[1][before] + share[:, None, None] * (other[1][after] - other[1][before])
    there[(share < 0.0) | (share > 1.0) | (stamps[after] - stamps[before] > _GAP)] = np.nan
    known = np.isfinite(places).all(-1) & np.isfinite(there).all(-1)
    if known.sum() < LEAST_HANDS / 2:
        return np.inf
    a, b, weight = places[known], there[known], np.ones(int(known.sum()))
    for _ in range(6):
        apart = np.linalg.norm(a - aligned(b, a, weight).apply(b), axis=-1)
        weight = 1.0 / np.maximum(apart, 0.01)
    return float(np.square(np.minimum(apart, 0.1)).mean())
