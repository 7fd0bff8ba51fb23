"""Image and CameraInfo messages: every encoding against its definition, every way of being malformed by its name."""

import array

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ros_support import info_message
from sensor_msgs.msg import CompressedImage, Image

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import (
    CALIBRATED, INVALID, MISMATCH, UNCALIBRATED, UNKNOWN, CameraSource)
from fourdhands_ros.camera_info import calibration_from_info
from fourdhands_ros.image_decoding import MalformedImage, decode_compressed, decode_image, stamp_of


def smooth_picture(width=64, height=48) -> np.ndarray:
    """An RGB picture without edges, so that colour subsampling and mosaics change it little."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + 2 * x, 200 - 2 * y, 60 + x + y], axis=-1).astype(np.uint8)


def message_of(rows: np.ndarray, encoding: str, padding: int = 0, bigendian: int = 0) -> Image:
    """An Image with the rows (H, W) or (H, W, C) of one number type, and padding bytes at the end of each."""
    height, width = rows.shape[:2]
    data = np.ascontiguousarray(rows).view(np.uint8).reshape(height, -1)
    data = np.hstack([data, np.full((height, padding), 255, np.uint8)])
    return Image(height=height, width=width, encoding=encoding, step=data.shape[1], is_bigendian=bigendian,
                 data=array.array("B", data.tobytes()))


def mosaic(picture: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor with that pattern (its upper left 2x2 pixels, row by row) sees of an RGB picture."""
    out = np.empty(picture.shape[:2], np.uint8)
    for place, colour in enumerate(pattern):
        y, x = divmod(place, 2)
        out[y::2, x::2] = picture[y::2, x::2, "rgb".index(colour)]
    return out


@pytest.mark.parametrize("padding", [0, 1, 7, 64])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "8UC3"])
def test_colour_is_exact(encoding, padding):
    picture = smooth_picture()
    layout = {"8UC3": "bgr"}.get(encoding, encoding[:-1])
    planes = {**dict(zip("rgb", np.moveaxis(picture, -1, 0))), "a": np.full(picture.shape[:2], 9, np.uint8)}
    image = decode_image(message_of(np.stack([planes[c] for c in layout], -1), encoding, padding))
    assert image.flags.c_contiguous and image.dtype == np.uint8
    np.testing.assert_array_equal(image, picture)


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("encoding, kind, bigendian", [
    ("mono8", "u1", 0), ("8UC1", "u1", 0), ("mono16", "<u2", 0), ("mono16", ">u2", 1)])
def test_grey_is_exact(encoding, kind, bigendian, padding):
    grey = smooth_picture()[..., 0]
    rows = grey if kind == "u1" else (grey.astype(np.uint16) * 256 + 77).astype(kind)
    image = decode_image(message_of(rows, encoding, padding, bigendian))
    np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, axis=-1))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_finds_the_colours(pattern, bits):
    picture = smooth_picture()
    rows = mosaic(picture, pattern)
    message = message_of(rows if bits == 8 else (rows.astype(np.uint16) << 8), f"bayer_{pattern}{bits}")
    difference = decode_image(message)[2:-2, 2:-2].astype(int) - picture[2:-2, 2:-2]
    assert abs(difference).max() <= 3


@pytest.mark.parametrize("encoding, order", [
    ("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")])
def test_yuv_finds_the_colours(encoding, order):
    picture = smooth_picture()
    red, green, blue = np.moveaxis(picture.astype(float), -1, 0)
    luma = 16 + 0.257 * red + 0.504 * green + 0.098 * blue  # ITU-R BT.601, video range
    u, v = 128 - 0.148 * red - 0.291 * green + 0.439 * blue, 128 + 0.439 * red - 0.368 * green - 0.071 * blue
    chroma = np.where(np.arange(picture.shape[1]) % 2 == 0, u, v)
    rows = np.stack([luma, chroma] if order == "yuyv" else [chroma, luma], -1).round().astype(np.uint8)
    difference = decode_image(message_of(rows, encoding, padding=4)).astype(int) - picture
    assert abs(difference).max() <= 6


def test_rgb_is_not_copied():
    message = message_of(smooth_picture(), "rgb8")
    image = decode_image(message)
    message.data[0] = 123
    assert image[0, 0, 0] == 123


