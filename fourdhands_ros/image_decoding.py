"""Image messages to RGB arrays, and every way in which a message can be malformed told apart by name."""

from __future__ import annotations

import io
import re
import struct

import cv2
import numpy as np
from PIL import Image as Picture
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from fourdhands_core.errors import InputError

MIN_SIDE, MAX_SIDE, MAX_PIXELS = 16, 16384, 1 << 27
"""Images outside these are refused: below, no hand can be seen; above, a header is corrupt, not a camera huge."""


class MalformedImage(InputError):
    """An image message that is refused. `reason` is one word for counting: see REASONS."""

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


REASONS = ("size", "encoding", "step", "data", "compressed", "stamp")

_CHANNELS = {
    # encoding: (numpy type, channels, conversion to RGB or None)
    "rgb8": ("u1", 3, None),
    "bgr8": ("u1", 3, cv2.COLOR_BGR2RGB),
    "rgba8": ("u1", 4, cv2.COLOR_RGBA2RGB),
    "bgra8": ("u1", 4, cv2.COLOR_BGRA2RGB),
    "mono8": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "mono16": ("u2", 1, cv2.COLOR_GRAY2RGB),
    "8UC1": ("u1", 1, cv2.COLOR_GRAY2RGB),
    "8UC3": ("u1", 3, cv2.COLOR_BGR2RGB),
    # ROS names the upper left 2x2 pixels, OpenCV the two in the second row from the second column on.
    "bayer_rggb8": ("u1", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": ("u1", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": ("u1", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": ("u1", 1, cv2.COLOR_BayerGB2RGB),
    "bayer_rggb16": ("u2", 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr16": ("u2", 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg16": ("u2", 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg16": ("u2", 1, cv2.COLOR_BayerGB2RGB),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
"""Of compressed images, by Pillow's names: what image_transport and camera drivers send."""
_EVEN_WIDTH = {"yuv422", "uyvy", "yuv422_yuy2", "yuyv"}


def unpack_image(data: bytes, compressed: bool):
    """A serialised Image, or CompressedImage, to its header and (H, W, 3) uint8 RGB. Raises MalformedImage."""
    message_type = CompressedImage if compressed else Image
    try:
        message = deserialize_message(data, message_type)
    except Exception as error:  # rclpy's RMWError has no public name
        raise MalformedImage("message", f"a message that is not a {message_type.__name__}: {error}") from error
    return message.header, decode_compressed(message) if compressed else decode_image(message)


def decode_image(message) -> np.ndarray:
    """sensor_msgs/Image to (H, W, 3) uint8 RGB, C-contiguous; for rgb8 without padding a view on the message's data.

    Honours step and endianness; 16-bit images keep their upper 8 bits. Encodings beyond the table above go through
    cv_bridge where it imports. Raises MalformedImage, saying what is wrong.
    """
    width, height, encoding = message.width, message.height, message.encoding
    _check_size(width, height)
    known = _CHANNELS.get(encoding)
    if known is None:
        return _decode_by_cv_bridge(message)
    kind, channels, conversion = known
    if encoding in _EVEN_WIDTH and width % 2:
        raise MalformedImage("size", f"image width {width} is odd, but {encoding} stores pixels in pairs")
    item = np.dtype(kind)
    row = width * channels * item.itemsize
    _check_data(message, row)
    data = np.frombuffer(message.data, dtype=np.uint8).reshape(height, message.step)[:, :row]
    if item.itemsize == 2:
        # The upper byte is the second of each pair in a little-endian image.
        data = data[:, 0 if message.is_bigendian else 1::2]
    image = np.ascontiguousarray(data)
    if channels > 1:
        image = image.reshape(height, width, channels)
    return image if conversion is None else cv2.cvtColor(image, conversion)


def decode_depth(message) -> np.ndarray:
    """sensor_msgs/Image of depth to (H, W): uint16 millimetres (16UC1, mono16) or float32 metres (32FC1; REP 118).

    Honours step and endianness. Raises MalformedImage, saying what is wrong.
    """
    kind = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}.get(message.encoding)
    if kind is None:
        raise MalformedImage("encoding", f"depth encoding {message.encoding!r} is not supported; use 16UC1 or 32FC1")
    _check_size(message.width, message.height)
    item = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    row = message.width * item.itemsize
    _check_data(message, row)
    data = np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, message.step)[:, :row]
    return np.ascontiguousarray(data).view(item).astype(kind, copy=False)


_PNG = b"\x89PNG\r\n\x1a\n"


def decode_compressed_depth(message) -> np.ndarray:
    """sensor_msgs/CompressedImage of image_transport's compressedDepth to (H, W), as `decode_depth` gives it.

    The data are a header of 12 bytes (int32 format, float32 a, b) and a 16-bit PNG: of millimetres for 16UC1; for 32FC1
    of inverse depth v, quantised, which is a / (v - b) metres, v = 0 being no depth (image_transport_plugins,
    compressed_depth_image_transport). Raises MalformedImage, saying what is wrong.
    """
    match = re.fullmatch(r"\s*(16UC1|mono16|32FC1)\s*;\s*compressedDepth(?:\s+(\w+))?\s*", message.format)
    if match is None or match[2] not in (None, "png"):
        raise MalformedImage("encoding", f"compressed depth format {message.format!r} is not supported; use compressedDepth "
                             "png of 16UC1 or 32FC1")
    data = bytes(message.data)
    # Sizes are read first: a few bytes of PNG can claim gigabytes.
    if data[12:20] != _PNG or len(data) < 12 + 33:
        raise MalformedImage("compressed", f"{len(data)} bytes of compressed depth are not a header of 12 bytes and a PNG")
    _check_size(*struct.unpack_from(">II", data, 12 + 16))
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8, offset=12), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise MalformedImage("compressed", f"the compressed depth image does not decode: {error}") from error
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 2:
        raise MalformedImage("compressed", "the compressed depth image is not a PNG of one channel of 16 bits that decodes")
    if match[1] != "32FC1":
        return stored
    _, a, b = struct.unpack_from("<iff", data)
    if not (np.isfinite(a) and a > 0.0 and np.isfinite(b)):
        raise MalformedImage("compressed", f"the compressed depth image's quantisation {a}, {b} is not one")
    disparity = stored.astype(np.float32) - np.float32(b)
    with np.errstate(all="ignore"):
        metres = np.float32(a) / disparity
    return np.where((stored > 0) & (disparity > 0.0) & np.isfinite(metres), metres, np.float32(np.nan))


def decode_compressed(message) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg, png, ...) to (H, W, 3) uint8 RGB. Raises MalformedImage."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    if not len(data):
        raise MalformedImage("compressed", "the compressed image has no data")
    if "compressedDepth" in message.format:
        raise MalformedImage("encoding", f"format {message.format!r} is a depth image; subscribe to the colour image")
    try:
        # The header alone: OpenCV would fill gigabytes for a few bytes of JPEG whose size is damaged.
        with Picture.open(io.BytesIO(data), formats=_FORMATS) as header:
            size = header.size
    except Exception as error:  # a damaged header can fail in any way
        raise MalformedImage("compressed", f"{len(data)} bytes of format {message.format!r} are no "
                             f"{', '.join(_FORMATS)} ({type(error).__name__}: {error})") from error
    _check_size(*size)
    try:
        # Not turned by EXIF: camera_info describes the image as the sensor delivers it.
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except (cv2.error, MemoryError) as error:
        raise MalformedImage("compressed", f"the compressed image does not decode: {error}") from error
    if image is None:
        raise MalformedImage(
            "compressed", f"{len(data)} bytes of format {message.format!r} are not an image that OpenCV decodes")
    _check_size(image.shape[1], image.shape[0])
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def stamp_of(header) -> int:
    """The stamp of a std_msgs/Header in nanoseconds. Raises MalformedImage for one that is not a time."""
    sec, nanosec = header.stamp.sec, header.stamp.nanosec
    if sec < 0 or nanosec >= 1_000_000_000:
        raise MalformedImage("stamp", f"the stamp {sec} s {nanosec} ns is not a time; check the camera driver")
    return sec * 1_000_000_000 + nanosec


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise MalformedImage(
            "size", f"image size {width}x{height} is not between {MIN_SIDE} and {MAX_SIDE} pixels a side "
            f"(at most {MAX_PIXELS} in all)")


def _check_data(message, row: int) -> None:
    if message.step < row:
        raise MalformedImage(
            "step", f"step {message.step} is below the {row} bytes of {message.width} {message.encoding} pixels")
    _check_length(message)


def _check_length(message) -> None:
    if len(message.data) != message.step * message.height:
        raise MalformedImage(
            "data", f"{len(message.data)} bytes of data are not step {message.step} x height {message.height}")


def _decode_by_cv_bridge(message) -> np.ndarray:
    """cv_bridge knows more encodings than `_CHANNELS`, and breaks under some versions of numpy (vision_opencv 535)."""
    problem = MalformedImage(
        "encoding", f"image encoding {message.encoding!r} is not supported; use one of {', '.join(_CHANNELS)}")
    if not re.fullmatch(r"[a-z0-9_]{1,32}|(8|16|32|64)[USF]C[0-9]{1,3}", message.encoding):
        raise problem
    _check_length(message)
    try:
        from cv_bridge import CvBridge
        image = CvBridge().imgmsg_to_cv2(message, "rgb8")
    except Exception as error:  # cv_bridge raises its own errors, numpy's, OpenCV's and ImportError
        raise problem from error
    if image.shape != (message.height, message.width, 3) or image.dtype != np.uint8:
        raise problem
    return np.ascontiguousarray(image)
