"""Measures what an aligned depth image brings: wrists of rendered hands, with depth beside colour alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from ...geometry.camera import Camera
from ...media.clips import rendered
from ...pipeline.tracker import HandPairTracker, TrackerSettings
from ..landmark.measure_errors import clip_motions
from ..landmark.motion import MotionSampler
from .clips import UNSEEN_SEED

_ANOTHER_HAND = 25.0
"""Pixels: a hand whose joints lie further off in the mean is a detection of something else."""


def depth_image(rng: np.random.Generator, depth: np.ndarray, behind: float) -> np.ndarray:
    """A rendered depth (H, W), metres, inf where nothing is, as a structured-light camera gives it: (H, W) uint16 mm.

    behind: metres to the wall. Axial noise of 1.2 mm + 1.9 mm/m^2 (z - 0.4 m)^2 and lateral noise of 0.8 pixels, after
    Nguyen, Izadi, Lovell: Modeling Kinect Sensor Noise (3DIMPVT 2012); most pixels at depth edges, and 2 % of all, are holes.
    """
    depth = np.where(np.isfinite(depth), depth, behind).astype(float)
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    rows, columns = (
        np.clip(np.rint(at + rng.normal(0.0, 0.8, depth.shape)), 0, size - 1).astype(int)
        for at, size in ((rows, height), (columns, width))
    )
    depth = depth[rows, columns]
    depth += rng.normal(size=depth.shape) * (0.0012 + 0.0019 * (depth - 0.4) ** 2)
    edges = np.hypot(*np.gradient(depth)) > 0.03
    depth[(edges & (rng.random(depth.shape) < 0.6)) | (rng.random(depth.shape) < 0.02)] = 0.0
    return np.round(1000.0 * depth).astype(np.uint16)


def evaluate_depth(
    settings: TrackerSettings = TrackerSettings(), clips: int = 6, distances: Sequence[float] = (0.5, 1.0)
) -> dict:
    """Mean and median errors of the wrists' positions, mm, at each distance, with depth and from colour alone."""
    result = {}
    for distance in distances:
        sampler = MotionSampler(UNSEEN_SEED + 99, depth_range=(0.98 * distance, 1.02 * distance), view_angle=18.0)
        rng, times = np.random.default_rng(5), torch.arange(45)[None] / 30.0
        trackers = {"colour": HandPairTracker(settings), "depth": HandPairTracker(settings)}
        errors: dict[str, list[float]] = {name: [] for name in trackers}
        for _ in tqdm(range(clips), desc=f"clips at {distance} m", mininterval=5.0):
            (motion,) = clip_motions(sampler.sample(times), times)
            camera = Camera.from_fov(640, 480, 60.0, calibrated=True)
            pictures, joints, truth = rendered(motion, camera, int(rng.integers(1 << 31)))
            for tracker in trackers.values():
                tracker.reset()
            for k, (image, true_depth) in enumerate(pictures):
                depth = depth_image(rng, true_depth, 1.6 * distance)
                for name, tracker in trackers.items():
                    pair = tracker.process(image, int(motion.stamp[k]), camera, depth=depth if name == "depth" else None)
                    for side, hand in enumerate(pair.hands):
                        if (
                            hand.valid
                            and truth["joint_in_image"][k, side].all()
                            and np.linalg.norm(hand.joints_2d - truth["joints_2d"][k, side], axis=-1).mean() < _ANOTHER_HAND
                        ):
                            errors[name].append(1000.0 * float(np.linalg.norm(hand.joints[0] - joints[k, side, 0])))
        for tracker in trackers.values():
            tracker.close()
        result[str(distance)] = {
            name: {"mean": round(float(np.mean(values)), 1), "median": round(float(np.median(values)), 1), "hands": len(values)}
            for name, values in errors.items()
        }
    return result
