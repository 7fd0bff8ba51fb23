"""The range of one person's fingers as a tracker sees it, and what it maps to: measured bends shrink towards the mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import InputError
from ..hand_model.skeleton import FINGERS
from ..outputs import write_text
from .config import NEAR
from .human import CLOSED, STRAIGHT, HumanFingers, bends, bent, measure, spans_palm

_OPEN = np.zeros((5, 3))
_FIST = np.radians([[20.0, 35.0, 50.0]] + [[85.0, 100.0, 60.0]] * 4)
"""(5, 3): bends of base, middle, last joint that an open hand and a fist stand for, radians."""
_LEAST_SPAN = np.radians(25.0)
_NO_PINCH = 0.045, 0.055
"""Metres between tips of a hand bent as it is, from where on they pinch less, and not at all, however near they are measured:
those of pinches are at most 37 mm apart then, those of fists at least 59 mm."""
_GAIN = np.array([[1.0, 1.0, 1.0]] + [[0.89, 0.78, 0.78]] * 4)
_OFFSET = np.radians([[0.0, 0.0, 0.0]] + [[4.0, 9.0, 9.0]] * 4)
"""Measured bend = gain · truth + offset, of this package's tracker on rendered clips of human hands at work
(benchmarks/evaluate.json), of the last joint as of the middle one; nothing is undone of the thumb."""


@dataclass(frozen=True, eq=False)
class OperatorRange:
    """What a tracker makes of one person's fingers: measured bend = gain · truth + offset.

    gain, offset (radians): (5, 3), of base, middle and last joint of the fingers in the order of FINGERS. pinch, open: (5,)
    metres measured between the thumb's tip and each other when they touch and when the hand is open, for a hand of common size
    (0 for the thumb). The defaults are this package's tracker's: tips of a rendered pinch that are 17 mm apart, pad on pad, are
    measured 20 to 33 mm apart.
    """

    gain: np.ndarray = field(default_factory=_GAIN.copy)
    offset: np.ndarray = field(default_factory=_OFFSET.copy)
    pinch: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.024, 0.024, 0.024, 0.024]))
    open: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.09, 0.11, 0.12, 0.12]))

    def __post_init__(self) -> None:
        for name, shape in (("gain", (5, 3)), ("offset", (5, 3)), ("pinch", (5,)), ("open", (5,))):
            value = np.array(getattr(self, name), np.float64)
            if value.shape != shape or not np.isfinite(value).all():
                raise InputError(f"the operator's range: {name} is not {shape} finite numbers; calibrate again")
            object.__setattr__(self, name, value)
        if (self.gain < 0.2).any() or (self.open[1:] - self.pinch[1:] < 0.02).any():
            raise InputError("the operator's range: open hand, fist and pinch hardly differ; calibrate again")

    @classmethod
    def exact(cls) -> OperatorRange:
        """Of joints that are as they are measured, such as ground truth and gloves."""
        touching = np.array([0.0, 0.015, 0.015, 0.015, 0.015])
        return cls(gain=np.ones((5, 3)), offset=np.zeros((5, 3)), pinch=touching)

    @classmethod
    def of_recordings(cls, open_hand: np.ndarray, fist: np.ndarray, pinch: np.ndarray, side: str) -> OperatorRange:
        """From what was measured of an open hand, a fist, and the thumb on the index finger, each (N, 21, 3) metres.

        Frames that are not finite or span no palm are left out; of the others the median counts. Raises InputError where
        nothing is left of one, where open hand and fist do not differ, or the pinch is none.
        """
        (opened, open_gaps), (closed, _), (_, pinched) = (
            _median(name, joints, side) for name, joints in (("open hand", open_hand), ("fist", fist), ("pinch", pinch))
        )
        span = closed - opened
        if np.median(span[1:, :2]) < -_LEAST_SPAN:
            raise InputError("the fingers are bent in what is given as the open hand, straight in the fist; exchange the two")
        if pinched[1] > 0.75 * open_gaps[1]:
            raise InputError(
                f"in what is given as the pinch, thumb and index finger are {1e3 * pinched[1]:.0f} mm apart, in the open hand "
                f"{1e3 * open_gaps[1]:.0f} mm; give the seconds in which they touch"
            )
        if (span[1:, :2] < _LEAST_SPAN).any():
            finger = FINGERS[1 + int(np.argmin(span[1:, :2].min(axis=1)))]
            raise InputError(
                f"open hand and fist hardly differ in the {finger} finger ({np.degrees(span[1:, :2].min()):.0f} degrees); "
                "record each for a second with the palm towards the camera"
            )
        gain = span / (_FIST - _OPEN)
        # The thumb is folded in anyhow in a fist, and is taken as it is measured, as is what does not bend there.
        still = (gain < 0.3) | (span < _LEAST_SPAN)
        still[0] = True
        gain = np.where(still, 1.0, gain)
        offset = np.where(still, 0.0, opened - gain * _OPEN)
        # One pinch stands for all: what is measured too far in it, is so for the others.
        touching = np.full(5, min(float(pinched[1]), 0.035))
        touching[0] = open_gaps[0] = 0.0
        return cls(gain, offset, touching, np.maximum(open_gaps, touching + 0.03))

    def true_bends(self, measured: np.ndarray) -> np.ndarray:
        """Bends (5, 3) as they are, of what was measured; inside what fingers can do."""
        return np.clip((measured - self.offset) / self.gain, STRAIGHT, CLOSED)

    def apply(self, fingers: HumanFingers) -> HumanFingers:
        """The hand as it is: its bends, and gaps that are 0 in a pinch. From NEAR on gaps are as they were measured.

        A fist that is measured too little bent has its tips near the thumb's; bent as it is they are far from it: no pinch.
        """
        points = fingers.points
        gaps = fingers.gaps
        below = np.clip(gaps - self.pinch, 0.0, None) * (NEAR / (NEAR - np.minimum(self.pinch, 0.9 * NEAR)))
        true = np.where(gaps < NEAR, below, gaps)
        if (self.gain != 1.0).any() or self.offset.any():
            points = bent(fingers, self.true_bends(bends(fingers)))
            apart = np.sqrt(((points[:, 3] - points[0, 3]) ** 2).sum(-1)) / fingers.size
            share = np.clip((apart - _NO_PINCH[0]) / (_NO_PINCH[1] - _NO_PINCH[0]), 0.0, 1.0)
            true = true + share * np.maximum(np.minimum(apart, NEAR) - true, 0.0)
        return HumanFingers(points, fingers.lengths, fingers.size, true)

    def openness(self, fingers: HumanFingers, finger: int) -> float:
        """How far thumb and finger are apart, as measured, from 0 in a pinch to 1 in an open hand."""
        span = self.open[finger] - self.pinch[finger]
        return float(np.clip((fingers.gaps[finger] - self.pinch[finger]) / span, 0.0, 1.0))

    def write(self, path: str | Path) -> None:
        """Keep it in a YAML file. Raises InputError where that cannot be written."""
        rows: dict[str, Any] = {
            "gain": {name: np.round(row, 4).tolist() for name, row in zip(FINGERS, self.gain)},
            "offset_degrees": {name: np.round(np.degrees(row), 2).tolist() for name, row in zip(FINGERS, self.offset)},
            "pinch": {name: round(float(value), 5) for name, value in zip(FINGERS, self.pinch)},
            "open": {name: round(float(value), 5) for name, value in zip(FINGERS, self.open)},
        }
        text = yaml.safe_dump(rows, sort_keys=False, default_flow_style=None)
        write_text(path, f"# The range of one operator's fingers: measured bend = gain * truth + offset; metres.\n{text}")

    @classmethod
    def read(cls, path: str | Path) -> OperatorRange:
        """What `write` wrote. Raises InputError."""
        try:
            rows = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            table = {key: [rows[key][name] for name in FINGERS] for key in ("gain", "offset_degrees", "pinch", "open")}
            arrays = {key: np.array(values, np.float64) for key, values in table.items()}
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"the operator's range {path} cannot be read ({words}); calibrate again") from error
        return cls(arrays["gain"], np.radians(arrays["offset_degrees"]), arrays["pinch"], arrays["open"])


def _median(name: str, joints: np.ndarray, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Bends (5, 3) and gaps (5,) of the frames (N, 21, 3) that are finite."""
    joints = np.asarray(joints, np.float64).reshape(-1, 21, 3)
    hands = [measure(frame, side) for frame in joints if np.isfinite(frame).all() and spans_palm(frame)]
    if not hands:
        raise InputError(f"no frame of the {name} shows a {side} hand; record it again")
    return np.median([bends(hand) for hand in hands], axis=0), np.median([hand.gaps for hand in hands], axis=0)
