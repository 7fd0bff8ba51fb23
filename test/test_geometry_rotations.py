"""Rotations against scipy, round trips, and the mirror in x."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from fourdhands_core.geometry import rotations as rot

vectors = arrays(np.float64, (4, 3), elements=st.floats(-3.2, 3.2))
six_numbers = arrays(np.float64, (6,), elements=st.floats(-5, 5))


@given(vectors)
def test_matrix_and_quaternion_agree_with_scipy(axis_angle):
    truth = Rotation.from_rotvec(axis_angle)
    matrix = rot.matrix_from_axis_angle(axis_angle)
    np.testing.assert_allclose(matrix, truth.as_matrix(), atol=1e-12)
    quaternion = rot.quaternion_from_matrix(matrix)
    expected = truth.as_quat()
    sign = np.sign((quaternion * expected).sum(-1, keepdims=True))
    np.testing.assert_allclose(quaternion, sign * expected, atol=1e-12)
    np.testing.assert_allclose(rot.matrix_from_quaternion(3.0 * quaternion), matrix, atol=1e-12)


@given(vectors)
def test_axis_angle_returns_to_the_same_rotation(axis_angle):
    matrix = rot.matrix_from_axis_angle(axis_angle)
    back = rot.axis_angle_from_matrix(matrix)
    assert (np.linalg.norm(back, axis=-1) <= np.pi + 1e-12).all()
    np.testing.assert_allclose(rot.matrix_from_axis_angle(back), matrix, atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-6, 1e-3, np.pi - 1e-9, np.pi])
def test_small_and_half_turns_are_exact(angle):
    axis = np.array([0.6, -0.48, 0.64])
    back = rot.axis_angle_from_matrix(rot.matrix_from_axis_angle(angle * axis))
    assert min(np.abs(back - angle * axis).max(), np.abs(back + angle * axis).max()) < 1e-9 + 1e-8 * angle


@given(six_numbers)
def test_6d_gives_rotations_and_follows_the_columns(six):
    a1, a2 = six[:3], six[3:]
    if np.linalg.norm(np.cross(a1, a2)) < 1e-3 * max(1.0, np.linalg.norm(a1) * np.linalg.norm(a2)):
        return
    matrix = rot.matrix_from_6d(six)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    np.testing.assert_allclose(matrix[:, 0], a1 / np.linalg.norm(a1), atol=1e-12)
    assert matrix[:, 1] @ a2 > 0
    np.testing.assert_allclose(rot.matrix_from_6d(rot.matrix_to_6d(matrix)), matrix, atol=1e-12)


@settings(max_examples=25)
@given(vectors)
def test_torch_agrees_with_numpy(axis_angle):
    matrix = rot.matrix_from_axis_angle(axis_angle)
    tensor = rot.matrix_from_axis_angle(torch.from_numpy(axis_angle))
    np.testing.assert_allclose(tensor.numpy(), matrix, atol=1e-12)
    six = rot.matrix_to_6d(tensor)
    np.testing.assert_allclose(six.numpy(), rot.matrix_to_6d(matrix), atol=1e-12)
    np.testing.assert_allclose(rot.matrix_from_6d(six).numpy(), matrix, atol=1e-12)
    np.testing.assert_allclose(rot.mirror_matrix(tensor).numpy(), rot.mirror_matrix(matrix))


def test_gradient_is_finite_at_the_identity():
    zero = torch.zeros(2, 3, requires_grad=True)
    rot.matrix_from_axis_angle(zero)[..., 1, 0].sum().backward()
    np.testing.assert_allclose(zero.grad.numpy(), [[0, 0, 1], [0, 0, 1]], atol=1e-6)


@given(vectors)
def test_mirrored_rotation_moves_mirrored_points(axis_angle):
    point = np.array([0.3, -0.2, 0.9])
    flip = np.diag([-1.0, 1.0, 1.0])
    mirrored = rot.matrix_from_axis_angle(rot.mirror_axis_angle(axis_angle))
    np.testing.assert_allclose(mirrored @ (flip @ point), rot.matrix_from_axis_angle(axis_angle) @ point @ flip, atol=1e-12)
    np.testing.assert_allclose(rot.mirror_matrix(rot.matrix_from_axis_angle(axis_angle)), mirrored, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(dtype):
    axis_angle = np.array([[0.1, 0.2, -0.3]], dtype)
    matrix = rot.matrix_from_axis_angle(axis_angle)
    assert matrix.dtype == dtype
    assert rot.quaternion_from_matrix(matrix).dtype == dtype
    assert rot.matrix_from_quaternion(rot.quaternion_from_matrix(matrix)).dtype == dtype
    assert rot.axis_angle_from_matrix(matrix).dtype == dtype
    assert rot.matrix_from_6d(rot.matrix_to_6d(matrix)).dtype == dtype
