"""What hands do with things: pinches, grasps, fists and open hands, as joint angles inside the human limits.

Motion of random fingers alone never closes a pinch, and comes to the ends of the bends less often than hands at work do.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from ...hand_model.assets import HandAsset
from ...hand_model.limits import LOWER, UPPER, from_angles, joint_frames
from ...hand_model.skeleton import MANO_JOINT_NAMES, TIP_JOINTS
from ..kinematics import Kinematics

_FINGERS = ("index", "middle", "ring", "little")
_ROWS = torch.tensor([[MANO_JOINT_NAMES.index(f"{finger}_{k}") - 1 for k in (1, 2, 3)] for finger in _FINGERS])
_THUMB = torch.tensor([MANO_JOINT_NAMES.index(f"thumb_{k}") - 1 for k in (1, 2, 3)])
_PINCHING = torch.tensor([0.45, 0.3, 0.15, 0.1])
"""How often each finger is the one that meets the thumb."""
CLOSED, OPEN = (0.001, 0.009), (0.022, 0.05)
"""Metres between the tips of a pinch that is closed, and of the same pinch opened."""
_STEPS = 120


@lru_cache(maxsize=4)
def grasp_poses(asset: HandAsset, count: int, seed: int) -> torch.Tensor:
    """Angles (count, 15, 3), radians, of a right hand: pinches with the thumb, closed and opened, a half; grasps around things
    of any width, a quarter; fists and open hands, a quarter. Seeded; kept, so that they are made once.

    asset: whose fingertips meet; other shapes of it miss by some millimetres.
    """
    generator = torch.Generator().manual_seed(seed)
    kind = torch.rand(count, generator=generator)
    grasps, ends = _grasps(count, generator), _ends(count, generator)
    pinches = _pinches(asset, count, generator)
    angles = torch.where((kind < 0.5)[:, None, None], pinches, torch.where((kind < 0.75)[:, None, None], grasps, ends))
    angles[..., 2] += 0.03 * torch.randn(count, 15, generator=generator)
    return _limited(angles)


def _limited(angles):
    return angles.clamp(torch.as_tensor(LOWER, dtype=torch.float32), torch.as_tensor(UPPER, dtype=torch.float32))


def _fingers(base, middle, tip, spread):
    """Angles (N, 15, 3) of the four fingers, degrees (N, 4) each, and the spread (N, 1) from the middle finger."""
    angles = torch.zeros(len(base), 15, 3)
    for joint, bend in enumerate((base, middle, tip)):
        angles[:, _ROWS[:, joint], 0] = torch.deg2rad(bend)
    angles[:, _ROWS[:, 0], 1] = torch.deg2rad(spread * torch.tensor([1.0, 0.2, -0.5, -1.0]))
    return angles


def _drawn(generator, count, low, high, each=5.0):
    """(count, 4) degrees: a common bend from low to high, and each finger's own."""
    common = low + (high - low) * torch.rand(count, 1, generator=generator)
    return common + each * torch.randn(count, 4, generator=generator)


def _thumb(angles, generator, flexion, abduction, tip):
    """Sets the thumb's angles, degrees (low, high) of each."""
    for row, column, (low, high) in zip(_THUMB[[0, 0, 1, 2]], (0, 1, 0, 0), (flexion, abduction, tip, tip)):
        angles[:, row, column] = torch.deg2rad(low + (high - low) * torch.rand(len(angles), generator=generator))


def _grasps(count, generator):
    """Around things of any width: knuckles and middle joints bend alike, the thumb stands against the fingers."""
    width = torch.rand(count, 1, generator=generator)
    base = 65.0 - 40.0 * width + 6.0 * torch.randn(count, 4, generator=generator)
    middle = 85.0 - 50.0 * width + 6.0 * torch.randn(count, 4, generator=generator)
    angles = _fingers(base, middle, 0.55 * middle, 4.0 + 8.0 * width)
    _thumb(angles, generator, (15.0, 50.0), (0.0, 38.0), (0.0, 45.0))
    return angles


def _ends(count, generator):
    """Fists and open hands, and fingers that are each the one or the other."""
    kind = torch.rand(count, 1, generator=generator)
    each = torch.rand(count, 4, generator=generator) < 0.5
    closed = (kind < 0.4) | ((kind > 0.8) & each)
    base = torch.where(closed, _drawn(generator, count, 65.0, 92.0), _drawn(generator, count, -12.0, 8.0))
    middle = torch.where(closed, _drawn(generator, count, 85.0, 108.0), _drawn(generator, count, -2.0, 8.0, 3.0))
    tip = torch.where(closed, _drawn(generator, count, 30.0, 75.0), _drawn(generator, count, -2.0, 6.0, 3.0))
    angles = _fingers(base, middle, tip, torch.where(closed.all(1, keepdim=True), 0.0, 9.0) * kind)
    _thumb(angles, generator, (-15.0, 50.0), (-10.0, 35.0), (-5.0, 60.0))
    return angles


@torch.enable_grad()
def _pinches(asset, count, generator):
    """The thumb and a fingertip meet, or are a little apart; the other fingers are straight or curl along."""
    others = torch.where(
        torch.rand(count, 1, generator=generator) < 0.5,
        _drawn(generator, count, 5.0, 30.0),
        _drawn(generator, count, 40.0, 80.0),
    )
    start = _fingers(others, 1.1 * others, 0.6 * others, 3.0 + 4.0 * torch.rand(count, 1, generator=generator))
    _thumb(start, generator, (15.0, 40.0), (5.0, 35.0), (5.0, 35.0))
    finger = torch.multinomial(_PINCHING, count, replacement=True, generator=generator)
    rows = torch.cat([_ROWS[finger], _THUMB.expand(count, 3)], 1)
    index = torch.arange(count)[:, None]
    bends = torch.tensor([40.0, 50.0, 25.0]) + 12.0 * torch.randn(count, 3, generator=generator)
    start[index, rows[:, :3], 0] = torch.deg2rad(bends)
    share = torch.rand(count, generator=generator)
    low, high = (torch.where(share < 0.6, a, b) for a, b in zip(CLOSED, OPEN))
    wanted = low + (high - low) * torch.rand(count, generator=generator)
    kinematics = Kinematics(asset)
    frames = torch.as_tensor(joint_frames(asset), dtype=torch.float32)
    wrist, shape, tips = torch.eye(3).expand(count, 1, 3, 3), torch.zeros(count, 10), torch.as_tensor(TIP_JOINTS)
    moved = torch.zeros(count, 6, 2, requires_grad=True)
    stiffness = torch.tensor([1.0, 3.0])  # sideways, fingers move less
    optimizer = torch.optim.Adam([moved], 0.04)

    def angles():
        change = torch.zeros(count, 15, 3).index_put((index, rows), torch.nn.functional.pad(moved, (0, 1)))
        return _limited(start + change)

    for _ in range(_STEPS):
        points = kinematics(torch.cat([wrist, from_angles(angles(), frames)], 1), shape)
        gap = (points[:, tips[0]] - points[torch.arange(count), tips[1 + finger]]).norm(dim=-1)
        loss = ((gap - wanted) / 0.002).square().sum() + (stiffness * moved / 0.6).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return angles().detach()
