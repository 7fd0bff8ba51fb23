"""What stops the teleoperation node over DDS. Judged by what the robot is told."""

import signal
import time

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.clock import ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rclpy.time import Time
from ros_support import PATIENT, wait_until
from std_msgs.msg import Bool
from teleop_support import START, needs_ruckig, stepped

from fourdhands_core.teleop import ESTOP, STATE_NAMES
from fourdhands_ros.pypi.message_types import HandPair
from fourdhands_ros.teleop.commanders import publishers_of

pytestmark = needs_ruckig


def test_a_lost_hand_holds_and_has_to_be_engaged_again(person):
    one = person()
    one.engage()
    one.move(np.array([0.003, 0.0, 0.0]), lambda: one.place[0] > START[0] + 0.05)
    one.valid = False
    one.until(lambda: one.state() == "IDLE" and one.states[-1]["stopped_by"] == ["hand_not_seen"])
    one.stands()
    held = one.place.copy()
    one.valid, one.hand = True, one.hand + [0.0, 0.2, 0.0]
    one.until(lambda: one.state() == "READY")
    np.testing.assert_array_equal(one.place, held)
    one.close()


@pytest.mark.parametrize("fault", ["hands die", "deadman released", "robot silent", "two operators", "estop"])
def test_what_stops_it(person, fault):
    one = person("need_deadman:=true")
    one.deadman = True
    one.engage()
    one.move(np.array([0.003, 0.0, 0.0]), lambda: one.place[0] > START[0] + 0.05)
    reason = {
        "hands die": "hand_stale", "deadman released": "deadman_released", "robot silent": "robot_stale",
        "two operators": "two_operators", "estop": "estop",
    }[fault]  # fmt: skip
    if fault == "hands die":
        one.hand = None
    elif fault == "deadman released":
        one.deadman = False
    elif fault == "robot silent":
        one.reports = False
    elif fault == "two operators":
        one.node.create_publisher(HandPair, "hands", 10)
    else:
        one.estop.publish(Bool(data=True))
    end = "ESTOP" if fault == "estop" else "IDLE"
    one.until(lambda: one.state() == end and reason in one.states[-1]["stopped_by"])
    one.stands()
    stood = one.place.copy()
    one.hand, one.deadman, one.reports = np.array([0.3, 0.1, 0.5]), True, True
    one.states.clear()
    one.until(lambda: len(one.states) > 20)
    np.testing.assert_array_equal(one.place, stood)
    if end == "ESTOP":
        assert not one.call("engage").success
    one.close()


@pytest.mark.parametrize("fault", ["hand", "robot", "deadman", "released"])
def test_it_stands_as_soon_as_it_says_by_its_commands_own_stamps(person, fault):
    """The last command that moves, against the last news as the node heard it; what a busy computer kept it from saying in time
    counts as its own."""
    one = person("need_deadman:=true")
    one.deadman = True
    one.engage()
    step = np.array([0.003, 0.0, 0.0])
    moving = one.node.create_timer(1 / 60, lambda: setattr(one, "hand", None if one.hand is None else one.hand + step))
    one.following_until(lambda: one.place[0] > START[0] + 0.05)  # and it is in motion when the source falls silent
    if fault == "hand":
        one.hand = None
    elif fault == "robot":
        one.reports = False
    elif fault == "deadman":
        one.deadman = None
    else:
        one.deadman = False
    # with time-outs as long as these, a robot that moves on and does not say so is at FAULT before it is silent for too long
    one.until(lambda: one.state() in ("HOLD", "IDLE") or (fault == "robot" and one.state() == "FAULT"))
    stopped = next(said for said in one.states[::-1] if said["state"] in ("RAMP", "ENGAGED"))
    first = one.states[one.states.index(stopped) + 1]
    one.stands()
    one.node.destroy_timer(moving)
    stamps = np.array([stamp for stamp, _ in one.told]) * 1e-9
    places = np.array([place for _, place in one.told])
    moves = np.flatnonzero(np.abs(np.diff(places, axis=0)).max(axis=1) > 0.0)
    silent = 0.0 if fault == "released" else first["silent"][fault]
    last_news = first["stamp"] * 1e-9 - silent
    late = np.maximum(np.diff(stamps[stamps > last_news - 0.05]) - 0.01, 0.0).sum() + 0.01
    assert stamps[moves[-1] + 1] - last_news <= stopped["standstill"] + late
    one.close()


def test_time_outs_and_limits_that_let_it_stand_late_are_told(person):
    one = person("deadman_stale:=0.2", "max_jerk:=50.0")
    one.until(lambda: one.state() is not None)
    assert one.states[-1]["standstill"] > 0.25
    one.process.send_signal(signal.SIGINT)
    _, said = one.process.communicate(timeout=PATIENT)
    assert "more than 0.25 s" in said and "deadman_stale" in said


def test_a_robots_state_that_was_long_under_way_is_old(person):
    one = person()
    one.engage()
    one.delay = 3.0
    one.until(lambda: one.state() == "IDLE" and "robot_stale" in one.states[-1]["stopped_by"])
    one.close()


def test_a_second_commander_of_the_arm_stops_it(person):
    one = person()
    one.engage()
    one.node.create_publisher(PoseStamped, "target_frame", 10)
    one.until(lambda: one.state() == "IDLE" and "two_commanders" in one.states[-1]["stopped_by"])
    one.close()


def test_a_node_that_is_killed_says_no_more(person):
    """The robot's controller then stops by its own time-out; a new node starts in IDLE and moves nothing."""
    one = person()
    one.engage()
    one.process.kill()
    one.process.communicate()
    two = person()
    two.until(lambda: two.state() in ("IDLE", "READY"))
    two.told.clear()
    two.states.clear()
    two.until(lambda: len(two.states) > 10)
    assert not two.told
    two.close()


