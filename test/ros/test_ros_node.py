"""The node over real topics: images in, hands out; parameters, lifecycle and diagnostics."""

import array
import itertools
import threading
import time

import cv2
import numpy as np
import pytest
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_support import FACES, PATIENT, PERIOD, T0, FakeTracker, image_message, info_message, make_pair, stamp_of, stamp_to
from sensor_msgs.msg import CompressedImage
from visualization_msgs.msg import MarkerArray

from fourdhands_core.errors import AssetError
from fourdhands_ros.pypi.message_types import HandPair


def test_images_in_hands_out(bench):
    """HandPair, TF and both meshes of an image, with its stamp and frame, on every output."""
    bench = bench({"tf": "joints", "frame_prefix": "robot/", "publish_vertices": True})
    bench.inform(info_message())
    stamp = T0 + 123_456_789
    pair = bench.good(stamp, (255, 255, 5))
    expected = make_pair(stamp, vertices=True, seed=5)
    assert stamp_of(pair.header) == stamp and pair.header.frame_id == "camera"
    for message, hand in zip((pair.left, pair.right), expected.hands):
        assert message.valid and message.scaled and stamp_of(message.header) == stamp
        np.testing.assert_array_equal([(p.x, p.y, p.z) for p in message.joints], hand.joints)
        np.testing.assert_array_equal(message.vertices, hand.vertices.ravel().astype(np.float32))
    assert (pair.network, pair.left.model) == ("landmark", "human")
    assert list(pair.latency_stages) == ["transport", "wait", "decode", "detect", "network", "total"]
    assert np.isnan(pair.latency[0])  # the stamp is years old: another clock
    assert pair.latency[5] > 0
    assert (pair.frames_published, pair.frames_dropped, pair.frames_rejected) == (1, 0, 0)

    assert bench.ros.spin_until(lambda: bench.transforms and bench.markers and bench.faces)
    frames = {t.child_frame_id: t for t in bench.transforms[0].transforms}
    assert len(frames) == 42 and frames["robot/left_wrist"].header.frame_id == "camera"
    assert frames["robot/right_thumb_2"].header.frame_id == "robot/right_thumb_1"
    wrist = frames["robot/right_wrist"].transform.translation
    np.testing.assert_allclose([wrist.x, wrist.y, wrist.z], expected.right.joints[0], rtol=0, atol=1e-9)
    assert {stamp_of(t.header) for t in frames.values()} == {stamp}
    left, right = bench.markers[0].markers
    assert stamp_of(left.header) == stamp and (left.id, right.id) == (0, 1)
    np.testing.assert_array_equal(
        [(p.x, p.y, p.z) for p in right.points], expected.right.vertices[FACES[:, ::-1]].reshape(-1, 3)
    )
    np.testing.assert_array_equal(bench.faces[0].left, FACES.ravel())


@pytest.mark.parametrize("before", [0.05, 1.5])
def test_how_old_an_image_is_when_it_arrives(bench, before):
    """Seconds since its stamp: those who act on hands leave out old ones by it."""
    bench = bench()
    stamp = time.time_ns() - round(before * 1e9)
    pair = bench.good(stamp)
    transport = dict(zip(pair.latency_stages, pair.latency))["transport"]
    since = (time.time_ns() - stamp) * 1e-9
    assert before - 1e-3 < transport < since or (np.isnan(transport) and since > 10.0)


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
    assert [[(m.id, m.action) for m in array_.markers] for array_ in bench.markers] == [[(0, 0)], [(0, 2)], [(0, 0), (1, 0)]]
    assert [[t.child_frame_id for t in message.transforms] for message in bench.transforms] == [
        ["left_wrist"],
        ["left_wrist", "right_wrist"],
    ]


