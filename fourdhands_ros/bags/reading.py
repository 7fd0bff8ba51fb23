"""Reads rosbag2 recordings (mcap or sqlite3, split or not, compressed or not), whole or cut off, and never touches them.

A file that is whole is read by rosbags, by its index. One that lacks its end, as after a loss of power or `kill -9`, is
read from its start as far as it goes: an mcap record by record, a database row by row. metadata.yaml is not needed;
files that it names and that are not there are told.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import yaml
from backports import zstd
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.storage_mcap import McapReader

from fourdhands_core.errors import InputError
from fourdhands_core.files import utf8_name
from fourdhands_core.streams import counted

from ..convert.cdr import frame_in, stamp_in
from .foreign import ZSTD, file_words, folder_words
from .remote import METADATA, natural
from .topics import Topic, encoding_words, some

_COPIED = 1 << 20
_FIRST = 10
"""Messages whose stamps tell whether a driver sets them."""

Entry = tuple[str, int, bytes]
"""A message: its topic, the time at which it was recorded in nanoseconds, and its CDR."""


class Bag(contextlib.AbstractContextManager["Bag"]):
    """A bag to read from: a folder, or one of its files.

    topics: by name. unread: those whose messages are not in ROS 2's encoding. warnings: what could not be read and how
    far the rest goes, in words; `messages` may add to them. A context manager. Raises InputError where there is nothing
    that can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.warnings: list[str] = []
        self.topics: dict[str, Topic] = {}
        self.unread: dict[str, Topic] = {}
        self.files, self._others = _files(self.path), 0
        if lost := _lost(self.path, self.files):
            words = "is" if len(lost) == 1 else "are"
            self._warn(
                f"{some(lost)}, which {METADATA} of {self.path} names, {words} not there: what is in the other files is read"
            )
        with contextlib.ExitStack() as stack:
            self._files = [self._open(file, stack) for file in self.files]
            for file in self._files:
                self.unread.update(file.unread)
                for name, topic in file.topics.items():
                    known = self.topics[name].count if name in self.topics else 0
                    self.topics[name] = replace(topic, count=topic.count + known)
            if self._others == len(self.files):
                raise InputError("; ".join(self.warnings))
            if not any(topic.count for topic in self.topics.values()):
                if self.unread:
                    raise InputError(f"{self.path}: {encoding_words(self.unread)}")
                told = "".join(f"; {warning}" for warning in self.warnings)
                raise InputError(f"{self.path} holds no message that can be read{told}")
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def messages(self, topics: Collection[str]) -> Iterator[Entry]:
        """The messages of these topics in the order of their times, or as they were written where there is no index."""
        for path, file in zip(self.files, self._files):
            try:
                for topic, time, data in file.messages(topics):
                    yield topic, time, unpacked(data)
            except Exception as error:  # damaged data can fail anywhere in rosbags, SQLite and the decompressors
                self._warn(f"{path} is damaged, the rest of it is left out ({_words(error)})")

    def first_stamps(self, topic: str) -> list[int]:
        """The stamps, nanoseconds, of the first messages of a topic whose type begins with a header."""
        stamps = (stamp_in(data) for _, _, data in itertools.islice(self.messages([topic]), _FIRST))
        return [stamp for stamp in stamps if stamp is not None]

    def frame(self, topic: str) -> str:
        """The frame that the first message of a topic names, whose type begins with a header; empty for none."""
        return next((frame_in(data) for _, _, data in self.messages([topic])), "")

    def unset_stamps(self, topic: str) -> bool:
        """Whether who published it has set no stamps, as the first ones tell: all are 0."""
        return not any(self.first_stamps(topic) or [1])

    def storages(self) -> list[Any]:
        """For each of `files` rosbags' reader of it (McapReader, Sqlite3Reader), by which its index can be had; None of a file
        that is read from its start."""
        return [file.storage if isinstance(file, _Indexed) else None for file in self._files]

    def _open(self, path: Path, stack: contextlib.ExitStack) -> _Indexed | _Scanned:
        """A file by its index where it has one, else as far as it goes."""
        plain = _uncompressed(path, stack)
        database = plain.suffix == ".db3"
        # rosbags gives SQLite the name in a URI
        settled = Path(stack.enter_context(utf8_name(_settled(plain, stack), "?#%"))) if database else plain
        with contextlib.suppress(Exception):  # rosbags lets out whatever its own parsing runs into; a scan tells more
            return stack.enter_context(_Indexed(settled))
        file = _ScannedDatabase(settled) if database else _ScannedMcap(settled)
        words = "" if file.topics or file.unread else file_words(path, plain)
        if not words and "no such table" in file.problem:
            words = "is a SQLite database without the tables of a rosbag2"
        if words:
            self._others += 1
            self._warn(f"{path} {words}")
        elif file.problem:
            self._warn(f"{path} was cut off or is damaged: {file.problem}")
        return file

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def unpacked(data: bytes) -> bytes:
    """A message as it was serialised, which begins with its encapsulation, 00, where the bag has it compressed."""
    return zstd.decompress(data) if data[:4] == ZSTD else data


