"""dexi_rs and dex-retargeting for benchmarks/retargeting.py: an environment of their own, a process each
(retargeting_peer.py), and robots as URDFs, which both take."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from fourdhands_core.geometry.rotations import matrix_from_quaternion
from fourdhands_core.retargeting.model import RobotModel
from fourdhands_core.retargeting.retargeter import HandRetargeter

PEERS = "dexi_rs", "dex_retargeting"
INSTALLED = (
    "--no-deps dexi-rs==0.4.1 dex-retargeting==0.5.0 gymnasium-robotics==1.4.2",
    "numpy pyyaml pin nlopt pytransform3d trimesh lxml anytree six torch==2.13.0",
)
"""What pip installs for them, and for the robots out of their packages; dex-retargeting does not declare all that it needs."""
MODES = "position", "dexpilot"
"""position: tips to where ours are to go, the mode that our tips' errors are compared with. dexpilot: vectors between tips and
from the wrist, of the same targets; those shorter than 30 mm close, the mode that pinches are compared with."""


def as_urdf(robot: HandRetargeter, path: Path) -> list[str]:
    """Write the hand's joints as a URDF, with a link at each fingertip; returns their names in the order of config.fingers."""
    model, follow = robot.robot.model, robot.robot
    root = ElementTree.Element("robot", name="hand")
    link(root, "world")
    neutral = dict(zip(follow.joints, range(model.njnt)))
    for body in range(1, model.nbody):
        parent = name_of(model, int(model.body_parentid[body]))
        turn = matrix_from_quaternion(np.roll(model.body_quat[body], -1))
        place, name = model.body_pos[body], name_of(model, body)
        first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
        before = np.zeros(3)
        for index in range(first, first + count):
            at = model.jnt_pos[index]
            moved = f"{name}/{index}"
            link(root, moved)
            joint(root, follow, neutral, index, parent, moved, place + turn @ (at - before), turn)
            parent, place, turn, before = moved, np.zeros(3), np.eye(3), at
        link(root, name)
        fixed(root, name, parent, place - turn @ before, turn)
    tips = []
    for row, finger in enumerate(robot.config.fingers):
        tips.append(f"tip_{finger}")
        link(root, tips[-1])
        fixed(root, tips[-1], name_of(model, int(follow._bodies[row])), follow._offsets[row], np.eye(3))
    ElementTree.ElementTree(root).write(path)
    return tips


def name_of(model: Any, body: int) -> str:
    return str(model.body(body).name).replace(":", "_") if body else "world"


def link(root: ElementTree.Element, name: str) -> None:
    one = ElementTree.SubElement(ElementTree.SubElement(root, "link", name=name), "inertial")
    ElementTree.SubElement(one, "mass", value="0.01")
    ElementTree.SubElement(one, "inertia", ixx="1e-6", iyy="1e-6", izz="1e-6", ixy="0", ixz="0", iyz="0")


def fixed(root: ElementTree.Element, name: str, parent: str, place: np.ndarray, turn: np.ndarray) -> None:
    attach(ElementTree.SubElement(root, "joint", name=f"to_{name}", type="fixed"), parent, name, place, turn)


def attach(one: ElementTree.Element, parent: str, child: str, place: np.ndarray, turn: np.ndarray) -> None:
    roll, pitch = np.arctan2(turn[2, 1], turn[2, 2]), -np.arcsin(np.clip(turn[2, 0], -1.0, 1.0))
    yaw = np.arctan2(turn[1, 0], turn[0, 0])
    if abs(turn[2, 0]) > 1.0 - 1e-9:  # pitch of a quarter turn: roll and yaw are one
        roll, yaw = 0.0, np.arctan2(-turn[0, 1], turn[1, 1])
    ElementTree.SubElement(one, "parent", link=parent)
    ElementTree.SubElement(one, "child", link=child)
    text = [" ".join(f"{value:.12g}" for value in values) for values in (place, (roll, pitch, yaw))]
    ElementTree.SubElement(one, "origin", xyz=text[0], rpy=text[1])


def joint(
    root: ElementTree.Element,
    robot: RobotModel,
    rows: dict[str, int],
    index: int,
    parent: str,
    child: str,
    place: np.ndarray,
    turn: np.ndarray,
) -> None:
    model, name = robot.model, robot.joints[index]
    slides = model.jnt_type[index] == int(mujoco.mjtJoint.mjJNT_SLIDE)
    one = ElementTree.SubElement(root, "joint", name=name, type="prismatic" if slides else "revolute")
    attach(one, parent, child, place, turn)
    ElementTree.SubElement(one, "axis", xyz=" ".join(f"{value:.12g}" for value in model.jnt_axis[index]))
    row = rows[name]
    column = int(np.argmax(np.abs(robot.follow[row])))
    leader = robot.names[column]
    ends = robot.offset[row] + robot.follow[row, column] * np.array([robot.lower[column], robot.upper[column]])
    ElementTree.SubElement(one, "limit", lower=f"{ends.min()}", upper=f"{ends.max()}", effort="1", velocity="6")
    if leader != name:
        ratio, offset = f"{robot.follow[row, column]}", f"{robot.offset[row]}"
        ElementTree.SubElement(one, "mimic", joint=leader, multiplier=ratio, offset=offset)


def environment(folder: Path) -> Path:
    """The Python of the virtual environment with PEERS in a folder, where it is made as a whole or not at all if there is none.

    Raises RuntimeError where that fails.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RuntimeError(f"{folder} is there, and no virtual environment")
        try:
            venv.create(folder, with_pip=True)
            for packages in INSTALLED:
                subprocess.run([python, "-m", "pip", "install", "-q", *packages.split()], check=True)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, (OSError, subprocess.CalledProcessError)):
                raise RuntimeError(f"no environment for the others could be made in {folder}: {error}") from error
            raise
    return python


class PeerProcess:
    """One of PEERS in one of MODES, for one robot. problem: why it cannot, else empty."""

    def __init__(self, python: Path, name: str, mode: str, urdf: Path, tips: list[str], joints: tuple[str, ...]) -> None:
        program, names = Path(__file__).with_name("retargeting_peer.py"), json.dumps({"tips": tips, "joints": joints})
        self._joints = joints
        self._process = subprocess.Popen(
            [python, program, name, mode, urdf, names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
            text=True,
        )
        self.problem = str(self._answer().get("problem", ""))

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return dict(json.loads(line)) if line else {"problem": f"it ended with {self._process.wait()}"}

    def solve(self, course: Iterable[np.ndarray]) -> tuple[list[np.ndarray], list[float]]:
        """The joints (n,) of targets (F, 3) of the tips, one after the other, and the seconds of processor time of each."""
        assert self._process.stdin is not None
        print(json.dumps([targets.tolist() for targets in course]), file=self._process.stdin, flush=True)
        found = self._answer()
        joints = [np.array([one[name] for name in self._joints]) for one in found["joints"]]
        return joints, list(map(float, found["seconds"]))

    def close(self) -> None:
        """End it."""
        self._process.communicate()
