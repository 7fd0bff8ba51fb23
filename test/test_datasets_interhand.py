"""InterHand2.6M is read as its documentation says it is laid out."""

import json

import dataset_fixtures_interhand as fixture
import numpy as np
import pytest
from dataset_support import assert_hand, hand_models, moved, pinhole

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, LEFT, RIGHT, SIDES
from fourdhands_core.learning.datasets.registry import open_dataset


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root, hands = tmp_path_factory.mktemp("interhand"), hand_models()
    ground_truth, pose = fixture.write(root, hands)
    return root, hands, ground_truth, pose


def pixels(points):
    return pinhole(points, fixture.FOCAL, fixture.CENTRE)


def test_both_hands_are_the_truth_in_the_camera(written):
    root, hands, ground_truth, (rotation, offset) = written
    dataset = open_dataset("InterHand2.6M", root, "train", hands)
    assert len(dataset) == 2 and dataset.frame_rate == 5
    assert dataset.sequences == {"Capture7/0266_dh_pray/cam400030": [1, 0]}
    for index, number in enumerate((33, 30)):
        frame = dataset[index]
        assert frame.key == f"Capture7/0266_dh_pray/cam400030/image{number}.jpg" and frame.complete
        assert frame.load().shape == (512, 334, 3) and dataset.usable(frame.load()) == (number == 30)
        thumb = JOINT_NAMES.index("thumb_2")
        assert np.isnan(frame.hands[RIGHT].joints[thumb]).all() and np.isnan(frame.hands[RIGHT].points[thumb]).all()
        for side in (LEFT, RIGHT):
            truth, hand = ground_truth[number, SIDES[side]], frame.hands[side]
            assert_hand(hand, truth, rotation, offset, joints=False)
            expected = moved(truth.listed(JOINT_NAMES), rotation, offset)
            known = np.isfinite(hand.joints[:, 0])
            assert known.sum() == (20 if side == RIGHT else 21) and hand.metric
            np.testing.assert_allclose(hand.joints[known], expected[known], atol=2e-6)
            np.testing.assert_allclose(hand.points[known], pixels(expected[known]), atol=0.02)
            np.testing.assert_allclose(frame.camera.project(hand.joints)[known], hand.points[known], atol=1e-6)


def test_all_frames_of_one_and_two_hands(written):
    root, hands, ground_truth, _ = written
    dataset = open_dataset("interhand2.6m-30fps-all", root, "train", hands)
    assert len(dataset) == 5 and dataset.frame_rate == 30
    frames = {int(dataset[i].key[-6:-4]): dataset[i] for i in range(5)}
    assert frames[40].hands[LEFT] is None and frames[40].hands[RIGHT].vertices is not None and frames[40].complete
    assert not frames[41].complete
    assert frames[42].hands[LEFT].ground_truth == ("points", "joints")


def test_frames_that_are_left_out_part_a_sequence(written, tmp_path):
    """Six frames, three apart, of which the third is not of interacting hands: no acceleration is measured across it."""
    fixture.write(tmp_path, written[1])
    folder = tmp_path / "annotations" / "train"
    data, joints, fits = (
        json.loads((folder / f"InterHand2.6M_train_{what}.json").read_text())
        for what in ("data", "joint_3d", "MANO_NeuralAnnot")
    )
    image, annotation = data["images"][0], data["annotations"][0]
    numbers = [60, 63, 66, 69, 72, 75]
    data["images"] = [{**image, "id": k, "frame_idx": k} for k in numbers]
    data["annotations"] = [{**annotation, "image_id": k, "hand_type": "right" if k == 66 else "interacting"} for k in numbers]
    for content in (joints, fits):
        content["7"] = {str(k): content["7"]["33"] for k in numbers}
    for what, content in (("data", data), ("joint_3d", joints), ("MANO_NeuralAnnot", fits)):
        (folder / f"InterHand2.6M_train_{what}.json").write_text(json.dumps(content))
    name = "Capture7/0266_dh_pray/cam400030"
    assert open_dataset("InterHand2.6M-30fps", tmp_path, "train").sequences == {name: [0, 1], f"{name} from 69": [2, 3, 4]}
    assert open_dataset("InterHand2.6M-30fps-all", tmp_path, "train").sequences == {name: [0, 1, 2, 3, 4, 5]}


def test_without_a_hand_model_only_what_needs_none(written):
    root, _, ground_truth, (rotation, offset) = written
    frame = open_dataset("InterHand2.6M", root, "train")[1]
    assert frame.hands[LEFT].ground_truth == ("points", "joints", "betas")
    np.testing.assert_allclose(
        frame.hands[LEFT].joints, moved(ground_truth[30, "left"].listed(JOINT_NAMES), rotation, offset), atol=2e-6
    )


def test_images_and_wrong_content_are_named(written, tmp_path):
    fixture.write(tmp_path, written[1])
    dataset = open_dataset("InterHand2.6M", tmp_path, "train")
    (tmp_path / "images" / "train" / dataset[0].key).unlink()
    with pytest.raises(DatasetError, match="image33.jpg is missing"):
        dataset[0].load()
    (tmp_path / "annotations" / "train" / "InterHand2.6M_train_camera.json").write_text("[")
    with pytest.raises(DatasetError, match="train_camera.json cannot be read"):
        open_dataset("InterHand2.6M", tmp_path, "train")
    with pytest.raises(DatasetError, match="InterHand2.6M_test_data.json is missing"):
        open_dataset("InterHand2.6M", tmp_path, "test")
