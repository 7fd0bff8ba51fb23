"""Reads a LeRobotDataset v3.0, this package's or another's: an episode's rows and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..extras import needed_for
from ..files import from_root, utf8_name
from .columns import cameras_of
from .folder import unreadable


def _no_dataset(path: Path) -> str:
    """What is in the place of a LeRobotDataset, in words."""
    if not path.exists():
        return f"{path} does not exist; give the folder of a LeRobotDataset"
    if (path / "index.json").is_file():
        return f"{path} is a dataset of another format, and LeRobot's is read here; export it again with --format lerobot"
    inside = "it has no meta/info.json" if path.is_dir() else "it is a file"
    return f"{path} is no LeRobotDataset, {inside}; give the folder of one, as `fourdhands episodes export` makes it"


class Dataset:
    """A dataset in a folder. info: of meta/info.json. Raises DatasetError where it is none of version 3."""

    def __init__(self, path: Path) -> None:
        with needed_for("reading a dataset", "dataset"):
            import pyarrow.parquet as pq
        self.path, self._parquet = path, pq
        try:
            self.info: dict[str, Any] = json.loads((path / "meta" / "info.json").read_text(encoding="utf-8"))
            version = str(self.info["codebase_version"])
            self.fps, self.features = float(self.info["fps"]), self.info["features"]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DatasetError(_no_dataset(path)) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            raise DatasetError(
                f"{path} is no LeRobotDataset: meta/info.json cannot be read ({why}); export or download it again"
            ) from error
        if not version.startswith("v3"):
            raise DatasetError(f"{path} is a LeRobotDataset {version}; convert it to v3.0 with lerobot's own converter")
        self.cameras = cameras_of(self.features)

    @cached_property
    def episodes(self) -> list[dict[str, Any]]:
        """The rows of meta/episodes without statistics. Raises DatasetError."""
        try:
            return [row for file in sorted((self.path / "meta" / "episodes").rglob("*.parquet")) for row in self._rows(file)]
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors or OSErrors
            raise DatasetError(f"{self.path}: meta/episodes cannot be read ({error}); export or download it again") from error

    def _rows(self, file: Path) -> Iterator[dict[str, Any]]:
        with utf8_name(file) as place:
            names = [name for name in self._parquet.read_schema(Path(place)).names if not name.startswith("stats/")]
            yield from self._parquet.read_table(Path(place), columns=names).to_pylist()

    def columns(self, number: int) -> dict[str, np.ndarray]:
        """The rows of an episode by column. Raises DatasetError."""
        episode = self.episodes[number]
        place = {"chunk_index": episode["data/chunk_index"], "file_index": episode["data/file_index"]}
        file = self.path / self.info["data_path"].format(**place)
        try:
            with utf8_name(file) as name:
                table = self._parquet.read_table(Path(name), filters=[("episode_index", "=", number)])
        except (OSError, ValueError) as error:
            raise DatasetError(f"{unreadable(file, error)}; export or download it again") from error
        return {name: np.asarray(table[name].combine_chunks().to_pylist()) for name in table.column_names}

    def video(self, number: int, camera: str) -> tuple[Path, float]:
        """The file of an episode's pictures, and the second at which they begin in it."""
        episode = self.episodes[number]
        place = {key: episode[f"videos/{camera}/{key}"] for key in ("chunk_index", "file_index")}
        path = self.path / self.info["video_path"].format(video_key=camera, **place)
        return path, float(episode[f"videos/{camera}/from_timestamp"])

    def pictures(self, number: int, camera: str) -> Iterator[np.ndarray]:
        """The pictures (H, W, 3) uint8 RGB of an episode's rows. Raises DatasetError."""
        import av

        (path, begin), half = self.video(number, camera), 0.5 / self.fps
        left = int(self.episodes[number]["length"])
        try:
            with av.open(from_root(path)) as container:
                stream = container.streams.video[0]
                if stream.time_base is not None:
                    container.seek(max(0, int((begin - half) / stream.time_base)), stream=stream)
                for frame in container.decode(stream):
                    if left and frame.time is not None and frame.time >= begin - half:
                        left -= 1
                        yield frame.to_ndarray(format="rgb24")
                    if not left:
                        return
        except (OSError, av.FFmpegError) as error:
            raise DatasetError(f"{unreadable(path, error)}; export or download it again") from error
        if left:
            raise DatasetError(f"{path} lacks the last {left} pictures of episode {number}; export or download it again")
