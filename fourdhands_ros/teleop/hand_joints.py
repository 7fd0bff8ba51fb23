"""The robot hand's joints as its own controller counts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fourdhands_core.errors import InputError
from fourdhands_core.retargeting import Retargeter
from fourdhands_core.retargeting.retargeter import GripperRetargeter


@dataclass(frozen=True)
class HandJoints:
    """names: of the joints in joint_states and in what is commanded. is_gripper: one joint, whose position is
    offset + factor * width. least_change: of a gripper's joint, that is worth a goal of an action."""

    names: tuple[str, ...]
    is_gripper: bool = False
    offset: float = 0.0
    factor: float = 1.0
    least_change: float = 0.0

    @classmethod
    def of(cls, retargeter: Retargeter, joint: str = "", span: Sequence[float] = (0.0, 0.0)) -> HandJoints:
        """Those of a robot. joint: of a gripper its name, empty for `width`. span: its positions where it is closed and open;
        twice 0 where they are the width. Raises InputError where this is no gripper, or the span is none."""
        closed, opened = span
        if not isinstance(retargeter, GripperRetargeter):
            if joint or closed or opened:
                raise InputError(
                    f"parameters gripper_joint and gripper_span are for a gripper, and this hand has {len(retargeter.names)} "
                    "joints; leave them out, or name a gripper"
                )
            return cls(retargeter.names)
        low, high = float(retargeter.lower[0]), float(retargeter.upper[0])
        if not (closed or opened):
            closed, opened = low, high
        if closed == opened:
            raise InputError(f"parameter gripper_span: closed and open are both {closed}; give the joint's two positions")
        factor = (opened - closed) / (high - low)
        return cls((joint,) if joint else retargeter.names, True, closed - factor * low, factor, 0.002 * abs(opened - closed))

    def told(self, fingers: np.ndarray) -> np.ndarray:
        """(n,) positions to command for the retargeter's values (n,)."""
        return self.offset + self.factor * fingers

    def measured(self, places: Mapping[str, float]) -> np.ndarray | None:
        """The retargeter's values (n,) of positions by joint names; None where one is missing."""
        if not all(name in places for name in self.names):
            return None
        return (np.array([places[name] for name in self.names]) - self.offset) / self.factor
