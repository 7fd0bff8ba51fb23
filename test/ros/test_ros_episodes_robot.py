"""A robot's joints in a dataset, where several nodes tell theirs on one topic."""

import array
import json
import shutil
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import write_bag
from episode_support import Demonstration, rows, run, told
from rclpy.serialization import deserialize_message, serialize_message
from ros_support import SECOND, T0, stamp_to
from sensor_msgs.msg import JointState

from fourdhands_core.retargeting.config import ROBOTS

pytestmark = pytest.mark.skipif(find_spec("pyarrow") is None, reason="datasets need it (pip install 'fourdhands[dataset]')")

PLACES = {"elbow": 1.0, "shoulder": -2.0, "finger": 0.5, "wheel": 3.0}
"""Joints, and how fast each moves on, so that its position tells the time."""


def states(names, seconds, lag=0):
    """Entries of a topic on which one node tells its joints, at these seconds."""
    entries = []
    for one in seconds:
        state = JointState(name=list(names), position=array.array("d", [PLACES.get(name, 0.0) * one for name in names]))
        stamp = T0 + round(one * SECOND)
        stamp_to(state, stamp)
        entries.append(("/joint_states", stamp + lag, serialize_message(state)))
    return entries


def exported(tmp_path, capsys, *tellers):
    """The rows of a bag of 4 s with these messages, its names of joints, and what was said."""
    entries, types = Demonstration(seconds=4, robot=False, images=False).entries()
    entries = sorted([*entries, *(entry for one in tellers for entry in one)], key=lambda entry: entry[1])
    bag = write_bag(tmp_path / "bag", entries, {**types, "/joint_states": "sensor_msgs/msg/JointState"})
    code, out, said = run(capsys, "export", bag, "--out", tmp_path / "out", "--no-images")
    assert code == 0, said
    names = json.loads((tmp_path / "out" / "meta" / "info.json").read_text())["features"]["observation.robot_state"]["names"]
    return rows(tmp_path / "out"), names, said


def is_as_told(table, names, but=()):
    """Wherever it is said to be valid, each joint is where it was then."""
    there, seconds = table["robot.valid"].ravel(), (table["stamp.row"].ravel() - T0) / SECOND
    state = table["observation.robot_state"].reshape(len(there), -1)
    for k, name in enumerate(names):
        off = np.abs(state[there, k] - PLACES[name] * seconds[there])
        assert name in but or off.max() < 1e-4, name
    return there


def test_arm_and_gripper_by_two_broadcasters(tmp_path, capsys):
    """At other rates, neither ever with the other's joints."""
    arm, gripper = states(("shoulder", "elbow"), np.arange(0.9, 5.2, 0.01)), states(("finger",), np.arange(0.905, 5.2, 0.033))
    table, names, said = exported(tmp_path, capsys, arm, gripper)
    assert names == ["finger", "shoulder", "elbow"]  # whoever is heard first
    assert is_as_told(table, names).all() and "joint_states" not in said
    assert not told(tmp_path / "out")["bags"][0]["unusable"]


def test_one_of_two_is_silent(tmp_path, capsys):
    gripper = [one for one in np.arange(0.905, 5.2, 0.033) if not 2.0 < one < 3.0]
    table, names, said = exported(
        tmp_path, capsys, states(("shoulder", "elbow"), np.arange(0.9, 5.2, 0.01)), states(("finger",), gripper)
    )
    there, seconds = is_as_told(table, names), (table["stamp.row"].ravel() - T0) / SECOND
    assert not there[(seconds > 2.0) & (seconds < 3.0)].any() and there[(seconds < 1.9) | (seconds > 3.1)].all()
    assert "/joint_states: finger silent for 1." in said and "robot.valid is false there" in said


@pytest.mark.parametrize("lacking", [float("nan"), None])
def test_a_joint_whose_place_is_not_told_for_a_while_is_unknown(tmp_path, capsys, lacking):
    """By messages that name it all the same: it stood still for up to half a second, and counted as valid."""
    seconds = np.arange(0.9, 5.2, 0.01)
    entries = states(("shoulder", "finger"), seconds)
    for k, one in enumerate(seconds):
        if 1.995 < one < 2.395:
            state = deserialize_message(entries[k][2], JointState)
            state.position = array.array("d", [state.position[0]] + [lacking] * (lacking is not None))
            entries[k] = *entries[k][:2], serialize_message(state)
    table, names, said = exported(tmp_path, capsys, entries)
    there, at = is_as_told(table, names), (table["stamp.row"].ravel() - T0) / SECOND
    assert not there[(at > 2.02) & (at < 2.38)].any() and there[(at < 1.98) | (at > 2.42)].all()
    assert "silent for 0.4" in said
    assert told(tmp_path / "out")["bags"][0]["unusable"] == {"JointState that names joints whose position it does not tell": 40}


def test_joints_in_common_are_the_newest(tmp_path, capsys):
    """Of a node that tells all joints seldom, and one that tells one of them often; and of one that tells none."""
    tellers = states(("elbow", "finger"), np.arange(0.9, 5.2, 0.1)), states(("elbow",), np.arange(0.905, 5.2, 0.01))
    table, names, _ = exported(tmp_path, capsys, *tellers, states((), np.arange(0.9, 5.2, 0.5)))
    assert names == ["elbow", "finger"]
    assert is_as_told(table, names, but=["finger"]).all()
    seconds = (table["stamp.row"].ravel() - T0) / SECOND
    late = seconds - table["observation.robot_state"][:, 1] / PLACES["finger"]
    assert late.min() > -0.02 and late.max() < 0.12  # where it was told to be last
    assert told(tmp_path / "out")["bags"][0]["unusable"] == {"JointState without a position": 9}


