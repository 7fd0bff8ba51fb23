"""Measures the tracker: on rendered clips against their truth, on real video for jitter and lag, on annotated photos.

The baseline is made of the same detections in the same run: the world landmarks of the detector's hand network (MediaPipe's,
where this package's rules look), placed by the same solver.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...errors import InputError
from ...geometry.camera import Camera
from ...geometry.rotations import matrix_from_axis_angle
from ...hand_model.assets import HandAsset, open_hand
from ...hand_model.skeleton import LEFT, RIGHT
from ...media.clips import rendered
from ...media.images import read_image
from ...media.video import VideoReader
from ...perception.detector import HandDetection
from ...pipeline.tracker import HandPairTracker, TrackerSettings
from ...pipeline.translation import solve_translations
from ...pipeline.types import HandEstimate
from ..landmark.measure_errors import clip_motions
from ..landmark.motion import MotionSampler
from ..synthesis.settings import FAMILIES
from . import metrics
from .readings import Readings
from .scores import UNITS, HandFrames, Scores

UNSEEN_SEED = 990_001
"""Motion from this seed on is for evaluation; training and the error measurement draw from small seeds."""
GRASPING: dict[str, Any] = {"grasps": 1.0, "upright": 0.6, "together_share": 0.3}
"""Of the motion of hands at work, see MotionSampler."""
CROSSING: dict[str, Any] = {"crossing": True, "depth_range": (0.5, 0.9), "upright": 1.0, "single_share": 0.0}
"""Of the motion of two hands that change sides in the picture, fingers mostly up, in any gestures."""


def baseline(detections: Sequence[HandDetection | None], camera: Camera) -> np.ndarray:
    """Joints (2, 21, 3), metres, camera frame: world landmarks placed by reprojection; NaN for an absent hand."""
    joints = np.full((2, 21, 3), np.nan)
    for side, detection in enumerate(detections):
        if detection is not None:
            relative = detection.world - detection.world[0]
            wrist, _ = solve_translations(relative[None], camera.unproject(detection.landmarks)[None], np.full((1, 21), 0.01))
            joints[side] = relative + wrist[0]
    return joints


def track(
    frames: Iterable[tuple[int, np.ndarray]], camera: Camera, tracker: HandPairTracker
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


Clip = tuple[Camera, Iterator[np.ndarray], np.ndarray, dict[str, np.ndarray]]
"""Camera, images, true joints (T, 2, 21, 3), `clip_truth`."""


def unseen_clips(
    clips: int = 24,
    length: int = 60,
    distance: float | None = None,
    seed: int = UNSEEN_SEED,
    asset: HandAsset | None = None,
    grasps: bool = False,
    crossing: bool = False,
) -> Iterator[Clip]:
    """Rendered clips of unseen motion.

    distance: metres; all wrists start there; by default 0.28 to 0.9. asset: the rendered hand; the human one by default.
    grasps: hands that mostly point up, pinch, grasp, open and close, instead of any motion. crossing: two hands that swing past
    each other, 0.5 to 0.9 m away whatever `distance` is; not together with grasps.
    """
    depth = (0.28, 0.9) if distance is None else (distance * 0.98, distance * 1.02)
    motion = {"depth_range": depth, **(GRASPING if grasps else CROSSING if crossing else {})}
    sampler = MotionSampler(seed, view_angle=18.0, asset=asset, **motion)
    rng = np.random.default_rng(seed)
    times = torch.arange(length)[None] / 30.0
    for _ in tqdm(range(clips), desc="rendered clips", mininterval=5.0):
        (clip,) = clip_motions(sampler.sample(times), times)
        camera = Camera.from_fov(640, 480, float(rng.uniform(50, 80)), calibrated=True)
        pictures, joints, truth = rendered(clip, camera, int(rng.integers(1 << 31)), asset)
        yield camera, (image for image, _ in pictures), joints, truth


def rendered_errors(tracker: HandPairTracker, clips: Iterable[Clip]) -> dict:
    """Errors on rendered clips, tracker beside baseline, over the hands that the detector found: scores.UNITS, in `reads` what
    a robot hand reads of them: `Readings.summary`, and in `length` how long they are beside the true ones: `length_ratios`.
    """
    scores = {name: Scores(frame_rate=30.0) for name in ("ours", "baseline")}
    reads = {name: Readings() for name in scores}
    ratios: dict[str, list[np.ndarray]] = {name: [np.zeros(0)] for name in scores}
    hands = 0
    for clip, (camera, images, joints, truth) in enumerate(clips):
        ours, theirs, rotations = track(zip(truth["stamp"].tolist(), images), camera, tracker)
        valid = truth["joint_in_image"].all(-1)
        matched = valid & np.isfinite(ours[..., 0, 0])
        # a detection of something else than this hand says nothing about poses
        off = np.linalg.norm(camera.project(np.nan_to_num(theirs, nan=1.0)) - truth["joints_2d"], axis=-1).mean(-1)
        radius = np.linalg.norm(truth["joints_2d"] - truth["joints_2d"].mean(-2, keepdims=True), axis=-1).mean(-1)
        matched &= np.nan_to_num(off / radius, nan=9.0) < 0.6
        hands += int(valid.sum())
        true = HandFrames.in_camera(joints, wrist_rotation=truth["wrist_rotation"])
        by_ours, by_baseline = HandFrames.in_camera(ours, wrist_rotation=rotations), HandFrames.in_camera(theirs)
        for name, predicted in (("ours", by_ours), ("baseline", by_baseline)):
            scores[name].add(predicted, true, matched, sequence=str(clip))
            reads[name].add(predicted.joints, joints, matched)
            found = matched & np.isfinite(predicted.joints).all((-1, -2))
            ratios[name].append(metrics.hand_length(predicted.joints[found]) / metrics.hand_length(joints[found]))
    summaries = {name: entry.summary() for name, entry in scores.items()}
    result: dict[str, Any] = {
        name: {key: round(summary[key], 4 if UNITS[key] == "0-1" else 2) for key in UNITS if key in summary}
        for name, summary in summaries.items()
    }
    result["ratio"] = {
        key: round(result["ours"][key] / result["baseline"][key], 3)
        for key in result["ours"]
        if key in result["baseline"] and UNITS[key] != "0-1"
    }
    result["reads"] = {name: entry.summary() for name, entry in reads.items()}
    result["length"] = {name: length_ratios(np.concatenate(values)) for name, values in ratios.items()}
    result["hands"] = {"in_image": hands, "found": summaries["ours"]["hands"], "pairs": summaries["ours"]["pairs"]}
    return result


def length_ratios(ratios: np.ndarray) -> dict[str, float]:
    """Median, mean and standard deviation of how long hands are beside the true ones, wrist to middle fingertip along the
    bones."""
    if not len(ratios):
        return {}
    return {name: round(float(of(ratios)), 4) for name, of in (("median", np.median), ("mean", np.mean), ("sd", np.std))}


def video_steadiness(tracker: HandPairTracker, path: Path) -> dict:
    """Jitter and lag of the root-relative joints on a video, beside the detector's world landmarks, by side."""
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
            "detector_jitter": round(reference, 4),
            "ratio": round(mine / reference, 3),
            "lag_frames": round(metrics.lag(ours[:, side], theirs[:, side]), 3),
        }
    return result


