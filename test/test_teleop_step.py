"""Teleoperation's rules, whatever happens, and what a person at the robot sees of them."""

from dataclasses import replace

import numpy as np
import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.teleop import (
    ENGAGED,
    ESTOP,
    FAULT,
    HOLD,
    IDLE,
    RAMP,
    READY,
    HandSample,
    Inputs,
    RobotSample,
    TeleopSettings,
    TeleopState,
    step,
)
from fourdhands_core.teleop.motion import allowed

pytest.importorskip("ruckig", reason="ruckig, which the extra [robot] brings, is not installed")
PLAIN = TeleopSettings(need_deadman=False, ramp=0.2, axes=tuple(np.eye(3).ravel()))
CENTRE = np.array([0.4, 0.0, 0.4])


class Operator:
    """A hand and a robot that does as it is told, 100 steps a second."""

    def __init__(self, settings=PLAIN, fingers=()):
        self.state, self.now = TeleopState(settings), 50.0
        self.place, self.turn, self.fingers = CENTRE.copy(), np.eye(3), np.array(fingers, float)
        self.command = None

    def step(self, hand=np.zeros(3), rotation=None, grip=None, age=0.03, settings=None, **inputs):
        self.now += 0.01
        sample = hand
        if isinstance(hand, np.ndarray):
            turn = np.eye(3) if rotation is None else rotation
            sample = HandSample(
                self.now - age, hand, turn, grip, inputs.pop("confidence", 0.9), scaled=inputs.pop("scaled", True),
                size=inputs.pop("size", 0.095),
            )  # fmt: skip
        robot = inputs.pop("robot", RobotSample(self.now, self.place, self.turn, self.fingers))
        self.state, self.command = step(self.state, Inputs(sample, robot, **inputs), self.now, settings)
        if self.command.publish:
            self.place, self.turn, self.fingers = self.command.position, self.command.rotation, self.command.fingers
        return self.command

    def steps(self, count, *args, **inputs):
        for _ in range(count):
            self.step(*args, **inputs)
        return self.command

    def engaged(self, hand=np.zeros(3), **inputs):
        self.steps(15, hand, **inputs)
        assert self.state.state == READY, self.state.reasons
        self.step(hand, engage=True, **inputs)
        self.steps(30, hand, **inputs)
        assert self.state.state == ENGAGED
        return self


def test_nothing_moves_before_it_is_engaged():
    operator = Operator()
    for i in range(100):
        command = operator.step(np.array([0.3 * np.sin(i / 9.0), 0.0, 0.0]))
        assert not command.publish and operator.state.state in (IDLE, READY)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_the_arm_follows_relative_motion_in_the_robots_axes(scale):
    """A camera that faces the operator: towards it is forwards, up is up, the operator's left is the robot's left."""
    operator = Operator(replace(TeleopSettings(need_deadman=False, ramp=0.2), scale=scale)).engaged()
    moved = np.array([0.02, -0.03, -0.05])  # image right, up, towards the camera
    for i in range(300):
        command = operator.step(moved * min(i / 100.0, 1.0))
    np.testing.assert_allclose(command.position - CENTRE, scale * np.array([0.05, 0.02, 0.03]), atol=1e-6)


def test_the_arms_end_turns_with_the_hand_through_more_than_a_quarter_turn():
    operator = Operator().engaged()
    for i in range(400):
        command = operator.step(rotation=matrix_from_axis_angle(np.array([0.0, 0.0, min(i / 100.0, 2.0)])))
    np.testing.assert_allclose(command.rotation, matrix_from_axis_angle(np.array([0.0, 0.0, 2.0])), atol=1e-6)


def test_turns_off_keeps_the_orientation():
    operator = Operator(replace(PLAIN, turns=False)).engaged()
    command = operator.steps(50, rotation=matrix_from_axis_angle(np.array([0.4, 0.0, 0.0])))
    np.testing.assert_allclose(command.rotation, np.eye(3), atol=1e-9)


def test_a_short_loss_holds_and_goes_on_from_where_the_hand_comes_back():
    operator = Operator().engaged()
    operator.steps(100, np.array([0.05, 0.0, 0.0]))
    held = operator.steps(30, None).position
    assert operator.state.state == HOLD and operator.state.motion.still
    command = operator.step(np.array([0.05, 0.2, 0.0]))
    assert operator.state.state in (RAMP, ENGAGED)
    command = operator.steps(100, np.array([0.05, 0.2, 0.0]))
    np.testing.assert_allclose(command.position, held, atol=1e-6)
    command = operator.steps(200, np.array([0.05, 0.23, 0.0]))
    np.testing.assert_allclose(command.position, held + [0.0, 0.03, 0.0], atol=1e-6)


