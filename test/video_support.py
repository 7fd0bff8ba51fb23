"""Videos as phones, scanners and damaged disks give them, made of plain ones by changing their bytes."""

import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from fourdhands_core.media.video import VideoWriter


def picture(width, height, phase=0.0):
    """A smooth coloured picture without symmetry, which the codec keeps almost exactly."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 100 * np.sin(x / 40 + phase), 128 + 100 * np.cos(y / 30), 40 + 150 * x / width]
    return np.stack(planes, axis=-1).astype(np.uint8)


def numbered_picture(number: int, size=(64, 48)) -> np.ndarray:
    """A picture that shows its number: a column for each of its eight digits, white for 1."""
    digits = np.array([(number >> k) & 1 for k in range(8)], np.uint8) * 255
    return np.broadcast_to(np.repeat(digits, size[0] // 8)[None, :, None], (size[1], size[0], 3)).copy()


def number_in(image) -> int:
    """The number that such a picture shows."""
    columns = image.mean(axis=(0, 2)).reshape(8, -1).mean(axis=1)
    return int(((columns > 128) << np.arange(8)).sum())


def write_video(path: Path, frames, fps=30) -> Path:
    """An mp4 of frames (H, W, 3) uint8 RGB."""
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))
    return path


def timed_video(path, milliseconds):
    """A frame at each of these times."""
    av = pytest.importorskip("av", reason="OpenCV writes videos of one rate only")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for i, time in enumerate(milliseconds):
            frame = av.VideoFrame.from_ndarray(numbered_picture(i), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def plain_video(path: Path, greys, size=(64, 48), fps=30) -> Path:
    """A video whose frames are of one grey each."""
    return write_video(path, (np.full((*size[::-1], 3), grey, np.uint8) for grey in greys), fps)


def turn(path: Path, degrees: int) -> None:
    """State in an mp4 that players are to turn it clockwise, as phones do."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    show(path, [[cos, sin], [-sin, cos]])


def show(path: Path, matrix, box: bytes = b"tkhd") -> None:
    """State in an mp4 by which matrix (a b; c d) players are to show it, in the track's header or the movie's (mvhd)."""
    data = bytearray(path.read_bytes())
    place = data.index(box) + {b"tkhd": 44, b"mvhd": 40}[box]
    (a, b), (c, d) = matrix
    data[place : place + 20] = struct.pack(">5i", *(round(value * 65536) for value in (a, b, 0, c, d)))
    path.write_bytes(data)


def stretch(path: Path, wide: int, high: int) -> None:
    """State in an mp4 that its pixels are wide : high (a `pasp` box)."""
    data = bytearray(path.read_bytes())
    box = struct.pack(">I4sII", 16, b"pasp", wide, high)
    place = 0
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v"):
        place = data.index(name, place)
        (size,) = struct.unpack_from(">I", data, place - 4)
        struct.pack_into(">I", data, place - 4, size + len(box))
    end = place - 4 + size
    path.write_bytes(bytes(data[:end] + box + data[end:]))


def recode(path: Path, code: bytes) -> None:
    """State in an mp4 that it is of another codec."""
    path.write_bytes(path.read_bytes().replace(b"mp4v", code).replace(b"esds", b"free"))  # which states it once more


def write_damaged(path: Path, count: int, damaged) -> Path:
    """An AVI of `count` JPEGs, of which those numbered `damaged` are overwritten with zeros."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (160, 120))
    for number in range(count):
        writer.write(picture(160, 120, number * 0.3))
    writer.release()
    data = bytearray(path.read_bytes())
    place = data.index(b"movi")
    for number in range(count):
        place = data.index(b"00dc", place)
        (size,) = struct.unpack_from("<I", data, place + 4)
        if number in damaged:
            data[place + 8 : place + 8 + size] = bytes(size)
        place += 8 + size
    path.write_bytes(data)
    return path
