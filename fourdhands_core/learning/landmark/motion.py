"""Synthetic motion of two hands: anatomically limited, smooth, apart, together, crossing and touching.

Each hand is described in its own coordinates: as a right hand, a left one (and its camera) mirrored in x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...geometry.rotations import matrix_from_axis_angle
from ...hand_model.assets import HandAsset, load_human_hand
from ...hand_model.limits import LOWER, UPPER, from_angles, joint_frames
from ...network.landmark_tokens import mirror_points
from .grasps import grasp_poses

_KEYFRAMES = 6
_FINGER_ROWS = torch.tensor([[0, 1, 2], [3, 4, 5], [9, 10, 11], [6, 7, 8]])  # index, middle, ring, little in MANO's order
_THUMB_ROWS = torch.tensor([12, 13, 14])
_UPRIGHT = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Orientation of a hand whose fingers, along -x in its own axes, point up in the image, along -y of the camera."""
_MIDDLE = torch.tensor([-0.09, 0.0, 0.0])
"""Middle of the hand from the wrist, in a right hand's own axes, metres."""
_GRASPS, _KEPT = 400, 0.35
"""How many poses of `grasp_poses` a sampler knows, and the chance that a hand keeps one until the next keyframe."""


@dataclass
class Motion:
    """B clips of T frames, hands (left, right), own coordinates (left mirrored in x).

    rotations: (B, 2, T, 16, 3, 3), global orientation in the camera frame, then MANO's 15 joints. betas: (B, 2, 10).
    root: (B, 2, T, 3), wrist in the camera frame, metres. present: (B, 2) bool.
    """

    rotations: torch.Tensor
    betas: torch.Tensor
    root: torch.Tensor
    present: torch.Tensor


