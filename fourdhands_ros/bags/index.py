"""Single messages of a bag by their numbers, found by the index of its files: an hour is opened without reading it."""

from __future__ import annotations

import io
import sqlite3
import struct
import tempfile
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from rosbags.rosbag2.storage_mcap import McapReader, decompress

from .reading import Bag, unpacked

_CHUNKS = 4
"""Unpacked chunks that are kept: those of the images and of the hands, which lie near each other."""
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")


class _File(Protocol):
    """One file of a bag."""

    def times(self, topic: str) -> tuple[list[int], list[Any]]:
        """When the messages of a topic were recorded, nanoseconds, and where each of them lies."""

    def read(self, place: Any) -> bytes:
        """The message at a place."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass
class _Topic:
    times: list[int] = field(default_factory=list)
    places: list[tuple[_File, Any]] = field(default_factory=list)


class BagIndex:
    """The messages of some topics of a bag. A file that has no index, as one that was cut off, is read once, and these messages
    are copied to a temporary file.

    times: by topic, when each of its messages was recorded, nanoseconds, increasing. Not for several threads.
    """

    def __init__(self, bag: Bag, topics: Collection[str]) -> None:
        self._files: list[_File] = []
        found = {topic: _Topic() for topic in topics}
        if all(storage is not None for storage in bag.storages()):
            for storage in bag.storages():
                self._files.append(_McapFile(storage) if isinstance(storage, McapReader) else _Database(storage))
        else:
            self._files.append(_Copy(bag, topics))
        for file in self._files:
            for topic, one in found.items():
                times, places = file.times(topic)
                one.times += times
                one.places += [(file, place) for place in places]
        self.times: dict[str, np.ndarray] = {}
        self._places: dict[str, list[tuple[_File, Any]]] = {}
        for topic, one in found.items():
            times_of = np.array(one.times, np.int64)
            order = np.argsort(times_of, kind="stable")
            self.times[topic], self._places[topic] = times_of[order], [one.places[i] for i in order]

    def read(self, topic: str, number: int) -> bytes:
        """A message's CDR. Raises whatever damaged data make the libraries raise."""
        file, place = self._places[topic][number]
        return unpacked(file.read(place))

    def close(self) -> None:
        """Let go of the files; the bag is closed by who opened it."""
        for file in self._files:
            file.close()


class _McapFile:
    """An mcap whose chunks have an index (https://mcap.dev/spec)."""

    def __init__(self, storage: McapReader) -> None:
        self._storage = storage
        self._chunks: OrderedDict[int, bytes] = OrderedDict()

    def times(self, topic: str) -> tuple[list[int], list[Any]]:
        channels = [connection.id for connection in self._storage.connections if connection.topic == topic]
        file: Any = self._storage.bio
        times: list[int] = []
        places: list[Any] = []
        for number, chunk in enumerate(self._storage.chunks):
            for channel in channels:
                if (start := chunk.message_index_offsets.get(channel)) is None:
                    continue
                file.seek(start)
                _, length = _RECORD.unpack(file.read(_RECORD.size))
                entries = np.frombuffer(file.read(length), "<u8", offset=6).reshape(-1, 2)
                times += entries[:, 0].tolist()
                places += [(number, offset) for offset in entries[:, 1].tolist()]
        return times, places

    def read(self, place: Any) -> bytes:
        number, offset = place
        chunk = self._unpacked(number)
        code, length = _RECORD.unpack_from(chunk, offset)
        start = offset + _RECORD.size
        if code != 0x05 or start + length > len(chunk):
            raise ValueError(f"the index names byte {offset} of chunk {number}, where no message is")
        return chunk[start + _MESSAGE.size : start + length]

    def close(self) -> None:
        self._chunks.clear()

    def _unpacked(self, number: int) -> bytes:
        if number in self._chunks:
            self._chunks.move_to_end(number)
            return self._chunks[number]
        chunk, file = self._storage.chunks[number], self._storage.bio
        assert file is not None
        file.seek(chunk.chunk_start_offset + 9 + 40 + len(chunk.compression))
        data = decompress(file.read(chunk.compressed_size), chunk.compression, chunk.uncompressed_size, 0)
        self._chunks[number] = data
        if len(self._chunks) > _CHUNKS:
            self._chunks.popitem(last=False)
        return data


class _Database:
    """A sqlite3 bag."""

    def __init__(self, storage: Any) -> None:
        self._connection = sqlite3.connect(f"file:{storage.path}?mode=ro&immutable=1", uri=True, check_same_thread=False)

    def times(self, topic: str) -> tuple[list[int], list[Any]]:
        rows = self._connection.execute(
            "SELECT timestamp, messages.id FROM messages JOIN topics ON topics.id = topic_id WHERE name = ?", (topic,)
        ).fetchall()
        return [row[0] for row in rows], [row[1] for row in rows]

    def read(self, place: Any) -> bytes:
        row = self._connection.execute("SELECT data FROM messages WHERE id = ?", (place,)).fetchone()
        return bytes(row[0])

    def close(self) -> None:
        self._connection.close()


class _Copy:
    """The messages of a bag that has no index, in a temporary file."""

    def __init__(self, bag: Bag, topics: Collection[str]) -> None:
        self._file: io.BufferedRandom | Any = tempfile.TemporaryFile()
        self._found: dict[str, tuple[list[int], list[Any]]] = {topic: ([], []) for topic in topics}
        place = 0
        for topic, time, data in bag.messages(topics):
            times, places = self._found[topic]
            times.append(time)
            places.append((place, len(data)))
            self._file.write(data)
            place += len(data)

    def times(self, topic: str) -> tuple[list[int], list[Any]]:
        return self._found[topic]

    def read(self, place: Any) -> bytes:
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        self._file.close()
