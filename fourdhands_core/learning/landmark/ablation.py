"""Trains and measures the rows of the paper's Table 5: the landmark network, small, on synthetic data, with several seeds."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...errors import InputError
from ...hand_model.assets import load_generic_hand
from ...hand_model.layer import HandLayer
from ...network.landmark_config import LandmarkConfig
from ...network.landmark_model import LandmarkNetwork
from ...outputs import write_text
from ..evaluation.scores import HandFrames, Scores
from ..ranges import check_ranges
from .ablation_data import CONDITIONS, OccludedSynthesis, condition
from .optimisation import optimise
from .samples import LandmarkSample
from .train import LandmarkObjective, TrainSettings, select, window_frames


@dataclass(frozen=True)
class AblationSettings:
    """What every row of the ablation has in common."""

    seeds: int = 3
    """Runs of each row. Every run is trained by AdamW in two phases, each with warm-up and linear decay to zero: single_steps
    at single_rate on single_batch independent frames, then clip_steps at clip_rate on all `frames` frames of `clips` clips,
    where the rows with a window use it and the others go on with single frames."""
    single_steps: int = 2400
    single_batch: int = 128
    single_rate: float = 3e-3
    clip_steps: int = 300
    clips: int = 8
    frames: int = 12
    clip_rate: float = 1e-3
    width: int = 64
    layers: int = 1
    """width, layers: of the network."""
    vertex_interval: int = 8
    """Steps from one in which vertices are compared to the next."""
    test_clips: int = 48
    test_frames: int = 20
    """test_clips, test_frames: of each condition."""

    def __post_init__(self):
        check_ranges(self, "seeds single_batch clips frames width layers vertex_interval test_clips test_frames")


@dataclass(frozen=True)
class Row:
    """A row of the table: its name, how the network differs from the full one on single frames, frames of the future that
    its window may use in the evaluation, and the paper's MPJPE, MPVPE and MRRPE on InterHand2.6M, mm."""

    name: str
    config: dict
    lookahead: int
    paper: tuple[float, float, float] | None

    @property
    def key(self) -> str:
        """What its runs are kept under; rows with one key are one training."""
        return "_".join(f"{name}={value}" for name, value in self.config.items()) or "full"


ROWS = (
    Row("Baseline", {"cross_hand": False, "relation_map": False}, 0, (10.94, 11.35, 137.53)),
    Row("+ Cross H", {"common_box": True, "relation_map": False}, 0, (8.78, 9.01, 28.65)),
    Row("+ Cross S", {}, 0, (7.69, 7.92, 24.79)),
    Row("+ Cross S w/o RAT", {"relation_map": False}, 0, (7.81, 8.00, 25.81)),
    Row("+ Cross S + Seq, causal", {"window": 9}, 0, None),
    Row("+ Cross S + Seq", {"window": 9}, 4, (7.37, 7.58, 24.48)),
)
"""Table 5, as section 4.6 explains it: Cross H sees both hands in one picture, Cross S each in a crop of its own; both let
their tokens attend to each other. The paper's Seq uses the future as well; the causal one is what a robot gets, from the
same weights."""

METRICS = ("mpjpe", "mpvpe", "mrrpe", "accel")


def configuration(row: Row, settings: AblationSettings) -> LandmarkConfig:
    """The network of a row. No row is told the size of the hand's box, which a crop does not show either.

    tau: hands lie up to six boxes apart here, where Eq. 2 with tau = 1 would be 1 to three digits.
    """
    common = {
        "tau": 0.3,
        "width": settings.width,
        "relation_width": 16,
        "spatial_layers": settings.layers,
        "decoder_layers": 1,
        "temporal_layers": 1,
        "window": 1,
        "box_size": False,
    }
    return LandmarkConfig(**{**common, **row.config})


def estimate(network: LandmarkNetwork, frames: list, times: torch.Tensor, lookahead: int) -> tuple:
    """The network's answer for all frames of clips, from windows that end `lookahead` frames later at most.

    Returns the output, the truth and presence (B, 2), the T frames one after the other along the batch.
    """
    config, length = network.config, len(frames)
    hands = torch.stack([network.encode_frame(tokens) for tokens, _ in frames], 2)
    present = torch.stack([tokens.present for tokens, _ in frames], 2)
    # a single frame looks at itself; a window at what has come by then, as in a stream
    index = torch.cat([window_frames(times[:, : t + 1 + lookahead], times[:, t], config) for t in range(length)])
    offsets = (times.repeat(length, 1).gather(1, index) - times.T.reshape(-1, 1)) / config.frame_gap
    picked = hands.repeat(length, 1, 1, 1).gather(2, index[:, None, :, None].expand(-1, 2, -1, hands.shape[-1]))
    output = network.reason(picked, offsets, present.repeat(length, 1, 1).gather(2, index[:, None].expand(-1, 2, -1)))
    output = type(output)(**{name: value.float() for name, value in vars(output).items()})
    truth = LandmarkSample(**{name: torch.cat([getattr(sample, name) for _, sample in frames]) for name in vars(frames[0][1])})
    return output, truth, present.permute(2, 0, 1).flatten(0, 1)


