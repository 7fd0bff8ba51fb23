"""Rows of a dataset as the pipeline's estimates, which pages show and bags hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..geometry.camera import Camera
from ..geometry.rotations import matrix_from_axis_angle
from ..pipeline.types import SOURCE_JOINT, SOURCE_NETWORK, SOURCE_NONE, TRACKED, HandEstimate, HandPairEstimate, absent

NEEDED = [f"hand.{name}" for name in "valid confidence scaled mano betas joints joint_confidence joints_2d".split()]
"""Columns without which there are no hands in a row."""


def pair_of_row(table: Mapping[str, np.ndarray], row: int, stamp: int, camera: Camera) -> HandPairEstimate:
    """The hands of a row, in the frame of the dataset. table: its columns, those of NEEDED among them. stamp: nanoseconds."""
    left, right = (_hand(table, row, side) for side in range(2))
    relative, source = None, SOURCE_NONE
    if left.joints is not None and right.joints is not None:
        relative, source = left.joints[0] - right.joints[0], SOURCE_JOINT if left.scaled else SOURCE_NETWORK
    return HandPairEstimate(stamp, left, right, camera, relative, source)


def _hand(table: Mapping[str, np.ndarray], row: int, side: int) -> HandEstimate:
    """One side's hand of a row of a dataset's columns; ABSENT where it is not valid."""

    def of(name: str, *shape: int) -> np.ndarray:
        return np.asarray(table[f"hand.{name}"][row], np.float64).reshape(2, *shape)[side]

    if not table["hand.valid"][row][side]:
        return absent(side)
    mano, joints, pixels = of("mano", 51), of("joints", 21, 3), of("joints_2d", 21, 2)
    return HandEstimate(
        side,
        True,
        TRACKED,
        0.0,
        confidence=float(of("confidence")),
        joints=joints,
        joints_raw=joints,
        joints_2d=pixels if pixels.any() else None,  # of several cameras' images there are none
        joint_confidence=of("joint_confidence", 21),
        wrist_rotation=matrix_from_axis_angle(mano[3:6]),
        global_orient=mano[3:6],
        hand_pose=mano[6:],
        betas=of("betas", 10),
        scaled=bool(of("scaled")),
    )
