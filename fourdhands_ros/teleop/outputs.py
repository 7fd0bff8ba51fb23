"""What the robot is told, as its controllers take it: messages for the arm, messages or an action's goals for its hand."""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Float64MultiArray

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rotations import quaternion_from_matrix
from fourdhands_core.teleop import Command

from ..convert.cdr import Template
from ..convert.encoders import split_stamp
from ..lifecycle import open_publisher
from ..pypi.message_types import message_type
from .gripper import ACTIONS, GripperAction, action_type, gripper_goal
from .hand_joints import HandJoints
from .parameters import TeleopParameters

JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"


def pose_message(command: Command, stamp: Any, frame: str) -> PoseStamped:
    """Where the arm's end is to be, in its base."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp, frame
    place, turn = message.pose.position, message.pose.orientation
    place.x, place.y, place.z = command.position.tolist()
    turn.x, turn.y, turn.z, turn.w = quaternion_from_matrix(command.rotation).tolist()
    return message


def twist_message(command: Command, stamp: Any, frame: str) -> TwistStamped:
    """How fast it is to move, in its base."""
    message = TwistStamped()
    message.header.stamp, message.header.frame_id = stamp, frame
    linear, angular = message.twist.linear, message.twist.angular
    linear.x, linear.y, linear.z = command.linear.tolist()
    angular.x, angular.y, angular.z = command.angular.tolist()
    return message


ARMS = {"pose": (PoseStamped, "target_frame", pose_message), "twist": (TwistStamped, "delta_twist_cmds", twist_message)}
"""By the parameter `arm`: type, topic, and the message of a command, a stamp and the base's frame."""


def trajectory_template(names: Sequence[str], seconds: float) -> Template:
    """A serialised JointTrajectory of one point with the slot `positions`, to be reached `seconds` after it comes.

    It has no stamp, with which joint_trajectory_controller begins at once, whatever the robot's clock says; and no velocity,
    which at a trajectory's end it refuses by default.
    """
    template = Template()
    template.constant("i4", 0)
    template.constant("u4", 0)
    template.string("")  # frame_id
    template.constant("u4", len(names))
    for name in names:
        template.string(name)
    template.constant("u4", 1)  # points
    template.sequence("positions", "f8", len(names))
    for _ in ("velocities", "accelerations", "effort"):
        template.constant("u4", 0)
    whole, rest = split_stamp(round(seconds * 1e9))
    template.constant("i4", whole)
    template.constant("u4", rest)
    return template.finish()


class ExecutorsClient:
    """An ActionClient for goals out of another thread: sent there, an answer may come before rclpy knows of the question."""

    def __init__(self, node: Any, client: Any) -> None:
        self._node, self._client = node, client
        self._goals = deque[tuple[Any, Future]]()
        self._wakes = node.create_guard_condition(self._send)

    def server_is_ready(self) -> bool:
        """Whether somebody offers the action."""
        return bool(self._client.server_is_ready())

    def send_goal_async(self, goal: Any) -> Future:
        """The answer to come, a ClientGoalHandle."""
        answered = Future()
        self._goals.append((goal, answered))
        self._wakes.trigger()
        return answered

    def _send(self) -> None:
        while self._goals:
            goal, answered = self._goals.popleft()
            self._client.send_goal_async(goal).add_done_callback(functools.partial(_pass_on, answered))

    def destroy(self) -> None:
        """Destroy the client too."""
        self._node.destroy_guard_condition(self._wakes)
        self._client.destroy()


def _pass_on(answered: Future, answer: Any) -> None:
    if answer.exception() is not None:
        answered.set_exception(answer.exception())
    else:
        answered.set_result(answer.result())


class _JointsOut:
    """Joints' positions on a topic, for joint_trajectory_controller, or else forward_command_controller."""

    def __init__(
        self, made: Callable[[Any, str], Any], kind: str, topics: tuple[str, str], names: Sequence[str], seconds: float
    ):
        self._trajectory = trajectory_template(names, seconds) if kind == "trajectory" else None
        self.publisher = made(
            *((Float64MultiArray, topics[0]) if kind == "positions" else (message_type(JOINT_TRAJECTORY), topics[1]))
        )

    def send(self, positions: np.ndarray) -> None:
        """Publish them (n,)."""
        if self._trajectory is not None:
            self.publisher.publish(self._trajectory.fill(positions=positions))
        else:
            self.publisher.publish(Float64MultiArray(data=positions.tolist()))


class Outputs:
    """Publishers, or an action's client, of the commands.

    joints: the hand's, None without one; arm: names of those of an arm that is told joints; `made` gets what undoes it. topics:
    those on which nobody else may command. Raises InputError where the parameters do not suit the robot's hand, DependencyError
    where its message types are not there.
    """

    def __init__(
        self,
        node: Node,
        parameters: TeleopParameters,
        joints: HandJoints | None,
        arm: Sequence[str],
        made: contextlib.ExitStack,
    ) -> None:
        self._parameters, self._joints = parameters, joints
        self._arm = self._arm_joints = self._hand = self._gripper = None
        publisher = functools.partial(open_publisher, node, made)
        p, seconds = parameters, parameters.trajectory_time
        if p.arm in ARMS:
            self._arm = publisher(*ARMS[p.arm][:2])
        elif p.arm != "none":
            self._arm_joints = _JointsOut(publisher, p.arm, ("arm_commands", "arm_trajectory"), arm, seconds)
        if joints is not None and p.hand in ACTIONS:
            self._gripper = self._action(node, joints, made)
        elif joints is not None and p.hand != "none":
            self._hand = _JointsOut(publisher, p.hand, ("commands", "joint_trajectory"), joints.names, seconds)
        told = [self._arm, *(one.publisher for one in (self._arm_joints, self._hand) if one is not None)]
        self.topics: list[str] = [one.topic_name for one in told if one is not None]

    def _action(self, node: Node, joints: HandJoints, made: contextlib.ExitStack) -> GripperAction:
        from rclpy.action import ActionClient

        kind, effort = self._parameters.hand, self._parameters.gripper_effort
        if not joints.is_gripper:
            raise InputError(
                f"parameter hand: {kind} is for a gripper, and {self._parameters.robot} has {len(joints.names)} joints; choose "
                "positions or trajectory"
            )
        action = action_type(kind)
        client = ExecutorsClient(node, ActionClient(node, action, "gripper_cmd"))
        made.callback(client.destroy)
        return GripperAction(client, lambda at: gripper_goal(kind, action, joints.names[0], at, effort), joints.least_change)

    @property
    def problem(self) -> str:
        """What is wrong with an output, in words; empty where nothing is known."""
        return "" if self._gripper is None else self._gripper.problem

    def send(self, command: Command, stamp: Any, still: bool, steady: float) -> None:
        """Tell the robot a step's command.

        stamp: now, not the image's: controllers stop at old commands. still: the commanded motion rests. steady: seconds of the
        steps' clock, which goes back where a simulation begins anew.
        """
        told = None if self._joints is None else self._joints.told(command.fingers)
        if self._gripper is not None and told is not None:
            self._gripper.step(command, float(told[0]), still, steady)
        if not command.publish:
            return
        if self._arm is not None:
            self._arm.publish(ARMS[self._parameters.arm][2](command, stamp, self._parameters.base_frame))
        if self._arm_joints is not None and command.joints is not None:
            self._arm_joints.send(command.joints)
        if self._hand is not None and told is not None:
            self._hand.send(told)
