"""Rotated squares of an image, which the hand networks see: how they are cut out, and where the next one lies."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

_PALM_SCALE, _PALM_SHIFT = 2.6, 0.5
"""A hand's square has this many sides of its palm's box and lies this much of it towards the fingers."""
_HAND_SCALE, _HAND_SHIFT = 2.0, 0.1
"""The same, from the box around the landmarks of `_BOXED`."""
_BOXED = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""What moves little when fingers bend."""
_UPRIGHT = math.pi / 2.0


class Square(NamedTuple):
    """Centre x, y and side in pixels; angle in radians, by which its axes are turned from x towards y of the image."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the square, 0-1 along its axes, in the image's pixels."""
        cosine, sine = math.cos(self.angle) * self.side, math.sin(self.angle) * self.side
        u, v = points[..., 0] - 0.5, points[..., 1] - 0.5
        return np.stack([cosine * u - sine * v + self.x, sine * u + cosine * v + self.y], axis=-1)

    def turned(self, angle: float, scale: float = 1.0) -> Square:
        """Turned by an angle around its centre, and scaled."""
        return Square(self.x, self.y, self.side * scale, wrapped(self.angle + angle))


def cut(image: np.ndarray, square: Square, size: int, border: int) -> np.ndarray:
    """(size, size, 3) uint8: what an RGB image shows in a square; pixel i lies at i / size of its side.

    border: cv2's, for what lies outside the image.
    """
    step = square.side / size
    cosine, sine, half = math.cos(square.angle) * step, math.sin(square.angle) * step, size / 2.0
    to_image = np.array([[cosine, -sine, square.x - half * (cosine - sine)], [sine, cosine, square.y - half * (sine + cosine)]])
    return cv2.warpAffine(image, to_image, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border)


def around_palm(box: np.ndarray, wrist: np.ndarray, knuckle: np.ndarray, searched: Square) -> Square:
    """The square of a hand from its palm, all in `searched`. box: (4,) x0, y0, x1, y1. wrist, knuckle (middle finger): (2,)."""
    centre = searched.to_image((box[:2] + box[2:]) / 2.0)
    width, height = (box[2:] - box[:2]) * searched.side
    return _towards_fingers(
        centre, width, height, _angle(*searched.to_image(np.stack([wrist, knuckle]))), _PALM_SHIFT, _PALM_SCALE
    )


def around_landmarks(landmarks: np.ndarray) -> Square:
    """The square of a hand from its landmarks (21, 2), pixels."""
    angle = _angle(landmarks[0], (landmarks[5] + landmarks[13]) / 4.0 + landmarks[9] / 2.0)
    points = landmarks[_BOXED]
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = points @ np.array([[cosine, -sine], [sine, cosine]])
    low, high = turned.min(0), turned.max(0)
    u, v = (low + high) / 2.0
    width, height = high - low
    return _towards_fingers((cosine * u - sine * v, sine * u + cosine * v), width, height, angle, _HAND_SHIFT, _HAND_SCALE)


def overlap(a: Square, b: Square) -> float:
    """Intersection over union of two squares, 0-1, as if neither was turned."""
    sides = [
        max(min(p + a.side / 2, q + b.side / 2) - max(p - a.side / 2, q - b.side / 2), 0.0) for p, q in ((a.x, b.x), (a.y, b.y))
    ]
    shared = sides[0] * sides[1]
    return shared / max(a.side**2 + b.side**2 - shared, 1e-12)


def wrapped(angle: float) -> float:
    """An angle from -pi to pi, radians."""
    return angle - 2.0 * math.pi * math.floor((angle + math.pi) / (2.0 * math.pi))


def _angle(wrist: np.ndarray, knuckle: np.ndarray) -> float:
    """By which a square is turned in which the hand points upwards."""
    x, y = knuckle - wrist
    return wrapped(_UPRIGHT + math.atan2(y, x))


def _towards_fingers(
    centre: np.ndarray | tuple[float, float], width: float, height: float, angle: float, shift: float, scale: float
) -> Square:
    x, y = centre
    step = height * shift
    side = max(width, height) * scale
    return Square(float(x + step * math.sin(angle)), float(y - step * math.cos(angle)), float(side), angle)
