"""Metrics against values worked out by hand and against independent formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from fourdhands_core.errors import InputError
from fourdhands_core.hand_model.skeleton import palm_length
from fourdhands_core.learning.evaluation import metrics
from fourdhands_core.learning.evaluation.scores import UNITS, HandFrames, Scores

SEEDS = st.integers(0, 2**31)


@pytest.fixture
def hand():
    return np.random.default_rng(3).normal(size=(5, 21, 3)) * 0.05


def test_mpjpe_ignores_a_shift_and_counts_millimetres(hand):
    moved = hand + [0.1, -0.2, 0.3]
    moved[:, 4, 1] += 0.021
    assert metrics.mpjpe(moved, hand) == pytest.approx(np.full(5, 1.0))


def test_pa_mpjpe_ignores_similarities_but_not_mirrors(hand):
    turn = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    assert metrics.pa_mpjpe(1.7 * hand @ turn.T + [0.1, 0.2, 0.3], hand).max() < 1e-9
    assert metrics.pa_mpjpe(hand * [-1, 1, 1], hand).min() > 1.0


def test_mrrpe_is_a_distance_in_millimetres():
    assert metrics.mrrpe(np.array([0.1, 0.0, 0.003]), np.array([0.1, 0.004, 0.0])) == pytest.approx(5.0)


def test_a_hands_length_is_that_of_its_middle_fingers_bones_however_it_is_bent(hand):
    hand[:, [0, 9, 10, 11, 12]] = np.array([[0, 0, 0], [0, 0.1, 0], [0, 0.1, 0.04], [0.03, 0.1, 0.04], [0.03, 0.1, 0.02]])
    assert metrics.hand_length(hand) == pytest.approx(np.full(5, 0.19))


def test_jitter_of_constant_velocity_is_zero_and_of_a_zigzag_twice_its_height(hand):
    steady = hand[:1] + np.linspace(0, 1, 30)[:, None, None] * (hand[1:2] - hand[:1])
    still = np.repeat(hand[:1], 30, axis=0)
    assert metrics.jitter(still) == 0.0
    assert metrics.jitter(steady) < 1e-12
    zigzag = still.copy()
    size = palm_length(hand[0])
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


def frames(seed, count=8, vertices=15):
    """Two hands in the camera's frame, metres."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(count, 2, 1, 3)) * 0.2 + [0, 0, 0.6]
    rotation = Rotation.random(2 * count, random_state=seed).as_matrix().reshape(count, 2, 3, 3)
    return HandFrames.in_camera(
        rng.normal(size=(count, 2, 21, 3)) * 0.05 + place, rng.normal(size=(count, 2, vertices, 3)) * 0.05 + place, rotation
    )


