"""The most likely pose given the network's and the landmarks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fourdhands_core.geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_matrix
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.hand_model.landmarks import Landmarks, landmarks_at_joints, landmarks_of_both
from fourdhands_core.hand_model.limits import from_angles, joint_frames
from fourdhands_core.learning.landmark.detector_errors import LandmarkErrors
from fourdhands_core.pipeline.refine import corrected
from fourdhands_core.pipeline.refinement import SPREAD, PoseRefinement
from fourdhands_core.pipeline.tracker import TrackerSettings

HANDS = HandArrays(pair_of(load_generic_hand()))
FRAMES = joint_frames(load_generic_hand())
AXES = np.stack([np.array([[-1.0], [1.0], [1.0]]) * FRAMES, FRAMES])
LANDMARKS = landmarks_of_both(pair_of(load_generic_hand()))
REFINE = PoseRefinement(HANDS, AXES, LANDMARKS, iterations=8)
BETAS = np.zeros((2, 10))
WRISTS = np.array([[-0.1, 0.0, 0.5], [0.12, 0.02, 0.6]])


def seen(rotations, wrists=WRISTS, landmarks=LANDMARKS):
    """(2, 21, 2) where the detector sees the joints of both hands."""
    joints, bones = HANDS.joints_and_bones(rotations[:, 0], rotations[:, 1:], BETAS)
    placed = joints + landmarks.beside(bones) + wrists[:, None]
    return placed[..., :2] / placed[..., 2:]


def truth(seed):
    rng = np.random.default_rng(seed)
    angles = np.zeros((2, 15, 3))
    angles[..., 0] = rng.uniform(0.1, 0.8, (2, 15))
    rotations = np.concatenate([matrix_from_axis_angle(rng.normal(0.0, 0.8, (2, 1, 3))), from_angles(angles)], axis=1)
    rotations[0] = mirror_matrix(rotations[0])
    joints = HANDS.joints(rotations[:, 0], rotations[:, 1:], BETAS)
    return rotations, joints, seen(rotations), rng


def error(rotations, joints):
    return np.linalg.norm(HANDS.joints(rotations[:, 0], rotations[:, 1:], BETAS) - joints, axis=-1).mean()


@pytest.mark.parametrize("seed", range(4))
def test_true_landmarks_pull_a_wrong_pose_to_the_truth(seed):
    rotations, joints, rays, rng = truth(seed)
    wrong = rotations.copy()
    bend = np.zeros((2, 15, 3))
    bend[..., 0] = rng.normal(0.0, 0.25, (2, 15))
    bend = from_angles(bend)
    bend[0] = mirror_matrix(bend[0])
    wrong[:, 1:] = wrong[:, 1:] @ bend
    refined, wrists = REFINE(wrong, BETAS, rays, np.full((2, 21), 0.002), np.array([0, 1]))
    assert error(refined, joints) < 0.35 * error(wrong, joints)
    assert np.linalg.norm(wrists - WRISTS, axis=-1).max() < 0.01
    product = refined @ refined.swapaxes(-1, -2)
    assert product == pytest.approx(np.broadcast_to(np.eye(3), product.shape), abs=1e-9)


def test_the_truth_stays_and_vague_landmarks_change_nothing():
    rotations, joints, rays, _ = truth(9)
    both = np.array([0, 1])
    assert error(REFINE(rotations, BETAS, rays, np.full((2, 21), 0.01), both)[0], joints) < 1e-6
    vague, _ = REFINE(rotations, BETAS, rays + 0.02, np.full((2, 21), 1e4), both)
    assert vague == pytest.approx(rotations, abs=1e-4)


def test_a_hand_that_is_not_seen_stays_as_it_is():
    rotations, _, rays, _ = truth(3)
    refined, _ = REFINE(rotations, BETAS, rays + 0.01, np.full((2, 21), 0.01), np.array([1]))
    assert (refined[0] == rotations[0]).all() and not (refined[1] == rotations[1]).all()


def test_the_more_the_network_is_doubted_the_nearer_the_landmarks_are():
    rotations, joints, rays, rng = truth(5)
    sigma, both, left = np.full((2, 21), 0.02), np.array([0, 1]), []
    moved = rays + rng.normal(0.0, 0.02, rays.shape)
    for uncertainty in (1.0, 2.0, 4.0):
        refined, wrists = REFINE(rotations, BETAS, moved, sigma, both, np.array([uncertainty, uncertainty]))
        left.append(np.linalg.norm(seen(refined, wrists) - moved, axis=-1).mean())
    assert left[0] > left[1] > left[2]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 1.5))
def test_a_hand_is_where_it_is_wherever_on_it_landmarks_lie(seed, distance):
    """The true pose is the network's: of landmarks beside joints comes the true wrist; taken for joints they say another."""
    rotations, _, _, rng = truth(seed)
    wrists = np.array([[-0.1, 0.0, distance], [0.12, 0.02, distance]])
    beside = Landmarks(*rng.normal(0.0, 0.006, (2, 2, 21, 3)))
    off = []
    for landmarks in (beside, landmarks_at_joints()):
        refine = PoseRefinement(HANDS, AXES, landmarks)
        rays = seen(rotations, wrists, beside)
        refined, found = refine(rotations, BETAS, rays, np.full((2, 21), 0.01 / distance), np.array([0, 1]))
        off.append((np.linalg.norm(found - wrists, axis=-1).max(), np.abs(refined - rotations).max()))
    assert off[0][0] < 1e-4 and off[0][1] < 1e-4
    assert off[1][0] > 0.002


