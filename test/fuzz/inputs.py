"""What the targets are given: strategies for the bytes of each kind of input, from good ones to anything at all."""

from __future__ import annotations

import array
import contextlib
import functools
import io
import json
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from hypothesis import strategies as st
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.msg import Parameter as ParameterMessage
from rclpy.parameter import Parameter, ParameterValue
from rclpy.serialization import serialize_message
from safetensors.torch import save
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from bag_support import TYPES, image_entry, write_bag
from fourdhands_core.hand_model.assets import GENERIC_HAND, SHAPES
from fourdhands_core.network.config import NetworkConfig
from fourdhands_core.network.image_config import ImageConfig
from fourdhands_core.network.image_model import ImageNetwork
from fourdhands_core.network.model import FourDHands
from fourdhands_core.perception.identity import HandIdentity
from fourdhands_core.pipeline.tracker_state import save_memory
from fourdhands_ros.bag_info import HAND_PAIR
from fourdhands_ros.conversion import HandPairEncoder
from fourdhands_ros.parameters import Parameters
from ros_support import T0, info_message, make_pair, stamp_to

NUMBERS = st.one_of(st.integers(-3, 70), st.sampled_from([2**7, 2**8, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1]))
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, -1.0, 60.0, 500.0, 1e-300, 1e300, float("nan"), float("inf")]))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=12)
_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "8UC1", "8UC3", "bayer_rggb8", "bayer_grbg16", "yuv422",
              "yuyv", "16UC1", "32FC1", "64FC2", "nv12", "8UC999")


_PIXEL = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono16": 2, "8UC3": 3, "bayer_grbg16": 2, "yuv422": 2, "yuyv": 2,
          "16UC1": 2, "32FC1": 4}
"""Bytes of a pixel, where more than one."""


def _unsigned(number: int) -> int:
    return number % 2**32


def _one_of(draw, seeds) -> bytes:
    """One of them by its number: hypothesis would put all their bytes into its messages."""
    return seeds[draw(st.integers(0, len(seeds) - 1))]


