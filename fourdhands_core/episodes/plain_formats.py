"""An episode a file, with its videos beside it: numpy's npz, and HDF5 with the groups and names of EgoDex."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..extras import needed_for
from ..geometry.rotations import matrix_from_axis_angle
from ..hand_model.skeleton import JOINT_NAMES, JOINT_PARENTS, MANO_JOINT_NAMES, SIDES
from .folder import place_file
from .parts import read_part
from .tables import read_blocks


def write_npz(whole: Path, parts: list[Path], names: list[str], fps: int, default_task: str) -> None:
    """Of each episode its columns as npz; index.json says of what and with which features. names: of the parts' bags."""
    _write(whole, parts, names, fps, default_task, lambda source, target, *_: place_file(source, target.with_suffix(".npz")))


def write_hdf5(whole: Path, parts: list[Path], names: list[str], fps: int, default_task: str, in_camera: bool = True) -> None:
    """Of each episode an HDF5 file: transforms/ (N, 4, 4) and confidences/ (N,) by EgoDex's names of joints, camera/intrinsic
    (3, 3) where it is known, and all columns in columns/. names: of the parts' bags. in_camera: positions are in the camera's
    frame, so that transforms/camera is known; those of fused cameras are in none's."""
    with needed_for("--format hdf5", "dataset"):
        import h5py

    def convert(source: Path, target: Path, said: dict[str, Any], length: int) -> None:
        with _FileOfHdf5(target.with_suffix(".hdf5")) as file:
            with h5py.File(file, "w") as out:
                _fill(out, read_blocks(source), said, length, in_camera and not said["facts"].get("fused"))
                out.attrs["frame"], out.attrs["fps"] = said["frame"], fps
                out.attrs["task"] = out.attrs["llm_description"] = said["task"]
                out.attrs["llm_type"] = "reset"  # readers ask for "reversible", which has two descriptions

    _write(whole, parts, names, fps, default_task, convert)


class _FileOfHdf5(io.FileIO):
    """A file to be written by HDF5, which crashes where it is told that the disk is full: what failed is raised at the end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._failed: OSError | None = None

    def write(self, data: Any) -> int:
        """All of it, or nothing any more once that failed."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self._failed is None:
            try:
                done += super().write(view[done:]) or 0
            except OSError as error:
                self._failed = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """As write."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._failed = self._failed or error
        return self.tell() if size is None else size

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if self._failed is not None:
            raise self._failed


def _fill(out: Any, blocks: Iterator[dict[str, np.ndarray]], said: dict[str, Any], length: int, in_camera: bool) -> None:
    """Write an episode, block by block. length: its rows. in_camera: see write_hdf5."""
    first = 0
    for table in blocks:
        last = first + len(table["stamp.row"])
        for name, column in _named(table, in_camera):
            if not first:
                out.create_dataset(name, (length, *column.shape[1:]), column.dtype)
            out[name][first:last] = column
        if not first and (intrinsic := _intrinsic(table)) is not None:
            out["camera/intrinsic"] = intrinsic
        first = last
    for side in SIDES:
        for joint in JOINT_NAMES:
            attributes = out[f"transforms/{egodex_name(side, joint)}"].attrs
            attributes["side"], attributes["joint"] = side, joint
    for name in out["columns"]:
        out[f"columns/{name}"].attrs["names"] = said["features"][name]["names"]


def _intrinsic(table: dict[str, np.ndarray]) -> np.ndarray | None:
    """The camera's matrix (3, 3) at the first row; None where nobody told it."""
    fx, fy, cx, cy = table["camera.intrinsics"][0].astype(np.float64)
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]) if fx else None


def _named(table: dict[str, np.ndarray], in_camera: bool) -> Iterator[tuple[str, np.ndarray]]:
    """The columns of rows, and what EgoDex's groups hold of them: poses of joints, NaN where the hand is not there, and
    confidences, then 0; one by one, as together they are large."""
    length, valid = len(table["stamp.row"]), table["hand.valid"]
    mano, joints = table["hand.mano"].reshape(length, 2, 51), table["hand.joints"].reshape(length, 2, 21, 3)
    confidence = table["hand.joint_confidence"].reshape(length, 2, 21)
    for name, column in table.items():
        yield f"columns/{name}", column
    for k, side in enumerate(SIDES):
        turns = _turns(mano[:, k])
        for j, joint in enumerate(JOINT_NAMES):
            transforms = np.tile(np.eye(4, dtype=np.float32), (length, 1, 1))
            transforms[:, :3, :3], transforms[:, :3, 3] = turns[joint], joints[:, k, j]
            transforms[~valid[:, k]] = np.nan
            yield f"transforms/{egodex_name(side, joint)}", transforms
            yield f"confidences/{egodex_name(side, joint)}", confidence[:, k, j]
    if in_camera:
        yield "transforms/camera", np.tile(np.eye(4, dtype=np.float32), (length, 1, 1))


