"""Commands at absolute deadlines, in a thread of their own.

A step takes longer at some times than at others, and whatever else its process does lets it wait. So it is computed ahead, for
the moment at which it is due, and told then.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from typing import Generic, Protocol, TypeVar

_AHEAD = 0.4
"""Of a period, by which a step is computed before it is due."""
_SWITCH = 0.0005
"""Seconds for which another thread of this process may go on while this one waits; Python's own are 0.005."""
_PRIORITY = 10
"""Of SCHED_FIFO, where this computer allows it: below what controllers of robots have, 50."""


T = TypeVar("T")


class Steps(Protocol[T]):
    """What a stream calls, with what its first call returns."""

    def compute(self, due: float) -> T:
        """The step that is to be told at `due` (time.monotonic()), of all that is known now; changes nothing."""

    def holds(self, made: T) -> bool:
        """Whether nothing has come since it was computed that forbids to tell it."""

    def tell(self, made: T) -> None:
        """Tell it, and go on from it."""

    def after(self, made: T) -> None:
        """What has time until the next one."""


class Stream(Generic[T]):
    """Tells a step every `period` seconds until it is closed. error: what ended it, else None.

    One that is a period late, as on a computer that was busy, or that no longer holds, is computed anew.
    """

    def __init__(self, period: float, steps: Steps[T]) -> None:
        self._period, self._steps, self._ended = period, steps, False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="commands", daemon=True)
        sys.setswitchinterval(min(_SWITCH, sys.getswitchinterval()))
        gc.unfreeze()
        gc.collect()
        gc.freeze()  # what is there now stays, and need not be looked through between two commands
        self._thread.start()

    def close(self) -> None:
        """End it: nothing is told afterwards."""
        self._ended = True
        self._thread.join()

    @property
    def runs(self) -> bool:
        """Whether steps are told."""
        return self._thread.is_alive()

    def _work(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # not allowed, or no Linux
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        due = time.monotonic() + self._period
        try:
            while self._until(due - _AHEAD * self._period):
                made = self._steps.compute(due)
                if not self._until(due):
                    return
                now = time.monotonic()
                if now > due + self._period or not self._steps.holds(made):
                    due = max(due, now)
                    made = self._steps.compute(due)
                self._steps.tell(made)
                self._steps.after(made)
                # on a computer that is too slow for the period, others get their time too
                due = max(due + self._period, time.monotonic() + 0.5 * self._period)
        except Exception as error:
            self.error = error

    def _until(self, moment: float) -> bool:
        """Sleep until then; whether to go on."""
        if (seconds := moment - time.monotonic()) > 0.0:
            time.sleep(seconds)
        return not self._ended
