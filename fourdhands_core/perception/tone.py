"""Dark and grey images as the hand networks know images, which were trained on colour photographs."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_STEP = 8
"""Every so manieth pixel along both sides tells how bright an image is."""
_BRIGHT, _SHARE = 140.0, 0.99
"""An image is brightened until this share of its pixels is below that level of 255."""
_MOST = 60.0
"""Gain above which no hand is seen in what a sensor tells."""
_NOISY = 6.0
"""Gain from which on a sensor's noise is smoothed away, by a Gaussian of one pixel of the crop."""
_GREY = 2.0
"""Mean difference of an image's channels, in levels of 255 after brightening, up to which it has no colour."""
_SKIN = (1.12, 0.98, 0.9)
"""Gains of red, green and blue for an image without colour: skin is not grey."""


@dataclass(frozen=True)
class Tone:
    """What the pixels of an image are multiplied by before a network sees them.

    gains: of red, green and blue. smooth: they are noisy.
    """

    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    smooth: bool = False

    def fill(self, crop: np.ndarray, pixels: np.ndarray) -> None:
        """Write pixels (H, W, 3) uint8 into a crop (3, H, W) float32, 0-1."""
        if self.smooth:
            pixels = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 1.0)
        for channel, gain, colour in zip(crop, self.gains, cv2.split(pixels)):
            np.multiply(colour, np.float32(gain / 255.0), out=channel, casting="unsafe")
        if max(self.gains) > 1.0:
            np.minimum(crop, 1.0, out=crop)


AS_IT_IS = Tone()


def some_pixels(image: np.ndarray) -> np.ndarray:
    """(3, w, h) the red, green and blue of pixels all over an image (H, W, 3): numpy is slow along an axis of three."""
    return np.ascontiguousarray(image[::_STEP, ::_STEP].T)


def tone_of(image: np.ndarray) -> Tone:
    """How the networks are to see an RGB uint8 (H, W, 3) image; as it is where it is neither dark nor grey.

    A dark one with a lamp in it, which is more than a hundredth of it, passes for a bright one.
    Measured with clips darkened and greyed: benchmarks/tones.json.
    """
    some = some_pixels(image)
    brightest = some.max(axis=0).ravel()
    bright = float(np.partition(brightest, place := int(_SHARE * (len(brightest) - 1)))[place])
    gain = min(max(_BRIGHT / max(bright, 1.0), 1.0), _MOST)
    spread = float(np.mean(brightest - some.min(axis=0).ravel()))
    tint = min(max(2.0 - spread * gain / _GREY, 0.0), 1.0)  # none from twice that on, so that little colour does not flicker
    red, green, blue = (gain * (1.0 + tint * (skin - 1.0)) for skin in _SKIN)
    return Tone((red, green, blue), smooth=gain > _NOISY)
