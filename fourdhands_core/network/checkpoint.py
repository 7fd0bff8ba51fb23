"""Weights files: safetensors with the network's configuration inside, checked name by name when read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import CheckpointError
from .config import SHIPPED, NetworkConfig
from .image_config import ImageConfig
from .image_model import ImageNetwork
from .model import FourDHands

_KEY = "fourdhands"
_KINDS = {"landmark": (NetworkConfig, FourDHands), "image": (ImageConfig, ImageNetwork)}
"""Configuration and network by the configuration's `tokenizer`."""


def empty_network(config: NetworkConfig | ImageConfig) -> FourDHands | ImageNetwork:
    """A network without memory for its weights, which `load_state_dict(assign=True)` brings."""
    with torch.device("meta"):
        return _KINDS[config.tokenizer][1](config)


def save_weights(network: FourDHands | ImageNetwork, path: str | Path, **about) -> None:
    """Write `network` to `path`; `about` (plain JSON values) says how it was made."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    header = {_KEY: json.dumps({"config": network.config.to_dict(), "about": about}, sort_keys=True)}
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, str(path), metadata=header)
    mask = os.umask(0)
    os.umask(mask)
    Path(path).chmod(0o666 & ~mask)  # safetensors leaves the file to its owner alone


def read_header(path: str | Path) -> tuple[NetworkConfig | ImageConfig, dict]:
    """The configuration and the `about` of a weights file."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"weights file {path} does not exist; leave `weights` empty to use the shipped ones")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
        kind, _ = _KINDS[header["config"]["tokenizer"]]
        return kind.from_dict(header["config"]), header.get("about", {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file ({error}); it may be truncated or of another "
                              "kind: give weights written by `fourdhands train` or `fourdhands import-weights`") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} holds no FourDHands configuration ({type(error).__name__}: {error}); give weights "
                              "written by `fourdhands train` or `fourdhands import-weights`") from error


def fault_of(tensor: torch.Tensor, shape: tuple[int, ...]) -> str:
    """Why a tensor of a file is not the weights of that shape, in words that follow its name; empty where it is."""
    if tuple(tensor.shape) != shape:
        return f"is {tuple(tensor.shape)}, not {shape}"
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        return f"is of type {tensor.dtype}, not a floating-point one"
    return "" if torch.isfinite(tensor.float()).all() else "holds values that are not finite"


def load_weights(path: str | Path | None = None) -> FourDHands | ImageNetwork:
    """The network of a weights file (default: the shipped one), in evaluation mode, on the CPU.

    Raises CheckpointError that names every missing, superfluous or misshapen tensor, or those with values that are not
    finite.
    """
    path = Path(path) if path else SHIPPED
    config, _ = read_header(path)
    network = empty_network(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); it may be truncated") from error
    faults = [f"missing {name}" for name in sorted(set(expected) - set(tensors))]
    faults += [f"superfluous {name}" for name in sorted(set(tensors) - set(expected))]
    for name in sorted(set(expected) & set(tensors)):
        if fault := fault_of(tensors[name], expected[name]):
            faults.append(f"{name} {fault}")
    if faults:
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        raise CheckpointError(f"{path} does not fit its own configuration: {shown}")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.eval()
