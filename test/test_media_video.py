"""Video in and out: round trip, stamps, and clear errors for what cannot be read."""

import signal
from fractions import Fraction

import cv2
import numpy as np
import pytest
from video_support import numbered_picture, picture, recode, show, stretch, timed_video, turn, write_damaged, write_video

from fourdhands_core.errors import InputError
from fourdhands_core.media.video import VideoReader, VideoWriter
from fourdhands_core.signals import Asked, running


@pytest.mark.parametrize("size", [(320, 240), (321, 181)])
def test_round_trip_keeps_frames_order_and_stamps(tmp_path, size):
    frames = [picture(*size, i * 0.5) for i in range(12)]
    with VideoWriter(tmp_path / "deep" / "video.mp4", 30) as writer:
        for frame in frames:
            writer.write(frame)
    with VideoReader(tmp_path / "deep" / "video.mp4") as reader:
        assert reader.fps == pytest.approx(30) and reader.frame_count == 12
        back = list(reader)
    assert len(back) == 12
    np.testing.assert_allclose([stamp for stamp, _ in back], np.arange(12) / 30 * 1e9, atol=2)
    for frame, (_, image) in zip(frames, back):
        assert image.dtype == np.uint8 and image.flags.c_contiguous
        # RGB stays RGB, and the picture stays the picture: 8 grey levels is far below a swap of channels or frames.
        assert np.abs(image[: size[1], : size[0]].astype(float) - frame).mean() < 8


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_what_is_no_video_raises_input_error(tmp_path, content):
    path = tmp_path / "video.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="video.mp4"):
        VideoReader(path)


def test_a_missing_camera_raises_input_error():
    with pytest.raises(InputError, match="camera 93"):
        VideoReader(93)


def test_no_file_without_a_frame_and_no_mixed_sizes(tmp_path):
    with VideoWriter(tmp_path / "none.mp4", 30):
        pass
    assert not (tmp_path / "none.mp4").exists()
    with VideoWriter(tmp_path / "some.mp4", 30) as writer:
        writer.write(picture(64, 48, 0))
        with pytest.raises(InputError, match="64x48"):
            writer.write(picture(32, 48, 0))
    with pytest.raises(InputError, match="frame rate"):
        VideoWriter(tmp_path / "bad.mp4", 0)


