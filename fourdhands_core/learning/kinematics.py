"""Forward kinematics of the 21 joints in torch, batched and differentiable: what training needs of the hand model."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ..hand_model.assets import HandAsset
from ..hand_model.skeleton import FINGERTIP_VERTICES

_MANO_FINGERS = ("index", "middle", "little", "ring", "thumb")
_TO_21 = [4, 0, 1, 3, 2]  # thumb, index, middle, ring, little


class Kinematics(nn.Module):
    """The 21 joints of a posed hand, wrist at the origin; the fingertips move rigidly with their last joint.

    Leaves out the pose-dependent shift of the fingertip vertices (MANO's pose blend shapes), about a millimetre.
    """

    offsets: torch.Tensor
    shape_offsets: torch.Tensor

    def __init__(self, asset: HandAsset):
        super().__init__()
        tips = [FINGERTIP_VERTICES[finger] for finger in _MANO_FINGERS]

        def chains(mano_joints, tip_points):
            """(5 fingers, wrist + 3 joints + tip, ...) and the offsets from each to the next."""
            fingers = mano_joints[1:].reshape(5, 3, *mano_joints.shape[1:])
            wrist = np.broadcast_to(mano_joints[:1, None], (5, 1, *mano_joints.shape[1:]))
            return np.diff(np.concatenate([wrist, fingers, tip_points[:, None]], axis=1), axis=1)

        joints = asset.J_regressor @ asset.v_template
        joint_shapes = np.einsum("jv,vck->jck", asset.J_regressor, asset.shapedirs)
        self.register_buffer("offsets", torch.tensor(chains(joints, asset.v_template[tips]), dtype=torch.float32))
        self.register_buffer("shape_offsets", torch.tensor(chains(joint_shapes, asset.shapedirs[tips]), dtype=torch.float32))

    def forward(self, rotations: torch.Tensor, betas: torch.Tensor) -> torch.Tensor:
        """rotations (..., 16, 3, 3), betas (..., 10) -> joints (..., 21, 3), metres, relative to the wrist."""
        offsets = self.offsets + torch.einsum("fjck,...k->...fjc", self.shape_offsets, betas)
        fingers = rotations[..., 1:, :, :].unflatten(-3, (5, 3))
        turn = rotations[..., :1, :, :]
        point = torch.zeros_like(offsets[..., 0, :])
        points = []
        for joint in range(4):
            point = point + (turn @ offsets[..., joint, :, None])[..., 0]
            points.append(point)
            if joint < 3:
                turn = turn @ fingers[..., joint, :, :]
        fingers = torch.stack(points, dim=-2)[..., _TO_21, :, :].flatten(-3, -2)
        return torch.cat([torch.zeros_like(fingers[..., :1, :]), fingers], dim=-2)
