"""The ablation: what each row's network can know, hidden fingers, conditions, and the command from end to end."""

import json

import numpy as np
import pytest
import torch

from fourdhands_core.cli import main
from fourdhands_core.errors import CheckpointError
from fourdhands_core.learning.landmark.ablation import ROWS, AblationSettings, configuration, estimate
from fourdhands_core.learning.landmark.ablation_data import CONDITIONS, OccludedSynthesis, condition
from fourdhands_core.network.checkpoint import load_weights, save_weights
from fourdhands_core.network.landmark_config import LandmarkConfig
from fourdhands_core.network.landmark_model import LandmarkNetwork
from fourdhands_core.network.landmark_tokens import landmark_tokens, mirror_points

TINY = AblationSettings(width=16, layers=1)
BY_NAME = {row.name: row for row in ROWS}


def network_of(name):
    """An untrained network of a row, every weight of it in use."""
    torch.manual_seed(1)
    network = LandmarkNetwork(configuration(BY_NAME[name], TINY)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def seen(seed=0):
    generator = torch.Generator().manual_seed(seed)
    rays = 0.05 * torch.randn(4, 2, 21, 2, generator=generator) + torch.tensor([[-0.1, 0.0], [0.2, 0.1]])[:, None]
    return rays, 0.05 * torch.randn(4, 2, 21, 3, generator=generator)


def answer(network, rays, world):
    every, config = torch.ones(4, 2, dtype=torch.bool), network.config
    tokens = landmark_tokens(rays, world, every, every, config.tau, config.common_box)
    with torch.no_grad():
        return network.reason(network.encode_frame(tokens)[:, :, None], torch.zeros(4, 1), every[..., None])


def turned(rays, angle):
    """Rays (..., 2) as seen by a camera that was turned about its y axis."""
    c, s = np.cos(angle), np.sin(angle)
    directions = torch.nn.functional.pad(rays, (0, 1), value=1.0) @ torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]]).float()
    return directions[..., :2] / directions[..., 2:]


def changed(first, second):
    """Whether what is said of the right hand and of the left one relative to it has changed."""
    return (
        not torch.allclose(first.rotations[:, 1], second.rotations[:, 1], atol=1e-4),
        not torch.allclose(first.other_root[:, 1], second.other_root[:, 1], atol=1e-5),
    )


@pytest.mark.parametrize(
    "name, place, shape",
    [("Baseline", False, False), ("+ Cross S w/o RAT", False, True), ("+ Cross S", True, True), ("+ Cross H", True, True)],
)
def test_a_row_knows_of_the_other_hand_what_it_should(name, place, shape):
    """The left hand elsewhere in the picture, larger, and with another shape: what the right hand's answer may depend on."""
    network = network_of(name)
    rays, world = seen()
    before = answer(network, rays, world)
    elsewhere, other = rays.clone(), world.clone()
    elsewhere[:, 0] = turned(rays[:, 0], 0.3)
    middle = rays[:, 0].mean(1, keepdim=True)
    other[:, 0] = other[:, 0].flip(1)
    assert changed(before, answer(network, elsewhere, world)) == (place, place)
    assert changed(before, answer(network, rays, other)) == (shape, shape)
    bigger = rays.clone()
    bigger[:, 0] = middle + 1.5 * (rays[:, 0] - middle)
    if place:
        assert changed(before, answer(network, bigger, world)) == (True, True)


@pytest.mark.parametrize("name", ["Baseline", "+ Cross S w/o RAT", "+ Cross S", "+ Cross H"])
def test_no_row_knows_how_large_the_hands_are_in_the_picture(name):
    """Both hands half as large around the optical axis, as hands twice as far away: to a crop they look the same."""
    network = network_of(name)
    rays, world = seen()
    rays = 0.02 * rays  # so near the axis that perspective is no clue
    near, far = answer(network, rays, world), answer(network, rays / 2.0, world)
    assert torch.allclose(near.other_root, far.other_root, atol=1e-4)
    shipped = load_weights()
    assert not torch.allclose(answer(shipped, rays, world).other_root, answer(shipped, rays / 2, world).other_root, atol=1e-3)


