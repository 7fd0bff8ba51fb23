"""One step of teleoperation: a pure function of the state so far, the inputs and the time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .grip import DISTRUSTED, Grip
from .joints import Arm, Joints
from .motion import at_rest, braked, followed, into_the_allowed, stop_of
from .senses import Seen, Sensed, Silence, Stood, finite, is_transform, sense
from .settings import TeleopSettings
from .target import Latch, near, share, target
from .turns import angle_between, angular, matrix_of, vector_of
from .types import (
    ENGAGED,
    ESTOP,
    FAULT,
    HOLD,
    IDLE,
    MOVING_STATES,
    RAMP,
    READY,
    ArmMotion,
    Command,
    HandSample,
    Inputs,
    RobotSample,
)

MAX_STEP = 0.05
"""Seconds that the commanded motion advances at most in a step, however late it comes."""
LATE = 0.12
"""Seconds after which a step is late: the robot's controller may have stopped it, as MoveIt Servo does after 0.1 s."""
CLOCK_JUMP = 0.5
"""Seconds between two steps beyond which the clock, and not the robot's program, was late."""
_NOMINAL, _STANDS = 0.01, 0.2
"""Seconds that a step counts for where the clock does not tell; seconds for which it may stand still, as a coarse one does."""
_FAULT_AFTER = 0.3
_APART = ("robot_does_not_follow",)
_LOSS = frozenset({"hand_not_seen", "hand_stale", "hand_jumped", "hand_stamp_back", "low_confidence", "late_step"})
"""Reasons for which the robot holds, and follows again if they pass soon; for all others it has to be engaged again."""
_ENGAGING = frozenset({"robot_moving", "robot_outside_limits", "robot_jumped"})
"""Reasons against engaging that do not matter once engaged: the robot then moves as commanded."""


@dataclass(frozen=True, eq=False)
class TeleopState:
    """What a step hands on to the next. `TeleopState(settings)` is the beginning.

    state: of STATE_NAMES. settings: in force; others that a step is given are taken over once the robot stands in IDLE. motion:
    commanded, None until engaged. base: (3, 3) the orientation that `motion` turns from. reasons: against following now.
    stopped_by: why it last stopped following, until it is engaged again. arm: of one that is told joints; its joints as
    commanded, None until engaged, follow the motion of its end.
    """

    settings: TeleopSettings
    state: int = IDLE
    motion: ArmMotion | None = None
    base: np.ndarray | None = None
    reasons: tuple[str, ...] = ()
    stopped_by: tuple[str, ...] = ()
    arm: Arm | None = None
    joints: Joints | None = None
    _latch: Latch | None = None
    _target: np.ndarray | None = None
    _seen: Seen | None = None
    _stood: Stood = Stood()
    _silence: Silence = Silence()
    _grip: Grip = Grip()
    _transform: tuple[np.ndarray, np.ndarray] | None = None
    _camera: tuple[np.ndarray, np.ndarray] | None = None
    _now: float | None = None
    _good_for: float = 0.0
    _ramped: float = 0.0
    _lost_for: float = 0.0
    _off_for: float = 0.0
    _stands_for: float = 0.0

    @property
    def rests(self) -> bool:
        """Whether what is commanded stands."""
        return _still(self)

    @property
    def silent(self) -> tuple[float, float, float]:
        """Seconds without news of the hand, the robot and the deadman's switch."""
        return self._silence.seconds

    @property
    def target(self) -> np.ndarray | None:
        """(3,) where the hand asks the arm's end to be, inside what is allowed; None while it is not followed."""
        return self._target[:3] if self._target is not None and self.state in MOVING_STATES else None


