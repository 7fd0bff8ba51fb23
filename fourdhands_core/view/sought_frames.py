"""Frames of a video in whatever order."""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from ..media.video import VideoReader

_AROUND = 64
"""Frames that are read on to one rather than sought."""


class SoughtFrames:
    """Frames of a video in whatever order. source: what VideoReader takes, but a camera. size: (width, height).

    Raises InputError where it cannot be read, or is a camera.
    """

    def __init__(self, source: str) -> None:
        self._reader = VideoReader(source)
        if self._reader.is_camera:
            self._reader.close()
            raise InputError(f"{source} is a camera, which has no frames of the past; give the video of the recording")
        self.source, self.count = source, self._reader.frame_count
        self.size = self._reader.width, self._reader.height
        self._period = 1e9 / self._reader.fps
        self._frames = iter(self._reader)
        self._last: tuple[int, np.ndarray] | None = None

    def by_number(self, number: int) -> np.ndarray | None:
        """The frame of this place, from 0, in a video of a constant rate."""
        return self.by_stamp(round(number * self._period))

    def by_stamp(self, stamp: int) -> np.ndarray | None:
        """The frame of a stamp, nanoseconds from the video's start, or the first after it; None beyond the end."""
        half = round(0.5 * self._period)
        earliest, latest = stamp - half, stamp + half
        for back in (1, _AROUND, None):  # seeking may land late
            if self._last is not None and earliest <= self._last[0] < latest:
                return self._last[1]
            if self._last is None or not self._last[0] < earliest <= self._last[0] + _AROUND * self._period:
                self._reader.seek(0 if back is None else max(round(stamp / self._period) - back, 0))
                self._frames, self._last = iter(self._reader), next(self._frames, None)
            if self._last is None or self._last[0] < latest:
                break
        while self._last is None or self._last[0] < earliest:
            frame = next(self._frames, None)
            if frame is None:
                break
            self._last = frame
        return self._last[1] if self._last is not None else None

    def has(self, stamp: int, tolerance: float = 1.0) -> bool:
        """Whether there is a frame of this stamp, give or take so many periods."""
        self.by_stamp(stamp)
        return self._last is not None and abs(self._last[0] - stamp) <= tolerance * self._period

    def close(self) -> None:
        """Release the file."""
        self._reader.close()
