"""The simulated robot: obeys targets of the arm's end, joints of the hand and widths of the gripper, and says where it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix, matrix_from_quaternion, quaternion_from_matrix
from .scene import HAND, HOME, TIMESTEP, Cube, build

TWIST_TIMEOUT = 0.1
"""Seconds after which a twist is stale and the arm stops, as MoveIt Servo does."""
CONTROL = 0.01
"""Seconds between looks of the arm's controller at its target."""
_GAIN = 12.0
"""1/s: how fast the arm's end goes to its target."""
_SPEED, _TURN = 1.5, 4.0
"""m/s and rad/s of the arm's end at most."""
_JOINT_SPEED = np.array([2.6, 2.6, 2.6, 2.6, 3.2, 3.2, 3.2])
_LEAN = 0.05
"""How strongly the arm's joints are drawn to where they were at the start, where its end leaves them free; 1/s."""


@dataclass(frozen=True, eq=False)
class RobotState:
    """Where the robot is. time: seconds of the simulation. names, positions, velocities: of all joints that can be commanded,
    the arm's and then the hand's (of a gripper its width). position (3,), quaternion (4,) x, y, z, w: of the arm's end in
    its base."""

    time: float
    names: tuple[str, ...]
    positions: np.ndarray
    velocities: np.ndarray
    position: np.ndarray
    quaternion: np.ndarray


