"""The teleoperation node over DDS: what it takes, what it says, its parameters."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.parameter import Parameter
from ros_support import PATIENT, T0, make_pair
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, Float64MultiArray
from teleop_support import START, needs_ruckig, stepped

from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import deserialize, message_type
from fourdhands_ros.teleop.diagnosis import status_of
from fourdhands_ros.teleop.hand_input import HandInput

pytestmark = needs_ruckig


@pytest.mark.parametrize("state, valid", [(TRACKED, True), (HELD, False), (ABSENT, False)])
def test_a_hand_that_is_held_counts_as_not_seen(state, valid):
    """Its last pose comes with every image's stamp."""
    hand = HandInput("right", None, lambda sec, nanosec: sec + 1e-9 * nanosec)
    try:
        encoded = HandPairEncoder("net").encode(make_pair(T0, (TRACKED, state)), "camera", {})
        sample, frame = hand.read(deserialize(encoded, message_type("fourdhands_ros/msg/HandPair")))
    finally:
        hand.close()
    assert (sample.valid, sample.stamp, frame) == (valid, T0 / 1e9, "camera")


def test_the_arm_follows_and_the_limits_hold(person):
    one = person()
    one.engage()
    np.testing.assert_allclose(one.told[0][1], START, atol=1e-9)
    step = np.array([0.004, 0.0, 0.0])

    def arrived():
        return abs(one.place[0] - place - (one.hand[0] - hand)) < 1e-3

    def stands(since):
        return len(one.states) > since + 10 and not any(told["moving"] for told in one.states[-10:])

    for _ in range(6):  # where it had to be engaged or began anew, on a loaded machine, it does not know how far the hand went
        place, hand = one.place[0], one.hand[0]
        one.move(step, lambda: abs(one.place[0] - place) > 0.1)
        count = len(one.states)
        one.following_until(lambda: arrived() or stands(count))
        if arrived():
            break
        step = -step
    assert arrived()
    stamps = np.array([stamp for stamp, _ in one.told]) * 1e-9
    places = np.array([place for _, place in one.told])
    # A stamp is when a step was said, at the moment that it is of or later; and that lies after the stamp of the one before
    speed = np.linalg.norm(places[51:] - places[1:-50], axis=1) / np.maximum(stamps[51:] - stamps[:-51], 0.1)
    assert speed.max() < 0.25 * np.sqrt(3) + 0.05
    one.close()


@pytest.mark.parametrize("buttons, pressed", [([0, 0, 1], True), ([1, 1, 0], False), ([1], False), ([0, 0, 7], False)])
def test_a_joysticks_button_is_the_deadmans_switch(buttons, pressed):
    with stepped(Parameter("deadman_button", value=2)) as node:
        node._on_joy(Joy(buttons=buttons))
        node.step()
        assert ("deadman_released" not in node.state.reasons) == pressed


def test_by_the_time_of_a_simulation_a_step_each_tick(person):
    """Its state is told every tenth step: after ten ticks of 10 ms, however long they take."""
    one = person("use_sim_time:=true")
    clock, now, ticks = one.node.create_publisher(Clock, "/clock", 10), Clock(), [10**12]

    def tick():
        ticks.append(ticks[-1] + 10**7)
        now.clock.sec, now.clock.nanosec = divmod(ticks[-1], 10**9)
        clock.publish(now)

    timer = one.node.create_timer(0.03, tick)
    one.until(lambda: len(one.states) > 3)
    one.node.destroy_timer(timer)
    one.ros.spin_for(0.3)
    stamps = [said["stamp"] for said in one.states]
    assert set(stamps) <= set(ticks) and min(np.diff(stamps)) >= 10**8 and len(stamps) < 6
    one.close()


@pytest.mark.parametrize("state, reasons, level", [
    ("IDLE", ["deadman_released"], DiagnosticStatus.OK), ("ENGAGED", [], DiagnosticStatus.OK),
    ("IDLE", ["robot_not_seen"], DiagnosticStatus.WARN), ("HOLD", ["hand_stale"], DiagnosticStatus.WARN),
    ("ESTOP", ["estop"], DiagnosticStatus.ERROR), ("FAULT", ["robot_does_not_follow"], DiagnosticStatus.ERROR),
])  # fmt: skip
def test_diagnostics_say_how_it_is(state, reasons, level):
    said = {"state": state, "reasons": reasons, "stopped_by": [], "problem": "", "apart": None, "silent": {"hand": 0.1}}
    status = status_of("hands_teleop", said)
    assert status.level == level and status.message == ": ".join([state, *reasons])
    assert {"silent": "hand 0.1"}.items() <= {value.key: value.value for value in status.values}.items()


def test_diagnostics_are_published(person):
    one = person()
    heard = []
    one.node.create_subscription(DiagnosticArray, "/diagnostics", lambda m: heard.extend(m.status), 10)
    one.engage()
    one.until(lambda: any(s.name == "hands_teleop: following" and s.message in ("RAMP", "ENGAGED") for s in heard))
    one.estop.publish(Bool(data=True))
    one.until(lambda: any(s.level == DiagnosticStatus.ERROR and s.message == "ESTOP: estop" for s in heard))
    one.close()


def test_an_inactive_node_says_that_it_does_not_follow(person):
    one = person()
    one.until(lambda: one.state() == "READY")
    client = one.node.create_client(ChangeState, "/hands_teleop/change_state")
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    changed, answer = one.ros.ask(client, request), one.call("engage")
    assert changed.success and not answer.success and "not active" in answer.message
    one.close()


def test_twists_for_servo_end_with_zero(person):
    one = person("arm:=twist")
    one.engage()
    one.move(np.array([0.003, 0.0, 0.0]), lambda: any(m.twist.linear.x > 0.1 for m in one.twists))
    one.call("release")
    one.until(lambda: one.state() in ("IDLE", "READY"))
    one.stands()
    assert one.twists[-1].twist.linear.x == 0.0
    assert one.twists[0].header.frame_id == "base_link"
    one.close()


def test_a_gripper_is_told_its_width(person):
    pytest.importorskip("mujoco", reason="retargeting needs mujoco (pip install 'fourdhands[robot]')")
    one = person("robot:=gripper")
    widths = []
    one.node.create_subscription(Float64MultiArray, "commands", lambda m: widths.append(list(m.data)), 10)
    joints = one.node.create_publisher(JointState, "joint_states", 10)
    one.node.create_timer(1 / 60, lambda: joints.publish(JointState(name=["width"], position=[0.04])))
    one.engage()
    one.until(lambda: len(widths) > 1)
    assert widths[0] == [0.04]  # as measured; then the hand's own
    one.until(lambda: abs(widths[-1][0] - 0.04) > 1e-3)
    one.close()


@pytest.mark.parametrize(
    "parameter, words",
    [
        ("side:=both", "side: 'both' is not one of left, right"),
        ("axes:=[1.0,2.0]", "no rotation"),
        ("workspace:=[0.0,0.0,0.0,-1.0,1.0,1.0]", "is no box"),
        ("robot:=nobody", "nobody"),
        ("confidence_to_hold:=0.9", "must be below"),
    ],
)
def test_wrong_parameters_are_told_in_a_sentence(person, parameter, words):
    one = person(parameter)
    _, said = one.process.communicate(timeout=PATIENT)
    assert one.process.returncode == 1 and words in said and "Traceback" not in said, said
