"""The rules that teleoperation keeps whatever happens, each by its name, and what watches over them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import teleop_faults as faults
from teleop_rules_of_parts import PARTS, finite

from fourdhands_core.teleop import ENGAGED, ESTOP, FAULT, HOLD, IDLE, RAMP, READY, STATE_NAMES, TeleopSettings
from fourdhands_core.teleop.types import MOVING_STATES

_SMALL = 1e-7


@dataclass
class Now(faults.Happening):
    """A step, and what the watch remembers of those before.

    silent: seconds since hand, robot and deadman's switch said anything new. stopping: seconds for which it has not followed.
    holding: seconds in HOLD. jumped: the hand is where no hand can have got since the image before. rest: (2, n) the least and
    the greatest that the fingers measured since 0.25 s, or a little more, after the command came to rest; None before, and
    where the robot may have another command: it was not heard of, had another commander, was at ESTOP or FAULT.
    """

    silent: dict[str, float] = field(default_factory=dict)
    stopping: float = 0.0
    holding: float = 0.0
    jumped: bool = False
    rest: np.ndarray | None = None
    since_goal: float = np.inf
    since_jump: float = np.inf
    settled: bool = False

    def __post_init__(self) -> None:
        """follows; engages; went: whether the commanded motion went on, and did not begin anew; moved: whether it is not the
        very one of the step before, of which the limits were looked at then. The rest are the motion's and the limits' numbers,
        eight an axis, as lists: numpy takes several times as long for so few."""
        before, after = self.before, self.after
        was, motion = before.motion, after.motion
        self.follows = after.state in MOVING_STATES
        self.engages = after.state == RAMP and before.state in (IDLE, READY)
        self.went = motion is not None and was is not None and not self.engages
        self.moved = motion is not None and (motion is not was or after.settings is not before.settings)
        if self.moved:
            self.limits = limits(after.settings)
            self.numbers = {name: getattr(motion, name).tolist() for name in ("value", "velocity", "acceleration")}
        self.joints = None if after.joints is None else after.joints.motion
        self.joints_before = None if before.joints is None or self.engages or self.joints is None else before.joints.motion


@lru_cache(maxsize=64)
def limits(settings: TeleopSettings) -> tuple[list, list, list]:
    """Rates, least and greatest values of the axes, and balls of these settings, as lists."""
    return (
        [rate.tolist() for rate in settings.rates],
        [bound.tolist() for bound in settings.bounds],
        np.reshape(settings.keep_out, (-1, 4)).tolist(),
    )


def _measured(now: Now) -> bool:
    robot = now.inputs.robot
    return robot is not None and finite(robot.position, robot.rotation)


def _finite(now: Now) -> bool:
    c = now.command
    return not c.publish or finite(c.position, c.rotation, c.fingers, c.linear, c.angular)


def _first(now: Now) -> bool:
    if not now.engages or now.joints is not None:  # of which the joints are the measured state
        return True
    robot, c = now.inputs.robot, now.command
    return (
        np.array_equal(c.position, robot.position)
        and bool(np.abs(c.rotation - robot.rotation).max() < 1e-12)
        and not c.linear.any()
        and not c.angular.any()
    )


def _first_fingers(now: Now) -> bool:
    """Where they are; or, held since they stopped by what they hold, what they were told last."""
    if not now.engages:
        return True
    robot, c = now.inputs.robot, now.command
    there = np.isclose(c.fingers, robot.fingers, rtol=0.0, atol=1e-5)
    if now.before.motion is None or now.rest is None:
        return bool(there.all())
    low, high = (limit[6:] for limit in now.after.settings.bounds)
    stayed = now.rest[1] - now.rest[0] <= 0.09 * (high - low) + 1e-5
    return bool((there | (stayed & (c.fingers == now.before.motion.value[6:]))).all())


def _within(now: Now, axes: range) -> bool:
    """Whether the motion's values are in the bounds; those of a motion that is the one before were looked at."""
    if not now.moved:
        return True
    value, (low, high) = now.numbers["value"], now.limits[1]
    return all(low[i] - 1e-5 <= value[i] <= high[i] + 1e-5 for i in axes)


