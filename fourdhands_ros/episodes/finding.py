"""Which bags the paths of a command mean."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from fourdhands_core.episodes.check import is_dataset
from fourdhands_core.errors import InputError
from fourdhands_core.files import not_a
from fourdhands_core.remote import Place, Remote

from ..bags.remote import bags_at, natural

_FILE = re.compile(r"\.(mcap|db3)(\.zstd)?$")
_FOLDERS = 10_000
"""That are looked into, beside bags."""


def is_bag(path: Path) -> bool:
    """Whether a path is a file of a bag, or a folder with such files."""
    if path.is_file():
        return bool(_FILE.search(path.name))
    try:
        return path.is_dir() and any(_FILE.search(one.name) for one in path.iterdir() if one.is_file())
    except OSError:
        return False


def find_bags(paths: list[Path]) -> list[Path]:
    """As find_places, of paths of this machine."""
    return [one for one in find_places(paths) if isinstance(one, Path)]


def find_places(paths: Sequence[Place], also: Callable[[Path], bool] = lambda path: False) -> list[Place]:
    """The bags that paths and URLs mean, each once: a bag itself, or all within a folder and its folders, in the order of
    their names.

    Folders of work that is not finished are passed over. also: what paths mean themselves too.
    Raises InputError where a path means none.
    """
    found: dict[Place, Place] = {}
    for path in paths:
        if isinstance(path, Remote):
            found |= {one: one for one in bags_at(path) if one not in found}
            continue
        if is_bag(path) or also(path):
            here = [path]
        else:
            if not path.exists():
                raise InputError(f"{path} does not exist; give bags, or a folder with bags")
            if not path.is_dir():
                raise InputError(not_a(path, "a bag", advice="give bags, or a folder with bags"))
            here = _within(path)
            if not here and is_dataset(path):
                raise InputError(f"{path} is a dataset, not a bag; `fourdhands episodes import` makes bags of one")
            if not here:
                advice = (
                    f"; videos are given by themselves, as {there[0]}" if (there := list(filter(also, path.iterdir()))) else ""
                )
                raise InputError(f"{path} holds no bag: neither .mcap nor .db3 files, nor folders with such files{advice}")
        for one in here:
            found.setdefault(one.resolve(), one)
    return list(found.values())


def _within(folder: Path) -> list[Path]:
    """Raises InputError where there are so many folders that the bags' is hardly meant: a whole disk, or links in a circle."""
    looked = itertools.count(1)

    def within(place: Path) -> list[Path]:
        if next(looked) > _FOLDERS:
            raise InputError(f"{folder} holds more than {_FOLDERS:,} folders; give one that is nearer to the bags")
        try:
            children = sorted(place.iterdir(), key=lambda path: natural(path.name))
        except OSError:  # one that may not be entered
            return []
        result = []
        for child in children:
            if child.name.startswith(".") or child.name.endswith(".partial"):
                continue
            if is_bag(child):
                result.append(child)
            elif child.is_dir():
                result += within(child)
        return result

    return within(folder)
