"""Fifth stage: where the wrists are, in metres, from reprojection, the relative root, the past and depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..hand_model.arrays import HandArrays
from .depth import JUMP, LONG, SizeMemory, measure
from .frame import Frame
from .hand_track import HandTrack
from .refine import Pose
from .regression import Regression
from .settings import TrackerSettings
from .translation import solve_translations


@dataclass(frozen=True, eq=False)
class Placement:
    """Wrists of the N hands that are seen, (N, 3) metres in the camera's optical frame, filtered and raw; scales (N, 1, 1):
    how large the hands are seen beside their models; by_depth (N,) whether the frame's depth image has placed them;
    jumped (N,) whether it is the first to do so for long, and that is elsewhere than where they were going."""

    wrists: np.ndarray
    wrists_raw: np.ndarray
    scales: np.ndarray
    by_depth: np.ndarray
    jumped: np.ndarray


class Place:
    """Makes a Placement of a Pose. palm: (778,) bool, the skin that moves with the wrist. seen_size: how large hands are seen
    beside what they are. tracks: the (left, right) hand's."""

    def __init__(
        self,
        hands: HandArrays,
        palm: np.ndarray,
        seen_size: float,
        tracks: tuple[HandTrack, HandTrack],
        settings: TrackerSettings,
    ) -> None:
        self._hands, self._palm, self._seen_size, self.tracks, self._settings = hands, palm, seen_size, tracks, settings
        self.reset()

    def reset(self) -> None:
        """Forget how large the hands are."""
        self.size = SizeMemory(), SizeMemory()

    def __call__(
        self,
        frame: Frame,
        seen: np.ndarray,
        intervals: dict[int, float],
        regressed: Regression,
        pose: Pose,
        vertices: np.ndarray | None,
    ) -> Placement:
        """vertices: (2, 778, 3) relative to the wrists; needed where there is depth."""
        rays = frame.rays[seen]
        radius = frame.radius[seen]
        scales = self._scales(seen)
        landmarks, landmarks_raw = self._seen_size * scales * pose.landmarks, self._seen_size * scales * pose.landmarks_raw
        distance = np.linalg.norm(landmarks - landmarks.mean(1, keepdims=True), axis=-1).mean(1) / radius
        sigma = np.sqrt(
            (self._settings.landmark_error * radius[:, None]) ** 2 / frame.confidence[seen].clip(0.05)
            + (regressed.joint_sigma[seen] / distance[:, None]) ** 2
        )
        scale = scales.mean()
        relative = (scale * regressed.relative, scale * regressed.relative_sigma) if len(seen) == 2 else None
        raw, _ = solve_translations(landmarks_raw, rays, sigma, pose.wrists, relative=relative)
        mean, information = raw.copy(), np.zeros((len(seen), 3, 3))
        by_depth, jumped = np.zeros((2, len(seen)), bool)
        expected: list[np.ndarray | None] = [None] * len(seen)
        if self._settings.temporal:
            for k, side in enumerate(seen):
                prior = self.tracks[side].position.predict(intervals[side])
                if prior:
                    mean[k], information[k] = prior
                    expected[k] = prior[0]
        if frame.depth is not None:
            assert vertices is not None, "depth needs them"
            meshes = [scales[k] * vertices[side] + raw[k] for k, side in enumerate(seen)]
            faces = [self._hands.faces[side] for side in seen]
            for k, measured in enumerate(measure(frame.depth, frame.camera, meshes, faces, self._palm)):
                if measured is not None:
                    by_depth[k] = _take_depth(measured, self.size[seen[k]], raw[k], mean[k], information[k])
        elif not self._settings.temporal:
            return Placement(raw, raw, self._seen_size * self._scales(seen), by_depth, jumped)
        wrists, covariance = solve_translations(landmarks, rays, sigma, start=raw, prior=(mean, information), relative=relative)
        if self._settings.temporal:
            for k, side in enumerate(seen):
                if by_depth[k] and self.size[side].missed >= LONG and (before := expected[k]) is not None:
                    jumped[k] = np.linalg.norm(wrists[k] - before) > JUMP
                self.size[side].missed = 0 if by_depth[k] else self.size[side].missed + 1
                self.tracks[side].position.update(wrists[k], covariance[k])
        return Placement(wrists, raw, self._seen_size * self._scales(seen), by_depth, jumped)

    def _scales(self, seen: np.ndarray) -> np.ndarray:
        """(N, 1, 1) how large the hands are beside their models, as far as depth has told."""
        return np.array([self.size[side].scale for side in seen])[:, None, None]


def _take_depth(measured: Any, size: SizeMemory, raw: np.ndarray, mean: np.ndarray, information: np.ndarray) -> bool:
    """Join what depth says of one wrist along its viewing ray to its prior, mean (3,) and information (3, 3); False where it is
    not believed."""
    ratio = 1.0 + measured.offset / raw[2]
    ray = raw / np.linalg.norm(raw)
    known = float(ray @ information @ ray)
    surprise = abs(ray @ (ratio * raw - mean)) - 3.0 / np.sqrt(known) if known > 0.0 else 0.0
    if not size.accepts(ratio, surprise):
        return False
    precise = np.outer(ray, ray) / (measured.sigma * np.linalg.norm(raw) / raw[2]) ** 2
    both = information + precise
    mean[:] = np.linalg.solve(both + 1e-6 * np.eye(3), information @ mean + precise @ (ratio * raw) + 1e-6 * raw)
    information[:] = both
    return True