@pytest.mark.parametrize("change, reason, words", [
    (dict(width=0), "size", "0x48"),
    (dict(height=0), "size", "64x0"),
    (dict(width=3, height=2, step=9, data=array.array("B", bytes(18))), "size", "3x2"),
    (dict(width=2**31, height=2**31), "size", "2147483648"),
    (dict(width=16384, height=16384), "size", "16384"),
    (dict(step=191), "step", "step 191 is below the 192 bytes"),
    (dict(step=0), "step", "step 0"),
    (dict(step=2**32 - 1), "data", "4294967295"),
    (dict(step=200), "data", "200"),
    (dict(data=array.array("B")), "data", "0 bytes"),
    (dict(data=array.array("B", bytes(64 * 48 * 3 - 1))), "data", "9215 bytes"),
    (dict(data=array.array("B", bytes(64 * 48 * 3 + 1))), "data", "9217 bytes"),
    (dict(encoding=""), "encoding", "''"),
    (dict(encoding="RGB8"), "encoding", "'RGB8'"),
    (dict(encoding="32FC1"), "encoding", "'32FC1'"),
    (dict(encoding="h264"), "encoding", "h264"),
    (dict(encoding="rgb8; rm -rf"), "encoding", "rgb8"),
    (dict(encoding="\U0001f44b" * 50), "encoding", "not supported"),
    (dict(encoding="mono16", width=63, step=125), "step", "126 bytes"),
    (dict(encoding="yuyv", width=63), "size", "odd"),
])
def test_malformed_images_are_named(change, reason, words):
    message = message_of(smooth_picture(), "rgb8")
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(MalformedImage) as caught:
        decode_image(message)
    assert caught.value.reason == reason and words in str(caught.value)
    assert isinstance(caught.value, InputError)


@settings(max_examples=300, deadline=None)
@given(width=st.integers(0, 2**32 - 1) | st.integers(0, 80), height=st.integers(0, 2**32 - 1) | st.integers(0, 80),
       step=st.integers(0, 2**32 - 1) | st.integers(0, 400), size=st.integers(0, 40000), bigendian=st.integers(0, 255),
       encoding=st.sampled_from(["rgb8", "mono16", "bayer_rggb8", "yuyv", "nv21", "rgb16", "64FC999", "x"]))
def test_any_header_is_decoded_or_named(width, height, step, size, bigendian, encoding):
    message = Image(width=width, height=height, step=step, encoding=encoding, is_bigendian=bigendian,
                    data=array.array("B", bytes(size)))
    try:
        image = decode_image(message)
    except MalformedImage:
        return
    assert image.shape == (height, width, 3)


@pytest.mark.parametrize("suffix, tolerance", [(".jpg", 12), (".png", 0), (".bmp", 0)])
def test_compressed_images(suffix, tolerance):
    picture = smooth_picture()
    data = cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()
    image = decode_compressed(CompressedImage(format="jpeg", data=array.array("B", data)))
    assert image.shape == picture.shape and image.flags.c_contiguous
    assert abs(image.astype(int) - picture).max() <= tolerance


def test_compressed_grey_and_turned():
    """Grey becomes RGB; an EXIF orientation does not turn the image away from its camera_info."""
    data = cv2.imencode(".jpg", smooth_picture()[..., 0])[1].tobytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert decode_compressed(CompressedImage(format="jpeg", data=array.array("B", data))).shape == (48, 64, 3)


JPEG = cv2.imencode(".jpg", smooth_picture())[1].tobytes()


@pytest.mark.parametrize("data, image_format, reason", [
    (b"", "jpeg", "compressed"), (b"\xff\xd8", "jpeg", "compressed"), (JPEG[:20], "jpeg", "compressed"),
    (bytes(5000), "png", "compressed"), (JPEG, "16UC1; compressedDepth", "encoding"),
    (cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes(), "png", "size")])
def test_malformed_compressed_images_are_named(data, image_format, reason):
    with pytest.raises(MalformedImage) as caught:
        decode_compressed(CompressedImage(format=image_format, data=array.array("B", data)))
    assert caught.value.reason == reason


@pytest.mark.parametrize("sec, nanosec", [(-1, 0), (0, 10**9), (5, 2**32 - 1)])
def test_malformed_stamps_are_named(sec, nanosec):
    message = Image()
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    with pytest.raises(MalformedImage, match="is not a time"):
        stamp_of(message.header)


def test_a_stamp_is_exact():
    message = Image()
    message.header.stamp.sec, message.header.stamp.nanosec = 2**31 - 1, 999_999_999
    assert stamp_of(message.header) == 2_147_483_647_999_999_999


# CameraInfo

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


@pytest.mark.parametrize("change", [
    dict(k=[-5.0, 0, 5, 0, -5, 5, 0, 0, 1]), dict(k=[float("inf"), 0, 5, 0, 9, 5, 0, 0, 1]), dict(width=0),
    dict(d=[0.1, 0.2]), dict(d=[float("nan")] * 5), dict(distortion_model="fancy", d=[0.1] * 5),
    dict(k=[60.0, 0, float("nan"), 0, 60, 5, 0, 0, 1]), dict(binning_x=1000)])
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
