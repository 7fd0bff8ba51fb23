"""The goals that a gripper's action gets, without DDS; over DDS: test_ros_teleop_outputs.py."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rclpy.task import Future
from sensor_msgs.msg import JointState

from fourdhands_core.teleop import ENGAGED, ESTOP, HOLD, IDLE, RAMP, READY, Command
from fourdhands_ros.teleop.gripper import PERIOD, GripperAction, gripper_goal


def test_goals_are_what_the_actions_define():
    """GripperCommand holds control_msgs/GripperCommand, here by its definition; ParallelGripperCommand a JointState."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store, name = get_typestore(Stores.EMPTY), "control_msgs/msg/GripperCommand"
    store.register(get_types_from_msg("float64 position\nfloat64 max_effort\n", name))
    plain = SimpleNamespace(Goal=lambda: SimpleNamespace(command=store.types[name](0.0, 0.0)))
    command = gripper_goal("gripper_command", plain, "knuckle", 0.3, 40.0).command
    read = store.deserialize_cdr(store.serialize_cdr(command, name), name)
    assert (read.position, read.max_effort) == (0.3, 40.0)
    parallel = SimpleNamespace(Goal=lambda: SimpleNamespace(command=JointState()))
    for effort, said in ((0.0, []), (40.0, [40.0])):
        command = gripper_goal("parallel_gripper_command", parallel, "knuckle", 0.3, effort).command
        assert (list(command.name), list(command.position), list(command.effort)) == (["knuckle"], [0.3], said)


class Server:
    """Takes an ActionClient's place: keeps the goals with their times, and accepts them or not."""

    def __init__(self):
        self.there, self.accepts, self.goals, self.now = True, True, [], 0.0

    def server_is_ready(self):
        return self.there

    def send_goal_async(self, goal):
        self.goals.append((self.now, goal))
        answered = Future()
        answered.set_result(SimpleNamespace(accepted=self.accepts))
        return answered


STANDS = Command(IDLE, False, *(np.zeros(3),) * 5, (), (), (), 0.0)


def drive(server, action, states, positions, still, begin=0.0):
    """Steps of 10 ms with these states, positions and whether the motion rests."""
    for number, (state, position, rests, before) in enumerate(zip(states, positions, still, [True, *still])):
        server.now = begin + 0.01 * number
        published = state not in (IDLE, READY) or not (rests and before)
        action.step(replace(STANDS, state=state, publish=published), position, rests, server.now)


def test_goals_come_five_times_a_second_and_one_where_it_rests():
    server = Server()
    action = GripperAction(server, lambda position: position, 1e-3)
    drive(server, action, [READY] * 50, [0.5] * 50, [True] * 50)
    assert not server.goals
    ways = np.linspace(0.5, 0.0, 200)
    drive(server, action, [RAMP] * 100 + [ENGAGED] * 100, ways, [False] * 200, 1.0)
    times = np.array([at for at, _ in server.goals])
    assert 9 <= len(times) <= 11 and np.diff(times).min() >= PERIOD - 1e-9
    assert [position for _, position in server.goals] == [ways[round((at - 1.0) / 0.01)] for at in times]
    count = len(server.goals)
    rests = [False] * 8 + [True] * 92
    drive(server, action, [HOLD] * 100, [*np.linspace(0.0, -0.02, 8), *[-0.02] * 92], rests, 3.0)
    assert server.goals[count:] == [(pytest.approx(3.08), -0.02)]
    drive(server, action, [ESTOP] * 100, [-0.02] * 100, [True] * 100, 4.0)
    drive(server, action, [IDLE] * 100, [-0.02] * 100, [True] * 100, 5.0)
    assert len(server.goals) == count + 1
    drive(server, action, [RAMP] * 50, np.linspace(-0.02, 0.05, 50), [False] * 50, -1000.0)  # a simulation begins anew
    assert len(server.goals) == count + 4


