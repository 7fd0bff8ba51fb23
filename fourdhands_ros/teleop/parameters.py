"""The parameters of `hands_teleop`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fourdhands_core.errors import InputError
from fourdhands_core.teleop import TeleopSettings
from fourdhands_core.teleop.settings import RANGES

from ..node.parameters import changeable, check_values, parameter

if TYPE_CHECKING:
    from fourdhands_core.retargeting import Retargeter
    from fourdhands_core.retargeting.arm import SerialArm


def of_core(name: str) -> Any:
    """A parameter that is the core's setting of this name."""
    spec = TeleopSettings.__dataclass_fields__[name]
    return changeable(spec.default, **spec.metadata)


@dataclass(frozen=True)
class TeleopParameters:
    """Values of the node's parameters. Constructing one checks them: InputError names the parameter that is wrong."""

    autostart: bool = parameter(
        True, "Configure and activate the node when it starts; false leaves that to a lifecycle manager."
    )
    side: str = parameter("right", "The human hand that is followed.", choices=("left", "right"))
    robot: str = parameter(
        "",
        "The robot's hand: a name of `fourdhands retarget`, such as gripper or five_fingers_right, or a YAML file; empty for "
        "an arm without one.",
    )
    operator: str = parameter(
        "",
        "File with the range of the operator's fingers, which ~/show_open, ~/show_fist and ~/show_pinch write; empty, or not "
        "there yet, for the usual one.",
    )
    rate: float = parameter(100.0, "Commands a second.", limits=(20.0, 1000.0))
    arm: str = parameter(
        "pose",
        "What is commanded to the arm: pose (PoseStamped on target_frame, for cartesian_motion_controller and MoveIt Servo's "
        "pose tracking), twist (TwistStamped on delta_twist_cmds, for MoveIt Servo), trajectory (JointTrajectory on "
        "arm_trajectory, for joint_trajectory_controller), positions (Float64MultiArray on arm_commands, for "
        "forward_command_controller), or none. The arm's joints need arm_model.",
        choices=("pose", "twist", "trajectory", "positions", "none"),
    )
    arm_model: str = parameter(
        "",
        "Of an arm that is told joints, and heard of on joint_states: its URDF or MJCF, a YAML file beside one, or "
        "seven_joints, our simulation's.",
    )
    hand: str = parameter(
        "positions",
        "What is commanded to the robot's hand: positions (Float64MultiArray on commands, for forward_command_controller), "
        "trajectory (JointTrajectory on joint_trajectory, for joint_trajectory_controller), gripper_command or "
        "parallel_gripper_command (control_msgs' actions on gripper_cmd), or none.",
        choices=("positions", "trajectory", "gripper_command", "parallel_gripper_command", "none"),
    )
    trajectory_time: float = parameter(
        0.05,
        "Seconds from a message on joint_trajectory or arm_trajectory to its point: hand or arm lag by as much, and come to "
        "rest that much later.",
        limits=(0.01, 1.0),
    )
    gripper_joint: str = parameter(
        "",
        "Of a gripper the joint's name in joint_states and in what is commanded, such as panda_finger_joint1; empty for width.",
    )
    gripper_span: tuple[float, ...] = parameter(
        (0.0, 0.0),
        "That joint's position where the gripper is closed, and where it is open; twice 0 where it is the width in metres.",
    )
    gripper_effort: float = parameter(
        0.0,
        "Greatest effort that the gripper's action asks for, N or N m; 0 is what GripperCommand then says.",
        limits=(0.0, 1000.0),
    )
    base_frame: str = parameter("base_link", "The arm's base, in which it is commanded.")
    end_frame: str = parameter(
        "tool0", "The arm's end on /tf; not used where ee_pose comes. In arm_model, where that does not say it."
    )
    scale: float = of_core("scale")
    scale_depth: float = of_core("scale_depth")
    axes: tuple[float, ...] = of_core("axes")
    absolute: bool = of_core("absolute")
    turns: bool = of_core("turns")
    need_deadman: bool = of_core("need_deadman")
    deadman_button: int = parameter(
        -1,
        "Button of the joystick on joy that is the deadman's switch, counted from 0, beside ~/deadman; -1: none. joy_node's "
        "autorepeat_rate has to be 10 or more.",
        limits=(-1, 63),
    )
    workspace: tuple[float, ...] = of_core("workspace")
    keep_out: tuple[float, ...] = changeable(
        (0.0, 0.0, -9.0, 0.1), "Balls that it stays out of: x, y, z, radius of each, metres."
    )
    max_speed: float = of_core("max_speed")
    max_acceleration: float = of_core("max_acceleration")
    max_jerk: float = of_core("max_jerk")
    max_turn: float = of_core("max_turn")
    max_turn_acceleration: float = of_core("max_turn_acceleration")
    max_turn_jerk: float = of_core("max_turn_jerk")
    max_finger_share: float = of_core("max_finger_share")
    max_joint_share: float = of_core("max_joint_share")
    ramp: float = of_core("ramp")
    dwell: float = of_core("dwell")
    regain: float = of_core("regain")
    hand_stale: float = of_core("hand_stale")
    hand_silent: float = of_core("hand_silent")
    robot_stale: float = of_core("robot_stale")
    deadman_stale: float = of_core("deadman_stale")
    confidence_to_engage: float = of_core("confidence_to_engage")
    confidence_to_hold: float = of_core("confidence_to_hold")
    max_hand_speed: float = of_core("max_hand_speed")
    max_following_error: float = of_core("max_following_error")
    max_turn_error: float = of_core("max_turn_error")
    robot_stamped: bool = changeable(
        True,
        "Believe the stamps of the robot's state, where it has any; false where the robot's clock is not this computer's, and "
        "its state counts as of when it comes.",
    )
    still_speed: float = of_core("still_speed")

    def __post_init__(self) -> None:
        check_values(self)
        for name in ("axes", "workspace", "keep_out", "gripper_span"):
            value = getattr(self, name)
            if any(type(one) is not float for one in value):
                raise InputError(f"parameter {name}: {list(value)} are not all numbers")
        if len(self.gripper_span) != 2:
            raise InputError(f"parameter gripper_span: {list(self.gripper_span)} are not two positions, closed and open")
        if not all(map(math.isfinite, self.gripper_span)):
            raise InputError(f"parameter gripper_span: {list(self.gripper_span)} are not both finite; give numbers")
        if not self.robot:
            self._check_without_hand()
        if (self.arm in ("trajectory", "positions")) != bool(self.arm_model):
            raise InputError(
                f"parameters arm: {self.arm} and arm_model: {self.arm_model or 'empty'} do not fit: name by arm_model an arm "
                "that is told joints, with trajectory or positions, and no other"
            )
        if self.arm == "none" and not self.led:
            raise InputError(
                "parameter arm: none, with no robot's hand to command, leaves nothing that could follow; set robot or arm"
            )
        self.settings()

    @property
    def led(self) -> str:
        """The robot's hand, as `robot` says; empty where none is led, which need not be heard of either."""
        return self.robot if self.hand != "none" else ""

    def _check_without_hand(self) -> None:
        """Raise InputError where no robot's hand is named, but something that only a hand has."""
        given = [f"hand: {self.hand}"] if self.hand not in ("positions", "none") else []
        given += [f"gripper_joint: {self.gripper_joint}"] if self.gripper_joint else []
        given += [f"gripper_span: {list(self.gripper_span)}"] if any(self.gripper_span) else []
        if given:
            raise InputError(f"parameter {given[0]} is of a robot's hand, and none is named; set robot, such as robot: gripper")

    def settings(self, retargeter: Retargeter | None = None, arm: SerialArm | None = None) -> TeleopSettings:
        """The core's settings: those of the same names, and the limits of the robot's hand and of the arm's joints."""
        names = TeleopSettings.__dataclass_fields__.keys() & TeleopParameters.__dataclass_fields__.keys()
        joints: dict[str, Any] = {}
        for kind, one in (("finger", retargeter), ("arm", arm)):
            if one is not None:
                limits = {"lower": one.lower, "upper": one.upper, "velocity": one.velocity}
                joints.update({f"{kind}_{name}": tuple(values.tolist()) for name, values in limits.items()})
        settings = TeleopSettings(**{name: getattr(self, name) for name in names}, **joints)
        if self.arm == "none":  # where its end is does not matter then, and nobody need tell
            return replace(
                settings, scale=RANGES["scale"][0], turns=False, absolute=False, workspace=TeleopSettings.workspace, keep_out=()
            )
        return settings
