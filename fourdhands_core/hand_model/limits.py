"""Anatomical angles of the 15 finger joints, and their limits.

Each joint has a frame fixed to the rest pose: x toward the thumb's side of the finger, y toward its back (nail) side,
z along the bone that the joint moves. A joint's rotation R (in the hand's axes, as in MANO's pose) is, in that frame,
Rx(flexion) Ry(abduction) Rz(twist), as anatomists give it (Grood & Suntay, J. Biomech. Eng. 105, 1983): flexion curls
toward the palm, abduction moves toward the thumb's side, twist turns about the bone. All for right hands; mirror a left
one first (`geometry.rotations.mirror_matrix`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..geometry.rotations import Array, matrices
from .assets import HandAsset, load_generic_hand, mirror
from .skeleton import DORSAL, FINGERS, MANO_IN_21, MANO_JOINT_NAMES, TIP_VERTICES, TO_21

# joint: flexion from, to; abduction from, to; twist from, to; degrees from the rest pose. Fingers: active range of
# motion with some passive reach (American Academy of Orthopaedic Surgeons, Joint Motion, 1965; Hume et al., J. Hand
# Surg. 15A, 1990); the hinges keep a little play sideways. The thumb's zero is the model's spread thumb, near the end
# of its extension: its metacarpal reaches across the palm by flexion, abduction (toward the palm's side) and twist.
_FINGER = ((-30, 95, -25, 25, -8, 8), (-5, 110, -4, 4, -6, 6), (-10, 85, -4, 4, -5, 5))
_THUMB = ((-25, 55, -30, 40, -25, 30), (-15, 65, -12, 12, -10, 10), (-20, 85, -5, 5, -6, 6))

_DEGREES = np.array(
    [(_THUMB if name.startswith("thumb") else _FINGER)[int(name[-1]) - 1] for name in MANO_JOINT_NAMES[1:]], dtype=np.float64
).reshape(15, 3, 2)
LOWER, UPPER = np.radians(_DEGREES[..., 0]), np.radians(_DEGREES[..., 1])
"""(15, 3) each: least and greatest flexion, abduction, twist of MANO's 15 joints in MANO's order, radians."""


def frames_of(joints: np.ndarray) -> np.ndarray:
    """(15, 3, 3) of the rest joints (21, 3) of a right hand: for each finger joint the columns of `joint_frames`."""
    frames = np.empty((15, 3, 3))
    for i, name in enumerate(MANO_JOINT_NAMES[1:]):
        first = MANO_IN_21[i + 1]
        bone = joints[first + 1] - joints[first]
        bone /= np.linalg.norm(bone)
        back = DORSAL[name[:-2]] - (DORSAL[name[:-2]] @ bone) * bone
        back /= np.linalg.norm(back)
        frames[i] = np.stack([np.cross(back, bone), back, bone], axis=1)
    return frames


def joint_frames(asset: HandAsset) -> np.ndarray:
    """(15, 3, 3): for each finger joint the columns x (thumb's side), y (back), z (along the bone), right hand."""
    if not asset.is_right:
        asset = mirror(asset)
    return frames_of(np.concatenate([asset.J_regressor @ asset.v_template, asset.v_template[TIP_VERTICES]])[TO_21])


@lru_cache(maxsize=1)
def _generic_frames() -> np.ndarray:
    return joint_frames(load_generic_hand())


def _backend(value: Array, frames: Array | None) -> tuple[Any, Array]:
    """The array module of `value`, and the frames as its kind of array."""
    frames = _generic_frames() if frames is None else frames
    if not isinstance(value, np.ndarray) and type(value).__module__.split(".")[0] == "torch":
        import torch

        return torch, torch.as_tensor(frames, dtype=value.dtype, device=value.device)
    return np, frames


def to_angles(hand_pose: Array, frames: Array | None = None) -> Array:
    """Rotations (..., 15, 3, 3) of a right hand's joints to angles (..., 15, 3): flexion, abduction, twist, radians.

    Flexion and twist lie in (-pi, pi], abduction in [-pi/2, pi/2]. frames: `joint_frames` of the hand model, the
    generic hand's when left out. Numpy or torch.
    """
    xp, frames = _backend(hand_pose, frames)
    local = frames.swapaxes(-1, -2) @ hand_pose @ frames
    return xp.stack(
        [
            xp.arctan2(-local[..., 1, 2], local[..., 2, 2]),
            xp.arcsin(local[..., 0, 2].clip(-1.0, 1.0)),
            xp.arctan2(-local[..., 0, 1], local[..., 0, 0]),
        ],
        -1,
    )


def from_angles(angles: Array, frames: Array | None = None) -> Array:
    """Angles (..., 15, 3), radians, to rotations (..., 15, 3, 3): the inverse of `to_angles`. Numpy or torch."""
    xp, frames = _backend(angles, frames)
    cosine, sine = xp.cos(angles), xp.sin(angles)
    cf, ca, ct = cosine[..., 0], cosine[..., 1], cosine[..., 2]
    sf, sa, st = sine[..., 0], sine[..., 1], sine[..., 2]
    sfsa, cfsa = sf * sa, cf * sa
    entries = (
        ca * ct,
        -ca * st,
        sa,
        cf * st + sfsa * ct,
        cf * ct - sfsa * st,
        -sf * ca,
        sf * st - cfsa * ct,
        sf * ct + cfsa * st,
        cf * ca,
    )
    local = matrices(entries) if xp is np else xp.stack(entries, -1)
    return frames @ local.reshape(angles.shape[:-1] + (3, 3)) @ frames.swapaxes(-1, -2)


def _fold(angle: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Angles on the circle into [lower, upper], continuously: beyond an end, that end; opposite, from end to end."""
    middle, half = 0.5 * (lower + upper), 0.5 * (upper - lower)
    offset = angle - middle
    offset = offset - 2.0 * np.pi * np.round(offset / (2.0 * np.pi))
    # Within the last third before the opposite point the end is left again, so that both sides meet there.
    margin = (np.pi - half) / 3.0
    back = np.minimum((np.pi - np.abs(offset)) / margin, 1.0)
    return middle + np.clip(offset, -half, half) * back


def clamp(hand_pose: np.ndarray, frames: np.ndarray | None = None) -> np.ndarray:
    """The rotations (..., 15, 3, 3) of a right hand's joints brought inside the limits, each angle by itself.

    Rotations inside come back as they are; the result is inside, and changes continuously with any rotation given.
    """
    angles = to_angles(hand_pose, frames)
    # Near an abduction of 90 degrees flexion and twist are one motion and neither is known: both fade to zero there.
    known = np.minimum(np.cos(angles[..., 1]) * 3.0, 1.0)
    clamped = _fold(angles, LOWER, UPPER)
    clamped[..., 1] = np.clip(angles[..., 1], LOWER[:, 1], UPPER[:, 1])
    clamped[..., 0] *= known
    clamped[..., 2] *= known
    return from_angles(clamped, frames)


CURLS = {
    "open": (0.0, 0.0, 0.0, 0.0, 0.0, 0.6),
    "flat": (0.4, 0.03, 0.0, 0.03, 0.05, 0.0),
    "relaxed": (0.25, 0.15, 0.2, 0.25, 0.25, 0.2),
    "claw": (0.3, 0.5, 0.5, 0.5, 0.5, 0.5),
    "fist": (0.9, 0.95, 0.95, 0.95, 0.95, 0.0),
    "point": (0.8, 0.02, 0.9, 0.92, 0.92, 0.0),
    "victory": (0.85, 0.03, 0.03, 0.9, 0.92, 0.9),
    "three": (0.1, 0.03, 0.03, 0.85, 0.9, 0.7),
    "pinch": (0.55, 0.5, 0.15, 0.1, 0.1, 0.3),
    "thumb across": (0.9, 0.05, 0.05, 0.05, 0.05, 0.2),
}
"""Gestures, as `angles_of_curls` takes them."""
_SPREAD = {"index": 0.20, "middle": 0.04, "ring": -0.12, "little": -0.24}
_THUMB_CLOSED = np.radians([[35.0, 15.0, 15.0], [35.0, 0.0, 0.0], [50.0, 0.0, 0.0]])


def angles_of_curls(curls: np.ndarray | Sequence[float]) -> np.ndarray:
    """Angles (..., 15, 3), radians, of six numbers (..., 6), 0 to 1, which the spread may lead a little beyond the limits.

    curls: thumb, index, middle, ring, little finger (0 straight, 1 closed), then the fingers' spread.
    """
    curls = np.clip(np.asarray(curls, np.float64), 0.0, 1.0)
    angles = np.zeros(curls.shape[:-1] + (15, 3))
    for i, name in enumerate(MANO_JOINT_NAMES[1:]):
        finger, joint = name[:-2], int(name[-1])
        curl = curls[..., FINGERS.index(finger)]
        if finger == "thumb":
            angles[..., i, :] = curl[..., None] * _THUMB_CLOSED[joint - 1]
            continue
        # The knuckle of a slightly curled finger bends least and the middle joint most.
        angles[..., i, 0] = UPPER[i, 0] * (curl**1.4, curl, 0.8 * curl)[joint - 1] * 0.95
        if joint == 1:
            # Fingers cannot spread once they are curled.
            angles[..., i, 1] = _SPREAD[finger] * (curls[..., 5] - 0.3) * (1.0 - curl)
    return angles