class MotionSampler:
    """Draws clips from one random generator, so that a seed gives the same clips again.

    depth_range: metres, log-uniform distance of the wrists. view_angle: degrees off the optical axis.
    single_share, together_share: shares of clips with one hand, and with two hands near each other. upright: share of hands
    whose fingers begin pointing up in the image, give or take 30 degrees (standard deviation about each axis), the palm
    anywhere; the others are turned any way. grasps: share of clips whose hands pinch, grasp, open and close, see
    `grasps.grasp_poses`. asset: the hand that moves, the human one by default. known: seed of the grasps, by default `seed`.
    crossing: the two hands of every clip change sides in the picture and come back, one before the other, turning little; those
    that point up, within 20 degrees, begin with the palm or the back towards the camera. facing: share of clips whose hands are
    open, straight or a little bent, with the palm or the back towards the camera within 25 degrees.
    """

    def __init__(
        self,
        seed: int = 0,
        depth_range: tuple[float, float] = (0.22, 1.4),
        view_angle: float = 28.0,
        single_share: float = 0.25,
        together_share: float = 0.45,
        upright: float = 0.0,
        grasps: float = 0.0,
        asset: HandAsset | None = None,
        known: int | None = None,
        crossing: bool = False,
        facing: float = 0.0,
    ):
        self.generator = torch.Generator().manual_seed(seed)
        self.depth_range = depth_range
        self.view_angle = view_angle
        self.single_share = single_share
        self.together_share = together_share
        self.upright = upright
        self.grasps, self.asset, self._known = grasps, asset or load_human_hand(), seed if known is None else known
        self.crossing, self.facing = crossing, facing
        self.frames, self.lower, self.upper = (
            torch.as_tensor(values, dtype=torch.float32) for values in (joint_frames(self.asset), LOWER, UPPER)
        )

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Uniform numbers from this sampler's generator."""
        return torch.rand(*shape, generator=self.generator) * (high - low) + low

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal numbers from this sampler's generator."""
        return torch.randn(*shape, generator=self.generator)

    def chance(self, probability: float | torch.Tensor, *shape: int) -> torch.Tensor:
        """Booleans, each True with `probability`."""
        return torch.rand(*shape, generator=self.generator) < probability

    def poses(self, count: int) -> torch.Tensor:
        """Joint angles (count, 15, 3) inside the limits: flexion, abduction, twist, radians.

        A mixture of fingers that curl together, fingers that are each straight or bent (gestures), and fingers with
        independent joints; the last joint of a finger follows the middle one, and spread shrinks with flexion.
        """
        together = self.uniform(count, 1).clamp(0.0, 1.0) + 0.15 * self.normal(count, 4)
        gesture = torch.where(self.chance(0.5, count, 4), 0.05, 0.9) + 0.08 * self.normal(count, 4)
        free = self.uniform(count, 4)
        kind = self.uniform(count, 1)
        curl = torch.where(kind < 0.45, together, torch.where(kind < 0.75, gesture, free))
        spread_of_joints = torch.where(kind > 0.75, 0.35, 0.15)
        base = (curl + spread_of_joints * self.normal(count, 4)).clamp(-0.25, 1.0)
        middle = (curl + spread_of_joints * self.normal(count, 4)).clamp(0.0, 1.0)
        tip = (0.7 * middle + 0.12 * self.normal(count, 4)).clamp(-0.1, 1.0)
        angles = torch.zeros(count, 15, 3)
        for joint, amount in enumerate((base, middle, tip)):
            rows = _FINGER_ROWS[:, joint]
            angles[:, rows, 0] = torch.where(amount > 0, amount * self.upper[rows, 0], -amount * self.lower[rows, 0] / 0.3)
        rows = _FINGER_ROWS[:, 0]
        spread = self.normal(count, 1) * torch.tensor([1.0, 0.2, -0.5, -1.0]) + 0.5 * self.normal(count, 4)
        angles[:, rows, 1] = 0.16 * spread * (1.0 - 0.7 * base.clamp(min=0.0))
        angles[:, _THUMB_ROWS] = self._thumb(count)
        angles[..., 2] += 0.04 * self.normal(count, 15)
        return angles.clamp(self.lower, self.upper)

    def _thumb(self, count):
        lower, upper = self.lower[_THUMB_ROWS], self.upper[_THUMB_ROWS]
        wide = (self.uniform(count, 3, 3) + self.uniform(count, 3, 3)) / 2
        rest = ((0.0 - lower) / (upper - lower).clamp(min=1e-6)).clamp(0.0, 1.0)
        near_rest = (rest + 0.2 * self.normal(count, 3, 3)).clamp(0.0, 1.0)
        share = torch.where(self.chance(0.6, count, 1, 1), wide, near_rest)
        return lower + share * (upper - lower)

    def rotations(self, *shape: int) -> torch.Tensor:
        """Uniform rotations (*shape, 3, 3)."""
        q = torch.nn.functional.normalize(self.normal(*shape, 4), dim=-1)
        angle = 2.0 * torch.acos(q[..., :1].clamp(-1, 1))
        return matrix_from_axis_angle(torch.nn.functional.normalize(q[..., 1:], dim=-1) * angle)

    def _first_orientations(self, batch):
        """Orientations (batch, 2, 3, 3) to begin with."""
        turned = self.rotations(batch, 2)
        if not self.upright:
            return turned
        spin = torch.zeros(batch, 2, 3)
        spin[..., 0] = self.uniform(batch, 2, high=2.0 * torch.pi)
        if self.crossing:
            spin[..., 0] = torch.pi * self.chance(0.5, batch, 2) + 0.5 * self.normal(batch, 2)
        tilt = matrix_from_axis_angle(self.normal(batch, 2, 3) * torch.deg2rad(torch.tensor(20.0 if self.crossing else 30.0)))
        chosen = self.chance(self.upright, batch, 2)[..., None, None]
        return torch.where(chosen, tilt @ _UPRIGHT @ matrix_from_axis_angle(spin), turned)

    def _segments(self, times, shortest, longest):
        """Index of the keyframe before each time, and how far the minimum-jerk step to the next has gone."""
        low, high = torch.log(torch.tensor([shortest, longest])).tolist()
        duration = torch.exp(self.uniform(len(times), 2, 1, low=low, high=high))
        position = self.uniform(len(times), 2, 1) + (times - times[:, :1])[:, None] / duration
        position = position.clamp(max=_KEYFRAMES - 1.001)
        index = position.floor()
        u = position - index
        return index.long(), u**3 * (10.0 + u * (6.0 * u - 15.0))

    def sample(self, times: torch.Tensor) -> Motion:
        """Draw one clip for every row of `times` (B, T), seconds, increasing."""
        batch, length = times.shape
        pick = torch.arange(batch)[:, None, None], torch.arange(2)[None, :, None]

        keys = self.poses(batch * 2 * _KEYFRAMES).reshape(batch, 2, _KEYFRAMES, 15, 3)
        still = self.chance(0.2, batch, 2)[..., None, None, None]
        keys = torch.where(still, 0.9 * keys[:, :, :1] + 0.1 * keys, keys)
        if self.grasps:
            keys = torch.where(self.chance(self.grasps, batch)[:, None, None, None, None], self._grasping(keys), keys)
        facing = self.chance(self.facing, batch) if self.facing else torch.zeros(batch, dtype=torch.bool)
        if self.facing:
            keys = torch.where(facing[:, None, None, None, None], self._opened(keys), keys)
        index, u = self._segments(times, 0.2, 2.0)
        u = u[..., None, None]
        angles = keys[pick + (index,)] * (1 - u) + keys[pick + (index + 1,)] * u
        finger_rotations = from_angles(angles, self.frames)

        turn = self.normal(batch, 2, _KEYFRAMES, 3) * self.uniform(batch, 2, 1, 1, high=0.2 if self.crossing else 0.5)
        index, u = self._segments(times, 0.25, 2.0)
        orientations = [self._first_orientations(batch)]
        if self.facing:
            turn = torch.where(facing[:, None, None, None], 0.5 * turn, turn)
            orientations[0] = torch.where(facing[:, None, None, None], self._facing(batch), orientations[0])
        symmetric = self.chance(0.35, batch)
        orientations[0][:, 0] = torch.where(
            symmetric[:, None, None],
            matrix_from_axis_angle(0.5 * self.normal(batch, 3)) @ orientations[0][:, 1],
            orientations[0][:, 0],
        )
        for k in range(_KEYFRAMES - 1):
            orientations.append(matrix_from_axis_angle(turn[:, :, k]) @ orientations[-1])
        orientation = torch.stack(orientations, dim=2)
        turning = torch.gather(turn, 2, index[..., None].expand(-1, -1, -1, 3)) * u[..., None]
        global_orient = matrix_from_axis_angle(turning) @ orientation[pick + (index,)]

        # what is placed is the hand's middle, so that hands rather than wrists are spread over the picture
        middle = self._crossing(times, batch) if self.crossing else self._roots(times, batch, pick)
        root = middle - (orientation[:, :, :1] @ _MIDDLE)
        present = torch.ones(batch, 2, dtype=torch.bool)
        alone = self.chance(self.single_share, batch)
        present[torch.arange(batch), self.chance(0.5, batch).long()] = ~alone
        betas = self.normal(batch, 1, 10).expand(-1, 2, -1) + 0.1 * self.normal(batch, 2, 10)
        return Motion(
            torch.cat([global_orient[..., None, :, :], finger_rotations], dim=-3), betas.clamp(-2.5, 2.5), root, present
        )

    def _grasping(self, keys):
        """Keyframes (B, 2, K, 15, 3) that are grasps, most of them, each kept for a while or not."""
        shape = keys.shape[:3]
        known = grasp_poses(self.asset, _GRASPS, self._known)
        chosen = known[torch.randint(len(known), shape, generator=self.generator)]
        keys = torch.where(self.chance(0.85, *shape)[..., None, None], chosen, keys)
        kept = self.chance(_KEPT, *shape)[..., None, None]
        for k in range(1, shape[2]):
            keys[:, :, k] = torch.where(kept[:, :, k], keys[:, :, k - 1], keys[:, :, k])
        return keys

    def _opened(self, keys):
        """Keyframes (B, 2, K, 15, 3) of open hands: fingers bent by up to 25 degrees together, the thumb as it is."""
        shape = keys.shape[:3]
        bend = torch.deg2rad(self.uniform(*shape, 1, 1, low=-8.0, high=25.0) + 6.0 * self.normal(*shape, 4, 3))
        opened = keys.clone()
        opened[..., _FINGER_ROWS, 0] = bend * torch.tensor([1.0, 0.8, 0.5])
        spread = self.normal(*shape, 1) * torch.tensor([1.0, 0.2, -0.5, -1.0]) + 0.5 * self.normal(*shape, 4)
        opened[..., _FINGER_ROWS[:, 0], 1] = 0.14 * spread
        return opened.clamp(self.lower, self.upper)

    def _facing(self, batch):
        """Orientations (B, 2, 3, 3) of hands whose palm or back is towards the camera, turned in the image by any angle."""
        spin = torch.zeros(batch, 2, 3)
        spin[..., 0] = torch.pi * self.chance(0.3, batch, 2)
        roll = torch.zeros(batch, 2, 3)
        roll[..., 2] = 0.8 * self.normal(batch, 2)
        tilt = matrix_from_axis_angle(self.normal(batch, 2, 3) * torch.deg2rad(torch.tensor(25.0)))
        return matrix_from_axis_angle(roll) @ tilt @ _UPRIGHT @ matrix_from_axis_angle(spin)

    def _crossing(self, times, batch):
        """Middles (B, 2, T, 3) that swing past each other in the picture, one before the other, and back."""
        near, far = self.depth_range
        depth = near * (far / near) ** self.uniform(batch, 1)
        period, phase = self.uniform(batch, 1, 1, low=1.5, high=4.0), 0.5 * self.normal(batch, 2, 1)
        swing = torch.cos(2.0 * torch.pi * times[:, None] / period + phase) * self.uniform(batch, 2, 1, low=0.06, high=0.15)
        opposite = torch.tensor([[-1.0], [1.0]])
        swing = swing * opposite * torch.where(self.chance(0.5, batch, 1, 1), 1.0, -1.0)  # seen from before, or from behind
        before = (
            opposite * torch.where(self.chance(0.5, batch, 1, 1), 1.0, -1.0) * self.uniform(batch, 1, 1, low=0.025, high=0.06)
        )
        tilt = 0.3 * self.normal(batch, 1, 1)
        middles = torch.stack([swing * torch.cos(tilt), swing * torch.sin(tilt), before.expand_as(swing)], dim=-1)
        middles = middles + 0.02 * self.normal(batch, 2, 1, 3) + 0.03 * self.normal(batch, 1, 1, 3)
        middles[..., 2] += depth[..., None]
        middles[:, 0] = mirror_points(middles[:, 0])
        return middles

    def _roots(self, times, batch, pick):
        near, far = self.depth_range
        depth = near * (far / near) ** self.uniform(batch, 2, 1)
        tangent = torch.tan(torch.deg2rad(torch.tensor(self.view_angle)))
        place = (self.uniform(batch, 2, 2) * 2 - 1) * tangent
        start = torch.cat([place, torch.ones(batch, 2, 1)], dim=-1) * depth
        together = self.chance(self.together_share, batch)[:, None]
        offset = torch.nn.functional.normalize(self.normal(batch, 3), dim=-1) * self.uniform(batch, 1, low=0.03, high=0.25)
        partner = mirror_points(start[:, 1]) + offset
        start[:, 0] = torch.where(together, partner, start[:, 0])
        reach = self.uniform(batch, 2, 1, 1, high=0.10) * depth[..., None].clamp(max=1.0) / 0.5
        steps = self.normal(batch, 2, _KEYFRAMES, 3) * reach
        # hands that are together move together, each with a part of its own
        steps[:, 0] = torch.where(together[..., None], mirror_points(steps[:, 1]) + 0.6 * steps[:, 0], steps[:, 0])
        keys = start[:, :, None] + steps
        index, u = self._segments(times, 0.25, 1.5)
        index[:, 0] = torch.where(together, index[:, 1], index[:, 0])
        u[:, 0] = torch.where(together, u[:, 1], u[:, 0])
        u = u[..., None]
        root = keys[pick + (index,)] * (1 - u) + keys[pick + (index + 1,)] * u
        return torch.cat([root[..., :2], root[..., 2:].clamp(min=0.2)], dim=-1)
