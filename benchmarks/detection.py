"""Counts hands that the detector finds, with each of its searches, beside MediaPipe on the same images, sides as the tracker
names them: on rendered clips of both hand models, of hands that cross, on the two real videos.

python benchmarks/detection.py --real DIR > benchmarks/detection.json
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import mediapipe
import numpy as np
from mediapipe_detector import MediaPipeDetector

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.assets import open_hand
from fourdhands_core.learning.evaluation.clips import UNSEEN_SEED, unseen_clips
from fourdhands_core.learning.evaluation.metrics import hand_length
from fourdhands_core.learning.landmark.measure_errors import matched
from fourdhands_core.media.video import VideoReader
from fourdhands_core.perception.confidence import inside_hull
from fourdhands_core.perception.detector import HandDetection
from fourdhands_core.perception.hand_detector import CLASSIC, SEARCHES, HandDetector
from fourdhands_core.perception.hand_networks import HandNetworks
from fourdhands_core.perception.identity import HandIdentity
from fourdhands_core.pipeline.tracker import HandPairTracker

MEDIAPIPE = "mediapipe"
RULES = {**SEARCHES, "classic": CLASSIC}
"""Of the package's detector; classic are MediaPipe's own, around MediaPipe's own landmark network."""


@cache
def mediapipes_networks() -> HandNetworks:
    """With the landmark network that the installed MediaPipe has, converted."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
    from hand_networks import SOURCES, convert

    out = Path(tempfile.mkdtemp()) / "hand_landmarks.onnx"
    out.write_bytes(convert(SOURCES[1], Path(mediapipe.__file__).parent / "modules").SerializeToString(deterministic=True))
    return HandNetworks(hand=out)


def detector(name: str) -> HandDetector:
    """One of RULES, begun anew."""
    return HandDetector(mediapipes_networks() if name == "classic" else None, rules=RULES[name])


def pairs(frames: Iterable[tuple[int, np.ndarray]]) -> Iterator[dict[str, list[HandDetection | None]]]:
    """The (left, right) hand of each frame by detector; each begins anew. frames: (stamp, image)."""
    detectors = {MEDIAPIPE: MediaPipeDetector(), **{name: detector(name) for name in RULES}}
    identities = {name: HandIdentity() for name in detectors}
    for stamp, image in frames:
        size = image.shape[1], image.shape[0]
        yield {name: list(identities[name].update(d.detect(image), stamp, size)) for name, d in detectors.items()}
    for each in detectors.values():
        each.close()


def rendered(model: str, clips: int) -> dict:
    """Of `rendered_errors`' clips: hands wholly in the image that were found, found hands with the other one's name, and
    detections where no hand is; acceleration error of landmarks over what a detector and MediaPipe both found, px a frame^2.
    """
    counts = {name: {"found": 0, "wrong_side": 0, "phantoms": 0} for name in (MEDIAPIPE, *RULES)}
    jitter: dict[str, list[np.ndarray]] = {name: [] for name in counts}
    hands = 0
    for camera, images, joints, truth in unseen_clips(clips, asset=open_hand(model)):
        whole, points = truth["joint_in_image"].all(-1), camera.project(joints)
        errors = {name: np.full((*whole.shape, 21, 2), np.nan) for name in counts}
        hands += int(whole.sum())
        for t, found in enumerate(pairs(zip(truth["stamp"].tolist(), images))):
            there = np.flatnonzero(truth["joint_in_image"][t].any(-1)).tolist()
            for name, pair in found.items():
                seen = [detection for detection in pair if detection is not None]
                right = matched(seen, points[t], there)
                counts[name]["phantoms"] += len(seen) - len(right)
                for detection, side in right:
                    counts[name]["found"] += int(whole[t, side])
                    counts[name]["wrong_side"] += int(detection.side != side)
                    errors[name][t, side] = detection.landmarks - points[t, side]
        shaken = {name: np.linalg.norm(np.diff(error, 2, axis=0), axis=-1).mean(-1) for name, error in errors.items()}
        for name, values in shaken.items():
            jitter[name].append(np.stack([values, shaken[MEDIAPIPE]], -1).reshape(-1, 2))
    result: dict = {"hands": hands, **counts}
    for name, values in jitter.items():
        ours, theirs = np.concatenate(values).T
        both = np.isfinite(ours + theirs)
        result[name]["acceleration_error_px"] = round(float(ours[both].mean()), 2)
        result[name]["beside_mediapipe"] = round(float(ours[both].mean() / theirs[both].mean()), 3)
    return result


def places(camera: Camera, joints: np.ndarray) -> np.ndarray:
    """(T, 2) where each hand of true joints (T, 2, 21, 3) is: "covered", a quarter or more of its joints behind the other one's
    outline; else how far their middles are apart in the picture: "apart", by a hand's length or more, "near", or "crossing", by
    less than half of one."""
    points, depth = camera.project(joints), joints[..., 2].mean(-1)
    pixels = (hand_length(joints) * camera.matrix[0, 0] / depth).mean(-1)
    distance = np.linalg.norm(np.subtract(*points.mean(2).transpose(1, 0, 2)), axis=-1) / pixels
    names = np.select([distance >= 1.0, distance >= 0.5], ["apart", "near"], "crossing")
    names = np.stack([names, names], -1).astype("U8")
    for t, side in np.argwhere(depth > depth[:, ::-1]).tolist():
        if inside_hull(points[t, side], points[t, 1 - side]).mean() >= 0.25:
            names[t, side] = "covered"
    return names


def crossing(clips: int) -> dict:
    """Of clips of two human hands that swing past each other: the same counts as `rendered`'s, hands found, in all and by their
    `places`, and "exchanged", how often a hand has another name than when it was found last. tracker: a HandPairTracker's valid
    hands, what a robot gets."""
    counts = {name: Counter() for name in (MEDIAPIPE, *RULES, "tracker")}
    hands: Counter[str] = Counter()
    for camera, images, joints, truth in unseen_clips(clips, seed=UNSEEN_SEED + 3, crossing=True):
        whole, points, place = truth["joint_in_image"].all(-1), camera.project(joints), places(camera, joints)
        hands.update(["all"] * int(whole.sum()) + place[whole].tolist())
        frames = list(zip(truth["stamp"].tolist(), images))
        named: dict[tuple[str, int], int] = {}
        with closing(HandPairTracker()) as tracker:
            for t, (found, (stamp, image)) in enumerate(zip(pairs(frames), frames)):
                estimate = tracker.process(image, stamp, camera)
                found["tracker"] = [
                    detection and replace(detection, landmarks=hand.joints_2d) if hand.valid else None
                    for hand, detection in zip(estimate.hands, tracker.detections)
                ]
                for name, pair in found.items():
                    seen = [detection for detection in pair if detection is not None]
                    right = matched(seen, points[t], np.flatnonzero(truth["joint_in_image"][t].any(-1)).tolist())
                    counts[name]["phantoms"] += len(seen) - len(right)
                    for detection, side in right:
                        counts[name].update(["found", f"found_{place[t, side]}"] if whole[t, side] else [])
                        counts[name]["wrong_side"] += detection.side != side
                        counts[name]["exchanged"] += detection.side != named.setdefault((name, side), detection.side)
                        named[name, side] = detection.side
    return {"hands": dict(hands), **{name: dict(sorted(count.items())) for name, count in counts.items()}}


def real(path: Path) -> dict:
    """Left and right hands found, and the share of MediaPipe's hands whose landmarks are within 1 px of them on average."""
    counts = {name: [0, 0] for name in (MEDIAPIPE, *RULES)}
    near: dict[str, list[bool]] = {name: [] for name in counts}
    frames = 0
    with VideoReader(path) as reader:
        for found in pairs(iter(reader)):
            frames += 1
            for name, pair in found.items():
                for side, (hand, other) in enumerate(zip(pair, found[MEDIAPIPE])):
                    counts[name][side] += hand is not None
                    if other is not None:
                        off = np.linalg.norm(hand.landmarks - other.landmarks, axis=1).mean() if hand else np.inf
                        near[name].append(bool(off < 1.0))
    return {
        "frames": frames,
        **{
            name: {"left": left, "right": right, "within_1_px_of_mediapipe": round(float(np.mean(near[name])), 3)}
            for name, (left, right) in counts.items()
        },
    }


def main() -> None:
    """Print what was counted as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder with video/two_hands.mp4 and video/right_hand.mp4")
    parser.add_argument("--clips", type=int, default=8, help="of each hand model, and of hands that cross")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    result = {model: rendered(model, args.clips) for model in ("generic", "human")}
    result["crossing"] = crossing(args.clips)
    result |= {name: real(args.real / "video" / f"{name}.mp4") for name in ("two_hands", "right_hand")}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
