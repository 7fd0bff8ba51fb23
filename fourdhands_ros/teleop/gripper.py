"""A gripper that is led by an action: control_msgs' GripperCommand or ParallelGripperCommand."""

from __future__ import annotations

import importlib
import math
import threading
from collections.abc import Callable
from typing import Any

from fourdhands_core.errors import DependencyError
from fourdhands_core.teleop import ENGAGED, HOLD, RAMP, Command

ACTIONS = {"gripper_command": "GripperCommand", "parallel_gripper_command": "ParallelGripperCommand"}
"""By the parameter `hand` the action of control_msgs."""
PERIOD = 0.2
"""Seconds between two goals at least while the gripper follows."""


def action_type(kind: str) -> Any:
    """The action's type. Raises DependencyError where control_msgs is not installed, or is too old to have it."""
    name = ACTIONS[kind]
    try:
        return getattr(importlib.import_module("control_msgs.action"), name)
    except (ImportError, AttributeError) as error:
        raise DependencyError(
            f"parameter hand: {kind} needs the action {name} of control_msgs, which is not installed here and not on PyPI; in "
            "a ROS 2 workspace apt install ros-$ROS_DISTRO-control-msgs, or choose positions or trajectory"
        ) from error


def gripper_goal(kind: str, action: Any, joint: str, position: float, effort: float) -> Any:
    """The goal that brings the joint to a position with at most that effort; 0: of ParallelGripperCommand none is said."""
    goal = action.Goal()
    if kind == "gripper_command":
        goal.command.position, goal.command.max_effort = position, effort
    else:
        goal.command.name, goal.command.position = [joint], [position]
        goal.command.effort = [effort] if effort else []
    return goal


class GripperAction:
    """Goals where the commanded position changed, each of them where the command is by then: five a second at most while the
    gripper follows, and one, at once, where the command has come to rest after a stop.

    Engaging sends none: where the gripper is is where it stays, with the force that it has. What nobody took is said again
    while the gripper follows, and not after a stop, where it would move by itself. client: an ActionClient. goal: of a
    position. least: change that is worth a goal. problem: why the last goal was not taken, in words, or empty.
    """

    def __init__(self, client: Any, goal: Callable[[float], Any], least: float) -> None:
        self._client, self._goal, self._least = client, goal, least
        self._told, self._at, self._engaged, self._lacks = math.nan, -math.inf, False, False
        self.refused, self.problem = 0, ""
        self._lock = threading.RLock()  # answers come in the executor's thread

    def step(self, command: Command, position: float, still: bool, now: float) -> None:
        """A step's command. position: of the gripper's joint. still: the commanded motion rests. now: seconds."""
        with self._lock:
            self._step(command, position, still, now)

    def _step(self, command: Command, position: float, still: bool, now: float) -> None:
        engaged = command.state in (RAMP, ENGAGED, HOLD)
        stopped = self._engaged and not engaged  # of a command that rested before, nothing is published any more
        if engaged and not self._engaged:
            self._told, self._lacks = position, False
        self._engaged = engaged
        if not (command.publish or stopped) or math.isnan(self._told):
            return
        if command.state in (RAMP, ENGAGED):
            due = not 0.0 <= now - self._at < PERIOD and (self._lacks or abs(position - self._told) > self._least)
        else:
            due = still and position != self._told and not self._lacks
        if due:
            self._told, self._at = position, now
            self._send(position)

    def _send(self, position: float) -> None:
        self._lacks = not self._client.server_is_ready()
        if self._lacks:
            self.problem = "nobody offers the gripper's action gripper_cmd; start its controller, or remap gripper_cmd"
            return
        answer = self._client.send_goal_async(self._goal(position))
        answer.add_done_callback(lambda answered: self._on_answer(answered, position))

    def _on_answer(self, answered: Any, position: float) -> None:
        handle = None if answered.exception() is not None else answered.result()
        with self._lock:
            if handle is not None and handle.accepted:
                self.problem = ""
                return
            self.refused, self._lacks = self.refused + 1, self._lacks or position == self._told
            self.problem = f"the gripper's controller refused {self.refused} goals; what it logs tells why"