def test_after_a_hold_speed_grows_the_more_slowly_the_longer_it_was():
    """Right before the hand is given up it grows as after engaging; one lost image costs nothing."""
    settings, speeds = replace(PLAIN, ramp=1.0, max_speed=0.3), []
    for lost in (1, 25, int(100 * PLAIN.regain) - 2):
        operator = Operator(settings)
        operator.steps(15)
        operator.step(engage=True)
        operator.steps(120)
        operator.steps(lost, None)
        place = [operator.steps(2 if i else 1, np.array([0.0, 0.01 * i, 0.0])).position[1] for i in range(16)]
        assert operator.state.state in (RAMP, ENGAGED)
        speeds.append(np.diff(place).max() / 0.02)
    assert speeds[0] > 0.29 and speeds[0] > 1.1 * speeds[1] and speeds[1] > 1.5 * speeds[2], speeds


def test_a_long_loss_has_to_be_engaged_again():
    operator = Operator().engaged()
    operator.steps(100, None)
    assert operator.state.state == IDLE and operator.state.stopped_by == ("hand_not_seen",)
    here = operator.place.copy()
    operator.steps(100, np.array([0.1, 0.1, 0.1]))
    assert operator.state.state == READY
    np.testing.assert_array_equal(operator.place, here)
    operator.step(np.array([0.1, 0.1, 0.1]), engage=True)
    assert operator.state.state == RAMP and not operator.state.stopped_by  # of this following nothing has


def test_fingers_hold_what_they_hold_when_the_hand_is_lost():
    settings = replace(PLAIN, finger_lower=(0.0,), finger_upper=(0.08,), finger_velocity=(0.2,))
    operator = Operator(settings, [0.08]).engaged(grip=np.array([0.08]))
    closed = operator.steps(200, grip=np.array([0.02])).fingers
    np.testing.assert_allclose(closed, 0.02, atol=1e-9)
    for _ in range(200):
        np.testing.assert_allclose(operator.step(None).fingers, 0.02, atol=1e-9)


@pytest.mark.parametrize("beyond, engages", [(3e-11, True), (0.01, True), (0.1, False)])
def test_a_joint_that_measures_a_little_beyond_its_limit_is_at_it(beyond, engages):
    """Open fingers stand at their limits, and encoders and physics say so with noise; well beyond is another robot."""
    limits = {"finger_lower": (0.0,), "finger_upper": (1.6,), "finger_velocity": (2.0,)}
    operator = Operator(replace(PLAIN, **limits), fingers=[-beyond])
    operator.steps(15, grip=np.array([0.3]))
    assert (operator.state.state == READY) == engages
    if engages:
        assert operator.step(grip=np.array([0.3]), engage=True).fingers == [0.0]


@pytest.mark.parametrize(
    "inputs, reason",
    [
        ({"deadman": False}, "deadman_released"),
        ({"deadman": True, "deadman_stamp": 0.0}, "deadman_stale"),
        ({"operators": 2}, "two_operators"),
        ({"robot": None}, "robot_not_seen"),
        ({"robot": RobotSample(0.0, CENTRE, np.eye(3))}, "robot_stale"),
    ],
)
def test_what_ends_following_ends_it_within_a_quarter_of_a_second(inputs, reason):
    """At full speed; and when the reason has gone, nothing moves by itself."""
    operator = Operator(replace(PLAIN, need_deadman=True, deadman_stale=0.2))

    def fine(hand):
        return operator.step(hand, deadman=True, deadman_stamp=operator.now + 0.01)

    for _ in range(15):
        fine(np.zeros(3))
    operator.step(np.zeros(3), engage=True, deadman=True, deadman_stamp=operator.now + 0.01)
    for i in range(80):
        fine(np.array([0.004 * i, 0.0, 0.0]))
    assert operator.state.motion.velocity[0] > 0.24
    for _ in range(25):
        here = {"deadman": True, "deadman_stamp": operator.now + 0.01, **inputs}
        operator.step(np.array([0.4, 0.0, 0.0]), **here)
    assert operator.state.state == IDLE and operator.state.motion.still and reason in operator.state.stopped_by
    stood = operator.place.copy()
    for i in range(50):
        fine(np.array([0.4 + 0.003 * i, 0.0, 0.0]))
    np.testing.assert_array_equal(operator.place, stood)


def test_an_old_image_stops_the_robot_within_a_quarter_of_a_second_of_its_end():
    operator = Operator().engaged()
    for i in range(80):
        operator.step(np.array([0.004 * i, 0.0, 0.0]))
    assert operator.state.motion.velocity[0] > 0.24
    last = HandSample(operator.now - 0.03, np.array([0.32, 0.0, 0.0]), np.eye(3), None, 0.9)
    slowest = min(operator.step(last).linear[0] for _ in range(25))
    assert slowest >= -1e-9, "it turned back"
    assert operator.state.motion.still


