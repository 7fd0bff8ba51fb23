"""Crops for the image network agree with the published arithmetic, and with the points inside them."""

import cv2
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourdhands_core.perception.crops import (
    crop_hands, crop_hands_on_device, from_crop, square_around, to_crop)
from released_support import DATA


def test_crops_agree_with_the_reference():
    truth = np.load(DATA / "crop_reference.npz")
    image = cv2.cvtColor(cv2.imread(str(DATA / "crop_image.png")), cv2.COLOR_BGR2RGB)
    squares = square_around(np.stack([truth["box_left_xyxy"], truth["box_right_xyxy"]]))
    np.testing.assert_allclose(squares, [truth["square_left_xywh"], truth["square_right_xywh"]], atol=1e-4)
    for crops in (crop_hands(image, squares, [True, False]),
                  crop_hands_on_device(torch.from_numpy(image), squares, [True, False]).numpy()):
        for crop, name in zip(crops.transpose(0, 2, 3, 1), ("crop_left", "crop_right")):
            difference = np.abs(crop[::4, ::4] - truth[name][:, 8:56])
            assert difference.max() < 0.05 and difference.mean() < 0.005


def test_a_square_outside_the_image_is_black():
    image, square = np.full((40, 60, 3), 255, np.uint8), [[200.0, 100.0, 50.0, 50.0]]
    black = np.array([-123.675 / 58.395, -116.28 / 57.12, -103.53 / 57.375])
    for crop in (crop_hands(image, square, [False]), crop_hands_on_device(torch.from_numpy(image), square, [False])):
        np.testing.assert_allclose(crop, np.broadcast_to(black[:, None, None], (1, 3, 256, 192)), atol=1e-5)


@given(x=st.floats(-300, 600), y=st.floats(-300, 600), side=st.floats(30, 900), left=st.booleans())
def test_points_follow_the_crop(x, y, side, left):
    """A bright dot in the image is where `to_crop` says in the crop."""
    square = np.array([x, y, side, side])
    point = np.array([320.0, 240.0])
    np.testing.assert_allclose(from_crop(to_crop(point, square, left), square, left), point, atol=1e-6)
    place = to_crop(point, square, left)
    if not ((place > (40, 8)) & (place < (216, 248))).all():
        return
    image = np.zeros((480, 640, 3), np.uint8)
    cv2.circle(image, (320, 240), max(3, int(side / 60)), (255, 255, 255), -1)
    crop = crop_hands(image, square[None], [left])[0, 0]
    bright = crop - crop.min()
    v, u = np.mgrid[:256, :192]
    centre = np.array([(bright * u).sum(), (bright * v).sum()]) / bright.sum()
    np.testing.assert_allclose(centre + (32, 0), place, atol=0.3)


@given(x=st.floats(-300, 600), y=st.floats(-300, 400), side=st.floats(30, 1500), left=st.booleans())
def test_both_ways_agree(x, y, side, left):
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8), (9, 9), 3)
    square = np.array([[x, y, side, side]])
    host, device = crop_hands(image, square, [left]), crop_hands_on_device(torch.from_numpy(image), square, [left]).numpy()
    assert np.abs(host - device).mean() < 0.02  # OpenCV rounds places to 1/32 pixel and what is blurred to whole numbers
