"""The 4DHands network of the paper on image crops: ViT tokens with relation maps (RAT), spatio-temporal reasoning (SIR)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from ..geometry.rotations import Array, matrix_from_6d
from .image_config import ImageConfig
from .image_relation import PAPER_CHANNELS, RELEASED_CHANNELS, paper_relation, released_relation, with_absent_far_away

HEAD_WIDTH = 64
"""Channels of a head of the spatial decoder."""


@dataclass
class ImageHands:
    """What the network regresses for B samples, hands in the order (left, right), each as a right hand (left mirrored).

    pose: (B, 2, 16, 6), the first two columns (one after the other) of the rotations, wrist first, then MANO's 15
    joints. rotations: (B, 2, 16, 3, 3) the same as matrices. betas: (B, 2, 10). camera: (B, 2, 3), s, tx, ty of the
    weak-perspective camera of the crop. left_root_relative: (B, 3), left root minus right root, metres, camera axes.
    """

    pose: torch.Tensor
    rotations: torch.Tensor
    betas: torch.Tensor
    camera: torch.Tensor
    left_root_relative: torch.Tensor


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Multi-head attention of q (N, L, C) to k, v (N, S, C); mask (N, 1, 1, S) bool, True where it may attend."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def mlp(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Block(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, width: int, heads: int, hidden: int, bias: bool, eps: float):
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width, eps=eps)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.output = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width, eps=eps)
        self.mlp = mlp(width, hidden)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = self.qkv(self.norm_attention(x)).chunk(3, -1)
        x = x + self.output(attend(q, k, v, self.heads, mask))
        return x + self.mlp(self.norm_mlp(x))


class ConvolutionNorm(nn.Module):
    """Convolution and LayerNorm over its channels; (N, H, W, C) in and out, as a CPU has it fastest."""

    def __init__(self, channels: int, width: int, stride: int, side: int = 3):
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, side, stride, side // 2, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class Residual(nn.Module):
    """ResNet's block of two convolutions."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.first = ConvolutionNorm(channels, width, stride)
        self.second = ConvolutionNorm(width, width, 1)
        self.skip = ConvolutionNorm(channels, width, stride, 1) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.skip(x) + self.second(functional.relu(self.first(x))))


class ConvolutionStem(nn.Module):
    """Halved crops (N, 3, 256, 192) through residual convolutions to tokens (N, rows, columns, C)."""

    def __init__(self, config: ImageConfig):
        super().__init__()
        widths = [32, 64, 128, config.width] if config.patch == 32 else [32, 64, config.width]
        self.first = ConvolutionNorm(3, widths[0], 2)
        blocks = []
        for channels, width in pairwise(widths):
            blocks += [Residual(channels, width, 2), Residual(width, width, 1)]
        self.blocks = nn.Sequential(*blocks[:-1])

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        halved = functional.avg_pool2d(crops, 2).permute(0, 2, 3, 1).contiguous()
        return self.blocks(functional.relu(self.first(halved)))


