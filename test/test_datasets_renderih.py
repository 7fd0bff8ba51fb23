"""RenderIH is read as its toolkit lays it out."""

import dataset_fixtures_renderih as fixture
import pytest
from dataset_support import assert_hand, hand_models, pinhole

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, SIDES
from fourdhands_core.learning.datasets.registry import open_dataset


@pytest.mark.parametrize("inside", [False, True])
def test_hands_are_the_truth(tmp_path, inside):
    hands = hand_models()
    ground_truth, poses = fixture.write(tmp_path, hands)
    dataset = open_dataset("RenderIH", tmp_path / "train" if inside else tmp_path, "train", hands)
    assert [dataset[i].key for i in range(len(dataset))] == ["366358", "1000000"] and not dataset.sequences
    for i in range(2):
        frame = dataset[i]
        assert frame.load().shape == (256, 256, 3) and frame.complete
        for side in (LEFT, RIGHT):
            assert_hand(
                frame.hands[side],
                ground_truth[frame.key, SIDES[side]],
                *poses[frame.key],
                lambda p: pinhole(p, fixture.MATRIX[[0, 1], [0, 1]], fixture.MATRIX[:2, 2]),
            )


def test_what_else_may_be_missing(tmp_path):
    fixture.write(tmp_path, hand_models())
    with pytest.raises(DatasetError, match="--hand-model"):
        open_dataset("RenderIH", tmp_path, "train")
    dataset = open_dataset("RenderIH", tmp_path, "train", hand_models())
    (tmp_path / "train" / "color_img" / "366358.jpg").unlink()
    with pytest.raises(DatasetError, match="366358.jpg is missing"):
        dataset[0].load()
    (tmp_path / "train" / "color_annot" / "366358.pkl").write_bytes(b"\x80\x04}.")
    with pytest.raises(DatasetError, match="366358.pkl is not RenderIH's"):
        dataset[0]
