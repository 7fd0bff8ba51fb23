"""Measures a detector's landmark errors on rendered clips of synthetic motion: what `detector_errors` is fitted to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from ...errors import InputError
from ...geometry.camera import Camera
from ...geometry.rotations import axis_angle_from_matrix, mirror_axis_angle
from ...hand_model.assets import open_hand
from ...hand_model.skeleton import LEFT
from ...media.choreography import ClipMotion
from ...media.clips import rendered
from ...network.landmark_tokens import mirror_points
from ...perception.detector import HandDetection
from ...perception.hand_detector import HandDetector
from ..synthesis.settings import FAMILIES
from .detector_errors import MEASURED, LandmarkErrors, fit, true_configuration, unit_shape
from .motion import Motion, MotionSampler


def clip_motions(motion: Motion, times: torch.Tensor) -> list[ClipMotion]:
    """Each of B clips of a Motion at times (B, T), seconds, as the renderer takes it (camera frame, axis-angle)."""
    clips = []
    for b in range(len(times)):
        angles = axis_angle_from_matrix(motion.rotations[b].double().numpy())
        angles[LEFT] = mirror_axis_angle(angles[LEFT])
        wrist = motion.root[b].double()
        wrist[LEFT] = mirror_points(wrist[LEFT])
        count = times.shape[1]
        clips.append(
            ClipMotion(
                stamp=np.round(times[b].double().numpy() * 1e9).astype(np.int64) + 1,
                present=np.tile(motion.present[b].numpy(), (count, 1)),
                global_orient=angles[:, :, 0].transpose(1, 0, 2),
                hand_pose=angles[:, :, 1:].reshape(2, count, 45).transpose(1, 0, 2),
                wrist=wrist.numpy().transpose(1, 0, 2),
                betas=motion.betas[b].double().numpy(),
            )
        )
    return clips


def collect(
    clips: int, length: int = 30, seed: int = 7
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, float]]:
    """Render clips, detect, and match detections to the true hands by their landmarks.

    Returns shapes (N, 63), residuals (N, 105), clip numbers (N,), frame numbers (N,) and the rates of `LandmarkErrors`.
    """
    sampler = MotionSampler(seed, depth_range=(0.28, 0.9), view_angle=20.0)
    times = torch.arange(length)[None] / 30.0
    rng = np.random.default_rng(seed)
    shapes, residuals, numbers, frames = [], [], [], []
    events = Counter[tuple[bool, bool]]()  # whether a hand was seen in the image before, and in this one
    both = swapped = 0
    for number in tqdm(range(clips), desc="clips", mininterval=5.0):
        asset = open_hand(FAMILIES[number % len(FAMILIES)])
        (motion,) = clip_motions(sampler.sample(times), times)
        camera = Camera.from_fov(640, 480, float(rng.uniform(50, 80)))
        pictures, joints, truth = rendered(motion, camera, int(rng.integers(1 << 31)), asset)
        detector = HandDetector()
        before = np.zeros(2, dtype=bool)
        for t, (image, _) in enumerate(pictures):
            found = detector.detect(image)
            seen = np.zeros(2, dtype=bool)
            sides = [side for side in range(2) if truth["joint_in_image"][t, side].all()]
            pairs = matched(found, truth["joints_2d"][t], sides)
            for detection, side in pairs:
                seen[side] = True
                shape, residual = _residual(detection, joints[t, side], camera, side)
                shapes.append(shape)
                residuals.append(residual)
                numbers.append(2 * number + side)
                frames.append(t)
            for side in sides:
                events[bool(before[side]), bool(seen[side])] += 1
            if len(pairs) == 2:
                both += 1
                swapped += all(detection.side != side for detection, side in pairs)
            before = seen
        detector.close()
    rates = {
        "lost": events[True, False] / max(1, events[True, False] + events[True, True]),
        "found": events[False, True] / max(1, events[False, True] + events[False, False]),
        "swapped": swapped / max(1, both),
    }
    return np.array(shapes), np.array(residuals), np.array(numbers), np.array(frames), rates


def matched(found: list[HandDetection], points: np.ndarray, sides: list[int]) -> list[tuple[HandDetection, int]]:
    """Detections with the true hand each is nearest to, whatever side it names; none further off than 0.6 radii.

    points: (2, 21, 2) the true landmarks, pixels. sides: those that can be seen.
    """
    radius = np.linalg.norm(points - points.mean(1, keepdims=True), axis=-1).mean(-1)
    distance = np.array(
        [
            [np.linalg.norm(detection.landmarks - points[side], axis=-1).mean() / radius[side] for side in sides]
            for detection in found
        ]
    ).reshape(len(found), len(sides))
    return [(found[i], sides[k]) for i, k in zip(*linear_sum_assignment(distance)) if distance[i, k] <= 0.6]


def _residual(detection, joints, camera, side):
    """True configuration (63,) and error (105,) of one detection, own coordinates."""
    rays = np.concatenate([camera.unproject(detection.landmarks), np.ones((21, 1))], axis=1)
    true, rays, world = (torch.tensor(points, dtype=torch.float64) for points in (joints, rays, detection.world))
    if side == LEFT:
        true, rays, world = (mirror_points(points) for points in (true, rays, world))
    rotation, points, radius, shape = true_configuration(true)
    seen = rays @ rotation.T
    flat = (seen[:, :2] / seen[:, 2:] - points) / radius
    return shape.flatten().numpy(), torch.cat([flat.flatten(), (unit_shape(world) - shape).flatten()]).numpy()


def measure(out: Path = MEASURED, clips: int = 150, seed: int = 7) -> LandmarkErrors:
    """Measure the detector and write the error model to `out`; about seven minutes on two cores. Raises InputError where the
    clips are too few for one."""
    shapes, residuals, numbers, frames, rates = collect(clips, seed=seed)
    errors = fit(shapes, residuals, numbers, frames, **rates)
    if not all(np.isfinite(value).all() for value in vars(errors).values()):
        raise InputError(f"too few hands were seen in {clips} clips to tell the detector's errors by; give more with --clips")
    errors.save(out)
    return errors
