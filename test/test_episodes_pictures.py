"""Episodes' videos: pictures of any size come back as they were."""

import numpy as np
import pytest
from video_support import picture

av = pytest.importorskip("av", reason="datasets need PyAV (pip install 'fourdhands[dataset]')")

from fourdhands_core.episodes.pictures import CODECS, EpisodeVideo, pixel_format


@pytest.mark.parametrize("vcodec", CODECS)
@pytest.mark.parametrize("size", [(160, 120), (161, 119), (160, 121)])
def test_pictures_of_odd_sides(tmp_path, vcodec, size):
    """AV1 of those ended in the encoder's own words, after the hands had been found."""
    pictures = [picture(*size, 0.2 * number) for number in range(5)]
    with EpisodeVideo(tmp_path / "a.mp4", *size, 30, vcodec) as video:
        for one in pictures:
            video.add(one)
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert file.streams.video[0].pix_fmt == pixel_format(*size, vcodec)
        shown = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(shown) == 5
    for one, other in zip(shown, pictures):
        assert one.shape == other.shape and np.abs(one.astype(int) - other).mean() < 4
