"""Runs of `fourdhands train CONFIG`: resuming, several processes, beginning with weights, and errors in the configuration."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from program_support import python
from safetensors.torch import load_file
from training_support import FROM_NOTHING, HANDS, ROOT, tiny, written  # noqa: F401 (written is a fixture)

from fourdhands_core.cli import main
from fourdhands_core.errors import CheckpointError, InputError
from fourdhands_core.learning.image.batches import Batches
from fourdhands_core.learning.image.run import Run, train
from fourdhands_core.learning.image.settings import read_settings
from fourdhands_core.network.checkpoint import load_weights
from fourdhands_core.network.weights_file import read_header
from fourdhands_core.outputs import locked


def command(path, out, *more):
    return [sys.executable, "-m", "fourdhands_core.cli", "train", str(path), "--out", str(out), "--quiet", *more]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


KILLED = """
import os, signal, sys
from fourdhands_core.cli import main
from fourdhands_core.learning.image.run import Run
advance, calls = Run.advance, []
def fatal(self, batch):
    calls.append(batch)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return advance(self, batch)
Run.advance = fatal
main(["train", sys.argv[1], "--out", sys.argv[2], "--quiet"])
"""
BOTH = """
import sys
from fourdhands_core.cli import main
path, *outs = sys.argv[1:]
sys.exit(max(main(["train", path, "--out", out, "--quiet"]) for out in outs))
"""


def test_a_killed_run_goes_on_bit_for_bit(tmp_path, written):
    """All of it in processes with one thread: another number of them, and what else a process has done, may round otherwise."""
    settings = {"run": {"steps": 6, "save_interval": 2, "evaluate_interval": 6, "picture_interval": 6}, **FROM_NOTHING}
    path = written(**settings)
    out = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", KILLED, path, out], env=environment())
    assert done.returncode == -signal.SIGKILL and torch.load(out / "state.pt", weights_only=True)["step"] == 2
    assert (out / "curve.jsonl").read_text().count("\n") == 3
    subprocess.run([sys.executable, "-c", BOTH, path, tmp_path / "whole", out], env=environment(), check=True)

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
    assert lines[0] == lines[1] and [line["step"] for line in lines[0]] == list(range(1, 7))

    config, about = read_header(out / "weights.safetensors")
    assert config == read_settings(path).network and about["step"] == 6
    assert load_weights(out / "weights.safetensors").config == config
    assert any((out / "tensorboard").iterdir()) and (out / "curve.png").is_file()
    (out / "weights.safetensors").unlink()  # and a run that is at its end writes them again
    train(read_settings(path), out, progress=False)
    assert all(torch.equal(one[name], value) for name, value in load_file(out / "weights.safetensors").items())
    with locked(out), pytest.raises(InputError, match="another process trains in"):
        train(read_settings(path), out, progress=False)

    changed = written(**{**settings, "optimiser": {"rate": 5e-4}})
    with pytest.raises(InputError, match="optimiser.rate was 0.001, is 0.0005"):
        Run(read_settings(changed), out)
    torch.save({"settings": torch.load(out / "state.pt", weights_only=True)["settings"]}, out / "half.pt")
    for damaged in ((out / "half.pt").read_bytes(), b"PK nothing"):
        (out / "state.pt").write_bytes(damaged)
        with pytest.raises(CheckpointError, match="state.pt cannot be read"):
            Run(read_settings(written(**settings)), out)


def test_two_processes_train_one_network_on_different_data(tmp_path, written):
    path = written(run={"steps": 2, "save_interval": 1, "evaluate_interval": 100, "picture_interval": 100}, **FROM_NOTHING)
    launcher = "-m torch.distributed.run --standalone --nproc-per-node 2".split()  # at a port that is free
    result = python(*launcher, *command(path, tmp_path / "two")[1:], env=environment(), timeout=1200)
    assert result.returncode == 0, result.stderr[-2000:]
    two = torch.load(tmp_path / "two" / "state.pt", weights_only=True)
    torch.set_num_threads(1)
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
        ({"run": {"seed": -1}}, "run.seed must be from 0"),
        ({"run": {"workers": -1}}, "run.workers must be from 0"),
        ({"run": {"steps": 10**22}}, "run.steps must be at least 1, and at most 2**40, not 1"),
        ({"optimiser": {"weight_decay": float("nan")}}, "optimiser.weight_decay must be from 0"),
        ({"optimiser": {"betas": [2.0, 0.5]}}, "below 1, not 2.0"),
        ({"losses": {"joints": float("inf")}}, "losses.joints must be from 0"),
        ({"data": {"gap": -1.0}}, "data.gap must be from 0"),
        ({"augmentation": {"blur": 5.0}}, "augmentation.blur must be from 0 to 1"),
        ({"synthesis": {"width": 0}}, "synthesis.width must be at least 1"),
    ],
)
def test_a_wrong_field_is_named(written, changes, message, capsys):
    assert main(["train", str(written(**changes)), "--out", "nowhere"]) == 2
    assert message in capsys.readouterr().err


def test_a_wrong_configuration_file_is_named(tmp_path, capsys):
    assert main(["train", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml does not exist" in capsys.readouterr().err
    for text, words in (
        ("run: [", "is not YAML (while parsing "),
        ("# nothing", "it holds nothing"),
        ("", "is empty"),
        ("run: {steps: 3}\nrun: {batch: 2}", "run is given twice"),
        ("run: {steps: 2001-13-45}", "month must be"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        assert main(["train", str(tmp_path / "bad.yaml"), "--out", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert words in said and said.count("\n") == 1 and not (tmp_path / "run").exists(), said
    (tmp_path / "bad.yaml").write_text("run: {steps: 3}")
    assert main(["train", str(tmp_path / "bad.yaml"), "--set", "run.steps=["]) == 2
    assert "--set run.steps=[: '[' is not YAML" in capsys.readouterr().err
    assert main(["train", "landmark"]) == 2 and "--out FILE" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "bad.yaml"), "--clips", "3"]) == 2


@pytest.mark.parametrize("path", sorted((ROOT / "config/train").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_read(path):
    assert read_settings(path).run.steps > 0


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
