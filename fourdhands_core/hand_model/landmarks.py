"""Where the detector sees a hand's joints beside where the hand model has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .assets import HandAsset
from .landmark_bias import LandmarkBias, landmark_bias, shipped_arrays
from .skeleton import JOINT_PARENTS, MANO_IN_21

MEASURED = Path(__file__).parent / "assets" / "landmarks.npz"
"""By hand model `NAME_before` and `NAME_after`, see Landmarks; written by tools/landmark_places.py."""
SEEN_SIZE = 0.965
"""How large a hand is seen by one camera beside what it is: the detector's landmarks lie closer together than their places are
(median -1.4, mean -2.7 %), and the poses that one camera tells are flatter across the view than hands are (-1.3, -1.7 %)."""
_OTHERS = "human"
"""The hand model whose landmarks those of a file (MANO) are taken for: its joints are a person's too."""
_MIRROR = np.array([-1.0, 1.0, 1.0])
_MANO = np.argsort(MANO_IN_21)[np.searchsorted(np.sort(MANO_IN_21), np.maximum(JOINT_PARENTS, 0))]
"""(21,) of each joint the MANO joint whose bone leads to it; of the wrist the wrist's own."""


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The place of each of the 21 landmarks beside its joint, metres.

    before: (21, 3) in the axes of the bone that leads to the joint. after: (21, 3) in those of the bone that the joint turns; 0
    of the wrist and the tips, which turn none. A knuckle's landmark moves with the skin of the finger that bends. bias: what
    is known of the detector's errors beside that, which several cameras take back. size: how large hands are seen beside what
    they are, by which one camera would put them too far away.
    """

    before: np.ndarray
    after: np.ndarray
    bias: LandmarkBias | None = None
    size: float = 1.0

    def beside(self, bones: np.ndarray) -> np.ndarray:
        """(..., 21, 3) the landmarks beside their joints; bones (..., 16, 3, 3) turn MANO's joints' axes to the result's."""
        result = (bones_before(bones) @ self.before[..., None])[..., 0]
        result[..., MANO_IN_21, :] += (bones @ self.after[..., MANO_IN_21, :, None])[..., 0]
        return result

    def of_side(self, side: int) -> Landmarks:
        """Those of one of the (left, right) hands."""
        return Landmarks(self.before[side], self.after[side])


def bones_before(bones: np.ndarray) -> np.ndarray:
    """(..., 21, 3, 3) the axes of the bone that leads to each of the 21 joints, of the wrist its own; bones (..., 16, 3, 3)."""
    return bones[..., _MANO, :, :]


def landmarks_of_both(hands: Sequence[HandAsset]) -> Landmarks:
    """Those of (left, right) hand models, (2, 21, 3), each in its side's axes."""
    left, right = (landmarks_of(hand) for hand in hands)
    bias = landmark_bias(_name(hands[0]))
    return Landmarks(np.stack([left.before, right.before]), np.stack([left.after, right.after]), bias, SEEN_SIZE)


def landmarks_at_joints() -> Landmarks:
    """Those of two hands whose landmarks are the joints, (2, 21, 3): of a network that was trained to see joints."""
    return Landmarks(np.zeros((2, 21, 3)), np.zeros((2, 21, 3)))


def landmarks_of(asset: HandAsset) -> Landmarks:
    """Those of a hand model, in its side's axes."""
    arrays, name = shipped_arrays(MEASURED), _name(asset)
    mirror = 1.0 if asset.is_right else _MIRROR
    return Landmarks(arrays[f"{name}_before"] * mirror, arrays[f"{name}_after"] * mirror)


def _name(asset: HandAsset) -> str:
    return asset.name if f"{asset.name}_before" in shipped_arrays(MEASURED) else _OTHERS
