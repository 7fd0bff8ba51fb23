"""COCO-WholeBody, Halpe and MPII NZSL are read as their documentation says they are laid out."""

import dataset_fixtures_2d as fixture
import numpy as np
import pytest

from fourdhands_core.errors import DatasetError
from fourdhands_core.learning.datasets.check import check, draw_samples
from fourdhands_core.learning.datasets.registry import open_dataset


def assert_frames(dataset, expected):
    assert len(dataset) == len(expected) and dataset.frame_rate is None and not dataset.sequences
    for index, (key, *hands) in enumerate(expected):
        frame = dataset[index]
        assert frame.key == key and frame.camera is None and not frame.complete
        assert frame.load().shape == (230, 240, 3)
        for found, points in zip(frame.hands, hands):
            if points is None:
                assert found is None
                continue
            assert found.ground_truth == ("points",)
            np.testing.assert_allclose(found.points, points, atol=1e-4)
            assert (found.box[:2] < np.nanmin(points, 0)).all() and (found.box[2:] > np.nanmax(points, 0)).all()


def test_coco_whole_body_has_a_frame_a_person_with_a_valid_hand(tmp_path):
    expected = fixture.write_coco(tmp_path)
    assert_frames(open_dataset("coco whole-body", tmp_path, "val"), expected)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("as_alphapose", [False, True])
def test_halpe_in_either_layout(tmp_path, split, as_alphapose):
    expected = fixture.write_halpe(tmp_path, split, as_alphapose)
    assert_frames(open_dataset("Halpe", tmp_path, split), expected)


def test_nzsl_by_hand_and_rendered(tmp_path):
    expected = fixture.write_nzsl(tmp_path)
    for part, frames in expected.items():
        assert_frames(open_dataset("MPII-NZSL", tmp_path, part), frames)
    assert_frames(
        open_dataset("mpiinzsl", tmp_path),
        [frame for part, frames in expected.items() if part != "manual_test" for frame in frames],
    )


@pytest.mark.parametrize(
    "name, split, write",
    [
        ("COCO-WholeBody", "val", fixture.write_coco),
        ("Halpe", "train", fixture.write_halpe),
        ("MPII-NZSL", "manual_test", fixture.write_nzsl),
    ],
)
def test_check_and_pictures(tmp_path, name, split, write):
    write(tmp_path)
    dataset = open_dataset(name, tmp_path, split)
    report = check(dataset)
    assert report.ground_truth == {"points": sum(hand is not None for k in range(len(dataset)) for hand in dataset[k].hands)}
    draw_samples(dataset, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "name, split, write, damaged, content",
    [
        ("COCO-WholeBody", "val", fixture.write_coco, "annotations/coco_wholebody_val_v1.0.json", '{"images": []}'),
        ("COCO-WholeBody", "val", fixture.write_coco, "annotations/coco_wholebody_val_v1.0.json", "[]"),
        (
            "Halpe",
            "train",
            fixture.write_halpe,
            "halpe_train_v1.json",
            '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "keypoints": [1, 2, 3]}]}',
        ),
        ("MPII-NZSL", "manual_train", fixture.write_nzsl, "hand_labels/manual_train/000015774_01_l.json", '{"hand_pts": []}'),
        ("MPII-NZSL", "manual_train", fixture.write_nzsl, "hand_labels/manual_train/000015774_01_l.json", "{"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, split, write, damaged, content):
    write(tmp_path)
    (tmp_path / damaged).write_text(content)
    with pytest.raises(DatasetError, match=damaged):
        open_dataset(name, tmp_path, split)


def test_a_folder_without_annotations_and_a_missing_image_are_named(tmp_path):
    fixture.write_nzsl(tmp_path)
    dataset = open_dataset("MPII-NZSL", tmp_path, "synth1")
    (tmp_path / "hand_labels_synth/synth1/0001.jpg").unlink()
    with pytest.raises(DatasetError, match="0001.jpg is missing"):
        dataset[0].load()
    (tmp_path / "hand_labels_synth/synth1/0001.json").unlink()
    with pytest.raises(DatasetError, match="synth1 holds no"):
        open_dataset("MPII-NZSL", tmp_path, "synth1")
