"""The simulated robot over DDS: it goes where it is told, stops with a stale twist, and refuses what is no command."""

import copy
import time

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped, TwistStamped
from ros_support import PATIENT
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray

from fourdhands_core.errors import DependencyError, InputError
from fourdhands_ros.pypi.message_types import TFMessage, create_subscription, message_type
from fourdhands_ros.teleop.outputs import JOINT_TRAJECTORY, trajectory_template

try:
    import mujoco

    from fourdhands_ros.tools.simulated_robot import read_cube
except (ModuleNotFoundError, DependencyError):  # a workspace, in which the plugins of launch import this file, may lack it
    mujoco = None
pytestmark = pytest.mark.skipif(mujoco is None, reason="the simulated robot needs mujoco (pip install 'fourdhands[robot]')")


class Robot:
    """The process, and what it last said."""

    def __init__(self, ros, *arguments):
        self.ros, self.node = ros, ros.node()
        self.process = ros.process("-m", "fourdhands_ros.tools.simulated_robot", *arguments)
        self.ee = self.joints = self.tf = None
        self.node.create_subscription(PoseStamped, "robot/ee_pose", lambda message: setattr(self, "ee", message), 10)
        self.node.create_subscription(JointState, "robot/joint_states", lambda message: setattr(self, "joints", message), 10)
        create_subscription(self.node, TFMessage, "/tf", lambda message: setattr(self, "tf", message), 10)
        self.targets = self.node.create_publisher(PoseStamped, "robot/target_frame", 10)
        self.twists = self.node.create_publisher(TwistStamped, "robot/delta_twist_cmds", 10)
        self.hand = self.node.create_publisher(Float64MultiArray, "robot/commands", 10)
        self.ways = self.node.create_publisher(message_type(JOINT_TRAJECTORY), "robot/joint_trajectory", 10)
        publishers = self.targets, self.twists, self.hand, self.ways
        assert ros.spin_until(lambda: self.ee and self.joints and all(one.get_subscription_count() for one in publishers))

    @property
    def place(self):
        """Of the arm's end, metres."""
        p = self.ee.pose.position
        return np.array([p.x, p.y, p.z])

    def joint(self, name):
        return self.joints.position[self.joints.name.index(name)]

    def still(self):
        """Wait until the arm's end has stood for half a second."""

        def stands():
            before = self.place
            self.ros.spin_for(0.5)
            return np.abs(self.place - before).max() < 2e-4

        return self.ros.spin_until(stands, PATIENT)


def test_it_obeys_and_says_where_it_is(ros):
    """Poses, widths, TF and pictures; a pose in another frame and a command of another length move nothing."""
    robot = Robot(ros, "--tool", "gripper", "--cube", "0.5,0.2")
    start = robot.place
    wrong = PoseStamped()
    wrong.header.frame_id, wrong.pose.position.x = "elsewhere", 0.1
    robot.targets.publish(wrong)
    robot.hand.publish(Float64MultiArray(data=[0.0, 0.0, 0.0]))
    ros.spin_for(0.3)
    np.testing.assert_allclose(robot.place, start, atol=1e-3)

    target = PoseStamped()
    target.header.frame_id, target.pose.orientation = "base_link", robot.ee.pose.orientation
    goal = start + (0.05, 0.1, 0.03)
    target.pose.position.x, target.pose.position.y, target.pose.position.z = goal.tolist()
    robot.targets.publish(target)
    robot.hand.publish(Float64MultiArray(data=[0.03]))
    assert ros.spin_until(lambda: np.abs(robot.place - goal).max() < 3e-3 and abs(robot.joint("width") - 0.03) < 2e-3)
    assert ros.spin_until(lambda: robot.tf is not None)
    (transform,) = robot.tf.transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("base_link", "tool0")
    pictures = []
    robot.node.create_subscription(Image, "robot/camera/image_raw", pictures.append, 1)
    assert ros.spin_until(lambda: pictures)
    assert np.frombuffer(pictures[0].data, np.uint8).std() > 20


