"""When to fuse: as soon as every camera that is due has delivered, and without those that are late, slow or silent."""

from __future__ import annotations

_PATIENCE = 2.5
"""Periods after which a camera that delivers nothing is silent."""
_SAME = 0.6
"""Of the fastest camera's period: images that are so near in time are of one moment."""
_FIRST = 20_000_000
"""Nanoseconds for which the very first image waits for another camera's of its moment."""


class Schedule:
    """Knows at what rate each camera delivers, and so which are due. Stamps in nanoseconds. emitted: the last estimate's."""

    def __init__(self, emitted: int | None = None) -> None:
        self.last: dict[str, int] = {}
        self.period: dict[str, float] = {}
        self._late: set[str] = set()
        self._waiting: set[str] = set()
        self._alone = False
        self.emitted = emitted

    def arrived(self, camera: str, stamp: int) -> bool:
        """A camera has delivered: whether to fuse what there was before it, as it is this camera's turn again."""
        before = self.last.get(camera)
        overdue = bool(self._waiting) and camera not in self._waiting and before != stamp
        if overdue:
            self._late |= self._waiting
            self._waiting.clear()
        if self._alone:
            overdue, self._alone = before is not None or abs(stamp - max(self.last.values())) > _FIRST, False
        if before is not None and stamp > before:
            period = float(stamp - before)
            known = self.period.get(camera, period)
            self.period[camera] = known + 0.2 * (min(period, 4.0 * known) - known)
        self.last[camera] = max(stamp, before or stamp)
        if camera in self._late and (self.emitted is None or stamp > self.emitted):
            self._late.discard(camera)  # it was in time
        return overdue

    def ready(self, camera: str, stamp: int) -> bool:
        """Whether to fuse now, with what this camera has just delivered."""
        if self.emitted is not None and stamp <= self.emitted:
            return False
        if self.last.keys() == {camera} and camera not in self.period:
            self._alone = True
            return False
        self._waiting.discard(camera)
        shortest = min(self.period.values(), default=0.0)
        for other, last in self.last.items():
            if other == camera or other in self._late or (self.emitted is not None and last > self.emitted):
                continue
            period = self.period.get(other, 0.0)
            due = last + period
            if stamp - last < _PATIENCE * period and due <= stamp + _SAME * shortest:
                self._waiting.add(other)
        return not self._waiting

    def fused(self, stamp: int) -> None:
        """An estimate of that moment is out."""
        self.emitted = stamp
        self._waiting.clear()
