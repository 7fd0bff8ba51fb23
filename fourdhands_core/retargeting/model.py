"""A robot's model on MuJoCo: joints that move by themselves, points and their derivatives, collisions."""

from __future__ import annotations

import contextlib
import difflib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..extras import needed_for
from .config import RobotConfig

if TYPE_CHECKING:
    import mujoco

    from .arm import ArmConfig

MARGIN = 0.002
"""Metres between bodies from which on they are kept apart."""
_TURN = 2.0 * np.pi + 0.01
TOUCH = 0.001
"""Metres that bodies may reach into each other, as soft fingertips do: less is no collision."""


def load_spec(path: Path, radians: bool = False) -> Any:
    """The mujoco.MjSpec of a URDF or MJCF file. Raises InputError, and DependencyError without mujoco.

    Of a URDF, pictures and files of shapes that are not there are left out. radians: an MJCF counts in them without saying so.
    """
    with needed_for("a robot's model", "robot"):
        import mujoco
    try:
        text = Path(path).read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        if any("ros.org" in part.tag and "xacro" in part.tag for part in root.iter()):
            raise InputError(f"the robot's model {path} is a xacro file; make a URDF of it: xacro {path.name} > robot.urdf")
        if root.tag == "robot":
            for kind in ("joint", "link"):  # of two of one name MuJoCo leaves one without
                names = Counter(part.get("name") for part in root.findall(kind))
                if twice := [str(name) for name, count in names.items() if count > 1]:
                    raise InputError(
                        f"the robot's model {path} has more than one {kind} named {', '.join(twice)}; rename all but one"
                    )
            return mujoco.MjSpec.from_string(_without_pictures(root, Path(path).parent))
        spec = mujoco.MjSpec.from_file(str(path))
        spec.compiler.degree = bool(spec.compiler.degree) and not radians
        return spec
    except (OSError, UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(f"the robot's model {path} cannot be read ({words}); name a URDF or MJCF file") from error


def compiled(spec: Any, path: Path) -> Any:
    """The mujoco.MjModel of a specification that was read from that file. Raises InputError."""
    try:
        model = spec.compile()
    except ValueError as error:
        words = " ".join(str(error).split())
        raise InputError(f"the robot's model {path} cannot be used ({words})") from error
    for name in ("body_pos", "body_quat", "jnt_pos", "jnt_axis", "jnt_range", "geom_pos", "geom_size", "eq_data"):
        if not np.isfinite(getattr(model, name)).all():
            raise InputError(f"the robot's model {path} holds numbers that are none (NaN, or infinite), in {name}; mend it")
    return model


def _without_pictures(root: ElementTree.Element, folder: Path) -> str:
    for link in root.iter("link"):
        for part in [*link.findall("visual"), *link.findall("collision")]:
            mesh = part.find("geometry/mesh")
            if part.tag == "visual" or (mesh is not None and not has_shape(mesh, folder)):
                link.remove(part)
        inertial = link.find("inertial")
        if inertial is not None:  # kinematics alone are asked of it, and inertias of published files are often refused
            link.remove(inertial)
    for limit in root.iterfind("joint/limit"):
        if ("lower" in limit.attrib) != ("upper" in limit.attrib):  # the other one is 0 then; MuJoCo would take neither
            limit.attrib = {"lower": "0", "upper": "0", **limit.attrib}
    for own in root.findall("mujoco"):  # of which one alone may be there
        root.remove(own)
    extension = ElementTree.SubElement(root, "mujoco")
    ElementTree.SubElement(
        extension,
        "compiler",
        {"boundmass": "0.001", "boundinertia": "1e-7", "fusestatic": "false", "strippath": "false", "meshdir": str(folder)},
    )
    return ElementTree.tostring(root, encoding="unicode")


def _which(name: str, there: Sequence[str]) -> str:
    """What there is in place of a name: the one that it may be, and all."""
    near = difflib.get_close_matches(name, there, 1)
    return "".join(f"is it {one!r}? " for one in near) + f"it has {', '.join(there)}"


def has_shape(mesh: ElementTree.Element, folder: Path) -> bool:
    """Whether a URDF's file of a shape is there, and of a kind that is read. folder: of the URDF."""
    name = mesh.get("filename", "").removeprefix("package://")
    return name.lower().endswith((".stl", ".obj")) and (folder / name).is_file()


def urdf_limits(path: Path) -> tuple[dict[str, tuple[str, float, float]], dict[str, float]]:
    """What MuJoCo does not take from a URDF: joints that follow (joint, multiplier, offset), and velocity limits. Of an MJCF,
    whatever its file is called, none."""
    mimic, velocity = {}, {}

    def number(name: str, element: ElementTree.Element, key: str, default: float) -> float:
        text = element.get(key, default)
        try:
            value = float(text)
            if key == "velocity" or np.isfinite(value):  # of a velocity `velocities` says more
                return value
        except ValueError:
            pass
        raise InputError(f"the robot's model {path}: {key} {text!r} of the joint {name} is no number")

    with contextlib.suppress(OSError, ElementTree.ParseError):
        root = ElementTree.parse(path).getroot()
        for joint in root.findall("joint") if root.tag == "robot" else ():
            name, follows, limit = joint.get("name", ""), joint.find("mimic"), joint.find("limit")
            if follows is not None:
                ratio, offset = number(name, follows, "multiplier", 1.0), number(name, follows, "offset", 0.0)
                mimic[name] = follows.get("joint", ""), ratio, offset
            if limit is not None and "velocity" in limit.attrib:
                velocity[name] = number(name, limit, "velocity", 0.0)
    return mimic, velocity


def velocities(config: RobotConfig | ArmConfig, joints: Sequence[str]) -> dict[str, float]:
    """Speed limits that an arm's or a hand's files give for some of its joints, rad/s or m/s; its YAML's go first.

    Raises InputError where a URDF's is no speed: some leave 0 where none is known, and what the joint can do is not ours to
    guess.
    """
    known = {**urdf_limits(config.model)[1], **config.velocity}
    for name in joints:
        if name in known and not 0.0 < known[name] < np.inf:
            raise InputError(
                f"{config.source.name}: the model's velocity limit of {name} is {known[name]:g}, which is no speed; give it in "
                f"a YAML file beside the model, as velocity: {{{name}: 1.0}}"
            )
    return known


def urdf_frame(path: Path) -> tuple[str, set[str]]:
    """Likewise of a URDF: the link that is MuJoCo's world, and the joints that do not turn without end. Of an MJCF neither."""
    root = ElementTree.parse(path).getroot()
    if root.tag != "robot":
        return "", set()
    moved = {child.get("link") for child in root.iterfind("joint/child")}
    links = [link.get("name", "") for link in root.iterfind("link")]
    joints = {joint.get("name", "") for joint in root.iterfind("joint") if joint.get("type") != "continuous"}
    return next((name for name in links if name not in moved), ""), joints


@dataclass(frozen=True, eq=False)
class Pose:
    """What a model looks like at one position of its joints.

    points: (P, 3) of the points asked for. anchors, axes: (J, 3) of all joints. contacts: (C, 3, 3) rows point, normal from
    the first to the second body, and (distance, first geom, second geom).
    """

    points: np.ndarray
    anchors: np.ndarray
    axes: np.ndarray
    contacts: np.ndarray


def followers(model: mujoco.MjModel, path: Path) -> dict[str, tuple[str, float, float]]:
    """Joints that follow others, by name: the leader, the ratio and the offset, as the URDF's `mimic` or the MJCF's `equality`
    says. path: of the model's file."""
    import mujoco

    found = urdf_limits(path)[0]
    for i in range(model.neq):
        if model.eq_type[i] == int(mujoco.mjtEq.mjEQ_JOINT) and model.eq_obj2id[i] >= 0:
            leader, name = model.joint(model.eq_obj2id[i]).name, model.joint(model.eq_obj1id[i]).name
            found.setdefault(name, (leader, float(model.eq_data[i, 1]), float(model.eq_data[i, 0])))
    return found


class RobotModel:
    """Kinematics of a robot whose hinges and slides either move by themselves (n of them) or follow one that does.

    model, data: MuJoCo's. names: (n,) joints that move. lower, upper: (n,) their limits, such that those that follow are
    within theirs too. velocity: (n,) limits. slides: (joints,) which of all are no hinges.
    points: as (body, offset (3,)), whose positions `pose` gives.
    """

    def __init__(self, config: RobotConfig, points: Sequence[tuple[str, np.ndarray]] = ()) -> None:
        self.config = config
        spec = load_spec(config.model, config.radians)
        import mujoco

        self._mujoco = mujoco
        self.model: mujoco.MjModel = compiled(spec, config.model)
        self.data = mujoco.MjData(self.model)
        kinds = set(self.model.jnt_type.tolist()) - {int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE)}
        if kinds or not self.model.njnt:
            raise InputError(f"the robot's model {config.model} has other joints than hinges and slides; give a hand alone")
        self.slides = self.model.jnt_type == int(mujoco.mjtJoint.mjJNT_SLIDE)
        self._couple()
        self._bodies = np.array([self.body(name) for name, _ in points], int)
        self._offsets = np.array([offset for _, offset in points], np.float64).reshape(-1, 3)
        self._moves = self._ancestry()
        self._prepare_collisions()

    def body(self, name: str) -> int:
        """A body's number. Raises InputError."""
        found = self._mujoco.mj_name2id(self.model, self._mujoco.mjtObj.mjOBJ_BODY, name)
        if found < 0:
            there = [self.model.body(i).name for i in range(1, self.model.nbody)]
            raise InputError(f"{self.config.source.name}: the model has no body {name!r}; {_which(name, there)}")
        return int(found)

    def tip(self, finger: str) -> tuple[str, np.ndarray, float]:
        """Body, offset and radius of a finger's tip: a site, or a body's origin (radius 0), and what the YAML says of it."""
        config = self.config.fingers[finger]
        found = self._mujoco.mj_name2id(self.model, self._mujoco.mjtObj.mjOBJ_SITE, config.tip)
        if found < 0:
            name, offset, radius = self.model.body(self.body(config.tip)).name, np.zeros(3), 0.0
        else:
            site = self.model.site(found)
            name = self.model.body(int(self.model.site_bodyid[found])).name
            offset, radius = site.pos.copy(), float(site.size[0])
        if config.offset is not None:
            offset = offset + np.array(config.offset)
        return name, offset, radius if config.radius is None else config.radius

    def palm_rotation(self) -> np.ndarray:
        """(3, 3): the palm body's axes as columns, as `pose` put it."""
        return self.data.xmat[self.body(self.config.palm)].reshape(3, 3).copy()

    def palm(self, towards_back: tuple[float, float, float] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Where the back (or one in the palm body's axes) and the fingers point (3,), as `pose` put it. Raises InputError."""
        rotation = self.palm_rotation()
        fingers = rotation @ np.array(self.config.towards_fingers)
        fingers /= np.linalg.norm(fingers)
        back = rotation @ np.array(towards_back or self.config.towards_back)
        back = back - (back @ fingers) * fingers
        if np.linalg.norm(back) < 1e-6:
            raise InputError(f"{self.config.source.name}: palm: fingers and back point the same way; they stand across")
        return back / np.linalg.norm(back), fingers

    def carrying(self, name: str) -> list[str]:
        """The joints, by name, that move a body and are not held by their limits."""
        moved = self.moving(np.array([self.body(name)]))[0]
        return [joint for joint, one, span in zip(self.names, moved, self.upper - self.lower) if one and span > 0.01]

    def _couple(self) -> None:
        """Which joints move, and all joints' positions as follow @ those + offset."""
        model, config = self.model, self.config
        joints = [model.joint(i).name for i in range(model.njnt)]
        mimic = {**followers(model, config.model), **config.mimic}
        for name in {*mimic, *(one[0] for one in mimic.values()), *config.limits, *config.neutral, *config.velocity}:
            if name not in joints and not (config.kind == "gripper" and name == "width"):
                raise InputError(f"{config.source.name}: the model has no joint {name!r}; {_which(name, joints)}")
        self.joints = tuple(joints)
        self.names = tuple(name for name in joints if name not in mimic)
        self.follow, self.offset = np.zeros((len(joints), len(self.names))), np.zeros(len(joints))
        for row, name in enumerate(joints):
            leader, factor, offset = name, 1.0, 0.0
            for _ in range(len(joints)):
                if leader not in mimic:
                    break
                leader, ratio, more = mimic[leader]
                factor, offset = factor * ratio, offset + factor * more
            else:
                raise InputError(f"{config.source.name}: the joint {name} follows itself; check mimic")
            self.follow[row, self.names.index(leader)], self.offset[row] = factor, offset
        self._limit(joints, velocities(config, joints))

    def _limit(self, joints: list[str], velocity: dict[str, float]) -> None:
        model, config = self.model, self.config
        half = np.where(self.slides, np.inf, np.pi)
        low, high = np.where(model.jnt_limited.astype(bool), model.jnt_range.T, [-half, half])
        given = [("limits", *one) for one in config.limits.items()] + [("neutral", *one) for one in config.neutral.items()]
        for what, name, values in given:
            if not self.slides[joints.index(name)] and np.abs(values).max() > _TURN:
                raise InputError(f"{config.source.name}: {what} of {name}, {values}, is beyond a turn; write it in radians")
        for name, (lower, upper) in config.limits.items():
            row = joints.index(name)
            low[row], high[row] = max(low[row], lower), min(high[row], upper)
            if low[row] > high[row]:  # of a joint that follows turned round they would look like limits
                raise InputError(
                    f"{config.source.name}: limits of {name} leave it nothing; the model has {model.jnt_range[row]}"
                )
        self.lower, self.upper = np.full(len(self.names), -np.inf), np.full(len(self.names), np.inf)
        self.velocity = np.full(len(self.names), np.inf)
        for row, column in zip(*np.nonzero(self.follow)):
            ends = (np.array([low[row], high[row]]) - self.offset[row]) / self.follow[row, column]
            self.lower[column] = max(self.lower[column], ends.min())
            self.upper[column] = min(self.upper[column], ends.max())
            own = velocity.get(joints[row], config.default_velocity) / abs(self.follow[row, column])
            self.velocity[column] = min(self.velocity[column], own)
        for name, *ends in zip(self.names, self.lower, self.upper):
            if not np.isfinite(ends).all():
                raise InputError(f"{config.source.name}: the model has no limits of {name}, which slides; give them as limits")
        if (self.lower > self.upper).any():
            name = self.names[int(np.argmax(self.lower - self.upper))]
            raise InputError(f"{config.source.name}: no position of joint {name} is within all limits; check limits and mimic")
        neutral = np.clip(0.0, self.lower, self.upper)
        for name, value in config.neutral.items():
            if name in self.names:
                neutral[self.names.index(name)] = value
        self.neutral = np.clip(neutral, self.lower, self.upper)

    def _ancestry(self) -> np.ndarray:
        """(bodies, joints) 1 where the joint moves the body."""
        model = self.model
        moves = np.zeros((model.nbody, model.njnt))
        for body in range(1, model.nbody):
            moves[body] = moves[model.body_parentid[body]]
            first = model.body_jntadr[body]
            moves[body, first : first + model.body_jntnum[body]] = 1.0
        return moves

    def _prepare_collisions(self) -> None:
        """Widen what counts as near, and leave out pairs that are so however the hand is held, as neighbours are."""
        self.model.geom_margin[:] = MARGIN / 2  # MuJoCo adds the margins of both
        self.model.geom_gap[:] = 0.0
        ignored = {frozenset((self.body(one), self.body(other))) for one, other in self.config.apart}
        self._ignored = np.zeros((self.model.nbody, self.model.nbody), bool)
        for pair in ignored:
            one, *other = pair
            self._ignored[[one, *other], [*other, one]] = True
        rng = np.random.default_rng(0)
        count: np.ndarray = np.zeros((self.model.nbody, self.model.nbody))
        tries = [self.neutral, *(self.lower + rng.random((60, len(self.names))) * (self.upper - self.lower))]
        for q in tries:
            for _, _, (distance, one, other) in self.pose(q).contacts:
                bodies = self.model.geom_bodyid[[int(one), int(other)]]
                count[tuple(sorted(bodies))] += 1
                if q is self.neutral and distance < -TOUCH:
                    count[tuple(sorted(bodies))] += len(tries)
        always = count > 0.6 * len(tries)
        self._ignored |= always | always.T

    def moving(self, bodies: np.ndarray) -> np.ndarray:
        """(B, n) whether each of the joints that move, moves each of these bodies (B,)."""
        return np.asarray(self._moves[bodies] @ np.abs(self.follow) > 0.0)

    def positions(self, q: np.ndarray) -> np.ndarray:
        """All joints' positions (joints,) of those (n,) that move."""
        return self.follow @ q + self.offset

    def pose(self, q: np.ndarray, collisions: bool = True) -> Pose:
        """What the model looks like with the joints (n,) there."""
        data, model = self.data, self.model
        data.qpos[:] = self.follow @ q + self.offset
        self._mujoco.mj_kinematics(model, data)
        rotations = data.xmat[self._bodies].reshape(-1, 3, 3)
        points = data.xpos[self._bodies] + (rotations @ self._offsets[:, :, None])[..., 0]
        contacts = np.zeros((0, 3, 3))
        if collisions:
            self._mujoco.mj_collision(model, data)
            if data.ncon:
                contacts = self._contacts()
        return Pose(points, data.xanchor.copy(), data.xaxis.copy(), contacts)

    def _contacts(self) -> np.ndarray:
        found, count = self.data.contact, self.data.ncon
        rows = np.zeros((count, 3, 3))
        rows[:, 0], rows[:, 1], rows[:, 2, 0], rows[:, 2, 1:] = found.pos, found.frame[:, :3], found.dist, found.geom
        bodies = self.model.geom_bodyid[found.geom]
        return rows[~self._ignored[bodies[:, 0], bodies[:, 1]]]

    def jacobian(self, pose: Pose, points: np.ndarray, bodies: np.ndarray) -> np.ndarray:
        """(P, 3, n): change of points (P, 3) that are fixed to bodies (P,), per change of the joints that move."""
        arms = points[:, None] - pose.anchors[None]
        axes = pose.axes
        turned = np.empty((len(points), len(axes), 3))  # axes x arms; numpy.cross takes several times as long
        turned[..., 0] = axes[:, 1] * arms[..., 2] - axes[:, 2] * arms[..., 1]
        turned[..., 1] = axes[:, 2] * arms[..., 0] - axes[:, 0] * arms[..., 2]
        turned[..., 2] = axes[:, 0] * arms[..., 1] - axes[:, 1] * arms[..., 0]
        if self.slides.any():
            turned[:, self.slides] = axes[self.slides]
        turned *= self._moves[bodies][..., None]
        return turned.swapaxes(1, 2) @ self.follow

    def point_jacobian(self, pose: Pose) -> np.ndarray:
        """(P, 3, n) of the points that `pose` gives."""
        return self.jacobian(pose, pose.points, self._bodies)

    def depth(self, pose: Pose) -> float:
        """Metres that two bodies reach into each other beyond TOUCH, the deepest; 0 where none do."""
        return max(0.0, -TOUCH - float(pose.contacts[:, 2, 0].min())) if len(pose.contacts) else 0.0