def test_meshes_only_while_somebody_subscribes(bench):
    bench = bench(markers=False)
    assert not bench.channel.outputs.wants_vertices and len(bench.good(T0).left.vertices) == 0
    subscription = bench.user.create_subscription(MarkerArray, "hands/markers", bench.markers.append, 1, raw=True)
    assert bench.ros.spin_until(lambda: bench.channel.outputs.wants_vertices)
    bench.good(T0 + PERIOD)
    assert bench.ros.spin_until(lambda: bench.markers)
    bench.user.destroy_subscription(subscription)
    assert bench.ros.spin_until(lambda: not bench.channel.outputs.wants_vertices)


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
    assert bench.channel.statistics.refused == {"compressed": 1}


def test_the_newest_image_wins(bench):
    """Images that come while one is in work are dropped, counted, and the last one is not among them."""
    at_work, go_on = threading.Event(), threading.Event()

    class Busy(FakeTracker):
        def observe(self, image, stamp, *args, **kwargs):
            if stamp != T0:
                at_work.set()
                assert go_on.wait(PATIENT)
            return super().observe(image, stamp, *args, **kwargs)

    bench = bench(tracker=Busy())
    bench.good(T0)
    statistics = bench.channel.statistics
    for i in range(1, 41):
        bench.images.publish(image_message(T0 + i * PERIOD))
        assert bench.ros.spin_until(lambda: statistics.received == i + 1)
        assert bench.ros.spin_until(at_work.is_set)  # the first of them is in work when the others come
    go_on.set()
    last = T0 + 40 * PERIOD
    assert bench.ros.spin_until(lambda: stamp_of(bench.pairs[-1].header) == last)
    stamps = [stamp_of(pair.header) for pair in bench.pairs]
    assert stamps == sorted(stamps) and 3 <= len(stamps) < 6
    # a pair is counted after it is published, so it may arrive here before it is counted
    assert bench.ros.spin_until(lambda: statistics.published + statistics.dropped == statistics.received)
    assert bench.pairs[-1].frames_dropped == statistics.dropped > 30


def test_parameters_change_while_running(bench):
    """Outputs follow at once; a bad value is refused with its name and changes nothing."""
    bench = bench()
    client = bench.user.create_client(SetParameters, f"{bench.node.get_name()}/set_parameters")
    assert bench.ros.spin_until(client.service_is_ready)

    def set_parameter(name, value):
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        future = client.call_async(request)
        assert bench.ros.spin_until(future.done)
        return future.result().results[0]

    bench.good(T0)
    for name, value in ("hold", 0.1), ("smoothing", 0.0), ("detect_every", 2):
        assert set_parameter(name, value).successful and getattr(bench.tracker.settings, name) == value
    assert set_parameter("tf", "joints").successful and set_parameter("frame_prefix", "a/").successful
    bench.good(T0 + PERIOD)
    assert bench.ros.spin_until(lambda: len(bench.transforms) == 2)
    assert [len(message.transforms) for message in bench.transforms] == [2, 42]
    assert set_parameter("tf", "none").successful
    for name, value, words in [
        ("tf", "all", "parameter tf: 'all' is not one of none, wrist, joints"),
        ("default_fov", 400.0, "default_fov"),
        ("default_fov", float("nan"), "default_fov"),
        ("frame_prefix", "a b", "parameter frame_prefix: 'a b'"),
        ("marker_lifetime", -1.0, "marker_lifetime"),
        ("mirrored", True, "mirrored"),
        ("cameras", ["a"], "cameras"),
        ("tf", 3, "expected 'Type.STRING'"),
    ]:
        result = set_parameter(name, value)
        assert not result.successful and words in result.reason
    assert bench.node.parameters.tf == "none" and bench.node.parameters.frame_prefix == "a/"
    bench.good(T0 + 2 * PERIOD)
    bench.ros.spin_for(0.2)
    assert len(bench.transforms) == 2


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


