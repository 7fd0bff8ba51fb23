"""Running the landmark network's two parts, numpy arrays in and out: in torch, or in onnxruntime, which needs no torch."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import CheckpointError, DependencyError
from .config import SHIPPED, NetworkConfig

ENCODE, REASON = "encode.onnx", "reason.onnx"
"""The files of an exported landmark network: what is computed once a frame, and on each window of frames."""
BACKBONE, SPATIAL, TEMPORAL = "backbone.onnx", "spatial.onnx", "temporal.onnx"
"""The files of an exported image network: the ViT, what follows it once a frame, and on each window of frames."""


class Execution(Protocol):
    """A landmark network ready to run; hands in the order (left, right), in own coordinates (the left one mirrored in x)."""

    config: NetworkConfig

    def encode(self, rays, world, has_world, present) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A frame's hand tokens (2, C), rotations to the virtual cameras (2, 3, 3), RMS radii (2,) in focal lengths.

        rays: (2, 21, 2) float32 x/z, y/z of the landmarks. world: (2, 21, 3) float32 the detector's own 3-D landmarks.
        has_world, present: (2,) bool.
        """

    def reason(self, hands, offsets, valid) -> tuple[np.ndarray, ...]:
        """The fields of `model.HandParameters` for one sample, from a window of T frames.

        hands: (2, T, C) float32. offsets: (T,) float32, times relative to the estimated frame in frame gaps. valid:
        (2, T) bool.
        """


class TorchExecution:
    """The network of a weights file (default: the shipped one) in torch, on the CPU.

    threads: of torch, for the whole process. Raises CheckpointError for a file that cannot be used.
    """

    def __init__(self, weights: str | Path | None = None, threads: int = 1):
        import torch

        torch.set_num_threads(threads)
        path = Path(weights or SHIPPED)
        self.config, self._parts = _traced_parts(path, path.stat().st_mtime_ns if path.is_file() else 0)
        self._tensor, self._inference = torch.from_numpy, torch.inference_mode

    def _run(self, part, *arrays):
        with self._inference():
            return tuple(value.numpy()[0] for value in self._parts[part](*(self._tensor(array)[None] for array in arrays)))

    def encode(self, rays, world, has_world, present):
        return self._run("encode", rays, world, has_world, present)

    def reason(self, hands, offsets, valid):
        return self._run("reason", hands, offsets, valid)


class OnnxParts:
    """Files of an exported network in onnxruntime, on the CPU; torch is not imported.

    kind: the configuration's class, NetworkConfig or ImageConfig. Raises DependencyError without onnxruntime,
    CheckpointError for a folder that cannot be used.
    """

    def __init__(self, folder: str | Path | None, names: tuple[str, ...], kind, threads: int = 1):
        try:
            import onnxruntime
        except ImportError as error:
            raise DependencyError("device onnx needs onnxruntime: pip install 'fourdhands[onnx]'") from error

        folder = Path(folder or "")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self._sessions = {}
        for name in names:
            if not (folder / name).is_file():
                raise CheckpointError(f"weights: {str(folder)!r} is no folder with {' and '.join(names)}, which device "
                                      "onnx needs; make one with: fourdhands export --out DIR")
            try:
                self._sessions[name] = onnxruntime.InferenceSession(
                    str(folder / name), options, providers=["CPUExecutionProvider"])
                about = self._sessions[name].get_modelmeta().custom_metadata_map
                self.config = kind.from_dict(json.loads(about["fourdhands"]))
            except Exception as error:  # onnxruntime has a class for each way of failing, without a common base
                raise CheckpointError(f"{folder / name} is not what fourdhands export writes "
                                      f"({type(error).__name__}: {error}); export the network again") from error
        self._inputs = {name: [i.name for i in session.get_inputs()] for name, session in self._sessions.items()}

    def __call__(self, name: str, *arrays: np.ndarray) -> list[np.ndarray]:
        """One part's outputs."""
        return self._sessions[name].run(None, dict(zip(self._inputs[name], arrays)))


@functools.lru_cache(maxsize=2)
def _traced_parts(weights: Path, written: int):
    """The configuration and the traced parts of a weights file that was written at that time.

    Kept, as torch frees nothing that it has traced: a node that is activated again and again would grow by 20 MB each time.
    """
    from .checkpoint import load_weights
    from .parts import EncodePart, ReasonPart, traced

    network = load_weights(weights)
    if network.config.tokenizer != "landmark":
        raise CheckpointError(f"{weights} holds an {network.config.tokenizer} network; use model "
                              f"{network.config.tokenizer} for it")
    return network.config, {"encode": traced(EncodePart(network)), "reason": traced(ReasonPart(network))}


class OnnxExecution:
    """The landmark network that `fourdhands export` wrote to a folder, in onnxruntime."""

    def __init__(self, folder: str | Path | None, threads: int = 1):
        self._parts = OnnxParts(folder, (ENCODE, REASON), NetworkConfig, threads)
        self.config = self._parts.config

    def _run(self, name, *arrays):
        return tuple(value[0] for value in self._parts(name, *(array[None] for array in arrays)))

    def encode(self, rays, world, has_world, present):
        return self._run(ENCODE, rays, world, has_world, present)

    def reason(self, hands, offsets, valid):
        return self._run(REASON, hands, offsets, valid)
