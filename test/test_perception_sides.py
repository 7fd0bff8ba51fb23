"""How soon a hand that was named by labels that say little is named anew by ones that are sure."""

from dataclasses import replace

import pytest
from test_perception_identity import FRAME, SIZE, seen

from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.perception.identity import HandIdentity

SHOWN = 30
"""Images in which the hand is seen well."""


def named(detections):
    """The side that the one hand has in each image."""
    identity = HandIdentity()
    pairs = [identity.update([detection], FRAME * number, SIZE) for number, detection in enumerate(detections)]
    assert all((left is None) != (right is None) for left, right in pairs)
    return [LEFT if left is not None else RIGHT for left, _ in pairs]


def hand(number, label, score, presence):
    return replace(seen(RIGHT, (300 + 5 * number, 300), label=label, score=score), presence=presence)


def surely(first):
    return [hand(number, RIGHT, 0.97, 0.95) for number in range(first, first + SHOWN)]


@pytest.mark.parametrize(("score", "presence"), [(0.95, 0.65), (0.6, 0.95), (0.75, 0.75)])
def test_two_sure_labels_outweigh_those_of_a_hand_that_was_hardly_seen(score, presence):
    unsure = [hand(number, LEFT, score, presence) for number in range(8)]
    sides = named(unsure + surely(8))
    assert sides[:8] == [LEFT] * 8
    assert sides[9:] == [RIGHT] * (SHOWN - 1)


@pytest.mark.parametrize(("score", "presence"), [(0.95, 0.65), (0.6, 0.95)])
def test_labels_that_say_little_change_no_side_in_a_second(score, presence):
    unsure = [hand(SHOWN + number, LEFT, score, presence) for number in range(30)]
    assert set(named(surely(0) + unsure)) == {RIGHT}


@pytest.mark.parametrize(("lost", "met"), [(12, 14), (13, 15)])
def test_of_two_hands_that_met_the_one_that_is_still_seen_is_soon_named_by_its_labels(lost, met):
    """The left hand is not seen for two images, hides the right one and goes on where that would: its labels alone tell."""
    identity = HandIdentity()
    sides = []
    for number in range(met + 7):
        left, right = (
            replace(seen(side, (x, 300), score=0.97), presence=0.95)
            for side, x in ((LEFT, 200 + 8 * number), (RIGHT, 440 - 8 * number))
        )
        turned = replace(seen(LEFT, (440 - 8 * number, 300), score=0.97), presence=0.95)
        frame = [left, right] if number < lost else [right] if number < met else [turned]
        sides.append([hand is not None for hand in identity.update(frame, FRAME * number, SIZE)])
    assert sides[:met] == [[True, True]] * lost + [[False, True]] * 2
    assert sides[met + 2 :] == [[True, False]] * 5


def test_a_third_hand_seen_where_a_lost_one_may_be_takes_nothing_from_its_side():
    """Two hands that the detector both calls right: the one that was named first is named again when it comes back."""
    first, third = (replace(seen(RIGHT, (x, 300), score=score), presence=0.95) for x, score in ((300, 0.9), (400, 0.75)))
    between = replace(seen(RIGHT, (365, 290), score=0.75), presence=0.95)
    frames = [[first]] * 4 + [[first, third]] * 8 + [[]] * 6 + [[between]] * 6 + [[first, third]] * 10
    identity = HandIdentity()
    pairs = [identity.update(frame, FRAME * number, SIZE) for number, frame in enumerate(frames)]
    assert all((right.landmarks == first.landmarks).all() for _, right in pairs[:12] + pairs[-10:])