def test_positions_in_the_common_box_are_those_of_one_picture_of_both():
    """Worked again in numpy; the left hand's x are mirrored, as everything of it is."""
    rays, world = (x[:1] for x in seen())
    every = torch.ones(1, 2, dtype=torch.bool)
    tokens = landmark_tokens(rays, world, every, every, 1.0, common_box=True)
    directions = torch.nn.functional.pad(rays, (0, 1), value=1.0)
    right, left = directions[0, 1].double().numpy(), mirror_points(directions)[0, 0].double().numpy()
    turn = tokens.rotation[0, 1].double().numpy()
    middle = [(points / np.linalg.norm(points, axis=1, keepdims=True)).mean(0) for points in (left, right)]
    assert (turn @ sum(middle))[:2] == pytest.approx([0.0, 0.0], abs=1e-6)
    points = np.concatenate([points @ turn.T / (points @ turn.T)[:, 2:] for points in (left, right)])[:, :2]
    points -= points.mean(0)
    points /= np.sqrt((points**2).sum(1).mean())
    assert tokens.features[0, 0, :, :2].numpy() == pytest.approx(points[:21] * [-1, 1], abs=1e-4)
    assert tokens.features[0, 1, :, :2].numpy() == pytest.approx(points[21:], abs=1e-4)
    alone = torch.tensor([[False, True]])
    assert torch.allclose(
        landmark_tokens(rays, world, alone, alone, 1.0, True).features, landmark_tokens(rays, world, alone, alone, 1.0).features
    )


def test_a_networks_missing_parts_are_kept_in_its_weights_file(tmp_path):
    for row in ROWS:
        network = network_of(row.name)
        save_weights(network, tmp_path / "w.safetensors")
        loaded = load_weights(tmp_path / "w.safetensors")
        assert loaded.config == network.config and loaded.state_dict().keys() == network.state_dict().keys()
    with pytest.raises(CheckpointError, match="cross_hand must be true or false"):
        LandmarkConfig(cross_hand=1)


def test_hidden_fingers_tell_nothing_and_the_truth_stays():
    config = configuration(BY_NAME["+ Cross S"], TINY)
    data, plain = OccludedSynthesis(3, config, 1.0), OccludedSynthesis(3, config, 0.0)
    frames, _ = data.draw(40, 20)
    hidden = data.hidden
    assert not hidden[..., 0].any() and hidden.any(-1).any(-1).float().mean() > 0.6
    fingers = hidden[..., 1:].unflatten(-1, (5, 4))
    assert torch.equal(fingers.all(-1), fingers.any(-1)) and fingers.any(-1).sum(-1).max() == 4
    for t, (tokens, _) in enumerate(frames):
        assert (tokens.features[hidden[:, :, t]] == 0).all()
    joints = data.kinematics[1](frames[5][1].rotations, frames[5][1].betas)
    assert torch.allclose(joints, frames[5][1].joints, atol=1e-5)
    plain.draw(2, 5)
    assert not plain.hidden.any()

    motion = data.motion.sample(torch.arange(6)[None].expand(3, 6) / 30.0)
    rays, world, every = torch.randn(3, 2, 6, 21, 2) * 0.1, torch.randn(3, 2, 6, 21, 3), torch.ones(3, 2, 6, dtype=torch.bool)
    answers = []
    for fill in (0.0, 5.0):
        data.motion.generator.manual_seed(8)
        data._draw_hidden, original = (lambda *_: fixed), data._draw_hidden
        fixed = torch.zeros(3, 2, 6, 21, dtype=torch.bool)
        fixed[:, :, 2:, 5:13] = True
        answers.append(
            data.frames(motion, 1, torch.where(fixed[..., None], fill, rays), torch.where(fixed[..., None], fill, world), every)
        )
        data._draw_hidden = original
    for (first, _), (second, _) in zip(*answers):
        for name in ("features", "relation", "rotation", "size"):
            assert torch.allclose(getattr(first, name), getattr(second, name), atol=1e-5), name


