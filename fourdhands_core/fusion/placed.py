"""How far away depth images have a hand, as far as the rays of several cameras do not contradict it."""

from __future__ import annotations

import numpy as np

from .views import Sighting

_ERROR = 0.008
"""Metres by which depth has a wrist wrong along its camera's ray."""
_BESIDE = 0.025
"""Metres along a ray between where depth has placed a hand and where the rays of several cameras meet, from which on it counts
less; at twice as many it is told, and not believed where that camera sees the hand alone."""


class PlacedByDepth:
    """misplaced: cameras whose depth images have placed hands elsewhere than rays met, as of a wrong scale or another view."""

    def __init__(self) -> None:
        self.misplaced = set[str]()

    def look(self, side: int, sightings: list[Sighting], met: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What depth says of a side's wrist: information (3, 3), and its product with the place. met: (21, 3) where the rays of
        the sightings meet; of one alone any."""
        known, pull = np.zeros((3, 3)), np.zeros(3)
        for one in sightings:
            if not one.by_depth or one.label != side or (len(sightings) == 1 and one.view.name in self.misplaced):
                continue
            ray = one.joints[0] - one.view.pose.position
            ray, beside = ray / np.linalg.norm(ray), 0.0
            if len(sightings) > 1:
                beside = float((one.joints - met).mean(0) @ ray) / _BESIDE
                if abs(beside) > 2.0:
                    self.misplaced.add(one.view.name)
                elif abs(beside) < 1.0:
                    self.misplaced.discard(one.view.name)
            precise = np.outer(ray, ray) / (_ERROR * (1.0 + beside**2)) ** 2
            known, pull = known + precise, pull + precise @ one.joints[0]
        return known, pull
