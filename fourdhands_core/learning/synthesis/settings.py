"""What synthetic pictures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errors import InputError


@dataclass(frozen=True)
class LookSettings:
    """What the looks are drawn from.

    skins, backgrounds: kept of each, drawn once. occluded: share of clips with an object in front of a hand. sleeved:
    share of clips with sleeves. forearm: metres of forearm, from and to.
    """

    skins: int = 24
    backgrounds: int = 60
    occluded: float = 0.35
    sleeved: float = 0.5
    forearm: tuple[float, float] = (0.08, 0.28)


@dataclass(frozen=True)
class SynthesisSettings:
    """What clips are drawn from; see MotionSampler for the first five.

    fov: degrees, horizontal field of view, from and to. width, height: of the camera's image, pixels.
    """

    depth_range: tuple[float, float] = (0.25, 1.1)
    view_angle: float = 24.0
    single_share: float = 0.3
    together_share: float = 0.5
    upright: float = 0.0
    fov: tuple[float, float] = (48.0, 85.0)
    width: int = 640
    height: int = 480
    looks: LookSettings = field(default_factory=LookSettings)

    def __post_init__(self):
        for name in ("depth_range", "fov"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise InputError(f"{name} must be two positive numbers, from and to, not {low} and {high}")
