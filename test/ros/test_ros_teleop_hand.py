"""Messages of hands as `hands_teleop` takes them: what is none of a hand's is refused and told."""

import contextlib

import numpy as np
import pytest
from ros_support import T0, make_pair
from teleop_support import ruckig

from fourdhands_core.errors import InputError
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import deserialize, message_type
from fourdhands_ros.teleop.hand_input import HandInput

pytestmark = pytest.mark.skipif(ruckig is None, reason="teleoperation needs ruckig (pip install 'fourdhands[robot]')")


@contextlib.contextmanager
def hand_input(side="right"):
    one = HandInput(side, None, lambda sec, nanosec: sec + 1e-9 * nanosec)
    yield one
    one.close()


def message(pair=None):
    return deserialize(
        HandPairEncoder("net").encode(pair or make_pair(T0), "camera", {}), message_type("fourdhands_ros/msg/HandPair")
    )


def millimetres(hand):
    for place in (*hand.joints, hand.wrist.position):
        place.x, place.y, place.z = 1e3 * place.x, 1e3 * place.y, 1e3 * place.z


def turned(*quaternion):
    def edit(hand):
        turn = hand.wrist.orientation
        turn.x, turn.y, turn.z, turn.w = quaternion

    return edit


@pytest.mark.parametrize(
    "edit, words",
    [
        (millimetres, "have to be in metres"),
        (turned(0.0, 0.0, 0.0, 0.0), "quaternion"),
        (turned(0.0, 0.0, 0.0, 1e300), "quaternion"),
        (turned(0.0, 0.0, 0.0, 5e-324), "quaternion"),
        (turned(0.0, float("nan"), 0.0, 1.0), "no finite numbers"),
        (lambda hand: setattr(hand.joints[3], "y", float("inf")), "no finite numbers"),
        (lambda hand: setattr(hand, "confidence", 95.0), "from 0 to 1"),
    ],
)
def test_a_hand_whose_numbers_are_none_is_refused(edit, words):
    """In millimetres the arm would go a thousand times as far."""
    with hand_input() as hand:
        given = message()
        assert hand._read(given)[0].valid
        edit(given.right)
        with pytest.raises(InputError, match=words):
            hand._read(given)
        given.right.valid = False  # nothing is asked of one that is not seen
        assert not hand._read(given)[0].valid


def test_a_models_hand_has_a_size_and_one_that_is_measured_has_none():
    """By which it is noticed where it is taken for a hand of another size, and so for one at another distance."""
    with hand_input() as hand:
        given = message()
        knuckle, wrist = given.right.joints[9], given.right.joints[0]
        size = np.linalg.norm([knuckle.x - wrist.x, knuckle.y - wrist.y, knuckle.z - wrist.z])
        assert hand._read(given)[0].size == pytest.approx(size)
        given.right.betas = []
        assert hand._read(given)[0].size is None
