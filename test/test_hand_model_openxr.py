"""The hand as OpenXR has it, against the model's own geometry."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourdhands_core.geometry.rotations import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    mirror_axis_angle,
)
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, mirror
from fourdhands_core.hand_model.limits import LOWER, UPPER, from_angles
from fourdhands_core.hand_model.openxr import OPENXR_JOINTS, openxr_poses
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, LEFT, RIGHT

HANDS = {RIGHT: HandArrays([load_generic_hand()]), LEFT: HandArrays([mirror(load_generic_hand())])}
MISSING = {f"{finger}_metacarpal" for finger in ("index", "middle", "ring", "little")}
MIRROR = np.diag([-1.0, 1.0, 1.0])


def posed(pose, orient=(0.0, 0.0, 0.0), side=RIGHT):
    """By OpenXR's names (place (3,), rotation (3, 3)), and the 21 joints by ours."""
    rotation = matrix_from_axis_angle(np.array(orient))
    local = matrix_from_axis_angle(np.reshape(pose, (1, 15, 3)))
    joints = HANDS[side].joints(rotation[None], local, np.zeros((1, 10)))[0]
    poses = openxr_poses(side, joints, rotation, pose)
    assert poses.shape == (26, 7)
    return (
        {name: (p[:3], matrix_from_quaternion(p[3:])) for name, p in zip(OPENXR_JOINTS, poses) if name not in MISSING},
        dict(zip(JOINT_NAMES, joints)),
        dict(zip(OPENXR_JOINTS, poses)),
    )


def poses_of():
    """Any hand within the joints' limits, and its orientation."""
    share = st.lists(st.floats(0.0, 1.0), min_size=45, max_size=45).map(np.array)
    turn = st.lists(st.floats(-1.8, 1.8), min_size=3, max_size=3).map(np.array)
    return st.tuples(share, turn)


def axis_angles(share):
    angles = LOWER + share.reshape(15, 3) * (UPPER - LOWER)
    return axis_angle_from_matrix(from_angles(angles)).ravel()


def test_names_and_missing_ones():
    _, _, all_poses = posed(np.zeros(45))
    assert len(OPENXR_JOINTS) == 26 and OPENXR_JOINTS[:3] == ("palm", "wrist", "thumb_metacarpal")
    assert OPENXR_JOINTS[6:11] == tuple(f"index_{bone}" for bone in ("metacarpal", "proximal", "intermediate", "distal", "tip"))
    assert {name for name, pose in all_poses.items() if np.isnan(pose).all()} == MISSING
    assert not any(np.isnan(pose).any() for name, pose in all_poses.items() if name not in MISSING)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_flat_hand(side):
    """The back of the hand is up for all fingers, and the little finger of a right hand to its right."""
    there, joints, _ = posed(np.zeros(45), side=side)
    for finger in ("index", "middle", "ring", "little"):
        for bone in ("proximal", "intermediate", "distal", "tip"):
            assert there[f"{finger}_{bone}"][1][1, 1] > 0.9, (finger, bone)
    across = joints["little_1"] - joints["index_1"]
    assert (there["palm"][1][:, 0] @ across > 0) == (side == RIGHT)
    np.testing.assert_allclose(there["palm"][0], 0.5 * (joints["wrist"] + joints["middle_1"]), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(poses_of())
def test_bones_point_to_the_next_joint_and_backs_turn_with_them(drawn):
    share, orient = drawn
    there, joints, _ = posed(axis_angles(share), orient)
    for _, rotation in there.values():
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(rotation) > 0
    chains = {"thumb": ("metacarpal", "proximal", "distal", "tip")}
    chains.update(dict.fromkeys(("index", "middle", "ring", "little"), ("proximal", "intermediate", "distal", "tip")))
    for finger, bones in chains.items():
        for number, (bone, after) in enumerate(pairwise(bones), 1):
            place, rotation = there[f"{finger}_{bone}"]
            np.testing.assert_allclose(place, joints[f"{finger}_{number}"], atol=1e-12)
            way = there[f"{finger}_{after}"][0] - place
            np.testing.assert_allclose(-rotation[:, 2], way / np.linalg.norm(way), atol=1e-9)
        np.testing.assert_allclose(there[f"{finger}_tip"][1], there[f"{finger}_distal"][1], atol=1e-9)


def test_a_fingers_back_turns_by_as_much_as_it_bends():
    angles = np.zeros((15, 3))
    angles[1, 0] = np.pi / 2  # the index finger's middle joint
    there, _, _ = posed(axis_angle_from_matrix(from_angles(angles)).ravel())
    before, after = there["index_proximal"][1], there["index_distal"][1]
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=0.15)  # about its x, as a hinge
    np.testing.assert_allclose(after[:, 1], -before[:, 2], atol=0.15)  # the nail now looks where the bone did


@settings(max_examples=20, deadline=None)
@given(poses_of())
def test_left_and_right_are_mirror_images(drawn):
    share, orient = drawn
    pose = axis_angles(share)
    right, _, _ = posed(pose, orient)
    left, _, _ = posed(mirror_axis_angle(pose.reshape(15, 3)).ravel(), mirror_axis_angle(orient), LEFT)
    for name, (place, rotation) in right.items():
        np.testing.assert_allclose(left[name][0], MIRROR @ place, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(left[name][1], MIRROR @ rotation @ MIRROR, atol=1e-6, err_msg=name)
