"""How soon a hand that was named by labels that say little is named anew by ones that are sure."""

from dataclasses import replace

import pytest
from test_perception_identity import FRAME, SIZE, seen

from fourdhands_core.errors import InputError
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.perception.identity import HandIdentity, IdentitySettings

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


def test_presence_below_which_a_hand_may_be_misread_is_below_one():
    with pytest.raises(InputError, match="misread=1.0"):
        IdentitySettings(misread=1.0)
