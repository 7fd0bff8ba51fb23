"""What is remembered between two fused estimates: of either hand, of the cameras, and of the person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..hand_model.skeleton import LEFT, RIGHT
from ..pipeline.settings import TrackerSettings
from .consistency import Consistency
from .deviations import Deviations
from .matching import UNSTEADY, Places
from .placed import PlacedByDepth
from .schedule import Schedule
from .shape import SharedShape
from .times import Times
from .track import FusedTrack
from .views import View

_WRONG_SIDE = -4.0
"""Votes of the views below which a hand is the other one."""

_SET, _TURNED = 0.01, 0.02
"""Metres and radians from where a camera stood, beside what it may go from there, from which on its pose is another one."""


@dataclass(eq=False)
class Memory:
    """tracks: of the (left, right) hand. views: the newest of each camera. arrived: cameras that have delivered since the last
    estimate. late: by camera, the stamp of a view that came after newer ones. since: by camera, since when its images are
    alike. changed: stamp at which the images of any last changed. lost: estimates in a row in which a hand was not where it was
    expected. resting: cameras that stood still from the last image but one to the last."""

    tracks: tuple[FusedTrack, FusedTrack]
    schedule: Schedule
    times: Times
    views: dict[str, View] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
    late: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    changed: int = 0
    lost: int = 0
    resting: set[str] = field(default_factory=set)
    placed: PlacedByDepth = field(default_factory=PlacedByDepth)
    deviations: Deviations = field(default_factory=Deviations)
    shape: SharedShape = field(default_factory=SharedShape)
    consistency: Consistency = field(default_factory=Consistency)

    def betas(self, known: np.ndarray | None) -> np.ndarray:
        """(10,) the hands' shape: the one that is known, else as far as views tell."""
        return self.shape.mean if known is None else known

    def age(self, view: View, stamp: int) -> float:
        """Seconds by which a view is older than a moment, by what is known of its camera's clock."""
        return (stamp - view.stamp) * 1e-9 + self.consistency.applied.get(view.name, 0.0)

    def expected(self, view: View, stamp: int, intervals: Sequence[float]) -> Places:
        """By side, where a hand's landmarks are expected in a view, so many seconds after it was seen."""
        age = self.age(view, stamp)
        left, right = (
            None if (joints := track.expected(interval)) is None else joints + track.beside - age * track.velocity
            for track, interval in zip(self.tracks, intervals)
        )
        return left, right

    def stands_elsewhere(self, view: View) -> bool:
        """Whether a camera that stood still is said to stand where it cannot have gone since its last image: its pose is set
        right, as on /tf_static."""
        if (before := self.views.get(view.name)) is None:
            return False
        away, turned = float(np.linalg.norm(view.pose.position - before.pose.position)), view.pose.angle_to(before.pose)
        rested, passed = view.name in self.resting, (view.stamp - before.stamp) * 1e-9
        (self.resting.add if away == 0.0 and turned < 1e-6 else self.resting.discard)(view.name)
        return rested and (away > _SET + UNSTEADY * passed**2 or turned > _TURNED + 2.0 * UNSTEADY * passed**2)

    def settle_sides(self, settings: TrackerSettings) -> None:
        """Exchange both hands' sides where the views have long called them otherwise; the next estimate is of the new sides."""
        if sum(track.votes for track in self.tracks if track.joints is not None) >= _WRONG_SIDE:
            return
        fresh = new_tracks(settings)
        for track, before, other in zip(fresh, self.tracks, self.tracks[::-1]):
            track.published = before.published
            if other.joints is not None:  # its pose, of the other side, is none of this one's
                track.joints, track.velocity, track.stamp, track.agreed = (
                    other.joints,
                    other.velocity,
                    other.stamp,
                    other.agreed,
                )
        self.tracks = fresh


def new_tracks(settings: TrackerSettings) -> tuple[FusedTrack, FusedTrack]:
    """Of both hands, before they were seen."""
    left, right = (FusedTrack(side, settings.hold, settings.smoothing, settings.acceleration) for side in (LEFT, RIGHT))
    return left, right
