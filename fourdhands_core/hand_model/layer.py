"""Pose and shape to joints and vertices: a torch layer through smplx. `arrays` has the same in numpy for a frame's hands.

Both put the wrist (MANO's joint 0) at the origin and take rotations relative to the flat hand (flat_hand_mean=True).
A left hand is a right hand mirrored in x: feed a left asset the left hand's own rotations.
"""

from __future__ import annotations

import numpy as np
import torch
from smplx import MANOLayer
from smplx.utils import Struct

from .assets import HandAsset
from .skeleton import TIP_VERTICES, TO_21


class _Mano(MANOLayer):
    SHAPE_SPACE_DIM = 10
    """MANO's number; smplx inherits SMPL's 300 and warns at every use."""


class HandLayer(torch.nn.Module):
    """MANO's forward function (smplx) on any hand asset.

    asset: a hand model. dtype: of its constants. Differentiable in all three inputs; `faces` is (1538, 3) int64.
    """

    tips: torch.Tensor
    to_21: torch.Tensor

    def __init__(self, asset: HandAsset, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        others = {"f": asset.faces, "kintree_table": np.stack([asset.parents, np.arange(16)]), "hands_components": np.eye(45)}
        data = Struct(**{**vars(asset), **others})
        self.mano = _Mano(
            model_path="",
            data_struct=data,
            is_rhand=asset.is_right,
            use_pca=False,
            flat_hand_mean=True,
            num_betas=10,
            dtype=dtype,
        )
        self.faces = asset.faces
        self.register_buffer("tips", torch.from_numpy(TIP_VERTICES), persistent=False)
        self.register_buffer("to_21", torch.from_numpy(TO_21), persistent=False)

    def forward(
        self, global_orient: torch.Tensor, hand_pose: torch.Tensor, betas: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """global_orient (B, 3, 3), hand_pose (B, 15, 3, 3) in MANO's order, betas (B, 10).

        Returns vertices (B, 778, 3) and the 21 joints (B, 21, 3), metres, wrist at the origin.
        """
        output = self.mano(global_orient=global_orient[:, None], hand_pose=hand_pose, betas=betas)
        root = output.joints[:, :1]
        joints = torch.cat([output.joints, output.vertices[:, self.tips]], dim=1)[:, self.to_21]
        return output.vertices - root, joints - root
