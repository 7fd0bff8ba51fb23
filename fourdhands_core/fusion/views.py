"""What one camera saw at one moment, as the fusion of several takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.rigid import Rigid
from ..geometry.rotations import matrix_from_axis_angle
from ..pipeline.detect import radius_of
from ..pipeline.refinement import SPREAD
from ..pipeline.settings import TrackerSettings
from ..pipeline.types import HandPairEstimate

RADIUS = 0.055
"""RMS distance of a hand's joints from their middle, metres: what a detector's errors are in proportion to."""

_CLEAR, _UNCLEAR, _MOST_INFLATION = 0.4, 0.3, 6.0
"""Mean confidences of a hand's landmarks: above the first they lie 7 mm beside it in the median, below the second 30, as a
whole (cut by the image's border, two hands in one); and the most that their expected error grows between and below."""
_PASSING, _LARGER, _AWAY = 0.01, 0.05, 0.02
"""Metres by which rays of one hand pass by one another, a logarithm of its size beside the usual one's, and metres from where
it was expected, that are usual."""
_UNLIKE = 1.6
"""Times as large or as small as the usual hand in its pose, as far as one view can tell that, that no hand is."""


@dataclass(frozen=True, eq=False)
class View:
    """One camera's estimate.

    name: the camera's. pose: its optical frame in the fixed frame at the image's stamp. estimate: of its tracker. rays:
    (2, 21, 2) landmarks that the estimate was made of, as undistorted x/z, y/z.
    """

    name: str
    pose: Rigid
    estimate: HandPairEstimate
    rays: np.ndarray

    @property
    def stamp(self) -> int:
        """Of its image, nanoseconds."""
        return self.estimate.stamp

    def sightings(self) -> list[Sighting]:
        """The hands that are in it."""
        return [
            Sighting.of(self, hand.side)
            for hand in self.estimate.hands
            if hand.valid and np.isfinite(self.rays[hand.side]).all()
        ]


@dataclass(frozen=True, eq=False)
class Sighting:
    """One hand in one view. label: the side that the view's tracker gave it. rays: (21, 2). sigma: (21,) their expected error.
    rotations: (16, 3, 3) in label's convention, the wrist's to the fixed frame. joints: (21, 3) fixed frame, metres.
    by_depth: a depth image has placed them."""

    view: View
    label: int
    rays: np.ndarray
    sigma: np.ndarray
    rotations: np.ndarray
    joints: np.ndarray
    joint_confidence: np.ndarray
    confidence: float
    by_depth: bool = False

    def unclear(self, before: bool) -> bool:
        """Whether the landmarks may lie beside the hand as a whole. before: they did in the view's last image, and one that is
        about as clear as that does not come and go."""
        return float(self.joint_confidence.mean()) < (_CLEAR if before else _UNCLEAR)

    @classmethod
    def of(cls, view: View, side: int) -> Sighting:
        """The hand of a side, which is valid."""
        hand = view.estimate.hands[side]
        assert hand.joints is not None and hand.global_orient is not None and hand.hand_pose is not None
        assert hand.joint_confidence is not None
        rotations = matrix_from_axis_angle(np.vstack([hand.global_orient, hand.hand_pose.reshape(15, 3)]))
        rotations[0] = view.pose.rotation @ rotations[0]
        distance = max(float(hand.joints[:, 2].mean()), 0.1)
        factor = min(max(_CLEAR / max(float(hand.joint_confidence.mean()), 0.05), 1.0) ** 2, _MOST_INFLATION)
        sigma = factor * TrackerSettings.landmark_error * SPREAD * RADIUS / distance / np.sqrt(hand.joint_confidence.clip(0.05))
        return cls(
            view,
            side,
            view.rays[side],
            sigma,
            rotations,
            view.pose.apply(hand.joints),
            hand.joint_confidence,
            hand.confidence,
            bool(hand.by_depth),
        )

    def seen_from(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the fixed frame in the camera's."""
        return (points - self.view.pose.position) @ self.view.pose.rotation

    def misses(self, joints: np.ndarray) -> np.ndarray:
        """(21, 2) metres by which joints (21, 3), fixed frame, lie beside the rays, across them."""
        points = self.seen_from(joints)
        z = np.maximum(points[:, 2:], 0.05)
        return points[:, :2] - self.rays * z

    def distance_to(self, joints: np.ndarray) -> float:
        """Metres by which joints (21, 3) lie beside the rays, root mean square."""
        misses = self.misses(joints)
        return float(np.sqrt(np.vdot(misses, misses) / len(misses)))

    def moved_since(self, before: Sighting, wrist: np.ndarray) -> np.ndarray:
        """(3,) metres by which a wrist that was at (3,), fixed frame, has moved since this camera's image before, by how the
        landmarks have moved, turned and grown in it: a hand that is nearer by a share is larger by that."""
        weights = 1.0 / np.square(np.maximum(self.sigma, before.sigma))
        weights = weights / weights.sum()
        old, new = before.rays @ (1.0, 1.0j), self.rays @ (1.0, 1.0j)  # growth and turn are one factor
        centre = weights @ old
        factor = (weights * (old - centre).conj()) @ new / (weights @ np.square(np.abs(old - centre)))
        x, y, z = before.seen_from(wrist)
        ray, depth = weights @ new + factor * ((x + 1.0j * y) / z - centre), z / max(abs(factor), 0.5)
        return self.view.pose.apply(depth * np.array([ray.real, ray.imag, 1.0])) - wrist

    def directions(self) -> np.ndarray:
        """(21, 3) unit vectors along the rays, fixed frame."""
        lines = np.column_stack([self.rays, np.ones(len(self.rays))]) @ self.view.pose.rotation.T
        return lines / np.linalg.norm(lines, axis=1, keepdims=True)


def triangulate(sightings: list[Sighting]) -> np.ndarray:
    """(21, 3) the points nearest to the rays of two sightings or more, metres, fixed frame; weighted least squares."""
    places = np.array([one.view.pose.position for one in sightings])
    sigma = [one.sigma * np.linalg.norm(one.joints - one.view.pose.position, axis=1) for one in sightings]
    return nearest_points(np.array([one.directions() for one in sightings]), places, 1.0 / np.square(sigma))


def nearest_points(lines: np.ndarray, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(..., P, 3) the points nearest to the lines of V views, in weighted least squares. lines: (..., V, P, 3) unit vectors.
    places: (V, 3) where each view's lines begin. weights: (..., V, P)."""
    across = weights[..., None, None] * (np.eye(3) - lines[..., :, None] * lines[..., None, :])
    right = (across @ places[:, None, :, None])[..., 0].sum(-3)
    return np.linalg.solve(across.sum(-4) + 1e-9 * np.eye(3), right[..., None])[..., 0]


def agree(one: Sighting, other: Sighting) -> float:
    """Metres by which the rays of two sightings pass by one another, root mean square; infinite where what they show lies
    behind a camera, or is much smaller or larger than the hand as single views pose it: of two persons, or of two hands."""
    points = triangulate([one, other])
    if min(one.seen_from(points)[:, 2].min(), other.seen_from(points)[:, 2].min()) < 0.05:
        return float("inf")
    larger = radius_of(points) / max(0.5 * (radius_of(one.joints) + radius_of(other.joints)), 1e-6)
    if not 1.0 / _UNLIKE < larger < _UNLIKE:
        return float("inf")
    return max(one.distance_to(points), other.distance_to(points))


def doubt(sightings: list[Sighting], radius: float, expected: np.ndarray | None) -> float:
    """How unlikely it is that sightings are of one hand: by how their rays pass by one another, how large the hand is that they
    meet in, beside its radius, metres, and how far that is from where its middle was expected, (3,) fixed frame."""
    points = triangulate(sightings)
    passing = max(one.distance_to(points) for one in sightings) / _PASSING
    larger = float(np.log(radius_of(points) / max(radius, 1e-6))) / _LARGER
    away = 0.0 if expected is None else float(np.linalg.norm(points.mean(0) - expected)) / _AWAY
    return passing**2 + larger**2 + away**2