def test_a_stale_twist_stops_it(ros):
    """It moves while twists come, and stands by itself when they end; one stamped long ago moves nothing."""
    robot = Robot(ros, "--tool", "five_fingers_right")
    start = robot.place
    twist = TwistStamped()
    twist.header.frame_id, twist.twist.linear.y = "base_link", 0.2
    twist.header.stamp.sec = int(time.time()) - 10
    robot.twists.publish(twist)
    ros.spin_for(0.3)
    np.testing.assert_allclose(robot.place, start, atol=1e-3)

    def moved():
        twist.header.stamp = robot.node.get_clock().now().to_msg()
        robot.twists.publish(twist)
        return robot.place[1] - start[1] > 0.05

    assert ros.spin_until(moved)
    assert robot.still()
    assert robot.place[1] - start[1] < 0.5 and robot.process.poll() is None


def test_by_the_time_of_a_simulation_a_step_each_tick(ros):
    """Between two of /clock it stands still, whatever it is told and however long that takes."""
    clock, now, ticks, there = ros.node().create_publisher(Clock, "/clock", 10), Clock(), 100_000, False

    def say():
        nonlocal ticks
        ticks += not there  # what it says at one time alone may be said before anybody is found who hears it
        now.clock.sec, now.clock.nanosec = divmod(ticks * 10_000_000, 10**9)
        clock.publish(now)

    def said():
        say()
        return robot.ee.header.stamp == now.clock

    ros.node().create_timer(0.05, say)
    robot = Robot(ros, "--tool", "gripper", "--ros-args", "-p", "use_sim_time:=true")
    there = True
    assert ros.spin_until(said)
    target = copy.deepcopy(robot.ee)
    start, goal = robot.place, robot.place + (0.0, 0.1, 0.0)
    target.pose.position.x, target.pose.position.y, target.pose.position.z = goal.tolist()
    ros.deliver(robot.targets, target)
    ros.spin_for(0.5)
    np.testing.assert_allclose(robot.place, start, atol=1e-9)
    for _ in range(100):
        ticks += 1
        assert ros.spin_until(said)
    np.testing.assert_allclose(robot.place, goal, atol=3e-3)


def test_cubes_are_read():
    cube = read_cube("0.4,-0.1,0.03,90")
    assert (cube.x, cube.y, cube.side) == (0.4, -0.1, 0.03) and cube.turn == pytest.approx(np.pi / 2)
    assert read_cube("0.4,0").side == 0.04
    for text in ("0.4", "a,b", "0,0,1", "nan,0", "0,0,0.03,0,1"):
        with pytest.raises(InputError, match="--cube"):
            read_cube(text)


def test_a_hand_follows_trajectories_by_the_names_of_its_joints(ros):
    """In the time that they say; those of other joints, or without points, are refused."""
    robot = Robot(ros, "--tool", "gripper", "--cube", "0.5,0.2")
    start = robot.joint("width")
    for names, width in ((("width",), np.nan), (("other",), 0.0), (("width", "other"), 0.0)):
        robot.ways.publish(trajectory_template(names, 0.05).fill(positions=[width] * len(names)))
    ros.spin_for(0.5)
    assert abs(robot.joint("width") - start) < 2e-3
    widths = []

    def take(message):
        stamp = message.header.stamp
        widths.append((stamp.sec + 1e-9 * stamp.nanosec, message.position[message.name.index("width")]))

    robot.node.create_subscription(JointState, "robot/joint_states", take, 1000)
    assert ros.spin_until(lambda: widths)
    robot.ways.publish(trajectory_template(["width"], 2.0).fill(positions=[0.01]))
    assert ros.spin_until(lambda: abs(widths[-1][1] - 0.01) < 2e-3, PATIENT)
    stood = max(at for at, width in widths if abs(width - start) < 2e-3)
    assert widths[-1][0] - stood > 1.0  # by the robot's own stamps; a jump would take a few hundredths of a second


def test_a_command_that_is_refused_does_not_end_a_trajectory(ros):
    robot = Robot(ros, "--tool", "gripper", "--cube", "0.5,0.2")
    start = robot.joint("width")
    robot.ways.publish(trajectory_template(["width"], 5.0).fill(positions=[0.01]))
    assert ros.spin_until(lambda: robot.joint("width") < start - 5e-3)
    robot.hand.publish(Float64MultiArray(data=[np.nan]))
    robot.hand.publish(Float64MultiArray(data=[0.0, 0.0]))
    assert ros.spin_until(lambda: abs(robot.joint("width") - 0.01) < 2e-3)