def test_engaging_again_leaves_a_gripper_the_force_that_it_has():
    """Its last goal lies within what it holds; where it is, is not told again, which would let go."""
    server = Server()
    action = GripperAction(server, lambda position: position, 1e-3)
    drive(server, action, [RAMP] * 100, np.linspace(0.05, 0.0, 100), [False] * 100)
    drive(server, action, [IDLE] * 100, [0.0] * 100, [True] * 100, 1.0)
    count = len(server.goals)
    drive(server, action, [RAMP] * 100, [0.04] * 100, [True] * 100, 2.0)
    assert len(server.goals) == count


def test_fingers_that_rested_before_a_stop_do_not_move_at_a_later_estop():
    server = Server()
    action = GripperAction(server, lambda position: position, 1e-3)
    drive(server, action, [ENGAGED] * 30, [*np.linspace(0.05, 0.04, 28), 0.04, 0.04], [False] * 28 + [True] * 2)
    assert server.goals[-1][1] != 0.04  # the next goal was not due yet
    drive(server, action, [IDLE] * 100, [0.04] * 100, [True] * 100, 0.3)
    assert server.goals[-1] == (pytest.approx(0.3), 0.04)
    count = len(server.goals)
    drive(server, action, [ESTOP] * 100, [0.04] * 100, [True] * 100, 2.0)
    assert len(server.goals) == count


def test_a_gripper_that_does_not_answer_is_told_of():
    server = Server()
    action = GripperAction(server, lambda position: position, 1e-3)
    server.there = False
    drive(server, action, [RAMP] * 100, np.linspace(0.05, 0.0, 100), [False] * 100)
    assert not server.goals and "nobody offers the gripper's action" in action.problem
    server.there, server.accepts = True, False
    drive(server, action, [RAMP] * 100, np.linspace(0.05, 0.0, 100), [False] * 100, 2.0)
    assert len(server.goals) > 3 and action.refused > 3 and "refused" in action.problem
    server.accepts = True
    drive(server, action, [RAMP] * 30, [0.0] * 30, [True] * 30, 4.0)
    assert server.goals[-1][1] == 0.0 and not action.problem


@pytest.mark.parametrize("state", [IDLE, HOLD, ESTOP])
@pytest.mark.parametrize("there", [True, False])
def test_a_gripper_whose_controller_comes_after_a_stop_does_not_move(state, there):
    """What was not taken while it followed, or when it came to rest, is not said again: it may hold something, and would let
    go. Followed again it is."""
    server = Server()
    action = GripperAction(server, lambda position: position, 1e-3)
    for begin, followed in ((0.0, True), (10.0, False)):  # taken until it stops, or never
        server.there, server.accepts = there or followed, followed
        drive(server, action, [RAMP] * 50, np.linspace(0.0, 0.05, 50), [False] * 50, begin)
        server.there, server.accepts = there, False
        drive(server, action, [state] * 9, [0.06] * 9, [*[False] * 8, True], begin + 0.5)
        server.there = server.accepts = True
        count = len(server.goals)
        drive(server, action, [state] * 300, [0.06] * 300, [True] * 300, begin + 0.6)
        assert len(server.goals) == count
        drive(server, action, [RAMP] * 60, np.linspace(0.06, 0.0, 60), [False] * 60, begin + 3.6)
        assert len(server.goals) > count and not action.problem
        drive(server, action, [IDLE] * 10, [0.0] * 10, [True] * 10, begin + 4.2)


def test_an_answer_to_an_older_goal_says_nothing_of_the_last():
    server = Server()
    action = GripperAction(server, lambda position: position, 1e-3)
    drive(server, action, [RAMP] * 10, np.linspace(0.05, 0.04, 10), [False] * 10)
    old, answered = Future(), len(server.goals)
    server.send_goal_async = lambda goal: server.goals.append((server.now, goal)) or old
    drive(server, action, [RAMP] * 5, [0.03] * 5, [False] * 5, 1.0)
    del server.send_goal_async
    drive(server, action, [IDLE] * 5, [0.02] * 5, [False, *[True] * 4], 1.3)
    drive(server, action, [RAMP] * 5, [0.05] * 5, [True] * 5, 2.0)
    old.set_result(SimpleNamespace(accepted=False))
    drive(server, action, [RAMP] * 50, [0.05] * 50, [True] * 50, 2.1)
    assert [goal for _, goal in server.goals[answered:]] == [0.03, 0.02]
