"""A human hand's fingers out of its 21 joints: palm axes, lengths, bends; the same for every size of hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..hand_model.skeleton import SIDES, palm_length

JOINTS = np.arange(1, 21).reshape(5, 4)
"""[finger, joint]: of the 21 joints, from the base to the tip, in the order of FINGERS."""
PALM = 0.095
"""Metres from the wrist to the middle finger's knuckle of a hand of common size; distances between tips are given for it."""
_THUMB_HINGE = -0.82, 0.45, -0.36
"""The thumb's nail looks obliquely, towards back, thumb's side and wrist alike; this is about across it and its bones."""
STRAIGHT = np.array([[-0.5, -0.35, -0.35]] + [[-0.5, -0.17, -0.17]] * 4)
CLOSED = np.array([[1.0, 1.2, 1.4]] + [[1.66, 1.95, 1.5]] * 4)
"""(5, 3): least and greatest bends of base, middle and last joint, radians, that any correction leaves."""


@dataclass(frozen=True, eq=False)
class HumanFingers:
    """One hand, in its palm's axes: x towards the back, y towards the thumb, z along the fingers.

    points: (5, 4, 3) metres, joints of each finger relative to the wrist. lengths: (5,) from base to tip along the bones.
    size: of the palm relative to a hand of common size. gaps: (5,) metres from the thumb's tip to each other tip, for a
    hand of common size; 0 for the thumb itself.
    """

    points: np.ndarray
    lengths: np.ndarray
    size: float
    gaps: np.ndarray


def spans_palm(joints: np.ndarray) -> bool:
    """Whether wrist and knuckles of 21 finite joints (21, 3), metres, span a palm, as a hand's do."""
    palm = joints[[5, 9, 17]] - joints[0]
    area = np.linalg.norm(np.cross(palm[0], palm[2]))
    return bool(1e-4 < area < 0.1 and np.linalg.norm(palm[1]) >= 0.02)


def palm_axes(joints: np.ndarray, side: str) -> np.ndarray:
    """(3, 3): the palm's axes, as rows, in the frame of the joints (21, 3): towards back, thumb's side, fingers."""
    fingers = joints[9] - joints[0]
    fingers = fingers / np.linalg.norm(fingers)
    across = joints[5] - joints[17]
    across = across - (across @ fingers) * fingers
    across = across / np.linalg.norm(across)
    back = np.cross(fingers, across) if side == SIDES[1] else np.cross(across, fingers)
    return np.stack([back, across, fingers])


def measure(joints: np.ndarray, side: str) -> HumanFingers:
    """The fingers of a hand (21, 3), metres, in any frame. side: left or right."""
    axes = palm_axes(joints, side)
    points = ((joints - joints[0]) @ axes.T)[JOINTS]
    size = float(palm_length(joints)) / PALM
    gaps = np.sqrt(((points[:, 3] - points[0, 3]) ** 2).sum(-1)) / size
    lengths = np.sqrt((np.diff(points, axis=1) ** 2).sum(-1)).sum(-1)
    return HumanFingers(points, lengths, size, gaps)


def bends(fingers: HumanFingers) -> np.ndarray:
    """(5, 3): bends of base, middle and last joint, radians, 0 where straight, positive towards the palm.

    Of the base: of the first bone out of the palm's plane; of the others: of a bone against the one before it, about the axis
    on which a finger bends (for the thumb: about the normal of its bones, where it has one).
    """
    return _bends(np.diff(fingers.points, axis=1))


def _hinges(bones: np.ndarray) -> np.ndarray:
    """(5, 3): unit axes about which a finger's bones (5, 3, 3) bend, positive towards the palm."""
    # For right and left hands alike, as a right hand's axes (back, thumb, fingers) are a mirror image of the left one's.
    axes = np.tile([0.0, 1.0, 0.0], (5, 1))
    axes[0] = _THUMB_HINGE
    first = bones[:, 0] / np.sqrt((bones[:, 0] ** 2).sum(-1, keepdims=True))
    axes = axes - (axes * first).sum(-1, keepdims=True) * first
    return axes / np.maximum(np.sqrt((axes**2).sum(-1, keepdims=True)), 1e-9)


def _bends(bones: np.ndarray) -> np.ndarray:
    hinges = _hinges(bones)
    found = np.empty((5, 3))
    found[:, 0] = np.arctan2(-bones[:, 0, 0], bones[:, 0, 2])
    found[0, 0] = np.arctan2(-bones[0, 0, 0], np.hypot(bones[0, 0, 1], bones[0, 0, 2]))
    for joint in (1, 2):  # bending turns z to -x, which is about -y
        cross = np.cross(bones[:, joint], bones[:, joint - 1])
        sine = (cross * hinges).sum(-1)
        found[:, joint] = np.arctan2(sine, (bones[:, joint] * bones[:, joint - 1]).sum(-1))
    return found


def bent(fingers: HumanFingers, wanted: np.ndarray) -> np.ndarray:
    """points (5, 4, 3) of the same hand with other bends (5, 3); what is sideways stays as it was."""
    bones = np.diff(fingers.points, axis=1)
    hinges = _hinges(bones)
    change = -np.cumsum(wanted - _bends(bones), axis=1)  # a bone turns with all joints before it
    cosine, sine = np.cos(change)[..., None], np.sin(change)[..., None]
    axis = np.broadcast_to(hinges[:, None], bones.shape)
    along = (bones * axis).sum(-1, keepdims=True) * axis
    turned = along + cosine * (bones - along) + sine * np.cross(axis, bones)
    return fingers.points[:, :1] + np.concatenate([np.zeros((5, 1, 3)), np.cumsum(turned, axis=1)], axis=1)
