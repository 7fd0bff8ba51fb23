"""Rotations between the forms this package meets: axis-angle, matrix, quaternion (x, y, z, w) and 6-D.

Numpy functions are vectorised over all leading axes and keep float32 or float64. `matrix_from_6d`, `matrix_to_6d`
and `matrix_from_axis_angle` also take torch tensors (and return them, with gradients).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A numpy array or a torch tensor: what is returned is of the same kind. torch is not needed to say so."""

_MIRRORED = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]], np.int8)
"""Factors on the entries of a rotation matrix mirrored in x."""

CROSS = np.array([[0.0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]])
"""`(v @ CROSS).reshape(3, 3)` is the matrix of the cross product with v."""


def _outer() -> np.ndarray:
    """(9, 16): `R.ravel() @ _outer() + I.ravel()` is 4 q q^T, (4, 4), of a rotation R's quaternion q in order x, y, z, w."""
    factors = np.zeros((3, 3, 4, 4))
    for i in range(3):
        factors[i, i] = -np.eye(4)
        factors[i, i, i, i] = factors[i, i, 3, 3] = 1.0
        j, k = (i + 1) % 3, (i + 2) % 3
        factors[i, j, [i, j], [j, i]] = factors[j, i, [i, j], [j, i]] = 1.0
        factors[k, j, [i, 3], [3, i]], factors[j, k, [i, 3], [3, i]] = 1.0, -1.0
    return factors.reshape(9, 16)


_OUTER = _outer()
_TINY = 1e-30
"""Added where a length that may be zero divides: in float32 too it is not zero, and nothing to any other length."""


def _is_torch(value: Any) -> bool:
    return not isinstance(value, (np.ndarray, float)) and type(value).__module__.split(".")[0] == "torch"


def matrices(entries: Sequence[np.ndarray]) -> np.ndarray:
    """Matrices (..., 3, 3) of their nine entries, arrays (...), row by row: a third of numpy.stack's time."""
    flat = np.empty(entries[0].shape + (9,), entries[0].dtype)
    for k, entry in enumerate(entries):
        flat[..., k] = entry
    return flat.reshape(flat.shape[:-1] + (3, 3))


def _floating(value: Any) -> np.ndarray:
    value = np.asarray(value)
    return value if value.dtype in (np.float32, np.float64) else value.astype(np.float64)


def matrix_from_axis_angle(axis_angle: Array) -> Array:
    """Axis-angle (..., 3), radians, to rotation matrices (..., 3, 3), numpy or torch (Rodrigues, exact at zero)."""
    if _is_torch(axis_angle):
        import torch

        xp: Any = torch
        value: Array = axis_angle
        crossing: Array
        identity: Array
        crossing, identity = (torch.as_tensor(constant).to(value) for constant in (CROSS, np.eye(3)))
    else:
        xp, value = np, _floating(axis_angle)
        crossing, identity = CROSS.astype(value.dtype, copy=False), np.eye(3, dtype=value.dtype)
    angle = xp.sqrt((value * value).sum(-1) + _TINY)[..., None, None]
    half = xp.sin(0.5 * angle) / angle
    cross = (value @ crossing).reshape(value.shape[:-1] + (3, 3))
    return identity + xp.sin(angle) / angle * cross + 2.0 * half * half * (cross @ cross)


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to unit quaternions (..., 4) in order x, y, z, w, with w >= 0."""
    quaternion = _multiple_of_quaternion(matrix)
    quaternion = quaternion / np.sqrt((quaternion * quaternion).sum(-1, keepdims=True))
    return np.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def _multiple_of_quaternion(matrix: np.ndarray) -> np.ndarray:
    """The same of any length and sign."""
    m = _floating(matrix)
    # 4 times the outer product of the quaternion with itself: its row with the largest diagonal is well conditioned.
    outer = m.reshape(-1, 9) @ _OUTER.astype(m.dtype, copy=False) + np.eye(4, dtype=m.dtype).ravel()
    best = outer[:, ::5].argmax(-1)
    return outer.reshape(-1, 4, 4)[np.arange(len(outer)), best].reshape(m.shape[:-2] + (4,))


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4), order x, y, z, w, of any nonzero length, to rotation matrices (..., 3, 3)."""
    q = _floating(quaternion)
    q = q / np.sqrt((q * q).sum(-1, keepdims=True))
    cross = (q[..., :3] @ CROSS.astype(q.dtype, copy=False)).reshape(q.shape[:-1] + (3, 3))
    return np.eye(3, dtype=q.dtype) + 2.0 * (q[..., 3:, None] * cross + cross @ cross)


