"""Where cameras stand, from nothing but hands that all of them see: relative poses from landmarks, scale from a hand's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import numpy as np

from ...errors import InputError
from ...geometry.rigid import Rigid, aligned
from ...geometry.rotations import matrix_from_axis_angle
from ...hand_model.arrays import HandArrays
from ...hand_model.assets import HandAsset
from ...hand_model.landmarks import Landmarks, landmarks_of_both
from ...hand_model.skeleton import LEFT, RIGHT
from ..views import RADIUS, nearest_points
from .clocks import clocks_apart
from .posed_hands import ALIKE, PALM, PosedHands, spread
from .shared_hands import LEAST_HANDS, Moment, Sightings, blocks, shared_moments

_HUBER = 1.5
_ERROR, _FIRST = (0.002, 0.015), 0.1
"""Expected error of a hand's landmarks, metres at the hand, from and to; and at first, when only single cameras' distances
are known."""
_WORTH = np.ones((21, 1))
_WORTH[[0, 1, 5, 9, 13, 17]] = 0.5
"""(21, 1) of each landmark: the detector sees wrist and knuckles elsewhere in each view, always the same way, which turns the
cameras about each other by 1 to 2 degrees; the fingers beyond them by a few tenths, the other way."""
_UNLIKE = 1.35
"""Times as large or as small as the others that no hand is."""
_SIZE_SPREAD = 0.06
"""How much people's hands differ, relatively (standard deviation), where no length is known."""
_DEPTH_SIGMA = 0.01
"""By how much a depth camera, or where hands are taken to be in its images, is wrong in all images alike, relatively."""
_UNSURE_ANGLE, _UNSURE_BASELINE = 2.0, 0.1
"""Degrees, and share of the baseline, beyond which a calibration is refused."""


@dataclass(frozen=True)
class Certainty:
    """Of one camera: hands it shared with others; residual: median by which rays pass by, metres; angle: degrees, and distance:
    metres, standard deviations of its pose beside the first camera's."""

    hands: int
    residual: float
    angle: float
    distance: float


@dataclass(frozen=True, eq=False)
class FoundPoses:
    """poses: each camera's optical frame in the first one's. scale: where metres come from, in words."""

    poses: dict[str, Rigid]
    certainty: dict[str, Certainty]
    scale: str
    points: np.ndarray = field(repr=False)
    """(N, 3) places of hands' middles, in the first camera's frame."""


def calibrate(
    cameras: Mapping[str, Sightings],
    assets: Sequence[HandAsset],
    hand_length: float = 0.0,
    distance: float = 0.0,
    landmarks: Landmarks | None = None,
    by_depth: bool = False,
) -> FoundPoses:
    """Solve for the cameras' poses.

    assets: (left, right) hand models. hand_length: from the crease of the wrist to the tip of the middle finger, metres; 0
    where it is not known. distance: between the first two cameras, metres; 0 likewise. landmarks: as of HandFusion. by_depth:
    take the metres from the hands that depth images have placed. Raises InputError where the motion says too little, the clocks
    are apart, or too few hands were placed so.
    """
    if len(cameras) < 2:
        raise InputError(f"one camera ({''.join(cameras) or 'none'}) has no pose beside others; give two or more")
    landmarks = landmarks or landmarks_of_both(assets)
    solve = partial(_solved, assets=assets, hand_length=hand_length, distance=distance, landmarks=landmarks, by_depth=by_depth)
    try:
        return solve(cameras)
    except InputError as error:
        if words := clocks_apart(cameras, solve):
            raise InputError(words) from error
        raise


def _solved(
    cameras: Mapping[str, Sightings],
    assets: Sequence[HandAsset],
    hand_length: float,
    distance: float,
    landmarks: Landmarks,
    by_depth: bool,
) -> FoundPoses:
    names = list(cameras)
    moments = _unbiased(shared_moments(cameras), landmarks)
    adjusted = _Adjustment(names, moments, _first_guess(names, moments))
    adjusted.run()
    certainty = adjusted.certainty()
    apart = {name: float(np.linalg.norm(pose.position)) for name, pose in zip(names, adjusted.poses)}
    for name in names[1:]:
        one = certainty[name]
        if one.angle > _UNSURE_ANGLE or one.distance > _UNSURE_BASELINE * apart[name]:
            raise InputError(
                f"the motion says too little about {name}: its pose is uncertain by {one.angle:.1f} degrees and "
                f"{1e3 * one.distance:.0f} mm of {1e3 * apart[name]:.0f}; move both hands through the whole space that the "
                "cameras share, high and low, near and far, for half a minute"
            )
    scale, sigma = distance / max(apart[names[1]], 1e-9), 0.0
    placed = 0
    if by_depth:
        scale, sigma, placed = adjusted.by_depth(HandArrays(assets), landmarks)
    elif not distance:
        posed = PosedHands(adjusted.good(), adjusted.poses, assets, landmarks, hand_length)
        posed.run()
        scale, sigma = posed.scale, posed.sigma if hand_length else max(posed.sigma, _SIZE_SPREAD)
    poses = {name: Rigid(pose.rotation, scale * pose.position) for name, pose in zip(names, adjusted.poses)}
    for name, one in certainty.items():
        certainty[name] = replace(one, distance=scale * float(np.hypot(one.distance, sigma * apart[name])))
    if by_depth:
        words = f"depth images, which placed {placed} of the hands, +- {100 * sigma:.1f} %"
    elif distance:
        words = f"the distance between {names[0]} and {names[1]}, {distance:g} m"
    elif hand_length:
        words = f"a hand of {1e3 * hand_length:.0f} mm"
    else:
        words = f"hands of the usual size, +- {100 * _SIZE_SPREAD:.0f} %"
    return FoundPoses(poses, certainty, words, scale * adjusted.middles())


