"""The page of running nodes: what comes up is shown, robots with their reasons, a stop where it is asked for, depth."""

import contextlib
from dataclasses import replace
from unittest import mock

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.time import Time
from ros_support import PATIENT, T0, make_pair
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Bool, Header, String
from view_bag_support import KINDS, PLANE, state_text, two_cameras
from view_support import HANDS, moving, write_hand

from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.view.posing import HandPoser
from fourdhands_ros.convert.cdr import frame_in, stamp_in
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.node.diagnostics import diagnostic_status
from fourdhands_ros.pypi.message_types import HandPair, TFMessage

with contextlib.suppress(ModuleNotFoundError):  # a workspace, in which the plugins of launch import this file, may lack viser
    from fourdhands_core.view.serving import serve
    from fourdhands_ros.view import live_camera
    from fourdhands_ros.view.live import LivePage
    from fourdhands_ros.view.live_camera import LiveCamera, image_beside

pytestmark = pytest.mark.skipif("LivePage" not in globals(), reason="the extra view is not installed")

TYPES = {
    "fourdhands_ros/msg/HandPair": HandPair,
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
    "std_msgs/msg/String": String,
    "tf2_msgs/msg/TFMessage": TFMessage,
}


class Robot:
    """Publishes what a bag of two cameras holds, again and again, and takes stops."""

    def __init__(self, ros):
        self.node = ros.node("robot")
        self.entries, self.next = two_cameras(10), 0
        self.publishers = {
            name: self.node.create_publisher(TYPES[kind], name, 10) for name, kind in KINDS.items() if name != "/tf_static"
        }
        self.stops = []
        self.node.create_subscription(Bool, "/hands_teleop/estop", lambda message: self.stops.append(message.data), 10)

    def play(self):
        """The messages of a period, and after the last the first again: the page's queues hold the newest only."""
        for name, _, data in self.entries[self.next : self.next + 10]:
            if name in self.publishers:
                self.publishers[name].publish(data)
        self.next = self.next + 10 if self.next + 10 < len(self.entries) else 0


@contextlib.contextmanager
def page_of(ros, topics=(), **options):
    """A page whose turns a test takes itself, with a client that is there."""
    served = serve(port=0)
    node = ros.node("viewer")
    cameras = [LiveCamera(node, topic, None) for topic in topics]
    page = LivePage(served, node, cameras, pair_of(load_human_hand()), 15.0, find=not topics, **options)
    page.switch(True)
    try:
        with mock.patch("fourdhands_ros.view.live._LOOK_PERIOD", -1.0):  # at each turn
            yield page
    finally:
        page.switch(False)
        served.close()


def turns_until(ros, page, robot, condition):
    """Play and show until a condition holds."""

    def turn():
        robot.play()
        page.turn()
        return condition()

    assert ros.spin_until(turn, PATIENT), page.panel.words.content


def test_what_comes_up_is_shown(ros):
    """Cameras where /tf says they stand, depth, and a robot: nobody named a topic."""
    with page_of(ros) as page:
        page.turn()
        assert "no node publishes hands" in page.panel.words.content
        robot = Robot(ros)

        def all_there():
            scene = page.stage.cameras
            return (
                {"/left/hands", "/right/hands"} <= scene.keys()
                and scene["/left/hands"].cloud is not None
                and not np.allclose(scene["/right/hands"].pose.position, [1.5, 0.0, 0.0])
                and scene["/right/hands"].pinhole is not None
                and "/hands_teleop" in page.stage.robots
                and "ENGAGED: the robot follows the right hand" in page.panel.words.content
            )

        turns_until(ros, page, robot, all_there)
        cloud = page.stage.cameras["/left/hands"].cloud.points
        np.testing.assert_allclose(np.asarray(cloud, float)[:, 2], PLANE, atol=2e-3)
        meshes = [nodes.mesh for nodes in page.stage.cameras["/left/hands"].hands]
        assert all((mesh.faces == hand.faces).all() for mesh, hand in zip(meshes, HANDS) if mesh)  # as the messages name it
        assert "held back by the speed" in page.panel.words.content
        assert page.choice is not None and set(page.choice.options) == {"/left/hands", "/right/hands"}
        page.stage.shown["Depth cloud"] = False
        turns_until(ros, page, robot, lambda: not robot.publishers["/left/depth/image_raw"].get_subscription_count())
        page.switch(False)
        assert ros.spin_until(lambda: not any(one.get_subscription_count() for one in robot.publishers.values()), PATIENT)


