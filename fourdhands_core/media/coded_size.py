"""What size the packets of a video say that their images have: OpenCV tells the first one's for ever.

Of the codecs that change it midway in practice: H.264 and H.265 (ITU-T H.264 7.3.2.1.1, H.265 7.3.2.2), VP8 (RFC 6386 9.1) and
VP9 (its bitstream's 6.2 and 7.2), as recorders of screens, calls and streams write them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2

from ..files import utf8_name

_SYNC = 0x498342
"""Of VP9's key frames."""
_DETAILED = 44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244
"""H.264's profiles that tell of their colours."""
_START = re.compile(b"\0\0\1")
_LARGEST = 1 << 14
Size = tuple[int, int]


def coded_size(codec: str, packet: bytes) -> Size | None:
    """Width and height that a packet states; None where it states none, is damaged, or is of another codec.

    codec: its four letters. packet: of H.264 and H.265 with start codes, as OpenCV gives it.
    """
    try:
        size = _CODECS[codec](packet)
    except (KeyError, IndexError, ValueError):
        return None
    return size if size and all(0 < side <= _LARGEST for side in size) else None


class CodedSizes:
    """What size a video file's packets state, read beside its images. codec: as of `coded_size`."""

    def __init__(self, path: Path, codec: str) -> None:
        self._codec, self._capture = codec, cv2.VideoCapture()
        if codec in _CODECS:
            with utf8_name(path) as name:
                self._capture.open(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        self._first: Size | None = None
        self._read, self._change = -math.inf, (math.inf, (0, 0), (0, 0))
        self._sought = False  # then OpenCV tells a wrong time of the next packet, which begins no later than the image sought

    def change(self, milliseconds: float) -> tuple[float, Size, Size] | None:
        """Where the size has changed until the image of this time: when, from what, and to what."""
        while self._read <= milliseconds and self._capture.grab():
            there, packet = self._capture.retrieve()
            if not there:
                continue
            self._read = self._capture.get(cv2.CAP_PROP_POS_MSEC)
            timed, self._sought = self._read >= 0.0 and not self._sought, False
            if not timed:
                self._read = milliseconds
            if size := coded_size(self._codec, packet.tobytes()):
                self._first = self._first or size
                if size != self._first and self._read < self._change[0]:
                    self._change = self._read, self._first, size
            if not timed:  # a stream without times has about a packet an image
                break
        return self._change if self._change[0] <= milliseconds else None

    def seek(self, number: int) -> None:
        """Go on at about the image of a number."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        self._read, self._sought = -math.inf, True

    def close(self) -> None:
        """Release the file."""
        self._capture.release()


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

    def golomb(self) -> int:
        """A number in exponential Golomb code."""
        zeros = 0
        while not self.take():
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """The same, where half of the numbers are negative."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _units(packet: bytes) -> Iterator[bytes]:
    """The beginnings of a packet's units, without the bytes that keep start codes out of them."""
    for start in _START.finditer(packet):
        unit = packet[start.end() : start.end() + 256]
        if unit:
            yield unit.replace(b"\0\0\3", b"\0\0")


def _h264(packet: bytes) -> Size | None:
    data = next((unit[1:] for unit in _units(packet) if unit[0] & 31 == 7), None)
    if data is None:
        return None
    profile, bits = data[0], _Bits(data[3:])
    bits.golomb()
    colours = 1
    if profile in _DETAILED:
        colours = bits.golomb()
        if colours == 3:
            bits.take()
        bits.golomb(), bits.golomb(), bits.take()
        if bits.take():
            for number in range(8 if colours != 3 else 12):
                if bits.take():
                    _skip_scaling(bits, 16 if number < 6 else 64)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(), bits.signed(), bits.signed()
        for _ in range(bits.golomb()):
            bits.signed()
    bits.golomb(), bits.take()
    width, rows, frames = 16 * (bits.golomb() + 1), 16 * (bits.golomb() + 1), bits.take()
    if not frames:
        bits.take()
    bits.take()
    left, right, top, bottom = (bits.golomb() for _ in range(4)) if bits.take() else (0, 0, 0, 0)
    across, down = 2 if colours in (1, 2) else 1, (2 if colours == 1 else 1) * (2 - frames)
    return width - across * (left + right), rows * (2 - frames) - down * (top + bottom)


def _skip_scaling(bits: _Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _h265(packet: bytes) -> Size | None:
    data = next((unit[2:] for unit in _units(packet) if unit[0] >> 1 & 63 == 33), None)
    if data is None:
        return None
    bits = _Bits(data)
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 96)
    there = [(bits.take(), bits.take()) for _ in range(8 if layers else 0)][:layers]
    for profile, level in there:
        bits.take(88 * profile + 8 * level)
    bits.golomb()
    colours = bits.golomb()
    if colours == 3:
        bits.take()
    width, height = bits.golomb(), bits.golomb()
    left, right, top, bottom = (bits.golomb() for _ in range(4)) if bits.take() else (0, 0, 0, 0)
    across, down = 2 if colours in (1, 2) else 1, 2 if colours == 1 else 1
    return width - across * (left + right), height - down * (top + bottom)


def _vp8(packet: bytes) -> Size | None:
    if packet[0] & 1 or packet[3:6] != b"\x9d\x01\x2a" or len(packet) < 10:
        return None
    return int.from_bytes(packet[6:8], "little") & 0x3FFF, int.from_bytes(packet[8:10], "little") & 0x3FFF


def _vp9(packet: bytes) -> Size | None:
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


_CODECS: dict[str, Callable[[bytes], Size | None]] = {
    **dict.fromkeys(("h264", "avc1", "avc3"), _h264),
    **dict.fromkeys(("hevc", "h265", "hvc1", "hev1"), _h265),
    **dict.fromkeys(("vp80", "vp8"), _vp8),
    **dict.fromkeys(("vp90", "vp9", "vp09"), _vp9),
}
