"""A network that is an ONNX file, as a module of torch whose weights can be trained and written back into the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch.nn import functional

from ...errors import InputError
from ...extras import needed_for
from ...files import check_file, not_a

with needed_for("tuning the detector", "onnx"):
    import onnx
    from onnx import numpy_helper

_LEARNING = "Conv", "Gemm"
"""Operators whose weights learn."""
_SMALL = 14
"""Pixels along a side of the maps that are small."""
_HALVED = "_16"
"""Ends the name of a weight that is kept in 16 bits, see tools/hand_networks.py."""


class Graph(torch.nn.Module):
    """Computes what an ONNX file of tools/hand_networks.py computes, node by node. Only the operators of its landmark network.

    Raises InputError for a file with others.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self._model = model
        self._constants: dict[str, np.ndarray] = {}
        self.weights = torch.nn.ParameterDict()
        for kept in model.graph.initializer:
            array = numpy_helper.to_array(kept)
            if array.dtype in (np.float16, np.float32):
                self.weights[kept.name.removesuffix(_HALVED)] = torch.from_numpy(array.astype(np.float32))
            else:
                self._constants[kept.name] = array
        self._nodes = [node for node in model.graph.node if node.op_type != "Cast"]
        self._made_by = {node.output[0]: node for node in self._nodes}
        if unknown := {node.op_type for node in self._nodes} - _OPERATORS.keys():
            raise InputError(f"the network has operators that are not known here: {', '.join(sorted(unknown))}")

    @classmethod
    def read(cls, path: str | Path) -> Graph:
        """The network of a file. Raises InputError for one that is missing or none."""
        advice = "give the landmark network that the package ships, or one of `fourdhands train detector`"
        check_file(path, "network", advice, InputError)
        try:
            model = onnx.load(str(path))
        except Exception as error:  # protobuf's own, of whatever is in the file
            raise InputError(not_a(path, "an ONNX file", type(error).__name__, advice)) from error
        if [given.name for given in model.graph.input] != ["image"]:
            raise InputError(f"{path} is no network that is given an image; {advice}")
        return cls(model)

    def forward(self, given: Mapping[str, torch.Tensor], wanted: Iterable[str]) -> dict[str, torch.Tensor]:
        """The values of these names, from those of others: images ("image", (n, 3, 224, 224), 0-1), or what lies between."""
        wanted = list(wanted)
        values = dict(given)
        for node in self.between(given, wanted):
            arguments = [self._value(name, values) for name in node.input]
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            values[node.output[0]] = _OPERATORS[node.op_type](arguments, attributes)
        return {name: values[name] for name in wanted}

    def between(self, given: Iterable[str], wanted: Iterable[str]) -> list[Any]:
        """The nodes that are run for that, in their order."""
        known, needed, waiting = set(given), set(), list(wanted)
        while waiting:
            name = waiting.pop()
            if name in known or name not in self._made_by:
                continue
            known.add(name)
            needed.add(name)
            waiting.extend(self._made_by[name].input)
        return [node for node in self._nodes if node.output[0] in needed]

    def onnxruntime(self, wanted: list[str]) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
        """What computes these values of images as they are written now, quicker than torch on a CPU."""
        model = onnx.ModelProto.FromString(self.written())
        there = {output.name for output in model.graph.output}
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in there)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return lambda images: dict(zip(wanted, map(torch.from_numpy, session.run(wanted, {"image": images}))))

    def has(self, name: str) -> bool:
        """Whether the network computes a value of this name."""
        return name in self._made_by

    def learn(self, given: Iterable[str], wanted: Iterable[str]) -> list[torch.nn.Parameter]:
        """The weights between those values, which learn from now on, as no others do.

        What stands for an operation (the limits of a Clip, weights that are all alike) is left as it is.
        """
        self.requires_grad_(False)
        names = [name for node in self.between(given, wanted) if node.op_type in _LEARNING for name in node.input]
        chosen = [self.weights[name] for name in dict.fromkeys(names) if name in self.weights]
        chosen = [weight for weight in chosen if weight.numel() > 1 and bool((weight != weight.flatten()[0]).any())]
        return [weight.requires_grad_(True) for weight in chosen]

    def written(self) -> bytes:
        """The file with the weights as they are now, each in the bits that it had."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for kept in model.graph.initializer:
            name = kept.name.removesuffix(_HALVED)
            if name in self.weights:
                array = self.weights[name].detach().cpu().numpy().astype(numpy_helper.to_array(kept).dtype)
                kept.CopyFrom(numpy_helper.from_array(array, kept.name))
        return bytes(model.SerializeToString(deterministic=True))

    def _value(self, name: str, values: Mapping[str, torch.Tensor]) -> Any:
        if name in values:
            return values[name]
        return self.weights[name] if name in self.weights else self._constants.get(name)


def _conv(given: list[Any], attributes: dict[str, Any]) -> torch.Tensor:
    image, kernel, *bias = given
    pads: list[int] = attributes.get("pads", [0, 0, 0, 0])
    strides, groups = attributes.get("strides", [1, 1]), attributes.get("group", 1)
    if image.device.type == "cpu" and image.shape[2] <= _SMALL and (kernel.shape[2:] == (1, 1) or groups == image.shape[1]):
        result = _as_products(image, kernel, strides[0], pads)
        return result + bias[0].to(result.dtype)[:, None, None] if bias else result
    top, left, bottom, right = pads
    padding: Any = (top, left)
    if (top, left) != (bottom, right):
        image, padding = functional.pad(image, (left, right, top, bottom)), 0
    return functional.conv2d(image, kernel, bias[0] if bias else None, strides, padding, 1, groups)


def _as_products(image: torch.Tensor, kernel: torch.Tensor, stride: int, pads: list[int]) -> torch.Tensor:
    """A pointwise convolution, or one of each channel alone, of small maps: much quicker on a CPU, and in 16 bits where
    torch.autocast says so. Channels come first in memory."""
    (count, channels, height, width), across = image.shape, image.transpose(0, 1)
    if kernel.shape[2:] == (1, 1):
        out = kernel.flatten(1) @ across.reshape(channels, -1)
        return out.view(-1, count, height, width).transpose(0, 1)
    ways, size = _ways(kernel.shape[2], stride, tuple(pads), height, width)
    whole = (kernel.flatten(1) @ ways).view(channels, height * width, -1)
    return torch.bmm(across.reshape(channels, count, -1), whole).view(channels, count, *size).transpose(0, 1)


@lru_cache(maxsize=8)
def _ways(kernel: int, stride: int, pads: tuple[int, ...], height: int, width: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """(kernel^2, pixels given * pixels made) 0 or 1: which weight takes which pixel to which; and the size of what is made."""
    top, left, bottom, right = pads
    one = torch.eye(kernel * kernel).view(-1, 1, kernel, kernel)
    pixels = torch.eye(height * width).view(-1, 1, height, width)
    made = functional.conv2d(functional.pad(pixels, (left, right, top, bottom)), one, stride=stride)
    return made.float().transpose(0, 1).flatten(2).flatten(1), (made.shape[2], made.shape[3])


_OPERATORS = {
    "Conv": _conv,
    "Add": lambda given, _: given[0] + given[1],
    "Relu": lambda given, _: functional.relu(given[0]),
    "Clip": lambda given, _: functional.hardtanh(given[0], given[1].item(), given[2].item()),
    "GlobalAveragePool": lambda given, _: given[0].mean((2, 3), keepdim=True),
    "Flatten": lambda given, _: given[0].flatten(1),
    "Gemm": lambda given, _: functional.linear(given[0], given[1], given[2]),
    "Sigmoid": lambda given, _: given[0].sigmoid(),
}
"""By ONNX's name, from inputs and attributes; weights of Gemm are transposed, as the converter writes them."""
