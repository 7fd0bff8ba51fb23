"""Pose and shape to joints and vertices: a torch layer through smplx, and the same in numpy for a frame's two hands.

Both put the wrist (MANO's joint 0) at the origin and take rotations relative to the flat hand (flat_hand_mean=True).
A left hand is a right hand mirrored in x: feed a left asset the left hand's own rotations, or use the helpers here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from smplx import MANOLayer
from smplx.utils import Struct

from ..geometry.rotations import mirror_axis_angle, mirror_matrix
from .assets import HandAsset
from .skeleton import FINGERS, FINGERTIP_VERTICES, TO_21

_TIPS = np.array([FINGERTIP_VERTICES[finger] for finger in FINGERS])


class _Mano(MANOLayer):
    SHAPE_SPACE_DIM = 10
    """MANO's number; smplx inherits SMPL's 300 and warns at every use."""


class HandLayer(torch.nn.Module):
    """MANO's forward function (smplx) on any hand asset.

    asset: a hand model. dtype: of its constants. Differentiable in all three inputs; `faces` is (1538, 3) int64.
    """

    def __init__(self, asset: HandAsset, dtype: torch.dtype = torch.float32):
        super().__init__()
        data = Struct(
            v_template=asset.v_template, shapedirs=asset.shapedirs, posedirs=asset.posedirs,
            J_regressor=asset.J_regressor, weights=asset.weights, f=asset.faces,
            kintree_table=np.stack([asset.parents, np.arange(16)]),
            hands_components=np.eye(45), hands_mean=asset.hands_mean)
        self.mano = _Mano(model_path="", data_struct=data, is_rhand=asset.is_right, use_pca=False,
                          flat_hand_mean=True, num_betas=10, dtype=dtype)
        self.faces = asset.faces
        self.register_buffer("tips", torch.from_numpy(_TIPS), persistent=False)
        self.register_buffer("to_21", torch.from_numpy(TO_21), persistent=False)

    def forward(self, global_orient: torch.Tensor, hand_pose: torch.Tensor,
                betas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """global_orient (B, 3, 3), hand_pose (B, 15, 3, 3) in MANO's order, betas (B, 10).

        Returns vertices (B, 778, 3) and the 21 joints (B, 21, 3), metres, wrist at the origin.
        """
        output = self.mano(global_orient=global_orient[:, None], hand_pose=hand_pose, betas=betas)
        root = output.joints[:, :1]
        joints = torch.cat([output.joints, output.vertices[:, self.tips]], dim=1)[:, self.to_21]
        return output.vertices - root, joints - root


class HandArrays:
    """Numpy forward kinematics and skinning of several hands at once, for one frame in well under a millisecond.

    assets: the hands, for instance (left, right), each in its own side's convention. In all methods H is their number,
    rotations are matrices, and further leading axes are allowed before H. Agrees with HandLayer within 1e-5 m.
    """

    def __init__(self, assets: Sequence[HandAsset]):
        def stack(function):
            return np.ascontiguousarray(np.stack([function(asset) for asset in assets]))

        self.faces = [asset.faces for asset in assets]
        self._joints = stack(lambda a: a.J_regressor @ a.v_template)
        self._joint_shape = stack(lambda a: np.einsum("jv,vcs->jcs", a.J_regressor, a.shapedirs).reshape(48, 10))
        # the mesh in float32: it is large enough for memory to be what takes the time
        self._template = stack(lambda a: a.v_template).astype(np.float32)
        self._shape = stack(lambda a: a.shapedirs.reshape(-1, 10)).astype(np.float32)
        self._pose = stack(lambda a: a.posedirs.reshape(-1, 135)).astype(np.float32)
        self._weights = stack(lambda a: a.weights).astype(np.float32)
        self._tip_template = stack(lambda a: a.v_template[_TIPS])
        self._tip_shape = stack(lambda a: a.shapedirs[_TIPS].reshape(15, 10))
        self._tip_pose = stack(lambda a: a.posedirs[_TIPS].reshape(15, 135))
        self._tip_weights = stack(lambda a: a.weights[_TIPS])

    def _bones(self, global_orient, hand_pose, betas):
        """Rest joints (..., H, 16, 3), rotations (..., H, 16, 3, 3) and positions (..., H, 16, 3) of all bones."""
        rest = self._joints + (self._joint_shape @ betas[..., None]).reshape(betas.shape[:-1] + (16, 3))
        batch = rest.shape[:-2]
        # Every finger is a chain of three joints hanging on the wrist: (..., H, finger, joint along the finger).
        local = hand_pose.reshape(batch + (5, 3, 3, 3))
        chain = rest[..., 1:, :].reshape(batch + (5, 3, 3))
        rotations = np.empty(batch + (16, 3, 3))
        positions = np.zeros(batch + (16, 3))
        rotations[..., 0, :, :] = global_orient
        finger_rotations = rotations[..., 1:, :, :].reshape(batch + (5, 3, 3, 3))
        finger_positions = positions[..., 1:, :].reshape(batch + (5, 3, 3))
        rotation = np.broadcast_to(global_orient[..., None, :, :], batch + (5, 3, 3))
        position, previous = 0.0, rest[..., :1, :]
        for level in range(3):
            offset = chain[..., level, :] - previous
            previous = chain[..., level, :]
            position = position + (rotation @ offset[..., None])[..., 0]
            rotation = rotation @ local[..., level, :, :]
            finger_positions[..., level, :] = position
            finger_rotations[..., level, :, :] = rotation
        rotations[..., 1:, :, :] = finger_rotations.reshape(batch + (15, 3, 3))
        positions[..., 1:, :] = finger_positions.reshape(batch + (15, 3))
        return rest, rotations, positions

    @staticmethod
    def _skin(points, weights, rest, rotations, positions):
        """Linear blend skinning of points (..., H, N, 3) with weights (H, N, 16)."""
        shift = positions - (rotations @ rest[..., None])[..., 0]
        transforms = np.concatenate([rotations, shift[..., None]], axis=-1).reshape(rest.shape[:-1] + (12,))
        blended = (weights @ transforms).reshape(points.shape[:-1] + (3, 4))
        x, y, z = points[..., 0, None], points[..., 1, None], points[..., 2, None]
        return blended[..., 0] * x + blended[..., 1] * y + blended[..., 2] * z + blended[..., 3]

    @staticmethod
    def _pose_feature(hand_pose):
        return (hand_pose - np.eye(3, dtype=hand_pose.dtype)).reshape(hand_pose.shape[:-3] + (135, 1))

    def joints(self, global_orient: np.ndarray, hand_pose: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """The 21 joints (..., H, 21, 3), metres, wrist at the origin.

        global_orient: (..., H, 3, 3). hand_pose: (..., H, 15, 3, 3) in MANO's order. betas: (..., H, 10).
        """
        rest, rotations, positions = self._bones(global_orient, hand_pose, betas)
        moved = self._tip_shape @ betas[..., None] + self._tip_pose @ self._pose_feature(hand_pose)
        tips = self._tip_template + moved.reshape(rest.shape[:-2] + (5, 3))
        tips = self._skin(tips, self._tip_weights, rest, rotations, positions)
        return np.concatenate([positions, tips], axis=-2)[..., TO_21, :]

    def vertices(self, global_orient: np.ndarray, hand_pose: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """The same inputs -> vertices (..., H, 778, 3) float32, metres, wrist at the origin."""
        global_orient, hand_pose, betas = (x.astype(np.float32) for x in (global_orient, hand_pose, betas))
        rest, rotations, positions = (x.astype(np.float32) for x in self._bones(global_orient, hand_pose, betas))
        moved = self._shape @ betas[..., None] + self._pose @ self._pose_feature(hand_pose)
        points = self._template + moved.reshape(rest.shape[:-2] + (778, 3))
        return self._skin(points, self._weights, rest, rotations, positions)


def mirror_pose(global_orient, hand_pose):
    """A hand's rotation matrices (..., 3, 3) and (..., 15, 3, 3) as the other side's; numpy or torch."""
    return mirror_matrix(global_orient), mirror_matrix(hand_pose)


def mirror_pose_axis_angle(axis_angle):
    """Axis-angle numbers of a hand (..., 3 n), n joints, as the other side's: (x, -y, -z) each; numpy or torch."""
    return mirror_axis_angle(axis_angle.reshape(axis_angle.shape[:-1] + (-1, 3))).reshape(axis_angle.shape)


def mirror_points(points):
    """Points (..., 3) mirrored in x; numpy or torch."""
    mirrored = points.clone() if isinstance(points, torch.Tensor) else np.array(points)
    mirrored[..., 0] = -mirrored[..., 0]
    return mirrored
