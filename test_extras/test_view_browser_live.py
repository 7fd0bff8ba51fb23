"""The page of running nodes in a real Chromium: a camera's images over DDS, the node, the page, each as a user starts them."""

import re
import signal
import threading
from collections import deque

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed: make test-extras")
from bag_support import image_entry, rendered  # noqa: F401 (a fixture)
from browser_support import PATIENT, Tab, box_of, browser, covered_box, needs_chromium, viewing  # noqa: F401 (a fixture)
from ros_support import Ros, stamp_to, wait_until
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger
from teleop_support import people, ruckig
from view_support import write_hand
from websockets.sync.client import connect

from fourdhands_core.hand_model.assets import load_hand, pair_of
from fourdhands_core.media.choreography import demo_motion, pose_hands
from fourdhands_core.view.lens import Pinhole
from fourdhands_core.view.posing import HandPoser
from fourdhands_ros.convert.decoders import pair_estimate
from fourdhands_ros.pypi.message_types import HandPair, create_subscription
from fourdhands_ros.tools.camera import CAMERA_QOS, camera_info

pytestmark = needs_chromium


class Camera:
    """Plays images forth and back in a thread of its own, and hears the hands. pairs: the last of them.

    period: seconds between two images; to be changed from outside.
    """

    def __init__(self, ros, clip, images):
        self._node, self._ended = ros.node("camera"), threading.Event()
        self.period, self.pairs, self.received = 0.1, deque(maxlen=10), 0
        self._images, self._executor = images, ros.executor
        self._info = camera_info(clip.camera.width, clip.camera.height, clip.camera, "camera_optical")
        self._to_images = self._node.create_publisher(Image, "image_raw", CAMERA_QOS)
        self._to_infos = self._node.create_publisher(CameraInfo, "camera_info", CAMERA_QOS)
        create_subscription(self._node, HandPair, "hands", self._take, 10)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _take(self, pair):
        self.received += 1
        self.pairs.append(pair)

    def _run(self):
        number = 0
        while not self._ended.wait(self.period):
            stamp = self._node.get_clock().now().nanoseconds
            stamp_to(self._info, stamp)
            self._to_infos.publish(self._info)
            _, _, data = image_entry("image_raw", stamp, self._images[number % len(self._images)], "camera_optical")
            self._to_images.publish(data)
            number += 1
            for _ in range(4):
                self._executor.spin_once(timeout_sec=0.0)

    def close(self):
        self._ended.set()
        self._thread.join(PATIENT)


@pytest.fixture
def ros():
    made = Ros()
    yield made
    made.close()


@pytest.fixture
def playing(ros, rendered):
    """Makes cameras of the rendered clip, of so many of its first images forth and back."""
    made = []

    def make(count):
        images = [image for _, image in rendered.images[:count]]
        made.append(Camera(ros, rendered, images + images[-2:0:-1]))
        return made[-1]

    yield make
    for one in made:
        one.close()


def send_nonsense(url):
    """What no page sends, on connections of its own."""
    import viser

    for frame in ("text", b"", b"\xc1", b"\xff" * 100_000, b"\x81\xa4type\xa7Nothing"):
        address = url.replace("http", "ws")
        with connect(address, subprotocols=[f"viser-v{viser.__version__}"], max_size=None, compression=None) as client:
            client.recv(timeout=PATIENT)
            client.send(frame)


def test_running_nodes(browser, ros, playing):
    """Both hands move, in two browsers; drops are told; nonsense harms nobody; the node is restarted, and the page goes on."""
    camera = playing(8)
    node = ros.process("-m", "fourdhands_ros")
    with viewing("/hands", "--port", "0", ROS_DOMAIN_ID=str(ros.domain)) as (url, page):
        tab, other = Tab(browser, url), Tab(browser, url)
        for one in (tab, other):
            one.says("right TRACKED")
            one.says("Scaled: positions are metres.")
        tab.show_only("Meshes")
        first = tab.wait_for(lambda picture: picture.std() > 5)
        tab.wait_for(lambda picture: np.abs(picture - first).mean() > 0.2)
        camera.period = 0.002
        tab.says("images dropped for newer ones")
        camera.period = 0.1
        before = camera.received
        send_nonsense(url)
        assert wait_until(lambda: camera.received > before + 3)  # the node goes on, and so do the pages
        third = other.scene()
        other.wait_for(lambda picture: np.abs(picture - third).mean() > 0.2)
        node.send_signal(signal.SIGINT)
        assert node.wait(PATIENT) == 0
        tab.says("no hands on /hands for")
        other.close()
        ros.process("-m", "fourdhands_ros")
        tab.says("left TRACKED")
        second = tab.scene()
        tab.wait_for(lambda picture: np.abs(picture - second).mean() > 0.2)
        assert page.poll() is None
        assert tab.wrong == other.wrong == [] and tab.asked == other.asked == {"localhost"}
        tab.close()


