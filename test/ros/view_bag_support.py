"""Bags for tests of the page: two cameras that see the same hands, /tf, depth, and a robot that follows."""

from __future__ import annotations

import array
import json
from dataclasses import replace

import numpy as np
from bag_support import TYPES, image_entry
from rclpy.serialization import serialize_message
from ros_support import PERIOD, T0, stamp_to
from sensor_msgs.msg import Image
from std_msgs.msg import String
from test_ros_transforms import message as tf_message
from view_support import moving

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.view.posing import moved
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import typestore
from fourdhands_ros.tools.camera import camera_info

CAMERA = Camera.from_fov(64, 48, 60.0, calibrated=True)
SECOND = Rigid(matrix_from_axis_angle(np.array([0.0, -0.4, 0.0])), np.array([0.25, 0.02, 0.03]))
"""Where the second camera stands in the first one's optical frame."""
BASE = Rigid(matrix_from_axis_angle(np.array([np.pi / 2, 0.0, 0.0])), np.array([0.0, 0.4, 0.8]))
"""Where the robot's base stands there."""
PLANE = 0.9
"""Metres at which the depth camera sees a wall."""
KINDS = {
    **{f"/{name}/hands": "fourdhands_ros/msg/HandPair" for name in ("left", "right")},
    **{f"/{name}/image_raw": TYPES["image_raw"] for name in ("left", "right")},
    **{f"/{name}/camera_info": TYPES["camera_info"] for name in ("left", "right")},
    "/left/depth/image_raw": TYPES["image_raw"],
    "/hands_teleop/state": "std_msgs/msg/String",
    "/tf": "tf2_msgs/msg/TFMessage",
    "/tf_static": "tf2_msgs/msg/TFMessage",
}


def transform_message(parent: str, child: str, pose: Rigid, stamp: int = 0) -> bytes:
    """A serialised TFMessage of one frame in another."""
    return tf_message((parent, child, pose, stamp))


def depth_message(stamp: int, frame: str) -> bytes:
    """A wall at PLANE, and a hole in its upper left corner."""
    depth = np.full((48, 64), round(1000 * PLANE), np.uint16)
    depth[:8, :8] = 0
    message = Image(width=64, height=48, encoding="16UC1", step=128, data=array.array("B", depth.tobytes()))
    message.header.frame_id = frame
    stamp_to(message, stamp)
    return serialize_message(message)


def state_text(x: float = 0.4, state: str = "ENGAGED", robot: str = "gripper", **more) -> str:
    """What hands_teleop says: the arm's end at x, told to be 5 cm further."""

    def posed(x):
        return {"position": [x, 0.0, 0.3], "quaternion": [1.0, 0.0, 0.0, 0.0], "fingers": [0.04]}

    said = {
        "state": state,
        "moving": True,
        "reasons": [],
        "stopped_by": [],
        "limits": ["speed"],
        "age": 0.05,
        "refused_messages": 0,
        "problem": "",
        "side": "right",
        "robot": robot,
        "base_frame": "base_link",
        "axes": [0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0],
        "workspace": [0.2, -0.3, 0.05, 0.7, 0.3, 0.6],
        "keep_out": [0.5, 0.2, 0.1, 0.08],
        "measured": posed(x),
        "commanded": posed(x + 0.05),
    }
    return json.dumps({**said, **more})


def two_cameras(count: int = 30, picture=lambda i: np.full((48, 64, 3), 60 + i, np.uint8), lost=range(0)) -> list[tuple]:
    """The entries of a bag with KINDS; the second camera is a moving frame, the robot's base a static one."""
    encoder, entries = HandPairEncoder("landmark", "generic"), []
    entries.append(("/tf_static", T0, transform_message("left_optical", "base_link", BASE)))
    for i, pair in enumerate(moving(count, lost, CAMERA)):
        stamp = T0 + i * PERIOD
        info = camera_info(64, 48, CAMERA, "")
        for name, seen in (("left", pair), ("right", moved(pair, SECOND.inverse()))):
            info.header.frame_id = f"{name}_optical"
            stamp_to(info, stamp)
            hands = [
                hand if hand.joints is None else replace(hand, joints_2d=CAMERA.project(hand.joints)) for hand in seen.hands
            ]
            seen = replace(seen, stamp=stamp, left=hands[0], right=hands[1])
            entries.append(image_entry(f"/{name}/image_raw", stamp, picture(i), f"{name}_optical"))
            entries.append((f"/{name}/camera_info", stamp + 1_000_000, serialize_message(info)))
            data = encoder.encode(seen, f"{name}_optical", {"detect": 0.01, "total": 0.03}, (i + 1, 0, 0))
            entries.append((f"/{name}/hands", stamp + 60_000_000, data))
        entries.append(("/left/depth/image_raw", stamp + 3_000_000, depth_message(stamp, "left_optical")))
        entries.append(("/tf", stamp + 1_000_000, transform_message("left_optical", "right_optical", SECOND, stamp)))
        said = serialize_message(String(data=state_text(0.4 + 0.002 * i)))
        entries.append(("/hands_teleop/state", stamp + 61_000_000, said))
    assert all(kind in typestore().types for kind in KINDS.values())
    return sorted(entries, key=lambda entry: entry[1])
