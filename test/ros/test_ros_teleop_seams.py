"""What comes from other programs and does not fit: it moves nothing wrongly, and the node says in words why it stands."""

import contextlib
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from rclpy.parameter import Parameter
from rclpy.time import Time
from ros_support import PATIENT, T0, make_pair
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from teleop_support import START, needs_ruckig, stepped

from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.teleop import ENGAGED, HOLD, IDLE, RAMP, READY, HandSample, RobotSample
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import deserialize, message_type
from fourdhands_ros.teleop.commanders import more_than_one
from fourdhands_ros.teleop.node import TeleopNode

pytestmark = needs_ruckig


class Steps:
    """Steps of the node, one by one, 10 ms apart by their own time, with a hand and a robot of that time."""

    def __init__(self, **parameters):
        given = {"need_deadman": False, "ramp": 0.1, **parameters}
        self._made = stepped(*(Parameter(name, value=value) for name, value in given.items()))
        self.node = self._made.__enter__()
        self.due, self.hand, self.frame = self.node.pace(), np.zeros(3), "camera"
        self.sent = []
        self.node.outputs.send = lambda command, *_: self.sent.append(command)
        self.node.pace = self.node.now = lambda: self.due
        self.node.robot.unheard = lambda: ""

    def close(self):
        self._made.__exit__(None, None, None)

    def go(self, count=1, asks=()):
        node = self.node
        for name in asks:
            node.ask(name)
        for _ in range(count):
            self.due += 0.01
            node.hand.newest = HandSample(self.due, self.hand, np.eye(3)), self.frame
            place = self.sent[-1].position if self.sent and self.sent[-1].publish else START
            node.robot.sample = lambda place=place: RobotSample(self.due, place, np.eye(3))
            node.tell(node.compute(self.due))
        return node.state.state

    def engaged(self):
        assert self.go(30) == READY
        assert self.go(1, ["engage"]) == RAMP
        assert self.go(30) == ENGAGED


def at(robot, nanoseconds):
    """Let its clock stand there."""
    robot.clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=nanoseconds))


@contextlib.contextmanager
def heard(*parameters):
    """What the node hears of its robot, at one time."""
    with stepped(*parameters) as node:
        at(node.robot, node.get_clock().now().nanoseconds)
        yield node.robot


@pytest.fixture
def steps(request):
    one = Steps(**getattr(request, "param", {}))
    yield one
    one.close()


def test_hands_in_another_frame_are_not_followed_until_it_is_engaged_again(steps):
    steps.engaged()
    steps.frame, steps.hand = "other_camera", np.array([0.001, 0.0, 0.0])
    assert steps.go(1) == HOLD
    words = steps.node.problem()
    assert "other_camera" in words and "camera" in words and "engage it again" in words
    steps.frame = "camera"  # the first is back in time
    assert steps.go(20) in (RAMP, ENGAGED) and not steps.node.problem()
    steps.frame = "other_camera"
    while steps.go() == HOLD:
        pass
    assert steps.node.state.state in (IDLE, READY)
    stood = steps.sent[-1].position
    assert steps.go(30) == READY and (steps.sent[-1].position == stood).all()
    steps.go(1, ["engage"])
    assert steps.go(30) == ENGAGED


def test_fused_hands_in_the_arms_base_do_not_lead_it_by_a_cameras_axes(steps):
    """Up would be back. With the axes set, up is up."""
    steps.frame = "base_link"
    assert steps.go(30) == IDLE and "hand_not_seen" in steps.node.state.reasons
    assert "hands come in base_link, the arm's base" in steps.node.problem() and "set axes" in steps.node.problem()
    assert steps.node.set_parameters([Parameter("axes", value=np.eye(3).ravel().tolist())])[0].successful
    steps.engaged()
    steps.hand = np.array([0.0, 0.0, 0.004])
    steps.go(40)
    assert not steps.node.problem()
    np.testing.assert_allclose(steps.sent[-1].position - START, steps.hand, atol=5e-4)


@pytest.mark.parametrize(
    "frame, cameras, told", [("world", ("a", "b"), True), ("a_optical_frame", ("a",), False), ("camera", (), False)]
)
def test_fused_hands_in_another_fixed_frame_with_a_cameras_axes_are_told(steps, frame, cameras, told):
    message = HandPairEncoder("net").encode(replace(make_pair(T0), cameras=(cameras, cameras)), frame, {})
    assert steps.node.hand.read(deserialize(message, message_type("fourdhands_ros/msg/HandPair")))[0].valid
    steps.frame = frame
    steps.engaged()
    assert ("fused cameras come in world" in steps.node.problem()) == told == bool(steps.node.problem())
    assert steps.node.set_parameters([Parameter("axes", value=np.eye(3).ravel().tolist())])[0].successful
    assert "fused cameras" not in steps.node.problem()


