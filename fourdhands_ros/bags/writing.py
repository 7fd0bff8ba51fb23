"""The file under a bag that is being recorded: what was written a second ago is there, whatever happens."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import threading
import time
from collections import deque
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from fourdhands_core.errors import InputError
from fourdhands_core.outputs import FULL

RESERVE = 32 << 20
"""Bytes of the disk that a recording leaves free, to end in order when it is full, and for the rest of the robot."""
_RUN = 1 << 20
_LARGE = 1 << 16
"""Bytes from which on a message has a chunk of its own, which is written as it is: packing raw images takes a third of a
core, which the node that is recorded would miss, and makes them hardly smaller."""
_KEEP = 1.0
"""Seconds after which the disk has what was written."""


class DurableFile:
    """Takes the place of the buffered file in rosbags' mcap writer: what is written reaches the disk in whole records.

    `write` only collects, so that it cannot fail within a record; `flush` writes. Where that fails the file is cut back
    to the last flush, and what was collected is kept for another try.
    """

    def __init__(self, file: Any) -> None:
        file.flush()
        self._file, self._there = file, file.tell()
        self._collected: list[bytes] = []
        self.collected = 0
        self.reserve = RESERVE

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Collect; `data` is not copied where it is bytes."""
        self._collected.append(bytes(data))
        self.collected += len(self._collected[-1])
        return len(self._collected[-1])

    def tell(self) -> int:
        """Where the next byte will be."""
        return self._there + self.collected

    def flush(self, sync: bool = False) -> None:
        """Write what was collected; sync: have the disk keep it. Raises OSError where less than `reserve` would be left."""
        number = self._file.fileno()
        disk = os.fstatvfs(number)
        if disk.f_bavail * disk.f_frsize < self.collected + self.reserve:
            raise OSError(errno.ENOSPC, f"less than {self.reserve >> 20} MB of the disk would be left free")
        try:
            for data in self._collected:
                done = 0
                while done < len(data):
                    done += os.write(number, memoryview(data)[done:])
            if sync:
                os.fsync(number)
        except OSError:
            os.ftruncate(number, self._there)
            os.lseek(number, self._there, os.SEEK_SET)
            raise
        self._there += self.collected
        self._collected.clear()
        self.collected = 0

    def close(self) -> None:
        """Write the rest and close."""
        self.flush()
        self.release()

    def release(self) -> None:
        """Close without writing."""
        self._file.close()


class NameTaken(InputError):
    """A bag's name is somebody's already."""


