"""What is heard of the robot: its joints, where its arm's end is, the frames of /tf."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fourdhands_core.geometry.rotations import matrix_from_quaternion
from fourdhands_core.retargeting.arm import SerialArm
from fourdhands_core.teleop import Command, RobotSample, TeleopSettings

from ..convert.transforms import TransformBuffer, TransformError
from .hand_joints import HandJoints
from .parameters import TeleopParameters


@dataclass
class _Heard:
    """Joints that joint_states tells of: of which robot; when, seconds, and where they were last; the names of others that came
    while these had not."""

    joints: HandJoints
    of: str
    at: float = -np.inf
    places: np.ndarray = field(default_factory=lambda: np.zeros(0))
    others: set[str] = field(default_factory=set)

    def unheard(self, now: float, stale: float) -> str:
        """Why these are not known, in words; else empty."""
        names = ", ".join(self.joints.names)
        if np.isfinite(self.at):
            old = f"joint_states told of {names} of {self.of} {now - self.at:.1f} s ago; its controller has to publish them"
            return old if now - self.at > stale else ""
        if not self.others:
            return f"joint_states has not told of {names} of {self.of}"
        what = "gripper_joint names it" if self.joints.is_gripper else "they have to come in one message"
        return f"joint_states has {', '.join(sorted(self.others))}, but no message with {names} of {self.of}; {what}"


class RobotInput:
    """Where the robot is, of all messages that came: `sample`, for one thread; the others are callbacks of another.

    hand, arm: whose joints have to be heard of, None without. seconds: on teleoperation's clock, of nanoseconds of ROS time.
    parameters: as they are now.
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
        self.parameters, self._arm, self._clock, self._seconds = parameters, arm, clock, seconds
        self._hand = None if hand is None else _Heard(hand, parameters.robot, places=np.zeros(settings.joints))
        self._joints = None if arm is None else _Heard(HandJoints(arm.names), parameters.arm_model)
        self._robot: tuple[float, np.ndarray, np.ndarray] | None = None
        self._before: tuple[float, np.ndarray] | None = None
        self._posed, self._looked_at, self._speed = False, 0.0, 0.0
        box = np.array(settings.workspace)
        self._end = 0.5 * (box[:3] + box[3:]), np.eye(3)  # of an arm that there is not
        self._transforms = TransformBuffer()
        self.put = self._transforms.put
        self.put_static = functools.partial(self._transforms.put, static=True)
        self.forget_frames = self._transforms.clear

    def _now(self) -> float:
        return self._seconds(self._clock.now().nanoseconds)

    def on_joints(self, message: Any) -> None:
        """Of joint_states."""
        places = dict(zip(message.name, message.position))
        for heard in (self._hand, self._joints):
            if heard is None:
                continue
            measured = heard.joints.measured(places)
            if measured is not None:
                heard.places, heard.at = measured, self._said_at(message.header)
            elif np.isinf(heard.at):
                heard.others.update(message.name)

    def on_pose(self, message: Any) -> None:
        """Of ee_pose."""
        place, turn = message.pose.position, message.pose.orientation
        quaternion = np.array([turn.x, turn.y, turn.z, turn.w])
        position = np.array([place.x, place.y, place.z])
        if np.isfinite(position).all() and abs(float(np.linalg.norm(quaternion)) - 1.0) < 0.01 and self._arm is None:
            self._posed = True
            self._measured(self._said_at(message.header), position, matrix_from_quaternion(quaternion))

    def _said_at(self, header: Any) -> float:
        """When the robot said something: as it is stamped, so that what was long under way is old; where it is not stamped, or
        not to be believed, now."""
        nanoseconds = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        return self._seconds(nanoseconds) if nanoseconds and self.parameters.robot_stamped else self._now()

    def _measured(self, now: float, position: np.ndarray, rotation: np.ndarray) -> None:
        if self._before is not None and now < self._before[0]:  # the clock went back
            self._before = None
        if self._before is None or now - self._before[0] > 0.05:
            if self._before is not None:
                self._speed = float(np.linalg.norm(position - self._before[1])) / (now - self._before[0])
            self._before = now, position
        self._robot = now, position, rotation

    def told(self, command: Command) -> None:
        """What the robot was told, which is where an arm is that there is not."""
        self._end = command.position, command.rotation

    def sample(self) -> RobotSample | None:
        """Where the robot is; None where that is not known."""
        hand_at, fingers = (np.inf, np.zeros(0)) if self._hand is None else (self._hand.at, self._hand.places)
        if self.parameters.arm == "none":
            return RobotSample(hand_at, *self._end, fingers) if np.isfinite(hand_at) else None
        joints = np.zeros(0)
        if self._joints is not None and self._arm is not None:
            if np.isinf(self._joints.at):
                return None
            at, joints = self._joints.at, self._joints.places
            if at != self._looked_at and np.isfinite(joints).all():
                self._looked_at = at
                self._measured(at, *self._arm.pose(joints))
        elif not self._posed:
            self._look_up()
        if self._robot is None:
            return None
        at, position, rotation = self._robot
        return RobotSample(min(at, hand_at), position, rotation, fingers, self._speed, joints)

    def _look_up(self) -> None:
        """Where the arm's end is on /tf, as of its newest transforms."""
        p = self.parameters
        stamp = self._transforms.newest(p.base_frame, p.end_frame)
        if stamp is None or stamp == self._looked_at:
            return
        with contextlib.suppress(TransformError):
            pose = self._transforms.lookup(p.base_frame, p.end_frame, stamp)
            self._looked_at = stamp
            self._measured(self._seconds(stamp) if p.robot_stamped else self._now(), pose.position, pose.rotation)

    def from_frame(self, frame: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Rotation and position of a frame in the arm's base, where /tf knows it."""
        with contextlib.suppress(TransformError):
            pose = self._transforms.lookup(self.parameters.base_frame, frame, self._clock.now().nanoseconds, 1.0)
            return pose.rotation, pose.position
        return None

    def unheard(self) -> str:
        """Why joint_states does not tell where the robot's joints are, in words; else empty."""
        now, stale = self._now(), self.parameters.robot_stale
        return next((words for one in (self._joints, self._hand) if one is not None and (words := one.unheard(now, stale))), "")
