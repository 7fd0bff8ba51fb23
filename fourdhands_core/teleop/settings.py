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


def setting(default: Any, description: str, limits: tuple[float, float] | None = None) -> Any:
    """A field with what people are told of it. limits: (smallest, largest), both allowed."""
    return field(default=default, metadata={"description": description, "limits": limits})


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
    """How the robot follows; what are parameters of the node too are told of here alone. Raises InputError where one is out of
    range."""

    scale: float = setting(1.0, "Metres of the arm's end per metre of the hand.", (0.01, 10.0))
    scale_depth: float = setting(
        1.0,
        "How much of it towards and away from the camera (third axis of the hands' frame), which one camera measures worst: 3 "
        "cm too far where the hand closes. 0.3 lets fingers meet a thing there, at the price of reaching less far.",
        (0.0, 1.0),
    )
    axes: tuple[float, ...] = setting(
        (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0),
        "Rotation from the operator's frame, the camera's, to the base, row by row; by default of a camera that faces the "
        "operator.",
    )
    absolute: bool = setting(
        False, "Go to where the hand is, not by as much as it moves: needs scaled hands, and the camera's frame on /tf."
    )
    turns: bool = setting(True, "Turn the arm's end with the hand.")
    need_deadman: bool = setting(True, "Move only while true comes on ~/deadman, ten times a second or more.")
    workspace: tuple[float, ...] = setting(
        (-1.0, -1.0, 0.0, 1.0, 1.0, 1.5), "Box that the arm's end stays in: lower and upper corner, metres."
    )
    keep_out: tuple[float, ...] = ()
    """Balls that it stays out of: x, y, z and radius of each, metres in its base."""
    max_speed: float = setting(0.25, "Of each axis of the arm's end, m/s.", (0.001, 3.0))
    max_acceleration: float = setting(4.0, "Likewise, m/s^2.", (0.01, 50.0))
    max_jerk: float = setting(300.0, "Likewise, m/s^3.", (0.1, 2000.0))
    """`braking` tells how long it takes to stop: 0.09 s by default."""
    max_turn: float = setting(1.0, "Of each axis of the arm's turn from the engaged orientation, rad/s.", (0.01, 6.0))
    max_turn_acceleration: float = setting(16.0, "Likewise, rad/s^2.", (0.1, 100.0))
    max_turn_jerk: float = setting(1200.0, "Likewise, rad/s^3.", (1.0, 5000.0))
    finger_lower: tuple[float, ...] = ()
    """Least positions of the hand's joints, in its order; empty without a hand."""
    finger_upper: tuple[float, ...] = ()
    """Greatest positions, likewise."""
    finger_velocity: tuple[float, ...] = ()
    """Greatest velocities, likewise."""
    max_finger_share: float = setting(0.5, "Share of the speed limits of the robot's fingers that is used.", (0.01, 1.0))
    arm_lower: tuple[float, ...] = ()
    """Least positions of the joints of an arm that is told joints, in its order; else empty."""
    arm_upper: tuple[float, ...] = ()
    """Greatest positions, likewise."""
    arm_velocity: tuple[float, ...] = ()
    """Greatest velocities, likewise."""
    max_joint_share: float = setting(
        0.5, "Share of the speed limits of an arm's joints that is used, where the arm is told joints.", (0.01, 1.0)
    )
    ramp: float = setting(1.5, "Seconds over which speed grows after engaging.", (0.1, 30.0))
    dwell: float = setting(0.1, "Seconds for which nothing may stand against engaging before.", (0.0, 10.0))
    regain: float = setting(0.5, "Seconds within which a lost hand that comes back is followed again.", (0.0, 5.0))
    hand_stale: float = setting(0.2, "Age of the newest image, seconds, at which the robot stops.", (0.02, 2.0))
    """From half of that on the robot slows down."""
    hand_silent: float = setting(
        0.15, "Seconds without a new image of the hand, likewise, however young the last one is.", (0.02, 2.0)
    )
    robot_stale: float = setting(0.15, "Age of the robot's own state, and seconds without news of it, likewise.", (0.02, 2.0))
    deadman_stale: float = setting(0.15, "Age of the last ~/deadman, seconds, likewise.", (0.02, 2.0))
    confidence_to_engage: float = setting(0.4, "Confidence of the hand with which one can engage.", (0.0, 1.0))
    """Above it the robot moves at full speed."""
    confidence_to_hold: float = setting(
        0.2, "Confidence below which a hand counts as lost; towards it the robot slows down.", (0.0, 1.0)
    )
    max_hand_speed: float = setting(3.0, "What moves faster than this between two images, m/s, is no hand.", (0.1, 20.0))
    max_following_error: float = setting(0.1, "Metres that the robot may be from where it is told to be.", (0.001, 1.0))
    """Beyond it for 0.3 s the robot is at FAULT. Fingers have no such limit: what they hold keeps them from their command, and
    moves them where it slips."""
    max_turn_error: float = setting(0.5, "Likewise of its orientation, radians.", (0.01, 3.1))
    still_speed: float = setting(0.02, "Speed below which the robot counts as still, m/s.", (0.001, 1.0))
    """Only then one can engage."""

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
    one.name: one.metadata["limits"] for one in fields(TeleopSettings) if one.metadata.get("limits")
}
"""Smallest and largest value of the settings of these names, both allowed."""
