"""The image network with the authors' released weights: the same numbers at every stage, and clear errors."""

import argparse
import collections
import contextlib
import io
import pathlib
import pickle
import sys
import types
import typing

import numpy as np
import pytest
import torch
from network_support import SMALL
from released_support import SHAPES, checkpoint, inputs

from fourdhands_core.cli import main
from fourdhands_core.errors import CheckpointError
from fourdhands_core.network.checkpoint import load_weights
from fourdhands_core.network.image_config import ImageConfig
from fourdhands_core.network.image_model import ImageNetwork
from fourdhands_core.network.import_weights import import_backbone, import_released
from fourdhands_core.network.weights_file import read_header

TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("released") / "Demo_Video.pth"
    torch.save(checkpoint(), path)
    return path


@pytest.fixture(scope="module")
def imported(file):
    """The weights file that the command writes, and what it says."""
    out = file.with_name("released.safetensors")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert main(["import-weights", str(file), "--out", str(out)]) == 0
    return out, said.getvalue()


@pytest.fixture(scope="module")
def network(imported):
    return load_weights(imported[0])


@pytest.fixture(scope="module")
def stages(network):
    crops, squares, truth = inputs()
    with torch.inference_mode():
        features = network.backbone(crops)
        tokens = network.interact(features.unflatten(0, (9, 2)), squares)
        both = torch.ones(1, 2, dtype=torch.bool)
        torch.testing.assert_close(network.encode(crops[:2], squares[:1], both), tokens[:1], atol=1e-4, rtol=1e-4)
        fused = network.fuse(tokens.unflatten(0, (1, 9)).transpose(1, 2))
        return dict(
            maps=network.relation_maps(squares), features=features, tokens=tokens, fused=fused, hands=network.regress(fused)
        ), truth


def right_first(value):
    """(N, 2 left right, ...) as the reference has it, (N x 2 right left, ...)."""
    return value.flip(1).flatten(0, 1).detach().numpy()


def test_every_stage_agrees(stages, network):
    ours, truth = stages
    hands = ours["hands"]
    features = ours["features"].unflatten(0, (1, 9, 2)).transpose(1, 2).flip(1).flatten(0, 2)[::5, :, ::64]
    pairs = {
        "relation_left": ours["maps"][:, 0].unflatten(1, (16, 12)).numpy(),
        "relation_right": ours["maps"][:, 1].unflatten(1, (16, 12)).numpy(),
        "features_sample": features.transpose(1, 2).unflatten(2, (16, 12)).numpy(),
        "hand_tokens": right_first(ours["tokens"]),
        "temporal_tokens": right_first(ours["fused"]),
        "pose6d": right_first(hands.pose.flatten(2)),
        "rotmats": right_first(hands.rotations),
        "betas": right_first(hands.betas),
        "cam_offset": right_first(hands.camera - network.mean_camera),
        "left_root_relative": hands.left_root_relative.numpy(),
    }
    for name, value in pairs.items():
        assert value.shape[1:] == truth[name].shape[1:], name
        np.testing.assert_allclose(value, truth[name][: len(value)], atol=TOLERANCE, err_msg=name)


def test_import_and_load(file, imported, network):
    out, said = imported
    assert "mano.shapedirs" in said
    config, about = read_header(out)
    assert config == network.config and config.depth == 2 and config.mean_pose and about["source"] == file.name


def hollow():
    """A checkpoint of the right names and shapes in a small file: all of a tensor is one number."""
    return {name: torch.zeros(()).expand(shape) for name, shape in SHAPES.items()}


def test_the_image_checkpoint_has_a_window_of_one(network, tmp_path):
    torch.save({**hollow(), "mano.shapedirs": torch.zeros(3)}, tmp_path / "Demo_Image.pth")
    other = import_released(tmp_path / "Demo_Image.pth")
    assert other.network.config.window == 1 and other.superfluous == ["mano.shapedirs"]
    token = torch.randn(1, 2, 1, 1024)
    assert other.network.reason(token).rotations.shape == (1, 2, 16, 3, 3)
    shapes, wanted = ({name: value.shape for name, value in one.state_dict().items()} for one in (other.network, network))
    assert shapes == wanted


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("time_head.mano_branch.pose_reg.weight"), "missing time_head.mano_branch.pose_reg.weight"),
        (lambda c: c.pop("backbone.blocks.1.attn.qkv.bias"), "missing backbone.blocks.1.attn.qkv.bias"),
        (lambda c: c.update({"map_head.0.weight": torch.zeros(128, 5)}), r"map_head.0.weight is \(128, 5\)"),
        (
            lambda c: c.update({"backbone.pos_embed": torch.full((1, 193, 1280), torch.nan)}),
            "backbone.pos_embed holds values that are not finite",
        ),
        (lambda c: [c.pop(name) for name in list(c) if name.startswith("backbone")], "holds no backbone.blocks.0"),
        (lambda c: c.update(extra=Malicious()), "cannot be read as plain weights"),
        (lambda c: c.clear(), "holds no tensors"),
    ],
)
def test_wrong_checkpoints(change, message, tmp_path, capsys):
    content = hollow()
    change(content)
    path = tmp_path / "Demo_Video.pth"
    torch.save(content, path)
    assert main(["import-weights", str(path)]) == 2
    output = capsys.readouterr()
    assert str(path) in output.err and "executed" not in output.out
    with pytest.raises(CheckpointError, match=message):
        import_released(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut off", pickle.dumps(Malicious()), b"text"])
def test_files_that_are_no_checkpoints(data, tmp_path, capsys):
    path = tmp_path / "Demo_Video.pth"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="cannot be read as plain weights"):
        import_released(path)
    assert "executed" not in capsys.readouterr().out
    with pytest.raises(CheckpointError, match="does not exist"):
        import_released(tmp_path / "other.pth")


