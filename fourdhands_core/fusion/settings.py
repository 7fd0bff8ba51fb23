"""The settings of the fusion of several cameras."""

from __future__ import annotations

from dataclasses import dataclass

from ..pipeline.settings import TrackerSettings


@dataclass(frozen=True)
class FusionSettings:
    """Settings of a HandFusion."""

    hold: float = TrackerSettings.hold
    """As TrackerSettings.hold, of a hand that no view shows."""
    smoothing: float = TrackerSettings.smoothing
    """As TrackerSettings.smoothing, of the solution's rotations."""
    acceleration: float = TrackerSettings.acceleration
    """As TrackerSettings.acceleration, of the solution's wrist."""
    oldest: float = 0.12
    """Seconds between a view and the moment of the estimate at which it is still used."""
    together: float = 0.025
    """Metres, of the landmarks as a whole, by which a view may lie beside the others before it is left out."""
