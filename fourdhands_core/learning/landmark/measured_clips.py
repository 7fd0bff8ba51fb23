"""Rendered clips of synthetic motion and what the detector really saw of them: the last thing the landmark network learns from.

The error model (detector_errors) draws any number of samples, but only what it knows of the detector; these clips are few,
and all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from tqdm import tqdm

from ...errors import InputError
from ...files import utf8_name
from ...hand_model.assets import open_hand
from ...hand_model.skeleton import LEFT
from ...outputs import writing
from ...perception.hand_detector import HandDetector
from ..synthesis.clips import ClipSynthesis
from ..synthesis.settings import LookSettings, SynthesisSettings
from .measure_errors import matched
from .motion import Motion
from .samples import FAMILIES, Synthesis

PART = 50
"""Clips from one seed, of one hand family, in one file."""
_AT_WORK = SynthesisSettings(
    depth_range=(0.28, 0.9),
    view_angle=20.0,
    upright=0.45,
    grasps=0.55,
    facing=0.2,
    fov=(50.0, 80.0),
    looks=LookSettings(occluded=0.2),
)
"""Half of the hands are at work, nearly half point up, a fifth are open with the palm or the back to the camera, half
of the clips have two hands near each other, and in a fifth a thing is in front of a hand."""
KINDS = _AT_WORK, replace(_AT_WORK, upright=0.15, grasps=0.2, facing=0.12)
"""Of clips; the other's hands move in any way, and fewer of them are at work, upright or open."""
_LOOKS = 77
"""Seed of the skins, backgrounds and grasps, which all clips share."""


@dataclass
class MeasuredClips:
    """N clips of T frames, hands (left, right), own coordinates (left mirrored in x).

    times: (N, T), seconds. rotations, betas, root, present: as in `Motion`. rays: (N, 2, T, 21, 2) and world:
    (N, 2, T, 21, 3), the detector's landmarks, undistorted and normalised, and its 3-D ones. seen: (N, 2, T) bool. presence:
    (N, 2, T) the detector's, 0 where it saw no hand. family: (N,) index into FAMILIES.
    """

    times: torch.Tensor
    rotations: torch.Tensor
    betas: torch.Tensor
    root: torch.Tensor
    present: torch.Tensor
    rays: torch.Tensor
    world: torch.Tensor
    seen: torch.Tensor
    presence: torch.Tensor
    family: torch.Tensor

    def __len__(self):
        return len(self.times)

    def chosen(self, which: torch.Tensor | slice) -> MeasuredClips:
        """Those at these indices (M,)."""
        return MeasuredClips(*(getattr(self, field.name)[which] for field in fields(MeasuredClips)))


def collect(clips: int, length: int, seed: int, family: int = 0, kind: int = 0) -> MeasuredClips:
    """Render clips of a hand of FAMILIES, of one of KINDS, and run the detector on them, half a second a clip on one core."""
    synthesis, detector = _synthesis(family, kind), HandDetector()
    rng = np.random.default_rng(seed)
    rows = []
    for number in tqdm(range(clips), desc=f"rendered clips {seed}", mininterval=5.0):
        interval = (1.0 if rng.random() < 0.7 else 3.0 ** rng.uniform(-0.6, 1.0)) / 30.0
        times = interval * np.arange(length)
        (clip,) = synthesis.draw(seed * 1_000_003 + number, 1, times)
        rays, world, presence = np.zeros((2, length, 21, 2)), np.zeros((2, length, 21, 3)), np.zeros((2, length))
        detector.reset()
        for t in range(length):
            there = np.flatnonzero(clip.present[t]).tolist()
            for found, side in matched(detector.detect(synthesis.image(clip, t)[0]), clip.points[t], there):
                own = -1.0 if side == LEFT else 1.0
                rays[side, t] = clip.camera.unproject(found.landmarks) * (own, 1.0)
                world[side, t] = found.world * (own, 1.0, 1.0)
                presence[side, t] = found.presence
        drawn = clip.rotations.swapaxes(0, 1), clip.betas, clip.root.swapaxes(0, 1), clip.present.any(0)
        rows.append((times, *drawn, rays, world, presence > 0.0, presence, family))
    detector.close()
    columns = (torch.from_numpy(np.stack(column)) for column in zip(*rows))
    return MeasuredClips(*(column.float() if column.is_floating_point() else column for column in columns))


@lru_cache(maxsize=len(FAMILIES) * len(KINDS))
def _synthesis(family, kind):
    """Its skins, backgrounds and grasps are made once."""
    return ClipSynthesis(KINDS[kind], _LOOKS, open_hand(FAMILIES[family]))


