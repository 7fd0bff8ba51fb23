"""The recorder loses nothing in silence, and writes large messages as they are."""

import re
import signal
import struct
import threading

import numpy as np
import pytest
import rclpy
from bag_support import read_bag
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_support import HEIGHT, PATIENT, PERIOD, RELIABLE, SECOND, T0, WIDTH, ended, image_message
from rosbags.interfaces import Qos
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import String

from fourdhands_ros.bags import recorded_topics
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.bags.recorded_topics import Companions, RecordedTopic, Selection
from fourdhands_ros.bags.recorder import Recorder, bag_qos
from fourdhands_ros.bags.writing import BagWriter, WriteQueue
from fourdhands_ros.pypi.message_types import typestore

FEW = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)


# What is lost.


def test_what_a_recorder_that_could_not_run_has_missed_is_told(ros, tmp_path):
    """Stopped while a publisher goes on that keeps five: what is in the bag and what is told to be lost are all."""
    node = ros.node("camera", enable_rosout=False)
    publisher = node.create_publisher(Image, "/image_raw", FEW)
    process = ros.process("-m", "fourdhands_ros.bags.recorder", str(tmp_path / "bag"), "--images", "raw")
    assert ros.spin_until(publisher.get_subscription_count)
    sent = 0

    def send(count, size=(HEIGHT, WIDTH)):
        nonlocal sent
        for _ in range(count):
            publisher.publish(image_message(T0 + sent * PERIOD, size=size))
            sent += 1
            ros.spin_for(0.002)

    ros.deliver(publisher, image_message(T0))  # from then on it hears what is sent
    sent = 1
    send(20)
    assert publisher.wait_for_all_acked(Duration(seconds=PATIENT))
    process.send_signal(signal.SIGSTOP)
    send(100, size=(720, 1280))  # 276 MB: no buffer of shared memory or of a socket holds them until it goes on
    process.send_signal(signal.SIGCONT)
    ros.spin_for(0.5)
    for _ in range(10):
        send(1)
        ros.spin_for(0.05)
    assert publisher.wait_for_all_acked(Duration(seconds=PATIENT))  # what has not arrived by the end is nobody's loss
    output = ended(process, by=signal.SIGTERM)
    written = int(re.search(r"/image_raw (\d+)", output)[1])
    with Bag(tmp_path / "bag") as bag:
        assert bag.topics["/image_raw"].count == written
    missing = re.search(r"/image_raw \d+ \((?:about )?(\d+) (lost|missing)", output)
    assert written < sent and missing, output
    assert written + int(missing[1]) == (sent if missing[2] == "lost" else pytest.approx(sent, rel=0.1)), output
    assert re.search(r"\[WARN\].*/image_raw: .* are in the bag", output)


class Numbered:
    """In place of a subscription: messages with the numbers that their publishers gave them."""

    def __init__(self, numbers=(), lost=0, publishers=1, stamps=()):
        self.lost, self.publishers = lost, publishers
        stamps = stamps or [T0] * len(numbers)
        self.waiting = [
            (b"\0\1\0\0" + struct.pack("<iI", *divmod(stamp, 10**9)) + bytes(8), {"publication_sequence_number": number})
            for number, stamp in zip(numbers, stamps)
        ]

    def take(self):
        while self.waiting:
            yield self.waiting.pop(0)

    def publisher_count(self):
        return self.publishers

    def count_lost(self):
        pass


def losses(ros, monkeypatch, *rounds, type_name="sensor_msgs/msg/Image"):
    """What is told after these rounds of messages."""
    monkeypatch.setattr(recorded_topics, "PolledSubscription", lambda *_: rounds[0])
    topic = RecordedTopic(ros.node(), Image, type_name, "/image_raw", None)
    for one in rounds:
        topic._subscription = one
        assert len(list(topic.take())) >= 0
        topic.look()
    topic.look(last=True)
    return topic.losses


