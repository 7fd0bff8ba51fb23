"""What is remembered of one hand between frames: its shape, its filters, its last estimate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..geometry.camera import Camera
from .smoothing import ComplementaryFilter, PositionFilter, RotationFilter
from .types import ABSENT, HELD, HandEstimate


class HandTrack:
    """One side's memory. A track begins when the hand is first seen and ends when it was unseen for longer than `hold`.

    Within a track the shape is constant, and so are the bones' lengths.
    """

    def __init__(self, side: int, hold: float, smoothing: float, acceleration: float) -> None:
        self.side = side
        self.hold = hold
        self.complementary = ComplementaryFilter()
        self.rotations = RotationFilter(smoothing)
        self.position = PositionFilter(acceleration)
        self.end()

    def end(self) -> None:
        """Forget the hand."""
        self.betas: np.ndarray | None = None
        self.last: HandEstimate | None = None
        self.stamp: int | None = None
        self.camera: Camera | None = None
        self.complementary.reset()
        self.rotations.reset()
        self.position.reset()

    def begin_frame(self, stamp: int, camera: Camera | None = None) -> float:
        """Seconds since this hand was last seen (0 when it is new); ends the track when that is longer than `hold`.

        camera: through which it is seen now. Where that is another lens, or CameraInfo has come at last, the position so
        far was another one's, and is forgotten.
        """
        interval = 0.0
        if self.stamp is not None:
            interval = (stamp - self.stamp) * 1e-9
            if interval > self.hold:
                self.end()
                interval = 0.0
        if camera is not None:
            if self.camera is not None and not camera.is_like(self.camera):
                self.position.reset()
            self.camera = camera
        return interval

    def smooth(self, rotations: np.ndarray, prompt: np.ndarray | None, interval: float) -> np.ndarray:
        """The filtered (16, 3, 3) of a frame's rotations (16, 3, 3), joined with the prompt ones where there are any."""
        if prompt is not None:
            rotations = self.complementary.update(rotations, prompt, interval)
        return self.rotations.update(rotations, interval)

    def seen(self, estimate: HandEstimate, stamp: int) -> None:
        """Remember the estimate of a frame in which the hand was seen."""
        self.last = estimate
        self.stamp = stamp

    def unseen(self, stamp: int) -> HandEstimate:
        """The estimate of a frame in which the hand was not seen: HELD with its age, or ABSENT."""
        age = self.begin_frame(stamp)
        if self.last is None:
            return HandEstimate(self.side, valid=False, state=ABSENT, age=float("nan"))
        return replace(self.last, valid=False, state=HELD, age=age)


class ShapeMemory:
    """The mean of the shapes (10,) that the network saw; the hands of one person share it."""

    def __init__(self) -> None:
        self.total = np.zeros(10)
        self.count = 0

    def add(self, betas: np.ndarray) -> None:
        """Take in one frame's shape."""
        self.total += betas
        self.count += 1

    @property
    def mean(self) -> np.ndarray:
        """The mean so far."""
        return self.total / max(self.count, 1)
