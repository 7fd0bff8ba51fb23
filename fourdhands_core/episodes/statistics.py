"""Statistics of columns and pictures as LeRobot keeps them: min, max, mean, std, count, quantiles.

Numbers of a hand that is not there are left out, which LeRobot's own would count as zeros. Those of a whole dataset come from
its episodes' as LeRobot aggregates them: quantiles are the episodes' weighted mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
_SIDE = 150
"""Pixels of a picture's longer side that are counted, as LeRobot samples them."""
_TOGETHER = 1 << 13
"""Numbers that are looked at together: memory for more would be for nothing."""

Statistics = dict[str, list]
"""By name; `counts` are those of each number by itself, which LeRobot does not have."""


def of_column(column: np.ndarray, mask: np.ndarray | None) -> Statistics:
    """Of (N, D) numbers; mask: (N, D) bool of those that count."""
    size, values = column.shape[1], column.astype(np.float64)
    rows: dict[str, np.ndarray] = {name: np.zeros(size) for name in ("min", "max", "mean", "std", *QUANTILES)}
    if mask is not None:
        values[~mask] = np.nan
    counts = np.isfinite(values).sum(axis=0)
    some = np.flatnonzero(counts)
    if len(some):
        there = values if len(some) == size else values[:, some]
        quantiles = np.nanquantile(there, list(QUANTILES.values()), axis=0)
        found = np.nanmin(there, 0), np.nanmax(there, 0), np.nanmean(there, 0), np.nanstd(there, 0), *quantiles
        for name, row in zip(rows, found):
            rows[name][some] = row
    return {**{name: row.tolist() for name, row in rows.items()}, "count": [len(column)], "counts": counts.tolist()}


def in_parts(rows: int, size: int, of_part: Callable[[slice], Statistics]) -> Statistics:
    """Of a column of so many rows and numbers, of a few numbers of a row at a time. of_part: gives those of a slice of them."""
    step = max(1, _TOGETHER // max(rows, 1))
    found = [of_part(slice(first, first + step)) for first in range(0, size, step)]
    together = {name: [value for one in found for value in one[name]] for name in found[0]}
    return {**together, "count": found[0]["count"]}


class PictureStatistics:
    """Of the pictures of an episode, by colour, 0 to 1. every: of so many one is looked at."""

    def __init__(self, every: int) -> None:
        self._every, self._seen, self._taken = max(every, 1), 0, 0
        self._histogram = np.zeros((3, 256), np.int64)

    def add(self, image: np.ndarray) -> None:
        """(H, W, 3) uint8."""
        if self._seen % self._every == 0:
            step = max(1, max(image.shape[:2]) // _SIDE)
            for colour in range(3):
                self._histogram[colour] += np.bincount(image[::step, ::step, colour].ravel(), minlength=256)
            self._taken += 1
        self._seen += 1

    def result(self) -> Statistics:
        """As LeRobot shapes them: (3, 1, 1)."""
        levels = np.arange(256) / 255.0
        total = np.maximum(self._histogram.sum(axis=1), 1)
        mean = self._histogram @ levels / total
        rows = {
            "min": levels[(self._histogram > 0).argmax(axis=1)],
            "max": levels[255 - (self._histogram[:, ::-1] > 0).argmax(axis=1)],
            "mean": mean,
            "std": np.sqrt(np.maximum(self._histogram @ levels**2 / total - mean**2, 0.0)),
        }
        cumulated = np.cumsum(self._histogram, axis=1) / total[:, None]
        for name, share in QUANTILES.items():
            rows[name] = levels[(cumulated >= share).argmax(axis=1)]
        shaped: dict[str, list] = {name: row.reshape(3, 1, 1).tolist() for name, row in rows.items()}
        return {**shaped, "count": [self._taken], "counts": [self._taken] * 3}


def together(episodes: Sequence[Statistics]) -> Statistics:
    """Of all episodes' together: each number weighted by how often it was there."""
    arrays = {name: np.stack([np.asarray(one[name], np.float64) for one in episodes]) for name in episodes[0]}
    shape = arrays["mean"].shape[1:]
    counts = arrays["counts"].reshape(len(episodes), *shape)
    total = counts.sum(axis=0)
    weight = counts / np.maximum(total, 1)
    mean = (weight * arrays["mean"]).sum(axis=0)
    variance = (weight * (arrays["std"] ** 2 + (arrays["mean"] - mean) ** 2)).sum(axis=0)
    some = counts > 0
    result: dict[str, Any] = {
        "min": np.where(total > 0, np.where(some, arrays["min"], np.inf).min(axis=0), 0.0),
        "max": np.where(total > 0, np.where(some, arrays["max"], -np.inf).max(axis=0), 0.0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": arrays["count"].sum(axis=0).astype(np.int64),
    }
    for name in QUANTILES:
        result[name] = (weight * arrays[name]).sum(axis=0)
    return {name: value.tolist() for name, value in result.items()}
