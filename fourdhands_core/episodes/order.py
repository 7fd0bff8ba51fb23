"""Which messages of a topic are used where their stamps do not rise: as many as can be; a wrong stamp costs one message."""

from __future__ import annotations

from array import array
from bisect import bisect_left

import numpy as np

_FAR = 10_000_000_000
"""Nanoseconds that the stamp of the first or last message may be away from where the times of recording put it."""
_TWICE = 2
"""Of the stamps that a clock showed twice, so many times as many may have come the second time as the first."""


def in_order(stamp: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(K,) which of N messages are used, rising: see _rising.

    stamp, time: (N,) int64 ns, of the messages and of when they were recorded, in the order in which they came. A first or last
    message whose stamp is far from its neighbour's is not used either where the times of recording do not show that.
    """
    used = np.arange(len(stamp))
    kept = used[_rising(stamp)]
    for end, inner in ((0, 1), (-1, -2)):
        if len(kept) > 2 and _is_far(stamp, time, *kept[[end, inner, inner + (1 if end == 0 else -1)]].tolist()):
            used = used[used != kept[end]]
            kept = used[_rising(stamp[used])]
    return kept


def _is_far(stamp: np.ndarray, time: np.ndarray, *three: int) -> bool:
    """Whether the stamp of the first is far from that of the second, of which that of the third is not."""
    first, second = np.diff(stamp[list(three)]) - np.diff(time[list(three)])
    return bool(abs(first) > _FAR >= abs(second))


def _rising(stamp: np.ndarray) -> np.ndarray:
    """(M,) which messages are used, by their stamps (N,) in the order of recording: as many as can be whose stamps rise. Where
    a clock was set back, and showed stamps twice, the first ones are used of every topic, even where more came again."""
    if (np.diff(stamp) > 0).all():
        return np.arange(len(stamp))
    kept, falls = _most_rising(stamp), np.append(np.flatnonzero(np.diff(stamp) <= 0), len(stamp) - 1)
    gaps = np.flatnonzero(np.diff(kept, append=len(stamp)) > 1)
    last = falls[np.searchsorted(falls, kept[gaps])]  # until there the stamps rose the first time
    first = last - kept[gaps]
    again = np.searchsorted(stamp[kept], stamp[last], side="right") - gaps - 1
    pieces, done = [], 0
    for k in np.flatnonzero((first > 1) & (again <= _TWICE * first)).tolist():
        if gaps[k] >= done:
            pieces += [kept[done : gaps[k] + 1], np.arange(kept[gaps[k]] + 1, last[k] + 1)]
            done = gaps[k] + 1 + again[k]
    return np.concatenate([*pieces, kept[done:]])


def _most_rising(stamp: np.ndarray) -> np.ndarray:
    """The longest rising subsequence, in N log N: of each message how many can be used from it on, then the first that can
    begin so many, and so on."""
    stamps, left = array("q", np.asarray(stamp, np.int64).tobytes()), array("q", bytes(8 * len(stamp)))
    starts = array("q")  # starts[k]: minus the greatest stamp from which on k + 1 can be used
    for index in range(len(stamps) - 1, -1, -1):
        count = bisect_left(starts, -stamps[index])
        starts[count : count + 1] = array("q", [-stamps[index]])
        left[index] = count + 1
    kept = array("q")
    for index, count in enumerate(left):
        if count == len(starts) - len(kept) and (not kept or stamps[index] > stamps[kept[-1]]):
            kept.append(index)
    return np.array(kept, np.int64)


def hidden(stamp: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(K,) ns that passed before each message that is used while the clock, which was set back, showed what it had shown.

    stamp: (N,) of all messages. kept: see in_order.
    """
    result = np.zeros(len(kept), np.int64)
    for at in np.flatnonzero(np.diff(kept) > 1).tolist():
        first, last = kept[at : at + 2]
        between = stamp[first + 1 : last]
        between = between[between <= stamp[first]]
        result[at + 1] = np.maximum(np.diff(between), 0).sum()
    return result
