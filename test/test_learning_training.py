"""What the image network is trained on and by: samples, losses, sources, and that a few steps learn."""

import dataset_fixtures_freihand
import numpy as np
import pytest
import torch
from dataset_support import hand_models
from training_support import FROM_NOTHING, HANDS, tiny

from fourdhands_core.cli import main
from fourdhands_core.errors import DatasetError
from fourdhands_core.geometry.rotations import mirror_matrix
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.learning.image.batches import Batches
from fourdhands_core.learning.image.objective import ImageObjective, TokenPoints
from fourdhands_core.learning.image.report import errors
from fourdhands_core.learning.image.run import Run
from fourdhands_core.learning.losses import LossWeights
from fourdhands_core.network.image_model import ImageHands
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.image_regression import ImageRegressor, ImageTokens
from fourdhands_core.runtime.crops import CROP_SIZE


@pytest.fixture(scope="module")
def batch():
    return Batches(tiny(run={"batch": 8}, data={"opposite": 0.0}), HANDS)[0]


def test_batches_are_a_function_of_seed_step_and_process(batch):
    settings = tiny(run={"batch": 8}, data={"opposite": 0.0})
    again = Batches(settings, HANDS)
    assert all(torch.equal(batch[name], value) for name, value in again[0].items())
    other = Batches(settings, HANDS, rank=1)[0]
    assert not torch.equal(batch["crops"], again[1]["crops"]) and not torch.equal(batch["crops"], other["crops"])
    assert batch["crops"].shape == (8, 2, 2, 256, 192, 3) and batch["crops"].dtype == torch.uint8
    assert batch["present"].any(-1).float().mean() > 0.8


def test_truths_of_samples_agree_with_each_other(batch):
    flat = {name: value.flatten(0, 1) for name, value in batch.items()}
    objective = ImageObjective(tiny().network, HANDS[RIGHT], LossWeights())
    _, joints = objective.pose(flat["rotations"], flat["betas"])
    known = flat["present"]
    assert (flat["has_mano"] == known).all() and (flat["joint_valid"].all(-1) == known).all()
    torch.testing.assert_close(joints[known], flat["joints"][known], atol=2e-5, rtol=0)


def test_the_truth_fed_to_the_tracker_as_the_networks_answer_is_the_truth_in_the_camera():
    """Turns to virtual cameras and mirrored left hands are undone by ImageRegressor exactly as they were done here."""
    for virtual in (True, False):
        settings = tiny(
            run={"batch": 6},
            data={"length": 1, "opposite": 0.0},
            network={"virtual_camera": virtual, "root": 9},
            synthesis={"single_share": 0.0, "view_angle": 20.0},
        )
        batches = Batches(settings, HANDS)
        source = batches.sources[0]
        clips = source._synthesis.draw(5, 6, np.zeros(1))
        samples = [source._sample(clip, np.random.default_rng(1)) for clip in clips]
        checked = 0
        for clip, sample in zip(clips, samples):
            if not sample.arrays["related"][0]:
                continue
            checked += 1
            truth = {name: value[0].astype(float) for name, value in sample.arrays.items()}
            own = HandArrays((HANDS[RIGHT],) * 2).joints(truth["rotations"][:, 0], truth["rotations"][:, 1:], truth["betas"])
            # upsilon is between the joints `root`, in the right hand's axes
            relative = truth["left_root"] + truth["left_to_right"] @ own[LEFT, 9] - own[RIGHT, 9]
            frame = Frame(0, clip.camera, [], tokens=ImageTokens(None, truth["squares"]), detections=("seen", "seen"))
            network = type("Answer", (), {"config": settings.network})()
            regressor = ImageRegressor(network, HandArrays(HANDS), np.zeros(45))
            camera = np.array([[5.0, 0.01, -0.02], [6.0, 0.0, 0.03]])
            answer = regressor._in_camera(frame, truth["rotations"], truth["betas"], camera, relative)
            expected = clip.rotations[0].copy()
            expected[LEFT] = mirror_matrix(expected[LEFT])
            np.testing.assert_allclose(answer.rotations, expected, atol=1e-5)
            wrists = clip.root[0, LEFT] * (-1.0, 1.0, 1.0) - clip.root[0, RIGHT]
            np.testing.assert_allclose(answer.relative, wrists, atol=1e-5)
            # and Eq. 8 projects as the tracker does
            objective = ImageObjective(settings.network, HANDS[RIGHT], LossWeights())
            seen = objective.project(torch.tensor(own)[None], torch.tensor(camera)[None])[0].numpy()
            from fourdhands_core.runtime.crops import to_crop

            for side in (LEFT, RIGHT):
                crop = to_crop(answer.landmarks[side], truth["squares"][side], side == LEFT)
                np.testing.assert_allclose(seen[side], crop / 128.0 - 1.0, atol=1e-5)
        assert checked >= 2


