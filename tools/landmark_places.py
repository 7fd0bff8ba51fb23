"""Measures where the detector sees the joints of the package's hand models, and writes the file that ships.

    python tools/landmark_places.py [FILE] [--clips N] [--models NAME ...]

Hands of random shapes are rendered in poses of two kinds, those that networks are trained with and gestures, from all sides;
where each landmark lies beside its joint is then the robust least-squares solution over all of them. About five minutes of a
core a model.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import SHIPPED_HANDS, open_hand, pair_of
from fourdhands_core.hand_model.landmarks import MEASURED, bones_before
from fourdhands_core.hand_model.skeleton import LEFT, MANO_IN_21
from fourdhands_core.learning.landmark.measure_errors import clip_motions, matched
from fourdhands_core.learning.landmark.motion import MotionSampler
from fourdhands_core.media.choreography import ClipMotion, demo_motion
from fourdhands_core.media.clips import rendered
from fourdhands_core.outputs import writing
from fourdhands_core.perception.hand_detector import HandDetector

_SEED, _LENGTH = 11, 8
_MIRROR = np.array([-1.0, 1.0, 1.0])
_EXPECTED, _OUTLIER, _PRIOR = 0.1, 3.0, 0.009
"""A landmark's error and a wrong hand's, in units of the landmarks' RMS radius and of that error; metres that landmarks lie
beside joints before anything is known."""


def _motions(clips: int) -> Iterator[tuple[ClipMotion, np.random.Generator]]:
    """Clips of eight moments, in turn of both kinds."""
    rng = np.random.default_rng(_SEED)
    sampler = MotionSampler(_SEED, depth_range=(0.35, 1.1), view_angle=18.0)
    times = torch.arange(_LENGTH)[None] / 6.0
    for number in range(clips):
        if number % 2 == 0:
            (motion,) = clip_motions(sampler.sample(times), times)
        else:
            motion = _gestures(rng)
        yield motion, rng


def _gestures(rng: np.random.Generator) -> ClipMotion:
    """Moments of the demo's gestures, seen from an angle and a distance drawn."""
    motion = demo_motion(12.0, 4.0, int(rng.integers(1, 20000)))
    at = np.sort(rng.choice(len(motion.stamp), _LENGTH, replace=False))
    turn = matrix_from_axis_angle(np.array([0.0, rng.uniform(-0.8, 0.8), 0.0]))
    orient = axis_angle_from_matrix(turn @ matrix_from_axis_angle(motion.global_orient[at]))
    wrist = (motion.wrist[at] - (0.0, 0.0, 0.5)) @ turn.T + (0.0, 0.0, rng.uniform(0.45, 1.1))
    return ClipMotion(np.arange(_LENGTH) + 1, orient, motion.hand_pose[at], motion.betas, wrist, motion.present[at])


def observe(name: str, clips: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of N hands that the detector found and named rightly: derivatives (N, 21, 2, 6) of each landmark's ray by what
    `Landmarks` holds, before and after in a row; what it lies beside the joint's (N, 21, 2); the landmarks' radius (N,)."""
    asset = open_hand(name)
    hands = HandArrays(pair_of(asset))
    derivatives, beside, radii = [], [], []
    for motion, rng in tqdm(_motions(clips), total=clips, desc=name, mininterval=5.0):
        camera = Camera.from_fov(640, 480, float(rng.uniform(50, 75)))
        pictures, joints, truth = rendered(motion, camera, int(rng.integers(1 << 31)), asset)
        detector = HandDetector()
        rotations = matrix_from_axis_angle(
            np.concatenate([motion.global_orient[:, :, None], motion.hand_pose.reshape(-1, 2, 15, 3)], axis=2)
        )
        for t, (image, _) in enumerate(pictures):
            sides = [side for side in range(2) if truth["joint_in_image"][t, side].all()]
            _, bones = hands.joints_and_bones(rotations[t, :, 0], rotations[t, :, 1:], motion.betas)
            for detection, side in matched(detector.detect(image), truth["joints_2d"][t], sides):
                if detection.side != side:
                    continue
                seen = joints[t, side, :, :2] / joints[t, side, :, 2:]
                derivatives.append(_derivatives(joints[t, side], bones[side] * _MIRROR if side == LEFT else bones[side]))
                beside.append(camera.unproject(detection.landmarks) - seen)
                radii.append(np.sqrt(np.square(seen - seen.mean(0)).sum(-1).mean()))
        detector.close()
    return np.array(derivatives), np.array(beside), np.array(radii)


def _derivatives(joints: np.ndarray, bones: np.ndarray) -> np.ndarray:
    """(21, 2, 6); bones (16, 3, 3) from a right hand's axes."""
    rows = np.zeros((21, 2, 3))
    rows[:, 0, 0] = rows[:, 1, 1] = 1.0
    rows[:, :, 2] = -joints[:, :2] / joints[:, 2:]
    rows /= joints[:, 2:, None]
    after = np.zeros((21, 3, 3))
    after[MANO_IN_21[1:]] = bones[1:]
    return np.concatenate([rows @ bones_before(bones), rows @ after], axis=-1)


def fit(derivatives: np.ndarray, beside: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """(21, 6) the most likely places; see `observe`. Hands that lie far beside as a whole are left out."""
    places, unit = np.zeros((21, 6)), 1.0 / (_EXPECTED * radii)[:, None]
    for _ in range(8):
        error = np.linalg.norm(beside - (derivatives @ places[..., None])[..., 0], axis=-1) * unit
        weight = unit / np.sqrt(np.maximum(1.0, error)) * (np.median(error, axis=1) < _OUTLIER)[:, None]
        rows = derivatives * weight[..., None, None]
        normal = np.einsum("nkij,nkil->kjl", rows, rows) + np.eye(6) / _PRIOR**2
        places = np.linalg.solve(normal, np.einsum("nkij,nki->kj", rows, beside * weight[..., None])[..., None])[..., 0]
    return places


def main() -> None:
    """Measure, print what is left, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=MEASURED)
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--models", nargs="+", default=sorted(SHIPPED_HANDS))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for name in args.models:
        open_hand(name)  # before anything takes its time
    arrays = {}
    if args.file.is_file():
        with np.load(args.file) as before:
            arrays = dict(before)
    for name in args.models:
        derivatives, beside, radii = observe(name, args.clips)
        places = fit(derivatives, beside, radii)
        for words, left in (("joints", beside), ("landmarks", beside - (derivatives @ places[..., None])[..., 0])):
            median = float(np.median(np.linalg.norm(left, axis=-1) / radii[:, None]))
            print(f"{name}: {len(radii)} hands, from the {words} {median:.3f} of a hand's radius in the median")
        arrays[f"{name}_before"], arrays[f"{name}_after"] = np.split(places.astype(np.float32), 2, axis=1)
    with writing(args.file) as partial, partial.open("wb") as out:
        np.savez_compressed(out, **arrays)


if __name__ == "__main__":
    main()
