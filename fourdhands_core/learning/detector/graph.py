"""A network that is an ONNX file, as a module of torch whose weights can be trained and written back into the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ...errors import InputError
from ...extras import needed_for

with needed_for("tuning the detector", "onnx"):
    import onnx
    from onnx import numpy_helper

_LEARNING = "Conv", "Gemm"
"""Operators whose weights learn."""
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
        """The network of a file."""
        return cls(onnx.load(str(path)))

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
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    padding: Any = (top, left)
    if (top, left) != (bottom, right):
        image, padding = functional.pad(image, (left, right, top, bottom)), 0
    strides, groups = attributes.get("strides", [1, 1]), attributes.get("group", 1)
    return functional.conv2d(image, kernel, bias[0] if bias else None, strides, padding, 1, groups)


_OPERATORS = {
    "Conv": _conv,
    "Add": lambda given, _: given[0] + given[1],
    "Relu": lambda given, _: functional.relu(given[0]),
    "Clip": lambda given, _: given[0].clamp(given[1], given[2]),
    "GlobalAveragePool": lambda given, _: given[0].mean((2, 3), keepdim=True),
    "Flatten": lambda given, _: given[0].flatten(1),
    "Gemm": lambda given, _: functional.linear(given[0], given[1], given[2]),
    "Sigmoid": lambda given, _: given[0].sigmoid(),
}
"""By ONNX's name, from inputs and attributes; weights of Gemm are transposed, as the converter writes them."""
