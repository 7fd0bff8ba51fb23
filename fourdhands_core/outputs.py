"""Files and folders that a command writes: whether that is possible, asked before any work, and whole files or none."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from .errors import InputError
from .files import refuse_overwriting
from .signals import again, under_way

FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
"""Where a disk, a quota or the limit of a file's size gives no more."""
_LOCKLESS = errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP
"""Where a file system has no locks, as some of clusters and some over a network."""
TEXT: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
"""How `open` and `Path.write_text` write texts: names of files that are not UTF-8 are escaped, as JSON reads them."""
_PARTIAL = ".fourdhands-partial-"
"""How the folders begin in which files are written that are not complete yet."""
_LOCK = "lock"
_KEPT = (
    ("meta/fourdhands.json", b"", "dataset"),
    ("meta/info.json", b'"codebase_version"', "dataset"),
    ("metadata.yaml", b"rosbag2_bagfile_information", "bag"),
)
"""Files by which a folder is known that is no place for results, a word near their beginning, and what it is."""
_BEGINNING = 2**20
"""Bytes of these files that are looked at: a file of that name may be anything, in any folder on the way."""
_log = logging.getLogger("fourdhands")
Work = TypeVar("Work", bound="WorkFolder")


def check_outputs(outputs: Iterable[str | Path], inputs: Iterable[str | Path | None] = ()) -> None:
    """Raise InputError where one of these files cannot be written, is another one of them, or is an input, as
    `refuse_overwriting` says.

    To be called before any work. Folders on the way need not be there; nothing is left of the trial. A device or a pipe needs
    no folder in which files can be made, as /dev is of most users.
    """
    files = [*map(Path, outputs)]
    refuse_overwriting(files, inputs)
    for folder in dict.fromkeys(file.parent for file in files if not _is_special(file)):
        check_folder(folder)
    places: dict[str, Path] = {}
    for output in files:
        if (other := places.setdefault(os.path.realpath(output), output)) is not output and not _is_special(output):
            raise InputError(f"{other} and {output} are one file, and two are to be written; give each its own name")
        if output.is_dir():
            raise InputError(f"{output} is a folder, where a file is to be written; choose another place")
        _status(output)
        if _is_special(output) and not os.access(output, os.W_OK):
            raise InputError(f"{output} cannot be written to; choose another place")


def check_folder(folder: str | Path) -> None:
    """Raise InputError where no file could be written into this folder, which need not be there yet, and where it is in a
    dataset or a bag, or is one."""
    folder = there = Path(folder)
    _refuse_kept(folder)
    while (status := _status(there)) is None:
        if there.is_symlink():
            raise InputError(f"{there} is a link to what does not exist; choose another place")
        there = there.parent
    if not stat.S_ISDIR(status.st_mode):
        below = "" if there == folder else f", so that {folder} cannot be a folder"
        raise InputError(f"{there} is a file, not a folder{below}; choose another place")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        why = "no file can be made in it" if error.errno == errno.ENOENT else error.strerror  # as in /proc
        raise InputError(f"the folder {there} cannot be written to ({why}); choose another place") from error


def _refuse_kept(folder: Path) -> None:
    """Raise InputError where a folder is in what others read as a whole, by its own name or a link's."""
    place = Path(os.path.realpath(folder))
    for there in (place, *place.parents):
        if kind := kept_kind(str(there), os.path.isfile, _beginning, os.listdir):
            of = f"is a {kind}" if there == place else f"is in the {kind} {there}"
            raise InputError(f"{folder} {of}, into which nothing else is written; choose another place")


def kept_kind(
    folder: str, is_file: Callable[[str], bool], beginning: Callable[[str, int], bytes], names: Callable[[str], Iterable[str]]
) -> str:
    """ "dataset" or "bag" where a folder is one, which others read as a whole; else "". is_file, beginning (of so many bytes),
    names: how what is there is looked at."""
    for mark, word, kind in _KEPT:
        path = f"{folder}/{mark}"
        if is_file(path) and word in beginning(path, _BEGINNING) and (kind != "bag" or _hold_messages(folder, names)):
            return kind
    return ""


def _beginning(path: str, count: int) -> bytes:
    """Of a file; nothing where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(count)
    except OSError:
        return b""


def _hold_messages(folder: str, names: Callable[[str], Iterable[str]]) -> bool:
    """Whether a bag's own files are there: its metadata.yaml alone, in a home folder say, makes none of it."""
    try:
        return any(re.search(r"\.(mcap|db3)(\.\w+)?$", name) for name in names(folder))
    except OSError:
        return True