def test_estop_is_latched():
    operator = Operator().engaged()
    operator.step(np.array([0.1, 0.0, 0.0]), estop=True)
    assert operator.state.state == ESTOP
    operator.steps(100, np.array([0.1, 0.0, 0.0]), engage=True)
    assert operator.state.state == ESTOP and operator.state.motion.still
    operator.step(np.array([0.1, 0.0, 0.0]), reset=True, estop=True)
    assert operator.state.state == ESTOP
    operator.step(np.array([0.1, 0.0, 0.0]), reset=True)
    assert operator.state.state == IDLE


def test_a_robot_that_does_not_follow_is_a_fault():
    operator = Operator().engaged()
    elsewhere = CENTRE + [0.0, 0.3, 0.0]
    for _ in range(60):
        operator.step(robot=RobotSample(operator.now, elsewhere, np.eye(3)))
    assert operator.state.state == FAULT and operator.state.reasons == ("robot_does_not_follow",)


def test_what_fingers_hold_may_keep_turn_and_push_them():
    """A gripper closed on 4 cm, of which the command goes 3 cm further: it gives way, is turned, and is pushed wide open."""
    operator = Operator(replace(PLAIN, finger_lower=(0.0,), finger_upper=(0.08,), finger_velocity=(0.2,)), [0.08])
    operator.engaged(grip=np.array([0.08]))
    for width in [0.04, 0.012, 0.06, 0.08]:
        for _ in range(100):
            robot = RobotSample(operator.now, operator.place, operator.turn, np.array([width]))
            command = operator.step(grip=np.array([0.01]), robot=robot)
            assert operator.state.state == ENGAGED, operator.state.reasons
    np.testing.assert_allclose(command.fingers, 0.01, atol=1e-9)


@pytest.mark.parametrize(("moved", "was"), [(0.5, {}), (0.015, {"scaled": False}), (0.044, {"size": 0.089})])
def test_a_jump_of_the_hand_is_not_followed(moved, was):
    """Nor a small one from the image on where distances are in metres, as the camera's calibration came late, or where the hand
    is of another size, as after ~/calibrate_hand, which brings it nearer or further."""
    operator = Operator().engaged(**was)
    before = operator.place.copy()
    operator.steps(5, np.array([moved, 0.0, 0.0]))
    assert operator.state.state == HOLD and operator.state.reasons == ("hand_jumped",)
    operator.steps(60, np.array([moved, 0.0, 0.0]))
    np.testing.assert_allclose(operator.place, before, atol=1e-6)
    assert operator.state.state in (RAMP, ENGAGED)


def test_absolute_motion_is_refused_without_metres_and_without_a_transform():
    operator = Operator(replace(PLAIN, absolute=True))
    operator.steps(20, scaled=False)
    assert operator.state.state == IDLE and set(operator.state.reasons) == {"not_scaled", "no_transform_to_base"}
    there = (np.eye(3), CENTRE)
    operator.steps(15, absolute=there)
    operator.engaged(absolute=there)
    for i in range(250):
        command = operator.step(np.array([0.1, 0.05, 0.0]) * min(i / 50.0, 1.0), absolute=there)
    np.testing.assert_allclose(command.position, CENTRE + [0.1, 0.05, 0.0], atol=1e-6)


def test_little_confidence_slows_and_less_holds():
    quick, slow = Operator().engaged(), Operator().engaged()
    for i in range(30):
        hand = np.array([0.01 * i, 0.0, 0.0])
        fast, slower = quick.step(hand), slow.step(hand, confidence=0.25)
    assert 0 < slower.linear[0] < 0.5 * fast.linear[0] and "confidence" in slower.limits
    slow.step(np.array([0.3, 0.0, 0.0]), confidence=0.1)
    assert slow.state.state == HOLD


def test_the_workspace_and_balls_keep_the_arm():
    settings = replace(PLAIN, workspace=(0.3, -0.2, 0.2, 0.5, 0.2, 0.6), keep_out=(0.4, 0.2, 0.4, 0.1))
    operator = Operator(settings).engaged()
    for i in range(400):
        command = operator.step(np.array([0.0, min(0.002 * i, 0.5), 0.0]))
        assert np.linalg.norm(command.position - [0.4, 0.2, 0.4]) > 0.1 - 1e-6
    for i in range(300):
        command = operator.step(np.array([min(0.003 * i, 0.9), 0.5, 0.0]))
    assert command.position[0] <= 0.5 + 1e-9 and "workspace" in command.limits


