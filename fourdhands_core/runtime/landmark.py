"""Running the landmark network's two parts, numpy arrays in and out: in onnxruntime, or in torch.

With a weights file, `landmark_execution` takes onnxruntime where it can: these small networks take half of torch's time in it,
and torch need not be installed.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ..errors import CheckpointError, DependencyError
from ..extras import needed_for
from ..files import utf8_name
from ..network.image_config import ImageConfig
from ..network.landmark_config import SHIPPED, LandmarkConfig
from ..network.weights_file import load_arrays, read_header, require_tokenizer
from .onnx_files import ENCODE, GRAPHS, INPUTS, REASON

_FRAME_MODULES = {"embed", "landmark_code", "relation", "join", "side_code", "spatial", "hand_query", "decoder"}
"""What of the landmark network `encode` runs; `reason` runs the rest."""


class Execution(ABC):
    """A landmark network ready to run; hands in the order (left, right), in own coordinates (the left one mirrored in x)."""

    config: LandmarkConfig

    def encode(self, rays: np.ndarray, world: np.ndarray, has_world: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, ...]:
        """A frame's hand tokens (2, C), rotations to the virtual cameras (2, 3, 3), RMS radii (2,) in focal lengths.

        rays: (2, 21, 2) float32 x/z, y/z of the landmarks. world: (2, 21, 3) float32 the detector's own 3-D landmarks.
        has_world, present: (2,) bool.
        """
        return self._run(0, rays, world, has_world, present)

    def reason(self, hands: np.ndarray, offsets: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, ...]:
        """The fields of `model.HandParameters` for one sample, from a window of T frames, then the rotations from the
        estimated frame alone.

        hands: (2, T, C) float32. offsets: (T,) float32, times relative to the estimated frame in frame gaps. seen: (2, T) bool.
        """
        return self._run(1, hands, offsets, seen)

    @abstractmethod
    def _run(self, part: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """What part 0, once a frame, or 1, once a window, makes of its inputs."""


def landmark_execution(weights: str | Path | None = None, threads: int = 1) -> Execution:
    """What runs a weights file (default: the shipped one) fastest on the CPU.

    onnxruntime, where it is installed and the file's network has LandmarkConfig's own sizes; else torch. threads: for the whole
    process. Raises CheckpointError for a file that cannot be used, DependencyError where that needs torch and there is none.
    """
    if importlib.util.find_spec("onnxruntime") is not None:
        execution = _with_graphs(*_version(weights), threads)
        if execution is not None:
            return execution
    return TorchExecution(weights, threads)


class TorchExecution(Execution):
    """The network of a weights file (default: the shipped one) in torch, on the CPU.

    threads: of torch, for the whole process. Raises CheckpointError for a file that cannot be used, DependencyError
    without torch.
    """

    def __init__(self, weights: str | Path | None = None, threads: int = 1):
        with needed_for("a landmark network of other sizes than the shipped one's, or without onnxruntime,"):
            import torch

        torch.set_num_threads(threads)
        self.config, self._parts = _traced_parts(*_version(weights))
        self._tensor, self._inference = torch.from_numpy, torch.inference_mode

    def _run(self, part: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        with self._inference():
            return tuple(value.numpy()[0] for value in self._parts[part](*[self._tensor(array[None]) for array in arrays]))


Config = TypeVar("Config", LandmarkConfig, ImageConfig)
"""The configuration of the network that was exported."""


class OnnxParts(Generic[Config]):
    """Files of an exported network in onnxruntime, on the CPU; torch is not imported.

    kind: the configuration's class, LandmarkConfig or ImageConfig. weights: arrays by file and name, for graphs that were
    written without them. Raises DependencyError without onnxruntime, CheckpointError for a folder that cannot be used.
    """

    def __init__(
        self,
        folder: str | Path | None,
        names: tuple[str, ...],
        kind: type[Config],
        threads: int = 1,
        weights: dict[str, dict[str, np.ndarray]] | None = None,
    ):
        try:
            import onnxruntime
        except ImportError as error:
            raise DependencyError("device onnx needs onnxruntime, which is not installed: pip install onnxruntime") from error

        folder = Path(folder or "")
        self._sessions, self._inputs, self._weights = {}, {}, weights or {}
        for name in names:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.log_severity_level = 3
            if arrays := self._weights.get(name):
                options.add_external_initializers(
                    list(arrays), [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
                )
            if not (folder / name).is_file():
                given = f"{str(folder)!r} is no folder" if folder.name else "give a folder"
                raise CheckpointError(
                    f"weights: {given} with {' and '.join(names)}, which device onnx needs; make one with: "
                    "fourdhands export --out DIR"
                )
            try:
                with utf8_name(folder) as place:
                    session = self._sessions[name] = onnxruntime.InferenceSession(
                        os.path.join(place, name), options, providers=["CPUExecutionProvider"]
                    )
                config: Config = kind.from_dict(json.loads(session.get_modelmeta().custom_metadata_map["fourdhands"]))
                if getattr(self, "config", config) != config:
                    raise CheckpointError(f"it is of another network than {names[0]}")
                self.config: Config = config
                self._inputs[name] = _try(session, INPUTS.get(name))
            except Exception as error:  # onnxruntime has a class for each way of failing, without a common base
                raise CheckpointError(
                    f"{folder / name} is not what fourdhands export writes "
                    f"({type(error).__name__}: {error}); export the network again"
                ) from error

    def __call__(self, name: str, *arrays: np.ndarray) -> list[np.ndarray]:
        """One part's outputs."""
        return self._sessions[name].run(None, dict(zip(self._inputs[name], arrays)))


