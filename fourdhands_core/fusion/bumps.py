"""Whether a camera that stood well was just turned: from a second of hands, about each of its axes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from .views import Sighting, nearest_points

_SHORT, _LONG = 0.7, 20.0
"""Seconds of hands that say how things are, and how they were."""
_KNOWN = 60
"""Estimates of a hand after which its size is known."""
NOISE, INDEPENDENT = 0.005, 0.1
"""Expected error of a view's landmarks as a whole, metres, and how much of a new observation each estimate is."""
_TURN, _TURNED = np.radians(5.0), np.radians(1.6)
"""By how much a camera may have been turned before anything is known, and the turn that is told."""
_SIZE_BOTH, _SIZE_ONE = 0.055, 0.1
"""Changes of the hands' size that are told: of both hands', and of one hand's, whose landmarks lie otherwise where it turns."""
_ENOUGH = 0.8
"""Of a turn and a change of size together, in quadrature and each as a share of what is told alone: that is told."""
_DOUBTED, _SLOWER = 0.03, 10.0
"""A change of size from which on it may not be the hand, and how much slower the usual size follows it then."""


def listed(names: Iterable[str]) -> str:
    """Names in order, as in a sentence: a, b and c."""
    *others, last = sorted(names)
    return f"{', '.join(others)} and {last}" if others else last


def sees(names: Collection[str]) -> str:
    """The beginning of what one camera sees, or several see."""
    return f"{listed(names)} {'see' if len(names) > 1 else 'sees'}"


def doubted(which: Collection[str], cameras: Collection[str]) -> Collection[str]:
    """Those of cameras that are named where some see hands elsewhere: of two both, as which of them moved cannot be known."""
    return cameras if which and len(cameras) < 3 else which


class PerCamera:
    """Least squares for three numbers of each camera: sums of what observations say of them, in the order of names."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.information, self.right = np.zeros((0, 0)), np.zeros(0)

    def firsts(self, names: Sequence[str]) -> list[int]:
        """Of each camera the place of its first number; a new one's are added."""
        for name in names:
            if name not in self.names:
                self.names.append(name)
                self.information, self.right = np.pad(self.information, (0, 3)), np.pad(self.right, (0, 3))
        return [3 * self.names.index(name) for name in names]

    def add(self, rows: np.ndarray, error: np.ndarray, weight: float, left: float) -> None:
        """An observation whose error (m,) changes by rows (m, numbers); left: share of those before that still counts."""
        self.information = left * self.information + weight * rows.T @ rows
        self.right = left * self.right - weight * rows.T @ error


