"""Tracks both hands through a video and writes overlay.mp4, contact_sheet.png and hands.npz: `fourdhands track`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..files import refuse_overwriting
from ..geometry.camera import Camera
from ..geometry.camera_source import CameraSource
from ..pipeline.session import Counts, HandSession, Notes
from ..pipeline.types import HandPairEstimate
from .draw import contact_sheet, draw_hands
from .images import write_image
from .video import VideoReader, VideoWriter

_SHAPES = {
    "confidence": (),
    "joints": (21, 3),
    "joints_2d": (21, 2),
    "joint_confidence": (21,),
    "wrist_rotation": (3, 3),
    "hand_pose": (45,),
    "betas": (10,),
}
"""Per hand: a field of HandEstimate, and a key of hands.npz."""


OUTPUTS = "hands.npz", "overlay.mp4", "contact_sheet.png", "hands.partial.npz"
"""What track_video writes in its folder."""


class PairRecord:
    """Collects estimates frame by frame and lays them out as the arrays of hands.npz."""

    def __init__(self):
        self._pairs = []

    def __len__(self) -> int:
        return len(self._pairs)

    def append(self, pair: HandPairEstimate) -> None:
        """Add the estimate of the next frame."""
        values: dict[str, Any] = {name: np.full((2, *shape), np.nan) for name, shape in _SHAPES.items()}
        for side, hand in enumerate(pair.hands):
            if hand.valid:
                for name in _SHAPES:
                    values[name][side] = getattr(hand, name)
        values["stamp"], values["valid"] = pair.stamp, [hand.valid for hand in pair.hands]
        values["scaled"] = pair.camera.calibrated
        both = all(values["valid"]) and pair.left_root_relative is not None
        values["left_root_relative"] = pair.left_root_relative if both else np.full(3, np.nan)
        self._pairs.append(values)  # one step: an interrupt cannot leave half a frame behind

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of hands.npz over N frames; axis 1 is the side, 0 left and 1 right.

        stamp (N,) int64 nanoseconds; valid (N, 2) bool; scaled (N,) bool, positions are metres, otherwise of an assumed
        field of view; confidence (N, 2) 0-1; joints (N, 2, 21, 3) metres in the camera's optical frame; joints_2d
        (N, 2, 21, 2) pixels; joint_confidence (N, 2, 21) 0-1; wrist_rotation (N, 2, 3, 3) wrist to camera; hand_pose
        (N, 2, 45) axis-angle, MANO's order, relative to the flat hand; betas (N, 2, 10); left_root_relative
        (N, 3) metres, left wrist minus right wrist. NaN where the hand is invalid.
        """
        shapes = {"stamp": (), "valid": (2,), "scaled": (), "left_root_relative": (3,)}
        shapes.update((name, (2, *shape)) for name, shape in _SHAPES.items())
        kinds = {"stamp": np.int64, "valid": bool, "scaled": bool}
        return {
            name: np.array([pair[name] for pair in self._pairs], kinds.get(name, np.float64)).reshape(-1, *shape)
            for name, shape in shapes.items()
        }

    def save(self, path: str | Path) -> None:
        """Write the npz; the file appears complete or not at all."""
        partial = Path(path).with_suffix(".partial.npz")
        np.savez_compressed(partial, **self.arrays())
        os.replace(partial, path)


@dataclass(frozen=True)
class TrackSummary:
    """What a run over a video came to: frames, frames with a valid left and right hand, both, seconds, interrupted, how
    many frames were refused by reason, and how many did not come of how many that the file announces."""

    frames: int
    left: int
    right: int
    both: int
    seconds: float
    interrupted: bool
    refused: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    announced: int | None = None

    def __str__(self) -> str:
        speed = self.frames / self.seconds if self.seconds > 0 else 0.0
        refused = "".join(f"; {count} refused ({reason})" for reason, count in self.refused.items())
        if self.missing:
            refused += f"; {self.missing} of {self.announced or 'the'} frames in the file could not be read"
        return (
            f"{self.frames} frames in {self.seconds:.1f} s ({speed:.1f} FPS): left hand in {self.left}, "
            f"right in {self.right}, both in {self.both}{refused}{'; interrupted' if self.interrupted else ''}"
        )