def axis_angle_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4), order x, y, z, w, of any nonzero length, to axis-angle (..., 3) of angle at most pi, radians."""
    q = _floating(quaternion)
    vector, w = q[..., :3], q[..., 3:]
    sine = np.sqrt((vector * vector).sum(-1, keepdims=True))
    return vector * (np.copysign(2.0, w) * np.arctan2(sine, np.abs(w)) / (sine + _TINY))


def quaternion_from_axis_angle(axis_angle: np.ndarray) -> np.ndarray:
    """(..., 3) radians to unit quaternions (..., 4) in order x, y, z, w."""
    half = 0.5 * np.sqrt((axis_angle * axis_angle).sum(-1, keepdims=True))
    return np.concatenate([0.5 * np.sinc(half / np.pi) * axis_angle, np.cos(half)], axis=-1)


def axis_angle_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to axis-angle (..., 3) of angle at most pi, radians."""
    return axis_angle_from_quaternion(_multiple_of_quaternion(matrix))


def matrix_from_6d(six: Array) -> Array:
    """6-D (..., 6) to rotation matrices (..., 3, 3), numpy or torch, by Gram-Schmidt (Zhou et al., CVPR 2019).

    The six numbers are the matrix's first column a1, then its second a2; they need not be orthonormal.
    """
    if _is_torch(six):
        import torch

        a1, a2 = six[..., :3], six[..., 3:]
        b1 = torch.nn.functional.normalize(a1, dim=-1)
        b2 = torch.nn.functional.normalize(a2 - (b1 * a2).sum(-1, keepdim=True) * b1, dim=-1)
        return torch.stack([b1, b2, torch.linalg.cross(b1, b2)], dim=-1)
    six = _floating(six)
    a1, a2 = six[..., :3], six[..., 3:]
    matrix = np.empty(six.shape[:-1] + (3, 3), six.dtype)
    b1 = a1 / np.maximum(np.sqrt((a1 * a1).sum(-1, keepdims=True)), 1e-12)
    b2 = a2 - (b1 * a2).sum(-1, keepdims=True) * b1
    b2 = b2 / np.maximum(np.sqrt((b2 * b2).sum(-1, keepdims=True)), 1e-12)
    matrix[..., 0] = b1
    matrix[..., 1] = b2
    matrix[..., 0, 2] = b1[..., 1] * b2[..., 2] - b1[..., 2] * b2[..., 1]
    matrix[..., 1, 2] = b1[..., 2] * b2[..., 0] - b1[..., 0] * b2[..., 2]
    matrix[..., 2, 2] = b1[..., 0] * b2[..., 1] - b1[..., 1] * b2[..., 0]
    return matrix


def matrix_to_6d(matrix: Array) -> Array:
    """Rotation matrices (..., 3, 3) to 6-D (..., 6): first column, then second; numpy or torch."""
    if _is_torch(matrix):
        import torch

        return torch.cat([matrix[..., :, 0], matrix[..., :, 1]], dim=-1)
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def mirror_axis_angle(axis_angle: Array) -> Array:
    """Axis-angle (..., 3) mirrored in x: (x, -y, -z); numpy or torch.

    A right hand's pose so mirrored is the same pose of the left hand (a right hand mirrored in x).
    """
    mirrored = axis_angle.clone() if _is_torch(axis_angle) else np.array(axis_angle)
    mirrored[..., 1:] = -mirrored[..., 1:]
    return mirrored


def mirror_matrix(matrix: Array) -> Array:
    """Rotation matrices (..., 3, 3) mirrored in x: M R M with M = diag(-1, 1, 1); numpy or torch."""
    if not _is_torch(matrix):
        return matrix * _MIRRORED
    mirrored = matrix.clone()
    mirrored[..., 0, 1:] = -mirrored[..., 0, 1:]
    mirrored[..., 1:, 0] = -mirrored[..., 1:, 0]
    return mirrored


def turn_to_axis(rays: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) that turn the rays (..., 2), x/z and y/z, onto the z axis by the shortest way.

    They turn a camera's axes to those of a virtual camera that looks along the ray.
    """
    unit = np.concatenate([rays, np.ones_like(rays[..., :1])], -1)
    x, y, z = np.moveaxis(unit / np.linalg.norm(unit, axis=-1, keepdims=True), -1, 0)
    share = 1.0 / (1.0 + z)
    return np.stack([1.0 - x * x * share, -x * y * share, -x, -x * y * share, 1.0 - y * y * share, -y, x, y, z], -1).reshape(
        x.shape + (3, 3)
    )
