"""LeRobotDataset v3.0: parquet files of rows, a video an episode, and meta/ as `lerobot` writes it.

Written with pyarrow: `lerobot-dataset`, the writer without torch, brings another build of OpenCV and a NumPy that MediaPipe
does not run with, encodes pictures by way of files, and its files differ from run to run.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import needed_for
from ..files import utf8_name
from ..outputs import TEXT
from .folder import place_file
from .parts import read_part
from .pictures import pixel_format
from .statistics import of_column, together
from .tables import read_blocks

VERSION = "v3.0"
_CHUNK = 1000
_DATA_MB, _VIDEO_MB = 100, 200
"""LeRobot's own limits of its files. A video of ours holds one episode, of at most resampling.LONGEST seconds: in longer ones
LeRobot's float32 times would be further off than its tolerance."""
_DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_OWN = {"timestamp": "float32", **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), "int64")}
"""LeRobot's own columns, and the dtype of each."""


@dataclass
class _Written:
    """What was written so far."""

    tasks: list[str] = field(default_factory=list)
    rows: int = 0
    episodes: list[dict[str, Any]] = field(default_factory=list)


def write_lerobot(whole: Path, parts: list[Path], fps: int, vcodec: str, default_task: str) -> None:
    """Write the dataset of parts, which have the same features, into an empty folder."""
    # Arrow's own pool keeps some 25 MB of what rows have used; set_memory_pool, once it is imported, leaves 20 of them.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with needed_for("--format lerobot", "dataset"):
        import pyarrow as pa
    said = [read_part(part) for part in parts]
    described = said[0]["features"]
    cameras = [name for name, one in described.items() if one["dtype"] == "video"]
    written = _Written()
    data = _DataFiles(whole, _schema(pa, described))
    statistics: dict[str, list] = {name: [] for name in [*described, *_OWN]}
    try:
        for part, one in zip(parts, said):
            task = one["task"] or default_task
            if task not in written.tasks:
                written.tasks.append(task)
            for number, episode in enumerate(one["episodes"]):
                index = len(written.episodes)
                own = _own_columns(episode["length"], index, written.rows, written.tasks.index(task), fps)
                place = data.write(pa, part / f"episode_{number:06}.npz", own)
                counted = {**episode["statistics"], **{name: of_column(column[:, None], None) for name, column in own.items()}}
                for name, values in counted.items():
                    statistics[name].append(values)
                row = _episode_row(index, task, episode["length"], written.rows, place, counted)
                for camera in cameras:
                    chunk, file_index = divmod(index, _CHUNK)
                    target = _VIDEO_PATH.format(video_key=camera, chunk_index=chunk, file_index=file_index)
                    place_file(part / f"{camera}.episode_{number:06}.mp4", whole / target)
                    row[f"videos/{camera}/chunk_index"], row[f"videos/{camera}/file_index"] = chunk, file_index
                    row[f"videos/{camera}/from_timestamp"], row[f"videos/{camera}/to_timestamp"] = 0.0, episode["length"] / fps
                written.episodes.append(row)
                written.rows += episode["length"]
    finally:
        data.close()
    _write_episodes(pa, whole, written.episodes)
    _write_tasks(pa, whole, written.tasks)
    _write_json(whole / "meta" / "stats.json", {name: together(values) for name, values in statistics.items()})
    _write_json(whole / "meta" / "info.json", _info(described, cameras, written, fps, vcodec))


def _schema(pa: Any, described: dict[str, Any]) -> Any:
    kinds = {"float32": pa.float32(), "int64": pa.int64(), "bool": pa.bool_()}
    columns = []
    for name, one in described.items():
        if one["dtype"] != "video":
            kind, size = kinds[one["dtype"]], one["shape"][0]
            columns.append((name, kind if size == 1 else pa.list_(kind, size)))
    return pa.schema([*columns, *((name, kinds[dtype]) for name, dtype in _OWN.items())])


def _own_columns(length: int, episode: int, first: int, task: int, fps: int) -> dict[str, np.ndarray]:
    numbers = np.arange(length, dtype=np.int64)
    return {
        "timestamp": (numbers / fps).astype(np.float32),
        "frame_index": numbers,
        "episode_index": np.full(length, episode, np.int64),
        "index": first + numbers,
        "task_index": np.full(length, task, np.int64),
    }


