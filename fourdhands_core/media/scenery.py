"""What makes a rendering look like a camera's picture: backgrounds, and a sensor's blur, noise and compression."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

BACKGROUNDS = ("gradient", "noise", "clutter", "indoor")


def background(rng: np.random.Generator, width: int, height: int, kind: str | None = None) -> np.ndarray:
    """A background picture (height, width, 3) uint8 RGB, the same for the same state of rng.

    kind: one of BACKGROUNDS, drawn from rng by default. gradient: a lit wall. noise: smooth coloured noise. clutter:
    random shapes out of focus. indoor: wall, table edge, pictures, shelves and boxes.
    """
    kind = kind or str(rng.choice(BACKGROUNDS))
    makers = {"gradient": _gradient, "noise": _noise, "clutter": _clutter, "indoor": _indoor}
    if kind not in makers:
        raise ValueError(f"background {kind!r} is not known; use one of {BACKGROUNDS}")
    picture = makers[kind](rng, width, height)
    return np.clip(picture * 255.0, 0, 255).astype(np.uint8)


def _muted(rng, low=0.15, high=0.85, saturation=0.25):
    """A random colour as walls and furniture have: brightness low-high, little saturation."""
    return np.clip(rng.uniform(low, high) * (1.0 + saturation * rng.uniform(-1, 1, 3)), 0.0, 1.0)


def _smooth_noise(rng, width, height, cells):
    small = rng.uniform(-1.0, 1.0, (max(2, round(cells * height / width)), cells, 3)).astype(np.float32)
    small = 0.3 * small + 0.7 * small.mean(axis=2, keepdims=True)  # mostly light and dark, little colour
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def _gradient(rng, width, height):
    """A wall of one colour under a light from one side, darker towards the corners."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x / width - 0.5, y / width - 0.5 * height / width
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.uniform(0.2, 0.6) * (np.cos(angle) * x + np.sin(angle) * y)
    light = 1.0 + slope - rng.uniform(0.0, 0.5) * (x * x + y * y)
    return light[..., None] * _muted(rng).astype(np.float32) * (1.0 + 0.03 * _smooth_noise(rng, width, height, 40))


def _noise(rng, width, height):
    return _muted(rng, 0.3, 0.7).astype(np.float32) + sum(
        rng.uniform(0.03, 0.2) * _smooth_noise(rng, width, height, cells) for cells in (4, 9, 23, 60)
    )


