"""What an image network is made of: one frozen dataclass, stored inside every weights file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import CheckpointError
from .landmark_config import NetworkConfig, check_numbers

CROP_HEIGHT, CROP_WIDTH = 256, 192
"""Pixels of a hand's crop: the middle of a square of 256, as published ViT hand backbones take it."""
PATCH = 16
"""Pixels of a side of a ViT patch, the paper's."""
ROWS, COLUMNS = CROP_HEIGHT // PATCH, CROP_WIDTH // PATCH

BACKBONES = {"S": (384, 12, 12), "B": (768, 12, 12), "L": (1024, 24, 16), "H": (1280, 32, 16)}
"""Width, blocks and heads of the ViT sizes, as ViTPose has them (S with 12 heads, which no tensor's shape tells); the
paper's is H (section 4.1)."""


@dataclass(frozen=True)
class ImageConfig(NetworkConfig):
    """Sizes of a 4DHands network on image crops (paper sections 3.2 and 3.3)."""

    tokenizer: str = "image"
    width: int = 1280
    depth: int = 32
    heads: int = 16
    """width, depth, heads: of the ViT."""
    relation: str = "concatenate"
    """"concatenate" (Eq. 1-4) or "add", the 11 channels of the released weights."""
    relation_hidden: int = 128
    """Hidden width of the relation maps' MLP."""
    spatial_layers: int = 4
    """Self-attention over both hands' tokens."""
    hand_width: int = 1024
    """Channels of a hand token."""
    decoder_layers: int = 6
    decoder_heads: int = 8
    """decoder_layers, decoder_heads: query to one hand token, heads of 64 channels."""
    temporal_layers: int = 6
    temporal_heads: int = 16
    """temporal_layers, temporal_heads: query over the window."""
    window: int = 9
    """Frames in it; 1 for a network of single frames."""
    frame_gap: float = 5.0 / 30.0
    """Seconds between them (paper: 5 frames of 1/30 s)."""
    tau: float = 1.0
    """Eq. 2."""
    root: int = 0
    """The joint of the 21 that `left_root_relative` is between."""
    mean_pose: bool = False
    """The pose is relative to the hand model's mean pose, not to the flat hand."""
    patch: int = PATCH
    """Pixels of a patch's side, 16 or 32."""
    stem: str = "patches"
    """"patches", each made a token by one matrix as in published ViTs, or "convolutions" (Xiao et al. 2021), with which a small
    ViT learns from nothing."""
    virtual_camera: bool = False
    """A hand's rotation is relative to the camera turned towards the middle of its crop (the shortest way), which is what a
    crop can tell, and `left_root_relative` to the right hand's; the paper's networks know no such turn."""

    def __post_init__(self):
        if (
            self.tokenizer != "image"
            or self.relation not in ("concatenate", "add")
            or not all(isinstance(value, bool) for value in (self.mean_pose, self.virtual_camera))
        ):
            raise CheckpointError(
                f"network settings tokenizer = {self.tokenizer!r}, relation = {self.relation!r}, mean_pose = "
                f"{self.mean_pose!r}, virtual_camera = {self.virtual_camera!r} are not known; there are 'image', 'concatenate' "
                "and 'add', true and false"
            )
        check_numbers(self)
        if self.width % self.heads or self.hand_width % self.temporal_heads or self.hand_width % 2:
            raise CheckpointError(
                f"widths {self.width} and {self.hand_width} must be multiples of their heads, "
                f"{self.heads} and {self.temporal_heads}"
            )
        if self.patch not in (16, 32) or (self.patch != PATCH and self.relation == "add"):
            raise CheckpointError(f"patch {self.patch} must be 16, or 32 with relation 'concatenate'")
        if self.stem not in ("patches", "convolutions"):
            raise CheckpointError(f"stem {self.stem!r} is not known; there are 'patches' and 'convolutions'")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a crop's tokens."""
        return CROP_HEIGHT // self.patch, CROP_WIDTH // self.patch

    @classmethod
    def of_size(cls, size: str, **settings: Any) -> ImageConfig:
        """The configuration with a ViT of size S, B, L or H."""
        if size not in BACKBONES:
            raise CheckpointError(f"there is no backbone of size {size!r}; there are {', '.join(BACKBONES)}")
        width, depth, heads = BACKBONES[size]
        return cls(**{"width": width, "depth": depth, "heads": heads, **settings})