def hands_said(camera):
    """The hands of the newest message, once they rest, which leaves a millimetre or two; None before."""
    pairs = [pair_estimate(one, None) for one in list(camera.pairs)]
    if len(pairs) < camera.pairs.maxlen or not all(hand.valid for pair in pairs for hand in pair.hands):
        return None
    joints = np.array([[hand.joints for hand in pair.hands] for pair in pairs])
    return pairs[-1].hands if np.ptp(joints, axis=0).max() < 4e-3 else None


def test_a_live_hand_is_at_its_pixels(browser, ros, playing, rendered, tmp_path):
    """A picture of known hands: meshes, of a smaller hand that the node was given, lie where the messages say; there the hands
    are."""
    camera, fov = playing(1), Pinhole(rendered.camera).fov
    file = write_hand(tmp_path / "small.npz", 0.8)
    posers = [HandPoser(asset) for asset in pair_of(load_hand(file))]
    truth = pose_hands(demo_motion(1.5))[0][0]

    def drawn_as_said(picture):
        hands, covered = hands_said(camera), picture.min(axis=2) < 235
        if hands is None or not 0.01 < covered.mean() < 0.5:
            return False
        for poser, hand, true in zip(posers, hands, truth):
            said = box_of(poser.vertices(hand) + hand.joints[0], fov, picture)
            found = covered_box(covered, said)
            if np.abs(found - said).max() > 4.0 or np.abs(found - box_of(true, fov, picture)).max() > 25.0:
                return False
        return True

    ros.process("-m", "fourdhands_ros", "--ros-args", "-p", f"hand_model:={file}")
    with viewing("/hands", "--port", "0", ROS_DOMAIN_ID=str(ros.domain)) as (url, _):
        tab = Tab(browser, url)
        tab.says("right TRACKED")
        tab.press("Look through the camera")
        tab.show_only("Meshes")
        tab.wait_for(drawn_as_said)
        assert tab.wrong == []
        tab.close()


def keep_engaged(person, ended):
    """Where a loaded machine lets a sample grow old the robot stops, and is engaged again."""
    client, asked = person.node.create_client(Trigger, "/hands_teleop/engage"), None
    while not ended.is_set():
        person.ros.executor.spin_once(timeout_sec=0.05)
        if person.state() == "READY" and (asked is None or asked.done()):
            asked = client.call_async(Trigger.Request())


@pytest.mark.skipif(ruckig is None, reason="the extra robot is not installed")
def test_a_robot_that_follows(browser):
    """Its state is said and it is drawn; a lost hand; the page's button stops it."""
    with people() as person_of:
        person, ended = person_of(), threading.Event()
        spinning = threading.Thread(target=keep_engaged, args=(person, ended), daemon=True)
        spinning.start()
        with viewing("/hands", "--estop", "--port", "0", ROS_DOMAIN_ID=str(person.ros.domain)) as (url, _):
            tab = Tab(browser, url, "ENGAGED: the robot follows the right hand.")
            tab.show_only("Robot", "Workspace")
            tab.wait_for(lambda picture: picture.std() > 1)
            person.hand = None
            tab.says(re.compile("Against following: .*the (hand is not seen|newest image of the hand)"))
            tab.press("Emergency stop")
            tab.says("ESTOP: emergency stop, until ~/reset")
            assert wait_until(lambda: person.state() == "ESTOP")
            assert tab.wrong == [] and tab.asked == {"localhost"}
            tab.close()
        ended.set()
        spinning.join(PATIENT)
        person.close()
