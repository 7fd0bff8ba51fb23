"""The player as a process: every message of a bag over DDS as it was recorded, in order, at its pace."""

import itertools
import json
import os
import re
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="playing needs ROS 2 (pip install 'fourdhands[ros]')")

import rclpy
from bag_support import TYPES, image_entry, read_bag, write_bag
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from ros_support import FACES, PATIENT, RELIABLE, T0, ended, make_pair
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from video_support import plain_video

from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_ros.bags.info import HAND_PAIR, summarise
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.bags.topics import Topic
from fourdhands_ros.convert.encoders import HandPairEncoder, encode_faces
from fourdhands_ros.episodes import player
from fourdhands_ros.episodes.player import KINDS, Player, lacking, todays
from fourdhands_ros.episodes.source import Chosen, read_recording
from fourdhands_ros.executable import Stop
from fourdhands_ros.pypi.message_types import HandFaces, HandPair, typestore
from fourdhands_ros.view.bag_recording import BagRecording

STEP = 50_000_000


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


LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    "/cam/image_raw": (Image, RELIABLE),
    "/cam/hands": (HandPair, RELIABLE),
    "/cam/hands/faces": (HandFaces, LATCHED),
    "/clock": (Clock, RELIABLE),
}


def play(ros, path, what, rate, clock, warn=pytest.fail):
    """What a player in this process plays to subscribers that it has found: bytes by topic, their number, its seconds."""
    heard, node, played = {name: [] for name in TOPICS}, ros.node("listener"), []
    for name, (kind, qos) in TOPICS.items():
        node.create_subscription(kind, name, lambda data, to=heard[name]: to.append(bytes(data)), qos, raw=True)
    with Bag(path) as bag, Stop() as stop:
        player = Player(rclpy.create_node("player", context=ros.context), bag, KINDS[what], clock)
        ros.join(node, *player._publishers.values(), *([player._clock] if clock else []))
        thread = threading.Thread(target=lambda: played.append(player.play(rate, stop, warn)))
        began = time.monotonic()
        thread.start()
        assert ros.spin_until(lambda: not thread.is_alive())
        seconds = time.monotonic() - began
        assert ros.spin_until(lambda: sum(map(len, heard.values())) - len(heard["/clock"]) >= played[0])
    return heard, played[0], seconds


def test_everything_comes_back_byte_for_byte(ros, bag):
    """And not sooner than it was recorded."""
    path, entries = bag
    heard, played, seconds = play(ros, path, "all", 1.0, clock=False)
    for topic, messages in heard.items():
        assert messages == [data for name, _, data in entries if name == topic]
    assert played == 41 and seconds > 0.99 * 20 * STEP * 1e-9


def test_there_is_room_for_images(bag, monkeypatch):
    """Two cameras' pictures filled Fast DDS' 512 kB: a third did not come to the node, and the recorder's CameraInfo came 3 s
    late or, at its end, not at all."""
    monkeypatch.setattr(os, "environ", environment := {})
    for start in (lambda: player.main([str(bag[0])]), lambda: player.play(bag[0], None, 1.0)):
        environment.clear()
        monkeypatch.setattr(player, "run_ros", lambda *_, **__: 0)
        assert start() == 0 and environment["FASTRTPS_DEFAULT_PROFILES_FILE"].endswith("fastdds_large_images.xml")


def test_hands_of_before_named_no_cameras(ros, tmp_path, closing):
    """A HandPair that was recorded before it named cameras has no lists of them at its end: it is read by the bag's own
    definition, and played in today's form."""
    text, _ = typestore().generate_msgdef(HAND_PAIR, ros_version=2)
    before = get_typestore(Stores.EMPTY)
    before.register(get_types_from_msg(re.sub(r"^string\[\] (left|right)_cameras.*$", "", text, flags=re.MULTILINE), HAND_PAIR))
    encoder = HandPairEncoder()
    today = [bytes(encoder.encode(make_pair(T0 + k * STEP), "camera", {})) for k in range(3)]
    entries = [("/cam/hands", T0 + k * STEP, data[:-8]) for k, data in enumerate(today)]
    path = write_bag(tmp_path / "bag", entries, {"/cam/hands": HAND_PAIR}, store=before)
    assert summarise(path)[0]["/cam/hands"].pairs == 3
    recording = closing(BagRecording(path, pair_of(load_generic_hand())))
    assert recording.moment(0).pair.left.valid
    with Bag(path) as bag:
        assert len(read_recording(bag, bag, Chosen()).hands.stamp) == 3
    assert play(ros, path, "hands", 1.0, clock=False)[0]["/cam/hands"] == today


