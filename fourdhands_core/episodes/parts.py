"""What an export makes of one bag: a folder with its episodes' columns and videos, whole or not there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ..errors import InputError
from ..remote import Place, Remote, inside
from .actions import Action
from .columns import blocks, features, picture_numbers, valid_by
from .pictures import EpisodeVideo
from .recording import Progress, Recording
from .resampling import Cutting, Episode, Plan
from .resampling_error import resampling_error
from .statistics import PictureStatistics, Statistics, in_parts, of_column
from .tables import TableWriter

FILE = "part.json"
_WHOLE = re.compile(f"^{re.escape(FILE)}$")
FIELDS = frozenset(
    "bag task outcome frame facts features episodes left_out required resampling seconds unusable warnings".split()
)
"""What FILE says."""
Pictures: TypeAlias = "Callable[[str, np.ndarray], Iterator[np.ndarray | None]]"
_LOOKED_AT = 100
"""Pictures of an episode that its statistics are of."""


@dataclass(frozen=True)
class Writing:
    """How episodes are written. vcodec: see pictures.CODECS."""

    action: Action
    cutting: Cutting
    vcodec: str = "h264"


def write_part(
    folder: Path,
    recording: Recording,
    plan: Plan,
    writing: Writing,
    pictures: Pictures,
    intrinsics: Callable[[np.ndarray], np.ndarray],
    progress: Progress = lambda done, of: None,
) -> dict:
    """Write the episodes of a recording into a folder and return what its FILE says.

    pictures: called with a camera's name and the numbers of messages wanted, rising, gives an iterator over their images
    (H, W, 3) uint8 RGB; None for one that does not decode, in whose place the one before is shown.
    intrinsics: called with stamps, gives fx, fy, cx, cy.
    """
    folder.mkdir(parents=True)
    described = features(recording, writing.action)
    episodes: list[dict[str, Any]] = []
    for number, episode in enumerate(plan.episodes):
        with TableWriter(folder / f"episode_{number:06}.npz") as table:
            for block in blocks(recording, episode, writing.action, intrinsics):
                table.add(block)
            counted = {name: _statistics(table, name, one["shape"][0], writing.action) for name, one in described.items()}
            episodes.append({"length": episode.length, "start": int(episode.stamp[0]), "statistics": counted})
    total = sum(episode.length for episode in plan.episodes) * len(recording.cameras)
    done = 0

    def told(more: int) -> None:
        progress(done + more, total)

    for name, camera in recording.cameras.items():
        shape = [camera.height, camera.width, 3]
        described[name] = {"dtype": "video", "shape": shape, "names": ["height", "width", "channels"]}
        videos = _Videos(folder, recording, plan.episodes, name, writing)
        for one, statistics in zip(episodes, videos.write(pictures, told)):
            one["statistics"][name] = statistics
        done += sum(episode.length for episode in plan.episodes)
    said = {
        **{name: getattr(recording, name) for name in "task outcome frame facts unusable warnings".split()},
        "bag": recording.name,
        "features": described,
        "episodes": episodes,
        "left_out": [asdict(one) for one in plan.left_out],
        "required": list(plan.required),
        "resampling": resampling_error(plan.episodes),
        "seconds": (int(recording.hands.stamp[-1]) - int(recording.hands.stamp[0])) / 1e9 if len(recording.hands) else 0.0,
    }
    (folder / FILE).write_text(json.dumps(said, indent=1, sort_keys=True), encoding="utf-8")
    return said


def _statistics(table: TableWriter, name: str, size: int, action: Action) -> Statistics:
    """Of a column of a table. size: its numbers a row."""
    if (by := valid_by(name, action, size)) is None:
        return in_parts(len(table), size, lambda part: of_column(table.column(name, part), None))
    there, places = table.column(by[0]), by[1]
    return in_parts(len(table), size, lambda part: of_column(table.column(name, part), there[:, places[part]]))


class _Videos:
    """The videos of one camera, an episode each."""

    def __init__(self, folder: Path, recording: Recording, episodes: list[Episode], name: str, writing: Writing) -> None:
        self._folder, self._recording, self._name, self._writing = folder, recording, name, writing
        self._wanted = picture_numbers(recording, episodes, name)

    def write(self, pictures: Pictures, progress: Callable[[int], None]) -> list[Statistics]:
        """Read the pictures once, in their order. Returns the statistics by episode."""
        camera, done, result = self._recording.cameras[self._name], 0, []
        unusable = self._recording.unusable
        numbers = np.unique(np.concatenate([np.zeros(0, np.int64), *self._wanted]))
        stream = zip(map(int, numbers), pictures(self._name, numbers))
        at, image = -1, None
        for index, wanted in enumerate(self._wanted):
            path = self._folder / f"{self._name}.episode_{index:06}.mp4"
            statistics = PictureStatistics(-(-len(wanted) // _LOOKED_AT))
            fps, vcodec = self._writing.cutting.fps, self._writing.vcodec
            with EpisodeVideo(path, camera.width, camera.height, fps, vcodec) as video:
                for number in map(int, wanted):
                    while at < number:
                        at, newer = next(stream, (number, None))
                        image = newer if newer is not None else image
                        if newer is None:
                            reason = f"image of {camera.topic} that does not decode: the one before stands in for it"
                            unusable[reason] = unusable.get(reason, 0) + 1
                    if image is None:
                        raise InputError(f"{camera.topic}: no image can be read; choose others with --images")
                    try:
                        video.add(image)
                    except InputError as error:
                        raise InputError(f"{camera.topic}: {error}") from error
                    statistics.add(image)
                    done += 1
                    progress(done)
            result.append(statistics.result())
        return result


@contextlib.contextmanager
def made_whole(folder: Place) -> Iterator[Path]:
    """A folder to write into that gets its name `folder` at the end, on disk; where an exception comes nothing is left.

    Where somebody else has made the same meanwhile, as a node of a cluster may that was taken for lost, theirs is kept.
    """
    if isinstance(folder, Remote):
        with tempfile.TemporaryDirectory() as name:
            beside = Path(name, folder.name)
            yield beside
            if not has_part(folder):
                folder.put(beside, [FILE])
        return
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        yield beside
        sync(beside)
        try:
            beside.rename(folder)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            shutil.rmtree(beside, ignore_errors=True)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def sync(folder: Path) -> None:
    """Have the disk keep all files of a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def read_part(folder: Place) -> dict:
    """What a part's FILE says."""
    return json.loads(inside(folder, FILE).read_text(encoding="utf-8"))


def has_part(folder: Place) -> bool:
    """Whether a part is there, and is none that another version of this package left with less in it, which is removed."""
    if isinstance(folder, Path) and not folder.is_dir():
        return False
    with contextlib.suppress(OSError, ValueError):
        if read_part(folder).keys() >= FIELDS:
            return True
    folder.remove() if isinstance(folder, Remote) else shutil.rmtree(folder, ignore_errors=True)
    return False


def parts_in(folder: Place) -> set[str]:
    """The keys of the parts in a folder."""
    if isinstance(folder, Remote):
        return {file.name.partition("/")[0] for file in folder.find(_WHOLE, needed=False) if file.name.count("/") == 1}
    return {one.name for one in folder.iterdir() if not one.name.startswith(".") and has_part(one)}


def fetch_parts(folder: Remote, into: Path, keys: Collection[str]) -> None:
    """Copy those parts of a folder on a storage that are not there yet."""
    for key in keys:
        if not has_part(into / key):
            with made_whole(into / key) as beside:
                (folder / key).fetch_all(beside)
