"""The losses of the paper's section 3.4, Eq. 5-10, and their weighted sum over what each sample has a truth for.

The functions of single equations take batches (..., N, 3), metres, sum over points as the paper writes them and return one
value per leading element. `valid` masks leave points out; a truth that is left out may hold anything, NaN included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .ranges import check_ranges


@dataclass(frozen=True)
class LossWeights:
    """Weights of Eq. 6-10 in `objective`; the paper states none, these made the shipped landmark weights."""

    pose: float = 0.3
    betas: float = 0.02
    """pose, betas: of the two halves of Eq. 6."""
    joints: float = 300.0
    vertices: float = 100.0
    """joints, vertices: of Eq. 7."""
    projection: float = 1.0
    """Of Eq. 8."""
    relation: float = 40.0
    close: float = 40.0
    """relation, close: of Eq. 9 and 10, both divided by the number of all pairs, so that they do not depend on it."""
    alpha: float = 0.005
    """Eq. 10, square metres."""

    def __post_init__(self):
        check_ranges(self, positive="alpha")


def _differences(predicted, true, valid):
    """predicted - true (..., N, D), 0 where not valid (..., N): there neither a value nor a gradient comes from them."""
    return predicted - true if valid is None else torch.where(valid[..., None], predicted - true, 0.0)


def max_mse(predicted: torch.Tensor, true: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """Eq. 5 over points (..., N, D): sum_i |P_i - P*_i|^4 / sum_i |P_i - P*_i|^2 -> (...), the worst points weigh most.

    Eq. 7 and 8 are this of root-relative joints and vertices, and of projected joints.
    valid: (..., N) bool, points that have a truth; 0 where there is none.
    """
    squared = _differences(predicted, true, valid).square().sum(-1)
    return squared.square().sum(-1) / squared.sum(-1).clamp(min=1e-12)


def mano_loss(
    rotations: torch.Tensor,
    true_rotations: torch.Tensor,
    betas: torch.Tensor,
    true_betas: torch.Tensor,
    pose_weight: float = 1.0,
    betas_weight: float = 1.0,
) -> torch.Tensor:
    """Eq. 6: |theta~ - theta|^2 + |beta~ - beta|^2, weighted. rotations (..., 16, 3, 3), betas (..., 10) -> (...).

    The pose is compared as rotation matrices, |R~ - R|^2 / 2 = 4 sin^2(angle / 2), which is angle^2 for small angles, rather
    than as the paper's axis-angle, whose numbers jump at a half turn.
    """
    pose = (rotations - true_rotations).square().sum((-1, -2, -3)) / 2.0
    return pose_weight * pose + betas_weight * (betas - true_betas).square().sum(-1)


def _pairwise_squared(errors_right, errors_left):
    """(..., Nr, Nl): the squared norms of phi~ - phi, which is the left point's error minus the right point's."""
    return (
        (errors_right.square().sum(-1)[..., :, None] + errors_left.square().sum(-1)[..., None, :])
        - 2.0 * errors_right @ errors_left.transpose(-1, -2)
    ).clamp(min=0.0)


def joint_relation_loss(
    right: torch.Tensor,
    left: torch.Tensor,
    true_right: torch.Tensor,
    true_left: torch.Tensor,
    valid_right: torch.Tensor | None = None,
    valid_left: torch.Tensor | None = None,
) -> torch.Tensor:
    """Eq. 9: sum_ik |phi~(i, k) - phi(i, k)|^2, phi(i, k) from right joint i to left joint k -> (...).

    Joints (..., 21, 3) of each hand around one common origin, the right root. valid_right, valid_left: (..., 21) bool.
    """
    squared = _pairwise_squared(_differences(right, true_right, valid_right), _differences(left, true_left, valid_left))
    if valid_right is not None:
        squared = squared * valid_right[..., :, None]
    if valid_left is not None:
        squared = squared * valid_left[..., None, :]
    return squared.sum((-1, -2))


def close_vertices_loss(
    right: torch.Tensor, left: torch.Tensor, true_right: torch.Tensor, true_left: torch.Tensor, alpha: float = LossWeights.alpha
) -> torch.Tensor:
    """Eq. 10: as Eq. 9, over the vertex pairs (..., V, 3) whose true squared distance |phi~|^2 is at most `alpha` -> (...)."""
    near = torch.cdist(true_right, true_left).square() <= alpha
    return (_pairwise_squared(right - true_right, left - true_left) * near).sum((-1, -2))


@dataclass
class Hands:
    """B samples' hands (left, right) as the losses compare them; None where the data or the step has no such thing.

    rotations: (B, 2, 16, 3, 3). betas: (B, 2, 10). joints: (B, 2, 21, 3) and vertices: (B, 2, V, 3), metres, around the
    hand's own wrist, each hand in a frame of its own. points: (B, 2, 21, 2), in the unit that Eq. 8 shall have.
    pair_joints: (B, 2, 21, 3) and pair_vertices: (B, 2, V, 3), metres, both hands in one frame around the right wrist.
    """

    rotations: torch.Tensor | None = None
    betas: torch.Tensor | None = None
    joints: torch.Tensor | None = None
    vertices: torch.Tensor | None = None
    points: torch.Tensor | None = None
    pair_joints: torch.Tensor | None = None
    pair_vertices: torch.Tensor | None = None


@dataclass
class GroundTruth(Hands):
    """True hands and which of them are known; a mask that is None leaves out nothing. Unknown values may be NaN.

    present: (B, 2) bool, the hand is there at all. has_mano, has_vertices: (B, 2) bool. joint_valid, point_valid:
    (B, 2, 21) bool. related: (B,) bool, the wrists' relation is known; Eq. 9 and 10 need both hands as well.
    relation_weight: (B,) factors on Eq. 9.
    """

    present: torch.Tensor | None = None
    has_mano: torch.Tensor | None = None
    has_vertices: torch.Tensor | None = None
    joint_valid: torch.Tensor | None = None
    point_valid: torch.Tensor | None = None
    related: torch.Tensor | None = None
    relation_weight: torch.Tensor | None = None


def _both(first, second):
    return first if second is None else first & second


def _known(value, mask):
    """`value` with 0 where nothing is known (mask False), so that NaN reaches no gradient."""
    return torch.where(mask.reshape(*mask.shape, *[1] * (value.ndim - mask.ndim)), value, 0.0)


def _mean(values, known):
    """Mean of values (...) over those known (...), 0 where none is."""
    return torch.where(known, values, 0.0).sum() / known.sum().clamp(min=1)


def objective(predicted: Hands, true: GroundTruth, weights: LossWeights = LossWeights()) -> dict[str, torch.Tensor]:
    """The weighted terms of Eq. 6-10, by name, each the mean over the hands (or pairs) that have a truth for it.

    A term is left out where either side lacks its fields, and is 0 (without gradient) where no sample has a truth.
    """

    def given(name):
        return getattr(predicted, name) is not None and getattr(true, name) is not None

    if true.present is None:
        some = next(value for value in vars(true).values() if value is not None)
        true = replace(true, present=torch.ones(len(some), 2, dtype=torch.bool, device=some.device))
    terms = {}
    if given("rotations") and given("betas"):
        known = _both(true.present, true.has_mano)
        rotations, betas = _known(true.rotations, known), _known(true.betas, known)
        loss = mano_loss(predicted.rotations, rotations, predicted.betas, betas, weights.pose, weights.betas)
        terms["mano"] = _mean(loss, known)
    for name, valid in (("joints", true.joint_valid), ("points", true.point_valid)):
        if given(name):
            some = true.present if valid is None else true.present & valid.any(-1)
            every = true.present[..., None] if valid is None else true.present[..., None] & valid
            every = every.expand(*true.present.shape, getattr(true, name).shape[-2])
            loss = max_mse(getattr(predicted, name), getattr(true, name), every)
            terms[name] = (weights.joints if name == "joints" else weights.projection) * _mean(loss, some)
    vertices_known = _both(true.present, true.has_vertices)
    if given("vertices"):
        loss = max_mse(predicted.vertices, _known(true.vertices, vertices_known))
        terms["vertices"] = weights.vertices * _mean(loss, vertices_known)
    if given("pair_joints"):
        terms["relation"] = weights.relation * _relation(predicted, true)
    if given("pair_vertices"):
        pairs = _both(vertices_known.all(1), true.related)
        vertices = _known(true.pair_vertices, pairs)
        loss = close_vertices_loss(*_sides(predicted.pair_vertices), *_sides(vertices), weights.alpha)
        terms["close"] = weights.close / vertices.shape[-2] ** 2 * _mean(loss, pairs)
    return terms


def _sides(pair: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Right and left of both hands' (B, 2, ...), in the order of Eq. 9 and 10."""
    return pair[:, 1], pair[:, 0]


def _relation(predicted, true):
    """Eq. 9 a pair of joints, over the samples with two related hands."""
    valid = torch.ones_like(true.pair_joints[..., 0], dtype=torch.bool) if true.joint_valid is None else true.joint_valid
    pairs = _both(true.present.all(1), true.related)
    valid = valid & pairs[:, None, None]
    count = valid.sum(-1).prod(-1)
    loss = joint_relation_loss(*_sides(predicted.pair_joints), *_sides(true.pair_joints), *_sides(valid))
    loss = loss / count.clamp(min=1)
    return _mean(loss if true.relation_weight is None else true.relation_weight * loss, count > 0)