def _clutter(rng, width, height):
    """Random polygons, ellipses and lines, out of focus."""
    picture = _gradient(rng, width, height)
    for _ in range(int(rng.integers(15, 45))):
        centre = rng.uniform(0, 1, 2) * (width, height)
        size = width * rng.uniform(0.03, 0.25)
        colour = _muted(rng, 0.05, 0.95, 0.5).tolist()
        shape = rng.integers(3)
        if shape == 0:
            corners = centre + size * rng.uniform(-1, 1, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        elif shape == 1:
            axes = (int(size * rng.uniform(0.2, 1)), int(size * rng.uniform(0.2, 1)))
            turn = rng.uniform(0, 360)
            cv2.ellipse(picture, centre.astype(int).tolist(), axes, turn, 0, 360, colour, -1, cv2.LINE_AA)
        else:
            end = centre + 2 * size * rng.uniform(-1, 1, 2)
            cv2.line(
                picture, centre.astype(int).tolist(), end.astype(int).tolist(), colour, int(rng.integers(1, 12)), cv2.LINE_AA
            )
    picture += 0.04 * _smooth_noise(rng, width, height, 80)
    return cv2.GaussianBlur(picture, (0, 0), width / 640 * rng.uniform(0.8, 4.0))


def _indoor(rng, width, height):
    """A wall with pictures and a shelf, and a table with boxes, as behind hands at a desk."""
    picture = _gradient(rng, width, height)
    table = int(height * rng.uniform(0.62, 0.85))
    for _ in range(int(rng.integers(2, 5))):  # pictures, windows and screens on the wall
        size = np.array([rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3)]) * width
        corner = rng.uniform(-0.05, 0.85, 2) * (width, table)
        _box(picture, corner, size, _muted(rng, 0.05, 0.95), rng)
    shelf = int(table * rng.uniform(0.1, 0.5))
    left = int(width * rng.uniform(0.0, 0.6))
    right = left + int(width * rng.uniform(0.2, 0.4))
    cv2.rectangle(picture, (left, shelf), (right, shelf + max(3, height // 60)), _muted(rng, 0.2, 0.6).tolist(), -1)
    x = left
    while x < right:  # books
        w, h = width * rng.uniform(0.012, 0.04), height * rng.uniform(0.08, 0.16)
        if rng.random() < 0.8:
            _box(picture, (x, shelf - h), (w, h), _muted(rng, 0.1, 0.9, 0.6), rng, frame=False)
        x += w
    shade = np.linspace(0.85, 1.15, height - table, dtype=np.float32)[:, None, None]
    picture[table:] = shade * _muted(rng, 0.2, 0.75).astype(np.float32)
    grain = cv2.GaussianBlur(rng.normal(0, 0.12, (height - table, width)).astype(np.float32), (0, 0), 9, None, 0.8)
    picture[table:] *= 1.0 + grain[..., None]
    for _ in range(int(rng.integers(2, 6))):  # things on the table
        size = np.array([rng.uniform(0.04, 0.16), rng.uniform(0.05, 0.2)]) * width
        foot = table + rng.uniform(0.0, 0.6) * (height - table)
        _box(picture, (rng.uniform(-0.05, 1.0) * width, foot - size[1]), size, _muted(rng, 0.1, 0.9, 0.5), rng)
    picture += 0.015 * _smooth_noise(rng, width, height, 120)
    return cv2.GaussianBlur(picture, (0, 0), width / 640 * rng.uniform(0.9, 2.2))


def _box(picture, corner, size, colour, rng, frame=True):
    low = np.asarray(corner, int)
    high = low + np.maximum(np.asarray(size, int), 2)
    cv2.rectangle(picture, low.tolist(), high.tolist(), colour.tolist(), -1)
    if frame:
        inner = np.maximum(((high - low) * 0.08).astype(int), 1)
        cv2.rectangle(
            picture, (low + inner).tolist(), (high - inner).tolist(), np.clip(colour * rng.uniform(0.5, 1.5), 0, 1).tolist(), -1
        )


class Sensor:
    """A camera's lens and sensor: blur, light-dependent noise, white balance and JPEG compression, from a seed.

    noise: standard deviation in grey levels at mid grey. blur: Gaussian sigma in pixels at 640 wide. jpeg: quality
    1-100, None for no compression. gain: RGB factors (exposure and white balance).
    """

    def __init__(
        self,
        rng: np.random.Generator,
        width: int,
        height: int,
        noise: float = 2.5,
        blur: float = 0.6,
        jpeg: int | None = 90,
        gain: Sequence[float] | np.ndarray = (1.0, 1.0, 1.0),
    ):
        self._rng, self.noise, self.blur, self.jpeg = rng, noise, blur * width / 640.0, jpeg
        self._gain = np.asarray(gain, np.float32)
        # One large field of noise, of which each frame takes another part: new noise per frame would cost more time
        # than the rendering.
        self._field = rng.normal(0.0, 1.0, (height + 97, width + 131, 3)).astype(np.float32)

    def __call__(self, image: np.ndarray, motion=(0.0, 0.0)) -> np.ndarray:
        """The picture (H, W, 3) uint8 RGB as this camera would give it; motion: its shift in pixels while exposed."""
        height, width = image.shape[:2]
        picture: np.ndarray = image.astype(np.float32)
        length = float(np.hypot(*motion))
        if length > 1.0:
            picture = cv2.filter2D(picture, -1, line_kernel(motion))
        if self.blur > 0:
            picture = cv2.GaussianBlur(picture, (0, 0), self.blur)
        if (self._gain != 1.0).any():
            picture *= self._gain
        if self.noise > 0:
            y, x = self._rng.integers(0, self._field.shape[0] - height + 1), self._rng.integers(0, 132)
            field = self._field[y : y + height, x : x + width]
            # Shot noise grows with the root of the light; a floor stands for the read-out.
            picture += field * (self.noise * np.sqrt(0.25 + picture * (0.75 / 128.0)))
        picture = np.clip(picture + 0.5, 0, 255).astype(np.uint8)
        if self.jpeg is None:
            return picture
        _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(self.jpeg)])
        return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def line_kernel(motion: np.ndarray | Sequence[float]) -> np.ndarray:
    """A normalised kernel that averages along the vector `motion`, pixels."""
    size = int(np.ceil(np.abs(motion).max())) | 1
    kernel = np.zeros((size, size), np.float32)
    middle = np.array([size // 2, size // 2])
    half = np.asarray(motion, float) / 2.0
    for step in np.linspace(-1.0, 1.0, 4 * size + 1):
        x, y = np.clip(np.round(middle + step * half).astype(int), 0, size - 1)
        kernel[y, x] += 1.0
    return kernel / kernel.sum()
