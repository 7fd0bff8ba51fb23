"""The node `hands_teleop`: an arm and a hand follow a human hand."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from fourdhands_core.retargeting.arm import SerialArm
from fourdhands_core.teleop import ESTOP, FAULT, HOLD, IDLE, READY, STATE_NAMES, Command, Inputs, RobotSample, TeleopState, step
from fourdhands_core.teleop.motion import planning
from fourdhands_core.teleop.types import MOVING_STATES

from ..executable import end, program
from ..lifecycle import ActiveNode, open_publisher, run_node
from ..node.frames import when_time_goes_back
from ..node.parameters import declare
from ..node.quiet import LISTENS_QUIETLY
from ..process import parse, run_ros
from ..pypi.message_types import TFMessage, message_type
from .answers import answer, fingers_follow
from .axes import axes_problem, misled
from .commanders import Commanders, more_than_one, publishers_of
from .diagnosis import apart, hand_problem, outside, place_said, scale_problem, standstill_problem, status_of
from .estop import EmergencyStop
from .hand_input import HAND_PAIR, HandInput
from .hand_joints import HandJoints
from .markers import MarkerThread, RobotMarkers, look_of
from .operator import PARTS, OperatorShown, load_led
from .outputs import Outputs
from .parameters import TeleopParameters
from .robot_input import RobotInput
from .stream import Stream

STATE_PERIOD = 0.1
"""Seconds between two messages on ~/state; a change is told at once."""
REST = 1.0
"""Seconds for which the node that ends waits for its robot to stand."""
DIAGNOSTICS_PERIOD = 1.0
"""Seconds between two messages on /diagnostics."""


@dataclass(frozen=True, eq=False)
class _Step:
    """A step that was computed. due: when it is told, seconds. asked: how much of what was asked for is in it. frame: that the
    hand is in."""

    due: float
    asked: int
    frame: str
    inputs: Inputs
    state: TeleopState
    command: Command


_FOLLOWS = *MOVING_STATES, HOLD


def _moves(state: TeleopState | None) -> bool:
    """Whether what is commanded does not rest."""
    return state is not None and not state.rests


class TeleopNode(ActiveNode):
    """Follows one hand of `hands` with one arm and its hand, in steps of `fourdhands_core.teleop.step`.

    Takes `hands` (HandPair), `joint_states` (JointState), `ee_pose` (PoseStamped of the arm's end in its base) or /tf,
    `~/deadman` and `~/estop` (Bool), a button of `joy` (Joy) as deadman's switch; tells the robot what `outputs.Outputs` has,
    and publishes `~/state` (String, JSON), `/diagnostics`, `~/markers` (MarkerArray). Services (Trigger) `~/engage`,
    `~/release`, `~/reset`, and of the operator's fingers `~/show_open`, `~/show_fist`, `~/show_pinch`. Raises InputError where
    a parameter's given value is refused.
    """

    def __init__(self, node_name: str = "hands_teleop", **kwargs: Any) -> None:
        super().__init__(node_name, functools.partial(declare, kind=TeleopParameters), **kwargs)
        self._asked = deque[str]()  # since the last step: engage, release, reset, estop, let_go
        for name in ("engage", "release", "reset"):
            self.create_service(Trigger, f"~/{name}", functools.partial(self._on_service, name))
        for part in PARTS:
            self.create_service(Trigger, f"~/show_{part}", functools.partial(self._on_shown, part))
        self.state: TeleopState | None = None

    def _open(self, made: contextlib.ExitStack) -> str:
        """Load the robot's hand and open the topics."""
        planning()  # at the first motion it would be missing with a robot that moves
        p = self.parameters
        self.retargeter = load_led(p.led, p.side, p.operator, self.get_logger().warning) if p.led else None
        self._joints = HandJoints.of(self.retargeter, p.gripper_joint, p.gripper_span) if self.retargeter else None
        self._arm = SerialArm(p.arm_model, p.end_frame, p.base_frame) if p.arm_model else None
        if self._arm is not None and self._arm.problem:
            self.get_logger().warning(self._arm.problem)
        self._settings = p.settings(self.retargeter, self._arm)
        made.callback(setattr, self, "state", None)  # of a failed activation too
        self.state, self._told = TeleopState(self._settings, arm=self._arm), ""
        self._deadman, self._deadman_at, self._estop = False, -np.inf, EmergencyStop(self)
        self._asked.clear()
        by_clock = bool(self.get_parameter("use_sim_time").value)
        self.pace = (lambda: self.get_clock().now().nanoseconds * 1e-9) if by_clock else time.monotonic
        self._steady = self.pace()
        self._since_state, self._stepped = 0.0, IDLE
        self._followed, self._latencies = -np.inf, list[float]()
        self._sample: RobotSample | None = None
        self._frame = ""
        self._begin = self.get_clock().now().nanoseconds
        self.robot = RobotInput(p, self._settings, self._joints, self._arm, self.get_clock(), self._seconds)
        self.hand = HandInput(p.side, self.retargeter, lambda sec, nanosec: self._seconds(sec * 1_000_000_000 + nanosec))
        made.callback(self.hand.close)
        self._operator = OperatorShown(self.hand, self.retargeter, p.side, p.operator)
        self._open_inputs(made)
        self._open_outputs(made)
        self._warn_of_standstill()
        if by_clock:  # a step each tick of a simulation's time, however slowly that passes
            made.callback(self.destroy_timer, self.create_timer(1.0 / p.rate, self.step, clock=self.get_clock()))
        else:
            self.stream = Stream(1.0 / p.rate, self)
            made.callback(self.stream.close)
            made.callback(self._come_to_rest)
            steady = Clock(clock_type=ClockType.STEADY_TIME)  # the other one may be set back, and this would wait as long
            made.callback(self.destroy_timer, self.create_timer(0.5, self._look_at_stream, clock=steady))
        return (
            f"ready to follow the {p.side} hand on {self.resolve_topic_name('hands')}: call "
            f"{self.get_fully_qualified_name()}/engage; what stands against it is on {self.get_fully_qualified_name()}/state"
        )

    def _open_inputs(self, made: contextlib.ExitStack) -> None:
        def subscribe(kind: Any, topic: str, callback: Any, qos: Any, raw: bool = False, **options: Any) -> None:
            made.callback(self.destroy_subscription, self.create_subscription(kind, topic, callback, qos, raw=raw, **options))

        subscribe(message_type(HAND_PAIR), "hands", self.hand.put, qos_profile_sensor_data, raw=True)
        subscribe(JointState, "joint_states", self.robot.on_joints, qos_profile_sensor_data)
        subscribe(PoseStamped, "ee_pose", self.robot.on_pose, qos_profile_sensor_data)
        subscribe(Bool, "~/deadman", self._on_deadman, 10)
        if self.parameters.deadman_button >= 0:
            subscribe(Joy, "joy", self._on_joy, qos_profile_sensor_data)
        subscribe(TFMessage, "/tf", self.robot.put, 100, raw=True)
        made.callback(when_time_goes_back(self, self.robot.forget_frames).unregister)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        # also what was said before this node began, and by whom promises nothing; others are no matter of a warning
        for qos in (QoSProfile(depth=10), latched, qos_profile_sensor_data):
            subscribe(Bool, "~/estop", self._on_estop, qos, event_callbacks=LISTENS_QUIETLY)
        subscribe(TFMessage, "/tf_static", self.robot.put_static, latched, raw=True)

    def _open_outputs(self, made: contextlib.ExitStack) -> None:
        p, publisher = self.parameters, functools.partial(open_publisher, self, made)
        arm, hand = self._arm.names if self._arm else (), self._joints.names if self._joints else ()
        self.outputs = Outputs(self, p, self._joints, arm, made)
        self._state_out = publisher(String, "~/state")
        own = *self.outputs.topics, self._state_out.topic_name  # by ~/state it knows of another node of its name
        self.commanders = Commanders(self, p, own, arm, hand, made)
        has_arm = p.arm != "none"
        markers = RobotMarkers(p.base_frame if has_arm else p.end_frame, p.led, has_arm)
        if markers.problem:
            self.get_logger().warning(markers.problem)
        self._markers = MarkerThread(markers, publisher(MarkerArray, "~/markers"))
        made.callback(self._markers.close)
        self._diagnostics, self._since_diagnostics = publisher(DiagnosticArray, "/diagnostics"), 0.0

    # Callbacks

    def _seconds(self, nanoseconds: int) -> float:
        return (nanoseconds - self._begin) * 1e-9

    def now(self) -> float:
        """Seconds of the node's clock since it was activated, as those of all stamps here."""
        return self._seconds(self.get_clock().now().nanoseconds)

    def _on_deadman(self, message: Bool) -> None:
        self._deadman, self._deadman_at = message.data, self.now()
        if not message.data:  # however short: another publisher may say true at once
            self.ask("let_go")

    def _on_joy(self, message: Joy) -> None:
        button = self.parameters.deadman_button
        if button >= len(message.buttons):
            self.get_logger().warning(
                f"the joystick has {len(message.buttons)} buttons, and no {button}, which deadman_button names; count from 0",
                once=True,
            )
        self._on_deadman(Bool(data=button < len(message.buttons) and message.buttons[button] == 1))

    def _on_estop(self, message: Bool) -> None:
        self._estop.take(message.data)
        if message.data:
            self.ask("estop")

    def ask(self, what: str) -> None:
        """Leave it for the next step, once."""
        if what not in self._asked:
            self._asked.append(what)

    def _on_service(self, name: str, request: Any, response: Any) -> Any:
        if self.state is None:
            response.success, response.message = False, "the node is not active"
            return response
        done, response.success, response.message = answer(
            name, self.state, self._estop.problem(), lambda: self.robot.unheard() or self._outside()
        )
        if done:
            self.ask(name)
        return response

    def _on_shown(self, part: str, request: Any, response: Any) -> Any:
        if self.state is None:
            response.message = "the node is not active"
        elif problem := fingers_follow(self.state):
            response.message = problem
        else:
            response.success, response.message = self._operator.show(part, self.now())
        return response

    def _apply(self, parameters: TeleopParameters) -> None:
        if self.state is not None:
            self.robot.parameters = parameters
            self._settings = parameters.settings(self.retargeter, self._arm)  # in force as soon as the robot stands in IDLE
            self._warn_of_standstill()

    def _warn_of_standstill(self) -> None:
        if problem := standstill_problem(self._settings, 1.0 / self.parameters.rate):
            self.get_logger().warning(problem)

    # The step

    def compute(self, due: float) -> _Step:
        """The step that is told at `due`, seconds of its clock: all is as old as it is then. Changes nothing."""
        assert self.state is not None
        asked = list(self._asked)
        now = self.now() + max(due - self.pace(), 0.0)
        hand, frame = self.hand.newest
        by_frame = self.parameters.absolute or self.state.settings.absolute
        inputs = Inputs(
            None if self._misleads(frame) else hand,
            self.robot.sample(),
            self._deadman and "let_go" not in asked,
            self._deadman_at,
            self._estop.pressed or "estop" in asked,
            operators=max(self.count_publishers(self.resolve_topic_name("hands")), 1),
            commanders=self.commanders.count(),
            absolute=self.robot.from_frame(frame) if by_frame else None,
            camera=self.robot.camera(frame),
            then=self.robot.from_frame_at(frame, hand.stamp) if by_frame and hand is not None else None,
            **{name: name in asked for name in ("engage", "release", "reset")},
        )
        return _Step(due, len(asked), frame, inputs, *step(self.state, inputs, now, self._settings, due - self._steady))

    def _misleads(self, frame: str) -> bool:
        """Whether hands of a frame would lead the robot elsewhere than whoever engaged it expects."""
        other = self.state is not None and self.state.state in _FOLLOWS and frame != self._frame
        return other or misled(frame, self.parameters, self._settings)

    def holds(self, made: _Step) -> bool:
        """Whether nothing was asked for since it was computed."""
        return len(self._asked) == made.asked

    def tell(self, made: _Step) -> None:
        """Tell the robot, and go on from there."""
        self.outputs.send(made.command, self.get_clock().now().to_msg(), not _moves(made.state), made.due)
        if self.state is None or self.state.state not in _FOLLOWS:
            self._frame = made.frame  # that the robot is engaged in, if it is
        self.state, self._steady, self._sample = made.state, made.due, made.inputs.robot
        for _ in range(made.asked):
            self._asked.popleft()

    def after(self, made: _Step) -> None:
        """What else is said of a step, and has time."""
        state, command, hand = made.state, made.command, made.inputs.hand
        if state.motion is not None:
            self.robot.told(command)
        if state.target is not None and hand is not None and hand.stamp != self._followed:
            self._followed = hand.stamp
            self._latencies.append(round(self.now() - self._followed, 4))
        if self._markers.wanted:
            stamp = self.get_clock().now().nanoseconds
            self._markers.look = look_of(stamp, state, command, self._fresh(), self.parameters.arm != "none")
        self._since_state += 1.0 / self.parameters.rate
        if self._stepped != command.state or self._since_state >= STATE_PERIOD:
            self._stepped, self._since_state = command.state, 0.0
            self._tell(command)

    def step(self) -> None:
        """Compute a step and tell it at once."""
        made = self.compute(self.pace())
        self.tell(made)
        self.after(made)

    def _come_to_rest(self) -> None:
        """Let go of the robot, and wait until what it is told rests: a controller without a time-out would go on."""
        self.ask("release")
        end = time.monotonic() + REST
        while self.stream.runs and time.monotonic() < end and (self._asked or _moves(self.state)):
            time.sleep(1.0 / self.parameters.rate)

    def _look_at_stream(self) -> None:
        if self.stream.error is not None:
            raise self.stream.error

    def _fresh(self) -> RobotSample | None:
        """Where the robot is, where that is no older than its robot_stale."""
        robot = self._sample
        return robot if robot is not None and self.now() - robot.stamp <= self.parameters.robot_stale else None

    def _tell(self, command: Command) -> None:
        state = STATE_NAMES[command.state]
        silent = self.state.silent if self.state is not None else (0.0, 0.0, 0.0)
        said = {
            "stamp": self.get_clock().now().nanoseconds,
            "state": state,
            "moving": _moves(self.state),
            "reasons": command.reasons,
            "stopped_by": command.stopped_by,
            "limits": command.limits,
            "age": round(command.age, 4) if np.isfinite(command.age) else None,
            "silent": {name: round(seconds, 4) for name, seconds in zip(("hand", "robot", "deadman"), silent)},
            "image_to_command": self._latencies,
            "apart": apart(self._sample, command),
            "standstill": round(self.state.settings.standstill(1.0 / self.parameters.rate), 4) if self.state else None,
            "refused_messages": self.hand.refused + self.robot.refused,
            "problem": self.problem(),
            **place_said(self.parameters, self.state.settings if self.state else self._settings, self._fresh(), command),
        }
        self._state_out.publish(String(data=json.dumps(said)))
        self._latencies = []
        self._since_diagnostics += STATE_PERIOD
        if self._since_diagnostics >= DIAGNOSTICS_PERIOD or state != self._told.partition(":")[0]:
            self._since_diagnostics = 0.0
            array = DiagnosticArray(status=[status_of(self.get_fully_qualified_name().lstrip("/"), said)])
            array.header.stamp = self.get_clock().now().to_msg()
            self._diagnostics.publish(array)
        told = f"{state}: stopped by {', '.join(command.stopped_by)}" if command.stopped_by else state
        if told != self._told and (command.stopped_by or state not in ("IDLE", "READY")):
            self.get_logger().info(told)
        self._told = told

    def problem(self) -> str:
        """What somebody has to do something about, in words; else empty."""
        state, frame = self.state, self.hand.newest[1]
        if state is None:
            return ""
        if state.state in _FOLLOWS and frame != self._frame and not self.hand.problem:
            return f"hands come in {frame or 'no frame'}, and the robot was engaged in {self._frame}; engage it again"
        topic = self.resolve_topic_name("hands")
        if "two_operators" in state.reasons and (several := more_than_one(self, topic)):
            return several
        if "two_commanders" in state.reasons and (others := self.commanders.problem()):
            return others
        if "no_transform_to_base" in state.reasons:
            return self.robot.lost_frame
        problem = self.hand.problem or self.outputs.problem or self.robot.unheard() or self._outside()
        problem = problem or axes_problem(frame, self.hand.fused, self.parameters, self._settings)
        hand = self.hand.newest[0]
        problem = problem or hand_problem(state, hand, self.now(), topic, self.count_publishers(topic))
        problem = problem or scale_problem(hand, self.parameters)
        if not problem and state.settings is not self._settings and state.state not in (IDLE, READY):
            how = "reset" if state.state in (ESTOP, FAULT) else "release"
            return f"changed parameters are in force once the robot stands in IDLE; {how} it"
        return problem

    def _outside(self) -> str:
        """Which limits or jumps of its own state keep the robot from being engaged, in words; else empty."""
        robot, state = self._sample, self.state
        if state is not None and "robot_jumped" in state.reasons:
            topics = map(self.resolve_topic_name, self.robot.told_by())
            said = "; ".join(f"{topic} is of {', '.join(publishers_of(self, topic)) or 'nobody'}" for topic in topics)
            return f"where the robot is jumps from one message to the next, as where two programs tell of it: {said}"
        if robot is None or state is None or "robot_outside_limits" not in state.reasons:
            return ""
        fingers = self.retargeter.names if self.retargeter else ()
        return outside(robot, state.settings, fingers, self._arm.names if self._arm else ())


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM. Returns the exit status: 0; 1 where it could not start."""
    prog = program("teleop.node")
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A robot's arm and hand follow a human hand. No safety-rated stop. Parameters: config/teleop.yaml.",
        epilog="ROS's own arguments: --ros-args -p NAME:=VALUE, -r FROM:=TO, --params-file FILE",
    )
    _, command_line = parse(parser, args)
    return run_ros("hands_teleop", prog, command_line, lambda stop: run_node(TeleopNode, stop), failed=1)


if __name__ == "__main__":
    end(main())
