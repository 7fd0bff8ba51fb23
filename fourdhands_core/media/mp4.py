"""What an mp4's or mov's boxes, and an AVI's index, say that OpenCV does not: whether it is whole, codecs, how it is shown."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_AUDIO = ("mp4a", "ac-3", "ec-3", "opus", "alac", "sowt", "twos", "samr", "lpcm", "tmcd", "text", "mebx", "gpmd")
"""Codes in a container's table that are no codecs of videos."""


def is_whole(path: Path) -> bool:
    """Whether it has all that its boxes announce, and its index: one whose disk was full while it was written has not."""
    size = path.stat().st_size
    if not size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        boxes = [*_all(data, 0, size)]
    return {b"mdat", b"moov"} <= {name for name, _, _ in boxes} and boxes[-1][2] == size


def table(path: Path) -> tuple[bool, list[str]]:
    """Of an mp4 or mov whether it has its index, and its videos' codecs by their codes; (True, []) for other files."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[4:8] != b"ftyp":
            return True, []
        codes = [match[1].decode("latin1").lower() for match in re.finditer(rb"(?s)stsd.{12}([ -~]{4})", data)]
        return data.find(b"moov") >= 0, [code for code in codes if code not in _AUDIO]


def states_frames(path: Path) -> bool:
    """Whether tables of the file say how many frames it has, as of an mp4 that is not in fragments, and AVI. Of others OpenCV
    gives the duration times the rate."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[4:8] != b"ftyp":
            return data[:4] == b"RIFF"
        return next(_boxes(data, (0, len(data)), b"moof"), None) is None


def empty_frames(path: Path) -> int:
    """How many of the frames that an AVI counts hold nothing, in place of a time at which none comes, by its index of the first
    gigabyte (AVIOLDINDEX); 0 of other files."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 12 if data[:4] == b"RIFF" else len(data)
        while at + 8 <= len(data):
            name, size = struct.unpack_from("<4sI", data, at)
            if name == b"idx1":
                entries = data[at + 8 : at + 8 + size]
                whole = entries[: len(entries) // 16 * 16]
                return sum(name[2:] == b"dc" and not held for name, _, _, held in struct.iter_unpack("<4sIII", whole))
            at += 8 + size + size % 2
    return 0


def counts_from_zero(path: Path) -> bool:
    """Whether the duration that OpenCV gives is up to the last frame's time and not from the first one's, which may come late,
    as in the parts of a long recording: Matroska's and WebM's."""
    with path.open("rb") as file:
        return file.read(4) == b"\x1a\x45\xdf\xa3"


def display_matrix(path: Path) -> np.ndarray | None:
    """The matrix (2, 2) by which a player turns the first video: a stored pixel's (x, y) as a row, times it, is where it is
    shown, up to a shift (ISO 14496-12, 8.3.2). None for other files, and where it is damaged."""
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for moov in _boxes(data, (0, len(data)), b"moov") if data[4:8] == b"ftyp" else ():
            movie = _matrix(data, moov, b"mvhd", 36)
            for track in _boxes(data, moov, b"trak"):
                if _is_video(data, track):
                    own = _matrix(data, track, b"tkhd", 40)
                    return own @ movie if own is not None and movie is not None else own
    return None


def _all(data: mmap.mmap, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, begin and end of the content) of the boxes in a row; up to one that is longer than what it is in."""
    while begin + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, begin)
        header = 8
        if size == 1 and begin + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, begin + 8)
            header = 16
        elif size == 0:  # to the end of the file
            size = end - begin
        if size < header or begin + size > end:
            return
        yield name, begin + header, begin + size
        begin += size


def _boxes(data: mmap.mmap, within: tuple[int, int], wanted: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of the content of the boxes of a name."""
    return ((begin, end) for name, begin, end in _all(data, *within) if name == wanted)


def _is_video(data: mmap.mmap, track: tuple[int, int]) -> bool:
    media = next(_boxes(data, track, b"mdia"), None)
    return media is not None and any(data[at + 8 : at + 12] == b"vide" for at, _ in _boxes(data, media, b"hdlr"))


def _matrix(data: mmap.mmap, within: tuple[int, int], box: bytes, place: int) -> np.ndarray | None:
    """The matrix in a header of this name; place: where in its content, in version 0."""
    found = next(_boxes(data, within, box), None)
    if found is None:
        return None
    first, last = found
    place += first + 12 * (data[first] == 1)  # three times are longer
    if place + 20 > last:
        return None
    a, b, _, c, d = struct.unpack_from(">5i", data, place)
    return np.array([[a, b], [c, d]]) / 65536.0