class Bumps:
    """Collects, over the last second, by which small turns of the cameras the views would agree, and how large the hands are.

    Rays that pass by one another show turns about two of each camera's axes. About the third, across both views, rays go on to
    meet, but nearer or further away: the hand becomes larger or smaller, which no hand does.
    """

    def __init__(self) -> None:
        self._turns = PerCamera()
        self._stamp: int | None = None
        self._sizes: dict[tuple[frozenset[str], int], _Size] = {}

    def take(
        self,
        stamp: int,
        side: int,
        sightings: Sequence[Sighting],
        shifts: np.ndarray,
        points: np.ndarray,
        misses: np.ndarray,
        across: np.ndarray,
        free: np.ndarray,
        size: float,
    ) -> None:
        """Two sightings or more of one hand. shifts: (V, 21, 3) as the solver takes them. points: (21, 3) its landmarks as all
        views have them, fixed frame. misses, across, free: as Consistency has them. size: metres of its palm by the rays."""
        passed = 0.0 if self._stamp is None else max(0.0, (stamp - self._stamp) * 1e-9)
        self._stamp = stamp
        firsts = self._turns.firsts([one.view.name for one in sightings])
        rows, error = np.zeros((2 * len(sightings), len(self._turns.right))), misses.ravel()
        for k, (one, shift, first) in enumerate(zip(sightings, shifts, firsts)):
            turned = _crossed(one.seen_from(points + shift).mean(0))
            rows[2 * k : 2 * k + 2, first : first + 3] = across[k] @ one.view.pose.rotation @ turned
        rows, error = rows - free @ (free.T @ rows), error - free @ (free.T @ error)
        self._turns.add(rows, error, INDEPENDENT / NOISE**2, float(np.exp(-passed / _SHORT)))
        key = frozenset(one.view.name for one in sightings), side
        self._sizes.setdefault(key, _Size()).take(stamp, size)

    def forget_turns(self) -> None:
        """Those that come are of other places."""
        self._turns = PerCamera()

    def turns(self) -> Mapping[str, float]:
        """By camera, the radians by which it would have to be turned for the last second's views to agree."""
        sums = self._turns
        values = np.linalg.solve(sums.information + np.eye(len(sums.right)) / _TURN**2, sums.right)
        return {name: float(np.linalg.norm(values[3 * k : 3 * k + 3])) for k, name in enumerate(sums.names)}

    def sizes(self, stamp: int) -> Mapping[frozenset[str], tuple[float, int]]:
        """By cameras that see the hands together, how much larger they have just become, relatively, and how many hands say
        so."""
        found: dict[frozenset[str], list[float]] = {}
        for (names, _), one in self._sizes.items():
            if one.known and abs(stamp - one.stamp) < _SHORT * 1e9:
                found.setdefault(names, []).append(one.recent - one.usual)
        return {names: (float(np.mean(changes)), len(changes)) for names, changes in found.items()}

    def problem(self, stamp: int) -> str:
        """What has happened, in words; empty where nothing has."""
        told = (
            "they are another person's, or a camera has moved, or its pose is wrong; "
            "`fourdhands calibrate-cameras --check` tells by how much"
        )
        turns = self.turns()
        turned = {name: one for name, one in turns.items() if one > _TURNED}
        if turned:
            degrees = np.degrees(max(turned.values()))
            return f"{sees(doubted(turned, turns))} the hands turned by {degrees:.0f} degrees: {told}"
        for names, (change, hands) in self.sizes(stamp).items():
            size = abs(change) / (_SIZE_BOTH if hands > 1 else _SIZE_ONE)
            turn = max(turns.get(name, 0.0) for name in names) / _TURNED
            if size > 1.0 or np.hypot(size, turn) > _ENOUGH:
                how = f"{100 * abs(change):.0f} % {'larger' if change > 0.0 else 'smaller'} than before"
                if turn > size:
                    how = f"turned by {np.degrees(turn * _TURNED):.1f} degrees"
                return f"{listed(names)} together see the hands {how}: {told}"
        return ""


class _Size:
    """Of one hand as the same cameras see it: recent and usual logarithms of its size."""

    def __init__(self) -> None:
        self.recent = self.usual = 0.0
        self.stamp, self._count = 0, 0

    @property
    def known(self) -> bool:
        return self._count >= _KNOWN

    def take(self, stamp: int, size: float) -> None:
        """Take in the length of the palm, metres, at a stamp."""
        passed = max(0.0, (stamp - self.stamp) * 1e-9) if self._count else 0.0
        value = float(np.log(max(size, 1e-3)))
        self._count, self.stamp = self._count + 1, stamp
        self.recent += max(1.0 - float(np.exp(-passed / _SHORT)), 1.0 / self._count) * (value - self.recent)
        share = max(1.0 - float(np.exp(-passed / _LONG)), 1.0 / self._count)
        if self.known and abs(self.recent - self.usual) > _DOUBTED:
            share /= _SLOWER
        self.usual += share * (value - self.usual)


def _crossed(point: np.ndarray) -> np.ndarray:
    """(3, 3) what a small turn of a camera, radians about its axes, adds to a point (3,) in its frame."""
    x, y, z = point
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def size_beside(sightings: Sequence[Sighting], shifts: np.ndarray, points: np.ndarray) -> float:
    """How large the hand is where the rays meet, by least squares of all landmarks, beside what it is in its pose and known
    shape: points (21, 3)."""
    lines = np.array([one.directions() for one in sightings])
    places = np.array([one.view.pose.position for one in sightings]) - shifts.mean(1)
    met = nearest_points(lines, places, np.ones(lines.shape[:2]))
    met, points = met - met.mean(0), points - points.mean(0)
    return float((met * points).sum() / max(float(np.square(points).sum()), 1e-9))