@pytest.mark.parametrize("seed", range(3))
def test_the_network_holds_the_pose_however_long_it_is_refined(seed):
    """What landmarks pull it to is a matter of how sure each is, not of how many steps are taken."""
    rotations, _, rays, rng = truth(seed)
    moved = rays + rng.normal(0.0, 0.03, rays.shape)
    turned = []
    for iterations in (4, 30):
        refine = PoseRefinement(HANDS, AXES, LANDMARKS, iterations=iterations)
        refined, _ = refine(rotations, BETAS, moved, np.full((2, 21), 0.1), np.array([0, 1]))
        turned.append(np.linalg.norm(refined - rotations, axis=(-1, -2)).mean())
    assert turned[1] == pytest.approx(turned[0], rel=0.05)


def test_one_wrong_landmark_moves_no_finger_far():
    rotations, joints, rays, _ = truth(2)
    wrong = rays.copy()
    wrong[:, 12] += 0.3
    refined, wrists = REFINE(rotations, BETAS, wrong, np.full((2, 21), 0.02), np.array([0, 1]))
    placed = HANDS.joints(refined[:, 0], refined[:, 1:], BETAS)
    others = [joint for joint in range(21) if not 9 <= joint <= 12]
    assert np.linalg.norm(placed - joints, axis=-1)[:, others].max() < 0.02
    assert np.linalg.norm(wrists - WRISTS, axis=-1).max() < 0.035


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 9), arrays(np.float64, (2, 21, 2), elements=st.floats(-1.0, 1.0)), st.floats(1e-4, 0.1))
def test_no_landmarks_throw_a_hand_about(seed, rays, sigma):
    """Two steps of 0.7 rad about each axis at most, and rotations that are rotations, whatever is seen."""
    rotations = truth(seed)[0]
    refine = PoseRefinement(HANDS, AXES, LANDMARKS)
    refined, wrists = refine(rotations, BETAS, rays, np.full((2, 21), sigma), np.array([0, 1]))
    product = refined @ refined.swapaxes(-1, -2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-9)
    turned = np.linalg.norm(axis_angle_from_matrix(rotations.swapaxes(-1, -2) @ refined), axis=-1)
    assert (turned <= 2 * 0.7 * np.sqrt(3.0) + 1e-9).all() and np.isfinite(wrists).all()


def test_landmarks_spread_as_the_measured_error_model_says():
    errors = LandmarkErrors.load()
    spread = np.sqrt((np.square(errors.slow).sum(1) + np.square(errors.fast).sum(1))[:42].reshape(21, 2).mean(1))
    assert SPREAD == pytest.approx(spread / spread.mean(), abs=0.01)
    assert TrackerSettings().landmark_error == pytest.approx(spread.mean(), abs=0.015)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_half_of_what_landmarks_change_comes_at_once(seed):
    rng = np.random.default_rng(seed)
    prompt, before, change = matrix_from_axis_angle(rng.normal(0.0, 0.5, (3, 16, 3)))
    np.testing.assert_allclose(corrected(prompt, before, before), prompt, atol=1e-9)
    after = before @ change
    half = axis_angle_from_matrix(np.swapaxes(prompt, -1, -2) @ corrected(prompt, before, after))
    np.testing.assert_allclose(half, 0.5 * axis_angle_from_matrix(change), atol=1e-9)
    twice = corrected(corrected(before, before, after), before, after)
    np.testing.assert_allclose(twice, after, atol=1e-9)
