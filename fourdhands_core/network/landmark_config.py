"""What a network is made of: one frozen dataclass, stored inside every weights file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import CheckpointError

SHIPPED = Path(__file__).parent / "weights" / "landmark.safetensors"
"""The landmark network that comes with the package, trained by `fourdhands train landmark`.

Others of the same sizes need this file alone; of other sizes the graphs of `tools/landmark_graphs.py` too, or torch runs them.
The accuracy that README.md and `docs/benchmarks.md` state is then measured anew, with `fourdhands evaluate`.
"""

LARGEST = {
    "width": 8192,
    "hand_width": 8192,
    "window": 1001,
    "root": 20,
    **dict.fromkeys(("depth", "spatial_layers", "decoder_layers", "temporal_layers"), 100),
}
"""Above, a setting is no network's but a damaged file's; others' limit is 1000."""


def check_numbers(config: Any) -> None:
    """Raises CheckpointError where a setting whose type is int is no positive whole number, or one of float not positive
    and finite, or the window even; `root` may be 0."""
    for field in fields(config):
        value, limit = getattr(config, field.name), LARGEST.get(field.name, 1000)
        if field.type not in ("int", "float"):
            continue
        kinds, least = ((int,), 0 if field.name == "root" else 1) if field.type == "int" else ((int, float), 1e-9)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= limit:
            raise CheckpointError(
                f"network setting {field.name} must be a positive number ({field.type}, at most {limit}), not {value!r}"
            )
    if config.window % 2 == 0:
        raise CheckpointError(f"window {config.window} must be odd: as many frames before as after the estimated one")


Own = TypeVar("Own", bound="NetworkConfig")


@dataclass(frozen=True)
class NetworkConfig:
    """What the networks' configurations have in common: how they are stored."""

    def to_dict(self) -> dict:
        """Plain dictionary for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[Own], data: dict) -> Own:
        """The inverse of `to_dict`; a name it does not know raises CheckpointError."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise CheckpointError(f"network settings {unknown} are not known; known are {sorted(known)}")
        return cls(**data)


@dataclass(frozen=True)
class LandmarkConfig(NetworkConfig):
    """Sizes of a 4DHands network with landmark tokens."""

    tokenizer: str = "landmark"
    width: int = 128
    """Channels of tokens and hand tokens."""
    relation_width: int = 24
    """Channels of the relation map that are concatenated to the tokens (RAT, paper section 3.2)."""
    heads: int = 4
    """Attention heads."""
    spatial_layers: int = 2
    """Self-attention over both hands' tokens."""
    decoder_layers: int = 2
    """Query to one hand token per hand."""
    temporal_layers: int = 2
    """Query over the window."""
    mlp_ratio: int = 2
    """Hidden width of the blocks' MLPs in multiples of `width`."""
    window: int = 9
    """Frames in the temporal window (paper: 9)."""
    frame_gap: float = 1.0 / 30.0
    """Seconds between frames of the window."""
    tau: float = 1.0
    """The activation distance of Eq. 2. For ablations (paper, Table 5) parts can be left out."""
    cross_hand: bool = True
    """Both hands' tokens are one sequence, and the relative root comes of both hands' features; else each hand is alone."""
    relation_map: bool = True
    """RAT."""
    common_box: bool = False
    """Positions in one box around both hands, as a holistic crop has them, instead of in the hand's own."""
    box_size: bool = True
    """The tokens tell how large the hand's box is in the camera's view, which no crop does."""

    def __post_init__(self):
        if self.tokenizer != "landmark":
            raise CheckpointError(f"tokenizer {self.tokenizer!r} is not known; this version has 'landmark'")
        check_numbers(self)
        for name in ("cross_hand", "relation_map", "common_box", "box_size"):
            if not isinstance(getattr(self, name), bool):
                raise CheckpointError(f"network setting {name} must be true or false, not {getattr(self, name)!r}")
        if self.width % self.heads or self.width % 2:
            raise CheckpointError(f"network width {self.width} must be even and a multiple of heads {self.heads}")
