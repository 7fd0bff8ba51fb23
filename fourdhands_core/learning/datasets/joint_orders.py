"""The orders in which datasets list a hand's joints, as tables into the 21 joints of hand_model.skeleton.JOINT_NAMES.

Each table holds 21 indices: `theirs[..., TABLE, :]` are the joints in this package's order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...hand_model.skeleton import FINGERS, JOINT_NAMES, TO_21


def from_names(names: Sequence[str]) -> np.ndarray:
    """The table of a dataset that lists its joints in the order of `names`; more than the 21 of JOINT_NAMES may be there."""
    return np.array([list(names).index(name) for name in JOINT_NAMES])


def _finger_names(fingers, joints):
    return [f"{finger}_{joint}" for finger in fingers for joint in joints]


OPENPOSE = np.arange(21)
"""Wrist, then each finger from the palm to its tip: this package's order, also of FreiHAND, DexYCB, MPII NZSL, MTC,
COCO-WholeBody, Halpe."""

TIPS_FIRST = from_names(_finger_names(FINGERS, (4, 3, 2, 1)) + ["wrist"])
"""InterHand2.6M (skeleton.txt): each finger from its tip to the palm, the wrist last."""

WRIST_THEN_TIPS_FIRST = from_names(["wrist"] + _finger_names(FINGERS, (4, 3, 2, 1)))
"""RHD: the wrist, then each finger from its tip to the palm."""

MANO_WITH_TIPS = TO_21
"""MANO's 16 joints, then the tips from thumb to little finger: HO3D, H2O3D (without the tips' vertices), RenderIH, smplx."""
