"""Messages of hands as `hands_teleop` takes them: what is none of a hand's is refused and told."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from ros_context import wait_until
from ros_support import T0, make_pair
from teleop_support import START, needs_ruckig

from fourdhands_core.errors import InputError
from fourdhands_core.teleop import (
    ENGAGED,
    HOLD,
    RAMP,
    READY,
    HandSample,
    Inputs,
    RobotSample,
    TeleopSettings,
    TeleopState,
    step,
)
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import deserialize, message_type
from fourdhands_ros.teleop.axes import axes_problem
from fourdhands_ros.teleop.diagnosis import hand_problem
from fourdhands_ros.teleop.hand_input import HandInput
from fourdhands_ros.teleop.parameters import TeleopParameters

pytestmark = needs_ruckig


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
        assert hand.read(given)[0].valid
        edit(given.right)
        with pytest.raises(InputError, match=words):
            hand.read(given)
        given.right.valid = False  # nothing is asked of one that is not seen
        assert not hand.read(given)[0].valid


def test_a_models_hand_has_a_size_and_one_that_is_measured_has_none():
    """By which it is noticed where it is taken for a hand of another size, and so for one at another distance."""
    with hand_input() as hand:
        given = message()
        knuckle, wrist = given.right.joints[9], given.right.joints[0]
        size = np.linalg.norm([knuckle.x - wrist.x, knuckle.y - wrist.y, knuckle.z - wrist.z])
        assert hand.read(given)[0].size == pytest.approx(size)
        given.right.betas = []
        assert hand.read(given)[0].size is None


@pytest.mark.parametrize(
    "stamp, publishers, words",
    [(9.0, 0, "nobody publishes /hands"), (5.0, 1, "stamps 5.0 s old"), (14.0, 1, "stamps 4.0 s ahead"), (9.99, 1, "")],
)
def test_why_no_hand_is_followed_is_told(stamp, publishers, words):
    state = TeleopState(TeleopSettings(need_deadman=False))
    for now in (9.99, 10.0):
        hand = HandSample(stamp + now - 10.0, np.zeros(3), np.eye(3))
        state, _ = step(state, Inputs(hand if publishers else None), now)
    said = hand_problem(state, hand if publishers else None, 10.0, "/hands", publishers)
    assert words in said and bool(words) == bool(said)


def test_that_no_hands_come_is_told():
    """As of images without stamps, of a node that is paused or hangs: it said nothing."""
    state = TeleopState(TeleopSettings(need_deadman=False))
    for hand in (None, HandSample(10.0, np.zeros(3), np.eye(3))):
        for now in np.arange(10.0, 12.5, 0.01):
            state, _ = step(state, Inputs(hand), float(now))
        assert hand_problem(state, hand, 12.5, "/hands", 1).startswith("no hands have come on /hands for 2 s, though somebody")
        state, _ = step(state, Inputs(HandSample(12.5, np.zeros(3), np.eye(3))), 12.5)
        assert not hand_problem(state, hand, 12.5, "/hands", 1)


def test_hands_of_fused_cameras_have_no_way_to_a_camera():
    given = TeleopParameters(scale_depth=0.3, axes=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    assert "set it to 1.0" in axes_problem("base_link", True, given, given.settings())
    assert not axes_problem("camera_optical_frame", False, given, given.settings())


def pair_at(stamp, left, right):
    """A HandPair with the wrists there, (3,) each, or None of a hand that is not seen."""
    pair = message(make_pair(stamp))
    for hand, place in ((pair.left, left), (pair.right, right)):
        hand.valid = place is not None
        if place is not None:
            at = hand.wrist.position
            at.x, at.y, at.z = place
    return pair


HERE, THERE = (0.1, 0.0, 0.5), (-0.15, 0.02, 0.52)


@pytest.mark.parametrize(
    "before, after, exchanged",
    [
        ((THERE, HERE), (HERE, THERE), True),
        ((THERE, HERE), (None, (-0.13, 0.03, 0.54)), True),
        ((THERE, HERE), (THERE, (0.13, 0.02, 0.5)), False),
        ((THERE, HERE), (THERE, (0.4, 0.0, 0.5)), False),  # a jump, but not to the other hand
        ((None, HERE), (HERE, THERE), True),  # it was the other one all the while that was called this one
        ((None, HERE), (HERE, (0.04, 0.0, 0.5)), True),  # as after hands have crossed: no jump for a hand as fast as it may be
        ((None, HERE), ((0.05, 0.0, 0.5), (0.17, 0.0, 0.5)), False),  # one hand after the other
        (((0.08, 0.0, 0.5), HERE), ((0.1, 0.0, 0.5), (0.08, 0.0, 0.5)), False),  # wrists side by side tell nothing
    ],
)
def test_a_hand_that_is_where_the_other_one_was_is_the_other_one(before, after, exchanged):
    with hand_input() as hand:
        first = hand.read(pair_at(T0, *before))[0]
        second = hand.read(pair_at(T0 + 33_000_000, *after))[0]
        assert second.exchanges - first.exchanges == exchanged
        later = hand.read(pair_at(T0 + 2_000_000_000, *before))[0]
        assert later.exchanges == second.exchanges


@pytest.mark.parametrize(
    "other, seconds, doubted",
    [((0.0, 0.0, 0.5), 0.1, True), ((0.0, 0.0, 0.5), 0.9, True), ((0.0, 0.0, 0.5), 1.1, False), (THERE, 0.1, False)],
)
def test_a_hand_beside_which_the_other_one_was_lost_is_doubted(other, seconds, doubted):
    """It may be that one: the robot is slow then, and not engaged. It followed at full speed."""
    with hand_input() as hand:
        sure = hand.read(pair_at(T0, other, HERE))[0].confidence
        then = hand.read(pair_at(T0 + int(seconds * 1e9), None, HERE))[0].confidence
        assert then == pytest.approx(0.5 * sure if doubted else sure)
        assert hand.read(pair_at(T0 + 2_000_000_000, other, HERE))[0].confidence == pytest.approx(sure)


def test_a_hand_that_was_exchanged_has_to_be_engaged_again():
    """Held for a tenth of a second only, the arm would follow the other hand from there on."""
    state, now, place = TeleopState(TeleopSettings(need_deadman=False, ramp=0.1)), 10.0, START
    for i in range(120):
        now += 0.01
        swapped = i >= 60
        hand = HandSample(now, np.array(THERE if swapped else HERE), np.eye(3), exchanges=int(swapped))
        state, command = step(state, Inputs(hand, RobotSample(now, place, np.eye(3)), engage=i == 20), now)
        assert (state.state in (RAMP, ENGAGED)) == (20 <= i < 60)
    assert state.stopped_by == ("hands_exchanged",) and state.state == READY
    np.testing.assert_allclose(command.position, START, atol=1e-9)


def test_an_image_without_the_hand_counts_also_where_others_came_at_once():
    with hand_input() as hand:
        with hand._ready:  # its thread takes all three when this is left
            for i, seen in enumerate((True, False, True)):
                pair = make_pair(T0 + i * 30_000_000)
                hand.put(HandPairEncoder("net").encode(replace(pair, right=replace(pair.right, valid=seen)), "camera", {}))
        assert wait_until(lambda: hand.newest[0] is not None)
        assert hand.newest[0].valid and hand.newest[0].losses == 1


def test_a_hand_that_was_lost_in_an_image_between_two_steps_is_held():
    """By such an image the hands node tells that depth came, or that it was reset: the robot went after the hand by 9 cm."""
    state, now, place, held = TeleopState(TeleopSettings(need_deadman=False, ramp=0.1)), 10.0, START, 0
    for i in range(80):
        now += 0.05
        lost = i >= 40
        hand = HandSample(now, np.array([0.0, 0.0, 0.59 if lost else 0.5]), np.eye(3), losses=int(lost))
        state, command = step(state, Inputs(hand, RobotSample(now, place, np.eye(3)), engage=i == 20), now)
        place, held = command.position, held + (state.state == HOLD)
    assert state.state == ENGAGED and held == 1
    np.testing.assert_allclose(command.position, START, atol=1e-9)
