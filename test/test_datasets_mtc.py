"""MTC is read as its authors' reader lays it out."""

import os
import pickle

import dataset_fixtures_mtc as fixture
import numpy as np
import pytest
from dataset_support import hand_models, moved

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, LEFT, RIGHT, SIDES
from fourdhands_core.learning.datasets.registry import open_dataset


def test_joints_are_the_truth_in_usable_views(tmp_path):
    ground_truth, poses = fixture.write(tmp_path, hand_models())
    dataset = open_dataset("MTC", tmp_path, "train")
    frames = [dataset[i] for i in range(len(dataset))]
    assert [frame.key.split("/")[-1][:5] for frame in frames] == ["00_00", "00_03"]
    assert frames[1].hands[LEFT] is None and not frames[1].complete
    frames += [open_dataset("MTC", tmp_path, "test")[0]]
    for frame, number, name, sides in zip(frames, (0, 3, 3), (fixture.FRAME,) * 2 + ("00003310",), (2, 1, 1)):
        assert sum(hand is not None for hand in frame.hands) == sides and frame.load().shape == (1080, 1920, 3)
        for side in (LEFT, RIGHT):
            hand = frame.hands[side]
            if hand is not None:
                expected = moved(ground_truth[name, SIDES[side]].listed(JOINT_NAMES), *poses[number])
                assert hand.ground_truth == ("points", "joints")
                np.testing.assert_allclose(hand.joints, expected, atol=1e-9)
                np.testing.assert_allclose(hand.points, fixture.panoptic(expected), atol=1e-6)


def test_unsafe_and_foreign_pickles_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fixture.write(tmp_path, hand_models())
    annotation = (tmp_path / "annotation.pkl").read_bytes()

    class Runs:
        def __reduce__(self):
            return os.mkdir, ("made",)

    for content, message in (({"training_data": Runs()}, "mkdir"), ({"validation": []}, "not MTC's")):
        (tmp_path / "annotation.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(DatasetError, match=message):
            open_dataset("MTC", tmp_path, "train")
    assert not (tmp_path / "made").exists()
    (tmp_path / "annotation.pkl").write_bytes(annotation)
    (tmp_path / "camera_data.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(DatasetError, match="no usable camera 0"):
        open_dataset("MTC", tmp_path, "train")[0]
