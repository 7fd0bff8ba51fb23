"""Weights files as numpy arrays, without torch: safetensors with the network's configuration inside."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from ..errors import CheckpointError
from ..files import check_file, not_a, utf8_name
from .image_config import ImageConfig
from .landmark_config import SHIPPED, LandmarkConfig

KEY = "fourdhands"
"""What the configuration stands under in a file's metadata."""
_CONFIGS: dict[str, type[LandmarkConfig] | type[ImageConfig]] = {"landmark": LandmarkConfig, "image": ImageConfig}
"""By the configuration's `tokenizer`."""
_ADVICE = "give weights written by `fourdhands train` or `fourdhands import-weights`"
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""numpy's names of safetensors' floating-point types; it has none for bfloat16, the upper half of a float32."""

Tensor = TypeVar("Tensor")


def read_header(path: str | Path) -> tuple[LandmarkConfig | ImageConfig, dict]:
    """The configuration and the `about` of a weights file."""
    path = check_file(path, "weights file", f"{_ADVICE}; without, model landmark takes those of this package", CheckpointError)
    try:
        with utf8_name(path) as name, safe_open(name, framework="np") as file:
            header = json.loads((file.metadata() or {})[KEY])
        kind = _CONFIGS[header["config"]["tokenizer"]]
        return kind.from_dict(header["config"]), header.get("about", {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            not_a(path, "a readable safetensors file", f"{error}; it may be truncated", _ADVICE, ["a safetensors file"])
        ) from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} holds no FourDHands configuration ({type(error).__name__}: {error}); {_ADVICE}"
        ) from error


def require_tokenizer(config: LandmarkConfig | ImageConfig, tokenizer: str, path: str | Path) -> None:
    """Raises CheckpointError unless the weights file at `path` holds a network with this tokenizer."""
    if config.tokenizer != tokenizer:
        raise CheckpointError(
            f"{path} holds a network of model {config.tokenizer}, not {tokenizer}; use model {config.tokenizer} for it"
        )


def check_fit(
    path: Path,
    tensors: Mapping[str, Tensor],
    expected: Mapping[str, tuple[int, ...]],
    fault_of: Callable[[Tensor, tuple[int, ...]], str],
) -> None:
    """Raises CheckpointError that names every missing and superfluous tensor, and those that have a fault.

    expected: shapes by name. fault_of: why a tensor is not the weights of a shape, in words that follow its name, or "".
    """
    faults = [f"missing {name}" for name in sorted(set(expected) - set(tensors))]
    faults += [f"superfluous {name}" for name in sorted(set(tensors) - set(expected))]
    for name in sorted(set(expected) & set(tensors)):
        if fault := fault_of(tensors[name], expected[name]):
            faults.append(f"{name} {fault}")
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise CheckpointError(f"{path} does not fit its own configuration: {shown}")


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The float32 arrays of a landmark network of LandmarkConfig's own sizes, by their names in it.

    Raises CheckpointError as `checkpoint.load_weights` does. The shipped file tells the names and shapes.
    """
    path = Path(path)
    tensors = _tensors(path)
    expected = tensors if path == SHIPPED else _tensors(SHIPPED)
    check_fit(path, tensors, {name: tuple(tensor["shape"]) for name, tensor in expected.items()}, _fault_of)
    return {name: _array(tensor) for name, tensor in tensors.items()}


def _tensors(path):
    """What safetensors gives of each tensor, by name: dtype, shape, data."""
    try:
        return dict(deserialize(path.read_bytes()))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); it may be truncated") from error


def _fault_of(tensor, shape):
    if tuple(tensor["shape"]) != shape:
        return f"is {tuple(tensor['shape'])}, not {shape}"
    if tensor["dtype"] not in _FLOATS:
        return f"is of type {tensor['dtype']}, not a floating-point one"
    return "" if np.isfinite(_array(tensor)).all() else "holds values that are not finite"


def _array(tensor):
    values = np.frombuffer(tensor["data"], _FLOATS[tensor["dtype"]])
    if tensor["dtype"] == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32, copy=False).reshape(tensor["shape"])
