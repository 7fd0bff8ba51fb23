"""A dataset that this package exported, in whichever of its formats: episodes, their columns, and where their videos are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from .columns import cameras_of
from .folder import as_it_says, read_manifest, unreadable
from .plain_formats import plain_columns, read_index, video_of
from .reading import Dataset
from .rows import NEEDED

_Listed = list[tuple[str, int, dict[str, tuple[Path, float]]]]


@dataclass(frozen=True, eq=False)
class EpisodeOf:
    """An episode. number: from 0. video: by camera its file and the second at which the episode begins in it. facts: what the
    dataset's manifest says of its bag, such as its frame, and under `facts` hand model and network; empty where it has none."""

    number: int
    task: str
    length: int
    videos: dict[str, tuple[Path, float]]
    facts: dict[str, Any] = field(default_factory=dict)


class ExportedDataset:
    """A LeRobotDataset v3.0, or a folder of HDF5 or npz files with index.json.

    episodes: in order. fps: rows a second. sizes: by camera (width, height). moved: positions are not in the camera's frame.
    Raises DatasetError where the folder is none of them, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._lerobot = path, Dataset(path) if (path / "meta" / "info.json").is_file() else None
        manifest = read_manifest(path)
        self.moved = manifest.get("options", {}).get("chosen", {}).get("frame", "camera") != "camera"
        facts = facts_by_episode(manifest)
        with as_it_says(path):
            listed = self._of_lerobot(self._lerobot) if self._lerobot else self._of_index()
            shapes = {name: self.features[name]["shape"] for name in cameras_of(self.features)}
            self.sizes = {name: (int(shape[1]), int(shape[0])) for name, shape in shapes.items()}
        self.episodes = [
            EpisodeOf(number, task, length, videos, facts[number] if number < len(facts) else {})
            for number, (task, length, videos) in enumerate(listed)
        ]
        if not self.episodes:
            raise DatasetError(f"{path} holds no episode")
        if missing := [name for name in NEEDED if name not in self.features]:
            raise DatasetError(
                f"{path} holds no hands: it lacks the columns {', '.join(missing)}, which this package's export writes; "
                "`fourdhands episodes import` makes bags of others' datasets"
            )

    def columns(self, number: int) -> dict[str, np.ndarray]:
        """The rows of an episode by column. Raises DatasetError."""
        if self._lerobot:
            table = self._lerobot.columns(number)
        else:
            file = self.path / self._files[number]
            try:
                table = plain_columns(file)
            except (OSError, ValueError, KeyError) as error:
                raise DatasetError(f"{unreadable(file, error)}; export the dataset again") from error
        lengths = {len(table[name]) if name in table else 0 for name in NEEDED}
        if lengths != {self.episodes[number].length}:
            raise DatasetError(f"{self.path}: episode {number} has other rows than it says; export the dataset again")
        return table

    def _of_lerobot(self, dataset: Dataset) -> _Listed:
        """Task, length and videos of each episode; sets fps and features."""
        self.fps, self.features = dataset.fps, dataset.features
        listed: _Listed = []
        for number, row in enumerate(dataset.episodes):
            videos = {camera: dataset.video(number, camera) for camera in dataset.cameras}
            listed.append((str((row.get("tasks") or [""])[0]), int(row["length"]), videos))
        return listed

    def _of_index(self) -> _Listed:
        """The same of the plain formats, and which files hold the rows."""
        index = read_index(self.path)
        self.fps, self.features = float(index["fps"]), index["features"]
        self._files = [str(one["file"]) for one in index["episodes"]]
        cameras, listed = cameras_of(self.features), []
        for one in index["episodes"]:
            videos = {camera: (video_of(self.path / one["file"], camera, cameras), 0.0) for camera in cameras}
            listed.append((str(one["task"]), int(one["length"]), videos))
        return listed


def facts_by_episode(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What a manifest says of the bag of each episode, in order."""
    found: list[dict[str, Any]] = []
    for bag in manifest.get("bags") or []:
        found += [bag] * int(bag.get("episodes") or 0)
    return found
