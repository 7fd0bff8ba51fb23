"""Bags on storages that a URL names, by their files' names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath

from fourdhands_core.errors import InputError
from fourdhands_core.remote import UPLOADING, File, Place, Remote

_BAG = re.compile(r"\.(mcap|db3)(\.zstd)?$")
METADATA = "metadata.yaml"
"""The file of a bag that is written last."""
_FILES = re.compile(_BAG.pattern + rf"|\.db3-(wal|journal)$|^metadata\.yaml$|^episode\.json$|^{re.escape(UPLOADING)}$")


def bags_at(place: Remote) -> list[Remote]:
    """The bags that are a place or lie within it, each with its files. Raises InputError where there are none.

    A folder with .mcap or .db3 files is one; folders of work that is not finished are passed over.
    """
    folders: dict[PurePosixPath, list[File]] = {}
    begun: set[PurePosixPath] = set()
    for file in place.find(_FILES):
        if not file.name:
            return [replace(place, files=(file,))]
        path = PurePosixPath(file.name)
        if path.name == UPLOADING:
            begun.add(path.parent)
        elif not any(part.startswith(".") or part.endswith(".partial") for part in path.parts):
            folders.setdefault(path.parent, []).append(file)
    begun -= {folder for folder, files in folders.items() if any(PurePosixPath(file.name).name == METADATA for file in files)}
    bags = [
        folder for folder, files in folders.items() if any(_BAG.search(file.name) for file in files) and folder not in begun
    ]
    bags = [folder for folder in bags if not any(parent in bags for parent in folder.parents)]
    if not bags and begun:
        raise InputError(f"what is at {place} is not whole yet; wait for the command that brings it, or give that again")
    if not bags:
        raise InputError(f"{place} holds no bag: neither .mcap nor .db3 files, nor folders with such files")
    found = []
    for folder in sorted(bags, key=lambda folder: [natural(part) for part in folder.parts]):
        inside = tuple(replace(file, name=PurePosixPath(file.name).name) for file in folders[folder])
        found.append(Remote(f"{place.url}/{folder}" if folder.parts else place.url, inside))
    return found


def bag_at(place: Place) -> Place:
    """A place that is to be one bag; of a remote one with its files. Raises InputError where it is none, or several."""
    if not isinstance(place, Remote):
        return place
    bags = bags_at(place)
    if bags[0].url != place.url:
        raise InputError(f"{place} is a folder of bags; give one or several of them")
    return bags[0]


def natural(name: str) -> list[str]:
    """What to sort names by: numbers in them by their values."""
    return [part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
