"""HandFusion: single cameras' estimates in, one estimate of both hands in the fixed frame out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix, mirror_matrix
from ..hand_model.assets import HandAsset
from ..hand_model.landmarks import Landmarks, landmarks_of_both
from ..hand_model.limits import clamp, joint_frames
from ..hand_model.skeleton import LEFT, RIGHT
from ..pipeline.detect import radius_of
from ..pipeline.types import ABSENT, SOURCE_JOINT, SOURCE_NONE, TRACKED, HandEstimate, HandPairEstimate
from .bumps import size_beside
from .consistency import Consistency
from .deviations import Deviations
from .matching import BESIDE, DEPTH, ELSEWHERE, LATE, Places, match
from .placed import PlacedByDepth
from .schedule import Schedule
from .settings import FusionSettings
from .shape import SharedShape
from .solution import HandSolver, Solution, mean_rotations
from .times import Times
from .track import FusedTrack
from .views import Sighting, View, doubt, triangulate

_PRIOR, _PRIOR_ALONE = 0.1, 0.2
"""Of a single view's pose, as a prior where several see the hand and where one does: what it guessed others see, or saw."""
_SHARPER = 0.6
"""Of the tracker's expected error of landmarks, which holds there for a shape and a pose that nobody else has seen."""
_LOST = 3
"""Estimates in a row in which all views say that a hand is not where it was expected, until that is forgotten."""
_GAP = 0.1
"""Seconds without a hand after which it takes a view that sees it well and calls it by its side: what others see may be another
one. Until then one of the two is enough."""
_OLDEST = 0.12
"""Seconds between a view and the moment of the estimate at which it is still used."""
_TOGETHER, _OF_SEVERAL = 0.025, 0.4
"""Metres, of the landmarks as a whole, by which a view may lie beside the others before it is left out; and of that, where
others are left that agree: rays of two that see different persons' hands may meet."""
_MISFIT = 0.02
"""Metres, root mean square, by which landmarks of all views lie beside a hand that is none; of hands by 15 mm at most."""
_WRONG_SIDE = -4.0
"""Votes of the views below which a hand is the other one."""
_REMEMBERED = "_views _tracks _schedule _lost _late _arrived _placed _times _deviations shape consistency".split()
"""Attributes of a HandFusion that are its past."""


@dataclass(frozen=True, eq=False)
class Fused:
    """An estimate in the fixed frame, which names the cameras whose images it is made of. left_out: cameras that were left out
    of it, in whole or for one hand, and why. views: all that were there, newest of each camera."""

    pair: HandPairEstimate
    left_out: tuple[tuple[str, str], ...] = ()
    views: tuple[View, ...] = field(default=(), repr=False)


