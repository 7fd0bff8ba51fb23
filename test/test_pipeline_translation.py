"""Wrist positions in metres: exact on exact input, robust, and without a switch between one hand and two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.pipeline.translation import NEAREST, initial_translation, solve_translations

_rng = np.random.default_rng(0)
HANDS = _rng.normal(size=(2, 21, 3)) * [0.04, 0.04, 0.03]
HANDS -= HANDS[:, :1]
position = st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.25, 2.0))


def rays_of(wrists):
    points = HANDS[: len(wrists)] + np.asarray(wrists)[:, None]
    return points[..., :2] / points[..., 2:]


@settings(max_examples=50, deadline=None)
@given(position, position)
def test_exact_rays_give_the_true_wrists(left, right):
    truth = np.array([left, right])
    solved, covariance = solve_translations(HANDS, rays_of(truth), np.full((2, 21), 0.01))
    assert solved == pytest.approx(truth, abs=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > 0.0


@pytest.mark.parametrize(
    "model, coefficients",
    [
        ("", []),
        ("plumb_bob", [-0.3, 0.1, 0.001, -0.002, 0.0]),
        ("rational_polynomial", [0.2, -0.1, 0.0, 0.001, 0.01, 0.1, 0.02, 0.0]),
        ("equidistant", [0.02, -0.01, 0.0, 0.0]),
    ],
)
def test_true_wrist_through_every_lens(model, coefficients):
    camera = Camera(640, 480, np.array([[450.0, 0, 310], [0, 460, 250], [0, 0, 1]]), model, np.array(coefficients))
    truth = np.array([[0.08, -0.05, 0.6]])
    pixels = camera.project(HANDS[:1] + truth[:, None])
    solved, _ = solve_translations(HANDS[:1], camera.unproject(pixels), np.full((1, 21), 0.01))
    assert solved == pytest.approx(truth, abs=1e-5)


def test_one_wrong_landmark_moves_the_wrist_little():
    truth = np.array([[0.1, 0.0, 0.5]])
    rays = rays_of(truth)
    rays[0, 8] += 0.3
    solved, _ = solve_translations(HANDS[:1], rays, np.full((1, 21), 0.005))
    assert np.linalg.norm(solved - truth) < 0.01


def test_low_weight_landmarks_count_less():
    truth = np.array([[0.0, 0.0, 0.5]])
    rays = rays_of(truth)
    rays[0, 1:6] += 0.01
    sigma = np.full((1, 21), 0.01)
    equal, _ = solve_translations(HANDS[:1], rays, sigma)
    sigma[0, 1:6] = 0.1
    weighted, _ = solve_translations(HANDS[:1], rays, sigma)
    assert np.linalg.norm(weighted - truth) < 0.2 * np.linalg.norm(equal - truth)


def test_relative_root_binds_both_hands_as_its_sigma_says():
    truth = np.array([[-0.1, 0.0, 0.5], [0.1, 0.0, 0.5]])
    rays = rays_of(truth)
    wanted = np.array([-0.2, 0.0, 0.05])
    gaps = []
    for sigma in (1e-4, 0.02, 10.0):
        solved, _ = solve_translations(HANDS, rays, np.full((2, 21), 0.01), relative=(wanted, sigma))
        gaps.append((solved[0] - solved[1])[2])
    assert gaps[0] == pytest.approx(0.05, abs=1e-3)
    assert gaps[2] == pytest.approx(0.0, abs=1e-3)
    assert gaps[0] > gaps[1] > gaps[2]


def test_wrists_move_steadily_as_hands_approach_cross_and_part():
    previous = None
    for x in np.linspace(-0.2, 0.2, 401):
        truth = np.array([[x, 0.0, 0.5], [-x, 0.01, 0.55]])
        solved, _ = solve_translations(
            HANDS, rays_of(truth), np.full((2, 21), 0.01), relative=(truth[0] - truth[1] + 0.02, 0.01 + 0.1 * abs(x))
        )
        if previous is not None:
            assert np.abs(solved - previous).max() < 0.003
        previous = solved


def test_a_tight_prior_holds_against_the_rays_and_a_loose_one_does_not():
    truth = np.array([[0.0, 0.0, 0.5]])
    for information, expected in ((1e9, 0.6), (1e-6, 0.5)):
        solved, _ = solve_translations(
            HANDS[:1],
            rays_of(truth),
            np.full((1, 21), 0.01),
            prior=(np.array([[0.0, 0.0, 0.6]]), information * np.eye(3)[None]),
        )
        assert solved[0, 2] == pytest.approx(expected, abs=1e-3)


any_rays = arrays(np.float64, (2, 21, 2), elements=st.floats(-3.0, 3.0))


@settings(max_examples=200, deadline=None)
@given(any_rays | position.map(lambda place: -rays_of([place, place])), st.floats(1e-4, 1.0))
def test_no_wrist_is_behind_the_camera_whatever_the_landmarks(rays, sigma):
    """Hands upside down, inside out, or no hands at all; the first guess has all joints in front of it."""
    start = initial_translation(HANDS, rays, np.ones((2, 21)))
    assert (start[:, None, 2] + HANDS[..., 2] > NEAREST - 1e-9).all()
    for prior in (None, (np.array([[0.0, 0.0, -1.0]] * 2), np.tile(1e4 * np.eye(3), (2, 1, 1)))):
        solved, covariance = solve_translations(HANDS, rays, np.full((2, 21), sigma), prior=prior)
        assert (solved[:, 2] > NEAREST - 1e-9).all() and np.isfinite(solved).all() and np.isfinite(covariance).all()


@settings(max_examples=50, deadline=None)
@given(position, st.floats(0.001, 0.1), st.floats(0.001, 0.1))
def test_covariance_is_of_all_that_is_known(place, sigma, known):
    """The past and the landmarks together leave less uncertainty than either alone, and what information there is adds up."""
    truth = np.array([place])
    prior = truth, np.eye(3)[None] / known**2
    alone = solve_translations(HANDS[:1], rays_of(truth), np.full((1, 21), sigma))[1][0]
    both = solve_translations(HANDS[:1], rays_of(truth), np.full((1, 21), sigma), prior=prior)[1][0]
    np.testing.assert_allclose(np.linalg.inv(both), np.linalg.inv(alone) + prior[1][0], rtol=1e-4, atol=1e-6 / known**2)
