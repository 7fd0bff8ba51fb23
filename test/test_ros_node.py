"""The node over real topics: images in, hands out, and nothing that a camera sends stops it."""

import array
import time

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_support import FACES, FakeTracker, Ros, image_message, info_message, make_pair, stamp_to
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from fourdhands_core.errors import AssetError
from fourdhands_ros.message_types import HandFaces, HandPair, TFMessage, create_subscription
from fourdhands_ros.node import HandsNode

SECOND = 10**9
T0 = 1_700_000_000 * SECOND
PERIOD = SECOND // 30
RELIABLE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Bench:
    """The node with a FakeTracker in this process, a camera and a user of every output, on one domain."""

    def __init__(self, parameters=None, tracker=None, compressed=False, markers=True, activate=True):
        self.ros = Ros()
        self.tracker = tracker or FakeTracker()
        overrides = {"diagnostics_period": 0.2, **(parameters or {})}
        self.node = self.ros.add(HandsNode(
            lambda _: self.tracker, context=self.ros.context, enable_rosout=False,
            parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()]))
        user = self.user = self.ros.node()
        # Reliable with a deep queue, so that every message of a test arrives; the node takes the newest all the same.
        self.images = user.create_publisher(
            CompressedImage if compressed else Image, "image_raw" + ("/compressed" if compressed else ""), RELIABLE)
        self.infos = user.create_publisher(CameraInfo, "camera_info", RELIABLE)
        self.pairs, self.transforms, self.markers, self.faces, self.diagnostics = [], [], [], [], []
        create_subscription(user, HandPair, "hands", self.pairs.append, RELIABLE)
        create_subscription(user, TFMessage, "/tf", self.transforms.append, RELIABLE)
        create_subscription(user, HandFaces, "hands/faces", self.faces.append, LATCHED)
        user.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        if markers:
            user.create_subscription(MarkerArray, "hands/markers", self.markers.append, RELIABLE)
        if activate:
            self.activate()

    def activate(self):
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.connect()

    def connect(self):
        outputs = self.node._outputs
        assert self.ros.spin_until(lambda: self.images.get_subscription_count() and self.infos.get_subscription_count()
                                   and outputs._hands.get_subscription_count()
                                   and outputs._tf.get_subscription_count())
        self.ros.spin_for(0.2)

    def send(self, message) -> None:
        """Publish an image and wait until the node has dealt with it."""
        statistics = self.node._statistics
        before = statistics.received
        self.images.publish(message)
        assert self.ros.spin_until(lambda: statistics.received > before), "the image did not arrive"
        assert self.ros.spin_until(
            lambda: statistics.published + statistics.dropped + statistics.rejected == statistics.received)

    def good(self, stamp, pixel=(255, 255, 0), **kwargs):
        """Send a good image and return the HandPair that comes of it."""
        before = len(self.pairs)
        self.send(image_message(stamp, pixel, **kwargs))
        assert self.ros.spin_until(lambda: len(self.pairs) > before), "no HandPair came"
        return self.pairs[-1]

    def diagnosis(self) -> dict:
        """The values of the next diagnostics, with its level and message."""
        self.diagnostics.clear()
        assert self.ros.spin_until(lambda: len(self.diagnostics) > 1)
        status = self.diagnostics[-1].status[0]
        return {**{v.key: v.value for v in status.values}, "level": status.level, "message": status.message}

    def close(self):
        self.ros.close()


@pytest.fixture
def bench(request):
    made = []

    def make(*args, **kwargs):
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close()


def stamp_of(header) -> int:
    return header.stamp.sec * SECOND + header.stamp.nanosec