class _DataFiles:
    """The parquet files of rows: row groups of one episode each, a new file where the last is full."""

    def __init__(self, whole: Path, schema: Any) -> None:
        self._whole, self._schema = whole, schema
        self._writer: Any = None
        self._place, self._bytes = -1, 0

    def write(self, pa: Any, columns: Path, own: dict[str, np.ndarray]) -> tuple[int, int]:
        """Add an episode; returns the chunk and the file that it is in. columns: its npz. own: LeRobot's own columns."""
        import pyarrow.parquet as pq

        length, first = len(own["index"]), 0
        size = length * sum(_row_bytes(one.type) for one in self._schema)
        if self._writer is None or self._bytes + size > _DATA_MB << 20:
            self.close()
            self._place, self._bytes = self._place + 1, 0
            path = self._whole / _path(_DATA_PATH, self._place)
            path.parent.mkdir(parents=True, exist_ok=True)
            with utf8_name(path) as name:
                self._writer = pq.ParquetWriter(Path(name), self._schema, compression="snappy")
        for block in read_blocks(columns):
            last = first + len(next(iter(block.values())))
            table = {**block, **{name: column[first:last] for name, column in own.items()}}
            self._writer.write_table(
                pa.Table.from_arrays([_array(pa, table[one.name], one) for one in self._schema], schema=self._schema)
            )
            first = last
        self._bytes += size
        return divmod(self._place, _CHUNK)

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _row_bytes(kind: Any) -> int:
    """Of a number, or a list of a fixed number of them; a bool is taken for a byte."""
    return max(1, getattr(kind, "value_type", kind).bit_width // 8) * getattr(kind, "list_size", 1)


def _array(pa: Any, column: np.ndarray, one: Any) -> Any:
    flat = pa.array(column.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, one.type.list_size) if pa.types.is_fixed_size_list(one.type) else flat


def _path(pattern: str, number: int) -> str:
    chunk, file_index = divmod(number, _CHUNK)
    return pattern.format(chunk_index=chunk, file_index=file_index)


def _episode_row(
    index: int, task: str, length: int, first: int, place: tuple[int, int], statistics: dict[str, Any]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "episode_index": index,
        "tasks": [task],
        "length": length,
        "dataset_from_index": first,
        "dataset_to_index": first + length,
        "data/chunk_index": place[0],
        "data/file_index": place[1],
    }
    for name, values in statistics.items():
        for key, value in values.items():
            if key != "counts":
                row[f"stats/{name}/{key}"] = value
    return row


def _write_episodes(pa: Any, whole: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow.parquet as pq

    for number in range(-(-len(rows) // _CHUNK)):
        path = whole / _path(_EPISODES_PATH, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        chunk, file_index = divmod(number, _CHUNK)
        places = {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file_index}
        with utf8_name(path) as name:
            some = [{**row, **places} for row in rows[number * _CHUNK : (number + 1) * _CHUNK]]
            pq.write_table(pa.Table.from_pylist(some), Path(name), compression="snappy")


def _write_tasks(pa: Any, whole: Path, tasks: list[str]) -> None:
    """As pandas writes a table that is indexed by the task, which LeRobot looks up by its name."""
    import pyarrow.parquet as pq

    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64", "metadata": None},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
    ]
    said = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    with utf8_name(whole / "meta" / "tasks.parquet") as name:
        pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(said)}), Path(name))


def _info(described: dict[str, Any], cameras: list[str], written: _Written, fps: int, vcodec: str) -> dict[str, Any]:
    features = {name: dict(one) for name, one in described.items()}
    for camera in cameras:
        height, width = features[camera]["shape"][:2]
        features[camera]["info"] = {
            "video.height": height,
            "video.width": width,
            "video.codec": vcodec,
            "video.pix_fmt": pixel_format(width, height, vcodec),
            "video.is_depth_map": False,
            "video.fps": fps,
            "video.channels": 3,
            "has_audio": False,
        }
    own = {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in _OWN.items()}
    return {
        "codebase_version": VERSION,
        "robot_type": "human_hands",
        "total_episodes": len(written.episodes),
        "total_frames": written.rows,
        "total_tasks": len(written.tasks),
        "chunks_size": _CHUNK,
        "data_files_size_in_mb": _DATA_MB,
        "video_files_size_in_mb": _VIDEO_MB,
        "fps": fps,
        "splits": {"train": f"0:{len(written.episodes)}"},
        "data_path": _DATA_PATH,
        "video_path": _VIDEO_PATH if cameras else None,
        "features": {**features, **own},
    }


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False, sort_keys=True), **TEXT)
