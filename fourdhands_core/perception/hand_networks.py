"""MediaPipe's two hand networks in onnxruntime, the second trained on: palms in a square of an image, and the landmarks of the
hand in another."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from ..errors import DependencyError, InputError
from .beside import Beside
from .detector import hand_size
from .palms import PALM_SIZE, Palms
from .squares import Square, cut
from .tone import AS_IT_IS, Tone

ASSETS = Path(__file__).parent / "assets"
"""The networks, made by tools/hand_networks.py, the landmark network trained on by `fourdhands train detector`; a licence."""
HAND = ASSETS / "hand_landmarks.onnx"
HAND_INT8 = ASSETS / "hand_landmarks_int8.onnx"
"""The same in numbers of 8 bits, made by tools/hand_int8.py."""
HAND_SIZE = 224
"""Pixels along a side of what the landmark network sees."""
_PICTURES = ((0.12, 1.04, False), (-0.12, 1.04, True), (-0.12, 0.96, False), (0.12, 0.96, True))
"""Other pictures of a hand than its square's: turned by an angle, radians, scaled, and mirrored or not. Two and four of them
are the same of the mirrored image, so that left and right hands are seen alike."""
_PROVIDERS = {
    "cpu": (),
    "onnx": (),
    "cuda": ("CUDAExecutionProvider",),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider"),
}
"""onnxruntime's, by device; the CPU's comes last everywhere."""
_OPTIONS = {"CUDAExecutionProvider": {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}}
"""By provider: trying out the algorithms of convolutions, as onnxruntime does, takes 1 to 4 s (benchmarks/gpu.json), and with
TF32 landmarks were up to 1.7 px beside the CPU's."""


@dataclass(frozen=True, eq=False)
class Look:
    """What the landmark network says of one square.

    landmarks: (21, 2) pixels of the image. world: (21, 3) metres around the hand's centre, axes as the camera's. presence:
    0-1, that there is a hand and it is read rightly. right: 0-1, that it is a right one, in an image that is not mirrored.
    """

    landmarks: np.ndarray
    world: np.ndarray
    presence: float
    right: float

    @functools.cached_property
    def size(self) -> float:
        """Its `hand_size`, pixels."""
        return hand_size(self)


class HandNetworks:
    """Both networks, ready to run, by any number of threads at once.

    device: cpu, cuda or tensorrt; onnx is cpu. threads: of the CPU, for each run. hand: file of the landmark network. Raises
    InputError for another device, DependencyError where the installed onnxruntime does not support it. at_once: several runs
    are done sooner beside one another.
    """

    def __init__(self, device: str = "cpu", threads: int = 1, hand: Path = HAND) -> None:
        self._palm = _session(ASSETS / "palm_detection.onnx", device, threads)
        self._hand = _session(hand, device, threads)
        self.at_once = not _PROVIDERS[device]

    def palms(self, image: np.ndarray, square: Square, tone: Tone = AS_IT_IS) -> Palms:
        """Palms in a square of an RGB uint8 image."""
        crops = np.empty((1, 3, PALM_SIZE, PALM_SIZE), np.float32)
        tone.fill(crops[0], cut(image, square, PALM_SIZE, cv2.BORDER_CONSTANT))
        boxes, scores = self._palm.run(["boxes", "scores"], {"image": crops})
        return Palms(boxes[0], scores[0, :, 0])

    def looks(self, image: np.ndarray, squares: Sequence[Square], tone: Tone = AS_IT_IS, pictures: int = 1) -> list[Look]:
        """What is seen in each square of an RGB uint8 image; at the same time where there are cores.

        pictures: of each hand; with 2 to 4 the mean of what is seen in so many of them, which are turned, scaled and mirrored
        by turns (test-time augmentation).
        """
        ways = _PICTURES[:pictures] if pictures > 1 else ((0.0, 1.0, False),)
        each = [(square.turned(angle, scale), mirrored) for square in squares for angle, scale, mirrored in ways]
        # one crop each: on a GPU onnxruntime chooses algorithms anew whenever their number changes, which takes 0.1 s and more
        others = [Beside(self._look, image, square, tone, mirrored, at_once=self.at_once) for square, mirrored in each[1:]]
        seen = [self._look(image, square, tone, mirrored) for square, mirrored in each[:1]]
        seen += [other.result() for other in others[::-1]][::-1]  # from the end, as other threads begin at the first
        return [_mean(seen[first : first + len(ways)]) for first in range(0, len(seen), len(ways))]

    def mirrored(self, image: np.ndarray, square: Square, tone: Tone = AS_IT_IS) -> float:
        """Presence of what a square of an RGB uint8 image shows, mirrored: another picture of the same hand."""
        crops = _crops(image, square, tone, mirrored=True)
        (presence,) = self._hand.run(["presence"], {"image": crops})
        return float(presence[0, 0])

    def _look(self, image: np.ndarray, square: Square, tone: Tone, mirrored: bool) -> Look:
        crops = _crops(image, square, tone, mirrored)
        said = self._hand.run(["landmarks", "presence", "handedness", "world"], {"image": crops})
        landmarks, presence, right, world = (values[0].astype(np.float64) for values in said)
        points, world = landmarks.reshape(21, 3)[:, :2], world.reshape(21, 3)
        if mirrored:
            points, world, right = (HAND_SIZE - 1.0, 0.0) + points * (-1.0, 1.0), world * (-1.0, 1.0, 1.0), 1.0 - right
        cosine, sine = math.cos(square.angle), math.sin(square.angle)
        turned = world.copy()
        turned[:, :2] = turned[:, :2] @ np.array([[cosine, sine], [-sine, cosine]])
        return Look(square.to_image(points / HAND_SIZE), turned, float(presence[0]), float(right[0]))


