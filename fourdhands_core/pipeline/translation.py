"""Where the hands are: both wrists' positions in metres from reprojection, the predicted relative root and the past."""

from __future__ import annotations

import numpy as np

NEAREST = 0.05
"""No wrist is placed nearer to the camera than this, metres."""
_DAMPING = 1e-9 * np.eye(3)
_DIFFERENCE = np.einsum("nm,ab->namb", np.array([[1.0, -1.0], [-1.0, 1.0]]), np.eye(3))
"""(2, 3, 2, 3) second derivative of half the squared distance between the difference of two wrists and a given one."""


def initial_translation(joints: np.ndarray, rays: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Wrist positions (N, 3) by linear least squares of (X + t)_xy = ray (X + t)_z.

    joints: (N, 21, 3) metres relative to the wrist, camera axes. rays: (N, 21, 2) undistorted x/z, y/z. weights: (N, 21).
    """
    n = len(joints)
    rows = np.zeros((n, 21, 2, 4))
    rows[..., 0, 0] = rows[..., 1, 1] = 1.0
    rows[..., 2] = -rays
    rows[..., 3] = rays * joints[..., 2:] - joints[..., :2]
    flat = rows.reshape(n, 42, 4)
    products = (rows * weights[..., None, None]).reshape(n, 42, 4).swapaxes(-1, -2) @ flat
    matrix = products[:, :3, :3]
    # Damped a little: where all rays are one there is no telling how far away the hand is.
    damping = 1e-12 * matrix.trace(axis1=1, axis2=2)[:, None, None] * np.eye(3)
    t = np.linalg.solve(matrix + damping, products[:, :3, 3:])[..., 0]
    t[:, 2] = np.maximum(t[:, 2], NEAREST - joints[..., 2].min(axis=1))
    return t


def solve_translations(
    joints: np.ndarray,
    rays: np.ndarray,
    sigma: np.ndarray,
    start: np.ndarray | None = None,
    prior: tuple[np.ndarray, np.ndarray] | None = None,
    relative: tuple[np.ndarray, float] | None = None,
    iterations: int = 4,
) -> tuple[np.ndarray, np.ndarray]:
    """Most likely wrist positions of one or two hands, solved together.

    joints: (N, 21, 3) metres relative to the wrist, camera axes, N = 1 or 2 (then left, right). rays: (N, 21, 2)
    undistorted normalised image coordinates of the landmarks. sigma: (N, 21) their expected error, same unit. start:
    (N, 3) first guess. prior: (mean (N, 3), information (N, 3, 3)) of the wrists. relative: (left minus right wrist (3,),
    sigma in metres); its weight follows from its own uncertainty alone, so nothing switches as hands approach or part.

    Returns wrists (N, 3), metres, and covariances (N, 3, 3), metres squared. Robust (Huber) Gauss-Newton.
    """
    n = len(joints)
    information = 1.0 / np.square(sigma)
    t = initial_translation(joints, rays, information) if start is None else np.array(start, dtype=np.float64)
    hessian = np.zeros((n, 3, n, 3))
    each = np.arange(n)
    # what is known beside the landmarks: half of t A t - 2 b t, the same in every iteration
    known, pull = np.zeros((n, 3, n, 3)), np.zeros((n, 3))
    if prior is not None:
        known[each, :, each] = prior[1]
        pull += (prior[1] @ prior[0][..., None])[..., 0]
    if relative is not None and n == 2:
        weight = 1.0 / relative[1] ** 2
        known += weight * _DIFFERENCE
        pull += weight * np.stack([relative[0], -relative[0]])
    known, pull = known.reshape(3 * n, 3 * n), pull.reshape(-1)
    # rows (1, 0, -u, z du) and (0, 1, -v, z dv) of every landmark: their weighted products hold it all
    rows = np.zeros((n, 21, 2, 4))
    rows[..., 0, 0] = rows[..., 1, 1] = 1.0
    flat = rows.reshape(n, 42, 4)
    for _ in range(iterations):
        points = joints + t[:, None]
        z = np.maximum(points[..., 2:], NEAREST)
        projected = points[..., :2] / z
        residual = projected - rays
        rows[..., 2] = -projected
        rows[..., 3] = residual * z
        off = np.sqrt(information * (residual * residual).sum(-1))
        weights = information / np.maximum(1.0, off / 2.0) / (z * z)[..., 0]
        products = flat.swapaxes(-1, -2) @ (rows * weights[..., None, None]).reshape(n, 42, 4)
        hessian[each, :, each] = products[:, :3, :3] + _DAMPING
        matrix = hessian.reshape(3 * n, 3 * n) + known
        gradient = products[:, :3, 3].reshape(-1) + (known @ t.reshape(-1) - pull)
        step = np.linalg.solve(matrix, gradient).reshape(n, 3)
        t = t - step
        t[:, 2] = np.maximum(t[:, 2], NEAREST)
        if np.abs(step).max() < 1e-5:
            break
    return t, np.linalg.inv(matrix).reshape(n, 3, n, 3)[each, :, each]
