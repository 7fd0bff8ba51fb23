"""The most likely pose and position of one hand, given its landmarks in all views, what the single views make of its pose, and
its past: Gauss-Newton on all joint rotations and the wrist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..geometry.rigid import Rigid
from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_matrix
from ..hand_model.arrays import HandArrays
from ..hand_model.assets import HandAsset
from ..hand_model.landmarks import Landmarks
from ..hand_model.limits import clamp, joint_frames
from ..hand_model.skeleton import LEFT, MANO_IN_21, RIGHT, palm_length
from ..pipeline.refinement import FINGERS, MOVED
from .views import Sighting

PRIOR = (0.2, 0.1, 0.05, 0.15)
"""Expected error of a single view's flexion, abduction and twist, and of its global orientation, radians."""
_NEAREST = 0.05
_HUBER = 2.0
_TURNED, _MOVED = 0.03, 0.001
"""Radians and metres: a step that turns and moves less is the last one."""


@dataclass(frozen=True, eq=False)
class Looks:
    """How V views look at a hand. cameras: (V, 3, 3) their axes, and places: (V, 3) where they stand, in the fixed frame. rays:
    (V, 21, 2); sigma: (V, 21) their expected errors."""

    cameras: np.ndarray
    places: np.ndarray
    rays: np.ndarray
    sigma: np.ndarray

    @classmethod
    def of(cls, poses: Sequence[Rigid], rays: np.ndarray, sigma: np.ndarray) -> Looks:
        """Of cameras in their poses."""
        return cls(np.array([one.rotation for one in poses]), np.array([one.position for one in poses]), rays, sigma)


@dataclass(frozen=True, eq=False)
class Linear:
    """Residuals (V * 42,) of a hand in V views, in units of sigma and robustly weighted, and their derivatives: by_pose
    (V * 42, 51), turns and wrist; by_shape (V * 42, 10), betas; rows (V, 21, 2, 3), the landmarks. trust: (V, 21) what a
    change of a ray is worth."""

    by_pose: np.ndarray
    error: np.ndarray
    by_shape: np.ndarray
    rows: np.ndarray
    trust: np.ndarray


@dataclass(frozen=True, eq=False)
class Solution:
    """rotations: (16, 3, 3) in the side's convention, fixed frame. wrist: (3,) metres; covariance: (3, 3) of it. joints:
    (21, 3) metres, relative to the wrist; landmarks: (21, 3) where the detector sees them, likewise. shape: (information
    (10, 10), its product with the likeliest change (10,)) of betas."""

    rotations: np.ndarray
    wrist: np.ndarray
    covariance: np.ndarray
    joints: np.ndarray
    landmarks: np.ndarray
    shape: tuple[np.ndarray, np.ndarray] = field(default_factory=lambda: (np.zeros((10, 10)), np.zeros(10)))


