"""Crops for the image network agree with the published arithmetic, and with the points inside them."""

import functools

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from released_support import DATA

from fourdhands_core.runtime.crops import SCALE, SHIFT, DeviceCrops, crop_hands, from_crop, square_around, to_crop

on_device = DeviceCrops("cpu", torch.float32)


def test_crops_agree_with_the_reference():
    truth = np.load(DATA / "crop_reference.npz")
    image = cv2.cvtColor(cv2.imread(str(DATA / "crop_image.png")), cv2.COLOR_BGR2RGB)
    squares = square_around(np.stack([truth["box_left_xyxy"], truth["box_right_xyxy"]]))
    np.testing.assert_allclose(squares, [truth["square_left_xywh"], truth["square_right_xywh"]], atol=1e-4)
    for crops in (crop_hands(image, squares, [True, False]), on_device(image, squares, [True, False]).numpy()):
        for crop, name in zip(crops.transpose(0, 2, 3, 1), ("crop_left", "crop_right")):
            difference = np.abs(crop[::4, ::4] - truth[name][:, 8:56])
            assert difference.max() < 0.05 and difference.mean() < 0.005


def test_a_square_outside_the_image_is_black():
    image, square = np.full((40, 60, 3), 255, np.uint8), [[200.0, 100.0, 50.0, 50.0]]
    black = np.array([-123.675 / 58.395, -116.28 / 57.12, -103.53 / 57.375])
    for crop in (crop_hands(image, square, [False]), on_device(image, square, [False]).numpy()):
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


@functools.cache
def noise():
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8), (9, 9), 3)


@settings(deadline=None)
@given(x=st.floats(-300, 600), y=st.floats(-300, 400), side=st.floats(30, 1500), other=st.floats(30, 1500), left=st.booleans())
def test_both_ways_agree(x, y, side, other, left):
    """Two hands at once, blurred and not, over the image's border and outside."""
    image = noise()
    squares = np.array([[x, y, side, side], [200.0, y, other, other]])
    host, device = crop_hands(image, squares, [left, not left]), on_device(image, squares, [left, not left]).numpy()
    difference = np.abs(host - device)  # OpenCV rounds places to 1/32 pixel and what is blurred to whole numbers:
    assert difference.max() < 0.08 and difference.mean() < 0.01  # 1/64 pixel of the step from 255 to the border's black is 0.07


def test_images_of_any_layout():
    """What a camera's message gives: read-only memory, rows with padding, turned axes."""
    image = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    square = np.array([[10.0, 5.0, 40.0, 40.0]])
    wide = np.zeros((60, 96, 3), np.uint8)
    wide[:, :80] = image
    fixed = image.copy()
    fixed.flags.writeable = False
    expected = on_device(image, square, [False])
    for other in (wide[:, :80], fixed, np.ascontiguousarray(image[:, ::-1])[:, ::-1]):
        torch.testing.assert_close(on_device(other, square, [False]), expected)


@pytest.mark.parametrize("side", [500, 700, 1024, 1500, 2048])
@pytest.mark.parametrize("upright", [True, False])
def test_what_is_too_fine_for_the_crop_is_damped_as_by_the_published_blur(side, upright):
    """Gratings of sigma (side / 512 - 1) / 2 pixels' Gaussian: their amplitude falls by exp(-2 (pi sigma / wavelength)^2).

    The image network was trained on crops that were blurred so; with less, fine texture comes out as coarse. Squares up to
    1.1 times 512 pixels are not blurred.
    """
    sigma = (side / 512 - 1) / 2 if side > 1.1 * 512 else 0.0
    wavelength = max(6.0 * sigma, 16.0)
    wave = 127.5 + 100.0 * np.sin(2.0 * np.pi * np.arange(2100) / wavelength)
    image = np.repeat(np.round(wave).astype(np.uint8)[:, None], 3, 1)
    image = np.tile(image[None], (2100, 1, 1)) if upright else np.tile(image[:, None], (1, 2100, 1))
    square = np.array([[26.0, 26.0, side, side]])
    for crops in (crop_hands(image, square, [False]), on_device(image, square, [False]).numpy()):
        values = (crops[0] - SHIFT[:, None, None]) / SCALE[:, None, None]
        amplitude = np.sqrt(2.0) * values[:, 20:-20, 20:-20].std(axis=2 if upright else 1).mean()
        expected = 100.0 * np.exp(-2.0 * (np.pi * sigma / wavelength) ** 2)
        assert amplitude == pytest.approx(expected, rel=0.03)