def test_conditions_are_what_they_say_and_the_same_for_every_row():
    for name in CONDITIONS:
        clips = condition(name, configuration(ROWS[0], TINY), 12, 6, seed=5)
        again = condition(name, configuration(BY_NAME["+ Cross H"], TINY), 12, 6, seed=5)
        tokens, truth = clips.frames[0]
        assert len(clips.times) == 12 and clips.counted.shape == (12, 2, 6)
        assert torch.equal(clips.times, again.times) and torch.equal(clips.counted, again.counted)
        assert torch.equal(truth.betas, again.frames[0][1].betas)
        apart, ratio = truth.other_root[:, 1].norm(dim=-1), tokens.size[:, 0] / tokens.size[:, 1]
        if name == "far":
            assert (apart > 0.3).all() and ((ratio > 1.5) | (ratio < 1 / 1.5)).all()
        elif name == "close":
            assert (apart < 0.2).all()
        else:
            assert 0.05 < clips.counted.float().mean() < 0.9


def test_a_window_sees_the_past_and_as_much_of_the_future_as_it_may():
    data = OccludedSynthesis(2, configuration(BY_NAME["+ Cross S + Seq"], TINY), 0.0, single_share=0.0)
    frames, times = data.draw(3, 14)

    def moved(network, changed_frame, lookahead):
        """Frames whose answers change when one frame's features do."""
        with torch.no_grad():
            before = estimate(network, frames, times, lookahead)[0].rotations
            tokens = frames[changed_frame][0]
            kept, tokens.features = tokens.features, tokens.features + 0.5
            after = estimate(network, frames, times, lookahead)[0].rotations
            tokens.features = kept
        differs = ((before - after).abs() > 1e-6).unflatten(0, (14, 3)).flatten(1).any(-1)
        return differs.nonzero().flatten().tolist()

    window, single = network_of("+ Cross S + Seq"), network_of("+ Cross S")
    assert moved(single, 6, 0) == [6]
    times = torch.arange(14).expand(3, 14) / 30.0
    assert moved(window, 6, 0) == [6, 7, 8, 9, 10]
    assert moved(window, 6, 4) == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_the_command_writes_table_and_plot_and_continues_what_was_ended(tmp_path, capsys):
    small = (
        "--set width=16 --set layers=1 --set clips=2 --set frames=3 --set single_batch=8 --set test_clips=3 --set test_frames=5"
    ).split()
    command = ["ablate", "--out", str(tmp_path), "--steps", "2", *small]
    assert main([*command, "--seeds", "1"]) == 0
    runs = sorted((tmp_path / "runs").glob("*.json"))
    assert len(runs) == 5
    runs[0].unlink()
    made = {path: path.stat().st_mtime_ns for path in runs[1:]}
    assert main([*command, "--seeds", "2"]) == 0
    assert len(list((tmp_path / "runs").glob("*.json"))) == 10 and all(p.stat().st_mtime_ns == t for p, t in made.items())

    result = json.loads((tmp_path / "ablation.json").read_text())
    assert list(result["rows"]) == [row.name for row in ROWS]
    values = [
        json.loads((tmp_path / "runs" / f"full_{seed}.json").read_text())["rows"]["+ Cross S"]["far"]["mrrpe"]
        for seed in (1, 2)
    ]
    figure = result["rows"]["+ Cross S"]["far"]["mrrpe"]
    assert figure["values"] == pytest.approx(values, abs=0.006) and figure["mean"] == pytest.approx(np.mean(values), abs=0.006)
    assert figure["spread"] == pytest.approx(abs(values[0] - values[1]) / np.sqrt(2), abs=0.006)
    table = (tmp_path / "ablation.md").read_text()
    assert "10.94 / 11.35 / 137.53" in table and f"{figure['mean']:.2f} ± {figure['spread']:.2f}" in table
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main([*command, "--seeds", "2", "--set", "frames=4"]) == 2
    assert "other settings" in capsys.readouterr().err
