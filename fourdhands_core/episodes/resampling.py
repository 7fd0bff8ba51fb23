"""From messages at a camera's stamps to rows at a fixed rate, in pieces within which no hand is lost.

A row lies between two messages or on one; it has a hand only where that hand is valid in both, so that nothing is made up for
the time in which it was not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..geometry.rotations import axis_angle_from_quaternion, quaternion_from_axis_angle
from ..hand_model.skeleton import SIDES
from .recording import HandRows, Hands, Recording, Signal, measured_alike

SNAP = 100_000
"""Nanoseconds within which a row takes a message as it is: LeRobot's tolerance of time stamps."""
_GAP = 3.0
"""Where two messages are further apart than this many of their usual periods, some are missing between them."""
USED = 0.3
"""Share of the messages that are taken of a recording in which a hand is valid that takes part in what is shown."""
LONGEST = 600.0
"""Seconds of an episode at most: LeRobot's float32 time stamps keep its tolerance of 1e-4 s for 1,000 s."""

BOTH, LEFT, RIGHT, AUTO = "both", "left", "right", "auto"
GAP, BAG, TOPIC = "gap", "bag", "topic"


@dataclass(frozen=True)
class Cutting:
    """How a recording becomes episodes.

    fps: rows a second. hands: which have to be there: both, left, right, or auto: each that is valid in the share USED of
    the messages that are taken. split: gap: a new episode wherever such a hand is lost or messages are missing; bag: only where
    messages are, with the lost hand masked; topic:/NAME: the same of each part that a topic of Bool or String marks.
    min_valid: of such whole episodes, the share of the messages in which those hands have to be valid. min_seconds: shorter
    ones are left out.
    """

    fps: int = 30
    hands: str = AUTO
    split: str = GAP
    min_valid: float = 0.8
    min_seconds: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 1000:
            raise InputError(f"--fps {self.fps}: give 1 to 1000 rows a second")
        if not 0.0 < self.min_valid <= 1.0:
            raise InputError(f"--min-valid {self.min_valid}: give a share above 0 and up to 1")
        if not 0.0 <= self.min_seconds < LONGEST:
            raise InputError(f"--min-seconds {self.min_seconds}: give 0 to {LONGEST:g}")
        if self.hands not in (BOTH, LEFT, RIGHT, AUTO):
            raise InputError(f"--hands {self.hands}: give {BOTH}, {LEFT}, {RIGHT} or {AUTO}")
        if self.split not in (GAP, BAG) and not self.split.startswith(f"{TOPIC}:/"):
            raise InputError(f"--split {self.split}: give {GAP}, {BAG} or {TOPIC}:/NAME")


@dataclass(frozen=True)
class LeftOut:
    """Time of a recording that is in no episode. start: seconds after the recording's first message."""

    start: float
    seconds: float
    reason: str


@dataclass(eq=False)
class Episode:
    """Rows of one episode, and one more, the last row's future. stamp: (N + 1,) int64 ns of the rows. recorded: the hands that
    the recording has. longest_step: ns, see resample."""

    stamp: np.ndarray
    recorded: HandRows
    longest_step: float

    @property
    def length(self) -> int:
        """Rows, without the future."""
        return len(self.stamp) - 1

    def hands(self, rows: slice) -> tuple[Hands, np.ndarray]:
        """At some of the moments, and the stamp of the message nearest to each. Computed anew at every call."""
        stamp = self.stamp[rows]
        before = max(int(np.searchsorted(self.recorded.stamp, stamp[0])) - 1, 0)
        after = int(np.searchsorted(self.recorded.stamp, stamp[-1])) + 2
        messages = self.recorded.part(slice(max(min(before, len(self.recorded) - 2), 0), after))
        return resample(messages, stamp, self.longest_step)


@dataclass
class Plan:
    """What of a recording is taken. required: the sides that have to be there."""

    episodes: list[Episode] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    required: tuple[int, ...] = ()


def usual_period(stamp: np.ndarray) -> float:
    """Nanoseconds from one message to the next, usually; 0 for fewer than two."""
    return float(np.median(np.diff(stamp))) if len(stamp) > 1 else 0.0