def test_perfect_hands_have_no_loss_and_no_error(batch):
    flat = {name: value.flatten(0, 1) for name, value in batch.items()}
    config = tiny().network
    objective = ImageObjective(config, HANDS[RIGHT], LossWeights(projection=0.0))
    pose = torch.cat([flat["rotations"][..., 0], flat["rotations"][..., 1]], -1)
    hands = ImageHands(
        pose,
        flat["rotations"],
        flat["betas"],
        torch.tensor([5.0, 0.0, 0.0]).expand(*flat["present"].shape, 3),
        flat["left_root"],
    )
    terms, joints = objective(hands, batch)
    assert set(terms) == {"mano", "joints", "points", "vertices", "relation", "close"}
    assert sum(terms.values()) < 1e-6


def test_a_single_hand_is_flipped_to_a_far_away_opposite_hand():
    settings = tiny(run={"batch": 6}, data={"opposite": 1.0}, synthesis={"single_share": 1.0})
    batch = Batches(settings, HANDS)[0]
    both = batch["present"].all(-1)
    assert (batch["present"].any(-1) == both).all() and both.any() and not batch["related"].any()
    for name in ("crops", "joints", "rotations", "points"):
        assert torch.equal(batch[name][:, :, LEFT][both], batch[name][:, :, RIGHT][both])
    squares = batch["squares"][both]
    gap = squares[:, RIGHT, 0] - squares[:, LEFT, 0]
    torch.testing.assert_close(gap, 10.0 * squares[:, RIGHT, 2])


@pytest.mark.parametrize("changes", [{}, FROM_NOTHING], ids=["patches", "from nothing"])
def test_a_few_steps_on_one_batch_learn_it(batch, tmp_path, changes):
    run = Run(
        tiny(run={"steps": 1000}, **{**changes, "losses": {"vertices": 0.0, "close": 0.0, **changes.get("losses", {})}}),
        tmp_path,
    )
    few = {name: value[:3] for name, value in batch.items()}
    first = run.advance(few)
    for _ in range(20):
        last = run.advance(few)
    assert last["loss"] < 0.6 * first["loss"] and ("tokens" in last) == bool(changes)
    assert not changes or last["tokens"] < 0.97 * first["tokens"]


def test_points_are_read_off_the_backbones_tokens(batch):
    settings = tiny()
    read = TokenPoints(settings.network)
    there = batch["present"]
    points, valid = batch["points"][there], batch["point_valid"][there]
    centres = read.centres * settings.network.patch
    middle = torch.tensor([CROP_SIZE / 2, CROP_SIZE / 2])  # of the crop, which is the middle of its square
    torch.testing.assert_close(centres.mean(0), middle)
    nearest = (points[:, None] - centres[:, None]).norm(dim=-1).argmin(1)  # (N, 21)
    logits = torch.full((len(points), len(centres), 21), -1e4).scatter(1, nearest[:, None], 0.0)
    offsets = (points - centres[nearest])[:, None] / settings.network.patch
    # a head of one column that is passed through: what it says of every token is what forward and loss shall make points of
    out = torch.cat([logits[..., None], offsets.expand(-1, len(centres), -1, -1)], -1).flatten(2)
    read.head = torch.nn.Identity()
    said, found = read(out)
    torch.testing.assert_close(found * settings.network.patch, points, atol=1e-3, rtol=0)
    near = (-(points[:, None] - centres[:, None]).square().sum(-1) / 2 / (0.7 * settings.network.patch) ** 2).softmax(1)
    entropy = -(near * near.clamp(min=1e-30).log()).sum(1)[valid].mean()
    torch.testing.assert_close(
        read.loss(near.clamp(min=1e-30).log(), points / settings.network.patch, points, valid), entropy, atol=1e-4, rtol=0
    )
    assert read.loss(torch.zeros_like(near), found, points, valid) > entropy + 0.5
    assert read.loss(said, found, torch.full_like(points, torch.nan), torch.zeros_like(valid)) == 0.0