@pytest.mark.parametrize(
    "rounds, lost",
    [
        ([Numbered([7, 8, 9])], 0),  # it came later than the publisher
        ([Numbered([1, 2, 5, 6, 9])], 4),
        ([Numbered([1, 2, 5]), Numbered([1, 2, 4])], 3),  # the publisher was started again
        ([Numbered([1, 2, 5], lost=2)], 2),  # told twice, counted once
        ([Numbered([1, 2, 3], lost=3)], 3),
        ([Numbered([1, 100, 2, 101], publishers=2)], 0),  # of two publishers numbers say nothing
        ([Numbered([1, 100, 2, 101], publishers=2, lost=1)], 1),
        ([Numbered([1, 2]), Numbered([9, 10], publishers=2)], 0),
    ],
)
def test_losses_by_the_publishers_numbers(ros, monkeypatch, rounds, lost):
    assert losses(ros, monkeypatch, *rounds) == (f"{lost} lost" if lost else "")


def test_losses_by_the_spacing_of_stamps(ros, monkeypatch):
    """Where the middleware neither numbers nor tells; of other types nothing can be said."""
    keep = np.random.default_rng(0).random(300) < 0.6
    stamps = [T0 + i * PERIOD for i in range(300) if keep[i]]

    def silent(**kwargs):
        return Numbered([None] * len(stamps), stamps=stamps, **kwargs)

    told = losses(ros, monkeypatch, silent())
    assert int(re.fullmatch(r"about (\d+) missing .*", told)[1]) == pytest.approx(300 - len(stamps), abs=10)
    assert losses(ros, monkeypatch, silent(), type_name="std_msgs/msg/String") == ""
    assert losses(ros, monkeypatch, silent(lost=5)) == "5 lost"
    assert losses(ros, monkeypatch, silent(publishers=2)) == ""
    stamps[:] = [T0 + int(second * 1e9) for second in np.random.default_rng(1).uniform(0.001, 0.2, 300).cumsum()]
    assert losses(ros, monkeypatch, silent()) == "", "a camera that is not steady"


@pytest.mark.parametrize(
    "events, missing",
    [
        ("i1 m1 i2 m2 i3 m3", 0),
        ("m1 i1 m2 i2 i3 m3", 0),
        ("i1 m1 i2 i3 m3", 1),
        ("i1 i2 m1 m2 m4 i3 i4 m5 i5", 1),
        ("i1 i2 i3 m3 i4 m4", 0),  # the images began later
        ("i1 m1 " + " ".join(f"i{k}" for k in range(2, 9)), 0),
        ("i1 m1 " + " ".join(f"i{k}" for k in range(2, 40)), 38),
        (" ".join(f"i{2 * k} m{2 * k + 1}" for k in range(500)), 0),  # other stamps
        (" ".join(f"i{k}" for k in range(500)), 0),
        # of the last one the image may still come
        ("m1 m2 i1 i2 m3 i3 " + " ".join(f"i{k} m{k}" if k % 3 else f"i{k}" for k in range(4, 304)), 99),
    ],
)
def test_images_that_are_missing_beside_their_camera_info(events, missing):
    companions = Companions()
    for event in events.split():
        (companions.info if event[0] == "i" else companions.image)(int(event[1:]))
    assert companions.missing == missing


def test_losses_by_the_camera_info_beside(ros, monkeypatch):
    """Where the middleware says nothing, what is lost is counted by the CameraInfo of the same camera."""
    stamps = [T0 + i * PERIOD for i in range(60)]
    sources = {
        "/cam/image_raw": Numbered([None] * 40, stamps=stamps[:20] + stamps[40:]),
        "/cam/camera_info": Numbered([None] * 60, stamps=stamps),
    }
    monkeypatch.setattr(recorded_topics, "PolledSubscription", lambda node, kind, topic, profile: sources[topic])
    node = ros.node()
    topics = {
        name: RecordedTopic(node, None, f"sensor_msgs/msg/{kind}", name, None)
        for name, kind in (("/cam/image_raw", "Image"), ("/cam/camera_info", "CameraInfo"))
    }
    for topic in topics.values():
        topic.beside(topics)
    for topic in reversed(topics.values()):
        list(topic.take())
        topic.look(last=True)
    assert topics["/cam/image_raw"].losses == "20 lost whose CameraInfo came"
    assert topics["/cam/camera_info"].losses == ""


