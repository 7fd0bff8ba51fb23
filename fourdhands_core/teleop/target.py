"""Where the hand asks the robot to be, and how fast it may go there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .motion import into_the_allowed
from .settings import TeleopSettings
from .turns import vector_of
from .types import ArmMotion, HandSample

_SLOWEST = 0.3
"""Share of the speed at which an old image or little confidence lets the robot go on, before it holds. Lower, and what it
takes to end slowing down would turn it back."""
_MAX_TURN = 2.6
"""Radians that the arm's end turns at most from the engaged orientation: beyond half a turn the shorter way is the other."""


@dataclass(frozen=True, eq=False)
class Latch:
    """Hand and robot at the moment from which motion is relative: positions (3,), rotations (3, 3); the pose of the camera
    then, where it is known."""

    hand_position: np.ndarray
    hand_rotation: np.ndarray
    position: np.ndarray
    rotation: np.ndarray
    camera: tuple[np.ndarray, np.ndarray] | None = None


def target(
    s: TeleopSettings,
    latch: Latch,
    motion: ArmMotion,
    base: np.ndarray,
    hand: HandSample,
    transform: tuple[np.ndarray, np.ndarray] | None,
    fingers: np.ndarray,
) -> tuple[np.ndarray, list[str]]:
    """(6 + n,) where the hand asks the robot to be, inside what is allowed, and the limits that act.

    motion: as commanded so far; base: (3, 3) the orientation that it turns from. transform: from the operator's frame to the
    robot's base when the hand was there, for absolute motion. fingers: (n,) they stay there where the hand's are not known.
    """
    axes = np.reshape(s.axes, (3, 3))
    moved = (hand.position - latch.hand_position) * (1.0, 1.0, s.scale_depth)
    position = latch.position + s.scale * (axes @ moved)
    if s.absolute and transform is not None:  # the place, but not the orientation: a hand is held as is comfortable
        position = transform[0] @ hand.position + transform[1]
    rotation = axes @ (hand.rotation @ latch.hand_rotation.T) @ axes.T @ latch.rotation if s.turns else base
    turn = near(vector_of(rotation @ base.T), motion.value[3:6])
    fingers = fingers if hand.fingers is None else np.asarray(hand.fingers, np.float64)
    angle = math.hypot(*turn.tolist())
    acting = []
    if angle > _MAX_TURN:
        turn, acting = turn * (_MAX_TURN / angle), ["turn"]
    asked, others = into_the_allowed(np.concatenate([position, turn, fingers]), s)
    return asked, acting + others


def near(turn: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Of the rotation vectors of one rotation, the one nearest to `like`: beyond half a turn they change sides."""
    angle = math.hypot(*turn.tolist())
    if angle < 1e-6:
        return turn
    other = turn * (1.0 - 2.0 * np.pi / angle)
    to = like.tolist()
    return other if math.dist(other.tolist(), to) < math.dist(turn.tolist(), to) else turn


def share(s: TeleopSettings, hand: HandSample, age: float, ramped: float) -> tuple[float, list[str]]:
    """Share of the speed limits, 0 to 1: less while ramping, with an old image, with little confidence; and which of them.

    age: of the hand, ramped: since it was engaged, seconds.
    """
    sure = (hand.confidence - s.confidence_to_hold) / (s.confidence_to_engage - s.confidence_to_hold)
    shares = {
        "ramp": 0.1 + 0.9 * min(ramped / s.ramp, 1.0),
        "age": min(max((1.0 - age / s.hand_stale) / 0.5, _SLOWEST), 1.0),
        "confidence": min(max(sure, _SLOWEST), 1.0),
    }
    return min(shares.values()), [name for name, one in shares.items() if one < 1.0]
