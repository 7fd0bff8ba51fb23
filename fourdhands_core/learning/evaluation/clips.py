"""Measures the tracker: on rendered clips against their truth, on real video for jitter and lag, on annotated photos.

The baseline is made of the same detections in the same run: MediaPipe's world landmarks, placed by the same solver.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...errors import InputError
from ...geometry.camera import Camera
from ...hand_model.skeleton import LEFT, RIGHT
from ...media.clips import HandScene, clip_truth, pose_hands, render_frames
from ...media.images import read_image
from ...media.video import VideoReader
from ...pipeline.tracker import HandPairTracker, TrackerSettings
from ...pipeline.translation import solve_translations
from ..landmark.measure_errors import clip_motions
from ..landmark.motion import MotionSampler
from . import metrics
from .scores import UNITS, HandFrames, Scores

UNSEEN_SEED = 990_001
"""Motion from this seed on is for evaluation; training and the error measurement draw from small seeds."""


def baseline(detections, camera: Camera) -> np.ndarray:
    """Joints (2, 21, 3), metres, camera frame: world landmarks placed by reprojection; NaN for an absent hand."""
    joints = np.full((2, 21, 3), np.nan)
    for side, detection in enumerate(detections):
        if detection is not None:
            relative = detection.world - detection.world[0]
            wrist, _ = solve_translations(relative[None], camera.unproject(detection.landmarks)[None], np.full((1, 21), 0.01))
            joints[side] = relative + wrist[0]
    return joints


def track(frames, camera, tracker: HandPairTracker):
    """Run a tracker without lookahead over (stamp, image) pairs.

    Returns joints (T, 2, 21, 3) of the tracker and of the baseline, metres, NaN where a hand is not valid, and the tracker's
    wrist rotations (T, 2, 3, 3).
    """
    tracker.reset()
    ours, theirs, rotations = [], [], []
    for stamp, image in frames:
        estimate = tracker.process(image, stamp, camera)
        ours.append(np.stack([hand.joints if hand.valid else np.full((21, 3), np.nan) for hand in estimate.hands]))
        rotations.append(np.stack([hand.wrist_rotation if hand.valid else np.full((3, 3), np.nan) for hand in estimate.hands]))
        theirs.append(baseline(tracker.detections, estimate.camera))
    return np.array(ours), np.array(theirs), np.array(rotations)


def rendered_errors(
    tracker: HandPairTracker, clips: int = 24, length: int = 60, distance: float | None = None, seed: int = UNSEEN_SEED
) -> dict:
    """Errors on rendered clips of unseen motion, tracker beside baseline, over the hands that the detector found: scores.UNITS.

    distance: metres; all wrists start there; by default 0.28 to 0.9.
    """
    depth = (0.28, 0.9) if distance is None else (distance * 0.98, distance * 1.02)
    sampler = MotionSampler(seed, depth_range=depth, view_angle=18.0)
    rng = np.random.default_rng(seed)
    times = torch.arange(length)[None] / 30.0
    scores = {name: Scores(frame_rate=30.0) for name in ("ours", "baseline")}
    hands = 0
    for clip in tqdm(range(clips), desc="rendered clips", mininterval=5.0):
        (motion,) = clip_motions(sampler.sample(times), times)
        camera = Camera.from_fov(640, 480, float(rng.uniform(50, 80)), calibrated=True)
        scene = HandScene(camera, seed=int(rng.integers(1 << 31)))
        vertices, joints = pose_hands(motion, scene.asset)
        truth = clip_truth(motion, camera, joints)
        images = (image for image, _ in render_frames(motion, scene, vertices))
        ours, theirs, rotations = track(zip(motion.stamp.tolist(), images), camera, tracker)
        valid = truth["joint_in_image"].all(-1)
        matched = valid & np.isfinite(ours[..., 0, 0])
        # a detection of something else than this hand says nothing about poses
        off = np.linalg.norm(camera.project(np.nan_to_num(theirs, nan=1.0)) - truth["joints_2d"], axis=-1).mean(-1)
        radius = np.linalg.norm(truth["joints_2d"] - truth["joints_2d"].mean(-2, keepdims=True), axis=-1).mean(-1)
        matched &= np.nan_to_num(off / radius, nan=9.0) < 0.6
        hands += int(valid.sum())
        true = HandFrames.in_camera(joints, wrist_rotation=truth["wrist_rotation"])
        for name, predicted in (
            ("ours", HandFrames.in_camera(ours, wrist_rotation=rotations)),
            ("baseline", HandFrames.in_camera(theirs)),
        ):
            scores[name].add(predicted, true, matched, sequence=str(clip))
    summaries = {name: entry.summary() for name, entry in scores.items()}
    result = {
        name: {key: round(summary[key], 4 if UNITS[key] == "0-1" else 2) for key in UNITS if key in summary}
        for name, summary in summaries.items()
    }
    result["ratio"] = {
        key: round(result["ours"][key] / result["baseline"][key], 3)
        for key in result["ours"]
        if key in result["baseline"] and UNITS[key] != "0-1"
    }
    result["hands"] = {"in_image": hands, "found": summaries["ours"]["hands"], "pairs": summaries["ours"]["pairs"]}
    return result


def video_steadiness(tracker: HandPairTracker, path: Path) -> dict:
    """Jitter and lag of the root-relative joints on a video, beside MediaPipe's world landmarks, by side."""
    with VideoReader(path) as reader:
        ours, theirs, _ = track(((stamp, image) for stamp, image in reader), None, tracker)
    result = {}
    for side, name in ((LEFT, "left"), (RIGHT, "right")):
        seen = np.isfinite(ours[:, side, 0, 0])
        if seen.sum() < 30:
            continue
        mine, reference = metrics.jitter(ours[:, side]), metrics.jitter(theirs[:, side])
        result[name] = {
            "frames": int(seen.sum()),
            "jitter": round(mine, 4),
            "mediapipe_jitter": round(reference, 4),
            "ratio": round(mine / reference, 3),
            "lag_frames": round(metrics.lag(ours[:, side], theirs[:, side]), 3),
        }
    return result


