"""Reads the datasets' annotation files: JSON, YAML, PLY, and pickles (also inside .npy) without running what is in them."""

from __future__ import annotations

import contextlib
import json
import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import yaml

from ...errors import AssetError, DatasetError
from ...files import kind_of
from ...hand_model.mano_files import ArrayUnpickler


@contextlib.contextmanager
def reading(path: Path) -> Iterator[IO[bytes]]:
    """The file, open; DatasetError where it is missing, or whoever reads it fails, as a damaged one can make in any way."""
    try:
        with path.open("rb") as file:
            yield file
    except Exception as error:
        raise _unreadable(path, error) from error


def read_json(path: Path, convert: Callable[[dict], Any] | None = None) -> Any:
    """What a JSON file holds; DatasetError where it is missing or damaged.

    convert: makes what takes the place of each object as it is read, so that a file of millions need not be in memory whole.
    """
    with reading(path) as file:
        return json.load(file, object_hook=convert)


class JsonRows:
    """The entries of a JSON file that is one long list of nested lists of numbers, an entry at a time.

    A list of all vertices has more than a gigabyte, and tens of them as Python's objects. path: each entry is a list of
    lists. DatasetError where the file is missing or not such a list.
    """

    def __init__(self, path: Path):
        self.path = path
        with reading(path) as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                starts = np.array([match.end() for match in re.finditer(rb"\]\s*\]\s*,?", text)])
                first = re.match(rb"\s*\[", text)
                if first is None or not len(starts):
                    raise ValueError("no list of lists")
            self._ends = np.concatenate([[first.end()], starts])
            self[0], self[len(self) - 1]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> list:
        start, stop = (int(end) for end in self._ends[index : index + 2])
        with self.path.open("rb") as file:
            file.seek(start)
            text = file.read(stop - start).strip().rstrip(b",")
        return json.loads(text)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; DatasetError where it is missing or damaged."""
    with reading(path) as file:
        return yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_pickle(path: Path) -> Any:
    """What a pickle of plain containers and numpy's arrays holds; DatasetError where it is missing, damaged or unsafe."""
    with reading(path) as file:
        return ArrayUnpickler(file, "the dataset").load()


def read_npy(path: Path) -> Any:
    """An array of a .npy; where it holds one Python object (`np.save` of a dictionary), that object, read as a pickle.

    DatasetError where the file is missing, damaged or unsafe.
    """
    with reading(path) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            array = ArrayUnpickler(file, "the dataset").load()
            return array.item() if shape == () else array
        return np.load(path, allow_pickle=False)


_KINDS = "i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"
_PLY_TYPES = {
    **dict(zip("char uchar short ushort int uint float double".split(), _KINDS)),
    **dict(zip("int8 uint8 int16 uint16 int32 uint32 float32 float64".split(), _KINDS)),
}


def read_ply_vertices(path: Path) -> np.ndarray:
    """The vertices (N, 3) float64 of a PLY, ASCII or binary, as it stores them; DatasetError where missing or damaged."""
    with reading(path) as file:
        header, _, body = file.read().partition(b"end_header")
        lines = [line.split() for line in header.decode("ascii").splitlines() if line.strip()]
        elements = [line for line in lines if line[0] == "element"]
        if lines[0] != ["ply"] or elements[0][1] != "vertex":
            raise ValueError("it is no PLY whose vertices come first")
        count, encoding = int(elements[0][2]), next(line[1] for line in lines if line[0] == "format")
        end = lines.index(elements[1]) if len(elements) > 1 else len(lines)
        fields = [(line[2], _PLY_TYPES[line[1]]) for line in lines[lines.index(elements[0]) + 1 : end] if line[0] == "property"]
        body = body[body.index(b"\n") + 1 :]
        if encoding == "ascii":
            numbers = body.split(None, count * len(fields))[: count * len(fields)]
            rows = np.array(numbers, np.float64).reshape(count, len(fields))
            columns = [rows[:, [name for name, _ in fields].index(axis)] for axis in "xyz"]
        else:
            order = {"binary_little_endian": "<", "binary_big_endian": ">"}[encoding]
            records: Any = np.frombuffer(body, np.dtype([(name, order + kind) for name, kind in fields]), count)
            columns = [records[axis] for axis in "xyz"]
        return np.stack(columns, axis=1).astype(np.float64)


@contextlib.contextmanager
def understood(fault: str) -> Iterator[None]:
    """Around what is taken out of an annotation: where it is laid out otherwise, DatasetError that begins with `fault`."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise DatasetError(f"{fault} ({type(error).__name__}: {error}); get it anew") from error


_NO_DATA = "empty", "a web page", "a Git LFS pointer, which stands for the file", "a truncated zip archive"
"""Kinds of files that none of the annotations is."""


def _unreadable(path, error):
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{path} is missing; the folder must be laid out as published")
    kind, advice = kind_of(path)
    if kind in _NO_DATA:
        return DatasetError(f"{path} cannot be read: it is {kind}; {advice}")
    reason = str(error) if isinstance(error, AssetError) else f"{type(error).__name__}: {error}"
    return DatasetError(f"{path} cannot be read ({reason}); get it anew from the dataset's publisher")
