"""Several cameras in one node: each has its topics, its tracking and its results, whatever the others do."""

import array
import contextlib
import itertools
import threading

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_context import stderr_in
from ros_support import (
    PATIENT,
    PERIOD,
    RELIABLE,
    SECOND,
    T0,
    Bench,
    FakeTracker,
    Unread,
    image_message,
    info_message,
    make_pair,
    makes,
    stamp_of,
    stamp_to,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_ros.node.node import HandsNode
from fourdhands_ros.node.parameters import Parameters
from fourdhands_ros.pypi.message_types import HandPair, create_subscription


class Cameras(Bench):
    """A Bench of several cameras. images, pairs, markers, infos: by camera."""

    def __init__(self, names, parameters=None, tracker=None, image_type=Image, suffix=""):
        self.names, self.image_type, self.suffix = names, image_type, suffix
        super().__init__({"cameras": names, **(parameters or {})}, tracker, activate=False)
        user = self.user
        self.images, self.infos, self.pairs, self.markers = {}, {}, {}, {}
        for name in names:
            self.images[name] = user.create_publisher(image_type, f"{name}/image_raw{suffix}", RELIABLE)
            self.infos[name] = user.create_publisher(CameraInfo, f"{name}/camera_info", RELIABLE)
            self.pairs[name], self.markers[name] = [], Unread(MarkerArray)
            create_subscription(user, HandPair, f"{name}/hands", self.pairs[name].append, RELIABLE)
            user.create_subscription(MarkerArray, f"{name}/hands/markers", self.markers[name].append, RELIABLE, raw=True)
        self.activate()

    def connect(self):
        self.ros.join(self.node, *self.images.values(), *self.infos.values())
        for channel in self.node.channels:
            self.join_outputs(channel.outputs)

    def of(self, name):
        """The channel of a camera."""
        return self.node.channels[self.names.index(name)]

    def status(self) -> dict:
        """The newest diagnostics by camera: level and values."""
        self.diagnostics.clear()
        assert self.ros.spin_until(lambda: len(self.diagnostics) > 1)
        return {status.name: (status.level, {v.key: v.value for v in status.values}) for status in self.diagnostics[-1].status}


@pytest.fixture
def cameras():
    yield from makes(Cameras)


def test_two_cameras(cameras):
    """Each camera's image comes back on its own topics, with its own calibration, stamp and frames."""
    bench = cameras(["left", "robot/right"], {"frame_prefix": "a/", "tf": "wrist"})
    bench.ros.publish_until(bench.infos["left"], info_message(), lambda: bench.of("left").cameras.newest[1] == "calibrated")
    bench.images["left"].publish(image_message(T0, (255, 0, 3), frame_id="camera_l"))
    bench.images["robot/right"].publish(image_message(T0 - SECOND, (255, 255, 4), frame_id="camera_r"))
    assert bench.ros.spin_until(lambda: all(bench.pairs.values()) and len(bench.transforms) == 2)
    (left,), (right,) = bench.pairs["left"], bench.pairs["robot/right"]
    assert (stamp_of(left.header), left.header.frame_id) == (T0, "camera_l")
    assert (stamp_of(right.header), right.header.frame_id) == (T0 - SECOND, "camera_r")
    assert left.left.valid and not left.right.valid and right.left.valid and right.right.valid
    np.testing.assert_array_equal(right.right.hand_pose, np.float32(make_pair(seed=4).right.hand_pose))
    frames = {t.child_frame_id: t.header.frame_id for message in bench.transforms for t in message.transforms}
    assert frames == {
        "a/left/left_wrist": "camera_l",
        "a/robot/right/left_wrist": "camera_r",
        "a/robot/right/right_wrist": "camera_r",
    }
    assert bench.ros.spin_until(lambda: all(bench.markers.values()))
    assert [len(bench.markers[name][0].markers) for name in bench.names] == [1, 2]
    status = bench.status()
    assert list(status) == ["hands: left/hands", "hands: robot/right/hands"]
    assert [values["calibration"].split(":")[0] for _, values in status.values()] == ["calibrated", "unknown"]
    assert [values["published"] for _, values in status.values()] == ["1", "1"]


def test_a_camera_that_alone_mirrors(cameras):
    bench = cameras(["/left", "robot/right"], {"mirrored_cameras": ["/robot/right"]})
    assert [bench.of(name).tracker.settings.mirrored for name in bench.names] == [False, True]
    assert bench.node.set_parameters([Parameter("hold", value=1.0)])[0].successful
    assert [bench.of(name).tracker.settings.mirrored for name in bench.names] == [False, True]


def test_the_log_says_of_which_camera_it_speaks(cameras, tmp_path):
    bench = cameras(["left", "/robot/right"])
    with stderr_in(tmp_path / "stderr.txt") as stderr:
        for name, logger in ("left", "[hands.left]"), ("/robot/right", "[hands.robot.right]"):
            bench.images[name].publish(b"\x00\x01\x00\x00nonsense")
            assert bench.ros.spin_until(lambda: f"{logger}: image refused" in stderr())


def test_a_slow_a_dead_and_a_broken_camera(cameras):
    """While one camera's image takes for ever, one is silent and one sends nonsense, the fourth has every result."""
    bench = cameras(["good", "slow", "dead", "broken"])
    slow, go_on = bench.of("slow").tracker, threading.Event()
    slow.observe = lambda *args, **kwargs: go_on.wait(PATIENT) and FakeTracker.observe(slow, *args, **kwargs)
    for i in range(40):
        bench.images["slow"].publish(image_message(T0 + i * PERIOD))
        bad = image_message(T0 + i * PERIOD, (255, 255, 251))  # its tracker raises
        bench.images["broken"].publish(bad if i % 2 else b"\x00\x01\x00\x00nonsense")
        bench.images["good"].publish(image_message(T0 + i * PERIOD))
        assert bench.ros.spin_until(lambda: len(bench.pairs["good"]) == i + 1)
    assert [stamp_of(pair.header) for pair in bench.pairs["good"]] == [T0 + i * PERIOD for i in range(40)]
    assert bench.of("slow").statistics.published == 0 and bench.of("good").statistics.dropped == 0
    go_on.set()
    refused, stamp = bench.of("broken").statistics.refused, T0 + 40 * PERIOD

    def both_refused():
        """Each by itself, whichever took another's place before."""
        nonlocal stamp
        stamp += PERIOD
        if "message" not in refused:
            bench.images["broken"].publish(b"\x00\x01\x00\x00nonsense")
        elif "internal error" not in refused:
            bench.images["broken"].publish(image_message(stamp, (255, 255, 251)))
        return {"internal error", "message"} <= refused.keys()

    assert bench.ros.spin_until(both_refused) and not bench.pairs["dead"] and not bench.pairs["broken"]
    bench.images["broken"].publish(image_message(stamp + PERIOD))
    assert bench.ros.spin_until(lambda: bench.pairs["broken"] and bench.pairs["slow"])
    assert bench.pairs["broken"][0].left.valid
    status = bench.status()
    assert status["hands: dead/hands"][0] == DiagnosticStatus.STALE
    assert int(status["hands: broken/hands"][1]["refused: internal error"]) > 0
    assert int(status["hands: broken/hands"][1]["refused: message"]) > 0
    assert status["hands: good/hands"][1]["refused"] == "0"


def test_a_reset_and_a_pause_are_all_cameras(cameras):
    """Each begins anew with its next image, and none takes images while the node is paused."""
    bench = cameras(["left", "right", "third"])

    def call(kind, name, **values):
        client = bench.user.create_client(kind, f"{bench.node.get_name()}/{name}")
        assert bench.ros.ask(client, kind.Request(**values)).success

    def see(number):
        for name in bench.names:
            bench.images[name].publish(image_message(T0 + number * PERIOD))
        assert bench.ros.spin_until(lambda: all(stamps(name)[-1:] == [T0 + number * PERIOD] for name in bench.names))
        return [bench.of(name).tracker.resets for name in bench.names]

    def stamps(name):
        return [stamp_of(pair.header) for pair in bench.pairs[name]]

    assert see(0) == see(1) == [0, 0, 0]
    call(Trigger, "reset")
    assert see(2) == see(3) == [1, 1, 1]
    call(SetBool, "pause", data=True)
    assert all(channel.paused for channel in bench.node.channels)
    call(SetBool, "pause", data=False)
    for name in bench.names:
        bench.ros.join(bench.node, bench.images[name])
    assert see(4) == see(5) == [2, 2, 2]


def test_two_cameras_with_real_videos(cameras, real_data):
    """At the same time, each gives what its video gives to a tracker alone."""
    frames, expected, size = {}, {}, {}
    names = {"a": "right_hand.mp4", "b": "two_hands.mp4"}
    for name, file in names.items():
        with contextlib.closing(VideoReader(real_data / "video" / file)) as video:
            frames[name] = [image for _, image in itertools.islice(video, 25)]
        height, width = size[name] = frames[name][0].shape[:2]
        with contextlib.closing(HandPairTracker()) as tracker:
            camera = Camera.from_fov(width, height, 65.0)
            expected[name] = [tracker.process(image, T0 + i * PERIOD, camera) for i, image in enumerate(frames[name])]
    bench = cameras(list(names), tracker=HandPairTracker())
    for i in range(25):
        for name in names:
            height, width = size[name]
            message = Image(width=width, height=height, encoding="rgb8", step=3 * width)
            message.data = array.array("B", frames[name][i].tobytes())
            stamp_to(message, T0 + i * PERIOD)
            bench.images[name].publish(message)
        assert bench.ros.spin_until(lambda: all(len(pairs) == i + 1 for pairs in bench.pairs.values()))
    seen = {name: [0, 0] for name in names}
    for name in names:
        for pair, wanted in zip(bench.pairs[name], expected[name]):
            for side, (hand, wanted_hand) in enumerate(zip((pair.left, pair.right), wanted.hands)):
                assert hand.valid == wanted_hand.valid
                seen[name][side] += hand.valid
                if hand.valid:
                    found = [(p.x, p.y, p.z) for p in hand.joints]
                    np.testing.assert_allclose(found, wanted_hand.joints, atol=1e-4)
    assert seen["a"][1] > 20 and seen["a"][0] == 0 and min(seen["b"]) > 15


def test_broken_cameras_are_errors_in_diagnostics(cameras):
    bench = cameras(["good", "broken"])
    levels = set()

    def told():
        levels.update((status.name, status.level) for array_ in bench.diagnostics for status in array_.status)
        return {("hands: broken/hands", DiagnosticStatus.ERROR), ("hands: good/hands", DiagnosticStatus.STALE)} <= levels

    stamp = T0

    def send():
        nonlocal stamp
        stamp += PERIOD
        bench.images["broken"].publish(image_message(stamp, (255, 255, 251)))
        return told()

    assert bench.ros.spin_until(send)


def test_compressed_images_of_two_cameras(cameras):
    bench = cameras(["a", "/b"], {"image_transport": "compressed"}, image_type=CompressedImage, suffix="/compressed")
    picture = np.full((48, 64, 3), (0, 255, 255), np.uint8)  # BGR: red and green
    message = CompressedImage(format="jpeg", data=array.array("B", cv2.imencode(".jpg", picture)[1].tobytes()))
    for name in bench.names:
        stamp_to(message, T0)
        bench.images[name].publish(message)
    assert bench.ros.spin_until(lambda: all(bench.pairs.values()))
    assert all(pair.left.valid and pair.right.valid for (pair,) in bench.pairs.values())


def test_all_cameras_end_with_the_node(cameras):
    """Deactivation closes every camera's tracker and topics; activation opens them again."""
    bench = cameras(["a", "b", "c"])
    trackers = [channel.tracker for channel in bench.node.channels]
    assert len({id(tracker) for tracker in trackers}) == 3
    bench.node.trigger_deactivate()
    assert all(tracker.closed for tracker in trackers) and not bench.node.channels
    assert bench.ros.spin_until(lambda: not any(p.get_subscription_count() for p in bench.images.values()))
    bench.tracker = FakeTracker()
    bench.node.trigger_activate()
    bench.connect()
    for name in bench.names:
        bench.images[name].publish(image_message(T0))
    assert bench.ros.spin_until(lambda: all(bench.pairs.values()))


def test_a_second_tracker_that_cannot_be_made():
    """Activation fails, and the first one is closed."""
    bench = Bench({"cameras": ["a", "b"]}, activate=False)
    try:
        bench.tracker.for_another_camera = lambda: 1 / 0
        bench.node.trigger_configure()
        assert bench.node.trigger_activate() == TransitionCallbackReturn.FAILURE
        assert bench.tracker.closed and not bench.node.channels
    finally:
        bench.close()


@pytest.mark.parametrize(
    "given, topics",
    [("[]", "/image_raw"), ("['']", "/image_raw"), ("[left, /robot/right]", "/left/image_raw, /robot/right/image_raw")],
)
def test_cameras_from_the_command_line(ros, given, topics, tmp_path):
    """An empty list is one camera with the plain names, as the default is."""
    file = tmp_path / "parameters.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    cameras: {given}\n")
    for arguments in (["-p", f"cameras:={given}"], ["--params-file", str(file)]):
        node = HandsNode(lambda _: FakeTracker(), context=ros.context, cli_args=["--ros-args", *arguments])
        assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        assert ", ".join(map(str, node.channels)) == topics
        node.destroy_node()


@pytest.mark.parametrize(
    "names, words",
    [
        (("a", "a"), "twice"),
        (("a", "/a"), "twice"),
        (("", "a"), "''"),
        (("a b",), "'a b'"),
        (("a/",), "'a/'"),
        (("1a",), "'1a'"),
        (("a//b",), "'a//b'"),
        (("~/a",), "'~/a'"),
    ],
)
def test_bad_camera_names(names, words):
    with pytest.raises(InputError, match="parameter cameras: .*" + words):
        Parameters(cameras=names)
