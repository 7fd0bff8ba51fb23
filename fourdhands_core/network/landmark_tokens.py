"""From detected landmarks to the network's inputs: a virtual camera per hand, landmark features and relation maps (RAT).

Every hand is described as a right hand: a left one is mirrored in x first ("own" coordinates below). A virtual camera
with the real one's centre looks straight at the hand, so that neither the lens nor the place in the image changes what
the network sees; what the network answers is turned back by the same rotation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

FEATURES = 7
"""Per landmark: x, y in the box; x, y, z of the detector's 3-D landmark and whether it is there; log of the box size."""
RELATION_CHANNELS = 5
"""Per landmark: D_R2L (2), D_L2R (2), O_R2L (1): Eq. 2 and 3 of the paper."""

BOX_SCALE = 4.0
"""Side of a hand's square box in units of the landmarks' RMS distance from their mean: it encloses the hand."""
_MIRROR = torch.tensor([-1.0, 1.0, 1.0])
_TO_Z = torch.tensor([[0.0, 0, -1, 0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0]])
"""`(v @ _TO_Z).reshape(3, 3)` is the matrix of the cross product with v x z."""


@dataclass
class LandmarkTokens:
    """Inputs of one frame for B samples, hands in the order (left, right).

    features: (B, 2, 21, FEATURES). relation: (B, 2, 21, RELATION_CHANNELS). present: (B, 2) bool.
    rotation: (B, 2, 3, 3), own camera frame to virtual camera frame. size: (B, 2), side of the hand's box as seen by its
    virtual camera, in units of the focal length.
    """

    features: torch.Tensor
    relation: torch.Tensor
    present: torch.Tensor
    rotation: torch.Tensor
    size: torch.Tensor


def mirror_points(points: torch.Tensor) -> torch.Tensor:
    """Points (..., 3) mirrored in x."""
    return points * _MIRROR.to(points)


def look_at(ray: torch.Tensor) -> torch.Tensor:
    """Smallest rotations (..., 3, 3) that turn the directions `ray` (..., 3) onto +z."""
    ray = ray / torch.linalg.vector_norm(ray, dim=-1, keepdim=True)
    turn = (ray @ _TO_Z.to(ray)).reshape(*ray.shape[:-1], 3, 3)
    share = 1.0 / (1.0 + ray[..., 2:, None]).clamp(min=1e-6)
    return torch.eye(3).to(ray) + turn + share * (turn @ turn)


def _flatten_to_plane(directions: torch.Tensor) -> torch.Tensor:
    return directions[..., :2] / directions[..., 2:].clamp(min=0.1)


def _in_common_box(own, other):
    """Positions of `own` (B, 2, 21, 2) in the box of both hands' landmarks."""
    together = torch.cat([own, other], dim=-2)
    center = together.mean(dim=-2, keepdim=True)
    return (own - center) / (together - center).square().sum(-1).mean(-1).clamp(min=1e-10).sqrt()[..., None, None]


def landmark_tokens(
    rays: torch.Tensor,
    world: torch.Tensor,
    world_present: torch.Tensor,
    present: torch.Tensor,
    tau: float,
    common_box: bool = False,
) -> LandmarkTokens:
    """Build a frame's tokens.

    rays: (B, 2, 21, 2) undistorted normalised image coordinates x/z, y/z of the (left, right) hand's landmarks, in own
    coordinates (left mirrored in x). world: (B, 2, 21, 3) the detector's 3-D landmarks, own coordinates, any scale and
    origin. world_present: (B, 2) bool, False where the detector gives none. present: (B, 2) bool. tau: Eq. 2.
    Values of absent hands are ignored and may be anything finite. common_box: the virtual cameras look at the middle of both
    hands, and positions are those in one box around both.

    The relation map follows Eq. 1-4 with the landmarks' positions as position map C. Where the other hand is absent, it
    is taken to be infinitely far away (D = 1) and not overlapping, as section 4.5 treats single hands.
    """
    directions = torch.nn.functional.pad(rays, (0, 1), value=1.0)
    ahead = (directions / torch.linalg.vector_norm(directions, dim=-1, keepdim=True)).mean(dim=-2)
    both = present.all(dim=1)[:, None, None, None]
    if common_box:
        ahead = torch.where(both[..., 0], ahead + mirror_points(ahead.flip(1)), ahead)
    rotation = look_at(ahead)
    own = _flatten_to_plane(directions @ rotation.transpose(-1, -2))
    center = own.mean(dim=-2, keepdim=True)
    size = BOX_SCALE * (own - center).square().sum(-1).mean(-1).clamp(min=1e-10).sqrt()
    scale = size[..., None, None]

    shape = world - world.mean(dim=-2, keepdim=True)
    shape = shape / shape.square().sum(-1).mean(-1).clamp(min=1e-12).sqrt()[..., None, None]
    shape = shape * world_present[..., None, None]
    # the other hand, seen by this hand's virtual camera; own frames of the two hands differ by a mirror
    other = _flatten_to_plane(mirror_points(directions.flip(1)) @ rotation.transpose(-1, -2))
    other_scale = scale.flip(1)
    position = BOX_SCALE * (own - center) / scale
    if common_box:
        position = torch.where(both, _in_common_box(own, other), position)
    features = torch.cat(
        [
            position,
            shape,
            world_present[..., None, None].to(rays).expand(*rays.shape[:-1], 1),
            torch.log(scale).expand(*rays.shape[:-1], 1) + 1.0,
        ],
        dim=-1,
    )

    difference = own - other
    inside = ((own - other.mean(dim=-2, keepdim=True)).abs() < other_scale / 2).all(dim=-1, keepdim=True)
    distance = torch.cat([torch.sigmoid(tau * difference / scale), torch.sigmoid(-tau * difference / other_scale)], -1)
    relation = torch.cat(
        [torch.where(both, distance, torch.ones_like(distance)), torch.where(both & inside, 1.0, -1.0)], dim=-1
    )
    mask = present[..., None, None]
    return LandmarkTokens(features * mask, relation, present, rotation, size)
