"""The player as a process: every message of a bag over DDS as it was recorded, in order, at its pace."""

import itertools
import json
import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="playing needs ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import TYPES, image_entry, write_bag
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import FACES, RELIABLE, T0, Ros, make_pair
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from fourdhands_core.media.video import VideoWriter
from fourdhands_ros.convert.encoders import HandPairEncoder, encode_faces
from fourdhands_ros.pypi.message_types import HandFaces, HandPair

STEP = 50_000_000


@pytest.fixture
def ros():
    made = Ros()
    yield made
    made.close()


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """20 images and hands, 50 ms apart, and the meshes' faces."""
    entries = [("/cam/hands/faces", T0 - STEP, encode_faces((FACES, FACES)))]
    pairs = HandPairEncoder()
    for k in range(20):
        image = np.full((4, 6, 3), k, np.uint8)
        entries.append(("/cam/image_raw", *image_entry("/cam/image_raw", T0 + k * STEP, image, "camera")[1:]))
        entries.append(("/cam/hands", T0 + k * STEP + 3_000_000, pairs.encode(make_pair(T0 + k * STEP), "camera", {})))
    types = {
        "/cam/image_raw": TYPES["image_raw"],
        "/cam/hands": "fourdhands_ros/msg/HandPair",
        "/cam/hands/faces": "fourdhands_ros/msg/HandFaces",
    }
    return write_bag(tmp_path_factory.mktemp("bags") / "bag", entries, types), entries


def play(ros, path, *arguments, topics, wanted):
    """Bytes by topic that a process plays, and the times at which they came, until there are `wanted` of all."""
    heard, times = {name: [] for name in topics}, []
    node = ros.node()
    for name, (kind, qos) in topics.items():

        def keep(data, name=name):
            heard[name].append(bytes(data))
            times.append(time.monotonic())

        node.create_subscription(kind, name, keep, qos, raw=True)
    process = ros.process("-m", "fourdhands_ros.bags.player", str(path), *arguments)
    ros.spin_until(lambda: len(times) >= wanted or process.poll() is not None, 30.0)
    ros.spin_until(lambda: process.poll() is not None, 10.0)
    return heard, times, process


LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_everything_comes_back_byte_for_byte(ros, bag):
    path, entries = bag
    heard, times, process = play(
        ros,
        path,
        "--delay",
        "4",
        topics={
            "/cam/image_raw": (Image, RELIABLE),
            "/cam/hands": (HandPair, RELIABLE),
            "/cam/hands/faces": (HandFaces, LATCHED),
        },
        wanted=41,
    )
    assert process.returncode == 0, process.stdout.read()
    for topic, messages in heard.items():
        assert messages == [data for name, _, data in entries if name == topic]
    assert 0.8 < times[-1] - times[1] < 4.0  # 20 images 50 ms apart


def test_only_images_twice_as_fast_with_the_bags_clock(ros, bag):
    path, entries = bag
    heard, _, process = play(
        ros,
        path,
        "--what",
        "images",
        "--rate",
        "2",
        "--delay",
        "4",
        "--clock",
        topics={"/cam/image_raw": (Image, RELIABLE), "/cam/hands": (HandPair, RELIABLE), "/clock": (Clock, RELIABLE)},
        wanted=60,
    )
    assert process.returncode == 0, process.stdout.read()
    assert len(heard["/cam/image_raw"]) == 20 and not heard["/cam/hands"]
    from rclpy.serialization import deserialize_message

    stamps = [t.clock.sec * 10**9 + t.clock.nanosec for t in (deserialize_message(data, Clock) for data in heard["/clock"])]
    assert stamps and all(a < b for a, b in itertools.pairwise(stamps))
    assert T0 <= stamps[0] and stamps[-1] <= T0 + 20 * STEP


def test_what_cannot_be_played(ros, bag, tmp_path):
    for path, words in ((tmp_path / "none", "none"), (bag[0], "--what")):
        arguments = ["--what", "hands"] if path == bag[0] else []
        if arguments:
            entries = [("/cam/camera_info", T0, b"\0\1\0\0")]
            path = write_bag(tmp_path / "other", entries, {"/cam/camera_info": TYPES["camera_info"]})
        process = ros.process("-m", "fourdhands_ros.bags.player", str(path), *arguments)
        assert ros.spin_until(lambda: process.poll() is not None, 30.0)
        output = process.stdout.read()
        assert process.returncode == 2 and words in output and "Traceback" not in output, output


LISTENER = """
import sys, rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
rclpy.init()
node, count = rclpy.create_node("listener"), 0
def keep(image):
    global count
    count += 1
    print(count, flush=True)
node.create_subscription(Image, "image_raw", keep, QoSProfile(depth=100))
print("listening", flush=True)
rclpy.spin(node)
"""


def test_the_cameras_last_images_reach_a_subscriber_that_is_slow(ros, tmp_path):
    with VideoWriter(tmp_path / "short.mp4", 30.0) as video:
        for _ in range(8):
            video.write(np.zeros((480, 640, 3), np.uint8))
    ros.node().create_subscription(CameraInfo, "camera_info", lambda message: None, RELIABLE)
    listener = ros.process("-c", LISTENER)
    camera = ros.process("-m", "fourdhands_ros.tools.camera", str(tmp_path / "short.mp4"), "--subscribers", "1")
    assert listener.stdout.readline() == "listening\n"
    assert "ready" in camera.stdout.readline()
    listener.send_signal(signal.SIGSTOP)
    time.sleep(1.0)  # by then all images, a quarter of a second of them, are published
    listener.send_signal(signal.SIGCONT)
    assert camera.wait(10.0) == 0
    published = json.loads(camera.stdout.read().splitlines()[-1])["published"]
    time.sleep(2.0)  # acknowledged is not yet handed on
    listener.kill()
    assert listener.stdout.read().split() == [str(k) for k in range(1, published + 1)]