def test_parameters_changed_while_it_follows_wait_and_that_is_told(steps):
    steps.engaged()
    for name, value in (("absolute", True), ("workspace", [0.0, -1.0, 0.0, 0.5, 1.0, 1.0])):
        assert steps.node.set_parameters([Parameter(name, value=value)])[0].successful
    assert steps.go(20) == ENGAGED
    assert "once the robot stands in IDLE" in steps.node.problem()
    said = []
    steps.node._state_out = SimpleNamespace(publish=lambda message: said.append(message.data), topic_name="state")
    steps.node._tell(steps.sent[-1])
    assert '"workspace": [-1.0, -1.0, 0.0, 1.0, 1.0, 1.5]' in said[0]  # that is in force
    steps.go(1, ["release"])
    steps.go(40)
    assert steps.node.state.settings.absolute
    assert steps.node.state.reasons == ("no_transform_to_base",)
    assert "camera" in steps.node.problem() and "/tf" in steps.node.problem()


@pytest.mark.parametrize("steps", [{"absolute": True, "regain": 0.0}], indirect=True)
def test_absolute_ends_with_what_it_says_where_the_cameras_frame_stops(steps):
    robot, now = steps.node.robot, 10**18
    at(robot, now)
    robot.transforms.set("base_link", "camera", Rigid(np.eye(3), START), now)
    steps.engaged()
    assert steps.node.set_parameters([Parameter("absolute", value=False)])[0].successful
    assert steps.go(10) == ENGAGED  # what is in force goes on
    at(robot, now + 200_000_000)
    assert steps.go(1) == IDLE
    assert steps.node.state.stopped_by == ("no_transform_to_base",)
    assert "camera" in steps.node.problem() and "away from" in steps.node.problem()


@pytest.mark.parametrize("service, words", [("reset", "nothing to reset"), ("engage", "follows already")])
def test_a_service_that_changes_nothing_says_so(steps, service, words):
    steps.engaged()
    answer = steps.node._on_service(service, None, SimpleNamespace())
    assert answer.success and words in answer.message
    assert steps.go(5) == ENGAGED


def test_hands_that_are_not_in_metres_are_told(steps):
    steps.engaged()
    assert not steps.node.problem()
    steps.node.hand.newest = replace(steps.node.hand.newest[0], scaled=False), steps.frame
    assert "not in metres" in steps.node.problem() and "CameraInfo" in steps.node.problem()


@pytest.mark.parametrize("steps", [{"robot": "gripper", "keep_out": [0.6, 0.0, 0.4, 0.05]}], indirect=True)
@pytest.mark.parametrize(
    "place, width, words",
    [
        ((0.4, 0.0, -0.2), 0.04, "end is at 0.400, 0.000, -0.200, outside workspace [-1.0, -1.0, 0.0, 1.0, 1.0, 1.5]"),
        ((0.61, 0.0, 0.4), 0.04, "inside a ball of keep_out"),
        ((0.4, 0.0, 0.4), 0.5, "width is at 0.5, and its limits are 0 and 0.0"),
    ],
)
def test_which_limits_the_robot_is_beyond_is_told(steps, place, width, words):
    node = steps.node
    node.robot.sample = lambda: RobotSample(steps.due, np.array(place), np.eye(3), np.array([width]))
    steps.due += 0.01
    node.tell(node.compute(steps.due))
    assert "robot_outside_limits" in node.state.reasons and words in node.problem()
    assert words in node._on_service("engage", None, SimpleNamespace()).message


def test_a_hand_whose_model_looks_wrong_is_told(tmp_path, capfd):
    (tmp_path / "hand.urdf").write_text(
        '<robot name="h"><link name="palm"/>'
        + "".join(
            f'<link name="{name}"/><link name="{name}_tip"/><joint name="{name}" type="revolute"><parent link="palm"/>'
            f'<child link="{name}"/><origin xyz="{x} 0 0.05"/><axis xyz="1 0 0"/>{limit}</joint>'
            f'<joint name="{name}_end" type="fixed"><parent link="{name}"/><child link="{name}_tip"/>'
            '<origin xyz="0 0 0.05"/></joint>'
            for name, x, limit in (("thumb", 0.03, '<limit lower="0" upper="1"/>'), ("index", -0.03, ""))
        )
        + "</robot>"
    )
    fingers = ", ".join(f"{name}: {{base: {name}, tip: {name}_tip}}" for name in ("thumb", "index"))
    (tmp_path / "hand.yaml").write_text(
        "model: hand.urdf\nside: right\npalm: {body: palm, fingers: [0, 0, 1], back: [0, 1, 0]}\n" + f"fingers: {{{fingers}}}\n"
    )
    with stepped(Parameter("robot", value=str(tmp_path / "hand.yaml"))):
        assert "without limits, or with equal or reversed ones: index;" in capfd.readouterr().err


