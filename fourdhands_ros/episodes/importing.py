"""A LeRobotDataset as bags, an episode each, to be looked at in RViz, played, or exported again."""

from __future__ import annotations

import array
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, JointState
from tqdm import tqdm

from fourdhands_core.episodes.columns import ACTION, ROBOT, STATE, picture_column
from fourdhands_core.episodes.exported import facts_by_episode
from fourdhands_core.episodes.folder import as_it_says, read_manifest
from fourdhands_core.episodes.reading import Dataset
from fourdhands_core.episodes.rows import NEEDED, pair_of_row
from fourdhands_core.episodes.sidecar import Sidecar
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.images import jpeg
from fourdhands_core.outputs import check_folder

from ..bags.info import HAND_PAIR
from ..bags.recorder import bag_qos
from ..bags.topics import CAMERA_INFO, JOINT_STATE
from ..bags.writing import BagWriter
from ..convert.encoders import HandPairEncoder, TransformEncoder, split_stamp
from ..pypi.message_types import typestore
from .source import CAMERA_FRAME

_CAMERA = Camera.from_fov(64, 64, 60.0)
"""A message does not say its camera."""
_EPOCH = 1_000_000_000
"""Nanoseconds at which episodes begin that do not say when they were recorded."""


def import_dataset(source: Path, out: Path, numbers: list[int] | None = None, quiet: bool = False) -> list[Path]:
    """Write episodes of a dataset as bags into the folder `out`; those that are there already are left alone.

    numbers: of the episodes; None for all. Returns the bags. Raises DatasetError, InputError.
    """
    dataset = Dataset(source)
    if not dataset.episodes:
        raise InputError(f"{source} holds no episode")
    chosen = range(len(dataset.episodes)) if numbers is None else numbers
    wrong = [number for number in chosen if not 0 <= number < len(dataset.episodes)]
    if wrong:
        raise InputError(f"--episode {wrong[0]}: {source} has the episodes 0 to {len(dataset.episodes) - 1}")
    missing = [name for name in NEEDED if name not in dataset.features]
    if 0 < len(missing) < len(NEEDED):  # as lerobot's tools take columns out
        words = f"{source} lacks the columns {', '.join(missing)}: its bags get state and action as numbers, and no hands"
        tqdm.write(f"fourdhands: warning: {words}", file=sys.stderr)
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    bags = []
    for number in tqdm(chosen, unit="episode", disable=quiet):
        bag, work = out / f"episode_{number:06}", out / f".episode_{number:06}.partial"
        bags.append(bag)
        if bag.exists():
            continue
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            with as_it_says(source):
                _Episode(dataset, number).write(work / bag.name)
            (work / bag.name).rename(bag)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return bags