def test_new_settings_wait_until_the_robot_stands_in_idle():
    operator = Operator().engaged()
    slower = replace(PLAIN, max_speed=0.05)
    operator.steps(20, np.array([0.1, 0.0, 0.0]), settings=slower)
    assert operator.state.settings is PLAIN
    operator.steps(100, None, settings=slower)
    assert operator.state.settings is slower


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"max_speed": 0.0}, "max_speed is 0.0; give a value from 0.001 to 3.0"),
        ({"axes": (1.0,) * 9}, "no rotation"),
        ({"workspace": (0.0, 0.0, 0.0, 1.0, 1.0, 0.0)}, "is no box"),
        ({"keep_out": (0.0, 0.0, 0.0)}, "no balls"),
        ({"finger_lower": (0.0,)}, "differ in length"),
        ({"scale": float("nan")}, "not finite"),
        ({"confidence_to_hold": 0.9}, "must be below"),
    ],
)
def test_wrong_settings(wrong, words):
    with pytest.raises(InputError, match=words):
        replace(PLAIN, **wrong)


@pytest.mark.parametrize("clock", ["stands", "nan", "back", "far apart"])
def test_a_robot_brakes_whatever_the_clock_does(clock):
    operator = Operator().engaged()
    for i in range(80):
        operator.step(np.array([0.004 * i, 0.0, 0.0]))
    assert operator.state.motion.velocity[0] > 0.24
    now, state = operator.now, operator.state
    for k in range(1, 60):
        when = {"stands": now, "nan": np.nan, "back": now - k, "far apart": now + 0.6 * k}[clock]
        robot = RobotSample(when, operator.place, operator.turn, operator.fingers)
        state, command = step(state, Inputs(None, robot, estop=clock != "stands" or k > 30), when)
    assert state.motion.still and state.state == ESTOP


def test_release_wins_over_engage():
    operator = Operator()
    operator.steps(15)
    operator.step(engage=True, release=True)
    assert operator.state.state == READY


def test_one_lost_image_does_not_end_the_ramp():
    operator = Operator(replace(PLAIN, ramp=1.5))
    operator.steps(15)
    operator.step(engage=True)
    operator.steps(3)
    operator.step(None)
    operator.steps(2)
    assert operator.state.state == RAMP and "ramp" in operator.command.limits


def test_another_hand_under_the_same_stamp_is_not_followed():
    operator = Operator().engaged()
    before = operator.place.copy()
    stamp = operator.now
    for k in range(15):
        operator.step(HandSample(stamp, np.array([0.8 * (k > 0), 0.0, 0.0]), np.eye(3), None, 0.9))
    np.testing.assert_allclose(operator.place, before, atol=1e-9)


def test_an_absolute_jump_has_to_be_engaged_again():
    there = (np.eye(3), CENTRE)
    operator = Operator(replace(PLAIN, absolute=True)).engaged(absolute=there)
    operator.steps(60, np.array([0.5, 0.0, 0.0]), absolute=there)
    assert operator.state.state in (IDLE, READY) and operator.state.stopped_by == ("hand_jumped",)
    np.testing.assert_allclose(operator.place, CENTRE, atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_no_ball_is_stepped_over_at_speed(seed):
    """3 m/s, 50 m/s2, 20 steps a second, balls of 3 cm: between two steps the arm goes 15 cm."""
    rng = np.random.default_rng(seed)
    centre = CENTRE + np.array([*rng.uniform(0.08, 0.25, 1), *rng.uniform(-0.02, 0.02, 2)])
    settings = replace(
        PLAIN, max_speed=3.0, max_acceleration=50.0, max_jerk=2000.0, keep_out=(*centre.tolist(), 0.03), max_hand_speed=20.0
    )
    operator, before = Operator(settings).engaged(), CENTRE
    for i in range(80):
        operator.now += 0.04
        place = operator.step(np.array([min(0.05 * i, 0.6), 0.0, 0.0])).position
        share = np.clip((centre - before) @ (place - before) / max((place - before) @ (place - before), 1e-12), 0.0, 1.0)
        assert np.linalg.norm(before + share * (place - before) - centre) > 0.03 - 2e-3
        before = place


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_motion_towards_the_camera_counts_as_much_as_it_is_to(share):
    """What one camera measures worst, here of one that faces the operator, moves the robot less; the other axes as before."""
    operator = Operator(replace(TeleopSettings(need_deadman=False, ramp=0.2), scale=2.0, scale_depth=share)).engaged()
    moved = np.array([0.02, -0.03, -0.05])
    for i in range(300):
        command = operator.step(moved * min(i / 100.0, 1.0))
    np.testing.assert_allclose(command.position - CENTRE, 2.0 * np.array([0.05 * share, 0.02, 0.03]), atol=1e-6)


@pytest.mark.parametrize("axis", [0, 5, 6])
def test_what_is_no_number_is_not_allowed(axis):
    settings = TeleopSettings(finger_lower=(0.0,), finger_upper=(1.0,), finger_velocity=(1.0,))
    value = np.array([0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5])
    assert allowed(value, settings)
    value[axis] = np.nan
    assert not allowed(value, settings)
