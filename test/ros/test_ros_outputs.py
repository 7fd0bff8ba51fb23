"""What viewers show stays in step with the hands, whatever parameters change while the node runs."""

import re

import numpy as np
import pytest
from geometry_msgs.msg import PoseArray, PoseStamped
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from ros_context import REPOSITORY, stderr_in
from ros_support import FACES, LATCHED, PERIOD, RELIABLE, T0, make_pair, stamp_of
from test_ros_transforms import message as tf_message
from visualization_msgs.msg import MarkerArray

from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, matrix_from_quaternion
from fourdhands_core.hand_model.openxr import OPENXR_JOINTS, openxr_poses
from fourdhands_core.hand_model.skeleton import RIGHT, SIDES
from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED
from fourdhands_ros.convert.encoders import MarkerEncoder
from fourdhands_ros.node import usage
from fourdhands_ros.pypi.message_types import TFMessage

ADD, DELETE = 0, 2
QUARTER = matrix_from_axis_angle(np.array([0.0, 0.0, np.pi / 2]))
BOTH, NEITHER = (255, 255, 0), (0, 0, 0)


def actions(data) -> list[tuple[int, int]]:
    """Id and action of each marker of a serialised message; None is no message."""
    return [(m.id, m.action) for m in deserialize_message(data, MarkerArray).markers] if data is not None else []


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_help_and_documents_name_every_topic_and_service(bench, transport):
    """What the node takes and gives stands in `hands_node --help` and in docs/node.md."""
    depth = {"raw": "raw", "compressed": "compressedDepth"}[transport]
    node = bench({"depth": True, "image_transport": transport, "depth_transport": depth}, compressed=transport != "raw").node
    topics = {one.topic_name[1:] for one in (*node.publishers, *node.subscriptions)}
    topics -= {"rosout", "parameter_events", "clock", "tf_static", "image_raw/camera_info"}
    services = {one.srv_name.replace("/hands/", "~/") for one in node.services}
    services = {name for name in services if not re.search(r"parameter|_state|_transition|logger|type_description", name)}
    assert "hands" in topics and "~/reset" in services
    for told in (usage.node_parser("hands").description, (REPOSITORY / "docs" / "node.md").read_text()):
        assert (topics | services) <= {name.removeprefix("/") for name in re.findall(r"[~/\w]+", told)}


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


def test_wrists_as_poses_in_the_frame_that_is_asked_for(bench):
    """Of hands that are seen; where /tf does not tell where the images' frame stands, none, and the hands all the same."""
    bench = bench({"target_frame": "base"})
    poses = {side: [] for side in SIDES}
    for side in SIDES:
        bench.user.create_subscription(PoseStamped, f"hands/{side}_wrist", poses[side].append, RELIABLE)
    assert bench.ros.spin_until(lambda: all(one.get_subscription_count() for one in wrists(bench)))
    bench.good(T0, BOTH, frame_id="lens")
    static = bench.user.create_publisher(TFMessage, "/tf_static", LATCHED)
    static.publish(tf_message(("base", "lens", Rigid(QUARTER, np.array([1.0, 0.0, 0.0])), 0)))
    for number in range(1, 1000):
        pair = bench.good(T0 + number * PERIOD, (0, 255, 0), frame_id="lens")
        if bench.ros.spin_until(lambda: bool(poses["right"]), 0.2):
            break
    (pose, *_), wrist = poses["right"], pair.right.wrist
    place, turn = wrist.position, wrist.orientation
    assert pose.header.frame_id == "base" and not poses["left"]
    got = pose.pose.position
    # the camera stands 1 m to x and is turned by a quarter about z: its x is the base's y
    np.testing.assert_allclose([got.x, got.y, got.z], [1.0 - place.y, place.x, place.z], atol=1e-12)
    got = pose.pose.orientation
    np.testing.assert_allclose(
        matrix_from_quaternion(np.array([got.x, got.y, got.z, got.w])),
        QUARTER @ matrix_from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w])),
        atol=1e-9,
    )


def test_images_without_a_frame_have_no_poses_in_another_and_that_is_told(bench, tmp_path):
    bench = bench({"target_frame": "base"})
    bench.user.create_subscription(PoseStamped, "hands/left_wrist", lambda _: None, RELIABLE)
    assert bench.ros.spin_until(lambda: wrists(bench)[0].get_subscription_count() > 0)
    with stderr_in(tmp_path / "stderr.txt") as stderr:
        bench.good(T0, BOTH, frame_id="")
        assert bench.ros.spin_until(lambda: "no poses of hands in base: the images name no frame" in stderr())


def test_wrists_are_in_the_images_frame_by_default(bench):
    bench = bench()
    poses = []
    bench.user.create_subscription(PoseStamped, "hands/left_wrist", poses.append, RELIABLE)
    assert bench.ros.spin_until(lambda: wrists(bench)[0].get_subscription_count() > 0)
    pair = bench.good(T0, BOTH, frame_id="lens")
    assert bench.ros.spin_until(lambda: bool(poses))
    assert poses[0].header.frame_id == "lens" and stamp_of(poses[0].header) == T0
    got, place = poses[0].pose.position, pair.left.wrist.position
    np.testing.assert_allclose([got.x, got.y, got.z], [place.x, place.y, place.z], atol=1e-12)


def test_openxrs_joints_of_both_hands(bench):
    """The left hand's 26, then the right one's; NaN where a hand is not seen, and of the four metacarpals that nobody knows."""
    bench = bench()
    arrays = []
    bench.user.create_subscription(PoseArray, "hands/openxr", arrays.append, RELIABLE)
    assert bench.ros.spin_until(lambda: bench.channel.outputs.poses.openxr.get_subscription_count() > 0)
    bench.good(T0, (0, 255, 0), frame_id="lens")
    assert bench.ros.spin_until(lambda: bool(arrays))
    (array,), right = arrays, make_pair(T0).right
    assert array.header.frame_id == "lens" and stamp_of(array.header) == T0 and len(array.poses) == 52
    numbers = np.array([
        [p.position.x, p.position.y, p.position.z, p.orientation.x, p.orientation.y, p.orientation.z, p.orientation.w]
        for p in array.poses
    ])  # fmt: skip
    assert np.isnan(numbers[:26]).all()
    assert [name for name, pose in zip(OPENXR_JOINTS, numbers[26:]) if np.isnan(pose).any()] == [
        f"{finger}_metacarpal" for finger in ("index", "middle", "ring", "little")
    ]
    expected = openxr_poses(RIGHT, right.joints, right.wrist_rotation, right.hand_pose)
    np.testing.assert_allclose(numbers[26:], expected, atol=1e-9)


def wrists(bench):
    return bench.channel.outputs.poses.wrists
