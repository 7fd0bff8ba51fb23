"""Inputs from files: weights, checkpoints, hand models, pickles and YAML, from good ones to nearly good ones."""

from __future__ import annotations

import functools
import io
import json
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
import yaml
from hypothesis import strategies as st
from mutations import ANY, FLOATS, NUMBERS, TEXTS, mutated, one_of
from safetensors.torch import save

from fourdhands_core.hand_model.assets import GENERIC, SHAPES, SHIPPED_HANDS
from fourdhands_core.network.image_config import ImageConfig
from fourdhands_core.network.image_model import ImageNetwork
from fourdhands_core.network.import_weights import _published as published_name
from fourdhands_core.network.landmark_config import LandmarkConfig
from fourdhands_core.network.landmark_model import LandmarkNetwork
from fourdhands_core.perception.identity import HandIdentity
from fourdhands_core.pipeline.checkpoint import save_memory

_SMALL = {
    "landmark": LandmarkConfig(
        width=8, relation_width=4, heads=2, spatial_layers=1, decoder_layers=1, temporal_layers=1, window=3
    ),
    "image": ImageConfig(
        width=8,
        depth=1,
        heads=2,
        relation_hidden=4,
        spatial_layers=1,
        hand_width=8,
        decoder_layers=1,
        decoder_heads=1,
        temporal_layers=1,
        temporal_heads=1,
        window=3,
    ),
}


