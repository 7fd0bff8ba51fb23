"""fourdhands train CONFIG: the samples, the losses, resuming, several processes, and errors in the configuration."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import dataset_fixtures_freihand
import numpy as np
import pytest
import torch
import yaml
from dataset_support import hand_models
from safetensors.torch import load_file

from fourdhands_core.cli import main
from fourdhands_core.errors import CheckpointError, DatasetError, InputError
from fourdhands_core.geometry.rotations import mirror_matrix
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.learning.image.batches import Batches
from fourdhands_core.learning.image.objective import ImageObjective, TokenPoints
from fourdhands_core.learning.image.report import errors
from fourdhands_core.learning.image.run import Run
from fourdhands_core.learning.image.settings import TrainingSettings, build, read_settings
from fourdhands_core.learning.losses import LossWeights
from fourdhands_core.network.checkpoint import load_weights
from fourdhands_core.network.image_model import ImageHands
from fourdhands_core.network.weights_file import read_header
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.image_regression import ImageRegressor, ImageTokens
from fourdhands_core.runtime.crops import CROP_SIZE

ROOT = Path(__file__).parent.parent
HANDS = pair_of(load_generic_hand())
TINY = {
    "run": {
        "steps": 4,
        "batch": 2,
        "save_interval": 2,
        "log_interval": 1,
        "picture_interval": 4,
        "evaluate_interval": 4,
        "evaluated": 8,
    },
    "network": {
        "width": 64,
        "depth": 1,
        "heads": 2,
        "patch": 32,
        "relation_hidden": 16,
        "spatial_layers": 1,
        "hand_width": 64,
        "decoder_layers": 1,
        "decoder_heads": 1,
        "temporal_layers": 1,
        "temporal_heads": 2,
        "window": 3,
        "virtual_camera": True,
    },
    "optimiser": {"rate": 1e-3},
    "data": {"length": 2, "opposite": 0.5},
    "synthesis": {"view_angle": 12.0, "looks": {"skins": 1, "backgrounds": 2}},
}
FROM_NOTHING = {"network": {"stem": "convolutions"}, "losses": {"tokens": 1.0}}
"""What a backbone from nothing needs beside."""


def tiny(**changes) -> TrainingSettings:
    return build(
        TrainingSettings, {**TINY, **{name: {**TINY.get(name, {}), **value} for name, value in changes.items()}}, "tiny", ""
    )


@pytest.fixture(scope="module")
def batch():
    return Batches(tiny(run={"batch": 8}, data={"opposite": 0.0}), HANDS)[0]


@pytest.fixture
def written(tmp_path):
    def write(**changes):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **{n: {**TINY.get(n, {}), **v} for n, v in changes.items()}}))
        return path

    return write


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
    for _ in range(40):
        last = run.advance(few)
    assert last["loss"] < 0.6 * first["loss"] and ("tokens" in last) == bool(changes)
    assert not changes or last["tokens"] < 0.9 * first["tokens"]


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


def command(path, out, *more):
    return [sys.executable, "-m", "fourdhands_core.cli", "train", str(path), "--out", str(out), "--quiet", *more]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def test_a_killed_run_goes_on_bit_for_bit(tmp_path, written):
    settings = {"run": {"steps": 9, "save_interval": 3, "evaluate_interval": 9, "picture_interval": 9}, **FROM_NOTHING}
    path = written(**settings)
    assert main(["train", str(path), "--out", str(tmp_path / "whole"), "--quiet"]) == 0

    out = tmp_path / "killed"
    process = subprocess.Popen(command(path, out), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    curve = out / "curve.jsonl"
    deadline = time.monotonic() + 280
    while not (curve.is_file() and curve.read_text().count("\n") >= 4) and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    state = torch.load(out / "state.pt", weights_only=True)
    assert 3 <= state["step"] < 9
    assert main(["train", str(path), "--out", str(out), "--quiet"]) == 0

    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "killed")]
    assert all(torch.equal(value, states[1]["sequences"][name]) for name, value in states[0]["sequences"].items())
    assert "token_points.head.weight" in states[0]["sequences"]
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (tmp_path / name / "curve.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "killed")
    ]
    assert lines[0] == lines[1] and [line["step"] for line in lines[0]] == list(range(1, 10))

    config, about = read_header(out / "weights.safetensors")
    assert config == read_settings(path).network and about["step"] == 9
    assert load_weights(out / "weights.safetensors").config == config
    assert any((out / "tensorboard").iterdir()) and (out / "curve.png").is_file()

    changed = written(**{**settings, "optimiser": {"rate": 5e-4}})
    with pytest.raises(InputError, match="optimiser.rate was 0.001, is 0.0005"):
        Run(read_settings(changed), out)
    (out / "state.pt").write_bytes(b"PK nothing")
    with pytest.raises(CheckpointError, match="state.pt cannot be read"):
        Run(read_settings(path), out)


def test_two_processes_train_one_network_on_different_data(tmp_path, written):
    path = written(run={"steps": 2, "save_interval": 1, "evaluate_interval": 100, "picture_interval": 100}, **FROM_NOTHING)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc-per-node",
            "2",
            "--master-port",
            str(29500 + os.getpid() % 500),
            *command(path, tmp_path / "two")[1:],
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    two = torch.load(tmp_path / "two" / "state.pt", weights_only=True)
    # DDP averages the gradients of the two batches: so does one process that takes both
    settings = read_settings(path)
    alone = Run(settings, tmp_path / "one")
    for k in range(2):
        gradients = []
        for rank in (0, 1):
            copy = Run(settings, tmp_path / "one")
            copy.sequences.load_state_dict(alone.sequences.state_dict())
            data = Batches(settings, HANDS, rank)[k]
            copy.settings = replace(settings, optimiser=replace(settings.optimiser, clip=1e9))
            copy.advance(data)
            gradients.append([None if p.grad is None else p.grad.clone() for p in copy.sequences.parameters()])
        for parameter, *both in zip(alone.sequences.parameters(), *gradients):
            parameter.grad = sum(both) / 2
        torch.nn.utils.clip_grad_norm_(alone.sequences.parameters(), settings.optimiser.clip)
        for group in alone.optimiser.param_groups:
            group["lr"] = settings.optimiser.rate * (1.0 - k / 2)
        alone.optimiser.step()
    for name, value in alone.sequences.state_dict().items():
        torch.testing.assert_close(two["sequences"][name], value, atol=3e-4, rtol=0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"run": {"steps": "many"}}, "run.steps must be a whole number, not 'many'"),
        ({"run": {"stepps": 3}}, "there is no field run.stepps"),
        ({"optimiser": {"rate": -1.0}}, "optimiser.rate must be positive"),
        ({"losses": {"joints": None}}, "losses.joints must be a number"),
        ({"data": {"sources": [{"name": "synthesis", "weight": 0}]}}, "data.sources[0].weight must be positive"),
        ({"data": {"sources": [{"name": "FreiHAND"}]}}, "data.sources[0].path must name the folder"),
        ({"data": {"sources": "synthesis"}}, "data.sources must be a list"),
        ({"network": {"heads": 5}}, "network."),
        ({"synthesis": {"looks": {"skins": 1.5}}}, "synthesis.looks.skins must be a whole number"),
        ({"run": {"precision": "float8"}}, "run.precision must be"),
    ],
)
def test_a_wrong_field_is_named(written, changes, message, capsys):
    assert main(["train", str(written(**changes)), "--out", "nowhere"]) == 2
    assert message in capsys.readouterr().err


def test_a_wrong_configuration_file_is_named(tmp_path, capsys):
    assert main(["train", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml does not exist" in capsys.readouterr().err
    (tmp_path / "bad.yaml").write_text("run: [")
    assert main(["train", str(tmp_path / "bad.yaml")]) == 2
    assert main(["train", "landmark"]) == 2 and "--out FILE" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "bad.yaml"), "--clips", "3"]) == 2


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


@pytest.mark.parametrize("path", sorted((ROOT / "config/train").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_read(path):
    assert read_settings(path).run.steps > 0


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


def test_a_run_starts_from_weights_or_from_a_backbone_alone(tmp_path):
    run = Run(tiny(), tmp_path / "first")
    run.save([])
    weights = tmp_path / "first" / "weights.safetensors"
    later = Run(tiny(network={"window": 5}, start={"weights": str(weights)}), tmp_path / "second")
    assert torch.equal(later.network.pose.weight, run.average.pose.weight)
    with pytest.raises(InputError, match="network.tau 1.0, the configuration 2.0"):
        Run(tiny(network={"tau": 2.0}, start={"weights": str(weights)}), tmp_path / "third")

    vit = {f"backbone.{name}": torch.randn_like(value) for name, value in published(run.network.backbone).items()}
    torch.save(vit, tmp_path / "vit.pth")
    begun = Run(tiny(start={"backbone": str(tmp_path / "vit.pth")}), tmp_path / "fourth")
    assert torch.equal(begun.network.backbone.patches.weight, vit["backbone.patch_embed.proj.weight"])
    assert begun.step == 0
    with pytest.raises(CheckpointError, match="network.stem must be 'patches'"):
        Run(tiny(start={"backbone": str(tmp_path / "vit.pth")}, network={"stem": "convolutions"}), tmp_path / "fifth")


def published(backbone):
    """A ViT's tensors by the names of ViTPose."""
    names = (
        ("patches.", "patch_embed.proj."),
        ("position", "pos_embed"),
        ("norm_attention", "norm1"),
        ("norm_mlp", "norm2"),
        ("qkv", "attn.qkv"),
        ("output", "attn.proj"),
        ("mlp.0", "mlp.fc1"),
        ("mlp.2", "mlp.fc2"),
    )
    renamed = {}
    for name, value in backbone.state_dict().items():
        name = "last_norm." + name[5:] if name.startswith("norm.") else name
        for ours, theirs in names:
            name = name.replace(ours, theirs)
        renamed[name] = value
    return renamed
