"""Clips of moving hands to draw pictures of: motion, camera and looks from a seed, and what is true in every frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ...geometry.camera import Camera
from ...hand_model.arrays import HandArrays
from ...hand_model.assets import HandAsset, load_human_hand
from ...hand_model.skeleton import LEFT
from ...runtime.crops import CROP_SIZE, MARGIN
from ..landmark.motion import MotionSampler
from .scene import Look, Looks, View
from .settings import SynthesisSettings

_LEAST_INSIDE, _LEAST_VISIBLE = 12, 0.01
"""A hand is there if so many joints lie in the image, and it fills this share of its crop."""
_MIRROR = np.array([[-1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Clip:
    """What is true in T frames; hands (left, right) in their own coordinates: camera frame, the left one's mirrored in x.

    camera: of the images. present: (T, 2) bool. rotations: (T, 2, 16, 3, 3). betas: (2, 10). root: (T, 2, 3) wrists,
    metres. joints: (T, 2, 21, 3) metres around the wrists. points: (T, 2, 21, 2) pixels of the image. vertices: (T, 2,
    778, 3) as the joints.
    """

    camera: Camera
    look: Look
    present: np.ndarray
    rotations: np.ndarray
    betas: np.ndarray
    root: np.ndarray
    joints: np.ndarray
    points: np.ndarray
    vertices: np.ndarray


class ClipSynthesis:
    """Draws clips, and pictures of their frames. seed: of the skins, backgrounds and grasps that are kept."""

    def __init__(self, settings: SynthesisSettings = SynthesisSettings(), seed: int = 0, asset: HandAsset | None = None):
        asset = asset or load_human_hand()
        self.settings, self.asset, self._seed = settings, asset, seed
        self.looks = Looks(seed, asset, settings.looks)
        self._hands = HandArrays((asset, asset))

    def draw(self, seed: int, count: int, times: np.ndarray) -> list[Clip]:
        """`count` clips of frames at `times` (T,), seconds, the same for the same seed."""
        s = self.settings
        drawn = s.depth_range, s.view_angle, s.single_share, s.together_share, s.upright, s.grasps
        sampler = MotionSampler(seed, *drawn, self.asset, self._seed, facing=s.facing)
        motion = sampler.sample(torch.as_tensor(times, dtype=torch.float32).expand(count, -1))
        rotations = motion.rotations.numpy().astype(float).swapaxes(1, 2)
        root = motion.root.numpy().astype(float).swapaxes(1, 2)
        betas = motion.betas.numpy().astype(float)
        posed = rotations[..., 0, :, :], rotations[..., 1:, :, :], np.broadcast_to(betas[:, None], root.shape[:3] + (10,))
        joints, vertices = self._hands.joints(*posed), self._hands.vertices(*posed)
        rng = np.random.default_rng([seed, 1])
        clips = []
        for k in range(count):
            camera = Camera.from_fov(s.width, s.height, rng.uniform(*s.fov), calibrated=True)
            points = camera.project((joints[k] + root[k][:, :, None]) * _MIRROR[:, None])
            with np.errstate(invalid="ignore"):
                inside = ((points > -0.5) & (points < (s.width - 0.5, s.height - 0.5))).all(-1).sum(-1)
            near = (joints[k] + root[k][:, :, None])[..., 2].min(-1) < 0.08
            present = motion.present[k].numpy() & (inside >= _LEAST_INSIDE) & ~near
            look = self.looks.draw(rng, (s.width, s.height))
            clips.append(Clip(camera, look, present, rotations[k], betas[k], root[k], joints[k], points, vertices[k]))
        return clips

    def _drawn(self, clip: Clip, t: int) -> Callable[[View], tuple[np.ndarray, np.ndarray]]:
        """What draws a frame as a view has it, see Looks.view."""
        boxes = np.concatenate([clip.points[t].min(1), clip.points[t].max(1)], 1)
        meshes = self.looks.meshes(clip.look, clip.vertices[t] + clip.root[t][:, None], clip.present[t])
        size = clip.camera.width, clip.camera.height
        return partial(self.looks.view, clip.look, meshes, boxes, clip.camera.matrix, size)

    def image(self, clip: Clip, t: int) -> tuple[np.ndarray, np.ndarray]:
        """The camera's image (H, W, 3) uint8 RGB of a frame, and labels (H, W): 1 + side where a hand shows."""
        return self._drawn(clip, t)(View(np.ones(2), np.zeros(2), clip.camera.width, clip.camera.height))

    def crops(self, clip: Clip, t: int, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crops (2, 256, 192, 3) uint8 RGB of squares (2, 4) of a frame, as perception.crops makes them, and what is seen.

        Returns also (2,) bool: the hand is there and enough of it shows. Crops of hands that are not there are black.
        """
        drawn = self._drawn(clip, t)
        crops = np.zeros((2, CROP_SIZE, CROP_SIZE - 2 * MARGIN, 3), np.uint8)
        seen = np.zeros(2, bool)
        for side in np.flatnonzero(clip.present[t]):
            crops[side], label = drawn(crop_view(squares[side], side == LEFT))
            seen[side] = (label == 1 + side).mean() > _LEAST_VISIBLE
        return crops, seen


def crop_view(square: np.ndarray, mirrored: bool) -> View:
    """The view that gives the crop of a square (4,) x, y, w, h."""
    scale = CROP_SIZE / square[2] * np.array([-1.0 if mirrored else 1.0, 1.0])
    centre = square[:2] + square[2:] / 2
    return View(scale, CROP_SIZE / 2 - scale * centre - (MARGIN, 0), CROP_SIZE - 2 * MARGIN, CROP_SIZE)
