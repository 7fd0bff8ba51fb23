"""HIC is read as InterWild and Tzionas lay it out; MANO parameters are believed only where they give the mesh."""

import dataset_fixtures_hic as fixture
import numpy as np
import pytest
from dataset_support import assert_hand, hand_models, pinhole

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, LEFT, RIGHT, SIDES
from fourdhands_core.learning.datasets.files import read_ply_vertices
from fourdhands_core.learning.datasets.registry import open_dataset


def pixels(points):
    return pinhole(points, fixture.FOCAL, fixture.CENTRE)


@pytest.mark.parametrize("components", [None, 44])
def test_hands_are_the_truth_however_the_pose_is_stated(tmp_path, components):
    hands = hand_models()
    ground_truth = fixture.write(tmp_path, hands, components)
    dataset = open_dataset("HIC", tmp_path, "test", hands)
    assert [dataset[i].key for i in range(3)] == ["01/1/rgb/000.png", "01/1/rgb/005.png", "15/1/rgb/000.png"]
    assert dataset.sequences == {"01/1/rgb": [0, 1], "15/1/rgb": [2]}
    for i, number in enumerate(("000", "005")):
        frame = dataset[i]
        assert frame.complete and frame.load().shape == (480, 640, 3)
        for side in (LEFT, RIGHT):
            assert_hand(frame.hands[side], ground_truth["01", number, SIDES[side]], pixels=pixels, betas=side == RIGHT)
        assert frame.hands[LEFT].betas is None
    left, right = dataset[2].hands
    assert left is None and right.rotations is None, "these parameters are 2 cm beside the mesh"
    np.testing.assert_allclose(right.vertices, ground_truth["15", "000", "right"].vertices, atol=1e-6)
    assert np.abs(right.joints - ground_truth["15", "000", "right"].listed(JOINT_NAMES)).max() < 0.01


def test_without_a_hand_model_the_meshes_are_there(tmp_path):
    ground_truth = fixture.write(tmp_path, hand_models())
    frame = open_dataset("HIC", tmp_path)[1]
    assert frame.hands[LEFT].ground_truth == ("vertices",)
    np.testing.assert_allclose(frame.hands[LEFT].vertices, ground_truth["01", "005", "left"].vertices, atol=1e-6)


def test_a_missing_or_damaged_mesh_is_named(tmp_path):
    fixture.write(tmp_path, hand_models())
    dataset = open_dataset("HIC", tmp_path)
    mesh = next(tmp_path.glob("*/*___15___Model_Hand_R*/000.ply"))
    mesh.write_bytes(mesh.read_bytes()[:900])
    with pytest.raises(DatasetError, match="000.ply cannot be read"):
        dataset[2]
    mesh.unlink()
    with pytest.raises(DatasetError, match="000.ply is missing"):
        dataset[2]
    mesh.write_bytes(b"PK")
    with pytest.raises(DatasetError, match="000.ply cannot be read"):
        read_ply_vertices(mesh)
