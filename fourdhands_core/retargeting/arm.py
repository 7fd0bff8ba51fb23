"""An arm's joints for where its end is to be: inverse kinematics by mink on MuJoCo, clear of the arm itself.

Its URDF or MJCF names it, or a YAML file beside one: `model`, or `package` and `model`; `end`, the site or body that is led;
`base`, the body in which it is commanded; `joints`, in the controller's order; `limits`, `velocity` and `apart` as of hands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..extras import needed_for
from .config import ROBOTS, given_velocities, keys_of, known_keys, model_of, names_of, pairs_of, range_of, read_yaml
from .model import compiled, followers, load_spec, urdf_frame, velocities

if TYPE_CHECKING:
    import mujoco

ARMS = ROBOTS / "arms"
VELOCITY = 1.5
"""rad/s of joints for which neither the file nor the model says anything."""
NEAR, LOOKS_FROM = 0.02, 0.08
"""Metres that bodies of the arm stay apart, and from which on it is looked at."""
_TURN = 0.3
"""Metres of the end's place that a radian of its turn counts as much as, where the arm reaches no pose exactly."""
_MOST = 20.0
"""Radians either way, and rad/s; limits beyond are degrees, or stand for none."""
_FREE = 6
"""Joints, with fewer of which an arm's end goes where it is asked to be, and turns as that wants it."""
_DAMPING = 1e-3
"""Of the joints' motion, m^2/rad^2: what the end leaves free, moves little."""
_KEYS = {"model", "package", "end", "base", "joints", "limits", "velocity", "apart"}


@dataclass(frozen=True)
class ArmConfig:
    """What an arm's YAML file says."""

    source: Path
    model: Path
    end: str = ""
    base: str = ""
    joints: tuple[str, ...] = ()
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    velocity: dict[str, float] = field(default_factory=dict)
    default_velocity: float | None = None
    apart: tuple[tuple[str, str], ...] = ()


def arm_names() -> tuple[str, ...]:
    """The arms that come with this package."""
    return tuple(sorted(path.stem for path in ARMS.glob("*.yaml")))


def read_arm(name_or_file: str | Path) -> ArmConfig:
    """The arm of that name, of that YAML file, or of that URDF or MJCF alone. Raises InputError."""
    path = Path(name_or_file)
    if path.suffix in (".urdf", ".xml", ".mjcf"):
        return ArmConfig(path, path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_file) not in arm_names():
            raise InputError(f"there is no arm {str(name_or_file)!r}; name {', '.join(arm_names())}, a URDF, MJCF or YAML file")
        path = ARMS / f"{name_or_file}.yaml"
    return read_yaml(path, _parse)


def _parse(path: Path, values: dict[str, Any]) -> ArmConfig:
    known_keys(values, _KEYS)
    velocity, default = given_velocities(values.get("velocity", {}), None)
    return ArmConfig(
        path,
        model_of(path, values),
        str(values.get("end", "")),
        str(values.get("base", "")),
        names_of("joints", values.get("joints", ())),
        {str(name): range_of(f"limits of {name}", pair) for name, pair in keys_of("limits", values.get("limits", {})).items()},
        velocity,
        default,
        pairs_of("apart", values.get("apart", ())),
    )