class HandFusion:
    """Fuses the estimates of cameras that see one person's hands.

    assets: (left, right) hand models, those of the trackers. betas: (10,) a known shape. landmarks: where the trackers see the
    joints, (2, 21, 3); by default where the detector sees those of these models. `add` takes estimates in the order in
    which they come, and gives one for each moment. consistency: what the hands tell of clocks and places of cameras.
    """

    def __init__(
        self,
        assets: Sequence[HandAsset],
        settings: FusionSettings = FusionSettings(),
        betas: np.ndarray | None = None,
        landmarks: Landmarks | None = None,
    ) -> None:
        self.settings = settings
        self._joint_frames = joint_frames(assets[RIGHT])
        seen = landmarks or landmarks_of_both(assets)
        self._solvers = [HandSolver(assets, side, seen) for side in (LEFT, RIGHT)]
        self._bias = seen.bias
        self._palms = tuple(solver.palm(np.zeros(10)) for solver in self._solvers)
        self.known = betas
        self._times = Times()
        self.reset()

    def reset(self, emitted: int | None = None) -> None:
        """Forget the past. emitted: stamp up to which estimates are out, and none comes again."""
        s = self.settings
        self._views: dict[str, View] = {}
        self._tracks = [FusedTrack(side, s.hold, s.smoothing, s.acceleration) for side in (LEFT, RIGHT)]
        self._schedule = Schedule(emitted)
        self._lost, self._late, self._arrived = 0, dict[str, int](), set[str]()
        self._placed = PlacedByDepth()
        self._deviations = Deviations()
        self.shape = SharedShape()
        self.consistency = Consistency()

    def apply(self, settings: FusionSettings) -> None:
        """Use other settings from the next estimate on; `acceleration` from the next beginning on."""
        self.settings = settings
        for track in self._tracks:
            track.apply(settings.hold, settings.smoothing)

    def add(self, view: View, with_vertices: bool = False) -> list[Fused]:
        """Take in a camera's estimate. Returns the fused estimates that are due: none, one, or two where a camera for which
        was waited did not deliver."""
        now = max((one.stamp for one in self._views.values()), default=self.emitted)
        if why := self._times.aside(view.name, view.stamp):
            self.consistency.left_out(view.stamp if now is None else now, [view.name], [(view.name, why)])
            return []
        if now is not None and abs(view.stamp - now) > 2e9:
            self.reset()  # time went on, or back
        before, late = self._views.get(view.name), self._late.pop(view.name, None)
        if before is not None and view.stamp <= before.stamp:
            if late is None or view.stamp <= late:
                self._late[view.name] = view.stamp  # where another one follows that is newer than it, time went back
                return []
            self.reset()
        for name in self._times.others & self._views.keys():
            if self._views[name].stamp > view.stamp:
                del self._views[name]  # else it would count once that moment comes
                self._arrived.discard(name)
        results = []
        if self._schedule.arrived(view.name, view.stamp):
            results += self._fuse(with_vertices)
        self._views[view.name] = view if self._bias is None else replace(view, rays=self._bias.corrected(view.rays))
        self._arrived.add(view.name)
        if self._schedule.ready(view.name, view.stamp):
            results += self._fuse(with_vertices)
        return results

    def finish(self, with_vertices: bool = False) -> list[Fused]:
        """The estimate that waits for a camera, where there is one."""
        return self._fuse(with_vertices)

    def memory(self) -> dict[str, Any]:
        """All that `reset` forgets, and what is known of the cameras' clocks, shared with this one."""
        return {name: getattr(self, name) for name in _REMEMBERED}

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from the memory of another one of the same settings."""
        for name in _REMEMBERED:
            setattr(self, name, memory[name])

    def newest(self) -> list[View]:
        """The newest estimate of each camera."""
        return list(self._views.values())

    @property
    def emitted(self) -> int | None:
        """Stamp of the last estimate; None before the first."""
        return self._schedule.emitted

    def know(self, betas: np.ndarray | None) -> None:
        """The hands' shape is that (10,) from now on; None: it is to be found."""
        self.known = betas
        self.consistency.trust.forget_sizes()  # which are beside another hand's

    @property
    def betas(self) -> np.ndarray:
        """(10,) the hands' shape as far as it is known."""
        return self.shape.mean if self.known is None else self.known

    def _fuse(self, with_vertices: bool) -> list[Fused]:
        stamp = max((view.stamp for view in self._views.values()), default=None)
        emitted = self._schedule.emitted
        if stamp is None or (emitted is not None and stamp <= emitted):
            return []
        oldest = stamp - int(_OLDEST * 1e9)
        views = [view for view in self._views.values() if view.stamp >= oldest]
        self._schedule.fused(stamp)
        intervals = [track.begin(stamp) for track in self._tracks]
        matched = match(views, [self._expected(view, stamp, intervals) for view in views], intervals)
        left_out = [(name, LATE) for name in sorted(self._arrived) if self._views[name].stamp < oldest]
        there = [view.name for view in views] + [name for name, _ in left_out]
        left_out += matched.left_out
        self._arrived.clear()
        self._lost = self._lost + 1 if any(matched.lost) else 0
        if self._lost >= _LOST:
            for track, lost in zip(self._tracks, matched.lost):
                if lost:
                    track.forget()
            intervals = [track.begin(stamp) for track in self._tracks]
        estimates: list[HandEstimate] = []
        used: list[tuple[str, ...]] = []
        fit = [False, False]
        for side in (LEFT, RIGHT):
            track, sightings = self._tracks[side], matched.hands[side]
            if not sightings:
                estimates.append(track.unseen(stamp))
                used.append(())
                continue
            estimate, kept, wrong, fit[side] = self._hand(track, sightings, stamp, intervals[side], with_vertices)
            estimates.append(estimate)
            used.append(tuple(sorted(one.view.name for one in kept)))
            left_out += [(one.view.name, BESIDE) for one in wrong]
        for track, lost, cameras in zip(self._tracks, matched.lost, used):
            if lost and track.agreed and len(cameras) == 1:
                self.consistency.trust.doubt(stamp)
        if self._contradicted(stamp, used, fit, left_out):
            estimates = [HandEstimate(side, valid=False, state=ABSENT, age=float("nan")) for side in (LEFT, RIGHT)]
        estimates = [track.without_leap(hand, stamp) for track, hand in zip(self._tracks, estimates)]
        used = [cameras if hand.valid else () for hand, cameras in zip(estimates, used)]
        self._settle_sides(matched.hands)
        both = estimates[LEFT].valid and estimates[RIGHT].valid
        first, second = (hand.joints for hand in estimates)
        relative = first[0] - second[0] if both and first is not None and second is not None else None
        camera = next(view for view in views if view.stamp == stamp).estimate.camera
        pair = HandPairEstimate(
            stamp,
            estimates[LEFT],
            estimates[RIGHT],
            camera,
            relative,
            SOURCE_JOINT if both else SOURCE_NONE,
            cameras=(used[LEFT], used[RIGHT]),
        )
        left_out += [(view.name, DEPTH) for view in views if view.name in self._placed.misplaced]
        self.consistency.left_out(stamp, there, left_out)
        return [Fused(pair, tuple(left_out), tuple(views))]

    def _contradicted(self, stamp: int, used: list[tuple[str, ...]], fit: list[bool], left_out: list[tuple[str, str]]) -> bool:
        """Whether the cameras see hands at different places, and have not agreed yet, nor for long, or make up none:
        topics that are exchanged, two persons, poses that are all wrong. Which of them is right cannot be known then."""
        out = {camera for camera, why in left_out if why in (ELSEWHERE, BESIDE)}
        followed = any(track.agreed for track, cameras in zip(self._tracks, used) if cameras)
        misfit = any(len(cameras) > 1 and not fits for cameras, fits in zip(used, fit))
        apart = (misfit or (bool(out) and len(out.union(*used)) > 1)) and not followed and not any(fit)
        contradicted = self.consistency.trust.contradicted(stamp, any(fit), apart, bool(out))
        for track, fits in zip(self._tracks, fit):
            track.agreed = (track.agreed and not contradicted) or (fits and self.consistency.trust.proven)
        return contradicted

    def _hand(
        self, track: FusedTrack, sightings: list[Sighting], stamp: int, interval: float, with_vertices: bool
    ) -> tuple[HandEstimate, list[Sighting], list[Sighting], bool]:
        """The estimate of one hand, the sightings that it is made of, those that were left out, and whether several that it is
        made of may be of this hand."""
        unclear = {one.view.name for one in sightings if one.unclear(one.view.name in track.unclear)}
        track.unclear = unclear | (track.unclear - {one.view.name for one in sightings})
        enough = any if 0.0 < interval <= _GAP else all
        if not any(enough((one.view.name not in unclear, one.label == track.side)) for one in sightings):
            return track.unseen(stamp), [], [], False
        track.flows.look(sightings, None if track.joints is None else track.joints.mean(0))
        clear = [one for one in sightings if one.view.name not in unclear] or list(sightings)
        kept, wrong = track.told(clear, interval, self._schedule.period), []
        past = track.position.predict(interval) if interval > 0.0 else None
        expected, shifts = track.expected(interval), self._shifts(track, kept, stamp)
        if expected is not None and len(kept) > 2:
            away = [one.distance_to(expected + track.beside + shift) for one, shift in zip(kept, shifts)]
            if track.torn(away, interval):
                self.consistency.trust.doubt(stamp)
        while True:
            steady = {one.view.name for one in kept} == {one.view.name for one in track.sightings}
            solution = self._solve(track, kept, shifts, past if steady else None)
            worst = self._worst(kept, solution, shifts, track, expected) if len(kept) > 1 else None
            if worst is None:
                break
            wrong.append(kept.pop(worst))
            shifts = np.delete(shifts, worst, axis=0)
        fitted = solution.landmarks + solution.wrist
        if min(one.distance_to(fitted + shift) for one, shift in zip(kept, shifts)) > _MISFIT:
            return track.unseen(stamp), [], wrong, False  # no hand of this side, as where all views call it by the other one's
        shown = kept + wrong
        beside = self._shifts(track, shown, stamp) if wrong else shifts
        size = size_beside(shown, beside, fitted) if len(shown) > 1 else 1.0
        self.consistency.take(stamp, track.side, shown, beside, solution, track.velocity, size)
        if wrong and len(kept) > 1:
            size = size_beside(kept, shifts, fitted)
        known = self.known is not None
        scale = 1.0 if known else float(np.linalg.norm(solution.joints[9])) / self._palms[track.side]
        fits = len(kept) > 1 and self.consistency.trust.fits(stamp, kept, shifts, fitted, scale * size, known)
        if len(kept) > 1 and not fits and track.leaps(solution.wrist, interval):
            self.consistency.trust.doubt(stamp)
        offset = track.join(kept, solution.wrist, interval)
        track.position.update(solution.wrist, solution.covariance)
        rotations = self._within_limits(
            track.side, track.rotations.update(self._within_limits(track.side, solution.rotations), interval)
        )
        track.last_rotations = rotations
        for one in kept if len(kept) > 1 else ():
            if one.label == track.side:
                self._deviations.take(one.view.name, track.side, one.rotations, rotations, one.view.stamp)
        betas, side, wrist = self.betas, track.side, solution.wrist + offset
        hand, posed = self._solvers[side].hand, (rotations[None, 0], rotations[None, 1:], betas[None])
        joints = hand.joints(*posed)[0] + wrist
        vertices = hand.vertices(*posed)[0] + wrist if with_vertices else None
        axis_angle = axis_angle_from_matrix(rotations)
        estimate = HandEstimate(
            side=side,
            valid=True,
            state=TRACKED,
            age=0.0,
            confidence=max(one.confidence for one in kept),
            joints=joints,
            joints_raw=solution.joints + solution.wrist,
            joint_confidence=np.max([one.joint_confidence for one in kept], axis=0),
            wrist_rotation=rotations[0],
            global_orient=axis_angle[0],
            hand_pose=axis_angle[1:].reshape(45),
            betas=betas,
            vertices=vertices,
            scaled=True,
        )
        track.seen(estimate, joints, stamp, interval)
        track.beside = solution.landmarks - solution.joints
        if fits and solution.shape[0].any():
            self.shape.add(*solution.shape)
        for one in kept:
            track.votes = 0.97 * track.votes + (one.confidence if one.label == side else -one.confidence)
        return estimate, kept, wrong, fits

    def _expected(self, view: View, stamp: int, intervals: list[float]) -> Places:
        """By side, where a hand's landmarks are expected at a view's stamp."""
        age = (stamp - view.stamp) * 1e-9 + self.consistency.applied.get(view.name, 0.0)
        left, right = (
            None if (joints := track.expected(interval)) is None else joints + track.beside - age * track.velocity
            for track, interval in zip(self._tracks, intervals)
        )
        return left, right

    def _shifts(self, track: FusedTrack, sightings: list[Sighting], stamp: int) -> np.ndarray:
        """(V, 21, 3) what is added to the joints at `stamp` to have them at each view's."""
        late = self.consistency.applied
        ages = np.array([(stamp - one.view.stamp) * 1e-9 + late.get(one.view.name, 0.0) for one in sightings])
        return np.repeat((-ages[:, None] * track.velocities(sightings))[:, None], 21, axis=1)

    def _solve(
        self, track: FusedTrack, sightings: list[Sighting], shifts: np.ndarray, past: tuple[np.ndarray, np.ndarray] | None
    ) -> Solution:
        side = track.side
        own = [one for one in sightings if one.label == side]
        weights = np.array([max(one.confidence, 0.05) for one in own])
        if own:
            poses = [one.rotations for one in own]
            if len(sightings) == 1:
                poses = [self._deviations.corrected(own[0].view.name, side, own[0].rotations, own[0].view.stamp)]
            prior = (
                mean_rotations(np.array(poses), weights),
                (_PRIOR if len(sightings) > 1 else _PRIOR_ALONE) * float(weights.sum()),
            )
        else:  # the other side's pose in its own convention means nothing to this one
            last = track.last_rotations
            prior = (np.array([mirror_matrix(sightings[0].rotations)]) if last is None else last[None])[0], 0.2
        met = triangulate(sightings) if len(sightings) > 1 else sightings[0].joints
        known, pull = self._placed.look(side, sightings, met)
        if past is not None:
            known, pull = known + past[1], pull + past[1] @ past[0]
        mean, start = np.linalg.solve(known + 1e-9 * np.eye(3), pull), met[0]
        return self._solvers[side](
            sightings,
            shifts,
            prior,
            self.betas,
            start,
            (mean, known) if known.any() else None,
            scale=_SHARPER,
            with_shape=len(sightings) > 1 and self.known is None and self.shape.wanted,
        )

    def _worst(
        self, sightings: list[Sighting], solution: Solution, shifts: np.ndarray, track: FusedTrack, expected: np.ndarray | None
    ) -> int | None:
        """Which of the sightings does not belong to the others; None where all do."""
        joints = solution.landmarks + solution.wrist
        beside = np.array(
            [float(np.linalg.norm(np.median(one.misses(joints + shift), axis=0))) for one, shift in zip(sightings, shifts)]
        )
        if beside.max() < _TOGETHER * (1.0 if len(sightings) == 2 else _OF_SEVERAL):
            return None
        if len(sightings) > 2:
            rests = [sightings[:k] + sightings[k + 1 :] for k in range(len(sightings))]
            place = None if expected is None else (expected + track.beside + shifts.mean(0)).mean(0)
            return int(np.argmin([doubt(rest, radius_of(solution.landmarks), place) for rest in rests]))
        if expected is not None:  # of two views that disagree the one that goes on as before is right
            apart = [one.distance_to(expected + track.beside + shift) for one, shift in zip(sightings, shifts)]
            return int(np.argmax(apart))
        return int(np.argmin([one.confidence for one in sightings]))

    def _within_limits(self, side: int, rotations: np.ndarray) -> np.ndarray:
        own = mirror_matrix(rotations) if side == LEFT else rotations.copy()
        own[1:] = clamp(own[1:], self._joint_frames)
        return mirror_matrix(own) if side == LEFT else own

    def _settle_sides(self, hands: tuple[list[Sighting], list[Sighting]]) -> None:
        """Exchange both hands' sides where the views have long called them otherwise; the next estimate is of the new sides."""
        left, right = self._tracks
        total = (left.votes if left.joints is not None else 0.0) + (right.votes if right.joints is not None else 0.0)
        if total < _WRONG_SIDE:
            settings = self.settings
            fresh = [FusedTrack(side, settings.hold, settings.smoothing, settings.acceleration) for side in (LEFT, RIGHT)]
            for side in (LEFT, RIGHT):  # a pose of the other side is none of this one's
                fresh[side].published = self._tracks[side].published
                other = self._tracks[1 - side]
                if other.joints is not None:
                    fresh[side].joints, fresh[side].velocity, fresh[side].stamp = other.joints, other.velocity, other.stamp
                    fresh[side].agreed = other.agreed
            self._tracks = fresh
