"""The file under a bag that is being recorded: what was written a second ago is there, whatever happens."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from fourdhands_core.errors import InputError

RESERVE = 32 << 20
"""Bytes of the disk that a recording leaves free, to end in order when it is full, and for the rest of the robot."""
_RUN = 1 << 20


class DurableFile:
    """Takes the place of the buffered file in rosbags' mcap writer: what is written reaches the disk in whole records.

    `write` only collects, so that it cannot fail within a record; `flush` writes. Where that fails the file is cut back
    to the last flush, and what was collected is kept for another try.
    """

    def __init__(self, file):
        file.flush()
        self._file, self._there = file, file.tell()
        self._collected = bytearray()
        self.reserve = RESERVE

    def write(self, data) -> int:
        """Collect."""
        self._collected += data
        return len(data)

    def tell(self) -> int:
        """Where the next byte will be."""
        return self._there + len(self._collected)

    @property
    def collected(self) -> int:
        """Bytes that wait for `flush`."""
        return len(self._collected)

    def flush(self, sync: bool = False) -> None:
        """Write what was collected; sync: have the disk keep it. Raises OSError where less than `reserve` would be left."""
        number, size = self._file.fileno(), len(self._collected)
        disk = os.fstatvfs(number)
        if disk.f_bavail * disk.f_frsize < size + self.reserve:
            raise OSError(errno.ENOSPC, f"less than {self.reserve >> 20} MB of the disk would be left free")
        try:
            with memoryview(self._collected) as data:
                done = 0
                while done < size:
                    done += os.write(number, data[done:])
            if sync:
                os.fsync(number)
        except OSError:
            os.ftruncate(number, self._there)
            os.lseek(number, self._there, os.SEEK_SET)
            raise
        self._there += size
        self._collected.clear()

    def close(self) -> None:
        """Write the rest and close."""
        self.flush()
        self.release()

    def release(self) -> None:
        """Close without writing."""
        self._file.close()


class BagWriter:
    """A new mcap bag, of which nothing older than the last `keep` is lost by `kill -9` or a loss of power.

    connections are rosbags'. Raises InputError where the bag cannot be made, OSError where the disk is full: then `close`
    ends it in order with what there was before.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        if path.exists():
            raise InputError(f"{path} is there already; choose another name for the bag")
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)  # mcap's own, a fifth of the size
        try:
            self._writer.open()
            self._storage = self._writer.storage
            self._file = self._storage.bio = DurableFile(self._storage.bio)
            self._file.flush()
        except OSError as error:
            raise InputError(f"the bag {path} cannot be made ({error}); choose another place") from error
        self.add_connection = self._writer.add_connection

    def write(self, connection, time: int, data: bytes) -> None:
        """Add a serialised message that came at `time`, nanoseconds."""
        self._writer.write(connection, time, data)
        if self._file.collected > _RUN:
            self._file.flush()

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
