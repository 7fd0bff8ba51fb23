"""Pinhole cameras with lens distortion, as ROS's CameraInfo describes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from ..errors import InputError

_LARGEST_SIDE = 1 << 16
"""Pixels; no camera has more."""
_FOCAL = 1e-4, 1e4
"""Focal lengths in units of the image's larger side, between which even fisheyes and telescopes are."""
_FARTHEST_CENTRE = 1e3
"""How far the principal point may lie from a region of interest, in units of the region's larger side."""
_STEEPEST = 1e3
"""The largest x/z or y/z of a ray that a lens sees: 89.9 degrees off its axis."""
_EXACT, _REPROJECTED = 1e-6, 0.5
"""Pixels by which a ray that was found for a pixel is projected beside it when it is good enough, and at most."""
_STEPS = 20
"""Of Newton's method at most; it takes three or four but near the fold."""
COEFFICIENTS = {"": (0,), "plumb_bob": (0, 4, 5), "rational_polynomial": (0, 8, 12, 14), "equidistant": (0, 4)}
"""Distortion models, and how many coefficients each may have. Another one also needs

here `Camera._lens`, and where the order of coefficients matters `_known_radii` and `mirrored`;
its names in `geometry/calibration.py`: `_NAMES`, `lens_model`, and Kalibr's in `geometry/calibration_file.py`:
`_of_kalibr`; of a fisheye `geometry/plausibility.py`: `_SIDEWAYS`; a word in README.md. Tests with all models:
`LENSES` of `test/test_geometry_camera.py`, `test/ros/test_ros_camera_info_message.py`, `test/fuzz/message_inputs.py`.
"""


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one camera.

    width, height: image size, pixels. matrix: (3, 3) float64 K, pixels, pixel centres at integers.
    distortion_model: "" (none), plumb_bob, rational_polynomial or equidistant (ROS's names).
    distortion: coefficients in OpenCV's order. calibrated: False where the focal length was assumed, so that
    positions computed with this camera are unscaled.

    widest: radius x/z, y/z of the rays up to which the distortion moves a point further out the further out its ray is.
    Beyond it folds back into the image, where no lens does.
    """

    width: int
    height: int
    matrix: np.ndarray
    distortion_model: str = ""
    distortion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    calibrated: bool = True
    widest: float = field(init=False, repr=False, default=_STEEPEST)
    _radii: tuple[np.ndarray, np.ndarray] = field(init=False, repr=False, default=(np.zeros(0), np.zeros(0)))

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        distortion = np.array(self.distortion, dtype=np.float64).reshape(-1)
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "distortion", distortion)
        if not (0 < self.width <= _LARGEST_SIDE and 0 < self.height <= _LARGEST_SIDE):
            raise InputError(
                f"camera image size {self.width}x{self.height} is not between 1 and {_LARGEST_SIDE}; give the image's size"
            )
        if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
            raise InputError(f"camera matrix must be 3x3 finite numbers, not {matrix.tolist()}; check the calibration")
        if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
            raise InputError(
                f"focal lengths fx={matrix[0, 0]}, fy={matrix[1, 1]} are not positive; an uncalibrated camera "
                "publishes zeros: calibrate it, or give a field of view instead"
            )
        side = max(self.width, self.height)
        focal = matrix[[0, 1], [0, 1]] / side
        if (
            not ((focal > _FOCAL[0]) & (focal < _FOCAL[1])).all()
            or (np.abs(matrix[[0, 0, 1], [1, 2, 2]]) > _FARTHEST_CENTRE * side).any()
        ):
            raise InputError(
                f"camera matrix {matrix.tolist()} is no lens's for {self.width}x{self.height} pixels; check the calibration"
            )
        counts = COEFFICIENTS.get(self.distortion_model)
        if counts is None:
            raise InputError(f"distortion model {self.distortion_model!r} is not known; use one of {sorted(COEFFICIENTS)}")
        if len(distortion) not in counts or not np.isfinite(distortion).all():
            raise InputError(
                f"distortion model {self.distortion_model!r} takes {counts} finite coefficients, "
                f"not {distortion.tolist()}; check the calibration"
            )
        if distortion.any():
            object.__setattr__(self, "_radii", self._known_radii())
            object.__setattr__(self, "widest", self._radii[1][-1])
        if distortion.any() and not self.sees(self.unproject(self._middle())).all():
            raise InputError(
                f"the distortion {distortion.tolist()} leaves no image of {self.width}x{self.height} "
                "pixels; check the calibration"
            )

    def _middle(self) -> np.ndarray:
        """Nine pixels (9, 2) about the middle of the image, which every lens maps to something."""
        x, y = np.meshgrid(*([0.4, 0.5, 0.6] * np.array([[self.width - 1], [self.height - 1]])))
        return np.stack([x.ravel(), y.ravel()], axis=-1)

    @property
    def folds(self) -> bool:
        """Whether the distortion folds back anywhere before 89.9 degrees off the axis."""
        return self.widest < 0.99 * _STEEPEST

    @staticmethod
    def sees(rays: np.ndarray) -> np.ndarray:
        """(...,) bool: rays (..., 2) as from `unproject` are in front of a lens; NaN, of pixels it cannot map, is not."""
        return (np.abs(rays) < _STEEPEST).all(axis=-1)

    @classmethod
    def from_fov(cls, width: int, height: int, fov_degrees: float, calibrated: bool = False) -> Camera:
        """An undistorted camera with square pixels from its horizontal field of view in degrees (0-180, exclusive)."""
        if not 0.0 < fov_degrees < 180.0:
            raise InputError(f"field of view {fov_degrees} degrees is not between 0 and 180")
        focal = width / (2.0 * np.tan(np.radians(fov_degrees) / 2.0))
        matrix = [[focal, 0.0, (width - 1) / 2.0], [0.0, focal, (height - 1) / 2.0], [0.0, 0.0, 1.0]]
        return cls(width, height, np.array(matrix), calibrated=calibrated)

    def resized(self, width: int, height: int) -> Camera:
        """The same lens for an image scaled to width x height (pixel centres at integers)."""
        if (width, height) == (self.width, self.height):
            return self
        matrix, scale = self.matrix.copy(), np.array([width / self.width, height / self.height])
        matrix[:2] *= scale[:, None]
        matrix[:2, 2] += (scale - 1.0) / 2.0
        return Camera(width, height, matrix, self.distortion_model, self.distortion, self.calibrated)

    def mirrored(self) -> Camera:
        """The camera of this one's images mirrored in x, in whose optical frame the world is mirrored in x too."""
        matrix = self.matrix.copy()
        matrix[0, 1] = -matrix[0, 1]
        matrix[0, 2] = self.width - 1.0 - matrix[0, 2]
        distortion = self.distortion.copy()
        if self.distortion_model in ("plumb_bob", "rational_polynomial"):
            # Of OpenCV's k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4 tau_x tau_y: those whose shift along x keeps its sign where x
            # changes its own.
            turned = [i for i in (3, 8, 9, 13) if i < len(distortion)]
            distortion[turned] = -distortion[turned]
        return Camera(self.width, self.height, matrix, self.distortion_model, distortion, self.calibrated)

    def is_like(self, other: Camera) -> bool:
        """Whether both are one lens at whatever resolutions: the same rays in the same parts of their images, to 1 %."""

        def relative(camera: Camera) -> np.ndarray:
            centre_of_pixels = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
            return (camera.matrix + centre_of_pixels) / [[camera.width], [camera.height], [1.0]]

        return self is other or (
            (self.calibrated, self.distortion_model, *self.distortion)
            == (other.calibrated, other.distortion_model, *other.distortion)
            and bool((np.abs(relative(self) - relative(other)) < 0.01).all())
        )

    def unproject(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) to undistorted normalised coordinates (..., 2): x/z, y/z in the camera's optical frame.

        NaN for pixels that the lens maps nothing to, as a calibration's distortion may leave in the corners.
        """
        pixels = np.asarray(pixels, dtype=np.float64)
        k = self.matrix
        y = (pixels[..., 1] - k[1, 2]) / k[1, 1]
        if not self.distortion.any():
            return np.stack([(pixels[..., 0] - k[0, 2] - k[0, 1] * y) / k[0, 0], y], axis=-1)
        target = pixels.reshape(-1, 2)
        distorted = np.stack([(target[:, 0] - k[0, 2]) / k[0, 0], y.ravel()], axis=-1)
        radius, (known, ideal) = np.linalg.norm(distorted, axis=1), self._radii
        with np.errstate(all="ignore"):  # of pixels without a ray
            rays = distorted * (np.interp(radius, known, ideal) / np.maximum(radius, 1e-12))[:, None]
            for _ in range(_STEPS):  # Newton's: OpenCV's iteration finds no ray for many a pixel of a wide lens
                shown, (a, b, c, d) = self._lens(rays)
                x, y = (target - shown).T
                if (np.abs(target - shown) < _EXACT).all():
                    break
                rays = rays + np.stack([d * x - b * y, a * y - c * x], axis=-1) / (a * d - b * c)[:, None]
            else:
                shown = self._lens(rays)[0]
            found = (np.abs(target - shown) < _REPROJECTED).all(-1)
            found &= np.square(rays).sum(-1) < self.widest**2
        return np.where(found[:, None], rays, np.nan).reshape(pixels.shape)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) in metres in the camera's optical frame to pixels (..., 2); NaN behind the camera."""
        points = np.asarray(points, dtype=np.float64)
        z = np.where(points[..., 2:] > 1e-6, points[..., 2:], np.nan)
        rays = points[..., :2] / z
        if not self.distortion.any():
            k = self.matrix
            x = k[0, 0] * rays[..., 0] + k[0, 1] * rays[..., 1] + k[0, 2]
            return np.stack([x, k[1, 1] * rays[..., 1] + k[1, 2]], axis=-1)
        return self._lens(rays.reshape(-1, 2))[0].reshape(rays.shape)

    def _lens(self, rays: np.ndarray, distortion: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 2) of rays (N, 2) through a distorting lens, and derivatives dx/dX, dx/dY, dy/dX, dy/dY (4, N)."""
        if not len(rays):  # of which OpenCV makes None
            return np.zeros((0, 2)), np.zeros((4, 0))
        points, zero = np.concatenate([rays, np.ones_like(rays[:, :1])], axis=-1)[:, None], np.zeros(3)
        fisheye = self.distortion_model == "equidistant"
        project, first = (cv2.fisheye.projectPoints, 11) if fisheye else (cv2.projectPoints, 3)
        distortion = self.distortion if distortion is None else distortion
        pixels, derivatives = project(points, zero, zero, self.matrix, distortion)
        # From `first` on they are by a shift of the point along X and Y.
        return pixels[:, 0], derivatives[:, first : first + 2].reshape(-1, 4).T

    def _known_radii(self) -> tuple[np.ndarray, np.ndarray]:
        """Radii of distorted rays, increasing, and those of the rays that they come from; tangential distortion aside."""
        ideal = np.tan(np.linspace(0.0, np.arctan(_STEEPEST), 1024))
        radial = self.distortion.copy()
        if self.distortion_model != "equidistant":
            radial[2:4], radial[8:] = 0.0, 0.0
        with np.errstate(all="ignore"):
            pixels = self._lens(np.stack([ideal, 0.0 * ideal], axis=-1), radial)[0]
            distorted = (pixels[:, 0] - self.matrix[0, 2]) / self.matrix[0, 0]
            further = np.append(np.diff(distorted) > 0.0, False)
        count = 1 + int(np.argmin(further))
        return distorted[:count], ideal[:count]
