"""The subcommands of `fourdhands`, a module a topic: `add` declares the arguments, a function does the work; shared parts here.

What a subcommand needs is imported when it runs, so that help and errors come at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..errors import DependencyError, InputError
from ..files import local_path
from ..geometry import CALIBRATION_FILES
from ..learning.ranges import MOST
from ..pipeline.settings import TrackerSettings

if TYPE_CHECKING:
    from ..geometry.camera_source import CameraSource
    from ..remote import Place


EXIT_USER_ERROR = 2
DEFAULT_FOV = TrackerSettings.default_fov
MODELS = "weights", "model", "device", "search", "looks", "precision", "hand_model", "hand_model_left"
"""The tracker's settings that choose networks and hand models: options of every command that tracks."""

Commands: TypeAlias = "argparse._SubParsersAction[Any]"
"""What `add_subparsers` gives, to which each module adds its own."""
Settings = TypeVar("Settings", bound=Any)
_BOOLS = {"true": True, "false": False}


class Parser(argparse.ArgumentParser):
    """A parser whose options may stand anywhere: before, between and after the paths. One with subcommands leaves that to
    theirs, which are made of this class too."""

    _within = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's."""
        if self._subparsers is not None or self._within:
            return super().parse_known_args(args, namespace)
        if args and "--" in args:  # argparse would mix up what comes after it, paths that begin with a dash, with options
            end = args.index("--")
            args = args[:end] + [f"./{arg}" if arg.startswith("-") else arg for arg in args[end + 1 :]]
        self._within = True  # what follows calls this once for the options and once for the rest
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], text: str, extra: str | None = None
) -> argparse.ArgumentParser:
    """A subcommand that calls `run` with the parsed arguments.

    text: its help. extra: of this package, which brings all that the command needs.
    """
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run, extra=extra, parser=command)
    return command


def refuse_options(args: argparse.Namespace, names: Iterable[str], what: str) -> None:
    """Raise InputError where one of the options, by their names in `args`, was given to `what`, to which it means nothing."""
    for name in names:
        if getattr(args, name) != args.parser.get_default(name):
            option = next(action.option_strings[-1] for action in args.parser._actions if action.dest == name)
            raise InputError(f"{option} means nothing to `{what}`; see {args.parser.prog} --help")


def add_settings(command: argparse.ArgumentParser, *more: str, **defaults: Any) -> None:
    """Options that are the tracker's settings: MODELS, and `more`. `tracker_settings` reads them.

    defaults: others than the settings' own.
    """
    for name in (*MODELS, *more):
        spec = TrackerSettings.__dataclass_fields__[name]
        default, text = defaults.get(name, spec.default), spec.metadata["description"].rstrip(".")
        option, text = f"--{name.replace('_', '-')}", text[0].lower() + text[1:]
        told: dict[str, Any] = {"default": default, "help": f"{text} (default: {default})" if default != "" else text}
        if isinstance(default, bool):
            told.update(action=argparse.BooleanOptionalAction if default else "store_true", help=text)
        elif isinstance(default, tuple):
            told.update(nargs="+", metavar="NAME", help=text)
        elif isinstance(default, (int, float)):
            low, high = spec.metadata["limits"]
            told.update(type=_within(type(default), low, high), metavar="N")
            told["help"] = f"{text}; {low} to {high} (default: {default})"
        else:
            choices = spec.metadata["choices"]
            told.update({"choices": choices} if choices else {"metavar": "FILE", "type": local_path})
        command.add_argument(option, **told)


