"""What is heard of the robot: its joints, where its arm's end is, the frames of /tf."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fourdhands_core.geometry.rotations import matrix_from_quaternion
from fourdhands_core.retargeting.arm import SerialArm
from fourdhands_core.teleop import Command, RobotSample, TeleopSettings
from fourdhands_core.teleop.senses import AHEAD
from fourdhands_core.teleop.turns import angle_between

from ..convert.transforms import KEPT, TransformBuffer, TransformError
from .hand_joints import HandJoints
from .parameters import TeleopParameters

_ELSEWHERE, _TURNED = 0.01, 0.05
"""Metres and radians by which an arm's end that is not led is elsewhere from one message to the next; joints: `_Heard.most`."""
_BENT, _SHARE = 0.02, 0.05
"""Radians or metres likewise of an arm's joints, and of a hand's joints' ranges."""
_BEFORE = 1.0
"""Seconds ahead of the clock from which on a transform is of before the clock went back."""


@dataclass
class _News:
    """Of a part of the robot: when it was `said` last and when that `came`, seconds; wrong: why what came since was refused."""

    said: float = -np.inf
    came: float = -np.inf
    wrong: str = ""

    def old(self, what: str, now: float, stale: float) -> str:
        """Why it does not count as new, in words; else empty. what: that is heard of."""
        if -AHEAD <= now - self.said <= stale:
            return ""
        if self.wrong:
            return self.wrong
        if now - self.came > stale:
            return f"{what} came {now - self.came:.1f} s ago, and has to go on coming"
        off = f"{abs(now - self.said):.1f} s {'old' if now > self.said else 'ahead'}"
        return f"{what} comes with stamps {off}; where the robot's clock is not this computer's, set robot_stamped: false"


@dataclass
class _Heard(_News):
    """Joints that joint_states tells of. joints; of: which robot; most: by how much they are elsewhere; places: where they were
    last; others: names that came while these had not; told: whether a message had any position."""

    joints: HandJoints = field(default_factory=lambda: HandJoints(()))
    of: str = ""
    most: np.ndarray | float = _BENT
    places: np.ndarray = field(default_factory=lambda: np.zeros(0))
    others: set[str] = field(default_factory=set)
    told: bool = False

    def unheard(self, now: float, stale: float) -> str:
        """Why these are not known, in words; else empty."""
        names = ", ".join(self.joints.names)
        if np.isfinite(self.said) or self.wrong:
            return self.old(f"joint_states with {names} of {self.of}", now, stale)
        if not self.others:
            return f"joint_states has not told of {names} of {self.of}"
        what = "gripper_joint names it" if self.joints.is_gripper else "they have to come in one message"
        if not self.told:
            what = "its messages have no positions"
        return f"joint_states has {', '.join(sorted(self.others))}, but no message with {names} of {self.of}; {what}"


