"""An episode's columns on disk, written and read in blocks of rows: a long one takes no more memory than a short one."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

BLOCK = 1000
"""Rows that are worked on at once."""


class TableWriter:
    """Writes columns to an npz, as np.savez does. A context manager; the file is there after it.

    Until then the columns are in files without names on the same disk.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._length = path, 0
        self._files: dict[str, IO[bytes]] = {}
        self._kinds: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}

    def add(self, table: dict[str, np.ndarray]) -> None:
        """Further rows of all columns."""
        for name, column in table.items():
            if name not in self._files:
                self._files[name] = tempfile.TemporaryFile(dir=self._path.parent)
                self._kinds[name] = column.dtype, column.shape[1:]
            self._files[name].write(np.ascontiguousarray(column).data)
        self._length += len(next(iter(table.values())))

    def __len__(self) -> int:
        return self._length

    def column(self, name: str, part: slice = slice(None)) -> np.ndarray:
        """All rows of some of a column's numbers, in memory."""
        (kind, shape), file = self._kinds[name], self._files[name]
        file.seek(0)
        found = []
        for first in range(0, self._length, BLOCK):
            found.append(_rows(file, min(BLOCK, self._length - first), (0, *shape), kind)[:, part].copy())
        file.seek(0, io.SEEK_END)
        return np.concatenate(found)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._save()
        finally:
            for file in self._files.values():
                file.close()

    def _save(self) -> None:
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) as archive:
            for name, (kind, shape) in self._kinds.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as out:
                    said = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False}
                    np.lib.format.write_array_header_1_0(out, {**said, "shape": (self._length, *shape)})
                    self._files[name].seek(0)
                    shutil.copyfileobj(self._files[name], out)


def read_blocks(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The columns of an npz, BLOCK rows at a time."""
    with zipfile.ZipFile(path) as archive:
        files = {name.removesuffix(".npy"): archive.open(name) for name in archive.namelist()}
        kinds = {name: _header(file) for name, file in files.items()}
        length = next(iter(kinds.values()))[0][0]
        for first in range(0, length, BLOCK):
            rows = min(BLOCK, length - first)
            yield {name: _rows(files[name], rows, shape, kind) for name, (shape, kind) in kinds.items()}


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    np.lib.format.read_magic(file)
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    return shape, kind


def _rows(file: IO[bytes], rows: int, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    size = int(np.prod(shape[1:], dtype=int)) * kind.itemsize
    return np.frombuffer(file.read(rows * size), kind).reshape(rows, *shape[1:])
