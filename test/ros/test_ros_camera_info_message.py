"""A CameraInfo message made into the camera that images are of."""

import numpy as np
import pytest
from ros_support import info_message

from fourdhands_core.geometry.camera_source import CALIBRATED, INVALID, MISMATCH, UNCALIBRATED, UNKNOWN, CameraSource
from fourdhands_ros.convert.camera_info import calibration_from_info


def test_camera_info_is_taken_over():
    message = info_message(640, 480, 500.0)
    message.d = [0.1, -0.2, 0.001, 0.002, 0.05]
    camera = calibration_from_info(message).camera()
    assert (camera.width, camera.height, camera.distortion_model, camera.calibrated) == (640, 480, "plumb_bob", True)
    np.testing.assert_array_equal(camera.distortion, message.d)
    np.testing.assert_array_equal(camera.matrix.ravel(), message.k)


@pytest.mark.parametrize("model, count", [("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4)])
def test_distortion_models(model, count):
    message = info_message()
    message.distortion_model, message.d = model, [0.01] * count
    assert calibration_from_info(message).camera().distortion_model == model


def test_no_distortion_needs_no_model():
    """Simulators name models of their own, with zeros."""
    message = info_message()
    message.distortion_model = "none"
    assert calibration_from_info(message).camera().distortion_model == ""


def test_region_of_interest_and_binning():
    """A point of the full sensor seen in the region of interest, binned 2x2, is where the sensor's geometry puts it."""
    message = info_message(640, 480, 500.0)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 100, 40, 400, 300
    message.binning_x = message.binning_y = 2
    camera = calibration_from_info(message).camera()
    assert (camera.width, camera.height) == (200, 150)
    point = np.array([0.1, -0.05, 1.0])
    full = np.array([500 * 0.1 + 319.5, 500 * -0.05 + 239.5])
    np.testing.assert_allclose(camera.project(point), (full - (100, 40) + 0.5) / 2 - 0.5)


@pytest.mark.parametrize("matrix", [[0.0] * 9, [float("nan")] * 9, [0.0, 0, 5, 0, 9, 5, 0, 0, 1]])
def test_zero_or_nan_focal_length_means_uncalibrated(matrix):
    message = info_message()
    message.k = matrix
    assert calibration_from_info(message).camera() is None
    source = CameraSource(60.0)
    source.update(calibration_from_info(message))
    camera = source.camera_for(64, 48)
    assert source.state == UNCALIBRATED and not camera.calibrated and "zero or NaN" in source.problem


@pytest.mark.parametrize(
    "change",
    [
        dict(k=[-5.0, 0, 5, 0, -5, 5, 0, 0, 1]),
        dict(k=[float("inf"), 0, 5, 0, 9, 5, 0, 0, 1]),
        dict(width=0),
        dict(d=[0.1, 0.2]),
        dict(d=[float("nan")] * 5),
        dict(distortion_model="fancy", d=[0.1] * 5),
        dict(k=[60.0, 0, float("nan"), 0, 60, 5, 0, 0, 1]),
        dict(binning_x=1000),
    ],
)
def test_malformed_camera_info_is_named_and_replaced(change):
    source = CameraSource(60.0)
    source.update(calibration_from_info(info_message()))
    message = info_message()
    for name, value in change.items():
        setattr(message, name, value)
    source.update(calibration_from_info(message))
    camera = source.camera_for(64, 48)
    assert source.state == INVALID and source.problem.startswith("CameraInfo is malformed") and not camera.calibrated
    source.update(calibration_from_info(info_message()))
    assert source.camera_for(64, 48).calibrated and source.state == CALIBRATED and not source.problem


def test_camera_follows_the_image():
    source = CameraSource(60.0)
    assert not source.camera_for(64, 48).calibrated and source.state == UNKNOWN
    source.update(calibration_from_info(info_message(640, 480, 500.0)))
    camera = source.camera_for(640, 480)
    assert camera.calibrated and camera.matrix[0, 0] == 500.0 and source.camera_for(640, 480) is camera
    half = source.camera_for(320, 240)  # the same shape: a resized image
    assert half.calibrated and half.matrix[0, 0] == 250.0 and source.state == CALIBRATED
    other = source.camera_for(640, 360)
    assert not other.calibrated and source.state == MISMATCH and "640x480" in source.problem
    source.default_fov = 90.0
    np.testing.assert_allclose(source.camera_for(640, 360).matrix[0, 0], 320.0)
    assert source.camera_for(640, 480).calibrated
