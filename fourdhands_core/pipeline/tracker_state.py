"""What a HandPairTracker remembers, as a file: a long run that was ended goes on with it where it stopped."""

from __future__ import annotations

import importlib
import os
from collections import deque
from pathlib import Path

import numpy as np
import torch

from ..errors import CheckpointError
from .tracker import HandPairTracker

_MEMORY = ("identity", "shape", "size", "tracks", "_frames", "_pending")
"""What HandPairTracker.reset forgets. The detector's own memory is not among them: let it see the last images again."""
_ROOMS = ("fourdhands_core.geometry.", "fourdhands_core.network.", "fourdhands_core.perception.",
          "fourdhands_core.pipeline.")
_ARRAYS = (np.ndarray, np.dtype, *(type(np.dtype(kind)) for kind in ("float32", "float64", "int64", "bool")),
           np.zeros(0).__reduce__()[0], np.float64(0).__reduce__()[0], bytes)
"""What numpy's arrays and numbers are pickled with."""


def tracker_memory(tracker: HandPairTracker) -> dict:
    """All that the tracker has learned from the frames so far; it is shared with the tracker, not copied."""
    memory = {name: getattr(tracker, name) for name in _MEMORY}
    return {**memory, "_frames": list(tracker._frames)}  # torch's reader of weights knows lists alone


def give_memory(tracker: HandPairTracker, memory: dict) -> None:
    """Have a tracker of the same settings continue with the memory of another one."""
    for name in _MEMORY:
        setattr(tracker, name, memory[name])
    tracker._frames = deque(tracker._frames)


def save_memory(path: Path, content: dict) -> None:
    """Write memories, within any dictionary of plain values; the file appears complete or not at all."""
    partial = path.with_name(path.name + ".new")
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_memory(path: Path) -> dict:
    """What save_memory wrote. Only plain values, arrays and this package's own classes are taken from the file.

    Raises CheckpointError where it is damaged, holds anything else, or is of another version of this package.
    """
    try:
        classes = []
        for name in torch.serialization.get_unsafe_globals_in_checkpoint(path):
            module, _, attribute = name.rpartition(".")
            if module.startswith(_ROOMS) and isinstance(kind := getattr(importlib.import_module(module), attribute), type):
                classes.append(kind)
        with torch.serialization.safe_globals([*_ARRAYS, *classes]):
            content = torch.load(path, weights_only=True)
            if not isinstance(content, dict):
                raise TypeError(f"it holds a {type(content).__name__}")
            return content
    except Exception as error:  # a damaged file can fail in any way
        raise CheckpointError(f"{path} cannot be continued from ({type(error).__name__}: {error}); remove it and what "
                              "lies beside it, and begin anew") from error