class SimulatedRobot:
    """An arm on a table with a hand or a gripper of this package, and cubes.

    tool: five_fingers_right, five_fingers_left, three_fingers, gripper, or any that the retargeter takes. Commands come at any
    time, with the time at which they do, seconds of the simulation; `advance` lets time pass. A pose target holds until the
    next, as in cartesian_motion_controller; a twist for TWIST_TIMEOUT; the hand and the gripper keep their last command.
    Raises InputError, and DependencyError without mujoco.
    """

    def __init__(self, tool: str | Path, cubes: Sequence[Cube] = ()) -> None:
        self.model, self.tool = build(tool, cubes)
        self.config = self.tool.config
        import mujoco

        self._mujoco = mujoco
        self.data = mujoco.MjData(self.model)
        model = self.model
        self.arm_names = tuple(model.joint(i).name for i in range(len(HOME)))
        self.is_gripper = self.config.kind == "gripper"
        motors = [model.actuator(i).name.removeprefix(HAND) for i in range(len(HOME), model.nu)]
        self._joints_of_motors = np.array([model.joint(HAND + name).qposadr[0] for name in motors])
        moved, self._follow, self._offset = self.tool.joints, self.tool.follow, self.tool.offset
        beside = [name for name in self.config.joints if name not in motors]
        self._followers = np.array([model.joint(HAND + name).qposadr[0] for name in beside], int)
        self._motors = np.array([motors.index(name) for name in moved])
        self._ratio = self._follow[self._motors, np.arange(len(moved))]
        self._hand_joints = np.array([model.joint(HAND + name).qposadr[0] for name in moved])
        self._hand_dofs = np.array([model.joint(HAND + name).dofadr[0] for name in moved])
        self.hand_names = ("width",) if self.is_gripper else moved
        self._flange = model.site("flange").id
        self._range = model.jnt_range[: len(HOME)]
        self._jacobian = np.zeros((6, model.nv))
        self.cubes = tuple(model.body(f"cube_{number}").id for number in range(len(cubes)))
        self.reset()

    def reset(self) -> None:
        """The arm at home, the hand open, the cubes where they were; no command."""
        self._mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[: len(HOME)] = HOME
        self.data.ctrl[: len(HOME)] = HOME
        self._aim = HOME.copy()
        self._target: tuple[np.ndarray, np.ndarray] | None = None
        self._twist: np.ndarray | None = None
        self._twist_time = -np.inf
        self._next_control = 0.0
        self.command_hand(self.tool.start)
        self.data.qpos[self._joints_of_motors] = self.data.ctrl[len(HOME) :]
        self.data.qpos[self._followers] = self.data.qpos[self._hand_joints[0]]
        self._mujoco.mj_forward(self.model, self.data)

    @property
    def time(self) -> float:
        """Seconds of the simulation."""
        return float(self.data.time)

    def command_pose(self, position: np.ndarray, quaternion: np.ndarray) -> None:
        """Go there: position (3,), metres, and quaternion (4,) x, y, z, w of the arm's end in its base."""
        position, quaternion = np.asarray(position, np.float64), np.asarray(quaternion, np.float64)
        if np.isfinite(position).all() and np.isfinite(quaternion).all() and np.linalg.norm(quaternion) > 1e-6:
            self._target, self._twist = (position, matrix_from_quaternion(quaternion)), None

    def command_twist(self, linear: np.ndarray, angular: np.ndarray, age: float = 0.0) -> None:
        """Move like that: m/s and rad/s (3,) in the base's axes, until the command, now `age` seconds old, is stale."""
        twist = np.concatenate([linear, angular]).astype(np.float64)
        if twist.shape == (6,) and np.isfinite(twist).all() and age < TWIST_TIMEOUT:
            self._target, self._twist, self._twist_time = None, twist, self.time - max(age, 0.0)

    def command_arm(self, joints: np.ndarray) -> bool:
        """Joints of the arm in the order of arm_names, radians, until it is told otherwise; whether they were taken."""
        joints = np.asarray(joints, np.float64)
        if joints.shape != HOME.shape or not np.isfinite(joints).all():
            return False
        self._target, self._twist, self._aim = None, None, np.clip(joints, *self._range.T)
        return True

    def arm_told(self) -> np.ndarray:
        """(n,) where the arm's joints are to be now, in the order of arm_names."""
        return self._aim.copy()

    def command_hand(self, values: np.ndarray) -> bool:
        """Joints of the hand in the order of hand_names, radians (of a gripper its width, metres); whether they were taken."""
        values = np.asarray(values, np.float64)
        if values.shape != (len(self.hand_names),) or not np.isfinite(values).all():
            return False
        low, high = self.model.actuator_ctrlrange[len(HOME) :].T
        self.data.ctrl[len(HOME) :] = np.clip(self._follow @ values + self._offset, low, high)
        return True

    def hand_told(self) -> np.ndarray:
        """(n,) what the hand was last told, in the order of hand_names; at first to be open."""
        return self._commands(self.data.ctrl[len(HOME) :][self._motors])

    def _commands(self, joints: np.ndarray) -> np.ndarray:
        """(n,) what is commanded, in the order of hand_names, where the joints that are commanded are there."""
        return np.asarray((joints - self._offset[self._motors]) / self._ratio)

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        until = self.time + seconds - TIMESTEP / 2.0
        while self.time < until:
            if self.time >= self._next_control - TIMESTEP / 2.0:
                self._control()
                self._next_control = self.time + CONTROL
            self._mujoco.mj_step(self.model, self.data)

    def _control(self) -> None:
        """The arm's joints for the next CONTROL seconds, of the target or the twist; they stay where neither is."""
        wanted = self._wanted_twist()
        if wanted is not None:
            count = len(HOME)
            self._mujoco.mj_jacSite(self.model, self.data, self._jacobian[:3], self._jacobian[3:], self._flange)
            arm = self._jacobian[:, :count]
            square = arm @ arm.T + 1e-4 * np.eye(6)
            inverse = arm.T @ np.linalg.inv(square)
            velocity = inverse @ wanted
            velocity += (np.eye(count) - inverse @ arm) @ (_LEAN * (HOME - self._aim))
            velocity /= max(1.0, float((np.abs(velocity) / _JOINT_SPEED).max()))
            self._aim = np.clip(self._aim + velocity * CONTROL, *self._range.T)
        self.data.ctrl[: len(HOME)] = self._aim

    def _wanted_twist(self) -> np.ndarray | None:
        if self._twist is not None:
            return self._twist if self.time - self._twist_time < TWIST_TIMEOUT else None
        if self._target is None:
            return None
        here = self.data.site_xpos[self._flange], self.data.site_xmat[self._flange].reshape(3, 3)
        linear = _GAIN * (self._target[0] - here[0])
        angular = _GAIN * axis_angle_from_matrix(self._target[1] @ here[1].T)
        linear /= max(1.0, float(np.linalg.norm(linear)) / _SPEED)
        angular /= max(1.0, float(np.linalg.norm(angular)) / _TURN)
        return np.concatenate([linear, angular])

    def state(self) -> RobotState:
        """Where the robot is now."""
        data, count = self.data, len(HOME)
        hand, speed = self._commands(data.qpos[self._hand_joints]), data.qvel[self._hand_dofs] / self._ratio
        return RobotState(
            self.time,
            (*self.arm_names, *self.hand_names),
            np.concatenate([data.qpos[:count], hand]),
            np.concatenate([data.qvel[:count], speed]),
            data.site_xpos[self._flange].copy(),
            quaternion_from_matrix(data.site_xmat[self._flange].reshape(3, 3)),
        )

    def cube_positions(self) -> np.ndarray:
        """(cubes, 3) metres: the cubes' middles in the arm's base."""
        return self.data.xpos[list(self.cubes)].copy()

    def held(self) -> np.ndarray:
        """(cubes,) bool: touched by at least two parts of the hand, and not by the table."""
        touching: list[set[int]] = [set() for _ in self.cubes]
        table = self.model.geom("table").bodyid[0]
        on_table = np.zeros(len(self.cubes), bool)
        bodies = self.model.geom_bodyid[self.data.contact.geom[: self.data.ncon]]
        for pair in bodies:
            for number, cube in enumerate(self.cubes):
                if cube in pair:
                    other = int(pair[0] + pair[1] - cube)
                    on_table[number] |= other == table
                    if other != table and other not in self.cubes:
                        touching[number].add(other)
        return np.array([len(bodies_of) >= 2 for bodies_of in touching], bool) & ~on_table
