"""The examples of the ROS side, run as a user runs them."""

import importlib.util
import os
import re
import signal

import numpy as np
import pytest
from bag_support import write_bag
from program_support import python
from ros_support import PERIOD, REPOSITORY, T0, ended, make_pair

from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED
from fourdhands_ros.convert.encoders import HandPairEncoder, wrist_pose
from fourdhands_ros.pypi.message_types import HandPair

STATES = [(TRACKED, TRACKED), (TRACKED, HELD), (ABSENT, ABSENT), (ABSENT, TRACKED)]


def encoded(pair):
    return HandPairEncoder("network", "model").encode(pair, "camera", {"total": 0.01}, (1, 0, 0))


def read_lines(process, count):
    return [process.stdout.readline() for _ in range(count)]


def test_subscriber_prints_the_wrists_of_valid_hands(ros):
    publisher = ros.node().create_publisher(HandPair, "hands", 10)
    process = ros.process("examples/hands_subscriber.py", cwd=REPOSITORY)
    assert ros.spin_until(publisher.get_subscription_count)
    pairs = [make_pair(T0 + k * PERIOD, states, seed=k) for k, states in enumerate(STATES)]
    for pair in pairs:
        publisher.publish(encoded(pair))
    valid = [hand for pair in pairs for hand in pair.hands if hand.valid]
    for line, hand in zip(read_lines(process, len(valid)), valid):
        side, *position = re.fullmatch(r"(left|right) wrist at (\S+) (\S+) (\S+) m\n", line).groups()
        assert side == ("left", "right")[hand.side]
        np.testing.assert_allclose(np.array(position, float), hand.joints[0], atol=6e-4)
    assert ended(process, by=signal.SIGINT) == ""


@pytest.fixture
def bag(tmp_path):
    pairs = [make_pair(T0 + k * PERIOD, states, seed=k) for k, states in enumerate(STATES)]
    entries = [("/hands", pair.stamp, encoded(pair)) for pair in pairs]
    return write_bag(tmp_path / "bag", entries, {"/hands": "fourdhands_ros/msg/HandPair"}), pairs


def convert(*arguments):
    """The example without this package on Python's path: it is to need rosbags and numpy alone."""
    path = os.pathsep.join(entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry != str(REPOSITORY))
    return python("examples/bag_to_numpy.py", *arguments, env={**os.environ, "PYTHONPATH": path})


def test_bag_to_numpy_gives_what_was_recorded(bag, tmp_path):
    path, pairs = bag
    done = convert(path, tmp_path / "hands.npz")
    assert done.returncode == 0, done.stderr
    assert "4 messages, left hand in 2, right in 2" in done.stdout
    arrays = np.load(tmp_path / "hands.npz")
    assert arrays["stamp"].tolist() == [pair.stamp for pair in pairs]
    for k, pair in enumerate(pairs):
        for side, hand in enumerate(pair.hands):
            assert arrays["valid"][k, side] == hand.valid
            np.testing.assert_allclose(arrays["joints"][k, side], hand.joints if hand.valid else np.nan)
            np.testing.assert_allclose(arrays["wrist"][k, side], wrist_pose(hand) if hand.valid else np.nan)
        relative = np.nan if pair.left_root_relative is None else pair.left_root_relative
        np.testing.assert_allclose(arrays["left_root_relative"][k], relative)


def test_bag_to_numpy_names_the_topics_that_there_are(bag, tmp_path):
    done = convert(bag[0], tmp_path / "hands.npz", "/left/hands")
    assert done.returncode == 1
    assert "has no topic /left/hands; it has /hands" in done.stderr
    assert not (tmp_path / "hands.npz").exists()


def test_the_examples_need_what_they_say():
    text = (REPOSITORY / "examples" / "bag_to_numpy.py").read_text()
    assert set(re.findall(r"(?m)^(?:import|from) (\w+)", text)) == {"sys", "pathlib", "numpy", "rosbags"}
    assert importlib.util.find_spec("rosbags")
