"""H2O3D is read as its toolkit lays it out: OpenGL's axes, one shape for both hands, either left model."""

import dataset_fixtures_h2o3d as fixture
import numpy as np
import pytest
from dataset_support import assert_hand, hand_models, pinhole

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, SIDES
from fourdhands_core.learning.datasets.registry import open_dataset


def pixels(points):
    return pinhole(points, fixture.MATRIX[[0, 1], [0, 1]], fixture.MATRIX[:2, 2])


@pytest.mark.parametrize("released", [True, False])
def test_training_hands_are_the_truth(tmp_path, released):
    hands = hand_models()
    ground_truth = fixture.write(tmp_path, hands, released)
    dataset = open_dataset("H2O3D", tmp_path, "train", hands)
    assert dataset.sequences == {"AB1": [1, 0, 2]}
    for i in range(2):
        frame = dataset[i]
        assert frame.load().shape == (480, 640, 3) and frame.complete
        for side in (LEFT, RIGHT):
            truth = ground_truth["train", frame.key[-4:], SIDES[side]]
            assert_hand(frame.hands[side], truth, fixture.TO_OPENGL, np.zeros(3), pixels, betas=side == RIGHT or not released)
    assert dataset[2].hands == (None, None) and not dataset[2].complete


def test_evaluation_has_boxes_and_wrists(tmp_path):
    ground_truth = fixture.write(tmp_path, hand_models())
    hand = open_dataset("H2O3D", tmp_path, "evaluation")[0].hands[LEFT]
    wrist = ground_truth["evaluation", "0000", "left"].joints["wrist"] * [1, -1, -1]
    np.testing.assert_allclose(hand.joints[0], wrist)
    np.testing.assert_allclose(hand.points[0], pixels(wrist[None])[0])
    assert np.isnan(hand.joints[1:]).all() and hand.box.tolist() == [100, 110, 200, 220]


def test_without_a_hand_model_joints_and_rotations_are_there(tmp_path):
    ground_truth = fixture.write(tmp_path, hand_models())
    hand = open_dataset("H2O3D", tmp_path, "train")[1].hands[RIGHT]
    assert hand.ground_truth == ("points", "joints", "rotations", "betas")
    np.testing.assert_allclose(
        hand.rotations[0], fixture.moved_truth_rotation(ground_truth["train", "0000", "right"]), atol=1e-6
    )


@pytest.mark.parametrize("missing", ["meta/0001.pkl", "rgb/0001.jpg"])
def test_a_missing_file_of_a_frame_is_named(tmp_path, missing):
    fixture.write(tmp_path, hand_models())
    dataset = open_dataset("H2O3D", tmp_path, "train")
    (tmp_path / "train" / "AB1" / missing).unlink()
    with pytest.raises(DatasetError, match=f"{missing} is missing"):
        dataset[0].load()
