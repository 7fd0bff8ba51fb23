"""Recordings whose camera has a clock of its own: marks and joints without stamps, and joints of a third clock."""

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import write_bag
from episode_support import Demonstration, export, rows
from rclpy.serialization import deserialize_message, serialize_message
from ros_support import SECOND, T0, stamp_of, stamp_to
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from fourdhands_core.episodes.clocks import Clock

pytestmark = pytest.mark.skipif(not find_spec("pyarrow"), reason="datasets need pyarrow (pip install 'fourdhands[dataset]')")
AHEAD = 1000 * SECOND


def recorded(path, ahead, change=lambda state: None):
    """Four seconds from T0 + 1 s on, recorded by a clock that is ahead, with a mark from 2 to 4 s. change: of JointState."""
    entries, types = Demonstration(seconds=4, images=False).entries()
    made = []
    for topic, time, data in entries:
        if topic == "/joint_states":
            state = deserialize_message(data, JointState)
            change(state)
            data = serialize_message(state)
        made.append((topic, time + ahead, data))
    made += [("/mark", T0 + s * SECOND + ahead, serialize_message(Bool(data=value))) for s, value in ((2, True), (4, False))]
    return write_bag(path, sorted(made, key=lambda one: one[1]), {**types, "/mark": "std_msgs/msg/Bool"})


def unset(state):
    state.header.stamp.sec = state.header.stamp.nanosec = 0


@pytest.mark.parametrize("ahead, told", [(AHEAD, "1000.0 s behind"), (-AHEAD, "1000.0 s ahead of"), (0, "")])
def test_marks_are_of_what_was_recorded_then(tmp_path, capsys, ahead, told):
    """They have no stamps: of a camera with a clock of its own nothing was inside, or another part."""
    said = export(capsys, recorded(tmp_path / "bag", ahead), tmp_path / "out", "--split", "topic:/mark")
    seconds = (rows(tmp_path / "out")["stamp.row"] - T0) / SECOND
    assert abs(seconds[0] - 2.0) < 0.04 and abs(seconds[-1] - 3.96) < 0.04
    assert (told in said and "marks, which have none" in said) if told else "marks, which" not in said, said


def test_joints_without_stamps_are_of_what_was_recorded_then(tmp_path, capsys):
    export(capsys, recorded(tmp_path / "bag", AHEAD, unset), tmp_path / "out")
    table = rows(tmp_path / "out")
    assert table["robot.valid"].all()
    at = (table["stamp.row"] - T0) / SECOND
    np.testing.assert_allclose(table["observation.robot_state"][:, 0], at, atol=0.006)  # what HandPairs took to be recorded


def test_joints_of_another_clock_are_told(tmp_path, capsys):
    """By header stamps the robot was where it had been two seconds before; that was not told."""

    def late(state):
        stamp_to(state, stamp_of(state.header) - 2 * SECOND)

    said = export(capsys, recorded(tmp_path / "bag", 0, late), tmp_path / "out")
    assert "/joint_states: its stamps are 2.0 s behind their recording and the hands' 0.0 s behind theirs" in said
    assert "clocks" not in export(capsys, recorded(tmp_path / "alike", 0), tmp_path / "well")


def test_what_was_played_twice_is_of_no_other_clock(tmp_path, capsys):
    """The second time, which is left out, counted for images and joints, and not for the hands."""
    entries, types = Demonstration(seconds=2).entries()
    again = [(topic, time + 3600 * SECOND, data) for topic, time, data in entries]
    said = export(capsys, write_bag(tmp_path / "bag", entries + again, types), tmp_path / "out")
    assert "repeated or out of order" in said and "clocks" not in said, said


def test_a_moment_is_of_the_clock_that_held_then():
    """As of a simulation that began anew; one wrong stamp among five changes nothing."""
    time = np.arange(100) * 33_000_000 + T0
    stamp = time - np.where(np.arange(100) < 50, 5 * SECOND, 7 * SECOND)
    stamp[20] = 0
    clock = Clock(stamp, time)
    assert clock.moment(T0 + 660_000_000) == T0 + 660_000_000 - 5 * SECOND
    assert clock.moment(T0 - SECOND) == T0 - 6 * SECOND and clock.moment(T0 + 60 * SECOND) == T0 + 53 * SECOND
    assert Clock(time - 300_000_000, time).moment(T0) == T0 and Clock(time[:1], time[:1]).moment(7) == 7
