"""The paper's figures are of joints that MANO's regressor makes of meshes (IntagHand's evaluation), not of measured joints."""

import json

import dataset_fixtures_hic as hic
import dataset_fixtures_interhand as interhand
import numpy as np
import pytest
from dataset_support import hand_models
from test_learning_evaluate_dataset import Oracle

from fourdhands_core.hand_model.skeleton import TIP_VERTICES, TO_21
from fourdhands_core.learning.datasets.registry import dataset_class, open_dataset
from fourdhands_core.learning.evaluation import dataset as evaluation
from fourdhands_core.learning.evaluation.metrics import mpvpe_scaled
from fourdhands_core.learning.evaluation.scores import HandFrames, Scores

HANDS = hand_models()


@pytest.fixture(scope="module")
def measured_apart(tmp_path_factory):
    """InterHand2.6M whose measured joints lie about 8 mm off MANO's, some of them not valid."""
    root = tmp_path_factory.mktemp("interhand")
    interhand.write(root, HANDS)
    path = root / "annotations" / "train" / "InterHand2.6M_train_joint_3d.json"
    data, rng = json.loads(path.read_text()), np.random.default_rng(0)
    for frames in data.values():
        for frame in frames.values():
            frame["world_coord"] = (np.array(frame["world_coord"]) + rng.normal(0.0, 5.0, (42, 3))).tolist()
            valid = np.array(frame["joint_valid"]).reshape(42)
            valid[[2, 25]] = 0
            frame["joint_valid"] = valid.reshape(42, 1).tolist()
    path.write_text(json.dumps(data))
    return root


class Fitted(Oracle):
    """Predicts MANO as it was fitted, its own joints: what a network that learned from the fits would say."""

    def of(self, frame, number):
        found = super().of(frame, number)
        for side, hand in enumerate(frame.hands):
            regressed = np.concatenate([HANDS[side].J_regressor @ hand.vertices, hand.vertices[TIP_VERTICES]])[TO_21]
            found.joints[side] = regressed + 0.001
        return found


def test_the_fits_themselves_have_no_error_but_against_the_measured_joints(measured_apart):
    dataset, notes = evaluation.open_for_evaluation("InterHand2.6M", measured_apart, "train", HANDS)
    result = evaluation.evaluate_dataset(dataset, Fitted(), progress=False)
    assert not notes and any("MANO's regressor makes of the meshes, as in the paper" in note for note in result.notes)
    overall = result.overall
    assert overall["mpjpe_scaled"] == overall["mpvpe_scaled"] == overall["mpvpe"] == 0.0
    assert 5.0 < overall["mpjpe"] < 15.0 and overall["pa_mpjpe"] > 3.0  # of what was measured
    for sample in result.samples:
        assert sample.error("mpjpe_scaled") == sample.error("mpvpe") == 0.0 < sample.error("mpjpe")
    # every hand's mesh counts, whichever of its measured joints are valid
    assert np.isnan(dataset[0].hands[1].joints).any() and overall["found"] == len(result.samples) == 2


def test_without_a_hand_model_the_measured_joints_are_compared_and_that_is_said(measured_apart):
    dataset, notes = evaluation.open_for_evaluation("InterHand2.6M", measured_apart, "train", None)
    result = evaluation.evaluate_dataset(dataset, Oracle(), progress=False)
    assert result.overall["mpjpe_scaled"] == 0.0 and "mpvpe" not in result.overall
    assert "no hand model was given" in notes[0] and any("the dataset's own joints" in note for note in result.notes)


def test_scaled_errors_are_of_the_meshes_joints_worked_out_one_by_one():
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=(4, 2, n, 3)) * 0.05 for n in (21, 21, 21, 21, 30, 30)]
    joints, true, mesh, true_mesh, vertices, true_vertices = arrays
    true_mesh[3, 1] = np.nan  # a hand without a mesh: its own joints
    true_vertices[3, 1] = np.nan
    scores = Scores()
    scores.add(
        HandFrames(joints, vertices), HandFrames(true, true_vertices), np.ones((4, 2), bool), mesh_joints=(mesh, true_mesh)
    )
    summary, expected, meshes = scores.summary(), [], []
    for t in range(4):
        for side in range(2):
            alone = (t, side) == (3, 1)
            p, q = (joints, true) if alone else (mesh, true_mesh)
            expected.append(mpvpe_scaled(p[t, side], q[t, side], p[t, side], q[t, side]))
            if not alone:
                moved = (vertices[t, side] - p[t, side, 0]) - (true_vertices[t, side] - q[t, side, 0])
                meshes.append(1000 * np.linalg.norm(moved, axis=1).mean())
    assert summary["mpjpe_scaled"] == pytest.approx(np.mean(expected))
    assert summary["mpvpe"] == pytest.approx(np.mean(meshes))


@pytest.mark.parametrize(
    "name, write, why",
    [("InterHand2.6M", interhand.write, "where sequences are slow"), ("HIC", hic.write, "as their rate is not published")],
)
def test_why_frames_are_evaluated_each_for_itself_is_said(tmp_path, name, write, why):
    write(tmp_path, HANDS)
    dataset, _ = evaluation.open_for_evaluation(name, tmp_path, dataset_class(name).splits[0], HANDS)
    said = [note for note in evaluation.evaluate_dataset(dataset, Oracle(), progress=False).notes if "each for itself" in note]
    assert len(said) == 1 and why in said[0]


def test_rendered_datasets_are_not_of_mano_and_need_no_word_about_it(tmp_path):
    from fourdhands_core.cli import main

    assert main(["data", "synthesise", str(tmp_path / "made"), "--clips", "1", "--frames", "1", "--quiet"]) == 0
    dataset, notes = evaluation.open_for_evaluation("synthetic", tmp_path / "made", None, None)
    assert not notes and len(dataset) == len(open_dataset("synthetic", tmp_path / "made")) == 1
