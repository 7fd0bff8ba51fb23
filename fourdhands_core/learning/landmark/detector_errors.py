"""The detector's landmark errors: measured on rendered clips whose truth is known, and drawn again for training.

The model of one hand's errors, in the hand's virtual camera (`network.landmark_tokens`): a part that follows from the
hand's true configuration (ridge regression, so bias by joint, view, pose and depth), a part that changes slowly
(first-order autoregressive) and a part that is new in every frame, each with its full covariance over the 21 image
points and the 21 3-D landmarks; a spread of the errors' size from clip to clip; drop-outs; and swapped sides.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import AssetError
from ...network.landmark_tokens import look_at, mirror_points
from ...outputs import writing

MEASURED = Path(__file__).parent / "assets" / "mediapipe_errors.npz"
_POINTS = 42


@dataclass
class LandmarkErrors:
    """Measured errors; residuals are the 42 image coordinates in units of the landmarks' RMS radius, then the 63
    coordinates of the 3-D landmarks in units of their RMS radius.

    mean: (105, 64) regression on the true shape (63, unit RMS radius) and 1. slow, fast: (105, 105) factors L of the
    covariances L L^T. slow_memory: correlation of the slow part between frames at 30 Hz. size_spread: standard
    deviation of the logarithm of a clip's error size. lost, found: probabilities a frame that a seen hand is lost and
    that a lost one is found again. swapped: share of frames of two hands whose sides are exchanged.
    """

    mean: np.ndarray
    slow: np.ndarray
    fast: np.ndarray
    slow_memory: float
    size_spread: float
    lost: float
    found: float
    swapped: float

    def save(self, path: Path) -> None:
        """Write as npz, float32."""
        with writing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **{f.name: np.asarray(getattr(self, f.name), np.float32) for f in fields(self)})

    @classmethod
    def load(cls, path: Path = MEASURED) -> LandmarkErrors:
        """Read what `save` wrote; AssetError where the file is missing or another."""
        try:
            with np.load(path) as data:
                values = {f.name: data[f.name] for f in fields(cls)}
        except (OSError, KeyError, ValueError) as error:
            raise AssetError(
                f"{path} is not a measured landmark error model ({error}); run `fourdhands train errors`"
            ) from error
        arguments: dict[str, Any] = {name: value if value.ndim else float(value) for name, value in values.items()}
        return cls(**arguments)


def true_configuration(joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the errors are relative to: the hand in its virtual camera.

    joints: (..., 21, 3) in the own camera frame, metres. Returns rotation (..., 3, 3) own to virtual camera, points
    (..., 21, 2) on its image plane, radius (..., 1, 1) their RMS distance from their mean, shape (..., 21, 3) the joints
    around their mean at unit RMS distance.
    """
    rotation = look_at(torch.nn.functional.normalize(joints, dim=-1).mean(dim=-2))
    virtual = joints @ rotation.transpose(-1, -2)
    points = virtual[..., :2] / virtual[..., 2:].clamp(min=0.02)
    centred = points - points.mean(-2, keepdim=True)
    radius = centred.square().sum(-1).mean(-1).sqrt()[..., None, None]
    return rotation, points, radius, unit_shape(virtual)


def unit_shape(points: torch.Tensor) -> torch.Tensor:
    """Points (..., 21, 3) around their mean, at unit RMS distance from it."""
    centred = points - points.mean(-2, keepdim=True)
    return centred / centred.square().sum(-1).mean(-1).clamp(min=1e-12).sqrt()[..., None, None]