def test_two_messages_of_one_stamp_leave_no_joints_beside_their_end():
    pytest.importorskip("mink", reason="an arm's inverse kinematics needs mink (pip install 'fourdhands[robot]')")
    given = {"arm": "positions", "arm_model": "seven_joints", "base_frame": "base"}
    with heard(*(Parameter(name, value=value) for name, value in given.items())) as robot:
        message = JointState(name=list(robot._arm.names))
        message.header.stamp.sec = 5
        for bend in (0.4, 0.9):
            message.position = [0.1, bend, 0.0, 1.8, 0.0, 0.9, 0.2]
            robot.on_joints(message)
            sample = robot.sample()
            np.testing.assert_array_equal(sample.joints, message.position)
            np.testing.assert_allclose(sample.position, robot._arm.pose(sample.joints)[0], atol=1e-12)


def test_nodes_are_named_for_a_person():
    def named(*names):
        infos = [SimpleNamespace(node_name=name, node_namespace="/") for name in names]
        return more_than_one(SimpleNamespace(get_publishers_info_by_topic=lambda topic: infos), "/hands")

    assert named("hands", "_NODE_NAME_UNKNOWN_").endswith(": /hands, a node of unknown name")
    assert "if one of that name was killed, wait" in named("hands", "hands") and not named("hands")


def test_a_second_node_of_its_name_is_another_commander(steps):
    steps.engaged()
    other = steps.node.create_publisher(String, "~/state", 10)
    end = time.monotonic() + PATIENT
    while steps.node.count_publishers("/hands_teleop/state") < 2 and time.monotonic() < end:
        time.sleep(0.01)
    steps.go(1)
    assert steps.node.state.stopped_by == ("two_commanders",)
    assert "/hands_teleop/state has 2 publishers" in steps.node.problem()
    steps.node.destroy_publisher(other)


HAND = {"arm": "none", "robot": "gripper"}


@pytest.mark.parametrize(
    "steps, namespace, parameters, remapped, words",
    [
        ({}, "", {"arm": "twist"}, (), "tool0 in base_link is led by 2 nodes, and may be by one: "),
        ({}, "right", {"arm": "twist"}, ("ee_pose", "joint_states"), "tool0 in base_link is led by 2 nodes"),
        ({}, "right", {"arm": "twist"}, (), ""),
        ({}, "", {"arm": "pose", "end_frame": "right_tool0"}, (), "/target_frame has 2 publishers"),
        ({}, "", {"arm": "twist", "end_frame": "right_tool0"}, (), "the arm can be led by /delta_twist_cmds too"),
        ({}, "", HAND, (), ""),
        (HAND, "", {**HAND, "hand": "trajectory"}, (), "the joints width is led by 2 nodes"),
    ],
    indirect=["steps"],
)
def test_nodes_of_other_names_and_topics_that_lead_one_robot_see_each_other(steps, namespace, parameters, remapped, words):
    given = [Parameter(name, value=value) for name, value in parameters.items()]
    rules = [part for topic in remapped for part in ("-r", f"{topic}:=/{topic}")]
    other = TeleopNode(
        "another", context=steps.node.context, namespace=namespace, parameter_overrides=given, cli_args=["--ros-args", *rules]
    )
    other.trigger_configure()
    other.trigger_activate()
    said = other.resolve_topic_name("~/state")
    assert waited(lambda: steps.node.count_publishers(said) == other.count_publishers("/hands_teleop/state") == 1)
    nodes = steps.node, other
    if words:
        assert waited(lambda: all(node.commanders.count() > 1 for node in nodes))
        assert steps.go(30) == IDLE and "two_commanders" in steps.node.state.reasons
        assert words in steps.node.problem() and "another" in steps.node.problem()
        assert "two_commanders" in steps.node._on_service("engage", None, SimpleNamespace()).message
    else:
        assert [node.commanders.count() for node in nodes] == [1, 1] and steps.go(30) == READY
    other.trigger_deactivate()
    assert waited(lambda: steps.node.commanders.count() == 1)
    steps.go(30)
    assert "two_commanders" not in steps.node.state.reasons
    other.destroy_node()


