"""What a recording's stamps have to do with the times at which messages were recorded, which may be another clock's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_EARLY, _LATE = -100_000_000, 1_000_000_000
"""Nanoseconds after its stamp at which a message of the same clock is recorded: it may have taken so long to come about."""
_AROUND = 2
"""Messages before and after a moment whose delays tell the clock, of which one may be wrong."""


@dataclass(frozen=True, eq=False)
class Clock:
    """That of the stamps. stamp, time: (N,) int64 ns, of messages and of when they were recorded, both rising."""

    stamp: np.ndarray
    time: np.ndarray

    def moment(self, time: int) -> int:
        """The stamp, ns, of what was recorded at a time and has none: that time itself, unless the stamps' clock is another."""
        at = int(np.searchsorted(self.time, time))
        some = slice(max(0, min(at, len(self.time)) - _AROUND), at + _AROUND + 1)
        delay = int(np.median(self.time[some] - self.stamp[some]))
        return time if _EARLY <= delay <= _LATE else time - delay

    @property
    def apart(self) -> float:
        """Seconds by which the stamps are behind the times of recording; 0 where they are of one clock."""
        delay = float(np.median(self.time - self.stamp))
        return 0.0 if _EARLY <= delay <= _LATE else delay / 1e9

    def other(self, stamp: np.ndarray, time: np.ndarray) -> str:
        """In words, that messages beside have stamps of yet another clock; empty where they have not. stamp, time: as above."""
        if not len(stamp):
            return ""
        delays = [float(np.median(when - what)) for when, what in ((time, stamp), (self.time, self.stamp))]
        if abs(delays[0] - delays[1]) <= _LATE:
            return ""
        own, hands = (f"{abs(delay) / 1e9:.1f} s {'behind' if delay > 0 else 'ahead of'}" for delay in delays)
        return f"its stamps are {own} their recording and the hands' {hands} theirs: set the clocks alike, rows mix two moments"
