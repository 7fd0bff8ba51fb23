"""From a hand's pose and shape to the mesh that is shown of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..geometry.rigid import Rigid
from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, quaternion_from_matrix
from ..hand_model.arrays import HandArrays
from ..hand_model.assets import SHIPPED_HANDS, HandAsset, open_hand, pair_of
from ..pipeline.types import HandEstimate, HandPairEstimate


class HandPoser:
    """One side's hand. asset: of that side. faces: (1538, 3) of its mesh."""

    def __init__(self, asset: HandAsset) -> None:
        self._arrays = HandArrays([asset])
        self.faces = asset.faces

    def vertices(self, hand: HandEstimate) -> np.ndarray | None:
        """The mesh (778, 3) float32, metres, in the axes of the camera's optical frame about the wrist; None where pose, shape
        or orientation are not known."""
        rotation = wrist_rotation(hand)
        if hand.hand_pose is None or hand.betas is None or rotation is None:
            return None
        pose = matrix_from_axis_angle(np.asarray(hand.hand_pose, np.float64).reshape(15, 3))
        betas = np.asarray(hand.betas, np.float64)
        return self._arrays.vertices(rotation[None], pose[None], betas[None])[0]


def hands_of_model(model: str, given: tuple[HandAsset, HandAsset]) -> tuple[tuple[HandAsset, HandAsset], str]:
    """What poses of a model are drawn with: the shipped one that is named, else the `given` (left, right). And what is to be
    said where that is another model than theirs; empty otherwise."""
    drawn = given[1].name
    if model in (drawn, ""):
        return given, ""
    if model in SHIPPED_HANDS:
        return pair_of(open_hand(model)), ""
    return given, f"poses are of the hand model {model}, meshes of {drawn}: give --hand-model"


def wrist_rotation(hand: HandEstimate) -> np.ndarray | None:
    """The wrist's orientation (3, 3) in the camera's optical frame; None where it is not known."""
    if hand.wrist_rotation is not None:
        return np.asarray(hand.wrist_rotation, np.float64)
    if hand.global_orient is not None:
        return matrix_from_axis_angle(np.asarray(hand.global_orient, np.float64))
    return None


def wxyz(rotations: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to quaternions (..., 4), the real part first."""
    return np.roll(quaternion_from_matrix(rotations), 1, axis=-1)


def moved(pair: HandPairEstimate, pose: Rigid) -> HandPairEstimate:
    """The hands in another frame, in which theirs stands at a pose."""

    def one(hand: HandEstimate) -> HandEstimate:
        turn = wrist_rotation(hand)
        if hand.joints is None or turn is None:
            return hand
        joints, rotation = pose.apply(hand.joints), pose.rotation @ turn
        return replace(
            hand, joints=joints, joints_raw=joints, wrist_rotation=rotation, global_orient=axis_angle_from_matrix(rotation)
        )

    return replace(pair, left=one(pair.left), right=one(pair.right))
