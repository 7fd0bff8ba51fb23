"""The 4DHands network with landmark tokens: relation-aware tokens (RAT), spatio-temporal reasoning (SIR), regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from ..geometry.rotations import matrix_from_6d
from .landmark_config import LandmarkConfig
from .landmark_tokens import FEATURES, RELATION_CHANNELS, LandmarkTokens


@dataclass
class HandParameters:
    """What the network regresses for B samples, hands in the order (left, right), each as a right hand (left mirrored).

    rotations: (B, 2, 16, 3, 3), global orientation in the hand's virtual camera, then MANO's 15 joints, flat hand = I.
    betas: (B, 2, 10). other_root: (B, 2, 3), the other hand's wrist relative to this one's, metres, virtual camera
    frame: the paper's upsilon, once from each side. other_root_sigma: (B, 2), its expected error, metres a coordinate.
    joint_sigma: (B, 2, 21), expected error of the wrist-relative joints, metres a coordinate.
    """

    rotations: torch.Tensor
    betas: torch.Tensor
    other_root: torch.Tensor
    other_root_sigma: torch.Tensor
    joint_sigma: torch.Tensor


class Block(nn.Module):
    """Pre-norm transformer block; with `context` it is a decoder block that attends to the context alone."""

    def __init__(self, width: int, heads: int, mlp_ratio: int):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.norm_mlp = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_ratio * width), nn.GELU(), nn.Linear(mlp_ratio * width, width))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, context: torch.Tensor | None = None) -> torch.Tensor:
        """x (N, L, C); mask (N, 1, 1, S), added to attention's scores: `hidden` of the context's tokens (or x's)."""
        n, length, width = x.shape
        x = x.reshape(-1, width)  # linear layers of matrices: onnxruntime has one operation for each
        y = self.norm_attention(x)
        source = y if context is None else context.reshape(-1, width)
        q = self.query(y).reshape(n, length, self.heads, -1).transpose(1, 2)
        kv = self.key_value(source).reshape(n, -1, 2 * self.heads, width // self.heads).transpose(1, 2)
        k, v = kv.split(self.heads, dim=1)
        scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5
        if mask is not None:
            scores = scores + mask
        x = x + self.output((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, width))
        return (x + self.mlp(self.norm_mlp(x))).reshape(n, length, width)


def hidden(seen: torch.Tensor) -> torch.Tensor:
    """What is added to attention's scores: 0 where `seen` (...) bool is True, else so little that nothing is attended to."""
    return torch.where(seen, 0.0, -1e9)


def time_code(offsets: torch.Tensor, width: int) -> torch.Tensor:
    """Sine and cosine code (..., width) of time offsets (...) in units of the frame gap."""
    frequencies = torch.exp(torch.linspace(0.0, -4.0, width // 2, device=offsets.device)) * torch.pi / 2
    angles = offsets[..., None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


class LandmarkNetwork(nn.Module):
    """The network in two halves, so that a stream computes each frame's hand tokens once.

    `encode_frame` gives a hand token per hand and frame (sections 3.2 and 3.3, adaptive spatial fusion); `reason` fuses
    a window of them (temporal fusion) and regresses the hands. Both hands go through the same weights.
    """

    def __init__(self, config: LandmarkConfig = LandmarkConfig()):
        super().__init__()
        self.config = config
        width = config.width

        def blocks(count):
            return nn.ModuleList(Block(width, config.heads, config.mlp_ratio) for _ in range(count))

        # every landmark has an embedding of its own: with a common one, averaging over a hand's landmarks, which is what
        # untrained attention does, would leave nothing of their centred coordinates to learn from
        self.embed = nn.Parameter(torch.randn(21, FEATURES, width) / FEATURES**0.5)
        self.landmark_code = nn.Parameter(0.5 * torch.randn(21, width))
        if config.relation_map:
            first = nn.Linear(RELATION_CHANNELS, 64)
            self.relation = nn.Sequential(first, nn.GELU(), nn.Linear(64, config.relation_width))
        self.join = nn.Linear(width + config.relation_width * config.relation_map, width)
        self.side_code = nn.Parameter(0.02 * torch.randn(2, width))
        self.spatial = blocks(config.spatial_layers)
        self.hand_query = nn.Parameter(0.02 * torch.randn(width))
        self.decoder = blocks(config.decoder_layers)
        self.temporal_query = nn.Parameter(0.02 * torch.randn(width))
        self.temporal = blocks(config.temporal_layers)
        self.base = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, 2 * width), nn.GELU()
        )
        self.pose = nn.Linear(2 * width, 16 * 6)
        self.betas = nn.Linear(2 * width, 10)
        known = 4 * width if config.cross_hand else 2 * width
        self.other_root = nn.Linear(known, 3)
        self.sigma = nn.Linear(known, 22)
        with torch.no_grad():
            if config.relation_map:  # most of Eq. 2 lies near 1/2, where an MLP as torch makes it would hardly see it
                first.weight[:, :-1] *= 6.0
                first.bias.sub_(0.5 * first.weight[:, :-1].sum(1))
            for head in (self.pose, self.betas, self.other_root, self.sigma):
                head.weight.mul_(0.1)
                head.bias.zero_()
            self.pose.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(16))
            self.sigma.bias.fill_(-4.0)

    def encode_frame(self, tokens: LandmarkTokens) -> torch.Tensor:
        """One frame's tokens to hand tokens (B, 2, C). A hand that is not present yields a token nobody may use."""
        batch = tokens.features.shape[0]
        features = tokens.features
        if not self.config.box_size:
            features = torch.cat([features[..., :-1], torch.zeros_like(features[..., -1:])], dim=-1)
        x = torch.einsum("bhlf,lfc->bhlc", features, self.embed) + self.landmark_code
        if self.config.relation_map:
            relation = self.relation(tokens.relation.reshape(-1, RELATION_CHANNELS))
            x = torch.cat([x, relation.reshape(batch, 2, 21, -1)], dim=-1)
        x = self.join(x.reshape(batch * 42, -1)).reshape(batch, 2, 21, -1) + self.side_code[:, None]
        if self.config.cross_hand:
            sequence = x.reshape(batch, 42, -1)
            # attention needs something to attend to: with no hand at all, everything is attended to and nothing used
            present = tokens.present | ~tokens.present.any(dim=1, keepdim=True)
            mask = hidden(present)[..., None].expand(batch, 2, 21).reshape(batch, 1, 1, 42)
        else:
            sequence, mask = x.reshape(batch * 2, 21, -1), None
        for block in self.spatial:
            sequence = block(sequence, mask)
        context = sequence.reshape(batch * 2, 21, -1)
        query = self.hand_query.expand(batch * 2, 1, -1)
        for block in self.decoder:
            query = block(query, None, context)
        return query.reshape(batch, 2, -1)

    def reason(self, tokens: torch.Tensor, offsets: torch.Tensor, valid: torch.Tensor) -> HandParameters:
        """Fuse a window and regress.

        tokens: (B, 2, T, C) hand tokens. offsets: (B, T) times of the frames relative to the estimated one, in units of
        the frame gap. valid: (B, 2, T) bool, the hand was there in that frame; where it never was, the output means
        nothing.
        """
        batch, _, length, width = tokens.shape
        valid = valid | ~valid.any(dim=-1, keepdim=True)
        x = (tokens + time_code(offsets, width)[:, None]).reshape(batch * 2, length, width)
        mask = hidden(valid).reshape(batch * 2, 1, 1, length)
        z = self.temporal_query.expand(batch * 2, 1, -1)
        for block in self.temporal:
            z = block(z, mask, x)
        base = self.base(z.reshape(batch, 2, width))
        pair = torch.cat([base, base.flip(1)], dim=-1) if self.config.cross_hand else base
        sigma = torch.exp(self.sigma(pair).clamp(-7.0, 1.0))
        rotations = matrix_from_6d(self.pose(base).reshape(batch, 2, 16, 6))
        return HandParameters(rotations, self.betas(base), self.other_root(pair), sigma[..., 0], sigma[..., 1:])
