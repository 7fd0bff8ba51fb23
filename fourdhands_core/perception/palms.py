"""Palms in what the palm network computes: its boxes and scores, decoded, and those of one palm made one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .squares import Square, around_palm

PALM_SIZE = 192
"""Pixels along a side of what the palm network sees."""
_OVERLAP = 0.3
"""Intersection over union from which two boxes are of one palm."""
_WRIST, _KNUCKLE = 0, 2
"""Of a palm's seven points: the wrist, and the middle finger's knuckle."""


class Palm(NamedTuple):
    """score: 0-1. box: (4,) x0, y0, x1, y1 and points: (7, 2), 0-1 in the square that was searched."""

    score: float
    box: np.ndarray
    points: np.ndarray

    def hand(self, searched: Square) -> Square:
        """Where in the image the landmark network looks for its hand."""
        return around_palm(self.box, self.points[_WRIST], self.points[_KNUCKLE], searched)


def _anchors() -> np.ndarray:
    """(2016, 2) centres that boxes are relative to, 0-1: two a cell of a 24x24 grid, then six a cell of a 12x12 one."""
    grids = []
    for cells, each in ((24, 2), (12, 6)):
        y, x = np.mgrid[:cells, :cells]
        grids.append(np.repeat((np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells, each, axis=0))
    return np.concatenate(grids)


_ANCHORS = _anchors()


class Palms(NamedTuple):
    """What the palm network says of a square. boxes: (2016, 18) pixels around the anchors: centre, size, seven points. scores:
    (2016,) logits."""

    boxes: np.ndarray
    scores: np.ndarray

    def above(self, threshold: float) -> list[Palm]:
        """Palms whose score is at least a threshold, 0-1, the surest first.

        Boxes of one palm are averaged by score, as in BlazeFace (Bazarevsky et al., 2019).
        """
        boxes, scores = self
        chosen = np.flatnonzero(scores >= np.log(threshold / (1.0 - threshold)))
        chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        score = 1.0 / (1.0 + np.exp(-scores[chosen].clip(-100.0, 100.0).astype(np.float64)))
        values = boxes[chosen].astype(np.float64) / PALM_SIZE
        centre, half = values[:, :2] + _ANCHORS[chosen], values[:, 2:4] / 2.0
        box = np.concatenate([centre - half, centre + half], axis=1)
        points = values[:, 4:].reshape(-1, 7, 2) + _ANCHORS[chosen, None]
        sides = np.minimum(box[:, None, 2:], box[:, 2:]) - np.maximum(box[:, None, :2], box[:, :2])
        shared, area = sides.clip(0.0).prod(axis=2), 4.0 * half.prod(axis=1)
        same = shared > _OVERLAP * (area[:, None] + area - shared)
        np.fill_diagonal(same, True)
        firsts, weights, left = [], [], np.ones(len(chosen), bool)
        while left.any():
            firsts.append(int(left.argmax()))
            weights.append(same[firsts[-1]] * left * score)
            left &= ~same[firsts[-1]]
        shares = np.array([weight / weight.sum() for weight in weights]).reshape(len(firsts), len(chosen))
        boxes, means = shares @ box, np.tensordot(shares, points, 1)
        return [Palm(float(score[first]), *each) for first, *each in zip(firsts, boxes, means)]