class _Episode:
    """One episode to write."""

    def __init__(self, dataset: Dataset, number: int) -> None:
        self._dataset, self._number = dataset, number
        self._table = dataset.columns(number)
        self._length = len(self._table["frame_index"])
        self._spaces = {camera: "/" + camera.rpartition(".")[2] for camera in dataset.cameras}
        manifest = read_manifest(dataset.path)
        facts = facts_by_episode(manifest)
        said = facts[number] if number < len(facts) else {}
        self._has_hands = all(name in self._table for name in NEEDED)
        self._names: dict[str, Any] = said.get("facts") or {}
        self._frame = str(said.get("frame") or "camera_optical_frame")
        self._fused, self._others = bool(self._names.get("fused")), bool(self._names.get("other_pictures"))
        chosen = manifest.get("options", {}).get("chosen", {})
        self._in_camera = not self._fused and chosen.get("frame", CAMERA_FRAME) == CAMERA_FRAME
        self._outcome = str(said.get("outcome") or "")
        if "stamp.row" in self._table:
            self._stamp = self._table["stamp.row"].reshape(-1)
        else:
            self._stamp = _EPOCH + np.round(np.asarray(self._table["timestamp"], np.float64) * 1e9).astype(np.int64)

    def write(self, path: Path) -> None:
        """As a bag with its sidecar."""
        writer = BagWriter(path)
        connections: dict[str, Any] = {}
        try:
            for topic, kind, time, data in self._messages():
                if topic not in connections:
                    qos = [bag_qos(QoSProfile(depth=10))]
                    connections[topic] = writer.add_connection(topic, kind, typestore=typestore(), offered_qos_profiles=qos)
                writer.write(connections[topic], time, data)
        finally:
            writer.close()
        tasks = self._dataset.episodes[self._number].get("tasks") or [""]
        Sidecar(task=str(tasks[0]), outcome=self._outcome).write(path)

    def _messages(self) -> Iterator[tuple[str, str, int, bytes]]:
        """Topic, type, time and data of what the rows hold, in order."""
        pictures = {camera: self._dataset.pictures(self._number, camera) for camera in self._spaces}
        space = "" if self._others else next(iter(self._spaces.values()), "")
        pairs = HandPairEncoder(str(self._names.get("network", "")), str(self._names.get("hand_model", "")))
        frames = TransformEncoder("joints")
        for row, stamp in enumerate(self._stamp.tolist()):
            images = {camera: next(stream) for camera, stream in pictures.items()}
            size = next(iter(images.values())).shape if images and not self._others else (0, 0)
            yield from self._camera_info(space, size, row, stamp)
            for camera, image in images.items():
                taken = self._taken(row, camera)
                if row and taken == self._taken(row - 1, camera):
                    continue  # the same picture, as of a camera that is slower than the rows
                name = self._spaces[camera]
                yield self._picture(name, image, self._frame_of(name, space), taken, stamp)
            if self._has_hands:
                pair = pair_of_row(self._table, row, stamp, _CAMERA)
                topic = "/hands" if self._fused else f"{space}/hands"
                yield topic, HAND_PAIR, stamp, pairs.encode(pair, self._frame, {}, (row + 1, 0, 0))
                transforms = frames.encode(pair, self._frame)
                if transforms is not None:
                    yield "/tf", "tf2_msgs/msg/TFMessage", stamp, transforms
            others = () if self._has_hands else ((STATE, "/observation/state"), (ACTION, "/action"))
            for column, topic in ((ROBOT, "/joint_states"), *others):
                silent = column == ROBOT and "robot.valid" in self._table and not self._table["robot.valid"].reshape(-1)[row]
                if column in self._table and not silent:
                    yield topic, JOINT_STATE, stamp, self._numbers(column, row, stamp)

    def _camera_info(self, space: str, size: tuple[int, ...], row: int, stamp: int) -> Iterator[tuple[str, str, int, bytes]]:
        """size: height and width of the hands' images, 0 where the dataset has none, which do not tell their size otherwise."""
        fx, fy, cx, cy = self._table["camera.intrinsics"][row].tolist() if "camera.intrinsics" in self._table else (0.0,) * 4
        if fx > 0:
            info = CameraInfo(height=size[0], width=size[1], distortion_model="plumb_bob")
            info.k, info.d = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0], [0.0] * 5
            info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
            yield f"{space}/camera_info", CAMERA_INFO, stamp, _serialized(info, stamp, self._frame_of(space, space))

    def _frame_of(self, name: str, space: str) -> str:
        """That of a camera's images; of the hands' own, in `space`, theirs, where they are in it."""
        return self._frame if self._in_camera and name == space else f"{name.strip('/') or 'camera'}_optical_frame"

    def _taken(self, row: int, camera: str) -> int:
        """When a row's picture of a camera was taken; at the row's own moment where that is not said."""
        column = picture_column(self._dataset.features, camera)
        if column is None or "stamp.pictures" not in self._table:
            return int(self._stamp[row])
        return int(np.ravel(self._table["stamp.pictures"][row])[column])

    @staticmethod
    def _picture(space: str, image: np.ndarray, frame: str, stamp: int, time: int) -> tuple[str, str, int, bytes]:
        message = CompressedImage(format="jpeg", data=array.array("B", jpeg(image)))
        return f"{space}/image_raw/compressed", "sensor_msgs/msg/CompressedImage", time, _serialized(message, stamp, frame)

    def _numbers(self, column: str, row: int, stamp: int) -> bytes:
        values = np.asarray(self._table[column][row], np.float64).reshape(-1)
        names = self._dataset.features[column].get("names")
        if isinstance(names, dict):  # as some datasets have it: {"motors": [...]}
            names = next(iter(names.values()))
        names = names if names and len(names) == len(values) else [str(k) for k in range(len(values))]
        message = JointState(name=[str(name) for name in names], position=array.array("d", values.tolist()))
        return _serialized(message, stamp)


def _serialized(message: Any, stamp: int, frame: str = "") -> bytes:
    """A message with its header."""
    message.header.stamp.sec, message.header.stamp.nanosec = split_stamp(stamp)
    message.header.frame_id = frame
    return serialize_message(message)
