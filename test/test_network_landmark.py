"""The landmark network: relation maps against Eq. 1-4, one hand or two, windows, and weights files."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fourdhands_core.errors import CheckpointError
from fourdhands_core.network.checkpoint import load_weights, save_weights
from fourdhands_core.network.landmark_config import LandmarkConfig
from fourdhands_core.network.landmark_model import LandmarkNetwork
from fourdhands_core.network.landmark_tokens import BOX_SCALE, landmark_tokens, look_at, mirror_points

SMALL = LandmarkConfig(width=32, relation_width=8, heads=2)


def some_tokens(batch=3, present=((True, True),), seed=0, tau=1.0):
    generator = torch.Generator().manual_seed(seed)
    rays = 0.05 * torch.randn(batch, 2, 21, 2, generator=generator) + torch.tensor([[-0.1, 0.0], [0.2, 0.1]])[:, None]
    world = 0.05 * torch.randn(batch, 2, 21, 3, generator=generator)
    present = torch.tensor(present).expand(batch, 2)
    return rays, world, landmark_tokens(rays, world, present, present, tau)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = LandmarkNetwork(SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def test_look_at_turns_the_ray_forward():
    ray = torch.randn(50, 3)
    ray[:, 2] = ray[:, 2].abs() + 0.05
    turn = look_at(ray)
    forward = (turn @ torch.nn.functional.normalize(ray, dim=-1)[..., None])[..., 0]
    assert torch.allclose(forward, torch.tensor([0.0, 0.0, 1.0]).expand(50, 3), atol=1e-5)
    assert torch.allclose(turn @ turn.transpose(-1, -2), torch.eye(3).expand(50, 3, 3), atol=1e-5)


def test_relation_maps_are_equations_2_and_3_on_the_landmarks():
    """Worked again with numpy, point by point, in the right hand's virtual camera."""
    rays, _, tokens = some_tokens(batch=1, tau=0.7)
    turn = tokens.rotation[0, 1].double().numpy()

    def seen_by_right(points):
        directions = np.concatenate([points, np.ones((21, 1))], 1) @ turn.T
        return directions[:, :2] / directions[:, 2:]

    right = seen_by_right(rays[0, 1].double().numpy())
    left = seen_by_right(rays[0, 0].double().numpy() * [-1.0, 1.0])
    size_right, size_left = tokens.size[0, 1].item(), tokens.size[0, 0].item()
    sigmoid = lambda x: 1.0 / (1.0 + np.exp(-x))
    relation = tokens.relation[0, 1].double().numpy()
    assert relation[:, :2] == pytest.approx(sigmoid(0.7 * (right - left) / size_right), abs=1e-5)
    assert relation[:, 2:4] == pytest.approx(sigmoid(0.7 * (left - right) / size_left), abs=1e-5)
    inside = (np.abs(right - left.mean(0)) < size_left / 2).all(1)
    assert (relation[:, 4] == np.where(inside, 1.0, -1.0)).all()


def test_the_box_is_measured_in_the_virtual_camera_and_features_do_not_depend_on_place_or_distance():
    shape = torch.randn(21, 3, generator=torch.Generator().manual_seed(1)) * 0.05
    features, sizes = [], []
    for direction, distance in (((0.0, 0.0), 0.5), ((0.5, -0.3), 0.5), ((0.0, 0.0), 1.0)):
        axis = torch.tensor([*direction, 1.0])
        turn = look_at(axis)
        points = shape @ turn + torch.nn.functional.normalize(axis, dim=0) * distance
        rays = (points[:, :2] / points[:, 2:]).expand(1, 2, 21, 2)
        present = torch.tensor([[False, True]])
        tokens = landmark_tokens(rays, shape.expand(1, 2, 21, 3), present, present, 1.0)
        features.append(tokens.features[0, 1])
        sizes.append(tokens.size[0, 1].item())
    assert torch.allclose(features[0][:, :2], features[1][:, :2], atol=0.06)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)
    assert sizes[0] / sizes[2] == pytest.approx(2.0, rel=0.05)
    assert features[0][:, :2].square().sum(-1).mean().item() == pytest.approx(1.0, rel=1e-4)
    assert BOX_SCALE > 2.0


def test_an_absent_hand_is_far_away_and_its_numbers_do_not_matter(network):
    rays, world, tokens = some_tokens(present=((False, True),))
    assert (tokens.relation[:, 1, :, :4] == 1.0).all() and (tokens.relation[..., 4] == -1.0).all()
    rays[:, 0], world[:, 0] = 7.0, -3.0
    present = torch.tensor([[False, True]]).expand(3, 2)
    other = landmark_tokens(rays, world, present, present, 1.0)
    valid = present[:, :, None]
    zero = torch.zeros(3, 1)
    one = network.reason(network.encode_frame(tokens)[:, :, None], zero, valid)
    two = network.reason(network.encode_frame(other)[:, :, None], zero, valid)
    assert torch.allclose(one.rotations[:, 1], two.rotations[:, 1], atol=1e-5)
    assert torch.isfinite(one.rotations).all()


