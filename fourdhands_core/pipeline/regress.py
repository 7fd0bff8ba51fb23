"""Third stage: the network on the window of frames around the one that is estimated."""

from __future__ import annotations

from collections import deque

import numpy as np

from ..hand_model.skeleton import LEFT, RIGHT
from .detect import radius_of
from .frame import Frame
from .regression import Regression, Regressor
from .settings import TrackerSettings

FARTHEST = 0.5
"""A network's landmarks further than this from where the hand was looked for, in units of its radius, are not believed."""


class Regress:
    """Keeps the window, and runs the network on it.

    frames: the last ones, oldest first. pending: how many of them wait for their estimate.
    """

    def __init__(self, regressor: Regressor, settings: TrackerSettings) -> None:
        self.regressor, self._settings = regressor, settings
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self.frames: deque[Frame] = deque()
        self.pending = 0

    def take(self, frame: Frame) -> None:
        """Put an identified frame into the window: what the network makes of it alone is computed once."""
        self.regressor.encode(frame)
        self.frames.append(frame)
        self.pending += 1

    def next(self) -> Frame:
        """The oldest frame that waits for its estimate."""
        frame = self.frames[-self.pending]
        self.pending -= 1
        return frame

    def __call__(self, frame: Frame) -> Regression | None:
        """What the network sees of the hands in a frame of the window; None where there are none.

        Where the network sees landmarks itself, they become the frame's; those that are not believed do not, and a hand that
        was only followed by them is not seen.
        """
        if not frame.present.any():
            return None
        regressed = self.regressor.regress(self.frames if self._settings.temporal else [frame], frame)
        if regressed.landmarks is not None:
            self._take_landmarks(frame, regressed.landmarks)
        return regressed

    def forget_before(self, frame: Frame) -> None:
        """Drop frames that no window around `frame`, or around a later one, picks."""
        start = frame.stamp - int(self.regressor.half_window * 1e9)
        while self.frames[0] is not frame and self.frames[1].stamp <= start:
            self.frames.popleft()

    @staticmethod
    def _take_landmarks(frame: Frame, landmarks: np.ndarray) -> None:
        lost = []
        for side, detection in enumerate(frame.detections):
            if detection is None:
                continue
            looked_for = detection.landmarks
            off = np.sqrt(np.square(landmarks[side] - looked_for).sum(-1).mean())
            rays = frame.camera.unproject(landmarks[side])
            if off < FARTHEST * radius_of(looked_for) and frame.camera.sees(rays).all():  # NaN is not
                frame.rays[side] = rays
            else:
                lost.append(side)
        frame.uncertain = bool(lost)
        if frame.followed:
            frame.drop(np.isin((LEFT, RIGHT), lost))
        frame.radius = np.sqrt(np.square(frame.rays - frame.rays.mean(1, keepdims=True)).sum(-1).mean(1))
