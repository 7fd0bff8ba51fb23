"""A video whose resolution changes midway, of which OpenCV makes torn or repeated images."""

import contextlib
import struct
import sys
from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.media.coded_size import coded_header, image_size
from fourdhands_core.media.track_video import track_video
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.view.recordings import VideoRecording

WRITTEN = [  # beginnings of packets by libvpx
    ("vp80", (1918, 1078), "30b7019d012a7e073604004708858588"),
    ("vp90", (1918, 1078), "824983420077d043560038241c184a18"),
    ("vp90", (642, 362), "a249834200050202d2c0070483830942"),
]


@pytest.mark.parametrize("codec, size, packet", WRITTEN)
def test_sizes_that_encoders_wrote(codec, size, packet):
    data = bytes.fromhex(packet)
    assert coded_header(codec, data) == size
    assert coded_header("mjpg", data) is None
    for length in range(len(data)):  # cut off anywhere
        assert coded_header(codec, data[:length]) in (None, size)


def coded(size, count, encoder="libx264", options="x264-params"):
    """Packets of grey images, each fourth with its parameters."""
    av = pytest.importorskip("av", reason="OpenCV writes no H.264")
    codec = av.CodecContext.create(encoder, "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = *size, "yuv420p", Fraction(1, 25)
    codec.options = {options: "repeat-headers=1:keyint=4:scenecut=0:bframes=0:log-level=none:slices=4"}
    texture = np.random.default_rng(0).integers(0, 60, (size[1], size[0], 3))
    packets = []
    for k in range(count):
        frame = av.VideoFrame.from_ndarray((texture + 10 * k).astype(np.uint8), format="rgb24")
        frame.pts, frame.time_base = k, Fraction(1, 25)
        packets += map(bytes, codec.encode(frame))
    return [*packets, *map(bytes, codec.encode(None))]


@pytest.mark.parametrize("name, encoder, options", [("h264", "libx264", "x264-params"), ("hevc", "libx265", "x265-params")])
def test_the_size_of_a_packet_by_itself(name, encoder, options):
    """With a header that is damaged no image is decoded."""
    for size in (320, 240), (642, 362):
        first, second, *_ = coded(size, 8, encoder, options)
        assert image_size(name, first) == size and coded_header(name, second) is None
    header = coded_header(name, first)
    assert image_size(name, first.replace(header, header[:8])) is None


def test_what_comes_with_a_damaged_header_is_passed_over(tmp_path):
    """Until the next one: it was a change of resolution, after which nothing came."""
    encoder = "libx265", "x265-params"
    packets, other = coded((320, 240), 16, *encoder), coded_header("hevc", coded((642, 362), 1, *encoder)[0])
    packets[8] = packets[8].replace(coded_header("hevc", packets[8]), other)
    av = sys.modules["av"]
    with av.open(str(tmp_path / "a.ts"), "w") as file:
        stream = file.add_stream("libx265", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for k, data in enumerate(packets):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, k, k, Fraction(1, 25)
            file.mux(packet)
    with VideoReader(tmp_path / "a.ts") as reader:
        values = np.array([image.mean() for _, image in reader])
        assert len(values) == 12 and reader.missing == 4
    assert values[-1] - values[0] > 140, "the last ones are there"


def test_an_image_that_opencv_fails_at_is_passed_over(tmp_path, monkeypatch):
    """As of a header that is damaged: it was an error of OpenCV's own, without a sentence."""
    with VideoReader(recording(tmp_path / "a.ivf", [(320, 240)])) as reader:
        fails = SimpleNamespace(grab=lambda: True, get=lambda name: 40.0, retrieve=lambda: cv2.cvtColor(np.zeros(0), 0))
        with monkeypatch.context() as patched:
            patched.setattr(reader._frames, "_capture", fails)
            assert reader._frames.read() is None


def bits(*fields):
    """Numbers of so many bits each."""
    text = "".join(f"{value:0{count}b}" for value, count in fields)
    return int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


def test_an_image_of_vp9_that_follows_others_may_have_another_size():
    """With three references: a size of its own, or that of one of them; one that stands alone; one shown again."""
    follows = [(0b10, 2), (0, 2), (0, 1), (1, 1), (1, 1), (0, 1), (0, 2), (1, 8), (0, 12)]
    assert coded_header("vp90", bits(*follows, (0, 3), (639, 16), (359, 16))) == (640, 360)
    assert coded_header("vp90", bits(*follows, (0b01, 2), (0, 32))) is None
    alone = [(0b10, 2), (0, 2), (0, 1), (1, 1), (0, 1), (0, 1), (1, 1), (0, 2), (0x498342, 24), (1, 8)]
    assert coded_header("vp90", bits(*alone, (639, 16), (359, 16))) == (640, 360)
    assert coded_header("vp90", bits((0b10, 2), (0, 2), (1, 1), (0, 40))) is None


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
    whole = b"".join(coded((320, 240), 10) + coded((160, 120), 10))
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
