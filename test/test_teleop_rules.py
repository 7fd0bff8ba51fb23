"""Teleoperation's rules, that they catch a step that is wrong, and how soon a robot stands that hears nothing more."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import teleop_faults as faults
import teleop_rules as rules
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fourdhands_core.simulation.scene import HOME
from fourdhands_core.teleop import (
    HandSample,
    Inputs,
    RobotSample,
    TeleopSettings,
    TeleopState,
    grip,
    joints,
    motion,
    senses,
    step,
)

_step = sys.modules["fourdhands_core.teleop.step"]  # the package has its function by that name
from fourdhands_core.teleop.settings import STANDSTILL
from fourdhands_core.teleop.types import MOVING_STATES
from fourdhands_ros.teleop.gripper import PERIOD, GripperAction

pytest.importorskip("ruckig", reason="ruckig, which the extra [robot] brings, is not installed")


AT_ITS_LIMIT = (
    468165,
    [
        ("fingers leave", "gripper refuses", 54),
        ("gripper refuses", "joints unknown", 14),
        ("robot moves", "little confidence", 27),
        ("fingers leave", "gripper refuses", 54),
        ("robot moves", "little confidence", 27),
        ("release", "hand nan", 22),
    ],
)
"""Where a joint that was led to its limit is measured a billionth beyond it, and the robot is engaged again."""


AT_REST_BEFORE = (24, [("robot frozen", "not scaled", 24), ("gripper fails", "clock back", 50), ("estop", "no transform", 3)])
"""Where the fingers rest before the robot stops, sooner after a goal than the next may come, and e-stop sent that next one."""


EXCHANGED_AND_BACK = (2558, [("hands exchanged", "hand stamp back", 23)])
"""Where a hand is taken for the other one as its stamps go back, which was held, and that other hand followed then."""


@settings(max_examples=20, deadline=None)
@example(EXCHANGED_AND_BACK)
@example(AT_ITS_LIMIT)
@example(AT_REST_BEFORE)
@given(faults.courses())
def test_no_rule_is_broken_whatever_happens(course):
    rules.run(course)


def drawn(seed):
    """A course of faults, as hypothesis draws them, out of a random seed: to reach all of them in few."""
    rng = np.random.default_rng(seed)
    names = rng.choice(faults.FAULTS, (rng.integers(1, 8), 2))
    names[rng.random(len(names)) < 0.5, 1] = "none"
    return int(rng.integers(2**31)), [(*map(str, pair), int(rng.integers(1, 61))) for pair in names]


def test_random_faults_reach_all_states():
    reached = [rules.run(drawn(seed)) for seed in range(40)]
    for name in reached[0]:
        assert sum(one[name] for one in reached), name


def _wrong_inputs(transition, **wrong):
    return lambda state, inputs, *others: transition(state, replace(inputs, **wrong), *others)


def _of(module, name, change):
    """Put what `change` makes of it in the place of module.name."""
    return lambda patch: patch.setattr(module, name, change(getattr(module, name)))


def _faster(planned):
    others = {}

    def plan(moving, s, target, share, to=None):
        if id(s) not in others:
            others[id(s)] = s, replace(s, max_jerk=min(1.5 * s.max_jerk, 2000.0), max_acceleration=1.5 * s.max_acceleration)
        return planned(moving, others[id(s)][1], target, share, to)

    return plan


def _unsaid(command):
    def wrong(state, moved, *others):
        return replace(command(state, False, *others), publish=state.state in MOVING_STATES)

    return wrong


def _following(transition):
    def wrong(state, inputs, sensed, *others):
        return transition(state, inputs, replace(sensed, reasons=[r for r in sensed.reasons if r != "low_confidence"]), *others)

    return wrong


def _goes_on_goals(action):
    """As it was once: a goal that nobody took was said again, by a gripper that had been stopped."""

    def wrong(self, command, position, still, now):
        action(self, command, position, still, now)
        if self._lacks and still and command.publish and now - self._at >= PERIOD:
            self._at = now
            self._send(position)

    return wrong


def _with_other_limits(driven):
    def wrong(moving, limits, *others):
        return driven(moving, replace(limits, rates=tuple(1.5 * rate for rate in limits.rates)), *others)

    return wrong


MUTANTS = {
    "stops at once": _of(_step, "braked", lambda _: lambda moving, s, dt: motion.at_rest(moving.value)),
    "stops slowly": _of(_step, "braked", lambda braked: lambda moving, s, dt: braked(moving, s, 0.5 * dt)),
    "does not look where it would stop": _of(motion, "_clear", lambda _: lambda way, s: True),
    "plans with other limits": _of(motion, "_planned", _faster),
    "begins beside the robot": _of(_step, "at_rest", lambda at_rest: lambda value: at_rest(value + 1e-4)),
    "grips with fingers that were moved": _of(grip, "_near", lambda _: lambda fingers, *_: np.full(len(fingers), True)),
    "grips after an e-stop": _of(
        grip.Grip, "after", lambda after: lambda self, robot, _, *rest: after(self, robot, False, *rest)
    ),
    "believes jumps": _of(senses, "_JUMP", lambda _: 9.0),
    "does not hear silence": _of(senses.Silence, "after", lambda _: lambda self, inputs, passed: self),
    "believes old stamps": _of(
        senses, "_hand", lambda hand: lambda s, *others: hand(replace(s, hand_stale=2.0), *others)
    ),
    "goes with a transform that jumps": _of(senses, "_transform", lambda _: lambda *_: []),
    "holds without a deadman's switch": _of(_step, "_LOSS", lambda loss: loss | {"deadman_released"}),
    "holds of two operators": _of(_step, "_LOSS", lambda loss: loss | {"two_operators"}),
    "hears no e-stop": _of(_step, "_transition", lambda transition: _wrong_inputs(transition, estop=False)),
    "resets itself": _of(_step, "_transition", lambda transition: _wrong_inputs(transition, reset=True)),
    "engages itself": _of(_step, "_transition", lambda transition: _wrong_inputs(transition, engage=True)),
    "does not let go": _of(_step, "_transition", lambda transition: _wrong_inputs(transition, release=False)),
    "takes settings in motion": _of(_step, "_still", lambda _: lambda state: True),
    "follows little confidence": _of(_step, "_transition", _following),
    "is silent while it stops": _of(_step, "_command", _unsaid),
    "joints stop at once": _of(joints, "braked", lambda _: lambda moving, s, dt: motion.at_rest(moving.value)),
    "joints are planned with other limits": _of(joints, "driven", _with_other_limits),
    "joints go where their end could not stop": _of(joints, "_end_may", lambda _: lambda *_: True),
    "joints begin at home": _of(joints.Joints, "at", lambda at: lambda arm, _: at(arm, HOME)),
    "says goals again after a stop": _of(GripperAction, "_step", _goes_on_goals),
    "believes whoever tells of the robot": _of(senses.Stood, "after", lambda _: lambda self, *_: self),
    "goes with a camera that moves": _of(senses, "_camera_moved", lambda _: lambda *_: False),
    "follows a hand of another size": _of(senses, "RESHAPED", lambda _: 9.0),
    "holds of exchanged hands": _of(_step, "_LOSS", lambda loss: loss | {"hands_exchanged"}),
}  # fmt: skip
"""Steps that are wrong in one thing each."""
RARE = {"does not look where it would stop": 82, "does not hear silence": 17, "believes jumps": 29, "does not let go": 2}
"""Seeds to look from, of what few courses show."""
_STOPPED = ("release", "none", 60)
LED = {
    "grips with fingers that were moved": [_STOPPED, ("release", "fingers leave", 20), ("fingers leave", "none", 60)],
    "says goals again after a stop": [("gripper refuses", other, 40) for other in ("none", "estop", "none")],
    "grips after an e-stop": [("fingers held", "none", 40), ("fingers held", "estop", 1), ("reset", "fingers held", 1)]
    + [("fingers held", "release", 60), ("fingers held", "none", 60)],
    "believes whoever tells of the robot": [("release", "none", 60), ("robot told by two", "none", 60)],
    "goes with a camera that moves": [("engage", "none", 1), ("camera moves", "none", 60)],
    "holds of exchanged hands": [("engage", "none", 1), ("none", "none", 10), ("hands exchanged", "none", 30)],
    "follows a hand of another size": [("engage", "none", 1), ("none", "none", 10), ("hand of another size", "none", 30)],
}
"""Courses of what chance hardly leads to."""
_OF_ARM = {name for name in MUTANTS if name.startswith("joints")}
"""Of an arm that is told joints, as every fifth world has one."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_step_breaks_a_rule(name, monkeypatch):
    MUTANTS[name](monkeypatch)
    with pytest.raises(AssertionError):
        for seed in range(100):
            course = (seed, LED[name]) if name in LED else drawn(RARE.get(name, 0) + seed)
            rules.run((5 * seed, course[1]) if name in _OF_ARM else course)