class Input(bytes):
    """Bytes that do not fill the screen."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


@st.composite
def mutated(draw, seeds, most=6) -> bytes:
    """One of the seeds with bytes changed, cut, put in, left out or moved; the more likely near its ends."""
    data = bytearray(_one_of(draw, seeds))
    for _ in range(draw(st.integers(0, most))):
        last = max(len(data) - 1, 0)
        place = draw(st.one_of(st.integers(0, min(last, 255)), st.integers(0, last), st.integers(max(last - 255, 0), last)))
        kind = draw(st.sampled_from(["flip", "number", "cut", "insert", "leave out", "move"]))
        if kind == "flip":
            data[place:place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "number":
            number = _unsigned(draw(NUMBERS))
            data[place:place + 4] = struct.pack(draw(st.sampled_from(["<I", ">I"])), number)
        elif kind == "cut":
            del data[place:]
        elif kind == "insert":
            data[place:place] = draw(st.binary(max_size=40))
        else:
            size = draw(st.integers(1, 64))
            part = bytes(data[place:place + size])
            del data[place:place + size]
            if kind == "move":
                other = draw(st.integers(0, len(data)))
                data[other:other] = part
    return bytes(data)


def _noise(draw, size: int) -> array.array:
    """So many bytes, of which only the seed is drawn."""
    return array.array("B", np.random.default_rng(draw(st.integers(0, 2**32))).bytes(size))


def _header(draw, message) -> None:
    message.header.frame_id = draw(st.one_of(st.just("camera"), TEXTS))
    if draw(st.integers(0, 3)):
        stamp_to(message, T0)
    else:
        message.header.stamp.sec = draw(st.integers(-2**31, 2**31 - 1))
        message.header.stamp.nanosec = draw(st.integers(0, 2**32 - 1))


@st.composite
def _image(draw, encodings) -> bytes:
    encoding = draw(st.sampled_from([*encodings, None]))
    message = Image(encoding=draw(TEXTS) if encoding is None else encoding, is_bigendian=draw(st.integers(0, 2)))
    _header(draw, message)
    if kind := draw(st.integers(0, 3)):  # one that is whole, or could be
        message.width, message.height = draw(st.integers(14, 70)), draw(st.integers(14, 70))
        pixel = draw(st.sampled_from([1, 2, 3, 4, 8])) if kind == 1 else _PIXEL.get(encoding, 1)
        message.step = message.width * pixel + draw(st.sampled_from([0, 0, 0, 1, 7]))
        size = message.step * message.height + (draw(st.sampled_from([0, -1, 1, 40])) if kind == 1 else 0)
    else:
        message.width, message.height, message.step = (_unsigned(draw(NUMBERS)) for _ in range(3))
        size = draw(st.integers(0, 20000))
    message.data = _noise(draw, max(size, 0))
    data = serialize_message(message)
    return draw(mutated([data], 3)) if draw(st.integers(0, 4)) == 4 else data


@functools.lru_cache(maxsize=None)
def _pictures() -> tuple[bytes, ...]:
    """One picture in every format that OpenCV writes, noise and plain."""
    encoded = []
    for picture in (np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), np.full((48, 64, 3), 90, np.uint8)):
        for ending in (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".jp2", ".hdr", ".gif"):
            with contextlib.suppress(cv2.error):  # a format that this OpenCV lacks
                encoded.append(cv2.imencode(ending, picture)[1].tobytes())
    return tuple(encoded)


@st.composite
def _compressed(draw) -> bytes:
    message = CompressedImage(format=draw(st.one_of(
        st.sampled_from(["jpeg", "png", "rgb8; jpeg compressed bgr8", "16UC1; compressedDepth png"]), TEXTS)))
    _header(draw, message)
    data = draw(st.one_of(mutated(_pictures(), 4), mutated(_pictures(), 4), st.binary(max_size=200)))
    message.data = array.array("B", data)
    return serialize_message(message)


@st.composite
def _camera_info(draw) -> bytes:
    message = info_message(640, 480, 500.0)
    if draw(st.booleans()):
        message.width, message.height = _unsigned(draw(NUMBERS)), _unsigned(draw(NUMBERS))
    if draw(st.booleans()):
        matrix = message.k.tolist()
        for _ in range(draw(st.integers(1, 3))):
            matrix[draw(st.integers(0, 8))] = draw(FLOATS)
        message.k = matrix
    if draw(st.booleans()):
        message.distortion_model = draw(st.one_of(
            st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", ""]), TEXTS))
        message.d = draw(st.lists(st.one_of(FLOATS, st.floats(-1.0, 1.0)), max_size=14))
    if draw(st.integers(0, 3)) == 0:
        message.binning_x, message.binning_y = _unsigned(draw(NUMBERS)), _unsigned(draw(NUMBERS))
        for name in ("x_offset", "y_offset", "width", "height"):
            setattr(message.roi, name, _unsigned(draw(NUMBERS)))
    data = serialize_message(message)
    return draw(mutated([data], 3)) if draw(st.integers(0, 4)) == 0 else data


_VALUES = {
    Parameter.Type.NOT_SET: None, Parameter.Type.BOOL: st.booleans(), Parameter.Type.INTEGER: st.integers(-2**63, 2**63 - 1) | NUMBERS,
    Parameter.Type.DOUBLE: FLOATS, Parameter.Type.STRING: TEXTS | st.sampled_from(
        ["raw", "compressed", "wrist", "joints", "none", "landmark", "image", "cpu", "a/b", "/", "left"]),
    Parameter.Type.BYTE_ARRAY: st.lists(st.binary(min_size=1, max_size=1), max_size=3),
    Parameter.Type.BOOL_ARRAY: st.lists(st.booleans(), max_size=3),
    Parameter.Type.INTEGER_ARRAY: st.lists(st.integers(-2**63, 2**63 - 1), max_size=3),
    Parameter.Type.DOUBLE_ARRAY: st.lists(FLOATS, max_size=3),
    Parameter.Type.STRING_ARRAY: st.lists(TEXTS | st.sampled_from(["left", "right", "", "robot/wrist", "/left"]), max_size=3)}


@st.composite
def _parameters(draw) -> bytes:
    names = tuple(Parameters.__dataclass_fields__)
    message = ParameterEvent()
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.one_of(st.sampled_from(names), st.sampled_from(names), TEXTS))
        default = getattr(Parameters(), name, None)
        usual = {bool: Parameter.Type.BOOL, int: Parameter.Type.INTEGER, float: Parameter.Type.DOUBLE,
                 str: Parameter.Type.STRING, tuple: Parameter.Type.STRING_ARRAY}.get(type(default), Parameter.Type.BOOL)
        kind = draw(st.one_of(st.just(usual), st.sampled_from(list(_VALUES))))
        value = ParameterValue(type=kind.value)
        if kind != Parameter.Type.NOT_SET:
            setattr(value, f"{kind.name.lower()}_value", draw(_VALUES[kind]))
        message.new_parameters.append(ParameterMessage(name=name, value=value))
    data = serialize_message(message)
    return draw(mutated([data], 3)) if draw(st.integers(0, 9)) == 0 else data


@functools.lru_cache(maxsize=None)
def _bags(plugin: str) -> tuple[bytes, ...]:
    """Small whole bags of one camera and of hands."""
    rng, encoder, made = np.random.default_rng(0), HandPairEncoder("landmark", "generic"), []
    types = {"/cam/image_raw": TYPES["image_raw"], "/cam/camera_info": TYPES["camera_info"], "/cam/hands": HAND_PAIR}
    entries = []
    for i in range(4):
        stamp = T0 + i * 10**8
        entries.append(("/cam/camera_info", stamp, serialize_message(info_message(32, 24))))
        entries.append(image_entry("/cam/image_raw", stamp, rng.integers(0, 255, (24, 32, 3), np.uint8), "camera"))
        entries.append(("/cam/hands", stamp, encoder.encode(make_pair(stamp), "camera", {"total": 0.01})))
    for options in ([("mcap", "none", 4), ("mcap", "storage", 4), ("mcap", "message", 0)] if plugin == "mcap"
                    else [("sqlite3", "none", 0), ("sqlite3", "message", 0)]):
        with tempfile.TemporaryDirectory() as folder:
            bag = write_bag(Path(folder, "bag"), entries, types, *options)
            made.append(next(file for file in bag.iterdir() if file.suffix in (".mcap", ".db3")).read_bytes())
    return tuple(made)


_SMALL = {
    "landmark": NetworkConfig(width=8, relation_width=4, heads=2, spatial_layers=1, decoder_layers=1, temporal_layers=1, window=3),
    "image": ImageConfig(width=8, depth=1, heads=2, relation_hidden=4, spatial_layers=1, hand_width=8, decoder_layers=1,
                         decoder_heads=1, temporal_layers=1, temporal_heads=1, window=3)}


@functools.lru_cache(maxsize=None)
def _network(kind: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return (FourDHands if kind == "landmark" else ImageNetwork)(_SMALL[kind]).state_dict()


_KINDS = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64,
          torch.float8_e4m3fn)


def _change_tensors(draw, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(tensors)))
        kind = draw(st.sampled_from(["left out", "renamed", "shape", "type", "values"]))
        if kind == "left out" or kind == "renamed":
            tensor = tensors.pop(name)
            if kind == "renamed":
                tensors[draw(TEXTS) or "x"] = tensor
        elif kind == "shape":
            tensors[name] = torch.zeros(draw(st.lists(st.integers(0, 9), max_size=5)))
        elif kind == "type":
            tensors[name] = tensors[name].to(draw(st.sampled_from(_KINDS)))
        elif tensors[name].is_floating_point():
            tensors[name] = torch.full_like(tensors[name].float(), draw(st.floats(width=32)))
    return tensors


@st.composite
def _weights(draw) -> bytes:
    kind = draw(st.sampled_from(list(_SMALL)))
    config = _SMALL[kind].to_dict()
    for _ in range(draw(st.integers(0, 2))):
        config[draw(st.one_of(st.sampled_from(sorted(config)), TEXTS))] = draw(st.one_of(NUMBERS, FLOATS, ANY))
    header = draw(st.one_of(st.just({"config": config, "about": {}}), st.just({"config": config}), ANY))
    text = json.dumps(header)
    if draw(st.integers(0, 9)) == 0:
        text = "[" * draw(st.integers(0, 100_000)) + text
    return save(_change_tensors(draw, _network(kind)), metadata={"fourdhands": text} if draw(st.integers(0, 19)) else None)


@functools.lru_cache(maxsize=None)
def _whole_weights() -> tuple[bytes, ...]:
    return tuple(save({name: tensor.contiguous() for name, tensor in _network(kind).items()}, metadata={
        "fourdhands": json.dumps({"config": config.to_dict(), "about": {}})}) for kind, config in _SMALL.items())


@functools.lru_cache(maxsize=None)
def _checkpoint_tensors() -> dict[str, torch.Tensor]:
    names = ["backbone.blocks.0.norm1.weight", "backbone.blocks.0.attn.qkv.weight", "backbone.pos_embed", "map_head.0.weight",
             "backbone.patch_embed.proj.weight", "mano_head.transformer.to_token_embedding.bias",
             "mano_head.transformer.pos_embedding", "time_head.init_cam", "time_head.temp_decoder.pos_embedding",
             "time_head.temp_decoder.to_token_embedding.bias", "time_head.temp_decoder.transformer.layers.0.0.fn.to_qkv.weight"]
    return {name: torch.ones(3, 8) for name in names}


def _saved(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


class _Evil:
    def __reduce__(self):
        return eval, ("1 + 1",)


@st.composite
def _checkpoint(draw) -> bytes:
    tensors = _change_tensors(draw, _checkpoint_tensors())
    for _ in range(draw(st.integers(0, 2))):
        block = draw(st.sampled_from([1, 1, 1, 2, 99, 10**9, 10**30]))
        tensors[f"backbone.blocks.{block}.norm1.weight"] = torch.ones(8)
    content = draw(st.sampled_from([
        tensors, {"state_dict": tensors}, {"model": tensors}, {**tensors, 3: None, "x": [1]}, list(tensors.values()),
        {"a": torch.eye(3).to_sparse()} | tensors, {**tensors, "backbone.pos_embed": torch.eye(3).to_sparse()},
        {"evil": _Evil(), **tensors}]))
    return _saved(content, _use_new_zipfile_serialization=draw(st.booleans()))


@functools.lru_cache(maxsize=None)
def _checkpoints() -> tuple[bytes, ...]:
    return tuple(_saved({"state_dict": _checkpoint_tensors()}, _use_new_zipfile_serialization=new) for new in (True, False))


@functools.lru_cache(maxsize=None)
def _memories() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.pt")
        save_memory(path, {"identity": HandIdentity(), "last": None, "numbers": np.arange(6.0), "images": 3, "text": "a"})
        return (path.read_bytes(),)


@st.composite
def _rezipped(draw, seeds) -> bytes:
    """One of these zip files with its members mutated and all checksums right; some stored, some deflated."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_one_of(draw, seeds))) as before, zipfile.ZipFile(result, "w") as after:
        chosen = draw(st.sampled_from(before.namelist()))
        for name in before.namelist():
            content = before.read(name)
            if name == chosen:
                content = draw(mutated([content]))
                if draw(st.integers(0, 9)) == 0:
                    continue
            after.writestr(name, content, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
    return result.getvalue()


@functools.lru_cache(maxsize=None)
def _hand_arrays() -> dict[str, np.ndarray]:
    with np.load(GENERIC_HAND) as file:
        return {name: file[name] for name in file.files}


def _zipped(arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@functools.lru_cache(maxsize=None)
def _hand_files() -> tuple[bytes, ...]:
    """One that is whole, and one of which only the beginning of each array is there."""
    return _zipped(_hand_arrays()), _zipped({name: np.ravel(array)[:8] for name, array in _hand_arrays().items()})


@st.composite
def _hand_model(draw) -> bytes:
    arrays = dict(_hand_arrays())
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(_hand_arrays())))
        kind = draw(st.sampled_from(["left out", "shape", "type", "value"]))
        array = arrays.get(name, np.zeros(3))
        if kind == "left out":
            arrays.pop(name, None)
        elif kind == "shape":
            arrays[name] = np.zeros(draw(st.lists(st.integers(0, 20), max_size=4)))
        elif kind == "type" and array.dtype.kind in "fiu":
            arrays[name] = array.astype(draw(st.sampled_from(["i1", "f2", "c8", "S3", "U2", "?", "u8", ">f4"])))
        else:
            arrays[name] = np.full(array.shape, draw(FLOATS))
    return _zipped(arrays)


