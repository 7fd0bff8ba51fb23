"""The losses of Eq. 5-10 against values and gradients worked out by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from fourdhands_core.learning import losses


def test_max_mse_is_the_ratio_of_fourth_to_second_powers():
    predicted = torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    true = torch.zeros(2, 3)
    assert losses.max_mse(predicted, true).item() == pytest.approx((81.0 + 1.0) / (9.0 + 1.0))


def test_max_mse_of_perfect_prediction_is_zero_with_finite_gradient():
    points = torch.randn(21, 3, requires_grad=True)
    loss = losses.max_mse(points, points.detach())
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(points.grad).all()


def test_max_mse_gradient_weights_the_worst_joint_most():
    # d/dx of (x^4 + y^4) / (x^2 + y^2) at x = 2, y = 1: (4x^3 (x^2+y^2) - 2x (x^4+y^4)) / (x^2+y^2)^2
    point = torch.tensor([[2.0], [1.0]], requires_grad=True)
    losses.max_mse(point, torch.zeros(2, 1)).backward()
    assert point.grad[0, 0].item() == pytest.approx((32 * 5 - 4 * 17) / 25)
    assert point.grad[1, 0].item() == pytest.approx((4 * 5 - 2 * 17) / 25)


def test_mano_loss_counts_a_half_turn_as_four():
    eye = torch.eye(3).expand(16, 3, 3)
    turned = eye.clone()
    turned[5] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    betas = torch.zeros(10)
    assert losses.mano_loss(turned, eye, betas, betas).item() == pytest.approx(4.0)
    assert losses.mano_loss(eye, eye, betas + 1.0, betas).item() == pytest.approx(10.0)


def test_close_vertices_loss_sees_only_truly_close_pairs():
    true_right = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    true_left = torch.tensor([[0.05, 0.0, 0.0], [0.0, 0.08, 0.0]])  # squared distances 0.0025 and 0.0064 to the first
    left = true_left + torch.tensor([0.0, 0.0, 0.1])
    assert losses.close_vertices_loss(true_right, left, true_right, true_left).item() == pytest.approx(0.01, rel=1e-4)
    assert losses.close_vertices_loss(true_right, left, true_right, true_left, alpha=0.0065).item() == pytest.approx(
        0.02, rel=1e-4
    )


def test_losses_keep_the_batch_apart():
    predicted, true = torch.randn(4, 2, 21, 3), torch.randn(4, 2, 21, 3)
    assert losses.max_mse(predicted, true).shape == (4, 2)
    assert losses.joint_relation_loss(predicted[:, 0], predicted[:, 1], true[:, 0], true[:, 1]).shape == (4,)


def test_mano_loss_of_small_turns_is_their_squared_angle_with_its_gradient():
    angle = torch.tensor(0.02, dtype=torch.float64, requires_grad=True)
    turned = torch.eye(3, dtype=torch.float64).expand(16, 3, 3).clone()
    turned[3, 0, 0] = turned[3, 1, 1] = angle.cos()
    turned[3, 1, 0], turned[3, 0, 1] = angle.sin(), -angle.sin()
    betas = torch.zeros(10, dtype=torch.float64)
    loss = losses.mano_loss(turned, torch.eye(3, dtype=torch.float64).expand(16, 3, 3), betas, betas)
    loss.backward()
    assert loss.item() == pytest.approx(4.0 * np.sin(0.01) ** 2) == pytest.approx(0.02**2, rel=1e-4)
    assert angle.grad.item() == pytest.approx(2.0 * np.sin(0.02))


def test_relation_gradients_are_worked_out_by_hand():
    # one joint off by (0.1, 0, 0) on the right and one by (0, 0.2, 0) on the left: dL/dr = -2 sum_k (dl_k - dr)
    right, left = torch.zeros(21, 3, requires_grad=True), torch.zeros(21, 3, requires_grad=True)
    true_right, true_left = torch.zeros(21, 3), torch.zeros(21, 3)
    true_right[0, 0], true_left[5, 1] = -0.1, -0.2
    loss = losses.joint_relation_loss(right, left, true_right, true_left)
    loss.backward()
    assert loss.item() == pytest.approx(21 * 0.01 + 21 * 0.04)
    assert right.grad[0].tolist() == pytest.approx([2 * 21 * 0.1, -2 * 0.2, 0.0])
    assert right.grad[1].tolist() == pytest.approx([0.0, -2 * 0.2, 0.0])
    assert left.grad[5].tolist() == pytest.approx([-2 * 0.1, 2 * 21 * 0.2, 0.0])


def test_close_vertices_at_exactly_alpha_count_and_others_get_no_gradient():
    true_right = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    true_left = torch.tensor([[0.5, 0.0, 0.0]])
    left = torch.tensor([[0.5, 0.25, 0.0]], requires_grad=True)
    right = true_right.clone().requires_grad_()
    losses.close_vertices_loss(right, left, true_right, true_left, alpha=0.25).backward()
    assert left.grad.tolist() == [[0.0, 0.5, 0.0]]
    assert right.grad.tolist() == [[0.0, -0.5, 0.0], [0.0, 0.0, 0.0]]


def hands(batch=3, vertices=11, kind=losses.Hands, **masks):
    """Random hands with every field."""
    return kind(
        torch.randn(batch, 2, 16, 3, 3),
        torch.randn(batch, 2, 10),
        torch.randn(batch, 2, 21, 3),
        torch.randn(batch, 2, vertices, 3),
        torch.randn(batch, 2, 21, 2),
        torch.randn(batch, 2, 21, 3),
        torch.randn(batch, 2, vertices, 3) * 0.04,
        **masks,
    )


def of_single_samples(predicted, true, weights):
    """Every term's mean over samples and hands, by the equations' own functions."""
    w, spread = weights, list(zip(*(getattr(predicted, name) for name in vars(predicted))))
    ground_truth = list(zip(*(getattr(true, name) for name in vars(predicted))))
    total = dict.fromkeys(("mano", "joints", "points", "vertices", "relation", "close"), 0.0)
    for p, t in zip(spread, ground_truth):
        for side in (0, 1):
            total["mano"] += losses.mano_loss(p[0][side], t[0][side], p[1][side], t[1][side], w.pose, w.betas) / 6
            total["joints"] += w.joints * losses.max_mse(p[2][side], t[2][side]) / 6
            total["points"] += w.projection * losses.max_mse(p[4][side], t[4][side]) / 6
            total["vertices"] += w.vertices * losses.max_mse(p[3][side], t[3][side]) / 6
        total["relation"] += w.relation / 441 * losses.joint_relation_loss(p[5][1], p[5][0], t[5][1], t[5][0]) / 3
        total["close"] += w.close / 121 * losses.close_vertices_loss(p[6][1], p[6][0], t[6][1], t[6][0], w.alpha) / 3
    return total


def test_objective_is_the_weighted_mean_of_every_equation():
    predicted, true = hands(), hands(kind=losses.GroundTruth)
    weights = losses.LossWeights(1.5, 0.4, 2.0, 3.0, 0.7, 5.0, 6.0, 0.01)
    terms = losses.objective(predicted, true, weights)
    expected = of_single_samples(predicted, true, weights)
    assert set(terms) == set(expected) and expected["close"] > 0
    for name, value in terms.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-4), name


def test_objective_skips_what_has_no_truth_and_nan_reaches_no_gradient():
    """Sample 0 has the left hand alone, sample 1 no MANO parameters and no vertices, sample 2 partly valid joints."""
    predicted, true = hands(), hands(kind=losses.GroundTruth)
    every = torch.ones(3, 2, 21, dtype=torch.bool)
    joint_valid, point_valid = every.clone(), every.clone()
    joint_valid[2, 0, :5] = False
    joint_valid[2, 1] = False
    point_valid[1] = False
    known = torch.tensor([[True, True], [False, False], [True, True]])
    masked = dataclasses.replace(
        true,
        present=torch.tensor([[True, False], [True, True], [True, True]]),
        has_mano=known,
        has_vertices=known,
        joint_valid=joint_valid,
        point_valid=point_valid,
    )
    for name in ("rotations", "betas", "joints", "vertices", "points", "pair_joints", "pair_vertices"):
        value = getattr(masked, name).clone()
        value[0, 1] = torch.nan  # the hand that is not there
        if name in ("rotations", "betas", "vertices", "pair_vertices", "points"):
            value[1] = torch.nan
        elif name in ("joints", "pair_joints"):
            value[2][~joint_valid[2]] = torch.nan
        setattr(masked, name, value)
        getattr(predicted, name).requires_grad_()
    w = losses.LossWeights()
    terms = losses.objective(predicted, masked, w)
    sum(terms.values()).backward()

    p, t = predicted, true
    mano = [
        losses.mano_loss(p.rotations[i, k], t.rotations[i, k], p.betas[i, k], t.betas[i, k], w.pose, w.betas)
        for i, k in ((0, 0), (2, 0), (2, 1))
    ]
    assert terms["mano"].item() == pytest.approx(sum(mano).item() / 3, rel=1e-5)
    joints = [losses.max_mse(p.joints[i, k], t.joints[i, k]) for i, k in ((0, 0), (1, 0), (1, 1))]
    joints.append(losses.max_mse(p.joints[2, 0, 5:], t.joints[2, 0, 5:]))
    assert terms["joints"].item() == pytest.approx(w.joints * sum(joints).item() / 4, rel=1e-5)
    relation = losses.joint_relation_loss(p.pair_joints[1, 1], p.pair_joints[1, 0], t.pair_joints[1, 1], t.pair_joints[1, 0])
    assert terms["relation"].item() == pytest.approx(w.relation / 441 * relation.item(), rel=1e-4)
    close = losses.close_vertices_loss(
        p.pair_vertices[2, 1], p.pair_vertices[2, 0], t.pair_vertices[2, 1], t.pair_vertices[2, 0]
    )
    assert terms["close"].item() == pytest.approx(w.close / 121 * close.item(), rel=1e-4)
    for name in vars(predicted):
        gradient = getattr(predicted, name).grad
        assert torch.isfinite(gradient).all() and (gradient[0, 1] == 0).all() and gradient.abs().sum() > 0, name
    assert (predicted.rotations.grad[1] == 0).all() and (predicted.points.grad[1] == 0).all()
    assert (predicted.joints.grad[2][~joint_valid[2]] == 0).all()


def test_objective_without_any_truth_is_zero_and_absent_fields_have_no_term():
    predicted, true = hands(), hands(kind=losses.GroundTruth, present=torch.zeros(3, 2, dtype=torch.bool))
    assert all(value.item() == 0.0 for value in losses.objective(predicted, true).values())
    predicted.vertices, true.pair_joints = None, None
    assert set(losses.objective(predicted, true)) == {"mano", "joints", "points", "close"}


def test_relation_with_partly_valid_joints_is_the_mean_over_valid_pairs():
    predicted, true = hands(1), hands(1, kind=losses.GroundTruth)
    true.joint_valid = torch.rand(1, 2, 21) < 0.5
    i, k = (true.joint_valid[0, side].nonzero()[:, 0] for side in (1, 0))
    expected = losses.joint_relation_loss(
        predicted.pair_joints[0, 1][i], predicted.pair_joints[0, 0][k], true.pair_joints[0, 1][i], true.pair_joints[0, 0][k]
    ) / (len(i) * len(k))
    weights = losses.LossWeights(relation=1.0)
    assert losses.objective(predicted, true, weights)["relation"].item() == pytest.approx(expected.item(), rel=1e-4)
    true.related = torch.tensor([False])
    assert losses.objective(predicted, true, weights)["relation"].item() == 0.0
