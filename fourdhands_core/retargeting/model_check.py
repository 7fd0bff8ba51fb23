"""What looks wrong in a robot's model and description themselves, before any pose: units, palm axes, joints, shapes."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..hand_model.skeleton import SIDES
from .config import EITHER, RobotConfig
from .model import RobotModel, has_shape
from .retargeter import HandRetargeter, Retargeter

_SHORT, _LONG = 0.01, 0.5
"""Metres: a finger's length and a gripper's width are between."""
_TURN, _DEGREE = 2.0 * np.pi + 0.01, np.radians(2.0)
"""Radians: a hinge that goes further than the one and less than the other was hardly meant so."""
_FAST, _SLIDES = 50.0, 5.0
"""rad/s of hinges and m/s of slides, which no finger's joint reaches."""


def model_complaints(robot: HandRetargeter) -> list[str]:
    """What looks wrong with a hand's model, a sentence each."""
    config, model, found = robot.config, robot.robot, []
    if not _SHORT < float(np.median(robot.lengths)) < _LONG:
        found.append(f"the fingers are {np.median(robot.lengths):.3g} m long; a model's lengths are metres")
    if robot.radii.max() > 0.5 * robot.lengths.min():
        found.append(f"radius: a tip's sphere of {robot.radii.max():.3g} m is too large for a finger; it is in metres")
    if config.near > _LONG:
        found.append(f"near: {config.near:g} m are between no two tips of a human's; it is in metres")
    found += _axes(robot)
    most = np.where(model.slides, _SLIDES, _FAST)[[model.joints.index(name) for name in model.names]]
    if fast := [name for name, one in zip(model.names, model.velocity > most) if one]:
        said = f"speeds beyond {_FAST:g} rad/s, or {_SLIDES:g} m/s of slides, which limit nothing: {', '.join(fast)}"
        found.append(f"{said}; write velocity, in radians and metres")
    low, high = model.model.jnt_range.T
    by_model = np.array([name not in config.limits for name in model.joints])
    limited = model.model.jnt_limited.astype(bool) & ~model.slides & by_model
    free = ~model.model.jnt_limited.astype(bool) & by_model
    wide = limited & (np.maximum(np.abs(low), np.abs(high)) > _TURN)
    narrow = limited & (high - low < _DEGREE)
    if wide.any():
        found.append(f"limits beyond a turn: {_joints(model, wide)}; a URDF counts in radians, an MJCF in degrees by default")
    if narrow.sum() > len(low) / 2:
        found.append(f"limits of less than 2 degrees: {_joints(model, narrow)}; an MJCF in radians needs `radians: true`")
    if free.any():
        names = [name for name, one in zip(model.joints, free) if one]
        said = f"without limits, or with equal or reversed ones: {', '.join(names)}"
        found.append(f"{said}; half a turn either way is taken; write limits")
    if curved := sorted(set(_curved(model)) - set(config.mimic)):
        said = f"joints that follow others by a curve, of which a line is taken: {', '.join(curved)}"
        found.append(f"{said}; write the line that is nearest as mimic")
    if model.slides.sum() > len(low) / 2:
        found.append("most joints slide; fingers that bend can follow a human's, and a gripper is `kind: gripper`")
    if carried := model.carrying(config.palm):
        found.append(
            f"joints that move the palm: {', '.join(carried)}; they follow no finger: give a hand alone, or hold them by limits"
        )
    if gone := missing_shapes(config.model):
        found.append(
            f"links without shapes for collisions: {', '.join(gone)}; they are drawn as sticks, and nothing keeps them apart"
        )
    return found


def missing_shapes(path: Path) -> list[str]:
    """The links of a URDF, by name, none of whose shapes is there for collisions and pictures: files that are not found, or
    of a kind that is not read. Of an MJCF none: it is refused then."""
    root = ElementTree.parse(path).getroot()
    found = []
    for link in root.iter("link") if root.tag == "robot" else ():
        shapes = [part.find("geometry/mesh") for part in link.findall("collision")]
        if any(link.findall(kind) for kind in ("collision", "visual")) and not any(
            mesh is None or has_shape(mesh, path.parent) for mesh in shapes
        ):
            found.append(link.get("name", ""))
    return found


