"""Tracks both hands through a video and writes overlay.mp4, contact_sheet.png and hands.npz: `fourdhands track`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import FourDHandsError, InputError
from ..geometry.camera import Camera
from ..geometry.camera_source import CameraSource
from ..outputs import check_outputs, make_folder
from ..pipeline.session import Counts, HandSession, Notes, loaded
from ..pipeline.settings import TrackerSettings
from ..signals import number_of, words
from ..streams import counted, warn
from .draw import contact_sheet, draw_hands
from .hands_file import PairRecord
from .images import SUFFIXES, write_image
from .video import VideoReader, VideoWriter

RESULTS = "hands.npz", "overlay.mp4", "contact_sheet.png"
"""What track_video leaves in its folder. Another one is written by `_keep` and told of by `commands/track.py` and README.md;
tests: `test_media_track.py`, `test_outputs.py`, `test_cli.py`."""


@dataclass(frozen=True)
class TrackSummary:
    """What a run over a video came to: frames, frames with a valid left and right hand, both, seconds, the signal
    that ended it (0: none), how many frames were refused by reason, and how many did not come of how many that the file
    announces."""

    frames: int
    left: int
    right: int
    both: int
    seconds: float
    ended_by: int
    refused: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    announced: int | None = None

    def __str__(self) -> str:
        speed = self.frames / self.seconds if self.seconds > 0 else 0.0
        refused = "".join(f"; {count} refused ({reason})" for reason, count in self.refused.items())
        if self.missing:
            refused += f"; {self.missing} of {self.announced or 'the'} frames in the file could not be read"
        return (
            f"{counted(self.frames, 'frames')} in {self.seconds:.1f} s ({speed:.1f} FPS): left hand in {self.left}, "
            f"right in {self.right}, both in {self.both}{refused}{f'; {words(self.ended_by)}' if self.ended_by else ''}"
        )


def camera_for_video(width: int, height: int, fov: float | None = None, intrinsics: str | Path | None = None) -> Camera | None:
    """The camera of a video of this size from a horizontal field of view in degrees, or a camera_info YAML.

    A calibration of another resolution is scaled; None where neither is given. Raises InputError where both are, or
    where the calibration's proportions are not the video's.
    """
    if fov is None and intrinsics is None:
        return None
    return CameraSource(TrackerSettings.default_fov, fov=fov, intrinsics=intrinsics).camera_for(width, height)


def check_results(out: Path, files: Sequence[Path], *inputs: str | Path | None) -> None:
    """Raise InputError where track_video cannot write into the folder `out`, or would write over an input.

    files: what the video is read from. inputs: what else is read.
    """
    check_outputs([out / name for name in RESULTS], [*files, *inputs])
    pictures = len(files) > 1 or (files and files[0].suffix.lower() in SUFFIXES)
    if pictures and out.is_dir() and out.samefile(files[0].parent):
        raise InputError(f"{out} is the folder of the images, where {RESULTS[2]} would be one of them; choose another place")


def track_video(
    source: VideoReader | str | Path | int,
    out: str | Path,
    tracker: Any,
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
    session = HandSession(tracker, cameras, Counts(), Notes(warn))
    ended_by, start = 0, time.perf_counter()
    with source if isinstance(source, VideoReader) else VideoReader(source) as video:
        check_results(out, video.files)
        cameras.camera_for(video.width, video.height)  # raises what is wrong with it before anything is written
        make_folder(out)
        for name in RESULTS:  # of an earlier run, which would be taken for this one's
            (out / name).unlink(missing_ok=True)
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
                        take(session.process(loaded(image, stamp, image), with_vertices=mesh))
                except KeyboardInterrupt as error:
                    ended_by = number_of(error)
                take(session.finish(with_vertices=mesh))
                session.tell_unseen(str(video.source))
        except FourDHandsError as error:
            raise type(error)(f"{error}; {_kept(out, record, sheet)}") from error
        except BaseException:
            _kept(out, record, sheet)
            raise
        seconds = time.perf_counter() - start
        _keep(out, record, sheet)
    if not len(record) and not ended_by:
        raise InputError(f"no frame of {video.source} could be used: {session.counts.last_problem}")
    return TrackSummary(
        *record.counts(), seconds, ended_by, dict(session.counts.refused), 0 if ended_by else video.missing, video.frame_count
    )


def _keep(out: Path, record: PairRecord, sheet: _Samples) -> None:
    record.save(out / "hands.npz")
    if sheet.images:
        write_image(out / "contact_sheet.png", contact_sheet(sheet.spread(16), 4))


def _kept(out: Path, record: PairRecord, sheet: _Samples) -> str:
    """What is there of a run that failed, in words: one more file that cannot be written is not another error."""
    with contextlib.suppress(FourDHandsError):
        _keep(out, record, sheet)
    there = [name for name in RESULTS if (out / name).is_file()] if len(record) else []
    return (
        f"{' and '.join(there)} of the first {counted(len(record), 'frames')} are in {out}"
        if there
        else f"nothing is left in {out}"
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
