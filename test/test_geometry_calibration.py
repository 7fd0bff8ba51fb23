"""Calibrations as the ecosystem writes them, rectified images, and the camera of each image."""

import numpy as np
import pytest
from test_geometry_camera import HEIGHT, WIDTH, D, K, P

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.calibration import Calibration, lens_model
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.camera_source import CALIBRATED, INVALID, MISMATCH, UNCALIBRATED, UNKNOWN, CameraSource
from fourdhands_core.pipeline.translation import solve_translations

_HAND = np.random.default_rng(0).normal(size=(21, 3)) * [0.04, 0.04, 0.03]
_HAND -= _HAND[0]


# Distortion models under every name


@pytest.mark.parametrize(
    "name, given_d, model, count, assumed",
    [
        ("plumb_bob", D, "plumb_bob", 5, ""),
        ("plumb_bob", (*D, 0, 0, 0), "plumb_bob", 5, ""),  # Orbbec
        ("plumb_bob", (*D, 0), "plumb_bob", 5, ""),
        ("plumb_bob", (*D[:4], 0, 0, 0, 0), "plumb_bob", 5, ""),
        ("plumb_bob", (*D, 0.1, 0.02, 0.01), "rational_polynomial", 8, "rational_polynomial"),
        ("Plumb Bob", D[:4], "plumb_bob", 4, ""),
        ("rational_polynomial", (*D, 0.1, 0.02, 0.01), "rational_polynomial", 8, ""),
        ("rational_polynomial", D, "plumb_bob", 5, ""),
        ("rational_polynomial", (*D, 0.1, 0.02, 0.01, *[0.0] * 6), "rational_polynomial", 14, ""),  # OAK
        ("rational_polynomial", (*D, 0.1, 0.02, 0.01, 0.0), "rational_polynomial", 8, ""),
        ("equidistant", (0.1, 0.01, 0.0, 0.001), "equidistant", 4, ""),
        ("equidistant", (0.1, 0.01, 0.0, 0.001, 0.0), "equidistant", 4, ""),  # RealSense T265
        ("EQUIDISTANT", (0.1, 0.01, 0.0, 0.001), "equidistant", 4, ""),  # Gazebo
        ("fisheye", (0.1, 0.01, 0.0, 0.001), "equidistant", 4, ""),
        ("kannala_brandt4", (0.1, 0.01, 0.0, 0.001), "equidistant", 4, ""),
        ("kannala-brandt", (0.1, 0.01, 0.0, 0.001, 0.0, 0.0), "equidistant", 4, ""),
        ("radtan", D[:4], "plumb_bob", 4, ""),
        ("brown_conrady", D, "plumb_bob", 5, ""),
        ("modified_brown_conrady", D, "plumb_bob", 5, ""),
        ("", D, "plumb_bob", 5, "plumb_bob"),
        ("", D[:4], "plumb_bob", 4, "plumb_bob"),
        ("", (*D, 0, 0, 0), "plumb_bob", 5, "plumb_bob"),
        ("", (*D, 0.1, 0.02, 0.01), "rational_polynomial", 8, "rational_polynomial"),
        ("pinhole", D, "plumb_bob", 5, "plumb_bob"),
        ("inverse_brown_conrady", [0.0] * 5, "", 0, ""),
        ("none", [0.0] * 5, "", 0, ""),
        ("plumb_bob", [], "", 0, ""),
        ("", [], "", 0, ""),
        ("anything", [0.0] * 3, "", 0, ""),
    ],
)
def test_every_name_of_a_distortion_model(name, given_d, model, count, assumed):
    """The lens is the one that the coefficients describe, and what was assumed is said."""
    found, coefficients, remarks = lens_model(name, given_d)
    assert (found, len(coefficients)) == (model, count)
    np.testing.assert_array_equal(coefficients, np.append(given_d, np.zeros(14))[:count])
    assert [assumed in remark for remark in remarks] == ([True] if assumed else [])
    camera = Calibration(WIDTH, HEIGHT, K, name, tuple(given_d)).camera()
    assert camera.distortion_model == model and camera.calibrated


@pytest.mark.parametrize(
    "name, d, words",
    [
        ("inverse_brown_conrady", D, "'inverse_brown_conrady' is not known; known are brown_conrady, equi, equidistant"),
        ("none", D, "'none' is not known"),
        ("fov", (0.9,), "'fov' is not known"),
        ("ftheta", D, "plumb_bob"),
        ("equidistant", (0.1, 0.01, 0.0, 0.001, 0.1), "equidistant' takes .*4"),
        ("plumb_bob", (0.1,), "takes"),
        ("", (0.1, 0.2), "takes"),
        ("rational_polynomial", (*D, 0.1), "takes"),
        ("plumb_bob", (*D, 0.1), "takes"),
        ("plumb_bob", (float("nan"),) * 5, "finite"),
        ("plumb_bob", (*D[:4], float("inf")), "finite"),
        ("equidistant", (0.1, 0.2, 0.3), "takes"),
    ],
)
def test_what_is_no_lens_is_named(name, d, words):
    with pytest.raises(InputError, match=words):
        Calibration(WIDTH, HEIGHT, K, name, d).camera()


