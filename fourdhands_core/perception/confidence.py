"""How far each landmark of a detection can be trusted, from what can be measured: MediaPipe itself does not say.

Every cue is a factor between 0 and 1, so that the confidence is their product and none can hide another. It ranks
landmarks and is no probability: 1 means that nothing speaks against a landmark.
"""

from __future__ import annotations

import cv2
import numpy as np

from .detector import HAND_LENGTH, image_scale

_CONTRADICTION = 0.15  # in hand lengths; the landmarks and the 3-D hand of a clear view differ by 0.02 to 0.04
_MARGIN = 0.1  # in hand lengths outside the image, where a landmark is a guess
_FRONT = 0.1  # relative; apparent sizes of one hand scatter by about this much
_STEP, _SPEED = 0.15, 5.0  # hand lengths, and hand lengths per second, that a landmark may move within its hand


def landmark_confidence(landmarks: np.ndarray, world: np.ndarray, score: float, size: tuple[int, int]) -> np.ndarray:
    """(21,) confidence from one detection alone: its score, its landmarks outside the image, its inner contradiction.

    landmarks: (21, 2) pixels. world: (21, 3) metres. score: 0-1. size: width, height of the image. The contradiction is
    the distance between a landmark and the detector's own 3-D hand projected with the best scale.
    """
    scale, residual = image_scale(landmarks, world)
    length = max(scale * HAND_LENGTH, 1.0)
    last_pixel = np.array(size) - 1
    outside = np.maximum(np.maximum(-landmarks, landmarks - last_pixel), 0.0).max(axis=1)
    return score * np.exp(-((residual / (_CONTRADICTION * length)) ** 2)) * np.exp(-outside / (_MARGIN * length))


def inside_hull(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) bool: which of points (N, 2) lie inside the convex hull of other (M, 2), pixels."""
    if (points.min(axis=0) > other.max(axis=0)).any() or (points.max(axis=0) < other.min(axis=0)).any():
        return np.zeros(len(points), bool)
    hull = cv2.convexHull(other.astype(np.float32), clockwise=False)[:, 0].astype(np.float64)
    if len(hull) < 3:
        return np.zeros(len(points), bool)
    edge = np.concatenate([hull[1:], hull[:1]]) - hull
    offset = points[:, None] - hull
    return (edge[:, 0] * offset[..., 1] >= edge[:, 1] * offset[..., 0]).all(axis=1)


def visibility(landmarks: np.ndarray, length: float, other: np.ndarray, other_length: float) -> np.ndarray:
    """(21,) factor: 1 outside the other hand's hull; inside, down to 0.2 the more the other hand appears nearer.

    landmarks, other: (21, 2) pixels of the hand in question and of the other; length, other_length: their `hand_size`.
    Nearer is told by these apparent sizes alone, which scatter: two hands that appear equal both get 0.6.
    """
    nearer = np.log(other_length / length) / _FRONT
    hidden = 0.8 / (1.0 + np.exp(-np.clip(nearer, -50.0, 50.0)))
    return np.where(inside_hull(landmarks, other), 1.0 - hidden, 1.0)


def steadiness(landmarks: np.ndarray, predicted: np.ndarray, length: float, seconds: float) -> np.ndarray:
    """(21,) factor that falls where a landmark is far from its prediction within the hand.

    landmarks, predicted: (21, 2) pixels, the latter from the last `seconds` ago. length: the hand's in pixels. What all
    landmarks have in common (the median) is the hand's own motion and does not count.
    """
    step = landmarks - predicted
    middle = len(step) // 2
    common = np.partition(step, middle, axis=0)[middle]  # the median, of an odd number; np.median takes four times as long
    jump = np.sqrt(np.square(step - common).sum(axis=1))
    return np.exp(-((jump / ((_STEP + _SPEED * seconds) * length)) ** 2))
