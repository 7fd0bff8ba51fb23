"""Human joints to a robot's: `load_retargeter` of a robot's name or file, and `solve` for each image."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from ..errors import InputError
from ..hand_model.skeleton import FINGERS, SIDES
from .config import EITHER, VELOCITY, RobotConfig, read_config, robot_names
from .human import HumanFingers, measure, spans_palm
from .model import MARGIN, Pose, RobotModel, urdf_limits
from .operator_range import OperatorRange
from .postures import Postures
from .solver import FIRST_STEPS, STEPS, least_squares

__all__ = ["GripperRetargeter", "HandRetargeter", "Retargeter", "load_retargeter", "robot_names"]

_PINCH, _REST, _APART = 6.0, 0.0015, 8.0
"""Weights of residuals in metres beside the tips' 1: gaps between tips that pinch; metres per radian from the neutral posture;
nearness of bodies."""
_HARDER = 5.0
"""Times as much nearness counts where bodies have come to reach into each other."""
_PINCHED = 0.85
"""Closeness of tips, 0 to 1, from which on fingers far from where they would be without a pinch stay as they are."""
_CLOSED, _HELD = 0.045, 0.035
"""Metres between a robot's tips, below which they count as closed; `near` of those, where the robot's is less."""
_OPEN = 0.004
"""Metres that tips which pinch are apart, beyond which the search is repeated from the neutral posture."""
_FAR = 0.25
"""Of a finger's length: where tips are further from where they are to go, the search is repeated from the neutral posture."""


class Retargeter(Protocol):
    """What maps a human hand to a robot's joints.

    names: (n,) of the joints in the order of `solve`. lower, upper, velocity: (n,) limits, radians and rad/s (of a gripper
    metres and m/s). side: of the human hand, left or right. operator: what is undone of the tracker's bends.
    """

    names: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    side: str
    operator: OperatorRange

    def solve(self, joints: np.ndarray, previous: np.ndarray | None = None) -> np.ndarray:
        """Joint positions (n,) within the limits for a human hand's joints (21, 3), metres, in the wrist's or any other frame.

        previous: (n,) the last image's, from which the search begins. Raises InputError where the joints are no hand's.
        """


def load_retargeter(
    name_or_file: str | Path, side: str | None = None, operator: OperatorRange | str | Path | None = None
) -> Retargeter:
    """The retargeter of a robot that comes with the package, or of a YAML file that describes one.

    side: of the human hand, for robots that either can lead; left or right, right by default. operator: the range of this
    person's fingers, or its file; by default what this package's tracker makes of anybody's.
    Raises InputError, and DependencyError where mujoco is not installed.
    """
    config = read_config(name_or_file)
    if side is not None and side not in SIDES:
        raise InputError(f"side {side!r} is neither left nor right")
    if side is not None and config.side not in (side, EITHER):
        raise InputError(f"the robot {name_or_file} is a {config.side} hand, and a {side} one was asked for; name another")
    chosen = side or (SIDES[1] if config.side == EITHER else config.side)
    if not isinstance(operator, OperatorRange):
        operator = OperatorRange() if operator is None else OperatorRange.read(operator)
    kind = GripperRetargeter if config.kind == "gripper" else HandRetargeter
    return kind(config, chosen, operator)


def _measured(joints: np.ndarray, side: str) -> HumanFingers:
    joints = np.asarray(joints, np.float64)
    if joints.shape != (21, 3) or not np.isfinite(joints).all():
        raise InputError(f"a hand is 21 finite joints (21, 3), not {joints.shape}; hold the robot where no hand is valid")
    if not spans_palm(joints):
        raise InputError("the joints are no hand's: wrist and knuckles span no palm; check the order of the joints")
    return measure(joints, side)


