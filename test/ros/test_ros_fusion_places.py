"""Where cameras that are fused stand: transforms that are late, missing or of before, and files that lack one."""

import contextlib
import sys

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from fused_support import FRAME, NAMES, SceneTracker, calibrated, fused  # noqa: F401 (the fixture too)
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_support import LATCHED, REPOSITORY, T0, Ros, hands_node, make_pair
from rosgraph_msgs.msg import Clock
from test_ros_cameras import Cameras
from test_ros_transforms import message

from fourdhands_core.fusion.rig import Rig, save_rig
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_ros.convert.transforms import TransformBuffer, TransformError
from fourdhands_ros.node.frames import TopicFrames
from fourdhands_ros.node.places import Places, Unplaced
from fourdhands_ros.pypi.message_types import TFMessage

sys.path.insert(0, str(REPOSITORY / "test"))
from fusion_support import Scene


def transforms(scene, wrong=None):
    rows = [("cell", f"{name}_optical", pose, 0) for name, pose in zip(NAMES, scene.poses)]
    return message(*rows)


def test_a_camera_that_is_not_calibrated_has_no_place():
    """Its positions are of an assumed field of view: fused, they would count as metres."""
    rig = Rig("cell", {"left": Rigid(np.eye(3), np.ones(3))})
    places = Places("cell", rig, None)
    seen = make_pair(T0, camera=Camera.from_fov(640, 480, 60.0, calibrated=True))
    np.testing.assert_array_equal(places.pose("left", "left_optical", seen).position, np.ones(3))
    with pytest.raises(Unplaced, match="left is not calibrated") as raised:
        places.pose("left", "left_optical", make_pair(T0, camera=Camera.from_fov(640, 480, 60.0)))
    assert raised.value.reason == "not calibrated"


def test_a_camera_without_a_transform_is_named():
    """Its frame's name may say nothing of it, as that of a driver's own or of a robot's tool."""
    places, seen = (
        Places("cell", None, TransformBuffer()),
        make_pair(T0, camera=Camera.from_fov(640, 480, 60.0, calibrated=True)),
    )
    with pytest.raises(Unplaced, match="where right stands in cell is not known: no transform from tool0 to cell is on /tf"):
        places.pose("right", "tool0", seen)


def test_cameras_whose_images_name_one_frame_have_no_place():
    """As drivers do that nobody told of another: both would stand where one does."""
    buffer, seen = TransformBuffer(), make_pair(T0, camera=Camera.from_fov(640, 480, 60.0, calibrated=True))
    buffer.set("cell", "camera", Rigid())
    buffer.set("cell", "other", Rigid(np.eye(3), np.ones(3)))
    places = Places("cell", None, buffer)
    places.pose("left", "camera", seen)
    with pytest.raises(Unplaced, match="right and left name one frame, camera: give each driver its own"):
        places.pose("right", "camera", seen)
    assert places.pose("right", "/other", seen).position[0] == 1.0 and places.pose("left", "camera", seen).position[0] == 0.0


def test_poses_from_tf_and_without_it(fused):
    """Without TF that is said, and single cameras go on; when it comes, so does the fused pair."""
    scene = Scene()
    bench = fused(scene, "tf")
    bench.run(range(0, 4 * FRAME, FRAME))
    assert not bench.fused and len(bench.pairs["right"]) == 4
    level, values = bench.diagnosis()
    assert level == DiagnosticStatus.WARN and "no frame is called cell" in values["problems"]
    static = bench.user.create_publisher(TFMessage, "/tf_static", LATCHED)
    bench.ros.spin_until(lambda: static.get_subscription_count() >= 2)
    moment = 4 * FRAME
    for _ in range(200):
        static.publish(transforms(scene))
        bench.run([moment])
        moment += FRAME
        if bench.fused:
            break
    bench.run(range(moment, moment + 6 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 5)
    assert np.nanmean(bench.errors(bench.fused[-4:])) < 0.03


def test_transforms_of_before_a_clock_went_back_are_forgotten():
    """As tf2's buffer does: a simulation or a bag that begins anew brings its own."""
    ros, now = Ros(), Clock()
    try:
        node = ros.node("fusing", parameter_overrides=[Parameter("use_sim_time", value=True)])
        frames, user = TopicFrames(node), ros.node()
        topic, clock = user.create_publisher(TFMessage, "/tf", 10), user.create_publisher(Clock, "/clock", 10)

        def known():
            with contextlib.suppress(TransformError):
                return frames.lookup("cell", "lens", 100 * 10**9)

        def at(second, condition):
            def told():
                now.clock.sec = second
                clock.publish(now)
                if second == 100:
                    topic.publish(message(("cell", "lens", Rigid(), 100 * 10**9)))
                return node.get_clock().now().nanoseconds == second * 10**9 and condition()

            assert ros.spin_until(told)

        at(100, known)
        at(97, lambda: not known())
        frames.destroy()
    finally:
        ros.close()


def test_a_file_without_one_of_the_cameras(fused, tmp_path):
    scene = Scene()
    save_rig(tmp_path / "other.yaml", Rig("cell", {"left": Rigid(), "top": Rigid(np.eye(3), np.ones(3))}))
    bench = Cameras.__new__(Cameras)
    with pytest.raises(AssertionError):
        Cameras.__init__(bench, NAMES, {"fusion": True, "camera_poses": str(tmp_path / "other.yaml")}, SceneTracker(scene))
    bench.close()


def test_one_topic_for_two_cameras_that_are_fused_is_refused():
    """As of a remapping that was copied: with poses of a file its hands were valid, 60 to 120 mm off."""
    with contextlib.closing(Ros()) as ros:
        rules = ["--ros-args", "-r", "right/image_raw:=/left/image_raw"]
        given = {"cameras": NAMES, "fusion": True, "fixed_frame": "cell"}
        node, told = hands_node(ros, given, lambda: SceneTracker(Scene()), cli_args=rules), []
        node.get_logger().error = told.append
        node.trigger_configure()
        assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert "left and right would both take /left/image_raw" in told[0] and "map right/image_raw" in told[0]