def test_a_camera_that_was_found_and_is_gone_is_left_out(ros):
    """After a while, in which its silence is told; where it comes again it is found again."""
    robot = Robot(ros)
    with page_of(ros) as page:
        turns_until(ros, page, robot, lambda: page.choice is not None)
        gone = next(camera for camera in page.cameras if camera.pairs == "/right/hands")
        robot.node.destroy_publisher(robot.publishers.pop("/right/hands"))

        def silent():
            gone.came -= 1.0
            return "no node publishes it" in page.panel.words.content

        turns_until(ros, page, robot, silent)
        gone.came -= 30.0
        turns_until(ros, page, robot, lambda: "/right/hands" not in page.panel.words.content)
        assert set(page.choice.options) == {"/left/hands"}
        robot.publishers["/right/hands"] = robot.node.create_publisher(HandPair, "/right/hands", 10)
        turns_until(ros, page, robot, lambda: "/right/hands" in page.choice.options and "/right/hands" in page.sights)


def test_hands_have_their_image_where_the_page_is_held_up(ros):
    """As on a busy computer: nothing is taken in while images come, and the newest hands are of one of the first."""
    robot = Robot(ros)
    images = [data for name, _, data in robot.entries if name == "/left/image_raw"]
    hands = next(data for name, _, data in robot.entries if name == "/left/hands")
    with page_of(ros, ["/left/hands"]) as page:
        (camera,) = page.cameras

        def shown():
            camera.look_for_images(robot.node.get_topic_names_and_types())
            for data in images:
                robot.publishers["/left/image_raw"].publish(data)
            robot.publishers["/left/hands"].publish(hands)
            newest = camera.newest()
            return newest is not None and newest[1] is not None

        assert ros.spin_until(shown, PATIENT)


def test_hands_wait_for_an_image_that_comes_later(ros, monkeypatch):
    """As over a network, for a while; where too few come, or nobody publishes any, the page says so."""
    monkeypatch.setattr(live_camera, "_LATE", PATIENT)
    robot = Robot(ros)
    first = {name: next(data for one, _, data in robot.entries if one == name) for name in robot.publishers}
    with page_of(ros, ["/left/hands"]) as page:
        (camera,) = page.cameras

        def waits():
            camera.look_for_images(robot.node.get_topic_names_and_types())
            robot.publishers["/left/hands"].publish(first["/left/hands"])
            newest = camera.newest()
            return robot.publishers["/left/image_raw"].get_subscription_count() and len(camera.waiting) > 3 and newest is None

        def comes():
            robot.publishers["/left/image_raw"].publish(first["/left/image_raw"])
            newest = camera.newest()
            return newest is not None and newest[1] is not None

        assert ros.spin_until(waits, PATIENT) and ros.spin_until(comes, PATIENT)
        monkeypatch.setattr(live_camera, "_LATE", 0.0)
        monkeypatch.setattr(live_camera, "_JUDGED", 3)
        robot.entries = [entry for entry in robot.entries if entry[0] == "/left/hands"]
        turns_until(ros, page, robot, lambda: "of 3 images come here" in page.panel.words.content)
        robot.node.destroy_publisher(robot.publishers.pop("/left/image_raw"))
        page.switch(True)  # as for who looks again
        turns_until(ros, page, robot, lambda: "none are published beside them" in page.panel.words.content)


def test_mirrored_images_are_turned_round(ros):
    """As the hands tell, whose pixels go the other way than their points."""
    robot = Robot(ros)
    encoder, (pair,), number = HandPairEncoder("landmark", "human"), moving(1), [0]
    left, right = (replace(hand, joints_2d=hand.joints_2d * [-1, 1] + [639, 0]) for hand in pair.hands)
    robot.entries = []
    with page_of(ros, ["/left/hands"]) as page:

        def seen():
            number[0] += 1
            given = replace(pair, left=left, right=right, stamp=number[0])
            robot.publishers["/left/hands"].publish(encoder.encode(given, "camera", {}))
            return "/left/hands" in page.sights and page.sights["/left/hands"].moment.pair.mirrored

        turns_until(ros, page, robot, seen)


