"""Training of the landmark network from synthetic motion alone: single frames, windows of them, then rendered clips.

Reproducible from a seed on one machine: every random number comes from generators seeded by it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from ...errors import CheckpointError, InputError
from ...hand_model.assets import open_hand
from ...hand_model.layer import HandLayer
from ...hand_model.skeleton import TIP_JOINTS
from ...network.checkpoint import load_weights, save_weights
from ...network.landmark_config import LandmarkConfig
from ...network.landmark_model import HandParameters, LandmarkNetwork
from ...runtime.image import check_device
from .. import losses
from ..kinematics import Kinematics
from ..ranges import check_ranges
from .detector_errors import LandmarkErrors
from .measured_clips import MeasuredClips, Mixed, measured_clips
from .optimisation import optimise
from .samples import FAMILIES, LandmarkSample, Synthesis

_POSITIVE = "single_batch window_batch clip_frames measured_clips nearness contact_reach alpha vertex_interval"


@dataclass(frozen=True)
class TrainSettings(losses.LossWeights):
    """Settings of a run, the weights of the losses included; the defaults made the shipped weights."""

    seed: int = 1
    start: str = ""
    """Weights to begin from, a file; nothing where empty."""
    single_steps: int = 5200
    single_batch: int = 384
    single_rate: float = 3e-3
    window_steps: int = 320
    """single_steps, window_steps: optimiser steps on single frames and on windows."""
    window_batch: int = 48
    """Clips a step, of `clip_frames` frames; single_batch: samples."""
    window_rate: float = 6e-4
    """single_rate, window_rate: peak learning rates of AdamW (one warm-up, then linear decay to zero)."""
    clip_frames: int = 14
    measured_clips: int = 4700
    """Rendered clips on which the detector is run, of motion from `measured_seed` on, kept in `measured_folder` where that is
    named; in the third phase, of measured_steps at measured_rate, they are `measured_share` of the batches, and half of the
    synthetic ones are hurried."""
    measured_steps: int = 3700
    measured_rate: float = 1e-3
    measured_share: float = 0.6
    measured_seed: int = 60001
    measured_folder: str = ""
    nearness: float = 0.15
    """Metres between the wrists at which Eq. 9 counts half: those a metre apart err by decimetres, and would drown all else."""
    bend: float = 0.0
    """Weight of the mean difference, radians, of how far fingers bend: unlike squares it does not draw what is hard to see
    towards the middle."""
    contact: float = 0.0
    contact_reach: float = 0.03
    """Weight of the mean error, metres, of the distances between the thumb's tip and the others, and the distance at which one
    counts half."""
    likelihood: float = 0.3
    """Weight of the joints' Laplace likelihood, which teaches the expected errors."""
    velocity: float = 60.0
    acceleration: float = 0.0
    """Weights of the errors of joint velocities between frames, and of their changes from frame to frame."""
    world_missing: float = 0.1
    """Share of samples without the detector's 3-D landmarks."""
    vertex_samples: int = 16
    """Samples of a batch whose vertices are compared, in every `vertex_interval`th step."""
    vertex_interval: int = 4
    weight_decay: float = 0.01
    average: float = 0.998
    """Of the exponential moving average of the weights, which is what is kept."""
    share: float = 1.0
    """How much of the way from the weights of `start` to what was learned is taken, see TuneSettings.share."""
    alone: float = 0.0
    """Share of the batches of windows in which frames stand alone, as the tracker asks too (section 3.3: its repetition)."""
    device: str = "cpu"
    """cpu or cuda, for what learns; samples are drawn on the CPU."""

    def __post_init__(self):
        check_ranges(self, _POSITIVE, shares="measured_share world_missing average share alone")


