"""Crops of the two hands for the image network: the same arithmetic on a CPU and on a GPU, where the frame is uploaded once."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

SQUARE_SCALE = 2.0
"""Side of a hand's square in units of the longer side of its box."""
CROP_SIZE = 256
MARGIN = 32
"""The crop is the square warped to CROP_SIZE pixels, without this many columns on either side."""
_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)
"""ImageNet's, of pixels 0-255."""
_BLUR_ABOVE = 1.1


def square_around(box: np.ndarray) -> np.ndarray:
    """The square (..., 4) x, y, w, h around boxes (..., 4) x1, y1, x2, y2, pixels."""
    box = np.asarray(box, dtype=float)
    side = SQUARE_SCALE * (box[..., 2:] - box[..., :2]).max(-1)
    corner = (box[..., :2] + box[..., 2:]) / 2 - side[..., None] / 2
    return np.concatenate([corner, np.stack([side, side], -1)], -1)


def crop_hands(image: torch.Tensor, squares: np.ndarray, mirrored: np.ndarray) -> torch.Tensor:
    """Normalised crops (N, 3, 256, 192) float32 of N squares of an image, on the image's device.

    image: (H, W, 3) uint8 RGB. squares: (N, 4) x, y, w, h, pixels. mirrored: (N,) bool, crops to be mirrored in x: left
    hands. Bilinear, black outside the image; a square much larger than the crop is blurred first against aliasing.
    """
    return torch.cat([_crop(image, square, flip) for square, flip in zip(np.asarray(squares, float), mirrored)])


def to_crop(points: np.ndarray, square: np.ndarray, mirrored: bool) -> np.ndarray:
    """Image points (..., 2) to points of the square warped to CROP_SIZE pixels."""
    centre, scale = square[:2] + square[2:] / 2, CROP_SIZE / square[2]
    return (points - centre) * (-scale if mirrored else scale, scale) + CROP_SIZE / 2


def from_crop(points: np.ndarray, square: np.ndarray, mirrored: bool) -> np.ndarray:
    """The inverse of `to_crop`."""
    centre, scale = square[:2] + square[2:] / 2, square[2] / CROP_SIZE
    return (points - CROP_SIZE / 2) * (-scale if mirrored else scale, scale) + centre


def _crop(image, square, flip):
    height, width = image.shape[:2]
    sigma = (square[2] / (2 * CROP_SIZE) - 1.0) / 2.0 if square[2] / (2 * CROP_SIZE) > _BLUR_ABOVE else 0.0
    around = 2 + math.ceil(4.0 * sigma)
    x0, y0 = (int(np.clip(math.floor(low) - around, 0, size - 1)) for low, size in zip(square[:2], (width, height)))
    x1, y1 = (int(np.clip(math.ceil(low + side) + around, first + 1, size)) for low, side, first, size in zip(
        square[:2], square[2:], (x0, y0), (width, height)))
    part = image[y0:y1, x0:x1].permute(2, 0, 1)[None].float()
    if sigma:
        part = _blurred(part, sigma)
    # pixel centres are at integers; the corners of the part are at -1 and 1
    u = torch.arange(MARGIN, CROP_SIZE - MARGIN, device=image.device) - CROP_SIZE / 2
    v = torch.arange(CROP_SIZE, device=image.device) - CROP_SIZE / 2
    scale = square[2] / CROP_SIZE
    x = square[0] + square[2] / 2 - x0 + (-scale if flip else scale) * u
    y = square[1] + square[3] / 2 - y0 + scale * v
    x, y = (2.0 * x + 1.0) / (x1 - x0) - 1.0, (2.0 * y + 1.0) / (y1 - y0) - 1.0
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None].to(part.dtype)
    crop = functional.grid_sample(part, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    mean, std = (torch.tensor(value, device=image.device).view(1, 3, 1, 1) for value in (_MEAN, _STD))
    return (crop - mean) / std


def _blurred(part, sigma):
    """Gaussian blur of (1, 3, H, W), cut at four sigma, the border's pixels repeated."""
    radius = math.ceil(4.0 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).tolist()
    for axis, pad in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        size, padded = part.shape[axis], functional.pad(part, pad, mode="replicate")
        part = sum(weight * padded.narrow(axis, k, size) for k, weight in enumerate(weights))
    return part