def step(
    state: TeleopState, inputs: Inputs, now: float, settings: TeleopSettings | None = None, elapsed: float | None = None
) -> tuple[TeleopState, Command]:
    """The next state, and what the robot is told.

    now: seconds, of a clock that may jump. settings: to be taken over as soon as the robot stands in IDLE; None keeps those in
    force. elapsed: seconds since the last step by a clock that goes on by itself, for the motion; by default that of `now`.
    Never raises whatever the inputs hold: what is not finite counts as not there.
    """
    dt, passed, jumped, stands = _elapsed(state, now, elapsed)
    now = now if math.isfinite(now) else (state._now or 0.0)
    if settings is not None and settings is not state.settings and state.state in (IDLE, READY) and _still(state):
        state = _with(state, settings=settings, motion=None, joints=None, state=IDLE, _transform=None)
    s, before, moved = state.settings, state.state, not _still(state)
    following = before in (*MOVING_STATES, HOLD)
    silence = state._silence.after(inputs, passed)
    camera = None if state._latch is None else state._latch.camera
    sensed = sense(s, inputs, state._seen, state._stood, silence.seconds, state._transform, camera, now, passed, following)
    late = passed > max(LATE, s.braking)
    sensed.reasons.extend(["clock_jumped"] * jumped + ["late_step"] * (late and following))
    transform = inputs.absolute if s.absolute and is_transform(inputs.absolute) else state._transform
    state = _with(state, _now=now, _seen=sensed.seen, _stood=sensed.stood, _silence=silence, _transform=transform)
    state = _with(state, _stands_for=stands, _camera=inputs.camera if is_transform(inputs.camera) else state._camera)
    doubted = before in (ESTOP, FAULT) or passed > CLOCK_JUMP or not DISTRUSTED.isdisjoint(sensed.reasons)
    grip = Grip() if following or state.motion is None else state._grip.after(sensed.robot, doubted, not moved, passed, s)
    state = _transition(_with(state, _grip=grip), inputs, sensed, dt, passed)
    if before == READY and state.state == RAMP:  # the first command is what was measured
        dt = 0.0
    if late and state.motion is not None:  # long enough ago to have come to rest, which the robot's controller has seen to
        joints = None if state.arm is None or state.joints is None else Joints.at(state.arm, state.joints.motion.value)
        state = _with(state, motion=at_rest(state.motion.value), joints=joints)
    state, acting = _advance(state, sensed.hand, inputs, now, dt)
    state, more = _lead(state, sensed.hand, dt)
    acting += more
    return state, _command(state, moved, sensed.robot, inputs.hand, now, tuple(acting))


def _with(state: TeleopState, /, **changes: Any) -> TeleopState:
    """dataclasses.replace without its checks, which would be a fifth of a step's time."""
    changed = object.__new__(TeleopState)
    changed.__dict__.update(state.__dict__)
    changed.__dict__.update(changes)
    return changed


def _still(state: TeleopState) -> bool:
    joints = state.joints is None or state.joints.motion.still
    return joints and (state.motion is None or state.motion.still)


def _elapsed(state: TeleopState, now: float, elapsed: float | None) -> tuple[float, float, bool, float]:
    """Seconds by which the motion goes on, at most MAX_STEP; that passed; whether the clock jumped or stands still; for how
    long it stands.

    Where the clock says nothing the motion goes on all the same, as only that brakes a robot.
    """
    if state._now is None:
        return 0.0, 0.0, not math.isfinite(now), 0.0
    known = elapsed if elapsed is not None and math.isfinite(elapsed) and elapsed >= 0.0 else None
    ticked = now - state._now
    jumped = not math.isfinite(ticked) or ticked < 0.0 or ticked > CLOCK_JUMP
    stands = state._stands_for + (_NOMINAL if known is None else known) if ticked == 0.0 else 0.0
    jumped = jumped or stands > _STANDS
    passed = known if known is not None else (_NOMINAL if jumped or not ticked else ticked)
    dt = known if known is not None else (_NOMINAL if jumped else ticked)
    return min(max(dt, _NOMINAL if jumped else 0.0), MAX_STEP), passed, jumped, stands