def scored(predicted, true, valid=None, **options):
    valid = np.ones(true.joints.shape[:2], bool) if valid is None else valid
    scores = Scores(frame_rate=30.0)
    scores.add(predicted, true, valid, **options)
    return scores


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(1e-3, 1e3))
def test_perfect_predictions_give_exactly_0_in_every_metric(seed, unit):
    true = frames(seed)
    true = HandFrames.in_camera(true.joints * unit, true.vertices * unit, true.wrist_rotation)
    summary = scored(true, true).summary()
    assert set(summary) == {*UNITS, "hands", "found", "pairs"}
    for name in UNITS:
        assert summary[name] == (1.0 if UNITS[name] == "0-1" else 0.0), name
    assert summary["hands"] == summary["found"] == 16 and summary["pairs"] == 8


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_a_shifted_prediction_is_wrong_in_the_wrist_alone(seed, shift):
    true = frames(seed)
    moved = HandFrames.in_camera(true.joints + shift, true.vertices + shift, true.wrist_rotation)
    summary = scored(moved, true).summary()
    assert summary.pop("wrist") == pytest.approx(1000.0 * np.linalg.norm(shift), abs=1e-9)
    for name in summary.keys() & UNITS.keys():
        if UNITS[name] == "0-1":  # rounding costs AUC the threshold 0
            assert summary[name] == pytest.approx(1.0, abs=0.6 / 99), name
        else:
            assert summary[name] == pytest.approx(0.0, abs=1e-6), name


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.5, 2.0))
def test_a_scaled_prediction_is_wrong_by_its_extent_until_it_is_scaled_back(seed, scale):
    true = frames(seed)
    big = HandFrames.in_camera(true.joints * scale, true.vertices * scale, true.wrist_rotation)
    summary = scored(big, true).summary()
    wrist = true.joints[:, :, :1]
    extent = 1000.0 * np.abs(scale - 1)
    assert summary["mpjpe"] == pytest.approx(extent * np.linalg.norm(true.joints - wrist, axis=-1).mean(), abs=1e-6)
    assert summary["mpvpe"] == pytest.approx(extent * np.linalg.norm(true.vertices - wrist, axis=-1).mean(), abs=1e-6)
    assert summary["mrrpe"] == pytest.approx(extent * np.linalg.norm(wrist[:, 0] - wrist[:, 1], axis=-1).mean(), abs=1e-6)
    assert summary["wrist"] == pytest.approx(extent * np.linalg.norm(wrist, axis=-1).mean(), abs=1e-6)
    for name in ("mpjpe_scaled", "mpvpe_scaled", "pa_mpjpe", "pa_mpvpe", "wrist_rotation"):
        assert summary[name] == pytest.approx(0.0, abs=1e-6), name


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_mirrored_prediction_is_wrong_by_twice_its_x(seed):
    true = frames(seed)
    mirror = np.array([-1.0, 1.0, 1.0])
    turned = mirror[:, None] * true.wrist_rotation * mirror
    summary = scored(HandFrames.in_camera(true.joints * mirror, true.vertices * mirror, turned), true).summary()
    x, wrist = true.joints[..., 0], true.joints[:, :, :1, 0]
    knuckle = true.joints[:, :, 9:10, 0]
    assert summary["mpjpe"] == pytest.approx(2000.0 * np.abs(x - wrist).mean())
    assert summary["mpjpe_scaled"] == pytest.approx(2000.0 * np.abs(x - knuckle).mean())
    assert summary["mpvpe"] == pytest.approx(2000.0 * np.abs(true.vertices[..., 0] - wrist).mean())
    assert summary["mrrpe"] == pytest.approx(2000.0 * np.abs(wrist[:, 0] - wrist[:, 1]).mean())
    assert summary["wrist"] == pytest.approx(2000.0 * np.abs(wrist).mean())
    second = np.diff(x - wrist, 2, axis=0)
    assert summary["accel"] == pytest.approx(2000.0 * np.abs(second).mean())
    assert summary["accel_per_second"] == pytest.approx(900.0 * summary["accel"])
    # a mirror about x on both sides turns the rotation's vector (a, b, c) into (a, -b, -c)
    before, after = (Rotation.from_matrix(r.reshape(-1, 3, 3)) for r in (true.wrist_rotation, turned))
    assert summary["wrist_rotation"] == pytest.approx(np.degrees((before.inv() * after).magnitude()).mean(), rel=1e-6)


def test_the_papers_scaling_against_intaghands_steps_one_by_one(hand):
    predicted, true = hand[:2], hand[2:4]
    expected = []
    for p, t in zip(predicted, true):
        length = np.sqrt(((t[9] - t[0]) ** 2).sum()) / np.sqrt(((p[9] - p[0]) ** 2).sum())
        expected.append(np.mean([1000 * np.sqrt(((length * (p[j] - p[9]) - (t[j] - t[9])) ** 2).sum()) for j in range(21)]))
    assert metrics.mpvpe_scaled(predicted, true, predicted, true) == pytest.approx(expected)
    assert metrics.mpvpe_scaled(predicted[:, :5], true[:, :5], predicted, true).shape == (2,)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_procrustes_agrees_with_scipy_wherever_no_mirror_is_involved(seed):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(21, 3))
    turn = Rotation.random(random_state=seed).as_matrix()
    predicted = 0.3 * true @ turn.T + 0.02 * rng.normal(size=(21, 3)) + 4.0
    p, t = predicted - predicted.mean(0), true - true.mean(0)
    rotation, trace = orthogonal_procrustes(p, t)
    expected = p @ rotation * trace / (p**2).sum() + true.mean(0)
    assert np.linalg.det(rotation) > 0
    assert metrics.procrustes(predicted, true) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.0, np.pi))
def test_rotation_error_is_the_angle_in_degrees(seed, angle):
    first = Rotation.random(random_state=seed)
    axis = np.random.default_rng(seed).normal(size=3)
    second = first * Rotation.from_rotvec(angle * axis / np.linalg.norm(axis))
    assert metrics.rotation_error(second.as_matrix(), first.as_matrix()) == pytest.approx(np.degrees(angle), abs=1e-5)


def auc(errors):
    return metrics.auc_of_curve(np.stack([(errors <= limit).mean(0) for limit in metrics.AUC_THRESHOLDS]))


def test_auc_against_loops_and_by_hand():
    rng = np.random.default_rng(0)
    errors = rng.uniform(0, 80, size=(40, 21))
    thresholds = np.linspace(0, 50, 100)
    curves = [[np.mean(errors[:, joint] <= limit) for limit in thresholds] for joint in range(21)]
    assert auc(errors) == pytest.approx(np.mean([trapezoid(curve, thresholds) for curve in curves]) / 50.0)
    assert auc(np.zeros((3, 21))) == 1.0 and auc(np.full((3, 21), 50.1)) == 0.0
    # errors of 20 mm: the curve steps from 0 to 1 between two thresholds around 20 mm
    assert auc(np.full((3, 21), 20.0)) == pytest.approx(0.6, abs=0.5 / 99)


