"""Inputs over DDS and from bags: images, CameraInfo, parameters and whole bags, from good ones to nearly good ones."""

from __future__ import annotations

import array
import contextlib
import functools
import tempfile
from pathlib import Path

import cv2
import numpy as np
from bag_support import TYPES, image_entry, write_bag
from hypothesis import strategies as st
from mutations import FLOATS, NUMBERS, TEXTS, mutated, unsigned
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterEvent
from rclpy.parameter import Parameter, ParameterValue
from rclpy.serialization import serialize_message
from ros_support import T0, info_message, make_pair, stamp_to
from sensor_msgs.msg import CompressedImage, Image

from fourdhands_ros.bags.info import HAND_PAIR
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.node.parameters import Parameters

ENCODINGS = (
    "rgb8 bgr8 rgba8 bgra8 mono8 mono16 8UC1 8UC3 bayer_rggb8 bayer_grbg16 yuv422 yuyv 16UC1 32FC1 64FC2 nv12 "
    "nv21 nv24 rgba16 16UC3 8UC999"
).split()


_SIZES = {2: "mono16 bayer_grbg16 yuv422 yuyv 16UC1", 3: "rgb8 bgr8 8UC3", 4: "rgba8 bgra8 32FC1", 6: "16UC3", 8: "rgba16"}
_PIXEL = {name: size for size, names in _SIZES.items() for name in names.split()}
"""Bytes of a pixel, where more than one."""


def _noise(draw, size: int) -> array.array:
    """So many bytes, of which only the seed is drawn."""
    return array.array("B", np.random.default_rng(draw(st.integers(0, 2**32))).bytes(size))


def _header(draw, message) -> None:
    message.header.frame_id = draw(st.one_of(st.just("camera"), TEXTS))
    if draw(st.integers(0, 3)):
        stamp_to(message, T0)
    else:
        message.header.stamp.sec = draw(st.integers(-(2**31), 2**31 - 1))
        message.header.stamp.nanosec = draw(st.integers(0, 2**32 - 1))


@st.composite
def image(draw, encodings) -> bytes:
    encoding = draw(st.sampled_from([*encodings, None]))
    message = Image(encoding=draw(TEXTS) if encoding is None else encoding, is_bigendian=draw(st.integers(0, 2)))
    _header(draw, message)
    if kind := draw(st.integers(0, 3)):  # one that is whole, or could be
        message.width, message.height = draw(st.integers(14, 70)), draw(st.integers(14, 70))
        pixel = draw(st.sampled_from([1, 2, 3, 4, 8])) if kind == 1 else _PIXEL.get(encoding, 1)
        message.step = message.width * pixel + draw(st.sampled_from([0, 0, 0, 1, 7]))
        rows = message.height * {"nv12": 3, "nv21": 3, "nv24": 6}.get(encoding, 2) // 2
        size = message.step * rows + (draw(st.sampled_from([0, -1, 1, 40])) if kind == 1 else 0)
    else:
        message.width, message.height, message.step = (unsigned(draw(NUMBERS)) for _ in range(3))
        size = draw(st.integers(0, 20000))
    message.data = _noise(draw, max(size, 0))
    data = serialize_message(message)
    return draw(mutated([data], 3)) if draw(st.integers(0, 4)) == 4 else data


@functools.cache
def _pictures() -> tuple[bytes, ...]:
    """One picture in every format that OpenCV writes, noise and plain."""
    encoded = []
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for picture in (noise, np.full((48, 64, 3), 90, np.uint8)):
        for ending in (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".jp2", ".hdr", ".gif"):
            with contextlib.suppress(cv2.error):  # a format that this OpenCV lacks
                encoded.append(cv2.imencode(ending, picture)[1].tobytes())
    for picture in (noise[..., 0], noise.astype(np.uint16) << 4):
        encoded += [cv2.imencode(ending, picture)[1].tobytes() for ending in (".png", ".tiff")]
    return tuple(encoded)


_FORMATS = (
    "jpeg|png|rgb8; jpeg compressed bgr8|16UC1; compressedDepth png|rgb8; tiff compressed |rgb8; jpeg compressed rgb8|"
    "bayer_rggb8; png compressed |bayer_; png compressed |h264"
).split("|")


@st.composite
def compressed(draw) -> bytes:
    message = CompressedImage(format=draw(st.one_of(st.sampled_from(_FORMATS), TEXTS)))
    _header(draw, message)
    data = draw(st.one_of(mutated(_pictures(), 4), mutated(_pictures(), 4), st.binary(max_size=200)))
    message.data = array.array("B", data)
    return serialize_message(message)