def plan(recording: Recording, cutting: Cutting) -> Plan:
    """Cut a recording into episodes and say what of it is in none."""
    hands = recording.hands
    if len(hands) < 2:
        return Plan(left_out=[LeftOut(0.0, 0.0, "fewer than two HandPairs")])
    start = int(hands.stamp[0])
    marks = [(start, int(hands.stamp[-1]))] if recording.marks is None else sorted(recording.marks)
    taken = np.zeros(len(hands), bool)
    for begin, end in marks:
        taken |= (hands.stamp >= begin) & (hands.stamp <= end)
    valid = hands.valid[taken] if taken.any() else hands.valid
    result = Plan(required=required_sides(valid, cutting))
    if not result.required:
        share = " and ".join(f"the {side} hand in {100 * valid[:, k].mean():.0f} %" for k, side in enumerate(SIDES))
        _leave(result, start, start, int(hands.stamp[-1]), f"{share} of the HandPairs: neither is in use (--hands)")
        return result
    edge, pictured = start, _pictured(recording, cutting.fps)
    for begin, end in marks:
        inside = np.flatnonzero((hands.stamp >= begin) & (hands.stamp <= end))
        if len(inside) < 2:
            continue
        first, last = int(inside[0]), int(inside[-1])
        _leave(result, start, edge, int(hands.stamp[first]), "outside the marked or trimmed part")
        _cut(result, hands, first, last, start, cutting, pictured)
        edge = int(hands.stamp[last])
    _leave(result, start, edge, int(hands.stamp[-1]), "outside the marked or trimmed part")
    result.left_out.sort(key=lambda one: one.start)
    return result


def required_sides(valid: np.ndarray, cutting: Cutting) -> tuple[int, ...]:
    """The sides that have to be there, of (N, 2) validities; none where neither is there often enough."""
    if cutting.hands == AUTO:
        return tuple(side for side in range(2) if valid[:, side].mean() >= USED)
    return {BOTH: (0, 1), LEFT: (0,), RIGHT: (1,)}[cutting.hands]


def _leave(result: Plan, start: int, begin: int, end: int, reason: str) -> None:
    if end > begin:
        result.left_out.append(LeftOut((begin - start) / 1e9, (end - begin) / 1e9, reason))


def _pictured(recording: Recording, fps: int) -> np.ndarray:
    """(N,) bool: whether every camera has an image of about the time of each message."""
    result = np.ones(len(recording.hands), bool)
    for camera in recording.cameras.values():
        away = nearest_images(camera.stamp, recording.hands.stamp)[1]
        result &= away <= 1.5 * max(usual_period(camera.stamp), 1e9 / fps)
    return result


def _cut(result: Plan, hands: HandRows, first: int, last: int, start: int, cutting: Cutting, pictured: np.ndarray) -> None:
    """The episodes of the messages from `first` to `last`. pictured: see _pictured."""
    longest_step = _GAP * usual_period(hands.stamp)
    together = hands.valid[:, list(result.required)].all(axis=1)
    steps = np.diff(hands.stamp[first : last + 1])
    if hands.hidden is not None:
        steps = steps + hands.hidden[first + 1 : last + 1]
    alike = _measured_alike(hands, slice(first, last + 1))[:, list(result.required)].all(axis=1)
    whole = cutting.split != GAP
    if whole:
        share = float(together[first : last + 1].mean())
        if share < cutting.min_valid:
            named = "both hands" if len(result.required) == 2 else f"{SIDES[result.required[0]]} hand"
            words = f"{named} valid in {100 * share:.0f} %, below --min-valid {cutting.min_valid:g}"
            _leave(result, start, int(hands.stamp[first]), int(hands.stamp[last]), words)
            return
        joined = steps <= longest_step
    else:
        joined = (steps <= longest_step) & together[first:last] & together[first + 1 : last + 1]
    joined &= pictured[first:last] & pictured[first + 1 : last + 1] & alike
    at = first
    while at <= last:
        end = at
        while end < last and joined[end - first]:
            end += 1
        if end > at:
            _take(result, hands, at, end, start, cutting)
        if end < last:
            reason = _reason(hands, end, steps[end - first] > longest_step, pictured, result.required)
            _leave(result, start, int(hands.stamp[end]), int(hands.stamp[end + 1]), reason)
        at = end + 1
    result.left_out = _merged(result.left_out)