def make_folder(folder: str | Path) -> Path:
    """The folder, made where it is missing. Raises InputError."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, FileExistsError) and not _is_other(folder):
            return make_folder(folder)  # who had it has removed it between
        raise InputError(f"the folder {folder} cannot be made ({error.strerror}); choose another place") from error
    return folder


def _is_other(path: Path) -> bool:
    """Whether what is under this name is no folder, but a file or a link to nothing."""
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Another name to write a file under, which becomes `path` when the context ends: the file appears complete or not at all.

    It is in a hidden folder of its own beside the file, which only `kill -9` leaves there, until the next file is written
    there. Raises InputError, which names the file, for an OSError. A device or a pipe is itself the name; where `path` is a
    link, what it leads to is written.
    """
    path = Path(path)
    make_folder(path.parent)
    target = Path(os.path.realpath(path))
    with under_way():
        try:
            if _is_special(path):  # of /dev/stdout, a pipe, the target is a name that nothing has
                yield path
                return
            with _partial(target.parent) as folder:
                yield folder / target.name
                os.replace(folder / target.name, target)
        except OSError as error:
            raise InputError(unwritable(path, error)) from error
        except RuntimeError:
            again()
            raise


def is_taken(folder: Path) -> bool:
    """Whether anything is in a folder, which need not be there, but for what killed processes left, which the next removes."""
    return folder.exists() and any(not path.name.startswith(_PARTIAL) for path in folder.iterdir())


@contextlib.contextmanager
def writing_folder(folder: str | Path) -> Iterator[Path]:
    """A folder to write files in that belong together, which are moved to `folder` when the context ends. Else as `writing`."""
    folder = make_folder(folder)
    with under_way():
        try:
            with _partial(folder) as partial:
                yield partial
                for file in sorted(partial.iterdir()):
                    os.replace(file, folder / file.name)
        except OSError as error:
            raise InputError(unwritable(folder, error)) from error


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """A new folder in a folder, for what is not complete yet. Those of processes that were killed are removed, but for those on
    a file system without locks, where nobody knows."""
    for left in folder.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(InputError, OSError), locked(left, "it is written in"):
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(dir=folder, prefix=_PARTIAL, ignore_cleanup_errors=True) as partial:
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                held.enter_context(locked(Path(partial)))
            whole = Path(partial, "whole")
            whole.mkdir()
            yield whole


def unwritable(path: str | Path, error: OSError) -> str:
    """The sentence for a file that could not be written."""
    advice = "make room on the disk" if error.errno in FULL else "choose another place"
    return f"{path} cannot be written ({error.strerror or error}); {advice}"


@contextlib.contextmanager
def room_for(out: object) -> Iterator[None]:
    """Says what to do where the disk, the quota or the size of a file gives no more, of work that a rerun continues."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(
            f"{out} cannot be written any further ({os.strerror(error.errno)}); make room and give the same command "
            "again, which continues"
        ) from error


def locked(folder: Path, busy: str = "") -> IO[str]:
    """A folder, made where it is missing, as this process's alone until the file that comes back is closed.

    busy: what InputError says where it is another's; without it that one's end is waited for.
    """
    while True:
        make_folder(folder)
        try:
            lock = (folder / _LOCK).open("a")
        except FileNotFoundError:
            continue  # who had it has removed it between
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            if os.stat(folder / _LOCK).st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            lock.close()
            raise InputError(busy) from error
        lock.close()


def locked_if_possible(folder: Path, busy: str = "") -> IO[str]:
    """The same; on a file system without locks it is said that there are none, and the caller goes on without."""
    try:
        return locked(folder, busy)
    except OSError as error:
        if error.errno not in _LOCKLESS:
            raise
        _log.warning("the file system of %s has no locks: see to it that one command at a time writes there", folder.parent)
        return (folder / _LOCK).open("a")


class WorkFolder:
    """The folder OUT.partial of work on OUT, which survives `kill -9`: a later call takes up what is there.

    A context manager; raises InputError where another process is at it, and where the folder is somebody else's.
    """

    work, does, instead = "work", "writes", "choose another place"
    """What it is, what another process does that is at it, and what the user may do: for the sentences of errors."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out.with_name(out.name + ".partial")

    def __enter__(self: Work) -> Work:
        try:
            found = [file.name for file in self.folder.iterdir()] if self.folder.exists() else []
            if found and _LOCK not in found:  # the first in it and the last
                raise InputError(f"{self.folder} is there and no unfinished {self.work}; {self.instead}")
            busy = f"another process {self.does} {self.out}; wait for it or {self.instead}"
            self._lock = locked_if_possible(self.folder, busy)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written ({error.strerror}); {self.instead}") from error
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if not any(file.is_file() and file.name != _LOCK for file in self.folder.rglob("*")):
                self.remove()  # nothing was done
        self._lock.close()

    def whole(self) -> Path:
        """A name in it to make OUT under; what a killed run left there is removed."""
        shutil.rmtree(self.folder / "whole", ignore_errors=True)
        return self.folder / "whole"

    def remove(self) -> None:
        """Remove all of it, as far as it can be. The lock goes last: whoever is killed meanwhile knows what is left."""
        for path in [file for file in self.folder.iterdir() if file.name != _LOCK]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """A file of text, by `writing`, as TEXT says."""
    with writing(path) as partial:
        partial.write_text(text, **TEXT)


def _status(path: Path) -> os.stat_result | None:
    """Of what is under this name; None where nothing is. Raises InputError where nothing can be."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:  # a name that is too long, a folder that may not be entered, links in a circle
        raise InputError(f"{path} cannot be written ({error.strerror}); choose another place") from error


def _is_special(path: Path) -> bool:
    """Whether it is there and no file: /dev/stdout, a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()
