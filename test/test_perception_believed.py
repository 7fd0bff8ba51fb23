"""When a new hand is believed: when it is one in its own square, and in its palm's or mirrored."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from test_perception_detector import Networks

from fourdhands_core.perception.hand_detector import CLASSIC, SEARCHES, HandDetector
from fourdhands_core.perception.hand_networks import HandNetworks
from fourdhands_core.perception.squares import Square

IMAGE = np.zeros((480, 640, 3), np.uint8)


class Seen(Networks):
    """One hand 120 px long, of those presences; `asked` counts how often it is looked at mirrored."""

    def __init__(self, palms, own, mirrored):
        super().__init__((300, 240, 120))
        self.in_palms, self.in_own, self.in_mirror, self.asked = palms, own, mirrored, 0

    def looks(self, image, squares, tone, pictures=1):
        palms = [abs(square.side - 2.6 * 120 / 3) < 1e-6 for square in squares]
        looks = super().looks(image, squares, tone)
        return [replace(look, presence=self.in_palms if palm else self.in_own) for look, palm in zip(looks, palms)]

    def mirrored(self, image, square, tone):
        self.asked += 1
        return self.in_mirror


@pytest.mark.parametrize("search", SEARCHES)
def test_what_is_a_hand_in_its_own_square_alone_is_never_believed_however_often_it_is_shown(search):
    """As a foot was, in every image of a video: 0.25, 0.9 and 0.08."""
    networks = Seen(0.25, 0.9, 0.08)
    detector = HandDetector(networks, rules=SEARCHES[search])
    assert not any(detector.detect(IMAGE) for _ in range(30)) and networks.asked > 1


@pytest.mark.parametrize(
    "palms, own, mirrored, hands",
    [
        (0.3, 0.61, 0.71, 1),
        (0.3, 0.95, 0.69, 0),
        (0.71, 0.61, 0.31, 1),
        (0.91, 0.89, 0.26, 0),  # the back of a head
        (0.95, 0.59, 0.95, 0),
        (0.05, 1.0, 1.0, 0),
    ],
)
def test_a_new_hand_is_one_in_its_own_square_and_in_another_picture(palms, own, mirrored, hands):
    assert len(HandDetector(Seen(palms, own, mirrored)).detect(IMAGE)) == hands


def test_a_hand_that_is_followed_is_not_looked_at_mirrored_again():
    networks = Seen(0.9, 0.9, 0.9)
    detector = HandDetector(networks)
    assert all(len(detector.detect(IMAGE)) == 1 for _ in range(30)) and networks.asked == 1


def test_hair_in_a_still_video_is_no_hand(real_data):
    """It was one in 6 of 15 images: a woman's hair from behind, turned and enlarged."""
    piece = cv2.imread(str(real_data / "photos" / "test1.jpg"))[296:495, 677:817, ::-1]
    turn = cv2.getRotationMatrix2D((70.0, 99.5), -75.0, 1.55)
    turn[:, 2] += 320.0 - 70.0, 240.0 - 99.5
    image = np.ascontiguousarray(cv2.warpAffine(piece, turn, (640, 480), borderMode=cv2.BORDER_REPLICATE))
    detector = HandDetector()
    assert not any(detector.detect(image) for _ in range(15))


def test_mediapipes_rules_look_at_no_mirror_image():
    networks = Seen(0.9, 0.1, 0.1)
    assert len(HandDetector(networks, rules=CLASSIC).detect(IMAGE)) == 1 and networks.asked == 0


class LeftHalf:
    """Of a landmark network: presence is how bright the left half of what it sees is."""

    def run(self, wanted, given):
        assert wanted == ["presence"]
        return [given["image"][:, :1, :, :112].mean(axis=(2, 3))]


def test_the_mirror_image_shows_on_its_left_what_a_turned_square_has_on_its_right(monkeypatch):
    image = np.zeros((240, 320, 3), np.uint8)
    image[:120] = 255
    networks = HandNetworks()
    monkeypatch.setattr(networks, "_hand", LeftHalf())
    quarter = np.pi / 2.0
    assert networks.mirrored(image, Square(160.0, 120.0, 100.0, -quarter)) == pytest.approx(1.0, abs=0.02)
    assert networks.mirrored(image, Square(160.0, 120.0, 100.0, quarter)) == pytest.approx(0.0, abs=0.02)