def measured_clips(folder: str | Path, clips: int, length: int, seed: int) -> MeasuredClips:
    """Clips in parts of PART, each of a seed of its own, from `seed` on, families and KINDS by turns: more begin with the same.

    folder: keeps the parts (safetensors), where it is named: those in it are read, the others made, each written when it is
    whole, so that a run which was ended goes on. Raises InputError where a file holds other clips.
    """
    parts = []
    for number in range(-(-clips // PART)):
        kind, family = divmod(number % (len(KINDS) * len(FAMILIES)), len(FAMILIES))
        count, drawn = min(PART, clips - number * PART), (length, seed + number, family, kind)
        parts.append(_kept(Path(folder), *drawn).chosen(slice(count)) if folder else collect(count, *drawn))
    return MeasuredClips(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(MeasuredClips)))


def _kept(folder: Path, length: int, seed: int, family: int, kind: int) -> MeasuredClips:
    """One whole part, read from its file or made and written to it."""
    path = folder / f"{seed}.safetensors"
    about = {"clips": PART, "length": length, "seed": seed, "family": FAMILIES[family], "kind": kind, "version": 4}
    asked = {name: str(value) for name, value in about.items()}
    if not path.exists():
        collected = collect(PART, length, seed, family, kind)
        with writing(path) as partial:
            partial.write_bytes(
                save({field.name: getattr(collected, field.name).contiguous() for field in fields(MeasuredClips)}, asked)
            )
        return collected
    try:
        with utf8_name(path) as name, safe_open(name, framework="pt") as file:
            held, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} holds no rendered clips ({error}); give another measured_folder, or remove it") from error
    if held != asked:
        raise InputError(f"{path} holds other rendered clips, {held}, not {asked}; give another measured_folder, or remove it")
    if set(tensors) != {field.name for field in fields(MeasuredClips)} or not all(
        len(values) == PART and values.isfinite().all() for values in tensors.values()
    ):
        raise InputError(f"{path} is damaged: it lacks values, or holds NaN; remove it, and its clips are rendered anew")
    return MeasuredClips(**tensors)


class Mixed:
    """Draws batches of measured clips with probability `share`, else of synthesis; the same interface as Synthesis, and like
    there each batch is of one hand family.

    Measured clips are turned at random about the optical axis, their sides exchanged, and half of them taken for 30
    frames a second, whatever their rate was: faster motion.
    """

    def __init__(self, synthesis: Synthesis, clips: MeasuredClips, share: float):
        self.synthesis, self.clips, self.share = synthesis, clips, share
        self.motion = synthesis.motion

    @torch.no_grad()
    def draw(self, batch: int, length: int) -> tuple[list, torch.Tensor]:
        """See Synthesis.draw; length: at most that of the clips."""
        if not self.motion.chance(self.share, 1).item():
            return self.synthesis.draw(batch, length)
        families = self.clips.family.unique()
        family = int(families[torch.randint(len(families), (1,), generator=self.motion.generator)])
        those = torch.nonzero(self.clips.family == family)[:, 0]
        clips = self.clips.chosen(those[torch.randint(len(those), (batch,), generator=self.motion.generator)])
        clips = exchanged(turned(clips, 2.0 * torch.pi * self.motion.uniform(batch)), self.motion.chance(0.5, batch))
        hurried = self.motion.chance(0.5, batch)[:, None]
        times = torch.where(hurried, torch.arange(clips.times.shape[1]) / 30.0, clips.times.float())[:, :length]
        motion = Motion(clips.rotations[:, :, :length], clips.betas, clips.root[:, :, :length], clips.present)
        return self.synthesis.frames(
            motion, family, clips.rays[:, :, :length], clips.world[:, :, :length], clips.seen[:, :, :length]
        ), times


def turned(clips: MeasuredClips, angles: torch.Tensor) -> MeasuredClips:
    """Clips as seen by a camera turned about its optical axis by angles (N,), radians; the left hand's own by the mirror."""
    cos, sin, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    right = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], -1).unflatten(-1, (3, 3))
    turn = torch.stack([right.transpose(1, 2), right], 1)[:, :, None]  # (N, 2, 1, 3, 3)
    rotations = clips.rotations.clone()
    rotations[:, :, :, 0] = turn @ rotations[:, :, :, 0]
    root = (turn @ clips.root[..., None])[..., 0]
    rays = (turn[:, :, :, None, :2, :2] @ clips.rays[..., None])[..., 0]
    world = (turn[:, :, :, None] @ clips.world[..., None])[..., 0]
    return replace(clips, rotations=rotations, root=root, rays=rays, world=world)


def exchanged(clips: MeasuredClips, which: torch.Tensor) -> MeasuredClips:
    """Clips whose sides are exchanged where `which` (N,): the scene in a mirror."""
    sided = {name: value for name, value in vars(clips).items() if name not in ("times", "family")}
    where = {name: which.view(-1, *[1] * (value.ndim - 1)) for name, value in sided.items()}
    return replace(clips, **{name: torch.where(where[name], value.flip(1), value) for name, value in sided.items()})