class SlowDisk:
    """A BagWriter whose disk takes nothing until it may."""

    def __init__(self):
        self.may, self.written = threading.Event(), []

    def write(self, *item):
        assert self.may.wait(PATIENT)
        self.written.append(item)

    def keep(self):
        pass

    def close(self):
        pass


def test_a_disk_that_is_too_slow():
    """Large messages are refused, never waited for; small ones are kept; in the end all that was taken is written."""
    disk = SlowDisk()
    queue = WriteQueue(disk, limit=10 * 2**20)
    taken = [queue.put("image", i, bytes(2**20)) for i in range(20)]
    small = [queue.put("hands", i, b"small") for i in range(1000)]
    assert 10 <= sum(taken) <= 12 and taken == sorted(taken, reverse=True) and all(small)
    disk.may.set()
    queue.close()
    assert len(disk.written) == sum(taken) + 1000 and queue.error is None
    assert [at for connection, at, _ in disk.written if connection == "hands"] == list(range(1000))


def test_what_the_disk_did_not_take_is_lost(ros, tmp_path):
    recorder = Recorder(ros.node("recorder", enable_rosout=False), tmp_path / "bag", Selection(images="raw"), memory=0)
    ros.executor.remove_node(recorder._node)  # it has one of its own
    recorder._queue._limit = -1
    publisher = ros.node("camera", enable_rosout=False).create_publisher(Image, "/image_raw", RELIABLE)
    assert ros.spin_until(lambda: publisher.get_subscription_count() and recorder.publishers("/image_raw"))
    message = image_message(T0)
    message.width, message.height, message.step, message.data = 640, 480, 1920, bytes(640 * 480 * 3)
    for _ in range(5):
        publisher.publish(message)
    assert ros.spin_until(lambda: recorder.lost.get("/image_raw", "").startswith("5 "))
    recorder.close()
    assert recorder.counts["/image_raw"] == 0


def test_a_publisher_of_less_that_comes_later_is_heard_too(ros, tmp_path):
    """The subscription was reliable, which hears no best effort; it becomes what both offer."""
    recorder = Recorder(ros.node("recorder", enable_rosout=False), tmp_path / "bag", Selection(["/words"]), memory=0)
    ros.executor.remove_node(recorder._node)
    talker = ros.node("talker", enable_rosout=False)
    first = talker.create_publisher(String, "/words", RELIABLE)
    assert ros.spin_until(lambda: first.get_subscription_count() and recorder.publishers("/words"))
    first.publish(String(data="first"))
    assert ros.spin_until(lambda: recorder.counts["/words"] == 1)
    second = talker.create_publisher(String, "/words", BEST_EFFORT)

    def heard():
        second.publish(String(data="second"))
        ros.spin_for(0.05)
        return recorder.counts["/words"] > 1

    assert ros.spin_until(heard)
    recorder.close()
    words = {data for _, _, data in read_bag(tmp_path / "bag")}
    assert len(words) == 2


@pytest.fixture
def simulation(ros, tmp_path):
    """A recorder of /words with use_sim_time, and `say`: says a word when the clock shows seconds, and waits for its record."""
    talker = ros.node("talker", enable_rosout=False)
    words, clock = talker.create_publisher(String, "/words", RELIABLE), talker.create_publisher(Clock, "/clock", RELIABLE)
    parameters = [Parameter("use_sim_time", value=True)]
    node = rclpy.create_node("recorder", context=ros.context, enable_rosout=False, parameter_overrides=parameters)
    recorder = Recorder(node, tmp_path / "bag", Selection(["/words"]), memory=0)
    assert ros.spin_until(lambda: words.get_subscription_count() and recorder.publishers("/words"))
    said = []

    def say(word, seconds=None):
        said.append(word)
        if seconds is None:
            return words.publish(String(data=word))
        tick = Clock()
        tick.clock.sec = seconds
        ros.publish_until(clock, tick, lambda: node.get_clock().now().nanoseconds == seconds * SECOND)
        words.publish(String(data=word))
        assert ros.spin_until(lambda: recorder.counts["/words"] == len(said))

    return recorder, say