def test_images_in_hands_out(bench):
    """HandPair, TF and both meshes of an image, with its stamp and frame, on every output."""
    bench = bench({"tf": "joints", "frame_prefix": "robot/", "publish_vertices": True})
    bench.infos.publish(info_message())
    bench.ros.spin_for(0.3)
    stamp = T0 + 123_456_789
    pair = bench.good(stamp, (255, 255, 5))
    expected = make_pair(stamp, vertices=True, seed=5)
    assert stamp_of(pair.header) == stamp and pair.header.frame_id == "camera"
    for message, hand in zip((pair.left, pair.right), expected.hands):
        assert message.valid and message.scaled and stamp_of(message.header) == stamp
        np.testing.assert_array_equal([(p.x, p.y, p.z) for p in message.joints], hand.joints)
        np.testing.assert_array_equal(message.vertices, hand.vertices.ravel().astype(np.float32))
    assert (pair.network, pair.left.model) == ("landmark", "generic")
    assert list(pair.latency_stages) == ["transport", "wait", "decode", "detect", "network", "total"]
    assert np.isnan(pair.latency[0])  # the stamp is years old: another clock
    assert 0 < pair.latency[5] < 1
    assert (pair.frames_published, pair.frames_dropped, pair.frames_rejected) == (1, 0, 0)

    assert bench.ros.spin_until(lambda: bench.transforms and bench.markers and bench.faces)
    frames = {t.child_frame_id: t for t in bench.transforms[0].transforms}
    assert len(frames) == 42 and frames["robot/left_wrist"].header.frame_id == "camera"
    assert frames["robot/right_thumb_2"].header.frame_id == "robot/right_thumb_1"
    wrist = frames["robot/right_wrist"].transform.translation
    np.testing.assert_array_equal([wrist.x, wrist.y, wrist.z], expected.right.joints[0])
    assert {stamp_of(t.header) for t in frames.values()} == {stamp}
    left, right = bench.markers[0].markers
    assert stamp_of(left.header) == stamp and (left.id, right.id) == (0, 1)
    np.testing.assert_array_equal([(p.x, p.y, p.z) for p in right.points],
                                  expected.right.vertices[FACES[:, ::-1]].reshape(-1, 3))
    np.testing.assert_array_equal(bench.faces[0].left, FACES.ravel())


def test_hands_come_and_go(bench):
    """One hand, none, both: validity, frames and meshes follow; a lost mesh is deleted once."""
    bench = bench()
    only_left = bench.good(T0, (255, 0, 0))
    assert only_left.left.valid and not only_left.right.valid and len(only_left.right.joints) == 0
    assert np.isnan(only_left.left_root_relative.x) and only_left.left_root_source == HandPair.NONE
    none = bench.good(T0 + PERIOD, (0, 0, 0))
    assert not none.left.valid and not none.right.valid
    both = bench.good(T0 + 2 * PERIOD)
    assert both.left.valid and both.right.valid and both.left_root_source == HandPair.JOINT
    assert bench.ros.spin_until(lambda: len(bench.markers) == 3 and len(bench.transforms) == 2)
    assert [[(m.id, m.action) for m in array_.markers] for array_ in bench.markers] == [
        [(0, 0)], [(0, 2)], [(0, 0), (1, 0)]]
    assert [[t.child_frame_id for t in message.transforms] for message in bench.transforms] == [
        ["left_wrist"], ["left_wrist", "right_wrist"]]


def test_meshes_only_while_somebody_subscribes(bench):
    bench = bench(markers=False)
    assert not bench.node._outputs.wants_vertices and len(bench.good(T0).left.vertices) == 0
    subscription = bench.user.create_subscription(MarkerArray, "hands/markers", bench.markers.append, 1)
    assert bench.ros.spin_until(lambda: bench.node._outputs.wants_vertices)
    bench.good(T0 + PERIOD)
    assert bench.ros.spin_until(lambda: bench.markers)
    bench.user.destroy_subscription(subscription)
    assert bench.ros.spin_until(lambda: not bench.node._outputs.wants_vertices)


