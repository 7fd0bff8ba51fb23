"""Images that best effort loses: the node asks for reliable delivery where publishers offer it, and only there."""

import time

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_support import Ros, image_message
from sensor_msgs.msg import Image

from fourdhands_ros import subscription
from fourdhands_ros.subscription import ImageSubscription

RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def ros(monkeypatch):
    monkeypatch.setattr(subscription, "_PATIENCE", 0.0)
    ros = Ros()
    yield ros
    ros.close()


def subscribed(ros, reliability="auto"):
    """A node's subscription, what it brought, and another node to publish from."""
    node, user, images = ros.node("hands"), ros.node("user"), []
    return ImageSubscription(node, Image, "/image_raw", images.append, reliability), images, user


def arrives(ros, publisher, images):
    """Whether an image of the publisher comes through."""
    images.clear()
    deadline = time.monotonic() + 10.0
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
    expected = hands._came
    assert not hands.watch(expected)
    assert not hands.watch(expected + subscription._EVIDENCE - 1)  # a few that are missing say nothing
    expected += subscription._EVIDENCE - 1
    assert hands.watch(expected + subscription._EVIDENCE)
    assert hands.reliability == ReliabilityPolicy.RELIABLE and arrives(ros, publisher, images)
    [info] = hands._node.get_subscriptions_info_by_topic("/image_raw")
    assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    # a publisher that offers less would not be heard
    second = user.create_publisher(Image, "/image_raw", BEST_EFFORT)
    known(ros, hands._node, 2)
    assert hands.watch(expected) and hands.reliability == ReliabilityPolicy.BEST_EFFORT
    assert arrives(ros, second, images) and arrives(ros, publisher, images)
    hands.destroy()


def test_a_pause_or_a_publisher_of_best_effort_changes_nothing(ros):
    hands, images, user = subscribed(ros)
    publisher = user.create_publisher(Image, "/image_raw", BEST_EFFORT)
    known(ros, hands._node, 1)
    assert not hands.watch(100)  # a hundred are due, but no more is offered
    assert arrives(ros, publisher, images)
    assert not hands.watch(100) and not hands.watch(100)  # neither images nor CameraInfo: a pause
    hands.destroy()


def test_where_nothing_ever_came_and_nothing_is_known_reliable_is_tried(ros):
    hands, images, user = subscribed(ros)
    assert not hands.watch(0)  # there is no publisher
    publisher = user.create_publisher(Image, "/image_raw", RELIABLE)
    known(ros, hands._node, 1)
    assert hands.watch(0) and arrives(ros, publisher, images)
    hands.destroy()


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_what_was_asked_for_stays(ros, reliability):
    hands, images, user = subscribed(ros, reliability)
    publisher = user.create_publisher(Image, "/image_raw", RELIABLE)
    known(ros, hands._node, 1)
    assert not hands.watch(1000) and not hands.watch(2000)
    assert hands.reliability.name.lower() == reliability and arrives(ros, publisher, images)
    hands.destroy()
