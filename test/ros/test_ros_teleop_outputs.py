"""What hands_teleop tells a robot's hand, over DDS: joints, a trajectory, a gripper's action; and that all of it stops."""

import contextlib
import importlib

import numpy as np
import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from ros_support import PATIENT, Ros
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger
from teleop_support import needs_ruckig

from fourdhands_core.errors import InputError
from fourdhands_core.retargeting import load_retargeter
from fourdhands_ros.convert.cdr import Template
from fourdhands_ros.pypi.message_types import create_subscription, message_type, typestore
from fourdhands_ros.teleop.gripper import ACTIONS
from fourdhands_ros.teleop.hand_joints import HandJoints
from fourdhands_ros.teleop.node import TeleopNode
from fourdhands_ros.teleop.outputs import JOINT_TRAJECTORY, trajectory_template
from fourdhands_ros.teleop.parameters import TeleopParameters

pytestmark = needs_ruckig

KNUCKLE = ("gripper_joint:=knuckle", "gripper_span:=[0.8,0.0]")
OPEN = 0.085
"""Width of the gripper, metres, at which its knuckle is at 0; closed it is at 0.8 rad."""


@pytest.fixture(autouse=True)
def _with_mujoco():
    pytest.importorskip("mujoco", reason="retargeting needs mujoco (pip install 'fourdhands[robot]')")


class Hand:
    """The robot's hand: says where its joints are, hears what they are told, as (positions) one message after the other."""

    def __init__(self, one, output, names=("knuckle",), at=0.4):
        self.one, self.names, self.at, self.told, self.messages = one, list(names), at, [], []
        self._joints = one.node.create_publisher(JointState, "joint_states", 10)
        one.node.create_timer(1 / 60, self._say)
        if output == "positions":
            one.node.create_subscription(Float64MultiArray, "commands", lambda m: self.told.append(list(m.data)), 100)
        else:
            kind = message_type(JOINT_TRAJECTORY)
            create_subscription(one.node, kind, "joint_trajectory", self._on_trajectory, QoSProfile(depth=100))

    def _on_trajectory(self, message):
        self.messages.append(message)
        self.told.append(list(message.points[0].positions))

    def _say(self):
        message = JointState(name=self.names, position=[self.at] * len(self.names))
        message.header.stamp = self.one.node.get_clock().now().to_msg()
        self._joints.publish(message)


def moving(hand):
    """Wait until its commands differ from where it was when it was engaged."""
    hand.one.until(lambda: hand.told and abs(hand.told[-1][0] - hand.told[0][0]) > 1e-3)


def stop(one, way):
    if way == "hand lost":
        one.valid = False
        one.until(lambda: one.state() in ("HOLD", "IDLE"))
    elif way == "estop":
        one.estop.publish(Bool(data=True))
        one.until(lambda: one.state() == "ESTOP")
    else:
        one.call("release")
        one.until(lambda: one.state() in ("IDLE", "READY"))
    one.stands()


@pytest.mark.parametrize(
    "output, way", [("positions", "estop"), ("trajectory", "hand lost"), ("trajectory", "estop"), ("trajectory", "released")]
)
def test_the_hand_begins_where_it_is_and_stays_where_it_was_stopped(person, output, way):
    one = person("robot:=gripper", f"hand:={output}", "ramp:=1.0", *KNUCKLE)
    hand = Hand(one, output)
    one.engage()
    one.until(lambda: hand.told)
    assert hand.told[0] == pytest.approx([0.4], abs=1e-12)
    moving(hand)
    stop(one, way)
    count, last = len(hand.told), hand.told[-1]
    assert all(0.0 <= value <= 0.8 for (value,) in hand.told)
    one.states.clear()
    one.until(lambda: len(one.states) > 5)
    assert all(told == last for told in hand.told[count:])
    one.close()


