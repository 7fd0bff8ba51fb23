"""The rules of an arm that is told joints, and of a gripper that is led by goals of an action; others: teleop_rules.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import teleop_faults as faults

from fourdhands_core.teleop.turns import vector_of
from fourdhands_ros.teleop.gripper import PERIOD

_SMALL = 1e-7
END_OFF, END_FASTER = 1e-3, 1e-3
"""Metres, and share of its speed, by which an arm's end may miss its limits: its way to rest is looked at eight times."""
NOISE = 0.002
"""Radians."""
Now = Any
"""teleop_rules.Now, which needs this file."""


def finite(*arrays: np.ndarray) -> bool:
    """Whether all their numbers are."""
    return all(math.isfinite(sum(array.ravel().tolist())) for array in arrays)


def _joints_first(now: Now) -> bool:
    """A joint that is measured an encoder's noise beyond its limit is told that."""
    if not now.engages or now.joints is None:
        return True
    measured = now.inputs.robot.joints
    told = np.clip(measured, *now.after.settings.arm_limits.bounds)
    return np.array_equal(now.command.joints, told) and bool((np.abs(told - measured) <= NOISE).all())


def _joints_told(now: Now) -> bool:
    if now.joints is None:
        return True
    moving = not now.joints.still or (now.joints_before is not None and not now.joints_before.still)
    end = faults.arm().pose(now.joints.value)
    there = np.array_equal(now.command.position, end[0]) and np.array_equal(now.command.rotation, end[1])
    return finite(now.joints.value) and (now.command.publish or not moving) and now.command.joints is now.joints.value and there


def _joints_rate(now: Now, which: int) -> bool:
    if now.joints is None:
        return True
    values, most = (now.joints.velocity, now.joints.acceleration)[which], now.after.settings.arm_limits.rates[which]
    return bool((np.abs(values) <= most + _SMALL).all())


def _joints_go_on(now: Now, what: str, which: int, small: float) -> bool:
    if now.joints is None or now.joints_before is None or now.after.settings is not now.before.settings:
        return True
    most = now.after.settings.arm_limits.rates[which] * min(max(now.passed, faults.DT), 0.05 if what == "value" else np.inf)
    return bool((np.abs(getattr(now.joints, what) - getattr(now.joints_before, what)) <= most + small).all())


def _joints_within(now: Now) -> bool:
    if now.joints is None:
        return True
    low, high = now.after.settings.arm_limits.bounds
    return bool(((now.joints.value >= low - 1e-5) & (now.joints.value <= high + 1e-5)).all())


def _joints_stand(now: Now) -> bool:
    if now.follows or now.joints is None or now.joints_before is None or not now.joints_before.still:
        return True
    return now.joints.value is now.joints_before.value and now.joints.still


def _end_within(now: Now) -> bool:
    if now.joints is None:
        return True
    low, high = (bound[:3] for bound in now.after.settings.bounds)
    place = now.command.position
    return bool(((place >= low - END_OFF) & (place <= high + END_OFF)).all())


def _end_outside(now: Now) -> bool:
    balls = now.after.settings.balls
    return now.joints is None or all(math.dist(now.command.position, ball[:3]) >= ball[3] - END_OFF for ball in balls.tolist())


def _end_speed(now: Now) -> bool:
    if now.joints is None or now.joints_before is None or now.after.settings is not now.before.settings:
        return True
    s, passed = now.after.settings, min(max(now.passed, faults.DT), 0.05)
    (place, turn), (was, turned) = now.after.joints.end, now.before.joints.end
    rate = np.concatenate([place - was, vector_of(turn @ turned.T)]) / passed
    return bool((np.abs(rate) <= s.end_speed * (1.0 + END_FASTER)).all())


def _clear_of_itself(now: Now) -> bool:
    return now.joints is None or now.joints.still or faults.arm().clearance(now.joints.value) > 0.0


def _goals_where_it_is(now: Now) -> bool:
    return len(now.goals) <= 1 and all(goal == now.command.fingers[0] for goal in now.goals)


def _goal_after_a_stop(now: Now) -> bool:
    """One alone, as it comes to rest: what was not taken then is not said again."""
    return now.follows or not now.goals or (now.after.rests and not now.settled)


PARTS: dict[str, Callable[[Now], bool]] = {
    "joints: velocity limit": lambda now: _joints_rate(now, 0),
    "joints: acceleration limit": lambda now: _joints_rate(now, 1),
    "joints: position goes on": lambda now: _joints_go_on(now, "value", 0, _SMALL),
    "joints: velocity goes on": lambda now: _joints_go_on(now, "velocity", 1, _SMALL),
    "joints: jerk limit": lambda now: _joints_go_on(now, "acceleration", 2, 1e-4),
    "joints: their limits": _joints_within,
    "joints: the first command is the measured state": _joints_first,
    "joints: no motion after the stop": _joints_stand,
    "joints: all motion is told": _joints_told,
    "joints: the end stays in its workspace": _end_within,
    "joints: the end stays out of what is kept out": _end_outside,
    "joints: the end's speed limit": _end_speed,
    "joints: the arm keeps clear of itself": _clear_of_itself,
    "gripper: a goal is where the command is": _goals_where_it_is,
    "gripper: engaging sends no goal": lambda now: not now.engages or not now.goals,
    "gripper: five goals a second": lambda now: not now.follows or not now.goals or now.since_goal >= PERIOD - _SMALL,
    "gripper: no goal of its own after a stop": _goal_after_a_stop,
}
