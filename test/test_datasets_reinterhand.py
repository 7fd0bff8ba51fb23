"""Re:InterHand is read as its toolkit says it is laid out."""

import dataset_fixtures_reinterhand as fixture
import pytest
from dataset_support import assert_hand, hand_models, pinhole, without

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, SIDES
from fourdhands_core.learning.datasets.registry import open_dataset

TRAIN, TEST = fixture.CAPTURES


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root, hands = tmp_path_factory.mktemp("reinterhand"), hand_models()
    return root, hands, *fixture.write(root, hands)


def number(frame):
    return int(frame.key[-10:-4])


def test_third_person_video(written):
    root, hands, ground_truth, mugsy, _ = written
    dataset = open_dataset("Re:InterHand", root, "all", hands)
    assert len(dataset) == 6 and dataset.frame_rate == 30
    assert dataset.sequences[f"{TRAIN}/400002/seg000"] == [0, 1] and len(dataset.sequences) == 4
    assert [number(dataset[i]) for i in range(6)] == [7, 8, 20, 7, 8, 20]
    for i in range(6):
        frame = dataset[i]
        assert frame.load().shape == (360, 500, 3) and (frame.camera.width, frame.camera.height) == (500, 360)
        for side in (LEFT, RIGHT):
            truth = ground_truth[frame.key.split("/")[0], number(frame), SIDES[side]]
            assert_hand(frame.hands[side], truth, *mugsy, lambda p: pinhole(p, fixture.FOCAL, fixture.CENTRE))


def test_splits_and_single_images(written):
    root = written[0]
    tested = open_dataset("reinterhand", root, "test")
    assert len(tested) == 3 and all(tested[i].key.startswith(TEST) for i in range(3))
    single = open_dataset("ReInterHand-frames", root, "train")
    assert [number(single[i]) for i in range(len(single))] == [7, 20] and "per_frame" in single[0].key
    assert single[0].hands[LEFT].ground_truth == ("points", "joints", "betas")


@pytest.mark.parametrize("name", ["ReInterHand-ego", "ReInterHand-ego-frames"])
def test_egocentric_fisheye(written, name):
    root, hands, ground_truth, _, ego = written
    dataset = open_dataset(name, root, "train", hands)
    assert [number(dataset[i]) for i in range(len(dataset))] == [7, 20], "frame 8 has too little of the hands"
    for i in range(2):
        frame = dataset[i]
        assert frame.camera.distortion_model == "equidistant"
        for side in (LEFT, RIGHT):
            truth = ground_truth[TRAIN, number(frame), SIDES[side]]
            assert_hand(frame.hands[side], truth, *ego[TRAIN, number(frame)], fixture.fisheye)


@pytest.mark.parametrize(
    "missing",
    [
        "mano_fits/params/7_left.json",
        "orig_fits/right/Keypoints/keypoint-000007.json",
        "Ego_cameras/envmap_per_segment/cam_params/000007.json",
    ],
)
def test_a_missing_file_of_a_frame_is_named(written, missing):
    dataset = open_dataset("ReInterHand-ego", written[0], "train")
    with without(written[0], f"{TRAIN}/{missing}"), pytest.raises(DatasetError, match=f"{missing} is missing"):
        dataset[0]


def test_a_folder_without_captures(tmp_path):
    with pytest.raises(DatasetError, match="no capture m--"):
        open_dataset("ReInterHand", tmp_path, "all")
