"""Several pictures of one hand, of which the mean counts: it is where one picture shows it, and steadier."""

import cv2
import numpy as np
import pytest

from fourdhands_core.media.video import VideoReader
from fourdhands_core.perception.hand_detector import HandDetector, make_detector
from fourdhands_core.perception.hand_networks import HAND_SIZE, HandNetworks
from fourdhands_core.perception.squares import around_landmarks
from fourdhands_core.pipeline.settings import TrackerSettings
from fourdhands_core.pipeline.tracker import HandPairTracker


@pytest.fixture(scope="module")
def hands(real_data):
    """Images of a right hand, a second apart, each with the square of the hand in it."""
    networks = HandNetworks()
    detector, pairs = HandDetector(networks), []
    with VideoReader(real_data / "video" / "right_hand.mp4") as reader:
        for number, (_, image) in enumerate(reader):
            if number % 30 == 0:
                detector.reset()
                pairs += [(image, around_landmarks(hand.landmarks)) for hand in detector.detect(image)]
            if len(pairs) == 15:
                break
    detector.close()
    return networks, pairs


def test_of_several_pictures_a_hand_is_where_one_shows_it(hands):
    networks, pairs = hands
    apart, deep, right = [], [], []
    for image, square in pairs:
        (one,), (four,) = (networks.looks(image, [square], pictures=pictures) for pictures in (1, 4))
        apart.append(np.linalg.norm(one.landmarks - four.landmarks, axis=1).mean() / square.side * HAND_SIZE)
        deep.append(np.linalg.norm(one.world - four.world, axis=1).mean())
        right.append(four.right)
        assert four.presence > 0.9
    assert np.median(apart) < 1.5 and np.median(deep) < 0.004  # pixels of 224, metres
    assert min(right) > 0.8


@pytest.mark.parametrize("pictures", [2, 4])
def test_a_mirrored_image_gives_the_mirrored_hand(hands, pictures):
    """Half of the pictures are mirrored, and those of the mirrored image are the same."""
    networks, pairs = hands
    for image, square in pairs[::5]:
        width = image.shape[1]
        mirrored = square._replace(x=width - 1 - square.x, angle=-square.angle)
        (as_it_is,) = networks.looks(image, [square], pictures=pictures)
        (other,) = networks.looks(cv2.flip(image, 1), [mirrored], pictures=pictures)
        back = (width - 1.0, 0.0) + other.landmarks * (-1.0, 1.0)
        assert np.linalg.norm(back - as_it_is.landmarks, axis=1).mean() / square.side * HAND_SIZE < 0.5
        np.testing.assert_allclose(other.world * (-1.0, 1.0, 1.0), as_it_is.world, atol=2e-3)
        assert other.right == pytest.approx(1.0 - as_it_is.right, abs=0.02)


@pytest.mark.parametrize("pictures, most", [(2, 0.9), (4, 0.75)])
def test_where_the_square_lies_matters_less(hands, pictures, most):
    """The same hand in squares that lie a little otherwise: its landmarks scatter less."""
    networks, pairs = hands
    rng = np.random.default_rng(0)
    scatter = {1: [], pictures: []}
    for image, square in pairs[::3]:
        squares = [square._replace(x=square.x + dx, y=square.y + dy) for dx, dy in 0.02 * square.side * rng.normal(size=(8, 2))]
        for count, kept in scatter.items():
            points = np.stack([look.landmarks for look in networks.looks(image, squares, pictures=count)])
            kept.append(points.std(0).mean() / square.side)
    assert np.mean(scatter[pictures]) < most * np.mean(scatter[1])


def test_the_setting_reaches_the_detector(hands):
    _, pairs = hands
    image, _ = pairs[0]
    tracker = HandPairTracker(TrackerSettings(looks=4))
    pair = tracker.process(image, 1)
    by_hand = make_detector(looks=4)
    (four,), (one,) = by_hand.detect(image), make_detector().detect(image)
    assert pair.right.valid and not pair.left.valid
    np.testing.assert_array_equal(tracker.detections[1].landmarks, four.landmarks)
    assert np.abs(one.landmarks - four.landmarks).max() > 0.01
    tracker.close()
