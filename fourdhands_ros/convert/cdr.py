"""Messages laid out once as CDR bytes, so that publishing the next one is patching its numbers with numpy.

CDR (OMG DDSI-RTPS, XCDR version 1, little endian): four bytes of encapsulation, then the fields in order, each number
aligned to its own size from the end of those four bytes; a sequence or string is preceded by its uint32 length, and a
string ends in a zero byte that counts.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def stamp_in(data: Any) -> int | None:
    """The stamp, nanoseconds, of a serialised message that begins with a header; None where it is too short for one.

    The second byte is odd where numbers are little-endian; after the encapsulation comes the stamp.
    """
    if len(data) < 12:
        return None
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return sec * 1_000_000_000 + nanosec


def frame_in(data: Any) -> str:
    """The frame that a serialised message's header names, without a slash at its beginning; empty where it has none."""
    if len(data) < 16:
        return ""
    (size,) = struct.unpack_from("<I" if data[1] & 1 else ">I", data, 12)
    return bytes(data[16 : 16 + max(size - 1, 0)]).decode(errors="replace").lstrip("/")


class Template:
    """One serialised message of fixed shape: lay it out field by field in the message's order, then `fill` it often.

    What changes the shape (a string, the length of a sequence) needs a new template; what a slot holds does not.
    """

    def __init__(self) -> None:
        self._layout = bytearray(8)  # the payload starts at a multiple of 8, so that numpy's views of it are aligned
        self._layout[4:8] = b"\x00\x01\x00\x00"
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        self._dtypes: dict[str, np.dtype] = {}
        self._message = np.zeros(0, np.uint8)
        self._slots: dict[str, tuple[np.ndarray, slice | np.ndarray]] = {}

    def _align(self, size: int) -> None:
        self._layout.extend(bytes(-len(self._layout) % size))

    def constant(self, dtype: str, value: ArrayLike) -> None:
        """A number, or several of one type, that every filling shares."""
        data = np.asarray(value, dtype=np.dtype(dtype).newbyteorder("<"))
        self._align(data.itemsize)
        self._layout += data.tobytes()

    def string(self, text: str) -> None:
        """A string that every filling shares."""
        data = text.encode("utf-8") + b"\x00"
        self.constant("u4", len(data))
        self._layout += data

    def strings(self, texts: Sequence[str]) -> None:
        """A sequence of strings that every filling shares."""
        self.constant("u4", len(texts))
        for text in texts:
            self.string(text)

    def slot(self, name: str, dtype: str, count: int = 1) -> None:
        """Room for `count` numbers that `fill` sets. A name used again continues the same slot further on."""
        kind = np.dtype(dtype).newbyteorder("<")
        if count:  # an empty sequence is its length alone: nothing follows that could need alignment
            self._align(kind.itemsize)
        start = len(self._layout) // kind.itemsize
        self._layout.extend(bytes(count * kind.itemsize))
        self._ranges.setdefault(name, []).append((start, start + count))
        self._dtypes[name] = kind

    def sequence(self, name: str, dtype: str, length: int, width: int = 1) -> None:
        """A sequence of `length` elements of `width` numbers of one type each, set by `fill`."""
        self.constant("u4", length)
        self.slot(name, dtype, length * width)

    def finish(self) -> Template:
        """Call it after the last field, before the first `fill`."""
        storage = np.frombuffer(self._layout, dtype=np.uint8)
        self._message = storage[4:]
        for name, ranges in self._ranges.items():
            dtype = self._dtypes[name]
            # A number lies at a multiple of its size, so the buffer seen as an array of that type has it as an element.
            numbers = storage[: len(storage) // dtype.itemsize * dtype.itemsize].view(dtype)
            place = slice(*ranges[0]) if len(ranges) == 1 else np.concatenate([np.arange(*r) for r in ranges])
            self._slots[name] = numbers, place
        return self

    def view(self, name: str) -> np.ndarray:
        """The numbers of a slot that is in one piece, to write into."""
        numbers, place = self._slots[name]
        return numbers[place]

    def fill(self, stamp: int | None = None, **values: ArrayLike) -> bytes:
        """The serialised message with slots set; a slot that is left out keeps its last values (zeros at first).

        stamp: nanoseconds, for the slots sec and nanosec that headers have.
        """
        if stamp is not None:
            values["sec"], values["nanosec"] = divmod(stamp, 1_000_000_000)
        for name, value in values.items():
            numbers, place = self._slots[name]
            numbers[place] = np.reshape(value, -1)
        return self._message.tobytes()
