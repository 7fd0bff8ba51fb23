"""MediaPipe's hand solution as a detector of hands, for the benchmarks that compare with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from fourdhands_core.errors import DependencyError, InputError
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.perception.confidence import landmark_confidence
from fourdhands_core.perception.detector import HandDetection, check_image


class MediaPipeDetector:
    """Hands found by `mediapipe.solutions.hands` 0.10.21, whose models are inside its wheel.

    MediaPipe's handedness takes images for mirrored ones (selfies), so its "Left" in an ordinary image is a right hand: `side`
    is the side of the person's hand in an ordinary image. Two hands are looked for, with its own settings.
    MediaPipe writes a few lines of its own to stderr when it starts; they heed none of its documented settings.

    Raises DependencyError where mediapipe is not installed.
    """

    def __init__(self) -> None:
        try:
            from mediapipe.python.solutions.hands import Hands
        except ImportError as error:
            raise DependencyError(
                f"MediaPipe's hand solution cannot be imported ({error}); run: pip install mediapipe==0.10.21"
            ) from error
        self._hands = Hands(max_num_hands=2)
        # The models are loaded behind the constructor's back; an empty image waits for that.
        self._hands.process(np.zeros((64, 64, 3), np.uint8))

    def detect(self, image: np.ndarray) -> list[HandDetection]:
        """Hands in an RGB uint8 (H, W, 3) C-contiguous image; see `Detector.detect`."""
        check_image(image)
        if self._hands is None:
            raise InputError("this MediaPipeDetector is closed; make a new one")
        result = self._hands.process(image)
        if not result.multi_hand_landmarks:
            return []
        height, width = image.shape[:2]
        return [
            self._detection(*hand, width, height)
            for hand in zip(result.multi_hand_landmarks, result.multi_hand_world_landmarks, result.multi_handedness)
        ]

    def reset(self) -> None:
        """Forget the hands, by starting anew."""
        self._hands.reset()

    def close(self) -> None:
        if self._hands is not None:
            self._hands.close()
            self._hands = None

    def _detection(self, landmarks: Any, world: Any, handedness: Any, width: int, height: int) -> HandDetection:
        points = np.array([(p.x, p.y, p.z) for p in landmarks.landmark])
        world = np.array([(p.x, p.y, p.z) for p in world.landmark])
        label = handedness.classification[0]
        # MediaPipe's CPU image warp counts pixel centres at integers, so its normalised x times the width is our x
        # (measured: the landmarks of an image halved are x / 2 - 0.25 of the whole one's, not x / 2).
        pixels = points[:, :2] * (width, height)
        return HandDetection(
            side=RIGHT if label.label == "Left" else LEFT,
            score=float(label.score),
            landmarks=pixels,
            world=world,
            confidence=landmark_confidence(pixels, world, float(label.score), (width, height)),
        )