def test_a_truncated_checkpoint(file, tmp_path):
    path = tmp_path / "Demo_Video.pth"
    with file.open("rb") as whole:
        path.write_bytes(whole.read(10_000_000))
    with pytest.raises(CheckpointError, match="truncated"):
        import_released(path)


@pytest.mark.parametrize("relation", ["add", "concatenate"])
def test_one_hand_computes_one_crop_and_equals_the_pair_with_the_other_masked(relation):
    torch.manual_seed(0)
    network = ImageNetwork(ImageConfig(**{**SMALL.to_dict(), "relation": relation})).eval()
    crops, squares = torch.randn(4, 3, 256, 192), torch.rand(3, 2, 4) * 100 + 50
    present = torch.tensor([[True, True], [False, True], [True, False]])
    with torch.inference_mode():
        batch = network.encode(crops, squares, present)
        pair = network.encode(crops[:2], squares[:1], present[:1])
        right = network.encode(crops[2:3], squares[1:2], present[1:2])
        moved = network.encode(crops[2:3], squares[1:2] * torch.tensor([[[9.0], [1.0]]]), present[1:2])
        left = network.encode(crops[3:], squares[2:], present[2:])
    torch.testing.assert_close(batch[0], pair[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(batch[1, 1], right[0, 1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(batch[2, 0], left[0, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(moved[0, 1], right[0, 1])


def test_relation_maps_follow_the_equations():
    """Eq. 1-3, patch by patch, as they are written."""
    network = ImageNetwork(SMALL)
    squares = torch.tensor([[[10.0, 20.0, 80.0, 80.0], [60.0, 30.0, 120.0, 120.0]]])
    maps = network.relation_maps(squares, torch.ones(1, 2, dtype=torch.bool))[0].unflatten(1, (16, 12)).numpy()
    boxes = [(x + w / 2, y + h / 2, 0.75 * w, h) for x, y, w, h in squares[0].tolist()]

    def c(box, i, k):
        return np.array([box[0] + (2 * i - 12) * box[2] / 24, box[1] + (2 * k - 16) * box[3] / 32])

    for side, (own, other) in enumerate((boxes, boxes[::-1])):
        for i, k in ((0, 0), (5, 3), (11, 15), (8, 8)):
            d = c(own, i, k) - c(other, i, k)
            inside = (abs(c(own, i, k) - other[:2]) < np.array(other[2:]) / 2).all()
            expected = [*(1 / (1 + np.exp(-d / own[2:]))), *(1 / (1 + np.exp(d / other[2:]))), 1 if inside else -1]
            np.testing.assert_allclose(maps[side, k, i], expected, atol=1e-6)


def vit_state(backbone):
    """A ViT's tensors by the names that ViTPose and HaMeR have in common."""
    names = {
        "patches.": "patch_embed.proj.",
        "norm_attention": "norm1",
        "norm_mlp": "norm2",
        "qkv": "attn.qkv",
        "output": "attn.proj",
        "mlp.0": "mlp.fc1",
        "mlp.2": "mlp.fc2",
    }
    state = {}
    for name, tensor in backbone.state_dict().items():
        name = {"position": "pos_embed", "norm.weight": "last_norm.weight", "norm.bias": "last_norm.bias"}.get(name, name)
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[name] = tensor
    return state


def foreign(module, name, base=object, **members):
    """A class of a package that is not installed, where pickle finds it until `sys.modules` forgets it."""
    made = type(name, (base,), {"__module__": module, "__reduce_ex__": base.__reduce_ex__, **members})
    for part in (module.split(".")[0], module):
        sys.modules.setdefault(part, types.ModuleType(part))
    setattr(sys.modules[module], name, made)
    return made


@pytest.fixture
def settings_objects(monkeypatch):
    """What Lightning keeps beside the weights: settings as omegaconf and yacs have them, numpy numbers, callbacks' states."""
    for part in ("omegaconf", "omegaconf.dictconfig", "omegaconf.base", "yacs", "yacs.config"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    tree = foreign("omegaconf.dictconfig", "DictConfig", __getstate__=lambda self: vars(self))()
    metadata = foreign("omegaconf.base", "ContainerMetadata")()
    metadata.ref_type, metadata.resolver_cache = typing.Any, collections.defaultdict(dict, a={1: 2})
    vars(tree).update(_metadata=metadata, _parent=None, _content={"LR": 1e-5})
    node = foreign("yacs.config", "CfgNode", dict)(MODEL=1)
    node.frozen = True
    made = {
        "cfg": tree,
        "yacs": node,
        "score": np.float64(0.5),
        "array": np.arange(3.0),
        "namespace": argparse.Namespace(a=1),
        "folder": pathlib.PurePosixPath("/data"),
    }
    yield made


@pytest.mark.parametrize("layout", ["vitpose", "hamer", "plain"])
def test_a_backbone_from_another_checkpoint(layout, settings_objects, tmp_path, monkeypatch):
    """ViTPose: `state_dict` -> backbone.*, keypoint_head.*; HaMeR: the same in a Lightning checkpoint full of objects."""
    source = ImageNetwork(SMALL).backbone
    state = {("" if layout == "plain" else "backbone.") + name: tensor for name, tensor in vit_state(source).items()}
    other = {
        "plain": {},
        "vitpose": {"keypoint_head.weight": torch.zeros(2)},
        "hamer": {"mano_head.decpose.weight": torch.zeros(2), "mano.betas": torch.zeros(2), "initialized": torch.tensor(True)},
    }
    state.update(other[layout])
    content = {
        "plain": state,
        "vitpose": {"meta": {"epoch": 210, "mmcv_version": "1.5"}, "state_dict": collections.OrderedDict(state)},
        "hamer": {
            "epoch": 3,
            "global_step": 9,
            "pytorch-lightning_version": "1.8.1",
            "state_dict": collections.OrderedDict(state),
            "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2)}}}],
            "lr_schedulers": [],
            "callbacks": settings_objects,
            "hparams_name": "cfg",
            "hyper_parameters": settings_objects,
        },
    }[layout]
    path = tmp_path / "some.ckpt"
    torch.save(content, path)
    for part in ("omegaconf", "omegaconf.dictconfig", "omegaconf.base", "yacs", "yacs.config"):
        monkeypatch.delitem(sys.modules, part)
    imported = import_backbone(path, SMALL)
    assert imported.superfluous == sorted(other[layout])
    for name, tensor in source.state_dict().items():
        torch.testing.assert_close(imported.network.backbone.state_dict()[name], tensor)
    for changed, message in (
        (dict(width=48), "no ViT of width 48"),
        (dict(depth=1), "it has 2 blocks"),
        (dict(depth=3), "missing backbone blocks.2"),
    ):
        with pytest.raises(CheckpointError, match=message):
            import_backbone(path, ImageConfig(**{**SMALL.to_dict(), **changed}))


def test_a_malicious_object_among_settings(settings_objects, tmp_path, monkeypatch, capsys):
    path = tmp_path / "hamer.ckpt"
    torch.save(
        {"state_dict": vit_state(ImageNetwork(SMALL).backbone), "hyper_parameters": [settings_objects, Malicious()]}, path
    )
    with pytest.raises(CheckpointError, match="names (builtins|__builtin__).print"):
        import_backbone(path, SMALL)
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": vit_state(ImageNetwork(SMALL).backbone), "hyper_parameters": Reaching()}, path)
    import_backbone(path, SMALL)  # a function of a known package is never called
    assert "executed" not in capsys.readouterr().out and not (tmp_path / "written.npy").exists()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(CheckpointError, match="plain weights"):
        import_backbone(path, SMALL)


class Reaching:
    """Would write a file by way of a package whose settings are passed over."""

    def __reduce__(self):
        return np.save, ("written", np.zeros(1))


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(relation="multiply"), "relation"),
        (dict(width=-1), "width"),
        (dict(width=101), "multiples"),
        (dict(window=4), "odd"),
        (dict(colour=1), "colour"),
        (dict(depth=2.0), "depth"),
        (dict(tau=float("nan")), "tau"),
        (dict(frame_gap=float("inf")), "frame_gap"),
        (dict(window=9.5), "window"),
        (dict(width=10**9), "width"),
        (dict(decoder_layers=10**7), "decoder_layers"),
        (dict(heads=True), "heads"),
        (dict(mean_pose="no"), "mean_pose"),
        (dict(root=21), "root"),
        (dict(relation=[1]), "relation"),
    ],
)
def test_settings_that_make_no_network(settings, message):
    with pytest.raises(CheckpointError, match=message):
        ImageConfig.from_dict({**SMALL.to_dict(), **settings})
    with pytest.raises(CheckpointError, match="size"):
        ImageConfig.of_size("XL")