@pytest.fixture
def teleop():
    with stepped() as node:
        yield node


@pytest.mark.parametrize("label, number", [("", Transition.TRANSITION_ACTIVATE), ("", 99), ("cleanup", 0), ("", 0)])
def test_a_transition_that_there_is_not_from_its_state_does_not_end_it(teleop, label, number):
    asked = ChangeState.Request(transition=Transition(id=number, label=label))
    assert not teleop._service_change_state.callback(asked, ChangeState.Response()).success
    teleop.step()
    assert teleop.state is not None


def test_an_estop_that_is_let_go_before_the_next_step_stops(teleop):
    for pressed in (True, False):
        teleop._on_estop(Bool(data=pressed))
    teleop.step()
    assert STATE_NAMES[teleop.state.state] == "ESTOP"


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
@pytest.mark.parametrize("durability", [DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL])
def test_an_estop_is_heard_whatever_its_publisher_offers(teleop, reliability, durability):
    """A best-effort switch stopped nothing."""
    offered = QoSProfile(depth=1, reliability=reliability, durability=durability)
    topic = teleop.resolve_topic_name("~/estop")
    taken = [one.qos_profile for one in teleop.subscriptions if one.topic_name == topic]
    assert any(qos_check_compatible(offered, one)[0] != QoSCompatibility.ERROR for one in taken)
    assert durability == DurabilityPolicy.VOLATILE or any(one.durability == durability for one in taken)


def test_a_deadman_that_is_let_go_between_two_steps_is_released(teleop):
    for pressed in (True, False, True):
        teleop._on_deadman(Bool(data=pressed))
    teleop.step()
    assert "deadman_released" in teleop.state.reasons
    teleop.step()
    assert "deadman_released" not in teleop.state.reasons


@pytest.mark.parametrize("asks", ["_on_estop", "_on_deadman"])
def test_what_is_asked_for_while_a_computed_step_waits_is_in_the_one_that_is_told(teleop, asks):
    made = teleop.compute(time.monotonic() + 0.004)
    assert teleop.holds(made)
    getattr(teleop, asks)(Bool(data=asks == "_on_estop"))
    assert not teleop.holds(made)
    teleop.tell(teleop.compute(made.due))
    assert teleop.state.state == ESTOP if asks == "_on_estop" else "deadman_released" in teleop.state.reasons


def test_a_reset_that_changes_nothing_says_why(person):
    one = person()
    one.engage()
    one.estop.publish(Bool(data=True))
    one.until(lambda: one.state() == "ESTOP")
    one.stands()
    answer = one.call("reset")
    assert not answer.success and "~/estop says true" in answer.message
    one.estop.publish(Bool(data=False))
    one.until(lambda: one.call("reset").success)
    one.until(lambda: one.state() in ("IDLE", "READY"))
    one.close()


def test_what_one_publisher_stops_no_other_ones_false_undoes(person):
    one = person()
    one.engage()
    switch = one.ros.node("switch")
    pressed = switch.create_publisher(Bool, "/hands_teleop/estop", 10)
    one.ros.deliver(pressed, Bool(data=True))  # once, and holds it
    one.until(lambda: one.state() == "ESTOP")
    one.stands()
    one.ros.deliver(one.estop, Bool(data=False))
    answer = one.call("reset")
    assert not answer.success and "/person" in answer.message and "/switch" in answer.message, answer.message
    switch.destroy_publisher(pressed)
    one.until(lambda: one.node.count_publishers("/hands_teleop/estop") == 1)

    def reset():
        one.estop.publish(Bool(data=False))
        return one.call("reset").success

    one.until(reset)
    one.until(lambda: one.state() in ("IDLE", "READY"))
    one.close()


@pytest.mark.parametrize("other, lets_go", [("box", False), ("hands_view", True)])
def test_a_false_counts_where_nobody_else_may_hold_the_stop(teleop, other, lets_go):
    """The page's button is pushed, and says true alone."""
    nodes = [rclpy.create_node(name, context=teleop.context) for name in ("switch", other)]
    publishers = [node.create_publisher(Bool, "/hands_teleop/estop", 10) for node in nodes]
    assert wait_until(lambda: set(publishers_of(teleop, "/hands_teleop/estop")) == {"/switch", f"/{other}"})
    for pressed in (True, False):
        teleop._on_estop(Bool(data=pressed))
    assert len(publishers) == 2 and teleop._estop.pressed != lets_go, publishers_of(teleop, "/hands_teleop/estop")
    for node in nodes:
        node.destroy_node()


def test_a_latched_estop_stops_a_node_that_starts_later(person):
    earlier = person()
    earlier.until(lambda: earlier.state() is not None)
    earlier.close()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    earlier.node.create_publisher(Bool, "/hands_teleop/estop", latched).publish(Bool(data=True))
    later = person()
    later.until(lambda: later.state() == "ESTOP")
    later.close()


def test_what_ends_the_commands_ends_the_node_however_its_clock_is_set():
    """Else nothing would be told to the robot any more, by a node that seems to run."""
    with stepped() as node:
        executor = SingleThreadedExecutor(context=node.context)
        node.get_clock()._set_ros_time_is_active(True)  # a clock that stands still, as one that was set back seems to
        node.get_clock().set_ros_time_override(Time(seconds=1, clock_type=ClockType.ROS_TIME))
        node.stream.error = OSError("no memory")
        executor.add_node(node)
        with pytest.raises(OSError, match="no memory"):
            for _ in range(30):
                executor.spin_once(timeout_sec=0.1)
