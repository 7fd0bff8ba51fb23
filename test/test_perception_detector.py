"""MediaPipe as a detector: sides, pixel convention, errors a user can cause, threads."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from fourdhands_core.errors import DependencyError, InputError
from fourdhands_core.hand_model.skeleton import RIGHT
from fourdhands_core.perception.confidence import inside_hull, landmark_confidence
from fourdhands_core.perception.detector import HandDetection, check_image, hand_size, image_scale
from fourdhands_core.perception.mediapipe_detector import MediaPipeDetector


@pytest.fixture(scope="module")
def right_hand(real_data):
    """Twenty frames, a second apart, of one right hand."""
    video = cv2.VideoCapture(str(real_data / "video" / "right_hand.mp4"))
    frames = []
    for number in range(600):
        assert video.grab()
        if number % 30 == 0:
            frames.append(np.ascontiguousarray(video.retrieve()[1][:, :, ::-1]))
    return frames


@pytest.fixture(scope="module")
def detector():
    detector = MediaPipeDetector(single_images=True)
    yield detector
    detector.close()


@pytest.mark.parametrize(
    "image",
    [
        None,
        [[1, 2, 3]],
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8)[:, ::2],
    ],
)
def test_malformed_images_are_named(detector, image):
    with pytest.raises(InputError, match="image"):
        check_image(image)
    with pytest.raises(InputError, match="image"):
        detector.detect(image)


@pytest.mark.parametrize(
    "values",
    [{"max_hands": 0}, {"model_complexity": 2}, {"min_detection_confidence": 1.5}, {"min_tracking_confidence": float("nan")}],
)
def test_settings_out_of_range_are_named(values):
    with pytest.raises(InputError, match=next(iter(values))):
        MediaPipeDetector(**values)


def test_a_missing_mediapipe_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.hands", None)
    with pytest.raises(DependencyError, match="pip install mediapipe==0.10.21"):
        MediaPipeDetector()


def test_a_closed_detector_says_so():
    detector = MediaPipeDetector()
    detector.close()
    detector.close()
    with pytest.raises(InputError, match="closed"):
        detector.detect(np.zeros((64, 64, 3), np.uint8))


def test_an_image_without_hands_has_none_and_one_pixel_is_an_image(detector):
    assert detector.detect(np.full((480, 640, 3), 127, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_the_right_hand_of_an_ordinary_image_is_right_and_its_fields_are_as_documented(detector, right_hand):
    for frame in right_hand:
        (hand,) = detector.detect(frame)
        assert isinstance(hand, HandDetection) and hand.side == RIGHT and 0.5 <= hand.score <= 1.0
        assert hand.landmarks.shape == (21, 2) and hand.world.shape == (21, 3)
        assert hand.depth.shape == hand.confidence.shape == (21,)
        assert (hand.confidence >= 0.0).all() and (hand.confidence <= 1.0).all() and hand.confidence.mean() > 0.6
        assert 150 < hand_size(hand) < 450


def test_mirrored_images_keep_the_persons_side_and_the_images_coordinates(detector, right_hand):
    selfie = MediaPipeDetector(mirrored=True, single_images=True)
    for frame in right_hand[::5]:
        (hand,) = selfie.detect(np.ascontiguousarray(frame[:, ::-1]))
        (ordinary,) = detector.detect(frame)
        assert hand.side == RIGHT
        back = (frame.shape[1] - 1 - hand.landmarks[:, 0], hand.landmarks[:, 1])
        np.testing.assert_allclose(np.stack(back, axis=1).mean(axis=0), ordinary.landmarks.mean(axis=0), atol=10.0)
    selfie.close()


def test_pixel_centres_are_at_integers(detector, right_hand):
    """Halving an image by averaging puts pixel 2 x + 0.5 at x; with pixel edges at integers it would be 2 x."""
    shifts = []
    for frame in right_hand:
        (whole,) = detector.detect(frame)
        half = detector.detect(cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        if len(half) == 1:
            shifts.append((2.0 * half[0].landmarks - whole.landmarks).mean(axis=0))
    assert len(shifts) > 15
    np.testing.assert_allclose(np.mean(shifts, axis=0), [-0.5, -0.5], atol=0.25)


def test_images_of_changing_size_are_taken(right_hand):
    detector = MediaPipeDetector()
    for number, size in enumerate([(1280, 720), (640, 360), (320, 240), (1280, 720)] * 2):
        hands = detector.detect(cv2.resize(right_hand[number], size, interpolation=cv2.INTER_AREA))
        for hand in hands:
            assert (hand.landmarks.mean(axis=0) < size).all()
    assert len(hands) == 1
    detector.close()


def test_detectors_in_several_threads_leave_the_process_its_stderr(right_hand):
    before, seen = os.fstat(2), set()

    def work():
        detector = MediaPipeDetector()
        for frame in right_hand[:3]:
            detector.detect(frame)
        detector.close()

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(work) for _ in range(4)]
        while not all(future.done() for future in running):
            now = os.fstat(2)
            seen.add((now.st_dev, now.st_ino))
            time.sleep(0.001)
        [future.result() for future in running]
    assert seen == {(before.st_dev, before.st_ino)} and os.path.samestat(os.fstat(2), before)


def test_scale_and_confidence_of_a_hand_that_is_its_own_projection():
    rng = np.random.default_rng(0)
    world = rng.normal(size=(21, 3)) * 0.05
    landmarks = world[:, :2] * 1500.0 + (300.0, 200.0)
    scale, residual = image_scale(landmarks, world)
    assert scale == pytest.approx(1500.0) and residual.max() < 1e-9
    np.testing.assert_allclose(landmark_confidence(landmarks, world, 0.8, (2000, 2000)), 0.8)
    moved = landmarks.copy()
    moved[4] += 60.0
    confidence = landmark_confidence(moved, world, 0.8, (2000, 2000))
    assert confidence[4] < 0.3 and np.delete(confidence, 4).min() > 0.7
    # Landmarks left of the image are guesses.
    outside = landmark_confidence(landmarks - (300.0, 0.0), world, 1.0, (2000, 2000))
    assert (outside[landmarks[:, 0] < 250.0] < 0.3).all() and (outside[landmarks[:, 0] > 300.0] == 1.0).all()


def test_hull_agrees_with_opencv():
    rng = np.random.default_rng(1)
    for _ in range(50):
        points, other = rng.normal(size=(21, 2)) * 100 + 300, rng.normal(size=(21, 2)) * 100 + 350
        hull = cv2.convexHull(other.astype(np.float32))
        expected = [cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y in points]
        np.testing.assert_array_equal(inside_hull(points, other), expected)
    assert not inside_hull(points, np.zeros((21, 2))).any()