@functools.cache
def _network(kind: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return (LandmarkNetwork if kind == "landmark" else ImageNetwork)(_SMALL[kind]).state_dict()


_KINDS = (
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.complex64,
    torch.float8_e4m3fn,
)


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
def weights(draw) -> bytes:
    kind = draw(st.sampled_from(list(_SMALL)))
    config = _SMALL[kind].to_dict()
    for _ in range(draw(st.integers(0, 2))):
        config[draw(st.one_of(st.sampled_from(sorted(config)), TEXTS))] = draw(st.one_of(NUMBERS, FLOATS, ANY))
    header = draw(st.one_of(st.just({"config": config, "about": {}}), st.just({"config": config}), ANY))
    text = json.dumps(header)
    if draw(st.integers(0, 9)) == 0:
        text = "[" * draw(st.integers(0, 100_000)) + text
    return save(_change_tensors(draw, _network(kind)), metadata={"fourdhands": text} if draw(st.integers(0, 19)) else None)


@functools.cache
def whole_weights() -> tuple[bytes, ...]:
    return tuple(
        save(
            {name: tensor.contiguous() for name, tensor in _network(kind).items()},
            metadata={"fourdhands": json.dumps({"config": config.to_dict(), "about": {}})},
        )
        for kind, config in _SMALL.items()
    )


BACKBONE = ImageConfig(width=8, depth=1, heads=2)
"""Of the backbone that a checkpoint holds whole."""


@functools.cache
def _checkpoint_tensors() -> dict[str, torch.Tensor]:
    """A whole small backbone, and some of the rest of a released network."""
    names = (
        "map_head.0.weight mano_head.transformer.to_token_embedding.bias mano_head.transformer.pos_embedding "
        "time_head.init_cam time_head.temp_decoder.pos_embedding time_head.temp_decoder.to_token_embedding.bias "
        "time_head.temp_decoder.transformer.layers.0.0.fn.to_qkv.weight"
    ).split()
    torch.manual_seed(0)
    backbone = ImageNetwork(BACKBONE).backbone.state_dict()
    return {name: torch.ones(3, 8) for name in names} | {
        published_name(f"backbone.{name}"): tensor for name, tensor in backbone.items()
    }


def _saved(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


class _Evil:
    def __reduce__(self):
        return eval, ("1 + 1",)


@st.composite
def checkpoint(draw) -> bytes:
    tensors = _change_tensors(draw, _checkpoint_tensors())
    for _ in range(draw(st.integers(0, 2))):
        block = draw(st.sampled_from([1, 1, 1, 2, 99, 10**9, 10**30]))
        tensors[f"backbone.blocks.{block}.norm1.weight"] = torch.ones(8)
    content = draw(
        st.sampled_from(
            [
                tensors,
                {"state_dict": tensors},
                {"model": tensors},
                {**tensors, 3: None, "x": [1]},
                list(tensors.values()),
                {"a": torch.eye(3).to_sparse()} | tensors,
                {**tensors, "backbone.pos_embed": torch.eye(3).to_sparse()},
                {"evil": _Evil(), **tensors},
            ]
        )
    )
    return _saved(content, _use_new_zipfile_serialization=draw(st.booleans()))


@functools.cache
def checkpoints() -> tuple[bytes, ...]:
    return tuple(_saved({"state_dict": _checkpoint_tensors()}, _use_new_zipfile_serialization=new) for new in (True, False))


@functools.cache
def memories() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.npz")
        save_memory(path, {"identity": HandIdentity(), "last": None, "numbers": np.arange(6.0), "images": 3, "text": "a"})
        return (path.read_bytes(),)


@st.composite
def rezipped(draw, seeds) -> bytes:
    """One of these zip files with its members mutated and all checksums right; some stored, some deflated."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(one_of(draw, seeds))) as before, zipfile.ZipFile(result, "w") as after:
        chosen = draw(st.sampled_from(before.namelist()))
        for name in before.namelist():
            content = before.read(name)
            if name == chosen:
                content = draw(mutated([content]))
                if draw(st.integers(0, 9)) == 0:
                    continue
            after.writestr(name, content, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))
    return result.getvalue()


@functools.cache
def _hand_arrays() -> dict[str, np.ndarray]:
    with np.load(SHIPPED_HANDS[GENERIC]) as file:
        return {name: file[name] for name in file.files}


def _zipped(arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@functools.cache
def hand_files() -> tuple[bytes, ...]:
    """One that is whole, and one of which only the beginning of each array is there."""
    return _zipped(_hand_arrays()), _zipped({name: np.ravel(array)[:8] for name, array in _hand_arrays().items()})


@st.composite
def hand_model(draw) -> bytes:
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


@functools.cache
def pickles() -> tuple[bytes, ...]:
    small = {name: np.zeros([min(3, n) for n in shape]) for name, shape in SHAPES.items()}
    whole = {name: _hand_arrays()[name] for name in SHAPES}
    return tuple(pickle.dumps(content, protocol) for content in (small, small, whole) for protocol in (0, 2, 4)) + (
        pickle.dumps(_Evil()),
        pickle.dumps([{}]),
    )


@st.composite
def yaml_file(draw, content: dict) -> bytes:
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
    tags = (
        b"!!int |!!float |!!timestamp |!!binary |!!set |!!omap |&a |*a |<<: |---\n|? |!!opencv-matrix |%YAML:1.0\n|"
        b"!!python/name:os.system |1e400|0x|.inf|1:2|2001-99-99|''|" + b"[" * 1000
    ).split(b"|")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(tags)) + text[place:]
    return draw(mutated([text], 3))


SHAPE_FILE = {"hand_model": "generic", "betas": [0.1 * i for i in range(10)]}
CAMERA_FILE = {
    "image_width": 640,
    "image_height": 480,
    "camera_name": "camera",
    "camera_matrix": {"rows": 3, "cols": 3, "data": [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]},
    "distortion_model": "plumb_bob",
    "distortion_coefficients": {"rows": 1, "cols": 5, "data": [0.1, -0.2, 0.0, 0.0, 0.0]},
    "projection_matrix": {"rows": 3, "cols": 4, "data": [400.0, 0, 320, 0, 0, 410, 240, 0, 0, 0, 1, 0]},
}
ECHOED = {
    "height": 480,
    "width": 640,
    "distortion_model": "equidistant",
    "d": [0.1, -0.02, 0.0, 0.0],
    "k": [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0],
    "binning_x": 0,
    "binning_y": 0,
    "roi": {"x_offset": 0, "y_offset": 0, "height": 0, "width": 0},
}
KALIBR_FILE = {
    "cam0": {
        "camera_model": "pinhole",
        "distortion_model": "radtan",
        "distortion_coeffs": [0.1, -0.2, 0.0, 0.0],
        "intrinsics": [500.0, 500.0, 320.0, 240.0],
        "resolution": [640, 480],
    }
}
