"""The landmark network runs the same in torch and in onnxruntime, and there without torch."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from fourdhands_core.cli import main
from fourdhands_core.errors import CheckpointError
from fourdhands_core.network.checkpoint import load_weights
from fourdhands_core.network.execution import ENCODE, OnnxExecution, TorchExecution
from fourdhands_core.network.parts import EncodePart, ReasonPart

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    assert main(["export", "--out", str(folder)]) == 0
    return folder


def inputs(rng, width, window):
    present = np.array([True, bool(rng.integers(2))])
    frame = (rng.normal(0, 0.1, (2, 21, 2)).astype(np.float32), rng.normal(0, 0.05, (2, 21, 3)).astype(np.float32),
             present & rng.integers(0, 2, 2).astype(bool), present)
    valid = rng.integers(0, 2, (2, window)).astype(bool)
    return frame, (rng.normal(0, 1, (2, window, width)).astype(np.float32),
                   np.arange(1 - window, 1, dtype=np.float32), valid)


def test_onnxruntime_and_traced_torch_agree_with_the_network(exported):
    """For every combination of present and absent hands, 3-D landmarks and frames of the window."""
    network, executions = load_weights(), [TorchExecution(), OnnxExecution(exported)]
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


def test_the_tracker_needs_no_torch_with_onnx(exported):
    """As on a machine where torch is too heavy: importing it is an error there."""
    program = f"""
import sys
sys.modules["torch"] = None
import numpy as np
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
tracker = HandPairTracker(TrackerSettings(device="onnx", weights={str(exported)!r}))
estimate = tracker.process(np.zeros((48, 64, 3), np.uint8), 1)
tracker.close()
print(estimate.left.state, estimate.right.state)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
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
