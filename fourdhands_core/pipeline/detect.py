"""First stage: where hands are in an image, by the detector, or by what the network saw in the one before."""

from __future__ import annotations

import functools
import time

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..perception.detector import Detector, HandDetection, check_image
from ..perception.tone import some_pixels
from .frame import Frame
from .settings import TrackerSettings
from .types import HELD, HandEstimate, HandPairEstimate

_APART = 2.0
"""Hands nearer to each other than this, in units of the larger radius, could be confused: the detector looks."""
_IN_VIEW = 0.7
"""Share of a hand's landmarks inside the image from which it is followed."""


class Detect:
    """Makes a Frame of an image.

    mirrored: whether the images are. keeps_image: the network sees the image too, so that it can follow hands.
    """

    def __init__(self, detector: Detector, settings: TrackerSettings, keeps_image: bool) -> None:
        self.detector, self.mirrored, self._keeps_image = detector, settings.mirrored, keeps_image
        self.schedule, self.repeats = DetectionSchedule(interval_of(settings)), Repeats()
        self._assumed = functools.lru_cache(1)(lambda width, height: Camera.from_fov(width, height, settings.default_fov))
        self._unmirrored = functools.lru_cache(1)(Camera.mirrored)  # the same object again for the same camera

    def __call__(self, image: np.ndarray, stamp: int, camera: Camera | None, first: bool) -> Frame:
        """See HandPairTracker.observe."""
        check_image(image)
        height, width = image.shape[:2]
        given = camera or self._assumed(width, height)
        if (given.width, given.height) != (width, height):
            raise InputError(
                f"the image is {width}x{height} but its camera is {given.width}x{given.height}; "
                "give the intrinsics of this image size"
            )
        began = time.perf_counter()
        camera = given
        if self.mirrored:
            image, camera = np.ascontiguousarray(image[:, ::-1]), self._unmirrored(given)
        if first:
            self.reset()
        epoch = self.schedule.epoch
        expected = self.schedule.expected() if self._keeps_image else None
        found = self.detector.detect(image) if expected is None else expected
        return Frame(
            stamp,
            camera,
            found,
            time.perf_counter() - began,
            first,
            expected is not None,
            epoch,
            given,
            image if self._keeps_image else None,
            self.repeats.since(image, stamp),
        )

    def reset(self) -> None:
        """Forget the hands; any thread may call this."""
        self.schedule.reset()
        self.detector.reset()

    def settle(self, frame: Frame) -> None:
        """Before the next stage: hands that were followed from before a reset were not seen; nobody looked for them."""
        if frame.followed and frame.epoch != self.schedule.epoch:
            frame.found = []


def interval_of(settings: TrackerSettings) -> int:
    """Every how many images the detector looks at least; with lookahead nothing is known of the last one in time."""
    return 1 if settings.lookahead else settings.detect_every


class Repeats:
    """Knows since when an image comes again and again, as of a camera that is frozen: no two of a real one's are alike."""

    def __init__(self) -> None:
        self._pixels, self._since = np.zeros(0, np.uint8), 0

    def since(self, image: np.ndarray, stamp: int) -> int:
        """The stamp, nanoseconds, of the first of the images in a row that are like this one."""
        pixels = some_pixels(image)
        if stamp < self._since or not np.array_equal(pixels, self._pixels):
            self._pixels, self._since = pixels, stamp
        return self._since


class DetectionSchedule:
    """Decides for each image whether the detector has to look, and gives what stands in for its detections otherwise.

    interval: the detector looks at least at every `interval`th image; 1 for every one. epoch: how often it was reset. What
    is known of hands before a reset never comes back, though an estimate from before may come after it: `expected` and
    `reset` may be called by one thread, `seen` by another.
    """

    def __init__(self, interval: int) -> None:
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

    def seen(self, pair: HandPairEstimate, frame: Frame) -> None:
        """Take in a frame's estimate. The detector looks at the next image where a hand was lost or is uncertain."""
        expected = [_as_detection(hand, frame.detections[hand.side], frame) for hand in pair.hands if hand.valid]
        lost = any(hand.state == HELD for hand in pair.hands)
        usable = expected and not (frame.uncertain or lost or _uncertain(expected, frame.camera))
        self._expected = frame.epoch, expected if usable else None


def _as_detection(hand: HandEstimate, detection: HandDetection | None, frame: Frame) -> HandDetection:
    """An estimate as the detector would have seen it."""
    assert detection is not None and hand.joints is not None and hand.joint_confidence is not None, "it was seen"
    world = hand.joints - hand.joints.mean(0)
    landmarks = frame.camera.project(hand.joints)
    return HandDetection(hand.side, detection.score, landmarks, world, hand.joint_confidence)


def _uncertain(expected: list[HandDetection], camera: Camera) -> bool:
    """Whether hands leave the image, or are so near to each other that they could be confused."""
    size = np.array([camera.width, camera.height])
    for hand in expected:
        inside = ((hand.landmarks >= 0) & (hand.landmarks < size)).all(1)
        if not np.isfinite(hand.landmarks).all() or inside.mean() < _IN_VIEW:
            return True
    if len(expected) == 2:
        first, second = (hand.landmarks for hand in expected)
        apart = np.linalg.norm(first.mean(0) - second.mean(0))
        return bool(apart < _APART * max(radius_of(first), radius_of(second)))
    return False


def radius_of(points: np.ndarray) -> float:
    """RMS distance of points (N, D) from their mean, in their unit."""
    return float(np.sqrt(np.square(points - points.mean(0)).sum(-1).mean()))