def _width_velocity(config: RobotConfig) -> float:
    """m/s of a gripper's width: as its file says; else such that none of its joints, over whose range the width opens, goes
    faster than that or the URDF says. Raises InputError."""
    said = config.velocity.get("width", config.default_velocity)
    if said != VELOCITY or not (config.velocity or urdf_limits(config.model)[1]):
        return said
    model, span = RobotModel(config), config.width[1] - config.width[0]
    led = model.follow[[name in config.joints for name in model.joints]].any(axis=0)  # also by one that follows them
    shares = model.velocity[led] / np.maximum(model.upper - model.lower, 1e-9)[led]
    return float(min([said, *span * shares]))


class GripperRetargeter:
    """A parallel gripper: its width, metres, from the distance of the thumb's and a finger's tip."""

    def __init__(self, config: RobotConfig, side: str, operator: OperatorRange) -> None:
        self.config, self.side, self.operator = config, side, operator
        self.names: tuple[str, ...] = ("width",)
        self.lower, self.upper = np.array([config.width[0]]), np.array([config.width[1]])
        self.velocity = np.array([_width_velocity(config)])

    def solve(self, joints: np.ndarray, previous: np.ndarray | None = None) -> np.ndarray:
        """See Retargeter."""
        share = self.operator.openness(_measured(joints, self.side), FINGERS.index(self.config.finger))
        return np.clip(self.lower + share * (self.upper - self.lower), self.lower, self.upper)


