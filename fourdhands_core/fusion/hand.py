"""One hand out of the sightings that show it: which of them count, what they agree on, whether that may be this hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix, mirror_matrix
from ..pipeline.detect import radius_of
from ..pipeline.types import TRACKED, HandEstimate
from .bumps import size_beside
from .memory import Memory
from .solution import HandSolver, Solution, mean_rotations
from .views import Sighting, doubt, triangulate

_PRIOR, _PRIOR_ALONE = 0.1, 0.2
"""Of a single view's pose, as a prior where several see the hand and where one does: what it guessed others see, or saw."""
_SHARPER = 0.6
"""Of the tracker's expected error of landmarks, which holds there for a shape and a pose that nobody else has seen."""
_GAP = 0.1
"""Seconds without a hand after which it takes a view that sees it well and calls it by its side: what others see may be another
one. Until then one of the two is enough."""
_TOGETHER, _OF_SEVERAL = 0.025, 0.4
"""Metres, of the landmarks as a whole, by which a view may lie beside the others before it is left out; and of that, where
others are left that agree: rays of two that see different persons' hands may meet."""
_MISFIT = 0.02
"""Metres, root mean square, by which landmarks of all views lie beside a hand that is none; of hands by 15 mm at most."""


@dataclass(frozen=True, eq=False)
class FusedHand:
    """cameras: those whose sightings the estimate is made of, in order. beside: those whose sightings lie beside the others'.
    fits: whether several that it is made of may be of this hand. apart: metres, root mean square, of the one that lies farthest
    from it."""

    estimate: HandEstimate
    cameras: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    fits: bool = False
    apart: float = 0.0


@dataclass(frozen=True, eq=False)
class _Agreed:
    """Sightings (V) that agree, those that lie beside them, and the solution of the former. shifts: (V, 21, 3) metres, what is
    added to the joints at the estimate's moment to have them at each view's."""

    kept: list[Sighting]
    wrong: list[Sighting]
    shifts: np.ndarray
    solution: Solution

    @property
    def points(self) -> np.ndarray:
        """(21, 3) the landmarks, fixed frame."""
        return self.solution.landmarks + self.solution.wrist


