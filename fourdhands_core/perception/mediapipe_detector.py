"""MediaPipe's hand solution as a detector of hands."""

from __future__ import annotations

import warnings

import numpy as np

from ..errors import DependencyError, InputError
from ..hand_model.skeleton import LEFT, RIGHT
from .confidence import landmark_confidence
from .detector import HandDetection, check_image

# MediaPipe calls what protobuf has deprecated: a warning that tells users nothing.
warnings.filterwarnings("ignore", r"SymbolDatabase\.GetPrototype\(\) is deprecated", UserWarning)


class MediaPipeDetector:
    """Hands found by `mediapipe.solutions.hands` 0.10.21, whose models are inside its wheel.

    mirrored: the images are mirrored (selfie) images. MediaPipe's handedness assumes they are, so its "Left" in an
    ordinary image is a right hand. `side` is the side of the person's hand in both cases; the coordinates always are
    those of the image as given, so in a mirrored image a left hand has the shape of a right one.
    max_hands: how many hands to look for; while fewer are tracked, the slower palm detector runs on every image, and
    more than were asked for may be returned. model_complexity: 0 (faster) or 1 (more accurate).
    min_detection_confidence, min_tracking_confidence: 0-1, as MediaPipe's; the defaults are its own.
    single_images: treat each image on its own instead of as the next of a video.
    MediaPipe writes a few lines of its own to stderr when it starts; they heed none of its documented settings.

    Raises InputError for a setting out of range, DependencyError where mediapipe is not installed.
    """

    def __init__(
        self,
        mirrored: bool = False,
        max_hands: int = 2,
        model_complexity: int = 1,
        min_detection_confidence: float = 0.5,
        min_tracking_confidence: float = 0.5,
        single_images: bool = False,
    ):
        if not 1 <= max_hands <= 16 or model_complexity not in (0, 1):
            raise InputError(
                f"max_hands={max_hands}, model_complexity={model_complexity}: give 1 to 16 hands and a complexity of 0 or 1"
            )
        if not (0.0 <= min_detection_confidence <= 1.0 and 0.0 <= min_tracking_confidence <= 1.0):
            raise InputError(
                f"min_detection_confidence={min_detection_confidence} and min_tracking_confidence="
                f"{min_tracking_confidence} must lie between 0 and 1"
            )
        try:
            from mediapipe.python.solutions.hands import Hands
        except ImportError as error:
            raise DependencyError(
                f"MediaPipe's hand solution cannot be imported ({error}); run: pip install mediapipe==0.10.21"
            ) from error
        self._hands = Hands(single_images, max_hands, model_complexity, min_detection_confidence, min_tracking_confidence)
        # The models are loaded behind the constructor's back; an empty image waits for that.
        self._hands.process(np.zeros((64, 64, 3), np.uint8))
        self._side_of = {"Left": LEFT, "Right": RIGHT} if mirrored else {"Left": RIGHT, "Right": LEFT}

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

    def close(self) -> None:
        if self._hands is not None:
            self._hands.close()
            self._hands = None

    def _detection(self, landmarks, world, handedness, width: int, height: int) -> HandDetection:
        points = np.array([(p.x, p.y, p.z) for p in landmarks.landmark])
        world = np.array([(p.x, p.y, p.z) for p in world.landmark])
        label = handedness.classification[0]
        # MediaPipe's CPU image warp counts pixel centres at integers, so its normalised x times the width is our x
        # (measured: the landmarks of an image halved are x / 2 - 0.25 of the whole one's, not x / 2).
        pixels = points[:, :2] * (width, height)
        return HandDetection(
            side=self._side_of[label.label],
            score=float(label.score),
            landmarks=pixels,
            depth=points[:, 2] * width,
            world=world,
            confidence=landmark_confidence(pixels, world, float(label.score), (width, height)),
        )