def camera_for_video(width: int, height: int, fov: float | None = None, intrinsics: str | Path | None = None) -> Camera | None:
    """The camera of a video of this size from a horizontal field of view in degrees, or a camera_info YAML.

    A calibration of another resolution is scaled; None where neither is given. Raises InputError where both are, or
    where the calibration's proportions are not the video's.
    """
    if fov is None and intrinsics is None:
        return None
    return CameraSource(65.0, fov=fov, intrinsics=intrinsics).camera_for(width, height)


def _loader(stamp: int, image: np.ndarray) -> Callable[[], tuple[np.ndarray, int, np.ndarray]]:
    """What HandSession takes for a frame; the image comes back with the estimate."""
    return lambda: (image, stamp, image)


def track_video(
    source: VideoReader | str | Path | int,
    out: str | Path,
    tracker,
    cameras: CameraSource,
    mesh: bool = False,
    progress: bool = True,
) -> TrackSummary:
    """Run a tracker over every frame of a video or camera; write overlay.mp4, contact_sheet.png and hands.npz to out.

    source: what VideoReader takes, or one, which is closed here. tracker: a pipeline.HandPairTracker, with lookahead or without
    (anything that a HandSession takes, with `faces` where mesh is True); it is neither reset nor closed here. cameras:
    the lens. mesh: draw the meshes as well as the skeletons. progress: show a progress bar on stderr.
    What HandSession has to say of the frames is said on stderr. Ctrl-C, and any error on the way, still writes what was
    tracked so far.

    Raises InputError where the video or the lens is not usable, an input would be written over, or not one frame of it
    could be used.
    """
    out = Path(out)
    record, sheet = PairRecord(), _Samples()
    notes = Notes(lambda text: tqdm.write(f"fourdhands: warning: {text}", file=sys.stderr))
    session = HandSession(tracker, cameras, Counts(), notes)
    interrupted, start = False, time.perf_counter()
    with source if isinstance(source, VideoReader) else VideoReader(source) as video:
        refuse_overwriting([out / name for name in OUTPUTS], video.files)
        if len(video.files) > 1 and out.is_dir() and out.samefile(video.files[0].parent):
            raise InputError(
                f"{out} is the folder of the images, where {OUTPUTS[2]} would be one of them; choose another --out"
            )
        cameras.camera_for(video.width, video.height)  # raises what is wrong with it before anything is written
        out.mkdir(parents=True, exist_ok=True)
        bar = tqdm(total=video.frame_count, unit="frame", disable=not progress)
        try:
            with VideoWriter(out / "overlay.mp4", video.fps) as writer, bar:

                def take(results):
                    for pair, image in results:  # with lookahead the estimate is of an earlier frame
                        record.append(pair)
                        draw_hands(image, pair, tracker.faces if mesh else None)
                        writer.write(image)
                        sheet.add(image)
                        bar.update()

                try:
                    for stamp, image in video:
                        take(session.process(_loader(stamp, image), with_vertices=mesh))
                except KeyboardInterrupt:
                    interrupted = True
                take(session.finish(with_vertices=mesh))
        finally:
            seconds = time.perf_counter() - start
            record.save(out / "hands.npz")
            if sheet.images:
                write_image(out / "contact_sheet.png", contact_sheet(sheet.spread(16), 4))
    if not len(record) and not interrupted:
        raise InputError(f"no frame of {video.source} could be used: {session.counts.last_problem}")
    valid = record.arrays()["valid"]
    left, right = valid.sum(axis=0).tolist()
    return TrackSummary(
        len(record),
        left,
        right,
        int(valid.all(axis=1).sum()),
        seconds,
        interrupted,
        dict(session.counts.refused),
        0 if interrupted else video.missing,
        video.frame_count,
    )


class _Samples:
    """At most 64 small copies of frames, spread evenly over a video of unknown length."""

    def __init__(self):
        self.images, self._stride, self._count = [], 1, 0

    def add(self, image):
        if self._count % self._stride == 0:
            factor = 320 / image.shape[1]
            size = (320, max(1, round(image.shape[0] * factor)))
            self.images.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            if len(self.images) > 64:
                self.images, self._stride = self.images[::2], self._stride * 2
        self._count += 1

    def spread(self, count):
        picks = np.unique(np.linspace(0, len(self.images) - 1, count).round().astype(int))
        return [self.images[i] for i in picks]