class Backbone(nn.Module):
    """ViT without a class token: crops (N, 3, 256, 192) to tokens (N, 192, C), row by row."""

    def __init__(self, config: ImageConfig):
        super().__init__()
        self.grid = config.grid
        if config.stem == "patches":
            self.patches = nn.Conv2d(3, config.width, config.patch, config.patch, padding=2)
        else:
            self.convolutions = ConvolutionStem(config)
        self.position = nn.Parameter(0.02 * torch.randn(1, 1 + config.grid[0] * config.grid[1], config.width))
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, 4 * config.width, True, 1e-6) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    def embed(self, crops: torch.Tensor) -> torch.Tensor:
        """Patches as tokens, the convolution as a matrix product: its own output, and all after, would lie by channel."""
        (rows, columns), patch = self.grid, self.patches.stride[0]
        patches = (
            functional.pad(crops[..., :-2, :-2], (2, 0, 2, 0)).unflatten(-1, (columns, patch)).unflatten(-3, (rows, patch))
        )
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return functional.linear(patches, self.patches.weight.flatten(1), self.patches.bias)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        x = self.convolutions(crops).flatten(1, 2) if hasattr(self, "convolutions") else self.embed(crops)
        x = x + (self.position[:, 1:] + self.position[:, :1])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class DecoderLayer(nn.Module):
    """Pre-norm decoder layer of a single query: its self-attention is the projection of its value."""

    def __init__(self, width: int, context: int, inner: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_self = nn.LayerNorm(width)
        self.value = nn.Linear(width, inner, bias=False)
        self.output_self = nn.Linear(inner, width)
        self.norm_cross = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key_value = nn.Linear(context, 2 * inner, bias=False)
        self.output_cross = nn.Linear(inner, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = mlp(width, width)

    def forward(self, x: torch.Tensor, context: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = x + self.output_self(self.value(self.norm_self(x)))
        k, v = self.key_value(context).chunk(2, -1)
        x = x + self.output_cross(attend(self.query(self.norm_cross(x)), k, v, self.heads, mask))
        return x + self.mlp(self.norm_mlp(x))


class Decoder(nn.Module):
    """One learned query through decoder layers: a context (N, S, D) to one vector (N, C)."""

    def __init__(self, layers: int, width: int, context: int, inner: int, heads: int):
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(width))
        self.layers = nn.ModuleList(DecoderLayer(width, context, inner, heads) for _ in range(layers))

    def forward(self, context: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = self.query.expand(len(context), 1, -1)
        for layer in self.layers:
            x = layer(x, context, mask)
        return x[:, 0]


def time_code(window: int, width: int, device: torch.device | str | None = None) -> torch.Tensor:
    """(T, C) sine code of the frames of a window, sine and cosine interleaved, positions (n / T) 2 pi, n = 1 to T."""
    position = torch.arange(1, window + 1, device=device) / (window + 1e-6) * 2.0 * math.pi
    angles = position[:, None] / 10000.0 ** (torch.arange(0, width, 2, device=device) / width)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


class ImageNetwork(nn.Module):
    """The network in two halves, so that a stream computes each frame's hand tokens once.

    `encode` gives a hand token per hand and frame; `reason` fuses a window of them and regresses the hands in its middle.
    """

    def __init__(self, config: ImageConfig):
        super().__init__()
        self.config = config
        width, hand = config.width, config.hand_width
        self.backbone = Backbone(config)
        self.added = config.relation == "add"
        channels = RELEASED_CHANNELS if self.added else PAPER_CHANNELS
        self.relation = nn.Sequential(
            nn.Linear(channels, config.relation_hidden),
            nn.LayerNorm(config.relation_hidden),
            nn.GELU(),
            nn.Linear(config.relation_hidden, width),
        )
        self.join = None if self.added else nn.Linear(2 * width, width)
        self.spatial = nn.ModuleList(Block(width, config.heads, width, False, 1e-5) for _ in range(config.spatial_layers))
        self.decoder = Decoder(config.decoder_layers, hand, width, config.decoder_heads * HEAD_WIDTH, config.decoder_heads)
        self.temporal = Decoder(config.temporal_layers, hand, hand, hand, config.temporal_heads)
        self.base = nn.Sequential(nn.Linear(hand, hand), nn.LeakyReLU(0.01), nn.Linear(hand, hand // 2), nn.LeakyReLU(0.01))
        self.pose = nn.Linear(hand // 2, 16 * 6)
        self.betas = nn.Linear(hand, 10)
        self.camera = nn.Linear(hand // 2, 3)
        self.mean_camera = nn.Parameter(torch.tensor([4.0, 0.0, 0.0]))
        self.relative = nn.Linear(hand, 3)
        for module in self.modules():  # so that what a crop shows is not lost in the constants on its way to the heads
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():  # a network from nothing begins at the flat hand
            for head in (self.pose, self.betas, self.camera, self.relative):
                head.weight.mul_(0.1)
                head.bias.zero_()
            self.pose.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(16))

    def relation_maps(self, squares: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """(B, 2, 192, channels) for squares (B, 2, 4) x, y, w, h in pixels and present (B, 2) bool, None for all."""
        if present is not None:
            squares = with_absent_far_away(squares, present)
        maps = released_relation(squares) if self.added else paper_relation(squares, self.config.tau, self.config.grid)
        return maps.flatten(2, 3)

    def encode(self, crops: torch.Tensor, squares: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Hand tokens (B, 2, C) of B frames, of one or several cameras; the token of an absent hand means nothing.

        crops: (N, 3, 256, 192) normalised, of the N hands that are present, in the order of `present` row by row; the
        left hand's crop mirrored. squares: (B, 2, 4) x, y, w, h of the (left, right) hand's square in pixels of the
        image. present: (B, 2) bool.
        """
        return self.hand_tokens(self.backbone(crops), squares, present)

    def hand_tokens(self, features: torch.Tensor, squares: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """`encode` from the backbone's tokens (N, tokens, C) of the crops."""
        if len(features) == present.numel():
            return self.interact(features.unflatten(0, (-1, 2)), squares)
        # by an index, not a mask, which a GPU would have to be waited for; the absent hands' tokens are there to be masked
        number = (present.flatten().cumsum(0) - 1).clamp(min=0)
        return self.interact(features[number].unflatten(0, (-1, 2)), squares, present)

    def encode_present(self, crops: torch.Tensor, placed: torch.Tensor) -> torch.Tensor:
        """`encode` with `squares` and `present` in one tensor (B, 2, 5): x, y, w, h, and 1 where there is a hand."""
        return self.encode(crops, placed[..., :4], placed[..., 4] > 0.5)

    def interact(self, features: torch.Tensor, squares: torch.Tensor, present: torch.Tensor | None = None) -> torch.Tensor:
        """Hand tokens (B, 2, C) from the backbone's tokens (B, 2, 192, C); see `encode`. present: None where all hands are."""
        maps = self.relation(self.relation_maps(squares, present).to(features.dtype))
        x = maps + features if self.join is None else self.join(torch.cat([features, maps], -1))
        batch, _, tokens, width = x.shape
        x = x.reshape(batch, 2 * tokens, width)
        mask = None
        if present is not None:
            mask = present | ~present.any(1, keepdim=True)
            mask = mask[..., None].expand(-1, -1, tokens).reshape(batch, 1, 1, 2 * tokens)
        for block in self.spatial:
            x = block(x, mask)
        return self.decoder(x.reshape(batch * 2, tokens, width)).unflatten(0, (batch, 2))

    def fuse(self, tokens: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """Temporal tokens (B, 2, C) of windows of hand tokens (B, 2, T, C).

        valid: (B, 2, T) bool, the hand was there in that frame; None where all were.
        """
        code, mask = time_code(tokens.shape[2], tokens.shape[3], tokens.device).to(tokens.dtype), None
        if valid is not None:
            mask = (valid | ~valid.any(-1, keepdim=True)).flatten(0, 1)[:, None, None]
        return self.temporal((tokens + code).flatten(0, 1), mask).unflatten(0, tokens.shape[:2])

    def regress(self, fused: torch.Tensor) -> ImageHands:
        """The hands of temporal tokens (B, 2, C)."""
        base = self.base(fused)
        pose = self.pose(base).unflatten(-1, (16, 6))
        relative = self.relative(torch.cat([base[:, 1], base[:, 0]], -1))
        return ImageHands(pose, matrix_from_6d(pose.float()), self.betas(fused), self.camera(base) + self.mean_camera, relative)

    def reason(self, tokens: torch.Tensor, valid: torch.Tensor | None = None) -> ImageHands:
        """`fuse`, then `regress`."""
        return self.regress(self.fuse(tokens, valid))

    def reason_flat(self, tokens: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """`reason` as one tensor (B, 317) float32, whose rows `split` takes apart."""
        hands = self.reason(tokens, valid)
        return torch.cat(
            [value.flatten(1).float() for value in (hands.rotations, hands.betas, hands.camera, hands.left_root_relative)], 1
        )

    @staticmethod
    def split(row: Array) -> tuple[Array, Array, Array, Array]:
        """Rotations (2, 16, 3, 3), betas (2, 10), cameras (2, 3), relative root (3,) of a row of `reason_flat`, an array."""
        return row[:288].reshape(2, 16, 3, 3), row[288:308].reshape(2, 10), row[308:314].reshape(2, 3), row[314:]
