"""From what a detector sees in each frame to at most one left and one right hand that keep their identity.

Two questions are kept apart. *Which detection continues which hand* is answered by position, prediction and time, with
the detector's label as a hint. *Which side a hand is* is answered by the labels of all its detections so far. So a
label that flips for some frames, as it does when hands touch, cross or are seen edge-on, changes nothing.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np

from ..hand_model.skeleton import LEFT, RIGHT
from .confidence import inside_hull, steadiness, visibility
from .detector import HandDetection, hand_size

Pair = tuple[HandDetection | None, HandDetection | None]

_MISREAD = np.array([0, *range(17, 21), *range(13, 17), *range(9, 13), *range(5, 9), *range(1, 5)])
"""The landmarks in the order in which a detector that takes a hand for the other one confuses its fingers."""
_READINGS = np.stack([np.arange(21), _MISREAD])
_SUREST, _SURE = 0.99, math.log(0.95 / 0.05)
"""A score above which labels count no more, and the log-odds of one that counts as one label."""
_LEAST = 0.05
"""What the least sure label counts."""
_MEMORY, _RESERVE = 1.0, 0.3
"""Seconds after which an unseen hand is forgotten, and for which its side is given to no other hand while what its labels said
fades (to 1/e). Distances below are mean distances of landmarks in hand lengths (about 0.18 m), so they hold for any camera."""
_REACH, _SPEED = 0.6, 12.0
"""A detection further than `_REACH + _SPEED * dt` from where a hand was predicted dt seconds after it was last seen is not that
hand; a label that contradicts stops this growth at dt = 0.1."""
_UNCERTAINTY, _DRIFT = 0.06, 2.0
"""Mean error of the prediction is `_UNCERTAINTY + _DRIFT * dt`."""
_LABEL_WEIGHT = 0.7
"""What a label that contradicts a hand's side costs, in units of that error, at dt = 0; twice as much at dt = 0.1 and so on,
for labels err in runs of frames and past ones say little of new ones."""
_JUMP = 0.25
"""From how far on a detection whose label contradicts, while no hand is known on the side it names, is another hand, found as
this one was lost. Hands that are followed while their label flips stay nearer."""
_OVERLAP = 0.6
"""Share of one hand's landmarks inside the other's hull from which the two may be one hand seen twice."""
_APART = 0.35
"""Two known hands that overlap so much are two all the same if their landmarks are this far apart; hands whose landmarks are
less than half of it apart are one in any case."""
_CERTAINTY = 30.0
"""Number of sure labels (at 30 Hz, a second's worth) beyond which a hand's side gets no surer; as many must contradict before a
side can change."""
_MARGIN = 1.0
"""By how many a changed side must be better."""
_MISREAD_BELOW = 0.7
"""Up to this presence the detector may have misread a hand, and its label counts for next to nothing."""


class HandIdentity:
    """Follows hands from frame to frame; one object a camera."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all hands."""
        self._hands: list[_Hand] = []
        self._stamp: int | None = None
        self._image_size: tuple[int, int] | None = None

    def update(self, detections: list[HandDetection], stamp: int, image_size: tuple[int, int]) -> Pair:
        """Name the hands of one frame.

        detections: any number, of any side, one hand perhaps several times. stamp: the frame's, nanoseconds; one that
        lies before the last counts as simultaneous with it, or, by more than `_MEMORY`, as a new beginning.
        image_size: width, height; another size than the last frame's is a new beginning too.
        Returns (left, right): each None or one of the detections with its `side` made the hand's own and its
        `confidence` multiplied by what the other hand and the past say about each landmark.
        """
        if self._image_size != tuple(image_size) or (self._stamp is not None and (self._stamp - stamp) * 1e-9 > _MEMORY):
            self.reset()
        self._image_size, self._stamp = (image_size[0], image_size[1]), stamp
        for hand in self._hands:
            hand.seen, hand.current = min(hand.seen, stamp), False
        self._hands = [hand for hand in self._hands if hand.age(stamp) <= _MEMORY]
        finite = [d for d in detections if np.isfinite(d.landmarks).all() and np.isfinite(d.world).all()]
        usable = [_Candidate(d) for d in finite]

        costs = self._costs(usable, stamp)
        usable, costs = self._without_duplicates(usable, costs)
        matched = [(r, c) for r, c in _assign(costs) if not self._is_another(usable[r], self._hands[c], stamp)]
        self._discount_votes(costs, matched)
        confidences = {}
        for row, column in matched:
            hand, candidate = self._hands[column], usable[row]
            confidences[hand] = steadiness(candidate.detection.landmarks, hand.predict(stamp), candidate.size, hand.age(stamp))
            hand.continue_with(candidate, stamp)
        known = [usable[row] for row, _ in matched]
        for row, candidate in enumerate(usable):
            if row not in {r for r, _ in matched} and not any(candidate.overlap(other) >= _OVERLAP for other in known):
                self._hands.append(_Hand(candidate, stamp))
                known.append(candidate)

        self._name_sides(stamp)
        return self._result(confidences)

    def _costs(self, candidates: list[_Candidate], stamp: int) -> np.ndarray:
        """(candidates, hands): negative log-likelihood that each is a continuation of each; infinite out of reach."""
        costs = np.full((len(candidates), len(self._hands)), np.inf)
        for column, hand in enumerate(self._hands):
            age = hand.age(stamp)
            spread = _UNCERTAINTY + _DRIFT * age
            for row, candidate in enumerate(candidates):
                distance, contradiction = hand.distance(candidate, stamp), hand.contradicted_by(candidate)
                if distance <= _REACH + _SPEED * (age if contradiction < 0.5 else min(age, 0.1)):
                    costs[row, column] = (
                        distance / spread
                        + 2.0 * math.log(spread / _UNCERTAINTY)
                        + _LABEL_WEIGHT * (1.0 + age / 0.1) * contradiction
                    )
        return costs

    def _is_another(self, candidate: _Candidate, hand: _Hand, stamp: int) -> bool:
        """Whether a detection that continues a hand best is none of the known ones: see `_JUMP`."""
        known = any(other is not hand and other.side == candidate.detection.side for other in self._hands)
        contradicts = hand.contradicted_by(candidate) > 0.0
        return contradicts and not known and hand.distance(candidate, stamp) >= _JUMP

    def _without_duplicates(self, candidates: list[_Candidate], costs: np.ndarray) -> tuple[list[_Candidate], np.ndarray]:
        """Of detections that show one hand twice, keep the one that continues a hand best, else the surest."""
        best = costs.min(axis=1, initial=np.inf)
        kept: list[int] = []
        for row in sorted(range(len(candidates)), key=lambda r: (best[r], -candidates[r].detection.score)):
            if not any(candidates[row].doubles(candidates[k]) for k in kept):
                kept.append(row)
        return [candidates[row] for row in kept], costs[kept]

    def _discount_votes(self, costs: np.ndarray, matched: list[tuple[int, int]]) -> None:
        """Where two hands may have been taken for one another, let the labels to come count more than those so far.

        With probability p of an exchange, the expected sum of a hand's labels is (1 - 2 p) times what it was. An unseen hand
        that may be the one that is seen is as uncertain as that one, unless that one has no side to exchange.
        """
        row_of = {column: row for row, column in matched}
        for row, column in matched:
            for other in range(len(self._hands)):
                if other == column or not np.isfinite(costs[row, other]):
                    continue
                instead, now = costs[row, other], costs[row, column]
                if other in row_of:
                    instead, now = instead + costs[row_of[other], column], now + costs[row_of[other], other]
                exchanged = 1.0 / (1.0 + np.exp(min(max(instead - now, 0.0), 50.0)))
                for hand in (column,) if other in row_of or self._hands[column].side is None else (column, other):
                    self._hands[hand].votes *= 1.0 - 2.0 * exchanged

    def _name_sides(self, stamp: int) -> None:
        """Give each side to at most one hand, so that all labels so far are explained best, but change no side lightly.

        A hand without a side gets one that its labels favour. A hand that has one keeps it unless the other side is
        free, or can be had by exchange, and is better by `_MARGIN` for each seen hand that changes (once where none is
        seen); while it is seen it is not left without a side.
        """
        hands = [h for h in self._hands if h.current or (h.side is not None and h.age(stamp) <= _RESERVE)]

        def worth(hand: _Hand, side: int | None) -> float:
            if side is None:
                return -2.0 * _CERTAINTY if hand.side is not None and hand.current else 0.0
            support = hand.votes if side == RIGHT else -hand.votes
            return support if support > 0.0 or hand.side is not None else -np.inf

        def total(pair: tuple[_Hand | None, _Hand | None]) -> float:
            changed = [h.current for h in hands if h.side is not None and h is not pair[h.side]]
            margin = _MARGIN * (sum(changed) or len(changed))  # an unseen hand says nothing more of a seen one's change
            return sum(worth(h, LEFT if h is pair[LEFT] else RIGHT if h is pair[RIGHT] else None) for h in hands) - margin

        pairs = [
            (left, right) for left, right in itertools.product([None, *hands], repeat=2) if left is None or left is not right
        ]
        left, right = max(pairs, key=total)
        for hand in self._hands:
            hand.side = LEFT if hand is left else RIGHT if hand is right else None

    def _result(self, confidences: dict[_Hand, np.ndarray]) -> Pair:
        found: list[_Hand | None] = [None, None]
        for known in self._hands:
            if known.side is not None and known.current:
                found[known.side] = known
        result: list[HandDetection | None] = [None, None]
        for side, hand in enumerate(found):
            if hand is None:
                continue
            detection = hand.detection
            confidence = detection.confidence * confidences.get(hand, 1.0)
            other = found[1 - side]
            if other is not None:
                confidence = confidence * visibility(detection.landmarks, hand.size, other.detection.landmarks, other.size)
            if detection.side != side:
                # A detector that takes a hand for the other one has read its depth the other way round.
                confidence = confidence * (1.0 - 0.5 * detection.score)
            result[side] = replace(detection, side=side, confidence=confidence.clip(0.0, 1.0))
        return result[LEFT], result[RIGHT]


class _Candidate:
    """A detection with what is asked of it more than once.

    vote: how much its label says, right positive: the score's log-odds, in those of a score of 0.95, times how surely it is
    read rightly.
    """

    def __init__(self, detection: HandDetection) -> None:
        self.detection = detection
        self.size = hand_size(detection)
        score = min(max(detection.score, 0.5), _SUREST)
        read = min(max((detection.presence - _MISREAD_BELOW) / (1.0 - _MISREAD_BELOW), _LEAST), 1.0)
        said = max(math.log(score / (1.0 - score)) / _SURE, _LEAST) * read
        self.vote = said if detection.side == RIGHT else -said

    def overlap(self, other: _Candidate) -> float:
        """Share of the landmarks of the one that lie inside the hull of the other, whichever is more."""
        a, b = self.detection.landmarks, other.detection.landmarks
        return max(inside_hull(a, b).mean(), inside_hull(b, a).mean())

    def doubles(self, other: _Candidate) -> bool:
        """Whether the two show one hand."""
        distance = _distance(self.detection.landmarks, other.detection.landmarks, max(self.size, other.size))
        return distance < 0.5 * _APART or (distance < _APART and self.overlap(other) >= _OVERLAP)


class _Hand:
    """A hand being followed.

    votes: sum of its labels, right positive. side: LEFT, RIGHT or None (a third hand). current: seen in this frame.
    """

    _COASTING = 0.1  # seconds for which an unseen hand goes on moving, about

    def __init__(self, candidate: _Candidate, stamp: int) -> None:
        self.detection = candidate.detection
        self.size = candidate.size
        self.seen, self.current = stamp, True
        self.velocity = np.zeros(2)
        self.votes = candidate.vote
        self.side: int | None = None

    def distance(self, candidate: _Candidate, stamp: int) -> float:
        """Of a detection from where the hand is predicted, in hand lengths."""
        return _distance(candidate.detection.landmarks, self.predict(stamp), max(candidate.size, self.size))

    def contradicted_by(self, candidate: _Candidate) -> float:
        """How much a label contradicts: 1 for a sure label against a hand whose side is sure."""
        return max(-candidate.vote * min(max(self.votes, -1.0), 1.0), 0.0)

    def age(self, stamp: int) -> float:
        """Seconds since it was last seen."""
        return (stamp - self.seen) * 1e-9

    def predict(self, stamp: int) -> np.ndarray:
        """(21, 2) pixels at `stamp`: constant velocity, slowing down."""
        return self.detection.landmarks + self.velocity * self._COASTING * -math.expm1(-self.age(stamp) / self._COASTING)

    def continue_with(self, candidate: _Candidate, stamp: int) -> None:
        age = self.age(stamp)
        if age > 0.0:
            step = (candidate.detection.landmarks - self.detection.landmarks).mean(axis=0) / age
            limit = _SPEED * candidate.size
            step *= min(1.0, limit / max(math.hypot(*step.tolist()), 1e-9))
            self.velocity = 0.5 * self.velocity + 0.5 * step
        certainty = _CERTAINTY * math.exp(-age / _RESERVE)
        self.votes = min(max(self.votes, -certainty), certainty) + candidate.vote
        self.detection, self.size = candidate.detection, candidate.size
        self.seen, self.current = stamp, True


def _distance(landmarks: np.ndarray, others: np.ndarray, length: float) -> float:
    """Mean distance of corresponding landmarks (21, 2) in units of length, whichever side each was taken for."""
    apart = np.sqrt(np.square(landmarks[_READINGS] - others).sum(axis=-1)).sum(axis=-1)
    return float(apart.min()) / len(others) / length


def _assign(costs: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of least total cost that match as many as possible, none of infinite cost.

    The Hungarian method by shortest augmenting paths. The matrices are two by two, and importing scipy's takes a quarter of a
    second and 30 MB.
    """
    if len(costs) > len(costs.T):
        return sorted((row, column) for column, row in _assign(costs.T))
    impossible = 1e6
    cost = np.where(np.isfinite(costs), costs, impossible).tolist()
    columns = range(len(costs.T))
    of_row, of_column = [0.0] * len(cost), [0.0] * len(columns)  # potentials: their sums stay below the costs
    matched: list[int | None] = [None] * len(columns)  # the row of each column
    for start in range(len(cost)):
        # A path from this row to a free column: `last` is its newest column (-1: none yet), `done` has the row after each of
        # the columns that were reached, `before` the column before each.
        row: int | None = start
        least, before, last = [math.inf] * len(columns), [-1] * len(columns), -1
        done: dict[int, int] = {}
        while row is not None:
            done[last] = row
            for column in columns:
                reduced = cost[row][column] - of_row[row] - of_column[column]
                if column not in done and reduced < least[column]:
                    least[column], before[column] = reduced, last
            nearest = min((column for column in columns if column not in done), key=least.__getitem__)
            step = least[nearest]
            for column, passed in done.items():
                of_row[passed] += step
                if column >= 0:
                    of_column[column] -= step
            least = [value - step for value in least]
            last, row = nearest, matched[nearest]
        while last >= 0:
            matched[last], last = done[before[last]], before[last]
    return sorted((row, column) for column, row in enumerate(matched) if row is not None and np.isfinite(costs[row, column]))
