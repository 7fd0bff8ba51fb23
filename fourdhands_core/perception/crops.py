"""Crops of the two hands for the image network: on the CPU in OpenCV, on a GPU in torch, where the frame is uploaded once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import torch

SQUARE_SCALE = 2.0
"""Side of a hand's square in units of the longer side of its box."""
CROP_SIZE = 256
MARGIN = 32
"""The crop is the square warped to CROP_SIZE pixels, without this many columns on either side."""
_SCALE = (1.0 / np.array([58.395, 57.12, 57.375])).astype(np.float32)
_SHIFT = (-np.array([123.675, 116.28, 103.53]) * _SCALE).astype(np.float32)
"""ImageNet's normalisation of pixels 0-255: pixel * scale + shift."""
_BLUR_ABOVE = 1.1


def square_around(box: np.ndarray) -> np.ndarray:
    """The square (..., 4) x, y, w, h around boxes (..., 4) x1, y1, x2, y2, pixels."""
    box = np.asarray(box, dtype=float)
    side = SQUARE_SCALE * (box[..., 2:] - box[..., :2]).max(-1)
    corner = (box[..., :2] + box[..., 2:]) / 2 - side[..., None] / 2
    return np.concatenate([corner, np.stack([side, side], -1)], -1)


def crop_hands(image: np.ndarray, squares: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Normalised crops (N, 3, 256, 192) float32 of N squares of an image.

    image: (H, W, 3) uint8 RGB. squares: (N, 4) x, y, w, h, pixels. mirrored: (N,) bool, crops to be mirrored in x: left
    hands. Bilinear, black outside the image; a square much larger than the crop is blurred first against aliasing.
    """
    crops = np.empty((len(squares), CROP_SIZE, CROP_SIZE - 2 * MARGIN, 3), np.float32)
    for crop, square, flip in zip(crops, np.asarray(squares, float), mirrored):
        (x0, y0, x1, y1), sigma, scale, (x, y) = _plan(image.shape, square)
        part = image[y0:y1, x0:x1]
        if sigma:
            size = 2 * math.ceil(4.0 * sigma) + 1
            part = cv2.GaussianBlur(part, (size, size), sigma)
        across = -scale if flip else scale
        matrix = np.array([[across, 0.0, x - across * (CROP_SIZE / 2 - MARGIN)], [0.0, scale, y - scale * CROP_SIZE / 2]])
        warped = cv2.warpAffine(part, matrix, crop.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                borderMode=cv2.BORDER_CONSTANT)
        np.multiply(warped, _SCALE, out=crop)
        crop += _SHIFT
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2))


def crop_hands_on_device(image: torch.Tensor, squares: np.ndarray, mirrored: np.ndarray) -> torch.Tensor:
    """`crop_hands` in torch: image a tensor (H, W, 3) uint8 on any device, the crops a tensor on the same."""
    import torch
    from torch.nn import functional

    crops = []
    for square, flip in zip(np.asarray(squares, float), mirrored):
        (x0, y0, x1, y1), sigma, scale, (x, y) = _plan(image.shape, square)
        part = image[y0:y1, x0:x1].permute(2, 0, 1)[None].float()
        if sigma:
            part = _blurred(part, sigma)
        u = torch.arange(MARGIN, CROP_SIZE - MARGIN, device=image.device) - CROP_SIZE / 2
        v = torch.arange(CROP_SIZE, device=image.device) - CROP_SIZE / 2
        # from pixels, centres at integers, to -1 and 1 at the outer edges
        columns = (2.0 * (x + (-scale if flip else scale) * u) + 1.0) / (x1 - x0) - 1.0
        rows = (2.0 * (y + scale * v) + 1.0) / (y1 - y0) - 1.0
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)[None].to(part.dtype)
        crops.append(functional.grid_sample(part, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    scale, shift = (torch.from_numpy(value).to(image.device, non_blocking=True).view(3, 1, 1) for value in (_SCALE, _SHIFT))
    return torch.cat(crops) * scale + shift


def _plan(shape, square):
    """What to warp: the part of the image (x0, y0, x1, y1), blur, image pixels a crop's pixel, the centre in the part."""
    height, width = shape[:2]
    sigma = (square[2] / (2 * CROP_SIZE) - 1.0) / 2.0 if square[2] / (2 * CROP_SIZE) > _BLUR_ABOVE else 0.0
    around = 2 + math.ceil(4.0 * sigma)
    x0, y0 = (int(np.clip(math.floor(low) - around, 0, size - 1)) for low, size in zip(square[:2], (width, height)))
    x1, y1 = (int(np.clip(math.ceil(low + side) + around, first + 1, size)) for low, side, first, size in zip(
        square[:2], square[2:], (x0, y0), (width, height)))
    return (x0, y0, x1, y1), sigma, square[2] / CROP_SIZE, square[:2] + square[2:] / 2 - (x0, y0)


def to_crop(points: np.ndarray, square: np.ndarray, mirrored: bool) -> np.ndarray:
    """Image points (..., 2) to points of the square warped to CROP_SIZE pixels."""
    centre, scale = square[:2] + square[2:] / 2, CROP_SIZE / square[2]
    return (points - centre) * (-scale if mirrored else scale, scale) + CROP_SIZE / 2


def from_crop(points: np.ndarray, square: np.ndarray, mirrored: bool) -> np.ndarray:
    """The inverse of `to_crop`."""
    centre, scale = square[:2] + square[2:] / 2, square[2] / CROP_SIZE
    return (points - CROP_SIZE / 2) * (-scale if mirrored else scale, scale) + centre


def _blurred(part, sigma):
    """Gaussian blur of (1, 3, H, W), cut at four sigma, the border's pixels repeated."""
    import torch
    from torch.nn import functional

    radius = math.ceil(4.0 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).tolist()
    for axis, pad in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        size, padded = part.shape[axis], functional.pad(part, pad, mode="replicate")
        part = sum(weight * padded.narrow(axis, k, size) for k, weight in enumerate(weights))
    return part
