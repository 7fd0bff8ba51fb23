"""What `hands_teleop` says of itself on ~/state, for people and for the scene."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..geometry.rigid import Rigid
from ..geometry.rotations import matrix_from_quaternion
from ..teleop import STATE_NAMES

_MEANINGS = {
    "IDLE": "the robot stands",
    "READY": "the robot stands and may be engaged",
    "RAMP": "the robot begins to follow",
    "ENGAGED": "the robot follows",
    "HOLD": "the hand is lost, the robot stands and waits for it",
    "ESTOP": "emergency stop, until ~/reset",
    "FAULT": "the robot was not where it was told to be, until ~/reset",
}
_REASONS = {
    "hand_not_seen": "the hand is not seen",
    "hand_stale": "the newest image of the hand is too old",
    "hand_jumped": "the hand moved faster than a hand does",
    "hands_exchanged": "the hand was taken for the other one",
    "hand_stamp_back": "the hand's stamps go back in time",
    "low_confidence": "the confidence in the hand is too low",
    "not_scaled": "the hand's positions are not metres: the camera is not calibrated",
    "no_transform_to_base": "/tf does not tell where the camera stands at the robot",
    "transform_jumped": "where the camera stands at the robot jumped",
    "camera_moved": "the camera moved since the robot was engaged",
    "two_operators": "more than one node publishes the hands",
    "two_commanders": "another node commands the robot too",
    "robot_not_seen": "nothing tells where the robot is",
    "robot_stale": "the robot's own state is too old",
    "robot_moving": "the robot moves",
    "robot_jumped": "the robot was elsewhere from one message to the next",
    "robot_outside_limits": "the robot is outside its workspace or limits",
    "robot_does_not_follow": "the robot was not where it was told to be",
    "deadman_released": "nobody presses the deadman's switch",
    "deadman_stale": "the deadman's switch is silent",
    "estop": "an emergency stop was asked for",
    "released": "it was released",
    "stopping": "the robot still stops",
    "clock_jumped": "the clock jumped",
    "late_step": "a command came late",
}
"""Of each reason that `teleop.senses` and `teleop.step` name. A new one is, in `step`, also among `_LOSS` where the robot is to
wait for its end, else it has to be engaged again; `status_of` of `fourdhands_ros/teleop/diagnosis.py` says which are warnings,
`test/teleop_faults.py` has an input that brings it about, `test/teleop_rules.py` what must not happen then."""
_LIMITS = {
    "workspace": "the workspace",
    "keep_out": "a ball to keep out of",
    "joint_limits": "the joints' limits",
    "reach": "the arm's reach",
    "speed": "the speed",
    "turn": "the turn",
    "ramp": "the ramp after engaging",
    "age": "the image's age",
    "confidence": "the confidence",
}
"""Of each that acts; `docs/teleoperation.md` lists them."""
_MOST = 64
"""Numbers of a list that is believed."""


@dataclass(frozen=True, eq=False)
class Posed:
    """Where the arm's end is in its base, and the joints (n,) of the hand on it."""

    end: Rigid
    fingers: np.ndarray


@dataclass(frozen=True, eq=False)
class RobotState:
    """One message of ~/state.

    state: of teleop.STATE_NAMES. reasons: what stands against following. stopped_by, limits: see docs/teleoperation.md. side:
    of the hand that is followed. robot: name or file of the robot's hand, empty without. axes: (3, 3) from the operator's frame
    to the base. workspace: (2, 3) corners and keep_out: (N, 4) balls in the base, metres. measured, commanded: None where they
    are not known.
    """

    state: str
    reasons: tuple[str, ...] = ()
    stopped_by: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    age: float = math.nan
    problem: str = ""
    side: str = ""
    robot: str = ""
    base_frame: str = ""
    axes: np.ndarray = field(default_factory=lambda: np.eye(3))
    workspace: np.ndarray | None = None
    keep_out: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    measured: Posed | None = None
    commanded: Posed | None = None


def parse_state(text: str) -> RobotState | None:
    """A message of ~/state; None where the text is something else. Parts that are malformed are left out."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("state") not in STATE_NAMES or "limits" not in said:
        return None
    axes, workspace, balls = (_numbers(said.get(name)) for name in ("axes", "workspace", "keep_out"))
    age = said.get("age")
    known: dict[str, Any] = {name: _names(said.get(name)) for name in ("reasons", "stopped_by", "limits")}
    known |= {name: _text(said.get(name)) for name in ("problem", "side", "robot", "base_frame")}
    known |= {name: _posed(said.get(name)) for name in ("measured", "commanded")}
    return RobotState(
        said["state"],
        age=float(age) if isinstance(age, (int, float)) else math.nan,
        axes=axes.reshape(3, 3) if len(axes) == 9 else np.eye(3),
        workspace=workspace.reshape(2, 3) if len(workspace) == 6 else None,
        keep_out=balls.reshape(-1, 4) if len(balls) % 4 == 0 else np.zeros((0, 4)),
        **known,
    )


def robot_words(name: str, state: RobotState) -> list[str]:
    """A robot for people, a sentence a line."""
    followed = f" the {state.side} hand" if state.side and state.state in ("RAMP", "ENGAGED") else ""
    lines = [f"{name} {state.state}: {_MEANINGS[state.state]}{followed}."]
    if state.reasons:
        lines.append(f"Against following: {_said(state.reasons)}.")
    if state.stopped_by:
        lines.append(f"It last stopped because: {_said(state.stopped_by)}.")
    if state.limits:
        lines.append(f"It is held back by {', '.join(_LIMITS.get(limit, limit) for limit in state.limits)}.")
    if state.problem:
        lines.append(f"Problem: {state.problem}.")
    return lines


def _said(reasons: tuple[str, ...]) -> str:
    return "; ".join(_REASONS.get(reason, reason) for reason in reasons)


def _text(value: Any) -> str:
    return value[:500] if isinstance(value, str) else ""


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(one)[:100] for one in value[:_MOST]) if isinstance(value, list) else ()


def _numbers(value: Any) -> np.ndarray:
    """A flat list of finite numbers; empty where it is none."""
    try:
        array = np.asarray(value, np.float64)
    except (ValueError, TypeError):
        return np.zeros(0)
    return array if array.ndim == 1 and len(array) <= _MOST and np.isfinite(array).all() else np.zeros(0)


def _posed(value: Any) -> Posed | None:
    if not isinstance(value, dict):
        return None
    place, turn, fingers = (_numbers(value.get(name)) for name in ("position", "quaternion", "fingers"))
    if len(place) != 3 or len(turn) != 4 or not 0.9 < float(np.linalg.norm(turn)) < 1.1:
        return None
    return Posed(Rigid(matrix_from_quaternion(turn), place), fingers)