class SerialArm:
    """The arm from a base to its end: `teleop.joints.Arm`. Not for several threads at once.

    end, base: their names where the arm's file does not say them. names: (n,) of its joints, in the order of all that is given
    and returned; lower, upper, velocity: (n,) their limits. turns: whether the end's turn is led, too.
    problem: what the model lacks, in words, or empty. Joints of the
    model beside the arm stay at 0. Raises InputError, and DependencyError without mujoco and mink.
    """

    def __init__(self, name_or_file: str | Path, end: str = "", base: str = "") -> None:
        with needed_for("an arm's inverse kinematics", "robot"):
            import mink
            import mujoco
        self._mink, self._mujoco = mink, mujoco
        self.config = config = read_arm(name_or_file)
        spec = load_spec(config.model)
        whole = compiled(spec, config.model)
        self._end = self._place(whole, config.end or end)
        first = self._body_of(whole, self._end)
        root, self._bounded = urdf_frame(config.model)
        base, said = config.base or base, bool(config.base or root)  # of an MJCF, what is no body may be what it stands on
        self._base = max(0, mujoco.mj_name2id(whole, mujoco.mjtObj.mjOBJ_BODY, base))
        if self._base == 0 and said and base not in ("", root):
            raise InputError(f"{config.source.name}: the model has no body {base!r}; name the arm's base")
        chain = self._chain(whole, first, self._base)
        for joint, (leader, *_) in followers(whole, config.model).items():
            if joint in chain:  # led by itself it would go elsewhere than the robot's own joint can
                raise InputError(
                    f"{config.source.name}: {joint} of the arm follows {leader}; an arm of which a joint follows another is "
                    "not led by its joints"
                )
        for joint in list(spec.joints):
            if joint.name not in chain:
                spec.delete(joint)
        for one in [*spec.equalities, *spec.keys, *spec.actuators, *spec.sensors, *spec.tendons]:
            spec.delete(one)
        self.model: mujoco.MjModel = compiled(spec, config.model)
        joints = tuple(self.model.joint(i).name for i in range(self.model.njnt))
        self.names = config.joints or joints
        if sorted(self.names) != sorted(joints):
            raise InputError(f"{config.source.name}: joints names {', '.join(self.names)}, and the arm has {', '.join(joints)}")
        row = (self.model.site if self._end[1] == "site" else self.model.body)(self._end[0])
        self._row = int(row.id)  # of the end
        self._order = np.array([joints.index(name) for name in self.names])  # of ours, the model's
        self._limit()
        self._configuration = mink.Configuration(self.model)
        self.turns = len(joints) >= _FREE
        cost = _TURN if self.turns else 0.0
        self._task = mink.FrameTask(self._end[0], self._end[1], position_cost=1.0, orientation_cost=cost, lm_damping=1.0)
        self._stays = mink.ConfigurationLimit(self.model, gain=0.95)
        self._prepare_collisions()

    def _place(self, model: Any, end: str) -> tuple[str, str]:
        """A site or body of that name. Raises InputError."""
        for kind, what in ((self._mujoco.mjtObj.mjOBJ_SITE, "site"), (self._mujoco.mjtObj.mjOBJ_BODY, "body")):
            if end and self._mujoco.mj_name2id(model, kind, end) > (-1 if what == "site" else 0):
                return end, what
        there = [model.site(i).name for i in range(model.nsite)] + [model.body(i).name for i in range(1, model.nbody)]
        raise InputError(f"{self.config.source.name}: the model has no site or body {end!r} to lead; it has {', '.join(there)}")

    @staticmethod
    def _body_of(model: Any, end: tuple[str, str]) -> int:
        return int(model.site(end[0]).bodyid[0] if end[1] == "site" else model.body(end[0]).id)

    def _chain(self, model: Any, body: int, base: int) -> tuple[str, ...]:
        """The joints between two bodies. Raises InputError where there are none, or others than hinges and slides."""
        kinds = {int(self._mujoco.mjtJoint.mjJNT_HINGE), int(self._mujoco.mjtJoint.mjJNT_SLIDE)}
        rows: list[int] = []
        while body not in (base, 0):
            first = int(model.body_jntadr[body])
            rows[:0] = range(first, first + int(model.body_jntnum[body]))
            body = int(model.body_parentid[body])
        if not rows or body != base or any(int(model.jnt_type[row]) not in kinds for row in rows):
            raise InputError(
                f"{self.config.source.name}: no hinges and slides alone lead to {self._end[0]}; name the arm's base and end"
            )
        return tuple(model.joint(row).name for row in rows)

    def _limit(self) -> None:
        """Each joint's limits and velocity, of the model and its YAML file, radians, or metres of slides. Raises InputError."""
        model, config = self.model, self.config
        ends = np.where(model.jnt_limited[:, None].astype(bool), model.jnt_range, [-2.0 * np.pi, 2.0 * np.pi])
        for name in {*config.limits, *config.velocity}:
            if name not in self.names:
                raise InputError(f"{config.source.name}: the arm has no joint {name!r}; it has {', '.join(self.names)}")
        slide = int(self._mujoco.mjtJoint.mjJNT_SLIDE)
        for row, name in enumerate(model.joint(i).name for i in range(model.njnt)):
            ends_known = model.jnt_limited[row] or name in config.limits
            if not ends_known and (model.jnt_type[row] == slide or name in self._bounded):
                raise InputError(
                    f"{config.source.name}: the model has no limits of {name}, or equal ones; give them in a YAML file beside "
                    f"it, as limits: {{{name}: [-1, 1]}}"
                )
            low, high = config.limits.get(name, (-np.inf, np.inf))
            ends[row] = max(ends[row, 0], low), min(ends[row, 1], high)
            if model.jnt_type[row] != slide and np.abs(ends[row]).max() > _MOST:
                raise InputError(
                    f"{config.source.name}: limits of {name}, {ends[row, 0]:.4g} to {ends[row, 1]:.4g}, are beyond three "
                    f"turns; a model counts in radians: give them in a YAML file beside it, as limits: {{{name}: [-1, 1]}}"
                )
            if ends[row, 0] >= ends[row, 1]:
                raise InputError(
                    f"{config.source.name}: limits of {name} leave it nothing; the model has {model.jnt_range[row]}"
                )
        model.jnt_limited[:], model.jnt_range[:] = 1, ends
        self.lower, self.upper = ends[self._order].T.copy()
        known = velocities(config, self.names)
        default = VELOCITY if config.default_velocity is None else config.default_velocity
        self.velocity = np.array([known.get(name, default) for name in self.names])
        for name, velocity in zip(self.names, self.velocity):
            if velocity > _MOST:
                raise InputError(
                    f"{config.source.name}: the velocity limit of {name} is {velocity:g}, which no arm's joint reaches; give "
                    f"it in rad/s (m/s of slides) in a YAML file beside the model, as velocity: {{{name}: 1.0}}"
                )

    def _prepare_collisions(self) -> None:
        """The pairs of shapes that are kept apart: not those that the arm cannot take apart, as neighbours."""
        model, mujoco = self.model, self._mujoco
        shapes = list(range(model.ngeom))

        def found() -> list[tuple[int, int]]:
            return list(self._mink.CollisionAvoidanceLimit(model, [(shapes, shapes)]).geom_id_pairs)

        pairs = found()
        if not pairs:  # shapes that are there for their looks
            model.geom_contype[:] = model.geom_conaffinity[:] = 1
            pairs = found()
        for name in {one for pair in self.config.apart for one in pair}:
            if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name) < 0:
                raise InputError(f"{self.config.source.name}: apart: the model has no body {name!r}")
        ignored = {frozenset(pair) for pair in self.config.apart}
        self._pairs = [
            pair for pair in dict.fromkeys(pairs)
            if frozenset(model.body(int(model.geom_bodyid[geom])).name for geom in pair) not in ignored
        ]  # fmt: skip
        rng = np.random.default_rng(0)
        tries = rng.uniform(model.jnt_range[:, 0], model.jnt_range[:, 1], (40, model.njnt))
        near = np.mean([self._distances(q) < NEAR for q in tries], axis=0) if self._pairs else np.zeros(0)
        self._pairs = [pair for pair, share in zip(self._pairs, near) if share < 0.6]
        limits: list[Any] = [self._stays]
        if self._pairs:
            limits.append(
                self._mink.CollisionAvoidanceLimit(
                    model,
                    [([one], [other]) for one, other in self._pairs],
                    minimum_distance_from_collisions=NEAR,
                    collision_detection_distance=LOOKS_FROM,
                )
            )
        self._limits = limits
        self.problem = ""
        if not self._pairs:
            self.problem = (
                f"the arm {self.config.model.name} is not kept clear of itself: its model has no shapes for that; of a URDF, "
                "STL and OBJ files that lie beside it are read"
            )

    def _distances(self, q: np.ndarray) -> np.ndarray:
        """(pairs,) metres between shapes with the model's joints (n,) there, at most LOOKS_FROM."""
        self._configuration.update(q)
        data, fromto = self._configuration.data, np.zeros(6)
        return np.array([self._mujoco.mj_geomDistance(self.model, data, *pair, LOOKS_FROM, fromto) for pair in self._pairs])

    def clearance(self, joints: np.ndarray) -> float:
        """Metres that the arm's bodies stay apart with the joints (n,) there, at most LOOKS_FROM; below 0 they collide."""
        return float(self._distances(self._of_model(joints)).min(initial=LOOKS_FROM))

    def _of_model(self, joints: np.ndarray) -> np.ndarray:
        q = np.empty(len(joints))
        q[self._order] = joints
        return q

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See teleop.joints.Arm."""
        self._configuration.update(self._of_model(joints))
        place, base = self._place_now()
        turns = self._configuration.data.xmat if self._end[1] == "body" else self._configuration.data.site_xmat
        return place, base.T @ turns[self._row].reshape(3, 3)

    def slopes(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See teleop.joints.Arm."""
        self._configuration.update(self._of_model(joints))
        place, base = self._place_now()
        return place, self._slopes_now(base)[:, self._order]

    def _place_now(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the end, (3,) in the base, and the base's rotation (3, 3) in the world, as the joints were last set."""
        data = self._configuration.data
        base = data.xmat[self._base].reshape(3, 3)
        places = data.xpos if self._end[1] == "body" else data.site_xpos
        return base.T @ (places[self._row] - data.xpos[self._base]), base

    def _slopes_now(self, base: np.ndarray) -> np.ndarray:
        """(6, n) of the end's velocity and angular velocity in the base, for each of the model's joints."""
        slopes = np.zeros((2, 3, len(self.names)))
        jacobian = self._mujoco.mj_jacBody if self._end[1] == "body" else self._mujoco.mj_jacSite
        jacobian(self.model, self._configuration.data, slopes[0], slopes[1], self._row)
        return np.asarray(base.T @ slopes).reshape(6, -1)

    def speed_towards(
        self,
        joints: np.ndarray,
        pose: tuple[np.ndarray, np.ndarray],
        lowest: np.ndarray,
        most: np.ndarray,
        end: np.ndarray,
        room: tuple[np.ndarray, np.ndarray],
        dt: float,
    ) -> np.ndarray:
        """See teleop.joints.Arm."""
        mink, configuration = self._mink, self._configuration
        configuration.update(self._of_model(joints))
        base = configuration.data.xmat[self._base].reshape(3, 3)
        turn = mink.SO3.from_matrix(base @ pose[1])
        place = base @ pose[0] + configuration.data.xpos[self._base]
        self._task.set_target(mink.SE3.from_rotation_and_translation(turn, place))
        slopes, one, (directions, room_there) = self._slopes_now(base), np.eye(len(joints)), room
        rates = _Rates(
            np.concatenate([slopes, -slopes, one, -one, directions @ slopes[:3]]),
            np.concatenate([dt * end, dt * end, dt * self._of_model(most), -dt * self._of_model(lowest), room_there]),
        )
        try:
            found = mink.solve_ik(configuration, [self._task], dt, "daqp", damping=_DAMPING, limits=[*self._limits, rates])
        except mink.NoSolutionFound:
            return np.clip(np.zeros(len(joints)), lowest, most)
        return np.clip(found[self._order], lowest, most)


@dataclass(frozen=True, eq=False)
class _Rates:
    """As mink's limits: rows (m, n) of the joints' steps, and the most (m,) that may come of them."""

    rows: np.ndarray
    most: np.ndarray

    def compute_qp_inequalities(self, configuration: Any, dt: float) -> Any:
        """See mink.Limit."""
        from mink.limits import Constraint

        return Constraint(G=self.rows, h=self.most)
