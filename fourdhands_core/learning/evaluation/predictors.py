"""What is evaluated on a dataset: the tracker as it is used, or the image network on the true boxes as in the paper."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from ...errors import InputError
from ...geometry.camera import Camera
from ...hand_model.arrays import HandArrays
from ...hand_model.assets import open_pair
from ...hand_model.skeleton import LEFT, RIGHT
from ...perception.detector import HandDetection
from ...perception.hand_detector import make_detector
from ...pipeline.frame import Frame
from ...pipeline.image_regression import BOX_MARGIN, ImageRegressor
from ...pipeline.regressors import make_regressor
from ...pipeline.tracker import HandPairTracker, TrackerSettings
from ...pipeline.translation import solve_translations
from ...runtime.crops import SQUARE_SCALE, square_around
from ..datasets.frames import DatasetFrame, HandTruth

_FAR = 4.0
"""Between the two pictures of a single hand, in units of its size; crops are 2.2 sizes wide."""


def _unknown(*shape):
    return field(default_factory=lambda: np.full(shape, np.nan))


@dataclass(eq=False)
class Prediction:
    """Hands (left, right) of one frame; NaN where a hand was not found or a number is not known.

    joints: (2, 21, 3) and vertices: (2, 778, 3), metres, each hand in a frame of its own choice, axes as the camera's.
    wrist: (2, 3) metres and wrist_rotation: (2, 3, 3), camera optical frame. left_root: (3,) left wrist minus right wrist,
    metres. points: (2, 21, 2) the joints in the image, pixels.
    """

    joints: np.ndarray = _unknown(2, 21, 3)
    vertices: np.ndarray = _unknown(2, 778, 3)
    wrist: np.ndarray = _unknown(2, 3)
    wrist_rotation: np.ndarray = _unknown(2, 3, 3)
    left_root: np.ndarray = _unknown(3)
    points: np.ndarray = _unknown(2, 21, 2)


class Predictor(Protocol):
    """Anything that `evaluate_dataset` can measure."""

    def predict(self, frames: Iterator[DatasetFrame], rate: float | None) -> Iterator[tuple[DatasetFrame, Prediction]]:
        """The frames again, in their order, each with its prediction.

        rate: the frames are a sequence of so many a second; None: they are single images that know nothing of each other.
        """


class TrackerPredictor:
    """HandPairTracker with its detector, which has to find the hands; on sequences with the future half of its window."""

    def __init__(self, settings: TrackerSettings):
        self._settings = settings
        pair = open_pair(settings.hand_model, settings.hand_model_left)
        self._regressor = make_regressor(settings, HandArrays(pair), pair[RIGHT].hands_mean)

    def predict(self, frames: Iterator[DatasetFrame], rate: float | None) -> Iterator[tuple[DatasetFrame, Prediction]]:
        """As Predictor's."""
        single = rate is None
        ahead = 0 if single else min(60, round(self._regressor.half_window * rate))
        s = self._settings
        tracker = HandPairTracker(
            replace(s, temporal=not single, lookahead=ahead),
            make_detector(s.search, s.device, s.threads, s.precision, single_images=single, looks=s.looks),
            self._regressor,
        )
        waiting: deque[DatasetFrame] = deque()
        with closing(tracker):
            for number, frame in enumerate(frames):
                waiting.append(frame)
                if single:
                    tracker.reset()
                image = np.ascontiguousarray(frame.load())
                estimate = tracker.process(image, _stamp(number, rate), frame.camera, with_vertices=True)
                if estimate is not None:
                    yield waiting.popleft(), _of_estimate(estimate)
            while waiting:
                yield waiting.popleft(), _of_estimate(tracker.flush(with_vertices=True))


