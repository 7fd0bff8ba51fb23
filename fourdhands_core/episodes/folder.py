"""The folder of an export under way: what is done of it survives `kill -9`, and the dataset appears whole under its name.

While it is made, DATASET is a folder DATASET.partial: of each bag that is done a part, by a key of the bag's content and all
options. A later call takes what has the same key, whatever became of the one before.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import DatasetError, InputError
from ..outputs import FULL, WorkFolder
from .parts import sync

MANIFEST = Path("meta", "fourdhands.json")
"""In a dataset: how it was made and of what."""
_BLOCK = 1 << 20


class ExportFolder(WorkFolder):
    """The work beside a dataset that is being made."""

    work, does, instead = "export", "exports to", "choose another --out"

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.parts = self.folder / "parts"

    def __enter__(self) -> ExportFolder:
        super().__enter__()
        self.parts.mkdir(exist_ok=True)
        for left in self.parts.glob(".*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        return self

    def part(self, key: str) -> Path:
        """Where the part of a key is, or is to be."""
        return self.parts / key

    def begin_whole(self) -> Path:
        """An empty folder to make the dataset in."""
        whole = self.whole()
        whole.mkdir()
        return whole

    def finish(self, whole: Path) -> None:
        """Give the dataset its name, on disk, and remove the rest."""
        sync(whole)
        try:
            whole.rename(self.out)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise InputError(f"{self.out} has come to be there meanwhile; choose another --out") from error
            raise
        self.remove()


def remove_left(out: Path) -> None:
    """Remove what a run left beside a whole dataset that was killed when that had its name; not what is somebody else's."""
    with contextlib.suppress(InputError):
        work = ExportFolder(out)
        if work.folder.exists():
            with work:
                work.remove()


def content_key(files: Iterable[Path], options: object) -> str:
    """Of files' names and bytes and of options, which are plain values; not of where the files lie."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for path in files:
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()[:32]


def states(files: Iterable[Path]) -> list[tuple[int, ...]]:
    """What changes where files are written to."""
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in (path.stat() for path in files)]


def read_manifest(path: Path) -> dict[str, Any]:
    """What this package's manifest says of a dataset; empty for another's."""
    try:
        told = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


@contextlib.contextmanager
def as_it_says(path: Path) -> Iterator[None]:
    """Around what trusts a dataset's own words of itself: raises DatasetError where they lack something or are of another
    kind."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DatasetError(
            f"{path}: what it says of its episodes is damaged ({error!r}); export or download it again"
        ) from error


def unreadable(path: Path, error: Exception) -> str:
    """What is wrong with a file of a dataset that cannot be read, in words; the library's own in brackets."""
    if isinstance(error, FileNotFoundError):
        return f"{path} is missing"
    how = "cannot be read" if isinstance(error, PermissionError) else "is cut off or damaged"
    return f"{path} {how} ({getattr(error, 'strerror', None) or error})"


def place_file(source: Path, target: Path) -> None:
    """The same file at another place of one disk, without copying where that is possible."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in FULL:
            raise
        shutil.copyfile(source, target)