def test_lists_that_are_added_begin_where_numbers_may(tmp_path):
    """Also behind names that end anywhere."""
    text, _ = typestore().generate_msgdef(HAND_PAIR, ros_version=2)
    before = Topic(HAND_PAIR, 1, definition=re.sub(r"^string\[\] right_cameras.*$", "", text, flags=re.MULTILINE))
    for name in ("a", "ab", "abc", "abcd"):
        pair = replace(make_pair(T0), cameras=((name,), ()))
        today = bytes(HandPairEncoder().encode(pair, "camera", {}))
        ended = today[: today.rindex(name.encode() + b"\0") + len(name) + 1]
        assert todays(ended, lacking(before)) == today


def test_only_images_twice_as_fast_with_the_bags_clock(ros, bag):
    heard, played, seconds = play(ros, bag[0], "images", 2.0, clock=True)
    assert len(heard["/cam/image_raw"]) == played == 20 and not heard["/cam/hands"] and seconds > 0.45 * 20 * STEP * 1e-9
    stamps = [t.clock.sec * 10**9 + t.clock.nanosec for t in (deserialize_message(data, Clock) for data in heard["/clock"])]
    assert stamps and all(a < b for a, b in itertools.pairwise(stamps))
    begins = min(time for name, time, _ in read_bag(bag[0]) if not name.startswith("/cam/hands"))
    assert stamps[0] == begins and stamps[-1] <= T0 + 20 * STEP  # the clock says when the first message comes


def test_years_without_a_message_are_passed_over(ros, tmp_path):
    """As where the clock was set while it was recorded. What comes after them is not waited for, nor hurried."""
    years, pairs = 3 * 365 * 86400 * 10**9, HandPairEncoder()
    times = [T0, T0 + STEP, T0 + years, T0 + years + 6 * STEP]
    entries = [("/cam/hands", at, bytes(pairs.encode(make_pair(at), "camera", {}))) for at in times]
    path, told = write_bag(tmp_path / "bag", entries, {"/cam/hands": HAND_PAIR}), []
    heard, played, seconds = play(ros, path, "hands", 1.0, True, told.append)
    assert played == 4 and heard["/cam/hands"] == [data for _, _, data in entries] and seconds > 0.99 * 7 * STEP * 1e-9
    assert told == [f"no message came for 1095 days, 0:00:00 in {path}; that is passed over"]
    stamps = [t.clock.sec * 10**9 + t.clock.nanosec for t in (deserialize_message(data, Clock) for data in heard["/clock"])]
    assert all(a < b for a, b in itertools.pairwise(stamps)) and stamps[-1] <= times[-1]


def test_a_process_plays_to_the_end(ros, bag):
    process = ros.process("-m", "fourdhands_ros.player", str(bag[0]), "--rate", "10", "--delay", "0")
    assert "41 messages played" in ended(process)


def test_what_cannot_be_played(ros, bag, tmp_path):
    for path, words in ((tmp_path / "none", "none"), (bag[0], "--what")):
        arguments = ["--what", "hands"] if path == bag[0] else []
        if arguments:
            entries = [("/cam/camera_info", T0, b"\0\1\0\0")]
            path = write_bag(tmp_path / "other", entries, {"/cam/camera_info": TYPES["camera_info"]})
        assert words in ended(ros.process("-m", "fourdhands_ros.episodes.player", str(path), *arguments), 2)


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
    plain_video(tmp_path / "short.mp4", 8 * [0], (640, 480))
    ros.node().create_subscription(CameraInfo, "camera_info", lambda message: None, RELIABLE)
    listener = ros.process("-c", LISTENER)
    camera = ros.process("-m", "fourdhands_ros.tools.camera", str(tmp_path / "short.mp4"), "--subscribers", "1")
    assert listener.stdout.readline() == "listening\n"
    assert any("ready" in line for line in camera.stdout)
    listener.send_signal(signal.SIGSTOP)
    time.sleep(1.0)  # by then all images, a quarter of a second of them, are published, unless the computer is busy
    listener.send_signal(signal.SIGCONT)
    published = json.loads(ended(camera).splitlines()[-1])["published"]
    over = threading.Timer(PATIENT, listener.kill)
    over.start()
    assert [listener.stdout.readline() for _ in range(published)] == [f"{k}\n" for k in range(1, published + 1)]
    over.cancel()
