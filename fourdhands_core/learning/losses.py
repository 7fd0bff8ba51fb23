"""The losses of the paper's section 3.4, Eq. 5-10. Batches (..., N, 3), metres; sums over points as the paper writes them.

Every function returns one value per leading element, so that samples without a truth can be left out by a mask.
"""

from __future__ import annotations

import torch


def max_mse(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Eq. 5 over points (..., N, D): sum of fourth powers of the distances over the sum of their squares -> (...)."""
    squared = (predicted - true).square().sum(-1)
    return squared.square().sum(-1) / squared.sum(-1).clamp(min=1e-12)


def mano_loss(rotations, true_rotations, betas, true_betas, pose_weight=1.0, betas_weight=1.0) -> torch.Tensor:
    """Eq. 6: weighted squared errors of pose and shape. rotations (..., 16, 3, 3), betas (..., 10) -> (...).

    The pose is compared as rotation matrices rather than as the paper's axis-angle, whose numbers jump at a half turn.
    """
    pose = (rotations - true_rotations).square().sum((-1, -2, -3)) / 2.0
    return pose_weight * pose + betas_weight * (betas - true_betas).square().sum(-1)


def joint_loss(joints, true_joints, vertices=None, true_vertices=None) -> torch.Tensor:
    """Eq. 7 on root-relative joints (..., 21, 3) and, where given, vertices (..., V, 3) -> (...)."""
    loss = max_mse(joints, true_joints)
    return loss if vertices is None else loss + max_mse(vertices, true_vertices)


def projection_loss(projected, true_points) -> torch.Tensor:
    """Eq. 8 on projected joints (..., 21, 2) -> (...)."""
    return max_mse(projected, true_points)


def _pairwise_squared(errors_right, errors_left):
    """(..., Nr, Nl): the squared norms of phi~ - phi, which is the left point's error minus the right point's."""
    return ((errors_right.square().sum(-1)[..., :, None] + errors_left.square().sum(-1)[..., None, :])
            - 2.0 * errors_right @ errors_left.transpose(-1, -2)).clamp(min=0.0)


def joint_relation_loss(right, left, true_right, true_left) -> torch.Tensor:
    """Eq. 9: every right joint to every left joint, (..., 21, 3) each, one common origin (the right root) -> (...)."""
    return _pairwise_squared(right - true_right, left - true_left).sum((-1, -2))


def close_vertices_loss(right, left, true_right, true_left, alpha: float = 0.005) -> torch.Tensor:
    """Eq. 10: vertex pairs (..., V, 3) whose true squared distance is at most `alpha` (paper: 0.005) -> (...)."""
    near = torch.cdist(true_right, true_left).square() <= alpha
    return (_pairwise_squared(right - true_right, left - true_left) * near).sum((-1, -2))
