"""A person, a robot and the teleoperation node over DDS, for its tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from rclpy.duration import Duration
from ros_support import PATIENT, REPOSITORY, Ros, make_pair
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import HandPair

try:
    import ruckig
except ModuleNotFoundError:  # a workspace, in which the plugins of launch import the tests, may lack it
    ruckig = None
needs_ruckig = pytest.mark.skipif(ruckig is None, reason="teleoperation needs ruckig (pip install 'fourdhands[robot]')")

START = np.array([0.4, 0.0, 0.4])
AXES = "axes:=[1.0,0.0,0.0,0.0,1.0,0.0,0.0,0.0,1.0]"
SLOW = ("hand_stale:=1.5", "hand_silent:=1.5", "robot_stale:=1.5", "deadman_stale:=1.5", "regain:=1.5")
"""Of a computer on which messages come late."""
FAST = ("need_deadman:=false", "ramp:=0.2", AXES, *SLOW)


class Person:
    """Publishes a hand, a deadman's switch and the robot's own pose, which is what it was last told; hears the commands."""

    def __init__(self, ros, *parameters):
        self.ros, self.node = ros, ros.node("person")
        given = [part for parameter in (*FAST, *parameters) for part in ("-p", parameter)]
        path = str(REPOSITORY), os.environ.get("PYTHONPATH")  # a workspace has ROS there
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fourdhands_ros.teleop.node", "--ros-args", *given],
            cwd=REPOSITORY,
            env={**os.environ, "ROS_DOMAIN_ID": str(ros.domain), "PYTHONPATH": os.pathsep.join(filter(None, path))},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.place, self.hand, self.turn = START.copy(), np.array([0.0, 0.0, 0.5]), (0.0, 0.0, 0.0, 1.0)
        self.told, self.states, self.twists, self.deadman, self.valid = [], [], [], None, True
        self._clients = {}
        self.follows, self.reports, self.delay = True, True, 0.0
        self._encoder = HandPairEncoder("landmark", "generic")
        self._hands = self.node.create_publisher(HandPair, "hands", 10)
        self._pose = self.node.create_publisher(PoseStamped, "ee_pose", 10)
        self._deadman = self.node.create_publisher(Bool, "/hands_teleop/deadman", 10)
        self.estop = self.node.create_publisher(Bool, "/hands_teleop/estop", 10)
        self.node.create_subscription(PoseStamped, "target_frame", self._on_target, 100)
        self.node.create_subscription(TwistStamped, "delta_twist_cmds", self.twists.append, 100)
        self.node.create_subscription(String, "/hands_teleop/state", lambda m: self.states.append(json.loads(m.data)), 100)
        self.node.create_timer(1 / 60, self._publish)

    def _on_target(self, message):
        place = message.pose.position
        self.told.append(
            (message.header.stamp.sec * 10**9 + message.header.stamp.nanosec, np.array([place.x, place.y, place.z]))
        )
        if self.follows:
            self.place = self.told[-1][1]

    def _publish(self):
        now = self.node.get_clock().now()
        if self.hand is not None:
            pair = make_pair(now.nanoseconds - 20_000_000)
            right = replace(
                pair.right, valid=self.valid, joints=pair.right.joints - pair.right.joints[0] + self.hand,
                wrist_rotation=np.eye(3), confidence=0.9,
            )  # fmt: skip
            self._hands.publish(self._encoder.encode(replace(pair, right=right), "camera", {"total": 0.01}))
        if self.reports:
            pose = PoseStamped()
            pose.header.stamp = (now - Duration(seconds=self.delay)).to_msg()
            pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = self.place.tolist()
            self._pose.publish(pose)
        if self.deadman is not None:
            self._deadman.publish(Bool(data=self.deadman))

    def state(self):
        return self.states[-1]["state"] if self.states else None

    def until(self, condition):
        assert self.ros.spin_until(condition, PATIENT), (self.states[-1:], self.place)

    def call(self, name):
        if name not in self._clients:
            self._clients[name] = self.node.create_client(Trigger, f"/hands_teleop/{name}")
        return self.ros.ask(self._clients[name], Trigger.Request())

    def engage(self):
        self.following_until(lambda: True)

    def following_until(self, condition):
        """Wait until a condition holds while the robot follows: where a loaded machine lets a sample grow old it stops, and is
        engaged again."""

        def holds():
            if self.state() == "READY":
                self.call("engage")
            return self.state() in ("RAMP", "ENGAGED") and condition()

        self.until(holds)

    def move(self, step, until):
        """Move the hand by step (3,) at 60 Hz until a condition holds, and the robot follows."""
        timer = self.node.create_timer(1 / 60, lambda: setattr(self, "hand", self.hand + step))
        self.following_until(until)
        self.node.destroy_timer(timer)

    def stands(self):
        """Wait until the node says that nothing moves any more, and all that it told before has come."""
        self.until(lambda: self.states and not self.states[-1]["moving"])
        count = len(self.states)
        self.until(lambda: len(self.states) > count + 3)
        self.ros.catch_up(self.node)

    def close(self):
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=PATIENT)
        assert self.process.returncode == 0 and "Traceback" not in said, said
        assert "No messages will be received" not in said, said  # of an emergency stop that is not latched


@contextlib.contextmanager
def stepped(*parameters):
    """The node in this process, active, whose callbacks and steps (`_step`) a test calls one by one: it takes none itself."""
    from fourdhands_ros.teleop.node import TeleopNode

    with contextlib.closing(Ros()) as ros:
        node = TeleopNode(context=ros.context, parameter_overrides=[*parameters])
        node.trigger_configure()
        node.trigger_activate()
        node.stream.close()
        yield node
        node.destroy_node()


@contextlib.contextmanager
def people():
    """A function that makes a Person, of given parameters of the node; no node is left at the end."""
    ros, made = Ros(), []

    def make(*parameters):
        made.append(Person(ros, *parameters))
        return made[-1]

    yield make
    for one in made:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
    ros.close()
