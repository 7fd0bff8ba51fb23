"""CameraInfo messages to calibrations."""

from __future__ import annotations

from fourdhands_core.geometry.calibration import Calibration


def calibration_from_info(info) -> Calibration:
    """sensor_msgs/CameraInfo to what it says of its camera; nothing of it is checked."""
    roi = info.roi
    return Calibration(
        info.width, info.height, tuple(map(float, info.k)), info.distortion_model, tuple(map(float, info.d)),
        tuple(map(float, info.p)), (roi.x_offset, roi.y_offset, roi.width, roi.height), (info.binning_x, info.binning_y))
