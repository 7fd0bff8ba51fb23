"""Frames on /tf that somebody else publishes too are told, whoever that is; a node's own never are."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_support import PERIOD, RELIABLE, T0, FakeTracker, hands_node, image_message
from sensor_msgs.msg import Image
from test_ros_transforms import message as tf_message

from fourdhands_core.geometry.rigid import Rigid
from fourdhands_ros.node import frame_watch
from fourdhands_ros.pypi.message_types import HandPair, TFMessage


def transforms(*frames) -> bytes:
    """A serialised TFMessage of (parent, child) frames."""
    return tf_message(*((parent, child, Rigid(), 1_000_000_002) for parent, child in frames))


class Scene:
    """A bench with calibration, and another node to publish transforms from. said: the node's warnings."""

    def __init__(self, bench, monkeypatch, **parameters):
        self.bench, self.stamp, self.said = bench(parameters), T0, []
        logger = type(self.bench.node.get_logger())
        monkeypatch.setattr(logger, "warning", lambda _, text, **__: self.said.append(text), raising=False)
        self.bench.channel.cameras.state = "calibrated"
        self.other = self.bench.ros.node("robot", namespace="/arm")

    def publisher(self, topic="/tf"):
        durability = DurabilityPolicy.TRANSIENT_LOCAL if topic == "/tf_static" else DurabilityPolicy.VOLATILE
        publisher = self.other.create_publisher(TFMessage, topic, QoSProfile(depth=10, durability=durability))
        assert self.bench.ros.spin_until(lambda: publisher.get_subscription_count() >= 1 + (topic == "/tf"))
        return publisher

    def told(self, publish, while_) -> bool:
        """Whether `while_` of the conflict's words comes true while both publish."""

        def again():
            publish()
            self.stamp += PERIOD
            self.bench.good(self.stamp)
            return while_(self.conflict())

        return self.bench.ros.spin_until(again)

    def conflict(self) -> str:
        """The conflict that the bench's node tells of next, or ""."""
        bench = self.bench
        bench.diagnostics.clear()
        own = []

        def told():
            own[:] = [status for array in bench.diagnostics for status in array.status if status.name == "hands: hands"]
            return len(own) > 1

        assert bench.ros.spin_until(told)
        return next((value.value for value in own[-1].values if value.key == "conflict"), "")


@pytest.mark.parametrize("topic", ["/tf", "/tf_static"])
def test_a_robots_link_of_the_same_name(bench, monkeypatch, topic):
    scene = Scene(bench, monkeypatch)
    publisher = scene.publisher(topic)
    other = transforms(("base_link", "elbow"), ("base_link", "left_wrist"))
    assert scene.told(lambda: publisher.publish(other), lambda words: "left_wrist" in words)
    assert scene.told(lambda: publisher.publish(other), lambda words: "/arm/robot" in words and "frame_prefix" in words)
    assert [text for text in scene.said if "left_wrist" in text and "right_wrist" not in text]
    assert sum("left_wrist" in text for text in scene.said) == 1, "said once"


@pytest.mark.parametrize(
    "frames",
    [
        [("left_wrist", "tool")],
        [("camera", "a/left_wrist")],
        [("base", "left_wrist_yaw_link")],
        [("camera", "right_thumb_1")],
        [],
    ],
    ids=["a parent", "a prefix", "longer", "not published", "empty"],
)
def test_other_frames_are_no_conflict(bench, monkeypatch, frames):
    scene = Scene(bench, monkeypatch)
    publisher = scene.publisher()
    for _ in range(4):
        assert scene.told(lambda: publisher.publish(transforms(*frames)), lambda words: not words)


def test_what_is_no_tf_message_names_nothing():
    assert frame_watch._children(b"\0\1\0\0nonsense with left_wrist") == [] == frame_watch._children(b"")


def test_joints_count_where_they_are_published(bench, monkeypatch):
    scene = Scene(bench, monkeypatch, tf="joints", frame_prefix="a/")
    publisher = scene.publisher()
    assert scene.told(
        lambda: publisher.publish(transforms(("camera", "/a/right_thumb_1"))), lambda words: "a/right_thumb_1" in words
    )


def test_two_nodes_in_two_namespaces(bench, monkeypatch):
    """Both are told, until one of them has a prefix; a node alone is not."""
    monkeypatch.setattr(frame_watch, "_MEMORY", 1.0)
    scene = Scene(bench, monkeypatch)
    bench, ros = scene.bench, scene.bench.ros
    assert scene.told(lambda: None, lambda words: not words)
    second = hands_node(ros, {"diagnostics_period": 0.2}, namespace="/b")
    second.trigger_configure()
    second.trigger_activate()
    images = bench.user.create_publisher(Image, "/b/image_raw", RELIABLE)
    assert ros.spin_until(images.get_subscription_count)

    def both():
        images.publish(image_message(scene.stamp + 5, (255, 255, 9)))

    assert scene.told(both, lambda words: "left_wrist, right_wrist" in words and "/b/hands" in words)
    assert scene.told(
        both,
        lambda _: any(
            status.name == "b/hands: hands" and "/hands" in value.value
            for array in bench.diagnostics
            for status in array.status
            for value in status.values
            if value.key == "conflict"
        ),
    )
    second.set_parameters([Parameter("frame_prefix", value="b/")])
    assert scene.told(both, lambda words: not words)


def test_a_node_that_was_started_twice_is_not_taken_for_a_robots(bench, monkeypatch):
    """Whoever else publishes transforms was named, such as a robot_state_publisher."""
    scene = Scene(bench, monkeypatch)
    scene.publisher()
    twin = scene.bench.ros.node(scene.bench.node.get_name()).create_publisher(TFMessage, "/tf", 10)
    assert scene.bench.ros.spin_until(lambda: twin.get_subscription_count() >= 2)
    own = transforms(("camera", "left_wrist"))
    assert scene.told(lambda: twin.publish(own), lambda words: "(a node of the same name on /tf): left_wrist" in words)


def test_two_nodes_of_one_topic(bench, monkeypatch):
    """Another node that publishes `hands`, such as a player beside the live node."""
    scene = Scene(bench, monkeypatch)

    scene.other.create_publisher(HandPair, "/hands", 1)
    assert scene.told(lambda: None, lambda words: "another node publishes /hands" in words)
    levels = {}

    def warned(_):
        levels.update({one.message: one.level for array in scene.bench.diagnostics for one in array.status})
        return any("another node publishes" in message and level == DiagnosticStatus.WARN for message, level in levels.items())

    assert scene.told(lambda: None, warned)


def test_two_cameras_of_one_topic(bench, monkeypatch):
    """Images of both were taken by turns, and the node called it tracking."""
    scene = Scene(bench, monkeypatch)
    scene.other.create_publisher(Image, "/image_raw", 1)
    assert scene.told(
        lambda: None, lambda words: words.startswith("2 programs publish /image_raw, and images of all are taken")
    )


def test_changes_of_the_own_frames_are_no_conflict(bench, monkeypatch):
    scene = Scene(bench, monkeypatch)
    for values in ({"tf": "joints"}, {"frame_prefix": "a/"}, {"tf": "none"}, {"tf": "wrist"}, {"frame_prefix": ""}):
        scene.bench.node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
        assert scene.told(lambda: None, lambda words: not words)
    scene.bench.node.trigger_deactivate()
    scene.bench.tracker = FakeTracker()
    scene.bench.node.trigger_activate()
    scene.bench.connect()
    assert scene.told(lambda: None, lambda words: not words)
