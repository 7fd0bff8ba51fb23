"""Running the image network's parts on an image: in torch on a CPU or a GPU, or in onnxruntime, which needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import DependencyError, InputError
from ..hand_model.skeleton import LEFT
from ..network.image_config import CROP_HEIGHT, CROP_WIDTH, ImageConfig
from .batcher import Batcher
from .crops import DeviceCrops, crop_hands
from .landmark import OnnxParts
from .onnx_files import BACKBONE, SPATIAL, TEMPORAL

if TYPE_CHECKING:
    from ..network.image_model import ImageNetwork
    from .cuda_graphs import Recorded


class ImageExecution(Protocol):
    """An image network ready to run, for several threads too; hands in the order (left, right)."""

    config: ImageConfig

    def prepare(self, cameras: int) -> None:
        """Be ready for so many cameras at the same time."""

    def encode(self, image: np.ndarray, squares: np.ndarray, present: np.ndarray) -> Any:
        """A frame's hand tokens, in whatever form `reason` takes.

        image: (H, W, 3) uint8 RGB. squares: (2, 4) x, y, w, h in pixels. present: (2,) bool, one at least.
        """

    def reason(self, tokens: Sequence, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rotations (2, 16, 3, 3), betas (2, 10), cameras (2, 3) and the relative root (3,) of `ImageHands`, float64.

        tokens: of the T frames of a window, None where there was no hand; numpy's arrays where they were kept in a file
        (`pipeline/checkpoint.py`). valid: (2, T) bool.
        """


def check_device(device: str) -> None:
    """Raises InputError for another device than "cpu" and "cuda", DependencyError where torch cannot run on "cuda"."""
    import torch

    if device not in ("cpu", "cuda"):
        raise InputError(f"torch runs this on device cpu or cuda, not {device}")
    if device == "cuda" and not torch.cuda.is_available():
        raise DependencyError(
            "device cuda was asked for, but torch sees no CUDA device here; use device cpu, or "
            "install a driver and a torch build with CUDA"
        )


