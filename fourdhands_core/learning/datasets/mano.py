"""MANO parameters as datasets state them, to rotations relative to the flat hand, joints and vertices in the camera frame.

Datasets differ in four things: the pose is axis-angle or coefficients of MANO's principal components; it counts from
the flat hand or from MANO's mean pose; its frame is the camera's or a world's; and the left hand was fitted with MANO's
left model as released, or with its shape directions put right (vchoutas/smplx issue 48).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import DatasetError
from ...geometry.rotations import matrix_from_axis_angle
from ...hand_model.arrays import HandArrays
from ...hand_model.assets import HandAsset
from ...hand_model.skeleton import LEFT, TIP_VERTICES, TO_21


def full_pose(pose: np.ndarray, hand: HandAsset | None, flat: bool, components: bool = False) -> np.ndarray | None:
    """Axis-angle (16, 3) relative to the flat hand of a MANO pose; None where that needs the hand model and none is given.

    pose: 3 numbers of the wrist's rotation and 45 of the fingers, in MANO's order, or with `components` any number of
    coefficients of MANO's principal components. flat: whether the fingers' numbers count from the flat hand
    (flat_hand_mean=True) or from MANO's mean pose. DatasetError where the hand model lacks the components.
    """
    pose = np.asarray(pose, np.float64).reshape(-1)
    fingers = pose[3:]
    if hand is None and (components or not flat):
        return None
    if components:
        if hand.hands_components is None:
            raise DatasetError(
                f"hand model {hand.name} has no hands_components, in which this dataset states its poses; "
                "make the npz anew with `fourdhands convert-mano`"
            )
        fingers = fingers @ hand.hands_components[: len(fingers)]
    if not flat:
        fingers = fingers + hand.hands_mean
    return np.concatenate([pose[:3], fingers]).reshape(16, 3)


class ManoTruth:
    """Makes the fields of HandTruth that MANO parameters give.

    hands: (left, right), as hand_model.assets.pair_of gives them, or None: then only what needs no model is made.
    flat, components: as in `full_pose`. left_as_released: the dataset's left hands were fitted with MANO's left model
    as released, its shape directions wrong in x. Their vertices and joints are then made with that model, and their
    betas, which mean another shape in this package's left hand, are left out.
    """

    def __init__(
        self, hands: tuple[HandAsset, HandAsset] | None, flat: bool, components: bool = False, left_as_released: bool = False
    ):
        self.hands, self.flat, self.components, self.left_as_released = hands, flat, components, left_as_released
        if hands is not None:
            left, right = hands
            if left_as_released:
                left = replace(left, shapedirs=left.shapedirs * np.array([-1.0, 1.0, 1.0])[:, None])
            self._arrays = tuple(HandArrays([hand]) for hand in (left, right))
            self._roots = tuple(
                (hand.J_regressor[0] @ hand.v_template, np.einsum("v,vcs->cs", hand.J_regressor[0], hand.shapedirs))
                for hand in (left, right)
            )

    def fields(
        self,
        side: int,
        pose: np.ndarray,
        betas: np.ndarray,
        translation: np.ndarray,
        world_to_camera: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """`rotations`, `betas`, `joints` and `vertices` of HandTruth, those that can be made, None for the others.

        translation: (3,) metres, MANO's: it is added after the rotation about MANO's root joint, which lies off the
        origin (smplx: transl). world_to_camera: (R (3, 3), t (3,) metres), x_camera = R x_world + t; None where the
        parameters are in the camera's optical frame already. The rotation about the root joint is why R cannot be
        applied to the wrist's rotation and the translation alone: the root joint moves too, and is moved here.
        """
        betas = np.asarray(betas, np.float64).reshape(-1)[:10]
        rotation, offset = (np.eye(3), np.zeros(3)) if world_to_camera is None else world_to_camera
        known_betas = None if side == LEFT and self.left_as_released else betas
        fields: dict[str, Any] = {"rotations": None, "betas": known_betas, "joints": None, "vertices": None}
        angles = full_pose(pose, self.hands and self.hands[side], self.flat, self.components)
        if angles is None:
            return fields
        matrices = matrix_from_axis_angle(angles)
        matrices[0] = rotation @ matrices[0]
        fields["rotations"] = matrices
        if self.hands is not None:
            root, root_shape = self._roots[side]
            wrist = rotation @ (root + root_shape @ betas + np.asarray(translation, np.float64).reshape(3)) + offset
            arrays, inputs = self._arrays[side], (matrices[None, 0], matrices[None, 1:], betas[None])
            fields["joints"] = arrays.joints(*inputs)[0] + wrist
            fields["vertices"] = arrays.vertices(*inputs)[0].astype(np.float64) + wrist
        return fields


def regress_joints(vertices: np.ndarray, hand: HandAsset) -> np.ndarray:
    """The 21 joints (..., 21, 3) of meshes (..., 778, 3) by MANO's regressor and tips, for meshes without MANO parameters."""
    return np.concatenate([hand.J_regressor @ vertices, vertices[..., TIP_VERTICES, :]], axis=-2)[..., TO_21, :]
