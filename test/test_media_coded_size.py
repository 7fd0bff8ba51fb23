"""A video whose resolution changes midway, of which OpenCV makes torn or repeated images."""

import contextlib
import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.media.coded_size import coded_size
from fourdhands_core.media.track_video import track_video
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.view.recordings import VideoRecording

WRITTEN = [  # beginnings of packets by libx264, libx265 and libvpx: cropped, interlaced, 4:4:4, scaling lists, layers in time
    ("h264", (1920, 1080), "00000167640028acd940780227e584000003000400000300f03c60c658"),
    ("h264", (1920, 1080), "00000167640028acd94078044fdc20000003002000000783e2c5b2c0"),
    ("avc1", (1918, 1078), "00000167f40028919b280f0044f71708000003000800000301e078c18cb0"),
    ("h264", (642, 362), "000001677a001ebcd940a42fe22784000003000400000300f03c58b658"),
    ("h264", (640, 480), "0000016742c01ed900a03da10000030001000003003c0f162e48"),
    ("h264", (642, 482), "0000016764001eacd940a43fe222210000030001000003003c0f162d96"),
    ("hevc", (1920, 1080), "000001420101016000000300900000030000030078a003c08010e596566924cae68080000003008000000f04"),
    ("hvc1", (1918, 1078), "0000014201040408000003009c08000003000078000090007810021ceedb2caca5652b2c9265734040000003004000"),
    ("hevc", (642, 362), "0000014201010408000003009d0800000300003fb005120171c93e5959a4932b9a020000030002000003003c10"),
    ("vp80", (1918, 1078), "30b7019d012a7e073604004708858588"),
    ("vp90", (1918, 1078), "824983420077d043560038241c184a18"),
    ("vp90", (642, 362), "a249834200050202d2c0070483830942"),
]


@pytest.mark.parametrize("codec, size, packet", WRITTEN)
def test_sizes_that_encoders_wrote(codec, size, packet):
    data = bytes.fromhex(packet)
    assert coded_size(codec, data) == size
    assert coded_size("mjpg", data) is None
    for length in range(len(data)):  # cut off anywhere
        assert coded_size(codec, data[:length]) in (None, size)


def bits(*fields):
    """Numbers of so many bits each."""
    text = "".join(f"{value:0{count}b}" for value, count in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def test_an_image_of_vp9_that_follows_others_may_have_another_size():
    """With three references: a size of its own, or that of one of them; one that stands alone; one shown again."""
    follows = [(0b10, 2), (0, 2), (0, 1), (1, 1), (1, 1), (0, 1), (0, 2), (1, 8), (0, 12)]
    assert coded_size("vp90", bits(*follows, (0, 3), (639, 16), (359, 16))) == (640, 360)
    assert coded_size("vp90", bits(*follows, (0b01, 2), (0, 32))) is None
    alone = [(0b10, 2), (0, 2), (0, 1), (1, 1), (0, 1), (0, 1), (1, 1), (0, 2), (0x498342, 24), (1, 8)]
    assert coded_size("vp90", bits(*alone, (639, 16), (359, 16))) == (640, 360)
    assert coded_size("vp90", bits((0b10, 2), (0, 2), (1, 1), (0, 40))) is None


def recording(path, sizes, count=10):
    """VP8 as browsers record it, so many images of each size, 30 a second."""
    packets = []
    for number, size in enumerate(sizes):
        part = path.with_name(f"{number}.avi")
        writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"VP80"), 30.0, size)
        for k in range(count):
            writer.write(np.full((size[1], size[0], 3), 50 + 10 * k, np.uint8))
        writer.release()
        raw = cv2.VideoCapture(str(part), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
        while raw.grab():
            packets.append(raw.retrieve()[1].tobytes())
    head = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP80", *sizes[0], 30, 1, len(packets), 0)
    frames = (struct.pack("<IQ", len(packet), number) + packet for number, packet in enumerate(packets))
    path.write_bytes(head + b"".join(frames))
    return path


@pytest.mark.parametrize("sizes", [[(320, 240), (160, 120)], [(160, 120), (320, 240)], [(320, 240), (240, 320), (320, 240)]])
def test_images_until_the_resolution_changes(tmp_path, sizes):
    path = recording(tmp_path / "a b.ivf", sizes)
    (width, height), (wide, high) = sizes[:2]
    words = rf"changes from {width}x{height} to {wide}x{high} at 0.34 s; .*ffmpeg -ss 0.34 -i '.*a b.ivf' '.*a b_rest.ivf'"
    with VideoReader(path) as reader:
        seen = iter(reader)
        values = [next(seen)[1].mean() for _ in range(10)]
        assert np.abs(np.array(values) - np.arange(50, 150, 10)).max() < 5
        with pytest.raises(InputError, match=words):
            next(seen)
        for number, there in ((3, True), (15, False), (5, True), (10, False), (9, True)):
            reader.seek(number)
            if there:
                assert abs(next(iter(reader))[1].mean() - 50 - 10 * number) < 5
            else:
                with pytest.raises(InputError, match=f"changes from {width}x{height} to {wide}x{high}"):
                    next(iter(reader))


def test_a_stream_without_times(tmp_path):
    """As a camera's network stream is dumped: H.264 and nothing around it."""
    av = pytest.importorskip("av", reason="OpenCV writes no H.264")
    whole = b""
    for size in ((320, 240), (160, 120)):
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt, codec.time_base = *size, "yuv420p", Fraction(1, 25)
        codec.options = {"x264-params": "repeat-headers=1"}
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), 10 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            whole += b"".join(map(bytes, codec.encode(frame)))
        whole += b"".join(map(bytes, codec.encode(None)))
    (tmp_path / "a.h264").write_bytes(whole)
    with VideoReader(tmp_path / "a.h264") as reader:
        seen = iter(reader)
        assert len([next(seen) for _ in range(10)]) == 10
        with pytest.raises(InputError, match=r"changes from 320x240 to 160x120 at 0.4 s"):
            next(seen)


def test_one_resolution(tmp_path):
    with VideoReader(recording(tmp_path / "a.ivf", 3 * [(320, 240)])) as reader:
        assert sum(1 for _ in reader) == 30


def test_what_came_before_the_change_is_kept(tmp_path):
    """By `fourdhands track`, and shown by `fourdhands view`."""
    path, lens = recording(tmp_path / "a.ivf", [(320, 240), (160, 120)]), CameraSource(65.0, fov=60.0)
    with pytest.raises(InputError, match=r"changes from .* and contact_sheet.png of the first 10 frames are in"):
        track_video(path, tmp_path / "out", HandPairTracker(), lens, progress=False)
    assert len(np.load(tmp_path / "out/hands.npz")["stamp"]) == 10
    with contextlib.closing(VideoRecording(str(path), HandPairTracker(), lens, pair_of(load_generic_hand()))) as shown:
        while shown.advance():
            pass
        assert len(shown.course) == 10 and "changes from 320x240 to 160x120" in shown.warnings[0]