# Rectified images


def seen_at(hand_at, camera, pixels_of):
    """Where a hand at that place is found by `camera`, having been seen at the pixels of `pixels_of`."""
    points = _HAND + hand_at
    rays = camera.unproject(pixels_of.project(points))
    return solve_translations(_HAND[None], rays[None], np.full((1, 21), 0.01))[0][0]


@pytest.mark.parametrize(
    "place", [(0.0, 0.0, 0.5), (0.25, 0.15, 0.5), (-0.25, -0.18, 0.5)], ids=["middle", "corner", "other corner"]
)
@pytest.mark.parametrize("model, d", [("plumb_bob", D), ("equidistant", (0.05, 0.0, 0.0, 0.0)), ("", ())])
def test_a_rectified_image_is_ps(place, model, d):
    """A hand half a metre away is half a metre away, with P's focal lengths and principal point and without distortion."""
    calibration = Calibration(WIDTH, HEIGHT, K, model, d, P)
    shown = Camera(WIDTH, HEIGHT, np.reshape(P, (3, 4))[:, :3])
    np.testing.assert_allclose(seen_at(place, calibration.camera(rectified=True), shown), place, atol=1e-3)
    assert np.linalg.norm(seen_at(place, calibration.camera(rectified=False), shown) - place) > 0.02
    raw = Camera(WIDTH, HEIGHT, np.reshape(K, (3, 3)), model, d)
    np.testing.assert_allclose(seen_at(place, calibration.camera(rectified=False), raw), place, atol=1e-3)


def test_a_rectified_region_at_half_the_size():
    """Region of interest and binning change P as they change K."""
    calibration = Calibration(WIDTH, HEIGHT, K, "plumb_bob", D, P, (100, 40, 400, 300), (2, 2))
    camera = calibration.camera(rectified=True)
    point = np.array([0.1, -0.05, 0.6])
    full = Camera(WIDTH, HEIGHT, np.reshape(P, (3, 4))[:, :3]).project(point)
    np.testing.assert_allclose(camera.project(point), (full - (100, 40) + 0.5) / 2 - 0.5)


@pytest.mark.parametrize(
    "rectified, p, d, fx, distorted, words",
    [
        (True, P, D, 430.0, False, None),
        (False, P, D, 500.0, True, None),
        (None, P, D, 500.0, True, "nothing says whether the images are rectified"),
        (None, P, (), 500.0, False, None),  # without distortion a rectified image's K is its own most often
        (None, (*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0), D, 500.0, True, None),
        (None, (), D, 500.0, True, None),
        (True, (), D, 500.0, False, "P is missing"),
        (True, (0.0,) * 12, D, 500.0, False, "P is zero"),
        (True, (0.0,) * 12, (), 500.0, False, None),
        (True, (float("nan"),) * 12, D, 500.0, False, "P is not a number"),
        (True, (*P[:3], -430.0 * 0.12, *P[4:]), D, 430.0, False, "second camera, 0.12 m"),
    ],
)
def test_which_matrix_an_image_has(rectified, p, d, fx, distorted, words):
    (view,) = Calibration(WIDTH, HEIGHT, K, "plumb_bob", d, p).views(rectified)
    assert view.camera.matrix[0, 0] == fx and bool(view.camera.distortion.any()) == distorted
    assert [words in remark for remark in view.remarks] == ([True] if words else [])
    assert view.camera.matrix.shape == (3, 3)


def test_a_rectified_image_needs_no_k():
    """Rectified topics of some drivers come with P alone; with neither the camera is not calibrated."""
    assert Calibration(WIDTH, HEIGHT, (0.0,) * 9, p=P).camera(rectified=True).matrix[0, 0] == 430.0
    assert Calibration(WIDTH, HEIGHT, (0.0,) * 9, p=P).camera() is None
    assert Calibration(WIDTH, HEIGHT, (0.0,) * 9).camera(rectified=True) is None


# The camera of each image


def source_of(*args, rectified=False, **kwargs):
    source = CameraSource(60.0, rectified=rectified)
    source.update(Calibration(*args, **kwargs))
    return source


