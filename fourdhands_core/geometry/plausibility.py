"""Whether a calibration can be a camera's: what certainly is none is refused, what hardly is one is told.

The limits leave room for every lens that hands are looked at with (fields of view from 1 to 177 degrees, fisheyes, parts of
an image, pixels that are not square), since what is refused here has no scale.
"""

from __future__ import annotations

import numpy as np

from ..errors import InputError
from .camera import Camera

_PIXEL, _NO_PIXEL = 1.1, 3.0
"""Sides of a pixel, the longer to the shorter: above, it is told; refused. Half of the lines is 2, 4:3 as 16:9 is 1.33."""
_SHORT, _NO_SHORT = 0.1, 0.015
"""Focal lengths by the image's shorter side: below, it is told (157 degrees across it without distortion); refused (177),
as those in millimetres are."""
_LONG, _NO_LONG = 10.0, 200.0
"""Focal lengths by the image's longer side: above, it is told (6 degrees across it); refused (0.3)."""
_SIDEWAYS = {"equidistant": 1.75}
"""Focal lengths by which the principal point may lie beside the image: a fisheye's pixels are up to 100 degrees off axis."""
_SIDEWAYS_OTHER = 1.2
"""Of lenses without a fisheye's model: 50 degrees."""
_ALIKE = 0.08
"""Relative difference of cx / width and cy / height up to which they may come from an image of another resolution."""
_CORNER = 0.03
"""By the image's side: nearer to its first pixel the principal point is that of no other resolution, but of a part."""
_RESOLUTION, _NO_RESOLUTION = 1.15, 1.4
"""Where they are alike: how many times as large, or small, that image would be before it is told; refused."""
_ASIDE = 0.25
"""Distance of the principal point from the image's middle that is told, by the image's side."""
_SKEW, _NO_SKEW = 0.02, 0.2
"""K[1] by the focal length: above, it is told; refused."""
_SEEN, _NO_SEEN = 0.9, 0.5
"""Share of the image's pixels that have a ray where the distortion folds: below, it is told; refused."""
_DRAWN, _NO_DRAWN = 0.6, 0.33
"""How far from the axis a ray is by where the distortion draws it to: below, it is told; refused."""
_NEAR = 2.0
"""Rays x/z, y/z among which none may have changed places with its neighbours; farther out they are too far apart to tell."""
_GRID = 25, 19
"""Pixels across and down at which a distortion is looked at."""


