"""Running the image network's parts on an image: in torch on a CPU or a GPU, or in onnxruntime, which needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import DependencyError
from ..hand_model.skeleton import LEFT
from ..network.execution import BACKBONE, SPATIAL, TEMPORAL, OnnxParts
from ..network.image_config import ImageConfig
from ..perception.crops import crop_hands, crop_hands_on_device


class ImageExecution(Protocol):
    """An image network ready to run; hands in the order (left, right)."""

    config: ImageConfig

    def encode(self, image: np.ndarray, squares: np.ndarray, present: np.ndarray):
        """A frame's hand tokens, in whatever form `reason` takes.

        image: (H, W, 3) uint8 RGB. squares: (2, 4) x, y, w, h in pixels. present: (2,) bool, one at least.
        """

    def reason(self, tokens: Sequence, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rotations (2, 16, 3, 3), betas (2, 10), cameras (2, 3) and the relative root (3,) of `ImageHands`, float64.

        tokens: of the T frames of a window, None where there was no hand. valid: (2, T) bool.
        """


class TorchImage:
    """An ImageNetwork in torch. device: "cpu" or "cuda". precision: "float32", "float16" or "bfloat16".

    Raises DependencyError where the device is not there.
    """

    def __init__(self, network, device: str = "cpu", precision: str = "float32"):
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise DependencyError("device cuda was asked for, but torch sees no CUDA device here; use device cpu, or "
                                  "install a driver and a torch build with CUDA")
        self._torch = torch
        self.config = network.config
        self.device, self.type = torch.device(device), getattr(torch, precision)
        self.network = network.to(self.device, self.type).eval().requires_grad_(False)
        self._no_hands = torch.zeros(2, network.config.hand_width, device=self.device, dtype=self.type)
        self._encode, self._reason = self.network.encode, self.network.reason
        if device == "cuda":
            self._record()

    def encode(self, image, squares, present):
        torch = self._torch
        with torch.inference_mode():
            if self.device.type == "cpu":
                crops = torch.from_numpy(crop_hands(image, squares[present], np.flatnonzero(present) == LEFT))
            else:
                pixels = torch.from_numpy(image).to(self.device, non_blocking=True)
                crops = crop_hands_on_device(pixels, squares[present], np.flatnonzero(present) == LEFT)
            boxes = torch.from_numpy(squares).to(self.device, torch.float32)[None]
            return self._encode(crops.to(self.type), boxes, torch.from_numpy(present).to(self.device)[None])[0].clone()

    def reason(self, tokens, valid):
        torch = self._torch
        with torch.inference_mode():
            stacked = torch.stack([self._no_hands if token is None else token for token in tokens], 1)[None]
            known = None if valid.all() else torch.from_numpy(valid).to(self.device)[None]
            hands = self._reason(stacked, known)
            values = hands.rotations, hands.betas, hands.camera, hands.left_root_relative
            # one copy to the host, which is where the stream waits for the device
            flat = torch.cat([value.float().flatten() for value in values]).cpu().numpy().astype(float)
        ends = np.cumsum([value.numel() for value in values])[:-1]
        return tuple(part.reshape(value.shape[1:]) for part, value in zip(np.split(flat, ends), values))

    def _record(self):
        """Record both parts for two present hands as CUDA graphs; other inputs take the ordinary way."""
        from ..network.cuda_graphs import Recorded

        torch, config, place = self._torch, self.config, dict(device=self.device, dtype=self.type)
        encode = Recorded(lambda crops, squares: self.network.encode(
            crops, squares, torch.ones(1, 2, dtype=torch.bool, device=self.device)),
            [torch.zeros(2, 3, 256, 192, **place), torch.ones(1, 2, 4, device=self.device)])
        reason = Recorded(self.network.reason, [torch.zeros(1, 2, config.window, config.hand_width, **place)])
        self._encode = lambda crops, squares, present: (
            encode(crops, squares) if len(crops) == 2 else self.network.encode(crops, squares, present))
        self._reason = lambda tokens, valid: reason(tokens) if valid is None else self.network.reason(tokens, valid)


class OnnxImage:
    """The image network that `fourdhands export` wrote to a folder, in onnxruntime."""

    def __init__(self, folder: str | Path | None, threads: int = 1):
        self._parts = OnnxParts(folder, (BACKBONE, SPATIAL, TEMPORAL), ImageConfig, threads)
        self.config = self._parts.config

    def encode(self, image, squares, present):
        features, = self._parts(BACKBONE, crop_hands(image, squares[present], np.flatnonzero(present) == LEFT))
        pair = np.zeros((1, 2, *features.shape[1:]), np.float32)
        pair[0, present] = features
        return self._parts(SPATIAL, pair, squares.astype(np.float32)[None], present[None])[0][0]

    def reason(self, tokens, valid):
        nothing = np.zeros((2, self.config.hand_width), np.float32)
        stacked = np.stack([nothing if token is None else token for token in tokens], 1)[None]
        return tuple(value[0].astype(float) for value in self._parts(TEMPORAL, stacked, valid[None]))
