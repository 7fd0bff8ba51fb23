"""Image messages to RGB arrays, and every way in which a message can be malformed told apart by name."""

from __future__ import annotations

import io
import re
import struct
import warnings
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from PIL import Image as Picture
from sensor_msgs.msg import CompressedImage, Image

from fourdhands_core.errors import InputError
from fourdhands_core.media.images import VisibleBits

from ..pypi.message_types import deserialize_ros
from .cv_bridge_decoder import BridgeDecoder, decode_unknown

MIN_SIDE, MAX_SIDE, MAX_PIXELS = 16, 16384, 1 << 27
"""Images outside these are refused: below, no hand can be seen; above, a header is corrupt, not a camera huge."""


class MalformedImage(InputError):
    """An image message that is refused. `reason` is one word for counting: size, encoding, step, data, compressed, stamp."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_CHANNELS = {
    # encoding: (numpy type, channels, conversion of its upper 8 bits to RGB or None)
    **{
        f"{name}{8 * size}": (f"u{size}", channels, conversion)
        for size in (1, 2)
        for name, channels, conversion in (
            ("rgb", 3, None),
            ("bgr", 3, cv2.COLOR_BGR2RGB),
            ("rgba", 4, cv2.COLOR_RGBA2RGB),
            ("bgra", 4, cv2.COLOR_BGRA2RGB),
            ("mono", 1, cv2.COLOR_GRAY2RGB),
            # ROS names the upper left 2x2 pixels, OpenCV the two in the second row from the second column on.
            ("bayer_rggb", 1, cv2.COLOR_BayerBG2RGB),
            ("bayer_bggr", 1, cv2.COLOR_BayerRG2RGB),
            ("bayer_gbrg", 1, cv2.COLOR_BayerGR2RGB),
            ("bayer_grbg", 1, cv2.COLOR_BayerGB2RGB),
        )
    },
    # OpenCV's types, in OpenCV's order of colours
    **{
        f"{8 * size}UC{channels}": (f"u{size}", channels, conversion)
        for size in (1, 2)
        for channels, conversion in ((1, cv2.COLOR_GRAY2RGB), (3, cv2.COLOR_BGR2RGB), (4, cv2.COLOR_BGRA2RGB))
    },
    "uyvy": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422": ("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuyv": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "yuv422_yuy2": ("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
}
"""Encodings, pixel by pixel; 10 or 12 bits in words of 16 are made visible by themselves. Of another kind needs

a row here where OpenCV converts it; else also a branch in `ImageDecoder._own`;
where two pixels share their colour, also `_PAIRS`;
bytes of luma, then interleaved chroma that as many pixels share across as down: a row of `_PLANES` instead;
other planes, words of 16 in planes, packed bits: its name in `_KNOWN`, a branch in `ImageDecoder._raw` and a decoder like
`_decode_planes`, with one `VisibleBits` for all planes of words.

`_OTHER_KINDS` only words the refusal of the rest, and cv_bridge needs no change for a new name.
In a CompressedImage `_conversion` knows names of colours by how they begin. Tests are `test/ros/test_ros_images.py`, which says
too what names are refused, and `ENCODINGS` and `image` of `test/fuzz/message_inputs.py`.
"""
_PAIRS = {"uyvy", "yuv422", "yuyv", "yuv422_yuy2"}
_PLANES = {"nv12": (cv2.COLOR_YUV2RGB_NV12, 2), "nv21": (cv2.COLOR_YUV2RGB_NV21, 2), "nv24": (cv2.COLOR_YUV2RGB_NV12, 1)}
"""Encodings of luma, then interleaved chroma: the conversion, and how many pixels a side share their chroma."""
_KNOWN = {name.lower(): name for name in (*_CHANNELS, *_PLANES)}
"""In whatever capitals: no two of these names differ in nothing else."""
_OTHER_KINDS = (
    (r"(8|16|32|64)[SF]C\d+", " (fractions or signed numbers, as of depth)"),
    (
        r"[dyz]\d+|depth.*|disparity.*|mono(10|12|14).*|(mono|bayer|rggb|bggr|gbrg|grbg).*(10|12|14).*",
        " (depth, or packed bits)",
    ),
    (r"(m|motion_?)?jpe?g.*|png|webp|tiff?|bmp|[hx]26[45].*|hevc|av1|vp[89]|compressed.*", " (a compressed image in an Image)"),
    (r"[iy]420.*|iyuv|y[uv]12|yuv(420|444|411).*|[yn]u?v(16|61|42)|p01[06]", " (planes of colour in another order)"),
)
"""What kinds of encodings, by their names, are that are not decoded."""
warnings.filterwarnings("ignore", category=Picture.DecompressionBombWarning)  # `decompress` refuses such in its own words
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
"""Of compressed images, by Pillow's names: what image_transport and camera drivers send.

