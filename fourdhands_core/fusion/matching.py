"""Which hand in which view is which: by where the hands were expected, whether rays meet, and the sides that views say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..hand_model.skeleton import LEFT, RIGHT, SIDES
from .views import Sighting, View, agree

EXCHANGED = "left and right are exchanged"
ELSEWHERE = "it sees a hand where the others see none"
BESIDE = "its landmarks lie beside the others'"
DEPTH = "its depth images alone, which place hands elsewhere than the cameras' rays meet"
FROZEN = "its images are the same again and again, and the others' are not: it is frozen, or slower than its stamps"
LATE = "its images come too late, or its clock is apart"
_ERROR = 0.012
"""Metres by which a sighting lies beside where its hand was expected, and beside another view's, root mean square."""
UNSTEADY = 5.0
"""Metres a second squared, half of a hand's acceleration: at five images a second nobody can tell where it went meanwhile."""
_HUBER = 2.0
"""Such errors beyond which the cost grows in proportion: what one view alone has placed may be far off along its rays."""
_SPEED = 0.5
"""Metres a second that hands move between two views' stamps."""
_FAR, _APART = 30.0, 20.0
"""Most that a sighting far from where its hand was expected costs, and two whose rays do not meet; all costs are negative
logarithms of how likely something is."""
_LABEL = 3.0
"""Of a side that a view is sure of and that is the other one."""
_NONE, _NEW = 14.0, 1.0
"""Of a sighting that shows neither hand, and of one that shows a hand which is expected nowhere."""
_CLEAR, _OTHER = 0.02, 0.05
"""Metres beside its own hand and from the other one between which nothing else need be asked."""
_ANEW = 9.0
"""Of a hand that is not where it was expected at all."""

Sides = tuple[int | None, ...]
Places = tuple[np.ndarray | None, np.ndarray | None]


@dataclass
class Matched:
    """By side the sightings of that hand. strangers: those that show neither hand. left_out: what was left out, camera and why.
    lost: by side, whether the hand cannot be where it was expected, so all views say."""

    hands: tuple[list[Sighting], list[Sighting]] = field(default_factory=lambda: ([], []))
    strangers: list[Sighting] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    lost: tuple[bool, bool] = (False, False)


def match(views: list[View], expected: list[Places], intervals: Sequence[float]) -> Matched:
    """Give each view's hands their sides: those that are likeliest, of all views together.

    expected: of each view, by side, where its joints (21, 3) are expected at the view's stamp, fixed frame; None where the hand
    is new. intervals: by side, seconds since the hand was seen, in which it may have gone elsewhere.
    """
    seen = [view.sightings() for view in views]
    lost = False, False
    sides = _clearly(seen, expected)
    if sides is None:
        sides, cost = _Costs(seen, expected, intervals).least()
        if cost > _ANEW and len(views) > 1:
            for forgotten in ((True, False), (False, True), (True, True)):
                known = [side for side in (LEFT, RIGHT) if forgotten[side]]
                if any(expected[0][side] is None for side in known):
                    continue
                other, instead = _Costs(seen, [_without(places, forgotten) for places in expected], intervals).least()
                if instead + _ANEW * len(known) < cost:
                    sides, cost, lost = other, instead + _ANEW * len(known), forgotten
    matched = Matched(lost=lost)
    for one, chosen in zip(seen, sides):
        for sighting, side in zip(one, chosen):
            if side is None:
                matched.strangers.append(sighting)
                matched.left_out.append((sighting.view.name, ELSEWHERE))
                continue
            matched.hands[side].append(sighting)
            if side != sighting.label:
                words = f"{EXCHANGED}: its {SIDES[sighting.label]} hand is the {SIDES[side]}"
                matched.left_out.append((sighting.view.name, words))
    return matched


def _without(places: Places, forgotten: tuple[bool, bool]) -> Places:
    left, right = (None if forget else place for forget, place in zip(forgotten, places))
    return left, right


