"""Whether images come from where other cameras stand: topics that were exchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np

from ..geometry.rigid import Rigid
from ..hand_model.skeleton import LEFT, RIGHT
from .bumps import listed
from .solution import cross
from .views import View

_PASSING, _TURNED = 0.003, float(np.radians(25.0))
"""Metres by which rays of one hand usually pass by its landmarks, root mean square, and radians between what two views make of
the hand's orientation."""
_MOST = 4.0
"""Most that either costs; all costs are negative logarithms of how likely something is."""
_UNLIKELY = 0.25
"""Of exchanged cameras, in each estimate: where they stand so near together that all go as well, they are not."""
_LIMIT = 4.5
"""Most evidence that is remembered: of a few estimates."""
_SELDOM = 4
"""Estimates of which one is looked at, while all that is remembered speaks against it."""
_FEW = 3
"""Cameras up to which all orders are looked at, not only those in which two are exchanged."""

Order = tuple[tuple[str, str], ...]
"""Cameras, and in whose places they stand; empty where all stand where they are said to."""


class Exchanged:
    """Compares how well hands go together where cameras are said to stand, and where some stand in the places of others.

    Rays of exchanged cameras often meet all the same, in hands as large as hands are; then, though, what views make of a hand's
    orientation does not go together.
    """

    def __init__(self) -> None:
        self._evidence: dict[Order, float] = {(): 0.0}  # logarithms, beside the likeliest
        self._here, self._count = set[str](), 0

    def take(self, views: Sequence[View]) -> None:
        """The views of one estimate."""
        self._count += 1
        views = sorted(views, key=lambda view: view.name)
        here, sure = {view.name for view in views}, all(one <= -_LIMIT for order, one in self._evidence.items() if order)
        if sure and here == self._here and self._count % _SELDOM:
            return
        self._here = here
        seen = [[_Seen.of(view, side) for view in views] for side in (LEFT, RIGHT)]
        hands = [hand for hand in seen if sum(one is not None for one in hand) > 1]
        evidence = self._evidence
        for order in [order for order in evidence if not here.issuperset(camera for camera, _ in order)]:
            evidence[order] -= _UNLIKELY  # of a camera that delivers nothing
        if hands:
            poses = [view.pose for view in views]
            usual = _cost(hands, poses)
            for places in _orders(len(views)):
                order = tuple((views[k].name, views[other].name) for k, other in enumerate(places) if k != other)
                worse = _cost(hands, [poses[other] for other in places]) - usual + _UNLIKELY
                evidence[order] = evidence.get(order, 0.0) - worse
        most = max(evidence.values())
        self._evidence = {order: max(one - most, -_LIMIT) for order, one in evidence.items()}

    @property
    def order(self) -> Order:
        """The likeliest."""
        return max(self._evidence, key=lambda order: self._evidence[order])

    @property
    def problem(self) -> str:
        """The same in words; empty where nothing is wrong."""
        if not (order := self.order):
            return ""
        cameras = listed(camera for camera, _ in order)
        return f"{cameras} see hands as from one another's places: their topics or their poses are exchanged; no hand is valid"


class _Seen:
    """A hand in its camera's own frame. lines: (21, 3) from the camera. rotation: (3, 3) the wrist's."""

    def __init__(self, rays: np.ndarray, rotation: np.ndarray) -> None:
        lines = np.column_stack([rays, np.ones(len(rays))])
        self.lines, self.rotation = lines / np.linalg.norm(lines, axis=1, keepdims=True), rotation

    @classmethod
    def of(cls, view: View, side: int) -> _Seen | None:
        """The hand of a side in a view; None where it is not seen."""
        hand, rays = view.estimate.hands[side], view.rays[side]
        if not hand.valid or hand.wrist_rotation is None or not np.isfinite(rays).all():
            return None
        return cls(rays, hand.wrist_rotation)

    def beside(self, pose: Rigid, other: _Seen, its: Rigid) -> float:
        """What it costs that another view shows the same hand, from where the cameras stand in such poses."""
        one, two, between = self.lines @ pose.rotation.T, other.lines @ its.rotation.T, its.position - pose.position
        normal = cross(one, two)
        # where rays are nearest to each other
        behind = any((cross(between[None], lines) * normal).sum(1).min() < 0.0 for lines in (one, two))
        away = np.square(normal @ between) / np.maximum(np.square(normal).sum(1), 1e-6)  # squares of distances between rays
        passing = _MOST if behind else min(0.125 * float(away.mean()) / _PASSING**2, _MOST)
        cosine = 0.5 * (float(np.sum((pose.rotation @ self.rotation) * (its.rotation @ other.rotation))) - 1.0)
        return passing + min(0.5 * (float(np.arccos(min(max(cosine, -1.0), 1.0))) / _TURNED) ** 2, _MOST)


def _cost(hands: Sequence[Sequence[_Seen | None]], poses: Sequence[Rigid]) -> float:
    """Of hands, each in the views that show it, from where the cameras stand in such poses: of two views in the mean."""
    costs = [
        one.beside(pose, other, its)
        for hand in hands
        for (one, pose), (other, its) in combinations([(seen, pose) for seen, pose in zip(hand, poses) if seen is not None], 2)
    ]
    return sum(costs) / len(costs)


def _orders(count: int) -> Iterator[tuple[int, ...]]:
    """Other orders of so many cameras, see `_FEW`."""
    usual = tuple(range(count))
    if count <= _FEW:
        yield from (order for order in permutations(usual) if order != usual)
        return
    for one, other in combinations(usual, 2):
        yield tuple(other if k == one else one if k == other else k for k in usual)
