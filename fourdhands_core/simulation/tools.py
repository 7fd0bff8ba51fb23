"""Hands and grippers for the simulated arm: this package's own as they are, any other that the retargeter takes made ready.

Of another's model only links, joints and shapes are used: it is turned so that its fingers point away from the arm, each joint
that the retargeter moves gets a motor, and its links, whose published inertias are often missing, are light.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.rotations import matrix_from_axis_angle, quaternion_from_matrix
from ..retargeting.config import ROBOTS, RobotConfig, read_config
from ..retargeting.model import RobotModel, compiled, followers, load_spec

LOWEST = {"gripper": 0.138, "three_fingers": 0.150, "five_fingers_right": 0.142, "five_fingers_left": 0.142}
"""Metres over the table below which the flange is not to go with each of our own, whose fingers would strike the table."""
_TILT = {"five_fingers_right": np.radians(60.0), "five_fingers_left": np.radians(60.0)}
"""Radians by which the palm is turned down from where the fingers point away from the arm: thumb and index finger then meet
below the palm, as when a person takes something from a table. Pointing down, a bent finger's middle link is its lowest part."""
_CLEAR = 0.01
"""Metres that the fingertips of others stay over the table."""
_MASS, _INERTIA = 0.02, 2e-5
"""kg and kg m^2 of a link."""
_ARMATURE, _DAMPING, _GAIN, _RATE, _FORCE = 0.0005, 0.02, 2.0, 0.05, 1.2
"""Of a hinge and its motor: as our own five fingers have them, N m and so on."""
_SLIDE = 200.0
"""Times as much a slide has of them, in N and so on."""
_TOUCHES = {"contype": 2, "conaffinity": 1}
"""What a hand's shapes touch: cubes and the table, and not each other."""


@dataclass(frozen=True, eq=False)
class Tool:
    """What is to be attached to the arm's flange.

    spec: the mujoco.MjSpec. lowest: metres over the table below which the flange is not to go. joints: (n,) that are commanded,
    in the retargeter's order; motors = follow (m, n) @ commands + offset (m,), and start (n,) the commands at first. position
    (3,), quaternion (4,) x, y, z, w: of its root in the flange's frame, whose z points away from the arm.
    """

    config: RobotConfig
    spec: Any
    lowest: float
    joints: tuple[str, ...]
    follow: np.ndarray
    offset: np.ndarray
    start: np.ndarray
    position: np.ndarray = field(default_factory=lambda: np.zeros(3))
    quaternion: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))


def load_tool(name_or_file: str | Path) -> Tool:
    """The hand or gripper of that name, or of that YAML file. Raises InputError, and DependencyError without mujoco."""
    config, name = read_config(name_or_file), str(name_or_file)
    if name in LOWEST and config.model.parent == ROBOTS:
        return _own(config, name)
    return _gripper(config) if config.kind == "gripper" else _hand(config)


def _own(config: RobotConfig, name: str) -> Tool:
    """Its motors are commanded one by one; of the gripper the width."""
    spec = load_spec(config.model)
    motors = tuple(one.name for one in spec.actuators)
    share, start = np.eye(len(motors)), np.zeros(len(motors))
    if config.kind == "gripper":
        share, start = share / len(config.joints), np.array([config.width[1]])
    tilt = matrix_from_axis_angle(np.array([0.0, -_TILT.get(name, 0.0), 0.0]))
    return Tool(
        config, spec, LOWEST[name], motors, share, np.zeros(len(motors)), start, quaternion=quaternion_from_matrix(tilt)
    )


def _hand(config: RobotConfig) -> Tool:
    model = RobotModel(config)
    model.pose(model.neutral)
    back, fingers = model.palm()
    to_flange = np.stack([-back, np.cross(fingers, -back), fingers])
    origin = model.data.xpos[model.body(config.palm)]
    spec = _bare(config)
    for row, name in enumerate(model.joints):
        _motor(spec, name, model.model.jnt_range[row])
    lowest, turn = float(max(_reach(model, to_flange, origin), 0.05)) + _CLEAR, quaternion_from_matrix(to_flange)
    return Tool(config, spec, lowest, model.names, model.follow, model.offset, model.neutral, -to_flange @ origin, turn)


def _reach(model: RobotModel, to_flange: np.ndarray, origin: np.ndarray) -> float:
    """Metres from the palm's origin to the furthest tip, or end of any shape, away from the arm, fingers straight."""
    import mujoco

    data, most = model.data, 0.0
    for geom in np.flatnonzero(model.model.geom_type != int(mujoco.mjtGeom.mjGEOM_PLANE)):
        centre, half = model.model.geom_aabb[geom].reshape(2, 3)
        turn = data.geom_xmat[geom].reshape(3, 3)
        along = to_flange[2] @ (data.geom_xpos[geom] + turn @ centre - origin)
        most = max(most, float(along + np.abs(to_flange[2] @ turn) @ half))
    for finger in model.config.fingers:
        name, offset, radius = model.tip(finger)
        body = model.body(name)
        tip = data.xpos[body] + data.xmat[body].reshape(3, 3) @ offset - origin
        most = max(most, float(to_flange[2] @ tip) + radius)
    return most


