"""Metrics against values worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fourdhands_core.learning import metrics


@pytest.fixture
def hand():
    return np.random.default_rng(3).normal(size=(5, 21, 3)) * 0.05


def test_perfect_predictions_give_zero(hand):
    assert (metrics.mpjpe(hand, hand) == 0.0).all()
    assert metrics.pa_mpjpe(hand, hand).max() < 1e-9
    assert (metrics.mrrpe(hand[:, 0], hand[:, 0]) == 0.0).all()


def test_mpjpe_ignores_a_shift_and_counts_millimetres(hand):
    moved = hand + [0.1, -0.2, 0.3]
    moved[:, 4, 1] += 0.021
    assert metrics.mpjpe(moved, hand) == pytest.approx(np.full(5, 1.0))


def test_mpjpe_of_a_mirrored_and_a_scaled_hand(hand):
    relative = hand - hand[:, :1]
    mirrored = metrics.mpjpe(hand * [-1, 1, 1], hand)
    assert mirrored == pytest.approx(2000.0 * np.abs(relative[..., 0]).mean(-1))
    scaled = metrics.mpjpe(1.1 * hand, hand)
    assert scaled == pytest.approx(100.0 * np.linalg.norm(relative, axis=-1).mean(-1))


def test_pa_mpjpe_ignores_similarities_but_not_mirrors(hand):
    turn = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    assert metrics.pa_mpjpe(1.7 * hand @ turn.T + [0.1, 0.2, 0.3], hand).max() < 1e-9
    assert metrics.pa_mpjpe(hand * [-1, 1, 1], hand).min() > 1.0


def test_mrrpe_is_a_distance_in_millimetres():
    assert metrics.mrrpe(np.array([0.1, 0.0, 0.003]), np.array([0.1, 0.004, 0.0])) == pytest.approx(5.0)


def test_jitter_of_constant_velocity_is_zero_and_of_a_zigzag_twice_its_height(hand):
    steady = hand[:1] + np.linspace(0, 1, 30)[:, None, None] * (hand[1:2] - hand[:1])
    still = np.repeat(hand[:1], 30, axis=0)
    assert metrics.jitter(still) == 0.0
    assert metrics.jitter(steady) < 1e-12
    zigzag = still.copy()
    size = metrics.hand_size(hand[0])
    zigzag[::2, 1:, 2] += 0.01 * size
    zigzag[:, 9] = still[:, 9]  # the joint that measures the hand
    assert metrics.jitter(zigzag) == pytest.approx(0.02 * 19 / 20, rel=1e-6)


@pytest.mark.parametrize("delay", [0.0, 0.4, 1.0, 2.5])
def test_lag_finds_a_delay_between_frames(hand, delay):
    def at(times):
        waves = np.sin(np.outer(times, [0.11, 0.23, 0.31]) + [0.0, 1.0, 2.0])
        return hand[0] + 0.02 * waves[:, None, :] * np.linspace(0, 1, 21)[:, None]

    times = np.arange(300.0)
    assert metrics.lag(at(times - delay), at(times)) == pytest.approx(delay, abs=0.05)


def test_lag_and_jitter_skip_missing_frames(hand):
    times = np.arange(200.0)
    joints = hand[0] + 0.02 * np.sin(0.2 * times)[:, None, None] * np.linspace(0, 1, 21)[:, None]
    missing = joints.copy()
    missing[50:60] = np.nan
    assert np.isfinite(metrics.jitter(missing))
    assert metrics.lag(missing, joints) == pytest.approx(0.0, abs=0.05)
