"""Tensors out of torch checkpoints that others wrote, whatever objects lie around them, without running what they say."""

from __future__ import annotations

import pickle
import re
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors import safe_open

from ..errors import CheckpointError
from ..files import check_file, kind_of, utf8_name

_TAKEN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}
"""All that a pickle may name and get: what tensors are made with."""
_PASSED_OVER = set(
    "omegaconf yacs pytorch_lightning lightning lightning_fabric mmcv mmengine hamer numpy torch collections typing pathlib "
    "argparse enum functools copyreg copy_reg _codecs".split()
)
"""Packages whose objects training programs store beside the weights (settings, states of optimizers and trainers)."""
_PLAIN = set("dict list set frozenset tuple int float complex bool str bytes bytearray slice range object".split())
"""Built-in types that do nothing but hold values."""
_USUAL = "state_dict", "model_state_dict", "model", "network", "net", "params"
"""What training programs keep the weights under, the one that counts first: others beside it are averages of them."""
_WRAPPED = "module.", "_orig_mod."


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors by name of a torch checkpoint, or of a safetensors file.

    They are the file's own mapping or one within it (`state_dict`, `model`, ...). What DistributedDataParallel and
    torch.compile put before every name is left out. Only tensors and plain containers are taken from the file. Objects of
    training programs (the settings and states in a checkpoint of Lightning or MMCV) are passed over: none of them is made
    and nothing they say is done. A file that names anything else is refused. Raises CheckpointError.
    """
    path = check_file(path, "checkpoint", "give a .pth, .pt, .ckpt or .safetensors file", CheckpointError)
    try:
        with utf8_name(path) as name:
            content = _load(name)
    except Exception as error:  # torch and pickle fail in many ways on a file that is none of theirs
        raise CheckpointError(f"{path} cannot be read as plain weights: {_reason(path, error)}") from error
    tensors = _chosen(path, content)
    if sparse := [name for name, tensor in tensors.items() if tensor.layout != torch.strided or tensor.is_quantized]:
        raise CheckpointError(f"{path} holds tensors that are sparse or quantized, such as {sparse[0]}; give plain weights")
    for prefix in _WRAPPED:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _reason(path, error):
    """Why a file could not be read and what to do. torch's own words advise to switch its protection off."""
    kind, advice = kind_of(path)
    if kind not in ("", "a pickle", "a torch checkpoint", "a safetensors file"):
        return f"it is {kind}, not a torch checkpoint; {advice or 'give a .pth, .pt or .ckpt file'}"
    if isinstance(error, _Refused):
        return f"{error}; it could run code and was not loaded"
    if isinstance(error, pickle.UnpicklingError):
        return (
            "it is truncated or no torch checkpoint, or holds objects besides tensors, which are not loaded because they "
            "could run code; save its state_dict() alone"
        )
    return f"it is truncated or no torch checkpoint ({type(error).__name__}); copy or download it again"


def _chosen(path, content):
    """The tensors by name that are a checkpoint's weights."""
    if isinstance(content, _PassedOver) or not isinstance(content, dict):
        kind = "an object" if isinstance(content, _PassedOver) else f"a {type(content).__name__}"
        raise CheckpointError(f"{path} holds {kind}, not tensors by name; save the network's state_dict()")
    found = dict(_mappings(content))
    if not found:
        raise CheckpointError(f"{path} holds no tensors; it holds {', '.join(map(str, list(content)[:8])) or 'nothing'}")
    for name in _USUAL:
        if chosen := sorted((key for key in found if key[-1:] == (name,)), key=len):
            return found[chosen[0]]
    most = max(map(len, found.values()))
    chosen = [key for key, tensors in found.items() if len(tensors) == most]
    if len(chosen) > 1:
        raise CheckpointError(
            f"{path} holds mappings {', '.join('.'.join(key) for key in chosen)} of {most} tensors each; "
            "save the one that is meant alone"
        )
    return found[chosen[0]]


def _mappings(content, at=()):
    """The mappings that hold tensors under names, in a mapping and those within it: (their keys, their tensors)."""
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, torch.Tensor)}
    if tensors:
        yield at, tensors
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, dict) and len(at) < 3 and not re.match("optim|sched|lr_", name):
            yield from _mappings(value, (*at, name))


def _load(path):
    if kind_of(path)[0] == "a safetensors file":
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    if zipped := zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("constants.pkl") for name in archive.namelist()):  # which torch would run
                raise _Refused("it is a TorchScript program")
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError:
        if not zipped:
            raise
        reader = types.SimpleNamespace(__name__="fourdhands", Unpickler=_Unpickler)
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader, mmap=True)


class _Refused(pickle.UnpicklingError):
    """A name in a pickle that is not followed."""


class _Unpickler(pickle._Unpickler):
    """Gives what tensors are made with, stand-ins for the objects of training programs, and nothing else.

    In Python, as the one in C fills gigabytes for five bytes that remember something under a large number.
    """

    def find_class(self, module, name):
        if (module, name) in _TAKEN:
            return _TAKEN[module, name]
        if module.split(".")[0] in _PASSED_OVER or (module in ("builtins", "__builtin__") and name in _PLAIN):
            return _PassedOver
        raise _Refused(f"it names {module}.{name}, which weights have no use for")


class _PassedOver(dict):
    """Stands in for any object or function in a pickle: takes everything and does nothing."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        super().__init__()

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def __hash__(self):  # type: ignore[override]  # dict has none
        return id(self)

    def __call__(self, *args, **kwargs):
        return self

    append = extend = add = update = __setstate__  # type: ignore[assignment]  # takes anything, does nothing
