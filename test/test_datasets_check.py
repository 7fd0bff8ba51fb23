"""`fourdhands data check`, the registry, and what all datasets share: pickles, MANO parameters, joint orders."""

import functools
import os
import pickle

import cv2
import dataset_fixtures_2d
import dataset_fixtures_arctic
import dataset_fixtures_dexycb
import dataset_fixtures_freihand
import dataset_fixtures_h2o3d
import dataset_fixtures_hic
import dataset_fixtures_ho3d
import dataset_fixtures_interhand as fixture
import dataset_fixtures_mtc
import dataset_fixtures_reinterhand
import dataset_fixtures_renderih
import dataset_fixtures_rhd
import numpy as np
import pytest
from dataset_support import arrays_of, assert_hand, camera_pose, hand_models, make_truth, released_left, without

from fourdhands_core.cli import main
from fourdhands_core.errors import AssetError, DatasetError
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, LEFT, RIGHT
from fourdhands_core.learning.datasets import joint_orders
from fourdhands_core.learning.datasets.check import check, draw_samples
from fourdhands_core.learning.datasets.files import read_npy, read_pickle
from fourdhands_core.learning.datasets.frames import HandTruth, without_gaps
from fourdhands_core.learning.datasets.mano import ManoTruth, full_pose
from fourdhands_core.learning.datasets.registry import NAMES, open_dataset


@pytest.fixture(scope="module")
def interhand(tmp_path_factory):
    root, hands = tmp_path_factory.mktemp("interhand"), hand_models()
    fixture.write(root, hands)
    return root, hands