def _outside(now: Now) -> bool:
    if not now.moved:
        return True
    place = now.numbers["value"][:3]
    return all(math.dist(place, ball[:3]) >= ball[3] - 1e-3 for ball in now.limits[2])


def _rate(now: Now, which: int) -> bool:
    if not now.moved:
        return True
    values = now.numbers[("velocity", "acceleration")[which]]
    return all(abs(value) <= most + _SMALL for value, most in zip(values, now.limits[0][which]))


def _steps(now: Now, what: str, which: int, most: float, small: float) -> bool:
    if not (now.went and now.moved) or (what == "value" and now.after.arm is not None):  # what joints do not reach is given up
        return True
    before = getattr(now.before.motion, what).tolist()
    return all(
        abs(after - earlier) <= rate * most + small
        for after, earlier, rate in zip(now.numbers[what], before, now.limits[0][which])
    )


def _turning(now: Now) -> bool:
    if now.after.motion is None:
        return True
    return math.hypot(*now.command.angular.tolist()) <= math.hypot(*now.after.motion.velocity[3:6].tolist()) + _SMALL


def _stands(now: Now) -> bool:
    if now.follows or not now.went or not now.before.motion.still:
        return True
    same = now.after.motion.value.tolist() == now.before.motion.value.tolist()
    return same and now.after.motion.still


def _stops(now: Now) -> bool:
    return now.stopping < now.after.settings.braking + 1e-6 or now.after.rests


def _told(now: Now) -> bool:
    if now.after.motion is None:
        return True
    moving = not now.after.motion.still or (now.went and not now.before.motion.still)
    c, value = now.command, now.after.motion.value.tolist()
    same = now.after.arm is not None or c.position.tolist() == value[:3]
    same = same and c.linear.tolist() == now.after.motion.velocity[:3].tolist()
    return (c.publish or not moving) and same and c.fingers.tolist() == value[6:]


def _seen(now: Now) -> bool:
    hand, s = now.inputs.hand, now.after.settings
    if not now.follows:
        return True
    numbers = hand is not None and finite(hand.position, hand.rotation, hand.fingers)
    return bool(numbers and hand.valid and hand.confidence >= s.confidence_to_hold and (hand.scaled or not s.absolute))


def _young(now: Now) -> bool:
    return not now.follows or -0.06 <= now.after._now - now.inputs.hand.stamp <= now.after.settings.hand_stale + _SMALL


def _deadman(now: Now) -> bool:
    s = now.after.settings
    return not now.follows or not s.need_deadman or (now.inputs.deadman and now.silent["deadman"] <= s.deadman_stale + _SMALL)


def _agreed(now: Now) -> bool:
    """Whether all but the hand lets it follow."""
    inputs, s = now.inputs, now.after.settings
    people = inputs.operators == inputs.commanders == 1 and not inputs.release
    return people and (inputs.deadman or not s.need_deadman) and _measured(now)


def _transform(now: Now) -> bool:
    if not now.follows or not now.after.settings.absolute or now.engages:
        return True
    given, before = now.inputs.absolute, now.before._transform
    if given is None or not np.isfinite(given[1]).all():
        return False
    return before is None or float(np.linalg.norm(given[1] - before[1])) < 0.4


def _is_own(now: Now) -> bool:
    """Whether the hand, if it is seen, is the one that it was."""
    hand, before = now.inputs.hand, now.before._seen
    seen = now.after._seen is not before
    return hand is None or before is None or not seen or hand.exchanges == before.hand.exchanges


def _camera(now: Now) -> bool:
    latch, pose = now.before._latch, now.inputs.camera
    if not now.follows or now.after.settings.absolute or latch is None or latch.camera is None or pose is None:
        return True
    return float(np.linalg.norm(pose[1] - latch.camera[1])) <= 0.03 + _SMALL


def _leads(now: Now, to: int, *sources: int) -> bool:
    return now.after.state != to or now.before.state in (to, *sources)