class _Indexed(contextlib.AbstractContextManager["_Indexed"]):
    """A whole file through rosbags. Raises whatever rosbags does, and InputError where the index leaves messages out."""

    def __init__(self, path: Path) -> None:
        self._reader = Reader(path)
        self._reader.open()
        self.storage: Any = self._reader.storage
        storage = self.storage
        if isinstance(storage, McapReader):  # rosbags would pass over what is in no index without a word
            indexed = sum(sum(chunk.channel_count.values()) for chunk in storage.chunks)
            if indexed != self._reader.message_count:
                self._reader.close()
                raise InputError("not every message is in its index")
        self.topics: dict[str, Topic] = {}
        self.unread: dict[str, Topic] = {}
        self._connections = cast(Any, self._reader.connections)  # rosbags' type of them is also that of ROS 1's
        for connection in self._connections:
            encoding = connection.ext.serialization_format
            topics, name = self.topics if encoding == "cdr" else self.unread, connection.topic
            count = connection.msgcount + (topics[name].count if name in topics else 0)
            topics[name] = Topic(connection.msgtype, count, connection.msgdef.data, encoding)

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def messages(self, topics: Collection[str]) -> Iterator[Entry]:
        of_ros = [one for one in self._connections if one.ext.serialization_format == "cdr"]
        if connections := [connection for connection in of_ros if connection.topic in topics]:
            for connection, time, data in self._reader.messages(connections):
                yield connection.topic, time, data