@functools.lru_cache(maxsize=None)
def _pickles() -> tuple[bytes, ...]:
    small = {name: np.zeros([min(3, n) for n in shape]) for name, shape in SHAPES.items()}
    whole = {name: _hand_arrays()[name] for name in SHAPES}
    return tuple(pickle.dumps(content, protocol) for content in (small, small, whole) for protocol in (0, 2, 4)
                 ) + (pickle.dumps(_Evil()), pickle.dumps([{}]))


@st.composite
def _yaml(draw, content: dict) -> bytes:
    """A YAML file of this content with some of it replaced, or its text mutated."""
    content = json.loads(json.dumps(content))
    if draw(st.booleans()):
        for _ in range(draw(st.integers(0, 3))):
            at = content
            key = draw(st.sampled_from(sorted(at)))
            if isinstance(at[key], dict) and draw(st.booleans()):
                at, key = at[key], draw(st.sampled_from(sorted(at[key]) or ["data"]))
            at[key] = draw(st.one_of(ANY, FLOATS, NUMBERS, st.lists(FLOATS, min_size=9, max_size=10)))
        return yaml.safe_dump(content).encode()
    text = yaml.safe_dump(content).encode()
    tags = [b"!!int ", b"!!float ", b"!!timestamp ", b"!!binary ", b"!!set ", b"!!omap ", b"&a ", b"*a ", b"<<: ", b"---\n",
            b"? ", b"!!python/name:os.system ", b"[" * 1000, b"1e400", b"0x", b".inf", b"1:2", b"2001-99-99", b"''"]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(tags)) + text[place:]
    return draw(mutated([text], 3))