class SideFusion:
    """Fuses what views show of one side's hand at a moment.

    solver: of that side. memory: is brought up to date. known: the person's shape (10,), where it is. stamp: the moment's,
    nanoseconds. interval: seconds since the hand was seen, 0 where it is new.
    """

    def __init__(self, solver: HandSolver, memory: Memory, known: np.ndarray | None, stamp: int, interval: float) -> None:
        self._solver, self._side, self._memory, self._known = solver, solver.side, memory, known
        self._stamp, self._interval, self._track = stamp, interval, memory.tracks[solver.side]
        self._trust = memory.consistency.trust

    def fused(self, sightings: list[Sighting], with_vertices: bool) -> FusedHand:
        """The hand that sightings show."""
        chosen = self._chosen(sightings)
        if not chosen:
            return FusedHand(self._track.unseen(self._stamp))
        agreed = self._agreed(chosen)
        beside = tuple(one.view.name for one in agreed.wrong)
        apart = _apart(agreed.kept, agreed.points, agreed.shifts)
        if min(apart) > _MISFIT:  # as where all views call it by the other one's side
            return FusedHand(self._track.unseen(self._stamp), beside=beside)
        fits = self._judged(agreed)
        estimate = self._estimate(agreed, fits, with_vertices)
        names = tuple(sorted(one.view.name for one in agreed.kept))
        return FusedHand(estimate, names, beside, fits, max(apart))

    def _chosen(self, sightings: list[Sighting]) -> list[Sighting]:
        """Those that count; none where they are too few to say that it is this hand."""
        track, interval = self._track, self._interval
        followed = 0.0 < interval <= _GAP
        unclear = {one.view.name for one in sightings if one.unclear(followed and one.view.name in track.unclear)}
        track.unclear = unclear | (track.unclear - {one.view.name for one in sightings})
        enough = any if followed else all
        if not any(enough((one.view.name not in unclear, one.label == self._side)) for one in sightings):
            return []
        track.flows.look(sightings, None if track.joints is None else track.joints.mean(0))
        clear = [one for one in sightings if one.view.name not in unclear] or sightings
        return track.told(clear, interval, self._memory.schedule.period)

    def _agreed(self, kept: list[Sighting]) -> _Agreed:
        """What sightings agree on once those that lie beside the others are left out, one after the other."""
        track, interval, wrong = self._track, self._interval, list[Sighting]()
        past = track.position.predict(interval) if interval > 0.0 else None
        expected, shifts = track.expected(interval), self._shifts(kept)
        landmarks = None if expected is None else expected + track.beside
        if landmarks is not None and len(kept) > 2 and track.torn(_apart(kept, landmarks, shifts), interval):
            self._trust.doubt(self._stamp)
        while True:
            steady = {one.view.name for one in kept} == {one.view.name for one in track.sightings}
            agreed = _Agreed(kept, wrong, shifts, self._solved(kept, shifts, past if steady else None))
            worst = _worst(agreed, landmarks) if len(kept) > 1 else None
            if worst is None:
                return agreed
            wrong.append(kept.pop(worst))
            shifts = np.delete(shifts, worst, axis=0)

    def _solved(self, sightings: list[Sighting], shifts: np.ndarray, past: tuple[np.ndarray, np.ndarray] | None) -> Solution:
        """The pose and the place of all of them. past: see `HandSolver.solve`."""
        memory, several = self._memory, len(sightings) > 1
        met = triangulate(sightings) if several else sightings[0].joints
        known, pull = memory.placed.look(self._side, sightings, met)
        if past is not None:
            known, pull = known + past[1], pull + past[1] @ past[0]
        mean = np.linalg.solve(known + 1e-9 * np.eye(3), pull)
        return self._solver(
            sightings,
            shifts,
            self._prior(sightings),
            memory.betas(self._known),
            met[0],
            (mean, known) if known.any() else None,
            before=self._track.last_rotations if 0.0 < self._interval <= _GAP else None,
            scale=_SHARPER,
            with_shape=several and self._known is None and memory.shape.wanted,
        )

    def _prior(self, sightings: list[Sighting]) -> tuple[np.ndarray, float]:
        """What single views make of the pose: rotations (16, 3, 3), and how many views' worth of them."""
        own = [one for one in sightings if one.label == self._side]
        if not own:  # the other side's pose in its own convention means nothing to this one
            last = self._track.last_rotations
            return mirror_matrix(sightings[0].rotations) if last is None else last, 0.2
        poses, share = [one.rotations for one in own], _PRIOR
        if len(sightings) == 1:
            (one,), share = own, _PRIOR_ALONE
            poses = [self._memory.deviations.corrected(one.view.name, self._side, one.rotations, one.view.stamp)]
        weights = np.array([max(one.confidence, 0.05) for one in own])
        return mean_rotations(np.array(poses), weights), share * float(weights.sum())

    def _judged(self, agreed: _Agreed) -> bool:
        """Whether several sightings that agree may be of this hand; what all tell of the cameras is taken in."""
        kept, wrong, shifts, solution = agreed.kept, agreed.wrong, agreed.shifts, agreed.solution
        shown, points, known = kept + wrong, agreed.points, self._known is not None
        if len(shown) == 1:
            return False
        beside = self._shifts(shown) if wrong else shifts
        size = size_beside(shown, beside, points)
        self._memory.consistency.take(self._stamp, self._side, shown, beside, solution, self._track.velocity, size)
        if len(kept) == 1:
            return False
        if wrong:
            size = size_beside(kept, shifts, points)
        if not known:
            size *= float(np.linalg.norm(solution.joints[9])) / self._solver.usual_palm
        fits = self._trust.fits(self._stamp, kept, shifts, points, size, known)
        if not fits and self._track.leaps(solution.wrist, self._interval):
            self._trust.doubt(self._stamp)
        return fits

    def _estimate(self, agreed: _Agreed, fits: bool, with_vertices: bool) -> HandEstimate:
        """Of what sightings agree on, filtered and within human limits; it is remembered."""
        track, side, kept, solution = self._track, self._side, agreed.kept, agreed.solution
        wrist = solution.wrist + track.join(kept, solution.wrist, self._interval)
        track.position.update(solution.wrist, solution.covariance)
        limited = self._solver.limited
        rotations = limited(track.rotations.update(limited(solution.rotations), self._interval))
        track.last_rotations = rotations
        for one in kept if len(kept) > 1 else ():
            if one.label == side:
                self._memory.deviations.take(one.view.name, side, one.rotations, rotations, one.view.stamp)
        betas = self._memory.betas(self._known)
        hand, posed = self._solver.hand, (rotations[None, 0], rotations[None, 1:], betas[None])
        joints, axis_angle = hand.joints(*posed)[0] + wrist, axis_angle_from_matrix(rotations)
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
            vertices=hand.vertices(*posed)[0] + wrist if with_vertices else None,
            scaled=True,
        )
        track.seen(estimate, joints, self._stamp, self._interval)
        track.beside = solution.landmarks - solution.joints
        if fits and solution.shape[0].any():
            self._memory.shape.add(*solution.shape)
        for one in kept:
            track.votes = 0.97 * track.votes + (one.confidence if one.label == side else -one.confidence)
        return estimate

    def _shifts(self, sightings: list[Sighting]) -> np.ndarray:
        """(V, 21, 3) see _Agreed."""
        ages = np.array([self._memory.age(one.view, self._stamp) for one in sightings])
        return np.repeat((-ages[:, None] * self._track.velocities(sightings))[:, None], 21, axis=1)


def _worst(agreed: _Agreed, expected: np.ndarray | None) -> int | None:
    """Which of two sightings or more does not belong to the others; None where all do. expected: (21, 3) where the landmarks
    were expected, fixed frame."""
    kept, shifts, points = agreed.kept, agreed.shifts, agreed.points
    beside = [float(np.linalg.norm(np.median(one.misses(points + shift), axis=0))) for one, shift in zip(kept, shifts)]
    if max(beside) < _TOGETHER * (1.0 if len(kept) == 2 else _OF_SEVERAL):
        return None
    if len(kept) > 2:
        rests = [kept[:k] + kept[k + 1 :] for k in range(len(kept))]
        place = None if expected is None else (expected + shifts.mean(0)).mean(0)
        return int(np.argmin([doubt(rest, radius_of(agreed.solution.landmarks), place) for rest in rests]))
    if expected is not None:  # of two views that disagree the one that goes on as before is right
        return int(np.argmax(_apart(kept, expected, shifts)))
    return int(np.argmin([one.confidence for one in kept]))


def _apart(sightings: list[Sighting], points: np.ndarray, shifts: np.ndarray) -> list[float]:
    """Metres by which landmarks (21, 3), fixed frame, lie beside each of the sightings."""
    return [one.distance_to(points + shift) for one, shift in zip(sightings, shifts)]
