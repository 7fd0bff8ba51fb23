"""What is remembered of one hand between two fused estimates: where it was, how it moves, which views showed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..pipeline.hand_track import SideTrack, held
from ..pipeline.types import HandEstimate
from .flows import Flows
from .matching import UNSTEADY
from .views import Sighting

_RATE = 0.14
"""Metres a second by which what set two sets of views apart is taken back where several views show the hand: below 5 mm
an image, 30 a second."""
_ALONE = 0.5
"""Seconds in which it falls to a third where one view shows the hand alone: in half a second its error is another one."""
_LEAP = 0.003
"""Metres by which the hand leaves its way at most in an image in which views change, to be where these had it just before."""
_MOST = 0.06
"""Of a hand's distance, most of such an offset: what lies further apart was mistaken before, and no jump is worse than that."""
_FOLLOWS, _CHANGE = 0.05, 0.3
"""Seconds in which the hand's motion follows what views show, and metres a second by which one image tells it anew at most:
views that are about to lose a hand often have it elsewhere, and so have some that just found it."""
_GOES_ON, _USUAL = 0.15, 0.3
"""Metres a second by which a hand moves otherwise than it did, and that hands move at all along the ray of a camera that sees
them alone, which tells little of that."""
_SEEN_ACROSS, _SEEN_ALONG, _UNLIKELY = 0.005, 0.01, 0.4
"""Metres by which landmarks of two images of one camera have a wrist's step wrong across its ray; of the distance, along it;
and metres a second beside the hand's motion from which on they are not believed, as hands also grow where they open."""
_GAP = 0.1
"""Seconds without the hand after which nobody can tell where it was to be."""
_RECENT = 0.3
"""Seconds in which views come and go: what the same ones showed just before tells the hand's motion, and where they have it."""
_YOUNG = 0.2
"""Seconds since a hand was first seen in which it may still jump."""
_NO_STEP = 0.06
"""Metres by which a hand that several views show does not leave its way in an image: of rendered hands 42 mm at most."""
_STAYS, _ELSEWHERE = 0.012, 0.017
"""Metres from where a hand was to be within which a view has it there, and beyond which it has not, beside what a hand's
acceleration may do: 14 mm for 99 of 100 rendered hands, 34 at most, images 33 ms apart."""
_STRAYED, _CALM = 2.0, 0.2
"""How many times as far as it just left its way a hand may be from there, and seconds in which that is forgotten."""
_FASTEST = 3.0
"""Metres a second that joints move at most."""
_MEMORY = 0.5
"""Of the joints' velocities, from one estimate to the next."""

_WAY = 0.055
"""Metres by which a hand lies beside its way in the next image at most, beside what its acceleration may do: together 61 mm at
30 images a second."""