def test_the_command_says_what_it_found_and_draws_it(interhand, tmp_path, capsys):
    root, hands = interhand
    np.savez(tmp_path / "right.npz", is_right=True, name="right", **arrays_of(hands[RIGHT]))
    files = ["--out", str(tmp_path / "samples.png"), "--hand-model", str(tmp_path / "right.npz")]
    assert main(["data", "check", "interhand2.6m-all", str(root), "--split", "train", *files]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for expected in (
        "5 frames, 5 a second; all looked at",
        "sequences 1, of 5 to 5 frames",
        "left 0, right 1, both 4, none 0",
        "joints 9",
        "vertices 8",
        "in 5 of 5 frames, focal length 1250.0 to 1260.0 px, distortion none",
        "334x512 (5 read); 1 of them to be left out",
        "in 1 frame other hands may be there",
        "thumb_1",
    ):
        assert expected in text, (expected, text)
    sheet = cv2.imread(str(tmp_path / "samples.png"))
    colours = len(np.unique(sheet.reshape(-1, 3), axis=0))
    assert colours > 100, "no hand is drawn on the plain images"


def test_the_report_measures_a_wrong_hand_model_and_wrong_cameras(interhand):
    root, hands = interhand
    right = check(open_dataset("InterHand2.6M", root, "train", hands))
    assert max(right.reprojection) < 1e-6 and np.median(right.mesh_distance) < 0.006
    # the generic hand has another mean pose: the meshes no longer fit the measured joints
    wrong = check(open_dataset("InterHand2.6M", root, "train", (released_left(hands[LEFT]), load_generic_hand())))
    assert np.median(wrong.mesh_distance) > 2 * np.median(right.mesh_distance)


@pytest.mark.parametrize(
    "name, written",
    [
        ("ReInterHand", dataset_fixtures_reinterhand),
        ("ReInterHand-frames", dataset_fixtures_reinterhand),
        ("ReInterHand-ego", dataset_fixtures_reinterhand),
        ("HIC", dataset_fixtures_hic),
        ("ARCTIC-ego", dataset_fixtures_arctic),
        ("RenderIH", dataset_fixtures_renderih),
        ("H2O3D", dataset_fixtures_h2o3d),
        ("MTC", dataset_fixtures_mtc),
    ],
)
def test_every_dataset_is_checked_and_drawn(tmp_path, name, written):
    hands = hand_models()
    written.write(tmp_path, hands)
    dataset = open_dataset(name, tmp_path, hands=hands)
    report = check(dataset)
    assert report.checked == len(dataset) and name in str(report) and not report.wrong_sizes
    assert max(report.reprojection) < 0.01, "the joints go through the camera to the points"
    assert not report.mesh_distance or np.median(report.mesh_distance) < 0.006
    assert 0.01 < np.min(report.bones) and np.max(report.bones) < 0.13
    draw_samples(dataset, tmp_path / "samples.png", 4)
    drawn = cv2.imread(str(tmp_path / "samples.png"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a dataset, made once, by the function that writes it."""
    hands = hand_models()

    @functools.cache
    def make(write):
        root = tmp_path_factory.mktemp("published") / "root"
        root.mkdir()
        write(root) if write.__module__ == dataset_fixtures_2d.__name__ else write(root, hands)
        return root

    return make


CAPTURE = dataset_fixtures_reinterhand.CAPTURES[0]
SUBJECT = f"20200709-weiy/{dataset_fixtures_dexycb.NAMED}"
ANNOTATIONS = [
    f"annotations/train/InterHand2.6M_train_{what}.json" for what in ("data", "camera", "joint_3d", "MANO_NeuralAnnot")
]
PUBLISHED = [
    (fixture.write, "InterHand2.6M", "train", [*ANNOTATIONS, "images/train"]),
    (dataset_fixtures_arctic.write, "ARCTIC", "train", ["meta/misc.json", "splits_json/protocol_p1.json", "images"]),
    (dataset_fixtures_arctic.write, "ARCTIC", "train", ["raw_seqs/s01/box_grab_01.mano.npy"]),
    (dataset_fixtures_arctic.write, "ARCTIC-ego", "train", ["splits_json/protocol_p2.json"]),
    (dataset_fixtures_arctic.write, "ARCTIC-ego", "train", ["raw_seqs/s01/box_grab_01.egocam.dist.npy"]),
    (dataset_fixtures_h2o3d.write, "H2O3D", "train", ["train.txt", "train/AB1/meta", "train/AB1/rgb"]),
    (dataset_fixtures_hic.write, "HIC", "test", ["HIC.json", dataset_fixtures_hic.FITS, "01", "15"]),
    (dataset_fixtures_mtc.write, "MTC", "train", ["annotation.pkl", "camera_data.pkl", "hdImgs", "hdImgs/171026_pose1"]),
    (dataset_fixtures_renderih.write, "RenderIH", "train", ["train/color_annot", "train/color_img"]),
    (dataset_fixtures_reinterhand.write, "ReInterHand", "train", [f"{CAPTURE}/frame_list.txt", f"{CAPTURE}/mano_fits/params"]),
    (dataset_fixtures_reinterhand.write, "ReInterHand", "train", [f"{CAPTURE}/Mugsy_cameras/cam_params.json"]),
    (dataset_fixtures_reinterhand.write, "ReInterHand", "train", [f"{CAPTURE}/Mugsy_cameras/envmap_per_segment/images"]),
    (dataset_fixtures_reinterhand.write, "ReInterHand", "train", [f"{CAPTURE}/orig_fits/left/Keypoints"]),
    (dataset_fixtures_reinterhand.write, "ReInterHand-frames", "train", [f"{CAPTURE}/Mugsy_cameras/envmap_per_frame/images"]),
    *(
        (dataset_fixtures_reinterhand.write, "ReInterHand-ego", "train", [f"{CAPTURE}/Ego_cameras/envmap_per_segment/{name}"])
        for name in ("truncation_ratio.json", "cam_params", "images")
    ),
    (dataset_fixtures_freihand.write, "FreiHAND", "training", [f"training_{what}.json" for what in ("K", "xyz", "mano")]),
    (dataset_fixtures_freihand.write, "FreiHAND", "training", ["training/rgb"]),
    (dataset_fixtures_freihand.write, "FreiHAND", "evaluation", ["evaluation_K.json"]),
    (dataset_fixtures_ho3d.write, "HO3D", "train", ["train.txt", "train/ABF10/meta", "train/ABF10/rgb"]),
    (dataset_fixtures_rhd.write, "RHD", "training", ["training/anno_training.pickle", "training/color"]),
    (dataset_fixtures_rhd.write, "RHD", "evaluation", ["evaluation/anno_evaluation.pickle"]),
    (dataset_fixtures_dexycb.write, "DexYCB", "s0_val", ["20200813-ceppner", f"{SUBJECT}/meta.yml", f"{SUBJECT}/932122060857"]),
    (dataset_fixtures_dexycb.write, "DexYCB", "s0_val", ["calibration/mano_subject-01_left/mano.yml"]),
    (dataset_fixtures_dexycb.write, "DexYCB", "s0_val", ["calibration/intrinsics/932122062010_640x480.yml"]),
    (dataset_fixtures_dexycb.write, "DexYCB", "s0_test", ["20200820-amousavian"]),
    (dataset_fixtures_2d.write_coco, "COCO-WholeBody", "val", ["annotations/coco_wholebody_val_v1.0.json", "val2017"]),
    (dataset_fixtures_2d.write_coco, "COCO-WholeBody", "train", ["annotations/coco_wholebody_train_v1.0.json"]),
    (dataset_fixtures_2d.write_halpe, "Halpe", "train", ["halpe_train_v1.json", "hico_20160224_det/images/train2015"]),
    (dataset_fixtures_2d.write_halpe, "Halpe", "val", ["halpe_val_v1.json"]),
    (dataset_fixtures_2d.write_nzsl, "MPII-NZSL", "manual_train", ["hand_labels/manual_train"]),
    (dataset_fixtures_2d.write_nzsl, "MPII-NZSL", "train", ["hand_labels_synth/synth3"]),
]
"""What writes a dataset, its name, a split, and what cannot be missing of it."""


@pytest.mark.parametrize("write, name, split, missing", [(*row, missing) for *row, files in PUBLISHED for missing in files])
def test_a_missing_file_is_named(written, write, name, split, missing):
    root = written(write)
    with without(root, missing), pytest.raises(DatasetError, match=f"{missing}(/00002975)? is missing"):
        open_dataset(name, root, split, hand_models())


def test_unknown_names_splits_and_folders(tmp_path):
    with pytest.raises(DatasetError, match="InterHand2.6M-30fps"):
        open_dataset("nohands", tmp_path)
    with pytest.raises(DatasetError, match="train, val, test"):
        open_dataset("InterHand2.6M", tmp_path, "minival")
    with pytest.raises(DatasetError, match="is not a folder"):
        open_dataset("InterHand2.6M", tmp_path / "none")
    assert len(set(NAMES)) == len(NAMES)


def test_rendered_clips_without_frames_or_of_values_that_are_none_are_refused(tmp_path, capsys):
    assert main(["data", "synthesise", str(tmp_path / "good"), "--clips", "1", "--frames", "2", "--quiet"]) == 0
    with np.load(tmp_path / "good" / "annotations.npz") as file:
        arrays = dict(file)
    capsys.readouterr()
    for changed, words in (
        ({name: values[:0] for name, values in arrays.items() if name != "frame_rate"}, "has no frame in split all"),
        ({"points": arrays["points"] * np.nan}, "points holds values that are not finite"),
        ({"frame_rate": np.nan}, "frame_rate is nan"),
    ):
        np.savez(tmp_path / "annotations.npz", **(arrays | changed))
        for asked in (["data", "check", "synthetic", tmp_path], ["evaluate", "--dataset", "synthetic", "--data", tmp_path]):
            assert main([*map(str, asked), *(["--out", str(tmp_path / "out")] if asked[0] == "evaluate" else [])]) == 2
            assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("flat, components", [(True, None), (False, None), (False, 44), (True, 12)])
@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_mano_parameters_are_what_smplx_makes_of_them(flat, components, side):
    hands, rng = hand_models(), np.random.default_rng(side + 10)
    truth, pose = make_truth(hands[side], (0.3, -0.2, 0.1), rng, flat, components), camera_pose(rng)
    mano = ManoTruth(hands, flat, components is not None)
    fields = mano.fields(side, truth.pose, truth.betas, truth.translation, pose)
    assert_hand(HandTruth(np.array([-1e9, -1e9, 1e9, 1e9]), **fields), truth, *pose)
    fields = mano.fields(side, truth.pose, truth.betas, truth.translation)
    assert_hand(HandTruth(np.zeros(4), **fields), truth)


def test_left_hands_fitted_with_the_model_as_released():
    hands, rng = hand_models(), np.random.default_rng(5)
    truth, pose = make_truth(released_left(hands[LEFT]), (0.3, -0.2, 0.1), rng), camera_pose(rng)
    fields = ManoTruth(hands, flat=False, left_as_released=True).fields(LEFT, truth.pose, truth.betas, truth.translation, pose)
    assert_hand(HandTruth(np.zeros(4), **fields), truth, *pose, betas=False)
    assert fields["betas"] is None


def test_a_pose_that_needs_a_model_needs_the_right_one():
    assert full_pose(np.zeros(48), None, flat=False) is None and full_pose(np.zeros(9), None, True, components=True) is None
    assert full_pose(np.zeros(48), None, flat=True).shape == (16, 3)
    with pytest.raises(DatasetError, match="hands_components"):
        full_pose(np.zeros(9), load_generic_hand(), True, components=True)


def test_a_sequence_is_parted_where_frames_were_left_out():
    def parts(*numbers):
        return {name: run.tolist() for name, run in without_gaps("s", numbers)}

    assert parts(5, 6, 7, 9, 10) == {"s": [0, 1, 2], "s from 9": [3, 4]}
    assert parts(3, 6, 9, 18, 21, 24, 30) == {"s": [0, 1, 2], "s from 18": [3, 4, 5], "s from 30": [6]}
    assert parts(4, 9) == parts(4, 5) == {"s": [0, 1]} and parts(4) == {"s": [0]} and parts() == {"s": []}


def test_joint_orders_are_permutations_with_the_wrist_first():
    for table in (
        joint_orders.OPENPOSE,
        joint_orders.TIPS_FIRST,
        joint_orders.WRIST_THEN_TIPS_FIRST,
        joint_orders.MANO_WITH_TIPS,
    ):
        assert sorted(table) == list(range(21))
    theirs = np.array(["thumb_4", "thumb_3", "thumb_2", "thumb_1", "index_4"] + ["?"] * 15 + ["wrist"])
    assert theirs[joint_orders.TIPS_FIRST][:5].tolist() == list(JOINT_NAMES[:5])


class Runs:
    def __reduce__(self):
        return os.mkdir, ("made",)


def test_pickles_are_read_without_running_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {"pose": np.arange(6.0).reshape(2, 3), "nested": [{"name": "a", "valid": True}], "number": np.float32(2.5)}
    for protocol in range(6):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
        found = read_pickle(tmp_path / "a.pkl")
        np.testing.assert_array_equal(found["pose"], content["pose"])
        assert found["nested"] == content["nested"] and found["number"] == 2.5
    np.save(tmp_path / "object.npy", content)
    np.testing.assert_array_equal(read_npy(tmp_path / "object.npy")["pose"], content["pose"])
    np.save(tmp_path / "array.npy", content["pose"])
    np.testing.assert_array_equal(read_npy(tmp_path / "array.npy"), content["pose"])
    (tmp_path / "b.pkl").write_bytes(pickle.dumps({"a": Runs()}))
    np.save(tmp_path / "b.npy", {"a": Runs()})
    (tmp_path / "c.pkl").write_bytes(b"\x80\x04 nothing")
    for path, reader in (
        ("b.pkl", read_pickle),
        ("b.npy", read_npy),
        ("c.pkl", read_pickle),
        ("d.pkl", read_pickle),
        ("d.npy", read_npy),
    ):
        with pytest.raises(DatasetError, match=path):
            reader(tmp_path / path)
    assert not (tmp_path / "made").exists() and not issubclass(DatasetError, AssetError)