class BagWriter:
    """A new mcap bag, of which nothing older than the last `keep` is lost by `kill -9` or a loss of power.

    pack: also compress large messages. connections are rosbags'. Raises NameTaken where the name is another's, InputError where
    the bag cannot be made, OSError where the disk is full: then `close` ends it in order with what there was before.
    """

    def __init__(self, path: str | Path, pack: bool = True) -> None:
        path = Path(path)
        self._pack = pack
        try:
            self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)  # mcap's own, a fifth of the size
            self._writer.open()
            self._storage = storage = cast(Any, self._writer.storage)  # the mcap writer, whose parts its types do not tell
            self._file = storage.bio = DurableFile(storage.bio)
            self._file.flush()
        except WriterError as error:  # it was there, or another program has made it in this moment
            raise NameTaken(f"{path} is there already; choose another name for the bag") from error
        except OSError as error:
            if not isinstance(error, FileExistsError):  # then it is somebody else's
                shutil.rmtree(path, ignore_errors=True)
            advice = "make room on the disk" if error.errno in FULL else "choose another place"
            raise InputError(f"the bag {path} cannot be made ({error.strerror or error}); {advice}") from error
        self.add_connection = self._writer.add_connection

    def write(self, connection: Any, time: int, data: bytes) -> None:
        """Add a serialised message that came at `time`, nanoseconds."""
        if self._pack or len(data) < _LARGE:
            self._writer.write(connection, time, data)
        else:
            self._write_large(connection, time, data)
        if self._file.collected > _RUN:
            self._file.flush()

    def _write_large(self, connection: Any, time: int, data: bytes) -> None:
        """A chunk of one message, not compressed and not copied, as rosbags' own writer would do it otherwise."""
        storage, file = self._storage, self._file
        if storage.chunk.bio.tell():  # with this topic's description, and what came before
            if not storage.chunk.msgs:
                storage.chunk.message_start_time = 0
            storage.close_chunk()
        storage.message_start_time = min(time, storage.message_start_time)
        storage.message_end_time = max(time, storage.message_end_time)
        storage.channel_stats[connection.id] += 1
        message = struct.pack("<BQHIQQ", 0x05, 22 + len(data), connection.id, 0, time, time)
        size = len(message) + len(data)
        chunk = struct.pack("<QQQIIQ", time, time, size, 0, 0, size)
        start = file.tell()
        file.write(struct.pack("<BQ", 0x06, len(chunk) + size) + chunk + message)
        file.write(data)
        end = file.tell()
        index = struct.pack("<HIQQ", connection.id, 16, time, 0)
        file.write(struct.pack("<BQ", 0x07, len(index)) + index)
        storage.chunks.append(BytesIO())
        storage.chunks[-1].write(
            struct.pack(
                "<QQQQIHQQIQQ", time, time, start, end - start, 10, connection.id, end, file.tell() - end, 0, size, size
            )
        )
        writer = self._writer
        writer.counts[connection.id] += 1
        writer.min_timestamp, writer.max_timestamp = min(time, writer.min_timestamp), max(time, writer.max_timestamp)

    def keep(self) -> None:
        """Have the disk keep what was written."""
        if self._storage.chunk.msgs:
            self._storage.close_chunk()
        self._file.flush(sync=True)

    def close(self) -> None:
        """Complete the bag: index, end and metadata.yaml, for which the reserve is there."""
        self._file.reserve = 0
        try:
            self._writer.close()
        finally:  # where not even that was possible, the bag stays as it was, without an end
            self._file.release()


class WriteQueue:
    """Writes messages into a bag in a thread of its own, so that a disk that is busy keeps nobody from receiving.

    writer: BagWriter. held: bytes that are not written before the end; limit: bytes that may wait beyond those, above which
    large messages are refused. `error`: what has stopped the writing, such as a full disk.
    """

    def __init__(self, writer: BagWriter, held: int = 0, limit: int = 1 << 29) -> None:
        self._writer, self._held, self._limit = writer, held, limit
        self._waiting: deque = deque()
        self._size = 0
        self._condition, self._at_file = threading.Condition(), threading.Lock()
        self._closing = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="bag writer", daemon=True)
        self._thread.start()

    def add_connection(self, *args: Any, **kwargs: Any) -> Any:
        """BagWriter's, between two messages."""
        with self._at_file:
            return self._writer.add_connection(*args, **kwargs)

    def put(self, connection: Any, time: int, data: bytes) -> bool:
        """Have a message written; False where too much waits already."""
        with self._condition:
            if self.error is not None or (len(data) >= _LARGE and self._size > self._held + self._limit):
                return False
            self._waiting.append((connection, time, data))
            self._size += len(data)
            if self._size > self._held:
                self._condition.notify()
        return True

    def close(self) -> None:
        """Write what waits and complete the bag. Raises what stopped the writing, the bag being complete with what came
        before."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()
        try:
            self._writer.close()
        except OSError as error:
            self.error = self.error or error

    def _work(self) -> None:
        kept = time.monotonic()
        try:
            while (item := self._next()) is not None:
                with self._at_file:
                    if item:
                        self._writer.write(*item)
                    if time.monotonic() - kept > _KEEP:
                        self._writer.keep()
                        kept = time.monotonic()
        except Exception as error:  # in a thread it would otherwise end in silence
            self.error = error

    def _next(self) -> tuple | None:
        """The next message to write; () where there is none at present; None at the end."""
        with self._condition:
            self._condition.wait_for(lambda: self._size > self._held or self._closing, timeout=_KEEP)
            if self._size <= (0 if self._closing else self._held):
                return None if self._closing else ()
            item = self._waiting.popleft()
            self._size -= len(item[2])
            return item