class FusedTrack(SideTrack):
    """One side's memory of all cameras' estimate.

    joints: (21, 3) of the last estimate, fixed frame. beside: (21, 3) where the detector sees them beside that. velocity: (21,
    3) metres a second. motion: (3,) the wrist's, as the same views show it from image to image. offset: what `join` added last.
    sightings: as `join` was given them last. shown: by views that showed the hand just now, its `age` then, where they had the
    wrist, metres (3,), and what is to be added to that. agreed: several views have shown this hand together. unclear: views
    that were left out as they saw it badly. votes: how often views that showed this hand called it by its side, less how often
    by the other; fades. strayed: metres by which it left its way, of late. flows: how each camera's own images show it moving.
    published: the hand in the last estimate where it was valid, that one's stamp, and metres a second (3,) by which it moved;
    what was published stays so where it is forgotten. anew: tracking was asked to begin anew since then.
    """

    published: tuple[HandEstimate, int, np.ndarray] | None = None
    anew = False

    def forget(self) -> None:
        """Forget the hand."""
        super().forget()
        self.joints: np.ndarray | None = None
        self.beside = np.zeros((21, 3))
        self.last_rotations: np.ndarray | None = None
        self.velocity = np.zeros((21, 3))
        self.offset = np.zeros(3)
        self.shown: dict[frozenset[str], tuple[float, np.ndarray, np.ndarray]] = {}
        self.sightings: list[Sighting] = []
        self.motion = np.zeros(3)
        self.unclear: set[str] = set()
        self.votes = 0.0
        self.age = 0.0
        self.agreed = False
        self.strayed = 0.0
        self.flows = Flows()

    def velocities(self, sightings: Sequence[Sighting]) -> np.ndarray:
        """(V, 3) metres a second of the hand when views showed it."""
        # The joints' velocity lags as a mean, and the wrist's of its filter, which is prompt, shakes: half of each.
        velocity = self.velocity.mean(0)
        if self.position.state is not None:
            velocity = 0.5 * (velocity + self.position.state[3:])
        return np.array([self.flows.instead(one, velocity) for one in sightings])

    def expected(self, interval: float) -> np.ndarray | None:
        """(21, 3) where the joints are, so many seconds after the last estimate."""
        return None if self.joints is None else self.joints + interval * self.velocity

    def told(self, sightings: Sequence[Sighting], interval: float, periods: Mapping[str, float]) -> list[Sighting]:
        """Those of views that tell how the hand moves: one that comes to others counts from its second image of the hand on.
        All where none does, or where the hand is new.

        interval: seconds since the last estimate. periods: of the cameras' images, nanoseconds.
        """
        if self.joints is None or self.age < _YOUNG or not 0.0 < interval <= _GAP:
            return list(sightings)
        known = {one.view.name for one in self.sightings}
        for before, one in self.flows.moved:
            if one.view.stamp - before.view.stamp <= max(1e9 * _GAP, 2.5 * periods.get(one.view.name, 0.0)):
                known.add(one.view.name)
        return [one for one in sightings if one.view.name in known] or list(sightings)

    def torn(self, away: Sequence[float], interval: float) -> bool:
        """Whether a view shows the hand where it was to be, and two others elsewhere: their topics were exchanged, or one that
        shows it is not right. away: metres of each view's landmarks from there."""
        if self.age < _YOUNG or not 0.0 < interval <= _GAP:
            return False
        elsewhere = float(np.linalg.norm((_ELSEWHERE, UNSTEADY * interval**2, _STRAYED * self.strayed)))
        return min(away) < _STAYS and sum(one > elsewhere for one in away) > 1

    def leaps(self, wrist: np.ndarray, interval: float) -> bool:
        """Whether a wrist (3,) of several views, as before, is so far from where it was to be as no hand goes in an image."""
        if self.joints is None or len(self.sightings) < 2 or self.age < _YOUNG or not 0.0 < interval <= _GAP:
            return False
        return self._strays(wrist, interval) > max(_NO_STEP, _STRAYED * self.strayed)

    def without_leap(self, hand: HandEstimate, stamp: int) -> HandEstimate:
        """The hand as it is published: where it is further beside its way than hands go from one image to the next, as one that
        was mistaken for it before, or where tracking begins anew, it is not valid in this one."""
        before, self.published = self.published, None
        anew, self.anew = self.anew, False
        if hand.joints is None or not hand.valid:
            return hand
        self.published = hand, stamp, np.zeros(3)
        if before is None:
            return hand
        last, when, velocity = before
        interval = (stamp - when) * 1e-9
        assert last.joints is not None, "it was valid"
        if anew and self.remembers(interval):
            return held(last, interval, self.hold)
        moved = hand.joints[0] - last.joints[0]
        beside = min(float(np.linalg.norm(moved)), float(np.linalg.norm(moved - interval * velocity)))
        if interval > _GAP or beside < _WAY + UNSTEADY * interval**2:
            self.published = hand, stamp, moved / interval
            return hand
        return held(last, interval, self.hold)

    def join(self, sightings: Sequence[Sighting], wrist: np.ndarray, interval: float) -> np.ndarray:
        """What is added to the solution's wrist (3,), so that the hand does not jump where other views show it than before:
        what sets them apart at that moment, which then fades. sightings: those that the solution is made of. interval: seconds
        since the last estimate."""
        self.age += interval
        if self.joints is not None and 0.0 < interval <= _GAP:
            self.strayed = max(self._strays(wrist, interval), float(np.exp(-interval / _CALM)) * self.strayed)
        before, self.sightings = self.sightings, list(sightings)
        views = frozenset(one.view.name for one in sightings)
        self.shown = {names: one for names, one in self.shown.items() if 0.0 < self.age - one[0] < _RECENT}
        meant = None
        if views in self.shown:
            when, where, apart = self.shown[views]
            passed = self.age - when
            change = _at_most((wrist - where) / passed - self.motion, _CHANGE)
            self.motion = self.motion + (1.0 - np.exp(-passed / _FOLLOWS)) * change
            meant = _faded(apart, len(views), passed)
        if views == frozenset(one.view.name for one in before):
            self.offset = meant = _faded(self.offset, len(views), interval)
        elif self.joints is None or self.age < _YOUNG or not 0.0 < interval <= _GAP:
            self.shown.clear()
            self.offset = meant = np.zeros(3)
            self._follow(wrist)
        else:
            distance = min(float(np.linalg.norm(wrist - one.view.pose.position)) for one in sightings)
            place = self.joints[0] + self._step(self.joints[0], before, interval)
            if meant is not None:
                place = place + _at_most(wrist + meant - place, _LEAP)
            self.offset = _at_most(place - wrist, _MOST * distance)
            meant = self.offset if meant is None else meant
            self._follow(wrist, self.motion)
        self.shown[views] = self.age, wrist, meant
        return self.offset

    def _strays(self, wrist: np.ndarray, interval: float) -> float:
        """Metres of a wrist (3,) from where it was to be."""
        assert self.joints is not None
        return float(np.linalg.norm(wrist + self.offset - self.joints[0] - interval * self.motion))

    def _step(self, wrist: np.ndarray, before: Sequence[Sighting], interval: float) -> np.ndarray:
        """(3,) metres by which a wrist (3,) most likely moves in an image in which views change: as it did; as landmarks move
        and grow in the image of a camera that goes on showing it; and little along the ray of one that shows it alone."""
        goes_on = self.motion * interval
        known = np.eye(3) / (_GOES_ON * interval) ** 2
        pull = known @ goes_on
        for sightings in (before, self.sightings):
            if len(sightings) == 1:
                known = known + _along(wrist - sightings[0].view.pose.position) / (_USUAL * interval) ** 2
        for earlier, one in self.flows.moved:
            if one not in self.sightings:
                continue
            ray, share = wrist - one.view.pose.position, 1e9 * interval / (one.view.stamp - earlier.view.stamp)
            seen = share * one.moved_since(earlier, wrist)
            if np.linalg.norm(seen - goes_on) > _UNLIKELY * interval:
                continue  # a hand that opens, or that the detector has elsewhere
            along = _along(ray)
            sure = (np.eye(3) - along) / _SEEN_ACROSS**2 + along / (_SEEN_ALONG * np.linalg.norm(ray)) ** 2
            known, pull = known + sure, pull + sure @ seen
        return np.linalg.solve(known, pull)

    def _follow(self, wrist: np.ndarray, motion: np.ndarray | None = None) -> None:
        """Other views have the hand at a wrist (3,), metres: that is the filter's past from now on. motion: (3,) metres a
        second; as it was where None."""
        if self.position.state is not None:
            self.position.state[:3] = wrist
            if motion is not None:
                self.position.state[3:] = motion

    def seen(self, estimate: HandEstimate, joints: np.ndarray, stamp: int, interval: float) -> None:
        """Remember an estimate whose joints are (21, 3)."""
        if self.joints is not None and interval > 0.0:
            moved = (joints - self.joints) / interval
            speed = np.linalg.norm(moved, axis=1, keepdims=True)
            moved = moved * np.minimum(1.0, _FASTEST / np.maximum(speed, 1e-9))
            self.velocity = _MEMORY * self.velocity + (1.0 - _MEMORY) * moved
        self.joints, self.last, self.stamp = joints, estimate, stamp


def _faded(offset: np.ndarray, views: int, seconds: float) -> np.ndarray:
    """What is left of an offset (3,) where so many views have shown the hand for so long."""
    return np.exp(-seconds / _ALONE) * offset if views == 1 else offset - _at_most(offset, _RATE * seconds)


def _along(ray: np.ndarray) -> np.ndarray:
    """(3, 3) what takes of a vector the part along a ray (3,)."""
    return np.outer(ray, ray) / float(ray @ ray)


def _at_most(vector: np.ndarray, length: float) -> np.ndarray:
    """A vector (3,), shortened to a length where it is longer."""
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-9))
