"""Operators, robots and all kinds of faults for teleoperation, as hypothesis draws them. The rules are in teleop_rules.py."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from hypothesis import strategies as st

from fourdhands_core.retargeting.arm import SerialArm
from fourdhands_core.simulation.scene import HOME
from fourdhands_core.teleop import Command, HandSample, Inputs, RobotSample, TeleopSettings, TeleopState, step
from fourdhands_core.teleop.turns import matrix_of
from fourdhands_ros.teleop.gripper import GripperAction

SETTINGS = TeleopSettings(
    workspace=(0.2, -0.4, 0.05, 0.7, 0.4, 0.6),
    keep_out=(0.45, 0.2, 0.2, 0.08),
    finger_lower=(0.0, -0.3),
    finger_upper=(0.08, 1.5),
    finger_velocity=(0.2, 3.0),
    ramp=0.3,
)
OTHERS = (
    replace(SETTINGS, max_speed=0.1, max_jerk=5.0, scale=2.0, workspace=(0.25, -0.3, 0.1, 0.65, 0.3, 0.5)),
    replace(
        SETTINGS,
        max_speed=2.0,
        max_acceleration=20.0,
        max_jerk=2000.0,
        max_turn=5.0,
        max_hand_speed=9.0,
        keep_out=(0.45, 0.1, 0.25, 0.07, 0.6, 0.0, 0.3, 0.1),
    ),
    replace(SETTINGS, absolute=True),
    replace(SETTINGS, need_deadman=False, regain=1.0, hand_silent=0.4, turns=False),
    replace(SETTINGS, scale_depth=0.3, scale=1.5),
    replace(SETTINGS, scale_depth=0.0, max_joint_share=1.0, max_speed=1.0),
)
"""Settings with which it begins, or that are given while it runs."""
HAND = (
    "hand lost", "hand jumps", "hand nan", "hand stamp nan", "hand stamp back", "hand frozen", "hand from the future",
    "hand late", "hand invalid", "not scaled", "little confidence", "confidence nan", "sides exchanged", "sides flicker",
    "fingers nan", "fingers beyond", "fast hand", "rotation broken", "rotation nan",
)  # fmt: skip
ROBOT = (
    "robot lost", "robot nan", "robot frozen", "robot stamp back", "robot stamp nan", "robot elsewhere", "robot turned",
    "robot held", "fingers held", "fingers leave", "robot rotation nan", "robot moves", "joints nan", "joints unknown",
    "joints elsewhere",
)  # fmt: skip
PERSON = (
    "deadman released", "deadman silent", "deadman flickers", "deadman nan", "deadman from the future", "estop", "reset",
    "release", "engage", "two operators", "two commanders", "settings",
)  # fmt: skip
GRIPPER = "gripper away", "gripper refuses", "gripper answers late", "gripper fails"
CLOCK = ("clock back", "clock ahead", "clock nan", "clock stands", "late step", "long pause", "transform jumps", "no transform")
FAULTS = ("none", *HAND, *ROBOT, *PERSON, *GRIPPER, *CLOCK)
SEAMS = "robot told by two", "camera moves", "hand of another size", "hands exchanged"
"""Faults between two programs, apart from the others so that seeds draw the same of these as before."""
ONCE = ("settings", "clock back", "clock ahead", "reset", "engage", "estop", "long pause")
"""Faults that are one step long."""
DT = 0.01
BEGINNING = (("none", "none", 30), ("engage", "none", 1), ("none", "none", 40))


def courses(most: int = 12) -> st.SearchStrategy:
    """A seed, and stretches of (fault, another at the same time, steps)."""
    names = *FAULTS, *SEAMS
    stretch = st.tuples(st.sampled_from(names), st.sampled_from(("none", "none", *names)), st.integers(1, 60))
    return st.tuples(st.integers(0, 2**31), st.lists(stretch, min_size=1, max_size=most))


@cache
def arm() -> SerialArm:
    """That which is told joints in one world of five."""
    return SerialArm("seven_joints")


class Answer:
    """What becomes of a goal, as a Future tells it."""

    def __init__(self, fails: bool, accepted: bool) -> None:
        self._fails, self.accepted, self._callbacks = fails, accepted, []

    def exception(self) -> Exception | None:
        return RuntimeError("no answer") if self._fails else None

    def result(self) -> Answer:
        return self

    def add_done_callback(self, callback) -> None:
        self._callbacks.append(callback)

    def done(self) -> None:
        for callback in self._callbacks:
            callback(self)


class Gripper:
    """In an ActionClient's place: the goals of a step, whose answers come after it, or with "gripper answers late" when others
    do."""

    def __init__(self) -> None:
        self.faults: frozenset[str] = frozenset()
        self.goals: list[float] = []
        self.waiting: list[Answer] = []

    def server_is_ready(self) -> bool:
        return "gripper away" not in self.faults

    def send_goal_async(self, goal: float) -> Answer:
        self.goals.append(goal)
        self.waiting.append(Answer("gripper fails" in self.faults, "gripper refuses" not in self.faults))
        return self.waiting[-1]

    def answer(self) -> None:
        if "gripper answers late" not in self.faults:
            for one in self.waiting:
                one.done()
            self.waiting.clear()


@dataclass
class Happening:
    """One step: the state before and after, what went in, what was commanded, the seconds that passed as far as the step can
    know, whether it may let the motion pause, because the clock stands, what goals a gripper's action got, and the
    seconds that passed by its clock."""

    before: TeleopState
    after: TeleopState
    inputs: Inputs
    command: Command
    passed: float
    paused: bool
    goals: list[float]
    seconds: float


@dataclass
class World:
    """A hand that moves smoothly, a robot that does as it is told with a little delay, and faults that come and go."""

    seed: int
    place: np.ndarray = field(default_factory=lambda: np.array([0.45, 0.0, 0.3]))
    turn: np.ndarray = field(default_factory=lambda: np.eye(3))
    fingers: np.ndarray = field(default_factory=lambda: np.array([0.04, 0.5]))

    def __post_init__(self) -> None:
        self.rng = rng = np.random.default_rng(self.seed)
        self.arm, self.joints = (arm(), HOME.copy()) if self.seed % 5 == 0 else (None, np.zeros(0))
        self.offered = self._offered()
        self.state = TeleopState(self.offered, arm=self.arm)
        if self.arm is not None:
            self.place, self.turn = self.arm.pose(self.joints)
        self.client = Gripper()
        self.gripper, self.steady_time = GripperAction(self.client, float, 1e-3), 0.0
        self.now, self.t = 100.0, 0.0
        self.origin = rng.uniform(-0.2, 0.2, 3)
        self.pace = rng.uniform(0.5, 5.0, 3)
        self.wide = rng.uniform(0.02, 0.4, 3) / self.pace
        self.steady = bool(rng.random() < 0.5)
        self.deadman_every = int(rng.integers(1, 11))
        self.count, self.deadman_stamp = 0, 100.0
        self.kept: dict[str, HandSample | RobotSample] = {}
        self.transform = np.eye(3), np.array([0.45, 0.0, 0.3])
        self.camera, self.jumps, self.exchanges = np.zeros(3), 0, 0
        self.told: Command | None = None

    def _offered(self) -> TeleopSettings:
        one = (SETTINGS, *OTHERS)[self.rng.integers(1 + len(OTHERS))]
        if self.arm is None:
            return one
        limits = {name: tuple(getattr(self.arm, name).tolist()) for name in ("lower", "upper", "velocity")}
        return replace(one, **{f"arm_{name}": values for name, values in limits.items()})

    def _hand(self, faults: frozenset[str]) -> HandSample | None:
        if "hand lost" in faults:
            return None
        rng = self.rng
        t = np.floor(self.t * 30.0) / 30.0
        pace = (12.0 if "fast hand" in faults else 1.0) * self.pace
        swing = np.sin(pace * t)
        position, rotation = self.origin + self.wide * swing, matrix_of(1.2 * np.sin(0.5 * pace * t))
        fingers = np.array([0.04, 0.6]) + np.array([0.05, 1.0]) * swing[:2]
        self.exchanges += "hands exchanged" in faults
        if "hand jumps" in faults:
            position = position + np.array([0.5, 0.0, 0.0])
        if "sides exchanged" in faults or ("sides flicker" in faults and rng.random() < 0.3):
            position, rotation = -position - 0.1, rotation.T
        if "fingers beyond" in faults:
            fingers = np.array([5.0, -9.0])
        stamp = t + round(self.now - self.t, 6) - (0.19 if "hand late" in faults else 0.03)
        stamp += 3.0 * ("hand from the future" in faults) - 1.0 * ("hand stamp back" in faults)
        sample = HandSample(
            np.nan if "hand stamp nan" in faults else float(stamp),
            np.full(3, np.nan) if "hand nan" in faults else position,
            2.0 * rotation if "rotation broken" in faults else np.nan * rotation if "rotation nan" in faults else rotation,
            np.full(2, np.inf) if "fingers nan" in faults else fingers,
            rng.uniform(0.0, 0.6) if "little confidence" in faults else np.nan if "confidence nan" in faults else 0.95,
            "hand invalid" not in faults,
            "not scaled" not in faults,
            0.1 if "hand of another size" in faults else 0.09,
            self.exchanges,
        )
        return self._frozen("hand frozen", sample, faults)

    def _robot(self, faults: frozenset[str]) -> RobotSample | None:
        if "robot lost" in faults:
            return None
        told, place, turn, fingers = self.told, self.place, self.turn, self.fingers
        self.jumps += "robot told by two" in faults
        if self.arm is not None:
            if told is not None and told.joints is not None and "robot held" not in faults:
                self.joints = self.joints + 0.6 * (told.joints - self.joints)
            self.place, self.turn = place, turn = self.arm.pose(self.joints)
        elif told is not None and "robot held" not in faults:
            self.place, self.turn = place, turn = place + 0.6 * (told.position - place), told.rotation
        if "fingers leave" in faults:
            self.fingers = fingers = np.array([0.08, 1.5])
        elif told is not None and "fingers held" not in faults:
            self.fingers = fingers = fingers + 0.6 * (told.fingers - fingers)
        sample = RobotSample(
            np.nan if "robot stamp nan" in faults else self.now - 0.005 - 1.0 * ("robot stamp back" in faults),
            np.full(3, np.nan) if "robot nan" in faults else place + 0.3 * ("robot elsewhere" in faults),
            turn @ matrix_of(np.array([0.0, 0.0, 1.0])) if "robot turned" in faults
            else np.nan * turn if "robot rotation nan" in faults else turn,
            fingers,
            0.1 * ("robot moves" in faults),
            np.nan * self.joints if "joints nan" in faults else self.joints[:-1] if "joints unknown" in faults
            else self.joints + 9.0 if "joints elsewhere" in faults else self.joints,
            self.jumps,
        )  # fmt: skip
        return self._frozen("robot frozen", sample, faults)

    def _frozen(self, name: str, sample: HandSample | RobotSample, faults: frozenset[str]) -> HandSample | RobotSample:
        if name not in faults:
            self.kept.pop(name, None)
            return sample
        return self.kept.setdefault(name, sample)

    def _passed(self, faults: frozenset[str]) -> float:
        if "long pause" in faults:
            return 3.0
        if "late step" in faults:
            return float(self.rng.uniform(0.05, 0.4))
        return DT * float(self.rng.uniform(0.5, 1.5)) if self.steady else DT

    def _clock(self, faults: frozenset[str], passed: float) -> float:
        self.t += passed
        self.now += passed + 100.0 * ("clock ahead" in faults) - 5.0 * ("clock back" in faults)
        if "clock stands" in faults:
            self.now -= passed
        return np.nan if "clock nan" in faults else self.now

    def _deadman(self, faults: frozenset[str]) -> tuple[bool, float]:
        if self.count % self.deadman_every == 0 and "deadman silent" not in faults:
            self.deadman_stamp = self.now
        stamp = self.deadman_stamp + 3.0 * ("deadman from the future" in faults)
        pressed = "deadman released" not in faults and not ("deadman flickers" in faults and self.rng.random() < 0.5)
        return pressed, np.nan if "deadman nan" in faults else stamp

    def _camera(self, faults: frozenset[str]) -> np.ndarray:
        if "camera moves" in faults:
            self.camera = self.camera + [0.004, 0.0, 0.0]
        return self.camera

    def _absolute(self, faults: frozenset[str]) -> tuple[np.ndarray, np.ndarray] | None:
        turn, place = self.transform
        if "no transform" in faults:
            return None if self.seed % 2 else (turn, np.full(3, np.nan))
        return turn, place + 0.5 * ("transform jumps" in faults)

    def advance(self, *names: str) -> Happening:
        """One step with these faults."""
        faults, rng = frozenset(names), self.rng
        passed = seconds = self._passed(faults)
        now = self._clock(faults, passed)
        self.count += 1
        if "settings" in faults:
            self.offered = self._offered()
        pressed, stamp = self._deadman(faults)
        inputs = Inputs(
            self._hand(faults),
            self._robot(faults),
            deadman=pressed,
            deadman_stamp=stamp,
            estop="estop" in faults,
            engage="engage" in faults or rng.random() < 0.05,
            release="release" in faults,
            reset="reset" in faults or rng.random() < 0.02,
            operators=1 + ("two operators" in faults),
            commanders=1 + ("two commanders" in faults),
            absolute=self._absolute(faults),
            camera=(np.eye(3), self._camera(faults)),
        )
        before = self.state
        first = before._now is None
        self.state, command = step(before, inputs, now, self.offered, passed if self.steady else None)
        if command.publish:
            self.told = command
        self.client.faults, self.client.goals = faults, []
        self.steady_time += passed
        self.gripper.step(command, float(command.fingers[0]), self.state.rests, self.steady_time)
        self.client.answer()
        ticked = passed if first else self.state._now - before._now
        if not self.steady:
            passed = ticked if 0.0 < ticked <= 0.5 else DT  # all that a clock that jumps tells
        return Happening(
            before,
            self.state,
            inputs,
            command,
            0.0 if first else passed,
            not self.steady and ticked == 0.0,
            self.client.goals,
            seconds,
        )
