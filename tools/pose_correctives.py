"""Pose directions that let a linearly skinned hand bend as with dual quaternions, which do not pinch its joints."""

from __future__ import annotations

import numpy as np

from fourdhands_core.hand_model.limits import LOWER, UPPER, frames_of, from_angles
from fourdhands_core.hand_model.skeleton import MANO_IN_21, MANO_PARENTS

_STEPS = 9


def pose_directions(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(778, 3, 135) metres per unit of R - I of the 15 finger joints.

    For each joint by itself, over its range of flexion and of abduction: what skinning with dual quaternions (Kavan et
    al., "Skinning with Dual Quaternions", 2007) moves the skin further than linear skinning does, brought back to the
    rest pose, as a linear function of R - I by least squares.
    """
    frames = frames_of(joints)
    directions = np.zeros((len(vertices), 3, 135))
    for joint in range(15):
        angles = np.zeros((2 * _STEPS, 15, 3))
        angles[:_STEPS, joint, 0] = np.linspace(LOWER[joint, 0], UPPER[joint, 0], _STEPS)
        angles[_STEPS:, joint, 1] = np.linspace(LOWER[joint, 1], UPPER[joint, 1], _STEPS)
        rotations = from_angles(angles, frames)[:, joint]
        beyond = np.stack([_beyond_linear(vertices, weights, joints, joint + 1, rotation) for rotation in rotations])
        features = (rotations - np.eye(3)).reshape(-1, 9)
        # Damped: the features of one axis are nearly dependent, and large numbers of both signs would serve nobody.
        solution = np.linalg.solve(features.T @ features + 1e-3 * np.eye(9), features.T @ beyond.reshape(len(features), -1))
        directions[:, :, 9 * joint : 9 * joint + 9] = np.moveaxis(solution.reshape(9, -1, 3), 0, -1)
    return directions


def _beyond_linear(vertices, weights, joints, mano: int, rotation: np.ndarray) -> np.ndarray:
    """(V, 3) in the rest pose: by how much linear skinning falls short when joint `mano` alone turns by `rotation`."""
    centre = joints[MANO_IN_21[mano]]
    moved = np.zeros(16)
    for one in range(1, 16):
        moved[one] = one == mano or moved[MANO_PARENTS[one]]
    share = weights @ moved
    offset = vertices - centre
    linear = (1.0 - share)[:, None, None] * np.eye(3) + share[:, None, None] * rotation
    # With one rotation about one point, the blend of dual quaternions turns by the share of its unit quaternions.
    turned = _blend(share, rotation)
    wanted = np.einsum("vab,vb->va", turned, offset)
    return np.einsum("vab,vb->va", np.linalg.inv(linear), wanted) - offset


def _blend(share: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(V, 3, 3) rotations about the axis of `rotation` by the angle of the normalised sum of both unit quaternions."""
    angle = np.arccos(np.clip((np.trace(rotation) - 1.0) / 2.0, -1.0, 1.0))
    if angle < 1e-6:
        return np.tile(np.eye(3), (len(share), 1, 1))
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    part = 2.0 * np.arctan2(share * np.sin(angle / 2.0), 1.0 - share + share * np.cos(angle / 2.0))[:, None, None]
    return np.eye(3) + np.sin(part) * cross + (1.0 - np.cos(part)) * (cross @ cross)
