"""Which cameras' stamps are of one time: those of the others are no moments at which the hands can be compared."""

from __future__ import annotations

_APART = 0.1
"""Seconds between the newest stamps of two cameras, beyond what passed between them, from which on they are of two times."""
_SILENT = 0.5
"""Seconds without an image after which a camera says nothing of the time."""
_JUMP = 2.0
"""Seconds between two images of a camera, forwards or back, that one wrong stamp may have made: the next one tells, or another
camera's."""


class Times:
    """Looks at stamps, nanoseconds, in the order in which images come. others: cameras whose last stamp is of another time.

    The time is that of most cameras, of as many the newest: which clock is right cannot be known, nor whether a camera's is
    slow or its images come late.
    """

    def __init__(self) -> None:
        self.others = set[str]()
        self._last: dict[str, int] = {}
        self._jumped: set[str] = set()
        self._passed: dict[str, float] = {}  # seconds, by each camera's own clock
        self._heard: dict[str, dict[str, float]] = {}  # what had passed when a camera was heard last

    def aside(self, camera: str, stamp: int) -> str:
        """A camera has delivered. Returns why that is of another time than the others' images, in words; else empty."""
        since = (stamp - self._last.get(camera, stamp)) * 1e-9
        jumps, jumped = abs(since) >= _JUMP, camera in self._jumped
        (self._jumped.add if jumps else self._jumped.discard)(camera)
        passed = 0.0 if jumps and not jumped else min(max(since, 0.0), _JUMP)  # of an image every few seconds each one jumps
        self._passed[camera] = self._passed.get(camera, 0.0) + passed
        self._last[camera], self._heard[camera] = stamp, dict(self._passed)
        silent = {name: self._silence(name) for name in self._last}
        heard = [name for name, seconds in silent.items() if seconds < _SILENT]

        def alike(one: str, other: str) -> bool:
            apart = (self._last[one] - self._last[other]) * 1e-9
            return -silent[one] - _APART <= apart <= silent[other] + _APART

        if jumps and len(heard) > 1 and sum(alike(camera, other) for other in heard) == 1:
            return f"its stamps jump by {since:+.1f} s"
        best = max(heard, key=lambda one: (sum(alike(one, other) for other in heard), self._last[one]))
        self.others = {name for name in self._last if not alike(name, best)}
        if camera not in self.others:
            return ""
        apart = (stamp - self._last[best]) * 1e-9
        if apart > 0.0:
            return f"its stamps are {apart:.1f} s later than the others': its clock is apart"
        return f"its stamps are {-apart:.1f} s earlier than the others': its clock is apart, or its images come late"

    def _silence(self, camera: str) -> float:
        """Seconds since a camera was heard, by the clocks of those that were heard since; at most so many."""
        return max(passed - self._heard[camera].get(name, 0.0) for name, passed in self._passed.items())
