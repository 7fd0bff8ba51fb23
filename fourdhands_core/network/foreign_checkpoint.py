"""Tensors out of torch checkpoints that others wrote, whatever objects lie around them, without running what they say."""

from __future__ import annotations

import pickle
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch

from ..errors import CheckpointError

_TAKEN = {("collections", "OrderedDict"): OrderedDict, ("torch", "Size"): torch.Size,
          ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
          ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter}
"""All that a pickle may name and get: what tensors are made with."""
_PASSED_OVER = {"omegaconf", "yacs", "pytorch_lightning", "lightning", "lightning_fabric", "mmcv", "mmengine", "hamer", "numpy",
                "torch", "collections", "typing", "pathlib", "argparse", "enum", "functools", "copyreg", "copy_reg", "_codecs"}
"""Packages whose objects training programs store beside the weights (settings, states of optimizers and trainers)."""
_PLAIN = {"dict", "list", "set", "frozenset", "tuple", "int", "float", "complex", "bool", "str", "bytes", "bytearray", "slice",
          "range", "object"}
"""Built-in types that do nothing but hold values."""


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors by name of a torch checkpoint: a flat mapping, or one under `state_dict` or `model`.

    Only tensors and plain containers are taken from the file. Objects of training programs (the settings and states in a
    checkpoint of Lightning or MMCV) are passed over: none of them is made and nothing they say is done. A file that names
    anything else is refused. Raises CheckpointError.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} does not exist")
    try:
        content = _load(path)
    except Exception as error:  # torch and pickle fail in many ways on a file that is none of theirs
        raise CheckpointError(f"{path} cannot be read as plain weights ({type(error).__name__}: {str(error)[:200]}); it is "
                              "truncated, no torch checkpoint, or holds objects besides tensors, which are not loaded "
                              "because they could run code") from error
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not tensors by name")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")
    if sparse := [name for name, tensor in tensors.items() if tensor.layout != torch.strided or tensor.is_quantized]:
        raise CheckpointError(f"{path} holds tensors that are sparse or quantized, such as {sparse[0]}; give plain weights")
    return tensors


def _load(path):
    zipped = zipfile.is_zipfile(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError:
        if not zipped or _is_script(path):
            raise
        reader = types.SimpleNamespace(__name__="fourdhands", Unpickler=_Unpickler)
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader, mmap=True)


def _is_script(path):
    """A TorchScript archive, which torch would run as one."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


class _Unpickler(pickle._Unpickler):
    """Gives what tensors are made with, stand-ins for the objects of training programs, and nothing else.

    In Python, as the one in C fills gigabytes for five bytes that remember something under a large number.
    """

    def find_class(self, module, name):
        if (module, name) in _TAKEN:
            return _TAKEN[module, name]
        if module.split(".")[0] in _PASSED_OVER or (module in ("builtins", "__builtin__") and name in _PLAIN):
            return _PassedOver
        raise pickle.UnpicklingError(f"it names {module}.{name}, which weights have no use for")


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

    def __hash__(self):
        return id(self)

    def __call__(self, *args, **kwargs):
        return self

    append = extend = add = update = __setstate__