def checked_matrix(matrix: np.ndarray, width: int, height: int, name: str, model: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """A camera matrix (3, 3) as it is to be used, and sentences for the user on what is doubtful about it.

    width, height: of the whole image, pixels. name: "K" or "P". model: of its distortion. What `Camera` refuses is left to
    it. Raises InputError where this is no camera's matrix.
    """
    if not np.isfinite(matrix).all() or (matrix[[0, 1], [0, 1]] <= 0.0).any() or min(width, height) < 1:
        return matrix, ()
    matrix, remarks = _of_its_form(matrix, name)
    (fx, skew, cx), (fy, cy) = matrix[0], matrix[1, 1:]
    across, down = cx / width, cy / height
    pixel, times = max(fx / fy, fy / fx), across + down
    short, long = min(fx, fy) / min(width, height), max(fx, fy) / max(width, height)
    beside = np.hypot(max(-cx, cx - width, 0.0) / fx, max(-cy, cy - height, 0.0) / fy)
    alike, size = min(across, down) > _CORNER and abs(across - down) < _ALIKE * times / 2.0, f"{width}x{height}"
    other = max(times, 1.0 / times) if alike else 1.0
    focal = f"{name} has the focal lengths fx={fx:g}, fy={fy:g}"
    centre = f"{name} has the principal point cx={cx:g}, cy={cy:g}"
    whole = f"{centre}, that of an image of about {2 * cx:.0f}x{2 * cy:.0f} pixels, and says {size}"
    again = "calibrate again, or correct it"
    for value, told, refused, what, how in (
        (pixel, _PIXEL, _NO_PIXEL, f"{focal}, of pixels {pixel:.3g} times as long as wide", again),
        (1.0 / short, 1.0 / _SHORT, 1.0 / _NO_SHORT, f"{focal}, very short for {size}", "give them in pixels"),
        (long, _LONG, _NO_LONG, f"{focal}, very long for {size}", "give them in pixels"),
        (beside, np.inf, _SIDEWAYS.get(model, _SIDEWAYS_OTHER), f"{centre}, far outside of {size}", again),
        (other, _RESOLUTION, _NO_RESOLUTION, whole, "give both of one resolution, and a part of an image as roi"),
        (abs(skew) / fx, _SKEW, _NO_SKEW, f"{name}[1] is {skew:g}, of pixels that are not rectangular", again),
    ):
        if value > refused:
            raise InputError(f"{what}: this is no camera's; {how}")
        if value > told:
            remarks = (*remarks, f"{what}: positions are wrong if that is a mistake; {how}")
    if other <= _RESOLUTION and max(abs(across - 0.5), abs(down - 0.5)) > _ASIDE:
        remarks = (*remarks, f"{centre}, far from the middle of {size}: positions are wrong if that is a mistake; {again}")
    return matrix, remarks


def _of_its_form(matrix: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rows fx s cx, 0 fy cy, 0 0 1."""
    fx, given = matrix[0, 0], " ".join(f"{number:g}" for number in matrix.ravel())
    if matrix[2, :2].any() and not matrix[:2, 2].any():
        raise InputError(f"{name} is {given}, which is transposed; give it row by row: fx 0 cx 0 fy cy 0 0 1")
    if not matrix[2].any():
        matrix = np.array([*matrix[:2], [0.0, 0.0, 1.0]])
        return matrix, (f"{name}'s last row is zeros and is taken as 0 0 1",)
    if matrix[2, :2].any() or abs(matrix[1, 0]) > 1e-6 * fx:
        raise InputError(f"{name} is {given}, which is no camera's; give it row by row: fx 0 cx 0 fy cy 0 0 1")
    if abs(scale := matrix[2, 2] - 1.0) > 1e-6:
        raise InputError(f"{name}'s last number is {scale + 1.0:g} and not 1: it is scaled; divide all of it by that")
    return matrix, ()


def checked_distortion(camera: Camera) -> tuple[str, ...]:
    """Sentences for the user on what is doubtful about a camera's distortion. Raises InputError where it is no lens's."""
    if not camera.distortion.any():
        return ()
    x, y = np.meshgrid(*(np.linspace(0.0, side - 1.0, count) for side, count in zip((camera.width, camera.height), _GRID)))
    pixels = np.stack([x, y], axis=-1)
    rays = camera.unproject(pixels)
    seen = Camera.sees(rays)
    # A fisheye's image may end in a circle, which no fold makes.
    share = float(seen.mean()) if camera.folds else 1.0
    k = camera.matrix
    shown = np.linalg.norm((pixels - k[:2, 2]) / k[[0, 1], [0, 1]], axis=-1)
    with np.errstate(all="ignore"):  # of pixels without a ray, and of the middle
        drawn = float(np.min(np.linalg.norm(rays, axis=-1) / shown, where=seen & (shown > 1e-3), initial=1.0))
        (ax, ay), (bx, by) = (np.moveaxis(side, -1, 0) for side in _steps(np.where(np.abs(rays) < _NEAR, rays, np.nan)))
        turned = bool((ax * by - ay * bx <= 0.0).any())
    given = " ".join(f"{number:g}" for number in camera.distortion)
    what = f"the distortion {given} of {camera.distortion_model}"
    again = "calibrate again, or give the coefficients in the order of that model"
    size = f"{camera.width}x{camera.height}"
    if share < _NO_SEEN or drawn < _NO_DRAWN or turned:
        raise InputError(f"{what} folds or tears the image of {size} pixels, as no lens does; {again}")
    if share < _SEEN:
        return (
            f"{what} leaves {100 * (1 - share):.0f} % of {size} pixels without an image, where no hand has a place; {again}",
        )
    if drawn < _DRAWN:
        return (f"{what} is very strong for {size} pixels: positions are wrong if that is a mistake; {again}",)
    return ()


def _steps(rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From the rays of each pixel of a grid (H, W, 2) to those of the next one across, and down; each (H-1, W-1, 2)."""
    first = rays[:-1, :-1]
    return rays[:-1, 1:] - first, rays[1:, :-1] - first
