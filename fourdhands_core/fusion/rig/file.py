"""The file that says where cameras stand: read, written, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...errors import InputError
from ...geometry.rigid import Rigid
from ...geometry.rotations import matrix_from_quaternion, quaternion_from_matrix
from ...outputs import write_text

_FARTHEST = 1000.0
"""Metres; no cameras that see the same hands stand further away."""
_NEAREST = 0.001
"""Metres between two cameras' places; nearer ones are the same one, given twice."""
_APART = 100.0
"""Metres from one camera to another, beyond which they see no hand together: millimetres, say."""


@dataclass(frozen=True, eq=False)
class Rig:
    """Where cameras stand. fixed_frame: its name, empty where a file does not say it. poses: each camera's optical frame in it,
    by the camera's name. lenses: where the file names one, a camera's `intrinsics`, a file's path, or `fov`, degrees."""

    fixed_frame: str
    poses: dict[str, Rigid]
    lenses: dict[str, dict[str, Any]] = field(default_factory=dict)

    def frame(self, given: str = "") -> str:
        """What the frame of the poses is called. given: what else it is called; another name would not move them. Raises
        InputError where it is another one."""
        if given and self.fixed_frame and given != self.fixed_frame:
            raise InputError(
                f"where the cameras stand is said in {self.fixed_frame}, and hands are asked for in {given}; leave the fixed "
                f"frame out, or give a file of the cameras' poses in {given}"
            )
        return given or self.fixed_frame or "world"


def load_rig(path: str | Path) -> Rig:
    """Read a file of `save_rig`. Raises InputError where it is none."""
    path = Path(path).expanduser()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the cameras' poses cannot be read from {path}: {error.strerror}") from error
    except Exception as error:  # YAML's tags have constructors that fail in many ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path} is not a YAML file of cameras' poses ({reason})") from error
    cameras = content.get("cameras") if isinstance(content, dict) else None
    if not isinstance(cameras, dict) or len(cameras) < 2:
        raise InputError(f"{path} names no two cameras; give `cameras:` with a position and a quaternion of each")
    poses: dict[str, Rigid] = {}
    lenses: dict[str, dict[str, Any]] = {}
    for given, values in cameras.items():
        name = str(given).lstrip("/")  # as ROS names a namespace
        if name in poses or {"", ".", ".."} & set(name.split("/")):  # results are written into a folder of that name
            raise InputError(
                f"{path}: {str(given)!r} is no camera's name, or another one's too; use names such as left, cell/left"
            )
        poses[name] = _pose(path, name, values)
        lens = {key: values[key] for key in ("intrinsics", "fov") if values.get(key) is not None}
        if "intrinsics" in lens:
            lens["intrinsics"] = path.parent / Path(str(lens["intrinsics"])).expanduser()
        if "fov" in lens and (type(lens["fov"]) not in (int, float) or not 0.0 < lens["fov"] < 180.0):
            raise InputError(f"{path}: camera {name}: its fov {lens['fov']!r} is not between 0 and 180 degrees")
        lenses[name] = lens
        for other, pose in poses.items():
            if other == name:
                continue
            apart = float(np.linalg.norm(pose.position - poses[name].position))
            if apart < _NEAREST:
                raise InputError(f"{path}: {other} and {name} stand at one place, from where two see no more than one")
            if apart > _APART:
                raise InputError(f"{path}: {other} and {name} stand {apart:.0f} m apart; give positions in metres")
    return Rig(str(content.get("fixed_frame") or "").lstrip("/"), poses, lenses)


def _pose(path: Path, name: object, values: object) -> Rigid:
    numbers = {}
    for key, count in (("position", 3), ("quaternion", 4)):
        try:
            array = np.array(values[key], dtype=float) if isinstance(values, dict) else np.zeros(0)
        except (KeyError, TypeError, ValueError):
            array = np.zeros(0)
        if array.shape != (count,) or not np.isfinite(array).all() or np.abs(array).max() > _FARTHEST:
            raise InputError(f"{path}: camera {name} has no {key} of {count} numbers")
        numbers[key] = array
    if abs(float(np.linalg.norm(numbers["quaternion"])) - 1.0) > 0.05:
        raise InputError(f"{path}: camera {name}: its quaternion (x, y, z, w) is not of length 1")
    return Rigid(matrix_from_quaternion(numbers["quaternion"]), numbers["position"])


def rig_values(rig: Rig, notes: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """A rig as plain values; notes: further ones, by camera."""
    cameras = {}
    for name, pose in rig.poses.items():
        cameras[name] = {
            "position": [round(float(v), 5) for v in pose.position],
            "quaternion": [round(float(v), 6) for v in quaternion_from_matrix(pose.rotation)],
            **{key: str(value) if key == "intrinsics" else value for key, value in rig.lenses.get(name, {}).items()},
            **(notes or {}).get(name, {}),
        }
    return {"fixed_frame": rig.fixed_frame, "cameras": cameras}


def save_rig(path: str | Path, rig: Rig, comment: str = "", notes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Write the file, complete or not at all. Raises InputError where it cannot be written."""
    head = "# Where the cameras stand: each one's optical frame (x right, y down, z forward) in the fixed frame, metres;\n"
    head += "# quaternions x, y, z, w.\n" + "".join(f"# {line}\n" for line in comment.splitlines())
    write_text(path, head + yaml.safe_dump(rig_values(rig, notes), sort_keys=False, default_flow_style=None))