def test_compressed_images(bench):
    bench = bench({"image_transport": "compressed"}, compressed=True)
    picture = np.full((48, 64, 3), (0, 255, 255), np.uint8)  # BGR: red and green
    message = CompressedImage(format="jpeg", data=array.array("B", cv2.imencode(".jpg", picture)[1].tobytes()))
    stamp_to(message, T0)
    bench.send(message)
    assert bench.ros.spin_until(lambda: bench.pairs)
    assert stamp_of(bench.pairs[0].header) == T0 and bench.pairs[0].left.valid and bench.pairs[0].right.valid
    message.data = array.array("B", b"not a jpeg")
    bench.send(message)
    assert bench.node._statistics.refused == {"compressed": 1}


def malformed(i: int, good_stamp: int):
    """The i-th of many malformed inputs: (image or bytes, reason it is counted under)."""
    kind, stamp = i % 10, good_stamp + 1000 + i
    if kind == 8:
        return bytes([0, 1, 0, 0]) + np.random.default_rng(i).bytes(i % 300), "message"
    if kind == 9:
        return image_message(good_stamp), "repeated stamp"
    message = image_message(stamp)
    if kind == 0:
        message.step = (0, 17, 191, 193, 2**32 - 1)[i // 10 % 5]
        return message, "step" if message.step < 192 else "data"
    if kind == 1:
        message.encoding = ("", "rgb9", "32FC1", "\U0001f44b", "h264")[i // 10 % 5]
        return message, "encoding"
    if kind == 2:
        message.width = 0
    elif kind == 3:
        message.height = 0
    elif kind == 4:
        message.width, message.height, message.step = 2**31, 2**31, 2**31
    elif kind in (5, 6):
        message.data = message.data[:(0, 1, 9215)[i // 10 % 3]] if kind == 5 else message.data + message.data
        return message, "data"
    else:
        message.header.stamp.sec = -1 - i
        return message, "stamp"
    return message, "size"


def test_a_thousand_malformed_images(bench):
    """All refused under their names, none changes a result, and the next good image is answered in full."""
    bench = bench()
    first = bench.good(T0)
    expected = {}
    for i in range(1000):
        message, reason = malformed(i, T0)
        bench.send(message)
        expected[reason] = expected.get(reason, 0) + 1
    statistics = bench.node._statistics
    assert dict(statistics.refused) == expected and statistics.rejected == 1000
    assert len(bench.pairs) == 1 and bench.tracker.resets == 0
    diagnosis = bench.diagnosis()
    assert diagnosis["refused"] == "1000" and diagnosis["refused: encoding"] == "100"
    last = bench.good(T0 + PERIOD, (255, 255, 0))
    assert last.frames_rejected == 1000 and last.frames_published == 2
    for field in ("hand_pose", "betas", "joints_2d"):
        np.testing.assert_array_equal(getattr(last.left, field), getattr(first.left, field))


def test_malformed_camera_info_in_between(bench):
    """Zero, NaN and negative intrinsics, other sizes, garbage: positions unscaled, then scaled again."""
    bench = bench()
    nan = float("nan")
    stamp = T0
    bad = []
    for matrix in ([0.0] * 9, [nan] * 9, [-60.0, 0, 31, 0, -60, 23, 0, 0, 1], [60.0, 0, nan, 0, 60, 23, 0, 0, 1]):
        bad.append(info_message())
        bad[-1].k = matrix
    bad += [info_message(0, 0), info_message(640, 360), bytes([0, 1, 0, 0]), b"garbage"]
    cameras, events = bench.node._cameras, bench.node._statistics.events

    def takes(message, taken):
        bench.infos.publish(message)
        assert bench.ros.spin_until(taken)

    for i in range(80):
        takes(info_message(), lambda: cameras.camera_for(64, 48).calibrated)
        message, unpacked = bad[i % len(bad)], events.total()
        takes(message, lambda: events.total() > unpacked or not cameras.camera_for(64, 48).calibrated)
        stamp += PERIOD
        assert bench.good(stamp).left.valid
        assert (cameras.state == "calibrated") == isinstance(message, bytes)
    takes(info_message(), lambda: cameras.camera_for(64, 48).calibrated)
    bench.good(stamp + PERIOD)
    assert cameras.state == "calibrated" and events["CameraInfo messages that do not unpack"] == 20


def test_time_that_goes_backwards(bench):
    """A bag played again: tracking starts anew and goes on; an image sent twice is left out."""
    bench = bench()
    for loop in range(3):
        for i in range(5):
            assert stamp_of(bench.good(T0 + i * PERIOD).header) == T0 + i * PERIOD
        bench.send(image_message(T0 + 4 * PERIOD))
    assert bench.tracker.resets == 2
    assert bench.node._statistics.refused == {"repeated stamp": 3}
    assert bench.diagnosis()["stamps that went backwards"] == "2"


def test_a_camera_that_pauses(bench):
    """After ten seconds tracking starts anew; after a short hiccup it does not."""
    bench = bench()
    bench.good(T0)
    bench.good(T0 + SECOND)
    assert bench.tracker.resets == 0
    assert bench.good(T0 + 11 * SECOND).left.valid
    assert bench.tracker.resets == 1
    assert bench.diagnosis()["pauses of the camera"] == "1"


def test_a_bug_in_the_tracker_ends_one_image_only(bench):
    bench = bench()
    bench.good(T0)
    bench.send(image_message(T0 + PERIOD, (255, 255, 251)))
    assert bench.node._statistics.refused == {"internal error": 1}
    assert bench.good(T0 + 2 * PERIOD).left.valid
    assert bench.tracker.resets == 1


def test_the_newest_image_wins(bench):
    """Images that come faster than they are processed are dropped, counted, and the last one is not among them."""
    bench = bench(tracker=FakeTracker(delay=0.05))
    bench.good(T0)
    for i in range(1, 41):
        bench.images.publish(image_message(T0 + i * PERIOD))
        bench.ros.spin_for(0.005)
    last = T0 + 40 * PERIOD
    assert bench.ros.spin_until(lambda: stamp_of(bench.pairs[-1].header) == last)
    statistics = bench.node._statistics
    stamps = [stamp_of(pair.header) for pair in bench.pairs]
    assert stamps == sorted(stamps) and 3 <= len(stamps) < 40
    assert statistics.dropped > 0 and statistics.published + statistics.dropped == statistics.received
    assert bench.pairs[-1].frames_dropped == statistics.dropped


def test_uncalibrated_says_so(bench):
    """Without CameraInfo an assumed field of view; with zeros at once; both in diagnostics."""
    bench = bench({"default_fov": 90.0})
    bench.good(T0)
    assert bench.node._cameras.camera_for(64, 48).matrix[0, 0] == pytest.approx(32.0)
    diagnosis = bench.diagnosis()
    assert diagnosis["calibration"] == "unknown: no CameraInfo has been received"
    message = info_message()
    message.k = [0.0] * 9
    bench.infos.publish(message)
    assert bench.ros.spin_until(lambda: bench.node._cameras._newest[1] == "uncalibrated")
    bench.good(T0 + PERIOD)
    assert bench.diagnosis()["calibration"].startswith("uncalibrated: the focal length")


def test_parameters_change_while_running(bench):
    """Outputs follow at once; a bad value is refused with its name and changes nothing."""
    bench = bench()
    client = bench.user.create_client(SetParameters, f"{bench.node.get_name()}/set_parameters")
    assert bench.ros.spin_until(client.service_is_ready)

    def set_parameter(name, value):
        future = client.call_async(SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()]))
        assert bench.ros.spin_until(future.done)
        return future.result().results[0]

    bench.good(T0)
    assert set_parameter("tf", "joints").successful and set_parameter("frame_prefix", "a/").successful
    bench.good(T0 + PERIOD)
    assert bench.ros.spin_until(lambda: len(bench.transforms) == 2)
    assert [len(message.transforms) for message in bench.transforms] == [2, 42]
    assert set_parameter("tf", "none").successful
    for name, value, words in [
            ("tf", "all", "parameter tf: 'all' is not one of none, wrist, joints"), ("default_fov", 400.0, "default_fov"),
            ("default_fov", float("nan"), "default_fov"), ("frame_prefix", "a b", "parameter frame_prefix: 'a b'"),
            ("marker_lifetime", -1.0, "marker_lifetime"), ("mirrored", True, "mirrored"), ("tf", 3, "expected 'Type.STRING'")]:
        result = set_parameter(name, value)
        assert not result.successful and words in result.reason
    assert bench.node.parameters.tf == "none" and bench.node.parameters.frame_prefix == "a/"
    bench.good(T0 + 2 * PERIOD)
    bench.ros.spin_for(0.2)
    assert len(bench.transforms) == 2


def test_an_image_without_a_frame_has_no_transforms(bench):
    """tf2 refuses a frame without a name; the message goes out all the same."""
    bench = bench()
    assert bench.good(T0, frame_id="").left.valid
    bench.good(T0 + PERIOD)
    assert bench.ros.spin_until(lambda: bench.transforms)
    assert bench.transforms[0].transforms[0].header.frame_id == "camera"


def test_lifecycle_over_services(bench):
    """Deactivation releases the model and the topics; activation brings all back."""
    bench = bench(activate=False)
    client = bench.user.create_client(ChangeState, f"{bench.node.get_name()}/change_state")
    assert bench.ros.spin_until(client.service_is_ready)

    def change(label) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        future = client.call_async(request)
        assert bench.ros.spin_until(future.done)
        return future.result().success

    assert change("configure") and not bench.images.get_subscription_count()
    for i in range(2):
        assert change("activate")
        bench.connect()
        assert bench.good(T0 + i * PERIOD).frames_published == 1
        assert change("deactivate")
        assert bench.tracker.closed
        assert bench.ros.spin_until(lambda: not bench.images.get_subscription_count())
        bench.tracker = FakeTracker()
    assert change("cleanup")


def test_a_model_that_does_not_load(bench):
    """Activation fails with the reason in the log, and can be tried again."""
    bench = bench(activate=False)
    logged = []
    bench.node.get_logger().error = logged.append

    def fail(_):
        raise AssetError("weights.safetensors does not exist; give a file")

    bench.node._tracker_factory, works = fail, bench.node._tracker_factory
    assert bench.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert bench.node.trigger_activate() == TransitionCallbackReturn.FAILURE
    bench.node._tracker_factory = works
    assert bench.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.connect()
    assert bench.good(T0).left.valid


def test_diagnostics(bench):
    """Rates, latencies by stage, states of the hands and what runs."""
    bench = bench()
    bench.infos.publish(info_message())
    assert bench.ros.spin_until(lambda: bench.node._cameras._newest[1] == "calibrated")
    seen = []
    for i in range(30):
        bench.good(T0 + i * PERIOD, (255, 0, 0))
        seen += bench.diagnostics
        bench.diagnostics.clear()
    values = [{v.key: v.value for v in message.status[0].values} for message in seen]
    busy = next(v for v in reversed(values) if "detect p50 (ms)" in v)
    assert busy["detect p50 (ms)"] == "25.00" and float(busy["total p99 (ms)"]) > 0
    assert float(busy["input rate (Hz)"]) > 0 and float(busy["output rate (Hz)"]) > 0
    assert (busy["left hand"], busy["right hand"]) == ("tracked", "absent")
    assert (busy["network"], busy["device"], busy["calibration"]) == ("landmark", "cpu", "calibrated")
    time.sleep(0.5)
    quiet = bench.diagnosis()
    assert quiet["message"] == "no images"