def _gripper(config: RobotConfig) -> Tool:
    """A gripper's model stands on its root, and opens along its z. A slide that follows one of its joints moves with it."""
    import mujoco

    spec, model = _bare(config), compiled(_bare(config, coupled=True), config.model)
    joints = {model.joint(i).name: i for i in range(model.njnt)}
    coupled = {**followers(model, config.model), **config.mimic}
    beside = [name for name in coupled if name not in config.joints and coupled[name][0] in config.joints]
    for name in (*config.joints, *beside):
        if name not in joints:
            raise InputError(f"{config.source.name}: the model has no joint {name!r}; it has {', '.join(joints)}")
        if model.jnt_type[joints[name]] != mujoco.mjtJoint.mjJNT_SLIDE:
            raise InputError(
                f"{config.source.name}: the joint {name} of the gripper is no slide, so that the simulated arm does not know "
                "its width; give a gripper whose fingers slide"
            )
        _motor(spec, name, model.jnt_range[joints[name]])
    if not config.joints:
        raise InputError(f"{config.source.name}: joints names no joint of the gripper's fingers")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    ends = [data.geom_xpos[i][2] + model.geom_rbound[i] for i in range(model.ngeom) if model.geom_bodyid[i]]
    low, high = model.jnt_range[[joints[name] for name in config.joints]].T
    opens = dict(zip(config.joints, np.where(-low > high, -1.0, 1.0)))
    offset = np.zeros(len(opens) + len(beside))
    for row, name in enumerate(beside, len(opens)):
        leader, ratio, offset[row] = coupled[name]
        opens[name] = ratio * opens[leader]
    share = np.array([*opens.values()])[:, None]
    follow, start = share / np.abs(share).sum(), np.array([config.width[1]])
    return Tool(config, spec, float(max([*ends, 0.05])) + _CLEAR, config.joints[:1], follow, offset, start)


def _bare(config: RobotConfig, coupled: bool = False) -> Any:
    """The model's links, joints and shapes, without what a scene of its own has; coupled: with which joints follow others."""
    spec = load_spec(config.model, config.radians)
    import mujoco

    # Joints that follow others have motors of their own, so that neither equalities nor tendons are needed.
    joints = mujoco.mjtEq.mjEQ_JOINT
    equalities = [one for one in spec.equalities if not (coupled and one.type == joints)]
    parts = spec.actuators, spec.sensors, spec.keys, spec.lights, spec.cameras, equalities, spec.tendons, spec.pairs
    for things in parts:
        for one in list(things):
            spec.delete(one)
    for geom in list(spec.worldbody.geoms):
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            spec.delete(geom)
    for body in list(spec.bodies):
        if body.mocap:
            spec.delete(body)
        elif body.name != "world":
            body.gravcomp = 1.0
            body.explicitinertial = True
            body.mass, body.ipos, body.inertia = _MASS, np.zeros(3), np.full(3, _INERTIA)
    for geom in spec.geoms:
        if geom.contype or geom.conaffinity:
            geom.contype, geom.conaffinity = _TOUCHES["contype"], _TOUCHES["conaffinity"]
    for joint in spec.joints:
        times = _SLIDE if joint.type == mujoco.mjtJoint.mjJNT_SLIDE else 1.0
        joint.armature, joint.frictionloss = times * _ARMATURE, 0.0
        joint.solref_limit = [0.004, 1.0]  # stops as hard as those of our own, or what is held pushes joints beyond them
        joint.damping, joint.stiffness = _linear(joint.damping, times * _DAMPING), _linear(joint.stiffness, 0.0)
    return spec


def take_options(spec: Any, scene: Any) -> None:
    """Give a specification the options and sizes of the one that it is attached to, which MuJoCo warns of where they differ."""
    for name in [name for name in dir(scene) if name.startswith("nuser_")] + ["njmax", "nconmax", "memory"]:
        setattr(spec, name, getattr(scene, name))
    for name in [name for name in dir(scene.option) if not name.startswith("_")]:
        setattr(spec.option, name, getattr(scene.option, name))


def _linear(now: Any, value: float) -> Any:
    """A coefficient as it is kept now: of MuJoCo 4 with those of higher powers, before it alone."""
    return value if np.ndim(now) == 0 else np.array([value, *np.zeros(np.size(now) - 1)])


def _motor(spec: Any, name: str, ends: np.ndarray) -> None:
    """A motor that holds a joint where it is told to be, between its ends, radians or metres; twice 0 where it has none."""
    import mujoco

    joint = next(one for one in spec.joints if one.name == name)
    slides = joint.type == mujoco.mjtJoint.mjJNT_SLIDE
    times = _SLIDE if slides else 1.0
    motor = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_position(kp=times * _GAIN, kv=times * _RATE)
    motor.forcelimited, motor.forcerange = True, np.array([-1.0, 1.0]) * times * _FORCE
    motor.ctrllimited, motor.ctrlrange = True, ends if np.ptp(ends) > 0 else np.array([-np.pi, np.pi])
