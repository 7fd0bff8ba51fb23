"""From HandPair messages to the hand that teleoperation follows, in a thread of its own: retargeting takes milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from fourdhands_core.errors import FourDHandsError
from fourdhands_core.geometry.rotations import matrix_from_quaternion
from fourdhands_core.retargeting import Retargeter
from fourdhands_core.teleop import HandSample

from ..pypi.message_types import deserialize, message_type

HAND_PAIR = "fourdhands_ros/msg/HandPair"


class HandInput:
    """newest: the hand of the newest message, None before the first, and the frame that it is in. problem: why the last message
    was none. fused: whether the last valid hand is of several cameras.

    side: left or right. retargeter: of the robot's hand, None without. seconds_of: a stamp (sec, nanosec) in seconds on the
    clock of the teleoperation. `put` takes serialised messages; those that come while one is worked on are passed over but for
    the last.
    """

    def __init__(self, side: str, retargeter: Retargeter | None, seconds_of: Callable[[int, int], float]) -> None:
        self._side, self._retargeter, self._seconds_of = side, retargeter, seconds_of
        self.newest: tuple[HandSample | None, str] = None, ""
        self.problem, self.refused, self.fused = "", 0, False
        self._previous: np.ndarray | None = None
        self._waiting: bytes | None = None
        self._ready, self._ended = threading.Condition(), False
        self._thread = threading.Thread(target=self._work, name="hand", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Take in a serialised HandPair."""
        with self._ready:
            self._waiting = data
            self._ready.notify()

    def close(self) -> None:
        """End the thread."""
        with self._ready:
            self._ended = True
            self._ready.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._ended or self._waiting is not None)
                if self._ended:
                    return
                data, self._waiting = self._waiting, None
            try:
                self.newest = self._read(deserialize(bytes(data or b""), message_type(HAND_PAIR)))
                self.problem = ""
            except Exception as error:  # a message of another kind, or a hand that is none: it is not followed
                self.refused += 1
                self.problem = str(error) if isinstance(error, FourDHandsError) else f"{type(error).__name__}: {error}"
                self.newest = None, ""

    def _read(self, pair: Any) -> tuple[HandSample, str]:
        hand = getattr(pair, self._side)
        stamp = self._seconds_of(pair.header.stamp.sec, pair.header.stamp.nanosec)
        frame = str(pair.header.frame_id)
        if not hand.valid or len(hand.joints) != 21:
            return HandSample(stamp, np.zeros(3), np.eye(3), None, 0.0, False, bool(hand.scaled)), frame
        self.fused = bool(getattr(pair, f"{self._side}_cameras"))
        turn, place = hand.wrist.orientation, hand.wrist.position
        rotation = matrix_from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w]))
        position = np.array([place.x, place.y, place.z])
        fingers = None
        if self._retargeter is not None:
            joints = np.array([(joint.x, joint.y, joint.z) for joint in hand.joints])
            fingers = self._previous = self._retargeter.solve(joints, self._previous)
        return HandSample(stamp, position, rotation, fingers, float(hand.confidence), True, bool(hand.scaled)), frame
