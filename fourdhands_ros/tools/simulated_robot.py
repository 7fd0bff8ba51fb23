"""A robot that is not there, as a ROS node: an arm with a hand or gripper over a table with cubes, in MuJoCo's physics.

`python -m fourdhands_ros.tools.simulated_robot --tool gripper` listens, in its own namespace, to

    target_frame      geometry_msgs/PoseStamped   where the arm's end is to go, in base_link: the last one
                                                  holds, however old it gets, as in cartesian_motion_controller
    delta_twist_cmds  geometry_msgs/TwistStamped  how it is to move, as for MoveIt Servo: 0.1 s after its stamp it is stale,
                                                  and the arm stops
    commands          std_msgs/Float64MultiArray  joints of the hand in the order of joint_states, or a gripper's width, metres
    width             std_msgs/Float64MultiArray  the gripper's width alone
    joint_trajectory  trajectory_msgs/JointTrajectory  the hand's joints, by their names, where its last point has them by then,
                                                  as in joint_trajectory_controller; a new one begins where this one is
    arm_trajectory    trajectory_msgs/JointTrajectory  likewise the arm's joints
    arm_commands      std_msgs/Float64MultiArray  the arm's joints in the order of joint_states

and publishes joint_states (100 Hz), base_link -> tool0 on /tf, ee_pose, cubes (PoseArray), and camera/image_raw with
camera_info while somebody subscribes, drawn without OpenGL. Time passes as on the wall, and slower on a computer that is too
busy; with use_sim_time it passes as on /clock.
"""

from __future__ import annotations

import argparse
import functools
import threading
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import rclpy
from geometry_msgs.msg import Pose, PoseArray, PoseStamped, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray

from fourdhands_core.errors import InputError
from fourdhands_core.extras import needed_for
from fourdhands_core.simulation.scene import Cube
from fourdhands_core.simulation.tools import LOWEST

from ..convert.cdr import Template
from ..convert.marker import header
from ..executable import Stop, end, parser_of
from ..process import make_node, parse, run_ros, spin
from ..pypi.message_types import TFMessage, create_subscription, message_type
from .camera import camera_info, image_template

BASE, END = "base_link", "tool0"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
RATE = 100.0
"""Hz, of commands obeyed and states published."""
PICTURES = 10.0
"""Hz, of camera/image_raw."""
Way: TypeAlias = "tuple[np.ndarray, np.ndarray, float, float]"
"""Of joints: where they were and are to be, (n,), and from when to when, seconds of the simulation."""
_LATEST = 0.05
"""Seconds of the simulation that one step makes up for at most, on a computer that was busy."""


