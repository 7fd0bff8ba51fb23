"""Faults over DDS with the node, the camera and who checks in three processes: nothing untrue comes out, all of it is told."""

import collections
import math
import signal
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_support import PATIENT, PERIOD, RELIABLE, REPOSITORY, SECOND, image_message, info_message, make_pair, stamp_of
from sensor_msgs.msg import CameraInfo, Image
from test_ros_faults import other_image
from test_ros_malformed import malformed
from test_ros_start import FAKE

from fourdhands_core.pipeline.settings import TrackerSettings
from fourdhands_ros.pypi.message_types import Hand, HandPair, TFMessage, create_subscription

FAILING = """
from fourdhands_ros.executable import end
from fourdhands_ros.node.node import create_tracker, main

def fail_sometimes(owner, name, every):
    real, calls = getattr(owner, name), [0]
    def call(*arguments):
        calls[0] += 1
        if calls[0] % every == 0:
            raise RuntimeError(f"{name} failed")
        return real(*arguments)
    setattr(owner, name, call)

def tracker(parameters):
    made = create_tracker(parameters)
    fail_sometimes(made.detector, "detect", 11)
    fail_sometimes(made.regressor, "regress", 13)
    return made

end(main(tracker_factory=tracker))
"""
"""The node with the landmark model, whose detector and network fail now and then."""


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


class Watch:
    """Somebody in this process who takes the node's messages and believes none of them."""

    def __init__(self, ros):
        self.ros, self.node = ros, ros.node("watch", enable_rosout=False)
        self.pairs, self.told, self.levels = [], {}, collections.Counter()
        self.images = self.node.create_publisher(Image, "image_raw", RELIABLE)
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", RELIABLE)
        create_subscription(self.node, HandPair, "hands", self._take_pair, RELIABLE)
        create_subscription(self.node, TFMessage, "/tf", self._take_transforms, RELIABLE)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, RELIABLE)

    def wait_for_node(self, process):
        assert self.ros.spin_until(lambda: process.poll() is not None or self.told)
        assert process.poll() is None, process.stdout.read()

    def _take_pair(self, pair):
        for hand in (pair.left, pair.right):
            joints = np.array([(p.x, p.y, p.z) for p in hand.joints])
            if hand.state == Hand.ABSENT:
                assert not hand.valid and not len(joints) and not len(hand.hand_pose) and math.isnan(hand.wrist.position.x)
                continue
            q = hand.wrist.orientation
            assert joints.shape == (21, 3) and np.isfinite(joints).all() and len(hand.hand_pose) == 45
            assert np.isfinite(hand.hand_pose).all() and abs(np.linalg.norm([q.x, q.y, q.z, q.w]) - 1.0) < 1e-6
            assert hand.valid == (hand.state == Hand.TRACKED) == (hand.age == 0.0) and hand.age <= TrackerSettings().hold + 0.05
            assert 0.0 <= hand.confidence <= 1.0 and stamp_of(hand.header) == stamp_of(pair.header)
        self.pairs.append(pair)

    def _take_transforms(self, message):
        for one in message.transforms:
            place, turn = one.transform.translation, one.transform.rotation
            assert all(map(math.isfinite, (place.x, place.y, place.z)))
            assert abs(np.linalg.norm([turn.x, turn.y, turn.z, turn.w]) - 1.0) < 1e-6

    def _take_diagnostics(self, array):
        for status in array.status:
            self.told = {**{value.key: value.value for value in status.values}, "message": status.message}
            self.levels[status.level] += 1

    def count(self, name) -> int:
        return int(self.told.get(name, 0))


