"""The range of the operator's fingers, shown to the running node: an open hand, a fist, thumb and index finger together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fourdhands_core.errors import FourDHandsError
from fourdhands_core.outputs import check_outputs
from fourdhands_core.retargeting import Retargeter, load_retargeter
from fourdhands_core.retargeting.model_check import tell_of_model
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.streams import counted

from .hand_input import HandInput

PARTS = {"open": "open hand", "fist": "fist", "pinch": "pinch"}
"""What is shown, by the service that takes it."""
SECONDS, _LEAST = 1.0, 5
"""How much of the past counts when a service is called, and in how many images the hand has to be seen then."""


def load_led(robot: str, side: str, file: str, warn: Callable[[str], Any]) -> Retargeter:
    """The robot's hand that is led, with the operator's range of a file, or the usual one where that is empty or not there."""
    there = file if file and Path(file).exists() else None
    if file and not there:
        warn(f"operator: {file} is not there, the usual range is taken; ~/show_open, show_fist and show_pinch write it")
    retargeter = load_retargeter(robot, side, there)
    tell_of_model(robot, retargeter, warn)
    return retargeter


class OperatorShown:
    """Takes what was just shown; all three together are the range, which is in use at once.

    retargeter: of the robot's hand, whose range it is; None without one. file: where it is kept, empty for nowhere.
    """

    def __init__(self, hand: HandInput, retargeter: Retargeter | None, side: str, file: str) -> None:
        self._hand, self._retargeter, self._side, self._file = hand, retargeter, side, file
        self._shown: dict[str, np.ndarray] = {}

    def show(self, part: str, now: float) -> tuple[bool, str]:
        """Whether what was shown until `now`, seconds of the teleoperation's clock, can be used, and what came of it."""
        if self._retargeter is None:
            return False, "no robot's hand is led, to whose fingers it would be mapped; set robot"
        joints = self._hand.seen_since(now - SECONDS)
        if len(joints) < _LEAST:
            return False, (
                f"the {self._side} hand was seen in {counted(len(joints), 'images')} of the last second, and {_LEAST} are "
                f"needed; show the {PARTS[part]}, and call this while it is seen (~/state: why none come)"
            )
        self._shown[part] = joints
        message = f"{PARTS[part]} seen in {counted(len(joints), 'images')}"
        if missing := [name for name in PARTS if name not in self._shown]:
            return True, f"{message}; still to be shown: {', '.join(PARTS[name] for name in missing)}"
        try:
            found = OperatorRange.of_recordings(self._shown["open"], self._shown["fist"], self._shown["pinch"], self._side)
        except FourDHandsError as error:
            return False, f"{message}; {error}; show again what is wrong, the others are kept"
        self._retargeter.operator = found
        gain = found.gain[1:, :2].mean(axis=0)
        message += f"; bends are measured as {gain[0]:.2f} (knuckles) and {gain[1]:.2f} (middle joints) of the truth; in use"
        if not self._file:
            return True, f"{message} until the node is deactivated, and not kept, as operator names no file"
        try:
            check_outputs([self._file])
            found.write(self._file)
        except FourDHandsError as error:
            return False, f"{message} until the node is deactivated, but not kept: {error}"
        return True, f"{message}, and kept in {self._file}"
