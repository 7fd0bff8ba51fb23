"""From HandPair messages to the hand that teleoperation follows, in a thread of its own: retargeting takes milliseconds."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.geometry.rotations import matrix_from_quaternion
from fourdhands_core.hand_model.skeleton import palm_length
from fourdhands_core.retargeting import Retargeter
from fourdhands_core.retargeting.human import spans_palm
from fourdhands_core.teleop import HandSample

from ..pypi.message_types import deserialize, message_type

HAND_PAIR = "fourdhands_ros/msg/HandPair"
_KEPT = 256
"""Hands of the past."""
_OTHER = {"left": "right", "right": "left"}
_APART, _NEARER = 0.06, 0.5
"""Metres that a hand moved from where it was, and the share of that which it may be from where the other hand was: then it is
the other one."""
_OWN_RECENT, _OTHER_RECENT = 1.0, 0.2
"""Seconds for which it is remembered where this hand and the other one were."""
_BESIDE, _DOUBT = 0.15, 0.5
"""Metres from a hand within which the other one, no longer seen, may hide it or be taken for it, and what its confidence counts
then: in clips of hands that cross it was 5 cm beside its place in every tenth such image, 1 cm in all others."""


class HandInput:
    """newest: the hand of the newest message, None before the first, and the frame that it is in. problem: why the last message
    was none. fused: whether the last valid hand is of several cameras.

    side: left or right. retargeter: of the robot's hand, None without. seconds_of: a stamp (sec, nanosec) in seconds on the
    clock of the teleoperation. `put` takes serialised messages; of those that come while one is worked on all but the last only
    tell where hands were, and were not seen.
    """

    def __init__(self, side: str, retargeter: Retargeter | None, seconds_of: Callable[[int, int], float]) -> None:
        self._side, self._retargeter, self._seconds_of = side, retargeter, seconds_of
        self.newest: tuple[HandSample | None, str] = None, ""
        self.problem, self.refused, self.fused = "", 0, False
        self._previous: np.ndarray | None = None
        self._seen: deque[tuple[float, np.ndarray]] = deque(maxlen=_KEPT)
        self._were: dict[str, tuple[float, np.ndarray]] = {}
        self._exchanges = self._losses = 0
        self._waiting = deque[bytes](maxlen=_KEPT)
        self._ready, self._ended = threading.Condition(), False
        self._thread = threading.Thread(target=self._work, name="hand", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Take in a serialised HandPair."""
        with self._ready:
            self._waiting.append(data)
            self._ready.notify()

    def seen_since(self, stamp: float) -> np.ndarray:
        """(N, 21, 3) joints of the hand in the images since then, seconds of the teleoperation's clock, where a robot's hand is
        led."""
        return np.array([joints for at, joints in list(self._seen) if at >= stamp]).reshape(-1, 21, 3)

    def close(self) -> None:
        """End the thread."""
        with self._ready:
            self._ended = True
            self._ready.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._ended or self._waiting)
                if self._ended:
                    return
                data, last = self._waiting.popleft(), not self._waiting
            try:
                pair = deserialize(bytes(data), message_type(HAND_PAIR))
                if not last:
                    self._look(pair)
                    continue
                self.newest = self.read(pair)
                self.problem = ""
            except Exception as error:  # a message of another kind, or a hand that is none: it is not followed
                self.refused += 1
                self.problem = str(error) if isinstance(error, FourDHandsError) else f"{type(error).__name__}: {error}"
                self.newest = None, ""

    def read(self, pair: Any) -> tuple[HandSample, str]:
        """The hand to be followed in a HandPair, and the frame that it is in."""
        hand = getattr(pair, self._side)
        stamp = self._seconds_of(pair.header.stamp.sec, pair.header.stamp.nanosec)
        frame = str(pair.header.frame_id)
        if not self._look(pair):
            return HandSample(stamp, np.zeros(3), np.eye(3), None, 0.0, False, bool(hand.scaled)), frame
        self.fused = bool(getattr(pair, f"{self._side}_cameras"))
        turn, place = hand.wrist.orientation, hand.wrist.position
        quaternion, position = np.array([turn.x, turn.y, turn.z, turn.w]), np.array([place.x, place.y, place.z])
        joints = np.array([(joint.x, joint.y, joint.z) for joint in hand.joints])
        _check(joints, position, quaternion, float(hand.confidence))
        rotation, fingers = matrix_from_quaternion(quaternion), None
        if self._retargeter is not None:
            if self._seen and stamp < self._seen[-1][0]:  # the clock was set back
                self._seen.clear()
            self._seen.append((stamp, joints))
            fingers = self._previous = self._retargeter.solve(joints, self._previous)
        size = float(palm_length(joints)) if len(hand.betas) else None  # of a model's hand it stays
        confidence = float(hand.confidence) * (_DOUBT if self._hides_other(position, stamp) else 1.0)
        counts = self._exchanges, self._losses
        return HandSample(stamp, position, rotation, fingers, confidence, True, bool(hand.scaled), size, *counts), frame

    def _look(self, pair: Any) -> bool:
        """Whether the hand is seen in a HandPair; where it was not, and where both were found, is remembered."""
        hand = getattr(pair, self._side)
        self._look_for_exchange(pair, self._seconds_of(pair.header.stamp.sec, pair.header.stamp.nanosec))
        seen = bool(hand.valid and len(hand.joints) == 21)
        self._losses += not seen
        return seen

    def _look_for_exchange(self, pair: Any, stamp: float) -> None:
        """Count where this hand is found where the other one just was, or that one where this was, and it is elsewhere."""
        now = {}
        for side in _OTHER:
            if getattr(pair, side).valid:
                place = getattr(pair, side).wrist.position
                now[side] = stamp, np.array([place.x, place.y, place.z])
        own, other = self._were.get(self._side), self._were.get(_OTHER[self._side])
        if self._side in now and own is not None:
            place = now[self._side][1]
            moved = float(np.linalg.norm(place - own[1]))
            besides = []  # how far it is from where the other one was, and that one from where this was, then being that one
            if other is not None and 0.0 < stamp - own[0] <= _OWN_RECENT and 0.0 < stamp - other[0] <= _OTHER_RECENT:
                besides.append(np.linalg.norm(place - other[1]))
            if _OTHER[self._side] in now and 0.0 < stamp - own[0] <= _OTHER_RECENT:
                besides.append(np.linalg.norm(now[_OTHER[self._side]][1] - own[1]))
            self._exchanges += bool(moved > _APART and min(besides, default=np.inf) < _NEARER * moved)
        self._were.update(now)

    def _hides_other(self, position: np.ndarray, stamp: float) -> bool:
        """Whether the other hand was lost beside this one's wrist, (3,), a while ago."""
        since, place = self._were.get(_OTHER[self._side], (stamp, position))
        return 0.0 < stamp - since <= _OWN_RECENT and float(np.linalg.norm(position - place)) < _BESIDE


def _check(joints: np.ndarray, position: np.ndarray, quaternion: np.ndarray, confidence: float) -> None:
    """Raise InputError where a valid hand's numbers, joints (21, 3), the wrist's position (3,) and quaternion (4,), are none of
    a hand's."""
    if not (np.isfinite(joints).all() and np.isfinite(position).all() and np.isfinite(quaternion).all()):
        raise InputError("a hand is called valid, and its joints or its wrist are no finite numbers; look at who publishes it")
    if not spans_palm(joints):
        raise InputError(
            "a hand's wrist and knuckles span no palm in metres; joints have to be in metres, in the order of Hand.msg"
        )
    if not abs(math.hypot(*quaternion.tolist()) - 1.0) < 0.1:
        raise InputError(f"the wrist's orientation {quaternion.tolist()} is no quaternion of length 1; see who publishes it")
    if not 0.0 <= confidence <= 1.001:
        raise InputError(f"a hand's confidence is {confidence:g}, and goes from 0 to 1; look at who publishes it")