def test_a_trajectory_is_one_point_that_begins_at_once(person):
    one = person("robot:=gripper", "hand:=trajectory", "trajectory_time:=0.25", "arm:=none", *KNUCKLE)
    one.reports = False  # nobody tells where an arm's end is, as there is none
    hand = Hand(one, "trajectory")
    one.engage()
    moving(hand)
    message = hand.messages[-1]
    stamp, until = message.header.stamp, message.points[0].time_from_start
    assert (stamp.sec, stamp.nanosec) == (0, 0) and (until.sec, until.nanosec) == (0, 250_000_000)
    assert list(message.joint_names) == ["knuckle"] and len(message.points) == 1
    assert all(len(getattr(message.points[0], name)) == 0 for name in ("velocities", "accelerations", "effort"))
    one.hand = one.hand + [0.1, 0.0, 0.0]  # the arm that there is not follows as well as it needs to
    one.states.clear()
    one.until(lambda: len(one.states) > 20)
    assert one.state() == "ENGAGED" and not one.told
    assert one.states[-1]["workspace"] == one.states[-1]["keep_out"] == []
    one.close()


def test_an_arm_is_led_without_news_of_a_hand_that_is_not_led(person):
    """hand: none: the robot has one, and nobody publishes its joints."""
    one = person("robot:=five_fingers_right", "hand:=none")
    one.engage()
    one.until(lambda: one.told)
    assert one.states[-1]["robot"] == "" and one.states[-1]["workspace"]
    one.close()


@pytest.mark.parametrize("names", [("a",), ("left/thumb", "b", "joint_of_ä")])
def test_a_trajectory_as_rosidl_lays_it_out(names):
    positions = np.arange(len(names)) / 3.0
    made = trajectory_template(names, 1.5).fill(positions=positions)
    assert isinstance(trajectory_template(names, 1.5), Template)
    store = typestore()
    message = store.deserialize_cdr(made, JOINT_TRAJECTORY)
    assert tuple(message.joint_names) == names and list(message.points[0].positions) == positions.tolist()
    assert (message.points[0].time_from_start.sec, message.points[0].time_from_start.nanosec) == (1, 500_000_000)
    assert bytes(store.serialize_cdr(message, JOINT_TRAJECTORY)) == made


def test_a_second_commander_of_the_hand_stops_it(person):
    one = person("robot:=gripper", *KNUCKLE)
    Hand(one, "positions")
    one.engage()
    one.node.create_publisher(Float64MultiArray, "commands", 10)
    one.until(lambda: one.state() == "IDLE" and "two_commanders" in one.states[-1]["stopped_by"])
    one.close()


def test_a_grippers_joint_and_its_width():
    joints = HandJoints.of(load_retargeter("gripper"), "knuckle", (0.8, 0.0))
    for width, knuckle in ((0.0, 0.8), (OPEN, 0.0), (OPEN / 2, 0.4)):
        assert joints.told(np.array([width]))[0] == pytest.approx(knuckle)
        assert joints.measured({"knuckle": knuckle, "other": 1.0})[0] == pytest.approx(width)
    assert joints.measured({"width": 0.04}) is None
    assert HandJoints.of(load_retargeter("gripper")).told(np.array([0.03]))[0] == 0.03


@pytest.mark.parametrize(
    "robot, joint, span, words",
    [
        ("gripper", "knuckle", (0.8, 0.8), "closed and open are both 0.8"),
        ("five_fingers_right", "knuckle", (0.0, 0.0), "are for a gripper"),
        ("five_fingers_right", "", (0.0, 0.8), "are for a gripper"),
    ],
)
def test_a_gripper_that_is_none(robot, joint, span, words):
    with pytest.raises(InputError, match=words):
        HandJoints.of(load_retargeter(robot), joint, span)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"arm": "none"}, "leaves nothing that could follow"),
        ({"arm": "none", "robot": "gripper", "hand": "none"}, "leaves nothing that could follow"),
        ({"gripper_span": (0.1,)}, "are not two positions"),
        ({"keep_out": 0.5}, r"keep_out: 0.5 is not a list of numbers, such as \[1.0, 2.0\]"),
        ({"robot": "gripper", "gripper_span": (float("nan"), 0.1)}, "are not both finite"),
        ({"hand": "gripper_command"}, "hand: gripper_command is of a robot's hand, and none is named"),
        ({"gripper_joint": "knuckle"}, "gripper_joint: knuckle is of a robot's hand, and none is named"),
        ({"gripper_span": (0.8, 0.0)}, "gripper_span: .* is of a robot's hand, and none is named"),
        ({"robot": "gripper", "hand": "claw"}, "'claw' is not one of positions, trajectory"),
    ],
)
def test_outputs_that_do_not_fit(values, words):
    with pytest.raises(InputError, match=words):
        TeleopParameters(**values)


