"""The landmark network in 8-bit numbers beside the whole one, on hands of real videos."""

import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from fourdhands_core.perception.hand_detector import HandDetector
from fourdhands_core.perception.hand_networks import HAND_INT8, HAND_SIZE, HandNetworks
from fourdhands_core.perception.squares import around_landmarks

TOOL = Path(__file__).resolve().parents[1] / "tools" / "hand_int8.py"


def looks_of_both(path, every):
    """Of each hand in every so manieth image of a video: its square, and what the whole network and the other see there."""
    whole, small = HandNetworks(), HandNetworks(hand=HAND_INT8)
    detector, video = HandDetector(whole), cv2.VideoCapture(str(path))
    number = 0
    while video.grab():
        number += 1
        if number % every:
            continue
        image = np.ascontiguousarray(video.retrieve()[1][:, :, ::-1])
        squares = [around_landmarks(found.landmarks) for found in detector.detect(image)]
        yield from zip(squares, whole.looks(image, squares), small.looks(image, squares))


@pytest.mark.parametrize("name, hands", [("right_hand", 60), ("two_hands", 45)])
def test_landmarks_are_less_than_half_a_pixel_off_and_hands_and_sides_the_same(real_data, name, hands):
    rows = list(looks_of_both(real_data / "video" / f"{name}.mp4", 10))
    assert len(rows) >= hands
    off = [HAND_SIZE / square.side * np.linalg.norm(a.landmarks - b.landmarks, axis=1) for square, a, b in rows]
    assert np.median(off) < 0.5
    assert np.percentile(off, 95) < 1.5
    assert np.mean([(a.presence > 0.5) == (b.presence > 0.5) for _, a, b in rows]) == 1.0
    assert np.mean([abs(a.right - b.right) for _, a, b in rows]) < 0.03
    assert np.median([np.linalg.norm(a.world - b.world, axis=1) for _, a, b in rows]) < 0.002


def test_products_of_two_do_not_overflow_16_bits_on_a_processor_that_adds_them_so():
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(HAND_INT8)).graph
    weights = [onnx.numpy_helper.to_array(kept) for kept in graph.initializer if kept.data_type == onnx.TensorProto.INT8]
    assert len(weights) > 35
    assert all(2 * 255 * np.abs(array.astype(int)).max() < 2**15 for array in weights)


def test_a_sum_of_what_is_in_8_bits_is_made_in_8_bits(tmp_path):
    """onnxruntime adds so only where scales are scalars; else it widens to 32 bits and rounds again."""
    onnx = pytest.importorskip("onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "as_run.onnx"), 3
    onnxruntime.InferenceSession(HAND_INT8, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "as_run.onnx").graph.node]
    assert kinds.count("QLinearAdd") == 2 and kinds.count("QLinearConv") == 43


@pytest.fixture(scope="module")
def tool():
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    spec = importlib.util.spec_from_file_location("hand_int8", TOOL)
    tool = importlib.util.module_from_spec(spec)
    sys.modules["hand_int8"] = tool
    spec.loader.exec_module(tool)
    return tool


def test_a_weight_makes_good_what_those_before_it_lost(tool):
    rng = np.random.default_rng(0)
    given = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 24)) + 0.1 * rng.normal(size=(4000, 24))  # much alike
    weights = rng.normal(size=(8, 24))
    wanted = given @ weights.T
    products, with_wanted = given.T @ given / 4000, given.T @ wanted / 4000
    chosen, scale = tool.rounded_weights(weights[None], products[None], with_wanted[None], np.full(8, 1e-8))
    widest = np.abs(weights).max(1, keepdims=True) / 64
    plain = np.rint(weights / widest) * widest
    assert np.abs(chosen).max() <= 64 and (chosen == np.rint(chosen)).all()
    lost, lost_plainly = (np.square(given @ w.T - wanted).mean() for w in (chosen[0] * scale[0][:, None], plain))
    assert lost < 0.5 * lost_plainly


def test_a_folder_with_too_few_crops_is_named(tool, tmp_path):
    crops = tool.Crops
    with pytest.raises(SystemExit, match="holds 0 crops of rendered hands, and 2 are needed"):
        tool.shown(tmp_path, 4)
    crops.of([(np.zeros((8, 8, 3), np.uint8), None)] * 2).save(tmp_path / "0.npz", "two")
    with pytest.raises(SystemExit, match="holds 0 crops of real hands, and 2 are needed"):
        tool.shown(tmp_path, 4)