def place(joints: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Differentiable wrists (..., 3) by linear least squares, from joints (..., 21, 3) and image points (..., 21, 2)."""
    u, v = points.unbind(-1)
    x, y, z = joints.unbind(-1)
    ones = torch.ones_like(u).sum(-1)
    zero = torch.zeros_like(ones)
    normal = torch.stack(
        [ones, zero, -u.sum(-1), zero, ones, -v.sum(-1), -u.sum(-1), -v.sum(-1), (u * u + v * v).sum(-1)], -1
    ).unflatten(-1, (3, 3))
    a, b = u * z - x, v * z - y
    right = torch.stack([a.sum(-1), b.sum(-1), -(u * a + v * b).sum(-1)], -1)
    return torch.linalg.solve(normal + 1e-7 * torch.eye(3, device=right.device), right[..., None])[..., 0]


def bends(joints: torch.Tensor) -> torch.Tensor:
    """(..., 5, 3) angles, radians, between each finger bone and the one before it, of joints (..., 21, 3)."""
    bones = joints[..., 1:, :].unflatten(-2, (5, 4))
    chain = torch.cat([joints[..., None, :1, :].expand(*bones.shape[:-2], 1, 3), bones], -2).diff(dim=-2)
    before, after = chain[..., :-1, :], chain[..., 1:, :]
    across = torch.linalg.cross(before, after).square().sum(-1)
    return torch.atan2((across + 1e-12).sqrt(), (before * after).sum(-1))


def thumb_gaps(joints: torch.Tensor) -> torch.Tensor:
    """(..., 4) distances, metres, of the thumb's tip to the other tips, of joints (..., 21, 3)."""
    tips = joints[..., torch.as_tensor(TIP_JOINTS), :]
    return ((tips[..., 1:, :] - tips[..., :1, :]).square().sum(-1) + 1e-8).sqrt()


class LandmarkObjective:
    """The weighted sum of Eq. 6-10, the likelihood of the expected errors, and what a robot hand reads: bends and contact."""

    def __init__(self, settings: TrainSettings):
        self.settings = settings
        self.kinematics = [Kinematics(open_hand(family)) for family in FAMILIES]
        self.layers = [HandLayer(open_hand(family)) for family in FAMILIES]
        for part in (*self.kinematics, *self.layers):
            part.to(settings.device)

    def __call__(self, output, sample: LandmarkSample, mask: torch.Tensor):
        """Loss over the hands where mask (N, 2) is True, and the predicted joints (N, 2, 21, 3), metres."""
        s = self.settings
        joints = self.kinematics[int(sample.family[0])](output.rotations, output.betas)

        def mean(values, chosen=mask):
            return (values * chosen).sum() / chosen.sum().clamp(min=1)

        placed = joints + place(joints, sample.points)[..., None, :]
        projected = placed[..., :2] / placed[..., 2:].clamp(min=0.05)
        centred = sample.points - sample.points.mean(-2, keepdim=True)
        radius = centred.square().sum(-1).mean(-1).sqrt()[..., None, None]
        # early on a hand may come to lie beside or behind the camera, where the projection says nothing useful
        missed = ((projected - sample.points) / radius).clamp(-2.0, 2.0)
        nearness = 1.0 / (1.0 + (sample.other_root[:, 1] / s.nearness).square().sum(-1))
        distance = (joints - sample.joints).norm(dim=-1)
        other_distance = (output.other_root - sample.other_root).norm(dim=-1)
        surprise = (3.0 * output.joint_sigma.log() + distance / output.joint_sigma).mean(-1)
        other_surprise = (3.0 * output.other_root_sigma.log() + other_distance / output.other_root_sigma).mean(-1)
        pair = self._together(joints, output.other_root, sample)
        terms = losses.objective(
            losses.Hands(output.rotations, output.betas, joints, points=missed, pair_joints=pair),
            losses.GroundTruth(
                sample.rotations,
                sample.betas,
                sample.joints,
                points=torch.zeros_like(missed),
                pair_joints=self._together(sample.joints, sample.other_root, sample),
                present=mask,
                relation_weight=nearness,
            ),
            s,
        )
        total = sum(terms.values()) + s.likelihood * mean(surprise) + s.likelihood * mean(other_surprise, mask.all(1))
        if s.bend:
            total = total + s.bend * mean((bends(joints) - bends(sample.joints)).abs().mean((-1, -2)))
        if s.contact:
            gap, true_gap = thumb_gaps(joints), thumb_gaps(sample.joints)
            near = 1.0 / (1.0 + (true_gap / s.contact_reach).square())
            total = total + s.contact * mean((near * (gap - true_gap).abs()).mean(-1))
        return total, joints

    @staticmethod
    def _together(points, other_root, sample):
        """Both hands' points (N, 2, P, 3) around the right wrist in the right hand's virtual camera."""
        turn = sample.left_to_right[: len(points)]
        root = LandmarkObjective.left_root(other_root, sample)
        return torch.stack([points[:, 0] @ turn.transpose(-1, -2) + root[:, None], points[:, 1]], 1)

    @staticmethod
    def left_root(other_root: torch.Tensor, sample: LandmarkSample) -> torch.Tensor:
        """The left wrist relative to the right (N, 3), in the right hand's virtual camera: the mean of what both sides say."""
        from_left = (sample.left_to_right[: len(other_root)] @ other_root[:, 0, :, None])[..., 0]
        return (other_root[:, 1] - from_left) / 2.0

    def of_vertices(self, output: HandParameters, sample: LandmarkSample, mask: torch.Tensor) -> torch.Tensor:
        """The vertices' part of Eq. 7, and Eq. 10 where both hands are there, on the first samples of the batch."""
        n = self.settings.vertex_samples
        rotations = torch.cat([output.rotations[:n], sample.rotations[:n]]).flatten(0, 1)
        betas = torch.cat([output.betas[:n], sample.betas[:n]]).flatten(0, 1)
        vertices, _ = self.layers[int(sample.family[0])](rotations[:, 0], rotations[:, 1:], betas)
        predicted, true = vertices.unflatten(0, (2, -1, 2))
        terms = losses.objective(
            losses.Hands(vertices=predicted, pair_vertices=self._together(predicted, output.other_root[:n], sample)),
            losses.GroundTruth(
                vertices=true, pair_vertices=self._together(true, sample.other_root[:n], sample), present=mask[:n]
            ),
            self.settings,
        )
        return sum(terms.values(), start=torch.zeros((), device=vertices.device))


Tensors = TypeVar("Tensors")


def select(output: Tensors, keep: torch.Tensor) -> Tensors:
    """The same dataclass of tensors with every field indexed by `keep`."""
    return type(output)(**{name: value[keep] for name, value in vars(output).items()})


def _moved(frames: list, device: torch.device) -> list:
    """Drawn frames on a device; the samples' family, which is looked up, stays."""

    def moved(one: Any) -> Any:
        return type(one)(**{name: value if name == "family" else value.to(device) for name, value in vars(one).items()})

    return [(moved(tokens), moved(sample)) for tokens, sample in frames]


class Trainer:
    """The network, its exponential average, the data and the two phases. Raises DependencyError without its device."""

    def __init__(self, settings: TrainSettings, config: LandmarkConfig, errors: LandmarkErrors):
        check_device(settings.device)
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, torch.device(settings.device)
        network = load_weights(settings.start) if settings.start else LandmarkNetwork(config)
        if not isinstance(network, LandmarkNetwork):
            raise CheckpointError(f"{settings.start} holds an image network; `start` takes weights of `train landmark`")
        self.network, config = network.to(self.device), network.config
        if settings.clip_frames < config.window:
            raise InputError(f"clip_frames {settings.clip_frames} must be {config.window}, the network's window, at least")
        self.first = [value.clone() for value in self.network.state_dict().values()]
        self.average = LandmarkNetwork(config).to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        self.objective = LandmarkObjective(settings)
        self.data: Synthesis | Mixed = Synthesis(settings.seed, errors, config, settings.world_missing)
        self.held_out = Synthesis(settings.seed + 1000, errors, config, 0.0)
        self.curve: list[dict] = []
        self.step = 0

    def learn_from(self, clips: MeasuredClips) -> None:
        """From now on draw `measured_share` of the batches from these clips, and hurry half of the others."""
        assert isinstance(self.data, Synthesis), "clips are given once"
        self.data.hurried = 0.5
        self.data = Mixed(self.data, clips, self.settings.measured_share)

    def single_loss(self) -> torch.Tensor:
        """Loss of one batch of single frames; the window is one frame, which equals its repetition."""
        ((tokens, sample),) = _moved(self.data.draw(self.settings.single_batch, 1)[0], self.device)
        return self._single(self.network, tokens, sample)[0]

    def _single(self, network, tokens, sample):
        with self._halved(network):
            hand = network.encode_frame(tokens)[:, :, None]
            output = network.reason(hand, torch.zeros(len(hand), 1, device=self.device), tokens.present[..., None])
        output = type(output)(**{name: value.float() for name, value in vars(output).items()})
        loss, joints = self.objective(output, sample, tokens.present)
        return loss + self._vertices(output, sample, tokens.present), joints

    def _halved(self, network) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=network.training)

    def _vertices(self, output, sample, mask):
        """The vertices' losses in the steps that compute them, else 0."""
        due = self.network.training and self.step % self.settings.vertex_interval == 0
        return self.objective.of_vertices(output, sample, mask) if due else 0.0

    def window_loss(self) -> torch.Tensor:
        """Loss of one batch of clips: hand tokens once a frame, then every window that fits, with and without a future."""
        return self._windows(self.network, self.data, self.settings.window_batch)[0]

    def _windows(self, network, data, batch, lookahead=None):
        s, config = self.settings, network.config
        half = config.window // 2
        frames, times = data.draw(batch, s.clip_frames)
        frames, times = _moved(frames, self.device), times.to(self.device)
        with self._halved(network):
            hands = torch.stack([network.encode_frame(tokens) for tokens, _ in frames], dim=2)
        present = torch.stack([tokens.present for tokens, _ in frames], dim=2)
        if lookahead is None:
            lookahead = half if data.motion.chance(0.25, 1).item() else 0
        targets = range(half, s.clip_frames - lookahead)
        alone = network.training and s.alone > 0.0 and data.motion.chance(s.alone, 1).item()
        outputs, samples, masks = [], [], []
        for target in targets:
            index = torch.full((batch, 1), target, device=self.device)
            if not alone:
                index = window_frames(times[:, : target + lookahead + 1], times[:, target], config)
            picked = torch.gather(hands, 2, index[:, None, :, None].expand(-1, 2, -1, hands.shape[-1]))
            valid = torch.gather(present, 2, index[:, None].expand(-1, 2, -1))
            offsets = (torch.gather(times, 1, index) - times[:, target, None]) / config.frame_gap
            with self._halved(network):
                outputs.append(network.reason(picked, offsets, valid))
            samples.append(frames[target][1])
            masks.append(present[:, :, target])
        count = len(outputs)
        output = type(outputs[0])(**{name: torch.cat([getattr(o, name) for o in outputs]).float() for name in vars(outputs[0])})
        sample = LandmarkSample(**{name: torch.cat([getattr(x, name) for x in samples]) for name in vars(samples[0])})
        mask = torch.cat(masks)
        # the vertices' losses look at the first samples only: mix the clips' frames
        order = torch.randperm(len(mask), generator=data.motion.generator)
        output, sample, mask = select(output, order), select(sample, order), mask[order]
        loss, joints = self.objective(output, sample, mask)
        loss = loss + self._vertices(output, sample, mask)
        back = torch.argsort(order)
        joints, true, steady = (x[back].unflatten(0, (count, batch)) for x in (joints, sample.joints, mask))
        moving, seen = (joints - true).diff(dim=0), steady[1:] & steady[:-1]
        loss = loss + s.velocity * _mean_norm(moving, seen)
        if s.acceleration:
            loss = loss + s.acceleration * _mean_norm(moving.diff(dim=0), seen[1:] & seen[:-1])
        return loss, joints, true, steady

    @torch.no_grad()
    def evaluate(self, windows: bool, batches: int = 4) -> dict:
        """MPJPE in millimetres of the averaged network on motion that is not trained on."""
        network = self.average.eval()
        total, count = 0.0, 0
        for _ in range(batches):
            if windows:
                _, joints, true, mask = self._windows(network, self.held_out, 64, lookahead=0)
            else:
                ((tokens, sample),) = _moved(self.held_out.draw(512, 1)[0], self.device)
                _, joints = self._single(network, tokens, sample)
                true, mask = sample.joints, tokens.present
            total += ((joints - true).norm(dim=-1).mean(-1) * mask).sum().item()
            count += mask.sum().item()
        return {"mpjpe_mm": 1000.0 * total / count}

    @torch.no_grad()
    def written(self) -> LandmarkNetwork:
        """The averaged network, `share` of the way from the weights that it began with."""
        for value, first in zip(self.average.state_dict().values(), self.first):
            value.copy_(torch.lerp(first, value, self.settings.share))
        return self.average.cpu()

    def run(self, name: str, steps: int, rate: float, loss_of: Callable[[], torch.Tensor], windows: bool) -> None:
        """One phase, see `optimise`, with the curve of its losses and errors."""

        def loss(step: int) -> torch.Tensor:
            self.step = step
            self.network.train()
            with sdpa_kernel(SDPBackend.MATH):  # the fused kernel's backward pass is slower on a CPU
                return loss_of()

        bar = tqdm(range(steps), desc=name, mininterval=5.0)
        for step, last in optimise(
            self.network, self.average, loss, bar, rate, self.settings.weight_decay, self.settings.average
        ):
            if step % 200 == 199 or step == steps - 1:
                self.curve.append({"phase": bar.desc, "step": step + 1, "loss": last.item(), **self.evaluate(windows)})
                bar.write(json.dumps(self.curve[-1]))