class Camera:
    """Sends what a camera may. last: stamp of its newest image; sent: images; seeds: by stamp, of the hands in an image."""

    def __init__(self, ros, watch):
        self.ros, self.watch, self.rng = ros, watch, np.random.default_rng(5)
        self.last, self.sent, self.seeds = watch.node.get_clock().now().nanoseconds, 0, {}
        self._pause = 0.01

    def send(self, message):
        self.watch.images.publish(message)
        self.sent += 1
        self.ros.spin_for(self._pause)

    def good(self, later=PERIOD, **other):
        """An image with hands, so many nanoseconds after the last one, or before it."""
        self.last += later
        seed = int(self.rng.integers(0, 250))
        self.seeds[self.last], began, pause = seed, time.monotonic(), self._pause
        colour = 255, 255, seed
        self.send(other_image(self.last, pixel=colour, **other) if other else image_message(self.last, colour))
        if self.ros.spin_until(lambda: self.watch.pairs and self.shown() == self.last, 2.0):  # else it was lost
            self._pause = min(max(2.0 * (time.monotonic() - began - pause), 0.01), 1.0)  # as long as this computer needs

    def shown(self):
        """The stamp of the newest hands."""
        return stamp_of(self.watch.pairs[-1].header)

    def faulty(self, kind, number):
        """Something of a kind; why it is to be refused, or None."""
        if kind == "malformed":
            message, reason = malformed(int(self.rng.integers(0, 9)) + 10 * number, self.last)
            self.send(message)
            return reason
        if kind in ("doubled", "late"):
            stamp = self.last - (PERIOD // 2 if kind == "late" else 0)
            # taken where the one before was lost
            self.send(image_message(stamp, (255, 255, self.seeds.setdefault(stamp, 0))))
            self.good()
            return "repeated stamp" if kind == "doubled" else "late"
        if kind == "failing":
            self.last += PERIOD
            self.seeds[self.last] = 251
            self.send(image_message(self.last, (255, 255, 251)))
            return "internal error"
        size = (64, 48), (640, 480), (0, 0)
        self.watch.infos.publish(info_message(*size[number % 3], focal=float(self.rng.choice([0.0, 60.0, 1e300]))))
        return None

    def changed(self):
        """An image of another size and encoding."""
        width, height = (int(self.rng.integers(16, 200)) for _ in range(2))
        self.good(width=width, height=height, encoding=str(self.rng.choice(["rgb8", "bgr8", "bgra8"])))


def test_every_fault_of_a_camera_in_one_stream(ros):
    """Five hundred images, half of them malformed, doubled, late, of the future, the past, other sizes and encodings.

    Every hand that is called valid is the one in the image of that stamp, and the counts on /diagnostics are those of what
    was sent.
    """
    watch = Watch(ros)
    process = ros.process("-c", FAKE, "--ros-args", "-p", "diagnostics_period:=0.2")
    watch.wait_for_node(process)
    camera, expected = Camera(ros, watch), collections.Counter()
    while not watch.pairs:  # the node has not found this camera yet
        camera.good()
    told = watch.levels.total()
    assert ros.spin_until(lambda: watch.levels.total() > told + 1)  # the second was made after that
    unheard = watch.count("published") - len(watch.pairs)  # what it published before it had found who watches
    kinds = {"good": 0.5, "malformed": 0.2, "doubled": 0.05, "late": 0.05, "changed": 0.1, "info": 0.05, "failing": 0.05}
    for number in range(400):
        kind = camera.rng.choice([*kinds], p=[*kinds.values()])
        if kind == "good":
            camera.good()
        elif kind == "changed":
            camera.changed()
        elif reason := camera.faulty(kind, number):
            expected[reason] += 1
    for jump in (3600 * SECOND, -7200 * SECOND, 3601 * SECOND):  # the future, the past, and back
        camera.good(jump)
        while not camera.last - SECOND <= camera.shown() <= camera.last:  # it was lost
            camera.good()
    # What the middleware itself drops of a best-effort topic is in no count.
    assert ros.spin_until(
        lambda: (
            0.6 * camera.sent
            < watch.count("published") + watch.count("dropped") + watch.count("refused")
            == watch.count("received")
            <= camera.sent
            and watch.count("published") == len(watch.pairs) + unheard
        )
    ), watch.told
    lost = watch.count("dropped") + camera.sent - watch.count("received")
    assert lost < 0.4 * camera.sent
    for pair in watch.pairs:
        expect = make_pair(seed=camera.seeds[stamp_of(pair.header)])  # KeyError: of an image that was never sent, or refused
        for hand, wanted in ((pair.left, expect.left), (pair.right, expect.right)):
            assert hand.valid
            np.testing.assert_array_equal(hand.hand_pose, np.float32(wanted.hand_pose))
    for reason, count in expected.items():
        assert count - lost <= watch.count(f"refused: {reason}") <= count + lost, (reason, watch.told)
        assert watch.count(f"refused: {reason}"), reason
    assert watch.count("pauses of the camera") >= 1 and watch.count("stamps that went backwards") >= 1
    assert watch.count("stamps ahead of the clock") >= 1
    assert watch.levels[DiagnosticStatus.ERROR] and watch.levels[DiagnosticStatus.WARN]
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENT)
    assert process.returncode == 0 and "exception was never" not in output, output


def test_the_real_node_with_a_camera_that_is_killed_and_a_failing_network(ros, real_data):
    """A real hand at 30 Hz; the camera is killed with -9 and comes back; detector and network fail; malformed images too."""
    watch = Watch(ros)
    process = ros.process("-c", FAILING, "--ros-args", "-p", "diagnostics_period:=0.5", "-p", "reset_gap:=0.5")
    watch.wait_for_node(process)
    video, silent = str(real_data / "video" / "right_hand.mp4"), 0

    def malformed_told():
        return sum(watch.count(f"refused: {reason}") for reason in ("step", "encoding", "size", "data", "stamp", "message"))

    for life in range(2):
        camera = ros.process("-m", "fourdhands_ros.tools.camera", video, "--fov", "60", "--loop")
        before, began, i = sum(pair.right.scaled for pair in watch.pairs), time.monotonic(), 0
        # the first may come before its CameraInfo
        while sum(pair.right.scaled for pair in watch.pairs) < before + 25 or malformed_told() <= 5:
            assert time.monotonic() < began + 2 * PATIENT, watch.told
            ros.spin_for(0.2)
            if i % 10 != 9:
                watch.images.publish(malformed(i, time.time_ns())[0])
            i += 1
        camera.send_signal(signal.SIGKILL)
        camera.wait()
        assert ros.spin_until(lambda: watch.told["message"] == "no images")
        silent += 1
    seen = [pair for pair in watch.pairs if pair.right.valid]
    assert not any(pair.left.valid for pair in watch.pairs), "there is no left hand in this video"
    far = [round(pair.right.wrist.position.z, 3) for pair in seen if pair.right.scaled]
    assert all(0.1 < z < 2.0 for z in far) and silent == 2, far
    stamps = [stamp_of(pair.header) for pair in watch.pairs]
    assert stamps == sorted(set(stamps)), "a result came twice or out of order"
    assert watch.count("refused: internal error") >= 4 and watch.count("pauses of the camera") >= 1
    assert malformed_told() > 5
    assert watch.levels[DiagnosticStatus.ERROR] and watch.levels[DiagnosticStatus.STALE]
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENT)
    assert process.returncode == 0 and "failed" in output, output