class SimulatedRobotNode:
    """The node and the physics under it. tool: as SimulatedRobot takes it. Raises InputError and DependencyError."""

    def __init__(self, node: Node, tool: str, cubes: list[Cube]) -> None:
        with needed_for("the simulated robot", "robot"):
            from fourdhands_core.media.robot_scene import ScenePicture
            from fourdhands_core.simulation.robot import SimulatedRobot
        self.node, self.robot = node, SimulatedRobot(tool, cubes)
        self._scene = ScenePicture(self.robot)
        self._lock = threading.Lock()
        simulated = node.get_parameter("use_sim_time").value
        self._pace = node.get_clock() if simulated else Clock(clock_type=ClockType.STEADY_TIME)
        self._last = self._now()
        self._refused: set[str] = set()
        self._joints = node.create_publisher(JointState, "joint_states", 10)
        self._tf = node.create_publisher(TFMessage, "/tf", 100)
        self._ee = node.create_publisher(PoseStamped, "ee_pose", 10)
        self._cubes = node.create_publisher(PoseArray, "cubes", 10)
        self._images = node.create_publisher(Image, "camera/image_raw", 2)
        self._infos = node.create_publisher(CameraInfo, "camera/camera_info", 2)
        size = self._scene.camera.width, self._scene.camera.height
        self._image = image_template(*size, "robot_camera")
        self._info = camera_info(*size, self._scene.camera, "robot_camera")
        self._transform = _transform_template()
        node.create_subscription(PoseStamped, "target_frame", self._on_target, 10)
        node.create_subscription(TwistStamped, "delta_twist_cmds", self._on_twist, 10)
        robot = self.robot
        self._parts: dict[str, tuple[Sequence[str], Callable, Callable]] = {
            "hand": (robot.hand_names, robot.hand_told, robot.command_hand),
            "arm": (robot.arm_names, robot.arm_told, robot.command_arm),
        }
        self._ways: dict[str, Way] = {}
        hand = ["commands", "width"] if robot.is_gripper else ["commands"]
        for part, topics, trajectory in (("hand", hand, "joint_trajectory"), ("arm", ["arm_commands"], "arm_trajectory")):
            for topic in topics:
                node.create_subscription(Float64MultiArray, topic, functools.partial(self._on_joints, part, topic), 10)
            on_trajectory = functools.partial(self._on_trajectory, part, trajectory)
            create_subscription(node, message_type(JOINT_TRAJECTORY), trajectory, on_trajectory, 10)
        node.create_timer(1.0 / RATE, self._step, clock=self._pace)

    def _now(self) -> float:
        return self._pace.now().nanoseconds * 1e-9

    def _refuse(self, topic: str, why: str) -> None:
        """Say once what is wrong with commands of a topic; the robot goes on with what it has."""
        if topic not in self._refused:
            self._refused.add(topic)
            self.node.get_logger().warning(f"a command on {topic} was not obeyed: {why}")

    def _in_base(self, topic: str, frame: str) -> bool:
        if frame.lstrip("/") in ("", BASE):
            return True
        self._refuse(topic, f"it is in the frame {frame}; give it in {BASE}")
        return False

    def _on_target(self, message: PoseStamped) -> None:
        if not self._in_base("target_frame", message.header.frame_id):
            return
        p, q = message.pose.position, message.pose.orientation
        values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
        if not np.isfinite(values).all() or np.linalg.norm(values[3:]) < 1e-6:
            self._refuse("target_frame", "it is no pose of finite numbers")
            return
        with self._lock:
            self._ways.pop("arm", None)
            self.robot.command_pose(values[:3], values[3:])

    def _on_twist(self, message: TwistStamped) -> None:
        if not self._in_base("delta_twist_cmds", message.header.frame_id):
            return
        stamp = message.header.stamp
        age = self.node.get_clock().now().nanoseconds * 1e-9 - (stamp.sec + stamp.nanosec * 1e-9)
        linear, angular = message.twist.linear, message.twist.angular
        with self._lock:
            self._ways.pop("arm", None)
            self.robot.command_twist(np.array([linear.x, linear.y, linear.z]), np.array([angular.x, angular.y, angular.z]), age)

    def _on_trajectory(self, part: str, topic: str, message: Any) -> None:
        names, told, _ = self._parts[part]
        points = list(message.points)
        places = dict(zip(message.joint_names, points[-1].positions)) if points else {}
        if places.keys() != set(names) or not np.isfinite(list(places.values())).all():
            self._refuse(topic, f"it does not end with finite positions of {', '.join(names)}, and of no others")
            return
        seconds = points[-1].time_from_start.sec + points[-1].time_from_start.nanosec * 1e-9
        with self._lock:
            goal, now = np.array([places[name] for name in names]), self.robot.time
            self._ways[part] = told(), goal, now, now + max(seconds, 1e-3)

    def _go_on(self, passed: float) -> None:
        """What is told where a trajectory is `passed` seconds on: one that is new at each step gets somewhere too."""
        for part, (start, goal, begin, until) in list(self._ways.items()):
            share = min((self.robot.time + passed - begin) / (until - begin), 1.0)
            _, _, tell = self._parts[part]
            tell(start + share * (goal - start))
            if share == 1.0:
                del self._ways[part]

    def _on_joints(self, part: str, topic: str, message: Float64MultiArray) -> None:
        names, _, tell = self._parts[part]
        with self._lock:
            if tell(np.array(message.data)):
                self._ways.pop(part, None)
                return
        self._refuse(topic, f"it holds {len(message.data)} numbers; the {part} takes finite ones of {', '.join(names)}")

    def _step(self) -> None:
        now = self._now()
        passed, self._last = min(max(now - self._last, 0.0), _LATEST), now
        with self._lock:
            self._go_on(passed)
            self.robot.advance(passed)
            state, cubes = self.robot.state(), self.robot.cube_positions()
        stamp = self.node.get_clock().now().to_msg()
        joints = JointState(name=list(state.names), position=state.positions.tolist(), velocity=state.velocities.tolist())
        joints.header.stamp = stamp
        self._joints.publish(joints)
        pose = PoseStamped()
        pose.header.stamp, pose.header.frame_id = stamp, BASE
        p, q = pose.pose.position, pose.pose.orientation
        p.x, p.y, p.z = state.position.tolist()
        q.x, q.y, q.z, q.w = state.quaternion.tolist()
        self._ee.publish(pose)
        poses = np.concatenate([state.position, state.quaternion])
        self._tf.publish(self._transform.fill(sec=stamp.sec, nanosec=stamp.nanosec, pose=poses))
        places = PoseArray()
        places.header = pose.header
        for x, y, z in cubes.tolist():
            one = Pose()
            one.position.x, one.position.y, one.position.z = x, y, z
            places.poses.append(one)
        self._cubes.publish(places)

    def draw(self, stop: Stop) -> None:
        """Publish pictures until told to stop, while somebody subscribes: in a thread of its own, as drawing takes long."""
        drawn = -np.inf
        while not stop.wait(1.0 / PICTURES):
            if not self._images.get_subscription_count() or abs(self._now() - drawn) < 0.5 / PICTURES:  # time may stand still
                continue
            drawn = self._now()
            with self._lock:
                data = self.robot.data
                shapes = SimpleNamespace(geom_xpos=data.geom_xpos.copy(), geom_xmat=data.geom_xmat.copy())
            stamp = self.node.get_clock().now().to_msg()
            picture = self._scene.draw(shapes)
            self._images.publish(self._image.fill(sec=stamp.sec, nanosec=stamp.nanosec, data=picture))
            self._info.header.stamp = stamp
            self._infos.publish(self._info)


