"""CameraInfo messages to cameras, matched with the images they belong to."""

from __future__ import annotations

import numpy as np

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera

UNKNOWN, CALIBRATED, UNCALIBRATED, INVALID, MISMATCH = "unknown", "calibrated", "uncalibrated", "invalid", "mismatch"
"""States of calibration: no CameraInfo yet; in use; zero or NaN focal length; refused; not of this image's shape."""

_ASPECT_TOLERANCE = 0.01
"""Relative difference of the aspect ratios up to which an image is a resized version of the calibrated one: rounding
to whole pixels makes a difference (640x360 to 213x120), another sensor mode makes a larger one (4:3 and 16:9: 0.33)."""


def camera_from_info(info) -> Camera | None:
    """sensor_msgs/CameraInfo to the camera of its images (region of interest and binning applied), or None.

    None where the focal length is zero or NaN, which is how an uncalibrated camera says so. Raises InputError where the
    message is malformed otherwise.
    """
    matrix = np.array(info.k, dtype=np.float64).reshape(3, 3)
    focal = matrix[[0, 1], [0, 1]]
    if (focal == 0).any() or np.isnan(focal).any():
        return None
    width, height = info.width, info.height
    if info.roi.width and info.roi.height:
        matrix[:2, 2] -= info.roi.x_offset, info.roi.y_offset
        width, height = info.roi.width, info.roi.height
    distortion = np.array(info.d, dtype=np.float64)
    model = info.distortion_model if (distortion != 0).any() else ""
    camera = Camera(width, height, matrix, model, distortion if model else np.zeros(0))
    return camera.resized(width // max(info.binning_x, 1), height // max(info.binning_y, 1))


class CameraSource:
    """The camera of each image: from the newest CameraInfo, else one with an assumed field of view.

    default_fov: horizontal field of view in degrees of the assumed camera. `state` is the last image's: CALIBRATED, or
    why a field of view was assumed, which `problem` says in words. CameraInfo may arrive in another thread.
    """

    def __init__(self, default_fov: float):
        self.default_fov = default_fov
        self._key: tuple | None = None
        self._newest: tuple[Camera | None, str, str] = (None, UNKNOWN, "no CameraInfo has been received")
        self._matched: Camera | None = None
        self._matched_from: tuple = ()
        self.state, self.problem = UNKNOWN, ""

    def update(self, info) -> None:
        """Take in a CameraInfo; the same as the last one costs a comparison."""
        key = (info.width, info.height, info.distortion_model, bytes(np.asarray(info.k)), bytes(np.asarray(info.d)),
               info.binning_x, info.binning_y, info.roi)
        if key == self._key:
            return
        self._key = key
        try:
            camera = camera_from_info(info)
            if camera is None:
                self._newest = None, UNCALIBRATED, "the focal length in CameraInfo is zero or NaN"
            else:
                self._newest = camera, CALIBRATED, ""
        except InputError as error:
            self._newest = None, INVALID, f"CameraInfo is malformed: {error}"

    def camera_for(self, width: int, height: int) -> Camera:
        """The camera of an image of that size; its `calibrated` is False where the field of view is assumed.

        The same object again as long as nothing changes, so that nothing downstream has to compare matrices.
        """
        camera, self.state, self.problem = self._newest
        if camera is not None and abs(width * camera.height / (height * camera.width) - 1.0) > _ASPECT_TOLERANCE:
            self.state = MISMATCH
            self.problem = (f"CameraInfo is for {camera.width}x{camera.height} pixels, and the image's "
                            f"{width}x{height} are of another shape")
            camera = None
        matched_from = camera, width, height, self.default_fov
        if self._matched_from != matched_from:
            self._matched_from = matched_from
            self._matched = (Camera.from_fov(width, height, self.default_fov) if camera is None
                             else camera.resized(width, height))
        return self._matched
