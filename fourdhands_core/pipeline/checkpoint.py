"""What a HandPairTracker remembers, as a file: a long run that was ended goes on with it where it stopped.

The file is an npz: the arrays, and JSON that says what stands where. Nothing in it is run: it holds plain values, arrays and
the attributes of this package's own objects.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError

_PACKAGES = ("fourdhands_core.geometry.", "fourdhands_core.perception.", "fourdhands_core.pipeline.", "fourdhands_core.fusion.")
"""Whose objects a memory holds."""
_PLAIN = (type(None), bool, int, float, str)
_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "deque": deque, "set": set, "frozenset": frozenset}
_NODES = "nodes"
"""The member of the npz with the JSON."""


def save_memory(path: Path, content: dict) -> None:
    """Write memories, within any dictionary of plain values; the file appears complete or not at all.

    Raises TypeError for an object that is neither plain, nor an array, nor this package's.
    """
    writer = _Writer()
    writer.token(content)
    nodes = np.frombuffer(json.dumps(writer.nodes).encode(), np.uint8)
    whole = io.BytesIO()  # a zip that is written to a full disk fails in its own ways
    np.savez(whole, **{_NODES: nodes}, **{str(k): array for k, array in enumerate(writer.arrays)})
    partial = path.with_name(path.name + ".new")
    with partial.open("wb") as file:
        file.write(whole.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load_memory(path: Path) -> dict:
    """What save_memory wrote; a torch tensor comes back as numpy's array. Nothing but plain values, arrays and this
    package's own objects is taken from the file.

    Raises CheckpointError where it is damaged, holds anything else, or is of another version of this package.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = _Reader(json.loads(bytes(file[_NODES])), file).value([0])
        if not isinstance(content, dict):
            raise TypeError(f"it holds a {type(content).__name__}")
        return content
    except Exception as error:  # a damaged file can fail in any way
        raise CheckpointError(
            f"{path} cannot be continued from ({type(error).__name__}: {error}); remove it and what "
            "lies beside it, and begin anew"
        ) from error


class _Writer:
    """Objects as a list of nodes, each [kind, content]; what stands in two places is one node, and comes back as one object.

    A value is written as its token: a plain one as itself, any other as [number of its node].
    """

    def __init__(self) -> None:
        self.nodes: list[list] = []
        self.arrays: list[np.ndarray] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[Any] = []  # what is not kept could leave its id to another

    def token(self, value: Any) -> Any:
        if type(value) in _PLAIN:
            return value
        if id(value) not in self._numbers:
            self._numbers[id(value)] = number = len(self.nodes)
            self._alive.append(value)
            self.nodes.append([])
            self.nodes[number] = self._node(value)
        return [self._numbers[id(value)]]

    def _node(self, value: Any) -> Any:
        kind = type(value)
        if _SEQUENCES.get(kind.__name__) is kind:
            return [kind.__name__, [self.token(item) for item in value]]
        if kind is dict:
            return ["dict", [[self.token(key), self.token(item)] for key, item in value.items()]]
        if kind is bytes:
            return ["bytes", self._kept(np.frombuffer(value, np.uint8))]
        if isinstance(value, np.generic) and not value.dtype.hasobject:
            return ["number", self._kept(np.asarray(value))]
        if kind.__module__ == "torch":  # hand tokens of the image network, on whatever device; numpy has no bfloat16
            value = value.detach().float().cpu().numpy()
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return ["array", self._kept(value)]
        if kind.__module__.startswith(_PACKAGES):
            return [f"{kind.__module__}:{kind.__name__}", {name: self.token(item) for name, item in vars(value).items()}]
        raise TypeError(f"a {kind.__name__} cannot be kept in a file")

    def _kept(self, array: np.ndarray) -> Any:
        self.arrays.append(array)
        return str(len(self.arrays) - 1)


class _Reader:
    """The objects of a _Writer's nodes and arrays."""

    def __init__(self, nodes: list[list], arrays: Any) -> None:
        self._nodes, self._arrays = nodes, arrays
        self._made: dict[int, Any] = {}

    def value(self, token: Any) -> Any:
        if type(token) in _PLAIN:
            return token
        (number,) = token
        if number not in self._made:
            self._made[number] = self._make(number, *self._nodes[number])
        return self._made[number]

    def _make(self, number: int, kind: Any, content: Any) -> Any:
        if kind in ("tuple", "frozenset"):
            return _SEQUENCES[kind](self.value(item) for item in content)
        if kind in ("array", "bytes", "number"):
            array = self._arrays[content]
            return array if kind == "array" else array.tobytes() if kind == "bytes" else array[()]
        # An object is made before what is in it, which may refer to it.
        if kind in _SEQUENCES:
            made = self._made[number] = _SEQUENCES[kind]()
            (made.update if kind == "set" else made.extend)(self.value(item) for item in content)
        elif kind == "dict":
            made = self._made[number] = {}
            made.update((self.value(key), self.value(item)) for key, item in content)
        else:
            made = self._made[number] = object.__new__(_own_class(kind))
            vars(made).update((name, self.value(item)) for name, item in content.items())
        return made


def _own_class(name: str) -> Any:
    """The class of this package with the name module:class."""
    module, _, attribute = name.partition(":")
    if module.startswith(_PACKAGES):
        kind = getattr(importlib.import_module(module), attribute)
        if isinstance(kind, type) and kind.__module__ == module:
            return kind
    raise TypeError(f"{name} is no class of this package's")