def tell_of_model(name: str, retargeter: Retargeter, say: Callable[[str], object]) -> None:
    """Say what looks wrong with the model of the robot of that name, where that is a hand."""
    if isinstance(retargeter, HandRetargeter):
        for complaint in model_complaints(retargeter):
            say(f"{name}: {complaint}")


def gripper_complaints(config: RobotConfig) -> list[str]:
    """What looks wrong with a gripper's model, a sentence each. Raises InputError where it cannot be read."""
    model, found = RobotModel(config), []
    if not config.joints:
        found.append("joints: none is named; the picture and the simulated arm move those of its fingers")
    for name in config.joints:
        if name not in model.joints:
            found.append(f"joints: the model has no joint {name!r}; it has {', '.join(model.joints)}")
        elif not model.slides[model.joints.index(name)]:
            found.append(f"joints: {name} is no slide; the picture and the simulated arm do not know its width")
    spans = zip(model.names, model.upper - model.lower)
    if still := [name for name, span in spans if name in config.joints and not span > 0.0]:
        found.append(f"joints: {', '.join(still)} cannot move, by the limits of what follows; check limits and mimic")
    if config.width[1] > _LONG:
        found.append(f"width: it opens {config.width[1]:.3g} m; it is in metres")
    return found


def _curved(model: RobotModel) -> list[str]:
    """Joints that an MJCF has follow others by more than an offset and a multiplier."""
    import mujoco

    of = model.model
    joints = (of.eq_type == int(mujoco.mjtEq.mjEQ_JOINT)) & (of.eq_obj2id >= 0) & of.eq_data[:, 2:5].any(axis=1)
    return [of.joint(number).name for number in of.eq_obj1id[joints]]


def _joints(model: RobotModel, which: np.ndarray) -> str:
    low, high = model.model.jnt_range.T
    names = [f"{name} ({low[i]:.3g} to {high[i]:.3g})" for i, name in enumerate(model.joints) if which[i]]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _axes(robot: HandRetargeter) -> list[str]:
    """Whether the palm's axes are those that knuckles and straight fingers show, as far as they show them clearly."""
    config, model = robot.config, robot.robot
    rows = [row for row, name in enumerate(config.fingers) if name != "thumb"]
    if len(rows) < 2:
        return []
    straight = np.clip(np.zeros(len(model.names)), model.lower, model.upper)
    tips = model.pose(straight, collisions=False).points[: len(config.fingers)]
    rotation = model.palm_rotation()
    along = ((tips - robot.bases)[rows] / robot.lengths[rows, None]).mean(axis=0)
    across = robot.bases[rows[0]] - robot.bases[rows[-1]]
    across = across - (across @ along) / max(along @ along, 1e-9) * along
    if np.linalg.norm(along) < 0.8 or np.linalg.norm(across) < 0.01:
        return []
    along, across = along / np.linalg.norm(along), across / np.linalg.norm(across)
    back = np.cross(along, across) if robot.side == SIDES[1] else np.cross(across, along)
    if along @ robot.axes[2] > 0.7 and (config.side == EITHER or back @ robot.axes[0] > 0.7):
        return []  # the knuckles of one that either hand leads stand as one of them has them
    shown = [[int(value) for value in np.round(axis @ rotation)] for axis in (along, back)]
    text = f"palm: straight fingers point along {shown[0]} of the body {config.palm}, "
    text += f"and the back of a {robot.side} hand along {shown[1]}"
    if config.side != EITHER and along @ robot.axes[2] > 0.7 and back @ robot.axes[0] < -0.7:
        text += f"; or it is a {SIDES[1 - SIDES.index(robot.side)]} hand"
    return [text]
