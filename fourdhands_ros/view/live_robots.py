"""Robots that follow a hand: what their nodes say on ~/state, and where it is asked for a button that stops them."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, String

from fourdhands_core.view.robots import RobotState, parse_state

from ..node.polling import PolledSubscription
from ..node.quiet import PUBLISHES_QUIETLY
from ..pypi.message_types import deserialize_ros
from .live_camera import Topics

_NAME = "hands_teleop/state"
_KIND = "std_msgs/msg/String"
_SILENT = 2.0
"""Seconds after which what a robot said holds no more."""
_SENT = 1.0
"""Seconds for which a stop is said again and again: a subscription may be found a moment late."""


class LiveRobots:
    """All nodes hands_teleop of whatever namespace. stoppable: with publishers of their ~/estop, which else are not made.

    Nothing else is ever published, and of the stop true alone: who engages and resets is at the robot.
    """

    def __init__(self, node: Node, stoppable: bool) -> None:
        self._node, self._stoppable = node, stoppable
        self._subscriptions: dict[str, PolledSubscription] = {}
        self._stops: dict[str, Any] = {}
        self._said: dict[str, tuple[float, RobotState]] = {}
        self._stop_until = 0.0

    def look(self, topics: Topics) -> None:
        """Subscribe to those that have come up. topics: all that there are."""
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        for name, types in topics:
            if _KIND in types and name.endswith(f"/{_NAME}") and name not in self._subscriptions:
                self._subscriptions[name] = PolledSubscription(self._node, String, name, qos)
                if self._stoppable:
                    topic = name.removesuffix("state") + "estop"
                    self._stops[name] = self._node.create_publisher(Bool, topic, 10, event_callbacks=PUBLISHES_QUIETLY)

    def states(self) -> dict[str, RobotState]:
        """By the name of its node what each robot said last; those that are silent are left out."""
        now = time.monotonic()
        for name, topic in self._subscriptions.items():
            for data, _ in topic.take():
                self._take(name, data, now)
        return {name.removesuffix("/state"): state for name, (when, state) in self._said.items() if now - when < _SILENT}

    def stop(self) -> str:
        """Ask all of them to stop; what was done, in words."""
        if not self._stops:
            return "No robot follows a hand here: there is nothing to stop."
        self._stop_until = time.monotonic() + _SENT
        self.repeat_stop()
        topics = ", ".join(sorted(publisher.topic_name for publisher in list(self._stops.values())))
        return f"Emergency stop sent to {topics}. To go on, publish false there, then call ~/reset."

    def repeat_stop(self) -> None:
        """Say the last stop again, if it was a moment ago."""
        if time.monotonic() < self._stop_until:
            for publisher in list(self._stops.values()):  # of the page's thread or a client's, while more may come up
                publisher.publish(Bool(data=True))

    def close(self) -> None:
        """Let go of all topics."""
        for subscription in self._subscriptions.values():
            subscription.destroy()
        for publisher in self._stops.values():
            self._node.destroy_publisher(publisher)
        self._subscriptions, self._stops, self._said = {}, {}, {}

    def _take(self, name: str, data: bytes, now: float) -> None:
        with contextlib.suppress(Exception):  # rclpy's RMWError has no public name; what does not unpack is no state
            if (state := parse_state(deserialize_ros(data, String).data)) is not None:
                self._said[name] = now, state