Pillow reads the size alone, and OpenCV the picture; another one is named in `decompress` too, so that a damaged one is not
taken for one that is not supported. Tests: `test/ros/test_ros_compressed_images.py`, and `_pictures` of
`test/fuzz/message_inputs.py`.
"""


class ImageDecoder:
    """Turns one camera's serialised Image messages, or CompressedImage, into arrays.

    visible: makes 16-bit images visible.
    """

    def __init__(self, compressed: bool) -> None:
        self._type, self._decode = (CompressedImage, self._compressed) if compressed else (Image, self._raw)
        self.visible = VisibleBits()
        self._bridge = BridgeDecoder(self._own)

    def decode(self, data: bytes) -> tuple[Any, np.ndarray]:
        """A serialised message to its header and (H, W, 3) uint8 RGB. Raises MalformedImage.

        The header's frame is without slashes before it, which drivers bring from ROS 1 and tf2 refuses to look up.
        """
        try:
            message = unpack(data, self._type)
        except Exception as error:  # rclpy's RMWError has no public name
            raise MalformedImage("message", f"a message that is not a {self._type.__name__}: {error}") from error
        message.header.frame_id = message.header.frame_id.lstrip("/")
        return message.header, self._decode(message)

    def image(self, message: Image | CompressedImage) -> np.ndarray:
        """A message to (H, W, 3) uint8 RGB, C-contiguous; for rgb8 without padding a view on the message's data.

        Honours step and endianness. cv_bridge decodes where it is there and right, also encodings beyond the tables above;
        what it is given was checked here. Raises MalformedImage, saying what is wrong.
        """
        return self._decode(message)

    def _raw(self, message: Any) -> np.ndarray:
        encoding = _KNOWN.get(message.encoding.strip().lower())
        if encoding is None:
            return _decode_unknown(message)
        message.encoding = encoding
        _check_size(message.width, message.height)
        if encoding in _PLANES:
            return _decode_planes(message)
        kind, channels, conversion = _CHANNELS[encoding]
        row = _row_bytes(message, channels * np.dtype(kind).itemsize)
        image = self._bridge.decode(message, row) if kind == "u1" and conversion is not None else None
        return self._own(message) if image is None else image

    def _own(self, message: Any) -> np.ndarray:
        """As `image`, of an encoding in _CHANNELS, without cv_bridge."""
        kind, channels, conversion = _CHANNELS[message.encoding]
        image = _rows(message, np.dtype(kind), channels)
        if kind == "u2":
            image = self.visible.show(image.astype(np.uint16, copy=False))
        if channels > 1:
            image = image.reshape(message.height, message.width, channels)
        return image if conversion is None else cv2.cvtColor(image, conversion)

    def _compressed(self, message: Any) -> np.ndarray:
        image = decompress(message)
        image = self.visible.show(image)
        conversion = _conversion(message.format, image.ndim == 2)
        return image if conversion is None else cv2.cvtColor(image, conversion)


def unpack(data: bytes, message_type: Any) -> Any:
    """A serialised Image or CompressedImage with its fields. Raises what rclpy does where it is none."""
    return (message_type is Image and _view(data)) or deserialize_ros(data, message_type)


def _view(data: bytes) -> Any:
    """A serialised Image's fields, its data a view on the message, of which rclpy makes two copies. None where it is no whole
    one in CDR's little-endian numbers: that rclpy may read all the same, or says what is wrong."""
    if bytes(data[:4]) != b"\x00\x01\x00\x00":
        return None

    def text(start: int, size: int) -> str:
        return bytes(data[start : start + size]).partition(b"\x00")[0].decode()

    try:
        sec, nanosec, size = struct.unpack_from("<iII", data, 4)
        frame_id, at = text(16, size), 16 + size + -size % 4
        height, width, size = struct.unpack_from("<III", data, at)
        encoding, at = text(at + 12, size), at + 12 + size
        is_bigendian, at = data[at], at + 4 - at % 4
        step, size = struct.unpack_from("<II", data, at)
        pixels = np.frombuffer(data, np.uint8, size, at + 8)
    except (IndexError, ValueError, struct.error):
        return None
    header = SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id)
    numbers = {"height": height, "width": width, "is_bigendian": is_bigendian, "step": step}
    return SimpleNamespace(header=header, encoding=encoding, data=pixels, **numbers)


