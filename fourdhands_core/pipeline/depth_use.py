"""What one camera's depth images are good for: whether they hold distances at all, and whether those fit the hands."""

from __future__ import annotations

import numpy as np

from .depth import RANGE, DepthImage
from .types import HandPairEstimate

UNPLACED = "images whose depth placed no hand"
"""The event under which images with hands are counted that have a depth image which says nothing of them."""
_ROWS, _STEPS = 24, (97, 47, 23, 11, 7, 1)
"""Rows of a depth image that are looked at, at least, and as far apart columns; how far apart they may be, pixels: primes, as
depth that was registered to a larger image has holes at regular distances."""
_LEAST = 0.02
"""Share of pixels with a distance below which a depth image holds none."""
_EMPTY, _UNFIT = 30, 90
"""Images in a row that hold no distances, or that have hands of which depth places none, until that is told: a hand may be
nearer than a depth camera sees for a while."""
_FEW = 0.1
"""Share of the images with hands in which depth has placed one, below which that is told of a whole recording."""


class DepthUse:
    """Counts what becomes of depth images. `look` and `placed` are called by one thread, `problem` by any."""

    def __init__(self) -> None:
        self._sample: np.ndarray | None = None
        self._empty_sample: np.ndarray | None = None
        self._looked = self._empty = self._seen = self._fit = 0
        self._empty_row = self._unfit_row = 0
        self._away = float("nan")

    def look(self, values: np.ndarray) -> None:
        """Take in a depth image (H, W) as DepthImage.of takes it: a few hundred of its pixels."""
        step = next((step for step in _STEPS if step * _ROWS <= min(values.shape)), 1)
        self._sample = values[step // 2 :: step, step // 2 :: step].copy()
        empty = np.isfinite(DepthImage.of(self._sample).metres).mean() < _LEAST
        self._looked += 1
        self._empty += bool(empty)
        self._empty_row = self._empty_row + 1 if empty else 0
        if empty:
            self._empty_sample = self._sample

    def placed(self, pair: HandPairEstimate) -> bool:
        """Take in an estimate; False where there was a depth image and it has placed none of the hands that are seen."""
        hands = [hand for hand in pair.hands if hand.valid and hand.by_depth is not None and hand.joints is not None]
        fit = any(hand.by_depth for hand in hands)
        if hands:
            self._seen += 1
            self._fit += fit
            self._unfit_row = 0 if fit else self._unfit_row + 1
            self._away = float(np.mean([hand.joints[0, 2] for hand in hands if hand.joints is not None]))
        return fit or not hands

    @property
    def words(self) -> str:
        """What the newest depth image holds; "" before the first."""
        return "" if self._sample is None else _what(self._sample)

    def problem(self, whole: bool = False) -> str:
        """Why depth is of no use now, in a sentence without its end; "" where it is, or has not been looked at for long.

        whole: of all images so far, of a recording that has ended.
        """
        if self._empty_sample is not None and (self._empty_row >= _EMPTY or (whole and self._empty > 0.5 * self._looked)):
            return (
                f"depth images hold no usable distances ({_what(self._empty_sample)}), colour alone places hands: "
                + _advice(self._empty_sample)
            )
        if self._sample is not None and (self._unfit_row >= _UNFIT or (whole and self._fit < _FEW * self._seen)):
            return (
                f"depth images fit none of the hands ({_what(self._sample)}; hands seem {self._away:.2f} m away), colour alone "
                "places them: see whether depth is in the colour image's view (aligned, registered), of its moment, and in "
                "its encoding's unit (16UC1 millimetres, 32FC1 metres)"
            )
        return ""


def _known(sample: np.ndarray) -> np.ndarray:
    """Its numbers that are distances in whatever unit."""
    return sample[np.isfinite(sample) & (sample > 0)]


def _what(sample: np.ndarray) -> str:
    known, unit = _known(sample), "mm" if sample.dtype == np.uint16 else "m"
    if not len(known):
        numbers = sample[np.isfinite(sample)]
        return "all pixels are " + ("not numbers" if not len(numbers) else "negative" if (numbers < 0).any() else "0")
    low, high = np.percentile(known, (2, 98))
    span = f"{low:.5g}" if low == high else f"{low:.5g} to {high:.5g}"
    return f"{100 * len(known) / sample.size:.0f} % of the pixels say {span} {unit}"


def _advice(sample: np.ndarray) -> str:
    known = _known(sample)
    middle = float(np.median(known)) if len(known) else 0.0
    if sample.dtype != np.uint16 and middle > 10.0 * RANGE[1]:
        return "32FC1 is metres (REP 118), and these look like millimetres: have the driver publish 16UC1, or metres"
    if sample.dtype == np.uint16 and 0.0 < middle <= 2.0 * RANGE[1]:
        return "16UC1 is millimetres (REP 118), and these look like metres: have the driver publish 32FC1, or millimetres"
    if middle:
        return f"distances from {RANGE[0]:g} to {RANGE[1]:g} m are used; see what is before the sensor, and its unit"
    return "see whether the sensor is covered, switched off, or too near to all that it sees"
