"""What RViz shows of a robot that follows, over DDS."""

from dataclasses import replace

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from teleop_support import START, needs_ruckig
from visualization_msgs.msg import Marker, MarkerArray

from fourdhands_core.retargeting import load_retargeter
from fourdhands_core.teleop import TeleopSettings
from fourdhands_ros.teleop.markers import Look, RobotMarkers

pytestmark = needs_ruckig

TURNED = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture(autouse=True)
def _with_mujoco():
    pytest.importorskip("mujoco", reason="robots' hands need mujoco (pip install 'fourdhands[robot]')")


def markers(made, look):
    """By (ns, id) the markers of the message."""
    message = deserialize_message(made.encode(look), MarkerArray)
    return {(one.ns, one.id): one for one in message.markers}


def corners(one):
    """(N, 3) its points in the header's frame."""
    w, x, y, z = (getattr(one.pose.orientation, axis) for axis in "wxyz")
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    place = one.pose.position
    return np.array([(p.x, p.y, p.z) for p in one.points]) @ turn.T + (place.x, place.y, place.z)


def test_the_box_the_balls_the_target_and_both_robots():
    settings = TeleopSettings(workspace=(0.0, -0.5, 0.1, 0.8, 0.5, 0.9), keep_out=(0.4, 0.0, 0.2, 0.15, 9.0, 9.0, 9.0, 0.1))
    fingers = load_retargeter("gripper").upper
    look = Look(
        3_000_000_007, settings, np.array([0.3, 0.1, 0.5]), (START, np.eye(3), fingers), (START, TURNED, 0 * fingers), "RAMP"
    )
    made = RobotMarkers("base", "gripper")
    shown = markers(made, look)
    assert {one.header.frame_id for one in shown.values()} == {"base"}
    assert {(one.header.stamp.sec, one.header.stamp.nanosec) for one in shown.values()} == {(3, 7)}
    assert all(one.lifetime.sec == 1 and one.action == Marker.ADD for one in shown.values())
    box = corners(shown["workspace", 0])
    assert (
        len(box) == 24
        and np.allclose(box.min(axis=0), settings.workspace[:3])
        and np.allclose(box.max(axis=0), settings.workspace[3:])
    )
    assert ("keep_out", 1) not in shown and shown["keep_out", 0].scale.x == pytest.approx(0.3)
    assert shown["target", 0].pose.position.y == pytest.approx(0.1)
    np.testing.assert_allclose(corners(shown["measured", 0]), [START, START + [0.08, 0.0, 0.0]], atol=1e-12)
    np.testing.assert_allclose(corners(shown["commanded", 0]), [START, START + [0.0, 0.08, 0.0]], atol=1e-12)
    assert shown["ghost", 0].color.a < 0.5 and shown["words", 0].text == "RAMP"
    # 8.5 cm less between the fingers of the ghost, a quarter turned, than of an open one that stands straight
    opened = markers(made, replace(look, commanded=(START, np.eye(3), fingers)))
    opened, closed = (
        np.array([corners(one).mean(axis=0) for (ns, _), one in those.items() if ns == "ghost"]) - START
        for those in (opened, shown)
    )
    moved = np.sort(np.ptp(opened - closed @ TURNED, axis=0))
    np.testing.assert_allclose(moved, [0.0, 0.0, 0.085], atol=1e-6)


def test_what_is_no_longer_there_goes():
    made, settings = RobotMarkers("base", ""), TeleopSettings()
    posed = START, np.eye(3), np.zeros(0)
    assert all(one.action == Marker.ADD for one in markers(made, Look(1, settings, START, posed, posed, "HOLD")).values())
    shown = markers(made, Look(2, settings, None, posed, None, ""))
    gone = {ns for (ns, _), one in shown.items() if one.action == Marker.DELETE}
    assert gone == {"target", "commanded", "words"} and shown["measured", 0].action == Marker.ADD


def test_a_hand_without_an_arm_has_no_workspace_and_a_robot_that_is_not_drawn_is_told_of():
    made = RobotMarkers("tool0", "gripper", arm=False)
    shown = markers(made, Look(1, TeleopSettings(), START, (np.zeros(3), np.eye(3), np.array([0.02])), None, "READY"))
    assert ("workspace", 0) not in shown and shown["target", 0].action == Marker.DELETE
    made = RobotMarkers("base", "nobody")
    assert "nobody is not drawn" in made.problem
    assert ("workspace", 0) in markers(made, Look(1, TeleopSettings()))


def test_they_are_published_while_somebody_subscribes(person):
    one, heard = person(), []
    one.engage()
    one.node.create_subscription(MarkerArray, "/hands_teleop/markers", heard.append, 10)
    one.until(lambda: heard and any(m.ns == "target" and m.action == Marker.ADD for m in heard[-1].markers))
    one.move(np.array([0.003, 0.0, 0.0]), lambda: one.place[0] > START[0] + 0.05)
    one.until(lambda: max(p.pose.position.x for p in heard[-1].markers if p.ns == "commanded") > START[0] + 0.04)
    one.close()