def waited(condition):
    end = time.monotonic() + PATIENT
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def test_who_can_lead_the_arm_by_another_input_of_its_controller_stops_it(steps):
    steps.engaged()
    other = steps.node.create_publisher(PoseStamped, "pose_target_cmds", 10)
    assert waited(lambda: steps.node.count_publishers("/pose_target_cmds"))
    assert steps.go(1) == IDLE and steps.node.state.stopped_by == ("two_commanders",)
    assert "/pose_target_cmds too, whose publishers have to end: /hands_teleop" in steps.node.problem()
    steps.node.destroy_publisher(other)


def pose_of(frame="", x=0.4, w=1.0, stamp=None):
    message = PoseStamped()
    message.header.frame_id, message.pose.orientation.w = frame, w
    message.pose.position.x = x
    if stamp is not None:
        message.header.stamp = stamp.to_msg()
    return message


@pytest.mark.parametrize(
    "message, words",
    [
        (pose_of("world"), "ee_pose is in world, and base_frame is base_link"),
        (pose_of(x=float("nan")), "not finite"),
        (pose_of(w=0.3), "quaternion"),
    ],
)
def test_a_pose_of_the_arms_end_that_is_none(message, words):
    with heard() as robot:
        robot.on_pose(message)
        assert robot.sample() is None and words in robot.unheard() and robot.refused == 1
        robot.on_pose(pose_of("/base_link"))
        assert robot.sample() is not None and not robot.unheard()


def test_an_arms_end_that_nobody_tells_of_is_told_of():
    with heard() as robot:
        assert robot.sample() is None
        assert "no ee_pose" in robot.unheard() and "tool0" in robot.unheard()
        robot.transforms.set("base_link", "tool0", Rigid())
        assert robot.sample() is None and "nothing moves" in robot.unheard()


@pytest.mark.parametrize("seconds, words", [(-5, "5.0 s old"), (50, "50.0 s ahead")])
def test_a_robots_clock_that_is_another_is_told_of(seconds, words):
    with heard() as robot:
        now = robot.clock.now().nanoseconds
        stamp = Time(nanoseconds=now + seconds * 10**9)
        robot.on_pose(pose_of(stamp=stamp))
        assert words in robot.unheard() and "robot_stamped: false" in robot.unheard()
        at(robot, now + 10**9)
        assert "came 1.0 s ago" in robot.unheard()


def joints_of(*positions, names=("width",)):
    return JointState(name=list(names), position=list(positions))


def test_joints_that_are_no_numbers_are_refused_and_named():
    with heard(Parameter("robot", value="gripper"), Parameter("arm", value="none")) as robot:
        robot.on_joints(joints_of())
        assert "no positions" in robot.unheard()
        robot.on_joints(joints_of(float("nan")))
        assert robot.sample() is None and "no finite number for width" in robot.unheard()
        robot.on_joints(joints_of(3.0, 0.05, names=("other", "width")))
        assert robot.sample().fingers == [0.05] and not robot.unheard()
        robot.on_joints(joints_of(float("inf")))
        assert robot.sample().fingers == [0.05] and robot.refused == 2
        robot.on_joints(joints_of())
        at(robot, robot.clock.now().nanoseconds + 10**9)
        assert "no position of width of gripper any more" in robot.unheard()


def test_how_fast_a_robot_was_that_fell_silent_is_not_told():
    with heard() as robot:
        for x in (0.4, 0.5):
            robot.on_pose(pose_of(x=x))
            at(robot, robot.clock.now().nanoseconds + 10**8)
        assert robot.sample().speed > 0.9
        at(robot, robot.clock.now().nanoseconds + 10**9)
        assert robot.sample().speed == 0.0


def test_frames_of_before_a_clock_went_back_are_forgotten():
    with heard() as robot:
        now = robot.clock.now().nanoseconds
        robot.transforms.set("base_link", "tool0", Rigid(np.eye(3), START), now + 5 * 10**9)  # a late one, of before
        assert robot.sample() is None
        robot.transforms.set("base_link", "tool0", Rigid(np.eye(3), START), now)
        assert robot.sample() is not None


def test_a_node_that_ends_lets_the_robot_come_to_rest(steps, monkeypatch):
    """As a controller without a time-out would go on."""
    steps.engaged()
    for _ in range(30):
        steps.hand = steps.hand + [0.002, 0.0, 0.0]
        steps.go()
    assert steps.sent[-1].linear.any()
    steps.node.stream = SimpleNamespace(runs=True)
    monkeypatch.setattr(time, "sleep", lambda _: steps.go())
    steps.node.trigger_deactivate()
    last = steps.sent[-1]
    assert last.publish and not last.linear.any() and not last.angular.any()
    speeds = np.array([command.linear for command in steps.sent])
    assert (np.abs(np.diff(speeds, axis=0)) <= 4.0 * 0.01 + 1e-6).all()  # it braked as it may
