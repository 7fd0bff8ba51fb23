"""What a CameraInfo or a calibration file says of a lens, in all the ways the ecosystem says it, made into Cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from .camera import COEFFICIENTS, Camera
from .plausibility import checked_distortion, checked_matrix

_NAMES = {
    **dict.fromkeys(("plumb_bob", "radtan", "radial_tangential", "brown_conrady", "modified_brown_conrady"), "plumb_bob"),
    **dict.fromkeys(("rational_polynomial", "rational"), "rational_polynomial"),
    **dict.fromkeys(("equidistant", "equi", "fisheye", "kannala_brandt", "kannala_brandt4", "kb4"), "equidistant"),
}
"""Distortion models by the names that drivers and calibration tools give them; of what RealSense's driver calls
modified_brown_conrady it makes plumb_bob itself."""
_UNNAMED = "", "pinhole"
"""What is sent in place of a name."""
_CLEARLY = 0.01
"""Difference of two matrices that matters: of focal lengths relative, of principal points in units of the image."""


@dataclass(frozen=True)
class View:
    """A camera whose images have this one's size, or another of its shape.

    remarks: sentences for the user where something about it had to be assumed.
    """

    camera: Camera
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """A calibration as it is given, which nobody has checked yet.

    width, height: of the sensor's whole image, pixels. k: K of the raw image, 9 numbers row by row. distortion_model,
    d: its distortion, the model under any name. p: P of the rectified image, 12 numbers; none or zeros where unknown.
    roi: x_offset, y_offset, width, height of the part of the sensor that images show; zeros for the whole. binning:
    pixels of the sensor that are one of the image's, (x, y); 0 is 1.
    """

    width: int
    height: int
    k: tuple[float, ...]
    distortion_model: str = ""
    d: tuple[float, ...] = ()
    p: tuple[float, ...] = ()
    roi: tuple[int, int, int, int] = (0, 0, 0, 0)
    binning: tuple[int, int] = (0, 0)

    def views(self, rectified: bool | None = False) -> list[View]:
        """The cameras that images can be of, the one that the calibration states first; none where it is uncalibrated.

        rectified: images are rectified, so that P without distortion holds for them; None where that is not known.
        Raises InputError where what is given is no lens; what is doubtful is among the remarks.
        """
        matrix, model, distortion, remarks = self._lens(rectified)
        if matrix is None:
            return []
        name = "P" if rectified and _focal_lengths(_rows(self.p)) else "K"
        matrix, of_matrix = checked_matrix(matrix, self.width, self.height, name, model)
        whole = Camera(self.width, self.height, matrix, model, distortion)
        x, y, width, height = self.roi
        if not (width and height) or (width, height) == (self.width, self.height):
            remarks = (*remarks, *of_matrix, *checked_distortion(whole))
            return [View(camera, remarks) for camera in self._binned(whole)]
        part = Camera(width, height, matrix - [[0, 0, x], [0, 0, y], [0, 0, 0]], model, distortion)
        remarks = (*remarks, *of_matrix, *checked_distortion(part))
        views, region = [View(camera, remarks) for camera in self._binned(whole)], self._binned(part)
        size = f"{region[0].width}x{region[0].height}"
        remark = (
            f"the calibration's region of interest makes images of {size} pixels, and these show the whole "
            f"{self.width}x{self.height}: the region is not applied"
        )
        # The region without its binning comes last: nothing but the image's very size speaks for it.
        return [
            View(region[0], remarks),
            *(View(view.camera, (*remarks, remark)) for view in views),
            *(View(camera, remarks) for camera in region[1:]),
        ]

    def camera(self, rectified: bool | None = False) -> Camera | None:
        """The camera that the calibration states, None where it is uncalibrated. Raises InputError."""
        views = self.views(rectified)
        return views[0].camera if views else None

    def _binned(self, camera: Camera) -> list[Camera]:
        """As it is with the binning, then as it is without."""
        x, y = (max(1, pixels) for pixels in self.binning)
        return [camera.resized(camera.width // x, camera.height // y), *([camera] if max(x, y) > 1 else [])]

    def _lens(self, rectified: bool | None) -> tuple[np.ndarray | None, str, np.ndarray, tuple[str, ...]]:
        """Matrix (3, 3), or None where it says that the camera is uncalibrated, model and coefficients; remarks."""
        k = np.array(self.k, dtype=np.float64).reshape(3, 3)
        p = _rows(self.p)
        if rectified and _focal_lengths(p):
            remarks: tuple[str, ...] = ()
            if p[0, 3] or p[1, 3]:
                baseline = np.hypot(p[0, 3] / p[0, 0], p[1, 3] / p[1, 1])
                remarks = (
                    f"P is that of a stereo pair's second camera, {baseline:.3g} m from the first: positions "
                    "are relative to this camera, whatever frame its images name",
                )
            return p[:, :3], "", np.zeros(0), remarks
        if not _focal_lengths(k):
            return None, "", np.zeros(0), ()
        if rectified:
            focal = p[[0, 1], [0, 1]]
            what = "missing" if not len(self.p) else "not a number" if np.isnan(focal).any() else "zero"
            remark = f"the images are rectified but P is {what}: K without distortion is used; publish P, or give raw images"
            return k, "", np.zeros(0), (remark,) if np.any(self.d) else ()
        model, distortion, remarks = lens_model(self.distortion_model, self.d)
        if rectified is None and model and _focal_lengths(p) and self._differ(k, p[:, :3]):
            remarks = (
                *remarks,
                "nothing says whether the images are rectified, and P differs from K: they are taken "
                "as raw; say so with `rectified` false, or true",
            )
        return k, model, distortion, remarks

    def _differ(self, k: np.ndarray, p: np.ndarray) -> bool:
        scale = [[k[0, 0], 1.0, self.width], [1.0, k[1, 1], self.height], [1.0, 1.0, 1.0]]
        with np.errstate(all="ignore"):  # Camera refuses what is not finite
            return bool((np.abs((k - p) / np.maximum(scale, 1e-9)) > _CLEARLY).any())


def lens_model(name: str, coefficients: Sequence[float] | np.ndarray) -> tuple[str, np.ndarray, tuple[str, ...]]:
    """A distortion model under Camera's name, its coefficients with a count that Camera takes, and remarks.

    A model without a name is plumb_bob, as for ROS's camera_calibration_parsers, or with 8 coefficients or more
    rational_polynomial; zeros more than a model has are dropped. Raises InputError for a model that is not known.
    """
    d = np.array(coefficients, dtype=np.float64).reshape(-1)
    if not d.any():
        return "", np.zeros(0), ()
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    used = len(np.trim_zeros(d, "b"))
    model = _NAMES.get(key)
    remarks: tuple[str, ...] = ()
    if key in _UNNAMED:
        model = "plumb_bob" if used <= 5 else "rational_polynomial"
        remarks = (f"the calibration has distortion coefficients and names no model: {model} is assumed",)
    elif model is None:
        raise InputError(
            f"distortion model {name!r} is not known; known are {', '.join(sorted(_NAMES))}. Rectify the "
            "images, or calibrate with one of these"
        )
    elif model == "plumb_bob" and used > 5:
        model = "rational_polynomial"
        remarks = (
            f"the calibration has {len(d)} coefficients and calls them {name}, which has 5: "
            "rational_polynomial, of which it is a part, is assumed",
        )
    elif model == "rational_polynomial" and len(d) in COEFFICIENTS["plumb_bob"]:
        model = "plumb_bob"
    if len(d) not in COEFFICIENTS[model] and (fitting := [count for count in COEFFICIENTS[model] if used <= count <= len(d)]):
        d = d[: fitting[-1]]
    return model, d, remarks


def _rows(p: Sequence[float]) -> np.ndarray:
    """P (3, 4), zeros where there is none."""
    return np.array(p or np.zeros(12), dtype=np.float64).reshape(3, 4)


def _focal_lengths(matrix: np.ndarray) -> bool:
    """Whether a matrix has focal lengths: an uncalibrated camera's are zero, or NaN."""
    focal = matrix[[0, 1], [0, 1]]
    return not ((focal == 0).any() or np.isnan(focal).any())
