"""How large hands are that several cameras see, in one adjustment with their poses: all landmarks say it, however a hand is
held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from ...geometry.rigid import Rigid
from ...hand_model.arrays import HandArrays
from ...hand_model.assets import HandAsset
from ...hand_model.landmarks import Landmarks
from ...hand_model.skeleton import LEFT, RIGHT
from ...pipeline.refinement import SPREAD
from ...pipeline.settings import TrackerSettings
from ...pipeline.shape_calibration import hand_length
from ..solution import HandSolver, Linear, Looks, mean_rotations
from ..views import RADIUS, nearest_points
from .shared_hands import Moment, blocks

_USED, _ROUNDS, _ITERATIONS = 120, 6, 4
"""Hands that are posed, up to twice as many, how often they are, and in how many steps."""
PALM = np.array([0, 5, 9, 13, 17])
"""The joints of the palm, which moves as a whole."""
ALIKE = 0.01
"""By how much a detector makes one view's hands of one side too wide, too high or oblique in all images, of their extent
(standard deviation)."""
_WORTH, _SHAPE = 25.0, 3.0
"""What all hands together say, in hands: a detector errs the same way again and again; and the prior of the betas, of which
people's are 1."""
_POSE = 0.1
"""Of a single view's pose, as a prior: the other views see what it guessed."""
_RULER = 0.001
"""Metres by which a length that was measured may be off."""


