"""What a robot hand reads, as `fourdhands evaluate` measures it, and the grasps and pinches that it is measured on."""

import numpy as np
import pytest
import torch

from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, load_human_hand
from fourdhands_core.hand_model.limits import LOWER, UPPER, from_angles, joint_frames, to_angles
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.learning.evaluation.readings import Readings, finger_bends, gaps
from fourdhands_core.learning.landmark.grasps import grasp_poses
from fourdhands_core.learning.landmark.motion import MotionSampler


def posed(asset, angles):
    """Joints (N, 21, 3) of a right hand with angles (N, 15, 3)."""
    hand, zero = HandArrays([asset]), np.zeros((1, 10))
    frames = joint_frames(asset)
    return np.array([hand.joints(np.eye(3)[None], from_angles(a, frames)[None], zero)[0] for a in angles])


@pytest.fixture(scope="module", params=[load_generic_hand, load_human_hand], ids=["generic", "human"])
def grasping(request):
    asset = request.param()
    angles = grasp_poses(asset, 120, seed=4).double().numpy()
    return asset, angles, posed(asset, angles)


def both(joints):
    """(N, 2, 21, 3): the right hands (N, 21, 3) and their mirror images on the left."""
    return np.stack([joints * (-1.0, 1.0, 1.0), joints], 1)


def test_bends_of_either_side_are_the_joints_flexion():
    asset = load_generic_hand()
    angles = np.zeros((3, 15, 3))
    angles[1, [0, 3, 6, 9], 0], angles[2, [1, 4, 7, 10], 0] = np.radians(50.0), np.radians(70.0)
    hands = both(posed(asset, angles))
    for side in (LEFT, RIGHT):
        read = finger_bends(hands[:, side], side)
        np.testing.assert_allclose(read[1] - read[0], np.tile([50.0, 0.0], (4, 1)), atol=4.0)
        np.testing.assert_allclose(read[2] - read[0], np.tile([0.0, 70.0], (4, 1)), atol=4.0)


def test_the_truth_itself_is_read_without_error(grasping):
    hands, readings = both(grasping[2]), Readings()
    readings.add(hands, hands, np.ones(hands.shape[:2], bool))
    found = readings.summary()
    assert found["gap"] == found["mcp"] == found["pip"] == 0.0 and found["told"] == 100.0
    for name in ("mcp", "pip"):
        assert found[f"{name}_slope"] == 1.0 and found[f"{name}_intercept"] == 0.0 and found[f"{name}_correlation"] == 1.0


def test_fingers_that_shrink_towards_the_middle_show_as_a_slope(grasping):
    asset, angles, joints = grasping
    shrunk = angles.copy()
    shrunk[:, :12, 0] = 0.7 * angles[:, :12, 0] + np.radians(12.0)
    readings = Readings()
    readings.add(both(posed(asset, shrunk)), both(joints), np.ones((len(joints), 2), bool))
    found = readings.summary()
    assert found["pip_slope"] == pytest.approx(0.7, abs=0.02) and found["pip_intercept"] == pytest.approx(12.0, abs=1.5)
    assert found["mcp_slope"] == pytest.approx(0.7, abs=0.06) and found["pip_correlation"] > 0.99
    assert found["gap"] > 1.0


def test_a_thumb_that_keeps_away_from_the_fingers_closes_no_pinch(grasping):
    hands, readings = both(grasping[2]), Readings()
    away = hands.copy()
    away[:, :, 4] += 0.05 * (hands[:, :, 4] - hands[:, :, [8, 12, 16, 20]].mean(2)) + (0.0, 0.03, 0.0)
    readings.add(away, hands, np.ones(hands.shape[:2], bool))
    found = readings.summary()
    assert 10.0 < found["gap"] < 31.0 and found["told"] < 75.0 and found["closed_pinches"] > 30


def test_only_hands_that_are_chosen_and_found_count(grasping):
    hands, chosen = both(grasping[2]), np.zeros((len(grasping[2]), 2), bool)
    assert Readings().summary() == {}
    wrong, readings = hands + 1.0, Readings()
    wrong[:, LEFT] = np.nan
    chosen[:, LEFT] = True
    readings.add(wrong, hands, chosen)
    assert readings.summary() == {}


def test_grasps_close_pinches_reach_the_ends_and_stay_human(grasping):
    asset, angles, joints = grasping
    assert (angles >= LOWER - 1e-5).all() and (angles <= UPPER + 1e-5).all()
    distance = gaps(joints).min(1)
    assert 0.15 < (distance < 10.0).mean() < 0.5 and ((distance > 18.0) & (distance < 55.0)).mean() > 0.15
    bent = finger_bends(joints, RIGHT)[..., 1]
    ends, middles = ((bent < 15.0) | (bent > 80.0)).mean(), ((bent > 30.0) & (bent < 65.0)).mean()
    assert ends > 0.35 and middles > 0.15
    again = grasp_poses(asset, 120, seed=4).double().numpy()
    np.testing.assert_array_equal(again, angles)


def test_a_sampler_with_grasps_moves_between_them():
    times = torch.arange(30)[None].expand(12, 30) / 30.0
    asset = load_human_hand()
    motion = MotionSampler(11, grasps=1.0, asset=asset).sample(times)
    angles = to_angles(motion.rotations[:, 1, :, 1:].double().numpy(), joint_frames(asset)).reshape(-1, 15, 3)
    assert (angles >= LOWER - 1e-4).all() and (angles <= UPPER + 1e-4).all()
    assert (gaps(posed(asset, angles)).min(1) < 15.0).mean() > 0.1


def test_mirror_images_are_read_alike():
    angles = grasp_poses(load_human_hand(), 8, seed=2).double().numpy()
    right = posed(load_human_hand(), angles)
    left = right * (-1.0, 1.0, 1.0)
    np.testing.assert_allclose(finger_bends(left, LEFT), finger_bends(right, RIGHT), atol=1e-6)
    np.testing.assert_allclose(gaps(left), gaps(right), atol=1e-9)