class _Training:
    """A network and the exponential average of its weights, on the same data in the same order whatever the row."""

    def __init__(self, config: LandmarkConfig, settings: AblationSettings, seed: int):
        torch.manual_seed(seed)
        self.network, self.average = LandmarkNetwork(config), LandmarkNetwork(config).eval()
        self.average.load_state_dict(self.network.state_dict())
        self.settings, self.weights = settings, TrainSettings(vertex_samples=16, nearness=0.5)
        self.objective = LandmarkObjective(self.weights)
        self.data = OccludedSynthesis(seed, config, hidden_share=0.35, single_share=0.1)

    def run(self, name: str, steps: int, rate: float, batch: int, length: int) -> None:
        """One phase, on clips of `length` frames."""
        bar = tqdm(range(steps), desc=name, mininterval=10.0)

        def loss(step: int) -> torch.Tensor:
            return self._loss(batch, length, step % self.settings.vertex_interval == 0)

        for _ in optimise(self.network, self.average, loss, bar, rate, self.weights.weight_decay, 0.99):
            pass

    def _loss(self, batch, length, with_vertices):
        frames, times = self.data.draw(batch, length)
        lookahead = self.network.config.window // 2 if self.data.motion.chance(0.5, 1).item() else 0
        output, truth, present = estimate(self.network, frames, times, lookahead)
        loss, _ = self.objective(output, truth, present)
        some = torch.randperm(len(present), generator=self.data.motion.generator)[: self.weights.vertex_samples]
        if not with_vertices:
            return loss
        return loss + self.objective.of_vertices(select(output, some), select(truth, some), present[some])


def train(config: LandmarkConfig, settings: AblationSettings, seed: int, name: str) -> LandmarkNetwork:
    """One run: the exponential average of the weights after all steps."""
    training = _Training(config, settings, seed)
    training.run(f"{name}, single frames", settings.single_steps, settings.single_rate, settings.single_batch, 1)
    training.run(f"{name}, clips", settings.clip_steps, settings.clip_rate, settings.clips, settings.frames)
    return training.average


def _by_clip(values, truth, layer: HandLayer, turn: torch.Tensor, count: int) -> list[np.ndarray]:
    """Joints and vertices of each hand, camera axes, and the left root, of count clips: (B, T, ...)."""
    flat = values.rotations.flatten(0, 1)
    vertices, joints = layer(flat[:, 0], flat[:, 1:], values.betas.flatten(0, 1))
    joints, vertices = (x.unflatten(0, (-1, 2)) @ turn for x in (joints, vertices))
    root = LandmarkObjective.left_root(values.other_root, truth)
    return [x.unflatten(0, (-1, count)).transpose(0, 1).numpy() for x in (joints, vertices, root)]


@torch.no_grad()
def measure(network: LandmarkNetwork, settings: AblationSettings, lookahead: int) -> dict:
    """METRICS under every one of CONDITIONS."""
    layer = HandLayer(load_generic_hand())
    result = {}
    for number, name in enumerate(CONDITIONS):
        clips = condition(name, network.config, settings.test_clips, settings.test_frames, 990_101 + number)
        output, truth, _ = estimate(network, clips.frames, clips.times, lookahead)
        turn = torch.cat([tokens.rotation for tokens, _ in clips.frames])
        count = len(clips.times)
        both = [_by_clip(values, truth, layer, turn, count) for values in (output, truth)]
        scores = Scores()
        for k in range(count):
            predicted, true = (HandFrames(*(x[k] for x in values)) for values in both)
            scores.add(predicted, true, clips.counted[k].T.numpy(), sequence=str(k))
        summary = scores.summary()
        result[name] = {key: summary[key] for key in METRICS} | {"hands": summary["hands"], "pairs": summary["pairs"]}
    return result


def run(row: Row, seed: int, settings: AblationSettings, folder: Path) -> dict:
    """The figures of one run of a row, from `folder` if it was finished before, else trained and measured."""
    path = folder / "runs" / f"{row.key}_{seed}.json"
    stated = asdict(replace(settings, seeds=1))
    if path.is_file():
        kept = json.loads(path.read_text())
        if kept["settings"] != stated:
            raise InputError(
                f"{path} was made with other settings, {kept['settings']} instead of {stated}; give another --out "
                "or the settings of before"
            )
        return kept
    started = time.perf_counter(), time.process_time()
    network = train(configuration(row, settings), settings, seed, f"{row.name.split(',')[0]}, seed {seed}")
    rows = {other.name: measure(network, settings, other.lookahead) for other in ROWS if other.key == row.key}
    result = {
        "settings": stated,
        "seed": seed,
        "rows": rows,
        "minutes": round((time.perf_counter() - started[0]) / 60, 1),
        "cpu_minutes": round((time.process_time() - started[1]) / 60, 1),
    }
    write_text(path, json.dumps(result, indent=1) + "\n")
    return result


def ablate(folder: Path, settings: AblationSettings = AblationSettings()) -> dict:
    """All rows and seeds; a finished run in `folder` is kept. Returns, and writes as ablation.json, the figures by row,
    condition and metric: mean, standard deviation over the seeds and every seed's value."""
    torch.set_num_threads(1)  # these tensors are too small to share
    runs: dict[str, list[dict]] = {}
    for seed in range(1, settings.seeds + 1):
        for row in ROWS:
            runs.setdefault(row.name, []).append(run(row, seed, settings, folder)["rows"][row.name])
    result = {"settings": asdict(settings), "conditions": CONDITIONS, "rows": {}}
    for row in ROWS:
        figures = {
            name: {metric: _figure([entry[name][metric] for entry in runs[row.name]]) for metric in METRICS}
            for name in CONDITIONS
        }
        result["rows"][row.name] = {"paper": row.paper, **figures}
    return result


def _figure(values: list[float]) -> dict:
    return {
        "mean": round(float(np.mean(values)), 2),
        "values": [round(value, 2) for value in values],
        "spread": round(float(np.std(values, ddof=1)), 2) if len(values) > 1 else None,
    }
