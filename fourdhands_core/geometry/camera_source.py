"""The camera of each image: from the newest calibration, from a fixed lens, or assumed."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .calibration import Calibration, View
from .calibration_file import read_views
from .camera import Camera

UNKNOWN, CALIBRATED, UNCALIBRATED, INVALID, MISMATCH = "unknown", "calibrated", "uncalibrated", "invalid", "mismatch"
"""States of calibration: none yet; in use; zero or NaN focal length; refused; not of this image's shape."""

_ASPECT_TOLERANCE = 0.01
"""Relative difference of the aspect ratios up to which an image is a resized version of the calibrated one: rounding
to whole pixels makes a difference (640x360 to 213x120), another sensor mode makes a larger one (4:3 and 16:9: 0.33)."""


class CameraSource:
    """The camera of each image: from the newest CameraInfo, else a fixed lens, else with an assumed field of view.

    default_fov: horizontal field of view in degrees of the assumed camera. fov, intrinsics: the fixed lens, its
    horizontal field of view in degrees or a calibration file; neither, or one of them. rectified: whether the images
    are rectified, None where that is not known, see Calibration. unknown: `problem` as long as there is no calibration.
    Raises InputError for a lens that cannot be used.

    `state` is the last image's: CALIBRATED, or why a field of view was assumed, which `problem` says in words.
    `remarks`: sentences for the user on what was assumed of the last image's calibration. CameraInfo may arrive in
    another thread.
    """

    def __init__(
        self,
        default_fov: float,
        *,
        fov: float | None = None,
        intrinsics: str | Path | None = None,
        rectified: bool | None = False,
        unknown: str = "no CameraInfo has been received",
    ) -> None:
        if fov is not None and intrinsics is not None:
            raise InputError("both a field of view and an intrinsics file were given; give one of them")
        if fov is not None:
            Camera.from_fov(640, 480, fov)  # says what is wrong with it
        self.default_fov, self.rectified = default_fov, rectified
        self._fov, self._intrinsics = fov, intrinsics
        self._fixed = read_views(intrinsics, rectified) if intrinsics is not None else []
        self._calibration: Calibration | None = None
        self.newest: tuple[list[View], str, str] = ([], UNKNOWN, unknown)
        self._matched: Camera | None = None
        self._matched_from: tuple = ()
        self.state, self.problem = UNKNOWN, ""
        self.remarks: tuple[str, ...] = ()

    def update(self, calibration: Calibration) -> None:
        """Take in the calibration of a CameraInfo; the same as the last one costs a comparison."""
        if calibration == self._calibration:
            return
        self._calibration = calibration
        try:
            views = calibration.views(self.rectified)
            zero = "the focal length in CameraInfo is zero or NaN"
            self.newest = (views, CALIBRATED, "") if views else ([], UNCALIBRATED, zero)
        except InputError as error:
            self.newest = [], INVALID, f"CameraInfo is malformed: {error}"

    def camera_for(self, width: int, height: int) -> Camera:
        """The camera of an image of that size; its `calibrated` is False where the field of view is assumed.

        The same object again as long as nothing changes, so that nothing downstream has to compare matrices. Raises
        InputError for a fixed lens that is of images of another shape.
        """
        views, self.state, self.problem = self.newest
        view = _of_size(views, width, height)
        if views and view is None:
            camera = views[0].camera
            self.state = MISMATCH
            size = f"{camera.width}x{camera.height}"
            self.problem = f"CameraInfo is for {size} pixels, and the image's {width}x{height} are of another shape"
        if view is None and (self._fixed or self._fov is not None):
            view = self._fixed_view(width, height)
            self.state, self.problem = CALIBRATED, ""
        self.remarks = view.remarks if view else ()
        matched_from = view, width, height, self.default_fov
        if self._matched is None or self._matched_from != matched_from:
            self._matched_from = matched_from
            self._matched = (
                view.camera.resized(width, height)
                if view
                else Camera.from_fov(width, height, self._fov or self.default_fov, calibrated=self._fov is not None)
            )
        return self._matched

    def _fixed_view(self, width: int, height: int) -> View | None:
        view = _of_size(self._fixed, width, height)
        if self._fixed and view is None:
            camera = self._fixed[0].camera
            why = (
                "they are turned by a quarter, as a phone's video that is shown upright; calibrate with images that are "
                "turned alike, or turn the video to how the camera was calibrated"
                if _of_size(self._fixed, height, width)
                else "other proportions mean another crop; calibrate at the images' resolution"
            )
            raise InputError(
                f"intrinsics {self._intrinsics} are for {camera.width}x{camera.height}, the images are {width}x{height}: {why}"
            )
        return view


def _of_size(views: list[View], width: int, height: int) -> View | None:
    """The first view of exactly this size, else the first of this shape."""
    same = [view for view in views if (view.camera.width, view.camera.height) == (width, height)]
    alike = [view for view in views if of_one_shape((width, height), (view.camera.width, view.camera.height))]
    return next(iter(same + alike), None)


def of_one_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether images of these sizes, (width, height), may be of one view at two resolutions."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1.0) <= _ASPECT_TOLERANCE
