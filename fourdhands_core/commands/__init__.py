"""The subcommands of `fourdhands`, a module a topic: `add` declares the arguments, a function does the work; shared parts here.

What a subcommand needs is imported when it runs, so that help and errors come at once.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterable
from types import ModuleType

from ..errors import DependencyError, InputError

EXIT_USER_ERROR, EXIT_INTERRUPTED = 2, 130


class Parser(argparse.ArgumentParser):
    """A parser whose options may stand anywhere: before, between and after the paths. One with subcommands leaves that to
    theirs, which are made of this class too."""

    _within = False

    def parse_known_args(self, args=None, namespace=None):
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


def add_command(commands, name: str, run, text: str, extra: str | None = None) -> argparse.ArgumentParser:
    """A subcommand that calls `run` with the parsed arguments.

    text: its help. extra: of this package, which brings all that the command needs.
    """
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run, extra=extra, parser=command)
    return command


def refuse_options(args, names: Iterable[str], what: str) -> None:
    """Raise InputError where one of the options, by their names in `args`, was given to `what`, to which it means nothing."""
    for name in names:
        if getattr(args, name) != args.parser.get_default(name):
            raise InputError(f"--{name.replace('_', '-')} means nothing to `{what}`; see fourdhands {args.command} --help")


def add_models(command) -> None:
    """The arguments that choose the network and the hand model."""
    command.add_argument("--weights", default="", metavar="FILE", help="network weights (default: the shipped ones)")
    command.add_argument(
        "--model",
        default="landmark",
        choices=("landmark", "image"),
        help="landmark (default), or image with --weights from `fourdhands import-weights`",
    )
    command.add_argument(
        "--device",
        default="cpu",
        choices=("cpu", "cuda", "onnx"),
        help="cpu (default); cuda, for model image; onnx, with --weights DIR from `fourdhands export`",
    )
    command.add_argument("--precision", default="float32", choices=("float32", "float16", "bfloat16"), help="of model image")
    command.add_argument(
        "--hand-model", default="", metavar="NPZ", help="right hand from convert-mano (default: the generic hand)"
    )
    command.add_argument(
        "--hand-model-left",
        default="",
        metavar="NPZ",
        help="left hand from convert-mano (default: the right hand's mirror image)",
    )


def tracker_settings(args):
    """TrackerSettings of parsed arguments, those of `add_models` and what else the command has."""
    from ..pipeline.tracker import TrackerSettings

    return TrackerSettings(
        model=args.model,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
        hand_model=args.hand_model,
        hand_model_left=args.hand_model_left,
        mirrored=getattr(args, "mirrored", False),
        lookahead=getattr(args, "lookahead", 0),
        threads=getattr(args, "threads", 1),
    )


def keep_inputs(args, outputs, *inputs) -> None:
    """Raise InputError where a file to be written is one that the arguments name, or one of the further inputs."""
    from ..files import refuse_overwriting

    named = "weights", "hand_model", "hand_model_left", "intrinsics"
    refuse_overwriting(outputs, [*(getattr(args, name, None) for name in named), *inputs])


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


def positive(text: str) -> int:
    """The type of arguments that count something."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def replaced(settings, assignments: list[str]):
    """A dataclass with some fields replaced by NAME=VALUE texts, each of the type of the field's default."""
    from dataclasses import fields, replace

    kinds = {field.name: type(getattr(settings, field.name)) for field in fields(settings)}
    values = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name not in kinds:
            raise InputError(f"--set {assignment}: there is no setting {name!r}; there are {', '.join(kinds)}")
        try:
            values[name] = kinds[name](value)
        except ValueError as error:
            raise InputError(f"--set {assignment}: {value!r} is not of type {kinds[name].__name__}") from error
    return replace(settings, **values)