def test_real_video_opens_with_its_true_size_and_rate(real_data):
    with VideoReader(real_data / "video" / "right_hand.mp4") as reader:
        assert (reader.width, reader.height, reader.frame_count) == (1280, 720, 621)
        stamps = [stamp for stamp, _ in zip((s for s, _ in reader), range(5))]
    np.testing.assert_allclose(stamps, np.arange(5) / 30 * 1e9, atol=2)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_phone_videos_are_upright_as_players_show_them(tmp_path, degrees):
    upright = [picture(160, 120, i * 0.5) for i in range(4)]
    path = write_video(tmp_path / "phone.mp4", [np.rot90(frame, degrees // 90) for frame in upright], fps=25)
    turn(path, degrees)
    with VideoReader(path) as reader:
        assert (reader.width, reader.height, reader.fps, reader.frame_count) == (160, 120, 25, 4)
        for frame, (_, image) in zip(upright, reader):
            assert image.shape == frame.shape and np.abs(image.astype(float) - frame).mean() < 8


@pytest.mark.parametrize("box", [b"tkhd", b"mvhd"])
@pytest.mark.parametrize(
    "matrix, stored",
    [
        ([[-1, 0], [0, 1]], lambda image: image[:, ::-1]),
        ([[1, 0], [0, -1]], lambda image: image[::-1]),
        ([[0, 1], [1, 0]], lambda image: image.transpose(1, 0, 2)),
        ([[0, -1], [-1, 0]], lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
    ],
    ids=["left and right", "top and bottom", "transposed", "transposed the other way"],
)
def test_mirrored_videos_are_as_players_show_them(tmp_path, matrix, stored, box):
    """As front cameras write them: else a right hand would be a left one."""
    shown = [picture(160, 120, i * 0.5) for i in range(3)]
    path = write_video(tmp_path / "selfie.mp4", [stored(frame) for frame in shown])
    show(path, matrix, box)
    with VideoReader(path) as reader:
        assert (reader.width, reader.height) == (160, 120)
        for frame, (_, image) in zip(shown, reader, strict=True):
            assert image.shape == frame.shape and np.abs(image.astype(float) - frame).mean() < 8


def test_two_mirrors_are_a_turn_and_pixels_of_a_mirrored_video_are_square(tmp_path):
    shown = picture(160, 120)
    path = write_video(tmp_path / "a.mp4", [shown[::-1, ::-1]] * 2)
    show(path, [[-1, 0], [0, 1]])
    show(path, [[1, 0], [0, -1]], b"mvhd")
    with VideoReader(path) as reader:
        (_, image), _ = reader
        assert np.abs(image.astype(float) - shown).mean() < 8
    path = write_video(tmp_path / "b.mp4", [shown] * 2)
    stretch(path, 2, 1)
    show(path, [[0, 1], [1, 0]])
    with VideoReader(path) as reader:
        assert (reader.width, reader.height) == (120, 320)


@pytest.mark.parametrize(
    "matrix, words",
    [
        ([[-0.8, 0.6], [0.6, 0.8]], "mirrored and at an angle"),
        ([[-1, 0.5], [0, 1]], "mirrored and at an angle"),
        ([[0.7071, 0.7071], [-0.7071, 0.7071]], "shown at an angle"),
        ([[0.8, -0.6], [0.6, 0.8]], "shown at an angle"),
    ],
)
def test_an_angle_is_refused(tmp_path, matrix, words):
    path = write_video(tmp_path / "slanted.mp4", [picture(160, 120)] * 2)
    show(path, matrix)
    with pytest.raises(InputError, match=f"{words}, which is not done here.*ffmpeg -i"):
        VideoReader(path)


@pytest.mark.parametrize("matrix", [[[0, 0], [0, 0]], [[1, 0], [0, 1]], [[30000, 0], [0, 30000]]])
def test_other_matrices_change_nothing(tmp_path, matrix):
    path = write_video(tmp_path / "plain.mp4", [picture(160, 120)] * 2)
    show(path, matrix)
    with VideoReader(path) as reader:
        assert (reader.width, reader.height) == (160, 120)


@pytest.mark.parametrize(
    "pixels, degrees, size",
    [
        ((2, 1), 0, (320, 120)),
        ((1, 2), 0, (160, 240)),
        ((16, 15), 0, (171, 120)),
        ((2, 1), 90, (120, 320)),
        ((1000, 999), 0, (160, 120)),
        ((1, 10000), 0, (160, 120)),
    ],
)
def test_frames_have_square_pixels(tmp_path, pixels, degrees, size):
    path = write_video(tmp_path / "dv.mp4", [picture(160, 120, i) for i in range(2)])
    stretch(path, *pixels)
    if degrees:
        turn(path, degrees)
    with VideoReader(path) as reader:
        assert (reader.width, reader.height) == size
        assert all(image.shape == (*size[::-1], 3) and image.flags.c_contiguous for _, image in reader)


@pytest.mark.parametrize("damaged", [{9}, {0}, {29}, {0, 1, 2, 10, 12, 13}, set(range(5, 29))])
def test_damaged_frames_are_passed_over_counted_and_keep_their_time(tmp_path, damaged):
    with VideoReader(write_damaged(tmp_path / "old.avi", 30, damaged)) as reader:
        stamps = [stamp for stamp, _ in reader]
        assert reader.frame_count == 30 and reader.missing == len(damaged)
    expected = [number / 30 * 1e9 for number in range(30) if number not in damaged]
    np.testing.assert_allclose(stamps, expected, atol=2)


def test_a_whole_video_misses_nothing_and_one_that_was_cut_off_what_it_lacks(tmp_path):
    path = write_damaged(tmp_path / "whole.avi", 30, ())
    cut = tmp_path / "cut.avi"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for file in (path, cut):
        with VideoReader(file) as reader:
            count = len(list(reader))
            assert count + reader.missing == 30 and (count == 30) == (file == path)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.ts"])
def test_a_part_of_a_long_recording_lacks_nothing_of_before(tmp_path, name):
    """Its frames' times begin where those of the part before end."""
    with VideoReader(timed_video(tmp_path / name, [5000 + round(i * 1000 / 30) for i in range(30)])) as reader:
        stamps = [stamp for stamp, _ in reader]
        assert reader.frame_count == 30 and reader.missing == 0
    np.testing.assert_allclose(stamps, np.arange(30) / 30 * 1e9, atol=2e6)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4"])
def test_a_recorders_pause_lacks_no_frames(tmp_path, name):
    times = [round(i * 1000 / 30) + 3_600_000 * (i >= 10) for i in range(30)]
    with VideoReader(timed_video(tmp_path / name, times)) as reader:
        stamps = [stamp for stamp, _ in reader]
        assert reader.missing == 0
    np.testing.assert_allclose(stamps, np.array(times) * 1e6, atol=2e6)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_sound_that_ends_after_the_images_is_no_missing_frame(tmp_path, name):
    """A block of it is longer than an image."""
    av = pytest.importorskip("av", reason="OpenCV writes no sound")
    with av.open(str(tmp_path / name), "w") as file:
        stream, sound = file.add_stream("mpeg4", rate=30), file.add_stream("mp2", rate=48000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(40):
            frame = av.VideoFrame.from_ndarray(numbered_picture(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 30)
            file.mux(stream.encode(frame))
        for i in range(60):  # of 24 ms
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = 48000, 1152 * i, Fraction(1, 48000)
            file.mux(sound.encode(block))
        file.mux(stream.encode()), file.mux(sound.encode())
    with VideoReader(tmp_path / name) as reader:
        assert len(list(reader)) == 40 < reader.frame_count and reader.missing == 0


@pytest.mark.parametrize(
    "name, cut", [("a.mkv", 0), ("a.webm", 0), ("a.mp4", 0), ("a.avi", 0), ("a.mkv", 6), ("a.webm", 6), ("a.avi", 6)]
)
def test_frames_at_uneven_times_are_not_missing(tmp_path, name, cut):
    """As screens and browsers are recorded: 28 of 58 frames of such an mkv could not be read, it said, and of an AVI, which has
    empty frames between, nearly all. One that was cut off lacks some all the same."""
    path = timed_video(tmp_path / name, [33 * min(i, 15) + 100 * max(i - 15, 0) for i in range(30)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * (10 - cut) // 10])
    with VideoReader(path) as reader:
        stamps = [stamp for stamp, _ in reader]
        assert (len(stamps) == 30) == (cut == 0) == (reader.missing == 0)
    assert np.diff(stamps).max() == pytest.approx(1e8 if len(stamps) > 16 else 33e6, rel=0.02)


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_frames_that_come_slower_than_is_stated_are_not_missing(tmp_path, name):
    """As of a camera that gives 25 images a second in dim light, where 30 were asked for; what is left out is missing."""
    times = [40 * i + 10 * (i % 2) for i in range(60)]
    for lost in (0, 8):
        with VideoReader(timed_video(tmp_path / name, times[:20] + times[20 + lost :])) as reader:
            assert len(list(reader)) == 60 - lost < reader.frame_count and (reader.missing > 0) == (lost > 0)


def test_a_video_of_damaged_frames_alone_ends(tmp_path):
    with pytest.raises(InputError, match="no frame that can be decoded"):
        VideoReader(write_damaged(tmp_path / "lost.avi", 30, range(30)))


@pytest.mark.parametrize("code, name", [(b"av01", "AV1"), (b"vvc1", "H.266"), (b"zzz9", "of the codec zzz9")])
def test_what_is_not_decoded_is_named_with_the_command_that_converts_it(tmp_path, code, name):
    path = write_video(tmp_path / "new phone.mp4", [picture(160, 120, i) for i in range(3)])
    recode(path, code)
    with pytest.raises(InputError, match=f"is {name}, which is not decoded.*ffmpeg -i '.*new phone.mp4' -c:v libx264"):
        VideoReader(path)


@pytest.mark.parametrize("name", ["vid\udce9o.mp4", "h\u00e4nde.mp4", "new\nline.mp4", "-i.mp4", "100%d.mp4", "a*b[c].mp4"])
def test_videos_are_written_and_read_under_any_name(tmp_path, name):
    path = write_video(tmp_path / name, [picture(64, 48, i) for i in range(3)])
    assert path.stat().st_size > 100 and len(list(VideoReader(path))) == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cut_off_mp4_is_said_to_lack_its_index(tmp_path):
    path = write_video(tmp_path / "half.mp4", [picture(160, 120, i) for i in range(10)])
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"mdat") + 1000])
    with pytest.raises(InputError, match="lacks its index"):
        VideoReader(path)


def test_a_signal_while_the_file_is_being_made_leaves_it_to_be_completed(tmp_path, monkeypatch):
    """Two of them, as from a terminal and from what started the command, are one request."""
    opened = cv2.VideoWriter

    def signalled(*args):
        made = opened(*args)
        signal.raise_signal(signal.SIGINT)
        return made

    signalled.fourcc = opened.fourcc
    with running(), VideoWriter(tmp_path / "v.mp4", 30.0) as writer:
        monkeypatch.setattr(cv2, "VideoWriter", signalled)
        with pytest.raises(Asked):
            writer.write(picture(64, 48))
        signal.raise_signal(signal.SIGINT)
        writer.write(picture(64, 48))
    with VideoReader(tmp_path / "v.mp4") as reader:
        assert len(list(reader)) == 2
