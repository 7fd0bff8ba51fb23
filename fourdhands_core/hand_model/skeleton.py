"""Names, order and parents of the hand's joints: the one place where MANO's order and the 21-joint order meet."""

from __future__ import annotations

import numpy as np

LEFT, RIGHT = 0, 1
SIDES = ("left", "right")

FINGERS = ("thumb", "index", "middle", "ring", "little")
JOINT_NAMES = ("wrist",) + tuple(f"{finger}_{i}" for finger in FINGERS for i in range(1, 5))
"""The 21 joints: wrist, then for each finger its three joints from the palm outwards (1-3) and its tip (4)."""

JOINT_PARENTS = np.array([-1, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19])
TIP_JOINTS = np.array([4, 8, 12, 16, 20])
BONES = tuple((int(parent), child) for child, parent in enumerate(JOINT_PARENTS) if parent >= 0)

MANO_JOINT_NAMES = ("wrist",) + tuple(
    f"{finger}_{i}" for finger in ("index", "middle", "little", "ring", "thumb") for i in range(1, 4)
)
"""MANO's own 16 joints in MANO's own order; its 48 pose numbers follow this order."""
MANO_PARENTS = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14])

FINGERTIP_VERTICES = {"thumb": 744, "index": 320, "middle": 443, "ring": 554, "little": 671}
"""Vertex ids of the fingertips, as in smplx's table for MANO."""
TIP_VERTICES = np.array([FINGERTIP_VERTICES[finger] for finger in FINGERS])

_MANO_WITH_TIPS = MANO_JOINT_NAMES + tuple(f"{finger}_4" for finger in FINGERS)
TO_21 = np.array([_MANO_WITH_TIPS.index(name) for name in JOINT_NAMES])
"""`concatenate([16 MANO joints, 5 tips in the order of FINGERS])[TO_21]` are the 21 joints."""
MANO_IN_21 = np.array([JOINT_NAMES.index(name) for name in MANO_JOINT_NAMES])
"""`joints_21[MANO_IN_21]` are the 16 MANO joints in MANO's order."""

DORSAL = {finger: np.array([0.0, 1.0, 0.0]) for finger in FINGERS}
"""Direction of the back (nail) side of each finger of the flat right hand; MANO's thumb shows its nail obliquely."""
DORSAL["thumb"] = np.array([1.0, 1.0, 1.0])


def palm_length(joints: np.ndarray) -> np.ndarray:
    """Wrist to the middle finger's knuckle, which a hand keeps in any pose: (..., 21, 3) -> (...), in the unit given."""
    return np.linalg.norm(joints[..., 9, :] - joints[..., 0, :], axis=-1)


RESHAPED = 0.02
"""Of its `palm_length`, by which a hand is another one from one image to the next: one camera has it nearer or further by as
much."""
