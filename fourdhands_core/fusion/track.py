"""What is remembered of one hand between two fused estimates: where it was, how it moves, which views showed it."""

from __future__ import annotations

import numpy as np

from ..pipeline.hand_track import SideTrack
from ..pipeline.types import HandEstimate

_RATE = 0.14
"""Metres a second by which what set two sets of views apart is taken back where several views show the hand: below 5 mm
an image, 30 a second."""
_AT_CHANGES, _LEAP = 0.05, 0.003
"""The same in an image in which views change, as nobody knows the hand's motion well there; and metres by which the hand leaves
its past then at most, to be where views have it that come and go."""
_ALONE = 0.5
"""Seconds in which it falls to a third where one view shows the hand alone: in half a second its error is another one."""
_MOST = 0.06
"""Of a hand's distance, most of such an offset: what lies further apart was mistaken before, and no jump is worse than that."""
_ACROSS, _ALONG = 0.004, 0.05
"""Metres by which a hand goes elsewhere than expected from one image to the next, and by which views place it apart; and of the
distance, how far one view alone may be wrong about it."""
_GAP = 0.1
"""Seconds without the hand after which nobody can tell where it was to be."""
_RECENT = 0.3
"""Seconds since views changed in which they come and go: what set two sets apart holds still where the first is back, and fades
at changes too, so that less of the motion is lost."""
_YOUNG = 0.2
"""Seconds since a hand was first seen in which it may still jump."""
_FASTEST = 3.0
"""Metres a second that joints move at most."""
_MEMORY = 0.5
"""Of the joints' velocities, from one estimate to the next."""


class FusedTrack(SideTrack):
    """One side's memory of all cameras' estimate.

    joints: (21, 3) of the last estimate, fixed frame. beside: (21, 3) where the detector sees them beside that. velocity: (21,
    3) metres a second. changed: `age` at which other views showed the hand. apart: the views before that, and what takes the
    hand, metres (3,), from where these have it to where those do. offset: what `join` added last. along: as `join` was given it
    last. agreed: several views have shown this hand together. unclear: views that were left out as they saw it badly. votes:
    how often views that showed this hand called it by its side, less how often by the other; fades.
    """

    def forget(self) -> None:
        """Forget the hand."""
        super().forget()
        self.joints: np.ndarray | None = None
        self.beside = np.zeros((21, 3))
        self.last_rotations: np.ndarray | None = None
        self.velocity = np.zeros((21, 3))
        self.views: frozenset[str] = frozenset()
        self.offset = np.zeros(3)
        self.changed = -np.inf
        self.apart: tuple[frozenset[str], np.ndarray] = frozenset(), np.zeros(3)
        self.along: np.ndarray | None = None
        self.unclear: set[str] = set()
        self.votes = 0.0
        self.age = 0.0
        self.agreed = False

    def expected(self, interval: float) -> np.ndarray | None:
        """(21, 3) where the joints are, so many seconds after the last estimate."""
        return None if self.joints is None else self.joints + interval * self.velocity

    def join(
        self,
        views: frozenset[str],
        wrist: np.ndarray,
        past: tuple[np.ndarray, np.ndarray] | None,
        along: np.ndarray | None,
        interval: float,
        distance: float,
    ) -> np.ndarray:
        """What is added to the solution's wrist (3,), so that the hand does not jump where other views show it than before:
        what sets them apart at that moment, which then fades. past: as `PositionFilter.predict` gives it. along: (3,) from the
        camera to the hand where one shows it alone, which cannot tell its distance. distance: metres of the hand from the
        nearest camera."""
        self.age += interval
        unknown = [one / np.linalg.norm(one) for one in (along, self.along) if one is not None]
        self.along = along
        steady = views == self.views
        if steady and len(views) == 1:
            self.offset = np.exp(-interval / _ALONE) * self.offset
        elif steady or self.age - self.changed < _RECENT:
            faded = (_RATE if steady else _AT_CHANGES) * interval
            self.offset = self.offset - _at_most(self.offset, faded)
        if steady:
            return self.offset
        place = wrist
        if past is None or self.age < _YOUNG or interval > _GAP:
            self.offset, self.apart = np.zeros(3), (frozenset(), np.zeros(3))
        else:
            most, apart = _MOST * distance, -self.apart[1]
            back = views == self.apart[0] and self.age - self.changed < _RECENT
            back = back and float(np.linalg.norm(wrist + apart - past[0])) < most
            if back:
                place = past[0] - apart
                shift = past[0] + _at_most(wrist - place, _LEAP) - wrist
            else:
                expected = np.eye(3) * _ACROSS**2
                seen = np.eye(3) * _ACROSS**2 + sum(np.outer(one, one) for one in unknown) * (_ALONG * distance) ** 2
                shift = past[0] + expected @ np.linalg.solve(expected + seen, wrist - past[0]) - wrist
            self.offset = _at_most(self.offset + shift, most)
            self.apart = self.views, apart if back else shift
        if self.position.state is not None:  # the past is now that of these views
            self.position.state[:3] = place
        self.views, self.changed = views, self.age
        return self.offset

    def seen(self, estimate: HandEstimate, joints: np.ndarray, stamp: int, interval: float) -> None:
        """Remember an estimate whose joints are (21, 3)."""
        if self.joints is not None and interval > 0.0:
            moved = (joints - self.joints) / interval
            speed = np.linalg.norm(moved, axis=1, keepdims=True)
            moved = moved * np.minimum(1.0, _FASTEST / np.maximum(speed, 1e-9))
            self.velocity = _MEMORY * self.velocity + (1.0 - _MEMORY) * moved
        self.joints, self.last, self.stamp = joints, estimate, stamp


def _at_most(vector: np.ndarray, length: float) -> np.ndarray:
    """A vector (3,), shortened to a length where it is longer."""
    return vector * min(1.0, length / max(float(np.linalg.norm(vector)), 1e-9))
