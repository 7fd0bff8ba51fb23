"""Images that best effort loses: the node asks for reliable delivery where publishers offer it, and only there."""

import itertools
import threading
import time

import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_support import PATIENT, PERIOD, SECOND, T0, Ros, bench, image_message, info_message, stamp_of  # noqa: F401 (bench is a fixture)
from sensor_msgs.msg import Image

from fourdhands_ros.node import delivery, subscription
from fourdhands_ros.node.delivery import EVIDENCE, Interval, Spacing
from fourdhands_ros.node.subscription import ImageSubscription

RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


# The decision.


@pytest.mark.parametrize(
    "interval, due, short, starved",
    [
        (Interval(2.0, 60, infos=60), 60, False, False),
        (Interval(2.0, 55, infos=60), 60, False, False),  # one in twelve
        (Interval(2.0, 50, infos=60), 60, True, False),
        (Interval(2.0, 14, infos=60), 60, True, True),
        (Interval(2.0, 0, infos=60, paired=True), 60, True, True),
        (Interval(2.0, 40, lost=20), 60, True, False),  # the middleware tells
        (Interval(2.0, 14, lost=46, spaced=50), 60, True, True),
        (Interval(2.0, 14, spaced=60), 60, True, True),  # neither CameraInfo nor the middleware tell: the stamps do
        (Interval(2.0, 60, infos=2), 60, False, False),  # CameraInfo now and then only
        (Interval(2.0, 3, infos=9), 9, False, False),  # too few to say anything
        (Interval(10.0, 4, lost=6), 10, True, True),  # a slow camera, watched for longer
        (Interval(8.0, 0, silent=8.0), 0, False, True),  # some came, then none; or none ever
        (Interval(8.0, 2, spaced=2, silent=5.0), 2, False, True),
        (Interval(5.0, 14, spaced=14, silent=3.5), 14, False, True),  # it stopped in the middle
        (Interval(2.0, 0, silent=2.0), 0, False, False),  # not yet
        (Interval(9.0, 0, silent=90.0, paired=True), 0, False, False),  # CameraInfo is silent as well: a pause
        (Interval(9.0, 0, infos=9, silent=90.0, paired=True), 9, False, False),
        (Interval(10.0, 0, infos=10, silent=90.0, paired=True), 10, True, True),
    ],
)
def test_what_is_due_and_whether_it_came(interval, due, short, starved):
    assert (interval.due, interval.short, interval.starved) == (due, short, starved)
    assert interval.conclusive == (due >= EVIDENCE) and interval.paused == (interval.paired and due == 0)


@pytest.mark.parametrize(
    "interval, sure",
    [
        (Interval(2.0, 40, lost=20), True),
        (Interval(2.0, 40, infos=60), True),
        (Interval(2.0, 40, spaced=60), False),
        (Interval(2.0, 60, infos=60), False),
    ],
)
def test_only_what_a_restless_camera_would_not_bring_about_is_a_warning(interval, sure):
    assert interval.surely_short == sure


def arriving(gaps, keep) -> Spacing:
    spacing = Spacing()
    for stamp, kept in zip(T0 + np.cumsum(np.int64(gaps)), keep):
        if kept:
            spacing.add(int(stamp))
    return spacing


@pytest.mark.parametrize("kept", [1.0, 0.75, 0.5, 0.25])
@pytest.mark.parametrize("jitter", [0.0, 0.05, 0.1])
def test_spacing_tells_how_many_were_sent(kept, jitter):
    """Also where stamps are those of arrival, give or take a tenth of a period."""
    rng = np.random.default_rng(0)
    stamps = np.arange(600) * PERIOD + rng.uniform(-jitter, jitter, 600) * PERIOD
    keep = rng.random(600) < kept
    spacing = arriving(np.diff(stamps, prepend=0), keep)
    assert spacing.count() == pytest.approx(600, rel=0.12)
    spacing.forget()
    assert spacing.count() == 0
    for i in range(1, 5):  # few are left: the period is known from before
        spacing.add(int(T0 + stamps[-1] + 10 * i * PERIOD))
    assert spacing.count() == pytest.approx(40, abs=8)


