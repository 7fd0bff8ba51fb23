"""Where the hands are: both wrists' positions in metres from reprojection, the predicted relative root and the past."""

from __future__ import annotations

import numpy as np

NEAREST = 0.05
"""No wrist is placed nearer to the camera than this, metres."""


def initial_translation(joints: np.ndarray, rays: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Wrist positions (N, 3) by linear least squares of (X + t)_xy = ray (X + t)_z.

    joints: (N, 21, 3) metres relative to the wrist, camera axes. rays: (N, 21, 2) undistorted x/z, y/z. weights: (N, 21).
    """
    n = len(joints)
    a = np.zeros((n, 21, 2, 3))
    a[..., 0, 0] = a[..., 1, 1] = 1.0
    a[..., 2] = -rays
    b = rays * joints[..., 2:] - joints[..., :2]
    aw = a * weights[..., None, None]
    normal = np.einsum("njka,njkb->nab", aw, a)
    t = np.linalg.solve(normal + 1e-12 * np.eye(3), np.einsum("njka,njk->na", aw, b)[..., None])[..., 0]
    t[:, 2] = np.maximum(t[:, 2], NEAREST - joints[..., 2].min(axis=1))
    return t


def solve_translations(
    joints: np.ndarray, rays: np.ndarray, sigma: np.ndarray, start: np.ndarray | None = None,
    prior: tuple[np.ndarray, np.ndarray] | None = None, relative: tuple[np.ndarray, float] | None = None,
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
    size = 3 * n
    for _ in range(iterations):
        points = joints + t[:, None]
        z = np.maximum(points[..., 2], NEAREST)
        projected = points[..., :2] / z[..., None]
        residual = projected - rays
        scaled = np.sqrt(information * (residual * residual).sum(-1))
        w = information / np.maximum(1.0, scaled / 2.0) / (z * z)
        # rows of the Jacobian are (1, 0, -u) / z and (0, 1, -v) / z; 1/z squared is in w, one z remains for the residual
        u, v = projected[..., 0], projected[..., 1]
        hessian = np.zeros((size, size))
        gradient = np.zeros(size)
        wu, wv = w * u, w * v
        rx, ry = residual[..., 0] * z, residual[..., 1] * z
        s, su, sv, suv = w.sum(1), wu.sum(1), wv.sum(1), (wu * u + wv * v).sum(1)
        gx, gy = (w * rx).sum(1), (w * ry).sum(1)
        gz = -(wu * rx + wv * ry).sum(1)
        for k in range(n):
            i = 3 * k
            hessian[i:i + 3, i:i + 3] = [[s[k], 0, -su[k]], [0, s[k], -sv[k]], [-su[k], -sv[k], suv[k]]]
            gradient[i:i + 3] = gx[k], gy[k], gz[k]
            if prior is not None:
                hessian[i:i + 3, i:i + 3] += prior[1][k]
                gradient[i:i + 3] += prior[1][k] @ (t[k] - prior[0][k])
        if relative is not None and n == 2:
            weight = 1.0 / relative[1] ** 2
            difference = weight * (t[0] - t[1] - relative[0])
            eye = weight * np.eye(3)
            hessian[:3, :3] += eye
            hessian[3:, 3:] += eye
            hessian[:3, 3:] -= eye
            hessian[3:, :3] -= eye
            gradient[:3] += difference
            gradient[3:] -= difference
        step = np.linalg.solve(hessian + 1e-9 * np.eye(size), gradient).reshape(n, 3)
        t = t - step
        t[:, 2] = np.maximum(t[:, 2], NEAREST)
        if np.abs(step).max() < 1e-6:
            break
    covariance = np.linalg.inv(hessian + 1e-9 * np.eye(size))
    return t, np.stack([covariance[3 * k:3 * k + 3, 3 * k:3 * k + 3] for k in range(n)])