def _turns(mano: np.ndarray) -> dict[str, np.ndarray]:
    """Orientations (N, 3, 3) of a hand's joints by MANO's rotations, one after the other from the wrist; a tip has that of the
    joint before it. mano: (N, 51), the wrist's place, its rotation, and those of 15 joints."""
    local = matrix_from_axis_angle(mano[:, 3:].reshape(len(mano), 16, 3).astype(np.float64))
    turns = {"wrist": local[:, 0]}
    for joint, parent in zip(JOINT_NAMES[1:], JOINT_PARENTS[1:].tolist()):
        before = turns[JOINT_NAMES[parent]]
        turns[joint] = before @ local[:, MANO_JOINT_NAMES.index(joint)] if joint in MANO_JOINT_NAMES else before
    return turns


def egodex_name(side: str, joint: str) -> str:
    """What EgoDex calls one of our joints, as ARKit does, "leftIndexFingerKnuckle" for index_1. It has metacarpals of the four
    fingers too, which nothing here tells."""
    finger, _, number = joint.partition("_")
    if not number:
        return f"{side}Hand"
    bones = ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
    return f"{side}{finger.capitalize()}{'' if finger == 'thumb' else 'Finger'}{bones[int(number) - 1]}"


def _write(whole: Path, parts: list[Path], names: list[str], fps: int, default_task: str, convert: Any) -> None:
    """Every episode by `convert` (source, target without ending, what its part says, rows), its videos beside it."""
    index: list[dict[str, Any]] = []
    described: dict[str, Any] = {}
    for part, bag in zip(parts, names):
        said = read_part(part)
        said["task"] = said["task"] or default_task
        described = said["features"]
        for number, episode in enumerate(said["episodes"]):
            name = f"episode_{len(index):06}"
            convert(part / f"episode_{number:06}.npz", whole / name, said, episode["length"])
            cameras = [name for name, one in described.items() if one["dtype"] == "video"]
            for camera in cameras:
                place_file(part / f"{camera}.episode_{number:06}.mp4", video_of(whole / name, camera, cameras))
            index.append({"file": name, "bag": bag, "task": said["task"], "length": episode["length"]})
    text = json.dumps({"fps": fps, "features": described, "episodes": index}, indent=1, sort_keys=True)
    (whole / "index.json").write_text(text, encoding="utf-8")


def video_of(episode: Path, camera: str, cameras: Collection[str]) -> Path:
    """Where the pictures of one of the cameras are: beside the episode's file under its name, as in EgoDex; where there are
    several cameras, or an older version wrote them, with the camera's name too. episode: without the ending."""
    named = episode.with_name(f"{episode.name}.{camera}.mp4")
    return named if len(cameras) > 1 or named.is_file() else episode.with_name(f"{episode.name}.mp4")


def read_index(path: Path) -> dict[str, Any]:
    """What a dataset in either format says of its episodes. Raises DatasetError."""
    try:
        return json.loads((path / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path / 'index.json'} cannot be read ({error}); export the dataset again") from error


def plain_columns(path: Path) -> dict[str, np.ndarray]:
    """All columns of an episode's file in either format. path: without the ending. Raises OSError, ValueError, KeyError."""
    if path.with_suffix(".npz").is_file():
        try:
            with np.load(path.with_suffix(".npz")) as file:
                return dict(file)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:  # of which numpy lets out each as it comes
            raise ValueError(str(error)) from error
    with needed_for("reading HDF5", "dataset"):
        import h5py
    with h5py.File(path.with_suffix(".hdf5")) as file:
        return {name: column[()] for name, column in file["columns"].items()}


def wrong_in_hdf5(path: Path, table: dict[str, np.ndarray]) -> Iterator[str]:
    """What EgoDex's groups of an episode's file say otherwise than its columns. path: without the ending. Raises OSError."""
    with needed_for("reading HDF5", "dataset"):
        import h5py
    with h5py.File(path.with_suffix(".hdf5")) as file:
        in_camera = "camera" in file.get("transforms", ())
        for name, expected in _named(table, in_camera):
            if name not in file or not name.startswith("columns/"):
                yield from _other(file, name, expected)
        if (intrinsic := _intrinsic(table)) is not None:
            yield from _other(file, "camera/intrinsic", intrinsic)


def _other(file: Any, name: str, expected: np.ndarray) -> Iterator[str]:
    if name not in file:
        yield f"{name} is missing"
        return
    there = file[name][()]
    if there.shape != expected.shape or not np.allclose(there, expected, atol=1e-5, equal_nan=True):
        yield f"{name} is other than columns/ says"
