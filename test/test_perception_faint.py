"""Which palms are looked at of which the palm network is not sure."""

from dataclasses import replace

import numpy as np
from test_perception_detector import Found, Networks

from fourdhands_core.perception.hand_detector import CLASSIC, SEARCHES, HandDetector

IMAGE = np.zeros((480, 640, 3), np.uint8)


class Faint(Networks):
    """Palms of those scores, and no hand in the squares around x in `none`; `looked` has the squares of each image's search."""

    def __init__(self, *hands, scores, none=(), presence=0.95):
        super().__init__(*hands)
        self.scores, self.none, self.presence, self.looked = scores, none, presence, []

    def palms(self, image, square, tone):
        palms = zip(super().palms(image, square, tone), self.scores)
        return Found(sorted((palm._replace(score=score) for palm, score in palms), key=lambda palm: -palm.score))

    def looks(self, image, squares, tone, pictures=1):
        self.looked += [round(square.x) for square in squares]
        return [
            replace(look, presence=0.0 if round(square.x) in self.none else self.presence)
            for square, look in zip(squares, super().looks(image, squares, tone))
        ]


def looked(networks, detector, images):
    """The middles of the squares that are looked at in each image."""
    rows = []
    for _ in range(images):
        networks.looked.clear()
        detector.detect(IMAGE)
        rows.append(sorted(set(networks.looked)))
    return rows


def test_a_hand_whose_palm_is_hardly_one_is_found_while_no_hand_is_known():
    hand = (300, 240, 120)
    assert len(HandDetector(Faint(hand, scores=[0.02])).detect(IMAGE)) == 1
    for rules in (CLASSIC, replace(SEARCHES["thorough"], faint=1.0)):
        assert not HandDetector(Faint(hand, scores=[0.02]), rules=rules).detect(IMAGE)
    assert not HandDetector(Faint(hand, scores=[0.02]), single_images=True).detect(IMAGE)
    for score, presence, hands in ((0.02, 0.69, 0), (0.02, 0.71, 1)):
        assert len(HandDetector(Faint(hand, scores=[score], presence=presence)).detect(IMAGE)) == hands


def test_three_faint_palms_are_looked_at_in_the_whole_image_and_rarely_once_in_vain():
    middles = [100, 250, 400, 550]
    networks = Faint(*((x, 240, 100) for x in middles), scores=[0.09, 0.08, 0.05, 0.04], none=middles)
    rows = looked(networks, HandDetector(networks), 60)
    assert rows[0] == [100, 250, 400] and rows[1] == []
    assert sum(bool(row) for row in rows[:24]) == 12 and sum(bool(row) for row in rows[28:]) == 4


def test_beside_a_hand_one_faint_palm_at_a_time_of_its_size_is_looked_at():
    networks = Faint((280, 240, 110), scores=[0.9], none=[60, 500, 580])
    detector = HandDetector(networks)
    detector.detect(IMAGE)
    networks.hands += (60, 240, 150), (500, 240, 150), (580, 400, 150), (280, 440, 30)
    networks.scores += [0.09, 0.08, 0.05, 0.095]
    rows = looked(networks, detector, 11)
    assert rows[1::2] == [[280, 500], [280, 580], [60, 280], [280, 500], [280, 580]]
    assert all(row == [280] for row in rows[::2])