class HandRetargeter:
    """A hand with fingers: tips and middle joints go where the human's are, relative to knuckles and lengths of fingers."""

    def __init__(self, config: RobotConfig, side: str, operator: OperatorRange) -> None:
        threadpool_limits(1, user_api="blas")  # its matrices are small, and threads would wait for each other
        self.config, self.side, self.operator = config, side, operator
        self._fingers = np.array([FINGERS.index(name) for name in config.fingers])
        probe = RobotModel(config)
        tips = [probe.tip(name) for name in config.fingers]
        middles = [(row, finger.middle) for row, finger in enumerate(config.fingers.values()) if finger.middle]
        self._middle_rows = np.array([row for row, _ in middles], int)
        points = [(body, offset) for body, offset, _ in tips] + [(name, np.zeros(3)) for _, name in middles]
        self.robot = robot = RobotModel(config, points)
        self.names, self.lower, self.upper, self.velocity = robot.names, robot.lower, robot.upper, robot.velocity
        weights = [finger.weight for finger in config.fingers.values()]
        self._weights = np.array(weights + [config.middles * weights[row] for row, _ in middles])
        self.radii = np.array([radius for _, _, radius in tips])
        self._tip_bodies = np.array([robot.body(body) for body, _, _ in tips])
        self._is_tip = np.zeros(robot.model.nbody, bool)
        self._is_tip[self._tip_bodies] = True
        robot.pose(robot.neutral)
        data = robot.data
        self.bases = np.stack([data.xpos[robot.body(finger.base)].copy() for finger in config.fingers.values()])
        rotation = robot.palm_rotation()
        self.places = self.bases + np.array([rotation @ np.array(finger.shift) for finger in config.fingers.values()])
        self.axes = self._palm_axes()
        self._finger_axes = np.stack([self._palm_axes(one.back) for one in config.fingers.values()])
        self._first = np.zeros(len(tips))
        for row, name in middles:
            self._first[row] = _length(robot, list(config.fingers.values())[row].base, name, np.zeros(3))
        whole = [_length(robot, one.base, body, offset) for one, (body, offset, _) in zip(config.fingers.values(), tips)]
        self.lengths = np.array(whole)
        finger_of = np.concatenate([np.arange(len(tips)), self._middle_rows])
        self._postures = Postures(robot, finger_of, self._tip_bodies, self.lengths, self._weights)
        self._rest = _REST * np.eye(len(robot.names))
        self._entangled = float((self._weights[: len(tips)] ** 2).sum()) * (_FAR * float(self.lengths.mean())) ** 2
        order = list(config.fingers)
        self._pairs = np.array([(order.index(one), order.index(other)) for one, other in config.pinches], int).reshape(-1, 2)
        self._gap_of = self._fingers[self._pairs[:, 1]] if len(self._pairs) else np.zeros(0, int)

    def _palm_axes(self, towards_back: tuple[float, float, float] | None = None) -> np.ndarray:
        """(3, 3): the palm, of its back or another, as rows towards back, thumb's side, fingers; see `human.palm_axes`."""
        back, fingers = self.robot.palm(towards_back)
        across = np.cross(back, fingers) if self.side == SIDES[1] else np.cross(fingers, back)
        return np.stack([back, across, fingers])

    def measured(self, joints: np.ndarray) -> HumanFingers:
        """The human's fingers out of the joints (21, 3), with what the operator's range undoes. Raises InputError."""
        return self.operator.apply(_measured(joints, self.side))

    def targets(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where tips (F, 3) and middle joints (M, 3) are to go in the model's frame, metres, for human joints (21, 3)."""
        return self._targets(self.measured(joints))

    def _targets(self, human: HumanFingers) -> tuple[np.ndarray, np.ndarray]:
        points = human.points[self._fingers]
        first = points[:, 1] - points[:, 0]
        first_length = np.sqrt((first**2).sum(-1))
        rest_length = human.lengths[self._fingers] - first_length
        # Part by part: the first bone by the ratio of first links, and what follows by that of the rest.
        known = self._first > 0
        ratio = np.where(known, self._first / first_length, self.lengths / human.lengths[self._fingers])
        rest = np.where(known, (self.lengths - self._first) / rest_length, ratio)
        scale = self.config.scale
        middle = self.places + scale * ((ratio[:, None] * first)[:, None] @ self._finger_axes)[:, 0]
        tips = middle + scale * ((rest[:, None] * (points[:, 3] - points[:, 1]))[:, None] @ self._finger_axes)[:, 0]
        return tips, middle[self._middle_rows]

    def solve(self, joints: np.ndarray, previous: np.ndarray | None = None) -> np.ndarray:
        """See Retargeter."""
        human = self.measured(joints)
        tips, middle = self._targets(human)
        wanted = np.concatenate([tips, middle])
        gaps = human.gaps[self._gap_of]
        size = float(np.mean(self.lengths / human.lengths[self._fingers])) * human.size * self.config.scale
        known = previous is not None and np.shape(previous) == self.lower.shape and bool(np.isfinite(previous).all())
        start = np.asarray(previous, np.float64) if known else self.robot.neutral
        near = np.full(len(self._pairs), self.config.near)
        if known and self.config.near < _HELD:  # what has closed opens later, or noise would throw it to and fro
            near[self._gaps(start) < _CLOSED] = _HELD
        share = np.clip(gaps / near, 0.0, 1.0)
        closeness = 1.0 - share * share * (3.0 - 2.0 * share)
        weights = self.config.gaps + (_PINCH - self.config.gaps) * closeness
        wanted_gaps = gaps * size + self.radii[self._pairs].sum(axis=1)

        apart = _APART

        def residuals(q: np.ndarray, slopes: bool) -> tuple[np.ndarray, np.ndarray | None]:
            pose = self.robot.pose(q)
            return self._residuals(q, pose, wanted, wanted_gaps, weights, apart, slopes)

        if closeness.max(initial=0.0) < _PINCHED:  # in a pinch tips are elsewhere than the human's
            start = self._postures.begin(start, self.robot.pose(start, collisions=False).points, wanted)
        q, cost = least_squares(residuals, start, self.lower, self.upper, STEPS if known else FIRST_STEPS)
        if known and (cost > self._entangled or (self._gaps(q)[closeness > _PINCHED] > _OPEN).any()):
            # Fingers that a jump has put on the wrong side of each other do not come back by small steps.
            other, better = least_squares(residuals, self.robot.neutral, self.lower, self.upper, STEPS)
            if better < 0.9 * cost:
                q, start = other, self.robot.neutral
        if self.robot.depth(self.robot.pose(q)):
            # A millimetre too deep: pushed apart harder, a pinch stays closed, which going back to where it was would open.
            apart = _HARDER * _APART
            q, _ = least_squares(residuals, q, self.lower, self.upper, STEPS)
            q = self._apart(q, np.clip(start, self.lower, self.upper))
        return q

    def _gaps(self, q: np.ndarray) -> np.ndarray:
        """(pairs,) metres between the surfaces of tips that may pinch, with the joints (n,) there."""
        points = self.robot.pose(q, collisions=False).points
        between = points[self._pairs[:, 1]] - points[self._pairs[:, 0]]
        return np.sqrt((between**2).sum(-1)) - self.radii[self._pairs].sum(axis=1)

    def _residuals(
        self,
        q: np.ndarray,
        pose: Pose,
        wanted: np.ndarray,
        gaps: np.ndarray,
        weights: np.ndarray,
        nearness: float,
        slopes: bool,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """(R,) the residuals whose squares are to be least, and with `slopes` their derivatives by the joints q (n,): (R, n).

        One after the other: how far points are from their `wanted` places (P, 3), tips from being `gaps` (pairs,) metres apart,
        by `weights` (pairs,), joints from neutral, and shapes from being as far apart as they have to be, by `nearness`. pose:
        the robot's with these joints.
        """
        scale = self._weights
        between = pose.points[self._pairs[:, 1]] - pose.points[self._pairs[:, 0]]
        distance = np.sqrt((between**2).sum(-1)) + 1e-9
        near = pose.contacts
        values = [
            (scale[:, None] * (pose.points - wanted)).ravel(),
            weights * (distance - gaps),
            _REST * (q - self.robot.neutral),
        ]
        bodies = np.zeros((0, 2), int)
        if len(near):
            bodies = self.robot.model.geom_bodyid[near[:, 2, 1:].astype(int)]
            both_tips = self._is_tip[bodies].all(axis=1)
            reach = np.where(both_tips, 0.0, MARGIN) - near[:, 2, 0]
            values.append(nearness * np.maximum(reach, 0.0))
        if not slopes:
            return np.concatenate(values), None
        change = self.robot.point_jacobian(pose)
        toward = between / distance[:, None]
        rows = [
            (scale[:, None, None] * change).reshape(-1, len(q)),
            weights[:, None] * ((change[self._pairs[:, 1]] - change[self._pairs[:, 0]]) * toward[..., None]).sum(1),
            self._rest,
        ]
        if len(near):
            one, other = (self.robot.jacobian(pose, near[:, 0], bodies[:, k]) for k in (0, 1))
            apart = ((other - one) * near[:, 1][..., None]).sum(1)
            rows.append(-nearness * (reach > 0)[:, None] * apart)
        return np.concatenate(values), np.concatenate(rows)

    def _apart(self, q: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The joints, or as far towards them as nothing collides: from where the search began, or else from neutral."""
        if not self.robot.depth(self.robot.pose(q)):
            return q
        for safe in (start, self.robot.neutral):
            if self.robot.depth(self.robot.pose(safe)):
                continue
            low, high = 0.0, 1.0
            for _ in range(6):
                middle = (low + high) / 2.0
                if self.robot.depth(self.robot.pose(safe + middle * (q - safe))):
                    high = middle
                else:
                    low = middle
            return np.clip(safe + low * (q - safe), self.lower, self.upper)
        return np.clip(q, self.lower, self.upper)


def _length(robot: RobotModel, base: str, body: str, offset: np.ndarray) -> float:
    """Metres along the links from the body `base` to a point of `body`. Raises InputError where it does not hang on base."""
    first, here = robot.body(base), robot.body(body)
    total, data = float(np.linalg.norm(offset)), robot.data
    while here != first:
        if here == 0:
            raise InputError(f"{robot.config.source.name}: the body {body} does not hang on {base}; check base, middle and tip")
        parent = int(robot.model.body_parentid[here])
        total += float(np.linalg.norm(data.xpos[here] - data.xpos[parent]))
        here = parent
    if total < 1e-4:
        raise InputError(f"{robot.config.source.name}: the finger from {base} to {body} has no length; check base and tip")
    return total
