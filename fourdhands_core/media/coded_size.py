"""Where the size changes that the packets of a video say that their images have: OpenCV tells the first one's for ever.

Of the codecs that change it midway in practice: H.264 and H.265 (ITU-T H.264 7.3.2.1.1, H.265 7.3.2.2), VP8 (RFC 6386 9.1) and
VP9 (its bitstream's 6.2 and 7.2), as recorders of screens, calls and streams write them. A packet with another header is
decoded by itself, whose image has the size: with a header that is damaged it mostly gives none.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path

import cv2

from ..files import utf8_name

_SYNC = 0x498342
"""Of VP9's key frames."""
_BETWEEN = 0b100
"""Of the first byte of VP9's images: not a key frame, which alone can be decoded by itself."""
_LARGEST = 1 << 14
Size = tuple[int, int]


class CodedSizes:
    """What size a video file's packets state, read beside its images. codec: its four letters. first: what OpenCV takes for the
    size of all."""

    def __init__(self, path: Path, codec: str, first: Size) -> None:
        self._codec, self._capture = codec, cv2.VideoCapture()
        if codec in _HEADERS:
            with utf8_name(path) as name:
                self._capture.open(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        self.first = first
        self._first: Hashable | None = None
        self._sizes: dict[Hashable, Size | None] = {}
        self._read, self._coming = -math.inf, deque[tuple[float, Size | None]]()
        self._sought = False  # then OpenCV tells a wrong time of the next packet, which begins no later than the image sought

    def at(self, milliseconds: float) -> tuple[float, Size | None]:
        """The size of the image of this time, None where its header is damaged; and since when that holds."""
        while self._read <= milliseconds and self._capture.grab():
            there, packet = self._capture.retrieve()
            if not there:
                continue
            self._read = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            timed, self._sought = self._read >= 0.0 and not self._sought, False
            if not timed:
                self._read = milliseconds
            data = packet.tobytes()
            if (header := coded_header(self._codec, data)) is not None:
                self._coming.append((self._read, self._size(header, data)))
            if not timed:  # a stream without times has about a packet an image
                break
        while len(self._coming) > 1 and self._coming[1][0] <= milliseconds:
            self._coming.popleft()
        return self._coming[0] if self._coming and self._coming[0][0] <= milliseconds else (0.0, self.first)

    def seek(self, number: int) -> None:
        """Go on at about the image of a number."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        self._read, self._sought = -math.inf, True
        self._coming.clear()

    def close(self) -> None:
        """Release the file."""
        self._capture.release()

    def _size(self, header: Hashable, packet: bytes) -> Size | None:
        self._first = self._first or header
        if header == self._first:
            return self.first
        if header not in self._sizes:
            self._sizes[header] = image_size(self._codec, packet)
        return self._sizes[header]


def coded_header(codec: str, packet: bytes) -> Hashable | None:
    """What is another where the size is: of H.264 and H.265 a unit of parameters, of VP8 and VP9 width and height. None where a
    packet has none, is damaged, or is of another codec.

    codec: its four letters. packet: of H.264 and H.265 with start codes, as OpenCV gives it.
    """
    try:
        return _HEADERS[codec](packet)
    except (KeyError, IndexError, ValueError):
        return None


def image_size(codec: str, packet: bytes) -> Size | None:
    """Width and height of the image of a packet that has a header; None where none can be decoded."""
    header = coded_header(codec, packet)
    if isinstance(header, tuple):
        if _HEADERS[codec] is _vp9 and packet[0] & _BETWEEN:
            return header if max(header) <= _LARGEST else None
        name = b"VP80" if _HEADERS[codec] is _vp8 else b"VP90"
        packet = struct.pack("<4sHH4sHHIIIIIQ", b"DKIF", 0, 32, name, *header, 30, 1, 1, 0, len(packet), 0) + packet  # as IVF
    capture = cv2.VideoCapture()
    try:
        capture.open(io.BytesIO(packet), cv2.CAP_FFMPEG, [])  # type: ignore[call-overload]
        _, image = capture.read()
    except cv2.error:
        return None
    return None if image is None else (image.shape[1], image.shape[0])


class _Bits:
    """A reader of bits, the highest first. Raises ValueError at the end."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int = 1) -> int:
        """The next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise ValueError("the data end")
        return self._number >> self._left & (1 << count) - 1


def _unit(start: re.Pattern[bytes], packet: bytes) -> bytes | None:
    found = start.search(packet)
    return packet[found.start(1) :].partition(b"\0\0\1")[0] if found else None


def _vp8(packet: bytes) -> Size | None:
    """Width and height of a key frame (RFC 6386, 9.1); None of others."""
    if packet[0] & 1 or packet[3:6] != b"\x9d\x01\x2a" or len(packet) < 10:
        return None
    return int.from_bytes(packet[6:8], "little") & 0x3FFF, int.from_bytes(packet[8:10], "little") & 0x3FFF


def _vp9(packet: bytes) -> Size | None:
    """Width and height where the uncompressed header has them (VP9 bitstream specification, 6.2); None where it does not."""
    bits = _Bits(packet[:32])
    if bits.take(2) != 2:
        return None
    profile = bits.take() + 2 * bits.take()
    bits.take(profile == 3)
    if bits.take():  # an image of before is shown again
        return None
    between, shown, resilient = bits.take(), bits.take(), bits.take()
    alone = not between or (not shown and bits.take() == 1)
    if between and not resilient:
        bits.take(2)
    if alone:
        if bits.take(24) != _SYNC:
            return None
        if not between or profile:
            bits.take(profile >= 2)
            colours = bits.take(3)
            bits.take((3 if profile & 1 else 0) if colours == 7 else (4 if profile & 1 else 1))
    if between:
        bits.take(8)
        if not alone:
            bits.take(12)
            if any(bits.take() for _ in range(3)):  # as large as one of those before
                return None
    return bits.take(16) + 1, bits.take(16) + 1


_HEADERS: dict[str, Callable[[bytes], Hashable | None]] = {
    **dict.fromkeys(("h264", "avc1", "avc3"), partial(_unit, re.compile(b"\0\0\1([\x07\x27\x47\x67])"))),
    **dict.fromkeys(("hevc", "h265", "hvc1", "hev1"), partial(_unit, re.compile(b"\0\0\1([\x42\x43])"))),
    **dict.fromkeys(("vp80", "vp8"), _vp8),
    **dict.fromkeys(("vp90", "vp9", "vp09"), _vp9),
}
