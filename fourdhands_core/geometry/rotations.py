"""Rotations between the forms this package meets: axis-angle, matrix, quaternion (x, y, z, w) and 6-D.

Numpy functions are vectorised over all leading axes and keep float32 or float64. `matrix_from_6d`, `matrix_to_6d`
and `matrix_from_axis_angle` also take torch tensors (and return them, with gradients).
"""

from __future__ import annotations

import numpy as np


_MIRRORED = np.array([[1, -1, -1], [-1, 1, 1], [-1, 1, 1]], np.int8)
"""Factors on the entries of a rotation matrix mirrored in x."""


def _is_torch(value) -> bool:
    return not isinstance(value, (np.ndarray, float)) and type(value).__module__.split(".")[0] == "torch"


def matrices(entries) -> np.ndarray:
    """Matrices (..., 3, 3) of their nine entries, arrays (...), row by row: a third of numpy.stack's time."""
    flat = np.empty(entries[0].shape + (9,), entries[0].dtype)
    for k, entry in enumerate(entries):
        flat[..., k] = entry
    return flat.reshape(flat.shape[:-1] + (3, 3))


def _floating(value) -> np.ndarray:
    value = np.asarray(value)
    return value if value.dtype in (np.float32, np.float64) else value.astype(np.float64)


def matrix_from_axis_angle(axis_angle):
    """Axis-angle (..., 3), radians, to rotation matrices (..., 3, 3), numpy or torch (Rodrigues, exact at zero)."""
    if _is_torch(axis_angle):
        import torch
        xp, value = torch, axis_angle
    else:
        xp, value = np, _floating(axis_angle)
    x, y, z = value[..., 0], value[..., 1], value[..., 2]
    squared = x * x + y * y + z * z
    # sin(t)/t and (1-cos(t))/t^2 by their series near zero, where the quotients (and their gradients) are 0/0.
    small = squared < 1e-6
    angle = xp.sqrt(xp.where(small, xp.ones_like(squared), squared))
    a = xp.where(small, 1.0 - squared / 6.0, xp.sin(angle) / angle)
    half = xp.sin(0.5 * angle) / angle
    b = xp.where(small, 0.5 - squared / 24.0, 2.0 * half * half)
    ax, ay, az, bx, by = a * x, a * y, a * z, b * x, b * y
    xx, yy, zz, xy, xz, yz = bx * x, by * y, b * z * z, bx * y, bx * z, by * z
    entries = (1.0 - yy - zz, xy - az, xz + ay, xy + az, 1.0 - xx - zz, yz - ax, xz - ay, yz + ax, 1.0 - xx - yy)
    if xp is np:
        return matrices(entries)
    flat = xp.stack(entries, -1)
    return flat.reshape(flat.shape[:-1] + (3, 3))


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to unit quaternions (..., 4) in order x, y, z, w, with w >= 0."""
    m = _floating(matrix)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # 4 times the outer product of the quaternion with itself: its row with the largest diagonal is well conditioned.
    outer = np.empty(m.shape[:-2] + (4, 4), m.dtype)
    outer[..., 0, 0] = 1.0 + xx - yy - zz
    outer[..., 1, 1] = 1.0 - xx + yy - zz
    outer[..., 2, 2] = 1.0 - xx - yy + zz
    outer[..., 3, 3] = 1.0 + xx + yy + zz
    outer[..., 0, 1] = outer[..., 1, 0] = m[..., 0, 1] + m[..., 1, 0]
    outer[..., 0, 2] = outer[..., 2, 0] = m[..., 0, 2] + m[..., 2, 0]
    outer[..., 1, 2] = outer[..., 2, 1] = m[..., 1, 2] + m[..., 2, 1]
    outer[..., 0, 3] = outer[..., 3, 0] = m[..., 2, 1] - m[..., 1, 2]
    outer[..., 1, 3] = outer[..., 3, 1] = m[..., 0, 2] - m[..., 2, 0]
    outer[..., 2, 3] = outer[..., 3, 2] = m[..., 1, 0] - m[..., 0, 1]
    rows = outer.reshape(-1, 4, 4)
    best = rows.reshape(-1, 16)[:, ::5].argmax(-1)
    quaternion = rows[np.arange(len(rows)), best].reshape(outer.shape[:-1])
    quaternion = quaternion / np.sqrt((quaternion * quaternion).sum(-1, keepdims=True))
    return np.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4), order x, y, z, w, of any nonzero length, to rotation matrices (..., 3, 3)."""
    q = _floating(quaternion)
    q = q / np.sqrt((q * q).sum(-1, keepdims=True))
    x, y, z, w = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    flat = np.stack([
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], -1)
    return flat.reshape(q.shape[:-1] + (3, 3))


def axis_angle_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4), order x, y, z, w, to axis-angle (..., 3) of angle at most pi, radians."""
    q = _floating(quaternion)
    q = np.where(q[..., 3:] < 0, -q, q)
    vector = q[..., :3]
    sine = np.sqrt((vector * vector).sum(-1, keepdims=True))
    small = sine < 1e-6
    factor = np.where(small, 2.0, 2.0 * np.arctan2(sine, q[..., 3:]) / np.where(small, 1.0, sine))
    return (vector * factor).astype(q.dtype, copy=False)


def axis_angle_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) to axis-angle (..., 3) of angle at most pi, radians."""
    return axis_angle_from_quaternion(quaternion_from_matrix(matrix))


def matrix_from_6d(six):
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


def matrix_to_6d(matrix):
    """Rotation matrices (..., 3, 3) to 6-D (..., 6): first column, then second; numpy or torch."""
    if _is_torch(matrix):
        import torch
        return torch.cat([matrix[..., :, 0], matrix[..., :, 1]], dim=-1)
    return np.concatenate([matrix[..., :, 0], matrix[..., :, 1]], axis=-1)


def mirror_axis_angle(axis_angle):
    """Axis-angle (..., 3) mirrored in x: (x, -y, -z); numpy or torch.

    A right hand's pose so mirrored is the same pose of the left hand (a right hand mirrored in x).
    """
    mirrored = axis_angle.clone() if _is_torch(axis_angle) else np.array(axis_angle)
    mirrored[..., 1:] = -mirrored[..., 1:]
    return mirrored


def mirror_matrix(matrix):
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
        x.shape + (3, 3))
