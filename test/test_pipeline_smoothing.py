"""The filters: no lag at constant velocity, less noise, and nothing carried over a reset."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fourdhands_core.pipeline.smoothing import ComplementaryFilter, PositionFilter, RotationFilter


def test_constant_turning_is_followed_without_lag():
    smooth = RotationFilter(0.5)
    for k in range(80):
        true = Rotation.from_rotvec([[0.0, 0.05 * k, 0.0], [0.03 * k, 0.0, 0.0]]).as_matrix()
        filtered = smooth.update(true, 1.0 / 30.0)
    assert filtered == pytest.approx(true, abs=1e-6)


def test_noise_is_reduced_and_rotations_stay_rotations():
    rng = np.random.default_rng(0)
    smooth = RotationFilter(0.6)
    raw, filtered = [], []
    for _ in range(300):
        noisy = Rotation.from_rotvec(rng.normal(0.0, 0.05, (4, 3))).as_matrix()
        raw.append(noisy)
        filtered.append(smooth.update(noisy, 1.0 / 30.0))
        assert filtered[-1] @ filtered[-1].swapaxes(-1, -2) == pytest.approx(np.tile(np.eye(3), (4, 1, 1)), abs=1e-9)
    assert np.std(np.diff(filtered, 2, axis=0)) < 0.5 * np.std(np.diff(raw, 2, axis=0))


def test_zero_memory_passes_everything():
    smooth = RotationFilter(0.0)
    for angle in (0.1, 2.0):
        true = Rotation.from_rotvec([[angle, 0.0, 0.0]]).as_matrix()
        assert (smooth.update(true, 0.03) == true).all()


@pytest.mark.parametrize("gaps", [[1], [2], [1, 3, 1, 5, 2]])
def test_position_prior_follows_constant_velocity_and_forgets_on_reset(gaps):
    """At whatever rate, and where images are missing."""
    prior, time = PositionFilter(1.0), 0
    assert prior.predict(0.03) is None
    for k in range(60):
        gap = gaps[k % len(gaps)]
        time += gap
        true = np.array([0.01 * time, 0.0, 0.5])
        predicted = prior.predict(gap / 30.0)
        if k > 30:
            assert predicted[0] == pytest.approx(true, abs=1e-3)
        measured = np.eye(3) * 1e6
        if predicted is None:
            prior.update(true, np.linalg.inv(measured))
        else:
            total = predicted[1] + measured
            prior.update(np.linalg.solve(total, predicted[1] @ predicted[0] + measured @ true), np.linalg.inv(total))
    prior.reset()
    assert prior.predict(0.03) is None


def test_a_covariance_stays_symmetric_in_a_long_run():
    """As a camera measures: ten times less exactly along its view, which turns."""
    prior, rng = PositionFilter(10.0), np.random.default_rng(0)
    for _ in range(300):
        predicted = prior.predict(1.0 / 30.0)
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        information = turn @ np.diag([1e6, 1e6, 1e4]) @ turn.T + (0.0 if predicted is None else predicted[1])
        prior.update(np.array([0.0, 0.0, 0.5]), np.linalg.inv(information))
        np.testing.assert_allclose(prior.covariance, prior.covariance.T, rtol=0.0, atol=1e-12)


def test_a_steady_and_a_prompt_measurement_make_one_that_is_neither_late_nor_off():
    steps, late, off = 200, 1, Rotation.from_rotvec([0.3, -0.1, 0.2])

    def true(k):
        return Rotation.from_rotvec([[0.0, 0.4 * np.sin(0.6 * k), 0.0]])

    both, errors = ComplementaryFilter(), []
    for k in range(steps):
        found = both.update(true(k - late).as_matrix(), (true(k) * off).as_matrix(), 1.0 / 30.0)
        errors.append((true(k).inv() * Rotation.from_matrix(found)).magnitude()[0])
    steady = max((true(k).inv() * true(k - late)).magnitude()[0] for k in range(steps))
    assert errors[0] == pytest.approx((true(0).inv() * true(-late)).magnitude()[0], abs=1e-9)
    assert np.abs(errors[50:]).max() < 0.7 * steady < 0.7 * off.magnitude()


def test_what_alternates_in_the_prompt_measurement_is_damped():
    both, found = ComplementaryFilter(), []
    for k in range(60):
        both_ways = Rotation.from_rotvec([[0.05 * (-1) ** k, 0.0, 0.0]]).as_matrix()
        found.append(both.update(np.eye(3)[None], both_ways, 1.0 / 30.0))
    angles = np.array([Rotation.from_matrix(rotation[0]).as_rotvec()[0] for rotation in found[20:]])
    assert np.abs(np.diff(angles, 2)).mean() < 0.45 * 4 * 0.05
    both.reset()
    assert (both.update(np.eye(3)[None], both_ways, 0.03) == np.eye(3)).all()


def angles_at(rate, turned, smooth):
    """What a filter makes of rotations about x by `turned(t)` radians in a second at a rate: {t: radians}."""
    found = {}
    for k in range(round(rate) + 1):
        rotation = Rotation.from_rotvec([[turned(k / rate), 0.0, 0.0]]).as_matrix()
        found[round(k / rate, 3)] = Rotation.from_matrix(smooth(rotation, 1.0 / rate)).as_rotvec()[0, 0]
    return found


@pytest.mark.parametrize("rate", [15.0, 30.0, 60.0, 120.0])
def test_filters_settle_in_the_same_time_at_whatever_rate(rate):
    """Settings are of seconds, not of frames: a slow camera brings no more lag, a quick one no less calm."""
    stepped = angles_at(rate, lambda t: 0.3 * (t > 0.0), RotationFilter(0.6).update)
    assert stepped[0.2] / 0.3 == pytest.approx(1.07, abs=0.04) and stepped[0.4] / 0.3 == pytest.approx(1.01, abs=0.01)
    turning = angles_at(rate, lambda t: t, RotationFilter(0.6).update)
    assert turning[0.6] == pytest.approx(0.6, abs=0.001)

    both = ComplementaryFilter()
    both.update(np.eye(3)[None], np.eye(3)[None], 0.0)
    off = angles_at(rate, lambda t: 0.2, lambda prompt, interval: both.update(np.eye(3)[None], prompt, interval))
    assert off[0.2] / 0.2 == pytest.approx(0.71, abs=0.05) and off[0.4] / 0.2 == pytest.approx(0.53, abs=0.05)