def test_acceleration_error_by_hand(hand):
    true = np.repeat(hand[:1], 6, 0)
    predicted = true.copy()
    predicted[3, 7, 2] += 0.021  # one joint jumps for one frame: 1, -2, 1 times 21 mm over 21 joints
    assert metrics.acceleration_error(predicted, true) == pytest.approx([0.0, 1.0, 2.0, 1.0], abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_batches_of_any_size_give_the_numbers_of_one(seed, sizes):
    """Frame by frame, in batches or at once; with hands that are missing in the truth or in the prediction."""
    rng = np.random.default_rng(seed)
    count = sum(sizes) + 3
    true, predicted = frames(seed, count), frames(seed + 1, count)
    valid, joint_valid = rng.random((count, 2)) < 0.8, rng.random((count, 2, 21)) < 0.9
    joint_valid[: count // 2] = True
    predicted.joints[rng.random((count, 2)) < 0.1] = np.nan
    predicted.vertices[~np.isfinite(predicted.joints[..., 0, 0])] = np.nan

    def part(hands, rows):
        return HandFrames(*(value[rows] for value in vars(hands).values()))

    whole, split = Scores(30.0), Scores(30.0)
    for sequence in ("a", "b"):
        whole.add(predicted, true, valid, joint_valid, sequence)
    start = 0
    for size in (*sizes, 3):
        rows = slice(start, start + size)
        for sequence in ("a", "b"):  # two sequences by turns
            split.add(part(predicted, rows), part(true, rows), valid[rows], joint_valid[rows], sequence)
        start += size
    assert whole.report() == split.report()
    assert whole.summary("a") == split.summary("b")
    assert {**whole.summary(), "hands": 0, "found": 0, "pairs": 0} == pytest.approx(
        {**whole.summary("a"), "hands": 0, "found": 0, "pairs": 0}
    )


def test_scores_against_loops_over_every_hand():
    rng = np.random.default_rng(5)
    true, predicted = frames(1, 12), frames(2, 12)
    valid, joint_valid = rng.random((12, 2)) < 0.7, rng.random((12, 2, 21)) < 0.8
    true.joints[~joint_valid] = np.nan
    predicted.joints[3, 0] = np.nan
    summary = scored(predicted, true, valid, joint_valid=joint_valid).summary()
    single, aligned, pairs, hands = [], [], [], 0
    for t in range(12):
        whole = []
        for side in range(2):
            known = joint_valid[t, side]
            hands += bool(valid[t, side] and known[0])
            whole.append(valid[t, side] and known[0] and (t, side) != (3, 0))
            if whole[-1]:
                p, q = predicted.joints[t, side], true.joints[t, side]
                single.append(np.mean([1000 * np.linalg.norm((p[j] - p[0]) - (q[j] - q[0])) for j in np.flatnonzero(known)]))
                aligned.append(metrics.pa_mpjpe(p[known], q[known]))
        if all(whole):
            pairs.append(1000 * np.linalg.norm(predicted.left_root[t] - (true.joints[t, 0, 0] - true.joints[t, 1, 0])))
    assert summary["mpjpe"] == pytest.approx(np.mean(single)) and summary["pa_mpjpe"] == pytest.approx(np.mean(aligned))
    assert summary["mrrpe"] == pytest.approx(np.mean(pairs)) and summary["pairs"] == len(pairs)
    assert summary["hands"] == hands and summary["found"] == len(single) == hands - int(valid[3, 0] and joint_valid[3, 0, 0])


def test_a_frame_without_a_hand_takes_its_three_accelerations_with_it():
    true = frames(3, 9)
    predicted = frames(4, 9)
    valid = np.ones((9, 2), bool)
    valid[4, 0] = False
    scores = scored(predicted, true, valid)
    expected = metrics.acceleration_error(predicted.joints, true.joints)
    keep = np.ones((7, 2), bool)
    keep[2:5, 0] = False
    assert scores.summary()["accel"] == pytest.approx(expected[keep].mean())


def test_what_was_never_measured_is_left_out_and_misfits_are_named():
    true = frames(6)
    summary = scored(HandFrames(true.joints), HandFrames(true.joints)).summary()
    assert {"mpvpe", "mrrpe", "wrist", "wrist_rotation"}.isdisjoint(summary) and summary["mpjpe"] == 0.0
    assert Scores().summary() == {"hands": 0, "found": 0, "pairs": 0}
    with pytest.raises(InputError, match="do not fit"):
        scored(true, HandFrames(true.joints[:3]))
    with pytest.raises(InputError, match="no frames of sequence 'x'"):
        scored(true, true).summary("x")
