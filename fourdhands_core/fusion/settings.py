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
