"""Cameras of every lens that CameraInfo knows: pixels, rays, sizes, mirrors."""

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera

WIDTH, HEIGHT = 640, 480
K = (500.0, 0.0, 310.0, 0.0, 505.0, 250.0, 0.0, 0.0, 1.0)
P = (430.0, 0.0, 330.0, 0.0, 0.0, 440.0, 235.0, 0.0, 0.0, 0.0, 1.0, 0.0)
D = (-0.3, 0.1, 0.001, -0.002, 0.02)
CORNERS = np.array([[0.0, 0.0], [WIDTH - 1.0, 0.0], [0.0, HEIGHT - 1.0], [WIDTH - 1.0, HEIGHT - 1.0]])


def small(bound):
    return st.floats(-bound, bound)


LENSES = st.one_of(
    st.just(("", ())),
    st.tuples(st.just("plumb_bob"), st.tuples(small(0.4), small(0.2), small(0.003), small(0.003), small(0.05))),
    st.tuples(st.just("plumb_bob"), st.tuples(small(0.4), small(0.2), small(0.003), small(0.003))),
    st.tuples(
        st.just("rational_polynomial"),
        st.tuples(small(0.4), small(0.2), small(0.003), small(0.003), small(0.05), small(0.4), small(0.2), small(0.05)),
    ),
    st.tuples(st.just("equidistant"), st.tuples(small(0.05), small(0.05), small(0.02), small(0.02))),
)


@st.composite
def cameras(draw):
    """Cameras with whatever lens, focal lengths of 50 to 110 degrees and the principal point off the middle."""
    focal, (model, d) = draw(st.floats(230.0, 800.0)), draw(LENSES)
    matrix = [
        [focal, 0.0, 320.0 + draw(small(40.0))],
        [0.0, focal * draw(st.floats(0.95, 1.05)), 240.0 + draw(small(40.0))],
        [0.0, 0.0, 1.0],
    ]
    try:
        return Camera(WIDTH, HEIGHT, matrix, model, d)
    except InputError:  # a few lenses leave no image
        reject()


pixel = st.tuples(st.floats(-30.0, WIDTH + 30.0), st.floats(-30.0, HEIGHT + 30.0))


def of(camera, points):
    """The same pixels in the image that `resized` is of: centres at integers."""
    return lambda width, height: (points + 0.5) * [width / camera.width, height / camera.height] - 0.5


def project_rays(camera, rays):
    return camera.project(np.concatenate([rays, np.ones((*rays.shape[:-1], 1))], axis=-1))


# Camera


@settings(max_examples=300, deadline=None)
@given(cameras(), st.lists(pixel, min_size=1, max_size=8))
def test_a_pixel_comes_back_from_its_ray_or_has_none(camera, pixels):
    """What a lens maps nothing to, as a polynomial leaves in corners, has no ray rather than a wrong one."""
    pixels = np.array(pixels)
    rays = camera.unproject(pixels)
    seen = camera.sees(rays)
    assert (seen == np.isfinite(rays).all(axis=-1)).all()
    np.testing.assert_allclose(project_rays(camera, rays[seen]), pixels[seen], atol=0.75)
    inner = seen & (np.linalg.norm(rays, axis=-1) < 0.8 * camera.widest)
    np.testing.assert_allclose(project_rays(camera, rays[inner]), pixels[inner], atol=0.01)


@settings(max_examples=300, deadline=None)
@given(cameras(), st.floats(0.0, 0.9), st.floats(0.0, 2 * np.pi), st.floats(0.1, 5.0))
def test_a_point_comes_back_from_its_pixel(camera, share, angle, depth):
    """Up to where the distortion folds back, in the directions that the image shows."""
    radius = share * min(camera.widest, 1.2)
    ray = radius * np.array([np.cos(angle), np.sin(angle)])
    pixel = camera.project(depth * np.append(ray, 1.0))
    assume((pixel > -1.0).all() and (pixel < (WIDTH, HEIGHT)).all())
    np.testing.assert_allclose(camera.unproject(pixel), ray, atol=1e-3)


@pytest.mark.parametrize(
    "model, d, corner",
    [
        ("plumb_bob", (-0.5, 0.0, 0.0, 0.0), False),
        ("plumb_bob", (-0.3, 0.1, 0.0, 0.0, 0.0), True),
        ("rational_polynomial", (-0.4, -0.1, 0, 0, 0, -0.2, -0.1, 0), False),
        ("equidistant", (-0.3, -0.1, 0.0, 0.0), False),
        ("equidistant", (0.05, 0.01, 0.0, 0.0), True),
        ("plumb_bob", (0.1, -0.3, 0.0, 0.0, 0.0), False),
    ],
)
def test_corners_beyond_the_fold_have_no_ray(model, d, corner):
    camera = Camera(WIDTH, HEIGHT, [[420.0, 0, 319.5], [0, 420.0, 239.5], [0, 0, 1]], model, d)
    assert (camera.sees(camera.unproject(CORNERS)) == corner).all()
    middle = np.array([[300.0, 220.0], [340.0, 260.0]])
    assert camera.sees(camera.unproject(middle)).all()
    if not corner:  # a little before the fold it is still true, and at the fold the image stops moving outwards
        radii = camera.widest * np.array([0.98, 0.99, 1.0, 1.01, 1.02])
        out = project_rays(camera, np.stack([radii, 0 * radii], -1))[:, 0]
        assert out[0] < out[1] < out[2] and out[3] < out[2]


