"""hands_teleop tells an arm its joints, over DDS: from where it is, within limits, and not where it is silent."""

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from ros_support import PATIENT
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from teleop_support import needs_ruckig

from fourdhands_core.errors import InputError
from fourdhands_ros.pypi.message_types import create_subscription, message_type
from fourdhands_ros.teleop.outputs import JOINT_TRAJECTORY
from fourdhands_ros.teleop.parameters import TeleopParameters

pytestmark = needs_ruckig


@pytest.fixture(autouse=True)
def _with_mink():
    pytest.importorskip("mink", reason="an arm's inverse kinematics needs mink (pip install 'fourdhands[robot]')")


def until_quiet(one, told):
    """Wait until all that was told has come, and is the same."""

    def quiet():
        last, said = told[-1], len(one.states)
        one.until(lambda: len(one.states) > said + 10)
        return told[-1] == last

    one.until(quiet)


def measured(one):
    return np.array(one.states[-1]["measured"]["position"])


def test_a_simulated_arm_follows_by_its_joints(person):
    one = person("arm:=trajectory", "arm_model:=seven_joints")
    one.reports = False  # where its end is, its joints tell
    one.until(lambda: one.states and "robot_not_seen" in one.states[-1]["reasons"])
    answer = one.call("engage")
    assert not answer.success and "robot_not_seen; joint_states has not told of turn_1, bend_2" in answer.message
    messages, places, joints = [], [], []  # messages of two arrays cannot be compared

    def hear(message):
        messages.append(message)
        places.append(message.points[0].positions.tolist())

    create_subscription(one.node, message_type(JOINT_TRAJECTORY), "arm_trajectory", hear, QoSProfile(depth=1000))
    one.node.create_subscription(JointState, "joint_states", joints.append, 100)
    robot = one.ros.process("-m", "fourdhands_ros.tools.simulated_robot", "--namespace", "/", "--tool", "gripper")
    one.engage()
    one.until(lambda: messages and joints)
    first, names = messages[0], joints[-1].name[:7]
    assert list(first.joint_names) == names and len(first.points) == 1 and not one.told
    assert (first.points[0].time_from_start.sec, first.points[0].time_from_start.nanosec) == (0, 50_000_000)
    np.testing.assert_allclose(first.points[0].positions, joints[-1].position[:7], atol=2e-3)  # it stands; messages may be lost
    start = measured(one)
    one.move(np.array([0.0, 0.002, 0.002]), lambda: measured(one)[1] > start[1] + 0.06)
    one.until(lambda: np.abs(measured(one) - start - one.hand + [0.0, 0.0, 0.5]).max() < 5e-3)
    one.hand = None
    one.until(lambda: one.state() == "IDLE" and not one.states[-1]["moving"])

    until_quiet(one, places)
    count, one.hand = len(messages), np.array([0.3, 0.1, 0.5])
    one.states.clear()
    one.until(lambda: one.state() == "READY" and len(one.states) > 10)
    assert len(messages) == count
    robot.kill()
    robot.kill()
    one.until(
        lambda: "robot_stale" in one.states[-1]["reasons"] and "s ago, and has to go on coming" in one.states[-1]["problem"]
    )
    one.close()


def test_joints_as_positions_hold_as_soon_as_the_arm_falls_silent(person):
    one = person("arm:=positions", "arm_model:=seven_joints", "base_frame:=base")
    one.reports = False
    names = ["turn_1", "bend_2", "turn_3", "bend_4", "turn_5", "bend_6", "turn_7"]
    at, told, says = np.array([0.1, 0.42, 0.0, 1.85, 0.0, 0.87, 0.2]), [], [True]
    out = one.node.create_publisher(JointState, "joint_states", 10)

    def say():
        if says[0]:
            message = JointState(name=["other", *names[::-1]], position=[0.0, *(told[-1] if told else at.tolist())[::-1]])
            message.header.stamp = one.node.get_clock().now().to_msg()
            out.publish(message)

    one.node.create_timer(1 / 60, say)
    one.node.create_subscription(Float64MultiArray, "arm_commands", lambda m: told.append(list(m.data)), 100)
    one.engage()
    one.until(lambda: told)
    assert told[0] == at.tolist()
    one.move(np.array([0.002, 0.0, 0.0]), lambda: np.abs(np.array(told[-1]) - at).max() > 0.1)
    says[0] = False
    one.until(
        lambda: one.state() in ("IDLE", "FAULT") and {*one.states[-1]["stopped_by"]} & {"robot_stale", "robot_does_not_follow"}
    )
    one.stands()
    until_quiet(one, told)
    stood = told[-1]
    says[0] = True
    one.states.clear()
    one.until(lambda: len(one.states) > 10)
    assert told[-1] == stood
    one.close()


@pytest.mark.parametrize(
    "values, words",
    [
        ({"arm": "trajectory"}, "arm: trajectory and arm_model: empty do not fit"),
        ({"arm": "twist", "arm_model": "seven_joints"}, "arm: twist and arm_model: seven_joints do not fit"),
    ],
)
def test_parameters_that_do_not_fit(values, words):
    with pytest.raises(InputError, match=words):
        TeleopParameters(**values)


def test_an_arm_whose_end_is_unknown_is_told_in_a_sentence(person, tmp_path):
    (tmp_path / "arm.xml").write_text(
        "<mujoco><worldbody><body name='a'><joint name='j'/><geom size='0.1'/></body></worldbody></mujoco>"
    )
    one = person("arm:=trajectory", f"arm_model:={tmp_path}/arm.xml")
    _, said = one.process.communicate(timeout=PATIENT)
    assert one.process.returncode == 1 and "Traceback" not in said, said
    assert "arm.xml: the model has no site or body 'tool0' to lead; it has a" in said
