"""What the ablation trains and is measured on: synthetic motion with the detector's errors, fingers hidden for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...network.landmark_config import LandmarkConfig
from ...network.landmark_tokens import LandmarkTokens
from .detector_errors import LandmarkErrors
from .motion import Motion
from .samples import LandmarkSample, Synthesis

DEPTH_RANGE = (0.35, 0.9)
"""Metres. No row can know a hand's distance but by its habits."""
_FINGERS = torch.arange(1, 21).reshape(5, 4)


class OccludedSynthesis(Synthesis):
    """Synthesis in which fingers of some hands are hidden for 4 to 10 frames, `hidden_share` of the hands of all clips.

    A hidden landmark has no features and lies at the middle of the others, where a crop would show what hides it. Of
    five fingers at most four are hidden, with the wrist never, so that the hand's box remains. `hidden` is (B, 2, T, 21)
    bool, of the clips drawn last.
    """

    def __init__(self, seed: int, config: LandmarkConfig, hidden_share: float, **motion: Any):
        super().__init__(seed, LandmarkErrors.load(), config, world_missing=0.0, human=0.0, depth_range=DEPTH_RANGE, **motion)
        self.hidden_share = hidden_share
        self.hidden = torch.zeros(0)

    def _draw_hidden(self, batch: int, length: int) -> torch.Tensor:
        chosen = self.motion.chance(self.hidden_share, batch, 2, 1)
        duration = self.motion.uniform(batch, 2, 1, low=4.0, high=10.0)
        start = self.motion.uniform(batch, 2, 1) * (length + duration) - duration
        frame = torch.arange(length)
        now = chosen & (frame >= start) & (frame < start + duration)
        fingers = self.motion.chance(0.6, batch, 2, 5)
        spared = (self.motion.uniform(batch, 2) * 5).long()
        fingers = fingers & (torch.arange(5) != spared[..., None])
        hidden = torch.zeros(batch, 2, length, 21, dtype=torch.bool)
        hidden[..., _FINGERS.flatten()] = now[..., None] & fingers.repeat_interleave(4, -1)[:, :, None]
        return hidden

    def frames(self, motion: Motion, family: int, rays: torch.Tensor, world: torch.Tensor, seen: torch.Tensor) -> list:
        """See Synthesis.frames."""
        hidden = self.hidden = self._draw_hidden(seen.shape[0], seen.shape[2])
        rays, world = _at_middle(rays, hidden), _at_middle(world, hidden)
        frames = super().frames(motion, family, rays, world, seen)
        for t, (tokens, _) in enumerate(frames):
            tokens.features = tokens.features * ~hidden[:, :, t, :, None]
        return frames


def _at_middle(points, hidden):
    """Points (..., 21, D) with those that are hidden (..., 21) at the mean of the others."""
    shown = (~hidden)[..., None]
    return torch.where(shown, points, (points * shown).sum(-2, keepdim=True) / shown.sum(-2, keepdim=True))


@dataclass
class Clips:
    """Clips for evaluation: frames as of Synthesis.draw, times (B, T), counted (B, 2, T): the hands whose errors count."""

    frames: list[tuple[LandmarkTokens, LandmarkSample]]
    times: torch.Tensor
    counted: torch.Tensor


CONDITIONS = {
    "far": "hands at least 0.3 m apart, of boxes whose sides differ by a factor of 1.5 or more",
    "close": "hands that move together, wrists at most 0.2 m apart in the first frame",
    "occluded": "hands while up to four of their fingers are hidden, for 4 to 10 frames",
}
"""What the rows are measured on, all of it motion that training never saw, by name."""


@torch.no_grad()
def condition(name: str, config: LandmarkConfig, clips: int, length: int, seed: int) -> Clips:
    """Clips with both hands under one of CONDITIONS, the same for every configuration."""
    motion = {"single_share": 0.0, "together_share": {"far": 0.0, "close": 1.0, "occluded": 0.5}[name]}
    data = OccludedSynthesis(seed, config, hidden_share=1.0 if name == "occluded" else 0.0, **motion)
    frames, times = data.draw(8 * clips, length)
    first, truth = frames[0]
    apart = truth.other_root[:, 1].norm(dim=-1)
    unequal = (first.size[:, 0] / first.size[:, 1]).log().abs().exp()
    keep = {"far": (apart > 0.3) & (unequal > 1.5), "close": apart < 0.2, "occluded": apart < 9.0}[name]
    keep = keep.nonzero()[:clips, 0]
    counted = torch.stack([tokens.present for tokens, _ in frames], 2)
    if name == "occluded":
        counted = counted & data.hidden.any(-1)
    return Clips(
        [tuple(type(part)(**{key: value[keep] for key, value in vars(part).items()}) for part in frame) for frame in frames],
        times[keep],
        counted[keep],
    )
