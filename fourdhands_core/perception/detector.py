"""What a hand detector hands out, and what one must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from .hand_networks import Look

HAND_LENGTH = 0.18
"""Length of an average adult hand, wrist to middle fingertip, metres; it turns a scale into a hand's size in pixels."""
_LARGEST_SIDE = 32766
"""Pixels, of images that OpenCV warps."""


@dataclass(frozen=True, eq=False)
class HandDetection:
    """One hand as a detector saw it in one image, in the image as given (not un-mirrored).

    side: the hand's side as the detector believes, `skeleton.LEFT` or `RIGHT`. score: 0-1, how sure it is of that.
    landmarks: (21, 2) float64 pixels, x right, y down, pixel centres at integers, order of `skeleton.JOINT_NAMES`; they
    may lie outside the image. world: (21, 3) metres, the detector's own 3-D hand around its own centre, axes as the
    camera's optical frame. confidence: (21,) 0-1 for each landmark. presence: 0-1, how sure it is that it reads a hand
    rightly.
    """

    side: int
    score: float
    landmarks: np.ndarray
    world: np.ndarray
    confidence: np.ndarray
    presence: float = 1.0


class Detector(Protocol):
    """Anything that finds hands in images; it may keep state between the images of one video."""

    def detect(self, image: np.ndarray) -> list[HandDetection]:
        """Hands in an RGB uint8 (H, W, 3) C-contiguous image; any number, in any order.

        Raises InputError where the image is malformed.
        """

    def reset(self) -> None:
        """Forget the images so far; another thread may be in `detect`, which then forgets before its next image."""

    def close(self) -> None:
        """Free what the detector holds; it cannot be used afterwards."""


def check_image(image: np.ndarray) -> None:
    """Raise InputError unless image is an RGB uint8 (H, W, 3) C-contiguous array with at least one pixel, no side too long."""
    if not isinstance(image, np.ndarray):
        raise InputError(f"the image is a {type(image).__name__}; give a numpy array (H, W, 3) uint8, RGB")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(
            f"the image has shape {image.shape} and type {image.dtype}; give RGB (H, W, 3) uint8 with at least one pixel"
        )
    if max(image.shape) > _LARGEST_SIDE:
        height, width = image.shape[:2]
        raise InputError(f"the image has {width}x{height} pixels, and sides may have {_LARGEST_SIDE}; cut or shrink it")
    if not image.flags.c_contiguous:
        raise InputError("the image is not C-contiguous; pass it through numpy.ascontiguousarray")


def image_scale(landmarks: np.ndarray, world: np.ndarray) -> tuple[float, np.ndarray]:
    """Scaled-orthographic fit of a detection's own 3-D hand to its own 2-D landmarks.

    landmarks: (21, 2) pixels. world: (21, 3) metres. Returns the scale in pixels per metre and the (21,) distances in
    pixels that the fit leaves. Unlike the extent of the landmarks, the scale does not shrink when a hand turns edge-on.
    """
    flat = world[:, :2] - world[:, :2].sum(axis=0) / len(world)
    pixels = landmarks - landmarks.sum(axis=0) / len(landmarks)
    scale = float((flat * pixels).sum() / max((flat * flat).sum(), 1e-12))
    return scale, np.sqrt(np.square(pixels - scale * flat).sum(axis=1))


def hand_size(detection: HandDetection | Look) -> float:
    """About the length of the stretched hand in pixels at its distance, whatever its pose; at least 1."""
    scale, _ = image_scale(detection.landmarks, detection.world)
    landmarks = detection.landmarks
    extent = float((landmarks.max(axis=0) - landmarks.min(axis=0)).max())
    # A 3-D hand that contradicts the landmarks gives no usable scale: then the landmarks' own extent must do.
    return max(scale * HAND_LENGTH, 0.5 * extent, 1.0)
