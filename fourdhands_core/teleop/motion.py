"""The commanded motion: how it goes on within limits of velocity, acceleration and jerk, and always able to stop where it may.

Axes (6 + n,): position, rotation vector from the engaged orientation, fingers. As |omega| <= |d/dt rotation vector|, limits of
the rotation vector's speed hold for the angular velocity. The trajectories are Ruckig's (Berscheid & Kroeger, RSS 2021).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..extras import needed_for
from .settings import Limits, TeleopSettings
from .types import ArmMotion

_LEAST = 1e-4
"""Smallest share of the speed limits that is planned with; below it the robot brakes."""
_REST = 1e-9
_LOOKS = tuple(np.linspace(0.125, 1.0, 8).tolist())
"""Shares of the way to rest at which it is looked at: millimetres apart, which leaves 0.1 mm of a ball's roundness."""
Moment = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]
"""Of a way: the axes' values and velocities, n each."""
_MARGIN, _ROUND = 1e-6, 1e-5
"""Metres, radians and so on by which numbers may miss a limit; metres by which a ball may be missed."""


def planning() -> Any:
    """The module Ruckig, which plans all motion: to be asked for before a robot is led. Raises DependencyError."""
    with needed_for("teleoperation", "robot"):
        import ruckig
    return ruckig


@lru_cache(maxsize=16)
def _planner(axes: int, thread: int) -> tuple[Any, Any, Any, Any]:
    """Ruckig for so many axes, and for one thread alone."""
    ruckig = planning()
    given = ruckig.InputParameter(axes)
    given.target_acceleration = [0.0] * axes
    return ruckig.Ruckig(axes), given, ruckig.Trajectory(axes), ruckig


def at_rest(value: np.ndarray) -> ArmMotion:
    """A motion that stands at value (6 + n,)."""
    return ArmMotion(value, np.zeros(len(value)), np.zeros(len(value)))


def _planned(motion: ArmMotion, settings: Limits, target: np.ndarray | None, share: float, to: np.ndarray | None = None) -> Any:
    """Ruckig's trajectory from the motion to rest at target (6 + n,), or without one as soon as it can to the velocity `to`
    (6 + n,), or to rest. None where it finds none."""
    planner, given, trajectory, ruckig = _planner(len(motion.value), threading.get_ident())
    velocity, acceleration, jerk = settings.rates
    given.synchronization = ruckig.Synchronization.Phase if settings.together else ruckig.Synchronization.No
    given.control_interface = ruckig.ControlInterface.Velocity if target is None else ruckig.ControlInterface.Position
    given.current_position, given.current_velocity = motion.value.tolist(), motion.velocity.tolist()
    given.current_acceleration = motion.acceleration.tolist()
    given.max_velocity, given.max_acceleration = (max(share, _LEAST) * velocity).tolist(), acceleration.tolist()
    given.max_jerk = jerk.tolist()
    given.target_velocity = ([0.0] * len(velocity)) if to is None else (0.999 * to).tolist()
    if target is not None:
        given.target_position = target.tolist()
    try:
        result = planner.calculate(given, trajectory)
    except ruckig.RuckigError:
        return None
    return trajectory if result in (ruckig.Result.Working, ruckig.Result.Finished) else None


def _after(trajectory: Any, dt: float, rests: bool = True) -> ArmMotion:
    """The motion `dt` seconds on; at the trajectory's end it rests, or goes on as fast as it is."""
    if rests and trajectory.duration <= dt + _REST:
        value = np.array(trajectory.at_time(trajectory.duration)[0])
        return at_rest(value)
    return ArmMotion(*(np.array(values) for values in trajectory.at_time(dt)))


def stop_of(motion: ArmMotion, settings: Limits) -> np.ndarray:
    """(6 + n,) where the motion comes to rest if it brakes from now on."""
    if motion.still:
        return motion.value
    trajectory = _planned(motion, settings, None, 1.0)
    return motion.value if trajectory is None else np.array(trajectory.at_time(trajectory.duration)[0])


def braked(motion: ArmMotion, settings: Limits, dt: float) -> ArmMotion:
    """The motion `dt` seconds on, on the way to rest."""
    if motion.still or dt <= 0.0:
        return motion
    trajectory = _planned(motion, settings, None, 1.0)
    return at_rest(motion.value) if trajectory is None else _after(trajectory, dt)


