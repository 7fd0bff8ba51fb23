"""HandFusion: single cameras' estimates in, one estimate of both hands in the fixed frame out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..hand_model.assets import HandAsset
from ..hand_model.landmarks import Landmarks, landmarks_of_both
from ..hand_model.skeleton import LEFT, RIGHT
from ..pipeline.settings import TrackerSettings
from ..pipeline.types import SOURCE_JOINT, SOURCE_NONE, HandPairEstimate, absent
from .consistency import Consistency
from .hand import FusedHand, SideFusion
from .matching import BESIDE, DEPTH, ELSEWHERE, EXCHANGED, FROZEN, LATE, Matched, match
from .memory import Memory, new_tracks
from .schedule import Schedule
from .solution import HandSolver
from .times import Times
from .views import Sighting, View

_LOST = 3
"""Estimates in a row in which all views say that a hand is not where it was expected, until that is forgotten."""
_ANEW = 2.0
"""Seconds between a view and the newest of the others from which on all begins anew."""
_OLDEST = 0.12
"""Seconds between a view and the moment of the estimate at which it is still used."""
_FROZEN = 0.05
"""Seconds for which a camera's images are all alike, and another's have changed, from which on they are not of their stamps."""
_ELSEWHERE, _ELSEWHERE_UNCLEAR = 0.05, 0.1
"""Metres, root mean square, from a hand beyond which a view sees another one of its side; where it sees that badly."""
_APART = 0.015
"""Metres, root mean square, that a view of a hand lies beside it at most where several have not agreed on it yet."""


@dataclass(frozen=True, eq=False)
class Fused:
    """An estimate in the fixed frame, which names the cameras whose images it is made of. left_out: cameras that were left out
    of it, in whole or for one hand, and why. views: all that were there, newest of each camera."""

    pair: HandPairEstimate
    left_out: tuple[tuple[str, str], ...] = ()
    views: tuple[View, ...] = field(default=(), repr=False)


class HandFusion:
    """Fuses the estimates of cameras that see one person's hands.

    assets: (left, right) hand models, those of the trackers. settings: the trackers', of which `hold`, `smoothing` and
    `acceleration` count. betas: (10,) a known shape. landmarks: where the trackers see the joints, (2, 21, 3); by default where
    the detector sees those of these models. memory: the past, from which another one of the same settings may go on. `add`
    takes estimates in the order in which they come, and gives one for each moment.
    """

    def __init__(
        self,
        assets: Sequence[HandAsset],
        settings: TrackerSettings = TrackerSettings(),
        betas: np.ndarray | None = None,
        landmarks: Landmarks | None = None,
    ) -> None:
        seen = landmarks or landmarks_of_both(assets)
        self._solvers, self._bias = [HandSolver(assets, side, seen) for side in (LEFT, RIGHT)], seen.bias
        self.settings, self.known = settings, betas
        self.memory = Memory(new_tracks(settings), Schedule(), Times())

    def reset(self, emitted: int | None = None) -> None:
        """Forget the past, but for the cameras' clocks. emitted: stamp up to which estimates are out, and none comes again;
        time goes on from there, and hands of just now are not valid in the next one."""
        tracks = new_tracks(self.settings)
        if emitted is not None:
            for track, before in zip(tracks, self.memory.tracks):
                track.published, track.anew = before.published, True
        self.memory = Memory(tracks, Schedule(emitted), self.memory.times)

    def apply(self, settings: TrackerSettings) -> None:
        """Use other settings from the next estimate on; `acceleration` from the next beginning on."""
        self.settings = settings
        for track in self.memory.tracks:
            track.apply(settings.hold, settings.smoothing)

    def add(self, view: View, with_vertices: bool = False) -> list[Fused]:
        """Take in a camera's estimate. Returns the fused estimates that are due: none, one, or two where a camera for which
        was waited did not deliver."""
        if not self._in_time(view):
            return []
        memory = self.memory
        results = []
        if memory.schedule.arrived(view.name, view.stamp):
            results += self._fuse(with_vertices)
        if memory.stands_elsewhere(view):
            self.consistency.forget()
        memory.views[view.name] = view if self._bias is None else replace(view, rays=self._bias.corrected(view.rays))
        memory.arrived.add(view.name)
        if memory.schedule.ready(view.name, view.stamp):
            results += self._fuse(with_vertices)
        return results

    def finish(self, with_vertices: bool = False) -> list[Fused]:
        """The estimate that waits for a camera, where there is one."""
        return self._fuse(with_vertices)

    def newest(self) -> list[View]:
        """The newest estimate of each camera."""
        return list(self.memory.views.values())

    @property
    def emitted(self) -> int | None:
        """Stamp of the last estimate; None before the first."""
        return self.memory.schedule.emitted

    def know(self, betas: np.ndarray | None) -> None:
        """The hands' shape is that (10,) from now on; None: it is to be found."""
        self.known = betas
        self.consistency.trust.forget_sizes()  # which are beside another hand's

    @property
    def betas(self) -> np.ndarray:
        """(10,) the hands' shape as far as it is known."""
        return self.memory.betas(self.known)

    @property
    def consistency(self) -> Consistency:
        """What the hands tell of clocks and places of cameras."""
        return self.memory.consistency

    def _in_time(self, view: View) -> bool:
        """Whether a view goes on from those before, or begins anew where time went on, or back: then the past is forgotten."""
        memory = self.memory
        now = max((one.stamp for one in memory.views.values()), default=self.emitted)
        if why := memory.times.aside(view.name, view.stamp) or self._frozen(view):
            self.consistency.left_out(view.stamp if now is None else now, [view.name], [(view.name, why)])
            return False
        if now is not None and abs(view.stamp - now) > _ANEW * 1e9:
            self.reset()
        memory = self.memory
        before, late = memory.views.get(view.name), memory.late.pop(view.name, None)
        if before is not None and view.stamp <= before.stamp:
            if late is None or view.stamp <= late:
                memory.late[view.name] = view.stamp  # where another one follows that is newer than it, time went back
                return False
            self.reset()
            memory = self.memory
        for name in memory.times.others & memory.views.keys():
            if memory.views[name].stamp > view.stamp:
                del memory.views[name]  # else it would count once that moment comes
                memory.arrived.discard(name)
        return True

    def _frozen(self, view: View) -> str:
        """Why a view is not of its stamp, in words; else empty. Where all cameras' images stay alike, nothing moves."""
        memory, since = self.memory, view.stamp if view.estimate.since is None else view.estimate.since
        if memory.since.setdefault(view.name, since) != since:
            memory.since[view.name], memory.changed = since, max(since, memory.changed)
        return FROZEN if min(view.stamp, memory.changed) - since > _FROZEN * 1e9 else ""

    def _fuse(self, with_vertices: bool) -> list[Fused]:
        """The estimate of the newest view's moment; none where that is out."""
        memory = self.memory
        stamp = max((view.stamp for view in memory.views.values()), default=None)
        if stamp is None or (self.emitted is not None and stamp <= self.emitted):
            return []
        oldest = stamp - int(_OLDEST * 1e9)
        views = [view for view in memory.views.values() if view.stamp >= oldest]
        memory.schedule.fused(stamp)
        self.consistency.exchanged.take(views)
        if self.consistency.exchanged.order:
            self.consistency.trust.doubt(stamp)
        matched, intervals = self._matched(views, stamp)
        late = [(name, LATE) for name in sorted(memory.arrived) if memory.views[name].stamp < oldest]
        memory.arrived.clear()
        believed = [self.consistency.believed(sightings, views) for sightings in matched.hands]
        hands = [
            SideFusion(solver, memory, self.known, stamp, interval).fused(sightings, with_vertices)
            for solver, interval, sightings in zip(self._solvers, intervals, believed)
        ]
        left_out = late + matched.left_out + [(name, BESIDE) for hand in hands for name in hand.beside]
        left_out += [(one.view.name, BESIDE) for all_, some in zip(matched.hands, believed) for one in all_ if one not in some]
        for track, lost, hand in zip(memory.tracks, matched.lost, hands):
            if lost and track.agreed and len(hand.cameras) == 1:
                self.consistency.trust.doubt(stamp)
        contradicted = self._contradicted(stamp, hands, left_out)
        seen = matched.strangers + matched.hands[LEFT] + matched.hands[RIGHT]
        estimates = [
            absent(side) if contradicted or self._contested(stamp, side, hand, seen) else hand.estimate
            for side, hand in enumerate(hands)
        ]
        left, right = (track.without_leap(hand, stamp) for track, hand in zip(memory.tracks, estimates))
        memory.settle_sides(self.settings)
        both = left.valid and right.valid
        pair = HandPairEstimate(
            stamp,
            left,
            right,
            next(view for view in views if view.stamp == stamp).estimate.camera,
            left.joints[0] - right.joints[0] if both and left.joints is not None and right.joints is not None else None,
            SOURCE_JOINT if both else SOURCE_NONE,
            cameras=(hands[LEFT].cameras if left.valid else (), hands[RIGHT].cameras if right.valid else ()),
        )
        left_out += [(view.name, DEPTH) for view in views if view.name in memory.placed.misplaced]
        agreed = {name for hand in hands if hand.fits for name in hand.cameras}
        self.consistency.left_out(stamp, [view.name for view in views] + [name for name, _ in late], left_out, agreed)
        return [Fused(pair, tuple(left_out), tuple(views))]

    def _matched(self, views: list[View], stamp: int) -> tuple[Matched, list[float]]:
        """By side the sightings of that hand, and seconds since it was seen. One that is long elsewhere is forgotten."""
        memory = self.memory
        intervals = [track.begin(stamp) for track in memory.tracks]
        matched = match(views, [memory.expected(view, stamp, intervals) for view in views], intervals)
        memory.lost = memory.lost + 1 if any(matched.lost) else 0
        if memory.lost >= _LOST:
            for track, lost in zip(memory.tracks, matched.lost):
                if lost:
                    track.forget()
            intervals = [track.begin(stamp) for track in memory.tracks]
        return matched, intervals

    def _contested(self, stamp: int, side: int, hand: FusedHand, seen: list[Sighting]) -> bool:
        """Whether a hand on which no cameras agree, nor have agreed, is not where a camera sees one of its side: another
        person's. On the other hand cameras may well agree. Where it is, that is told."""
        track, joints = self.memory.tracks[side], hand.estimate.joints
        if track.agreed or hand.fits or joints is None or not hand.cameras:  # HELD
            return False
        others = {
            one.view.name
            for one in seen
            if one.label == side
            and one.view.name not in hand.cameras
            and one.distance_to(joints) > (_ELSEWHERE_UNCLEAR if one.view.name in track.unclear else _ELSEWHERE)
        }
        if others or (len(hand.cameras) > 1 and hand.apart > _APART):
            self.consistency.trust.contested(stamp, side, others.union(hand.cameras))
            return True
        return False

    def _contradicted(self, stamp: int, hands: Sequence[FusedHand], left_out: list[tuple[str, str]]) -> bool:
        """Whether the cameras see hands at different places, and have not agreed yet, nor for long, or make up none:
        topics that are exchanged, two persons, poses that are all wrong. Which of them is right cannot be known then."""
        trust, tracks, fit = self.consistency.trust, self.memory.tracks, any(hand.fits for hand in hands)
        out = {camera for camera, why in left_out if why in (ELSEWHERE, BESIDE)}
        followed = any(track.agreed for track, hand in zip(tracks, hands) if hand.cameras)
        misfit = any(len(hand.cameras) > 1 and not hand.fits for hand in hands)
        odd = out | {camera for camera, why in left_out if why.startswith(EXCHANGED)}  # or another person's, of the same side
        shown = odd.union(*(hand.cameras for hand in hands))
        apart = (misfit or (bool(odd) and len(shown) > 1)) and not followed and not fit
        contradicted = trust.contradicted(stamp, fit, apart, bool(out))
        for track, hand in zip(tracks, hands):
            track.agreed = (track.agreed and not contradicted) or (hand.fits and trust.proven)
        return contradicted