@st.composite
def camera_info(draw) -> bytes:
    message = info_message(640, 480, 500.0)
    if draw(st.booleans()):
        message.width, message.height = unsigned(draw(NUMBERS)), unsigned(draw(NUMBERS))
    if draw(st.booleans()):
        matrix = message.k.tolist()
        for _ in range(draw(st.integers(1, 3))):
            matrix[draw(st.integers(0, 8))] = draw(FLOATS)
        message.k = matrix
    if draw(st.booleans()):
        message.distortion_model = draw(
            st.one_of(
                st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "", "fisheye", "radtan", "pinhole"]), TEXTS
            )
        )
        message.d = draw(st.lists(st.one_of(FLOATS, st.floats(-1.0, 1.0)), max_size=14))
    if draw(st.booleans()):
        message.p = [450.0, 0.0, 310.0, 0.0, 0.0, 455.0, 250.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        for _ in range(draw(st.integers(0, 3))):
            message.p[draw(st.integers(0, 11))] = draw(FLOATS)
    if draw(st.integers(0, 3)) == 0:
        message.binning_x, message.binning_y = unsigned(draw(NUMBERS)), unsigned(draw(NUMBERS))
        for name in ("x_offset", "y_offset", "width", "height"):
            setattr(message.roi, name, unsigned(draw(NUMBERS)))
    data = serialize_message(message)
    return draw(mutated([data], 3)) if draw(st.integers(0, 4)) == 0 else data


_VALUES = {
    Parameter.Type.NOT_SET: None,
    Parameter.Type.BOOL: st.booleans(),
    Parameter.Type.INTEGER: st.integers(-(2**63), 2**63 - 1) | NUMBERS,
    Parameter.Type.DOUBLE: FLOATS,
    Parameter.Type.STRING: TEXTS
    | st.sampled_from(["raw", "compressed", "wrist", "joints", "none", "landmark", "image", "cpu", "a/b", "/", "left"]),
    Parameter.Type.BYTE_ARRAY: st.lists(st.binary(min_size=1, max_size=1), max_size=3),
    Parameter.Type.BOOL_ARRAY: st.lists(st.booleans(), max_size=3),
    Parameter.Type.INTEGER_ARRAY: st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    Parameter.Type.DOUBLE_ARRAY: st.lists(FLOATS, max_size=3),
    Parameter.Type.STRING_ARRAY: st.lists(TEXTS | st.sampled_from(["left", "right", "", "robot/wrist", "/left"]), max_size=3),
}


@st.composite
def parameters(draw) -> bytes:
    names = tuple(Parameters.__dataclass_fields__)
    message = ParameterEvent()
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.one_of(st.sampled_from(names), st.sampled_from(names), TEXTS))
        default = getattr(Parameters(), name, None)
        usual = {
            bool: Parameter.Type.BOOL,
            int: Parameter.Type.INTEGER,
            float: Parameter.Type.DOUBLE,
            str: Parameter.Type.STRING,
            tuple: Parameter.Type.STRING_ARRAY,
        }.get(type(default), Parameter.Type.BOOL)
        kind = draw(st.one_of(st.just(usual), st.sampled_from(list(_VALUES))))
        value = ParameterValue(type=kind.value)
        if kind != Parameter.Type.NOT_SET:
            setattr(value, f"{kind.name.lower()}_value", draw(_VALUES[kind]))
        message.new_parameters.append(ParameterMessage(name=name, value=value))
    data = serialize_message(message)
    return draw(mutated([data], 3)) if draw(st.integers(0, 9)) == 0 else data


@functools.cache
def bags(plugin: str) -> tuple[bytes, ...]:
    """Small whole bags of one camera and of hands."""
    rng, encoder, made = np.random.default_rng(0), HandPairEncoder("landmark", "generic"), []
    types = {"/cam/image_raw": TYPES["image_raw"], "/cam/camera_info": TYPES["camera_info"], "/cam/hands": HAND_PAIR}
    entries = []
    for i in range(4):
        stamp = T0 + i * 10**8
        entries.append(("/cam/camera_info", stamp, serialize_message(info_message(32, 24))))
        entries.append(image_entry("/cam/image_raw", stamp, rng.integers(0, 255, (24, 32, 3), np.uint8), "camera"))
        entries.append(("/cam/hands", stamp, encoder.encode(make_pair(stamp), "camera", {"total": 0.01})))
    for options in (
        [("mcap", "none", 4), ("mcap", "storage", 4), ("mcap", "message", 0)]
        if plugin == "mcap"
        else [("sqlite3", "none", 0), ("sqlite3", "message", 0)]
    ):
        with tempfile.TemporaryDirectory() as folder:
            bag = write_bag(Path(folder, "bag"), entries, types, *options)
            made.append(next(file for file in bag.iterdir() if file.suffix in (".mcap", ".db3")).read_bytes())
    return tuple(made)
