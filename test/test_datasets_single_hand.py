"""FreiHAND, HO3D, DexYCB and RHD are read as their documentation says they are laid out."""

import json
import os
import pickle

import dataset_fixtures_dexycb as dexycb
import dataset_fixtures_freihand as freihand
import dataset_fixtures_ho3d as ho3d
import dataset_fixtures_rhd as rhd
import numpy as np
import pytest
from dataset_support import assert_hand, hand_models, pinhole

from fourdhands_core.errors import DatasetError
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, LEFT, RIGHT
from fourdhands_core.learning.datasets.check import check, draw_samples
from fourdhands_core.learning.datasets.dexycb import _parts
from fourdhands_core.learning.datasets.files import JsonRows
from fourdhands_core.learning.datasets.registry import dataset_class, open_dataset

HANDS = hand_models()
TO_OPENCV = np.diag([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Folder and truth by name."""
    made = {}
    for name, module in (("FreiHAND", freihand), ("HO3D", ho3d), ("DexYCB", dexycb), ("RHD", rhd)):
        root = tmp_path_factory.mktemp(name)
        made[name] = root, module.write(root, HANDS)
    return made


def through(matrix):
    return lambda points: pinhole(points, matrix[[0, 1], [0, 1]], matrix[:2, 2])


def test_freihand_and_its_four_backgrounds(roots):
    root, ground_truth = roots["FreiHAND"]
    dataset = open_dataset("FreiHAND", root, "training", HANDS)
    assert len(dataset) == 4 * freihand.COUNT and dataset.frame_rate is None and not dataset.sequences
    for index in range(len(dataset)):
        frame = dataset[index]
        assert frame.key == f"training/{index:08d}.jpg" and frame.hands[LEFT] is None and not frame.complete
        assert abs(frame.load().mean() - (40 + 10 * index)) < 2
        assert_hand(frame.hands[RIGHT], ground_truth[index % freihand.COUNT], pixels=through(freihand.MATRIX))
        np.testing.assert_allclose(frame.camera.project(frame.hands[RIGHT].joints), frame.hands[RIGHT].points)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_freihand_of_version_1_makes_the_vertices_of_mano(tmp_path):
    ground_truth = freihand.write(tmp_path, HANDS, "evaluation", versions=1, vertices=False)
    dataset = open_dataset("FreiHAND", tmp_path, "evaluation", HANDS)
    assert len(dataset) == freihand.COUNT
    for index, truth in enumerate(ground_truth):
        assert_hand(dataset[index].hands[RIGHT], truth)
    assert open_dataset("FreiHAND", tmp_path, "evaluation")[0].hands[RIGHT].ground_truth == ("points", "joints", "betas")


def test_a_list_of_lists_is_read_an_entry_at_a_time(tmp_path):
    rows = np.random.default_rng(0).normal(size=(5, 7, 3)).tolist()
    for text in (json.dumps(rows), json.dumps(rows, indent=2), json.dumps(rows, separators=(",", ":")) + "\n"):
        (tmp_path / "rows.json").write_text(text)
        read = JsonRows(tmp_path / "rows.json")
        assert [read[k] for k in range(len(read))] == rows
    for text in ("", "[]", "{}", "[1, 2]", "[[[1, 2], [3"):
        (tmp_path / "rows.json").write_text(text)
        with pytest.raises(DatasetError, match="rows.json cannot be read"):
            JsonRows(tmp_path / "rows.json")


@pytest.mark.parametrize("version", [2, 3])
def test_ho3d_in_the_cameras_optical_frame(tmp_path, version):
    ground_truth = ho3d.write(tmp_path, HANDS, version)
    dataset = open_dataset("HO3D", tmp_path, "train", HANDS)
    assert len(dataset) == 5 and dataset.frame_rate == 30.0
    assert dataset.sequences == {"ABF10": [1, 2, 0], "ABF10 from 0007": [3], "MC1": [4]}
    for index, number in enumerate(ho3d.TRAIN["ABF10"]):
        frame = dataset[index]
        assert frame.key == f"ABF10/{number}" and frame.load().shape == (480, 640, 3)
        assert frame.hands[LEFT] is None and not frame.complete
        assert_hand(frame.hands[RIGHT], ground_truth["train", "ABF10", number], TO_OPENCV, pixels=through(ho3d.MATRIX))
        np.testing.assert_allclose(frame.camera.project(frame.hands[RIGHT].joints), frame.hands[RIGHT].points, atol=1e-9)
    assert dataset[4].hands == (None, None)
    image = tmp_path / "train" / "ABF10" / "rgb" / f"0002.{'png' if version == 2 else 'jpg'}"
    image.unlink()
    with pytest.raises(DatasetError, match=f"{image.name} is missing"):
        dataset[0].load()


@pytest.mark.parametrize("late", [(), ("xyz",), ("xyz", "verts")])
def test_ho3d_evaluation_has_what_came_out(tmp_path, late):
    ground_truth = ho3d.write(tmp_path, HANDS, late=late)
    hand = open_dataset("HO3D", tmp_path, "evaluation", HANDS)[1].hands[RIGHT]
    truth = ground_truth["evaluation", "SM1", "0001"]
    assert hand.box.tolist() == [100, 110, 300, 320]
    joints = truth.listed(JOINT_NAMES) @ TO_OPENCV
    np.testing.assert_allclose(hand.joints[0], joints[0])
    np.testing.assert_allclose(hand.points[0], through(ho3d.MATRIX)(joints)[0])
    if "xyz" in late:
        np.testing.assert_allclose(hand.joints, joints)
        np.testing.assert_allclose(hand.points, through(ho3d.MATRIX)(joints))
    else:
        assert np.isnan(hand.joints[1:]).all() and np.isnan(hand.points[1:]).all()
    if "verts" in late:
        np.testing.assert_allclose(hand.vertices, truth.vertices @ TO_OPENCV)
    else:
        assert hand.vertices is None


def test_ho3d_of_two_versions_mixed_is_told(tmp_path):
    ho3d.write(tmp_path, HANDS)
    (tmp_path / "evaluation.txt").write_text("SM1/0000\n")
    with pytest.raises(DatasetError, match="2 entries, evaluation.txt 1 lines"):
        open_dataset("HO3D", tmp_path, "evaluation")


def test_dexycb_left_hand_in_principal_components(roots):
    root, (ground_truth, betas) = roots["DexYCB"]
    dataset = open_dataset("DexYCB", root, "s0_val", HANDS)
    assert len(dataset) == 8 * (dexycb.LENGTH + 39) and dataset.frame_rate == 30.0
    indices = dataset.sequences[f"{dexycb.SUBJECTS[0]}/{dexycb.NAMED}/{dexycb.SERIALS[0]}"]
    assert len(indices) == dexycb.LENGTH and len(dataset.sequences) == 2 * 20 * 8
    for number, truth in enumerate(ground_truth[:-1]):
        frame = dataset[indices[number]]
        assert frame.key == f"{dexycb.SUBJECTS[0]}/{dexycb.NAMED}/{dexycb.SERIALS[0]}/{number:06d}"
        assert frame.hands[RIGHT] is None and frame.load().shape == (480, 640, 3)
        hand = frame.hands[LEFT]
        assert_hand(hand, truth, pixels=lambda points: pinhole(points, dexycb.FOCAL, dexycb.CENTRE), betas=False)
        assert hand.betas is None  # they are of MANO's left model as released, not of the one put right
        np.testing.assert_allclose(frame.camera.project(hand.joints), hand.points, atol=1e-3)
    assert dataset[indices[-1]].hands == (None, None)
    plain = open_dataset("DexYCB", root, "s0_val")[indices[0]].hands[LEFT]
    assert plain.ground_truth == ("points", "joints")


def test_dexycb_splits_part_what_was_published():
    """Sizes of the sets of recordings (subjects x cameras x sequences) that the toolkit's factory makes."""
    sizes = {split: [len(part) for part in _parts(split)] for split in dataset_class("dexycb").splits}
    assert sizes == {
        "s0_train": [10, 8, 80],
        "s0_val": [2, 8, 20],
        "s0_test": [8, 8, 20],
        "s1_train": [7, 8, 100],
        "s1_val": [1, 8, 100],
        "s1_test": [2, 8, 100],
        "s2_train": [10, 6, 100],
        "s2_val": [10, 1, 100],
        "s2_test": [10, 1, 100],
        "s3_train": [10, 8, 75],
        "s3_val": [10, 8, 10],
        "s3_test": [10, 8, 15],
    }
    for setup in range(4):
        sets = [
            {(s, c, q) for s in subjects for c in cameras for q in sequences}
            for subjects, cameras, sequences in (_parts(f"s{setup}_{part}") for part in ("train", "val", "test"))
        ]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 8000


def test_rhd_both_hands(roots):
    root, ground_truth = roots["RHD"]
    dataset = open_dataset("RHD", root, "training", HANDS)
    assert len(dataset) == len(rhd.NUMBERS)
    for index, number in enumerate(rhd.NUMBERS):
        frame = dataset[index]
        assert frame.key == f"training/{number:05d}.png" and frame.complete and frame.load().shape == (320, 320, 3)
        for side in (LEFT, RIGHT):
            hand = frame.hands[side]
            if (number, side) == (1, RIGHT):
                assert hand is None
                continue
            joints = ground_truth[number, side].listed(JOINT_NAMES)
            np.testing.assert_allclose(hand.joints, joints, atol=1e-6)
            np.testing.assert_allclose(hand.points, through(rhd.MATRIX)(joints), atol=1e-3)
            np.testing.assert_allclose(frame.camera.project(hand.joints), hand.points, atol=1e-2)


def test_check_and_pictures(roots, tmp_path):
    for name, (root, _) in roots.items():
        dataset = open_dataset(name, root, dataset_class(name).splits[1 if name == "DexYCB" else 0], HANDS)
        report = check(dataset, 60)
        assert max(report.reprojection) < 0.02
        if name != "RHD":
            assert max(report.mesh_distance) < 5e-3  # the posed mesh gives the joints so nearly
        draw_samples(dataset, tmp_path / f"{name}.png", 3)
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


DAMAGED = [
    ("FreiHAND", "training", "training_xyz.json", b"[["),
    ("FreiHAND", "training", "training_mano.json", b"[[1]]"),
    ("FreiHAND", "training", "training_verts.json", b"[[[1]]]"),
    ("HO3D", "train", "train.txt", b"ABF10\n"),
    ("HO3D", "train", "train/ABF10/meta/0002.pkl", b"\x80\x02"),
    ("HO3D", "train", "train/ABF10/meta/0002.pkl", pickle.dumps({"camMat": 3, "handJoints3D": [1]})),
    ("RHD", "training", "training/anno_training.pickle", pickle.dumps({0: {"xyz": [1]}})),
    ("DexYCB", "s0_val", "calibration/intrinsics/836212060125_640x480.yml", b"depth: {fx: 1}"),
    ("DexYCB", "s0_val", f"20200709-weiy/{dexycb.NAMED}/meta.yml", b"num_frames: 3\nmano_sides: [both]"),
    ("DexYCB", "s0_val", "calibration/mano_subject-01_left/mano.yml", b"betas: [1, 2]"),
    ("DexYCB", "s0_val", f"20200709-weiy/{dexycb.NAMED}/836212060125/labels_000000.npz", b"PK"),
]


@pytest.mark.parametrize("name, split, damaged, content", DAMAGED)
def test_a_damaged_file_is_named(roots, name, split, damaged, content):
    path = roots[name][0] / damaged
    whole = path.read_bytes()
    try:
        path.write_bytes(content)
        with pytest.raises(
            DatasetError,
            match="_verts.json have" if "verts" in damaged else os.path.basename(damaged).replace("training_", ".*"),
        ):
            dataset = open_dataset(name, roots[name][0], split, HANDS)
            dataset[min(index for indices in ({"": range(1)} | dict(dataset.sequences)).values() for index in indices)]
    finally:
        path.write_bytes(whole)