def _row_bytes(message: Any, pixel: int) -> int:
    """Bytes of a row without padding, of so many bytes a pixel. Raises MalformedImage where width, step and length are not
    those of a whole image."""
    if message.encoding in _PAIRS and message.width % 2:
        raise MalformedImage("size", f"image width {message.width} is odd, but {message.encoding} stores pixels in pairs")
    row = message.width * pixel
    if message.step < row:
        raise MalformedImage(
            "step", f"step {message.step} is below the {row} bytes of {message.width} {message.encoding} pixels"
        )
    if len(message.data) != message.step * message.height:
        raise MalformedImage("data", f"{len(message.data)} bytes of data are not step {message.step} x height {message.height}")
    return row


def _rows(message: Any, item: np.dtype, channels: int) -> np.ndarray:
    """The pixels (H, W * channels) of that type, little- or big-endian as the message says, without padding."""
    row = _row_bytes(message, channels * item.itemsize)
    data = np.frombuffer(message.data, dtype=np.uint8).reshape(message.height, message.step)[:, :row]
    return np.ascontiguousarray(data).view(item.newbyteorder(">" if message.is_bigendian else "<"))


def _decode_planes(message: Any) -> np.ndarray:
    """The height is the image's, as of libcamera's drivers, or counts the rows of luma and chroma. The step is luma's, or
    the bytes of all planes by the image's height."""
    conversion, shared = _PLANES[message.encoding]
    width, height, step, size = message.width, message.height, message.step, len(message.data)
    rows = height + 2 * height // shared**2
    if size == step * height == width * rows:
        step = width
    elif size == step * height and height % 3 == 0 and step < 2 * width:
        rows, height = height, height // 3 * shared
    if width % 2 or height % 2:
        raise MalformedImage("size", f"image size {width}x{height} is odd, but {message.encoding} has pairs of pixels")
    _check_size(width, height)
    if step < width:
        raise MalformedImage("step", f"step {step} is below the {width} bytes of {width} {message.encoding} pixels")
    if size != step * rows:
        raise MalformedImage(
            "data",
            f"{size} bytes of data are not the {step * rows} of {message.encoding} "
            f"{width}x{height} with step {step}, luma and chroma",
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    luma = data[: step * height].reshape(height, step)[:, :width]
    chroma = data[step * height :].reshape(height // shared, -1)[:, : 2 * width // shared]
    chroma = chroma.reshape(height // shared, width // shared, 2)
    if shared == 1:
        chroma = chroma[::2, ::2]
    return cv2.cvtColorTwoPlane(np.ascontiguousarray(luma), np.ascontiguousarray(chroma), conversion)


def decode_depth(message: Image) -> np.ndarray:
    """sensor_msgs/Image of depth to (H, W): uint16 millimetres (16UC1, mono16) or float32 metres (32FC1; REP 118).

    Honours step and endianness. Raises MalformedImage, saying what is wrong.
    """
    kind = {"16uc1": "u2", "mono16": "u2", "32fc1": "f4"}.get(message.encoding.strip().lower())
    if kind is None:
        raise MalformedImage("encoding", f"depth encoding {message.encoding!r} is not supported; use 16UC1 or 32FC1")
    _check_size(message.width, message.height)
    return _rows(message, np.dtype(kind), 1).astype(kind, copy=False)


_PNG = b"\x89PNG\r\n\x1a\n"


def decode_compressed_depth(message: CompressedImage) -> np.ndarray:
    """sensor_msgs/CompressedImage of image_transport's compressedDepth to (H, W), as `decode_depth` gives it.

    The data are a header of 12 bytes (int32 format, float32 a, b) and a 16-bit PNG: of millimetres for 16UC1; for 32FC1
    of inverse depth v, quantised, which is a / (v - b) metres, v = 0 being no depth (image_transport_plugins,
    compressed_depth_image_transport). Raises MalformedImage, saying what is wrong.
    """
    match = re.fullmatch(r"\s*(16UC1|mono16|32FC1)\s*;\s*compressedDepth(?:\s+(\w+))?\s*", message.format)
    if match is None or match[2] not in (None, "png"):
        raise MalformedImage(
            "encoding",
            f"compressed depth format {message.format!r} is not supported; use compressedDepth png of 16UC1 or 32FC1",
        )
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


def decompress(message: CompressedImage) -> np.ndarray:
    """sensor_msgs/CompressedImage (jpeg, png, ...) to (H, W) or (H, W, 3) uint8 or uint16 as OpenCV gives it, to which
    colours are blue, green and red. Raises MalformedImage."""
    data = np.frombuffer(message.data, dtype=np.uint8)
    if not len(data):
        raise MalformedImage("compressed", f"the compressed image of format {message.format!r} has no data")
    if "compressedDepth" in message.format:
        raise MalformedImage("encoding", f"format {message.format!r} is a depth image; subscribe to the colour image")
    try:
        # The header alone: OpenCV would fill gigabytes for a few bytes of JPEG whose size is damaged.
        with Picture.open(io.BytesIO(data.data), formats=_FORMATS) as header:
            size = header.size
    except Picture.DecompressionBombError as error:
        raise MalformedImage("size", f"the header states an image of more than {MAX_PIXELS} pixels") from error
    except Exception as error:  # a damaged header can fail in any way
        if not re.search(r"jpe?g|png|webp|tiff?|bmp|^\W*$", message.format, re.IGNORECASE):
            raise MalformedImage(
                "encoding", f"compressed format {message.format!r} is not supported; use one of {', '.join(_FORMATS).lower()}"
            ) from error
        raise MalformedImage(
            "compressed", f"{len(data)} bytes of format {message.format!r} are no {', '.join(_FORMATS)} ({_words(error)})"
        ) from error
    _check_size(*size)
    try:
        # Not turned by EXIF: camera_info describes the image as the sensor delivers it.
        image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
    except (cv2.error, MemoryError) as error:
        raise MalformedImage("compressed", f"the compressed image does not decode: {error}") from error
    if image is None:
        raise MalformedImage(
            "compressed", f"{len(data)} bytes of format {message.format!r} are not an image that OpenCV decodes"
        )
    _check_size(image.shape[1], image.shape[0])
    if image.dtype not in (np.uint8, np.uint16):
        raise MalformedImage("encoding", f"a compressed image of {image.dtype} is not supported; use 8 or 16 bits")
    return image


def _conversion(text: str, single: bool) -> int | None:
    """The conversion to RGB of what OpenCV decodes, by CompressedImage.format; single: it has one channel.

    compressed_image_transport writes "ENCODING; CODEC compressed LAYOUT". LAYOUT is that of the numbers which it gave
    to OpenCV: bgr8 or bgr16 make a picture by the codec's own standard, rgb8 one with red and blue exchanged. Without
    it the numbers are those of ENCODING (TIFF always, mosaics), or RGB in the plugin's first JPEG and PNG of colour.
    Anything else ("jpeg", "rgb8; jpeg") is a picture by the codec's standard.
    """
    match = re.fullmatch(r"\s*(\w+)\s*;\s*(\w+)\s+compressed\s*(\w*)\s*", text)
    encoding, codec, stored = match.groups() if match else ("", "", "")
    if single:
        mosaic = encoding.startswith("bayer_") and not stored and encoding in _CHANNELS
        return _CHANNELS[encoding][2] if mosaic else cv2.COLOR_GRAY2RGB
    if not stored:
        colour = re.match(r"rgb|bgr|nv|uyvy|yu", encoding)
        stored = encoding if codec == "tiff" or not colour else "rgb"
    return None if stored.startswith("rgb") else cv2.COLOR_BGR2RGB


def stamp_of(header: Any) -> int:
    """The stamp of a std_msgs/Header in nanoseconds. Raises MalformedImage for one that is not a time."""
    sec, nanosec = header.stamp.sec, header.stamp.nanosec
    if sec < 0 or nanosec >= 1_000_000_000:
        raise MalformedImage("stamp", f"the stamp {sec} s {nanosec} ns is not a time; check the camera driver")
    return sec * 1_000_000_000 + nanosec


def _fits(width: int, height: int) -> bool:
    return min(width, height) >= MIN_SIDE and max(width, height) <= MAX_SIDE and width * height <= MAX_PIXELS


def _words(error: Exception) -> str:
    """What Pillow says, without the names of its objects."""
    text = re.sub(r"\s*<[\w.]+ object at 0x\w+>", "", str(error))
    return f"{type(error).__name__}: {text}"


def _check_size(width: int, height: int) -> None:
    if not _fits(width, height):
        raise MalformedImage(
            "size",
            f"image size {width}x{height} is not between {MIN_SIDE} and {MAX_SIDE} pixels a side (at most {MAX_PIXELS} in all)",
        )


def _decode_unknown(message: Any) -> np.ndarray:
    image, encoding = None, message.encoding
    what = next((kind for names, kind in _OTHER_KINDS if re.fullmatch(names, encoding.strip(), re.IGNORECASE)), "")
    # Its name is what is wrong, whatever else is: its size and length follow from what it is.
    whole = _fits(message.width, message.height) and len(message.data) == message.step * message.height
    if whole and re.fullmatch(r"[a-z0-9_]{1,32}|(8|16|32|64)[USF]C[0-9]{1,3}", encoding):
        image = decode_unknown(message)
    if image is None:
        raise MalformedImage(
            "encoding", f"image encoding {encoding!r}{what} is not supported; use one of {', '.join(_KNOWN.values())}"
        )
    return image
