"""Networks of weights files in torch, checked name by name when read; `weights_file` has what needs no torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from ..errors import CheckpointError, InputError
from ..files import utf8_name
from ..outputs import writing
from .image_config import ImageConfig
from .image_model import ImageNetwork
from .landmark_config import SHIPPED, LandmarkConfig
from .landmark_model import LandmarkNetwork
from .weights_file import KEY, check_fit, read_header


@overload
def empty_network(config: LandmarkConfig) -> LandmarkNetwork: ...
@overload
def empty_network(config: ImageConfig) -> ImageNetwork: ...
def empty_network(config: LandmarkConfig | ImageConfig) -> LandmarkNetwork | ImageNetwork:
    """A network without memory for its weights, which `load_state_dict(assign=True)` brings."""
    with torch.device("meta"):
        return LandmarkNetwork(config) if isinstance(config, LandmarkConfig) else ImageNetwork(config)


def save_weights(network: LandmarkNetwork | ImageNetwork, path: str | Path, **about: Any) -> None:
    """Write `network` to `path`; `about` (plain JSON values) says how it was made. The file appears complete or not at all.

    Raises InputError where it cannot be written, CheckpointError where the weights are not finite.
    """
    header = {KEY: json.dumps({"config": network.config.to_dict(), "about": about}, sort_keys=True)}
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise CheckpointError(f"the weights for {path} are not finite, and are not written; train at a lower rate")
    with writing(path) as partial:
        if partial.exists():  # a device, a pipe
            partial.write_bytes(save(tensors, metadata=header))
            return
        mask = os.umask(0)
        os.umask(mask)
        with utf8_name(partial.parent) as folder:
            written = Path(folder, "weights")
            try:
                save_file(tensors, str(written), metadata=header)
            except SafetensorError as error:
                raise InputError(f"the weights {path} cannot be written ({error}); give another place") from error
            written.chmod(0o666 & ~mask)  # safetensors leaves the file to its owner alone
            os.replace(written, partial)


def fault_of(tensor: torch.Tensor, shape: tuple[int, ...]) -> str:
    """Why a tensor of a file is not the weights of that shape, in words that follow its name; empty where it is."""
    if tuple(tensor.shape) != shape:
        return f"is {tuple(tensor.shape)}, not {shape}"
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        return f"is of type {tensor.dtype}, not a floating-point one"
    return "" if torch.isfinite(tensor.float()).all() else "holds values that are not finite"


def load_weights(path: str | Path | None = None) -> LandmarkNetwork | ImageNetwork:
    """The network of a weights file (default: the shipped one), in evaluation mode, on the CPU.

    Raises CheckpointError that names every missing, superfluous or misshapen tensor, or those with values that are not
    finite.
    """
    path = Path(path) if path else SHIPPED
    config, _ = read_header(path)
    network = empty_network(config)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    try:
        with utf8_name(path) as name, safe_open(name, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    except SafetensorError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); it may be truncated") from error
    check_fit(path, tensors, expected, fault_of)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.eval()
