"""A configuration of `fourdhands train` so small that a step takes a moment."""

from pathlib import Path

import pytest
import yaml

from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.learning.image.settings import TrainingSettings, build

ROOT = Path(__file__).parent.parent
HANDS = pair_of(load_human_hand())
TINY = yaml.safe_load("""
run: {steps: 4, batch: 2, save_interval: 2, log_interval: 1, picture_interval: 4, evaluate_interval: 4, evaluated: 8}
network: {
  width: 64, depth: 1, heads: 2, patch: 32, relation_hidden: 16, spatial_layers: 1, hand_width: 64, decoder_layers: 1,
  decoder_heads: 1, temporal_layers: 1, temporal_heads: 2, window: 3, virtual_camera: true}
optimiser: {rate: 0.001}
data: {length: 2, opposite: 0.5}
synthesis: {view_angle: 12.0, looks: {skins: 1, backgrounds: 2}}
""")
FROM_NOTHING = {"network": {"stem": "convolutions"}, "losses": {"tokens": 1.0}}
"""What a backbone from nothing needs beside."""


def tiny(**changes) -> TrainingSettings:
    return build(
        TrainingSettings, {**TINY, **{name: {**TINY.get(name, {}), **value} for name, value in changes.items()}}, "tiny", ""
    )


@pytest.fixture
def written(tmp_path):
    def write(**changes):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump({**TINY, **{n: {**TINY.get(n, {}), **v} for n, v in changes.items()}}))
        return path

    return write
