"""Rendered clips written to disk as a dataset, which datasets.synthetic reads back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...geometry.rotations import mirror_matrix
from ...hand_model.skeleton import LEFT
from ...media.images import write_image
from ...media.scenery import Sensor
from ...outputs import check_folder, is_taken, writing_folder
from ..datasets.synthetic import ANNOTATIONS, SHAPES, image_path
from .clips import Clip, ClipSynthesis
from .settings import SynthesisSettings


def synthesise(
    out: str | Path,
    clips: int,
    frames: int = 30,
    frame_rate: float = 30.0,
    seed: int = 0,
    settings: SynthesisSettings = SynthesisSettings(),
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda numbers: numbers,
) -> None:
    """Write `clips` clips of `frames` frames each into a new or empty folder. progress: wraps the clips' numbers.

    Every clip has a camera of its own, with its blur, noise and colours; some of them shake. The folder holds all of it or
    nothing.
    """
    out = Path(out)
    check_folder(out)
    if is_taken(out):
        raise InputError(f"{out} is there and not an empty folder; give a new one to write the dataset to")
    synthesis = ClipSynthesis(settings, seed)
    rows: dict[str, list] = {name: [] for name in SHAPES}
    times = np.arange(frames) / frame_rate
    with writing_folder(out) as partial:
        for number in progress(range(clips)):
            (clip,) = synthesis.draw(seed * 1_000_003 + number + 1, 1, times)
            camera = _Camera(np.random.default_rng([seed, number]), clip)
            for t in range(frames):
                path = partial / image_path(number, t)
                picture = camera(synthesis.image(clip, t)[0])
                write_image(path, picture, quality=92)
                for name, value in _row(clip, number, t).items():
                    rows[name].append(value)
        arrays = {name: np.stack(values) for name, values in rows.items()}
        halved = {name: array.astype(np.float32) for name, array in arrays.items() if array.dtype == float and name != "matrix"}
        np.savez_compressed(partial / ANNOTATIONS, frame_rate=frame_rate, **arrays | halved)


class _Camera:
    """Takes the pictures of one clip: a lens and a sensor, in a quarter of the clips held in a shaking hand."""

    def __init__(self, rng: np.random.Generator, clip: Clip):
        gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
        noise, blur = rng.uniform(1.0, 4.0), rng.uniform(0.4, 1.4)
        self._sensor = Sensor(rng, clip.camera.width, clip.camera.height, noise, blur, jpeg=None, gain=gain)
        self._rng, self._shake = rng, rng.uniform(1.0, 6.0) if rng.random() < 0.25 else 0.0

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        return self._sensor(picture, self._shake * self._rng.normal(size=2))


def _row(clip: Clip, number: int, t: int) -> dict:
    """A frame's annotations, from own coordinates to the camera's."""
    mirror = np.ones((2, 1, 3))
    mirror[LEFT, 0, 0] = -1.0
    rotations = clip.rotations[t].copy()
    rotations[LEFT] = mirror_matrix(rotations[LEFT])
    root = clip.root[t][:, None]
    return {
        "clip": number,
        "frame": t,
        "present": clip.present[t],
        "matrix": clip.camera.matrix,
        "size": np.array([clip.camera.width, clip.camera.height]),
        "points": clip.points[t],
        "joints": (clip.joints[t] + root) * mirror,
        "rotations": rotations,
        "betas": clip.betas,
        "vertices": (clip.vertices[t] + root) * mirror,
    }
