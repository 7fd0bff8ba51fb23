"""What viewers show stays in step with the hands, whatever parameters change while the node runs."""

import pytest
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from ros_support import FACES, PERIOD, T0, bench, make_pair, stamp_of  # noqa: F401 (bench is a fixture)
from visualization_msgs.msg import MarkerArray

from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED
from fourdhands_ros.convert.encoders import MarkerEncoder

ADD, DELETE = 0, 2
BOTH, NEITHER = (255, 255, 0), (0, 0, 0)


def actions(data) -> list[tuple[int, int]]:
    """Id and action of each marker of a serialised message; None is no message."""
    return [(m.id, m.action) for m in deserialize_message(data, MarkerArray).markers] if data is not None else []


@pytest.mark.parametrize("first, then", [(0.0, 0.2), (0.2, 0.0), (0.0, 60.0), (1.0, 0.9999999999)])
def test_another_lifetime_forgets_nothing(first, then):
    """The next mesh has it, and a hand that goes is removed."""
    encoder = MarkerEncoder((FACES, FACES), lifetime=first)
    encoder.encode(make_pair(vertices=True), "camera")
    encoder.lifetime = then
    message = deserialize_message(encoder.encode(make_pair(vertices=True), "camera"), MarkerArray)
    assert {(m.lifetime.sec, m.lifetime.nanosec) for m in message.markers} == {divmod(round(then * 1e9), 10**9)}
    encoder.lifetime = first
    assert sorted(actions(encoder.encode(make_pair(states=(ABSENT, TRACKED), vertices=True), "camera"))) == [
        (0, DELETE),
        (1, ADD),
    ]
    assert actions(encoder.encode(make_pair(states=(ABSENT, HELD)), "camera")) == [(1, DELETE)]
    assert encoder.clear() is None


def test_a_hand_that_is_held_is_not_shown():
    """Its mesh would be a stale pose that looks like a new one; what there was of it goes where it was shown."""
    encoder = MarkerEncoder((FACES, FACES))
    encoder.encode(make_pair(vertices=True), "before")
    held = make_pair(states=(HELD, TRACKED), vertices=True)
    assert held.left.vertices is not None
    message = deserialize_message(encoder.encode(held, "now"), MarkerArray)
    shown = {marker.id: (marker.action, marker.header.frame_id) for marker in message.markers}
    assert shown == {0: (DELETE, "before"), 1: (ADD, "now")}
    assert actions(encoder.encode(held, "now")) == [(1, ADD)]


def test_hands_are_in_the_frame_of_their_own_image(bench):
    """Whatever frame the one before had; what has no name is no frame for tf2."""
    bench = bench()
    for number, frame in enumerate(["left_lens", "right_lens", "", "left_lens"]):
        pair = bench.good(T0 + number * PERIOD, BOTH, frame_id=frame)
        assert {pair.header.frame_id, pair.left.header.frame_id, pair.right.header.frame_id} == {frame}
    assert bench.ros.spin_until(lambda: len(bench.transforms) == 3 and len(bench.markers) == 4)
    parents = [{transform.header.frame_id for transform in message.transforms} for message in bench.transforms]
    assert parents == [{"left_lens"}, {"right_lens"}, {"left_lens"}]
    stamps = [stamp_of(message.transforms[0].header) for message in bench.transforms]
    assert stamps == [T0, T0 + PERIOD, T0 + 3 * PERIOD]
    assert [{marker.header.frame_id for marker in message.markers} for message in bench.markers] == [
        {"left_lens"},
        {"right_lens"},
        {""},
        {"left_lens"},
    ]


def set_parameters(bench, **values):
    results = bench.node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
    assert all(result.successful for result in results), results


@pytest.mark.parametrize(
    "change",
    [
        {"default_fov": 70.0},
        {"frame_prefix": "b/"},
        {"tf": "none"},
        {"marker_lifetime": 0.5},
        {"publish_vertices": True},
        {"reset_gap": 1.0},
        {"marker_lifetime": 0.0},
    ],
)
def test_a_hand_that_goes_after_any_change_of_a_parameter_is_removed(bench, change):
    """Without a lifetime nothing else would ever remove its mesh."""
    bench = bench({"marker_lifetime": 0.0})
    bench.good(T0, BOTH)
    set_parameters(bench, **change)
    bench.good(T0 + PERIOD, NEITHER)
    assert bench.ros.spin_until(lambda: len(bench.markers) == 2)
    assert [[(m.id, m.action) for m in array.markers] for array in bench.markers] == [
        [(0, ADD), (1, ADD)],
        [(0, DELETE), (1, DELETE)],
    ]


def test_a_change_while_hands_are_shown_reaches_the_next_message(bench):
    """Lifetime, frames and vertices of the very next image; both meshes go when the node is deactivated."""
    bench = bench({"marker_lifetime": 0.0})
    assert len(bench.good(T0, BOTH).left.vertices) == 0
    set_parameters(bench, marker_lifetime=1.5, frame_prefix="robot/", tf="joints", publish_vertices=True)
    pair = bench.good(T0 + PERIOD, BOTH)
    assert len(pair.left.vertices) == 3 * 778
    assert bench.ros.spin_until(lambda: len(bench.markers) == 2 and len(bench.transforms) == 2)
    assert [m.lifetime.sec + 1e-9 * m.lifetime.nanosec for m in bench.markers[1].markers] == [1.5, 1.5]
    frames = [t.child_frame_id for t in bench.transforms[1].transforms]
    assert len(frames) == 42 and all(name.startswith("robot/") for name in frames)
    bench.node.trigger_deactivate()
    assert bench.ros.spin_until(lambda: len(bench.markers) == 3)
    assert [(m.id, m.action) for m in bench.markers[2].markers] == [(0, DELETE), (1, DELETE)]