def test_spacing_of_a_camera_that_hands_over_two_images_at_once():
    gaps = np.tile([SECOND // 1000, 2 * PERIOD - SECOND // 1000], 50)
    assert arriving(gaps, np.ones(100, bool)).count() == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("gaps", [[0] * 50, [-PERIOD] * 50, [30 * SECOND] * 50, [PERIOD] * 5])
def test_spacing_that_says_nothing(gaps):
    """Stamps that stand still, run backwards or come after pauses, and too few of them."""
    assert arriving(gaps, np.ones(len(gaps), bool)).count() == 0


@pytest.mark.parametrize("seed", range(5))
def test_spacing_of_a_camera_that_is_not_steady(seed):
    """Images when something moves, or of a driver that catches up: nothing is missing, and nothing is said to be."""
    rng = np.random.default_rng(seed)
    at_will = np.int64(rng.uniform(0.001, 0.5, 200) * SECOND)
    catching_up = np.where(rng.random(200) < 0.5, 5 * 10**6, np.int64(rng.uniform(0.02, 0.2, 200) * SECOND))
    for gaps in (at_will, catching_up):
        assert arriving(gaps, np.ones(200, bool)).count() <= 220


def test_a_camera_that_slows_down_is_not_a_lossy_one():
    """Half the rate in a dark room: the interval in between counts as short, the next one does not."""
    spacing = arriving([PERIOD] * 60, np.ones(60, bool))
    spacing.count()
    spacing.forget()
    for i in range(30):
        spacing.add(T0 + 60 * PERIOD + 2 * i * PERIOD)
    assert spacing.count() == pytest.approx(30, abs=2)


# The subscription.


@pytest.fixture
def ros(monkeypatch):
    monkeypatch.setattr(subscription, "_PATIENCE", 0.0)
    monkeypatch.setattr(delivery, "_STALL", 0.2)
    ros = Ros()
    yield ros
    ros.close()


def subscribed(ros, reliability="auto", **kwargs):
    """A node's subscription, what it brought, and another node to publish from."""
    node, user, images = ros.node("hands", **kwargs), ros.node("user"), []
    return ImageSubscription(node, Image, "/image_raw", images.append, reliability), images, user


def arrives(ros, publisher, images):
    """Whether an image of the publisher comes through."""
    images.clear()
    deadline = time.monotonic() + PATIENT
    while not images and time.monotonic() < deadline:
        publisher.publish(image_message(1))
        ros.spin_for(0.1)
    return bool(images)


def known(ros, node, count):
    assert ros.spin_until(lambda: len(node.get_publishers_info_by_topic("/image_raw")) == count)


def test_images_that_are_due_and_do_not_come_are_asked_for_reliably(ros):
    hands, images, user = subscribed(ros)
    publisher = user.create_publisher(Image, "/image_raw", RELIABLE)
    known(ros, hands._node, 1)
    assert arrives(ros, publisher, images)
    came = hands._came
    assert not hands.watch(1000)  # before the first look nothing counts
    assert not hands.watch(1000 + EVIDENCE - 1)  # a few that are missing say nothing
    assert hands.watch(1000 + EVIDENCE)
    assert hands.reliability == ReliabilityPolicy.RELIABLE and arrives(ros, publisher, images) and came
    [info] = hands._node.get_subscriptions_info_by_topic("/image_raw")
    assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    # a publisher that offers less would not be heard
    second = user.create_publisher(Image, "/image_raw", BEST_EFFORT)
    known(ros, hands._node, 2)
    assert hands.watch(1000) and hands.reliability == ReliabilityPolicy.BEST_EFFORT
    assert arrives(ros, second, images) and arrives(ros, publisher, images)
    hands.close()


def test_some_that_are_missing_are_asked_for_the_second_time(ros):
    hands, images, user = subscribed(ros)
    user.create_publisher(Image, "/image_raw", RELIABLE)
    known(ros, hands._node, 1)
    hands.watch(0)
    for again in (False, True):
        hands._came = 80
        assert hands.watch(100 + 100 * again) == again
        assert bool(hands.missing) != again
    hands.close()


def test_a_pause_or_a_publisher_of_best_effort_changes_nothing(ros):
    hands, images, user = subscribed(ros)
    publisher = user.create_publisher(Image, "/image_raw", BEST_EFFORT)
    known(ros, hands._node, 1)
    hands.watch(0)
    assert not hands.watch(100)  # a hundred are due, but no more is offered
    assert hands.missing == "0 of 100 images came in 0.0 s"
    assert arrives(ros, publisher, images)
    assert not hands.watch(100) and not hands.watch(100)  # neither images nor CameraInfo: a pause
    hands.close()


def test_where_nothing_ever_came_and_nothing_is_known_reliable_is_tried(ros):
    hands, images, user = subscribed(ros)
    hands.watch(0)
    ros.spin_for(0.3)
    assert not hands.watch(0)  # there is no publisher
    publisher = user.create_publisher(Image, "/image_raw", RELIABLE)
    known(ros, hands._node, 1)
    assert ros.spin_until(lambda: hands.watch(0)) and arrives(ros, publisher, images)
    hands.close()


@pytest.mark.parametrize("came", [1, 5, 14, 100])
def test_images_that_came_and_then_stay_away_without_camera_info(ros, monkeypatch, came):
    """Seven a second, then none: publishers are there, and nothing else tells of them."""
    now, stamp = [100.0], T0
    hands, _, user = subscribed(ros)
    user.create_publisher(Image, "/image_raw", RELIABLE)
    known(ros, hands._node, 1)
    hands._patience = 2.0
    monkeypatch.setattr(delivery, "_STALL", 3.0)
    monkeypatch.setattr(subscription.time, "monotonic", lambda: now[0])
    assert not hands.watch(0)
    for _ in range(came):
        now[0] += 1 / 7
        stamp += SECOND // 7
        hands._take(b"\0\1\0\0" + b"".join(part.to_bytes(4, "little") for part in divmod(stamp, SECOND)))
        assert not hands.watch(0)
    for tenth in range(100):
        now[0] += 0.1
        if hands.watch(0):
            break
    assert hands.reliability == ReliabilityPolicy.RELIABLE and 29 <= tenth <= 31
    hands.close()


def test_images_whose_stamps_lie_closer_than_a_cameras_are_not_counted():
    spacing = Spacing()
    for number in range(40):
        spacing.add(T0 + number * PERIOD)
        spacing.add(T0 + number * PERIOD + 1000)  # a damaged copy
    assert spacing.count() == pytest.approx(39, abs=1) and spacing.missing() == 0


def test_publishers_that_come_and_go_do_not_turn_it_to_and_fro(ros, monkeypatch):
    """Each time it waits twice as long before it asks for reliable delivery again."""
    now = [100.0]
    hands, images, user = subscribed(ros)
    hands._patience = 2.0
    offered = [{ReliabilityPolicy.RELIABLE}]
    monkeypatch.setattr(hands, "_offered", lambda reliability: reliability in offered[0])
    monkeypatch.setattr(subscription.time, "monotonic", lambda: now[0])
    changes, infos = [], 0
    for second in range(600):
        now[0] += 1.0
        infos += 30
        # for every other five seconds a second publisher, of best effort only
        offered[0] = {ReliabilityPolicy.RELIABLE, *([ReliabilityPolicy.BEST_EFFORT] if second // 5 % 2 else [])}
        if hands.watch(infos):
            changes.append(second)
    reliable = changes[::2]
    assert reliable[0] < 5 and np.diff(reliable)[:4].min() >= 4 and np.diff(reliable)[-3:].min() >= 64
    hands.close()


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_what_was_asked_for_stays(ros, reliability):
    hands, images, user = subscribed(ros, reliability)
    publisher = user.create_publisher(Image, "/image_raw", RELIABLE)
    known(ros, hands._node, 1)
    assert not hands.watch(1000) and not hands.watch(2000)
    assert hands.reliability.name.lower() == reliability and arrives(ros, publisher, images)
    assert hands.missing == "0 of 1000 images came in 0.0 s"  # told all the same
    hands.close()


# The node.


class LossyNetwork:
    """A camera whose images get through to subscribers of best effort as `pattern` says; reliable ones have them all."""

    def __init__(self, bench, pattern):
        self.bench, self.pattern, self.sent = bench, itertools.cycle(pattern), 0

    @property
    def asked(self) -> bool:
        """Whether all who listen ask for reliable delivery."""
        infos = self.bench.user.get_subscriptions_info_by_topic("/image_raw")
        return bool(infos) and all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in infos)

    def send(self) -> None:
        """Publish the next image, if the network lets it through."""
        self.sent += 1
        if next(self.pattern) or self.asked:
            self.bench.images.publish(image_message(T0 + self.sent * PERIOD))


@pytest.mark.parametrize(
    "pattern",
    [[0], [1, 1, 0, 0, 0, 0, 0], [1] * 30 + [0] * 3000, [1, 1, 1, 0]],
    ids=["none", "some", "then none", "three of four"],
)
@pytest.mark.parametrize("with_info", [True, False])
def test_lost_images_come_in_the_end(bench, monkeypatch, pattern, with_info):
    """Over DDS, with and without CameraInfo: after a while every image comes, and diagnostics tell of it."""
    monkeypatch.setattr(subscription, "_PATIENCE", 1.0)
    monkeypatch.setattr(delivery, "_STALL", 1.5)
    bench = bench({"image_reliability": "auto"})
    network = LossyNetwork(bench, pattern)
    images = bench.channel._images[0]

    def reliable():
        network.send()
        if with_info:
            bench.infos.publish(info_message())
        bench.ros.spin_for(0.02)
        return images.reliability == ReliabilityPolicy.RELIABLE

    assert bench.ros.spin_until(reliable)
    assert bench.ros.spin_until(lambda: network.asked)
    statistics = bench.channel.statistics
    received = statistics.received

    def arrived():
        network.send()
        bench.ros.spin_for(0.1)
        return statistics.received > received

    assert bench.ros.spin_until(arrived)
    bench.ros.spin_for(0.2)
    for _ in range(30):
        received = statistics.received
        network.send()
        assert bench.ros.spin_until(lambda: statistics.received == received + 1)
    told = bench.diagnosis()
    assert told["changes to reliable delivery"] == "1" and float(told["input rate (Hz)"]) >= 0.0
    assert told["camera's rate (Hz)"] == "unknown" or float(told["camera's rate (Hz)"]) > 0.0


CAMERA = """
import json, sys, time
import numpy as np, rclpy
from sensor_msgs.msg import CameraInfo, Image
from fourdhands_ros.tools.camera import CAMERA_QOS, camera_info, image_template
from fourdhands_ros.pypi.message_types import HandPair, create_subscription
from fourdhands_core.geometry.camera import Camera
rclpy.init()
node = rclpy.create_node("camera")
images = node.create_publisher(Image, "image_raw", CAMERA_QOS)
infos = node.create_publisher(CameraInfo, "camera_info", CAMERA_QOS)
came = [0]
def take(pair):
    came[0] = max(came[0], pair.header.stamp.sec * 10**9 + pair.header.stamp.nanosec)
create_subscription(node, HandPair, "hands", take, 100)
template, picture = image_template(1280, 720, "camera"), np.full((720, 1280, 3), (255, 255, 0), np.uint8)
info = camera_info(1280, 720, Camera.from_fov(1280, 720, 60.0), "camera")
while True:
    stamp = time.time_ns()
    sec, nanosec = divmod(stamp, 10**9)
    if sys.argv[1] == "with":
        info.header.stamp.sec, info.header.stamp.nanosec = sec, nanosec
        infos.publish(info)
    images.publish(template.fill(sec=sec, nanosec=nanosec, data=picture))
    print(stamp, flush=True)
    # 30 a second, or as many as this computer can take: an image that is lost costs half a second
    while time.time_ns() - stamp < 33e6 or came[0] < stamp and time.time_ns() - stamp < 500e6:
        rclpy.spin_once(node, timeout_sec=0.002)
"""


@pytest.mark.parametrize("info", ["with", "without"])
def test_large_images_come_with_and_without_camera_info(bench, info, tmp_path):
    """1280 x 720 at up to 30 Hz from another process: of 45 images in a row nine tenths at least come out, and the
    rate at which they come in is told."""
    bench = bench({"image_reliability": "auto"})
    script = tmp_path / "camera.py"
    script.write_text(CAMERA)
    camera = bench.ros.process(str(script), info)
    sent = []
    threading.Thread(
        target=lambda: sent.extend(int(line) for line in camera.stdout if line.strip().isdigit()), daemon=True
    ).start()

    def enough():
        published = sent[-55:-10]
        came = {stamp_of(pair.header) for pair in bench.pairs[-200:]}
        return len(published) == 45 and sum(stamp in came for stamp in published) >= 0.9 * 45

    assert bench.ros.spin_until(enough, 2 * PATIENT), (len(sent), len(bench.pairs), bench.channel.statistics.events)
    told = bench.diagnosis()
    assert float(told["input rate (Hz)"]) > 0.0
    assert bench.ros.spin_until(lambda: float(bench.diagnosis()["camera's rate (Hz)"].replace("unknown", "0")) > 0.0)