def _mean(looks: list[Look]) -> Look:
    """Of several pictures of one hand."""
    if len(looks) == 1:
        return looks[0]
    landmarks, world = (np.mean([getattr(look, name) for look in looks], axis=0) for name in ("landmarks", "world"))
    presence, right = (sum(getattr(look, name) for look in looks) / len(looks) for name in ("presence", "right"))
    return Look(landmarks, world, presence, right)


def _crops(image: np.ndarray, square: Square, tone: Tone, mirrored: bool = False) -> np.ndarray:
    """(1, 3, HAND_SIZE, HAND_SIZE): what the landmark network sees of a square."""
    crops = np.empty((1, 3, HAND_SIZE, HAND_SIZE), np.float32)
    tone.fill(crops[0], cut(image, square, HAND_SIZE, cv2.BORDER_REPLICATE))
    return np.ascontiguousarray(crops[..., ::-1]) if mirrored else crops


@functools.cache
def _find_cuda() -> None:
    """Load CUDA's and cuDNN's libraries where pip installed them, as no linker looks there; what of it fails goes to stderr."""
    if hasattr(onnxruntime, "preload_dlls"):  # from 1.21 on
        with contextlib.redirect_stdout(sys.stderr):
            onnxruntime.preload_dlls()


@functools.lru_cache(maxsize=8)
def _session(path: Path, device: str, threads: int) -> Any:
    """One session for all cameras: they run in several threads at once, and weights are in memory once."""
    if device not in _PROVIDERS:
        raise InputError(f"device = {device!r} is not known; give one of {', '.join(_PROVIDERS)}")
    for provider in _PROVIDERS[device]:
        if provider not in onnxruntime.get_available_providers():
            raise DependencyError(
                f"device = {device!r} needs an onnxruntime with {provider}, which the installed one has not: "
                "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
    if _PROVIDERS[device]:
        _find_cuda()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a robot's other programs need the cores
    providers = [(name, _OPTIONS.get(name, {})) for name in (*_PROVIDERS[device], "CPUExecutionProvider")]
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    if missing := [provider for provider in _PROVIDERS[device] if provider not in session.get_providers()]:
        logging.getLogger("fourdhands").warning(
            "%s could not be started for device %s: the hand networks run without it; onnxruntime's libraries for the GPU, and "
            "CUDA's in the versions that it wants, must be installed",
            " and ".join(missing),
            device,
        )
    if _PROVIDERS[device]:  # what the first run makes ready is not for the first image to wait for
        (given,) = session.get_inputs()
        session.run(None, {given.name: np.zeros((1, *given.shape[1:]), np.float32)})
    return session
