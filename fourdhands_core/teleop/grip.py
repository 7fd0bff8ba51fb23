"""What is told to fingers first when they are engaged again: where they are; or, holding something, what they were told last.

A finger that presses on something stays short of its command, and its force comes of the difference. To be told to be where it
is would make it let go. Its controller still has the command at which it came to rest, so that to say it again changes nothing,
as long as nobody else can have moved it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .settings import TeleopSettings
from .types import ArmMotion, RobotSample

_RESTS = 0.3
"""Seconds after which fingers have come to rest where what they hold keeps them."""
_MOVED = 0.02
"""Of a joint's range: what has moved by more since then is not where its command brought it."""
DISTRUSTED = frozenset({"robot_not_seen", "robot_stale", "two_commanders", "estop", "clock_jumped"})
"""Reasons after which the controller may have another command than the last one from here."""


@dataclass(frozen=True, eq=False)
class Grip:
    """Since the robot last followed: rested, seconds for which its command rests; at, (n,) where the fingers were found to rest
    then, NaN for those that have moved since, None before; doubted, that somebody else may have commanded them."""

    rested: float = 0.0
    at: np.ndarray | None = None
    doubted: bool = False

    def after(self, robot: RobotSample | None, doubted: bool, rests: bool, passed: float, settings: TeleopSettings) -> Grip:
        """A step of `passed` seconds later, in which the robot did not follow. rests: its command did not move."""
        if self.doubted or doubted or robot is None:
            return _DOUBTED
        rested, at = self.rested + passed * rests, self.at
        if at is not None:
            near = _near(robot.fingers, at, settings)
            at = at if near.all() else np.where(near, at, np.nan)
        elif rested >= _RESTS:
            at = robot.fingers
        return Grip(rested, at)

    def first(self, motion: ArmMotion | None, robot: RobotSample, settings: TeleopSettings) -> np.ndarray:
        """(n,) what to tell the fingers first. motion: as last commanded."""
        if motion is None or self.at is None or self.doubted:
            return np.asarray(robot.fingers, np.float64)
        return np.where(_near(robot.fingers, self.at, settings), motion.value[6:], robot.fingers)


_DOUBTED = Grip(doubted=True)


def _near(fingers: np.ndarray, at: np.ndarray, settings: TeleopSettings) -> np.ndarray:
    low, high = (limit[6:] for limit in settings.bounds)
    return np.asarray(np.abs(fingers - at) <= _MOVED * (high - low))
