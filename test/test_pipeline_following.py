"""Hands that a network follows without the detector: when it has to look, and what becomes of a hand that is gone."""

import numpy as np
import pytest
from pipeline_support import SMALL_CAMERA as CAMERA
from pipeline_support import Script, Truth

from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.regression import Regression
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED

PERIOD = 33_333_333
IMAGE = np.zeros((240, 320, 3), np.uint8)


class Placed(Script):
    """Two flat hands whose wrists, metres, are where `wrists` says; the network sees those of `visible`, exactly."""

    def __init__(self, *wrists):
        super().__init__()
        self.wrists, self.visible = np.array(wrists), {LEFT, RIGHT}

    def landmarks(self, number):
        return CAMERA.project(self.joints + self.wrists[:, None])

    def detect(self, image):
        return [hand for hand in super().detect(image) if hand.side in self.visible]

    def regression(self, frame):
        landmarks = self.landmarks(self.number)
        landmarks[[side for side in (LEFT, RIGHT) if side not in self.visible]] = self.instead
        return Regression(
            self.rotations.copy(),
            np.zeros((2, 10)),
            np.full((2, 21), 0.008),
            self.wrists[LEFT] - self.wrists[RIGHT],
            0.02,
            landmarks,
        )

    instead = np.nan
    """What the network sees of a hand that is not there, pixels."""


def follow(script, **settings):
    """A function that tracks another `images` images of a script, and returns the last pair."""
    tracker = HandPairTracker(TrackerSettings(**{"detect_every": 1000, **settings}), script, Truth(script))

    def track(images=1):
        for _ in range(images):
            script.number += 1
            pair = tracker.process(IMAGE, (script.number + 1) * PERIOD, CAMERA)
        return pair

    return track


@pytest.mark.parametrize("apart, followed", [(1.0, False), (1.5, False), (1.9, False), (2.1, True), (3.0, True)])
def test_hands_near_each_other_are_looked_for_in_every_image(apart, followed):
    """In units of a hand's radius in the image: nearer than two of them, one could be taken for the other."""
    script = Placed((-0.09, 0.0, 0.6), (0.09, 0.0, 0.6))
    radius = np.sqrt(np.square(script.joints[RIGHT, :, :2] - script.joints[RIGHT, :, :2].mean(0)).sum(-1).mean())
    script.wrists[:, 0] = -script.joints[..., 0].mean(1)  # one above the other
    script.wrists[:, 1] = np.array([-0.5, 0.5]) * apart * radius
    pair = follow(script)(8)
    assert pair.left.valid and pair.right.valid
    assert script.looked == ([0] if followed else list(range(8)))


@pytest.mark.parametrize("instead", [np.nan, 2000.0, -300.0])
@pytest.mark.parametrize("gone", [LEFT, RIGHT])
def test_a_hand_that_goes_while_it_is_followed_is_gone_at_once(gone, instead):
    """HELD with its age from the very image on in which the network does not see it, then absent; the other goes on."""
    script = Placed((-0.22, 0.0, 0.6), (0.22, 0.0, 0.6))
    track = follow(script)
    before = track(3)
    script.visible, script.instead = {1 - gone}, instead
    for number in range(3, 20):
        pair = track()
        hand = pair.hands[gone]
        age = (number - 2) * PERIOD * 1e-9
        assert not hand.valid and hand.state == (HELD if age < TrackerSettings().hold else ABSENT)
        if hand.state == HELD:
            assert hand.age == pytest.approx(age)
            assert (hand.joints == before.hands[gone].joints).all()
        assert pair.hands[1 - gone].state == TRACKED and pair.left_root_relative is None
    assert script.looked[:3] == [0, 4, 5], "the detector looks for a hand that was just lost"


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_the_detector_looks_at_every_so_many_images(interval):
    script = Placed((-0.22, 0.0, 0.6), (0.22, 0.0, 0.6))
    follow(script, detect_every=interval)(21)
    assert script.looked == list(range(0, 21, interval))


def test_a_hand_that_leaves_the_image_is_looked_for():
    """With less than seven tenths of it to be seen it may be another one that the network sees there."""
    script = Placed((-0.22, 0.0, 0.6), (0.22, 0.0, 0.6))
    track = follow(script)
    for _ in range(30):
        track()
        script.wrists[RIGHT, 0] += 0.01
    shown = (script.landmarks(0)[RIGHT, :, 0] < 320).mean()
    assert 0.0 < shown < 0.7 and 28 in script.looked and 29 in script.looked and script.looked[:2] != [0, 1]


def test_with_lookahead_every_image_is_looked_at():
    """What an image is followed by is known only after later ones."""
    script = Placed((-0.22, 0.0, 0.6), (0.22, 0.0, 0.6))
    track = follow(script, lookahead=2)
    for _ in range(8):
        track()
    assert script.looked == list(range(8))


def test_an_image_that_begins_anew_is_looked_at_whatever_was_followed():
    """The hands in it are the detector's: what was expected from before is not taken for seen, nor is it later."""
    script = Placed((-0.22, 0.0, 0.6), (0.22, 0.0, 0.6))
    tracker = HandPairTracker(TrackerSettings(detect_every=1000), script, Truth(script))
    for script.number in range(8):
        frame = tracker.observe(IMAGE, (script.number + 1) * PERIOD, CAMERA, first=script.number == 4)
        assert frame.followed == (script.number not in (0, 4))
        tracker.estimate(frame)
    assert script.looked == [0, 4]
    script.number, script.visible = 8, set()
    pair = tracker.estimate(tracker.observe(IMAGE, 9 * PERIOD, CAMERA, first=True))
    assert script.looked == [0, 4, 8] and pair.left.state == pair.right.state == ABSENT