@pytest.mark.parametrize("changes", [{}, FROM_NOTHING], ids=["patches", "from nothing"])
def test_a_batch_in_which_no_hand_shows_changes_nothing_and_fails_nothing(batch, tmp_path, changes):
    run = Run(tiny(optimiser={"rate": 1e-3, "weight_decay": 0.0}, **changes), tmp_path)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    assert (
        run.advance({**batch, "present": torch.zeros_like(batch["present"]), "related": torch.zeros_like(batch["related"])})[
            "loss"
        ]
        == 0.0
    )
    assert run.step == 1 and all(torch.equal(before[name], value) for name, value in run.network.state_dict().items())


def test_errors_of_the_metrics_on_a_network_are_finite_and_beside_a_mean_pose(batch, tmp_path):
    run = Run(tiny(), tmp_path)
    found = errors(run.average, run.objective, [batch], "cpu")
    assert set(found) >= {"mpjpe_mm", "pa_mpjpe_mm", "mean_pose_mpjpe_mm", "mean_pose_pa_mpjpe_mm"}
    assert found["pa_mpjpe_mm"] < found["mpjpe_mm"] and all(np.isfinite(list(found.values())))


def test_a_source_of_mano_without_mano_is_told_and_an_unknown_one_refused(tmp_path, caplog):
    sources = [{"name": name, "path": str(tmp_path)} for name in ("FreiHAND", "COCO-WholeBody", "HO3D")]
    Run(tiny(data={"sources": [{"name": "synthesis"}, *sources]}), tmp_path)
    assert "the poses and shapes of FreiHAND, HO3D are MANO's" in caplog.text
    with pytest.raises(DatasetError, match="there is no dataset 'FreeHand'; there are"):
        Run(tiny(data={"sources": [{"name": "FreeHand", "path": str(tmp_path)}]}), tmp_path)


@pytest.mark.parametrize("hand_model", ["", "mano.npz"])
def test_poses_of_mano_are_learned_of_mano_alone(tmp_path, hand_model):
    hands = hand_models()
    dataset_fixtures_freihand.write(tmp_path, hands)
    settings = tiny(data={"sources": [{"name": "FreiHAND", "path": str(tmp_path)}], "hand_model": hand_model, "opposite": 0.0})
    batch = Batches(settings, hands)[0]
    there = batch["present"]
    assert there.any() and batch["joint_valid"][there].all() and (batch["has_mano"][there] == bool(hand_model)).all()


def test_a_rendered_dataset_is_a_source_of_the_mixture(tmp_path):
    root = tmp_path / "rendered"
    assert main(["data", "synthesise", str(root), "--clips", "2", "--frames", "3", "--quiet"]) == 0
    settings = tiny(
        run={"batch": 6}, data={"sources": [{"name": "synthetic", "path": str(root)}, {"name": "synthesis"}], "opposite": 0.0}
    )
    batch = Batches(settings, HANDS)[0]
    assert len(batch["crops"]) == 6 and batch["present"].any()
    flat = {name: value.flatten(0, 1) for name, value in batch.items()}
    _, joints = ImageObjective(settings.network, HANDS[RIGHT], LossWeights()).pose(flat["rotations"], flat["betas"])
    torch.testing.assert_close(joints[flat["present"]], flat["joints"][flat["present"]], atol=3e-5, rtol=0)
