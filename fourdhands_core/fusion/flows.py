"""How a hand moves in each camera's own images, by which its older views are brought to the moment of newer ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .views import Sighting

_FOLLOWS = 0.05
"""Seconds in which a flow follows what the camera's images show."""
_GAP = 0.3
"""Seconds between two images of a camera from which on they tell nothing."""
_MIDDLE = 9
"""The joint that is nearest to a hand's middle: the middle finger's knuckle."""
_FASTEST = 3.0
"""Metres a second that hands move at most."""


class Flows:
    """By camera, metres a second by which one hand goes across its rays. moved: of each camera that has seen it anew, its
    sightings before and now.

    What was made of all cameras' views does not tell that well: older ones are moved by it, which comes back in it and grows,
    until wrists swing by half a metre.
    """

    def __init__(self) -> None:
        self._last: dict[str, Sighting] = {}
        self._flows: dict[str, np.ndarray] = {}
        self.moved: list[tuple[Sighting, Sighting]] = []

    def look(self, sightings: Sequence[Sighting], middle: np.ndarray | None) -> None:
        """Learn from newer images. middle: (3,) of the hand, fixed frame; None where nobody knows."""
        self.moved = []
        for one in sightings:
            name, before = one.view.name, self._last.get(one.view.name)
            passed = (one.view.stamp - before.view.stamp) * 1e-9 if before is not None else np.inf
            if passed == 0.0:
                continue
            self._last[name] = one
            if before is not None and passed > 0.0:
                self.moved.append((before, one))
            if before is None or middle is None or not 0.0 < passed < _GAP:
                self._flows.pop(name, None)
                continue
            seen = _across(one, middle, one.moved_since(before, middle) / passed)
            seen = seen * min(1.0, _FASTEST / max(float(np.linalg.norm(seen)), 1e-9))
            known = self._flows.get(name, seen)
            self._flows[name] = known + (1.0 - np.exp(-passed / _FOLLOWS)) * (seen - known)

    def instead(self, sighting: Sighting, velocity: np.ndarray) -> np.ndarray:
        """A velocity (3,) of the hand, across a view's rays that which its own images show, where that is known."""
        if sighting.view.name not in self._flows:
            return velocity
        return velocity + _across(sighting, sighting.joints[_MIDDLE], self._flows[sighting.view.name] - velocity)


def _across(sighting: Sighting, point: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """(3,) the part of a vector (3,) across a view's ray to a point (3,)."""
    ray = point - sighting.view.pose.position
    return vector - ray * (float(ray @ vector) / float(ray @ ray))
