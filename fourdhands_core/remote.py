"""Places on storage that fsspec reaches by a URL (s3://, gs://, sftp://, https://, ...), for work that is done on a local disk.

What is put there is whole: a file appears under its name when all of it is there, and of a folder the file by which it is
known comes last.
"""

from __future__ import annotations

import contextlib
import functools
import os
import posixpath
import re
import uuid
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from .errors import DependencyError, FourDHandsError, InputError
from .extras import needed_for
from .files import local_path
from .outputs import FULL, kept_kind

_URL = re.compile(r"[a-z][a-z0-9+.:-]*://", re.IGNORECASE)
UPLOADING = ".uploading"
"""In a folder on a storage: that what is there is not whole yet, and which upload it is of."""
_WHOLE_FILES = frozenset(("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "cos", "memory"))
"""Protocols of storages on which a file is there when all of it has come; on others it is written beside and renamed."""
_READ_ONLY = frozenset(("http", "https"))
"""Protocols that fsspec would write to by requests that no file server knows."""
_VANISHING = {"memory"}
"""Storages that end with this process."""
_HOSTS = _READ_ONLY | (_WHOLE_FILES - {"memory"}) | {"sftp", "ssh", "ftp", "ftps", "smb", "webdav", "dav"}
"""Protocols whose addresses begin with a host or a bucket."""
_HALF = re.compile(rf"({'|'.join(sorted(_HOSTS))}|file|local):(?!//)|[a-z][a-z0-9+.-]+:/(?!/)", re.IGNORECASE)
"""How addresses begin that lack a slash or two."""
_TRIES = 5
_CHANGES = "ETag etag md5Hash Content-MD5 content_settings mtime LastModified last_modified updated created".split()
"""What storages say of a file that is another when it is written anew."""


@dataclass(frozen=True)
class File:
    """A file in a place. name: within it, with slashes. path: the storage's own. tag: is another where the file is written
    anew; empty where the storage does not say."""

    name: str
    path: str
    tag: str


@dataclass(frozen=True)
class Remote:
    """A file or folder on a storage. url: its address. files: of it that are wanted, where they were looked for. given: what
    sentences call it, where that is not its address.

    Its methods raise InputError where the storage cannot be reached or refuses, and DependencyError where a package is missing.
    """

    url: str
    files: tuple[File, ...] = field(default=(), compare=False, repr=False)
    given: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        """Without a password, nor what follows a question mark, which may be one."""
        return self.given or _without_secrets(self.url)

    def __truediv__(self, name: str | os.PathLike[str]) -> Remote:
        one = Path(name).as_posix()
        return Remote(f"{self.url}/{one}", tuple(file for file in self.files if file.name == one))

    def inside(self, name: str | os.PathLike[str]) -> Remote:
        """A file of this folder of which users know nothing, so that sentences name the folder."""
        return replace(self / name, given=str(self))

    def beside(self, ending: str) -> Remote:
        """A place with the same name and an ending."""
        return Remote(self.url + ending)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return unquote(urlsplit(self.url).path or self.url).rstrip("/").rpartition("/")[2] or urlsplit(self.url).netloc

    def find(self, wanted: re.Pattern[str], needed: bool = True) -> list[File]:
        """The files whose names match, in this place and its folders; of a place that is a file it itself, named "".

        needed: InputError where there is nothing at all.
        """
        with self._reached() as (system, path):
            system.invalidate_cache()
            found = system.find(path, detail=True)
            if needed and not found:
                system.info(path)  # says why
            return [
                _file(system, path, name, about)
                for name, about in sorted(found.items())
                if wanted.search(posixpath.basename(name.partition("?")[0]))
            ]

    def read_text(self, encoding: str = "utf-8") -> str:
        """Of a file. Raises FileNotFoundError where it is not there."""
        with self._reached(missing=False) as (system, path):
            return system.cat_file(self.files[0].path if self.files else path).decode(encoding)

    def write_text(self, text: str) -> None:
        """Of a small file, which another one there is replaced by."""
        self._check_writable()
        with self._reached() as (system, path):
            system.makedirs(posixpath.dirname(path), exist_ok=True)
            system.pipe_file(path, text.encode())

    def is_file(self) -> bool:
        """Whether a file is there."""
        with self._reached() as (system, path):
            system.invalidate_cache()
            return bool(system.isfile(path))

    def holds(self, mark: str | os.PathLike[str]) -> bool:
        """Whether this folder is whole, with `mark`, the file that is put last. InputError where something else is there than
        the beginning of such a folder."""
        if self.inside(mark).is_file():
            return True
        with self._reached() as (system, path):
            try:
                names = [posixpath.basename(name.rstrip("/")) for name in system.ls(path, detail=False)]
            except FileNotFoundError:
                return False
        if names and UPLOADING not in names:
            raise InputError(f"{self} is there already and is not what was to be finished; choose another place")
        return False

    def fetch(self, target: Path) -> None:
        """Copy the files to a folder, or the file to a path. InputError where one changes meanwhile."""
        with self._reached() as (system, _):
            for file in self.files:
                local = target / file.name if file.name else target
                if not local.resolve().is_relative_to(target.resolve()):
                    raise InputError(f"{self} holds {file.name!r}, which would come to lie elsewhere here; it is not copied")
                local.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(file.path, str(local))
            system.invalidate_cache()
            if any(_tag_now(system, file.path) != file.tag for file in self.files):
                raise InputError(f"{self} changed while it was copied; give the command again when it is finished")

    def with_all(self) -> Remote:
        """The place with all files in it."""
        return replace(self, files=tuple(file for file in self.find(re.compile("")) if file.name != UPLOADING))

    def fetch_all(self, target: Path) -> None:
        """Copy all that is in a whole folder."""
        self.with_all().fetch(target)

    def put(self, local: Path, last: Iterable[str], alone: bool = False) -> None:
        """Bring a folder's files here. last: names of those by which it is known that all are there, in their order. What else
        is here, of an upload that was killed, is removed before those come.

        alone: InputError where somebody else began to do so meanwhile, or it has become whole; else theirs are the same, and
        stay where they are whole first.
        """
        self._check_writable()
        last, mine = [*last], uuid.uuid4().hex
        names = sorted(file.relative_to(local).as_posix() for file in local.rglob("*") if file.is_file())
        marked, whole = self.inside(UPLOADING), self.inside(last[-1]) if last else None
        marked.write_text(mine)

        def done_by_others() -> bool:
            there = whole is not None and whole.is_file()
            if alone and (there or marked.read_text() != mine):
                raise InputError(f"another process brought something to {self} meanwhile; choose another place, or try again")
            return there

        self._put_files(local, [name for name in names if name not in last], mine, done_by_others)
        if not done_by_others():
            self._remove_all_but({UPLOADING, *names})
        for name in filter(names.__contains__, last):
            if not done_by_others():
                self._put_files(local, [name], mine, done_by_others)
        marked.remove()

    def remove(self) -> None:
        """The file, or the folder and all in it, where it is there."""
        with self._reached() as (system, path), contextlib.suppress(FileNotFoundError):
            if system.exists(path):
                system.rm(path, recursive=True)

    def check_writable(self) -> None:
        """Raise InputError where no file can be written in this folder, which need not be there yet, and where it is in a
        dataset or a bag, or is one, unless that is being brought here."""
        self._check_writable()
        self._refuse_kept()
        trial = self.inside(f".{uuid.uuid4().hex}")
        trial.write_text("")
        trial.remove()

    def _refuse_kept(self) -> None:
        with self._reached() as (system, path):
            there = path if not system.isfile(f"{path}/{UPLOADING}") else posixpath.dirname(path)
            while there.strip("/"):
                kind = kept_kind(
                    there,
                    system.isfile,
                    lambda file, count: system.cat_file(file, end=count),
                    lambda folder: system.ls(folder, detail=False),
                )
                if kind:
                    words = f"is a {kind}" if there == path else f"is in a {kind}, {there}"
                    raise InputError(f"{self} {words}, into which nothing else is written; choose another place")
                there = posixpath.dirname(there)

    def _check_writable(self) -> None:
        if _protocol(self.url) in _READ_ONLY:
            raise InputError(f"{self}: nothing can be written by http; choose another place")

    def _put_files(self, local: Path, names: list[str], upload: str, done: Callable[[], bool]) -> None:
        with self._reached() as (system, path):
            targets = [f"{path}/{name}" for name in names]
            for folder in dict.fromkeys(posixpath.dirname(target) for target in targets):
                system.makedirs(folder, exist_ok=True)
            if _protocol(self.url) in _WHOLE_FILES:
                system.put([str(local / name) for name in names], targets)
                return
            for name, target in zip(names, targets):
                beside = _growing(target, upload)
                if done():
                    return
                for left in reversed(range(_TRIES)):
                    system.put_file(str(local / name), beside)
                    try:
                        if system.exists(target):
                            system.rm_file(target)  # which some do not rename over
                        system.mv(beside, target)
                        break
                    except OSError:  # another upload of the same was first, or took this one's for what a killed one left
                        if not left:
                            raise

    def _remove_all_but(self, names: Container[str]) -> None:
        others = [file.path for file in self.find(re.compile(""), needed=False) if file.name not in names]
        with self._reached() as (system, _):
            for path in others:
                system.rm_file(path)

    @contextlib.contextmanager
    def _reached(self, missing: bool = True) -> Iterator[tuple[Any, str]]:
        """fsspec's file system and the path in it. missing: say in a sentence that there is nothing."""
        try:
            yield _system(self.url, str(self))
        except FourDHandsError:
            raise
        except FileNotFoundError as error:
            if not missing:
                raise
            raise InputError(f"{self} does not exist, or does not answer; give another address") from error
        except Exception as error:  # each protocol's package has errors of its own
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            if isinstance(error, (TypeError, AttributeError, LookupError, NotImplementedError)):  # its text is a programmer's
                raise InputError(
                    f"{self} cannot be used: what fsspec has for {_protocol(self.url)}:// does not take it "
                    f"({type(error).__name__}); give a path, or another address"
                ) from error
            reason = _without_secrets((str(error).splitlines() or [""])[0])
            raise InputError(
                f"{self} cannot be reached ({type(error).__name__}{': ' if reason else ''}{reason}); see whether the address, "
                "the rights and the network are right"
            ) from error


Place: TypeAlias = "Path | Remote"


def place(text: str) -> Place:
    """What a path or a URL names; file:///... is a path. Raises InputError for an address that can name nothing."""
    text = local_path(text)
    if _URL.match(text):
        return _addressed(text)
    half = _HALF.match(text)
    if half and not os.path.lexists(text):
        protocol = half[0].partition(":")[0]
        raise InputError(f"{text} is not there, and no address, which begins with {protocol}://; give either")
    return Path(text)


def _addressed(text: str) -> Remote:
    """Of a URL. Raises InputError for one that lacks something, or whose storage ends with this process."""
    words = _without_secrets(text)
    for part in text.split("::"):
        protocol, slashes, rest = part.partition("://")
        host = rest.partition("/")[0]
        if protocol.lower() in _VANISHING:
            raise InputError(f"{words} is in the memory of this process, and gone at its end; give a path, or another storage")
        if slashes and (not rest.strip("/") or (not host and protocol.lower() in _HOSTS)):
            raise InputError(f"{words} lacks what it is an address of; give {protocol}://HOST/PATH, or a path")
        if slashes and host and protocol.lower() == "file":
            raise InputError(f"{words} is a file of the host {host}; give sftp://{words.partition('://')[2]}, or a path")
    return Remote(text.rstrip("/"))


def inside(folder: Place, name: str | os.PathLike[str]) -> Place:
    """A file of a folder, see Remote.inside."""
    return folder.inside(name) if isinstance(folder, Remote) else folder / name


def _without_secrets(text: str) -> str:
    """A text with URLs, which may have passwords and keys."""
    return re.sub(r"(://[^/@:\s]*):[^/\s]*@", r"\1:***@", re.sub(r"(://[^?\s'\"]*)\?[^\s'\"]*", r"\1", text))


def _growing(path: str, upload: str) -> str:
    """What a file is called until all of it has come; of each upload another one's, as two may bring the same."""
    folder, name = posixpath.split(path)
    return posixpath.join(folder, f".{name}.{upload}.partial")


def _protocol(url: str) -> str:
    return url.partition("://")[0].rpartition("::")[2].lower()


@functools.lru_cache(1000)
def _system(url: str, words: str) -> tuple[Any, str]:
    with needed_for(words, "cluster"):
        import fsspec
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise DependencyError(f"{words} cannot be reached: {error}") from error
    except ValueError as error:
        raise InputError(f"{words} cannot be reached: {error}; give a path, or a URL that fsspec knows") from error


def _file(system: Any, place: str, path: str, about: dict[str, Any]) -> File:
    if about.get("size") is None or not _tag(about):
        about = system.info(path)
    name = path[len(place) :].strip("/")
    return File(unquote(name) if "://" in path else name, path, _tag(about))


def _tag_now(system: Any, path: str) -> str:
    """As a listing says it, whose words of a file may be others than those of a question for it alone."""
    if _protocol(path) in _READ_ONLY:
        return _tag(system.info(path))
    about: dict[str, Any] = next((one for one in system.ls(posixpath.dirname(path), detail=True) if one["name"] == path), {})
    return _tag(about) or _tag(system.info(path))


def _tag(about: dict[str, Any]) -> str:
    said = [f"{name}={about[name]}" for name in _CHANGES if about.get(name)]
    return "\0".join([str(about.get("size")), *said]) if said else ""
