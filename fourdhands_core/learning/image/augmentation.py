"""What a camera and a room may do to a crop: colour, blur, motion, coarse pixels, noise, a patch in front."""

from __future__ import annotations

import cv2
import numpy as np

from ...media.scenery import line_kernel
from .settings import AugmentationSettings


class Augmentation:
    """Draws the changes of one sample. rng: everything random comes from it."""

    def __init__(self, settings: AugmentationSettings, rng: np.random.Generator):
        s, self.settings, self._rng = settings, settings, rng
        self.roll = np.radians(s.rotation) * rng.normal()
        gain = np.exp(s.colour * rng.normal() + 0.3 * s.colour * rng.normal(size=3))
        gamma = np.exp(s.colour * rng.normal())
        levels = (np.linspace(0.0, 1.0, 256)[:, None] ** gamma * gain + 0.3 * s.colour * rng.normal() * (s.colour > 0)) * 255.0
        self._levels = levels.clip(0, 255).astype(np.uint8)[:, None]
        self._saturation = np.clip(1.0 + s.colour * rng.normal(), 0.2, 1.8)
        self._blur = rng.uniform(0.5, 2.2) if rng.random() < s.blur else 0.0
        self._coarse = rng.uniform(1.5, 4.0) if rng.random() < s.coarse else 1.0
        self._noise = s.noise * rng.uniform()
        self._smeared, self._covered = rng.random() < s.motion_blur, rng.random() < s.occlusion

    def square(self, square: np.ndarray) -> np.ndarray:
        """A square (4,) as a detector might have placed it."""
        side = square[2] * np.exp(self.settings.scale * self._rng.normal())
        centre = square[:2] + square[2:] / 2 + self.settings.shift * square[2] * self._rng.normal(size=2)
        return np.concatenate([centre - side / 2, [side, side]])

    def __call__(self, crop: np.ndarray, cover: bool) -> np.ndarray:
        """The crop (H, W, 3) uint8 RGB changed. cover: a patch may lie in front."""
        rng, (height, width) = self._rng, crop.shape[:2]
        if cover and self._covered:
            self._cover(crop)
        if self._smeared:
            angle, length = rng.uniform(0, np.pi), rng.uniform(3.0, 16.0)
            crop = cv2.filter2D(crop, -1, line_kernel((length * np.cos(angle), length * np.sin(angle))))
        if self._blur:
            crop = cv2.GaussianBlur(crop, (0, 0), self._blur)
        if self._coarse > 1.0:
            small = cv2.resize(crop, (round(width / self._coarse), round(height / self._coarse)), interpolation=cv2.INTER_AREA)
            crop = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        crop = cv2.LUT(crop, self._levels)
        if self._saturation != 1.0:
            grey = cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            crop = cv2.addWeighted(crop, self._saturation, grey, 1.0 - self._saturation, 0.0)
        if self._noise > 0.5:
            y, x = rng.integers(0, 256, 2)
            field = _NOISE[y : y + height, x : x + width]
            crop = np.clip(crop + self._noise * field, 0, 255).astype(np.uint8)
        return crop

    def _cover(self, crop):
        """A grey or coloured patch over up to a fifth of the crop."""
        rng, size = self._rng, np.array(crop.shape[1::-1])
        half = rng.uniform(0.08, 0.22, 2) * size
        low, high = (np.clip(rng.uniform(0.25, 0.75, 2) * size + way * half, 0, size).astype(int) for way in (-1, 1))
        crop[low[1] : high[1], low[0] : high[0]] = rng.integers(0, 256, 3)


_NOISE = np.random.default_rng(0).normal(size=(512, 512, 3)).astype(np.float32)
"""A field of which every crop takes a part: new noise for each would cost more than its rendering."""
