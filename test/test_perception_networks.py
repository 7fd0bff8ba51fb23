"""The hand networks: what the converter makes of them, against TensorFlow Lite's own interpreter and MediaPipe."""

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from program_support import python

from fourdhands_core.perception.palms import Palms
from fourdhands_core.perception.squares import Square, around_landmarks, cut, overlap

TOOL = Path(__file__).resolve().parents[1] / "tools" / "hand_networks.py"


@pytest.fixture(scope="module")
def converter():
    pytest.importorskip("tflite", reason="the converter reads TensorFlow Lite files with the package tflite")
    pytest.importorskip("onnx")
    spec = importlib.util.spec_from_file_location("hand_networks", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules["hand_networks"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def modules():
    mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe's wheel has the networks that are converted")
    return Path(mediapipe.__file__).parent / "modules"


@pytest.fixture(scope="module")
def converted(converter, modules):
    """Each network's source, and the bytes of its ONNX file."""
    return [(source, converter.convert(source, modules).SerializeToString(deterministic=True)) for source in converter.SOURCES]


def shape_of(file: bytes) -> list[tuple]:
    """The nodes of a network and the sizes of its weights, without their values."""
    graph = pytest.importorskip("onnx").ModelProto.FromString(file).graph
    nodes = [(node.op_type, *node.input, *node.output, *map(str, node.attribute)) for node in graph.node]
    return nodes + [(kept.name, kept.data_type, *kept.dims) for kept in graph.initializer]


def test_the_shipped_files_are_what_the_converter_writes(converted):
    """The palm network to the byte; the landmark network but for its weights, which were trained on."""
    (palms, palm_file), (hands, hand_file) = converted
    assert palm_file == palms.written.read_bytes()
    assert shape_of(hand_file) == shape_of(hands.written.read_bytes())


def test_outputs_are_those_of_litert(converted, modules):
    """Landmarks and boxes are in pixels of the crop."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is what the networks are compared with")
    rng = np.random.default_rng(0)
    for source, file in converted:
        interpreter = litert.Interpreter(str(modules / source.file))
        interpreter.allocate_tensors()
        (given,) = interpreter.get_input_details()
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        for _ in range(3):
            coarse = rng.uniform(size=(12, 12, 3)).astype(np.float32)
            size = given["shape"][1]
            image = coarse[np.arange(size) * 12 // size][:, np.arange(size) * 12 // size][None]
            interpreter.set_tensor(given["index"], image)
            interpreter.invoke()
            found = session.run(list(source.outputs), {"image": image.transpose(0, 3, 1, 2)})
            for name, values, detail in zip(source.outputs, found, interpreter.get_output_details()):
                np.testing.assert_allclose(values, interpreter.get_tensor(detail["index"]), atol=1e-3, err_msg=name)


def test_a_square_and_its_points_are_where_the_image_is_cut():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:240, :320]
    image = np.stack([x / 320 * 255, y / 240 * 255, 0 * x], axis=-1).round().astype(np.uint8)
    for _ in range(20):
        square = Square(*rng.uniform(110, 130, 2), rng.uniform(40, 120), rng.uniform(-4, 4))
        pixels = cut(image, square, 64, 0)
        u, v = rng.integers(4, 60, 2)
        at = square.to_image(np.array([u, v]) / 64)
        np.testing.assert_allclose(pixels[v, u, :2], at / (320, 240) * 255, atol=2.0)
    assert overlap(square, square) == pytest.approx(1.0) and overlap(square, square._replace(x=999.0)) == 0.0


def test_the_square_of_landmarks_turns_and_moves_with_them():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(21, 2)) * 40 + 200
    before = around_landmarks(points)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    after = around_landmarks(points @ turn.T * 2.0 + (10.0, -5.0))
    np.testing.assert_allclose(after[:2], turn @ before[:2] * 2.0 + (10.0, -5.0))
    assert after.side == pytest.approx(2.0 * before.side)
    assert np.exp(1j * (after.angle - before.angle)) == pytest.approx(np.exp(1j * angle))


def test_boxes_of_one_palm_are_one_and_those_of_two_are_two():
    boxes, scores = np.zeros((2016, 18), np.float32), np.full(2016, -20.0, np.float32)
    boxes[:, 2:4] = 60.0
    scores[[0, 1, 700]] = 2.0, 1.0, 3.0  # two boxes of one cell, and one far away
    first, second = Palms(boxes, scores).above(0.5)
    assert first.score > second.score > 0.5
    np.testing.assert_allclose(second.box[2:] - second.box[:2], 60.0 / 192)
    assert Palms(boxes, scores).above(0.999) == []


def test_onnxruntime_tells_nobody():
    """Its builds of late have an address of their maker's, and say where they cannot keep a number of the computer for it."""
    program = "import fourdhands_core.perception.hand_networks as networks; networks.HandNetworks('cpu', 1)"
    said = python("-c", program, env={**os.environ, "HOME": "/proc", "XDG_CACHE_HOME": "/proc"})
    assert said.returncode == 0 and "telemetry" not in said.stderr
    told = python("-c", "import os, fourdhands_core; print(os.environ['ORT_DISABLE_TELEMETRY'])")
    assert told.stdout.strip() == "1"
