"""The interface that all datasets share: windows, boxes and images."""

import cv2
import numpy as np
import pytest

from fourdhands_core.errors import DatasetError
from fourdhands_core.learning.datasets.frames import box_around, read_image, window


def test_a_window_is_centred_and_repeats_the_ends():
    sequence = list(range(100, 150))
    assert window(sequence, 25) == [105, 110, 115, 120, 125, 130, 135, 140, 145]
    assert window(sequence, 2) == [100, 100, 100, 100, 102, 107, 112, 117, 122]
    assert window(sequence, 49, length=3, gap=2) == [147, 149, 149]
    assert window([7], 0) == [7] * 9


def test_a_box_leaves_unknown_points_out():
    points = np.array([[10.0, 20.0], [np.nan, np.nan], [30.0, 60.0]])
    np.testing.assert_allclose(box_around(points), [6.0, 16.0, 34.0, 64.0])


def test_images_are_rgb_and_a_bad_one_is_named(tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((2, 3, 3), (0, 0, 255), np.uint8))
    assert read_image(tmp_path / "red.png")[0, 0].tolist() == [255, 0, 0]
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    for name in ("broken.jpg", "absent.jpg"):
        with pytest.raises(DatasetError, match=name):
            read_image(tmp_path / name)
