"""Both hands through the videos of several cameras at once: `fourdhands track A B --cameras FILE`, and what calibrates them."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mode

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..fusion.fusion import Fused, HandFusion
from ..fusion.ordering import InOrder
from ..fusion.rig import Rig
from ..fusion.rig.shared_hands import Sightings
from ..fusion.views import View
from ..geometry.camera_source import CameraSource
from ..outputs import check_outputs
from ..pipeline.session import Counts, HandSession, Notes, Result, loaded
from ..pipeline.tracker import HandPairTracker
from ..pipeline.types import HandPairEstimate
from ..streams import warn
from .hands_file import PairRecord
from .video import VideoReader


@dataclass(frozen=True)
class CameraVideo:
    """One camera's video. name: of the camera. lens: of its images."""

    name: str
    path: Path
    lens: CameraSource


Seen = tuple[str, HandPairEstimate, np.ndarray]
"""A camera, its estimate of an image, and the rays (2, 21, 2) that it was made of."""


def watch(videos: Sequence[CameraVideo], tracker: HandPairTracker, progress: bool = True) -> Iterator[Seen]:
    """What each camera sees, in the order of the images' stamps; the videos begin at the same moment.

    tracker: of the first one; the others' are made of it. Raises InputError where a video cannot be read, is two cameras', or
    not one image of it could be used.
    """
    for first, other in itertools.combinations(videos, 2):
        if os.path.realpath(first.path) == os.path.realpath(other.path):
            raise InputError(
                f"{first.name} and {other.name} would both be {other.path}, and one image seen from two places makes up hands "
                "that are nowhere; give each camera's own video"
            )
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(VideoReader(video.path)) for video in videos]
        trackers = [tracker, *(stack.enter_context(contextlib.closing(tracker.for_another_camera())) for _ in videos[1:])]
        settings = tracker.settings
        settings.check_cameras(video.name for video in videos)
        sessions = []
        for video, one in zip(videos, trackers):
            one.apply(settings.of_camera(video.name))
            sessions.append(HandSession(one, video.lens, Counts(), Notes(partial(_warn, video.name))))
        total = sum(reader.frame_count or 0 for reader in readers)
        bar = stack.enter_context(tqdm(total=total or None, unit="frame", disable=not progress))
        frames = [iter(reader) for reader in readers]
        waiting: list[tuple[int, int, np.ndarray]] = []
        used, order = [0] * len(videos), InOrder()

        def read(number: int) -> list[Result]:
            """Of a video that has ended the estimates that waited for later images."""
            for stamp, image in frames[number]:
                heapq.heappush(waiting, (stamp, number, image))
                return []
            return sessions[number].finish()

        def due(number: int, results: list[Result]) -> Iterator[Seen]:
            used[number] += len(results)
            name, pending = videos[number].name, [stamp for session in sessions for stamp in session.waiting]
            for _, of, estimate in order.take([(one.stamp, name, one) for one, _ in results], pending):
                if estimate.rays is not None:
                    yield of, estimate, estimate.rays

        for number in range(len(videos)):
            read(number)
        while waiting:
            stamp, number, image = heapq.heappop(waiting)
            yield from due(number, sessions[number].process(loaded(image, stamp)))
            bar.update()
            yield from due(number, read(number))
        for number, session in enumerate(sessions):
            if not used[number]:
                raise InputError(f"no frame of {videos[number].path} could be used: {session.counts.last_problem}")
            session.tell_unseen(str(videos[number].path))


def _warn(name: str, text: str) -> None:
    warn(f"{name}: {text}")


@dataclass(frozen=True)
class FusedSummary:
    """What a run came to: fused estimates, those with a valid left and right hand and both, and by camera in how many it
    was left out and why most often."""

    frames: int
    left: int
    right: int
    both: int
    left_out: dict[str, tuple[int, str]]
    problems: list[str]

    def __str__(self) -> str:
        told = f"{self.frames} fused estimates: left hand in {self.left}, right in {self.right}, both in {self.both}"
        for camera, (count, why) in self.left_out.items():
            told += f"\n{camera} was left out of {count}: {why}"
        return told + "".join(f"\n{problem}" for problem in self.problems)


OUTPUT = "hands.npz"
"""What `track_cameras` writes for all cameras together; for each camera it writes NAME/hands.npz."""


def outputs(out: Path, names: Sequence[str]) -> list[Path]:
    """The files that `track_cameras` writes, by the cameras' names."""
    return [out / OUTPUT, *(out / name / OUTPUT for name in names)]


def track_cameras(
    videos: Sequence[CameraVideo], rig: Rig, out: Path, tracker: HandPairTracker, progress: bool = True
) -> FusedSummary:
    """Fuse the videos of cameras that stand where `rig` says; writes the fused hands, in the fixed frame, and each camera's
    own.

    Raises InputError where a camera's pose is not known, its lens is not, or an input would be written over.
    """
    names = [video.name for video in videos]
    for name in names:
        if name not in rig.poses:
            raise InputError(f"there is no pose of a camera {name}; the file names {', '.join(rig.poses)}")
    targets = outputs(out, names)
    check_outputs(targets, [video.path for video in videos])
    fusion = HandFusion(tracker.assets, betas=tracker.betas, landmarks=tracker.landmarks)
    record, singles, counts = PairRecord(), {name: PairRecord() for name in names}, dict[str, list[str]]()

    def take(results: list[Fused]) -> None:
        for fused in results:
            record.append(fused.pair)
            for camera, why in fused.left_out:
                counts.setdefault(camera, []).append(why)

    for name, estimate, rays in watch(videos, tracker, progress):
        singles[name].append(estimate)
        if not estimate.camera.calibrated:
            raise InputError(f"the lens of {name} is not known, without which nothing is in metres; give its intrinsics or fov")
        take(fusion.add(View(name, rig.poses[name], estimate, rays)))
    take(fusion.finish())
    for target, one in zip(targets, [record, *singles.values()]):
        target.parent.mkdir(parents=True, exist_ok=True)
        one.save(target)
    newest = max((view.stamp for view in fusion.newest()), default=0)
    return FusedSummary(
        *record.counts(),
        {camera: (len(whys), mode(whys)) for camera, whys in counts.items()},
        fusion.consistency.problems(newest),
    )


def collect(seen: Iterable[Seen], first: Sequence[str] = ()) -> dict[str, Sightings]:
    """What a calibration takes, from what cameras see: `first` those of these names, in this order, then the others by name."""
    cameras: dict[str, Sightings] = {}
    for name, estimate, rays in seen:
        cameras.setdefault(name, Sightings()).add(estimate, rays)
    return {name: cameras[name] for name in dict.fromkeys([*first, *sorted(cameras)]) if name in cameras}