def _mean_norm(errors: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Mean length of errors (..., J, 3) over all J of those chosen (...)."""
    return (errors.norm(dim=-1).mean(-1) * chosen).sum() / chosen.sum().clamp(min=1)


def window_frames(stamps: torch.Tensor, at: torch.Tensor, config: LandmarkConfig) -> torch.Tensor:
    """Indices (B, window) of the frames nearest in time to the window around `at` (B,), among stamps (B, T), seconds.

    What lies beyond either end is filled with the first or the newest frame, as at the ends of a video.
    """
    half = config.window // 2
    wanted = at[:, None] + config.frame_gap * torch.arange(-half, half + 1, device=at.device)
    return (stamps[:, None, :] - wanted[..., None]).abs().argmin(dim=-1)


def train_landmark(
    out: Path,
    settings: TrainSettings = TrainSettings(),
    config: LandmarkConfig = LandmarkConfig(),
    errors: LandmarkErrors | None = None,
) -> dict:
    """Train and write weights to `out` (safetensors) with the settings and the curve inside; returns the last figures."""
    started = time.time()
    trainer = Trainer(settings, config, errors or LandmarkErrors.load())
    trainer.run("single frames", settings.single_steps, settings.single_rate, trainer.single_loss, windows=False)
    trainer.run("windows", settings.window_steps, settings.window_rate, trainer.window_loss, windows=True)
    if settings.measured_steps:
        trainer.learn_from(
            measured_clips(settings.measured_folder, settings.measured_clips, settings.clip_frames, settings.measured_seed)
        )
        trainer.run("rendered clips", settings.measured_steps, settings.measured_rate, trainer.window_loss, windows=True)
    about = {
        "settings": asdict(settings),
        "curve": trainer.curve,
        "minutes": round((time.time() - started) / 60, 1),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    save_weights(trainer.written(), out, **about)
    return trainer.curve[-1]
