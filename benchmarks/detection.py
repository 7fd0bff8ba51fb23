"""Counts hands that the detector finds, with each of its searches, beside MediaPipe on the same images, sides as the tracker
names them: on rendered clips of both hand models, on the two real videos.

python benchmarks/detection.py --real DIR > benchmarks/detection.json
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import cv2
import mediapipe
import numpy as np
from mediapipe_detector import MediaPipeDetector

from fourdhands_core.hand_model.assets import open_hand
from fourdhands_core.learning.evaluation.clips import unseen_clips
from fourdhands_core.learning.landmark.measure_errors import matched
from fourdhands_core.media.video import VideoReader
from fourdhands_core.perception.detector import HandDetection
from fourdhands_core.perception.hand_detector import CLASSIC, SEARCHES, HandDetector
from fourdhands_core.perception.hand_networks import HandNetworks
from fourdhands_core.perception.identity import HandIdentity

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
    parser.add_argument("--clips", type=int, default=8, help="of each hand model")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    result = {model: rendered(model, args.clips) for model in ("generic", "human")}
    result |= {name: real(args.real / "video" / f"{name}.mp4") for name in ("two_hands", "right_hand")}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
