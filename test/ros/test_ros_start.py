"""Starting the node as a user does: as a process, with parameters good and bad, ended by signals."""

import dataclasses
import platform
import re
import signal

import numpy as np
import pytest
import yaml
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_support import REPOSITORY, ended, hands_node, image_message
from sensor_msgs.msg import Image

from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.tracker import TrackerSettings
from fourdhands_ros.node.node import main
from fourdhands_ros.node.parameters import Parameters
from fourdhands_ros.pypi.message_types import HandPair, create_subscription
from fourdhands_ros.teleop.parameters import TeleopParameters

FAKE = (
    "import sys; sys.path.insert(0, 'test/ros'); from ros_support import FakeTracker; "
    "from fourdhands_ros.executable import end; "
    "from fourdhands_ros.node.node import main; end(main(tracker_factory=lambda _: FakeTracker()))"
)
"""A node that ends as the program does: Python's own teardown waits for other libraries' threads, once in a while for ever."""
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_process_answers_and_ends(ros, end):
    """Images of another process come back as hands; SIGINT and SIGTERM end the node in order, while images come."""
    process = ros.process("-c", FAKE, "--ros-args", "-r", "image_raw:=/camera/image", "-r", "__ns:=/front")
    node = ros.node()
    images = node.create_publisher(Image, "/camera/image", RELIABLE)
    pairs = []
    create_subscription(node, HandPair, "/front/hands", pairs.append, RELIABLE)
    count = 0

    def answered():
        nonlocal count
        count += 1
        images.publish(image_message(10**18 + count * 10**7))
        return len(pairs) > 5

    assert ros.spin_until(answered), process.stdout.read() if process.poll() is not None else "no hands"
    process.send_signal(end)
    assert ros.spin_until(lambda: answered() and process.poll() is not None)
    output = process.stdout.read()
    assert process.returncode == 0 and "Traceback" not in output, output


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-p", "tf:=everything"], "parameter tf: 'everything' is not one of none, wrist, joints"),
        (["-p", "default_fov:=500.0"], "parameter default_fov"),
        (["-p", "default_fov:=sixty"], "parameter default_fov"),
        (["-p", "lookahead:=-1"], "parameter lookahead"),
        (["-p", "frame_prefix:=/a"], "parameter frame_prefix: '/a'"),
        (["-p", "mirrored_cameras:=[left]"], "mirrored_cameras names left, and the cameras are one without a name"),
        (["-p", "weights:=/nowhere/weights.safetensors"], "/nowhere/weights.safetensors does not exist"),
    ],
)
def test_bad_parameters_are_refused(arguments, words, capfd):
    """The node does not start, says which parameter is wrong, and its exit status tells."""
    assert main(["--ros-args", *arguments]) == 1
    output = "".join(capfd.readouterr())
    assert words in output and "Traceback" not in output


def test_whole_numbers_for_those_with_decimals(ros):
    """hold 1 is 1.0, from the command line, a file or `ros2 param set`; other types are refused with what to give."""
    node = hands_node(ros, {"hold": 1, "default_fov": 70, "cameras": ["left"]})
    assert (node.parameters.hold, node.parameters.default_fov, node.parameters.cameras) == (1.0, 70.0, ("left",))
    assert node.get_parameter("hold").value == 1.0 and list(node.get_parameter("cameras").value) == ["left"]
    if hasattr(node, "add_pre_set_parameters_callback"):
        assert all(
            result.successful
            for result in node.set_parameters(
                [Parameter("default_fov", value=80), Parameter("tf", value="none"), Parameter("use_sim_time", value=False)]
            )
        )
        assert node.parameters.default_fov == 80.0 and node.parameters.tf == "none"
    assert not node.set_parameters([Parameter("default_fov", value=800)])[0].successful
    assert not node.set_parameters([Parameter("default_fov", value="80")])[0].successful
    for name, value, words in (
        ("hold", "a", "'a' is not a number"),
        ("hold", True, "True is not a number"),
        ("lookahead", 2.0, "2.0 is not a whole number"),
        ("mirrored", 1, "1 is not true or false"),
        ("frame_prefix", 1, "1 is not a text; put it in double quotes"),
        ("cameras", "left", r"'left' is not a list of texts, such as \[left, right\]"),
    ):
        with pytest.raises(InputError, match=f"parameter {name}: {words}"):
            hands_node(ros, {name: value})


def test_misspelt_parameters_are_told(ros):
    process = ros.process("-c", FAKE, "--ros-args", "-p", "framme_prefix:=a")
    assert ros.spin_until(lambda: process.stdout.readline().find("no parameter is called framme_prefix") >= 0)


@pytest.mark.parametrize("file, kind", [("hands.yaml", Parameters), ("teleop.yaml", TeleopParameters)])
def test_documented_parameters(file, kind):
    """The file explains every parameter in the code's words and gives its default and limits."""
    text = (REPOSITORY / "config" / file).read_text()
    documented = yaml.safe_load(text)["/**"]["ros__parameters"]
    defaults = dataclasses.asdict(kind()).items()
    assert documented == {name: list(value) if isinstance(value, tuple) else value for name, value in defaults}
    words = re.sub(r"\s*\n\s*# ", " ", text)
    for spec in dataclasses.fields(kind):
        told = spec.metadata["description"]
        if limits := spec.metadata["limits"]:
            told += f" From {limits[0]:g} to {limits[1]:g}."
        assert told in words, told


def test_tracker_parameters_are_the_trackers():
    """A parameter with the name of a tracker setting is that setting, with its default."""
    assert Parameters().tracker_settings() == TrackerSettings()
    settings = Parameters(mirrored=True, hold=1.0, lookahead=3).tracker_settings()
    assert (settings.mirrored, settings.hold, settings.lookahead) == (True, 1.0, 3)


@pytest.mark.parametrize(
    "values",
    [
        dict(tf=""),
        dict(tf="Wrist"),
        dict(default_fov=9.0),
        dict(default_fov=np.nan),
        dict(default_fov=60),
        dict(marker_lifetime=-0.1),
        dict(frame_prefix="a b"),
        dict(frame_prefix="/a"),
        dict(mirrored=1),
        dict(image_transport="h264"),
        dict(reset_gap=0.0),
        dict(diagnostics_period=np.inf),
        dict(lookahead=61),
    ],
)
def test_every_bad_value_is_named(values):
    with pytest.raises(InputError, match=f"parameter {next(iter(values))}: "):
        Parameters(**values)


@pytest.mark.parametrize("command", [["-m", "fourdhands_ros"], ["fourdhands_ros/hands_node"]])
def test_both_ways_to_start(ros, command):
    """`python -m fourdhands_ros`, and the executable that colcon installs."""
    assert "parameter tf" in ended(ros.process(*command, "--ros-args", "-p", "tf:=bad"), 1)


HEAPS = """
import ctypes, threading
from fourdhands_ros.node.node import _share_memory

def heaps():
    stream = libc.fopen(b"{file}", b"w")
    libc.malloc_info(0, ctypes.c_void_p(stream))
    libc.fclose(ctypes.c_void_p(stream))
    return open("{file}").read().count("<heap nr")

libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
_share_memory()
before, barrier, kept = heaps(), threading.Barrier(13), []
def work():
    kept.append(bytearray(10_000))
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[thread.start() for thread in threads]
barrier.wait()
print(heaps() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives every thread a heap")
def test_all_threads_share_one_heap(ros, tmp_path):
    assert int(ended(ros.process("-c", HEAPS.format(file=tmp_path / "heaps.xml")))) == 0
