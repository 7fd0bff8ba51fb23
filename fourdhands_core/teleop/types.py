"""What goes into a step of teleoperation and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

IDLE, READY, RAMP, ENGAGED, HOLD, ESTOP, FAULT = range(7)
STATE_NAMES = ("IDLE", "READY", "RAMP", "ENGAGED", "HOLD", "ESTOP", "FAULT")
MOVING_STATES = (RAMP, ENGAGED)
"""The states in which the robot follows; in all others it stops within its limits and then stands still."""


@dataclass(frozen=True, eq=False)
class HandSample:
    """The hand in one image.

    stamp: of the image, seconds on the clock of `now`. position: (3,) metres and rotation: (3, 3) of the wrist, in the
    operator's frame (the camera's, or a fixed one). fingers: (n,) joints of the robot's hand that a retargeter made of it, or
    None. confidence: 0 to 1. valid: seen in this image. scaled: position is in metres. size: metres from the wrist to the
    middle finger's knuckle, which a person's hand keeps; None where it is measured anew in each image. exchanges: how
    often it was found where the other hand had been so far. losses: in how many images it was not seen so far, of which a step
    may get none.
    """

    stamp: float
    position: np.ndarray
    rotation: np.ndarray
    fingers: np.ndarray | None = None
    confidence: float = 1.0
    valid: bool = True
    scaled: bool = True
    size: float | None = None
    exchanges: int = 0
    losses: int = 0


@dataclass(frozen=True, eq=False)
class RobotSample:
    """What the robot measures.

    stamp: seconds on the clock of `now`. position: (3,) metres and rotation: (3, 3) of the arm's end in the base. fingers: (n,)
    joints of its hand, in the retargeter's order; (0,) without a hand. speed: of the arm's end, m/s, 0 where not measured.
    joints: (n,) of an arm that is told joints, with which its end is there; else (0,). jumps: how often it was elsewhere from
    one message to the next so far, further than a robot gets.
    """

    stamp: float
    position: np.ndarray
    rotation: np.ndarray
    fingers: np.ndarray = field(default_factory=lambda: np.zeros(0))
    speed: float = 0.0
    joints: np.ndarray = field(default_factory=lambda: np.zeros(0))
    jumps: int = 0


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that a step sees beside the state and the time.

    hand, robot: the newest samples, None before the first. deadman: pressed, as said at deadman_stamp (seconds). estop: asked
    for now; it is latched. engage, release, reset: asked for since the last step. operators: how many publish the hand.
    commanders: how many command the robot, this one included.
    absolute: (rotation (3, 3), position (3,)) from the operator's frame to the robot's base, where TF knows it; then: the same
    at the hand's stamp, None where that is not known. camera: the pose of the operator's frame in one that stands, where TF
    knows it.
    """

    hand: HandSample | None = None
    robot: RobotSample | None = None
    deadman: bool = False
    deadman_stamp: float = -np.inf
    estop: bool = False
    engage: bool = False
    release: bool = False
    reset: bool = False
    operators: int = 1
    commanders: int = 1
    absolute: tuple[np.ndarray, np.ndarray] | None = None
    then: tuple[np.ndarray, np.ndarray] | None = None
    camera: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class ArmMotion:
    """Of the commanded motion's axes (6 + n,): position in metres, turn about the engaged orientation as a rotation vector in
    radians, fingers in their units; `value`, `velocity` and `acceleration`."""

    value: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    @cached_property
    def still(self) -> bool:
        return not (any(self.velocity.tolist()) or any(self.acceleration.tolist()))


@dataclass(frozen=True, eq=False)
class Command:
    """What the robot is told, or nothing where `publish` is False (before it was ever engaged, and at rest in IDLE and READY).

    position: (3,), rotation: (3, 3) of the arm's end in its base. fingers: (n,). linear, angular: (3,) velocities in the base,
    m/s, rad/s. limits: names of the limits that act. reasons: by name, what stands
    against following now. stopped_by: why it last stopped, until it is engaged again.
    age: seconds since the hand's image, infinite without one. joints: (n,) of an arm that is told joints; its end is there.
    """

    state: int
    publish: bool
    position: np.ndarray
    rotation: np.ndarray
    fingers: np.ndarray
    linear: np.ndarray
    angular: np.ndarray
    limits: tuple[str, ...]
    reasons: tuple[str, ...]
    stopped_by: tuple[str, ...]
    age: float
    joints: np.ndarray | None = None
