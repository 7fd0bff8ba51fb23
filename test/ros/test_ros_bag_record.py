"""The recorder as a process: what it records, killed, on a full disk, and what its bags hold afterwards."""

import array
import collections
import os
import signal
import subprocess

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="recording needs ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import contents, read_bag
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from limits_support import limited
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import FACES, RELIABLE, T0, ended, info_message, make_pair, stamp_to
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from fourdhands_core.errors import InputError
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.convert.encoders import HandPairEncoder, TransformEncoder, encode_faces
from fourdhands_ros.pypi.message_types import HandFaces, HandPair, TFMessage

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Talker:
    """Publishes hands, their frames, a camera's info and images, and one topic that is nobody's business."""

    def __init__(self, ros):
        self.ros, self.node = ros, ros.node("talker", enable_rosout=False)
        self.hands = self.node.create_publisher(HandPair, "/cam/hands", RELIABLE)
        self.faces = self.node.create_publisher(HandFaces, "/cam/hands/faces", LATCHED)
        self.faces.publish(encode_faces((FACES, FACES)))
        self.tf = self.node.create_publisher(TFMessage, "/tf", RELIABLE)
        self.infos = self.node.create_publisher(CameraInfo, "/cam/camera_info", RELIABLE)
        self.images = self.node.create_publisher(Image, "/cam/image_raw", RELIABLE)
        self.other = self.node.create_publisher(String, "/other", RELIABLE)
        self.pairs, self.frames = HandPairEncoder(), TransformEncoder()
        self.told = []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", lambda array: self.told.extend(array.status), 10)
        self.noise = np.random.default_rng(0)
        self.sent = []

    def wait_for(self, *publishers):
        assert self.ros.spin_until(lambda: all(one.get_subscription_count() for one in publishers))

    def talk(self):
        """One round of messages, every 10 ms."""
        stamp = T0 + len(self.sent) * 10**7
        pair = make_pair(stamp)
        self.hands.publish(self.pairs.encode(pair, "camera", {}))
        self.tf.publish(self.frames.encode(pair, "camera"))
        info = info_message()
        stamp_to(info, stamp)
        self.infos.publish(info)
        self.other.publish(String(data="secret"))
        self.sent.append(stamp)
        self.ros.spin_for(0.01)

    def image(self):
        message = Image(width=160, height=120, encoding="rgb8", step=480)
        message.data = array.array("B", self.noise.bytes(160 * 120 * 3))  # noise: cannot be packed
        self.images.publish(message)


def record(ros, bag, *arguments):
    return ros.process("-m", "fourdhands_ros.bags.recorder", str(bag), *arguments)


def counts(path) -> dict[str, int]:
    with Bag(path) as bag:
        return {name: topic.count for name, topic in bag.topics.items()}


def test_it_records_the_hands_under_any_name_and_ends_in_order(ros, tmp_path):
    talker, path = Talker(ros), tmp_path / "new" / "b\udce9g"
    process = record(ros, path)
    talker.wait_for(talker.hands, talker.tf, talker.infos, talker.faces)
    for _ in range(50):
        talker.talk()
    counted = {"/cam/hands": "50", "/tf": "50", "/cam/camera_info": "50", "/cam/hands/faces": "1"}

    def told():
        values = {value.key: value.value for value in talker.told[-1].values} if talker.told else {}
        return counted.items() <= values.items() and int(values.get("/diagnostics", 0)) > 0

    assert ros.spin_until(told), talker.told and talker.told[-1]
    assert "/cam/hands 50" in ended(process, by=signal.SIGTERM)
    got = counts(path)
    assert got.pop("/diagnostics") > 0 and {status.level for status in talker.told} == {DiagnosticStatus.OK}
    assert got == {"/cam/hands": 50, "/tf": 50, "/cam/camera_info": 50, "/cam/hands/faces": 1}
    with Bag(path) as bag:
        assert not bag.warnings
    assert "b\\udce9g is there already" in ended(record(ros, path), 2)


def test_after_kill_9_all_but_the_last_second_is_there(ros, tmp_path):
    talker = Talker(ros)
    process = record(ros, tmp_path / "bag", "--topic", "/other")
    talker.wait_for(talker.hands, talker.tf, talker.infos, talker.faces, talker.other)
    kept = 150
    while len(talker.sent) < kept:
        talker.talk()

    def written():  # while nothing more comes
        try:
            with Bag(tmp_path / "bag") as bag:
                counts = collections.Counter(name for name, _, _ in bag.messages(bag.topics))
        except InputError:  # nothing yet
            return False
        return all(counts[topic] == kept for topic in ("/cam/hands", "/tf", "/cam/camera_info", "/other"))

    assert ros.spin_until(lambda: ros.spin_for(0.5) or written())
    for _ in range(20):
        talker.talk()
    process.kill()
    process.wait()
    before = contents(tmp_path / "bag")
    assert not (tmp_path / "bag" / "metadata.yaml").exists()
    with Bag(tmp_path / "bag") as bag:
        assert "was cut off" in bag.warnings[0]
        messages = list(bag.messages(bag.topics))
    for topic in ("/cam/hands", "/tf", "/cam/camera_info", "/other"):
        assert sum(name == topic for name, _, _ in messages) >= kept, topic
    assert [data for name, _, data in messages if name == "/cam/hands"][:kept] == [
        talker.pairs.encode(make_pair(T0 + i * 10**7), "camera", {}) for i in range(kept)
    ]
    assert contents(tmp_path / "bag") == before


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 44 MB, of which the recorder leaves 32 free."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=44m", "tmpfs", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_on_a_full_disk_it_says_so_and_the_bag_is_whole(ros, small_disk):
    talker = Talker(ros)
    process = record(ros, small_disk / "bag", "--images", "raw")
    talker.wait_for(talker.hands, talker.images)
    assert ros.spin_until(lambda: talker.talk() or talker.image() or process.poll() is not None)
    output = ended(process, 2)
    assert "the recording stopped" in output and "left free" in output, output
    assert ros.spin_until(lambda: talker.told and talker.told[-1].level == DiagnosticStatus.ERROR)
    assert "left free" in talker.told[-1].message
    messages = read_bag(small_disk / "bag")  # by rosbags, which needs index and metadata.yaml
    images = sum(topic == "/cam/image_raw" for topic, _, _ in messages)
    assert 10e6 < 57600 * images < 16e6 and (small_disk / "bag" / "metadata.yaml").exists()
    assert sum(topic == "/cam/hands" for topic, _, _ in messages) >= images // 2
    free = os.statvfs(small_disk)
    assert free.f_bavail * free.f_frsize > 28 << 20


def test_where_not_even_the_end_can_be_written_the_rest_is_there(ros, tmp_path):
    """A limit on the file's size, which nobody announces: the bag ends after a whole record."""
    talker = Talker(ros)
    command = limited(3_000_000, "-m", "fourdhands_ros.bags.recorder", tmp_path / "bag", "--images", "raw")
    process = ros.process(*command[1:])
    talker.wait_for(talker.hands, talker.images)
    assert ros.spin_until(lambda: talker.talk() or talker.image() or process.poll() is not None)
    assert "File too large" in ended(process, 2)
    with Bag(tmp_path / "bag") as bag:
        messages = list(bag.messages(bag.topics))
        assert "was cut off" in bag.warnings[0]
    assert sum(len(data) for _, _, data in messages) > 1e6


def test_a_place_that_cannot_be_written_is_named(ros, tmp_path):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in ended(record(ros, tmp_path / "file" / "bag"), 2)
    assert "no regular expression" in ended(record(ros, tmp_path / "bag", "--topic", "("), 2)