def followed(motion: ArmMotion, settings: Limits, target: np.ndarray, share: float, dt: float) -> ArmMotion:
    """The motion `dt` seconds on, on the way to target (6 + n,), with this share (0 to 1) of the speed limits.

    Where it could then no longer stop inside what is allowed, it brakes instead: as it could stop before, it never leaves it.
    """
    if dt <= 0.0:
        return motion
    trajectory = None if share < _LEAST else _planned(motion, settings, target, share)
    ahead = None if trajectory is None else _if_clear(motion, settings, trajectory, dt, True)
    return braked(motion, settings, dt) if ahead is None else ahead


def driven(
    motion: ArmMotion, settings: Limits, to: np.ndarray, dt: float, clear: Callable[[list[Moment]], bool]
) -> ArmMotion | None:
    """The motion `dt` > 0 seconds on, on the way to the velocity `to` (6 + n,); None where it could then no longer stop inside
    what is allowed, or not by a way that is `clear`."""
    trajectory = _planned(motion, settings, None, 1.0, to)
    return None if trajectory is None else _if_clear(motion, settings, trajectory, dt, not to.any(), clear)


def _if_clear(
    motion: ArmMotion,
    settings: Limits,
    trajectory: Any,
    dt: float,
    rests: bool,
    clear: Callable[[list[Moment]], bool] | None = None,
) -> ArmMotion | None:
    """The motion `dt` seconds on if it may still stop by then."""
    ahead = _after(trajectory, dt, rests)
    middle = trajectory.at_time(0.5 * min(dt, trajectory.duration))
    way = [(motion.value, motion.velocity), middle[:2], (ahead.value, ahead.velocity), *_way_to_rest(ahead, settings)]
    may = _clear(np.array([value for value, _ in way]), settings) and (clear is None or clear(way))
    return ahead if may else None


def _way_to_rest(motion: ArmMotion, settings: Limits) -> list[Moment]:
    """Moments of the way, if the motion brakes from now on."""
    trajectory = None if motion.still else _planned(motion, settings, None, 1.0)
    return [] if trajectory is None else [trajectory.at_time(share * trajectory.duration)[:2] for share in _LOOKS]


def _clear(way: np.ndarray, settings: Limits) -> bool:
    """Whether a way (T, 6 + n), straight between its values, leads only through what is allowed."""
    low, high = settings.bounds
    return bool(((way >= low - _MARGIN) & (way <= high + _MARGIN)).all()) and passes(way[:, :3], settings.balls)


def passes(way: np.ndarray, balls: np.ndarray) -> bool:
    """Whether a way (T, 3), straight between its places, leads past balls (B, 4). The way of all axes together bends: it could
    cut the corner, and at speed step over one."""
    if not len(balls):
        return True
    start = way[:-1, None]
    step = way[1:, None] - start
    to_ball = balls[:, :3] - start
    share = np.clip((to_ball * step).sum(-1) / np.maximum((step * step).sum(-1), 1e-18), 0.0, 1.0)
    apart = to_ball - share[..., None] * step
    return bool(((apart * apart).sum(-1) >= (balls[:, 3] - _ROUND) ** 2).all())


def allowed(value: np.ndarray, settings: TeleopSettings) -> bool:
    """Whether the axes' value (6 + n,) lies in the workspace, outside what is kept out, and within the joints' limits."""
    low, high = settings.bounds
    if not ((value >= low) & (value <= high)).all():  # so asked, what is no number is not allowed
        return False
    balls = settings.balls
    return not len(balls) or bool((np.linalg.norm(value[:3] - balls[:, :3], axis=1) >= balls[:, 3]).all())


def into_the_allowed(value: np.ndarray, settings: TeleopSettings) -> tuple[np.ndarray, list[str]]:
    """A target (6 + n,) brought inside, and the names of the limits that did it."""
    acting = []
    low, high = settings.bounds
    result = np.minimum(np.maximum(value, low), high)
    clipped = result != value
    if clipped[:3].any():
        acting.append("workspace")
    if clipped[6:].any():
        acting.append("joint_limits")
    for x, y, z, radius in settings.balls:
        offset = result[:3] - (x, y, z)
        distance = float(np.linalg.norm(offset))
        if distance < radius:
            outwards = offset / distance if distance > 1e-9 else np.array([0.0, 0.0, 1.0])
            result[:3] = np.clip(np.array([x, y, z]) + radius * outwards, low[:3], high[:3])
            acting.append("keep_out")
    return result, acting
