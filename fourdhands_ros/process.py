"""A ROS process from its arguments to its end: what the node, the camera, the recorder and the player share."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from fourdhands_core.errors import FourDHandsError, InputError
from fourdhands_core.streams import printable

from .executable import Stop, flushed

_LAST_DOMAIN = 232
"""Of DDS, whose ports would go beyond 65535: 7400 + 250 a domain."""
PATIENCE = 15.0
"""Seconds that a program without a file to complete takes to end; ros2 launch is told to kill after 20."""


def parse(parser: argparse.ArgumentParser, args: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The values of a program's own arguments, and the command line that is ROS's to read.

    args: without the program's name; None for the process's own. Exits with 2, as argparse does, where ROS refuses its part.
    """
    command_line = sys.argv if args is None else [sys.argv[0], *args]
    of_ros = False
    for arg in command_line:
        of_ros = arg == "--ros-args" or (of_ros and arg != "--")
        if of_ros and printable(arg) != arg:
            refused = InputError(f"ROS takes names in UTF-8 alone, and {printable(arg)} is not; rename the file or link to it")
            raise SystemExit(_told(parser.prog, refused))
    try:
        # rclpy takes UTF-8 alone, and a file's name may be any bytes: each of them as a letter of its own goes through
        own = remove_ros_args([os.fsencode(arg).decode("latin1") for arg in command_line])[1:]
        own = [os.fsdecode(arg.encode("latin1")) for arg in own]
    except Exception as error:  # rclpy's classes for this have no public names
        raise SystemExit(_told(parser.prog, error)) from error
    try:
        return parser.parse_args(own), command_line
    except SystemExit as error:  # of --help too
        raise SystemExit(flushed(int(error.code or 0))) from error


def run_ros(
    name: str,
    prog: str,
    command_line: list[str],
    body: Callable[[Stop], int],
    failed: int | None = 2,
    patience: float | None = PATIENCE,
) -> int:
    """Initialise ROS, run `body` until it returns, shut ROS down; returns body's exit status.

    name: of the logger for what goes wrong. prog: the program's own name, before ROS has a logger. body: looks at the Stop
    that it is given, which signals set. failed: the status where ROS refuses the command line, which is said in a sentence,
    or where body raises a FourDHandsError, which is logged; None for a command that tells of errors itself: both are raised.
    patience: see Stop.
    """
    with Stop(patience) as stop:
        without_files = _problem_of_log_folder()
        if without_files:
            command_line = [*command_line, "--ros-args", "--disable-external-lib-logs"]
        if problem := _problem_of_domain():
            if failed is None:
                raise InputError(problem)
            print(f"{prog}: error: {problem}", file=sys.stderr)
            return failed
        try:
            # rclpy's own handlers would invalidate the publishers at once, under the message in work.
            rclpy.init(args=[printable(arg) for arg in command_line], signal_handler_options=SignalHandlerOptions.NO)
        except Exception as error:
            if failed is None:
                raise InputError(refusal(error)) from error
            _told(prog, error)
            return failed
        logger = get_logger(name)
        try:
            if without_files:
                logger.warning(
                    f"{without_files}: the log goes to the terminal alone; set ROS_LOG_DIR to a folder that can be written to"
                )
            return 0 if stop.is_set() else body(stop)
        except FourDHandsError as error:
            if failed is None:
                raise
            logger.error(str(error))
            return failed
        finally:
            rclpy.try_shutdown()


def make_node(make: Callable, *args: Any, **kwargs: Any) -> Any:
    """A node, made by calling `make`. Raises InputError where rclpy refuses a name, a remapping or a parameter's type."""
    try:
        return make(*args, **kwargs)
    except Exception as error:
        if not is_refusal(error):
            raise
        raise InputError(refusal(error)) from error


@contextlib.contextmanager
def node_alone(name: str) -> Iterator[Any]:
    """A node of that name, which logs to the terminal alone, until the end of the with block. Raises as `make_node`."""
    node = make_node(rclpy.create_node, name, enable_rosout=False)
    try:
        yield node
    finally:
        node.destroy_node()


def spin(node: Any, stop: Stop) -> None:
    """Execute a node's callbacks until told to stop."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.is_set():  # Python runs signal handlers only between two waits
        executor.spin_once(timeout_sec=0.2)


def is_refusal(error: Exception) -> bool:
    """Whether rclpy itself raised it, which has a class for each way of refusing something and no common base."""
    return type(error).__module__.partition(".")[0] == "rclpy"


def refusal(error: Exception) -> str:
    """A sentence of what rclpy or rcl refuses: without the places in its source, and without what only its authors read."""
    text = re.sub(r",? at [^\s,]+:\d+", "", str(error)).strip()
    text = re.sub(r"^failed to [\w ]+: ", "", text, flags=re.IGNORECASE)
    file = re.search(r"params file: '(?:--params-file )?(.*?)'\. Error: (.*)", text, re.DOTALL)
    if file:
        path, problem = file[1], " ".join(file[2].split())
        if not Path(path).is_file():
            problem = "it is a folder" if Path(path).is_dir() else "it does not exist"
        return f"the file of parameters {path} is not taken: {problem}; give a YAML file laid out as config/hands.yaml"
    if type(error).__name__ == "UnknownROSArgsError":
        return f"ROS has no arguments {text.strip('[]')}; it takes --ros-args -p NAME:=VALUE, -r FROM:=TO, --params-file FILE"
    name = re.search(r"-r (?:[^:=\s]*:)?__(ns|node|name):=(.*?)'\. Error", text, re.DOTALL)
    if name:
        what, example = (
            ("namespace", "with / before each part, as in /left_arm") if name[1] == "ns" else ("name", "as in hands")
        )
        return f"{name[2]!r} is no {what} in ROS: it has letters, digits and underscores, no digit first, {example}"
    rule = re.fullmatch(r"Couldn't parse ([\w ]+): '(.*)'\. Error: .*", text, re.DOTALL)
    if rule:
        return f"ROS does not take the {rule[1]} {rule[2]}; it is written as -p NAME:=VALUE, -r FROM:=TO or --log-level LEVEL"
    return text


def _told(prog: str, error: Exception) -> int:
    print(f"{prog}: error: {refusal(error)}", file=sys.stderr)
    return 2


def _problem_of_domain() -> str:
    """Why ROS_DOMAIN_ID is none, in which DDS fails in its own words; empty where it is or is not set."""
    domain = os.environ.get("ROS_DOMAIN_ID", "")
    if not domain or (domain.isascii() and domain.isdecimal() and int(domain) <= _LAST_DOMAIN):
        return ""
    return f"ROS_DOMAIN_ID is {domain}, and a domain is a number from 0 to {_LAST_DOMAIN}; up to 101 is safe on every system"


def _problem_of_log_folder() -> str:
    """Why ROS could not write its log files, without which rclpy does not start: empty where it can."""
    folder = os.environ.get("ROS_LOG_DIR") or os.path.join(os.environ.get("ROS_HOME") or "~/.ros", "log")
    if folder.startswith("~"):
        if not os.environ.get("HOME"):
            return "HOME is not set"
        folder = os.environ["HOME"] + folder[1:]
    try:
        os.makedirs(folder, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"{folder} cannot be written to ({error.strerror})"
    return ""