def _take(result: Plan, hands: HandRows, first: int, last: int, start: int, cutting: Cutting) -> None:
    """The messages from `first` to `last` as an episode, or several where that would be too long."""
    begin, end = int(hands.stamp[first]), int(hands.stamp[last])
    rows = int(((end - begin) + SNAP) * cutting.fps // 1_000_000_000)  # without the future
    if rows < max(1, cutting.min_seconds * cutting.fps - 1):
        least = (
            f"--min-seconds {cutting.min_seconds:g}"
            if cutting.min_seconds * cutting.fps >= 2
            else f"a row of --fps {cutting.fps}"
        )
        _leave(result, start, begin, end, f"shorter than {least} between two losses")
        return
    longest = int(LONGEST * cutting.fps)
    for at in range(0, rows, longest):
        numbers = np.arange(at, min(at + longest, rows) + 1, dtype=np.int64)
        stamp = begin + (numbers * 1_000_000_000 + cutting.fps // 2) // cutting.fps
        result.episodes.append(Episode(stamp, hands, _GAP * usual_period(hands.stamp)))


def _reason(hands: HandRows, index: int, missing: bool, pictured: np.ndarray, required: tuple[int, ...]) -> str:
    """Why the time after a message is in no episode."""
    if missing:
        return "its clock was set back" if hands.hidden is not None and hands.hidden[index + 1] else "no HandPair"
    if not pictured[[index, index + 1]].all():
        return "no image"
    if not _measured_alike(hands, slice(index, index + 2))[:, list(required)].all():
        return "distances are others from here on: the camera's calibration came or went, or the hand's size was changed"
    lost = [SIDES[side] for side in required if not hands.valid[[index, index + 1], side].all()]
    return f"{' and '.join(lost)} hand not seen"


def _measured_alike(hands: HandRows, rows: slice) -> np.ndarray:
    """(n - 1, 2) whether each hand's distances mean the same in a message, or in those before it, and the next."""
    measure = np.zeros((len(hands), 2)) if hands.measure is None else hands.measure
    return np.diff(measure[rows], axis=0) == 0


def _merged(pieces: list[LeftOut]) -> list[LeftOut]:
    """Neighbours of one reason as one."""
    result: list[LeftOut] = []
    for one in sorted(pieces, key=lambda piece: piece.start):
        before = result[-1] if result else None
        if before and before.reason == one.reason and one.start <= before.start + before.seconds + 1e-9:
            result[-1] = LeftOut(before.start, one.start + one.seconds - before.start, one.reason)
        else:
            result.append(one)
    return result


def resample(hands: Hands, stamp: np.ndarray, longest_step: float) -> tuple[Hands, np.ndarray]:
    """Hands at other moments, (N,) int64 ns, and the stamp of the message nearest to each.

    Positions, pixels and shape are interpolated linearly, rotations along the shortest arc. Where a message is within SNAP it
    is taken as it is. A hand is valid where it is so in both messages around, which are at most `longest_step` ns apart, and
    its distances mean the same in both.
    """
    after = np.clip(np.searchsorted(hands.stamp, stamp), 1, len(hands) - 1)
    before = after - 1
    to_before, to_after = stamp - hands.stamp[before], hands.stamp[after] - stamp
    nearest = np.where(to_before <= to_after, before, after)
    exact = np.abs(hands.stamp[nearest] - stamp) <= SNAP
    between = (to_before >= 0) & (to_after >= 0) & (hands.stamp[after] - hands.stamp[before] <= longest_step)
    low, high = np.where(exact, nearest, before), np.where(exact, nearest, after)
    share = np.where(exact, 0.0, to_before / np.maximum(to_before + to_after, 1))
    there = (hands.valid[low] & hands.valid[high]) & (exact | between)[:, None]
    both = np.stack([low, high])
    there &= measured_alike(hands.scaled[both], hands.joints[both], hands.betas[both])
    values = {}
    for name, array in hands.arrays().items():
        one, other = array[low].astype(np.float64), array[high].astype(np.float64)
        part = share.reshape(-1, *[1] * (array.ndim - 1))
        if name == "orientation":
            mixed = _slerp(one, other, part)
        elif name == "hand_pose":
            mixed = _turned(one, other, part)
        else:
            mixed = one + part * (other - one)
        mixed = np.where(part == 0.0, one, mixed)
        values[name] = np.where(there.reshape(*there.shape, *[1] * (array.ndim - 2)), mixed, np.nan)
    confidence = np.where(there, np.minimum(hands.confidence[low], hands.confidence[high]), 0.0)
    scaled = there & hands.scaled[low] & hands.scaled[high]
    return Hands(stamp, there, scaled, confidence, **values), hands.stamp[nearest]


def _slerp(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Between quaternions (..., 4) by the shortest arc."""
    cosine = (one * other).sum(-1, keepdims=True)
    other, cosine = np.where(cosine < 0, -other, other), np.abs(cosine)
    angle = np.arccos(np.clip(cosine, 0.0, 1.0))
    sine = np.sin(angle)
    near = ~(sine > 1e-6)
    first = np.where(near, 1.0 - share, np.sin((1.0 - share) * angle) / np.where(near, 1.0, sine))
    second = np.where(near, share, np.sin(share * angle) / np.where(near, 1.0, sine))
    mixed = first * one + second * other
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def _turned(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Between axis-angles (..., 45) joint by joint, each along the shortest arc."""
    shape = one.shape
    first, second = (quaternion_from_axis_angle(array.reshape(*shape[:-1], 15, 3)) for array in (one, other))
    mixed = _slerp(first, second, share[..., None])
    return axis_angle_from_quaternion(mixed).reshape(shape)


def sample(signal: Signal, stamp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A robot's numbers (N, D) at moments, interpolated, and (N,) whether there were messages around each, or one within
    SNAP."""
    if len(signal.stamp) < 2:
        return np.zeros((len(stamp), len(signal.names))), np.zeros(len(stamp), bool)
    after = np.clip(np.searchsorted(signal.stamp, stamp), 1, len(signal.stamp) - 1)
    before = after - 1
    first, values = int(before[0]), signal.values[int(before[0]) : int(after[-1]) + 1]
    step = signal.stamp[after] - signal.stamp[before]
    share = (stamp - signal.stamp[before]) / step
    longest = _longest(signal)
    around = (step <= longest) & (share >= -longest / step) & (share <= 1.0 + longest / step)
    around |= np.minimum(np.abs(stamp - signal.stamp[before]), np.abs(stamp - signal.stamp[after])) <= SNAP
    share = np.clip(share, 0.0, 1.0)[:, None]
    return values[before - first] + share * (values[after - first] - values[before - first]), around


def silences(signal: Signal, begin: int, end: int) -> list[tuple[float, float]]:
    """Times between two moments, ns, for which nobody tells a robot's joints: seconds after the first, and how long each is."""
    stamp = np.concatenate([[begin], signal.stamp[(signal.stamp > begin) & (signal.stamp < end)], [end]])
    steps = np.diff(stamp)
    long = np.flatnonzero(steps > _longest(signal))
    return [((int(stamp[k]) - begin) / 1e9, int(steps[k]) / 1e9) for k in long.tolist()]


def _longest(signal: Signal) -> float:
    """Nanoseconds from one message to the next, above which the joints are not known between."""
    return max(_GAP * usual_period(signal.stamp), 2 * SNAP)


def nearest_images(image_stamp: np.ndarray, stamp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each moment the nearest image, and how far it is away, ns."""
    after = np.clip(np.searchsorted(image_stamp, stamp), 1, max(len(image_stamp) - 1, 1))
    after = np.minimum(after, len(image_stamp) - 1)
    before = np.maximum(after - 1, 0)
    index = np.where(np.abs(image_stamp[before] - stamp) <= np.abs(image_stamp[after] - stamp), before, after)
    return index, np.abs(image_stamp[index] - stamp)
