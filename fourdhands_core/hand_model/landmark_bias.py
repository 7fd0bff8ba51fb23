"""By how much the detector sees landmarks elsewhere than `Landmarks` has them, as far as the pattern of all 21 tells that."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from .skeleton import LEFT

TRAINED = Path(__file__).parent / "assets" / "landmark_bias.npz"
"""By hand model `NAME_0`, `NAME_1`, ...: means and deviations of the features, then each layer's weights and biases; written by
tools/landmark_bias.py."""
_MOST = 0.15
"""Of a hand's radius, most that a landmark is moved: patterns that were never seen are not to be made of another hand."""
_SMALLEST = 1e-6
_KNUCKLES = np.array([5, 9, 13, 17])


class LandmarkBias:
    """A small network from the pattern of one hand's landmarks in an image to where they were to be seen.

    The detector errs alike where it sees alike: a palm that is turned away, a finger that points at the camera. layers: pairs
    of weights (in, out) and biases (out,); spread: mean and deviation (45,) of `features`.
    """

    def __init__(self, spread: tuple[np.ndarray, np.ndarray], layers: list[tuple[np.ndarray, np.ndarray]]) -> None:
        self._spread, self._layers = spread, layers

    def corrected(self, rays: np.ndarray) -> np.ndarray:
        """Rays (2, 21, 2) of both sides' landmarks, NaN where a hand was not seen, without what the detector adds to them."""
        result = rays.copy()
        for side, hand in enumerate(rays):
            pattern = Pattern(hand, side)
            if not pattern.usable:
                continue
            values = (pattern.features() - self._spread[0]) / self._spread[1]
            for weights, biases in self._layers[:-1]:
                values = values @ weights + biases
                values = values / (1.0 + np.exp(-values.clip(-30.0, 30.0)))
            weights, biases = self._layers[-1]
            result[side] = hand + pattern.in_image((values @ weights + biases).reshape(21, 2).clip(-_MOST, _MOST))
        return result


class Pattern:
    """One hand's landmarks (21, 2), rays, as of a right hand whose fingers point up, around their middle, in units of their
    radius. usable: there is a hand."""

    def __init__(self, rays: np.ndarray, side: int) -> None:
        self._mirror = np.array([-1.0 if side == LEFT else 1.0, 1.0])
        own = rays * self._mirror
        self._middle = own.mean(0)
        self._radius = float(np.sqrt(np.square(own - self._middle).sum(-1).mean()))
        self.usable = bool(np.isfinite(self._radius) and self._radius > _SMALLEST)
        if self.usable:
            x, y = own[_KNUCKLES].mean(0) - own[0]
            angle = np.arctan2(x, -y)
            self._turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            self.points = self.of(rays)

    def of(self, rays: np.ndarray) -> np.ndarray:
        """Other points' rays (..., 2) in this pattern's axes."""
        return (rays * self._mirror - self._middle) / self._radius @ self._turn.T

    def in_image(self, shifts: np.ndarray) -> np.ndarray:
        """Differences (..., 2) in this pattern's axes as those of rays."""
        return shifts @ self._turn * self._radius * self._mirror

    def features(self) -> np.ndarray:
        """(45,) what the network takes."""
        return np.concatenate([self.points.ravel(), [5.0 * self._radius], self._turn @ self._middle])


@lru_cache
def shipped_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays, float64, of an npz that comes with the package."""
    with np.load(path, allow_pickle=False) as file:
        return {key: array.astype(float) for key, array in file.items()}


def landmark_bias(name: str) -> LandmarkBias | None:
    """That of a hand model, None where none was trained."""
    arrays = shipped_arrays(TRAINED)
    rows = [arrays[f"{name}_{k}"] for k in range(sum(key.startswith(f"{name}_") for key in arrays))]
    return LandmarkBias((rows[0], rows[1]), list(zip(rows[2::2], rows[3::2]))) if rows else None
