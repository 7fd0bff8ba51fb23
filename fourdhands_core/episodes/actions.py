"""The numbers that a policy is trained on: three published layouts of both hands, left before right, or a robot's joints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import InputError
from ..extras import needed_for
from ..geometry.rotations import axis_angle_from_quaternion, matrix_from_quaternion, matrix_to_6d
from ..hand_model.skeleton import FINGERS, MANO_JOINT_NAMES, SIDES, TIP_JOINTS
from ..retargeting import load_retargeter
from ..retargeting.config import read_config
from .recording import Hands

_AXES = "xyz"
_ROBOT = "robot:"


def _mano102(hands: Hands) -> np.ndarray:
    """(N, 2, 51): wrist, its orientation as axis-angle, MANO's 45 (VITRA's layout)."""
    return np.concatenate([hands.wrist, axis_angle_from_quaternion(hands.orientation), hands.hand_pose], axis=-1)


def _tips48(hands: Hands) -> np.ndarray:
    """(N, 2, 24): wrist, its orientation as the first two columns of the matrix, five fingertips (H-RDT's layout)."""
    six = matrix_to_6d(matrix_from_quaternion(hands.orientation))
    tips = hands.joints[:, :, TIP_JOINTS].reshape(len(hands), 2, 15)
    return np.concatenate([hands.wrist, six, tips], axis=-1)


def _wrist(hands: Hands) -> np.ndarray:
    """(N, 2, 6): wrist, then yaw, pitch, roll: R = Rz(yaw) Ry(pitch) Rx(roll) (EgoMimic's layout)."""
    matrix = matrix_from_quaternion(hands.orientation)
    yaw = np.arctan2(matrix[..., 1, 0], matrix[..., 0, 0])
    pitch = np.arcsin(np.clip(-matrix[..., 2, 0], -1.0, 1.0))
    roll = np.arctan2(matrix[..., 2, 1], matrix[..., 2, 2])
    return np.concatenate([hands.wrist, np.stack([yaw, pitch, roll], -1)], axis=-1)


def _names(*groups: tuple[str, Sequence[str]]) -> list[str]:
    return [f"{side}_{name}_{part}" for side in SIDES for name, parts in groups for part in parts]


def _robot_of(name: str) -> tuple[str, str | None]:
    """Of a robot's action its robot, and the hand that leads it, where that is said."""
    robot, _, side = name.removeprefix(_ROBOT).rpartition(":")
    return (robot, side) if side in SIDES and robot else (name.removeprefix(_ROBOT), None)


def files_of(name: str) -> list[Path]:
    """The files that say what an action is: of a robot's its YAML file and its model. Raises InputError."""
    if not name.startswith(_ROBOT):
        return []
    config = read_config(_robot_of(name)[0])
    return [config.source, config.model]


class Action(Protocol):
    """names: of the numbers of a row."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the numbers, in order."""

    def numbers(self, hands: Hands, first: np.ndarray | None = None) -> np.ndarray:
        """(N, D) float32; 0 for a hand that is not valid. first: the first row's, where they are known, as the others may
        hang on them."""

    @property
    def sides(self) -> np.ndarray:
        """(D,) int: whose hand each of the numbers is of, or hangs on."""


@dataclass(frozen=True)
class HandAction:
    """A layout. names: of its numbers, the left hand's half first. compute: from hands to (N, 2, half of them); metres and
    radians, in the hands' frame."""

    names: tuple[str, ...]
    compute: Callable[[Hands], np.ndarray]

    def numbers(self, hands: Hands, first: np.ndarray | None = None) -> np.ndarray:
        """See Action."""
        halves = np.where(hands.valid[..., None], self.compute(hands), 0.0)
        return halves.reshape(len(hands), len(self.names)).astype(np.float32)

    @property
    def sides(self) -> np.ndarray:
        """See Action."""
        return np.repeat([0, 1], len(self.names) // 2)


class RobotAction:
    """A robot's joints as the teleoperation would set them: each row's search begins at the row before.

    name: of a robot that comes with the package, or its file. side: of the hand that leads it; None for the robot's own.
    operator: the file of the operator's range; None for the usual one.
    """

    def __init__(self, name: str, side: str | None, operator: Path | None = None) -> None:
        with needed_for(f"--action robot:{name}", "robot"):
            self._retargeter = load_retargeter(name, side, operator)
        self._side = SIDES.index(self._retargeter.side)
        self.names = tuple(self._retargeter.names)
        self._rest = np.clip(0.0, self._retargeter.lower, self._retargeter.upper)

    def numbers(self, hands: Hands, first: np.ndarray | None = None) -> np.ndarray:
        """See Action."""
        result = np.zeros((len(hands), len(self.names)), np.float32)
        previous = None
        for row, joints in enumerate(hands.joints[:, self._side]):
            if not hands.valid[row, self._side]:
                previous = None
                continue
            if row == 0 and first is not None:
                result[0] = previous = first
                continue
            try:
                previous = self._retargeter.solve(joints, previous)
            except InputError:  # joints that are no hand's: the robot would be held
                previous = self._rest if previous is None else previous
            result[row] = previous
        return result

    @property
    def sides(self) -> np.ndarray:
        """See Action."""
        return np.full(len(self.names), self._side)


_POSE = tuple((f"mano_{name}", _AXES) for name in MANO_JOINT_NAMES[1:])
_TIPS = tuple((f"{finger}_tip", _AXES) for finger in FINGERS)
ACTIONS = {
    "mano102": HandAction(tuple(_names(("wrist", _AXES), ("orient", _AXES), *_POSE)), _mano102),
    "tips48": HandAction(tuple(_names(("wrist", _AXES), ("rotation", tuple(map(str, range(6)))), *_TIPS)), _tips48),
    "wrist": HandAction(tuple(f"{side}_{name}" for side in SIDES for name in ("x", "y", "z", "yaw", "pitch", "roll")), _wrist),
}


def action_of(name: str, operator: Path | None = None) -> Action:
    """An action by its name: of ACTIONS, or robot:NAME, or robot:NAME:left for the hand that leads it. operator: see
    RobotAction. Raises InputError."""
    if name.startswith(_ROBOT):
        return RobotAction(*_robot_of(name), operator)
    if operator is not None:
        raise InputError(f"--operator {operator} means nothing to --action {name}, which is of hands as they are; leave it out")
    if name not in ACTIONS:
        raise InputError(f"--action {name}: give one of {', '.join(ACTIONS)}, or robot:NAME")
    return ACTIONS[name]
