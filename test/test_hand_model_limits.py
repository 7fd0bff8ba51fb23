"""Joint angles: what they mean, that they invert, and what the clamp keeps and bounds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model import limits
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, mirror
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, MANO_JOINT_NAMES

any_pose = arrays(np.float64, (15, 3), elements=st.floats(-3.1, 3.1)).map(matrix_from_axis_angle)
shares = arrays(np.float64, (15, 3), elements=st.floats(0.0, 1.0))


def joints_of(angles):
    """(21, 3) of the generic right hand at joint angles (15, 3)."""
    hand = HandArrays([load_generic_hand()])
    return hand.joints(np.eye(3)[None], limits.from_angles(angles)[None], np.zeros((1, 10)))[0]


def moved(name, angle_index, degrees):
    """How the tip of the finger of joint `name` moves when one of the joint's angles is set."""
    angles = np.zeros((15, 3))
    tip = JOINT_NAMES.index(name[:-1] + "4")
    rest = joints_of(angles)[tip]
    angles[MANO_JOINT_NAMES.index(name) - 1, angle_index] = np.radians(degrees)
    return joints_of(angles)[tip] - rest


@pytest.mark.parametrize("name", [name for name in MANO_JOINT_NAMES[1:] if not name.startswith("thumb")])
def test_flexion_curls_toward_the_palm(name):
    step = moved(name, 0, 60)
    assert step[1] < -0.010 and step[0] > 0 and abs(step[2]) < 0.012


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "little"])
def test_abduction_moves_toward_the_thumb(finger):
    step = moved(f"{finger}_1", 1, 20)
    assert step[2] > 0.015 and abs(step[1]) < 1e-6


def test_thumb_flexes_across_the_palm_and_abducts_away_from_it():
    flexed, abducted = moved("thumb_1", 0, 40), moved("thumb_1", 1, 30)
    assert flexed[1] < -0.02 and flexed[2] < -0.03
    assert abducted[1] < -0.03


@pytest.mark.parametrize("name", [name for name in MANO_JOINT_NAMES if name.endswith("3")])
def test_twist_leaves_the_bone_where_it_is(name):
    np.testing.assert_allclose(moved(name, 2, 30), 0.0, atol=1e-6)


@given(shares)
def test_angles_inside_the_limits_come_back(share):
    angles = limits.LOWER + share * (limits.UPPER - limits.LOWER)
    rotations = limits.from_angles(angles)
    np.testing.assert_allclose(limits.to_angles(rotations), angles, atol=1e-9)
    np.testing.assert_allclose(limits.clamp(rotations), rotations, atol=1e-9)


@given(any_pose)
def test_clamped_pose_is_inside_and_stays(pose):
    clamped = limits.clamp(pose)
    angles = limits.to_angles(clamped)
    assert (angles >= limits.LOWER - 1e-9).all() and (angles <= limits.UPPER + 1e-9).all()
    np.testing.assert_allclose(limits.clamp(clamped), clamped, atol=1e-12)
    np.testing.assert_allclose(clamped @ clamped.swapaxes(-1, -2), np.broadcast_to(np.eye(3), (15, 3, 3)), atol=1e-12)


@settings(max_examples=200)
@given(any_pose, arrays(np.float64, (15, 3), elements=st.floats(-1e-4, 1e-4)))
def test_clamp_is_continuous(pose, change):
    nearby = pose @ matrix_from_axis_angle(change)
    difference = np.linalg.norm(limits.clamp(nearby) - limits.clamp(pose), axis=(-1, -2))
    assert (difference <= 20.0 * np.linalg.norm(nearby - pose, axis=(-1, -2)) + 1e-12).all()


def test_clamp_beyond_an_end_gives_that_end():
    angles = np.zeros((15, 3))
    angles[:, 0] = np.radians(125)
    np.testing.assert_allclose(limits.to_angles(limits.clamp(limits.from_angles(angles)))[:, 0], limits.UPPER[:, 0])
    angles[:, 0] = np.radians(-60)
    np.testing.assert_allclose(limits.to_angles(limits.clamp(limits.from_angles(angles)))[:, 0], limits.LOWER[:, 0])


@settings(max_examples=20)
@given(any_pose)
def test_torch_agrees_and_batches(pose):
    angles = limits.to_angles(pose)
    tensor = torch.from_numpy(np.stack([pose, pose]))
    np.testing.assert_allclose(limits.to_angles(tensor)[1].numpy(), angles, atol=1e-9)
    rotations = limits.from_angles(torch.from_numpy(angles))
    np.testing.assert_allclose(rotations.numpy(), limits.from_angles(angles), atol=1e-12)


def test_left_hand_has_the_frames_of_its_mirrored_right():
    right = load_generic_hand()
    np.testing.assert_allclose(limits.joint_frames(mirror(right)), limits.joint_frames(right))


def test_frames_are_right_handed_rotations():
    frames = limits.joint_frames(load_generic_hand())
    np.testing.assert_allclose(frames.swapaxes(-1, -2) @ frames, np.broadcast_to(np.eye(3), (15, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(frames), 1.0)
