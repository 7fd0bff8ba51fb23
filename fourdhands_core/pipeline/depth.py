"""An aligned depth image beside the colour image: how far away the hands' skin really is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera

RANGE = (0.1, 10.0)
"""Metres that a depth camera can mean; what is nearer, further or not a number is a hole."""
_BIN, _HALF_WINDOW = 0.004, 3
"""Metres of a bin, and bins either side that count as one surface: the hand model's own error."""
_LEAST, _SHARE = 30, 0.25
"""So many skin points, and this share of those in view, must agree before a depth is believed."""
_BIAS = 0.004
"""Expected error of the mean distance of the skin that no number of points takes away, metres."""
JUMP, _PATIENCE = 0.04, 30
"""A wrist is not believed to jump by so many metres between frames, unless so many frames in a row say so."""
LONG = 15
"""Images without depth of a hand after which it may be elsewhere than where it was thought to be."""
_SIZE_SIGMA = 0.12
"""Spread of people's hands about the mean hand: how wrong distances from colour alone may be, relatively."""


@dataclass(frozen=True, eq=False)
class DepthImage:
    """Distances along the optical axis, (H, W) float32 metres, NaN for holes; the colour image's view, any resolution."""

    metres: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> DepthImage:
        """From a depth image as cameras deliver it: uint16 millimetres or float32 metres (REP 118).

        Raises InputError for anything else.
        """
        if not isinstance(values, np.ndarray) or values.ndim != 2 or 0 in values.shape:
            raise InputError(f"the depth image is {getattr(values, 'shape', type(values).__name__)}; give (H, W)")
        if values.dtype == np.uint16:
            metres = values * np.float32(0.001)
        elif values.dtype in (np.float32, np.float64):
            metres = values.astype(np.float32)
        else:
            raise InputError(f"the depth image is of {values.dtype}; give uint16 millimetres or float32 metres")
        with np.errstate(invalid="ignore"):
            metres[~((metres > RANGE[0]) & (metres < RANGE[1]))] = np.nan
        return cls(metres)

    def at(self, pixels: np.ndarray, camera: Camera) -> np.ndarray:
        """Depth (N,) at the pixels (N, 2) of the camera's image; NaN in holes and outside."""
        height, width = self.metres.shape
        scale = np.array([width / camera.width, height / camera.height])
        with np.errstate(invalid="ignore"):
            place = np.floor((pixels + 0.5) * scale)
            inside = ((place >= 0) & (place < (width, height))).all(-1)
        column, row = np.where(inside[:, None], place, 0).astype(int).T
        return np.where(inside, self.metres[row, column], np.nan)


@dataclass(frozen=True)
class DepthMeasurement:
    """How much further away a hand's skin is than its mesh: offset, metres along z, and its expected error."""

    offset: float
    sigma: float


def measure(
    depth: DepthImage, camera: Camera, meshes: list[np.ndarray], faces: list[np.ndarray], palm: np.ndarray
) -> list[DepthMeasurement | None]:
    """Compare the skin in view of one or two hands' meshes with a depth image.

    meshes: (778, 3) each, metres, camera's optical frame, placed by the colour image. faces: (F, 3) of each, counter-clockwise
    from outside. palm: (778,) bool, the skin that moves with the wrist, which is what is to be placed: fingers only help to
    tell the hand from other things. A hand is measured where enough of its skin agrees on one offset; holes, an object in
    front, the background between the fingers and the other hand are other offsets, and so is a depth image of another
    moment. Returns None for a hand that is not.
    """
    middles, of_palm = [], []
    for mesh, triangles in zip(meshes, faces):
        a, b, c = mesh.astype(float)[triangles.T]
        middle = (a + b + c) / 3.0
        # only what faces the camera: in a gap between the near side's points the far side's would pass for the nearest
        towards = (np.cross(b - a, c - a) * middle).sum(-1) < 0.0
        middles.append(middle[towards])
        of_palm.append(palm[triangles].all(1)[towards])
    everything = np.concatenate(middles)
    pixels = camera.project(everything)
    owner = np.repeat(np.arange(len(meshes)), [len(middle) for middle in middles])
    view = _in_view(pixels, everything[:, 2])
    found = depth.at(pixels[view], camera) - everything[view, 2]
    of_palm, owner = np.concatenate(of_palm)[view], owner[view]
    return [_agreed(found[owner == k], of_palm[owner == k], float(mesh[:, 2].mean())) for k, mesh in enumerate(meshes)]


def _in_view(pixels: np.ndarray, z: np.ndarray, cells: int = 40, thickness: float = 0.012) -> np.ndarray:
    """(N,) bool: the points that are nearest to the camera in their cell of the picture, or nearly so."""
    low, high = np.nanmin(pixels, axis=0), np.nanmax(pixels, axis=0)
    size = max(float((high - low).max()) / cells, 1e-6)
    cell = np.nan_to_num((pixels - low) / size).astype(int) @ (1, cells + 2)
    nearest = np.full(cell.max() + 1, np.inf)
    np.minimum.at(nearest, cell, z)
    return z < nearest[cell] + thickness


def _agreed(offsets: np.ndarray, palm: np.ndarray, distance: float) -> Any:
    """The offset that most points agree on, none but likely ones; None where too few do."""
    total, reach = len(offsets), 3.0 * _SIZE_SIGMA * distance
    with np.errstate(invalid="ignore"):
        likely = np.abs(offsets) < reach
    if likely.sum() < max(_LEAST, _SHARE * total):
        return None
    counts, edges = np.histogram(offsets[likely], bins=max(8, int(2.0 * reach / _BIN)), range=(-reach, reach))
    near = np.convolve(counts, np.ones(2 * _HALF_WINDOW + 1), mode="same")
    centres = (edges[1:] + edges[:-1]) / 2
    best = centres[np.argmax(near * np.exp(-0.5 * (centres / (_SIZE_SIGMA * distance)) ** 2))]
    with np.errstate(invalid="ignore"):
        surface = np.abs(offsets - best) < (_HALF_WINDOW + 1) * _BIN
        of_palm = palm & (np.abs(offsets - best) < 2 * (_HALF_WINDOW + 1) * _BIN)
    if surface.sum() < max(_LEAST, _SHARE * total):
        return None
    taken = offsets[of_palm if of_palm.sum() >= _LEAST else surface]
    return DepthMeasurement(float(np.median(taken)), float(np.hypot(taken.std() / np.sqrt(len(taken) / 4.0), _BIAS)))


class SizeMemory:
    """What depth has told about how large a person's hand is beside the model: distances without depth are scaled by it.

    That is why a hole in the depth image makes no wrist jump. scale: true size over the model's. missed: images with the hand
    since one whose depth was taken in; LONG before the first.
    """

    def __init__(self) -> None:
        self.scale, self._count, self._refused, self.missed = 1.0, 0, 0, LONG

    def accepts(self, ratio: float, surprise: float) -> bool:
        """Take in a measurement; False where it is refused.

        ratio: of the measured distance to that of the hand at its present scale. surprise: metres between the measured
        wrist and where its past put it, less what its own uncertainty explains. What contradicts the past, an object in
        front or a depth image of another moment, is refused until it has lasted: then it is the past that was wrong.
        """
        if self._count and surprise > JUMP and self._refused < _PATIENCE:
            self._refused += 1
            return False
        self._refused = 0
        self._count = min(self._count + 1, 60)
        # what colour alone makes of one pose may be far off: no single frame moves the size by more than 3 %
        limit = 0.03 if self._count > 10 else 0.3
        self.scale *= float(np.exp(np.clip(np.log(ratio) / self._count**0.7, -limit, limit)))
        return True