_SHAPE_FILE = {"hand_model": "generic", "betas": [0.1 * i for i in range(10)]}
_CAMERA_FILE = {"image_width": 640, "image_height": 480, "camera_name": "camera",
                "camera_matrix": {"rows": 3, "cols": 3, "data": [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]},
                "distortion_model": "plumb_bob",
                "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, -0.2, 0.0, 0.0, 0.0]}}


def _or_anything(strategy):
    return st.one_of(strategy, strategy, strategy, st.binary(max_size=200))


def inputs() -> dict[str, tuple[int, st.SearchStrategy[bytes]]]:
    """Of each target its part of a campaign, in hundredths, and its inputs."""
    deep = _checkpoints()[:1]
    return {
        "image": (20, _or_anything(_image(_ENCODINGS))),
        "compressed_image": (14, _compressed()),
        "depth_image": (12, _or_anything(_image(("16UC1", "mono16", "32FC1", "rgb8")))),
        "camera_info": (5, _or_anything(_camera_info())),
        "set_parameters": (16, _parameters()),
        "start_parameters": (1, _parameters()),
        "mcap": (4, mutated(_bags("mcap"))),
        "sqlite3": (4, mutated(_bags("sqlite3"))),
        "weights": (6, st.one_of(_weights(), _weights(), mutated(_whole_weights()))),
        "checkpoint": (1, st.one_of(_checkpoint(), mutated(_checkpoints()), _rezipped(deep))),
        "memory": (6, st.one_of(mutated(_memories()), _rezipped(_memories()))),
        "mano": (4, mutated(_pickles())),
        "hand_model": (3, st.one_of(_hand_model(), mutated(_hand_files()), _rezipped(_hand_files()))),
        "hand_shape": (2, _or_anything(_yaml(_SHAPE_FILE))),
        "intrinsics": (2, _or_anything(_yaml(_CAMERA_FILE)))}
