"""Settings of teleoperation."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..errors import InputError

STANDSTILL = 0.25
"""Seconds from the last news of a hand, a deadman's switch or a robot within which the robot is to stand."""
_FINGERS = 16.0, 1200.0
"""Acceleration and jerk of fingers and an arm's joints as multiples of their velocity, as those of the arm's end are by
default."""

_LED = 0.9
"""Of its speed, with which the end of an arm that is told joints is asked to go: with the rest they catch up."""


def within(default: float, smallest: float, largest: float) -> Any:
    """A setting with its smallest and largest value, both allowed."""
    return field(default=default, metadata={"limits": (smallest, largest)})


class Limits(Protocol):
    """What a motion of n axes keeps to: rates, velocity, acceleration and jerk (n,); bounds, least and greatest value (n,);
    balls (B, 4) that the first three axes stay out of: x, y, z, radius; together, that the axes change their velocities in
    one time, so that what they move together stays on its way."""

    @property
    def rates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]: ...

    @property
    def balls(self) -> np.ndarray: ...

    @property
    def together(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class ArmLimits:
    """Those of an arm's joints (n,)."""

    rates: tuple[np.ndarray, np.ndarray, np.ndarray]
    bounds: tuple[np.ndarray, np.ndarray]
    balls: np.ndarray
    together: bool = True


@dataclass(frozen=True)
class TeleopSettings:
    """How the robot follows. Raises InputError where a value is out of range."""

    scale: float = within(1.0, 0.01, 10.0)
    """Metres of the arm's end per metre of the hand."""
    scale_depth: float = within(1.0, 0.0, 1.0)
    """How much of that along the operator's third axis, towards and away from a camera: one camera measures it several times
    worse than the others, and drifts as the hand closes."""
    axes: tuple[float, ...] = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    """Rotation from the operator's frame to the robot's base, row by row; by default of a camera that faces the operator."""
    absolute: bool = False
    """The arm's end goes to where the hand is; needs the transform from camera to base, and `scaled` hands."""
    turns: bool = True
    """The arm's end turns with the hand; False keeps its orientation."""
    need_deadman: bool = True
    """Nothing moves unless somebody holds the deadman's switch."""
    workspace: tuple[float, ...] = (-1.0, -1.0, 0.0, 1.0, 1.0, 1.5)
    """Lower and upper corner of the box that the arm's end stays in, metres in its base."""
    keep_out: tuple[float, ...] = ()
    """Balls that it stays out of: x, y, z and radius of each, metres in its base."""
    max_speed: float = within(0.25, 0.001, 3.0)
    """Of each axis of the arm's end, m/s."""
    max_acceleration: float = within(4.0, 0.01, 50.0)
    """Likewise, m/s^2."""
    max_jerk: float = within(300.0, 0.1, 2000.0)
    """Likewise, m/s^3. `braking` tells how long it takes to stop: 0.09 s by default."""
    max_turn: float = within(1.0, 0.01, 6.0)
    """Of the rotation vector of the arm's end from the engaged orientation, rad/s."""
    max_turn_acceleration: float = within(16.0, 0.1, 100.0)
    """Likewise, rad/s^2."""
    max_turn_jerk: float = within(1200.0, 1.0, 5000.0)
    """Likewise, rad/s^3."""
    finger_lower: tuple[float, ...] = ()
    """Least positions of the hand's joints, in its order; empty without a hand."""
    finger_upper: tuple[float, ...] = ()
    """Greatest positions, likewise."""
    finger_velocity: tuple[float, ...] = ()
    """Greatest velocities, likewise."""
    max_finger_share: float = within(0.5, 0.01, 1.0)
    """How much of the fingers' velocity limits is used. Their acceleration and jerk are 16 and 1200 times that."""
    arm_lower: tuple[float, ...] = ()
    """Least positions of the joints of an arm that is told joints, in its order; else empty."""
    arm_upper: tuple[float, ...] = ()
    """Greatest positions, likewise."""
    arm_velocity: tuple[float, ...] = ()
    """Greatest velocities, likewise."""
    max_joint_share: float = within(0.5, 0.01, 1.0)
    """As max_finger_share, of those joints."""
    ramp: float = within(1.5, 0.1, 30.0)
    """Seconds over which speed grows to its limit after engaging, so that fingers close slowly."""
    dwell: float = within(0.1, 0.0, 10.0)
    """Seconds for which all conditions must hold before one can engage."""
    regain: float = within(0.5, 0.0, 5.0)
    """Seconds within which a hand that comes back is followed again, from where it and the robot are then."""
    hand_stale: float = within(0.2, 0.02, 2.0)
    """Seconds after which the newest image is too old to follow, however lately it came; from half of that on the robot
    slows down."""
    hand_silent: float = within(0.15, 0.02, 2.0)
    """Seconds without a new image of the hand after which it counts as stale, however young the last one is."""
    robot_stale: float = within(0.15, 0.02, 2.0)
    """Seconds that the robot's last news may be old, and seconds without news."""
    deadman_stale: float = within(0.15, 0.02, 2.0)
    """The same of the deadman's switch."""
    confidence_to_engage: float = within(0.4, 0.0, 1.0)
    """Above it one can engage, and the robot moves at full speed."""
    confidence_to_hold: float = within(0.2, 0.0, 1.0)
    """Below it the hand counts as lost."""
    max_hand_speed: float = within(3.0, 0.1, 20.0)
    """Metres a second: what moves faster between two images is no hand's motion."""
    max_following_error: float = within(0.1, 0.001, 1.0)
    """Metres between the commanded and the measured pose, beyond which for 0.3 s the robot is at FAULT. Fingers have no such
    limit: what they hold keeps them from their command, and moves them where it slips."""
    max_turn_error: float = within(0.5, 0.01, 3.1)
    """Radians, likewise."""
    still_speed: float = within(0.02, 0.001, 1.0)
    """Metres a second below which the robot counts as still; only then one can engage."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = np.asarray(getattr(self, one.name), dtype=np.float64)
            if not np.isfinite(value).all():
                raise InputError(f"{one.name} holds {getattr(self, one.name)}, which is not finite; give numbers")
            low, high = RANGES.get(one.name, (-np.inf, np.inf))
            if not (low <= value).all() or not (value <= high).all():
                raise InputError(f"{one.name} is {getattr(self, one.name)}; give a value from {low} to {high}")
        turn = np.reshape(self.axes, (3, 3)) if len(self.axes) == 9 else None
        if turn is None or np.abs(turn @ turn.T - np.eye(3)).max() > 1e-6 or np.linalg.det(turn) < 0:
            raise InputError(f"axes {list(self.axes)} are no rotation; give nine numbers, row by row, each row of length 1")
        if len(self.workspace) != 6 or not (np.array(self.workspace[:3]) < self.workspace[3:]).all():
            raise InputError(f"workspace {list(self.workspace)} is no box; give its lower and then its upper corner")
        if len(self.keep_out) % 4 or any(radius <= 0 for radius in self.keep_out[3::4]):
            raise InputError(f"keep_out {list(self.keep_out)} are no balls; give x, y, z and a positive radius for each")
        for kind in ("finger", "arm"):
            lower, upper, velocity = (getattr(self, f"{kind}_{name}") for name in ("lower", "upper", "velocity"))
            if not len(lower) == len(upper) == len(velocity):
                raise InputError(f"{kind}_lower, {kind}_upper and {kind}_velocity differ in length; give one number a joint")
            if any(a >= b for a, b in zip(lower, upper)) or any(v <= 0 for v in velocity):
                raise InputError(f"{kind}_lower must be below {kind}_upper and {kind}_velocity above 0 for each joint")
        if self.confidence_to_hold >= self.confidence_to_engage:
            raise InputError("confidence_to_hold must be below confidence_to_engage, or the robot stops as soon as it starts")

    @property
    def joints(self) -> int:
        """Of the robot's hand."""
        return len(self.finger_lower)

    @cached_property
    def rates(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(6 + n,) each: greatest velocity, acceleration and jerk of the axes."""
        fingers = self.max_finger_share * np.array(self.finger_velocity, np.float64)
        share = _LED if self.arm_lower else 1.0
        arm = [share * self.max_speed, self.max_acceleration, self.max_jerk]
        turn = [share * self.max_turn, self.max_turn_acceleration, self.max_turn_jerk]
        of_fingers = (1.0, *_FINGERS)
        velocity, acceleration, jerk = (
            np.concatenate([np.full(3, arm[i]), np.full(3, turn[i]), of_fingers[i] * fingers]) for i in range(3)
        )
        return velocity, acceleration, jerk

    @cached_property
    def end_speed(self) -> np.ndarray:
        """(6,) greatest velocity of the arm's end along each axis of its base, m/s, and about it, rad/s."""
        return np.repeat([self.max_speed, self.max_turn], 3)

    @cached_property
    def arm_limits(self) -> ArmLimits:
        """Of the joints of an arm that is told joints."""
        velocity = self.max_joint_share * np.array(self.arm_velocity, np.float64)
        rates = velocity, _FINGERS[0] * velocity, _FINGERS[1] * velocity
        return ArmLimits(rates, (np.array(self.arm_lower), np.array(self.arm_upper)), np.zeros((0, 4)))

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(6 + n,) each: least and greatest value of the axes; a turn has none."""
        turn = np.full(3, np.inf)
        low = np.concatenate([self.workspace[:3], -turn, self.finger_lower])
        return low, np.concatenate([self.workspace[3:], turn, self.finger_upper])

    @property
    def together(self) -> bool:
        """Each axis by itself: none waits for another."""
        return False

    @cached_property
    def balls(self) -> np.ndarray:
        """(B, 4) of keep_out: x, y, z and radius of those that reach into the workspace."""
        balls = np.reshape(np.array(self.keep_out, np.float64), (-1, 4))
        box = np.array(self.workspace)
        nearest = np.clip(balls[:, :3], box[:3], box[3:])
        return balls[np.linalg.norm(nearest - balls[:, :3], axis=1) < balls[:, 3]]

    @cached_property
    def braking(self) -> float:
        """Seconds that it takes at most to come to rest: from the greatest velocity, with an acceleration that is yet to be
        taken back."""
        velocity, acceleration, jerk = (np.concatenate(pair) for pair in zip(self.rates, self.arm_limits.rates))
        held = velocity / acceleration + acceleration / jerk  # the acceleration reaches its limit
        peaked = 2.0 * np.sqrt(velocity / jerk)
        stopping = np.where(velocity * jerk >= acceleration**2, held, peaked)
        return float((np.minimum(acceleration, np.sqrt(2.0 * jerk * velocity)) / jerk + stopping).max())

    def standstill(self, period: float) -> float:
        """Seconds at most from the last news of the hand, the robot or the deadman's switch until the commanded motion rests,
        with a step every `period` seconds: what is silent is noticed, a step later at the latest, and then it brakes."""
        silent = max(self.hand_silent, self.robot_stale, self.deadman_stale if self.need_deadman else 0.0)
        return silent + period + self.braking


RANGES: dict[str, tuple[float, float]] = {
    one.name: one.metadata["limits"] for one in fields(TeleopSettings) if "limits" in one.metadata
}
"""Smallest and largest value of the settings of these names, both allowed."""