def test_meshes_are_of_the_nodes_own_hand_model(ros, tmp_path):
    """Which its parameters name; until then, and where the file is not here, that is said."""
    robot = Robot(ros)
    encoder = HandPairEncoder("landmark", "mine")
    source = ros.node("hands", namespace="arm")
    path = source.declare_parameter("hand_model", str(tmp_path / "mine.npz"))
    source.declare_parameter("hand_model_left", "")
    publisher = source.create_publisher(HandPair, "hands", 10)
    robot.entries = []
    with page_of(ros, ["/arm/hands"]) as page:
        number = [0]

        def said(words):
            number[0] += 1
            publisher.publish(encoder.encode(moving(1)[0], "camera", {}, (number[0], 0, 0)))
            return words in page.panel.words.content

        turns_until(ros, page, robot, lambda: said("/arm/hands: poses are of the hand model mine, meshes of human"))
        turns_until(ros, page, robot, lambda: said("the hand model of /arm/hands cannot be read here: "))
        write_hand(path.value, 1.5)
        turns_until(ros, page, robot, lambda: said("TRACKED") and not said("hand model"))
        size = np.ptp(page.stage.cameras["/arm/hands"].hands[1].mesh.vertices, axis=0)
        pose = HandPoser(pair_of(load_human_hand())[1]).vertices(moving(1)[0].right)
        np.testing.assert_allclose(size, 1.5 * np.ptp(pose, axis=0), rtol=1e-3)
        write_hand(path.value, 0.8)  # as for a node that is started anew
        turns_until(ros, page, robot, lambda: "no hands on /arm/hands" in page.panel.words.content)

        def resized():
            said("")
            mesh = page.stage.cameras["/arm/hands"].hands[1].mesh
            return mesh is not None and np.allclose(np.ptp(mesh.vertices, axis=0), 0.8 * np.ptp(pose, axis=0), rtol=1e-3)

        turns_until(ros, page, robot, resized)


def test_who_publishes_hands_without_such_parameters(ros):
    robot = Robot(ros)
    publisher = robot.node.create_publisher(HandPair, "/other/hands", 10)
    encoder = HandPairEncoder("landmark", "mine")
    robot.entries = []
    with page_of(ros, ["/other/hands"]) as page:

        def said():
            publisher.publish(encoder.encode(moving(1)[0], "camera", {}, (1, 0, 0)))
            words = "/robot does not tell which file its hand model mine is"
            return words in page.panel.words.content

        turns_until(ros, page, robot, said)


def test_a_page_only_looks_unless_it_may_stop(ros):
    robot = Robot(ros)
    with page_of(ros, ["/left/hands"]) as page:
        turns_until(ros, page, robot, lambda: "/hands_teleop" in page.stage.robots)
        assert not robot.node.count_publishers("/hands_teleop/estop")
    with page_of(ros, ["/left/hands"], estop=True) as page:
        assert page.robots.stop() == "No robot follows a hand here: there is nothing to stop."
        turns_until(ros, page, robot, lambda: robot.node.count_publishers("/hands_teleop/estop"))
        assert not robot.stops
        page.stop_robots()
        turns_until(ros, page, robot, lambda: robot.stops)
        assert set(robot.stops) == {True} and "Emergency stop sent to /hands_teleop/estop" in page.panel.words.content


def test_reasons_in_words(ros):
    robot = Robot(ros)
    said = state_text(state="IDLE", reasons=["deadman_released", "new_reason"], stopped_by=["hand_stale"], limits=[])
    said = String(data=said)
    robot.entries = [entry for entry in robot.entries if entry[0] != "/hands_teleop/state"]
    with page_of(ros, ["/left/hands"]) as page:

        def told():
            robot.publishers["/hands_teleop/state"].publish(said)
            return "IDLE" in page.panel.words.content

        turns_until(ros, page, robot, told)
        text = page.panel.words.content
        assert "Against following: nobody presses the deadman's switch; new_reason." in text
        assert "It last stopped because: the newest image of the hand is too old." in text


