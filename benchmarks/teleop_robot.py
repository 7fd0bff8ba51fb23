"""A stand-in for a robot in benchmarks/teleop.py, which is at once where it is told to be.

Its arguments are the names of its hand's joints.
"""

from __future__ import annotations

import sys

import rclpy
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

START = 0.4, 0.0, 0.4
"""Metres in its base, where the robot's end is at first."""


def robot(names: list[str]) -> None:
    """The stand-in's process: says a hundred times a second that it is where it was last told to be."""
    rclpy.init()
    node = rclpy.create_node("robot")
    poses = node.create_publisher(PoseStamped, "ee_pose", 10)
    joints = node.create_publisher(JointState, "joint_states", 10)
    pose, state = PoseStamped(), JointState(name=names, position=[0.04] * len(names))
    pose.header.frame_id, pose.pose.orientation.w = "base_link", 1.0
    pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = START

    def say() -> None:
        pose.header.stamp = state.header.stamp = node.get_clock().now().to_msg()
        poses.publish(pose)
        joints.publish(state)

    node.create_subscription(PoseStamped, "target_frame", lambda m: setattr(pose, "pose", m.pose), 10)
    node.create_subscription(Float64MultiArray, "commands", lambda m: setattr(state, "position", m.data), 10)
    node.create_timer(0.01, say)
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    robot(sys.argv[1:])