def _within(kind: type, low: float, high: float) -> Callable[[str], Any]:
    """For argparse: a number of a kind, within limits that are both allowed."""

    def number(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is out of range; give a number from {low} to {high}")
        return value

    number.__name__ = kind.__name__  # argparse names it where the text is no number
    return number


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The tracker's settings among parsed arguments, those of `add_settings`."""
    given = {name: value for name, value in vars(args).items() if name in TrackerSettings.__dataclass_fields__}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def tracker_settings(args: argparse.Namespace) -> TrackerSettings:
    """TrackerSettings of parsed arguments."""
    return TrackerSettings(**given_settings(args))


def add_lens(command: argparse.ArgumentParser, of: str = "") -> None:
    """The options that say what the camera's lens is. of: which camera's, such as "of a video: "."""
    lens = command.add_mutually_exclusive_group()
    lens.add_argument("--fov", type=float, metavar="DEGREES", help=f"{of}the camera's horizontal field of view")
    lens.add_argument("--intrinsics", **FILE, help=f"{of}the camera's calibration: {CALIBRATION_FILES}")


def add_images(command: argparse.ArgumentParser, lens: str) -> None:
    """The options that say what is known of a bag's images. lens: which camera's, as `add_lens` has it."""
    command.add_argument("--camera-info", **TOPIC, help="the camera's CameraInfo topic (default: camera_info beside the image)")
    command.add_argument(
        "--depth",
        default="auto",
        metavar="TOPIC",
        help="topic of depth images in the image's view; none; auto (default): one beside the image whose "
        "messages name the image's frame",
    )
    add_lens(command, lens)
    command.add_argument(
        "--rectified",
        choices=("auto", "true", "false"),
        default="auto",
        help="whether the images are rectified, so that P of CameraInfo and no distortion holds for them "
        "(default: auto, by the topic's name, image_rect and the like)",
    )


def add_shape(command: argparse._ActionsContainer) -> None:
    """The option that says how large the person's hands are, and of what proportions."""
    text = "the person's hand shape, which the node's ~/calibrate_hand kept (default: it is estimated)"
    command.add_argument("--hand-shape", **FILE, help=text)


def add_jobs(command: argparse.ArgumentParser, also: str = "") -> None:
    """The options that say where bags are worked on. also: what else --address means."""
    command.add_argument("--jobs", **COUNT, help="bags at once (default: one a core)")
    text = f"of a Ray cluster to work on, ray://HOST:PORT or auto{also} (extra [cluster])"
    command.add_argument("--address", default="", metavar="ADDRESS", help=text)


def lens_of(args: argparse.Namespace) -> CameraSource:
    """The camera that the options of `add_lens` name, and --rectified where there is one."""
    from ..geometry.camera_source import CameraSource

    return CameraSource(
        DEFAULT_FOV,
        fov=args.fov,
        intrinsics=args.intrinsics,
        rectified=getattr(args, "rectified", False),
        unknown="neither --fov nor --intrinsics was given",
    )


def check_out(args: argparse.Namespace, outputs: Iterable[str | Path], *inputs: str | Path | None) -> None:
    """Raise InputError where a file to be written cannot be, or is one that the arguments name, or one of the further inputs.

    Every command calls it before it does anything.
    """
    from ..outputs import check_outputs

    named = "weights", "hand_model", "hand_model_left", "hand_shape", "intrinsics"
    check_outputs(outputs, [*(getattr(args, name, None) for name in named), *inputs])


def tell(figures: dict[str, Any], out: Path | None) -> None:
    """Print what was measured, as JSON, and write it to a file where one is named."""
    import json

    from ..outputs import write_text

    text = json.dumps(figures, indent=1)
    print(text)
    if out is not None:
        write_text(out, text + "\n")


def ros_side(what: str, *modules: str) -> list[ModuleType]:
    """Modules of the ROS side, which is not this package's to import: it stands above, and need not be there.

    what: needs them, the first word of a sentence. Raises DependencyError where ROS 2 or what else they need is not installed.
    """
    try:
        return [importlib.import_module(f"fourdhands_ros.{module}") for module in modules]
    except ImportError as error:
        raise DependencyError(
            f"{what}: ROS 2 and rosbags are needed, and {error.name} is not installed: pip install "
            "'fourdhands[ros]', or source a ROS 2 workspace and pip install rosbags mcap"
        ) from error


def is_topic(source: str) -> bool:
    """Whether a source names a topic: it may be one's name, and no file's, nor is there the folder that a file would be in."""
    place = Path(source)
    named = re.fullmatch(r"(/[A-Za-z_][A-Za-z0-9_]*)+", source) is not None
    return named and not place.exists() and (place.parent == place.parent.parent or not place.parent.exists())


def camera_of(topic: str) -> str:
    """What the camera of an image topic is called: its namespace."""
    return topic.removesuffix("/compressed").rpartition("/")[0].strip("/") or "camera"


def is_bag(place: Path) -> bool:
    """Whether a path is a rosbag2's: its folder, or one of its files."""
    endings = ".mcap", ".db3", ".mcap.zstd", ".db3.zstd"
    if place.is_dir():
        return (place / "metadata.yaml").is_file() or any(file.name.endswith(endings) for file in place.iterdir())
    return place.name.endswith(endings)


def check_there(source: str) -> None:
    """Raise InputError where hands or images that somebody named are not there: before it is said that other arguments mean
    nothing to them."""
    from ..files import check_file
    from ..media.sources import camera_index, pictures_of

    if os.path.exists(source) or camera_index(source) is not None:
        return
    if is_bag(Path(source)):
        check_file(source, "bag", "give a bag's folder, or one of its files")
    elif source.endswith(".npz"):
        check_file(source, "result", "give the hands.npz that `fourdhands track` wrote")
    elif not Path(source).suffix and re.fullmatch(r"[^*?\[%:]+", source):
        raise InputError(f"{source} does not exist; give a video, a folder of images, a bag, or the hands.npz of a result")
    else:
        pictures_of(source)


def positive(text: str) -> int:
    """The type of arguments that count something."""
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from error
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def seed(text: str) -> int:
    """The type of arguments that generators of random numbers begin with."""
    value = int(text)
    if not 0 <= value <= MOST:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 2**40")
    return value


def path(text: str) -> Path:
    """The type of arguments that name a file or folder; an empty text, as a shell makes of a variable that is not set, does
    not."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a file or folder")
    return Path(local_path(text))


def frame(text: str) -> str:
    """The type of arguments that name a frame: tf2 takes none with a slash before it."""
    return text.lstrip("/")


def place(text: str) -> Place:
    """The type of arguments that name a file or folder of this machine or, by a URL, on a storage."""
    from .. import remote

    try:
        return remote.place(text) if text else path(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def replaced(settings: Settings, assignments: list[str]) -> Settings:
    """A dataclass with some fields replaced by NAME=VALUE texts, each of the type of the field's default."""
    from dataclasses import fields, replace

    kinds = {field.name: type(getattr(settings, field.name)) for field in fields(settings)}
    values = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in kinds:
            raise InputError(f"--set {assignment}: there is no setting {name!r}; there are {', '.join(kinds)}")
        try:
            values[name] = _BOOLS[value] if kinds[name] is bool else kinds[name](value)
        except (ValueError, KeyError) as error:
            raise InputError(f"--set {assignment}: {value!r} is not of type {kinds[name].__name__}") from error
    try:
        return replace(settings, **values)
    except InputError as error:
        raise InputError(f"--set: {error}") from error


FILE: dict[str, Any] = {"type": path, "metavar": "FILE"}
FOLDER: dict[str, Any] = {"type": path, "metavar": "DIR"}
COUNT: dict[str, Any] = {"type": positive, "metavar": "N"}
TOPIC: dict[str, Any] = {"default": "", "metavar": "TOPIC"}
REPEATED: dict[str, Any] = {"action": "append", "default": []}
"""What most options are: `add_argument` takes them with a help."""
