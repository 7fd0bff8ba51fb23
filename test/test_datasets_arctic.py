"""ARCTIC is read as its documentation lays it out: offsets, views, the egocentric lens, the left model as released."""

import dataset_fixtures_arctic as fixture
import pytest
from dataset_support import assert_hand, hand_models, pinhole, without

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, SIDES
from fourdhands_core.learning.datasets.registry import open_dataset

NAME = "s01/box_grab_01"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root, hands = tmp_path_factory.mktemp("arctic"), hand_models()
    return root, hands, *fixture.write(root, hands)


def test_fixed_cameras(written):
    root, hands, ground_truth, views, _ = written
    dataset = open_dataset("ARCTIC", root, "train", hands)
    images = range(10, fixture.COUNT - 10)  # what the toolkit uses of 24 rows
    assert len(dataset) == 8 * len(images) and list(dataset.sequences[f"{NAME}/2"]) == [4, 5, 6, 7]
    for view in (1, 2, 8):
        for index, number in zip(dataset.sequences[f"{NAME}/{view}"], images):
            frame = dataset[index]
            assert frame.key == f"{NAME}/{view}/{number:05d}.jpg" and frame.complete
            for side in (LEFT, RIGHT):
                if (view, side) == (2, LEFT):
                    assert frame.hands[LEFT] is None, "it is behind the camera"
                elif frame.hands[side] is not None:
                    assert_hand(
                        frame.hands[side],
                        ground_truth[NAME, number - fixture.OFFSET, SIDES[side]],
                        *views[view],
                        lambda p: pinhole(p, fixture.FOCAL, fixture.CENTRE),
                        betas=side == RIGHT,
                    )
    assert dataset[0].hands[RIGHT] is not None and dataset[0].load().shape == (1000, 1400, 3)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_egocentric_camera_with_its_distortion(written):
    root, hands, ground_truth, _, ego = written
    dataset = open_dataset("ARCTIC-ego", root, "val", hands)
    name, seen = "s05/box_use_01", 0
    for index, number in zip(dataset.sequences[f"{name}/0"], range(10, 14)):
        frame, row = dataset[index], number - fixture.OFFSET
        assert frame.key == f"{name}/0/{number:05d}.jpg"
        hand = frame.hands[RIGHT]
        assert_hand(hand, ground_truth[name, row, "right"], *ego[name, row], fixture.rational)
        seen += hand is not None
    assert seen == 4 and dataset[0].load().shape == (960, 1280, 3)


def test_what_else_may_be_missing(written):
    root, hands, *_ = written
    with pytest.raises(DatasetError, match="--hand-model"):
        open_dataset("ARCTIC", root, "train")
    with without(root, f"images/{NAME}/1/00011.jpg"), pytest.raises(DatasetError, match="1/00011.jpg is missing"):
        open_dataset("ARCTIC", root, "train", hands)[1].load()
    with pytest.raises(DatasetError, match="train, val"):
        open_dataset("ARCTIC", root, "test", hands)
