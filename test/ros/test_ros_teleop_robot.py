"""What tells where the robot is and contradicts itself, as where two programs tell of it: it is not engaged where it is not."""

from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from teleop_support import START, needs_ruckig, stepped

from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.teleop import ENGAGED, IDLE, RAMP, READY, HandSample

pytestmark = needs_ruckig
HOME = np.array([0.1, 0.4, 0.0, 1.8, 0.0, 0.9, 0.2])
ARM = {"arm": "positions", "arm_model": "seven_joints", "base_frame": "base"}


class Told:
    """Steps of the node 10 ms apart, with what its robot is told of in messages."""

    def __init__(self, node):
        self.node, self.begin = node, node.get_clock().now().nanoseconds
        self.now = self.begin
        time = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now, to_msg=lambda: None))
        node.get_clock = lambda: time
        node.robot.clock, node.outputs.send = time, lambda *_: None

    def go(self, *messages, hand=None):
        node, robot = self.node, self.node.robot
        self.now += 10_000_000
        for message in messages:
            message(robot, self.now)
        seconds = robot._seconds(self.now)
        node.now, node.pace = (lambda: seconds), (lambda: seconds)
        fingers = np.zeros(node._settings.joints) if node._settings.joints else None
        node.hand.newest = hand or HandSample(seconds, np.zeros(3), np.eye(3), fingers), "camera"
        made = node.compute(seconds)
        node.tell(made)
        return made


def stamped(message, now):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
    return message


def pose(x):
    def tell(robot, now):
        message = stamped(PoseStamped(), now)
        message.pose.orientation.w = 1.0
        message.pose.position.x, message.pose.position.y, message.pose.position.z = (START + [x, 0.0, 0.0]).tolist()
        robot.on_pose(message)

    return tell


def frame(x):
    def tell(robot, now):
        robot.transforms.set("base_link", "tool0", Rigid(np.eye(3), START + [x, 0.0, 0.0]), now + 10**6 * (x > 0.0))
        robot.put(b"")  # as a message with nothing more to tell

    return tell


def joints(names, values):
    return lambda robot, now: robot.on_joints(stamped(JointState(name=names, position=values), now))


def arm(turn):
    return lambda robot, now: joints(list(robot._arm.names), [*HOME[:3], HOME[3] + turn, *HOME[4:]])(robot, now)


@pytest.mark.parametrize(
    "parameters, true, other, topic",
    [
        ({}, pose(0.0), pose(0.3), "/ee_pose"),
        ({}, frame(0.0), frame(0.3), "/tf"),
        ({"arm": "none", "robot": "gripper"}, joints(["width"], [0.06]), joints(["width"], [0.0]), "/joint_states"),
        (ARM, arm(0.0), arm(-0.4), "/joint_states"),
    ],
)
def test_a_robot_that_two_programs_tell_of_is_not_engaged_where_it_is_not(parameters, true, other, topic):
    """The first command is where it is, as fast as its controller takes it there: 0.3 m beside it would be a blow."""
    if "arm_model" in parameters:
        pytest.importorskip("mink", reason="an arm's inverse kinematics needs mink (pip install 'fourdhands[robot]')")
    given = {"need_deadman": False, "dwell": 0.1, **parameters}
    with stepped(*(Parameter(name, value=value) for name, value in given.items())) as node:
        told = Told(node)
        for _ in range(200):
            told.go(true, other)  # at each step it is the other that came last
            assert node.state.state == IDLE
            node.ask("engage")
        assert "robot_jumped" in node.state.reasons
        assert topic in node.problem() and "two programs" in node.problem()
        assert "two programs" in node._on_service("engage", None, SimpleNamespace()).message
        node._asked.clear()
        for _ in range(120):
            told.go(true)
        assert node.state.state == READY and not node._outside()
        node.ask("engage")
        made = told.go(true)
        assert made.state.state == RAMP
        robot = made.inputs.robot
        np.testing.assert_array_equal(made.command.position, robot.position)
        np.testing.assert_array_equal(made.command.fingers, robot.fingers)


def test_a_robot_that_is_led_far_between_two_messages_goes_on():
    with stepped(Parameter("need_deadman", value=False), Parameter("ramp", value=0.1)) as node:
        told = Told(node)
        for _ in range(30):
            told.go(pose(0.0))
        node.ask("engage")
        assert told.go(pose(0.0)).state.state == RAMP
        for i in range(20):
            told.go(pose(0.02 * (i % 2)))
        assert node.state.state == ENGAGED


def test_a_hand_is_where_its_camera_was_when_it_took_the_image():
    """Of a camera that moves, where it is now would lead the arm by what it moved since: 3 cm here."""
    given = {"need_deadman": False, "absolute": True, "turns": False, "ramp": 0.1}
    with stepped(*(Parameter(name, value=value) for name, value in given.items())) as node:
        told, moved = Told(node), 0.0
        for i in range(100):
            moved += 0.003 * (i > 60)
            place = np.array([moved, 0.0, 0.0])
            node.robot.transforms.set("base_link", "camera", Rigid(np.eye(3), place), told.now + 10_000_000)
            now = node.robot._seconds(told.now + 10_000_000)
            then = 0.003 * max(i - 70, 0)
            hand = HandSample(now - 0.1, START - [then, 0.0, 0.0], np.eye(3))
            if i == 40:
                node.ask("engage")
            made = told.go(pose(0.0), hand=hand)
        assert made.state.state == ENGAGED
        np.testing.assert_allclose(made.command.position, START, atol=1e-6)


def test_where_a_camera_stands_is_told_in_what_its_robot_hangs_on_too():
    with stepped() as node:
        told = Told(node)
        robot, now = node.robot, told.now
        assert robot.camera("camera") is None
        robot.transforms.set("map", "base_link", Rigid(np.eye(3), START), now)  # a base that drives
        robot.transforms.set("map", "camera", Rigid())
        robot.transforms.set("tool0", "eye", Rigid())
        for place in (0.1, 0.4):
            now += 10**7
            told.now = now
            for parent, child in (("map", "base_link"), ("base_link", "tool0")):
                robot.transforms.set(parent, child, Rigid(np.eye(3), np.array([place, 0.0, 0.0])), now)
            np.testing.assert_allclose(robot.camera("camera")[1], 0.0)
            np.testing.assert_allclose(robot.camera("eye")[1], [place, 0.0, 0.0])