class RobotInput:
    """Where the robot is, of all messages that came: `sample`, for one thread; the others are callbacks of another.

    hand, arm: whose joints have to be heard of, None without. seconds: on teleoperation's clock, of nanoseconds of ROS time.
    parameters: as they are now. refused: messages that were none. jumps: of messages that told of it elsewhere than the ones
    before. lost_frame: why `from_frame` knew none, in words.
    """

    def __init__(
        self,
        parameters: TeleopParameters,
        settings: TeleopSettings,
        hand: HandJoints | None,
        arm: SerialArm | None,
        clock: Any,
        seconds: Callable[[int], float],
    ) -> None:
        self.parameters, self._arm, self.clock, self._seconds = parameters, arm, clock, seconds
        self._hand = None
        if hand is not None:
            low, high = (bound[6:] for bound in settings.bounds)
            self._hand = _Heard(joints=hand, of=parameters.robot, most=_SHARE * (high - low), places=np.zeros(settings.joints))
        self._joints = None if arm is None else _Heard(joints=HandJoints(arm.names), of=parameters.arm_model)
        self._pose, self.refused, self.jumps = _News(), 0, 0
        self._robot: tuple[float, np.ndarray, np.ndarray] | None = None
        self._before: tuple[float, np.ndarray] | None = None
        self._posed, self._looked_at, self._speed = False, 0.0, 0.0
        self._placed: np.ndarray | None = None
        box = np.array(settings.workspace)
        self._end = 0.5 * (box[:3] + box[3:]), np.eye(3)  # of an arm that there is not
        self.transforms = TransformBuffer()
        self._looks = threading.Lock()
        self.put_static = functools.partial(self.transforms.put, static=True)
        self.forget_frames = self.transforms.clear
        self.lost_frame = ""

    def put(self, data: bytes) -> None:
        """Of /tf."""
        self.transforms.put(data)
        if self._arm is None and not self._posed and self.parameters.arm != "none":
            self._look_up()  # at each of its messages, as two programs may tell of the arm by turns

    def _now(self) -> float:
        return self._seconds(self.clock.now().nanoseconds)

    def on_joints(self, message: Any) -> None:
        """Of joint_states."""
        places = dict(zip(message.name, message.position))
        for heard in (self._hand, self._joints):
            if heard is None:
                continue
            measured = heard.joints.measured(places)
            if measured is None:
                if np.isinf(heard.said):
                    heard.others.update(message.name)
                    heard.told = heard.told or len(message.position) > 0
                elif {*heard.joints.names} & {*message.name}:
                    lacking = ", ".join(name for name in heard.joints.names if name not in places)
                    heard.wrong = f"joint_states has no position of {lacking} of {heard.of} any more"
            elif np.isfinite(measured).all():
                self.jumps += bool(np.isfinite(heard.said) and (np.abs(measured - heard.places) > heard.most).any())
                heard.places, heard.said, heard.came, heard.wrong = measured, self._said_at(message.header), self._now(), ""
            else:
                self.refused += 1
                wrong = ", ".join(name for name, one in zip(heard.joints.names, measured) if not np.isfinite(one))
                heard.wrong = f"joint_states has no finite number for {wrong} of {heard.of}"

    def on_pose(self, message: Any) -> None:
        """Of ee_pose."""
        if self._arm is not None:
            return
        place, turn, frame = message.pose.position, message.pose.orientation, message.header.frame_id
        quaternion = np.array([turn.x, turn.y, turn.z, turn.w])
        position = np.array([place.x, place.y, place.z])
        base = self.parameters.base_frame
        if frame and frame.lstrip("/") != base.lstrip("/"):  # what is told is told in base_frame, and would lead elsewhere
            self._pose.wrong = f"ee_pose is in {frame}, and base_frame is {base}; the arm's end has to be told in its base"
        elif np.isfinite(position).all() and abs(float(np.linalg.norm(quaternion)) - 1.0) < 0.01:
            self._posed, self._pose.came, self._pose.wrong = True, self._now(), ""
            self._measured(self._said_at(message.header), position, matrix_from_quaternion(quaternion))
            return
        else:
            self._pose.wrong = "ee_pose is no pose: its numbers are not finite, or its quaternion is not of length 1"
        self.refused += 1

    def _said_at(self, header: Any) -> float:
        """When the robot said something: as it is stamped, so that what was long under way is old; where it is not stamped, or
        not to be believed, now."""
        nanoseconds = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        return self._seconds(nanoseconds) if nanoseconds and self.parameters.robot_stamped else self._now()

    def _measured(self, now: float, position: np.ndarray, rotation: np.ndarray) -> None:
        if self._robot is not None and self._arm is None:  # whose joints tell
            _, place, turn = self._robot
            apart = np.linalg.norm(position - place) > _ELSEWHERE or angle_between(rotation, turn) > _TURNED
            self.jumps += bool(apart)
        if self._before is not None and now < self._before[0]:  # the clock went back
            self._before = None
        if self._before is None or now - self._before[0] > 0.05:
            if self._before is not None:
                self._speed = float(np.linalg.norm(position - self._before[1])) / (now - self._before[0])
            self._before = now, position
        self._robot, self._pose.said = (now, position, rotation), now

    def told(self, command: Command) -> None:
        """What the robot was told, which is where an arm is that there is not."""
        self._end = command.position, command.rotation

    def sample(self) -> RobotSample | None:
        """Where the robot is; None where that is not known."""
        hand_at, fingers = (np.inf, np.zeros(0)) if self._hand is None else (self._hand.said, self._hand.places)
        if self.parameters.arm == "none":
            return RobotSample(hand_at, *self._end, fingers, jumps=self.jumps) if np.isfinite(hand_at) else None
        joints = np.zeros(0)
        if self._joints is not None and self._arm is not None:
            if np.isinf(self._joints.said):
                return None
            at, joints = self._joints.said, self._joints.places
            if joints is not self._placed:  # also where another message has the same stamp
                self._placed = joints
                self._measured(at, *self._arm.pose(joints))
        elif not self._posed:
            self._look_up()
        if self._robot is None:
            return None
        at, position, rotation = self._robot
        speed = self._speed if self._now() - at <= self.parameters.robot_stale else 0.0  # how fast it was says nothing
        return RobotSample(min(at, hand_at), position, rotation, fingers, speed, joints, self.jumps)

    def _look_up(self) -> None:
        """Where the arm's end is on /tf, as of its newest transforms."""
        p = self.parameters
        with self._looks, contextlib.suppress(TransformError):
            stamp = self.transforms.newest(p.base_frame, p.end_frame)
            if stamp is None or stamp == self._looked_at:
                return
            if p.robot_stamped and self._seconds(stamp) > self._now() + _BEFORE:
                self.forget_frames()
                return
            pose = self.transforms.lookup(p.base_frame, p.end_frame, stamp)
            self._looked_at, self._pose.came, self._pose.wrong = stamp, self._now(), ""
            self._measured(self._seconds(stamp) if p.robot_stamped else self._now(), pose.position, pose.rotation)

    def from_frame(self, frame: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Rotation and position of a frame in the arm's base, where /tf knows it now."""
        p, now = self.parameters, self.clock.now().nanoseconds
        try:
            pose = self.transforms.lookup(p.base_frame, frame, now, p.robot_stale)
        except TransformError as error:
            self.lost_frame = str(error)
            return None
        self.lost_frame = ""
        return pose.rotation, pose.position

    def from_frame_at(self, frame: str, seconds: float) -> tuple[np.ndarray, np.ndarray] | None:
        """The same at a time, on teleoperation's clock, when an image was taken; None where /tf does not know it."""
        p, now = self.parameters, self.clock.now().nanoseconds
        age = min(max(self._seconds(now) - seconds, 0.0), KEPT)
        with contextlib.suppress(TransformError):
            pose = self.transforms.lookup(p.base_frame, frame, now - round(age * 1e9), p.robot_stale)
            return pose.rotation, pose.position
        return None

    def camera(self, frame: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The pose of the frame of hands now in the one on which the arm's base hangs too; None where /tf does not know it. A
        base that moves moves no camera."""
        p, now = self.parameters, self.clock.now().nanoseconds
        with contextlib.suppress(TransformError):
            stands = self.transforms.above_both(p.base_frame, frame)
            pose = self.transforms.lookup(stands, frame, now, p.robot_stale)
            return pose.rotation, pose.position
        return None

    def unheard(self) -> str:
        """Why it is not known where the robot is, in words; else empty."""
        now, stale = self._now(), self.parameters.robot_stale
        words = [one.unheard(now, stale) for one in (self._joints, self._hand) if one is not None]
        if self._arm is None and self.parameters.arm != "none":
            words.append(self._end_unheard(now, stale))
        return next(filter(None, words), "")

    def told_by(self) -> list[str]:
        """The topics, relative to the node, that tell where the robot is."""
        joints = self._hand is not None or self._joints is not None
        end = [] if self._arm is not None or self.parameters.arm == "none" else ["ee_pose" if self._posed else "/tf"]
        return ["joint_states"] * joints + end

    def _end_unheard(self, now: float, stale: float) -> str:
        p = self.parameters
        if np.isfinite(self._pose.said) or self._pose.wrong:
            return self._pose.old("ee_pose" if self._posed else f"/tf with {p.end_frame} in {p.base_frame}", now, stale)
        try:
            self.transforms.lookup(p.base_frame, p.end_frame, self.clock.now().nanoseconds, np.inf)
            why = "on /tf nothing moves between the two"
        except TransformError as error:
            why = str(error)
        return f"no ee_pose tells where {p.end_frame} is in {p.base_frame}, and {why}"