@settings(max_examples=50, deadline=None)
@given(pixel)
def test_pixels_that_are_no_rectangles(seen):
    """A skewed K is applied in both directions."""
    camera = Camera(WIDTH, HEIGHT, [[500.0, 9.0, 310.0], [0.0, 505.0, 250.0], [0.0, 0.0, 1.0]])
    ray = np.append(camera.unproject(np.array(seen)), 1.0)
    np.testing.assert_allclose((camera.matrix @ ray)[:2], seen, atol=1e-9)
    np.testing.assert_allclose(camera.project(2.0 * ray), seen, atol=1e-9)


def test_points_behind_the_camera_have_no_pixel():
    for model, d in (("", ()), ("plumb_bob", D), ("equidistant", (0.1, 0.0, 0.0, 0.0))):
        pixels = Camera(WIDTH, HEIGHT, np.reshape(K, (3, 3)), model, d).project(
            [[0.1, 0.1, -1.0], [0.1, 0.1, 0.0], [0.0, 0.0, 1.0]]
        )
        assert np.isnan(pixels[:2]).all()
        np.testing.assert_allclose(pixels[2], [310.0, 250.0])


@settings(max_examples=100, deadline=None)
@given(cameras(), st.integers(50, 1300), st.integers(50, 1300), st.tuples(small(0.2), small(0.2), st.floats(0.5, 2.0)))
def test_a_resized_image_shows_a_point_where_the_picture_has_it(camera, width, height, point):
    point = np.array(point)
    assume(np.linalg.norm(point[:2] / point[2]) < camera.widest)
    moved = of(camera, camera.project(point))(width, height)
    resized = camera.resized(width, height)
    np.testing.assert_allclose(resized.project(point), moved, atol=1e-6)
    back = resized.resized(WIDTH, HEIGHT)
    np.testing.assert_allclose(back.matrix, camera.matrix, atol=1e-9)
    assert resized.calibrated == camera.calibrated and camera.resized(WIDTH, HEIGHT) is camera


TILTED = Camera(
    WIDTH, HEIGHT, np.reshape(K, (3, 3)), "rational_polynomial", (*D, 0.1, 0.02, 0.01, 0.01, -0.02, 0.015, 0.01, 0.03, -0.02)
)
SKEWED = Camera(WIDTH, HEIGHT, [[500.0, 9.0, 310.0], [0.0, 505.0, 250.0], [0.0, 0.0, 1.0]])
"""Which OpenCV knows of no distorting lens."""


@settings(max_examples=100, deadline=None)
@given(cameras() | st.just(TILTED) | st.just(SKEWED), st.tuples(small(0.3), small(0.3), st.floats(0.5, 2.0)))
def test_a_mirrored_image_shows_the_mirrored_world(camera, point):
    point = np.array(point)
    x, y = camera.project(point)
    mirrored = camera.mirrored()
    np.testing.assert_allclose(mirrored.project(point * [-1, 1, 1]), [WIDTH - 1 - x, y], atol=1e-6)
    np.testing.assert_allclose(mirrored.unproject([WIDTH - 1 - x, y]), camera.unproject([x, y]) * [-1, 1], atol=1e-6)
    assert mirrored.mirrored().is_like(camera) and mirrored.widest == camera.widest


@settings(max_examples=100, deadline=None)
@given(cameras(), st.integers(50, 1300), st.integers(50, 1300), st.floats(0.02, 0.5), st.sampled_from([0, 1]))
def test_is_like_knows_a_lens_at_every_resolution_and_no_other(camera, width, height, change, axis):
    resized = camera.resized(width, height)
    assert camera.is_like(resized) and resized.is_like(camera)
    for place in ((axis, axis), (axis, 2)):
        matrix = camera.matrix.copy()
        matrix[place] += change * matrix[place] if place[0] == place[1] else 0.011 * (WIDTH, HEIGHT)[axis]
        if place[0] == place[1]:
            assume(change * camera.matrix[place] / (WIDTH, HEIGHT)[axis] > 0.011)
        other = Camera(WIDTH, HEIGHT, matrix, camera.distortion_model, camera.distortion)
        assert not camera.is_like(other) and not other.is_like(camera)
    assert not camera.is_like(
        Camera(WIDTH, HEIGHT, camera.matrix, camera.distortion_model, camera.distortion, calibrated=False)
    )
    assert not camera.is_like(Camera(WIDTH, HEIGHT, camera.matrix, "plumb_bob", [0.5, 0, 0, 0]))


@settings(max_examples=100, deadline=None)
@given(st.integers(16, 4000), st.integers(16, 4000), st.floats(5.0, 160.0))
def test_a_field_of_view_ends_at_the_borders_of_the_image(width, height, fov):
    camera = Camera.from_fov(width, height, fov)
    half = np.tan(np.radians(fov) / 2)
    edges = camera.unproject(np.array([[-0.5, (height - 1) / 2], [width - 0.5, (height - 1) / 2]]))
    np.testing.assert_allclose(edges, [[-half, 0.0], [half, 0.0]], atol=1e-9)
    assert camera.matrix[0, 0] == camera.matrix[1, 1] and not camera.calibrated
    assert Camera.from_fov(width, height, fov, calibrated=True).calibrated


@pytest.mark.parametrize("calibrated", [True, False])
def test_an_assumed_lens_stays_an_assumed_one(calibrated):
    """At another resolution or in the mirror, positions have no more of a scale than before."""
    camera = Camera.from_fov(WIDTH, HEIGHT, 60.0, calibrated)
    for other in (camera, camera.resized(320, 240), camera.mirrored(), camera.mirrored().resized(100, 75)):
        assert other.calibrated == calibrated


def test_what_a_lens_sees():
    assert Camera.sees(np.array([[0.0, 0.0], [5.0, -5.0], [1e4, 0.0], [0.0, -1e6], [np.nan, 0.0], [0.0, np.inf]])).tolist() == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
