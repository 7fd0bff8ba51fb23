"""A recorded hand moves the simulated robot: what was commanded, where the robot was, what became of the cubes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry.rotations import matrix_from_quaternion, quaternion_from_matrix
from ..hand_model.skeleton import SIDES
from ..retargeting.human import spans_palm
from ..retargeting.retargeter import HandRetargeter, Retargeter
from ..streams import counted, warn
from ..teleop import STATE_NAMES, HandSample, Inputs, RobotSample, TeleopSettings, TeleopState, step
from ..teleop.motion import planning
from ..teleop.settings import RANGES
from .robot import SimulatedRobot

STEP = 0.01
"""Seconds between commands."""
_PAUSE = 10.0
"""Seconds between two images of which nothing more is replayed: the robot has long come to rest and let go of the hand."""


@dataclass(frozen=True, eq=False)
class Track:
    """A hand over T images. stamp: (T,) seconds from the first. joints: (T, 21, 3) metres, camera optical frame; rotation:
    (T, 3, 3) wrist to camera. valid: (T,) bool, False where the hand was lost."""

    stamp: np.ndarray
    joints: np.ndarray
    rotation: np.ndarray
    valid: np.ndarray

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray], side: str) -> Track:
        """Out of the arrays of hands.npz. Raises InputError where there is none of that hand, or no time in which it moves."""
        column = SIDES.index(side)
        try:
            stamp, valid = arrays["stamp"].astype(np.float64) * 1e-9, arrays["valid"][:, column].astype(bool)
            joints, rotation = arrays["joints"][:, column], arrays["wrist_rotation"][:, column]
        except (KeyError, IndexError) as error:
            raise InputError(f"the recording of hands lacks {error}; make it with `fourdhands track`") from error
        sound = [np.isfinite(one).all() and np.isfinite(turn).all() and spans_palm(one) for one, turn in zip(joints, rotation)]
        if wrong := int((valid & ~np.array(sound)).sum()):
            warn(f"in {counted(wrong, 'images')} the numbers of the {side} hand are none of a hand's: it counts as lost there")
            valid &= sound
        if not valid.any():
            raise InputError(f"no image shows a {side} hand, which the robot is to follow; choose another --side or recording")
        if not stamp[-1] - stamp[0] >= STEP:
            span = f"{stamp[-1] - stamp[0]:.3f} s"
            raise InputError(f"{counted(len(stamp), 'images')} over {span} are nothing to follow; give more")
        return cls(_without_pauses(stamp - stamp[0]), joints, rotation, valid)


def _without_pauses(stamp: np.ndarray) -> np.ndarray:
    """Rising seconds, of which none is more than _PAUSE after the one before: where a clock was set, years may lie between."""
    steps = np.diff(stamp)
    if (steps > _PAUSE).any():
        cut = f"{(steps[steps > _PAUSE] - _PAUSE).sum():.0f} s"
        warn(
            f"{cut} in which no image came, as in a pause or where a clock was set, are passed over: {_PAUSE:g} s each are kept"
        )
    return np.concatenate([stamp[:1], stamp[0] + np.minimum(steps, _PAUSE).cumsum()])


@dataclass
class Log:
    """Row by row, one a command: time, state (of teleop.STATE_NAMES), commanded and measured position (3,) and quaternion (4,)
    of the arm's end, hand's joints, all joints as measured."""

    times: list[float]
    states: list[str]
    commands: list[np.ndarray]
    measured: list[np.ndarray]
    names: tuple[str, ...] = ()
    hand_names: tuple[str, ...] = ()

    def arrays(self) -> dict[str, np.ndarray]:
        """time (T,), state (T,), ee_target (T, 7) and ee (T, 7): x, y, z metres, quaternion x, y, z, w; hand_target (T, n);
        joints (T, m) by joint_names (m,) and hand_names (n,)."""
        commands, measured = np.array(self.commands), np.array(self.measured)
        return {
            "time": np.array(self.times),
            "state": np.array(self.states),
            "ee_target": commands[:, :7],
            "hand_target": commands[:, 7:],
            "ee": measured[:, :7],
            "joints": measured[:, 7:],
            "joint_names": np.array(self.names),
            "hand_names": np.array(self.hand_names),
        }

    def write(self, folder: Path) -> None:
        """trajectory.npz, and trajectory.csv with a column a number."""
        arrays = self.arrays()
        np.savez_compressed(folder / "trajectory.npz", **arrays)
        axes = ("x", "y", "z", "qx", "qy", "qz", "qw")
        head = ["time", "state", *(f"target_{axis}" for axis in axes), *(f"ee_{axis}" for axis in axes)]
        head += [f"target_{name}" for name in self.hand_names] + list(self.names)
        with open(folder / "trajectory.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            for time, state, told, seen in zip(self.times, self.states, self.commands, self.measured):
                numbers = np.concatenate([told[:7], seen[:7], told[7:], seen[7:]])
                writer.writerow([f"{time:.3f}", state, *(f"{value:.6f}" for value in numbers)])


def replay_settings(robot: SimulatedRobot, retargeter: Retargeter, track: Track, scale: float = 1.0) -> TeleopSettings:
    """Of the simulated arm with its tool, whose fingers stay above the table.

    Orientation is kept and the hand has to be seen for a second first, as one camera measures turns worst and a new track
    settles; an image is old where several of the recording's have passed. Nobody is there to engage: short losses are held.
    """
    interval = float(np.median(np.diff(track.stamp))) if len(track.stamp) > 1 else 0.0
    return TeleopSettings(
        scale=scale,
        turns=False,
        need_deadman=False,
        workspace=(0.15, -0.5, robot.tool.lowest, 0.75, 0.5, 0.65),
        max_speed=0.5,
        finger_lower=tuple(retargeter.lower.tolist()),
        finger_upper=tuple(retargeter.upper.tolist()),
        finger_velocity=tuple(retargeter.velocity.tolist()),
        dwell=1.0,
        regain=5.0,
        hand_stale=min(max(TeleopSettings.hand_stale, 3.0 * interval), RANGES["hand_stale"][1]),
        hand_silent=min(max(TeleopSettings.hand_silent, 3.0 * interval), RANGES["hand_silent"][1]),
    )


class Follower:
    """The robot follows a hand that is shown to it image by image, engaged as soon as it can be. log: of what it did."""

    def __init__(self, robot: SimulatedRobot, retargeter: Retargeter, settings: TeleopSettings) -> None:
        planning()
        self._robot, self._retargeter = robot, retargeter
        self._state = TeleopState(settings)
        self._hand: HandSample | None = None
        self._fingers: np.ndarray | None = None
        self._losses = 0
        self.log = Log([], [], [], [], robot.state().names, robot.hand_names)

    def until(self, seconds: float) -> None:
        """Let the robot follow what it has seen until that time of the simulation."""
        while self._robot.time < seconds - STEP / 2.0:
            self._step()

    def see(self, seconds: float, joints: np.ndarray, rotation: np.ndarray, valid: bool = True) -> None:
        """The hand in an image of that time: joints (21, 3) and the wrist's rotation (3, 3), in the camera's frame."""
        if valid:
            self._fingers = self._retargeter.solve(joints, self._fingers)
        self._losses += not valid
        self._hand = HandSample(seconds, joints[0], rotation, self._fingers, valid=valid, losses=self._losses)

    def _step(self) -> None:
        """One command, and STEP seconds of the robot."""
        robot, log, here = self._robot, self.log, self._robot.state()
        fingers = here.positions[len(robot.arm_names) :]
        measured = RobotSample(here.time, here.position, matrix_from_quaternion(here.quaternion), fingers)
        self._state, command = step(self._state, Inputs(self._hand, measured, engage=True, reset=True), here.time)
        quaternion = quaternion_from_matrix(command.rotation)
        if command.publish:
            robot.command_pose(command.position, quaternion)
            robot.command_hand(command.fingers)
        robot.advance(STEP)
        here = robot.state()
        log.times.append(here.time)
        log.states.append(STATE_NAMES[command.state])
        log.commands.append(np.concatenate([command.position, quaternion, command.fingers]))
        log.measured.append(np.concatenate([here.position, here.quaternion, here.positions]))


def replay(
    track: Track,
    robot: SimulatedRobot,
    retargeter: Retargeter,
    settings: TeleopSettings,
    picture: Callable[[int], None] | None = None,
) -> Log:
    """Let the robot follow the hand from its first to its last image.

    picture: called for each image with its number, after the robot has moved until its time.
    """
    follower = Follower(robot, retargeter, settings)
    for i, seen in enumerate(track.stamp.tolist()):
        follower.until(seen)
        follower.see(seen, track.joints[i], track.rotation[i], bool(track.valid[i]))
        if picture is not None:
            picture(i)
    return follower.log


def grip_place(
    robot: SimulatedRobot, retargeter: Retargeter, opened: np.ndarray, closed: np.ndarray, side: float
) -> tuple[float, float, float]:
    """Where on the table a cube of that side, metres, has to lie for the robot to grip it if it goes straight down from where
    it is now: x and y, metres in the arm's base, and the cube's turn about z, radians.

    opened, closed: a human hand's joints (21, 3) before and in the pinch that grips it. Where thumb and index finger are as far
    apart as the cube is wide, its faces lie across to them; it is as far from the one as from the other before they close.
    """
    start = robot.state()
    flange = matrix_from_quaternion(start.quaternion)
    if not isinstance(retargeter, HandRetargeter):
        return float(start.position[0]), float(start.position[1]), 0.0
    tool = robot.tool
    turn = flange @ matrix_from_quaternion(tool.quaternion)
    tips = [retargeter.robot.pose(retargeter.solve(joints, None)).points[:2] for joints in (opened, closed)]
    ways = tips[0] + np.linspace(0.0, 1.0, 101)[:, None, None] * (tips[1] - tips[0])
    ways = start.position + flange @ tool.position + ways @ turn.T
    apart = ways[:, 0, :2] - ways[:, 1, :2]
    distance = np.sqrt((apart**2).sum(-1)) - retargeter.radii[:2].sum()
    at = int(np.argmin(np.abs(distance - side)))
    across = apart[at] / np.linalg.norm(apart[at])
    aside = (ways[0, :, :2] - ways[at, 1, :2]) @ across + retargeter.radii[:2] * [-1.0, 1.0]
    x, y = ways[at, 1, :2] + aside.mean() * across
    return float(x), float(y), float(np.arctan2(across[1], across[0]))
