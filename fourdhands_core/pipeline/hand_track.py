"""What is remembered of one hand between frames: its shape, its filters, its last estimate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..geometry.camera import Camera
from .smoothing import ComplementaryFilter, PositionFilter, RotationFilter
from .types import HELD, HandEstimate, absent

_REMEMBERED = 0.3
"""Seconds for which a hand that is not seen is remembered where `hold` is less, which says what is shown of it meanwhile: what
it is to go on from is known all the same."""


def held(last: HandEstimate, age: float, hold: float) -> HandEstimate:
    """A hand that was last seen `age` seconds ago: HELD, or ABSENT where that is longer than `hold`."""
    if not 0.0 < age <= hold:
        return absent(last.side)
    return replace(last, valid=False, state=HELD, age=age)


class SideTrack:
    """One side's memory: its filters, its last estimate. A hand that is unseen for longer than `hold`, and than 0.3 s, is
    forgotten."""

    def __init__(self, side: int, hold: float, smoothing: float, acceleration: float) -> None:
        self.side, self.hold = side, hold
        self.position, self.rotations = PositionFilter(acceleration), RotationFilter(smoothing)
        self.forget()

    def apply(self, hold: float, smoothing: float) -> None:
        """Use other values from the next frame on; what is remembered stays, so that nothing jumps."""
        self.hold, self.rotations.memory = hold, smoothing

    def forget(self) -> None:
        """Forget the hand."""
        self.position.reset()
        self.rotations.reset()
        self.last: HandEstimate | None = None
        self.stamp: int | None = None

    def begin(self, stamp: int) -> float:
        """Seconds since the hand was last seen, 0 where it is new; it is forgotten where it is not remembered any more."""
        interval = 0.0 if self.stamp is None else (stamp - self.stamp) * 1e-9
        if interval > 0.0 and not self.remembers(interval):
            self.forget()
            return 0.0
        return interval

    def remembers(self, interval: float) -> bool:
        """Whether a hand that was seen so many seconds ago goes on from there, whatever is shown of it meanwhile."""
        return 0.0 < interval <= max(self.hold, _REMEMBERED)

    def unseen(self, stamp: int) -> HandEstimate:
        """The estimate of a frame in which the hand was not seen: HELD with its age, or ABSENT."""
        self.begin(stamp)
        return self.withheld(stamp)

    def withheld(self, stamp: int) -> HandEstimate:
        """The same of a frame in which the hand is seen, but not as what goes on from before."""
        if self.last is None or self.stamp is None:
            return absent(self.side)
        return held(self.last, (stamp - self.stamp) * 1e-9, self.hold)


class HandTrack(SideTrack):
    """One side's memory in one camera. Until the hand is forgotten its shape is constant, and so are the bones' lengths."""

    def __init__(self, side: int, hold: float, smoothing: float, acceleration: float) -> None:
        self.complementary = ComplementaryFilter()
        super().__init__(side, hold, smoothing, acceleration)

    def forget(self) -> None:
        """Forget the hand."""
        super().forget()
        self.betas: np.ndarray | None = None
        self.camera: Camera | None = None
        self.complementary.reset()

    def begin_frame(self, stamp: int, camera: Camera) -> float:
        """The same as `begin`, of a hand that is seen through a camera. Where that is another lens than before, or CameraInfo
        has come at last, the position so far was another one's, and is forgotten."""
        interval = self.begin(stamp)
        if self.is_of_another_lens(camera):
            self.position.reset()
        self.camera = camera
        return interval

    def is_of_another_lens(self, camera: Camera) -> bool:
        """Whether what is remembered was seen through another lens than this one."""
        return self.camera is not None and not camera.is_like(self.camera)

    def smooth(self, rotations: np.ndarray, prompt: np.ndarray | None, interval: float) -> np.ndarray:
        """The filtered (16, 3, 3) of a frame's rotations (16, 3, 3), joined with the prompt ones where there are any."""
        if prompt is not None:
            rotations = self.complementary.update(rotations, prompt, interval)
        return self.rotations.update(rotations, interval)

    def seen(self, estimate: HandEstimate, stamp: int) -> None:
        """Remember the estimate of a frame in which the hand was seen."""
        self.last, self.stamp = estimate, stamp


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
