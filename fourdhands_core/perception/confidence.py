"""How far each landmark of a detection can be trusted, from what can be measured: MediaPipe itself does not say."""

from __future__ import annotations

import numpy as np

from .detector import HAND_LENGTH, image_scale


def landmark_confidence(landmarks: np.ndarray, world: np.ndarray, score: float, width: int, height: int) -> np.ndarray:
    """(21,) confidence, 0-1."""
    scale, residual = image_scale(landmarks, world)
    size = max(scale * HAND_LENGTH, 1.0)
    outside = np.maximum(np.maximum(-landmarks, landmarks - (width - 1, height - 1)), 0.0).max(axis=1)
    return score * np.exp(-(residual / (0.15 * size)) ** 2) * np.exp(-outside / (0.1 * size))