def test_a_grippers_action_for_a_hand_is_told_in_a_sentence(person):
    one = person("robot:=five_fingers_right", "hand:=gripper_command")
    _, said = one.process.communicate(timeout=PATIENT)
    assert one.process.returncode == 1 and "Traceback" not in said, said
    assert "is for a gripper, and five_fingers_right has 16 joints" in said


def test_a_hand_of_which_joint_states_says_nothing_is_told_of(person):
    """Until it does: its joint may come in messages of its own, beside the arm's."""
    one = person("robot:=gripper", *KNUCKLE)
    Hand(one, "positions", ("elbow", "finger"))
    told = "joint_states has elbow, finger, but no message with knuckle of gripper; gripper_joint names it"
    one.until(lambda: one.states and one.states[-1]["problem"] == told and "robot_not_seen" in one.states[-1]["reasons"])
    Hand(one, "positions")
    one.until(lambda: one.state() == "READY" and not one.states[-1]["problem"])
    one.close()


def test_after_an_activation_that_failed_the_node_says_that_it_is_not_active():
    with contextlib.closing(Ros()) as ros:
        given = {"robot": "five_fingers_right", "hand": "gripper_command"}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        node = ros.add(TeleopNode(context=ros.context, parameter_overrides=overrides))
        node.trigger_configure()
        assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
        client = ros.node().create_client(Trigger, "/hands_teleop/engage")
        assert ros.spin_until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        assert ros.spin_until(answer.done)
        assert not answer.result().success and answer.result().message == "the node is not active"


def has_action(kind):
    try:
        return hasattr(importlib.import_module("control_msgs.action"), ACTIONS[kind])
    except ImportError:
        return False


@pytest.mark.parametrize("kind", ACTIONS)
def test_where_control_msgs_is_not_installed_that_is_told(person, kind):
    if has_action(kind):
        pytest.skip("it is installed")
    one = person("robot:=gripper", f"hand:={kind}")
    _, said = one.process.communicate(timeout=PATIENT)
    assert one.process.returncode == 1 and "Traceback" not in said, said
    assert f"needs the action {ACTIONS[kind]} of control_msgs, which is not installed here" in said


@pytest.mark.parametrize("kind", ACTIONS)
def test_a_grippers_action_over_dds(person, kind):
    if not has_action(kind):
        pytest.skip("control_msgs is in ROS workspaces only")
    from rclpy.action import ActionServer

    action = getattr(importlib.import_module("control_msgs.action"), ACTIONS[kind])
    one = person("robot:=gripper", f"hand:={kind}", "gripper_effort:=30.0", "ramp:=1.0", *KNUCKLE)
    goals = []

    def take(handle):
        goals.append(handle.request.command)
        handle.succeed()
        return action.Result()

    server = ActionServer(one.node, action, "gripper_cmd", take)
    Hand(one, "positions")
    one.engage()
    one.until(lambda: len(goals) > 2)
    stop(one, "estop")
    count, last = len(goals), goals[-1]
    one.states.clear()
    one.until(lambda: len(one.states) > 10)
    assert len(goals) == count
    if kind == "gripper_command":
        assert last.max_effort == 30.0 and 0.0 <= last.position <= 0.8
    else:
        assert list(last.effort) == [30.0] and list(last.name) == ["knuckle"] and 0.0 <= last.position[0] <= 0.8
    server.destroy()
    one.close()
