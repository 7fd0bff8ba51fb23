"""Turns one at a time, in plain numbers: on single rotations, numpy takes ten times as long, and a step has a dozen of them."""

from __future__ import annotations

import math

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix


def is_rotation(matrix: np.ndarray) -> bool:
    """Whether it is a rotation (3, 3), to a thousandth. NaN is none."""
    matrix = np.asarray(matrix)
    if matrix.shape != (3, 3):
        return False
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    most = 1e-3
    return (
        abs(a * a + b * b + c * c - 1.0) < most
        and abs(d * d + e * e + f * f - 1.0) < most
        and abs(g * g + h * h + i * i - 1.0) < most
        and abs(a * d + b * e + c * f) < most
        and abs(a * g + b * h + c * i) < most
        and abs(d * g + e * h + f * i) < most
        and a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) > 0.0
    )


def matrix_of(turn: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of a rotation vector (3,), radians (Rodrigues, exact at zero)."""
    x, y, z = turn.tolist()
    squared = x * x + y * y + z * z
    if squared < 1e-6:
        a, b = 1.0 - squared / 6.0, 0.5 - squared / 24.0
    else:
        angle = math.sqrt(squared)
        half = math.sin(0.5 * angle) / angle
        a, b = math.sin(angle) / angle, 2.0 * half * half
    return np.array(
        [
            [1.0 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y],
            [b * x * y + a * z, 1.0 - b * (x * x + z * z), b * y * z - a * x],
            [b * x * z - a * y, b * y * z + a * x, 1.0 - b * (x * x + y * y)],
        ]
    )


def vector_of(rotation: np.ndarray) -> np.ndarray:
    """(3,) rotation vector of at most half a turn, radians, of a rotation (3, 3)."""
    (a, b, c), (d, e, f), (g, h, i) = rotation.tolist()
    w = 1.0 + a + e + i
    if w < 0.1:  # near half a turn, where w alone does not tell it well
        return axis_angle_from_matrix(rotation)
    x, y, z = h - f, c - g, d - b
    sine = math.sqrt(x * x + y * y + z * z)  # 2 sin, beside w = 2 (1 + cos)
    factor = 2.0 / w if sine < 1e-8 else 2.0 * math.atan2(sine, w) / sine
    return np.array([factor * x, factor * y, factor * z])


def angle_between(one: np.ndarray, other: np.ndarray) -> float:
    """Radians between two rotations (3, 3)."""
    cosine = 0.5 * (float(np.vdot(one, other)) - 1.0)
    return math.acos(min(max(cosine, -1.0), 1.0))


def angular(turn: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """(3,) angular velocity of a rotation vector (3,) that changes at this rate (Sola et al., "A micro Lie theory", 145)."""
    x, y, z = turn.tolist()
    squared = x * x + y * y + z * z
    if squared < 1e-12:
        a, b = 0.5, 1.0 / 6.0
    else:
        angle = math.sqrt(squared)
        a, b = (1.0 - math.cos(angle)) / squared, (angle - math.sin(angle)) / (squared * angle)
    u, v, w = rate.tolist()
    p, q, r = y * w - z * v, z * u - x * w, x * v - y * u
    return np.array([u + a * p + b * (y * r - z * q), v + a * q + b * (z * p - x * r), w + a * r + b * (x * q - y * p)])
