"""From nothing to figures as a user goes: a dataset rendered to disk, looked at, trained on, and the weights measured on it."""

import csv
import json

import cv2
import numpy as np
import pytest
import yaml
from training_support import TINY

from fourdhands_core.cli import main
from fourdhands_core.learning.datasets.registry import open_dataset
from fourdhands_core.network.checkpoint import load_weights

CLIPS, FRAMES = 2, 4
"""One clip shows both hands, the other none, as in real recordings."""


def said(capsys, *arguments) -> str:
    """What a command prints that must succeed."""
    assert main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_synthesise_check_train_and_evaluate(tmp_path, capsys):
    data, run, out = tmp_path / "rendered", tmp_path / "run", tmp_path / "results"
    said(capsys, "data", "synthesise", data, "--clips", CLIPS, "--frames", FRAMES, "--quiet")
    frames = list(open_dataset("synthetic", data))
    hands = sum(hand is not None for frame in frames for hand in frame.hands)
    assert len(frames) == CLIPS * FRAMES and 0 < hands < 2 * CLIPS * FRAMES

    text = said(capsys, "data", "check", "synthetic", data, "--out", tmp_path / "samples.png")
    assert f"{CLIPS * FRAMES} frames, 30 a second" in text and f"(of {hands} hands)" in text and "largest 0.00" in text
    assert cv2.imread(str(tmp_path / "samples.png")).std() > 20

    configuration = tmp_path / "tiny.yaml"
    configuration.write_text(
        yaml.safe_dump(
            {
                **TINY,
                "data": {
                    "length": 2,
                    "opposite": 0.5,
                    "sources": [{"name": "synthetic", "path": str(data)}, {"name": "synthesis"}],
                },
            }
        )
    )
    text = said(capsys, "train", configuration, "--out", run, "--quiet")
    figures = json.loads(text.splitlines()[0])
    assert figures["step"] == 4 and all(np.isfinite(value) for value in figures.values()) and figures["mpjpe_mm"] > 0
    assert load_weights(run / "weights.safetensors").config.width == TINY["network"]["width"]
    assert said(capsys, "train", configuration, "--out", run, "--quiet") == text, "a finished run was not left as it was"

    text = said(
        capsys,
        "evaluate",
        "--dataset",
        "synthetic",
        "--data",
        data,
        "--model",
        "image",
        "--weights",
        run / "weights.safetensors",
        "--out",
        out,
    )
    results = json.loads((out / "results.json").read_text())
    overall = results["overall"]
    assert (overall["hands"], overall["found"]) == (hands, hands) and results["frames"] == CLIPS * FRAMES
    assert results["units"].keys() >= {"mpjpe", "pa_mpjpe", "mpvpe", "auc", "mrrpe", "accel", "wrist", "wrist_rotation"}
    assert 0.0 < overall["pa_mpjpe"] < overall["mpjpe"] < 1000.0 and set(results["sequences"]) == {"00000", "00001"}
    assert not results["notes"], "its meshes are the generic hand's: nothing stands in for anything"
    rows = list(csv.DictReader((out / "samples.csv").open()))
    assert len(rows) == hands
    assert np.mean([float(row["mpjpe"]) for row in rows]) == pytest.approx(overall["mpjpe"], abs=1e-3)
    assert f"{overall['mpjpe']:.2f}" in text and (out / "tables.txt").read_text().strip() in text
    assert cv2.imread(str(out / "worst.png")).shape[0] >= 320
