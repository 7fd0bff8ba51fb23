"""The columns of an episode: what a row holds, by the names that LeRobot's readers see.

Only `observation.*` and `action` are what a policy takes for its inputs and outputs; masks, stamps and the like have other
names, so that no policy learns from them unasked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..hand_model.skeleton import JOINT_NAMES, SIDES
from .actions import ACTIONS, Action
from .recording import Recording
from .resampling import Episode, nearest_images, sample

STATE, ACTION, ROBOT = "observation.state", "action", "observation.robot_state"
_MANO = ACTIONS["mano102"]
_ALWAYS = "hand.valid", "hand.next_valid", "hand.scaled"
"""Columns of hands that say something where no hand is there, too."""
_AT_ONCE = 250
"""Rows that are computed together: what that takes, some 20 kB a row, is kept by the process."""


def features(recording: Recording, action: Action) -> dict[str, dict[str, Any]]:
    """Of each column its dtype, shape and names, as LeRobot's info.json has them; images not."""
    joints = [f"{side}_{joint}" for side in SIDES for joint in JOINT_NAMES]
    found = {
        STATE: ("float32", action.names),
        ACTION: ("float32", action.names),
        "hand.valid": ("bool", SIDES),
        "hand.next_valid": ("bool", SIDES),
        "hand.confidence": ("float32", SIDES),
        "hand.scaled": ("bool", SIDES),
        "hand.mano": ("float32", _MANO.names),
        "hand.betas": ("float32", [f"{side}_beta_{k}" for side in SIDES for k in range(10)]),
        "hand.joints": ("float32", [f"{joint}_{axis}" for joint in joints for axis in "xyz"]),
        "hand.joint_confidence": ("float32", joints),
        "hand.joints_2d": ("float32", [f"{joint}_{axis}" for joint in joints for axis in "uv"]),
        "stamp.row": ("int64", ["nanoseconds"]),
        "stamp.hands": ("int64", ["nanoseconds"]),
        "camera.intrinsics": ("float32", ["fx", "fy", "cx", "cy"]),
    }
    if recording.cameras:
        found["stamp.pictures"] = ("int64", [name.rpartition(".")[2] for name in recording.cameras])
    if recording.robot:
        found[ROBOT] = ("float32", [name for signal in recording.robot for name in signal.names])
        found["robot.valid"] = ("bool", ["valid"])
    return {name: {"dtype": dtype, "shape": [len(names)], "names": list(names)} for name, (dtype, names) in found.items()}


def cameras_of(described: Mapping[str, Any]) -> list[str]:
    """Of a dataset's features those of pictures, in the order of the columns of `stamp.pictures`: the hands' own first."""
    names = [f"observation.images.{name}" for name in described.get("stamp.pictures", {}).get("names") or ()]
    videos = [name for name, one in described.items() if one["dtype"] == "video"]
    return sorted(videos, key=lambda name: names.index(name) if name in names else len(names))


def picture_column(described: Mapping[str, Any], camera: str) -> int | None:
    """The column of `stamp.pictures` that is of a feature of pictures, whichever others were taken out; None without."""
    names = list(described.get("stamp.pictures", {}).get("names") or ())
    name = camera.rpartition(".")[2]
    return names.index(name) if name in names else None


def blocks(
    recording: Recording, episode: Episode, action: Action, intrinsics: Callable[[np.ndarray], np.ndarray]
) -> Iterator[dict[str, np.ndarray]]:
    """The columns (N, D) of an episode, some rows at a time. intrinsics: of stamps (N,), gives (N, 4)."""
    known = None
    for first in range(0, episode.length, _AT_ONCE):
        last = min(first + _AT_ONCE, episode.length)
        table = _columns(recording, episode, action, intrinsics, first, last, known)
        known = table[ACTION][-1]
        yield table


def _columns(
    recording: Recording,
    episode: Episode,
    action: Action,
    intrinsics: Callable[[np.ndarray], np.ndarray],
    first: int,
    last: int,
    known: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Of the rows from `first` to before `last`. known: the action before the first of them."""
    at_rows, nearest = episode.hands(slice(first, last + 1))
    rows = slice(0, last - first)
    hands, future = at_rows.part(rows), at_rows.part(slice(1, None))
    stamp, numbers = episode.stamp[first:last], action.numbers(at_rows, known)
    result = {
        STATE: numbers[rows],
        ACTION: numbers[1:],
        "hand.valid": hands.valid,
        "hand.next_valid": future.valid,
        "hand.confidence": hands.confidence.astype(np.float32),
        "hand.scaled": hands.scaled,
        "hand.mano": _MANO.numbers(hands),
        "hand.betas": _filled(hands.betas),
        "hand.joints": _filled(hands.joints),
        "hand.joint_confidence": _filled(hands.joint_confidence),
        "hand.joints_2d": _filled(hands.joints_2d),
        "stamp.row": stamp[:, None],
        "stamp.hands": nearest[rows, None],
        "camera.intrinsics": intrinsics(stamp).astype(np.float32),
    }
    if recording.cameras:
        pictures = [camera.stamp[nearest_images(camera.stamp, stamp)[0]] for camera in recording.cameras.values()]
        result["stamp.pictures"] = np.stack(pictures, axis=1)
    if recording.robot:
        sampled = [sample(signal, stamp) for signal in recording.robot]
        values = np.concatenate([one[0] for one in sampled], axis=1)
        there = np.logical_and.reduce([one[1] for one in sampled])
        result[ROBOT], result["robot.valid"] = np.where(there[:, None], values, 0.0).astype(np.float32), there[:, None]
    return result


def valid_by(name: str, action: Action, width: int) -> tuple[str, np.ndarray] | None:
    """Which other column says where a column is valid, and the numbers of that one which say it of each of this one's: (D,)
    indices. None of a column that always is. width: D."""
    if name == STATE:
        return "hand.valid", action.sides
    if name == ACTION:
        return "hand.next_valid", action.sides
    if name == ROBOT:
        return "robot.valid", np.zeros(width, int)
    if name.startswith("hand.") and name not in _ALWAYS:
        return "hand.valid", np.repeat([0, 1], width // 2)
    return None


def _filled(array: np.ndarray) -> np.ndarray:
    """(N, ...) to (N, D) float32, 0 in place of what is not there."""
    return np.nan_to_num(array.reshape(len(array), -1), nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)


def picture_numbers(recording: Recording, episodes: Sequence[Episode], camera: str) -> list[np.ndarray]:
    """Of each episode the messages of a camera's topic that its rows show, rising."""
    one = recording.cameras[camera]
    return [one.number[nearest_images(one.stamp, episode.stamp[: episode.length])[0]] for episode in episodes]