class _Scanned:
    """A file read from its start, as far as it goes; once when opened, to know its topics and what they hold.

    problem: how far it goes, in words; empty where it goes to its end.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.problem = path, ""
        self.topics: dict[str, Topic] = {}
        self.unread: dict[str, Topic] = {}
        counts: Counter[str] = Counter()
        times: list[int] = []
        try:
            for name, time, _ in self._scan():
                counts[name] += 1
                times = [min(time, *times), max(time, *times)] if times else [time, time]
        except Exception as error:  # the libraries check little before they unpack and decompress
            span = f", the last of them {(times[1] - times[0]) / 1e9:.1f} s after the first" if times else ""
            self.problem = f"{counted(counts.total(), 'messages')} can be read{span} ({_words(error)})"
        self.topics = {name: replace(topic, count=counts[name]) for name, topic in self.topics.items()}

    def messages(self, topics: Collection[str]) -> Iterator[Entry]:
        with contextlib.suppress(Exception):  # what `problem` tells
            for entry in self._scan():
                if entry[0] in topics:
                    yield entry

    def _scan(self) -> Iterator[Entry]:
        """Every message that can be read; puts what topics there are into `topics` and `unread`. Raises where it goes no
        further."""
        raise NotImplementedError


class _ScannedMcap(_Scanned):
    """An mcap without its summary, or without an index (https://mcap.dev/spec)."""

    def _scan(self) -> Iterator[Entry]:
        schemas, channels = {}, {}
        with self._path.open("rb") as file:
            # A record cannot be longer than the file; a damaged length would take all memory.
            size = self._path.stat().st_size
            reader: Any = _Exact(file)  # all that is called is `read`
            for record in StreamReader(reader, emit_chunks=True, record_size_limit=size).records:
                messages = []
                for item in breakup_chunk(record) if isinstance(record, Chunk) else [record]:
                    if isinstance(item, Schema):
                        schemas[item.id] = item
                    elif isinstance(item, Channel) and item.message_encoding != "cdr":
                        name = schemas[item.schema_id].name if item.schema_id in schemas else ""
                        self.unread.setdefault(item.topic, Topic(name, encoding=item.message_encoding))
                    elif isinstance(item, Channel):
                        channels[item.id] = item.topic
                        schema = schemas[item.schema_id]
                        self.topics.setdefault(item.topic, Topic(schema.name, 0, schema.data.decode()))
                    elif isinstance(item, Message) and item.channel_id in channels:
                        messages.append(item)
                for message in sorted(messages, key=attrgetter("log_time")):
                    yield channels[message.channel_id], message.log_time, message.data


class _Exact:
    """A file whose `read` fails where mcap's StreamReader would take what there is for the whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise EOFError(f"the file ends at byte {self._file.tell()}, within a record")
        return data


class _ScannedDatabase(_Scanned):
    """A sqlite3 bag whose file is shorter than its tables say, or damaged."""

    def _scan(self) -> Iterator[Entry]:
        location = f"file:{quote(str(self._path))}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(location, uri=True)) as connection:
            connection.execute("PRAGMA writable_schema = ON")  # else SQLite refuses a file that is too short
            names = {}
            for key, name, kind in connection.execute("SELECT id, name, type FROM topics"):
                names[key] = name
                self.topics.setdefault(name, Topic(kind))
            for key, time, data in connection.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id"):
                if key in names and isinstance(time, int) and isinstance(data, bytes):
                    yield names[key], time, data


def _files(path: Path) -> list[Path]:
    """The bag's files in their order. Raises InputError where there are none."""
    kinds = r"\.(mcap|db3)(\.zstd)?"
    try:
        found = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    except OSError as error:
        raise InputError(
            f"bag {path} cannot be opened ({error.strerror}); give a folder that rosbag2 wrote, or a file in it"
        ) from error
    named = {file.name: file for file in found if re.search(kinds + "$", file.name)}
    # A recorder that was ended while it packed a file leaves both; the packed one is the incomplete one.
    files = [
        file for name, file in named.items() if name.removesuffix(".zstd") == name or name.removesuffix(".zstd") not in named
    ]
    if not files:
        words = file_words(path) if path.is_file() else folder_words(path)
        raise InputError(f"{path} " + (words or "is no rosbag2: neither an .mcap or .db3 file nor a folder with such files"))
    return sorted(files, key=lambda file: natural(file.name))


def _lost(path: Path, files: list[Path]) -> list[str]:
    """Files of a bag's folder that its metadata names and that are not there; none where as many are there by other names."""
    try:
        said = yaml.safe_load((path / METADATA).read_text(encoding="utf-8"))
        named = [PurePosixPath(name).name for name in said["rosbag2_bagfile_information"]["relative_file_paths"]]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):  # it is not needed
        return []
    there = {file.name.removesuffix(".zstd") for file in files}
    return [name for name in named if name.removesuffix(".zstd") not in there] if len(named) > len(files) else []


def _uncompressed(path: Path, stack: contextlib.ExitStack) -> Path:
    """The file itself, or a temporary copy without compression, of what can be unpacked."""
    if path.suffix != ".zstd":
        return path
    copy = Path(stack.enter_context(tempfile.TemporaryDirectory()), path.stem)
    with copy.open("wb") as target, contextlib.suppress(EOFError, zstd.ZstdError), zstd.open(path, "rb") as source:
        while data := source.read1(_COPIED):
            target.write(data)
    return copy


def _settled(path: Path, stack: contextlib.ExitStack) -> Path:
    """The database itself; or a temporary copy of it where a journal lies beside it, which SQLite has settled, or where it
    ends within a page, which SQLite would take for zeros (https://www.sqlite.org/fileformat.html)."""
    with path.open("rb") as file:
        page = int.from_bytes(file.read(18)[16:], "big") or 4096
    size = path.stat().st_size
    whole = size - size % (65536 if page == 1 else page)
    journals = [path.with_name(path.name + ending) for ending in ("-wal", "-journal")]
    journals = [journal for journal in journals if journal.is_file() and journal.stat().st_size]
    if not journals and whole == size:
        return path
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for part in (path, *journals):
        shutil.copyfile(part, folder / part.name)
    copy = folder / path.name
    os.truncate(copy, whole)
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(copy)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # rolls a hot journal back
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # takes a write-ahead log in
    return copy


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
