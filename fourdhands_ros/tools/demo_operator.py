"""The operator of `make demo-teleop`: holds the deadman's switch, engages when it is ready, and keeps what everybody says."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from ..convert.cdr import stamp_in
from .demo_clock import DemoClock

SETTLED = 1.0
"""Seconds for which teleoperation is ready before the operator engages: the track of a new hand settles meanwhile."""


class Operator:
    """This process's node: the deadman's switch, engaging, and what everybody says meanwhile.

    period: seconds between two images of a file, by which the demo's time goes on; None of a live camera, in the time of the
    wall.
    """

    def __init__(self, node: Any, period: float | None) -> None:
        from geometry_msgs.msg import PoseArray, PoseStamped
        from rclpy.qos import qos_profile_sensor_data
        from rosgraph_msgs.msg import Clock
        from sensor_msgs.msg import CameraInfo, Image
        from std_msgs.msg import Bool, String
        from std_srvs.srv import Trigger

        from ..pypi.message_types import HandPair

        self.node = node
        self.simulated = period is not None
        ticks = node.create_publisher(Clock, "/clock", 10) if self.simulated else None
        self.clock = DemoClock(lambda now: ticks.publish(_tick(Clock(), now)), time.time_ns(), round((period or 0.0) * 1e9))
        node.create_subscription(CameraInfo, "camera_info", lambda m: self.clock.image(_stamp(m.header)), 10)
        self.states: list[tuple[float, dict]] = []
        self.targets: list[tuple[float, np.ndarray]] = []
        self.places: list[tuple[float, np.ndarray]] = []
        self.cubes: list[tuple[float, np.ndarray]] = []
        self.pictures: list[tuple[float, np.ndarray]] = []
        self.answers: list[float] = []
        self._ready_since: float | None = None
        self.engaged = 0
        self._trigger = Trigger
        deadman = node.create_publisher(Bool, "robot/hands_teleop/deadman", 10)
        self._engage = node.create_client(Trigger, "robot/hands_teleop/engage")
        node.create_timer(0.05, lambda: deadman.publish(Bool(data=True)))
        node.create_subscription(String, "robot/hands_teleop/state", self._on_state, 10)
        node.create_subscription(PoseStamped, "robot/target_frame", self._on_target, 10)
        node.create_subscription(PoseStamped, "robot/ee_pose", self._on_place, qos_profile_sensor_data)
        node.create_subscription(PoseArray, "robot/cubes", self._on_cubes, 10)
        node.create_subscription(Image, "robot/camera/image_raw", self._on_picture, 2)
        node.create_subscription(HandPair, "hands", self._on_hands, 10, raw=True)

    def now(self) -> float:
        """Seconds."""
        return self.clock.now * 1e-9 if self.simulated else time.monotonic()

    def spin(self, executor: Any) -> None:
        """Hear of something, for a moment, and let time go on."""
        executor.spin_once(timeout_sec=0.002 if self.simulated else 0.05)
        if self.simulated:
            self.clock.go_on(time.monotonic())

    def _on_target(self, message: Any) -> None:
        self.targets.append(self._placed(message.pose))
        self.clock.command = _stamp(message.header)

    def _on_place(self, message: Any) -> None:
        self.places.append(self._placed(message.pose))
        self.clock.robot = _stamp(message.header)

    def _on_hands(self, data: bytes) -> None:
        self.answers.append(self.now())
        self.clock.answer = max(self.clock.answer, stamp_in(data) or 0)

    def _on_state(self, message: Any) -> None:
        said = json.loads(message.data)
        now = self.now()
        self.states.append((now, said))
        self.clock.following = said["state"] in ("RAMP", "ENGAGED", "HOLD")
        if said["state"] != "READY":
            self._ready_since = None
            return
        self._ready_since = self._ready_since or now
        if now - self._ready_since > SETTLED:
            self.engaged += 1
            self._ready_since = None
            self._engage.call_async(self._trigger.Request())

    def _on_cubes(self, message: Any) -> None:
        if message.poses:
            self.cubes.append(self._placed(message.poses[0]))

    def _on_picture(self, message: Any) -> None:
        picture = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        self.pictures.append((self.now(), picture.copy()))

    @property
    def complete(self) -> bool:
        """Whether everybody has been heard of, and hears the camera."""
        heard = self.states and self.places and self.pictures and self.node.count_publishers("hands")
        return bool(heard) and self.node.count_subscribers("camera_info") > 1

    def _placed(self, pose: Any) -> tuple[float, np.ndarray]:
        return self.now(), np.array([pose.position.x, pose.position.y, pose.position.z])


def _stamp(header: Any) -> int:
    return int(header.stamp.sec * 10**9 + header.stamp.nanosec)


def _tick(message: Any, now: int) -> Any:
    message.clock.sec, message.clock.nanosec = divmod(now, 10**9)
    return message
