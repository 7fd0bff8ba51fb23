"""What synthetic pictures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import InputError
from ...hand_model.assets import SHIPPED_HANDS
from ..ranges import check_ranges

FAMILIES = tuple(SHIPPED_HANDS)
"""The hand models that are rendered, whichever the tracker fits, and whose motion is learned from."""


@dataclass(frozen=True)
class LookSettings:
    """What the looks are drawn from."""

    skins: int = 24
    backgrounds: int = 60
    """skins, backgrounds: kept of each, drawn once."""
    occluded: float = 0.35
    """Share of clips with an object in front of a hand."""
    sleeved: float = 0.5
    """Share of clips with sleeves."""
    forearm: tuple[float, float] = (0.08, 0.28)
    """Metres of forearm, from and to."""

    def __post_init__(self):
        check_ranges(self, "skins backgrounds forearm", "occluded sleeved")


@dataclass(frozen=True)
class SynthesisSettings:
    """What clips are drawn from; see MotionSampler for the first seven."""

    depth_range: tuple[float, float] = (0.25, 1.1)
    view_angle: float = 24.0
    single_share: float = 0.3
    together_share: float = 0.5
    upright: float = 0.0
    grasps: float = 0.0
    facing: float = 0.0
    fov: tuple[float, float] = (48.0, 85.0)
    """Degrees, horizontal field of view, from and to."""
    width: int = 640
    height: int = 480
    """width, height: of the camera's image, pixels."""
    looks: LookSettings = field(default_factory=LookSettings)

    def __post_init__(self):
        check_ranges(self, "depth_range fov width height", "single_share together_share upright grasps facing")
        for name in ("depth_range", "fov"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise InputError(f"{name} must be two positive numbers, from and to, not {low} and {high}")