def _transition(state: TeleopState, inputs: Inputs, sensed: Sensed, dt: float, passed: float) -> TeleopState:
    """The state after what happened; the motion itself goes on in `_advance`."""
    now, reasons = state.state, sensed.reasons
    if inputs.estop:
        return _with(state, state=ESTOP, _latch=None, _good_for=0.0, reasons=("estop",), stopped_by=("estop",))
    if now in (ESTOP, FAULT):
        leave = inputs.reset and _still(state)
        return _with(state, state=IDLE, _good_for=0.0, reasons=tuple(reasons)) if leave else state
    if now in (IDLE, READY):
        return _gate(state, inputs, sensed, dt)
    reasons = [reason for reason in reasons if reason not in _ENGAGING]
    held = _LOSS - {"hand_jumped"} if state.settings.absolute else _LOSS  # where it would follow the jump itself
    dropped = [reason for reason in reasons if reason not in held] + ["released"] * inputs.release
    if dropped:
        return _with(state, state=IDLE, _latch=None, _good_for=0.0, reasons=tuple(dropped), stopped_by=tuple(dropped))
    state = _check_following(state, sensed.robot, dt)
    if state.state == FAULT:
        return state
    if reasons:
        lost = state._lost_for + passed if now == HOLD else 0.0
        if lost > state.settings.regain:
            return _with(state, state=IDLE, _latch=None, _good_for=0.0, reasons=tuple(reasons))
        return _with(state, state=HOLD, _latch=None, _lost_for=lost, reasons=tuple(reasons), stopped_by=tuple(reasons))
    assert sensed.hand is not None
    if now == HOLD:
        share = 1.0 - min(state._lost_for / max(state.settings.regain, 1e-9), 1.0)
        ramped = min(state._ramped, share * state.settings.ramp)
        if state.joints is not None:  # where they come to rest
            state = _placed(state, *state.joints.reached)
        rest = stop_of(state.motion, state.settings) if state.motion is not None else None
        state = _with(state, _latch=_latch_here(state, sensed.hand), _ramped=ramped, _target=rest)
    ramped = state._ramped + dt
    return _with(
        state,
        state=ENGAGED if ramped >= state.settings.ramp else RAMP,
        _ramped=ramped,
        _lost_for=0.0,
        reasons=(),
        stopped_by=(),
    )


def _gate(state: TeleopState, inputs: Inputs, sensed: Sensed, dt: float) -> TeleopState:
    """IDLE and READY: whether one could engage, and engaging."""
    hand, robot = sensed.hand, sensed.robot
    reasons = sensed.reasons + ["stopping"] * (not _still(state))
    good_for = 0.0 if reasons else state._good_for + dt
    ready = not reasons and (state.state == READY or good_for >= state.settings.dwell)
    told = state.state == READY and ready  # that it is ready, before it is engaged
    state = _with(state, state=READY if ready else IDLE, _good_for=good_for, reasons=tuple(reasons))
    if not (told and inputs.engage) or inputs.release or hand is None or robot is None:
        return state
    fingers = state._grip.first(state.motion, robot, state.settings)
    value = np.concatenate([np.asarray(robot.position, np.float64), np.zeros(3), fingers])
    joints = None if state.arm is None else Joints.at(state.arm, np.asarray(robot.joints, np.float64))
    base = np.array(robot.rotation, np.float64)
    state = _with(state, motion=at_rest(value), joints=joints, base=base, _ramped=0.0, _off_for=0.0)
    return _with(state, state=RAMP, _latch=_latch_here(state, hand), _target=value, _lost_for=0.0, stopped_by=())


def _latch_here(state: TeleopState, hand: HandSample) -> Latch:
    """Motion is relative from here: from where the robot comes to rest by itself, so that nothing jumps or turns back."""
    assert state.motion is not None and state.base is not None
    rest = stop_of(state.motion, state.settings)
    return Latch(hand.position, hand.rotation, rest[:3], matrix_of(rest[3:6]) @ state.base, state._camera)


def _check_following(state: TeleopState, robot: RobotSample | None, dt: float) -> TeleopState:
    """FAULT where the arm's end has not been where it was told to be for a while.

    Fingers may be anywhere: what they hold keeps them from where they are told to be, and moves them where it slips or turns.
    """
    assert state.motion is not None and state.base is not None
    if robot is None:
        return state
    s, (position, rotation) = state.settings, _end(state)
    apart = math.dist(robot.position.tolist(), position.tolist()) > s.max_following_error
    apart = apart or angle_between(robot.rotation, rotation) > s.max_turn_error
    off_for = state._off_for + dt if apart else 0.0
    if off_for > _FAULT_AFTER:
        return _with(state, state=FAULT, _latch=None, _off_for=0.0, reasons=_APART, stopped_by=_APART)
    return _with(state, _off_for=off_for)