def test_the_other_hand_changes_the_estimate(network):
    _, _, both = some_tokens(present=((True, True),))
    _, _, alone = some_tokens(present=((False, True),))
    assert not torch.allclose(network.encode_frame(both)[:, 1], network.encode_frame(alone)[:, 1], atol=1e-3)


def test_one_frame_equals_its_repetition(network):
    """Section 3.3: single-frame input by repetition."""
    _, _, tokens = some_tokens()
    hand = network.encode_frame(tokens)[:, :, None]
    one = network.reason(hand, torch.zeros(3, 1), tokens.present[..., None])
    nine = network.reason(hand.expand(-1, -1, 9, -1), torch.zeros(3, 9), tokens.present[..., None].expand(-1, -1, 9))
    for name, value in vars(one).items():
        assert torch.allclose(value, getattr(nine, name), atol=1e-5), name


def test_frames_without_the_hand_are_not_looked_at(network):
    _, _, tokens = some_tokens()
    hands = network.encode_frame(tokens)[:, :, None].repeat(1, 1, 9, 1)
    valid = torch.ones(3, 2, 9, dtype=torch.bool)
    valid[:, :, :3] = False
    spoiled = hands.clone()
    spoiled[:, :, :3] = 100.0
    offsets = torch.arange(-4.0, 5.0).expand(3, 9)
    assert torch.allclose(network.reason(hands, offsets, valid).betas, network.reason(spoiled, offsets, valid).betas, atol=1e-5)


def test_output_rotations_are_rotations(network):
    _, _, tokens = some_tokens(batch=8)
    output = network.reason(network.encode_frame(tokens)[:, :, None], torch.zeros(8, 1), tokens.present[..., None])
    product = output.rotations @ output.rotations.transpose(-1, -2)
    assert torch.allclose(product, torch.eye(3).expand_as(product), atol=1e-5)
    assert torch.allclose(torch.linalg.det(output.rotations), torch.ones(8, 2, 16), atol=1e-5)
    assert (output.joint_sigma > 0).all() and (output.other_root_sigma > 0).all()


def test_mirroring_points_twice_changes_nothing():
    points = torch.randn(4, 21, 3)
    assert (mirror_points(mirror_points(points)) == points).all()


def test_weights_come_back_the_same_with_their_configuration(network, tmp_path):
    save_weights(network, tmp_path / "w.safetensors", note="x")
    again = load_weights(tmp_path / "w.safetensors")
    assert again.config == SMALL
    for name, tensor in network.state_dict().items():
        assert (again.state_dict()[name] == tensor).all()


def test_shipped_weights_load_and_are_small():
    from fourdhands_core.network.checkpoint import SHIPPED

    assert SHIPPED.stat().st_size < 10e6
    assert load_weights().config.tokenizer == "landmark"


def spoil(tensors, header, kind):
    if kind == "missing":
        del tensors["pose.weight"]
    elif kind == "superfluous":
        tensors["extra"] = torch.zeros(2)
    elif kind == "misshapen":
        tensors["pose.weight"] = torch.zeros(3, 3)
    elif kind == "nan":
        tensors["pose.weight"][0, 0] = float("nan")
    elif kind == "configuration":
        header["config"]["width"] = 64
    elif kind == "unknown setting":
        header["config"]["depth"] = 2
    return tensors, header


@pytest.mark.parametrize(
    "kind, said",
    [
        ("missing", "missing pose.weight"),
        ("superfluous", "superfluous extra"),
        ("misshapen", r"pose.weight is \(3, 3\)"),
        ("nan", "pose.weight holds values that are not finite"),
        ("configuration", "does not fit"),
        ("unknown setting", "depth"),
    ],
)
def test_wrong_weights_are_refused_by_name(network, tmp_path, kind, said):
    header = {"config": SMALL.to_dict(), "about": {}}
    tensors, header = spoil({k: v.clone() for k, v in network.state_dict().items()}, header, kind)
    save_file(tensors, str(tmp_path / "w.safetensors"), metadata={"fourdhands": json.dumps(header)})
    with pytest.raises(CheckpointError, match=said):
        load_weights(tmp_path / "w.safetensors")


def test_truncated_foreign_and_missing_files_are_refused(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(network, path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:5], b"", b"not weights at all", struct.pack("<Q", 1 << 60) + b"{}"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="w.safetensors"):
            load_weights(path)
    save_file({"x": torch.zeros(1)}, str(path))
    with pytest.raises(CheckpointError, match="no FourDHands configuration"):
        load_weights(path)
    with pytest.raises(CheckpointError, match="does not exist; give weights .* without, model landmark takes") as raised:
        load_weights(tmp_path / "none.safetensors")
    assert "shipped" not in str(raised.value), "none are shipped for model image, which may have asked for them"
