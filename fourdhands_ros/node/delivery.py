"""Whether enough of a camera's images arrive: what speaks for how many it sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EVIDENCE = 10
"""So many images must be due before their absence says anything; a camera that pauses is not a lossy one."""
_ENOUGH, _STARVED = 0.9, 0.5
"""Parts of what is due: below the first twice in a row, or below the second once, too little comes."""
_PAUSE = 10.0
"""Seconds between two stamps from which on the camera has paused, and no images are missing."""
_FASTEST = 1e6
"""Nanoseconds: what comes within them is no other image of the camera, but perhaps a copy with a changed stamp."""
_STALL = 3.0
"""Seconds without an image after which something is to be done, where nothing else tells whether the camera sends any."""
_BUNCHED = 5.0
"""Two images this many times closer together than three were handed over at once."""
_UNSTEADY = 0.15
"""Mean distance of longer gaps from multiples of the period, in periods; by chance it would be 0.25."""


@dataclass(frozen=True)
class Interval:
    """What is known of a stretch of time, `seconds` long.

    came: images. lost: those that the middleware says were lost. infos: CameraInfo messages. spaced: images that the
    camera sent by the spacing of the stamps that came. silent: seconds since the last image ever. paired: CameraInfo has
    been coming all along, so that its silence is the camera's.
    """

    seconds: float
    came: int
    lost: int = 0
    infos: int = 0
    spaced: int = 0
    silent: float = 0.0
    paired: bool = False

    @property
    def due(self) -> int:
        """Images that the camera sent: the most that anything speaks for."""
        return max(self.came + self.lost, self.infos, self.spaced)

    @property
    def conclusive(self) -> bool:
        """Whether enough was due to say anything."""
        return self.due >= EVIDENCE

    @property
    def paused(self) -> bool:
        """Whether the camera, and not only its images, was silent."""
        return self.paired and not self.due

    @property
    def stalled(self) -> bool:
        """Whether images stay away, and nothing tells whether the camera sends any."""
        return not self.paired and self.silent >= _STALL

    @property
    def short(self) -> bool:
        """Whether images are missing: where that goes on, something is to be done."""
        return self.conclusive and self.came < _ENOUGH * self.due

    @property
    def surely_short(self) -> bool:
        """Whether images are missing, by what a camera that is not steady would not bring about as well."""
        sent = max(self.came + self.lost, self.infos)
        return sent >= EVIDENCE and self.came < _ENOUGH * sent

    @property
    def starved(self) -> bool:
        """Whether so many are missing that something is to be done at once."""
        return self.stalled or (self.conclusive and self.came < _STARVED * self.due)


class Spacing:
    """Tells by the stamps of the images that arrive how many were sent: some consecutive ones arrive, a period apart.

    period: of the camera, nanoseconds; None where it is not known yet.
    """

    def __init__(self) -> None:
        self.period: float | None = None
        self._last: int | None = None
        self._gaps: list[int] = []

    def add(self, stamp: int) -> None:
        """An image arrived; its stamp in nanoseconds."""
        gap = None if self._last is None else stamp - self._last
        if gap is not None and 0 <= gap < _FASTEST:
            return
        if gap is not None and 0 < gap < _PAUSE * 1e9:
            self._gaps.append(gap)
        self._last = stamp

    def count(self) -> int:
        """Images sent since `forget` was called; 0 where that is not known."""
        gaps = np.array(self._gaps)
        if len(gaps) >= EVIDENCE:
            self.period = self._shortest(gaps)
        return round(gaps.sum() / self.period) if self.period else 0

    @staticmethod
    def _shortest(gaps: np.ndarray) -> float | None:
        short, pair = np.quantile(gaps, 0.1), np.quantile(gaps[1:] + gaps[:-1], 0.1) / 2
        # Stamps jitter, so a mean; and some drivers hand over two images at once, which is no period.
        period = float(gaps[gaps < 1.5 * short].mean() if short > pair / _BUNCHED else pair)
        # Where images are missing the gaps are multiples; else the camera is not steady, and its stamps say nothing.
        multiples = gaps[gaps > 1.5 * period] / period
        return None if len(multiples) and np.abs(multiples - multiples.round()).mean() > _UNSTEADY else period

    def missing(self) -> int:
        """Images sent since `forget` was called that did not arrive, so far as that is known."""
        return max(0, self.count() - len(self._gaps))

    def forget(self) -> None:
        """Begin anew; the period stays known."""
        self._gaps.clear()
