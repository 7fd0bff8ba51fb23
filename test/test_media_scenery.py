"""Backgrounds and the sensor: repeatable pictures, noise of the stated strength, blur along the stated motion."""

import numpy as np
import pytest

from fourdhands_core.media.scenery import BACKGROUNDS, Sensor, background


@pytest.mark.parametrize("kind", BACKGROUNDS)
@pytest.mark.parametrize("size", [(320, 240), (97, 131)])
def test_backgrounds_are_repeatable_and_differ_between_seeds(kind, size):
    first, again, other = (background(np.random.default_rng(seed), *size, kind) for seed in (1, 1, 2))
    assert first.shape == (size[1], size[0], 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).mean() > 2


def test_an_unknown_background_is_named():
    with pytest.raises(ValueError, match="jungle"):
        background(np.random.default_rng(0), 64, 48, "jungle")


def test_noise_has_the_stated_strength_grows_with_light_and_is_new_in_every_frame():
    sensor = Sensor(np.random.default_rng(0), 320, 240, noise=3.0, blur=0.0, jpeg=None)
    spread = [sensor(np.full((240, 320, 3), grey, np.uint8)).std() for grey in (20, 128, 220)]
    assert spread[1] == pytest.approx(3.0, rel=0.1) and spread[0] < spread[1] < spread[2]
    grey = np.full((240, 320, 3), 128, np.uint8)
    assert np.corrcoef(sensor(grey).ravel(), sensor(grey).ravel())[0, 1] < 0.2


def test_motion_blurs_along_its_direction_only_and_does_not_shift():
    sensor = Sensor(np.random.default_rng(0), 101, 81, noise=0.0, blur=0.0, jpeg=None)
    dot = np.zeros((81, 101, 3), np.uint8)
    dot[40, 50] = 255
    blurred = sensor(dot, motion=(10.0, 0.0))[..., 0].astype(float)
    y, x = np.nonzero(blurred)
    assert set(y) == {40} and 9 <= np.ptp(x) + 1 <= 13
    assert (blurred.sum(axis=0) * np.arange(101)).sum() / blurred.sum() == pytest.approx(50.0, abs=0.2)
    np.testing.assert_array_equal(sensor(dot), dot)


def test_jpeg_and_gain():
    picture = background(np.random.default_rng(3), 160, 120, "indoor")
    rough = Sensor(np.random.default_rng(0), 160, 120, noise=0.0, blur=0.0, jpeg=30)(picture)
    difference = np.abs(rough.astype(int) - picture).mean()
    assert 0.2 < difference < 12
    red = Sensor(np.random.default_rng(0), 160, 120, noise=0.0, blur=0.0, jpeg=None, gain=(0.5, 1.0, 1.0))(picture)
    np.testing.assert_allclose(red[..., 0], picture[..., 0] * 0.5, atol=1)
    np.testing.assert_array_equal(red[..., 1:], picture[..., 1:])