def test_estimates_that_wait_for_later_images_are_published_at_the_end(bench):
    """With lookahead the last images' hands come when the node is deactivated, each with its own stamp; none is lost."""

    class Late(FakeTracker):
        """Estimates each frame when two more are there."""

        def __init__(self):
            super().__init__()
            self.frames = []

        def estimate(self, frame, with_vertices=False):
            self.frames.append(frame)
            return self.flush(with_vertices) if len(self.frames) > 2 else None

        def flush(self, with_vertices=False):
            return super().estimate(self.frames.pop(0), with_vertices) if self.frames else None

        def reset(self):
            super().reset()
            self.frames = [frame for frame in self.frames if frame.first]

    bench = bench(tracker=Late())
    statistics = bench.channel.statistics
    sent, published = [], []
    publish = bench.channel.outputs.publish
    bench.channel.outputs.publish = lambda estimate, *rest: published.append(estimate.stamp) or publish(estimate, *rest)
    for k in range(5):
        sent.append(T0 + k * PERIOD)
        bench.images.publish(image_message(sent[-1]))
        assert bench.ros.spin_until(lambda: len(bench.tracker.frames) + len(published) > k)
    assert bench.ros.spin_until(lambda: statistics.published == 3)
    assert bench.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert published == sent and statistics.published == 5 and not statistics.refused


def test_a_model_that_does_not_load(bench):
    """Activation fails with the reason in the log, and can be tried again."""
    bench = bench(activate=False)
    logged = []
    bench.node.get_logger().error = logged.append

    def fail(_):
        raise AssetError("weights.safetensors does not exist; give a file")

    bench.node.tracker_factory, works = fail, bench.node.tracker_factory
    assert bench.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert bench.node.trigger_activate() == TransitionCallbackReturn.FAILURE
    bench.node.tracker_factory = works
    assert bench.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.connect()
    assert bench.good(T0).left.valid


@pytest.mark.parametrize(
    "topic, ending", [("hands", "publisher"), ("image_raw", "subscription"), ("camera_info", "subscription")]
)
def test_a_topic_that_cannot_be_opened(bench, topic, ending):
    """A QoS override that is none: activation fails, says why, and leaves neither a thread nor a tracker nor a topic."""
    threads = set(threading.enumerate())
    bench = bench({f"qos_overrides./{topic}.{ending}.depth": "many"}, activate=False)
    logged = []

    opened = set("/image_raw /camera_info /hands /hands/faces /hands/markers /hands/debug_image /tf /diagnostics".split())

    def topics():
        own = bench.node.get_name(), bench.node.get_namespace()
        found = [
            *bench.node.get_publisher_names_and_types_by_node(*own),
            *bench.node.get_subscriber_names_and_types_by_node(*own),
        ]
        return {name for name, _ in found}

    bench.node.get_logger().error = logged.append
    assert bench.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    for _ in range(2):
        assert bench.node.trigger_activate() == TransitionCallbackReturn.FAILURE
        assert f"{topic}.{ending}.depth" in logged[-1] and bench.tracker.closed and not bench.node.channels
    assert not set(threading.enumerate()) - threads
    assert not list(bench.node.timers) and len(list(bench.node.subscriptions)) <= 1  # /parameter_events or none
    assert bench.ros.spin_until(lambda: not topics() & opened)


def test_diagnostics_go_on_where_a_simulation_stands_still(bench):
    bench = bench({"use_sim_time": True})
    assert bench.diagnosis()["message"] == "no images"
    bench.good(T0)


def test_diagnostics(bench):
    """Rates, latencies by stage, states of the hands and what runs."""
    bench = bench()
    bench.inform(info_message())
    stamps, busy = itertools.count(T0, PERIOD), {}

    def told():
        bench.good(next(stamps), (255, 0, 0))
        for message in bench.diagnostics:
            busy.update((value.key, value.value) for value in message.status[0].values)
        bench.diagnostics.clear()
        # Of a time in which an image both came and was answered.
        return "detect p50 (ms)" in busy and float(busy["input rate (Hz)"]) > 0 and float(busy["output rate (Hz)"]) > 0

    assert bench.ros.spin_until(told)
    assert busy["detect p50 (ms)"] == "25.00" and float(busy["total p99 (ms)"]) > 0
    assert (busy["left hand"], busy["right hand"]) == ("tracked", "absent")
    assert (busy["network"], busy["device"], busy["calibration"]) == ("landmark", "cpu", "calibrated")
    assert bench.ros.spin_until(lambda: bench.diagnosis()["message"] == "no images")
