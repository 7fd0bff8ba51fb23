"""A tracker's memory as a file: it comes back as it was, and nothing in a file is run."""

import io
import json
import subprocess
import zipfile
from collections import deque

import numpy as np
import pytest
import torch
from network_support import small_network

from fourdhands_core.errors import CheckpointError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.perception.identity import HandIdentity
from fourdhands_core.pipeline.checkpoint import load_memory, save_memory
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.runtime.image import TorchImage


def kept(content, path):
    save_memory(path, content)
    return load_memory(path)


def test_everything_comes_back_as_it_was(tmp_path):
    camera = Camera.from_fov(64, 48, 60.0)
    content = {
        "plain": [None, True, -3, 2**70, 0.1, float("inf"), "text é", b"\x00\xff"],
        1: (1, (2, [3])),
        "numbers": [np.float32(0.1), np.int64(-5), np.bool_(True)],
        "empty": [(), {}, deque(), np.zeros((0, 3))],
        "arrays": [np.arange(6, dtype=kind).reshape(2, 3) for kind in ("<f4", ">f8", "u1", "i8")] + [np.eye(2, dtype=bool)],
        "strided": np.arange(12.0).reshape(3, 4)[:, ::-2],
        "sets": [{1, "a"}, frozenset((2,)), set()],
        "frames": deque([Frame(1, camera, []), Frame(2, camera, [])]),
        "identity": HandIdentity(),
    }
    got = kept(content, tmp_path / "state.npz")
    assert got["plain"] == content["plain"] and got[1] == (1, (2, [3]))
    assert [type(value) for value in got["numbers"]] == [np.float32, np.int64, np.bool_] and got["numbers"] == content[
        "numbers"
    ]
    assert list(map(len, got["empty"])) == [0] * 4 and [type(value) for value in got["empty"]] == [
        tuple,
        dict,
        deque,
        np.ndarray,
    ]
    for one, other in zip([*got["arrays"], got["strided"]], [*content["arrays"], content["strided"]]):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    assert got["sets"] == content["sets"] and [type(value) for value in got["sets"]] == [set, frozenset, set]
    first, second = got["frames"]
    assert first.stamp == 1 and first.camera is second.camera and np.array_equal(first.camera.matrix, camera.matrix)
    assert vars(got["identity"]) == vars(HandIdentity())


def test_what_holds_itself_is_one_object(tmp_path):
    content = {"shared": [np.zeros(3)] * 2}
    content["self"] = content
    got = kept(content, tmp_path / "state.npz")
    assert got["self"] is got and got["shared"][0] is got["shared"][1]


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_the_image_networks_tokens_go_on_as_arrays(tmp_path, kind):
    """They are the device's tensors while the tracker runs; the network makes the same of both."""
    values = torch.randn(9, 2, 128).to(kind)
    tokens = kept({"tokens": list(values)}, tmp_path / "state.npz")["tokens"]
    assert all(isinstance(token, np.ndarray) for token in tokens)
    network = TorchImage(small_network(), precision=str(kind).split(".")[1])
    for one, other in zip(network.reason(list(values), np.ones((2, 9), bool)), network.reason(tokens, np.ones((2, 9), bool))):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("value", [lambda: None, print, range(2), np.array([None]), subprocess, 1j])
def test_what_no_file_may_hold_is_not_written(tmp_path, value):
    with pytest.raises(TypeError, match="cannot be kept in a file"):
        save_memory(tmp_path / "state.npz", {"value": [value]})
    assert not (tmp_path / "state.npz").exists()


def written(path, nodes, **arrays):
    np.savez(path, nodes=np.frombuffer(json.dumps(nodes).encode(), np.uint8), **arrays)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "subprocess:Popen",
        "builtins:list",
        "fourdhands_core.pipeline.checkpoint:save_memory",
        "range",
        "fourdhands_core.pipeline.checkpoint:Path",
        "fourdhands_core.pipeline.regression:Nothing",
        "fourdhands_core.pipeline.nothing:X",
        "fourdhands_core.commands.track:argparse",
        "fourdhands_core.pipeline.regression",
        "fourdhands_core_other.x:Y",
        "",
    ],
)
def test_a_file_that_names_anything_else_is_refused(tmp_path, kind):
    """Functions, other packages' classes, also those that this package imports, and classes that are not there."""
    path = written(tmp_path / "state.npz", [["dict", [["value", [1]]]], [kind, {"x": 1}]])
    with pytest.raises(CheckpointError, match="begin anew"):
        load_memory(path)


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [["list", []]],
        {"0": 1},
        None,
        [["dict", [["a", [7]]]]],
        [["dict", [["a", [-2]]]]],
        [["dict", [["a", {}]]]],
        [["tuple", [[0]]]],
        [["dict", [["a", [1]]]], ["tuple", [[1]]]],
        [["dict", [["a", [1]]]], ["array", "none"]],
        [["dict", [[[1], 2]]], ["list", []]],
        [["dict", 5]],
        [["dict"]],
    ],
)
def test_a_file_of_another_structure_is_refused(tmp_path, nodes):
    with pytest.raises(CheckpointError, match="begin anew"):
        load_memory(written(tmp_path / "state.npz", nodes))


def test_damaged_files_and_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "state.npz"
    save_memory(path, {"a": np.arange(1000.0)})
    whole = path.read_bytes()
    pickled = io.BytesIO()
    np.save(pickled, np.array([print]), allow_pickle=True)
    evil = io.BytesIO()
    with zipfile.ZipFile(evil, "w") as file:
        for name, data in zip(("nodes.npy", "0.npy"), (_npy([["dict", [["a", [1]]]], ["array", "0"]]), pickled.getvalue())):
            file.writestr(name, data)
    for data in (
        whole[: len(whole) // 2],
        whole[:20],
        b"",
        b"PK nothing",
        evil.getvalue(),
        whole[:900] + bytes(10) + whole[910:],
    ):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="begin anew"):
            load_memory(path)


def _npy(nodes) -> bytes:
    file = io.BytesIO()
    np.save(file, np.frombuffer(json.dumps(nodes).encode(), np.uint8))
    return file.getvalue()