def test_the_recorder_is_shown(ros):
    robot = Robot(ros)
    diagnostics = robot.node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    status = diagnostic_status("hands_recorder", "recordings", b"\x01", "no hand is seen", {"state": "recording"})
    with page_of(ros, ["/left/hands"]) as page:

        def told():
            diagnostics.publish(DiagnosticArray(status=[status]))
            return "Recorder: no hand is seen." in page.panel.words.content

        turns_until(ros, page, robot, told)


def test_silence_is_said_and_nothing_old_is_shown(ros):
    """As where the node is restarted: then it goes on."""
    robot = Robot(ros)
    with page_of(ros, ["/left/hands"]) as page:
        turns_until(ros, page, robot, lambda: "left TRACKED" in page.panel.words.content)
        for publisher in robot.publishers.values():
            robot.node.destroy_publisher(publisher)
        robot.entries = []
        turns_until(ros, page, robot, lambda: "no node publishes it" in page.panel.words.content)
        assert not page.stage.cameras["/left/hands"].root.visible
        again = Robot(ros)
        turns_until(ros, page, again, lambda: "left TRACKED" in page.panel.words.content)
        assert page.stage.cameras["/left/hands"].root.visible


def test_images_that_come_by_another_topic_after_a_restart(ros):
    """As of a camera that is started anew with compressed images alone: none were shown any more."""
    robot = Robot(ros)
    with page_of(ros, ["/left/hands"]) as page:
        camera = page.cameras[0]

        def imaged():
            sight = page.sights.get("/left/hands")
            return sight is not None and sight.image is not None

        turns_until(ros, page, robot, imaged)
        topic = image_beside("/left/hands", dict(page._node.get_topic_names_and_types()))
        assert topic == camera._image_topic and not topic.endswith("/compressed")
        robot.node.destroy_publisher(robot.publishers.pop(topic))
        page.sights.clear()
        compressed = robot.node.create_publisher(CompressedImage, f"{topic}/compressed", 10)
        jpeg = cv2.imencode(".jpg", np.full((480, 640, 3), 200, np.uint8))[1].tobytes()
        hands = [data for name, _, data in robot.entries if name == "/left/hands"]

        def both():
            for data in hands:
                stamp = Time(nanoseconds=stamp_in(data)).to_msg()
                compressed.publish(CompressedImage(header=Header(stamp=stamp), format="jpeg", data=jpeg))
            return imaged() and page.sights["/left/hands"].image.min() > 150

        turns_until(ros, page, robot, both)


def test_a_valid_hand_without_numbers_is_absent(ros):
    """It was "nan m away", TRACKED, as a robot does not take it."""
    robot = Robot(ros)
    with page_of(ros, ["/left/hands"]) as page:
        turns_until(ros, page, robot, lambda: "left TRACKED" in page.panel.words.content)
        pair = make_pair(T0)
        pair = replace(pair, left=replace(pair.left, joints=np.full((21, 3), np.nan)))
        robot.entries = [("/left/hands", 0, HandPairEncoder("net", "human").encode(pair, "left_optical", {}))]
        robot.next = 0
        turns_until(ros, page, robot, lambda: "left ABSENT" in page.panel.words.content)
        said = page.panel.words.content
        assert "the left hand is called valid, and its joints are no finite numbers" in said and "nan" not in said


def test_a_robots_words_may_be_anything(ros):
    robot = Robot(ros)
    with page_of(ros, ["/left/hands"]) as page:
        for text in ("{", "null", state_text(measured="x", robot="nothing.yaml", workspace=[0] * 6, keep_out=[1e99] * 64)):

            def told(text=text):
                robot.publishers["/hands_teleop/state"].publish(String(data=text))
                return "left TRACKED" in page.panel.words.content

            robot.entries = [entry for entry in robot.entries if entry[0] != "/hands_teleop/state"]
            turns_until(ros, page, robot, told)
        turns_until(ros, page, robot, lambda: (told(), "nothing.yaml is not drawn" in page.panel.words.content)[1])


def test_the_frame_of_a_serialised_message():
    entries = {name: data for name, _, data in two_cameras(1)}
    assert frame_in(entries["/left/depth/image_raw"]) == "left_optical"
    assert frame_in(b"") == frame_in(b"\x00\x01\x00\x00" + b"\xff" * 12) == ""