def _unbiased(moments: list[Moment], landmarks: Landmarks) -> list[Moment]:
    """The same with what the detector adds to landmarks taken back."""
    if landmarks.bias is None:
        return moments
    result = []
    for one in moments:
        rays = np.full((len(one.rays), 2, 21, 2), np.nan)
        rays[:, one.side] = one.rays
        corrected = np.array([landmarks.bias.corrected(both)[one.side] for both in rays])
        result.append(replace(one, rays=corrected))
    return result


def _first_guess(names: Sequence[str], moments: list[Moment]) -> list[Rigid]:
    """Each camera's pose in the first one's frame, from what each alone makes of the hands' places: robust alignment."""
    poses: dict[int, Rigid] = {0: Rigid()}
    waiting = list(range(1, len(names)))
    while waiting:
        for number in waiting:
            known = [k for k in poses if any(k in one.cameras and number in one.cameras for one in moments)]
            if not known:
                continue
            base = known[0]
            pairs = [
                (one.joints[one.cameras.tolist().index(base)], one.joints[one.cameras.tolist().index(number)])
                for one in moments
                if base in one.cameras and number in one.cameras
            ]
            pose = _aligned(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
            poses[number] = poses[base] @ pose
            waiting.remove(number)
            break
        else:
            lonely = ", ".join(names[number] for number in waiting)
            raise InputError(f"{lonely} and {names[0]} never see a hand at the same moment, nor through another camera")
    return [poses[number] for number in range(len(names))]


def _aligned(there: np.ndarray, here: np.ndarray) -> Rigid:
    """The pose that turns `here` (N, 21, 3) into `there`, most of them: by least absolute distances."""
    rng = np.random.default_rng(0)
    best, least = Rigid(), np.inf
    for _ in range(60):
        some = rng.choice(len(here), min(6, len(here)), replace=False)
        pose = aligned(here[some].reshape(-1, 3), there[some].reshape(-1, 3), np.ones(21 * len(some)))
        cost = float(np.minimum(np.linalg.norm(pose.apply(here) - there, axis=-1).mean(1), 0.2).mean())
        if cost < least:
            best, least = pose, cost
    for _ in range(20):
        apart = np.linalg.norm(best.apply(here) - there, axis=-1)
        best = aligned(here.reshape(-1, 3), there.reshape(-1, 3), (1.0 / np.maximum(apart, 0.01) ** 2).ravel())
    return best


class _Adjustment:
    """Bundle adjustment of the cameras' poses; the landmarks' places follow from them (variable projection)."""

    def __init__(self, names: Sequence[str], moments: list[Moment], poses: list[Rigid]) -> None:
        self.names, self.moments, self.poses = names, moments, poses
        count = len(moments)
        self._seen = np.zeros((count, len(names)), bool)
        self._rays = np.zeros((count, len(names), 21, 2))
        for k, one in enumerate(moments):
            self._seen[k, one.cameras] = True
            self._rays[k, one.cameras] = one.rays

    def _points(self, poses: Sequence[Rigid]) -> np.ndarray:
        """(N, 21, 3) nearest to the rays, all of them alike."""
        rotations = np.array([pose.rotation for pose in poses])
        places = np.array([pose.position for pose in poses])
        lines = np.concatenate([self._rays, np.ones(self._rays.shape[:-1] + (1,))], -1) @ rotations.swapaxes(-1, -2)[None]
        lines = lines / np.linalg.norm(lines, axis=-1, keepdims=True)  # (N, V, 21, 3)
        return nearest_points(lines, places, self._seen[:, :, None].astype(float))

    def _residuals(self, poses: Sequence[Rigid]) -> np.ndarray:
        """(N, V, 21, 2) metres at a hand's usual distance, by `_WORTH`, 0 where not seen."""
        points = self._points(poses)
        result = np.zeros_like(self._rays)
        for v, pose in enumerate(poses):
            local = (points - pose.position) @ pose.rotation
            z = np.maximum(local[..., 2], 0.02)[..., None]
            size = self._depth[:, None, None]
            beside = (local[..., :2] / z - self._rays[:, v]) * size * _WORTH
            result[:, v] = np.where(self._seen[:, v, None, None], beside, 0.0)
        return result

    def run(self) -> None:
        """Solve, leaving out hands that do not agree."""
        radius = np.sqrt(np.square(self._rays - self._rays.mean(2, keepdims=True)).sum(-1).mean(-1))
        radius = np.where(self._seen, radius, 0.0).max(1)
        self._depth = RADIUS / np.maximum(radius, 1e-3)
        count = 6 * (len(self.poses) - 1)
        damping = 1e-3
        for step in range(40):
            residual = self._residuals(self.poses)
            size = np.linalg.norm(residual, axis=-1)  # (N, V, 21)
            worst = np.where(self._seen, np.median(size, axis=2), 0.0).max(1)
            # from what single cameras' errors leave to what the detector's do
            least = float(np.clip(2.0 * np.median(worst), *_ERROR))
            scale = max(least, _FIRST * 0.75**step)
            robust = np.where(size > _HUBER * scale, _HUBER * scale / np.maximum(size, 1e-9), 1.0)
            # of rays that meet where no hand of that size can be: one camera's left hand and the other's right one
            large = spread(self._points(self.poses)[:, PALM])
            ratio = large / max(float(np.median(large)), 1e-9)
            wrong = (worst > 2.5 * scale) | (ratio > _UNLIKE) | (ratio < 1.0 / _UNLIKE)
            trust = np.square(1.0 / (1.0 + np.square(worst / scale)))  # Geman and McClure's, of a hand as a whole
            trust = np.where(wrong, 0.0, trust)
            robust = np.sqrt(robust * trust[:, None, None])[..., None]
            jacobian = self._jacobian(residual)
            flat, weight = residual.reshape(-1), np.broadcast_to(robust, residual.shape).reshape(-1)
            weighted = jacobian * weight[:, None]
            normal, gradient = weighted.T @ weighted, weighted.T @ (weight * flat)
            cost = float(np.square(weight * flat).sum())
            improved, damping = False, min(damping, 1e-3)
            for _ in range(6):
                change = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)) + 1e-9 * np.eye(count), gradient)
                poses = self._moved(change)
                new = float(np.square(robust * self._residuals(poses)).sum())
                if new < cost:
                    improved, damping = True, max(0.3 * damping, 1e-6)
                    break
                damping *= 5.0
            if improved:
                self.poses = poses
            if scale == least and (not improved or np.abs(change).max() < 1e-6):
                break
        self._final = residual, robust, jacobian, ~wrong
        if (~wrong).sum() < LEAST_HANDS:
            raise InputError(
                f"only {(~wrong).sum()} of {len(wrong)} hands agree in all cameras; are they of the same moments "
                "and person, and are the lenses right?"
            )

    def _moved(self, change: np.ndarray) -> list[Rigid]:
        poses = [self.poses[0]]
        for v, pose in enumerate(self.poses[1:]):
            turn, shift = change[6 * v : 6 * v + 3], change[6 * v + 3 : 6 * v + 6]
            poses.append(Rigid(matrix_from_axis_angle(turn) @ pose.rotation, pose.position + shift))
        return poses

    def _jacobian(self, residual: np.ndarray) -> np.ndarray:
        count = 6 * (len(self.poses) - 1)
        jacobian = np.empty((residual.size, count))
        for k in range(count):
            change = np.zeros(count)
            change[k] = 1e-6
            jacobian[:, k] = ((self._residuals(self._moved(change)) - residual) / 1e-6).reshape(-1)
        return jacobian

    def good(self) -> list[Moment]:
        """The hands that agree."""
        return [one for one, good in zip(self.moments, self._final[3]) if good]

    def _larger(self) -> np.ndarray:
        """By how much hands become larger, relatively, with each number of the cameras' poses."""
        good, count, step = self._final[3], 6 * (len(self.poses) - 1), 1e-5
        sizes = [
            np.median(np.log(spread(self._points(self._moved(step * change))[good][:, PALM])))
            for change in [np.zeros(count), *np.eye(count)]
        ]
        return (np.array(sizes[1:]) - sizes[0]) / step

    def _always(self) -> np.ndarray:
        """(residuals, K) by how much they change where a view's hands of one side are wider, higher or more oblique than they
        are, each by as much as may be expected."""
        sides, exact, residual = np.array([one.side for one in self.moments]), self._rays, self._residuals(self.poses)
        beside, changes = exact - exact.mean(2, keepdims=True), []
        for v, side, (to, of) in product(range(len(self.names)), (LEFT, RIGHT), product((0, 1), (0, 1))):
            self._rays = exact.copy()
            self._rays[sides == side, v, :, to] += ALIKE * beside[sides == side, v, :, of]
            changes.append((self._residuals(self.poses) - residual).reshape(-1))
        self._rays = exact
        return np.stack(changes, axis=1)

    def by_depth(self, hands: HandArrays, landmarks: Landmarks) -> tuple[float, float, int]:
        """Metres of one unit of the poses, from how far away depth images show the hands that agree; its relative standard
        deviation, and how many sightings of hands say so. Raises InputError where too few do."""
        points, larger, stamps = self._points(self.poses)[self._final[3]], [], []
        for one, met in zip(self.good(), points):
            for k in np.flatnonzero(one.by_depth):
                pose, both = self.poses[one.cameras[k]], np.stack([one.rotations[k]] * 2)
                beside = landmarks.beside(hands.joints_and_bones(both[:, 0], both[:, 1:], np.zeros((2, 10)))[1])[one.side]
                away = (one.joints[k] + beside)[:, 2].mean()
                larger.append(np.log(away / max(((met - pose.position) @ pose.rotation)[:, 2].mean(), 1e-6)))
                stamps.append(one.stamp)
        if len(larger) < LEAST_HANDS:
            raise InputError(
                f"depth images placed {len(larger)} hands on which the cameras agree, and {LEAST_HANDS} are needed; are they "
                "in their images' view and hands within their range? Else give --hand-length or --distance"
            )
        block = blocks(stamps)
        means = [np.median(np.array(larger)[block == one]) for one in np.unique(block)]
        return float(np.exp(np.median(larger))), float(np.hypot(np.std(means) / np.sqrt(len(means)), _DEPTH_SIGMA)), len(larger)

    def middles(self) -> np.ndarray:
        """(M, 3) of the hands that agree."""
        return self._points(self.poses)[self._final[3]].mean(1)

    def certainty(self) -> dict[str, Certainty]:
        """By camera, in the solution's unit, if the scale is such that hands keep their size; errors of half a second are taken
        for one (a sandwich estimate over blocks of time); to them come those that a detector makes all the time."""
        residual, robust, jacobian, good = self._final
        weight = np.broadcast_to(robust, residual.shape).reshape(-1)
        weighted = jacobian * weight[:, None]
        score = (weighted * (weight * residual.reshape(-1))[:, None]).reshape(len(good), -1, jacobian.shape[1]).sum(1)
        block = blocks([one.stamp for one in self.moments])
        sums = np.zeros((block.max() + 1, jacobian.shape[1]))
        np.add.at(sums, block, score)
        normal = weighted.T @ weighted
        # the size of everything is free: it is not the poses' uncertainty
        size = np.concatenate([np.concatenate([np.zeros(3), pose.position]) for pose in self.poses[1:]])
        size = size / np.linalg.norm(size)
        inverse = np.linalg.inv(normal + 1e6 * np.outer(size, size) + 1e-9 * np.eye(len(normal)))
        always = inverse @ (weighted.T @ (weight[:, None] * self._always()))
        covariance = inverse @ (sums.T @ sums) @ inverse + always @ always.T
        larger = self._larger()
        beside = np.linalg.norm(residual / _WORTH, axis=-1)
        result = {}
        for v, name in enumerate(self.names):
            seen = self._seen[:, v] & good
            if v:
                moved = np.zeros((6, len(covariance)))
                moved[:, 6 * v - 6 : 6 * v] = np.eye(6)
                moved[3:] -= np.outer(self.poses[v].position, larger)
                part = moved @ covariance @ moved.T
                angle, apart = np.degrees(np.sqrt(np.trace(part[:3, :3]))), np.sqrt(np.trace(part[3:, 3:]))
            else:
                angle = apart = 0.0
            result[name] = Certainty(
                int(seen.sum()), float(np.median(beside[seen, v])) if seen.any() else float("nan"), float(angle), float(apart)
            )
        return result


@dataclass(frozen=True)
class Difference:
    """Between given poses and what hands say, of one camera beside the first: degrees, metres, and share of the baseline."""

    angle: float
    distance: float
    baseline: float


def compare(given: Mapping[str, Rigid], found: FoundPoses) -> dict[str, Difference]:
    """How given poses, in any fixed frame, differ from a calibration's."""
    names = list(found.poses)
    base = given[names[0]]
    result = {}
    for name in names[1:]:
        one, other = base.inverse() @ given[name], found.poses[name]
        apart = float(np.linalg.norm(one.position - other.position))
        result[name] = Difference(
            float(np.degrees(one.angle_to(other))), apart, apart / max(float(np.linalg.norm(other.position)), 1e-6)
        )
    return result
