"""`fourdhands benchmark` measures what it says; how fast that is, is not asserted."""

import importlib.util
import json
import sys

import cv2
import numpy as np
import pytest
import torch
from network_support import small_network
from video_support import plain_video

from fourdhands_core.benchmark import benchmark, benchmark_network
from fourdhands_core.cli import main
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.media.video import VideoWriter
from fourdhands_core.network.checkpoint import save_weights
from fourdhands_core.perception.hand_detector import HandDetector
from fourdhands_core.pipeline import tracker
from fourdhands_core.pipeline.tracker import TrackerSettings
from fourdhands_core.runtime.parts import export_onnx


def test_the_network_beside_its_window_recomputed():
    passes = []
    network = small_network()
    network.backbone.register_forward_hook(lambda module, inputs, output: passes.append(len(inputs[0])))
    torch.set_num_threads(1)
    result = benchmark_network(network, HandArrays(pair_of(load_generic_hand())), "cpu", "float32", 3, cameras=2)
    assert set(passes) == {2, 18, 4}, "both hands in one pass, of one frame, of a window, of two cameras"
    assert set(result["milliseconds"]) == {
        "crop",
        "backbone",
        "spatial",
        "temporal",
        "streaming",
        "window recomputed",
        "window recomputed, one batch",
    }
    assert result["cameras"]["frames_per_second_each"] > 0 and result["cameras"]["age"]["p50"] > 0
    for figures in result["milliseconds"].values():
        assert 0 <= figures["p50"] <= figures["p95"] <= figures["p99"]
    assert result["recomputed_over_streaming"] > 0
    # two matrix products of every weight of the patches and blocks for each of 2 x 192 tokens, at the least
    weights = sum(p.numel() for block in network.backbone.blocks for p in block.parameters() if p.ndim == 2)
    assert result["gflop_per_frame"] * 1e9 > 2 * 2 * 192 * weights
    assert result["share_of_matrix_limit"] > 0 and result["peak_memory"]["process_mb"] > 0


def test_the_tracker_on_a_video(tmp_path, capsys):
    with VideoWriter(tmp_path / "v.mp4", 30.0) as writer:
        for k in range(12):
            writer.write(cv2.circle(np.zeros((120, 160, 3), np.uint8), (40 + k, 60), 20, (200, 150, 120), -1))
    assert main(["benchmark", str(tmp_path / "v.mp4"), "--frames", "5", "--out", str(tmp_path / "b.json")]) == 0
    result = json.loads((tmp_path / "b.json").read_text())
    assert result == json.loads(capsys.readouterr().out)
    assert result["frames"] == 5 and {"decode", "detect", "total"} <= set(result["milliseconds"])
    network = result["network"]
    assert list(network["milliseconds"]) == ["spatial", "temporal", "streaming", "window recomputed"]
    assert network["recomputed_over_streaming"] > 0 and network["share_of_matrix_limit"] > 0
    assert 0.01 < network["gflop_per_frame"] < 0.1, "7 million numbers, most of them used once for each of 42 landmarks"
    if importlib.util.find_spec("rclpy"):
        assert 0 < result["milliseconds"]["publish"]["p50"] < result["milliseconds"]["total"]["p50"]


@pytest.mark.parametrize("device", ["cpu", "onnx"])
def test_a_networks_own_weights_are_measured_by_every_stage(tmp_path, capsys, device):
    weights = tmp_path / "w.safetensors"
    if device == "onnx":
        export_onnx(small_network(), weights := tmp_path / "exported")
    else:
        save_weights(small_network(), weights)
    plain_video(tmp_path / "v.mp4", 8 * [0], (160, 120))
    asked = ["--model", "image", "--weights", str(weights), "--device", device, "--frames", "2", "--cameras", "2"]
    assert main(["benchmark", str(tmp_path / "v.mp4"), *asked]) == 0
    result = json.loads(capsys.readouterr().out)
    stages = ["crop", "backbone", "spatial", "temporal", "streaming", "window recomputed"]
    assert list(result["network"]["milliseconds"])[:6] == stages and result["network"]["recomputed_over_streaming"] > 0
    if device == "cpu":
        assert result["network"]["cameras"]["cameras_at_30_hz"] == 2 and result["network"]["share_of_matrix_limit"] > 0


def test_publishing_is_said_to_be_absent_without_ros(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rclpy", None)
    for name in [name for name in sys.modules if name.startswith("fourdhands_ros")]:
        monkeypatch.delitem(sys.modules, name)
    plain_video(tmp_path / "v.mp4", 8 * [0], (160, 120))
    assert main(["benchmark", str(tmp_path / "v.mp4"), "--frames", "2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert "not measured" in result["publish"] and "publish" not in result["milliseconds"]


def test_a_detector_on_a_gpu_is_measured_without_torch(tmp_path, monkeypatch):
    monkeypatch.setattr(tracker, "make_detector", lambda *_, **more: HandDetector())
    monkeypatch.setitem(sys.modules, "torch", None)
    plain_video(tmp_path / "v.mp4", 8 * [0], (160, 120))
    result = benchmark(TrackerSettings(device="cuda"), tmp_path / "v.mp4", 2)
    assert result["device"] == "cuda" and result["peak_memory"].keys() == {"process_mb"}
    assert "torch" in result["network"]["share_of_matrix_limit"] and "temporal" in result["network"]["milliseconds"]


def test_nothing_to_measure(tmp_path, capsys):
    assert main(["benchmark"]) == 2
    assert "--backbone" in capsys.readouterr().err
    assert main(["benchmark", str(tmp_path / "none.mp4")]) == 2
    for device in ("onnx", "tensorrt"):
        assert main(["benchmark", "--backbone", "S", "--device", device]) == 2
        assert "--device cpu or cuda" in capsys.readouterr().err
    assert main(["benchmark", "--backbone", "S", "--precision", "int8"]) == 2
    assert "--precision int8 is for the detector" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main(["benchmark", "--backbone", "H", "--device", "cuda", "--precision", "float16"]) == 2
        assert "torch sees no CUDA device" in capsys.readouterr().err
    assert main(["benchmark", "ros"]) == 2 and main(["benchmark", "a.mp4", "--backbone", "S"]) == 2
    capsys.readouterr()
    for of, option in ("--backbone S", "weights"), ("ros a.mp4", "threads"):
        assert main(["benchmark", *of.split(), f"--{option}", "2"]) == 2
        assert f"--{option} means nothing to `benchmark" in capsys.readouterr().err
