"""What a step makes of its inputs: what can be believed, how long they have been silent, what stands against following."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..hand_model.skeleton import RESHAPED
from .motion import allowed
from .settings import TeleopSettings
from .turns import angle_between, is_rotation
from .types import HandSample, Inputs, RobotSample

AHEAD = 0.05
"""Seconds by which a stamp may lie ahead of the clock."""
_SETTLE = 0.1
"""Seconds for which a hand has to be steady after a jump."""
_JUMP, _TURN_JUMP, _TURN_SPEED = 0.02, 0.3, 20.0
"""Metres and radians that a hand may be off between two images beside what its speed explains; the speed of its turn, rad/s."""
_LED_ON, _LED_ROUND = 0.03, 0.05
"""Metres and radians by which a camera that moves may make the hand seem to, since motion is relative."""
_AT_LIMIT = 0.02
"""Of a joint's range, by which it may measure beyond its limit, at which open fingers stand: it then counts as at the limit."""
_NOISE = 0.002
"""Radians or metres likewise of an arm's joints, of which more would be a jump on engaging."""
_STAYS = 0.5
"""Seconds for which a robot has to stay where it is after it was elsewhere from one message to the next: two programs that tell
of it do so by turns, and it would be engaged where it is not."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The newest hand, whether or not it is followed, and how long it has still to be steady after a jump, seconds."""

    hand: HandSample
    settle: float = 0.0


@dataclass(frozen=True, eq=False)
class Stood:
    """Of the robot: its jumps so far, and the seconds for which it has still to stay where it is after the last one."""

    jumps: int = 0
    settle: float = 0.0

    def after(self, robot: RobotSample | None, passed: float, following: bool) -> Stood:
        """`passed` seconds later. following: it is led, and moves."""
        if robot is None:
            return Stood(self.jumps, self.settle)
        jumped = robot.jumps != self.jumps and not following
        return Stood(robot.jumps, _STAYS if jumped else max(0.0, self.settle - passed))


@dataclass(frozen=True, eq=False)
class Silence:
    """Of hand, robot and deadman's switch: the stamps of the last news, and the seconds since they came."""

    stamps: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    seconds: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def after(self, inputs: Inputs, passed: float) -> Silence:
        """`passed` seconds later, by a clock of their own: however stamps and clocks jump, what says nothing new is silent."""
        given = (
            inputs.hand.stamp if inputs.hand is not None else math.nan,
            inputs.robot.stamp if inputs.robot is not None else math.nan,
            inputs.deadman_stamp,
        )
        stamps, seconds = list(self.stamps), list(self.seconds)
        for i, stamp in enumerate(given):
            if finite(stamp) and stamp != stamps[i]:
                stamps[i], seconds[i] = float(stamp), 0.0
            else:
                seconds[i] += passed
        return Silence((stamps[0], stamps[1], stamps[2]), (seconds[0], seconds[1], seconds[2]))


@dataclass(frozen=True, eq=False)
class Sensed:
    """The hand and the robot where they can be believed, what is remembered of both, and all that stands against following, by
    name."""

    hand: HandSample | None
    robot: RobotSample | None
    seen: Seen | None
    stood: Stood
    reasons: list[str]


def finite(*arrays: object) -> bool:
    """Whether all are numbers, or arrays of them, that are finite."""
    try:
        for array in arrays:
            if isinstance(array, float):
                known = math.isfinite(array)
            else:  # a sum is finite where all its terms are, but for such that no robot has (1e308)
                known = math.isfinite(sum(np.asarray(array, np.float64).ravel().tolist()))
            if not known:
                return False
    except (TypeError, ValueError):
        return False
    return True


def is_transform(pose: tuple[np.ndarray, np.ndarray] | None) -> bool:
    """Whether it is a rotation (3, 3) and a position (3,)."""
    return pose is not None and len(pose) == 2 and is_rotation(pose[0]) and np.shape(pose[1]) == (3,) and finite(pose[1])