RULES: dict[str, Callable[[Now], bool]] = {
    "commands are finite": _finite,
    "velocity limit": lambda now: _rate(now, 0),
    "acceleration limit": lambda now: _rate(now, 1),
    "position goes on": lambda now: _steps(now, "value", 0, min(max(now.passed, faults.DT), 0.05), _SMALL),
    "velocity goes on": lambda now: _steps(now, "velocity", 1, max(now.passed, faults.DT), _SMALL),
    "jerk limit": lambda now: _steps(now, "acceleration", 2, max(now.passed, faults.DT), 1e-4),
    "workspace": lambda now: _within(now, range(3)),
    "keep out": _outside,
    "joint limits": lambda now: not now.moved or _within(now, range(6, len(now.numbers["value"]))),
    "angular velocity is within the turn's": _turning,
    "the first command is the measured state": _first,
    "the first command moves no finger": _first_fingers,
    "no motion after the stop": _stands,
    "the stop takes no longer than it says": _stops,
    "all motion is told": _told,
    "e-stop is obeyed at once": lambda now: not now.inputs.estop or now.after.state == ESTOP,
    "ESTOP is left by reset alone": lambda now: (
        now.before.state != ESTOP
        or now.after.state == ESTOP
        or (now.inputs.reset and not now.inputs.estop and now.after.state == IDLE)
    ),
    "FAULT is left by reset or e-stop": lambda now: (
        now.before.state != FAULT
        or now.after.state == FAULT
        or now.inputs.estop
        or (now.inputs.reset and now.after.state == IDLE)
    ),
    "nothing is engaged by itself": lambda now: not now.engages or (now.inputs.engage and not now.inputs.release),
    "RAMP comes after READY or HOLD": lambda now: _leads(now, RAMP, READY, HOLD),
    "ENGAGED comes after RAMP or HOLD": lambda now: _leads(now, ENGAGED, RAMP, HOLD),
    "HOLD comes after following": lambda now: _leads(now, HOLD, RAMP, ENGAGED),
    "only a lost hand is held": lambda now: now.after.state != HOLD or (_agreed(now) and _is_own(now)),
    "HOLD ends": lambda now: now.after.state != HOLD or now.holding <= now.after.settings.regain + max(now.passed, faults.DT),
    "no following of a hand that is not seen": _seen,
    "no following of an old hand": _young,
    "no following of a silent hand": lambda now: (
        not now.follows or now.silent["hand"] <= now.after.settings.hand_silent + _SMALL
    ),
    "no following after a jump": lambda now: not (now.follows and now.jumped),
    "no following without the robot": lambda now: (
        not now.follows or (_measured(now) and now.silent["robot"] <= now.after.settings.robot_stale + _SMALL)
    ),
    "no following without the deadman's switch": _deadman,
    "no following of two operators": lambda now: not now.follows or now.inputs.operators == now.inputs.commanders == 1,
    "no following through a transform that jumps": _transform,
    "no following of a camera that moved": _camera,
    "no following of the other hand": lambda now: not now.follows or _is_own(now),
    "no engaging of a robot that two tell of": lambda now: not now.engages or now.since_jump >= 0.5 - _SMALL,
    "release is obeyed": lambda now: not (now.follows and now.inputs.release),
    **PARTS,
    "settings change at a standstill in IDLE": lambda now: (
        now.after.settings is now.before.settings or (now.before.state in (IDLE, READY) and now.before.rests)
    ),
}


