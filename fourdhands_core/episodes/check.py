"""Whether a dataset is whole and says what it should: every row, number and picture of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..files import from_root
from ..streams import counted
from .folder import MANIFEST, as_it_says, unreadable
from .plain_formats import plain_columns, read_index, video_of, wrong_in_hdf5
from .reading import Dataset

_TOLERANCE = 1e-4
"""Seconds, LeRobot's own."""


def is_dataset(path: Path) -> bool:
    """Whether a folder is laid out as a dataset of any of the formats."""
    return (path / "meta" / "info.json").is_file() or (path / "index.json").is_file()


def check_dataset(path: Path) -> tuple[list[str], list[str]]:
    """What a dataset that was exported holds, and what is wrong with it, in words. Raises DatasetError where it is none."""
    with as_it_says(path):
        if (path / "meta" / "info.json").is_file():
            return _check_lerobot(path)
        if (path / "index.json").is_file():
            return _check_plain(path)
    raise DatasetError(f"{path} is no dataset of this package: neither meta/info.json nor index.json is in it")


def _check_lerobot(path: Path) -> tuple[list[str], list[str]]:
    dataset = Dataset(path)
    info, episodes, wrong, row = dataset.info, dataset.episodes, [], 0
    videos: dict[tuple[Path, str], list[int]] = {}
    for number, episode in enumerate(episodes):
        name = f"episode {number}"
        if episode["episode_index"] != number or episode["dataset_from_index"] != row:
            wrong.append(f"{name} is out of order in meta/episodes")
        row = episode["dataset_to_index"]
        try:
            columns = dataset.columns(number)
        except DatasetError as error:
            wrong.append(f"{name}: {error}")
            continue
        wrong += [f"{name}: {words}" for words in _wrong_rows(columns, episode, info)]
        for camera in dataset.cameras:
            videos.setdefault((dataset.video(number, camera)[0], camera), []).append(number)
    for (video, camera), inside in videos.items():  # of others' datasets several episodes in one file
        rows = sum(episodes[number]["length"] for number in inside)
        name = f"episode {inside[0]}" if len(inside) == 1 else f"episodes {inside[0]} to {inside[-1]}"
        wrong += [f"{name}: {words}" for words in _wrong_video(video, rows, dataset.features[camera]["shape"])]
    if (len(episodes), row) != (info["total_episodes"], info["total_frames"]):
        wrong.append(
            f"info.json says {info['total_episodes']} episodes and {info['total_frames']} rows, "
            f"there are {len(episodes)} and {row}"
        )
    wrong += _wrong_meta(dataset, row)
    good = [f"{path}: {_size(len(episodes), row, len(dataset.cameras))}, {info['fps']} rows a second"]
    if not (path / MANIFEST).is_file():
        good.append(f"{path}: {MANIFEST} is missing: it was not exported by this package, whose columns it need not have")
    return good, wrong


def _wrong_meta(dataset: Dataset, rows: int) -> Iterator[str]:
    """Of what LeRobot reads beside the rows: statistics of every column, and the tasks."""
    try:
        statistics = json.loads((dataset.path / "meta" / "stats.json").read_text(encoding="utf-8"))
        for name, one in dataset.features.items():
            if name not in statistics:
                yield f"meta/stats.json says nothing of {name}"
            elif one["dtype"] == "int64" and np.max(statistics[name]["count"]) != rows:
                yield f"meta/stats.json is of other rows: {name}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{unreadable(Path('meta/stats.json'), error)}, by which LeRobot scales what a policy takes; export it again"
    if not (dataset.path / "meta" / "tasks.parquet").is_file():
        yield "meta/tasks.parquet is missing; export it again"


def _wrong_rows(columns: dict[str, np.ndarray], episode: dict[str, Any], info: dict[str, Any]) -> Iterator[str]:
    length, count = episode["length"], len(columns["index"])
    if count != length:
        yield f"{count} rows, meta/episodes says {length}"
        return
    if not np.array_equal(columns["frame_index"], np.arange(length)):
        yield "frame_index does not count from 0"
    if not np.array_equal(columns["index"], episode["dataset_from_index"] + np.arange(length)):
        yield "index does not count on"
    if np.abs(columns["timestamp"] - np.arange(length) / info["fps"]).max() > _TOLERANCE:
        yield "timestamp is not frame_index / fps"
    yield from _wrong_numbers(columns)


def _wrong_numbers(columns: dict[str, np.ndarray]) -> Iterator[str]:
    for name, column in columns.items():
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            yield f"{name} holds numbers that are not finite"
    if "hand.valid" in columns and "hand.mano" in columns:
        valid, mano = columns["hand.valid"], columns["hand.mano"].reshape(len(columns["hand.mano"]), 2, -1)
        if np.abs(mano[~valid]).max(initial=0.0) > 0:
            yield "hand.mano has numbers of a hand that was not there"
    for name, least in (("stamp.row", 1), ("stamp.hands", 0)):
        if name in columns and (np.diff(columns[name].ravel()) < least).any():
            yield f"{name} goes back in time"


def _wrong_video(path: Path, length: int, shape: list[int]) -> Iterator[str]:
    import av

    try:
        with av.open(from_root(path)) as container:
            frames = 0
            for frame in container.decode(video=0):
                if [frame.height, frame.width] != shape[:2]:
                    yield f"{path} is {frame.width}x{frame.height}, not {shape[1]}x{shape[0]}"
                    return
                frames += 1
    except (OSError, av.FFmpegError) as error:
        yield unreadable(path, error)
        return
    if frames != length:
        yield f"{path} has {frames} pictures for {length} rows"


def _check_plain(path: Path) -> tuple[list[str], list[str]]:
    index, wrong = read_index(path), []
    shapes = {name: one["shape"] for name, one in index["features"].items() if one["dtype"] == "video"}
    for episode in index["episodes"]:
        name = episode["file"]
        try:
            columns = plain_columns(path / name)
        except (OSError, ValueError, KeyError) as error:
            wrong.append(unreadable(Path(name), error))
            continue
        if any(len(column) != episode["length"] for column in columns.values()):
            wrong.append(f"{name} has other than {episode['length']} rows")
        wrong += [f"{name}: {words}" for words in _wrong_numbers(columns)]
        if (path / f"{name}.hdf5").is_file():
            wrong += [f"{name}: {words}" for words in wrong_in_hdf5(path / name, columns)]
        for camera, shape in shapes.items():
            wrong += list(_wrong_video(video_of(path / name, camera, shapes), episode["length"], shape))
    rows = sum(episode["length"] for episode in index["episodes"])
    return [f"{path}: {_size(len(index['episodes']), rows, len(shapes))}"], wrong


def _size(episodes: int, rows: int, cameras: int) -> str:
    return ", ".join([counted(episodes, "episodes"), counted(rows, "rows"), counted(cameras, "cameras")])
