"""Converts MediaPipe's two hand networks from TensorFlow Lite to ONNX files: the palm network that the package ships, and the
landmark network from which `fourdhands train detector` made the shipped one.

    pip download --no-deps mediapipe==0.10.21 && unzip mediapipe-*.whl 'mediapipe/modules/*' && pip install tflite onnx
    python tools/hand_networks.py mediapipe/modules --out networks

The networks are Google's, under Apache-2.0 (fourdhands_core/perception/assets/NOTICE). Weights stay in the 16 bits that they
have there; images become channels first, with any number of them; what onnxruntime is slow at is written as convolutions
that compute the same. Only the operators of these two networks are known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

ASSETS = Path(__file__).resolve().parents[1] / "fourdhands_core" / "perception" / "assets"


class Source(NamedTuple):
    """A network to convert: its file in mediapipe/modules, the names its outputs get, and the shipped file."""

    file: str
    outputs: tuple[str, ...]
    written: Path


SOURCES = (
    Source("palm_detection/palm_detection_full.tflite", ("boxes", "scores"), ASSETS / "palm_detection.onnx"),
    Source(
        "hand_landmark/hand_landmark_full.tflite",
        ("landmarks", "presence", "handedness", "world"),
        ASSETS / "hand_landmarks.onnx",
    ),
)
_OPERATORS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}
_NONE, _RELU, _RELU6 = 0, 1, 3  # fused activations, tflite.ActivationFunctionType
_VALID = 1  # tflite.Padding
_SMALL = 64  # weights with fewer numbers stay float32: halving them saves nothing


class Converter:
    """One TensorFlow Lite graph, which `model` gives as ONNX. outputs: their names, in the graph's order."""

    def __init__(self, path: Path, outputs: tuple[str, ...]):
        self._file = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
        self._graph = self._file.Subgraphs(0)
        self._outputs = {int(t): name for t, name in zip(self._graph.OutputsAsNumpy(), outputs)}
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._constants: dict[int, np.ndarray] = {}

    def model(self) -> onnx.ModelProto:
        """The whole graph: "image" (n, 3, height, width) float32, 0-1, to the outputs."""
        for k in range(self._graph.OperatorsLength()):
            operator = self._graph.Operators(k)
            code = self._file.OperatorCodes(operator.OpcodeIndex())
            kind = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())].lower()
            convert = getattr(self, f"_{kind}", None)
            if convert is None:
                raise NotImplementedError(f"operator {kind} is none of those that the hand networks of MediaPipe 0.10.21 have")
            convert(operator, [int(t) for t in operator.InputsAsNumpy()], int(operator.OutputsAsNumpy()[0]))
        image = int(self._graph.InputsAsNumpy()[0])
        height, width = self._shape(image)[1:3]
        given = helper.make_tensor_value_info(self._name(image), TensorProto.FLOAT, ["n", 3, height, width])
        made = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *self._shape(t)[1:]])
            for t, name in self._outputs.items()
        ]
        graph = helper.make_graph(self._nodes, "hand", [given], made, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _shape(self, tensor: int) -> list[int]:
        return self._graph.Tensors(tensor).ShapeAsNumpy().tolist()

    def _name(self, tensor: int) -> str:
        return self._outputs.get(tensor, "image" if tensor == int(self._graph.InputsAsNumpy()[0]) else f"t{tensor}")

    def _data(self, tensor: int) -> np.ndarray:
        """A constant; those of 16 bits reach their operators through one that widens them."""
        if tensor in self._constants:
            return self._constants[tensor]
        described = self._graph.Tensors(tensor)
        buffer = self._file.Buffers(described.Buffer())
        return np.frombuffer(buffer.DataAsNumpy().tobytes(), _TYPES[described.Type()]).reshape(self._shape(tensor))

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **attributes))
        return output

    def _weight(self, array: np.ndarray) -> str:
        name = f"w{len(self._weights)}"
        halved = array.astype(np.float16) if array.dtype == np.float32 and array.size > _SMALL else None
        if halved is None or not np.array_equal(halved.astype(np.float32), array):
            self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name
        self._weights.append(numpy_helper.from_array(halved, name + "_16"))
        return self._node("Cast", [name + "_16"], name, to=TensorProto.FLOAT)  # done once, when a session is made

    def _activated(self, output: int, activation: int, node: Callable[[str], str]) -> None:
        """node(name) makes the result before the activation."""
        name = self._name(output)
        if activation == _NONE:
            node(name)
        elif activation == _RELU:
            self._node("Relu", [node(name + "_raw")], name)
        elif activation == _RELU6:
            limits = [self._weight(np.float32(limit)) for limit in (0, 6)]
            self._node("Clip", [node(name + "_raw"), *limits], name)
        else:
            raise NotImplementedError(f"activation {activation}")

    def _window(self, options: Any, source: int, kernel: list[int]) -> dict[str, list[int]]:
        """A window's attributes. "Same" puts the odd pixel of padding behind, as TensorFlow does."""
        strides = [options.StrideH(), options.StrideW()]
        before, after = [0, 0], [0, 0]
        if options.Padding() != _VALID:
            for axis, (size, extent, stride) in enumerate(zip(self._shape(source)[1:3], kernel, strides)):
                total = max((-(-size // stride) - 1) * stride + extent - size, 0)
                before[axis], after[axis] = total // 2, total - total // 2
        return {"kernel_shape": kernel, "strides": strides, "pads": before + after}

    def _convolution(self, options: Any, inputs: list[int], output: int, depthwise: bool) -> None:
        assert options.DilationHFactor() == options.DilationWFactor() == 1
        kernel = self._data(inputs[1])
        attributes = self._window(options, inputs[0], list(kernel.shape[1:3]))
        if depthwise:
            assert options.DepthMultiplier() == 1
            attributes["group"] = kernel.shape[3]
        weight = self._weight(kernel.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)))
        given = [self._name(inputs[0]), weight, self._weight(self._data(inputs[2]))]
        self._activated(output, options.FusedActivationFunction(), lambda name: self._node("Conv", given, name, **attributes))

    def _dequantize(self, operator: Any, inputs: list[int], output: int) -> None:
        self._constants[output] = self._data(inputs[0]).astype(np.float32)

    def _conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        self._convolution(_options(operator, tflite.Conv2DOptions), inputs, output, depthwise=False)

    def _depthwise_conv_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        self._convolution(_options(operator, tflite.DepthwiseConv2DOptions), inputs, output, depthwise=True)

    def _add(self, operator: Any, inputs: list[int], output: int) -> None:
        given = [self._name(t) for t in inputs]
        activation = _options(operator, tflite.AddOptions).FusedActivationFunction()
        self._activated(output, activation, lambda name: self._node("Add", given, name))

    def _prelu(self, operator: Any, inputs: list[int], output: int) -> None:
        """relu(x) - slope * relu(-x): convolutions keep onnxruntime's blocked layout, which its PRelu does not."""
        slope = self._data(inputs[1]).reshape(-1, 1, 1, 1)
        attributes = {"group": len(slope), "kernel_shape": [1, 1]}
        source, name = self._name(inputs[0]), self._name(output)
        negative = self._node("Conv", [source, self._weight(-np.ones_like(slope))], name + "_negative", **attributes)
        negative = self._node("Relu", [negative], name + "_below")
        scaled = self._node("Conv", [negative, self._weight(-slope)], name + "_scaled", **attributes)
        self._node("Add", [scaled, self._node("Relu", [source], name + "_above")], name)

    def _max_pool_2d(self, operator: Any, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.Pool2DOptions)
        window = self._window(options, inputs[0], [options.FilterHeight(), options.FilterWidth()])
        pool = lambda name: self._node("MaxPool", [self._name(inputs[0])], name, **window)  # noqa: E731
        self._activated(output, options.FusedActivationFunction(), pool)

    def _pad(self, operator: Any, inputs: list[int], output: int) -> None:
        """Channels of zeros behind the others, by a convolution, which is faster than onnxruntime's Pad."""
        amounts = self._data(inputs[1])
        assert not amounts[:3].any() and amounts[3, 0] == 0, "only channels are added"
        channels = self._shape(inputs[0])[3]
        kernel = np.eye(channels + int(amounts[3, 1]), channels, dtype=np.float32)[..., None, None]
        self._node("Conv", [self._name(inputs[0]), self._weight(kernel)], self._name(output), kernel_shape=[1, 1])

    def _resize_bilinear(self, operator: Any, inputs: list[int], output: int) -> None:
        options = _options(operator, tflite.ResizeBilinearOptions)
        mode = "align_corners" if options.AlignCorners() else "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        (to_height, to_width), (height, width) = self._shape(output)[1:3], self._shape(inputs[0])[1:3]
        scales = self._weight(np.array([1.0, 1.0, to_height / height, to_width / width], np.float32))
        given = [self._name(inputs[0]), "", scales]
        self._node("Resize", given, self._name(output), mode="linear", coordinate_transformation_mode=mode)

    def _reshape(self, operator: Any, inputs: list[int], output: int) -> None:
        """Of what has its channels last."""
        name = self._name(output)
        last = self._node("Transpose", [self._name(inputs[0])], name + "_channels_last", perm=[0, 2, 3, 1])
        self._node("Reshape", [last, self._weight(np.array([0, *self._shape(output)[1:]], np.int64))], name)

    def _concatenation(self, operator: Any, inputs: list[int], output: int) -> None:
        self._node("Concat", [self._name(t) for t in inputs], self._name(output), axis=1)

    def _mean(self, operator: Any, inputs: list[int], output: int) -> None:
        assert self._data(inputs[1]).tolist() == [1, 2], "only over the image"
        name = self._name(output)
        self._node("Flatten", [self._node("GlobalAveragePool", [self._name(inputs[0])], name + "_mean")], name, axis=1)

    def _fully_connected(self, operator: Any, inputs: list[int], output: int) -> None:
        weight, bias = (self._weight(self._data(t)) for t in inputs[1:])
        given = [self._name(inputs[0]), weight, bias]
        activation = _options(operator, tflite.FullyConnectedOptions).FusedActivationFunction()
        self._activated(output, activation, lambda name: self._node("Gemm", given, name, transB=1))

    def _logistic(self, operator: Any, inputs: list[int], output: int) -> None:
        self._node("Sigmoid", [self._name(inputs[0])], self._name(output))


def _options(operator: Any, kind: Any) -> Any:
    options, table = kind(), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def convert(source: Source, modules: Path) -> onnx.ModelProto:
    """A network as ONNX. modules: the folder mediapipe/modules of the wheel."""
    return Converter(modules / source.file, source.outputs).model()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", type=Path, help="the folder mediapipe/modules of the unpacked wheel")
    parser.add_argument("--out", type=Path, required=True, help="folder to write them into")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        written = given.out / source.written.name
        written.write_bytes(convert(source, given.modules).SerializeToString(deterministic=True))
        print(written, written.stat().st_size)
