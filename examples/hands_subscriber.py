"""Prints where each wrist is: a subscriber to `hands`. Run it beside the node, in a workspace or from PyPI.

`HandPair` and `create_subscription` serve both: in a workspace the type is the compiled one, and `from fourdhands_ros.msg
import HandPair` with `node.create_subscription` does the same.
"""

import sys

import rclpy

from fourdhands_ros.process import run_ros, spin
from fourdhands_ros.pypi.message_types import HandPair, create_subscription


def show(pair):
    for name, hand in ("left", pair.left), ("right", pair.right):
        if hand.valid:  # else it is held, its numbers are `age` seconds old, or absent, without numbers
            position = hand.wrist.position
            print(f"{name} wrist at {position.x:+.3f} {position.y:+.3f} {position.z:+.3f} m", flush=True)


def body(stop):
    node = rclpy.create_node("hands_subscriber")
    create_subscription(node, HandPair, "hands", show, 10)
    spin(node, stop)  # of a Ctrl-C while a message is unpacked, rclpy.spin makes a RuntimeError
    return 0


sys.exit(run_ros("hands_subscriber", "hands_subscriber.py", sys.argv, body))
