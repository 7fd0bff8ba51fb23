"""Hands that several cameras see at one moment, out of what each of them saw: what a calibration is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...errors import InputError
from ...geometry.rotations import matrix_from_axis_angle
from ...hand_model.skeleton import LEFT, RIGHT
from ...pipeline.types import HandPairEstimate

_NEAR = 0.02
"""Seconds up to which an image stands for another camera's moment where no two images are around that."""
_GAP = 0.2
"""Seconds between two images of one camera up to which landmarks are interpolated at another's moment between them."""
LEAST_HANDS, _LEAST_SECONDS = 60, 3.0
"""So many hands that two cameras see at one moment, over so long a time, are needed."""
_BLOCK = 0.5
"""Seconds after which a detector's errors are new ones."""
_MOST = 1500
"""Hands of one pair of cameras that are used at most."""


@dataclass
class Sightings:
    """What one camera saw. stamps: nanoseconds. rays: of each (2, 21, 2), NaN of a hand that was not seen. joints: (2, 21,
    3) of the single camera's estimate, its optical frame, metres, NaN likewise. rotations: (2, 16, 3, 3) likewise. by_depth:
    (2,) whether a depth image has placed it."""

    stamps: list[int] = field(default_factory=list)
    rays: list[np.ndarray] = field(default_factory=list)
    joints: list[np.ndarray] = field(default_factory=list)
    rotations: list[np.ndarray] = field(default_factory=list)
    by_depth: list[np.ndarray] = field(default_factory=list)

    def add(self, estimate: HandPairEstimate, rays: np.ndarray) -> None:
        """Take in an estimate of the camera, and the rays (2, 21, 2) that it was made of."""
        seen = rays.astype(float)
        joints, rotations = np.full((2, 21, 3), np.nan), np.full((2, 16, 3, 3), np.nan)
        for hand in estimate.hands:
            if not hand.valid or hand.joints is None or hand.global_orient is None or hand.hand_pose is None:
                seen[hand.side] = np.nan
                continue
            joints[hand.side] = hand.joints
            rotations[hand.side] = matrix_from_axis_angle(np.vstack([hand.global_orient, hand.hand_pose.reshape(15, 3)]))
        self.stamps.append(estimate.stamp)
        self.rays.append(seen)
        self.joints.append(joints)
        self.rotations.append(rotations)
        self.by_depth.append(np.array([hand.valid and bool(hand.by_depth) for hand in estimate.hands]))


@dataclass(frozen=True, eq=False)
class Moment:
    """One hand at one moment: cameras (V,) numbers, rays (V, 21, 2), joints (V, 21, 3), rotations (V, 16, 3, 3) and by_depth
    (V,) of the single views, each in its camera's frame."""

    stamp: int
    side: int
    cameras: np.ndarray
    rays: np.ndarray
    joints: np.ndarray
    rotations: np.ndarray
    by_depth: np.ndarray


def shared_moments(cameras: Mapping[str, Sightings]) -> list[Moment]:
    """Hands that two cameras or more see at one moment: at the first one's stamps, the others' landmarks interpolated."""
    names = list(cameras)
    stamps = {name: np.array(one.stamps, np.int64) for name, one in cameras.items()}
    rays = {name: np.array(one.rays).reshape(-1, 2, 21, 2) for name, one in cameras.items()}
    joints = {name: np.array(one.joints).reshape(-1, 2, 21, 3) for name, one in cameras.items()}
    rotations = {name: np.array(one.rotations).reshape(-1, 2, 16, 3, 3) for name, one in cameras.items()}
    depth = {name: np.array(one.by_depth, bool).reshape(-1, 2) for name, one in cameras.items()}
    moments, pairs = [], np.zeros((len(names), len(names)), int)
    for first, name in enumerate(names):
        for k, stamp in enumerate(stamps[name].tolist()):
            for side in (LEFT, RIGHT):
                seen = [(first, rays[name][k, side], joints[name][k, side], rotations[name][k, side], depth[name][k, side])]
                for other in range(first + 1, len(names)):
                    of = names[other]
                    at = _interpolated(stamps[of], rays[of], joints[of], rotations[of], depth[of], stamp, side)
                    if at is not None:
                        seen.append((other, *at))
                seen = [one for one in seen if np.isfinite(one[1]).all()]
                if len(seen) > 1 and seen[0][0] == first:
                    numbers, *found = (np.array(values) for values in zip(*seen))
                    moments.append(Moment(stamp, side, numbers, *found))
                    for one in numbers:
                        pairs[one, list(numbers)] += 1
    for number, name in enumerate(names):
        shared = pairs[number].copy()
        shared[number] = 0
        seconds = _span([one.stamp for one in moments if number in one.cameras])
        if shared.sum() < LEAST_HANDS or seconds < _LEAST_SECONDS:
            raise InputError(
                f"{name} shares {shared.sum()} hands over {seconds:.1f} s with the other cameras, and {LEAST_HANDS} over "
                f"{_LEAST_SECONDS:.0f} s are needed; show both hands to all cameras at once for half a minute, in good light"
            )
    step = max(1, len(moments) // _MOST)
    return moments[::step]


def blocks(stamps: Sequence[int]) -> np.ndarray:
    """(N,) numbers of the blocks of time, from the first stamp on, in which a detector errs alike."""
    return ((np.array(stamps) - min(stamps)) * 1e-9 / _BLOCK).astype(int)


def _span(stamps: list[int]) -> float:
    return (max(stamps) - min(stamps)) * 1e-9 if stamps else 0.0


def _interpolated(
    stamps: np.ndarray, rays: np.ndarray, joints: np.ndarray, rotations: np.ndarray, by_depth: np.ndarray, stamp: int, side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool] | None:
    """A camera's rays, joints, rotations and by_depth of a hand at a stamp; the last two are the nearest image's."""
    if not len(stamps):
        return None
    after = int(np.searchsorted(stamps, stamp))
    near = min((k for k in (after - 1, after) if 0 <= k < len(stamps)), key=lambda k: abs(int(stamps[k]) - stamp))

    def goes_on(k: int) -> bool:
        """Whether image k and the next show the hand's way between them."""
        known = 0 <= k < len(stamps) - 1 and stamps[k + 1] - stamps[k] < _GAP * 1e9
        return known and _near(rays[k, side], rays[k + 1, side])

    if stamps[near] != stamp and goes_on(after - 1):
        images = np.arange(after - 1 - goes_on(after - 2), after + 1 + goes_on(after))
        weights = _weights(stamps[images], stamp)
        return (
            np.tensordot(weights, rays[images, side], 1),
            np.tensordot(weights, joints[images, side], 1),
            rotations[near, side],
            bool(by_depth[after - 1 : after + 1, side].all()),
        )
    if abs(int(stamps[near]) - stamp) > _NEAR * 1e9:
        return None
    return rays[near, side], joints[near, side], rotations[near, side], bool(by_depth[near, side])


def _weights(stamps: np.ndarray, stamp: int) -> np.ndarray:
    """(K,) of values at K stamps in the one at a stamp between them, by the polynomial through all (Lagrange's): a line through
    two cuts the corners of hands that go up and down, by 4 % of their way at 12 images a second."""
    apart = (stamps[:, None] - stamps[None]) * 1e-9 + np.eye(len(stamps))
    beyond = np.where(np.eye(len(stamps), dtype=bool), 1.0, (stamp - stamps[None]) * 1e-9)
    return np.asarray((beyond / apart).prod(1))


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether rays (21, 2) of two images in a row are of one hand."""
    return bool(np.abs(one.mean(0) - other.mean(0)).max() < np.ptp(one, axis=0).max())
