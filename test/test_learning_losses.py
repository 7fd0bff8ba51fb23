"""The losses of Eq. 5-10 against values and gradients worked out by hand."""

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


def test_joint_relation_loss_sums_over_all_pairs():
    right, left = torch.randn(21, 3), torch.randn(21, 3)
    true_right, true_left = torch.randn(21, 3), torch.randn(21, 3)
    predicted = left[None] - right[:, None]
    true = true_left[None] - true_right[:, None]
    expected = (predicted - true).square().sum()
    assert losses.joint_relation_loss(right, left, true_right, true_left).item() == pytest.approx(expected.item(), rel=1e-4)


def test_close_vertices_loss_sees_only_truly_close_pairs():
    true_right = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    true_left = torch.tensor([[0.05, 0.0, 0.0], [0.0, 0.08, 0.0]])  # squared distances 0.0025 and 0.0064 to the first
    left = true_left + torch.tensor([0.0, 0.0, 0.1])
    assert losses.close_vertices_loss(true_right, left, true_right, true_left).item() == pytest.approx(0.01, rel=1e-4)
    assert losses.close_vertices_loss(true_right, left, true_right, true_left, alpha=0.0065).item() == pytest.approx(0.02, rel=1e-4)


def test_losses_keep_the_batch_apart():
    predicted, true = torch.randn(4, 2, 21, 3), torch.randn(4, 2, 21, 3)
    assert losses.joint_loss(predicted, true).shape == (4, 2)
    assert losses.joint_relation_loss(predicted[:, 0], predicted[:, 1], true[:, 0], true[:, 1]).shape == (4,)