def test_by_default_a_robot_stands_a_quarter_of_a_second_after_the_last_news():
    s = TeleopSettings(finger_lower=(0.0, -0.3), finger_upper=(0.08, 1.5), finger_velocity=(0.2, 3.0))
    assert s.standstill(0.01) <= STANDSTILL
    assert replace(s, deadman_stale=0.2).standstill(0.01) > STANDSTILL
    assert replace(s, max_jerk=50.0, max_acceleration=2.5).standstill(0.01) > STANDSTILL


class Gripper:
    """A gripper that closes on something of a width. told: what it was told step by step."""

    def __init__(self, width):
        self.state, self.now, self.measured, self.told = TeleopState(faults.SETTINGS), 10.0, 0.08, []
        self.width, self.place = width, np.array([0.45, 0.0, 0.3])

    def run(self, seconds, closes=True, **inputs):
        """closes: the person's fingers are together."""
        for _ in range(round(100 * seconds)):
            self.now += 0.01
            hand = HandSample(self.now, np.zeros(3), np.eye(3), np.array([0.0 if closes else 0.08, 0.5]))
            robot = RobotSample(self.now, self.place, np.eye(3), np.array([self.measured, 0.5]))
            given = replace(Inputs(hand, robot, True, self.now), **inputs)
            self.state, command = step(self.state, given, self.now, elapsed=0.01)
            if command.publish:
                self.told.append(float(command.fingers[0]))
            if self.told:
                self.measured = max(self.told[-1], self.width)


