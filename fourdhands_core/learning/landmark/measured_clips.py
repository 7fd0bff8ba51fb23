"""Rendered clips of synthetic motion and what the detector really saw of them: the last thing the landmark network learns from.

The error model (landmark_errors) draws any number of samples, but only what it knows of the detector; these clips are few,
and all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm import tqdm

from ...errors import InputError
from ...files import utf8_name
from ...geometry.camera import Camera
from ...hand_model.skeleton import LEFT
from ...media.clips import HandScene, clip_truth, pose_hands, render_frames
from ...perception.mediapipe_detector import MediaPipeDetector
from .measure_errors import clip_motions, matched
from .motion import Motion, MotionSampler
from .samples import Synthesis

PART = 50
"""Clips from one seed."""


@dataclass
class MeasuredClips:
    """N clips of T frames, hands (left, right), own coordinates (left mirrored in x).

    times: (N, T), seconds. rotations, betas, root, present: as in `Motion`. rays: (N, 2, T, 21, 2) and world:
    (N, 2, T, 21, 3), the detector's landmarks, undistorted and normalised, and its 3-D ones. seen: (N, 2, T) bool.
    """

    times: torch.Tensor
    rotations: torch.Tensor
    betas: torch.Tensor
    root: torch.Tensor
    present: torch.Tensor
    rays: torch.Tensor
    world: torch.Tensor
    seen: torch.Tensor

    def __len__(self):
        return len(self.times)


def collect(clips: int, length: int, seed: int) -> MeasuredClips:
    """Render clips and run the detector on them, half a second a clip on one core.

    Every PART of them have a seed of their own, from `seed` on: more clips begin with the same ones.
    """
    rows = []
    for number in tqdm(range(clips), desc="rendered clips", mininterval=5.0):
        if number % PART == 0:
            part = seed + number // PART
            sampler = MotionSampler(part, depth_range=(0.28, 0.9), view_angle=20.0)
            rng = np.random.default_rng(part)
        interval = (1.0 if rng.random() < 0.7 else 3.0 ** rng.uniform(-0.6, 1.0)) / 30.0
        times = torch.arange(length)[None] * interval
        motion = sampler.sample(times)
        (clip,) = clip_motions(motion, times)
        camera = Camera.from_fov(640, 480, float(rng.uniform(50, 80)))
        scene = HandScene(camera, seed=int(rng.integers(1 << 31)))
        vertices, joints = pose_hands(clip, scene.asset)
        truth = clip_truth(clip, camera, joints)
        rays, world, seen = np.zeros((2, length, 21, 2)), np.zeros((2, length, 21, 3)), np.zeros((2, length), bool)
        detector = MediaPipeDetector()
        for t, (image, _) in enumerate(render_frames(clip, scene, vertices)):
            sides = [side for side in range(2) if motion.present[0, side] and truth["joint_in_image"][t, side].mean() > 0.6]
            for found, side in matched(detector.detect(image), truth["joints_2d"][t], sides):
                own = -1.0 if side == LEFT else 1.0
                rays[side, t] = camera.unproject(found.landmarks) * (own, 1.0)
                world[side, t] = found.world * (own, 1.0, 1.0)
                seen[side, t] = True
        detector.close()
        rows.append(
            (
                times[0],
                motion.rotations[0],
                motion.betas[0],
                motion.root[0],
                motion.present[0],
                torch.from_numpy(rays).float(),
                torch.from_numpy(world).float(),
                torch.from_numpy(seen),
            )
        )
    return MeasuredClips(*(torch.stack(column) for column in zip(*rows)))


def measured_clips(path: str | Path, clips: int, length: int, seed: int) -> MeasuredClips:
    """What `collect` gives, kept in the file `path` (safetensors) where that is named: read if it exists, else written.

    Raises InputError where the file holds other clips.
    """
    asked = {"clips": str(clips), "length": str(length), "seed": str(seed)}
    if not path:
        return collect(clips, length, seed)
    path = Path(path)
    if not path.exists():
        collected = collect(clips, length, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            save({field.name: getattr(collected, field.name).contiguous() for field in fields(MeasuredClips)}, asked)
        )
        return collected
    try:
        with utf8_name(path) as name, safe_open(name, framework="pt") as file:
            held, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} holds no rendered clips ({error}); give another measured_file, or remove it") from error
    if held != asked:
        raise InputError(f"{path} holds other rendered clips, {held}, not {asked}; give another measured_file, or remove it")
    return MeasuredClips(**tensors)


class Mixed:
    """Draws batches of measured clips with probability `share`, else of synthesis; the same interface as Synthesis.

    Measured clips are turned at random about the optical axis, their sides exchanged, and half of them taken for 30
    frames a second, whatever their rate was: faster motion.
    """

    def __init__(self, synthesis: Synthesis, clips: MeasuredClips, share: float):
        self.synthesis, self.clips, self.share = synthesis, clips, share
        self.motion = synthesis.motion

    @torch.no_grad()
    def draw(self, batch: int, length: int):
        """See Synthesis.draw; length: at most that of the clips."""
        if not self.motion.chance(self.share, 1).item():
            return self.synthesis.draw(batch, length)
        chosen = torch.randint(len(self.clips), (batch,), generator=self.motion.generator)
        clips = MeasuredClips(*(getattr(self.clips, field.name)[chosen] for field in fields(MeasuredClips)))
        clips = exchanged(turned(clips, 2.0 * torch.pi * self.motion.uniform(batch)), self.motion.chance(0.5, batch))
        hurried = self.motion.chance(0.5, batch)[:, None]
        times = torch.where(hurried, torch.arange(clips.times.shape[1]) / 30.0, clips.times.float())[:, :length]
        motion = Motion(clips.rotations[:, :, :length], clips.betas, clips.root[:, :, :length], clips.present)
        joints = self.synthesis.kinematics(motion.rotations, motion.betas[:, :, None].expand(-1, -1, length, -1))
        return self.synthesis.frames(
            motion, joints, clips.rays[:, :, :length], clips.world[:, :, :length], clips.seen[:, :, :length]
        ), times


def turned(clips: MeasuredClips, angles: torch.Tensor) -> MeasuredClips:
    """Clips as seen by a camera turned about its optical axis by angles (N,), radians; the left hand's own by the mirror."""
    cos, sin, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    right = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], -1).unflatten(-1, (3, 3))
    turn = torch.stack([right.transpose(1, 2), right], 1)[:, :, None]  # (N, 2, 1, 3, 3)
    rotations = clips.rotations.clone()
    rotations[:, :, :, 0] = turn @ rotations[:, :, :, 0]
    return MeasuredClips(
        clips.times,
        rotations,
        clips.betas,
        (turn @ clips.root[..., None])[..., 0],
        clips.present,
        (turn[:, :, :, None, :2, :2] @ clips.rays[..., None])[..., 0],
        (turn[:, :, :, None] @ clips.world[..., None])[..., 0],
        clips.seen,
    )


def exchanged(clips: MeasuredClips, which: torch.Tensor) -> MeasuredClips:
    """Clips whose sides are exchanged where `which` (N,): the scene in a mirror."""
    values = [clips.times]
    for field in fields(MeasuredClips)[1:]:
        value = getattr(clips, field.name)
        values.append(torch.where(which.view(-1, *[1] * (value.ndim - 1)), value.flip(1), value))
    return MeasuredClips(*values)
