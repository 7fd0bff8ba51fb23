"""Samples that the landmark network is trained on: drawn motion, what the detector makes of it, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...hand_model.assets import open_hand
from ...network.landmark_config import LandmarkConfig
from ...network.landmark_tokens import landmark_tokens, mirror_points
from ..kinematics import Kinematics
from ..synthesis.settings import FAMILIES
from .detector_errors import ErrorSampler, LandmarkErrors
from .motion import Motion, MotionSampler


@dataclass
class LandmarkSample:
    """Truth of N samples of one hand family, hands (left, right), each in its virtual camera.

    rotations: (N, 2, 16, 3, 3). betas: (N, 2, 10). joints: (N, 2, 21, 3) metres relative to the wrist. points:
    (N, 2, 21, 2) on the virtual camera's image plane. other_root: (N, 2, 3) the other wrist relative to this one,
    metres. left_to_right: (N, 3, 3) directions in the left hand's virtual camera to the right hand's (with the mirror). family:
    (N,) index into FAMILIES, the same for all.
    """

    rotations: torch.Tensor
    betas: torch.Tensor
    joints: torch.Tensor
    points: torch.Tensor
    other_root: torch.Tensor
    left_to_right: torch.Tensor
    family: torch.Tensor


class Synthesis:
    """Draws batches of one hand family each: motion, what the detector makes of it, the network's inputs and the truth.

    hurried: share of the clips whose motion is played up to 4 times as fast. human: share of the batches whose hands are human,
    not generic. motion: settings of MotionSampler.

    A new setting is a field of `TrainSettings`, 0 by default, as the shipped weights had none; `Trainer.__init__` of
    `train.py` gives it here, and `held_out` goes without. Fingers are hidden as `OccludedSynthesis` of `ablation_data.py`
    does.
    """

    def __init__(
        self,
        seed: int,
        errors: LandmarkErrors,
        config: LandmarkConfig,
        world_missing: float,
        hurried: float = 0.0,
        human: float = 0.5,
        **motion: Any,
    ):
        self.motion = MotionSampler(seed, **motion)
        self.errors = ErrorSampler(errors, self.motion.generator)
        self.kinematics = [Kinematics(open_hand(family)) for family in FAMILIES]
        self.config = config
        self.world_missing = world_missing
        self.hurried, self.human = hurried, human

    @torch.no_grad()
    def draw(self, batch: int, length: int) -> tuple[list, torch.Tensor]:
        """Returns a list of `length` (LandmarkTokens, LandmarkSample) for consecutive frames, and times (batch, length), s.

        The frames' interval is 1/30 s in most clips and between 1/60 and 1/10 s in the others.
        """
        interval = 1.0 / 30.0 * torch.where(self.motion.chance(0.6, batch), 1.0, 3.0 ** self.motion.uniform(batch, low=-0.6))
        times = torch.arange(length) * interval[:, None]
        played = times
        if self.hurried:
            faster = torch.where(self.motion.chance(self.hurried, batch), self.motion.uniform(batch, low=1.0, high=4.0), 1.0)
            played = times * faster[:, None]
        motion = self.motion.sample(played)
        family = 0 if self.human and self.motion.chance(self.human, 1).item() else 1
        joints = self.joints(motion, family)
        rays, world, seen = self.errors.observe(joints + motion.root[..., None, :], times)
        return self.frames(motion, family, rays, world, seen), times

    def joints(self, motion: Motion, family: int) -> torch.Tensor:
        """(B, 2, T, 21, 3) relative to the wrists."""
        return self.kinematics[family](motion.rotations, motion.betas[:, :, None].expand(-1, -1, motion.root.shape[2], -1))

    def frames(self, motion: Motion, family: int, rays: torch.Tensor, world: torch.Tensor, seen: torch.Tensor) -> list:
        """(LandmarkTokens, LandmarkSample) of every frame of clips.

        family: index into FAMILIES of the hands that moved. rays (B, 2, T, 21, 2), world (B, 2, T, 21, 3): what the detector
        saw of them, where seen (B, 2, T). All in own coordinates.
        """
        batch, _, length = seen.shape
        joints = self.joints(motion, family)
        placed = joints + motion.root[..., None, :]
        world_present = ~self.motion.chance(self.world_missing, batch, 1).expand(-1, 2)
        frames = []
        for t in range(length):
            present = motion.present & seen[..., t]
            tokens = landmark_tokens(
                rays[:, :, t], world[:, :, t], world_present, present, self.config.tau, self.config.common_box
            )
            turn = tokens.rotation
            virtual = placed[:, :, t] @ turn.transpose(-1, -2)
            rotations = torch.cat([turn[:, :, None] @ motion.rotations[:, :, t, :1], motion.rotations[:, :, t, 1:]], 2)
            other = mirror_points(motion.root[:, :, t].flip(1)) - motion.root[:, :, t]
            sample = LandmarkSample(
                rotations,
                motion.betas,
                joints[:, :, t] @ turn.transpose(-1, -2),
                virtual[..., :2] / virtual[..., 2:].clamp(min=0.02),
                (turn @ other[..., None])[..., 0],
                mirror_points(turn[:, 1]) @ turn[:, 0].transpose(-1, -2),
                torch.full((batch,), family),
            )
            frames.append((tokens, sample))
        return frames