class ImagePredictor:
    """The image network on the true boxes; windows of its length around each frame, single images by repetition.

    opposite: where one hand alone is annotated, the network gets the flipped image as the other hand, far away, as in the
    paper's comparison on DexYCB (section 4.5); otherwise it gets one hand.
    """

    def __init__(self, regressor: ImageRegressor, hands: HandArrays, opposite: bool = True):
        self._regressor, self._hands, self._opposite = regressor, hands, opposite

    def predict(self, frames: Iterator[DatasetFrame], rate: float | None) -> Iterator[tuple[DatasetFrame, Prediction]]:
        """As Predictor's."""
        around = 0 if rate is None else round(self._regressor.half_window * rate)
        window: deque[_Encoded] = deque()
        done = 0  # frames at the window's front that are predicted
        for number, frame in enumerate(frames):
            window.append(self._encoded(frame, _stamp(number, rate)))
            if len(window) - done > around:
                yield self._predicted(window, done)
                done = _shorten(window, done + 1, around)
        while done < len(window):
            yield self._predicted(window, done)
            done = _shorten(window, done + 1, around)

    def _encoded(self, frame, stamp):
        image = np.ascontiguousarray(frame.load())
        seen = [None if hand is None else _as_detection(side, hand) for side, hand in enumerate(frame.hands)]
        present, offset = np.array([detection is not None for detection in seen]), 0.0
        if self._opposite and present.sum() == 1:
            image, seen, offset = _with_opposite(image, seen, int(np.flatnonzero(present)[0]))
        camera = Camera.from_fov(image.shape[1], image.shape[0], 60.0)  # the crops need none
        left, right = seen
        encoded = Frame(stamp, camera, [], detections=(left, right), image=image)
        self._regressor.encode(encoded)
        return _Encoded(frame, encoded, present, offset)

    def _predicted(self, window, position):
        """The frame at a position of the window, an _Encoded for each of its frames, and its Prediction."""
        frame, found = window[position].frame, Prediction()
        present = np.flatnonzero(window[position].present)
        if not len(present):
            return frame, found
        regressed = self._regressor.regress([entry.encoded for entry in window], window[position].encoded)
        inputs = regressed.rotations[:, 0], regressed.rotations[:, 1:], regressed.betas
        joints, vertices = self._hands.joints(*inputs), self._hands.vertices(*inputs)
        for side in present:
            found.joints[side], found.vertices[side] = joints[side], vertices[side]
            found.wrist_rotation[side] = regressed.rotations[side, 0]
            found.points[side] = regressed.landmarks[side] - (window[position].offset, 0.0)
        if len(present) == 2:
            found.left_root = regressed.relative
        calibrated = frame.camera is not None and frame.camera.calibrated
        rays = frame.camera.unproject(found.points[present]) if calibrated else np.full((1, 2), np.nan)
        if np.isfinite(rays).all():  # NaN where the network is at a loss, or the lens
            relative = (regressed.relative, regressed.relative_sigma) if len(present) == 2 else None
            found.wrist[present], _ = solve_translations(
                joints[present], rays, np.full(rays.shape[:2], 0.01), relative=relative
            )
        return frame, found


@dataclass(eq=False)
class _Encoded:
    """A frame in the window: present (2,) the hands that are annotated; offset of its image in the one encoded, pixels."""

    frame: DatasetFrame
    encoded: Frame
    present: np.ndarray
    offset: float


def make_predictor(settings: TrackerSettings, boxes: str | None = None) -> Predictor:
    """boxes: "ground-truth", "detector", or None for what the model is meant for. InputError where they do not go together."""
    boxes = boxes or ("ground-truth" if settings.model == "image" else "detector")
    if boxes == "detector":
        return TrackerPredictor(settings)
    if settings.model != "image":
        raise InputError(
            "boxes of the ground truth are for model image: the landmark network takes a detector's landmarks, not boxes"
        )
    pair = open_pair(settings.hand_model, settings.hand_model_left)
    hands = HandArrays(pair)
    regressor = make_regressor(settings, hands, pair[RIGHT].hands_mean)
    assert isinstance(regressor, ImageRegressor)
    return ImagePredictor(regressor, hands)


def _stamp(number, rate):
    return 1 + round(number * 1e9 / (rate or 1.0))


def _shorten(window, done, around):
    """Drop what no later window needs; returns how many of the frames left are predicted."""
    while done > around:
        window.popleft()
        done -= 1
    return done


def _with_opposite(image, seen, side):
    """The image beside its mirror image, far enough apart that no crop shows both; the hand is in both, once as the other.

    Returns the picture, the detections in it and the x offset of the image as given.
    """
    height, width = image.shape[:2]
    detection = seen[side]
    gap = int(_FAR * np.ptp(detection.landmarks, axis=0).max())
    picture = np.zeros((height, 2 * width + gap, 3), np.uint8)
    as_given, flipped = (0, width + gap) if side == LEFT else (width + gap, 0)  # left hands are on the left
    picture[:, as_given : as_given + width] = image
    picture[:, flipped : flipped + width] = image[:, ::-1]
    mirrored = detection.landmarks * (-1.0, 1.0) + (flipped + width - 1.0, 0.0)
    both = [replace(detection, side=1 - side, landmarks=mirrored)] * 2
    both[side] = replace(detection, landmarks=detection.landmarks + (as_given, 0.0))
    return picture, both, float(as_given)


def _as_detection(side: int, hand: HandTruth) -> HandDetection:
    """The true box as what the network is cropped by: landmarks whose square is the box's."""
    points = hand.points
    if points is None or not np.isfinite(points).all():
        x, y, size, _ = square_around(hand.box)
        half = size / (2.0 * SQUARE_SCALE * BOX_MARGIN)
        points = np.tile([x + size / 2 - half, y + size / 2 - half], (21, 1))
        points[1:] += 2.0 * half
    return HandDetection(side, 1.0, points, np.full((21, 3), np.nan), np.ones(21))


def _of_estimate(pair) -> Prediction:
    found = Prediction()
    for hand in pair.hands:
        if hand.valid:
            found.joints[hand.side], found.vertices[hand.side] = hand.joints, hand.vertices
            found.wrist_rotation[hand.side], found.points[hand.side] = hand.wrist_rotation, hand.joints_2d
            if hand.scaled:
                found.wrist[hand.side] = hand.joints[0]
    if pair.left_root_relative is not None:
        found.left_root = pair.left_root_relative
    return found
