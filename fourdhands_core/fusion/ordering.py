"""Several cameras' results in the order of their stamps, where trackers that look ahead give some of them later than others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_PATIENCE = 30.0
"""Seconds of stamps for which is waited: a camera that ended leaves images behind whose estimates come at the very end."""
_BACK = 2.0
"""Seconds by which time has gone back, and not one camera is late."""


class InOrder:
    """Gives on what it takes, in the order of stamps. Without lookahead nothing waits, and all is given on as it comes.

    kept: (stamp in nanoseconds, ...) of what waits. last: the newest stamp that was given on.
    """

    def __init__(self) -> None:
        self.kept: list[tuple[Any, ...]] = []
        self.last: int | None = None

    def take(self, results: Iterable[tuple[Any, ...]], waiting: Iterable[int]) -> list[tuple[Any, ...]]:
        """Take in results, each a tuple that begins with its stamp; returns those that no older one can follow any more.

        waiting: stamps of the images, of all cameras, whose results are still to come.
        """
        self.kept += results
        stamps = list(waiting)
        newest = max([one[0] for one in self.kept] + stamps, default=0)
        first = min((stamp for stamp in stamps if stamp >= newest - _PATIENCE * 1e9), default=None)
        if first is not None and self.last is not None and first < self.last - _BACK * 1e9:
            first = self.last = None  # what is kept is of before
        due = sorted((one for one in self.kept if first is None or one[0] < first), key=_stamp)
        self.kept = [one for one in self.kept if first is not None and one[0] >= first]
        if due and first is not None:
            self.last = due[-1][0]
        return due

    def finish(self, results: Iterable[tuple[Any, ...]] = ()) -> list[tuple[Any, ...]]:
        """All that waits, with these: at the end, or where a clock was set back and nothing of before waits for what comes."""
        self.last = None
        return self.take(results, ())


def _stamp(one: tuple[Any, ...]) -> int:
    return int(one[0])