def fit(
    shapes: np.ndarray, residuals: np.ndarray, clips: np.ndarray, frames: np.ndarray, ridge: float = 10.0, **rates: float
) -> LandmarkErrors:
    """Fit the model to N matched hands.

    shapes: (N, 63). residuals: (N, 105). clips: (N,) one number per clip and side. frames: (N,) frame numbers.
    """
    inputs = np.concatenate([shapes, np.ones((len(shapes), 1))], axis=1)
    penalty = ridge * len(shapes) / 1000.0 * np.eye(64)
    penalty[-1, -1] = 0.0
    mean = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ residuals).T
    rest = residuals - inputs @ mean.T
    # outliers (wrong hands, collapsed fingers) belong to the size's spread, not to the covariance
    size = np.sqrt((rest**2).mean(1))
    kept = size < 4.0 * np.median(size)

    def covariance(gap):
        index = {(c, f): i for i, (c, f) in enumerate(zip(clips, frames)) if kept[i]}
        pairs = np.array([(i, index[c, f + gap]) for (c, f), i in index.items() if (c, f + gap) in index])
        product = rest[pairs[:, 0]].T @ rest[pairs[:, 1]] / len(pairs)
        return (product + product.T) / 2.0

    total, one, three = covariance(0), covariance(1), covariance(3)
    memory = float(np.clip((np.trace(three) / np.trace(one)) ** 0.5, 0.5, 0.99))
    slow = one / memory
    clip_size = [np.log(size[clips == c].mean()) for c in np.unique(clips) if (clips == c).sum() > 5]
    return LandmarkErrors(mean, _factor(slow), _factor(total - slow), memory, float(np.std(clip_size)), **rates)


def _factor(covariance):
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))


class ErrorSampler:
    """Draws detections of true hands.

    strength: range of the factor, drawn for each clip, on the random errors. Rendered hands are harder for the detector
    than most real ones, so training covers smaller errors too; (0, 0) leaves the systematic part.
    """

    def __init__(self, errors: LandmarkErrors, generator: torch.Generator, strength: tuple[float, float] = (0.4, 1.1)):
        self.errors = errors
        self.generator = generator
        self.strength = strength
        measured = errors.mean, errors.slow, errors.fast
        self.mean, self.slow, self.fast = (torch.as_tensor(values, dtype=torch.float32) for values in measured)

    def _normal(self, *shape):
        return torch.randn(*shape, generator=self.generator)

    def observe(self, joints: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Detections of hands (B, 2, T, 21, 3), own coordinates, metres, at times (B, T), seconds.

        Returns rays (B, 2, T, 21, 2), world (B, 2, T, 21, 3), both own coordinates, and seen (B, 2, T) bool.
        """
        batch, _, length = joints.shape[:3]
        rotation, points, radius, shape = true_configuration(joints)
        systematic = shape.flatten(-2) @ self.mean[:, :-1].T + self.mean[:, -1]
        steps = (times[:, 1:] - times[:, :-1]) * 30.0
        slow = [self._normal(batch, 2, 105)]
        for k in range(length - 1):
            memory = (self.errors.slow_memory ** steps[:, k])[:, None, None]
            slow.append(memory * slow[-1] + (1.0 - memory**2).sqrt() * self._normal(batch, 2, 105))
        noise = torch.stack(slow, 2) @ self.slow.T + self._normal(batch, 2, length, 105) @ self.fast.T
        size = torch.exp(self.errors.size_spread * self._normal(batch, 2, 1, 1).clamp(-2.5, 2.5))
        low, high = self.strength
        strength = low + (high - low) * torch.rand(batch, 1, 1, 1, generator=self.generator)
        residual = systematic + strength * size * noise
        observed = points + radius * residual[..., :_POINTS].unflatten(-1, (21, 2))
        directions = torch.nn.functional.pad(observed, (0, 1), value=1.0) @ rotation
        rays = directions[..., :2] / directions[..., 2:].clamp(min=0.2)
        world = shape + residual[..., _POINTS:].unflatten(-1, (21, 3))

        # drop-outs run backwards from the last frame, which is always seen: an estimate is asked for seen hands only
        seen = torch.ones(batch, 2, length, dtype=torch.bool)
        for k in range(length - 2, -1, -1):
            draw = torch.rand(batch, 2, generator=self.generator)
            rate = steps[:, k, None].clamp(max=3.0)
            seen[..., k] = torch.where(seen[..., k + 1], draw > self.errors.lost * rate, draw < self.errors.found)
        swapped = torch.rand(batch, length, generator=self.generator) < self.errors.swapped
        swapped[:, -1] = False
        exchange = (swapped[:, None] & seen.all(1, keepdim=True))[..., None, None]
        mirrored = rays * rays.new_tensor([-1.0, 1.0])
        rays = torch.where(exchange, mirrored.flip(1), rays)
        world = torch.where(exchange, mirror_points(world).flip(1), world)
        return rays, world, seen
