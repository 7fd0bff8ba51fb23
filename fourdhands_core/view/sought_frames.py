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
        # One and the one after it. Without seeking at first: in a video of one frame OpenCV finds none then.
        self._now, self._then = next(self._frames, None), next(self._frames, None)

    def by_number(self, number: int) -> np.ndarray | None:
        """The frame of this place, from 0, in a video of a constant rate."""
        return self.by_stamp(round(number * self._period))

    def by_stamp(self, stamp: int) -> np.ndarray | None:
        """The frame nearest to a stamp, nanoseconds from the video's start; None beyond the end."""
        frame = self._nearest(stamp)
        return None if frame is None or (self._then is None and stamp > frame[0] + 0.5 * self._period) else frame[1]

    def has(self, stamp: int, tolerance: float = 1.0) -> bool:
        """Whether there is a frame of this stamp, give or take so many periods."""
        frame = self._nearest(stamp)
        return frame is not None and abs(frame[0] - stamp) <= tolerance * self._period

    def _nearest(self, stamp: int) -> tuple[int, np.ndarray] | None:
        """By the frames' own times: where they come unevenly, several may lie within a period of the stated rate."""
        here = self._now is not None and self._now[0] <= stamp <= self._now[0] + _AROUND * self._period
        for back in (1, _AROUND, None):  # seeking may land late, also beyond the end
            if here:
                break
            self._reader.seek(0 if back is None else max(round(stamp / self._period) - back, 0))
            self._frames = iter(self._reader)
            self._now, self._then = next(self._frames, None), next(self._frames, None)
            here = self._now is not None and self._now[0] <= stamp
        while self._then is not None and self._then[0] <= stamp:
            self._now, self._then = self._then, next(self._frames, None)
        around = [frame for frame in (self._now, self._then) if frame is not None]
        return min(around, key=lambda frame: abs(frame[0] - stamp), default=None)

    def close(self) -> None:
        """Release the file."""
        self._reader.close()