def seen_at(tracker: HandPairTracker, hand: HandEstimate, camera: Camera) -> np.ndarray:
    """(21, 2) pixels where the tracker's detector would see the joints of a hand that the tracker estimated."""
    rotations, betas = np.tile(np.eye(3), (2, 16, 1, 1)), np.zeros((2, 10))
    rotations[hand.side, 0], betas[hand.side] = hand.wrist_rotation, hand.betas
    rotations[hand.side, 1:] = matrix_from_axis_angle(np.reshape(hand.hand_pose, (15, 3)))
    _, bones = tracker.hands.joints_and_bones(rotations[:, 0], rotations[:, 1:], betas)
    assert hand.joints is not None, "only of a hand that is seen"
    wrist, landmarks = hand.joints[0], hand.joints + tracker.landmarks.beside(bones)[hand.side]
    return camera.project(wrist + tracker.landmarks.size * (landmarks - wrist))


def photo_errors(folder: Path, settings: TrackerSettings = TrackerSettings()) -> dict:
    """2-D error on annotated photos (COCO style, 21 joints), ours beside the detector's, in hand-box sizes per cent.

    ours, ratio: of `joints_2d`. landmarks: of the same hands' landmarks, `seen_at`. People mark fingertips and knuckles in a
    photo where the detector sees them, which was trained on such marks, not where a finger ends and about what it turns.
    """
    annotations = next(iter(sorted(folder.glob("*.json"))), None)
    if annotations is None:
        raise InputError(f"{folder} holds no annotation file (*.json); give a folder in COCO style")
    try:
        data = json.loads(annotations.read_bytes())
        names = {image["id"]: image["file_name"] for image in data["images"]}
        marked = [
            (folder / Path(names[one["image_id"]]).name, np.array(one["keypoints"], dtype=np.float64).reshape(21, 3))
            for one in data["annotations"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{annotations} is no annotation file in COCO style with 21 joints a hand ({type(error).__name__}: {error})"
        ) from error
    kept: list[np.ndarray] = []
    missed = 0
    single = replace(settings, temporal=False)
    for k, (photo, points) in enumerate(marked):
        image, known = read_image(photo), points[:, 2] > 0
        if image is None or not known.any():
            continue
        size = np.ptp(points[known, :2], axis=0).max()
        errors = []
        with closing(HandPairTracker(single)) as tracker:
            estimate = tracker.process(image, k + 1)
            for hand, detection in zip(estimate.hands, tracker.detections):
                if detection is not None:
                    pixels = np.stack([hand.joints_2d, seen_at(tracker, hand, estimate.camera), detection.landmarks])
                    off = np.linalg.norm(pixels - points[:, :2], axis=-1)[:, known].mean(1)
                    errors.append(100.0 * off / size)
        if errors:
            kept.append(min(errors, key=lambda each: each[-1]))
        else:
            missed += 1
    ours, landmarks, detector = np.mean(kept, axis=0).tolist() if kept else [np.nan] * 3
    return {
        "photos": len(kept),
        "not_found": missed,
        "ours_percent": round(ours, 2),
        "landmarks_percent": round(landmarks, 2),
        "detector_percent": round(detector, 2),
        "ratio": round(ours / detector, 3),
        "landmarks_ratio": round(landmarks / detector, 3),
    }


def evaluate(
    settings: TrackerSettings = TrackerSettings(),
    clips: int = 24,
    real: Path | None = None,
    distances: Sequence[float] = (0.3, 0.5, 0.8, 1.2),
) -> dict:
    """All measurements as one dictionary; `real` is a folder with video/, freihand/ and onehand10k/.

    rendered, grasping: `rendered_errors` of either hand family, of any motion and of hands at work.
    """
    with closing(HandPairTracker(settings)) as tracker:
        by_real = {} if real is None else _real_errors(tracker, real, settings)  # what is wrong with it shows at once
        result: dict[str, Any] = {
            name: {
                family: rendered_errors(tracker, unseen_clips(clips, seed=seed, asset=open_hand(family), grasps=grasps))
                for family in FAMILIES
            }
            for name, seed, grasps in (("rendered", UNSEEN_SEED, False), ("grasping", UNSEEN_SEED + 2, True))
        }
        result["wrist_by_distance_mm"] = {}
        for distance in distances:
            at = rendered_errors(tracker, unseen_clips(max(2, clips // 4), distance=distance, seed=UNSEEN_SEED + 1))
            result["wrist_by_distance_mm"][str(distance)] = {
                "ours": at["ours"]["wrist"],
                "baseline": at["baseline"]["wrist"],
                "hands": at["hands"]["found"],
                "length": at["length"]["ours"],
            }
    return result | by_real


def _real_errors(tracker: HandPairTracker, real: Path, settings: TrackerSettings) -> dict[str, Any]:
    """Of the videos and photos in a folder. Raises InputError where it holds none, or they cannot be read."""
    videos = sorted((real / "video").glob("*.mp4"))
    photos = [name for name in ("freihand", "onehand10k") if (real / name).is_dir()]
    if not videos and not photos:
        raise InputError(f"--real {real} holds neither video/*.mp4 nor freihand/ or onehand10k/; give one that does")
    return {
        "video": {path.stem: video_steadiness(tracker, path) for path in videos},
        "photos": {name: photo_errors(real / name, settings) for name in photos},
    }