def sense(
    s: TeleopSettings,
    inputs: Inputs,
    seen: Seen | None,
    stood: Stood,
    silent: tuple[float, float, float],
    transform: tuple[np.ndarray, np.ndarray] | None,
    camera: tuple[np.ndarray, np.ndarray] | None,
    now: float,
    passed: float,
    following: bool,
) -> Sensed:
    """What can be believed now.

    seen, stood: the hand and the robot before. silent: seconds without news of hand, robot and deadman's switch. transform:
    from the operator's frame to the base at the last step. camera: its pose when motion became relative. passed: seconds since
    the last step. following: it was engaged and not yet let go.
    """
    hand, seen, reasons = _hand(s, inputs.hand, seen, silent[0], now)
    robot = _robot(inputs.robot, s)
    stood = stood.after(robot, passed, following)
    if hand is not None:
        if hand.confidence < (s.confidence_to_hold if following else s.confidence_to_engage):
            reasons.append("low_confidence")
        if s.absolute and not hand.scaled:
            reasons.append("not_scaled")
    if s.absolute:
        reasons += _transform(s, inputs.absolute, transform, seen, passed)
    elif _camera_moved(inputs.camera, camera, seen):
        reasons.append("camera_moved")
    if inputs.operators > 1:
        reasons.append("two_operators")
    if inputs.commanders > 1:
        reasons.append("two_commanders")
    reasons += ["robot_not_seen"] if robot is None else _against_robot(s, robot, stood, silent[1], now, following)
    reasons += _against_switch(s, inputs, silent[2], now) if s.need_deadman else []
    if inputs.estop:
        reasons.append("estop")
    return Sensed(hand, robot, seen, stood, reasons)


def _is_old(age: float, silent: float, stale: float) -> bool:
    """Whether news is too old, by its stamp or by when it came, or is of the future; seconds."""
    return age > stale or age < -AHEAD or silent > stale


def _against_robot(
    s: TeleopSettings, robot: RobotSample, stood: Stood, silent: float, now: float, following: bool
) -> list[str]:
    low, high = s.arm_limits.bounds
    there = bool(((robot.joints >= low) & (robot.joints <= high)).all())
    inside = following or (there and allowed(np.concatenate([robot.position, np.zeros(3), robot.fingers]), s))
    against = {
        "robot_stale": _is_old(now - robot.stamp, silent, s.robot_stale),
        "robot_moving": robot.speed > s.still_speed,
        "robot_jumped": stood.settle > 0.0,
        "robot_outside_limits": not inside,
    }
    return [reason for reason, holds in against.items() if holds]


def _against_switch(s: TeleopSettings, inputs: Inputs, silent: float, now: float) -> list[str]:
    if not inputs.deadman:
        return ["deadman_released"]
    age = now - inputs.deadman_stamp if finite(inputs.deadman_stamp) else math.inf
    return ["deadman_stale"] if _is_old(age, silent, s.deadman_stale) else []


def _hand(
    s: TeleopSettings, hand: HandSample | None, seen: Seen | None, silent: float, now: float
) -> tuple[HandSample | None, Seen | None, list[str]]:
    """The hand if it can be followed, what is remembered of it, and why it cannot."""
    if hand is None or not hand.valid or not finite(hand.stamp, hand.confidence, hand.position):
        return None, seen, ["hand_not_seen"]
    if np.shape(hand.position) != (3,) or not is_rotation(hand.rotation):
        return None, seen, ["hand_not_seen"]
    if hand.fingers is not None and (not finite(hand.fingers) or np.shape(hand.fingers) != (s.joints,)):
        return None, seen, ["hand_not_seen"]
    if seen is not None and hand.exchanges != seen.hand.exchanges:  # whatever else is wrong with it
        return None, Seen(hand, _SETTLE), ["hands_exchanged"]
    if seen is not None and hand.stamp < seen.hand.stamp:
        # a source that began anew: taken up once it has been steady, as after a jump
        return None, Seen(hand, _SETTLE), ["hand_stamp_back"]
    if seen is not None and hand.stamp == seen.hand.stamp and (hand.position != seen.hand.position).any():
        return None, seen, ["hand_stamp_back"]  # another hand under the same stamp
    lost = seen is not None and hand.losses != seen.hand.losses  # in an image that came between two steps
    if seen is None or hand.stamp - seen.hand.stamp > max(s.regain, s.hand_stale):
        seen = Seen(hand)
    elif hand.stamp > seen.hand.stamp:
        seen = _seen_next(seen, hand, s)
    if lost:
        return None, seen, ["hand_not_seen"]
    age = now - hand.stamp
    if age > s.hand_stale or age < -AHEAD or silent > s.hand_silent:
        return None, seen, ["hand_stale"]
    if seen.settle > 0.0:
        return None, seen, ["hand_jumped"]
    return hand, seen, []


