"""dexi_rs and dex-retargeting for benchmarks/retargeting.py: both take URDFs, which robots of MJCF are written as.

dex-retargeting 0.5.0 needs what it does not declare: `pip install --no-deps dex-retargeting`, and pin, nlopt, pytransform3d,
trimesh, lxml, anytree, six and torch.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from fourdhands_core.geometry.rotations import matrix_from_quaternion
from fourdhands_core.retargeting.model import RobotModel
from fourdhands_core.retargeting.retargeter import HandRetargeter

PEERS = "dexi_rs", "dex_retargeting"
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


class Peer:
    """One of PEERS in one of MODES. Raises ImportError where it is not installed, and what it raises of the robot."""

    def __init__(self, name: str, mode: str, urdf: Path, tips: list[str], joints: list[str]) -> None:
        indices = list(range(len(tips)))
        given: dict[str, Any] = {"low_pass_alpha": 1.0, "target_joint_names": joints}
        if mode == "position":
            given |= {"target_link_names": tips, "target_link_human_indices": indices}
        else:
            given |= {"finger_tip_link_names": tips, "wrist_link_name": "world"}
        self._name, self._pairs = name, pairs_of(len(tips)) if mode == "dexpilot" else None
        if name == "dexi_rs":
            import dexi_rs

            self.engine = dexi_rs.RetargetingConfig(mode, str(urdf), **given).build()
        else:
            from dex_retargeting.retargeting_config import RetargetingConfig

            self.engine = RetargetingConfig.from_dict({"type": mode, "urdf_path": str(urdf), **given}).build()
        self.joints = [str(name) for name in self.engine.joint_names]

    def solve(self, targets: np.ndarray) -> dict[str, float]:
        """Joints by their names, of targets (F, 3) of the tips in the model's frame."""
        wanted = targets
        if self._pairs is not None:
            points = np.concatenate([np.zeros((1, 3)), targets])
            wanted = points[self._pairs[1]] - points[self._pairs[0]]
        return self._joints(self.engine.retarget(wanted.ravel().tolist() if self._name == "dexi_rs" else wanted))

    def _joints(self, values: Any) -> dict[str, float]:
        return dict(zip(self.joints, np.asarray(values, np.float64).tolist()))


def pairs_of(count: int) -> tuple[list[int], list[int]]:
    """Origins and ends of dexpilot's vectors, points counted from the wrist, 0: between each two tips, and from the wrist."""
    origins, ends = [], []
    for one in range(1, count):
        for other in range(one + 1, count + 1):
            origins.append(other)
            ends.append(one)
    return origins + [0] * count, ends + list(range(1, count + 1))


def run_peer(
    name: str,
    mode: str,
    robot: HandRetargeter,
    folder: Path,
    hands: np.ndarray,
    pinched: list[str],
    noise: np.ndarray,
    human_jitter: float,
) -> dict[str, Any]:
    """Numbers of one peer over all hands, counted as run_ours counts ours."""
    urdf = folder / "hand.urdf"
    peer = Peer(name, mode, urdf, as_urdf(robot, urdf), list(robot.names))
    model, order = robot.robot, list(robot.config.fingers)
    errors, times, closed, collisions, shaken = [], [], [], 0, []

    def solve(joints: np.ndarray) -> np.ndarray:
        targets = robot.targets(joints)[0]
        begin = time.thread_time()
        found = peer.solve(targets)
        times.append(time.thread_time() - begin)
        return np.array([found[joint] for joint in model.names])

    for joints, finger, shakes in zip(hands, pinched, noise):
        for _ in range(4):
            q = solve(joints)
        pose = model.pose(q)
        at = pose.points[: len(order)]
        errors.append(np.linalg.norm(at - robot.targets(joints)[0], axis=1))
        collisions += int(model.depth(pose) > 0)
        if finger in order:
            one, other = order.index("thumb"), order.index(finger)
            closed.append(float(np.linalg.norm(at[one] - at[other]) - robot.radii[one] - robot.radii[other]))
        shaken.append(np.std([solve(joints + shake) for shake in shakes], axis=0).mean())
    used = [row for row, finger in enumerate(robot.config.fingers.values()) if finger.weight >= 0.5]
    free = np.array(errors)[np.array([not finger for finger in pinched])][:, used] / robot.lengths.mean()
    return {
        "tip_error_of_reach": {"median": float(np.median(free)), "mean": float(np.mean(free))},
        "pinches_closed": float(np.mean(np.array(closed) < 0.005)) if closed else None,
        "poses_in_collision": collisions,
        "jitter_of_human": float(np.mean(shaken) / human_jitter),
        "seconds": times,
    }
