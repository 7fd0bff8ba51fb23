"""Single messages of a bag by their numbers, found by the index of its files: an hour is opened without reading it."""

from __future__ import annotations

import io
import sqlite3
import struct
import tempfile
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from rosbags.rosbag2.storage_mcap import McapReader, decompress

from .reading import Bag, unpacked

_CHUNKS = 4
"""Unpacked chunks that are kept: those of the images and of the hands, which lie near each other."""
_RECORD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")


class BagIndex:
    """The messages of some topics of a bag. A file that has no index, as one that was cut off, is read once, and these messages
    are copied to a temporary file.

    times: by topic, when each of its messages was recorded, nanoseconds, increasing. Not for several threads.

    Each kind of file has `times`, when the messages of a topic were recorded, (N,) nanoseconds, with the place of each, (N, 2)
    int64, and `read`, which gives the message at such a place.
    """

    def __init__(self, bag: Bag, topics: Collection[str]) -> None:
        storages = bag.storages()
        self._files: list[_McapFile | _Database | _Copy] = (
            [_Copy(bag, topics)]
            if None in storages
            else [_McapFile(one) if isinstance(one, McapReader) else _Database(one) for one in storages]
        )
        self.times: dict[str, np.ndarray] = {}
        self._places: dict[str, np.ndarray] = {}  # of each message its file, and where it lies there
        for topic in topics:
            found = [file.times(topic) for file in self._files]
            times = np.concatenate([np.zeros(0, np.int64), *(times for times, _ in found)])
            places = [np.insert(places, 0, number, axis=1) for number, (_, places) in enumerate(found)]
            places = np.concatenate([np.zeros((0, 3), np.int64), *places])
            order = np.argsort(times, kind="stable")
            self.times[topic], self._places[topic] = times[order], places[order]

    def read(self, topic: str, number: int) -> bytes:
        """A message's CDR. Raises whatever damaged data make the libraries raise."""
        file, *place = self._places[topic][number].tolist()
        return unpacked(self._files[file].read(place))

    def close(self) -> None:
        """Let go of the files; the bag is closed by who opened it."""
        for file in self._files:
            file.close()


class _McapFile:
    """An mcap whose chunks have an index (https://mcap.dev/spec)."""

    def __init__(self, storage: McapReader) -> None:
        self._storage = storage
        self._chunk = lru_cache(_CHUNKS)(self._unpacked)

    def times(self, topic: str) -> tuple[np.ndarray, np.ndarray]:
        channels = [connection.id for connection in self._storage.connections if connection.topic == topic]
        file: Any = self._storage.bio
        entries, numbers = [np.zeros((0, 2), np.int64)], []
        for number, chunk in enumerate(self._storage.chunks):
            for channel in channels:
                if (start := chunk.message_index_offsets.get(channel)) is None:
                    continue
                file.seek(start)
                _, length = _RECORD.unpack(file.read(_RECORD.size))
                entries.append(np.frombuffer(file.read(length), "<i8", offset=6).reshape(-1, 2))
                numbers.append(number)
        found = np.concatenate(entries)
        chunks = np.repeat(np.array(numbers, np.int64), [len(one) for one in entries[1:]])
        return found[:, 0], np.stack([chunks, found[:, 1]], axis=1)

    def read(self, place: Sequence[int]) -> bytes:
        number, offset = place
        chunk = self._chunk(number)
        code, length = _RECORD.unpack_from(chunk, offset)
        start = offset + _RECORD.size
        if code != 0x05 or start + length > len(chunk):
            raise ValueError(f"the index names byte {offset} of chunk {number}, where no message is")
        return chunk[start + _MESSAGE.size : start + length]

    def close(self) -> None:
        self._chunk.cache_clear()

    def _unpacked(self, number: int) -> bytes:
        chunk, file = self._storage.chunks[number], self._storage.bio
        assert file is not None
        file.seek(chunk.chunk_start_offset + 9 + 40 + len(chunk.compression))
        return decompress(file.read(chunk.compressed_size), chunk.compression, chunk.uncompressed_size, 0)


class _Database:
    """A sqlite3 bag."""

    def __init__(self, storage: Any) -> None:
        self._connection = sqlite3.connect(f"file:{storage.path}?mode=ro&immutable=1", uri=True, check_same_thread=False)

    def times(self, topic: str) -> tuple[np.ndarray, np.ndarray]:
        rows = self._connection.execute(
            "SELECT timestamp, messages.id, 0 FROM messages JOIN topics ON topics.id = topic_id WHERE name = ?", (topic,)
        ).fetchall()
        found = np.array(rows, np.int64).reshape(-1, 3)
        return found[:, 0], found[:, 1:]

    def read(self, place: Sequence[int]) -> bytes:
        row = self._connection.execute("SELECT data FROM messages WHERE id = ?", (place[0],)).fetchone()
        return bytes(row[0])

    def close(self) -> None:
        self._connection.close()


class _Copy:
    """The messages of a bag that has no index, in a temporary file."""

    def __init__(self, bag: Bag, topics: Collection[str]) -> None:
        self._file: io.BufferedRandom | Any = tempfile.TemporaryFile()
        self._found: dict[str, list[tuple[int, int, int]]] = {topic: [] for topic in topics}
        place = 0
        for topic, time, data in bag.messages(topics):
            self._found[topic].append((time, place, len(data)))
            self._file.write(data)
            place += len(data)

    def times(self, topic: str) -> tuple[np.ndarray, np.ndarray]:
        found = np.array(self._found.pop(topic), np.int64).reshape(-1, 3)
        return found[:, 0], found[:, 1:]

    def read(self, place: Sequence[int]) -> bytes:
        self._file.seek(place[0])
        return self._file.read(place[1])

    def close(self) -> None:
        self._file.close()
