"""Crops of the two hands for the image network: on the CPU in OpenCV, on a GPU in torch, where the frame is uploaded once."""

from __future__ import annotations

import functools
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
SCALE = (1.0 / np.array([58.395, 57.12, 57.375])).astype(np.float32)
SHIFT = (-np.array([123.675, 116.28, 103.53]) * SCALE).astype(np.float32)
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
        warped = cv2.warpAffine(
            part, matrix, crop.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_CONSTANT
        )
        np.multiply(warped, SCALE, out=crop)
        crop += SHIFT
    return np.ascontiguousarray(crops.transpose(0, 3, 1, 2))


class DeviceCrops:
    """`crop_hands` in torch on a device, with one upload of the image and no wait for the device.

    dtype: of the crops.
    """

    def __init__(self, device: torch.device | str, dtype: torch.dtype):
        import torch

        self._device, self._dtype = torch.device(device), dtype
        u, v = np.arange(MARGIN, CROP_SIZE - MARGIN) - CROP_SIZE / 2, np.arange(CROP_SIZE) - CROP_SIZE / 2
        self._places = torch.from_numpy(np.stack(np.meshgrid(u, v), -1).astype(np.float32)).to(device)
        self._scale, self._shift = (torch.from_numpy(value).to(device).view(3, 1, 1) for value in (SCALE, SHIFT))

    def __call__(self, image: np.ndarray, squares: np.ndarray, mirrored: np.ndarray) -> torch.Tensor:
        """The crops (N, 3, 256, 192) as a tensor on the device; see `crop_hands`."""
        import torch
        from torch.nn import functional

        plans = [_plan(image.shape, square) for square in np.asarray(squares, float)]
        sharp = not any(sigma for _, sigma, _, _ in plans)
        lens = np.zeros((len(plans), 2, 1, 1, 2), np.float32)
        for row, ((x0, y0, x1, y1), _, scale, (x, y)), flip in zip(lens, plans, mirrored):
            size, corner = np.array([x1 - x0, y1 - y0]), (0, 0)
            if sharp:  # all are taken from the whole image at once
                size, corner = np.array(image.shape[1::-1]), (x0, y0)
            # from pixels, centres at integers, to -1 and 1 at the outer edges
            row[0], row[1] = (
                2.0 * np.array([-scale if flip else scale, scale]) / size,
                (2.0 * (corner + np.array([x, y])) + 1.0) / size - 1.0,
            )
        step, centre = upload(lens, self._device).unbind(1)
        grid = torch.addcmul(centre, self._places, step)
        pixels = upload(image, self._device).permute(2, 0, 1)[None].float()
        sample = functools.partial(functional.grid_sample, mode="bilinear", padding_mode="zeros", align_corners=False)
        if sharp:
            crops = sample(pixels.expand(len(plans), -1, -1, -1), grid)
        else:
            parts = (_blurred(pixels[..., y0:y1, x0:x1], sigma) for (x0, y0, x1, y1), sigma, _, _ in plans)
            crops = torch.cat([sample(part, grid[k : k + 1]) for k, part in enumerate(parts)])
        return torch.addcmul(self._shift, crops, self._scale).to(self._dtype)


def upload(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A copy of an array on a device: to a GPU by way of pinned memory, so that neither waits for the other."""
    import torch

    host = torch.empty(array.shape, dtype=torch.from_numpy(array[:0].copy()).dtype, pin_memory=device.type == "cuda")
    host.numpy()[...] = array
    return host.to(device, non_blocking=True)


def _plan(shape, square):
    """What to warp: the part of the image (x0, y0, x1, y1), blur, image pixels a crop's pixel, the centre in the part."""
    height, width = shape[:2]
    sigma = (square[2] / (2 * CROP_SIZE) - 1.0) / 2.0 if square[2] / (2 * CROP_SIZE) > _BLUR_ABOVE else 0.0
    around = 2 + math.ceil(4.0 * sigma)
    x0, y0 = (int(np.clip(math.floor(low) - around, 0, size - 1)) for low, size in zip(square[:2], (width, height)))
    x1, y1 = (
        int(np.clip(math.ceil(low + side) + around, first + 1, size))
        for low, side, first, size in zip(square[:2], square[2:], (x0, y0), (width, height))
    )
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
    """Gaussian blur of (1, 3, H, W), cut at four sigma, mirrored about the border's pixels as OpenCV does."""
    import torch
    from torch.nn import functional

    if not sigma:
        return part
    radius = math.ceil(4.0 * sigma)
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=part.device) / sigma) ** 2)
    weights = (weights / weights.sum()).expand(3, 1, -1)
    for kernel, pad in ((weights[:, :, None], (radius, radius, 0, 0)), (weights[..., None], (0, 0, radius, radius))):
        fits = radius < part.shape[3 if pad[0] else 2]  # not where the square all but misses the image
        part = functional.conv2d(functional.pad(part, pad, mode="reflect" if fits else "replicate"), kernel, groups=3)
    return part
