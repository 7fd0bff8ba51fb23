"""Video in and out: round trip, stamps, and clear errors for what cannot be read."""

import numpy as np
import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.media.video import VideoReader, VideoWriter


def picture(width, height, phase):
    """A smooth coloured picture, which the codec keeps almost exactly."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 100 * np.sin(x / 40 + phase), 128 + 100 * np.cos(y / 30), 40 + 150 * x / width]
    return np.stack(planes, axis=-1).astype(np.uint8)


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
        assert np.abs(image[:size[1], :size[0]].astype(float) - frame).mean() < 8


@pytest.mark.parametrize("content", [b"", b"not a video", None])
def test_what_is_no_video_raises_input_error(tmp_path, content):
    path = tmp_path / "video.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="video.mp4"):
        VideoReader(path)


def test_a_truncated_video_raises_or_ends_early(tmp_path):
    with VideoWriter(tmp_path / "whole.mp4", 30) as writer:
        for i in range(10):
            writer.write(picture(160, 120, i))
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[:len(data) // 2])
    with pytest.raises(InputError, match="half.mp4"):
        VideoReader(tmp_path / "half.mp4")


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
