"""The movement of a rendered hand that reaches down, pinches a cube, lifts it, carries it aside and sets it down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_axis_angle
from ..hand_model.skeleton import LEFT, RIGHT
from .choreography import UPRIGHT, ClipMotion, from_curls, keyed, wander

OPEN_HAND, PINCHING = (0.5, 0.05, 0.0, 0.0, 0.05, 0.2), (0.6, 0.5, 0.0, 0.0, 0.05, 0.2)
"""Thumb and index finger apart and together, the other fingers out of the way. The thumb is opposite the finger already, which
is stretched: it goes down beside the cube and closes straight towards the thumb. Where the thumb alone moves, a finger that is
measured a little more bent than it is comes down on the cube."""
_START = -0.045
"""Metres below the image's middle, of the wrist at first: fingertips are just in the image, and the hand grips in its middle,
where it is measured best."""
_RATES = 0.1, 0.6
"""Hz of what is never quite still, slower than in the demo's clip."""


@dataclass(frozen=True)
class Pick:
    """The pick.

    down, aside: metres that the hand moves towards the table and to the operator's left. seconds: of its key times: still
    until, down at, pinched at, up at, aside at, down at, open at, up at the end. lost: seconds between which the hand is not
    to be seen, and waits. turn: degrees about the forearm, 0 with the palm to the camera, negative with the thumb towards it.
    opened, closed: curls, as choreography.from_curls takes them, before and around the cube. lower: metres below where it
    began, to which it lifts the cube.
    """

    down: float = 0.14
    aside: float = 0.12
    seconds: tuple[float, ...] = (2.5, 4.5, 5.7, 7.7, 9.5, 11.5, 12.5, 14.0)
    lost: tuple[float, float] | None = None
    turn: float = -20.0
    opened: tuple[float, ...] = OPEN_HAND
    closed: tuple[float, ...] = PINCHING
    lower: float = 0.0


def pick_motion(side: int, pick: Pick = Pick(), fps: float = 30.0, seed: int = 0) -> ClipMotion:
    """The motion, of the hand of that side (0 left, 1 right) alone. seed: of its shape and of small movements."""
    rng = np.random.default_rng(seed)
    still, low, pinched, high, aside, set_down, opened, end = pick.seconds
    begin, back = pick.lost or (end, end)
    stamp = np.round(np.arange(round((end + back - begin) * fps)) * 1e9 / fps).astype(np.int64)
    clock = stamp * 1e-9
    times = clock - np.clip(clock - begin, 0.0, back - begin)
    x, y, top = pick.aside, pick.down, pick.lower
    there = (0, 0, still), (0, y, low), (0, y, pinched), (0, top, high)
    route = (*there, (x, top, aside), (x, y, set_down), (x, y, opened), (x, 0, end))
    places = keyed([(0.0, 0.0, 0.0), *((time, across, along) for across, along, time in route)], times)
    apart, together = (0.0, low, opened, end), (pinched - 0.3, set_down + 0.1)
    grip = sorted([(time, *pick.opened) for time in apart] + [(time, *pick.closed) for time in together])
    curls = keyed(grip, times) + 0.005 * wander(rng, times, 6, *_RATES)
    wrist = np.array([-0.04 if side == RIGHT else 0.04, _START, 0.5]) + np.column_stack([places, np.zeros(len(times))])
    wrist = wrist + 0.0015 * wander(rng, times, 3, *_RATES)
    # The fingers point up, and the camera sees between thumb and finger, which it hardly does where the thumb is behind.
    turn = matrix_from_axis_angle(np.radians(pick.turn + 1.0 * wander(rng, times, 1, *_RATES)) * np.array([0.0, -1.0, 0.0]))
    orient, pose = axis_angle_from_matrix(turn @ UPRIGHT), axis_angle_from_matrix(from_curls(curls))
    if side == LEFT:
        orient, pose = mirror_axis_angle(orient), mirror_axis_angle(pose)
    both = np.zeros((len(times), 2), bool)
    both[:, side] = True
    both[(clock >= begin) & (clock < back), side] = False
    betas = np.clip(rng.normal(0.0, 0.4, 10), -1.0, 1.0) + np.zeros((2, 10))
    orient, pose, wrist = (np.repeat(each[:, None], 2, axis=1) for each in (orient, pose.reshape(-1, 45), wrist))
    return ClipMotion(stamp, orient, pose, betas, wrist, both)
