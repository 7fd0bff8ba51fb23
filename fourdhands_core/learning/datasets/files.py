"""Reads the datasets' annotation files: JSON, and pickles (also those inside .npy) without running what is in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AssetError, DatasetError
from ...hand_model.mano_files import ArrayUnpickler


def read_json(path: Path) -> Any:
    """What a JSON file holds; DatasetError where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            return json.load(file)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_pickle(path: Path) -> Any:
    """What a pickle of plain containers and numpy's arrays holds; DatasetError where it is missing, damaged or unsafe."""
    try:
        with path.open("rb") as file:
            return ArrayUnpickler(file, "the dataset").load()
    except Exception as error:  # a damaged pickle can fail in any opcode, with any exception
        raise _unreadable(path, error) from error


def read_npy(path: Path) -> Any:
    """An array of a .npy; where it holds one Python object (`np.save` of a dictionary), that object, read as a pickle.

    DatasetError where the file is missing, damaged or unsafe.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = read_header(file)
            if dtype.hasobject:
                array = ArrayUnpickler(file, "the dataset").load()
                return array.item() if shape == () else array
        return np.load(path, allow_pickle=False)
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path, error):
    if isinstance(error, FileNotFoundError):
        return DatasetError(f"{path} is missing; the folder must be laid out as published")
    reason = str(error) if isinstance(error, AssetError) else f"{type(error).__name__}: {error}"
    return DatasetError(f"{path} cannot be read ({reason}); get it anew from the dataset's publisher")
