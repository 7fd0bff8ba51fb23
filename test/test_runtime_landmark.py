"""The landmark network runs the same in torch and in onnxruntime, and there without torch."""

import json
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from network_support import small_network
from program_support import python

from fourdhands_core.cli import main
from fourdhands_core.errors import CheckpointError
from fourdhands_core.network.checkpoint import load_weights, save_weights
from fourdhands_core.network.landmark_config import LandmarkConfig
from fourdhands_core.network.landmark_model import LandmarkNetwork
from fourdhands_core.runtime.image import OnnxImage, TorchImage
from fourdhands_core.runtime.landmark import OnnxExecution, TorchExecution, landmark_execution
from fourdhands_core.runtime.onnx_files import BACKBONE, ENCODE, REASON, TEMPORAL
from fourdhands_core.runtime.parts import EncodePart, ReasonPart, traced

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    assert main(["export", "--out", str(folder)]) == 0
    return folder


def inputs(rng, width, window):
    present = np.array([True, bool(rng.integers(2))])
    frame = (
        rng.normal(0, 0.1, (2, 21, 2)).astype(np.float32),
        rng.normal(0, 0.05, (2, 21, 3)).astype(np.float32),
        present & rng.integers(0, 2, 2).astype(bool),
        present,
    )
    valid = rng.integers(0, 2, (2, window)).astype(bool)
    return frame, (rng.normal(0, 1, (2, window, width)).astype(np.float32), np.arange(1 - window, 1, dtype=np.float32), valid)


def test_onnxruntime_and_traced_torch_agree_with_the_network(exported):
    """For every combination of present and absent hands, 3-D landmarks and frames of the window."""
    assert_agree(load_weights(), TorchExecution(), OnnxExecution(exported))


def test_the_shipped_graphs_run_any_weights_of_their_sizes(tmp_path):
    """Should this fail after a change of the network: python tools/landmark_graphs.py."""
    shipped = landmark_execution()
    assert isinstance(shipped, OnnxExecution)
    assert_agree(load_weights(), shipped)
    torch.manual_seed(0)
    network = LandmarkNetwork()
    save_weights(network, tmp_path / "other.safetensors")
    other = landmark_execution(tmp_path / "other.safetensors")
    assert isinstance(other, OnnxExecution)
    assert_agree(network.eval(), other)


def test_networks_of_other_sizes_and_machines_without_onnxruntime_run_in_torch(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = LandmarkNetwork(LandmarkConfig(width=64, temporal_layers=1)).eval()
    save_weights(network, tmp_path / "small.safetensors")
    execution = landmark_execution(tmp_path / "small.safetensors")
    assert isinstance(execution, TorchExecution)
    assert_agree(network, execution)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(landmark_execution(), TorchExecution)


def assert_agree(network, *executions):
    """With the network itself, for every combination of present and absent hands, 3-D landmarks and frames."""
    parts = EncodePart(network), ReasonPart(network)
    rng = np.random.default_rng(0)
    for _ in range(20):
        for part, arrays in zip(parts, inputs(rng, network.config.width, network.config.window)):
            with torch.inference_mode():
                expected = part(*(torch.from_numpy(array)[None] for array in arrays))
            for execution in executions:
                got = (execution.encode if part is parts[0] else execution.reason)(*arrays)
                for value, truth in zip(got, expected):
                    assert value.shape == truth.shape[1:] and value.dtype == np.float32
                    np.testing.assert_allclose(value, truth[0], atol=1e-3)


@pytest.fixture(scope="module")
def image_network(tmp_path_factory):
    """A small image network, its weights, and the folder that it was exported to."""
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("image")
    network = small_network()
    save_weights(network, folder / "image.safetensors")
    assert main(["export", "--weights", str(folder / "image.safetensors"), "--out", str(folder)]) == 0
    return network, folder


def test_the_image_network_agrees(image_network):
    """For both hands and for each alone, and for windows in which they come and go."""
    network, folder = image_network
    executions = TorchImage(network), OnnxImage(folder)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (240, 320, 3), dtype=np.uint8)
    for present in ([True, True], [True, False], [False, True]):
        squares = np.array([[20.0, 30.0, 120.0, 120.0], [150.0, 20.0, 100.0, 100.0]]) * np.array(present)[:, None]
        torch_tokens, onnx_tokens = (np.asarray(e.encode(image, squares, np.array(present))) for e in executions)
        np.testing.assert_allclose(onnx_tokens[present], torch_tokens[present], atol=1e-3)
        tokens = rng.normal(0, 1, (9, 2, 128)).astype(np.float32)
        valid = rng.integers(0, 2, (2, 9)).astype(bool)
        expected = executions[0].reason([torch.from_numpy(token) for token in tokens], valid)
        for value, truth in zip(executions[1].reason([*tokens], valid), expected):
            np.testing.assert_allclose(value, truth, atol=1e-3)