def test_the_order_of_joints_in_common_is_no_matter_of_chance(tmp_path, capsys):
    """Who was heard first gave it: of two recordings of one robot one was left out."""
    for name, late in (("one", 0.0), ("other", 0.02)):
        tellers = (
            states(("elbow", "finger"), np.arange(0.9 + late, 5.2, 0.1)),
            states(("shoulder", "elbow"), np.arange(0.905, 5, 0.1)),
        )
        assert exported(tmp_path / name, capsys, *tellers)[1] == ["elbow", "finger", "shoulder"]


def test_a_joint_that_is_told_once(tmp_path, capsys):
    table, names, said = exported(tmp_path, capsys, states(("elbow",), np.arange(0.9, 5.2, 0.01)), states(("wheel",), [2.0]))
    assert names == ["elbow"] and is_as_told(table, names).all()
    assert "wheel told less than twice, left out" in said


def test_what_is_told_once_with_joints_that_others_tell(tmp_path, capsys):
    """It makes nobody silent who is told all the time."""
    often = states(("elbow", "finger"), np.arange(0.9, 5.2, 0.01))
    table, names, said = exported(tmp_path, capsys, often, states(("elbow", "wheel"), [2.003]))
    assert names == ["elbow", "finger"] and is_as_told(table, names).all()
    assert "wheel told less than twice, left out" in said


def test_more_sets_of_joints_than_are_read(tmp_path, capsys):
    tellers = [states((f"joint_{k:02}",), np.arange(0.9, 5.2, 0.5)) for k in range(66)]
    _, names, said = exported(tmp_path, capsys, *tellers)
    assert len(names) == 64 and "more than 64 different sets of joints" in said
    assert told(tmp_path / "out")["bags"][0]["unusable"] == {"JointState of yet another set of joints, after 64": 18}


@pytest.mark.parametrize("period", [0.01, 0.1])
def test_two_nodes_that_tell_the_same_joints_otherwise(tmp_path, capsys, period):
    """As a joint_state_publisher beside the robot, which tells zeros: nobody can say who is right, and it is told."""
    robot, other = states(("elbow",), np.arange(0.9, 5.2, 0.01)), np.arange(0.904, 5.2, period)
    zeros = [(topic, time, _still(data)) for topic, time, data in states(("elbow",), other)]
    _, _, said = exported(tmp_path, capsys, robot, zeros)
    assert "elbow jump to another place and back, up to" in said and "two nodes tell the same joints" in said


def _still(data):
    """The same message, of a joint at 0."""
    state = deserialize_message(data, JointState)
    state.position = array.array("d", [0.0] * len(state.name))
    return serialize_message(state)


def test_a_robots_joints_are_those_of_the_operator_whose_range_was_in_force(tmp_path, capsys):
    """As `hands_teleop` and `fourdhands teleop` have them with the same file; another range is another dataset."""
    pytest.importorskip("mujoco", reason="retargeting needs mujoco (pip install 'fourdhands[robot]')")
    from fourdhands_core.retargeting import load_retargeter
    from fourdhands_core.retargeting.operator_range import OperatorRange

    bag = Demonstration(seconds=2, robot=False, images=False).write(tmp_path / "bag")
    file = tmp_path / "me.yaml"
    OperatorRange.exact().write(file)
    command = "export", bag, "--out", tmp_path / "out", "--action", "robot:three_fingers", "--operator", file, "--quiet"
    code, _, said = run(capsys, *command)
    assert code == 0, said
    table, previous = rows(tmp_path / "out"), [None, None]
    retargeters = [load_retargeter("three_fingers", operator=one) for one in (file, None)]
    apart = 0.0
    for state, joints in zip(table["observation.state"], table["hand.joints"].reshape(-1, 2, 21, 3)):
        hand = joints[["left", "right"].index(retargeters[0].side)]
        previous = [one.solve(hand, before) for one, before in zip(retargeters, previous)]
        np.testing.assert_allclose(state, previous[0], atol=1e-4)
        apart = max(apart, np.abs(previous[0] - previous[1]).max())
    assert apart > 0.05
    assert "nothing was done" in run(capsys, *command)[1]
    OperatorRange().write(file)
    assert "of other bags or options" in run(capsys, *command)[2]
    code, _, said = run(capsys, *command[:4], "--operator", file)
    assert code == 2 and "means nothing to --action mano102" in said
    code, _, said = run(capsys, "export", bag, "--out", tmp_path / "no", *command[4:7], tmp_path / "none.yaml")
    assert code == 2 and "the operator's range" in said and "none.yaml" in said


def test_a_robots_file_that_was_changed_makes_another_dataset(tmp_path, capsys):
    """It was known by its name: the command said that nothing was to be done, a killed one went on with the other robot."""
    pytest.importorskip("mujoco", reason="retargeting needs mujoco (pip install 'fourdhands[robot]')")
    bag = Demonstration(seconds=2, robot=False, images=False).write(tmp_path / "bag")
    for name in ("gripper.yaml", "gripper.xml"):
        shutil.copy(ROBOTS / name, tmp_path / name)
    command = "export", bag, "--out", tmp_path / "out", "--action", f"robot:{tmp_path / 'gripper.yaml'}", "--quiet"
    assert run(capsys, *command)[0] == 0
    assert "nothing was done" in run(capsys, *command)[1]
    text = (tmp_path / "gripper.yaml").read_text()
    (tmp_path / "gripper.yaml").write_text(text.replace("0.085", "0.03"))
    code, _, said = run(capsys, *command)
    assert code == 2 and "of other bags or options" in said, said
