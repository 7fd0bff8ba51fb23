"""Pose and shape to joints and vertices in numpy, without torch: what a tracker runs every frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .assets import HandAsset
from .skeleton import TIP_VERTICES, TO_21

_IDENTITY = np.eye(3, dtype=np.int8)  # leaves float32 what it is


class HandArrays:
    """Forward kinematics and skinning of several hands at once, for one frame in well under a millisecond.

    assets: the hands, for instance (left, right), each in its own side's convention; wrists are at the origin. In all
    methods H is their number, rotations are matrices, and further leading axes are allowed before H. Agrees with
    layer.HandLayer within 1e-5 m.
    """

    def __init__(self, assets: Sequence[HandAsset]) -> None:
        def stack(function: Callable[[HandAsset], np.ndarray]) -> np.ndarray:
            return np.ascontiguousarray(np.stack([function(asset) for asset in assets]))

        self.faces = [asset.faces for asset in assets]
        self._joints = stack(lambda a: a.J_regressor @ a.v_template)
        self._joint_shape = stack(lambda a: np.einsum("jv,vcs->jcs", a.J_regressor, a.shapedirs).reshape(48, 10))
        # the mesh in float32: it is large enough for memory to be what takes the time
        self._template = stack(lambda a: a.v_template).astype(np.float32)
        self._shape = stack(lambda a: a.shapedirs.reshape(-1, 10)).astype(np.float32)
        self._pose = stack(lambda a: a.posedirs.reshape(-1, 135)).astype(np.float32)
        self._weights = stack(lambda a: a.weights).astype(np.float32)
        self._tip_template = stack(lambda a: a.v_template[TIP_VERTICES])
        self._tip_shape = stack(lambda a: a.shapedirs[TIP_VERTICES].reshape(15, 10))
        self._tip_pose = stack(lambda a: a.posedirs[TIP_VERTICES].reshape(15, 135))
        self._tip_weights = stack(lambda a: a.weights[TIP_VERTICES])

    def _bones(
        self, global_orient: np.ndarray, hand_pose: np.ndarray, betas: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    def _skin(
        points: np.ndarray, weights: np.ndarray, rest: np.ndarray, rotations: np.ndarray, positions: np.ndarray
    ) -> np.ndarray:
        """Linear blend skinning of points (..., H, N, 3) with weights (H, N, 16)."""
        shift = positions - (rotations @ rest[..., None])[..., 0]
        transforms = np.concatenate([rotations, shift[..., None]], axis=-1).reshape(rest.shape[:-1] + (12,))
        blended = (weights @ transforms).reshape(points.shape[:-1] + (3, 4))
        x, y, z = points[..., 0, None], points[..., 1, None], points[..., 2, None]
        return blended[..., 0] * x + blended[..., 1] * y + blended[..., 2] * z + blended[..., 3]

    @staticmethod
    def _pose_feature(hand_pose: np.ndarray) -> np.ndarray:
        return (hand_pose - _IDENTITY).reshape(hand_pose.shape[:-3] + (135, 1))

    def joints(self, global_orient: np.ndarray, hand_pose: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """The 21 joints (..., H, 21, 3), metres, wrist at the origin.

        global_orient: (..., H, 3, 3). hand_pose: (..., H, 15, 3, 3) in MANO's order. betas: (..., H, 10).
        """
        return self.joints_and_bones(global_orient, hand_pose, betas)[0]

    def joints_and_bones(
        self, global_orient: np.ndarray, hand_pose: np.ndarray, betas: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`joints`, and the rotations (..., H, 16, 3, 3) of MANO's joints to the axes of global_orient's frame."""
        rest, rotations, positions = self._bones(global_orient, hand_pose, betas)
        moved = self._tip_shape @ betas[..., None] + self._tip_pose @ self._pose_feature(hand_pose)
        tips = self._tip_template + moved.reshape(rest.shape[:-2] + (5, 3))
        tips = self._skin(tips, self._tip_weights, rest, rotations, positions)
        return np.concatenate([positions, tips], axis=-2)[..., TO_21, :], rotations

    def vertices(self, global_orient: np.ndarray, hand_pose: np.ndarray, betas: np.ndarray) -> np.ndarray:
        """The same inputs -> vertices (..., H, 778, 3) float32, metres, wrist at the origin."""
        global_orient, hand_pose, betas = (x.astype(np.float32) for x in (global_orient, hand_pose, betas))
        rest, rotations, positions = (x.astype(np.float32) for x in self._bones(global_orient, hand_pose, betas))
        moved = self._shape @ betas[..., None] + self._pose @ self._pose_feature(hand_pose)
        points = self._template + moved.reshape(rest.shape[:-2] + (778, 3))
        return self._skin(points, self._weights, rest, rotations, positions)
