"""What hands_teleop says of itself and of its robot on /diagnostics and ~/state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from fourdhands_core.geometry.rotations import quaternion_from_matrix
from fourdhands_core.teleop import Command, HandSample, RobotSample, TeleopSettings, TeleopState
from fourdhands_core.teleop.settings import STANDSTILL
from fourdhands_core.teleop.turns import angle_between

from ..node.diagnostics import diagnostic_status
from .parameters import TeleopParameters

_FOLLOWS = ("RAMP", "ENGAGED")
_SILENT = 1.0
"""Seconds without hands, after which that is told: no matter of one that is late."""


def status_of(name: str, said: Mapping[str, Any]) -> DiagnosticStatus:
    """Out of what `~/state` says: an error in FAULT and ESTOP, a warning in HOLD, where a message was refused, and where no
    robot is heard of; else well."""
    state, reasons = str(said["state"]), list(said["reasons"])
    words = ", ".join(reasons or said["stopped_by"])
    level = DiagnosticStatus.OK
    if state in ("FAULT", "ESTOP"):
        level = DiagnosticStatus.ERROR
    elif (
        state == "HOLD" or said["problem"] or {"robot_not_seen", "robot_stale", "two_operators", "two_commanders"} & {*reasons}
    ):
        level = DiagnosticStatus.WARN
    message = f"{state}: {words}" if words and state not in _FOLLOWS else state
    values = {key: _text(value) for key, value in said.items() if key != "stamp"}
    return diagnostic_status(f"{name}: following", name, level, message, values)


def apart(robot: RobotSample | None, command: Command) -> dict[str, Any] | None:
    """How far the robot is from where it is told to be: metres, radians, and each of its hand's joints in its units."""
    if robot is None or not command.publish:
        return None
    return {
        "position": round(float(np.linalg.norm(robot.position - command.position)), 4),
        "turn": round(angle_between(robot.rotation, command.rotation), 4),
        "fingers": np.round(robot.fingers - command.fingers, 4).tolist(),
    }


def scale_problem(hand: HandSample | None, parameters: TeleopParameters) -> str:
    """What an arm needs, in words, where the hand's distances are not in metres; else empty."""
    if hand is None or not hand.valid or hand.scaled or parameters.arm == "none":
        return ""
    return (
        "hands are not in metres (`scaled` is false), so that how far the arm goes is not known: give the camera's "
        "calibration, CameraInfo"
    )


def standstill_problem(settings: TeleopSettings, period: float) -> str:
    """What makes the robot stand later than it should after the last news, in words; else empty. period: of steps, seconds."""
    seconds, braking = settings.standstill(period), settings.braking
    if seconds <= STANDSTILL + 1e-6:
        return ""
    return (
        f"after the last news of the hand, the deadman's switch or the robot it may take {seconds:.2f} s until the robot "
        f"stands, more than {STANDSTILL} s: silence is noticed after up to {seconds - period - braking:.2f} s (hand_silent, "
        f"deadman_stale, robot_stale), a step later, and to brake takes {braking:.2f} s (max_speed, max_acceleration, max_jerk "
        "and those of the turn)"
    )


def hand_problem(state: TeleopState, hand: HandSample | None, now: float, topic: str, publishers: int) -> str:
    """Why no hand is followed, in words, where that is not for its person to mend; else empty. topic: of the hands."""
    if not publishers and {"hand_not_seen", "hand_stale"} & {*state.reasons}:
        return f"nobody publishes {topic}; start hands.launch.py, or say by hands:= where hands come"
    if (silent := state.silent[0]) > _SILENT:
        return f"no hands have come on {topic} for {silent:.0f} s, though somebody publishes it: /diagnostics says why"
    if "hand_stale" not in state.reasons or hand is None or state.silent[0] > 0.1:
        return ""
    off = f"{abs(now - hand.stamp):.1f} s {'old' if now > hand.stamp else 'ahead'}"
    return f"hands come with stamps {off}: their clock is another one, as by use_sim_time, or images are long under way"


def outside(robot: RobotSample, settings: TeleopSettings, fingers: Sequence[str], joints: Sequence[str]) -> str:
    """Which limits the robot is measured beyond, in words; else empty. fingers, joints: names of its hand's and its arm's."""
    low, high = settings.bounds
    words = []
    place = ", ".join(f"{value:.3f}" for value in robot.position)
    if not ((robot.position >= low[:3]) & (robot.position <= high[:3])).all():
        words.append(f"the arm's end is at {place}, outside workspace {list(settings.workspace)}")
    if (np.linalg.norm(settings.balls[:, :3] - robot.position, axis=1) < settings.balls[:, 3]).any():
        words.append(f"the arm's end is at {place}, inside a ball of keep_out")
    of_arm = settings.arm_limits.bounds
    for names, values, least, most in ((fingers, robot.fingers, low[6:], high[6:]), (joints, robot.joints, *of_arm)):
        for name, value, lower, upper in zip(names, values, least, most):
            if not lower <= value <= upper:
                words.append(f"{name} is at {value:.4g}, and its limits are {lower:.4g} and {upper:.4g}")
    return "; ".join(words)


def place_said(
    parameters: TeleopParameters, settings: TeleopSettings, robot: RobotSample | None, command: Command
) -> dict[str, Any]:
    """Where the robot is, None where that is not known, and is told to be, and within which limits, for who looks on: what is
    led of it, of a hand without an arm no workspace."""
    return {
        "side": parameters.side,
        "robot": parameters.led,
        "base_frame": parameters.base_frame,
        "axes": parameters.axes,
        "workspace": settings.workspace if parameters.arm != "none" else [],
        "keep_out": settings.keep_out if parameters.arm != "none" else [],
        "measured": None if robot is None else _pose(robot.position, robot.rotation, robot.fingers),
        "commanded": _pose(command.position, command.rotation, command.fingers) if command.publish else None,
    }


def _pose(position: np.ndarray, rotation: np.ndarray, fingers: np.ndarray) -> dict[str, list[float]]:
    turn = quaternion_from_matrix(rotation)
    return {
        name: np.round(values, 5).tolist()
        for name, values in (("position", position), ("quaternion", turn), ("fingers", fingers))
    }


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(one) for one in value)
    return "" if value is None else str(value)