def test_the_time_of_a_simulation(simulation, tmp_path):
    """What comes is recorded with the time of /clock; before there is any it waits."""
    recorder, say = simulation
    say("before")
    assert recorder.counts["/words"] == 0
    say("after", 5)
    say("later", 7)
    recorder.close()
    times = [at for _, at, _ in read_bag(tmp_path / "bag")]
    assert times == [5 * SECOND, 5 * SECOND, 7 * SECOND]


def test_a_simulation_that_begins_anew_is_recorded_after_the_one_before(simulation, tmp_path):
    """Readers go by the times of recording: both were mixed, message by message, and hands went to and fro between them."""
    recorder, say = simulation
    for word, seconds in (("a", 10), ("b", 11), ("c", 12), ("d", 10), ("e", 11), ("f", 12)):
        say(word, seconds)
    recorder.close()
    said = [(chr(data[8]), at) for _, at, data in read_bag(tmp_path / "bag")]
    assert said == [
        *(("a", 10 * SECOND), ("b", 11 * SECOND), ("c", 12 * SECOND)),
        *(("d", 12 * SECOND + 1), ("e", 13 * SECOND + 1), ("f", 14 * SECOND + 1)),
    ]


# The bag.


def write(path, count=30, size=500_000):
    """A bag of small and of large messages in turn, as the recorder writes it; returns what is in it."""
    writer, written = BagWriter(path, pack=False), []
    qos: list[Qos] = [bag_qos(RELIABLE)]
    small, large = (
        writer.add_connection(name, "std_msgs/msg/String", typestore=typestore(), offered_qos_profiles=qos)
        for name in ("/small", "/large")
    )
    for i in range(count):
        for connection, length in ((large, size), (small, 20)):
            data = bytes(
                typestore().serialize_cdr(
                    typestore().types["std_msgs/msg/String"](chr(97 + i % 26) * length), "std_msgs/msg/String"
                )
            )
            at = T0 + len(written) * PERIOD
            writer.write(connection, at, data)
            written.append((connection.topic, at, data))
    return writer, written


def test_large_messages_are_written_as_they_are(tmp_path):
    """rosbags and this package read them back, with and without an index."""
    writer, written = write(tmp_path / "bag")
    writer.keep()
    there = (tmp_path / "bag" / "bag.mcap").read_bytes()
    writer.close()
    assert read_bag(tmp_path / "bag") == written
    with Bag(tmp_path / "bag") as bag:
        assert not bag.warnings and {name: topic.count for name, topic in bag.topics.items()} == {"/large": 30, "/small": 30}
        assert list(bag.messages(bag.topics)) == written
        assert list(bag.messages(["/small"])) == written[1::2]
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "cut.mcap").write_bytes(there[:-300_000])
    with Bag(tmp_path / "cut") as bag:
        assert "was cut off" in bag.warnings[0]
        assert list(bag.messages(bag.topics)) == written[:58]


def test_a_write_that_fails_leaves_whole_records(tmp_path):
    """The disk is full in the middle of an image: what was there before can be read."""
    writer, written = write(tmp_path / "bag", 4)
    writer.keep()
    writer._file.reserve = 1 << 60
    connection = writer._writer.connections[1]
    with pytest.raises(OSError, match="left free"):
        for i in range(5):
            writer.write(connection, T0 + (100 + i) * PERIOD, bytes(2_000_000))
    writer.close()
    messages = read_bag(tmp_path / "bag")
    assert messages[:8] == written and all(len(data) == 2_000_000 for _, _, data in messages[8:])
