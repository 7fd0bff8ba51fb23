"""An arm that is told joints: they go where its end is to be, within limits of their own, and stop at once where it does.

Where the end is to be (`step.py`) is what the joints aim at, by the arm's inverse kinematics. Between the two stands a
trajectory generator of their speeds, as the aim keeps to the joints' speed, but not to their acceleration and jerk. All joints
take the same time to change their speeds, so that the end stays on its way. No step is made after which the end could not stop
within its speed, inside the workspace and outside keep_out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .motion import Moment, at_rest, braked, driven, passes, stop_of
from .settings import TeleopSettings
from .turns import matrix_of, vector_of
from .types import ArmMotion

_APART, _TURNED = 0.02, 0.1
"""Metres and radians by which the end may be asked to be beyond what the joints reach."""

_CALM = 0.5
"""Of the joints' acceleration, with which their aim moves: they follow it closely then, although their jerk is limited."""


_CLOSING = 6.0
"""1/s: of how far a joint is from what it aims at, the speed with which it catches up. For all joints alike, so that together
they lead the end along its way: each as fast as it can, it would get to thrice its speed."""

_AIMED, _WANTED = 0.94, 0.97
"""Of the end's speed, with which the joints' aim moves it, and with which they catch up: all that it may have it only gets
where they turn its way meanwhile."""
_OFF, _AHEAD = 1e-3, 0.09
"""Metres that the joints' aim keeps the end off the workspace's walls and what is kept out; seconds in which, at the speed with
which a joint nears its limit, or the end those, it would get there: more than it takes to stop."""
_AXES = np.concatenate([np.eye(3), -np.eye(3)])
_MARGIN = 1e-6
"""Metres, and a share of the speed."""


class Arm(Protocol):
    """What moves the arm's end; `retargeting.arm` has it. n joints. turns: whether it turns its end as that is asked."""

    turns: bool

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) and rotation (3, 3) of its end in its base."""

    def slopes(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (3,) of its end in its base, and (6, n) its velocity and angular velocity there for each joint's."""

    def speed_towards(
        self,
        joints: np.ndarray,
        pose: tuple[np.ndarray, np.ndarray],
        lowest: np.ndarray,
        most: np.ndarray,
        end: np.ndarray,
        room: tuple[np.ndarray, np.ndarray],
        dt: float,
    ) -> np.ndarray:
        """(n,) joints' speeds with which the end gets nearest to a pose, position (3,) and rotation (3, 3), in `dt` seconds.

        lowest, most: (n,) between which they are. end: (6,) the end's speed at most, along and about each axis of its base.
        room: directions (D, 3) in the base, and metres (D,) that the end may go in each. The joints stay within their limits
        and the arm clear of itself."""


@dataclass(frozen=True, eq=False)
class Joints:
    """The arm's joints as they are commanded, (n,): their motion, what they aim at and how fast that moves; end, reached: where
    the arm's end is in motion and aim, as position (3,) and rotation (3, 3)."""

    motion: ArmMotion
    aim: np.ndarray
    speed: np.ndarray
    end: tuple[np.ndarray, np.ndarray]
    reached: tuple[np.ndarray, np.ndarray]

    @classmethod
    def at(cls, arm: Arm, joints: np.ndarray) -> Joints:
        """Joints (n,) that stand."""
        end = arm.pose(joints)
        return cls(at_rest(joints), joints, np.zeros(len(joints)), end, end)

    def towards(self, arm: Arm, s: TeleopSettings, position: np.ndarray, rotation: np.ndarray, dt: float) -> Joints:
        """`dt` seconds on, on the way to where the end is to be."""
        if dt <= 0.0:
            return self
        limits = s.arm_limits
        fastest, change = limits.rates[0], _CALM * limits.rates[1] * dt
        lowest, most = np.maximum(self.speed - change, -fastest), np.minimum(self.speed + change, fastest)
        down, up = ((bound - self.aim) / (dt + _AHEAD) for bound in limits.bounds)
        lowest, most = np.maximum(lowest, np.minimum(down, most)), np.minimum(most, np.maximum(up, lowest))
        speed = arm.speed_towards(
            self.aim, (position, rotation), lowest, most, _AIMED * s.end_speed, _room(s, self.reached[0], dt), dt
        )
        aim = np.clip(self.aim + speed * dt, *limits.bounds)
        wanted = speed + _CLOSING * (aim - self.motion.value)
        of_end = arm.slopes(self.motion.value)[1] @ wanted / (_WANTED * s.end_speed)
        wanted = wanted / max(1.0, float(np.abs(wanted / fastest).max()), float(np.abs(of_end).max()))
        motion = driven(self.motion, limits, wanted, dt, lambda way: _end_may(arm, s, way))
        if motion is None:  # from where it stops there is another way
            return self.stopping(arm, s, dt)
        return Joints(motion, aim, speed, arm.pose(motion.value), arm.pose(aim))

    def stopping(self, arm: Arm, s: TeleopSettings, dt: float) -> Joints:
        """`dt` seconds on, on the way to rest, from where it goes on later."""
        if self.motion.still and self.aim is self.motion.value:
            return self
        motion = braked(self.motion, s.arm_limits, dt)
        aim = stop_of(motion, s.arm_limits)
        return Joints(motion, aim, np.zeros(len(aim)), arm.pose(motion.value), arm.pose(aim))

    def within_reach(self, arm: Arm, position: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """A pose that the end is asked to be at, brought near to what the joints reach; None where it is."""
        apart = position - self.reached[0]
        turn = vector_of(rotation @ self.reached[1].T) if arm.turns else np.zeros(3)
        far, turned = math.hypot(*apart.tolist()), math.hypot(*turn.tolist())
        if far <= _APART and turned <= _TURNED:
            return None
        apart, turn = apart * min(1.0, _APART / max(far, _APART)), turn * min(1.0, _TURNED / max(turned, _TURNED))
        return self.reached[0] + apart, matrix_of(turn) @ self.reached[1]


def _room(s: TeleopSettings, place: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions (D, 3) from a place (3,), and the metres (D,) that the end may go there in `dt` seconds: to walls and what is
    kept out."""
    towards = s.balls[:, :3] - place
    apart = np.linalg.norm(towards, axis=1)
    far = np.concatenate([s.bounds[1][:3] - place, place - s.bounds[0][:3], apart - s.balls[:, 3]])
    return np.concatenate([_AXES, towards / np.maximum(apart, 1e-9)[:, None]]), dt / (dt + _AHEAD) * np.maximum(far - _OFF, 0.0)


def _end_may(arm: Arm, s: TeleopSettings, way: list[Moment]) -> bool:
    """Whether the arm's end may go that way of the joints: as fast as it may be, in the workspace, out of what is kept out.
    What it is beyond at the beginning it may leave."""
    places, fastest = np.empty((len(way), 3)), s.end_speed * (1.0 + _MARGIN)
    for place, (value, velocity) in zip(places, way):
        place[:], slopes = arm.slopes(np.asarray(value))
        if (np.abs(slopes @ velocity) > fastest).any():
            return False
    low, high = (bound[:3] for bound in s.bounds)
    low, high, balls = np.minimum(low, places[0]) - _MARGIN, np.maximum(high, places[0]) + _MARGIN, s.balls
    if not ((places >= low) & (places <= high)).all():
        return False
    if len(balls):
        apart = np.linalg.norm(balls[:, :3] - places[0], axis=1)
        balls = np.column_stack([balls[:, :3], np.minimum(balls[:, 3], apart)])
    return passes(places, balls)
