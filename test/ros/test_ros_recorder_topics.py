"""Which topics are recorded: hands by their type, what is remapped by its node; what rosbag2 is told of them."""

import importlib.util
import os
import re
import signal

import pytest
from rclpy.duration import Duration
from ros_support import FACES, PATIENT, RELIABLE, ended
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from fourdhands_ros.bags.recorded_topics import Selection
from fourdhands_ros.convert.encoders import encode_faces
from fourdhands_ros.pypi.message_types import HandFaces, HandPair, TFMessage


def test_what_is_remapped_is_found(ros):
    """By the type of the hands, and the rest by the node that publishes them and what it takes."""
    node, other, names = ros.node("hands", namespace="/robot"), ros.node("other"), ros.node("finder")
    for kind, topic in (
        (HandPair, "/arm/pose"),
        (HandFaces, "/arm/triangles"),
        (MarkerArray, "/arm/meshes"),
        (Image, "/arm/drawn"),
    ):
        node.create_publisher(kind, topic, 1)
    node.create_publisher(TFMessage, "/robot/tf", 1)
    node.create_subscription(TFMessage, "/robot/tf_static", lambda _: None, 1)
    for kind, topic in ((Image, "/front/rgb"), (CameraInfo, "/front/lens"), (CompressedImage, "/side/rgb/compressed")):
        node.create_subscription(kind, topic, lambda _: None, 1)
    for kind, topic in (
        (MarkerArray, "/walls"),
        (TFMessage, "/other_robot/tf"),
        (Image, "/back/rgb"),
        (CameraInfo, "/back/lens"),
        (Image, "/side/rgb"),
        (CompressedImage, "/front/rgb/compressed"),
    ):
        other.create_publisher(kind, topic, 1)
    every = {"/arm/pose", "/arm/triangles", "/arm/meshes", "/front/lens", "/robot/tf", "/robot/tf_static"}

    def found(**kwargs):
        return {topic for topic in Selection(**kwargs)(names) if not topic.startswith(("/rosout", "/parameter"))}

    assert ros.spin_until(lambda: found() == every), found()
    assert ros.spin_until(lambda: len(names.get_topic_names_and_types()) > 12)
    for asked, expected in (
        ({"markers": False}, every - {"/arm/meshes"}),
        ({"images": "raw"}, every | {"/front/rgb", "/side/rgb"}),
        ({"images": "compressed"}, every | {"/front/rgb/compressed", "/side/rgb/compressed"}),
        ({"names": ["/wal.*"]}, every | {"/walls"}),
    ):
        assert ros.spin_until(lambda: found(**asked) == expected), found(**asked)


ROS2 = """#!/bin/sh
printf '%s\\n' "$@"
"""


def test_handed_over_to_rosbag2(ros, tmp_path, monkeypatch):
    """`ros2 bag record` is given the topics by name, by type, and those that are remapped."""
    ros.node("hands", enable_rosout=False).create_publisher(HandPair, "/arm/pose", 1)
    if importlib.util.find_spec("rosbag2_py") is None:
        missing = ros.process("-m", "fourdhands_ros.recorder", str(tmp_path / "bag"), "--rosbag2")
        assert "which is not installed: apt install" in ended(missing, 2)
    (tmp_path / "ros2").write_text(ROS2)
    (tmp_path / "ros2").chmod(0o755)
    (tmp_path / "rosbag2_py.py").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    arguments = [str(tmp_path / "bag"), "--rosbag2", "--images", "raw", "--topic", "/a b"]
    for _ in range(5):  # on a busy computer the hands may not be found in time; by name and type they are recorded all the same
        given = ended(ros.process("-m", "fourdhands_ros.recorder", *arguments)).splitlines()
        names = re.compile(given[given.index("--regex") + 1])
        if names.search("/arm/pose"):
            break
    assert given[:6] == ["bag", "record", "--storage", "mcap", "--output", str(tmp_path / "bag")]
    for topic in ("/arm/pose", "/hands", "/left/hands/markers", "/tf", "/cam/image_raw", "/a b"):
        assert names.search(topic), topic
    for topic in ("/hands/debug_image", "/my_tf", "/image_raw/compressed", "/a bc"):
        assert not names.search(topic), topic
    assert given[given.index("--topic-types") + 1 :][:2] == ["fourdhands_ros/msg/HandPair", "fourdhands_ros/msg/HandFaces"]


@pytest.mark.parametrize("by", [[], ["--rosbag2"]], ids=["itself", "rosbag2"])
def test_a_bag_is_no_place_for_another_one(ros, tmp_path, by):
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information:\n")
    (tmp_path / "a.mcap").touch()
    refused = ros.process("-m", "fourdhands_ros.recorder", str(tmp_path / "bag"), *by)
    assert "is a bag, into which nothing else is written" in ended(refused, 2)


def test_remapped_hands_are_recorded(ros, tmp_path):
    node = ros.node("hands", enable_rosout=False)
    faces = node.create_publisher(HandFaces, "/arm/triangles", RELIABLE)
    pairs = node.create_publisher(HandPair, "/arm/pose", 1)
    process = ros.process("-m", "fourdhands_ros.bags.recorder", str(tmp_path / "bag"))
    assert ros.spin_until(lambda: faces.get_subscription_count() and pairs.get_subscription_count())
    faces.publish(encode_faces((FACES, FACES)))
    assert faces.wait_for_all_acked(Duration(seconds=PATIENT))
    output = ended(process, by=signal.SIGINT)
    assert "/arm/pose 0" in output and "/arm/triangles 1" in output and "lost" not in output