def photo_errors(folder: Path, settings: TrackerSettings = TrackerSettings()) -> dict:
    """2-D error on annotated photos (COCO style, 21 joints), ours beside the detector's, in hand-box sizes per cent."""
    annotations = next(iter(sorted(folder.glob("*.json"))), None)
    if annotations is None:
        raise InputError(f"{folder} holds no annotation file (*.json); give a folder in COCO style")
    data = json.loads(annotations.read_bytes())
    names = {image["id"]: image["file_name"] for image in data["images"]}
    ours, theirs, missed = [], [], 0
    single = replace(settings, temporal=False)
    tracker = HandPairTracker(single)
    try:
        for k, annotation in enumerate(data["annotations"]):
            path = folder / Path(names[annotation["image_id"]]).name
            image = read_image(path)
            if image is None:
                continue
            points = np.array(annotation["keypoints"], dtype=np.float64).reshape(21, 3)
            known = points[:, 2] > 0
            tracker.close()
            tracker = HandPairTracker(single)
            estimate = tracker.process(image, k + 1)
            size = np.ptp(points[known, :2], axis=0).max()
            errors = [
                (
                    np.linalg.norm(hand.joints_2d - points[:, :2], axis=-1)[known].mean() / size,
                    np.linalg.norm(detection.landmarks - points[:, :2], axis=-1)[known].mean() / size,
                )
                for hand, detection in zip(estimate.hands, tracker.detections)
                if detection is not None
            ]
            if not errors:
                missed += 1
                continue
            mine, reference = min(errors, key=lambda pair: pair[1])
            ours.append(100.0 * mine)
            theirs.append(100.0 * reference)
    finally:
        tracker.close()
    return {
        "photos": len(ours),
        "not_found": missed,
        "ours_percent": round(float(np.mean(ours)), 2),
        "mediapipe_percent": round(float(np.mean(theirs)), 2),
        "ratio": round(float(np.mean(ours) / np.mean(theirs)), 3),
    }


def evaluate(
    settings: TrackerSettings = TrackerSettings(), clips: int = 24, real: Path | None = None, distances=(0.3, 0.5, 0.8, 1.2)
) -> dict:
    """All measurements as one dictionary; `real` is a folder with video/, freihand/ and onehand10k/."""
    tracker = HandPairTracker(settings)
    try:
        result = {"rendered": rendered_errors(tracker, clips)}
        result["wrist_by_distance_mm"] = {}
        for distance in distances:
            at = rendered_errors(tracker, max(2, clips // 4), distance=distance, seed=UNSEEN_SEED + 1)
            result["wrist_by_distance_mm"][str(distance)] = {
                "ours": at["ours"]["wrist"],
                "baseline": at["baseline"]["wrist"],
                "hands": at["hands"]["found"],
            }
        if real is not None:
            result["video"] = {path.stem: video_steadiness(tracker, path) for path in sorted((real / "video").glob("*.mp4"))}
            result["photos"] = {
                name: photo_errors(real / name, settings) for name in ("freihand", "onehand10k") if (real / name).is_dir()
            }
    finally:
        tracker.close()
    return result
