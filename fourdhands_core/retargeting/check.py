"""Whether a robot's description fits: ten human poses, what the robot makes of them, and what fits badly, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..hand_model.arrays import HandArrays
from ..hand_model.assets import load_generic_hand
from ..hand_model.limits import CURLS, LOWER, UPPER, angles_of_curls, from_angles
from ..hand_model.skeleton import FINGERS, MANO_JOINT_NAMES, SIDES
from .model_check import gripper_complaints, model_complaints
from .operator_range import OperatorRange
from .retargeter import GripperRetargeter, HandRetargeter, Retargeter

_GESTURES = "open", "flat", "relaxed", "claw", "fist", "point", "thumb across"
_FAR, _CLOSED = 0.25, 0.005
"""Of a finger's length, and metres: from where on a tip is far, and up to where a pinch is closed."""
_IMAGES = 8
"""For which each pose is held."""
_STILL = 0.01
"""Radians (metres) that a joint which is held goes at most."""


@dataclass(frozen=True, eq=False)
class Fit:
    """One pose. name; joints (21, 3) of the human, wrist frame; q (n,) of the robot; errors: by finger, tip from where it is to
    go, of the finger's length; off: the same as vectors (3,), metres, in the palm body's axes; gaps: by pinch pair metres
    between the human's and the robot's tips."""

    name: str
    joints: np.ndarray
    q: np.ndarray
    errors: dict[str, float] = field(default_factory=dict)
    off: dict[str, np.ndarray] = field(default_factory=dict)
    gaps: dict[str, tuple[float, float]] = field(default_factory=dict)


def human_poses(side: str) -> dict[str, np.ndarray]:
    """The ten poses by name: joints (21, 3), metres, in the wrist's frame, of a hand of that side."""
    hand = HandArrays([load_generic_hand()])

    def joints(angles: np.ndarray) -> np.ndarray:
        pose = from_angles(np.clip(angles, LOWER, UPPER))
        found = hand.joints(np.eye(3)[None], pose[None], np.zeros((1, 10)))[0]
        return found * ([-1.0, 1.0, 1.0] if side == SIDES[0] else 1.0)

    result = {name: joints(angles_of_curls(CURLS[name])) for name in _GESTURES}
    for finger in ("index", "middle", "ring"):
        result[f"pinch {finger}"] = joints(_pinch(hand, finger))
    return result


def _pinch(hand: HandArrays, finger: str) -> np.ndarray:
    """(15, 3) angles with which the thumb's tip meets a finger's, by a few damped Gauss-Newton steps."""
    bent = [0.5, *(0.5 if name == finger else 0.15 for name in FINGERS[1:]), 0.3]
    angles = angles_of_curls(bent)
    rows = [i for i, name in enumerate(MANO_JOINT_NAMES[1:]) if name[:-2] in ("thumb", finger)]
    moved = [(i, k) for i in rows for k in range(3)]
    tip = 4 * FINGERS.index(finger) + 4

    def apart(values: np.ndarray) -> np.ndarray:
        joints = hand.joints(np.eye(3)[None], from_angles(values)[None], np.zeros((1, 10)))[0]
        return joints[4] - joints[tip]

    for _ in range(12):
        now = apart(angles)
        slopes = np.empty((3, len(moved)))
        for column, (i, k) in enumerate(moved):
            other = angles.copy()
            other[i, k] += 1e-4
            slopes[:, column] = (apart(other) - now) / 1e-4
        step = slopes.T @ np.linalg.solve(slopes @ slopes.T + 1e-5 * np.eye(3), -now)
        for (i, k), change in zip(moved, step):
            angles[i, k] = np.clip(angles[i, k] + change, LOWER[i, k], UPPER[i, k])
    return angles


def check(robot: Retargeter) -> tuple[list[Fit], list[str]]:
    """What the robot makes of the ten poses, and what fits badly, a sentence each. The poses are exact: nothing is undone."""
    operator, robot.operator = robot.operator, OperatorRange.exact()
    try:
        poses = human_poses(robot.side)
        fits = [_fit(robot, name, joints, poses["relaxed"]) for name, joints in poses.items()]
    finally:
        robot.operator = operator
    if isinstance(robot, GripperRetargeter):
        return fits, gripper_complaints(robot.config)
    assert isinstance(robot, HandRetargeter)
    wrong = model_complaints(robot)
    return fits, wrong + _complaints(robot, fits, not wrong)


def _fit(robot: Retargeter, name: str, joints: np.ndarray, relaxed: np.ndarray) -> Fit:
    q = None
    for shown in (relaxed, *[joints] * _IMAGES):  # as a person gets there from a relaxed hand, and stays
        q = robot.solve(shown, q)
    assert q is not None
    if not isinstance(robot, HandRetargeter):
        return Fit(name, joints, q)
    pose = robot.robot.pose(q)
    order = list(robot.config.fingers)
    off = (pose.points[: len(order)] - robot.targets(joints)[0]) @ robot.robot.palm_rotation()
    errors = np.linalg.norm(off, axis=1) / robot.lengths
    human = robot.measured(joints)
    gaps = {}
    for one, other in robot.config.pinches:
        a, b = order.index(one), order.index(other)
        own = float(np.linalg.norm(pose.points[a] - pose.points[b]) - robot.radii[a] - robot.radii[b])
        gaps[other] = float(human.gaps[FINGERS.index(other)]), own
    return Fit(name, joints, q, dict(zip(order, errors.tolist())), dict(zip(order, off)), gaps)


def _shift(name: str, fits: list[Fit]) -> str:
    """The `shift` that takes out what is common to the misses of a finger, in words."""
    common = np.round(np.mean([fit.off[name] for fit in fits], axis=0), 2) + 0.0
    return f", move its places where it stands elsewhere than a human's (shift, by {common.tolist()})"


def _complaints(robot: HandRetargeter, fits: list[Fit], moved: bool) -> list[str]:
    """moved: whether to tell how the places of a finger that is off may be moved, which is no help where the model is wrong."""
    found = []
    config, free = robot.config, [fit for fit in fits if not fit.name.startswith("pinch")]
    for name, finger in config.fingers.items():
        far = [fit.name for fit in free if fit.errors[name] > _FAR]
        if finger.weight >= 0.5 and len(far) > len(free) / 3:
            worst = max(fit.errors[name] for fit in free)
            found.append(
                f"{name}: its tip is up to {100 * worst:.0f} % of the finger away from where it is to go, in {', '.join(far)}; "
                f"check base, tip and the palm's axes{_shift(name, free) if moved else ''}, or give it a smaller weight"
            )
    if len(found) == len(config.fingers):
        found.insert(0, f"palm: no finger fits; check that its fingers and back are axes of the body {config.palm}")
    for fit in fits:
        touched = fit.name.removeprefix("pinch ")
        if fit.name.startswith("pinch") and touched in fit.gaps and fit.gaps[touched][1] > _CLOSED:
            found.append(
                f"{fit.name}: the tips stay {1000 * fit.gaps[touched][1]:.0f} mm apart; the robot cannot reach it, or "
                "radius is too small"
            )
    positions = np.array([fit.q for fit in fits])
    went, room = np.ptp(positions, axis=0), robot.upper - robot.lower
    still = [name for name, one, most in zip(robot.names, went, room) if most > _STILL and one < 0.02 * most]
    if still:
        found.append(f"joints that no pose moves: {', '.join(still)}; are they of the hand?")
    return found
