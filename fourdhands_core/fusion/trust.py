"""Whether cameras see one person's hands where they stand, so that what their rays meet in is a hand."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..hand_model.skeleton import SIDES
from .bumps import listed
from .views import Sighting

_FITS = 0.009
"""Metres, root mean square, by which landmarks lie at most beside those of a hand that is what it is taken for."""
_UNLIKE, _UNLIKE_KNOWN = 0.2, 0.1
"""Logarithms of sizes, beside the usual hand's or the person's where that is known, from which on it is no hand's: adults'
are within 0.17."""
_SHORT = 0.7
"""Seconds of hands whose size is averaged."""
_PROVEN, _LESS = 8, 2
"""Estimates in which cameras show a hand together until they are taken to see one person; a contradiction takes some away."""
_DOUBTED = 0.3
"""Seconds since cameras contradicted each other in which no hand is believed."""
_TRUST = 10.0
"""Seconds for which cameras that have agreed on a hand are believed where they contradict each other."""
_ANEW = 2.0
"""Seconds without a contradiction after which cameras that have to agree anew are believed though no two show a hand."""


class Trust:
    """Collects what speaks for it and against it.

    Rays of two cameras that see different persons, or whose places are wrong, may meet by chance, at one height even always,
    but nearer or further away than either hand: what they make up is smaller or larger than hands are, or none. And rays
    that met once need not be of one hand: cameras are believed once they have agreed for a while. proven: they have, and
    not too long ago. Where hands are suddenly elsewhere for some cameras (`doubt`), none is believed until all agree anew.
    """

    def __init__(self) -> None:
        self._sizes: dict[frozenset[str], tuple[int, float, int]] = {}
        self._unlike: tuple[int, str] | None = None
        self._met, self._agreed, self._doubted = 0, -1, -1
        self.proven = self._anew = False
        self._contested: tuple[int, str] | None = None

    def fits(
        self, stamp: int, sightings: list[Sighting], shifts: np.ndarray, points: np.ndarray, scale: float, known: bool
    ) -> bool:
        """Whether two sightings or more may be of this hand, by its size and side. shifts, points: as Bumps has them. scale:
        how many times as large as the usual hand the one is that the rays meet in, or as the person's where that is known."""
        if max(one.distance_to(points + shift) for one, shift in zip(sightings, shifts)) > _FITS:
            return False
        names = frozenset(one.view.name for one in sightings)
        before, mean, count = self._sizes.get(names, (stamp, 0.0, 0))
        passed = max(0.0, (stamp - before) * 1e-9)
        value = float(np.log(max(scale, 1e-3)))
        mean += max(1.0 - float(np.exp(-passed / _SHORT)), 1.0 / (count + 1)) * (value - mean)
        self._sizes[names] = stamp, mean, count + 1
        if abs(mean) < (_UNLIKE_KNOWN if known else _UNLIKE):
            return True
        percent, words = 100.0 * abs(np.expm1(mean)), "larger" if mean > 0.0 else "smaller"
        whose = "this person's" if known else "any"
        self._unlike = stamp, f"{listed(names)} together see hands {percent:.0f} % {words} than {whose}"
        return False

    def forget_sizes(self) -> None:
        """Those that come are beside those of another hand."""
        self._sizes.clear()

    def doubt(self, stamp: int) -> None:
        """The cameras that agreed do not any more: they have to agree anew."""
        self._met, self._agreed, self._doubted, self._anew = 0, -1, stamp, True

    def contradicted(self, stamp: int, together: bool, apart: bool, left_out: bool) -> bool:
        """Whether no hand of this estimate is to be believed: which camera is right cannot be known. together: several cameras
        show a hand that fits. apart: they see hands at different places. left_out: one that others show is left out."""
        if self._anew:
            together, apart = together and not left_out, apart or left_out
        self._met = min(max(self._met + (1 if together else -_LESS if apart else 0), 0), _PROVEN)
        unlike = self._unlike is not None and self._unlike[0] == stamp
        if unlike:
            self._met, self._agreed = 0, -1
        elif together and self._met == _PROVEN:
            self._agreed = stamp
        self.proven = self._agreed >= 0 and stamp - self._agreed < _TRUST * 1e9
        if unlike or (apart and not self.proven):
            self._doubted = stamp
        self._anew = self._anew and not self.proven and stamp - self._doubted < _ANEW * 1e9
        return self._anew or (self._doubted >= 0 and stamp - self._doubted < _DOUBTED * 1e9)

    def contested(self, stamp: int, side: int, cameras: Iterable[str]) -> None:
        """Cameras show two hands of a side at different places, and have not agreed on either: that hand is not believed."""
        self._contested = stamp, f"{listed(cameras)} see the {SIDES[side]} hand at different places"

    def problem(self, stamp: int) -> str:
        """Of the last second, in words; empty where nothing is wrong."""
        if self._doubted < 0 or (abs(stamp - self._doubted) > 1e9 and not self._anew):
            if self._contested is None or abs(stamp - self._contested[0]) > 1e9:
                return ""
            return f"{self._contested[1]}: hands of two persons, or a camera's pose is wrong; it is not valid until they agree"
        seen = "what the cameras see makes up no hand"
        if self._unlike is not None and abs(stamp - self._unlike[0]) < 1e9:
            seen = self._unlike[1]
        return (
            f"{seen}: they see different persons, their poses are wrong, or their clocks are apart; no hand is valid "
            "(`fourdhands calibrate-cameras --check` tells by how much)"
        )