@pytest.mark.parametrize(
    "roi, binning, size, shift, scale",
    [
        ((100, 40, 400, 300), (0, 0), (400, 300), (100, 40), (1, 1)),
        ((100, 40, 400, 300), (0, 0), (200, 150), (100, 40), (2, 2)),
        ((100, 40, 400, 300), (0, 0), (640, 480), (0, 0), (1, 1)),
        ((100, 40, 400, 300), (0, 0), (320, 240), (100, 40), (400 / 320, 300 / 240)),
        ((0, 0, 0, 0), (2, 2), (320, 240), (0, 0), (2, 2)),
        ((0, 0, 0, 0), (2, 2), (640, 480), (0, 0), (1, 1)),
        ((0, 0, 0, 0), (2, 1), (320, 480), (0, 0), (2, 1)),
        ((0, 0, 0, 0), (2, 1), (640, 480), (0, 0), (1, 1)),
        ((0, 0, 640, 480), (1, 1), (640, 480), (0, 0), (1, 1)),
        ((100, 40, 400, 300), (2, 2), (200, 150), (100, 40), (2, 2)),
        ((100, 40, 400, 300), (2, 2), (320, 240), (0, 0), (2, 2)),
        ((100, 40, 400, 300), (2, 2), (640, 480), (0, 0), (1, 1)),
        ((100, 40, 400, 300), (2, 2), (400, 300), (100, 40), (1, 1)),
        ((120, 40, 200, 400), (0, 0), (100, 200), (120, 40), (2, 2)),
        ((120, 40, 200, 400), (0, 0), (160, 120), (0, 0), (4, 4)),
    ],
)
def test_regions_and_binning(roi, binning, size, shift, scale):
    """An image of the full size shows the whole sensor, whatever region the driver has left in CameraInfo, which is told; what
    has neither size is the region's, resized."""
    source = source_of(WIDTH, HEIGHT, K, roi=roi, binning=binning)
    point = np.array([0.02, -0.05, 1.0])
    full = Camera(WIDTH, HEIGHT, np.reshape(K, (3, 3))).project(point)
    np.testing.assert_allclose(source.camera_for(*size).project(point), (full - shift + 0.5) / scale - 0.5)
    assert source.state == CALIBRATED and not source.problem
    if binning == (0, 0):
        told = [f"{roi[2]}x{roi[3]}" in remark and "not applied" in remark for remark in source.remarks]
        assert told == [True] * (shift == (0, 0))


def test_pixels_that_are_not_square_and_images_of_another_shape():
    """Other focal lengths in x and y are a lens's own; an image stretched to another shape is not."""
    matrix = (500.0, 0, 320, 0, 250.0, 120, 0, 0, 1)
    source = source_of(640, 240, matrix)
    assert source.camera_for(1280, 480).matrix[[0, 1], [0, 1]].tolist() == [1000.0, 500.0] and source.state == CALIBRATED
    assert not source.camera_for(640, 480).calibrated and source.state == MISMATCH and "640x240" in source.problem
    assert not source.remarks


def test_what_cameras_are_taken_as_changes_with_calibration():
    source = CameraSource(60.0)
    assert not source.camera_for(64, 48).calibrated and source.state == UNKNOWN
    source.update(Calibration(WIDTH, HEIGHT, (0.0,) * 9))
    assert not source.camera_for(64, 48).calibrated and source.state == UNCALIBRATED
    source.update(Calibration(WIDTH, HEIGHT, K, "", D))
    assert source.camera_for(WIDTH, HEIGHT).distortion_model == "plumb_bob" and len(source.remarks) == 1
    kept = source.camera_for(320, 240)
    source.update(Calibration(WIDTH, HEIGHT, K, "", D))
    assert source.camera_for(320, 240) is kept
    source.update(Calibration(WIDTH, HEIGHT, K, "fov", D))
    assert not source.camera_for(64, 48).calibrated and source.state == INVALID and "'fov' is not known" in source.problem
    assert not source.remarks


def test_another_assumed_field_of_view_holds_from_the_next_image_on():
    source = CameraSource(60.0)
    first = source.camera_for(640, 480)
    source.default_fov = 90.0
    assert source.camera_for(640, 480).matrix[0, 0] == pytest.approx(320.0) and first.matrix[0, 0] > 500.0


def test_a_fixed_lens_stands_in_for_calibration():
    """CameraInfo that can be used comes first."""
    source = CameraSource(60.0, fov=90.0)
    assert source.camera_for(640, 480).matrix[0, 0] == pytest.approx(320.0) and source.state == CALIBRATED
    assert source.camera_for(100, 200).calibrated and source.camera_for(100, 200) is source.camera_for(100, 200)
    source.update(Calibration(WIDTH, HEIGHT, (0.0,) * 9))
    assert source.camera_for(640, 480).matrix[0, 0] == pytest.approx(320.0) and source.state == CALIBRATED
    source.update(Calibration(WIDTH, HEIGHT, K))
    assert source.camera_for(640, 480).matrix[0, 0] == 500.0
    for fov in (0.0, 180.0, -5.0, float("nan")):
        with pytest.raises(InputError, match="field of view"):
            CameraSource(60.0, fov=fov)