class PosedHands:
    """How large all is, and the hands' shape, so that hands of one shape, each in its pose, lie on all rays.

    moments: hands that agree. poses: of the cameras, right but for their distances from the first one, whose frame is the fixed
    one. assets, landmarks: (left, right) hand models and where the rays' landmarks are. length: of the hand, metres; 0 where
    not known. `run` finds `scale`, metres of one unit of the poses, its relative standard deviation `sigma`, and `betas` (10,).
    """

    def __init__(
        self,
        moments: Sequence[Moment],
        poses: Sequence[Rigid],
        assets: Sequence[HandAsset],
        landmarks: Landmarks,
        length: float,
    ) -> None:
        self.scale, self.sigma, self.betas = 1.0, 0.0, np.zeros(10)
        self._given, self._moments = poses, moments[:: max(1, len(moments) // _USED)]
        self._hands, self._length = HandArrays(assets), length
        self._solvers = [HandSolver(assets, side, landmarks, _ITERATIONS) for side in (LEFT, RIGHT)]
        self._blocks = blocks([one.stamp for one in self._moments])

    def run(self) -> None:
        """Solve."""
        self.scale = self._by_palms()
        for _ in range(_ROUNDS):
            normal, by_block, always = self._sums()
            known, missing = self._known()
            inverse = np.linalg.inv(normal + known)
            change = inverse @ (missing - by_block.sum(0))
            self.scale *= float(np.exp(change[0].clip(-0.2, 0.2)))
            self.betas = self.betas + change[1:].clip(-1.0, 1.0)
            if abs(change[0]) < 1e-3:
                break
        always = inverse @ always
        covariance = inverse @ (by_block.T @ by_block + known) @ inverse + always @ always.T
        self.sigma = float(np.sqrt(covariance[0, 0]))

    def _by_palms(self) -> float:
        """About the scale: as large as palms are, which keep their form in any pose."""
        flat = np.tile(np.eye(3), (2, 16, 1, 1))
        palms = spread(self._hands.joints(flat[:, 0], flat[:, 1:], np.zeros((2, 10)))[:, PALM])
        usual = hand_length(self._hands, np.zeros(10))
        met = spread(np.array([_met(self._looks(one, 1.0))[PALM] for one in self._moments]))
        larger = palms[[one.side for one in self._moments]] / np.maximum(met, 1e-6)
        return float(np.median(larger)) * (self._length / usual if self._length else 1.0)

    def _looks(self, moment: Moment, scale: float) -> Looks:
        """Of the cameras that see a hand; sigma is not known yet."""
        given = (self._given[number] for number in moment.cameras)
        poses = [Rigid(pose.rotation, scale * pose.position) for pose in given]
        return Looks.of(poses, moment.rays, np.ones(moment.rays.shape[:2]))

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """What is known besides: information, and its product with what it says of the change."""
        known, missing = np.diag([1e-9, *[_SHAPE] * 10]), np.concatenate([[0.0], -_SHAPE * self.betas])
        if self._length:
            now = hand_length(self._hands, self.betas)
            longer = [0.0, *((hand_length(self._hands, self.betas + one) - now) / 1e-3 for one in 1e-3 * np.eye(10))]
            known = known + np.outer(longer, longer) / _RULER**2
            missing = missing + np.array(longer) * (self._length - now) / _RULER**2
        return known, missing

    def _sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all hands, their poses free: information (11, 11) about scale and shape, each block's gradient (B, 11), and its
        change (11, K) by what a detector makes of one view's hands of one side all the time."""
        normal, by_block = np.zeros((11, 11)), np.zeros((self._blocks.max() + 1, 11))
        always = np.zeros((11, len(self._given), 2, 4))
        worth = _WORTH / len(self._moments)
        for moment, block in zip(self._moments, self._blocks):
            looks, linear, hessian = self._posed(moment)
            larger = -(linear.rows @ looks.places[:, None, :, None]).reshape(-1, 1)  # all cameras further away from the first
            free = np.concatenate([larger, linear.by_shape], axis=1)
            rest = free - linear.by_pose @ np.linalg.solve(hessian, linear.by_pose.T @ free)
            normal += worth * free.T @ rest
            by_block[block] += worth * rest.T @ linear.error
            for v, way, change in _alike(looks, linear):
                always[:, moment.cameras[v], moment.side, way] += worth * rest.T @ change
        return normal, by_block, always.reshape(11, -1)

    def _posed(self, moment: Moment) -> tuple[Looks, Linear, np.ndarray]:
        """How views look at a hand, its residuals, and their Hessian by its pose."""
        looks = self._looks(moment, self.scale)
        met = _met(looks)
        away = np.linalg.norm(met.mean(0) - looks.places, axis=-1)
        looks.sigma[:] = TrackerSettings.landmark_error * SPREAD * RADIUS / np.maximum(away, 0.1)[:, None]
        rotations = moment.rotations.copy()
        rotations[:, 0] = looks.cameras @ rotations[:, 0]
        prior = mean_rotations(rotations, np.ones(len(rotations))), _POSE * len(rotations)
        solver, still = self._solvers[moment.side], np.zeros((len(looks.places), 21, 3))
        solution, _ = solver.solve(looks, still, prior, self.betas, met[0])
        linear = solver.linear(looks, still, solution, self.betas)
        known = np.concatenate([prior[1] * solver.precision, np.full(3, 1e-9)])
        return looks, linear, linear.by_pose.T @ linear.by_pose + np.diag(known)


def _met(looks: Looks) -> np.ndarray:
    """(21, 3) where the views' rays meet."""
    lines = np.concatenate([looks.rays, np.ones((*looks.rays.shape[:2], 1))], -1) @ looks.cameras.swapaxes(-1, -2)
    lines = lines / np.linalg.norm(lines, axis=-1, keepdims=True)
    return nearest_points(lines, looks.places, np.ones(lines.shape[:2]))


def spread(points: np.ndarray) -> np.ndarray:
    """(N,) RMS distance of points (N, P, 3) from their middle."""
    return np.sqrt(np.square(points - points.mean(1, keepdims=True)).sum(-1).mean(1))


def _alike(looks: Looks, linear: Linear) -> Iterator[tuple[int, int, np.ndarray]]:
    """Each view, each way in which a detector may always make its hands too wide, too high or oblique, and by how much the
    residuals (V * 42,) change then."""
    beside = looks.rays - looks.rays.mean(1, keepdims=True)
    for v in range(len(beside)):
        for way, (to, of) in enumerate(product((0, 1), (0, 1))):
            change = np.zeros_like(beside)
            change[v, :, to] = -ALIKE * beside[v, :, of] * linear.trust[v]
            yield v, way, change.reshape(-1)