class Watch:
    """Sees a world's steps one after the other, and says which rule is broken. names: the rules that it looks at."""

    def __init__(self, *names: str) -> None:
        self._rules = {name: RULES[name] for name in names or RULES}
        self._stamps = {"hand": np.nan, "robot": np.nan, "deadman": np.nan}
        self._silent = dict.fromkeys(self._stamps, 0.0)
        self._stopping = self._holding = 0.0
        self._hand: tuple[float, np.ndarray] | None = None
        self._rested, self._rest, self._doubt = 0.0, None, False
        self._since_goal, self._since_jump, self._settled = np.inf, np.inf, False
        self._size, self._jumps = np.nan, 0

    def broken(self, happened: faults.Happening) -> str | None:
        """The name of a rule that this step breaks, or None."""
        now = self._remember(happened)
        return next((name for name, keeps in self._rules.items() if not keeps(now)), None)

    def _remember(self, h: faults.Happening) -> Now:
        given = {"hand": h.inputs.hand, "robot": h.inputs.robot}
        stamps = {name: one.stamp if one is not None else np.nan for name, one in given.items()}
        stamps["deadman"] = h.inputs.deadman_stamp
        for name, stamp in stamps.items():
            new = math.isfinite(stamp) and stamp != self._stamps[name]
            self._silent[name] = 0.0 if new else self._silent[name] + h.passed
            if new:
                self._stamps[name] = stamp
        follows = h.after.state in MOVING_STATES
        self._stopping = 0.0 if follows else self._stopping + (0.0 if h.paused else min(h.passed, 0.05))
        self._holding = self._holding + h.passed if h.after.state == h.before.state == HOLD else 0.0
        self._look_at_fingers(h)
        self._since_goal += h.seconds
        robot = h.inputs.robot
        jumped = robot is not None and robot.jumps != self._jumps and h.before.state not in (*MOVING_STATES, HOLD)
        self._since_jump = 0.0 if jumped else self._since_jump + h.passed
        self._jumps = self._jumps if robot is None else robot.jumps
        since, settled = self._since_goal, self._settled
        self._since_goal = 0.0 if h.goals else since
        self._settled = not follows and (settled or h.after.rests)
        return Now(
            **vars(h),
            silent=self._silent,
            stopping=self._stopping,
            holding=self._holding,
            jumped=self._jumped(h),
            rest=self._rest,
            since_goal=since,
            since_jump=self._since_jump,
            settled=settled,
        )

    def _look_at_fingers(self, h: faults.Happening) -> None:
        if h.before.state not in (IDLE, READY) or h.before.motion is None:
            self._rested, self._rest, self._doubt = 0.0, None, h.before.state in (ESTOP, FAULT) or self._doubt
            if h.before.state in (*MOVING_STATES, HOLD):
                self._doubt = False
            return
        robot, s = h.inputs.robot, h.after.settings
        heard = robot is not None and bool(np.isfinite(robot.fingers).all()) and self._silent["robot"] <= s.robot_stale + _SMALL
        self._doubt = self._doubt or not heard or h.inputs.commanders > 1 or h.inputs.estop
        if self._doubt or not h.before.motion.still:
            self._rested, self._rest = 0.0, None
            return
        self._rested += h.passed
        if self._rested >= 0.25:
            seen = np.array([robot.fingers, robot.fingers])
            before = seen if self._rest is None or self._rested < 0.35 else self._rest
            self._rest = np.array([np.minimum(before[0], seen[0]), np.maximum(before[1], seen[1])])

    def _jumped(self, h: faults.Happening) -> bool:
        hand, s = h.inputs.hand, h.after.settings
        if hand is None or not hand.valid or not math.isfinite(hand.stamp):
            return False
        before = self._hand
        if before is not None and hand.stamp == before[0]:
            return False  # the first of an image counts
        if not math.isfinite(hand.confidence) or not finite(hand.position, hand.fingers):
            return False
        turned = np.abs(hand.rotation @ hand.rotation.T - np.eye(3)).max()  # NaN where the rotation is
        if not turned < 0.1:
            return False
        self._hand = hand.stamp, hand.position
        reshaped, self._size = abs(hand.size - self._size) > 0.021 * self._size, hand.size
        if before is None or not 0.0 < hand.stamp - before[0] <= max(s.regain, s.hand_stale):
            return False
        moved = math.dist(hand.position.tolist(), before[1].tolist())
        return reshaped or moved > s.max_hand_speed * (hand.stamp - before[0]) + 0.021


def run(course, watch: Watch | None = None) -> dict[str, int]:
    """Steps in each state of a world with a course of faults (`faults.courses`). AssertionError with the rule that it broke."""
    seed, stretches = course
    world, watch = faults.World(seed), watch or Watch()
    counts = dict.fromkeys(STATE_NAMES, 0)
    for fault, other, steps in [*faults.BEGINNING, *stretches, ("none", "none", 40)]:
        for i in range(1 if fault in faults.ONCE else steps):
            happened = world.advance(fault, "none" if other in faults.ONCE and i else other)
            rule = watch.broken(happened)
            assert rule is None, (
                f"{rule}: {fault}, {other}, {STATE_NAMES[happened.before.state]} -> {STATE_NAMES[world.state.state]}"
            )
            counts[STATE_NAMES[world.state.state]] += 1
    return counts