class HandSolver:
    """Solves for one side's hand.

    assets: (left, right) hand models. landmarks: where the detector sees the joints of both. hand: its side's model alone.
    precision: (48,) of a single view's turns. usual_palm: metres from the wrist to the middle finger's root of a hand of usual
    shape, in any pose.
    """

    def __init__(self, assets: Sequence[HandAsset], side: int, landmarks: Landmarks, iterations: int = 3) -> None:
        self.hand, self._landmarks, self._iterations = HandArrays([assets[side]]), landmarks.of_side(side), iterations
        self.side, self._frames = side, joint_frames(assets[RIGHT])  # (15, 3, 3) flexion, abduction and twist axes as columns
        mirrored = np.array([-1.0 if side == LEFT else 1.0, 1.0, 1.0])
        self._axes = np.concatenate([np.eye(3)[None], mirrored[:, None] * self._frames])
        flexion, abduction, twist, orientation = PRIOR
        prior = np.tile([flexion, abduction, twist], (16, 1))
        prior[0] = orientation
        self.precision = 1.0 / prior.ravel() ** 2
        flat = np.tile(np.eye(3), (1, 15, 1, 1))
        self.usual_palm = float(palm_length(self.hand.joints(flat[:, 0], flat, np.zeros((1, 10)))[0]))

    def limited(self, rotations: np.ndarray) -> np.ndarray:
        """Rotations (16, 3, 3) of its side with the joints' within human limits."""
        right = mirror_matrix(rotations) if self.side == LEFT else rotations.copy()
        right[1:] = clamp(right[1:], self._frames)
        return mirror_matrix(right) if self.side == LEFT else right

    def __call__(
        self,
        sightings: list[Sighting],
        shifts: np.ndarray,
        prior: tuple[np.ndarray, float],
        betas: np.ndarray,
        start: np.ndarray,
        past: tuple[np.ndarray, np.ndarray] | None = None,
        before: np.ndarray | None = None,
        with_shape: bool = False,
        scale: float = 1.0,
    ) -> Solution:
        """shifts: (V, 21, 3) metres, what is added to the joints at the estimate's moment to have them at each view's. prior:
        rotations (16, 3, 3) and how many views' worth of them. betas: (10,). start: (3,) wrist. past: (mean (3,), information
        (3, 3)) of the wrist. before: rotations (16, 3, 3) just before, from which few steps lead to the answer.
        with_shape: also find what the landmarks say of the shape."""
        sigma = scale * np.array([one.sigma for one in sightings])
        poses = [one.view.pose for one in sightings]
        looks = Looks.of(poses, np.array([one.rays for one in sightings]), sigma)
        solution, hessian = self.solve(looks, shifts, prior, betas, start, past, before)
        if not with_shape:
            return solution
        linear = self.linear(looks, shifts, solution, betas)
        return replace(solution, shape=_marginal(linear, hessian))

    def solve(
        self,
        looks: Looks,
        shifts: np.ndarray,
        prior: tuple[np.ndarray, float],
        betas: np.ndarray,
        start: np.ndarray,
        past: tuple[np.ndarray, np.ndarray] | None = None,
        before: np.ndarray | None = None,
    ) -> tuple[Solution, np.ndarray]:
        """The same, given how views look at the hand; also the last step's Hessian (51, 51) of turns and wrist."""
        reference, weight = prior
        precision = self.precision * weight
        turned, wrist, rotations = np.zeros(48), np.array(start), reference
        if before is not None:
            rotations, turned = before, self._turns(reference, before)
        hessian = np.eye(51)
        for _ in range(self._iterations):
            joints, points, bones = self._posed(rotations, betas)
            arms = self._arms(joints, points, bones)
            jacobian, error, *_ = self._linearised(points + wrist + shifts, arms, bones, looks)
            hessian = jacobian.T @ jacobian
            gradient = jacobian.T @ error
            hessian[np.arange(48), np.arange(48)] += precision
            gradient[:48] += precision * turned
            hessian[np.arange(51), np.arange(51)] += 1e-9
            if past is not None:
                hessian[48:, 48:] += past[1]
                gradient[48:] += past[1] @ (wrist - past[0])
            step = -np.linalg.solve(hessian, gradient)
            step[:48] = step[:48].clip(-0.5, 0.5)
            vectors = (self._axes @ step[:48].reshape(16, 3, 1))[..., 0]
            rotations = rotations @ matrix_from_axis_angle(vectors)
            wrist = wrist + step[48:]
            turned = self._turns(reference, rotations)
            if np.abs(step[:48]).max() < _TURNED and np.abs(step[48:]).max() < _MOVED:
                break
        joints, points, _ = self._posed(rotations, betas)
        return Solution(rotations, wrist, np.linalg.inv(hessian)[48:, 48:], joints, points), hessian

    def _turns(self, reference: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(48,) by which rotations (16, 3, 3) are turned from others, about each one's axes."""
        apart = axis_angle_from_matrix(np.swapaxes(reference, -1, -2) @ rotations)
        return (np.swapaxes(self._axes, -1, -2) @ apart[..., None]).reshape(48)

    def linear(self, looks: Looks, shifts: np.ndarray, solution: Solution, betas: np.ndarray) -> Linear:
        """The residuals of a solution of these, and how they change."""
        joints, points, bones = self._posed(solution.rotations, betas)
        placed, arms = points + solution.wrist + shifts, self._arms(joints, points, bones)
        jacobian, error, rows, trust = self._linearised(placed, arms, bones, looks)
        by_shape = self._by_shape(solution.rotations, rows)
        return Linear(jacobian, error, by_shape, rows, trust)

    def _posed(self, rotations: np.ndarray, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The joints (21, 3), where the detector sees them, and the bones (16, 3, 3)."""
        points, bones = self.hand.joints_and_bones(rotations[None, 0], rotations[None, 1:], betas[None])
        return points[0], points[0] + self._landmarks.beside(bones[0]), bones[0]

    def _arms(self, joints: np.ndarray, points: np.ndarray, bones: np.ndarray) -> np.ndarray:
        """(16, 21, 3) from the joint that each MANO rotation turns to the landmarks that it moves; 0 for those that it does
        not. joints, points, bones: see `_posed`."""
        arms = (points[None] - joints[MANO_IN_21, None]) * MOVED[..., None]
        arms[FINGERS] = (bones @ self._landmarks.after[MANO_IN_21, :, None])[1:, :, 0]
        return arms

    def _linearised(
        self, placed: np.ndarray, arms: np.ndarray, bones: np.ndarray, looks: Looks
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives (V * 42, 51) by turns and wrist, residuals (V * 42,), their derivatives (V, 21, 2, 3) by the points,
        and (V, 21) by the rays, but for the sign; all robustly weighted."""
        rows, residual, weight = _projected(placed, looks)
        rows = rows * weight[..., None, None]
        axes = (bones @ self._axes).swapaxes(-1, -2)  # (16, 3 axes, 3) in the fixed frame
        # a turn about an axis moves a point by axis x arm, seen along a row as row . (axis x arm) = axis . (arm x row)
        crossed = cross(arms[:, None, :, None], rows[None])  # (16, V, 21, 2, 3)
        count = residual.size
        jacobian = np.empty((count, 51))
        jacobian[:, :48] = (crossed.reshape(16, count, 3) @ axes.swapaxes(-1, -2)).transpose(1, 0, 2).reshape(count, 48)
        jacobian[:, 48:] = rows.reshape(count, 3)
        return jacobian, (residual * weight[..., None]).reshape(count), rows, weight / looks.sigma

    def _by_shape(self, rotations: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Derivatives (V * 42, 10) of the residuals by betas: with the pose known, joints are an affine function of them.
        rows: as of `_linearised`."""
        each = np.concatenate([np.zeros((1, 10)), np.eye(10)])[:, None]
        tiled = np.broadcast_to(rotations, (11, 1, 16, 3, 3))
        joints = self.hand.joints(tiled[:, :, 0], tiled[:, :, 1:], each)[:, 0]
        moved = joints[1:] - joints[0]  # (10, 21, 3)
        return (rows @ moved.transpose(1, 2, 0)[None]).reshape(-1, 10)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """numpy.cross of the last axis, which takes twice as long."""
    x, y, z = (a[..., k] for k in range(3))
    u, v, w = (b[..., k] for k in range(3))
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def _projected(placed: np.ndarray, looks: Looks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives (V, 21, 2, 3) of the residuals (V, 21, 2) of points (V, 21, 3) by the points, in units of sigma, and the
    residuals' robust weights (V, 21), square roots."""
    seen = (placed - looks.places[:, None]) @ looks.cameras
    z = np.maximum(seen[..., 2], _NEAREST)
    projected = seen[..., :2] / z[..., None]
    residual = (projected - looks.rays) / looks.sigma[..., None]
    axes = looks.cameras.swapaxes(-1, -2)[:, None]  # rows are the camera's axes in the fixed frame
    rows = (axes[:, :, :2] - projected[..., None] * axes[:, :, 2:]) / (looks.sigma * z)[..., None, None]
    weight = np.sqrt(1.0 / np.maximum(1.0, np.sqrt(np.square(residual).sum(-1)) / _HUBER))
    return rows, residual, weight


def _marginal(linear: Linear, hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the residuals say of the shape when the pose is free: information (10, 10), its product with the change (10,)."""
    cross_terms = linear.by_pose.T @ linear.by_shape
    explained = np.linalg.solve(hessian, cross_terms)
    information = linear.by_shape.T @ linear.by_shape - cross_terms.T @ explained
    return information, -(linear.by_shape.T @ linear.error - explained.T @ (linear.by_pose.T @ linear.error))


def mean_rotations(rotations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean (K, 3, 3) of V views' rotations (V, K, 3, 3), weights (V,), about the first."""
    if len(rotations) == 1:
        return rotations[0]
    turn = axis_angle_from_matrix(np.swapaxes(rotations[0], -1, -2)[None] @ rotations)
    mean = (weights[:, None, None] * turn).sum(0) / weights.sum()
    return rotations[0] @ matrix_from_axis_angle(mean)