@pytest.mark.parametrize("model", ["landmark", "image"])
def test_the_tracker_needs_no_torch_with_onnx(exported, image_network, model):
    """As on a machine where torch is too heavy: importing it is an error there."""
    folder = exported if model == "landmark" else image_network[1]
    program = f"""
import sys
sys.modules["torch"] = None
import numpy as np
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
tracker = HandPairTracker(TrackerSettings(model={model!r}, device="onnx", weights={str(folder)!r}))
estimate = tracker.process(np.zeros((48, 64, 3), np.uint8), 1)
tracker.close()
print(estimate.left.state, estimate.right.state)
"""
    done = python("-c", program)
    assert done.stdout.split() == ["absent", "absent"], done.stderr


def test_an_export_that_cannot_be_used(exported, tmp_path):
    with pytest.raises(CheckpointError, match="fourdhands export --out"):
        OnnxExecution(tmp_path)
    with pytest.raises(CheckpointError, match="fourdhands export --out"):
        OnnxExecution(None)
    for name, data in (("cut", (exported / ENCODE).read_bytes()[:1000]), ("empty", b""), ("text", b"not a network")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / ENCODE).write_bytes(data)
        with pytest.raises(CheckpointError, match="export the network again|is no folder"):
            OnnxExecution(folder)


def test_parts_that_do_not_belong_together(exported, image_network, tmp_path):
    """One part in another's place, one of another network, one with a weight that is not finite."""
    onnx = pytest.importorskip("onnx")

    def spoilt(name, change):
        folder = tmp_path / name
        shutil.copytree(image_network[1], folder)
        change(folder)
        return folder

    def metadata(folder):
        model = onnx.load(folder / TEMPORAL)
        onnx.helper.set_model_props(model, {"fourdhands": json.dumps({**image_network[0].config.to_dict(), "depth": 3})})
        onnx.save(model, folder / TEMPORAL)

    def not_finite(folder):
        model = onnx.load(folder / TEMPORAL)
        bias = next(t for t in model.graph.initializer if t.name.endswith("pose.bias"))
        values = onnx.numpy_helper.to_array(bias).copy()
        values[0] = np.nan
        bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
        onnx.save(model, folder / TEMPORAL)

    for name, change, message in (
        ("swapped", lambda f: shutil.copy(f / TEMPORAL, f / BACKBONE), "takes tokens, valid instead of crops"),
        ("mixed", lambda f: shutil.copy(exported / REASON, f / TEMPORAL), "settings .* not known"),
        ("other", metadata, "of another network than backbone.onnx"),
        ("nan", not_finite, "not finite"),
        ("cut", lambda f: (f / TEMPORAL).write_bytes((f / TEMPORAL).read_bytes()[:5000]), "export the network again"),
    ):
        with pytest.raises(CheckpointError, match=message):
            OnnxImage(spoilt(name, change))
    assert OnnxImage(image_network[1]).config == image_network[0].config


def test_threads_may_share_a_landmark_network(exported):
    """Each of several cameras at the same time gets what it gets alone."""
    for execution in (TorchExecution(), OnnxExecution(exported), landmark_execution()):
        rng = np.random.default_rng(6)
        given = [inputs(rng, execution.config.width, execution.config.window) for _ in range(8)]
        expected = [(execution.encode(*frame), execution.reason(*window)) for frame, window in given]

        def run(number):
            return [(execution.encode(*given[number][0]), execution.reason(*given[number][1])) for _ in range(30)]

        with ThreadPoolExecutor(8) as pool:
            for wanted, results in zip(expected, pool.map(run, range(8))):
                for got in results:
                    for values, ground_truth in zip(got, wanted):
                        for value, truth in zip(values, ground_truth):
                            np.testing.assert_allclose(value, truth, atol=1e-5)


@pytest.mark.filterwarnings("default")
def test_networks_traced_in_several_threads_leave_the_process_its_warnings():
    network = load_weights()
    traced(EncodePart(network))  # imports what torch needs for it, and sympy adds a filter of its own
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: traced(EncodePart(network)), range(8)))
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="something that matters"):
        warnings.warn("something that matters", UserWarning, stacklevel=1)


def test_what_tracing_says_of_itself_is_kept_off_the_terminal():
    code = (
        "from fourdhands_core.network.checkpoint import load_weights\n"
        "from fourdhands_core.runtime.parts import EncodePart, traced\n"
        "traced(EncodePart(load_weights()))"
    )
    done = python("-W", "default", "-c", code)
    assert done.returncode == 0 and not done.stderr, done.stderr
