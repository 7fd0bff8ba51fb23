"""The hand as OpenXR has it: 26 joints, each with a place and an orientation (XR_EXT_hand_tracking).

A joint's -z points along its bone towards the tip, its y out of the hand's back (of the thumb: its nail), its x to the right.
A tip has the orientation of the joint before it; palm and wrist point to the middle finger. The four fingers' metacarpals begin
in the wrist's bones, which nothing here tells: they are missing.
"""

from __future__ import annotations

import numpy as np

from ..geometry.rotations import matrix_from_axis_angle, quaternion_from_matrix
from .skeleton import DORSAL, FINGERS, JOINT_NAMES, MANO_JOINT_NAMES, RIGHT

_BONES = ("metacarpal", "proximal", "intermediate", "distal", "tip")
OPENXR_JOINTS = (
    "palm",
    "wrist",
    *(f"thumb_{bone}" for bone in ("metacarpal", "proximal", "distal", "tip")),
    *(f"{finger}_{bone}" for finger in FINGERS[1:] for bone in _BONES),
)
"""In the order of XrHandJointEXT."""
_THUMB = [f"thumb_{number}" for number in range(1, 5)]
_FINGERS = [joint for finger in FINGERS[1:] for joint in ("", *(f"{finger}_{number}" for number in range(1, 5)))]
OURS = np.array([JOINT_NAMES.index(name) if name else -1 for name in ("", "wrist", *_THUMB, *_FINGERS)])
"""(26,) which of the 21 joints each of them is; -1 for none."""


def openxr_poses(side: int, joints: np.ndarray, wrist_rotation: np.ndarray, hand_pose: np.ndarray) -> np.ndarray:
    """(26, 7) of a hand in OPENXR_JOINTS' order: x, y, z, quaternion x, y, z, w, in the joints' frame; NaN where missing.

    side: LEFT or RIGHT. joints: (21, 3). wrist_rotation: (3, 3). hand_pose: (45,), as HandEstimate has them.
    """
    joints = np.asarray(joints, np.float64)
    local = matrix_from_axis_angle(np.asarray(hand_pose, np.float64).reshape(15, 3))
    poses = np.full((len(OPENXR_JOINTS), 7), np.nan)
    there = OURS >= 0
    poses[there, :3] = joints[OURS[there]]
    poses[0, :3] = 0.5 * (joints[0] + joints[JOINT_NAMES.index("middle_1")])
    flip = np.array([1.0 if side == RIGHT else -1.0, 1.0, 1.0])
    turns = np.empty((len(JOINT_NAMES), 3, 3))
    turns[0] = _frame(joints[JOINT_NAMES.index("middle_1")] - joints[0], wrist_rotation[:, 1])
    for finger in FINGERS:
        turn = np.asarray(wrist_rotation, np.float64)
        for number in (1, 2, 3):
            joint = JOINT_NAMES.index(f"{finger}_{number}")
            turn = turn @ local[MANO_JOINT_NAMES.index(f"{finger}_{number}") - 1]
            turns[joint] = _frame(joints[joint + 1] - joints[joint], turn @ (flip * DORSAL[finger]))
        turns[joint + 1] = turns[joint]
    quaternions = quaternion_from_matrix(turns)
    poses[there, 3:] = quaternions[OURS[there]]
    poses[0, 3:] = quaternions[0]
    return poses


def _frame(bone: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(3, 3) of a joint whose bone points there, and whose back about there."""
    z = -bone / np.linalg.norm(bone)
    x = np.cross(back, z)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], axis=1)
