"""A camera's image as a pinhole camera on the optical axis would have it, which is what a browser's camera can show."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from ..geometry.camera import Camera
from ..hand_model.seen_through import lens_of, lie_mirrored
from ..pipeline.types import HandPairEstimate

_WIDEST = math.tan(math.radians(70.0))
"""Of a fisheye no more is shown: the rest would take most of the picture."""
_BORDER = 32
_LITTLE = 0.5
"""Pixels of a picture that a lens without distortion may be off: its images need not be drawn anew, which takes longest."""


class Pinhole:
    """The view of a camera through a lens without distortion whose middle is on the optical axis.

    camera: of the images. width: of the pictures made, pixels, at most the images'. fov: vertical field of view, radians;
    aspect: width by height. What the lens does not see is grey.
    """

    def __init__(self, camera: Camera, width: int = 640) -> None:
        self.camera = camera
        half_width, half_height = _extent(camera)
        self.aspect = half_width / half_height
        self.width = min(width, camera.width)
        self.height = max(1, round(self.width / self.aspect))
        self.fov = 2.0 * math.atan(half_height)
        x, y = np.meshgrid(
            (2.0 * np.arange(self.width) + 1.0 - self.width) / self.width * half_width,
            (2.0 * np.arange(self.height) + 1.0 - self.height) / self.height * half_height,
        )
        pixels = camera.project(np.stack([x, y, np.ones_like(x)], axis=-1))
        radius = np.hypot(x, y)
        pixels[radius > camera.widest] = -1e6  # beyond the fold of the distortion the lens shows nothing
        self._map = np.nan_to_num(pixels, nan=-1e6).astype(np.float32)
        size = np.array([camera.width, camera.height])
        grid = (np.stack([x, y], axis=-1) / [half_width, half_height] + 1.0) * (size / 2) - 0.5
        off = np.abs(self._map - grid) * (self.width / camera.width)
        self._as_it_is = bool(off.max() < _LITTLE)
        self._of_size: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def picture(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W, 3) uint8 RGB of the camera, of whatever resolution, as (height, width, 3)."""
        size = image.shape[1], image.shape[0]
        if self._as_it_is:
            own = self.width, self.height
            return image if size == own else cv2.resize(image, own, interpolation=cv2.INTER_AREA)
        if size not in self._of_size:
            places = (self._map + 0.5) * (np.array(size) / [self.camera.width, self.camera.height]) - 0.5
            places = np.clip(places, -2.0, np.array(size) + 1.0).astype(np.float32)  # as far as fixed point reaches
            self._of_size = {size: cv2.convertMaps(places, None, cv2.CV_16SC2)}  # type: ignore[call-overload]
        x, y = self._of_size[size]
        return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(_BORDER,) * 3))


def _extent(camera: Camera) -> tuple[float, float]:
    """x/z and y/z up to which the image reaches from the axis, on the side where it reaches further."""
    along = np.linspace(-0.5, 0.5, 33)
    width, height = camera.width - 1.0, camera.height - 1.0
    edge = [(x, y) for x in along for y in (-0.5, 0.5)] + [(x, y) for x in (-0.5, 0.5) for y in along]
    pixels = np.array(edge) * [camera.width, camera.height] + [0.5 * width, 0.5 * height]
    rays = np.abs(camera.unproject(pixels))
    rays = rays[camera.sees(rays)]
    if not len(rays):
        return 1.0, camera.height / camera.width
    half_width, half_height = np.minimum(rays.max(axis=0), _WIDEST)
    return float(max(half_width, 1e-3)), float(max(half_height, 1e-3))


class SeenThrough:
    """How images of hands are to be read, which neither HandPair nor CameraInfo says: told by where joints lie in them.

    mirrored: the images are mirrored, see HandPairEstimate. What is found holds until hands are seen again.
    """

    def __init__(self) -> None:
        self.mirrored = False
        self._chosen = 0

    def pair(self, pair: HandPairEstimate, *cameras: Camera) -> HandPairEstimate:
        """The pair with its camera, and `mirrored` as it is. cameras: the one that is likely, and others that it may be."""
        if seen := [hand for hand in pair.hands if hand.joints is not None and hand.joints_2d is not None]:
            points = np.stack([np.asarray(hand.joints) for hand in seen])
            pixels = np.stack([np.asarray(hand.joints_2d) for hand in seen])
            self.mirrored = lie_mirrored(points, pixels)
            self._chosen = lens_of(points, pixels, cameras, self.mirrored)
        return replace(pair, camera=cameras[self._chosen % len(cameras)], mirrored=self.mirrored)


def same_camera(one: Camera, other: Camera) -> bool:
    """Whether both cameras are equal, number for number."""
    return one is other or (
        (one.width, one.height, one.distortion_model) == (other.width, other.height, other.distortion_model)
        and np.array_equal(one.matrix, other.matrix)
        and np.array_equal(one.distortion, other.distortion)
    )
