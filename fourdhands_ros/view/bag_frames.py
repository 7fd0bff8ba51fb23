"""Where frames stood at whatever moment of a bag, from the messages of /tf around it."""

from __future__ import annotations

import numpy as np

from fourdhands_core.geometry.rigid import Rigid

from ..bags.index import BagIndex
from ..convert.transforms import TransformBuffer

_AROUND = 1_000_000_000
"""Nanoseconds of recording before and after a moment in which its transforms were recorded."""
_MOST = 2000
"""Messages that are read for one moment."""


class BagFrames:
    """The transforms of a bag. moving, static: their topics, which its index holds where the bag has them. Static ones hold for
    all of it."""

    def __init__(self, index: BagIndex, moving: str, static: str) -> None:
        self._index, self._times = index, index.times.get(moving, np.zeros(0, np.int64))
        self._moving, self._static = moving, static
        self._buffer, self._span = TransformBuffer(), (0, 0)
        self._restart(0)

    def lookup(self, target: str, source: str, stamp: int, time: int) -> Rigid:
        """Where `source` stood in `target` at a stamp; time: when that was recorded; nanoseconds. Raises TransformError."""
        first, last = np.searchsorted(self._times, [time - _AROUND, time + _AROUND]).tolist()
        last = min(last, first + _MOST)
        if not self._span[0] <= first <= self._span[1]:
            self._restart(first)
        for number in range(self._span[1], last):
            self._put(self._moving, number, static=False)
        self._span = self._span[0], max(self._span[1], last)
        return self._buffer.lookup(target, source, stamp)

    def _restart(self, first: int) -> None:
        self._buffer, self._span = TransformBuffer(), (first, first)
        for number in range(min(len(self._index.times.get(self._static, ())), _MOST)):
            self._put(self._static, number, static=True)

    def _put(self, topic: str, number: int, static: bool) -> None:
        try:
            data = self._index.read(topic, number)
        except Exception:  # damaged, as whatever the libraries raise
            return
        self._buffer.put(data, static)
