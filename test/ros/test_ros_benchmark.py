"""What the ROS benchmark compares is the same messages, and it can tell how old they are on arrival."""

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from ros_support import FACES, make_pair
from visualization_msgs.msg import MarkerArray

from fourdhands_ros.convert.encoders import HandPairEncoder, MarkerEncoder, TransformEncoder
from fourdhands_ros.pypi.message_types import HandPair, TFMessage, deserialize, is_compiled, typestore
from fourdhands_ros.tools import benchmark
from fourdhands_ros.tools.camera import forth_and_back


@pytest.fixture
def pair():
    return make_pair(vertices=True)


def test_message_objects_say_the_same(pair):
    def serialised(message):
        if is_compiled(HandPair):
            return serialize_message(message)
        return bytes(typestore().serialize_cdr(message, HandPair._runtime_name))

    other = benchmark.pair_object(pair)
    own = deserialize(HandPairEncoder("landmark", "human").encode(pair, "camera", {"total": 0.01}, (1, 0, 0)), HandPair)
    for a, b in (
        (own.left.wrist.orientation, other.left.wrist.orientation),
        (own.right.wrist.orientation, other.right.wrist.orientation),
    ):
        np.testing.assert_allclose([a.x, a.y, a.z, a.w], [b.x, b.y, b.z, b.w], atol=1e-12)
        a.x, a.y, a.z, a.w = b.x, b.y, b.z, b.w
    assert serialised(own) == serialised(other)
    ours = deserialize(MarkerEncoder(FACES).encode(pair, "camera"), MarkerArray)
    for own, other in zip(ours.markers, benchmark.marker_objects(pair, FACES).markers, strict=True):
        assert [(p.x, p.y, p.z) for p in own.points] == [(p.x, p.y, p.z) for p in other.points]
        assert (own.header, own.ns, own.id, own.type, own.action) == (
            other.header,
            other.ns,
            other.id,
            other.type,
            other.action,
        )
    ours = deserialize(TransformEncoder().encode(pair, "camera"), TFMessage).transforms
    for own, other in zip(ours, benchmark.transform_objects(pair), strict=True):
        assert own.child_frame_id == other.child_frame_id
        place, turn = other.transform.translation, other.transform.rotation
        np.testing.assert_allclose([own.transform.translation.x, own.transform.rotation.w], [place.x, turn.w], atol=1e-12)


def test_publishing_is_measured(ros, pair):
    result = benchmark.publishing(ros.node(), pair, FACES, 10)
    assert result["ratio"] > 0
    for kind in ("serialised", "objects"):
        assert 0 < result[kind]["p50"] <= result[kind]["p99"]


def test_an_age_is_the_sum_of_its_stages(pair):
    latency = {"transport": 0.002, "wait": 0.001, "decode": 0.003, "detect": 0.015, "network": 0.002, "total": 0.025}
    stages = benchmark.stages_of(
        deserialize(HandPairEncoder("landmark", "human").encode(pair, "camera", latency), HandPair), 0.03
    )
    assert list(stages) == ["transport", "wait", "decode", "detect", "network", "between", "delivery"]
    assert sum(stages.values()) == pytest.approx(0.03)
    assert stages["between"] == pytest.approx(0.004) and stages["delivery"] == pytest.approx(0.003)


def test_a_looped_camera_never_jumps():
    source = [(k * 33, np.full((1, 1, 3), k, np.uint8)) for k in range(4)]
    played = []
    for stamp, image in forth_and_back(iter(source)):
        played.append((stamp, int(image[0, 0, 0])))
        if len(played) == 12:
            break
    assert [image for _, image in played] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1]
    assert [stamp for stamp, _ in played] == [33 * k for k in range(12)]
