"""The torch layer and the numpy arrays against smplx, against each other, and left against right."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from smplx.lbs import lbs

from fourdhands_core.geometry.rotations import matrix_from_axis_angle, mirror_matrix
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, mirror
from fourdhands_core.hand_model.layer import HandLayer
from fourdhands_core.hand_model.skeleton import FINGERS, FINGERTIP_VERTICES, JOINT_NAMES, MANO_IN_21, TIP_JOINTS


@pytest.fixture(scope="module")
def right():
    return load_generic_hand()


def random_pose(seed, *batch):
    rng = np.random.default_rng(seed)
    return (
        matrix_from_axis_angle(rng.normal(size=batch + (3,))),
        matrix_from_axis_angle(0.6 * rng.normal(size=batch + (15, 3))),
        rng.normal(size=batch + (10,)),
    )


def tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


def test_layer_is_smplx_with_the_wrist_at_the_origin(right):
    orient, pose, betas = random_pose(0, 4)
    vertices, joints = HandLayer(right, torch.float64)(*tensors(orient, pose, betas))
    t = {key: torch.from_numpy(getattr(right, key)) for key in ("v_template", "shapedirs", "J_regressor", "weights")}
    expected, bones = lbs(
        torch.from_numpy(betas),
        torch.from_numpy(np.concatenate([orient[:, None], pose], 1)),
        t["v_template"],
        t["shapedirs"],
        torch.from_numpy(right.posedirs.reshape(-1, 135).T.copy()),
        t["J_regressor"],
        torch.from_numpy(right.parents),
        t["weights"],
        pose2rot=False,
    )
    np.testing.assert_allclose(vertices, expected - bones[:, :1], atol=1e-12)
    np.testing.assert_allclose(joints[:, MANO_IN_21], bones - bones[:, :1], atol=1e-12)
    tips = [FINGERTIP_VERTICES[finger] for finger in FINGERS]
    np.testing.assert_allclose(joints[:, TIP_JOINTS], vertices[:, tips], atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_numpy_agrees_with_the_layer(seed):
    right = load_generic_hand()
    hands = (mirror(right), right)
    orient, pose, betas = random_pose(seed, 3, 2)
    arrays = HandArrays(hands)
    joints, vertices = arrays.joints(orient, pose, betas), arrays.vertices(orient, pose, betas)
    for side, hand in enumerate(hands):
        truth = HandLayer(hand)(*(t.float() for t in tensors(orient[:, side], pose[:, side], betas[:, side])))
        np.testing.assert_allclose(vertices[:, side], truth[0], atol=1e-5)
        np.testing.assert_allclose(joints[:, side], truth[1], atol=1e-5)


def test_left_is_the_mirror_of_right(right):
    orient, pose, betas = random_pose(1, 1)
    mirrored_orient, mirrored_pose = mirror_matrix(orient), mirror_matrix(pose)
    left = HandArrays([mirror(right)])
    expected, mirrored = HandArrays([right]), (-1.0, 1.0, 1.0)
    np.testing.assert_allclose(
        left.vertices(mirrored_orient, mirrored_pose, betas),
        expected.vertices(orient, pose, betas) * (-1.0, 1.0, 1.0),
        atol=1e-12,
    )
    np.testing.assert_allclose(
        left.joints(mirrored_orient, mirrored_pose, betas), expected.joints(orient, pose, betas) * mirrored, atol=1e-12
    )


def test_first_axis_of_a_pose_moves_its_own_finger_alone(right):
    hand = HandArrays([right])
    rest = hand.joints(np.eye(3)[None], np.broadcast_to(np.eye(3), (1, 15, 3, 3)), np.zeros((1, 10)))[0]
    for mano, joint in enumerate(MANO_IN_21[1:]):
        pose = np.zeros((1, 15, 3))
        pose[0, mano] = 0.4, 0.5, 0.6
        posed = hand.joints(np.eye(3)[None], matrix_from_axis_angle(pose), np.zeros((1, 10)))[0]
        finger = JOINT_NAMES[joint][:-2]
        changed = {JOINT_NAMES[i] for i in np.flatnonzero(np.linalg.norm(posed - rest, axis=1) > 1e-9)}
        assert changed == {f"{finger}_{i}" for i in range(int(JOINT_NAMES[joint][-1]) + 1, 5)}


def test_layer_passes_gradients(right):
    orient, pose, betas = tensors(*random_pose(3, 2))
    for value in (orient, pose, betas):
        value.requires_grad_()
    vertices, joints = HandLayer(right, torch.float64)(orient, pose, betas)
    (vertices.square().sum() + joints.square().sum()).backward()
    assert all(torch.isfinite(value.grad).all() and value.grad.abs().sum() > 0 for value in (orient, pose, betas))


def test_faces_look_outward_on_both_sides(right):
    for hand in (right, mirror(right)):
        a, b, c = (hand.v_template[hand.faces[:, i]] for i in range(3))
        assert (a * np.cross(b, c)).sum() / 6.0 > 2e-4