def _try(session, names):
    """Run a part once, on numbers of no meaning: its results must be finite. Returns its inputs' names, which must be names."""
    inputs = session.get_inputs()
    own = [given.name for given in inputs]
    if names not in (None, own):
        raise CheckpointError(f"it takes {', '.join(own)} instead of {', '.join(names)}")
    rng, values = np.random.default_rng(0), {}
    for given in inputs:
        shape = [size if isinstance(size, int) else 1 for size in given.shape]
        values[given.name] = np.ones(shape, bool) if "bool" in given.type else rng.uniform(0.1, 1.0, shape).astype(np.float32)
    if not all(np.isfinite(value).all() for value in session.run(None, values)):
        raise CheckpointError("what it computes is not finite, so its weights are not")
    return own


def _version(weights: str | Path | None) -> tuple[Path, int]:
    """A weights file and when it was written, which tells its contents from earlier ones."""
    path = Path(weights or SHIPPED)
    return path, path.stat().st_mtime_ns if path.is_file() else 0


@functools.lru_cache(maxsize=2)
def _with_graphs(weights: Path, written: int, threads: int) -> OnnxExecution | None:
    """The network of a weights file in GRAPHS; None where it has other sizes than they."""
    config, _ = read_header(weights)
    require_tokenizer(config, "landmark", weights)
    if config != LandmarkConfig():
        return None
    encode, reason = (path.name for path in GRAPHS)
    arrays: dict[str, dict[str, np.ndarray]] = {encode: {}, reason: {}}
    for name, array in load_arrays(weights).items():
        arrays[encode if name.split(".")[0] in _FRAME_MODULES else reason][f"network.{name}"] = array
    return OnnxExecution(GRAPHS[0].parent, threads, (encode, reason), arrays)


@functools.lru_cache(maxsize=2)
def _traced_parts(weights: Path, written: int):
    """The configuration and the traced parts of a weights file that was written at that time.

    Kept, as torch frees nothing that it has traced: a node that is activated again and again would grow by 20 MB each time.
    """
    from ..network.checkpoint import load_weights
    from ..network.landmark_model import LandmarkNetwork
    from .parts import EncodePart, ReasonPart, traced

    network = load_weights(weights)
    require_tokenizer(network.config, "landmark", weights)
    assert isinstance(network, LandmarkNetwork)
    return network.config, (traced(EncodePart(network)), traced(ReasonPart(network)))


class OnnxExecution(Execution):
    """The landmark network that `fourdhands export` wrote to a folder, in onnxruntime.

    names: of its two files. weights: see OnnxParts.
    """

    def __init__(
        self,
        folder: str | Path | None,
        threads: int = 1,
        names: tuple[str, str] = (ENCODE, REASON),
        weights: dict[str, dict[str, np.ndarray]] | None = None,
    ):
        self._names = names
        self._parts = OnnxParts(folder, names, LandmarkConfig, threads, weights)
        self.config = self._parts.config

    def _run(self, part: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(value[0] for value in self._parts(self._names[part], *(array[None] for array in arrays)))