def _seen_next(seen: Seen, hand: HandSample, s: TeleopSettings) -> Seen:
    before = seen.hand
    passed = hand.stamp - before.stamp
    moved = math.dist(hand.position.tolist(), before.position.tolist())
    turned = angle_between(hand.rotation, before.rotation)
    jumped = moved > s.max_hand_speed * passed + _JUMP or turned > _TURN_SPEED * passed + _TURN_JUMP
    jumped = jumped or _measures_otherwise(hand, before)
    return Seen(hand, _SETTLE if jumped else max(0.0, seen.settle - passed))


def _measures_otherwise(hand: HandSample, before: HandSample) -> bool:
    """Whether its distances are others now: the camera's calibration came, or went, or it is a hand of another size."""
    if hand.scaled != before.scaled:
        return True
    if hand.size is None or before.size is None:
        return hand.size is not before.size
    return not abs(hand.size - before.size) <= RESHAPED * before.size


def _robot(robot: RobotSample | None, s: TeleopSettings) -> RobotSample | None:
    if robot is None or not finite(robot.stamp, robot.position, robot.fingers, robot.speed, robot.joints):
        return None
    if np.shape(robot.position) != (3,) or not is_rotation(robot.rotation):
        return None
    if np.shape(robot.fingers) != (s.joints,) or np.shape(robot.joints) != np.shape(s.arm_lower):
        return None
    if s.joints:
        low, high = (limit[6:] for limit in s.bounds)
        robot = replace(robot, fingers=_at_limits(robot.fingers, low, high, _AT_LIMIT * (high - low)))
    if not len(robot.joints):
        return robot
    return replace(robot, joints=_at_limits(robot.joints, *s.arm_limits.bounds, _NOISE))


def _at_limits(joints: np.ndarray, low: np.ndarray, high: np.ndarray, most: np.ndarray | float) -> np.ndarray:
    """Joints (n,), those that measure at most so far beyond a limit at it."""
    inside = np.minimum(np.maximum(joints, low), high)
    if (inside == joints).all():
        return joints
    return np.where(np.abs(inside - joints) <= most, inside, joints)


def _transform(
    s: TeleopSettings,
    pose: tuple[np.ndarray, np.ndarray] | None,
    before: tuple[np.ndarray, np.ndarray] | None,
    seen: Seen | None,
    passed: float,
) -> list[str]:
    """What is wrong with the transform from the operator's frame to the base: where it jumps, the hand seems to."""
    if pose is None or not is_transform(pose):
        return ["no_transform_to_base"]
    if before is None or seen is None:
        return []
    moved = (pose[0] - before[0]) @ seen.hand.position + pose[1] - before[1]
    return ["transform_jumped"] if float(np.linalg.norm(moved)) > s.max_hand_speed * passed + _JUMP else []


def _camera_moved(
    pose: tuple[np.ndarray, np.ndarray] | None, before: tuple[np.ndarray, np.ndarray] | None, seen: Seen | None
) -> bool:
    """Whether the camera moved by more than it may: a hand that stands still seems to move then, and one that is seen from the
    arm itself would lead it on and on."""
    if pose is None or before is None or seen is None or not is_transform(pose):
        return False
    moved = (pose[0] - before[0]) @ seen.hand.position + pose[1] - before[1]
    return float(np.linalg.norm(moved)) > _LED_ON or angle_between(pose[0], before[0]) > _LED_ROUND