def _advance(
    state: TeleopState, hand: HandSample | None, inputs: Inputs, now: float, dt: float
) -> tuple[TeleopState, list[str]]:
    """The commanded motion a step on: towards the hand in RAMP and ENGAGED, else to rest."""
    if state.motion is None:
        return state, []
    s = state.settings
    if state.state not in (RAMP, ENGAGED) or hand is None or state._latch is None:
        return _with(state, motion=braked(state.motion, s, dt)), []
    assert state.base is not None and state._target is not None
    transform = inputs.then if is_transform(inputs.then) else inputs.absolute
    asked, acting = target(s, state._latch, state.motion, state.base, hand, transform, state._target[6:])
    speed, slowed = share(s, hand, now - hand.stamp, state._ramped)
    motion = followed(state.motion, s, asked, speed, dt)
    fastest = s.rates[0]
    if (np.abs(motion.velocity) > 0.98 * speed * fastest).any():
        acting.append("speed")
    return _with(state, motion=motion, _target=asked), acting + slowed


def _lead(state: TeleopState, hand: HandSample | None, dt: float) -> tuple[TeleopState, list[str]]:
    """Of an arm that is told joints, these a step on: towards where its end is to be in RAMP and ENGAGED, else to rest. What
    they do not reach the end is not asked for: motion is then relative from here."""
    arm, joints, s = state.arm, state.joints, state.settings
    if arm is None or joints is None or state.motion is None or state.base is None:
        return state, []
    if state.state not in MOVING_STATES or hand is None:
        return _with(state, joints=joints.stopping(arm, s, dt)), []
    asked = state.motion.value[:3], matrix_of(state.motion.value[3:6]) @ state.base
    joints = joints.towards(arm, s, *asked, dt)
    state, near = _with(state, joints=joints), joints.within_reach(arm, *asked)
    if near is None:
        return state, []
    state = _placed(state, *near)
    return _with(state, _latch=_latch_here(state, hand)), ["reach"]


def _placed(state: TeleopState, position: np.ndarray, rotation: np.ndarray) -> TeleopState:
    """The motion of the arm's end put there, as fast as it is."""
    motion, base = state.motion, state.base
    assert motion is not None and base is not None
    turn = near(vector_of(rotation @ base.T), motion.value[3:6])
    value, _ = into_the_allowed(np.concatenate([position, turn, motion.value[6:]]), state.settings)
    return _with(state, motion=ArmMotion(value, motion.velocity, motion.acceleration))


def _end(state: TeleopState) -> tuple[np.ndarray, np.ndarray]:
    """Where the arm's end is commanded to be: position (3,), rotation (3, 3)."""
    assert state.motion is not None and state.base is not None
    if state.joints is not None:
        return state.joints.end
    return state.motion.value[:3], matrix_of(state.motion.value[3:6]) @ state.base


def _command(
    state: TeleopState, moved: bool, robot: RobotSample | None, hand: HandSample | None, now: float, acting: tuple[str, ...]
) -> Command:
    """What the robot is told: of a motion where that is now, else, not to be published, where the robot is. acting: limits that
    hold the motion back."""
    age = now - hand.stamp if hand is not None and finite(hand.stamp) else np.inf
    zero = np.zeros(3)
    if state.motion is None or state.base is None:
        position, rotation = (robot.position, robot.rotation) if robot is not None else (zero, np.eye(3))
        fingers = robot.fingers if robot is not None else np.zeros(state.settings.joints)
        return Command(
            state.state, False, position, rotation, fingers, zero, zero, acting, state.reasons, state.stopped_by, age
        )
    motion = state.motion
    return Command(
        state.state,
        state.state not in (IDLE, READY) or moved,  # the last one says that it stands
        *_end(state),
        motion.value[6:],
        motion.velocity[:3],
        angular(motion.value[3:6], motion.velocity[3:6]),
        acting,
        state.reasons,
        state.stopped_by,
        age,
        None if state.joints is None else state.joints.motion.value,
    )