class TorchImage:
    """An ImageNetwork in torch. device: "cpu" or "cuda". precision: "float32", "float16" or "bfloat16".

    Cameras may call from threads of their own: each crops its own image, and what waits for the network at the same time
    goes through it as one batch. On a GPU the network is recorded for every number of hands that `cameras` cameras can
    see at once, nothing waits for the device but the result of `reason`, and all of it is on one stream. record: what
    makes the recordings instead of a GraphRecorder. Raises DependencyError where the device is not there.
    """

    def __init__(
        self,
        network: ImageNetwork,
        device: str = "cpu",
        precision: str = "float32",
        cameras: int = 1,
        record: Callable[..., Recorded] | None = None,
    ):
        import torch

        from .cuda_graphs import ByShape, GraphRecorder

        check_device(device)
        self._torch = torch
        self.config = network.config
        self.device, self.type = torch.device(device), getattr(torch, precision)
        self.network = network.to(self.device, self.type).eval().requires_grad_(False)
        self._no_hands = torch.zeros(2, network.config.hand_width, device=self.device, dtype=self.type)
        self._crop = self._crop_on_host
        if device == "cuda":
            record, self._crop = record or GraphRecorder(), DeviceCrops(self.device, self.type)
        self._encode = ByShape(self.network.encode_present, record, self.device)
        self._reason = ByShape(self.network.reason_flat, record, self.device)
        self._together = Batcher(encode=self._encode_all, reason=self._reason_all, prepare=self._prepare)
        self.prepare(cameras)

    def prepare(self, cameras: int) -> None:
        """Be ready for so many cameras at the same time."""
        self._together("prepare", cameras)

    def encode(self, image: np.ndarray, squares: np.ndarray, present: np.ndarray) -> Any:
        return self._together("encode", self._cropped(image, squares, present))

    def encode_batch(self, frames: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Sequence:
        """`encode` of several frames (image, squares, present) as one batch."""
        return self._encode_all([self._cropped(*frame) for frame in frames])

    def reason(self, tokens: Sequence, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self._together("reason", (tokens, valid))

    def _cropped(self, image, squares, present):
        with self._torch.inference_mode():
            return self._crop(image, squares[present], np.flatnonzero(present) == LEFT), np.column_stack([squares, present])

    def _crop_on_host(self, image, squares, mirrored):
        return self._torch.from_numpy(crop_hands(image, squares, mirrored)).to(self.type)

    def _encode_all(self, requests):
        torch = self._torch
        with torch.inference_mode():
            crops = torch.cat([crops for crops, _ in requests])
            return self._encode(crops, self._host([placed for _, placed in requests], np.float32)).unbind()

    def _reason_all(self, requests):
        torch = self._torch
        with torch.inference_mode():
            tokens = torch.stack(
                [
                    self._no_hands if token is None else torch.as_tensor(token).to(self._no_hands)
                    for window, _ in requests
                    for token in window
                ]
            )
            windows = tokens.unflatten(0, (len(requests), -1)).transpose(1, 2)
            flat = self._to_host(self._reason(windows, self._host([valid for _, valid in requests], bool)))
        return [self.network.split(row) for row in flat.astype(float)]

    def _host(self, arrays, kind):
        """Arrays as a batch in host memory, pinned where a GPU takes it from there."""
        batch = self._torch.from_numpy(np.stack(arrays).astype(kind))
        return batch.pin_memory() if self.device.type == "cuda" else batch

    def _to_host(self, value):
        """The one wait for the device: only for what this value needs, not for what other threads have begun since."""
        torch = self._torch
        if self.device.type == "cpu":
            return value.numpy()
        host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
        host.copy_(value, non_blocking=True)
        done = torch.cuda.Event()
        done.record()
        done.synchronize()
        return host.numpy()

    def _prepare(self, requests):
        """Every shape that can come, the largest first: the others then fit into its memory."""
        for frames in range(max(requests), 0, -1):
            for hands in range(2 * frames, frames - 1, -1):
                self.record_encode(frames, hands)
            torch, place = self._torch, dict(device=self.device, dtype=self.type)
            self._reason.prepare(
                torch.zeros(frames, 2, self.config.window, self.config.hand_width, **place),
                torch.ones(frames, 2, self.config.window, dtype=torch.bool, device=self.device),
            )
        return requests

    def record_encode(self, frames: int, hands: int) -> None:
        """Record `encode` of so many frames at once with so many hands in them, unless that was done; only on a GPU."""
        torch = self._torch
        placed = torch.ones(frames, 2, 5, device=self.device)
        placed.view(-1, 5)[hands:, 4] = 0.0
        self._encode.prepare(torch.zeros(hands, 3, CROP_HEIGHT, CROP_WIDTH, device=self.device, dtype=self.type), placed)


class OnnxImage:
    """The image network that `fourdhands export` wrote to a folder, in onnxruntime."""

    def __init__(self, folder: str | Path | None, threads: int = 1):
        self._parts = OnnxParts(folder, (BACKBONE, SPATIAL, TEMPORAL), ImageConfig, threads)
        self.config = self._parts.config

    def prepare(self, cameras: int) -> None:
        """Nothing to do: sessions of onnxruntime may be shared by threads."""

    def encode(self, image: np.ndarray, squares: np.ndarray, present: np.ndarray) -> Any:
        crops = crop_hands(image, squares[present], np.flatnonzero(present) == LEFT)
        return self.interact(self.features(crops), squares, present)

    def features(self, crops: np.ndarray) -> np.ndarray:
        """Tokens (N, S, C) that the backbone makes of the crops (N, 3, 256, 192) of the hands that are there."""
        return self._parts(BACKBONE, crops)[0]

    def interact(self, features: np.ndarray, squares: np.ndarray, present: np.ndarray) -> np.ndarray:
        """A frame's hand tokens (2, C), from the backbone's; squares and present as of `encode`."""
        pair = np.zeros((1, 2, *features.shape[1:]), np.float32)
        pair[0, present] = features
        return self._parts(SPATIAL, pair, squares.astype(np.float32)[None], present[None])[0][0]

    def reason(self, tokens: Sequence, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        nothing = np.zeros((2, self.config.hand_width), np.float32)
        stacked = np.stack([nothing if token is None else token for token in tokens], 1)[None]
        return tuple(value[0].astype(float) for value in self._parts(TEMPORAL, stacked, valid[None]))
