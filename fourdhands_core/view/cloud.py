"""A depth image as coloured points in the camera's optical frame, few enough to be sent several times a second."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..geometry.camera import Camera

MOST = 12_000
"""Points: 9 bytes each on their way to the page."""
_FARTHEST = 4.0
"""Metres beyond which nothing matters to hands."""
_PLAIN = (150, 150, 160)


@dataclass(frozen=True, eq=False)
class Cloud:
    """points: (N, 3) float32 metres in the camera's optical frame. colours: (N, 3) uint8 RGB."""

    points: np.ndarray
    colours: np.ndarray


class CloudMaker:
    """Makes points of depth images that are in the view of a colour image. camera: of the colour image, of whatever size."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self._shape: tuple[int, int] | None = None
        self._rays = np.zeros((0, 0, 2), np.float32)
        self._step = 1

    def make(self, depth: np.ndarray, image: np.ndarray | None = None, mirrored: bool = False) -> Cloud:
        """depth: (H, W) uint16 millimetres or float32 metres, 0 or not finite where nothing was measured. image: (h, w, 3)
        uint8 RGB, for the colours. mirrored: both are, and the points are to be those of the camera as it is."""
        if depth.shape[:2] != self._shape:
            self._prepare(depth.shape[0], depth.shape[1])
        few = depth[:: self._step, :: self._step]
        z = few.astype(np.float32) * 1e-3 if few.dtype == np.uint16 else few.astype(np.float32)
        with np.errstate(invalid="ignore"):
            there = (z > 0.01) & (z < _FARTHEST) & np.isfinite(self._rays).all(axis=-1)
        points = np.concatenate([self._rays[there] * z[there, None], z[there, None]], axis=1).astype(np.float32)
        if mirrored:
            points[:, 0] = -points[:, 0]
        if image is None:
            return Cloud(points, np.broadcast_to(np.array(_PLAIN, np.uint8), points.shape).copy())
        small = cv2.resize(image, (depth.shape[1], depth.shape[0]), interpolation=cv2.INTER_NEAREST)
        return Cloud(points, small[:: self._step, :: self._step][there])

    def _prepare(self, height: int, width: int) -> None:
        self._shape, self._step = (height, width), max(1, int(np.ceil(np.sqrt(height * width / MOST))))
        x, y = np.meshgrid(np.arange(0, width, self._step, dtype=float), np.arange(0, height, self._step, dtype=float))
        rays = self.camera.resized(width, height).unproject(np.stack([x, y], axis=-1).reshape(-1, 2))
        rays = np.where(self.camera.sees(rays)[:, None], rays, np.nan)
        self._rays = rays.reshape(*x.shape, 2).astype(np.float32)
