"""Following hands by what the network sees of them, so that the detector need not look at every image."""

from __future__ import annotations

import numpy as np

from ..perception.detector import HandDetection, image_scale
from .regression import Frame, Regression
from .types import HELD, HandPairEstimate

DOUBT = 0.5
"""A network's landmarks further than this from where the hand was looked for, in units of its radius, are doubted."""
_APART = 2.0
"""Hands nearer to each other than this, in units of the larger radius, could be confused: the detector looks."""


class Following:
    """Decides for each image whether the detector has to look, and gives what stands in for its detections otherwise.

    interval: the detector looks at least at every `interval`th image; 1 for every one. epoch: how often it was reset. What
    is known of hands before a reset never comes back, though an estimate from before may come after it: `expected` and
    `reset` may be called by one thread, `seen` by another.
    """

    def __init__(self, interval: int):
        self.interval, self.epoch = interval, 0
        self.reset()

    def reset(self) -> None:
        """Forget the hands: the detector looks at the next image."""
        self.epoch += 1
        self._expected: tuple[int, list[HandDetection] | None] = self.epoch, None
        self._since = 0

    def expected(self) -> list[HandDetection] | None:
        """The hands as they were last seen, for an image that the detector need not look at; else None."""
        epoch, expected = self._expected
        self._since += 1
        if expected is None or epoch != self.epoch or self._since >= self.interval:
            self._since = 0
            return None
        return expected

    def seen(self, pair: HandPairEstimate, frame: Frame, doubt: bool) -> None:
        """Take in a frame's estimate. The detector looks at the next image where there is doubt, or a hand was lost."""
        expected = [_as_detection(hand, frame.detections[hand.side], frame) for hand in pair.hands if hand.valid]
        lost = any(hand.state == HELD for hand in pair.hands)
        usable = expected and not (doubt or lost or _doubtful(expected, frame))
        self._expected = frame.epoch, expected if usable else None


def doubted(regressed: Regression, frame: Frame) -> np.ndarray:
    """(2,) bool: the network sees the hand elsewhere than where it was looked for, or not at all."""
    doubt = np.zeros(2, dtype=bool)
    for side in np.flatnonzero(frame.present):
        expected = frame.detections[side].landmarks
        off = np.sqrt(np.square(regressed.landmarks[side] - expected).sum(-1).mean())
        doubt[side] = not off < DOUBT * _radius(expected)  # NaN too
    return doubt


def _as_detection(hand, detection, frame):
    """An estimate as the detector would have seen it; as the detector's landmarks are, in the un-mirrored picture."""
    world = hand.joints - hand.joints.mean(0)
    landmarks = frame.camera.project(hand.joints)
    scale, _ = image_scale(landmarks, world)
    return HandDetection(hand.side, detection.score, landmarks, scale * (hand.joints[:, 2] - hand.joints[0, 2]), world,
                         hand.joint_confidence)


def _doubtful(expected, frame):
    size = np.array([frame.camera.width, frame.camera.height])
    for hand in expected:
        inside = ((hand.landmarks >= 0) & (hand.landmarks < size)).all(1)
        if not np.isfinite(hand.landmarks).all() or inside.mean() < 0.7:
            return True
    if len(expected) == 2:
        first, second = (hand.landmarks for hand in expected)
        apart = np.linalg.norm(first.mean(0) - second.mean(0))
        return apart < _APART * max(_radius(first), _radius(second))
    return False


def _radius(landmarks):
    """RMS distance of landmarks (21, 2) from their mean, pixels."""
    return np.sqrt(np.square(landmarks - landmarks.mean(0)).sum(-1).mean())
