"""Counts hands that the detector finds in darkened and greyed frames of real videos, with and without brightening and tinting
(`fourdhands_core.perception.tone`), beside MediaPipe; each begins anew with each kind of image.

Darkened: light times a share, plus a sensor's noise of 1.5 levels (standard deviation), rounded. `off`: mean distance of
landmarks from those that the detector sees in the frame as it is, in hand lengths, of hands nearer than half of one.
`nobody`: as many frames of that noise alone, where each hand is a phantom.

python benchmarks/tones.py --real DIR [--every 3] > benchmarks/tones.json
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from mediapipe_detector import MediaPipeDetector

from fourdhands_core.media.video import VideoReader
from fourdhands_core.perception.detector import Detector, HandDetection, hand_size
from fourdhands_core.perception.hand_detector import SEARCHES, HandDetector

NOISE = 1.5
"""Levels of 255, standard deviation."""
SHARES = {"a fifth": 0.2, "a twelfth": 1 / 12, "a 25th": 0.04}
MAKERS: dict[str, Callable[[], Detector]] = {
    "mediapipe": MediaPipeDetector,
    "as it is": lambda: HandDetector(rules=replace(SEARCHES["thorough"], toned=False)),
    "toned": HandDetector,
}


def darkened(image: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """An RGB uint8 image in less light."""
    return np.clip(np.rint(image * share + rng.normal(0.0, NOISE, image.shape)), 0, 255).astype(np.uint8)


def greyed(image: np.ndarray) -> np.ndarray:
    """An RGB uint8 image without colour."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def kinds(images: list[np.ndarray]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What was done to the images, and what came of them."""
    rng = np.random.default_rng(0)
    yield "unchanged", images
    yield "grey", [greyed(image) for image in images]
    for name, share in SHARES.items():
        yield f"{name} of the light", [darkened(image, share, rng) for image in images]
    yield "a twelfth of the light, grey", [greyed(darkened(image, 1 / 12, rng)) for image in images]
    yield "nobody, dark", [darkened(np.zeros_like(image), 0.0, rng) for image in images]


def found(make: Callable[[], Detector], images: list[np.ndarray]) -> list[list[HandDetection]]:
    """The hands in each image by a new detector."""
    detector = make()
    hands = [detector.detect(image) for image in images]
    detector.close()
    return hands


def compared(hands: list[list[HandDetection]], truth: list[list[HandDetection]]) -> dict:
    """How many hands, and how far they are from those in the same images as they were."""
    off, sides = [], 0
    for these, those in zip(hands, truth):
        for hand in these:
            distance = [np.linalg.norm(hand.landmarks - one.landmarks, axis=1).mean() / hand_size(one) for one in those]
            if distance and min(distance) < 0.5:
                off.append(min(distance))
                sides += hand.side != those[int(np.argmin(distance))].side
    count = sum(map(len, hands))
    return {
        "hands": count,
        "elsewhere": count - len(off),
        "other_side": sides,
        "off": round(float(np.mean(off)), 3) if off else None,
    }


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=Path, required=True, help="folder with video/*.mp4")
    parser.add_argument("--every", type=int, default=3, help="of so many frames one (default: 3)")
    given = parser.parse_args()
    result = {}
    for path in sorted(given.real.glob("video/*.mp4")):
        images = [np.ascontiguousarray(image) for k, (_, image) in enumerate(VideoReader(path)) if k % given.every == 0]
        truth = found(HandDetector, images)
        result[path.name] = {
            "frames": len(images),
            **{
                kind: {name: compared(found(make, changed), truth) for name, make in MAKERS.items()}
                for kind, changed in kinds(images)
            },
        }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