def _clearly(seen: list[list[Sighting]], expected: list[Places]) -> list[Sides] | None:
    """The views' own sides, where every sighting is near its hand and far from the other one."""
    for one, places in zip(seen, expected):
        for sighting in one:
            own, other = places[sighting.label], places[1 - sighting.label]
            if own is None or sighting.distance_to(own) > _CLEAR:
                return None
            if other is not None and sighting.distance_to(other) < _OTHER:
                return None
    return [tuple(sighting.label for sighting in one) for one in seen]


class _Costs:
    """What giving sides to sightings costs. seen: by view. expected, intervals: see `match`."""

    def __init__(self, seen: list[list[Sighting]], expected: list[Places], intervals: Sequence[float]) -> None:
        errors = [float(np.hypot(_ERROR, UNSTEADY * interval**2)) for interval in intervals]
        self._seen = seen
        self._pairs: dict[tuple[int, int], float] = {}
        self._own = [
            [[self._alone(one, side, places[side], errors[side]) for side in (LEFT, RIGHT)] for one in each]
            for each, places in zip(seen, expected)
        ]

    @staticmethod
    def _alone(sighting: Sighting, side: int, place: np.ndarray | None, error: float) -> float:
        label = _LABEL * sighting.confidence if side != sighting.label else 0.0
        if place is None:
            return _NEW + label
        off = sighting.distance_to(place) / error
        return min(0.5 * off * off if off < _HUBER else _HUBER * (off - 0.5 * _HUBER), _FAR) + label

    def _together(self, one: Sighting, other: Sighting) -> float:
        key = id(one), id(other)
        if key not in self._pairs:
            error = _ERROR + _SPEED * abs(one.view.stamp - other.view.stamp) * 1e-9
            cost = min(0.5 * (agree(one, other) / error) ** 2, _APART)
            self._pairs[key] = self._pairs[key[::-1]] = cost
        return self._pairs[key]

    def _of_view(self, number: int, sides: Sides, all_sides: list[Sides]) -> float:
        """Of one view's sides, given the others'."""
        cost = 0.0
        for own, sighting, side in zip(self._own[number], self._seen[number], sides):
            if side is None:
                cost += _NONE * (0.5 + 0.5 * sighting.confidence)
                continue
            cost += own[side]
            for k, others in enumerate(all_sides):
                if k != number and side in others:
                    cost += self._together(sighting, self._seen[k][others.index(side)])
        return cost

    def _best(self, number: int, all_sides: list[Sides]) -> Sides:
        """One view's sides that cost least, given the others'."""
        choices = _CHOICES[len(self._seen[number])]
        return min(choices, key=lambda sides: self._of_view(number, sides, all_sides))

    def _whole(self, sides: list[Sides]) -> float:
        """Of all views' sides; what pairs of views cost is counted once."""
        nothing: Sides = ()
        return sum(self._of_view(k, one, [*sides[:k], *[nothing] * (len(sides) - k)]) for k, one in enumerate(sides))

    def _starts(self) -> Iterator[list[Sides]]:
        """Sides to begin a search with: what the past says, what the views say, and one view exchanged."""
        alone: list[Sides] = [()] * len(self._seen)
        yield [self._best(number, alone) for number in range(len(self._seen))]
        labels: list[Sides] = [tuple(sighting.label for sighting in one) for one in self._seen]
        yield labels
        for k, one in enumerate(labels):
            yield [*labels[:k], tuple(1 - side for side in one if side is not None), *labels[k + 1 :]]

    def least(self) -> tuple[list[Sides], float]:
        """The sides that cost least: each view's in turn, until none changes, from each of the starts."""
        best: tuple[list[Sides], float] = ([], float("inf"))
        for sides in self._starts():
            for _ in range(4):
                before = list(sides)
                for number in range(len(self._seen)):
                    sides[number] = self._best(number, sides)
                if sides == before:
                    break
            cost = self._whole(sides)
            if cost < best[1]:
                best = list(sides), cost
        return best


_CHOICES: tuple[tuple[Sides, ...], ...] = (
    ((),),
    ((None,), (LEFT,), (RIGHT,)),
    ((LEFT, RIGHT), (RIGHT, LEFT), (None, LEFT), (None, RIGHT), (LEFT, None), (RIGHT, None), (None, None)),
)
"""By the number of a view's sightings what they can be: each side at most once."""