STOPS = {"hand lost": {"hand": None}, "released": {"release": True}, "switch let go": {"deadman": False}}


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.07), st.sampled_from(sorted(STOPS)), st.floats(1.0, 3.0))
def test_engaging_again_does_not_let_go_of_what_is_gripped(width, way, pause):
    one = Gripper(width)
    one.run(2.0, engage=True)
    assert one.measured == width and one.told[-1] < 1e-6
    one.run(pause, **STOPS[way])
    count = len(one.told)
    one.run(1.0, engage=True)
    assert len(one.told) > count and max(one.told[count:]) < 1e-6
    one.run(1.0, closes=False)  # and opens when the person does
    assert one.told[-1] > 0.079


@settings(max_examples=20, deadline=None)
@given(st.floats(0.02, 0.07), st.sampled_from(["moved", "silent", "another commander", "e-stop"]), st.floats(1.0, 2.0))
def test_fingers_that_somebody_else_may_have_led_begin_where_they_are(width, what, pause):
    one = Gripper(width)
    one.run(2.0, engage=True)
    one.run(pause, release=True)
    if what == "moved":
        one.width = one.measured = width + 0.005
    else:
        others = {"silent": {"robot": None}, "another commander": {"commanders": 2}, "e-stop": {"estop": True}}
        one.run(0.05, **others[what])
        one.run(0.1, reset=True)
    one.run(pause)
    count = len(one.told)
    one.run(1.0, engage=True)
    assert one.told[count] == one.width


SILENT = ("hand", "robot", "deadman", "all", "hand invalid", "released", "two operators", "estop")


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(SILENT),
    st.integers(0, 200),
    st.sampled_from([50.0, 100.0, 250.0]),
    st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.floats(0.05, 0.4)),
    st.tuples(st.floats(0.05, 2.0), st.floats(0.5, 20.0), st.floats(5.0, 2000.0)),
)
def test_it_stands_as_soon_as_it_says_after_any_source_fell_silent(source, after, rate, times, limits):
    """Whatever the time-outs and limits are, in any moment of a motion to and fro."""
    period, base = 1.0 / rate, faults.SETTINGS
    hand_silent, robot_stale, deadman_stale = (max(one, 2.5 / rate) for one in times)
    speed, acceleration, jerk = limits
    s = replace(
        base, hand_silent=hand_silent, hand_stale=2.0, robot_stale=robot_stale, deadman_stale=deadman_stale, ramp=0.1,
        max_speed=speed, max_acceleration=acceleration, max_jerk=jerk, dwell=0.0, regain=0.0, max_hand_speed=20.0,
        max_following_error=1.0, max_turn_error=3.0,
    )  # fmt: skip
    state, now, place, fingers = TeleopState(s), 10.0, np.array([0.4, -0.1, 0.3]), np.array([0.04, 0.5])
    turn, inputs, lost, last = np.eye(3), Inputs(), None, None
    for i in range(int((1.0 + s.standstill(period)) * rate) + after + 10):
        now += period
        silent = i >= int(0.5 * rate) + after
        if silent and lost is None and state.state not in MOVING_STATES:
            return  # it was not following
        lost = now - period if silent and lost is None else lost
        swing = 0.1 * np.sin(3.0 * now)
        hand = HandSample(now, np.full(3, swing), np.eye(3), np.array([0.04, 0.6 + 5.0 * swing]))
        robot = RobotSample(now, place, turn, fingers)
        fresh = Inputs(hand, robot, True, now, engage=not silent)
        if silent:
            inputs = replace(fresh, **_without(source, inputs))
        else:
            inputs = fresh
        state, command = step(state, inputs, now, elapsed=period)
        if command.publish:
            moved = np.abs(command.position - place).max() + np.abs(command.fingers - fingers).max() > 0.0
            place, turn, fingers = command.position, command.rotation, command.fingers
            last = now if moved and lost is not None else last
    assert lost is not None and (last is None or last - lost <= s.standstill(period) + 1e-6)
    assert state.motion.still and state.state not in MOVING_STATES


def _without(source, before):
    return {
        "hand": {"hand": before.hand},
        "robot": {"robot": before.robot},
        "deadman": {"deadman_stamp": before.deadman_stamp},
        "all": {"hand": before.hand, "robot": before.robot, "deadman_stamp": before.deadman_stamp},
        "hand invalid": {"hand": None},
        "released": {"deadman": False},
        "two operators": {"operators": 2},
        "estop": {"estop": True},
    }[source]