def _transform_template() -> Template:
    """A serialised TFMessage of base_link -> tool0 with the slots sec, nanosec and pose."""
    template = Template()
    template.constant("u4", 1)
    header(template, BASE)
    template.string(END)
    template.slot("pose", "f8", 7)
    return template.finish()


def read_cube(text: str) -> Cube:
    """The cube of X,Y or X,Y,SIDE or X,Y,SIDE,DEGREES. Raises InputError."""
    try:
        x, y, *more = (float(number) for number in text.split(","))
        side, turn = [*more, *(0.04, 0.0)[len(more) :]]
    except ValueError as error:
        raise InputError(f"--cube {text} is no X,Y or X,Y,SIDE or X,Y,SIDE,DEGREES; write it as 0.45,0.0") from error
    if not np.isfinite([x, y, side, turn]).all() or not 0.005 <= side <= 0.2:
        raise InputError(f"--cube {text}: a cube has finite numbers and a side from 0.005 to 0.2 m")
    return Cube(x, y, side, float(np.radians(turn)))


def main(argv: list[str] | None = None) -> int:
    """Run the node until it is told to stop; returns the exit code."""
    parser = parser_of("tools.simulated_robot", __doc__)
    parser.add_argument(
        "--tool", default="gripper", help=f"{', '.join(sorted(LOWEST))}, or a YAML file beside a hand's URDF or MJCF"
    )
    parser.add_argument(
        "--cube", action="append", metavar="X,Y[,SIDE[,DEGREES]]", help="a cube on the table, metres; any number"
    )
    parser.add_argument("--namespace", default="robot", help="of its topics (default robot)")
    args, command_line = parse(parser, argv)
    return run_ros("simulated_robot", parser.prog, command_line, lambda stop: _run(args, stop))


def _run(args: argparse.Namespace, stop: Stop) -> int:
    cubes = [read_cube(text) for text in args.cube or ["0.45,0.0"]]
    node = make_node(rclpy.create_node, "simulated_robot", namespace=args.namespace)
    simulated = SimulatedRobotNode(node, args.tool, cubes)
    drawing = threading.Thread(target=simulated.draw, args=(stop,), name="draw", daemon=True)
    drawing.start()
    node.get_logger().info(f"simulated {args.tool} with {len(cubes)} cubes; joints {', '.join(simulated.robot.hand_names)}")
    spin(node, stop)
    drawing.join(5.0)
    return 0


if __name__ == "__main__":
    end(main())
