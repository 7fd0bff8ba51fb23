"""What the launch files share: topics of one camera or several, and ends of programs. They run in the system's Python."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchDescription  # type: ignore[attr-defined]  # mypy takes the folder launch/ for it
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from fourdhands_core.errors import InputError
from fourdhands_core.files import local_path

from ..node.parameters import Parameters, with_decimals

PATIENCE = "20"
"""Seconds that a process has after Ctrl-C before it is killed: a model that is being loaded, a bag on a slow disk."""


def start_node(executable: str, **node: Any) -> Node:
    """A program of this package, whose end is the end of the launch. node: further arguments of launch_ros' Node."""
    return Node(
        package="fourdhands_ros",
        executable=executable,
        output="screen",
        sigterm_timeout=PATIENCE,
        **{"on_exit": end_launch, **node},
    )


def end_launch(event: Any, context: Any) -> list[Shutdown] | None:
    """For `on_exit`: the other programs end too, and the reason is told. A program that failed makes the launch fail, after
    Ctrl-C too, such as a recorder to which nothing came."""
    reason = f"{event.process_name} ended with exit code {event.returncode}"
    if event.returncode:
        raise InputError(f"{reason}; what it said stands above")
    return None if context.is_shutdown else [Shutdown(reason=reason)]


def end_launch_on_failure(event: Any, context: Any) -> list[Shutdown] | None:
    """The same for a program that comes to an end, such as the player of a bag."""
    return end_launch(event, context) if event.returncode else None


def read_parameters(file: str, name: str, namespace: str = "") -> dict:
    """What a file of parameters gives a node of that name in a namespace. A name alone is of nodes in any; `*` stands for one
    part of a name, `**` for any. Raises InputError where it is no such file, or says nothing of that node."""
    try:
        content = yaml.safe_load(Path(local_path(file)).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"params_file:={file} cannot be read ({getattr(error, 'strerror', 'it is no text')}); give a YAML "
            "file laid out as config/hands.yaml"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(
            f"params_file:={file} is no YAML ({' '.join(str(error).split())}); lay it out as config/hands.yaml"
        ) from error
    node, nodes = absolute(namespace, name), list(_nodes("", content))
    found = [below for path, below in nodes if _is_of(path, node)]
    if not found:
        others = ", ".join("/".join(_parts(path)) or "no node" for path, _ in nodes)
        raise InputError(
            f"params_file:={file} says nothing of {node}{f', but of {others}' if others else ''}; write its parameters below "
            f"{name}: and ros__parameters:, as in config/hands.yaml and config/teleop.yaml"
        )
    return {key: value for below in found for key, value in below.items()}


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _is_of(path: str, node: str) -> bool:
    """Whether a file's section of that path is of a node, named in full."""
    parts = _parts(path)
    pattern = {"**": r"(/[^/]+)*", "*": "/[^/]+"}
    parts = ["**", *parts] if len(parts) == 1 else parts
    return re.fullmatch("".join(pattern.get(part, "/" + re.escape(part)) for part in parts), node) is not None


def _nodes(path: str, content):
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == "ros__parameters":
            yield path, value if isinstance(value, dict) else {}
        else:
            yield from _nodes(f"{path}/{key}", value)


def camera_topics(argument: str, given: str, cameras: list[str]) -> list[str]:
    """Each camera's topic, as it is named in the node's namespace.

    argument: of launch, for messages. given: its value: a name, of several cameras one in the namespace of each; or a list of
    names with a topic for each camera. Raises InputError where the value does not suit the cameras.
    """
    if given.lstrip().startswith("["):
        try:
            names = yaml.safe_load(given)
        except yaml.YAMLError:
            names = []
        if len(names) != len(cameras) or not all(isinstance(name, str) and name for name in names):
            raise InputError(
                f"{argument}:='{given}' is not a list of {len(cameras)} topics, one for each of the cameras {cameras}"
            )
        return names
    if cameras != [""] and given.startswith(("/", "~")):
        raise InputError(
            f"{argument}:={given} is one topic for the {len(cameras)} cameras {cameras}; give its name in the "
            f"namespace of each, such as {argument}:={given.rpartition('/')[2]}, or a list with a topic for each"
        )
    return [_below(camera, given) for camera in cameras]


def beside(topic: str, name: str) -> str:
    """A name in a topic's namespace, as image_transport has it: /camera/camera_info for /camera/image_raw."""
    folder, slash, _ = topic.rpartition("/")
    return folder + slash + name


def remappings(cameras: list[str], topics: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The node's: from its own names to the cameras'. topics: for each name such as image_raw, every camera's topic."""
    pairs = [(_below(camera, name), topic) for name, given in topics.items() for camera, topic in zip(cameras, given)]
    return [(name, topic) for name, topic in pairs if name != topic]


def start_camera(namespace: str, camera: str, topics: dict[str, str], **node: Any) -> Node:
    """A camera made of a video, which publishes what the node takes as that camera's. topics: for image_raw and camera_info."""
    names = []
    for name, topic in topics.items():
        if camera and topic.startswith(f"{camera}/"):
            topic = topic[len(camera) + 1 :]
        elif camera and not topic.startswith("/"):
            topic = "/" + _below(namespace.strip("/"), topic)
        names.append((name, topic))
    return start_node(
        "hands_camera",
        namespace=_below(namespace, camera),
        remappings=[(name, topic) for name, topic in names if name != topic],
        **node,
    )


def description(arguments: list[DeclareLaunchArgument], start: Callable[[Any], list]) -> LaunchDescription:
    """What a launch file has to give: its arguments, and what `start` makes of them."""

    def checked(context: Any) -> list:
        _refuse_unknown({one.name for one in arguments}, Path(start.__code__.co_filename), sys.argv)
        return start(context)

    return LaunchDescription([*arguments, OpaqueFunction(function=checked)])


def _refuse_unknown(known: set[str], file: Path, command: list[str]) -> None:
    """Raise InputError where `ros2 launch` of this file itself was given an argument that it has not, which ROS passes over.
    Where another launch file includes this one, the command's arguments are that one's."""
    places = [i for i, word in enumerate(command) if i and Path(word).name == file.name]
    if not any(command[i - 1] == "fourdhands_ros" or os.path.realpath(command[i]) == os.path.realpath(file) for i in places):
        return
    given = [word.partition(":=")[0] for word in command[places[0] + 1 :] if ":=" in word]
    for name in given:
        if name not in known:
            alike = difflib.get_close_matches(name, known, 1)
            raise InputError(
                f"{name}:= is no argument of {file.name}" + (f"; {alike[0]}:= is" if alike else "") + "; --show-args lists all"
            )


def values_of(arguments: list[DeclareLaunchArgument], context: Any) -> dict[str, str]:
    """What was given for arguments, by their names. What reads a file takes ~/ for the home directory; here a topic may begin
    so."""
    return {one.name: LaunchConfiguration(one.name).perform(context) for one in arguments}


def argument(name: str, description: str, default: str | None = "", choices: list[str] | None = None) -> DeclareLaunchArgument:
    """An argument. default: None where it has to be given."""
    return DeclareLaunchArgument(name, default_value=default, choices=choices, description=description)


def switch(name: str, default: str, description: str) -> DeclareLaunchArgument:
    """An argument that is true or false; with an empty default also empty, where the file of parameters tells."""
    choices = [*([] if default else [""]), "false", "true"]
    return argument(name, description, default, choices)


def parameter_argument(name: str, of: Any = Parameters) -> DeclareLaunchArgument:
    """An argument that is a parameter of the node, as that tells of it in `of`; empty, what the file of parameters says
    holds."""
    spec = of.__dataclass_fields__[name]
    choices = ("false", "true") if isinstance(spec.default, bool) else spec.metadata["choices"]
    text = spec.metadata["description"]
    return argument(name, text, choices=["", *choices] if choices else None)


def as_parameter(name: str, text: str, of: Any = Parameters) -> Any:
    """An argument's text as the parameter's value, of those in `of`: as YAML would read it, so that "false" is a boolean, but
    for names, which are texts whatever they look like. Raises InputError."""
    spec = of.__dataclass_fields__[name]
    if isinstance(spec.default, str) and not spec.metadata["choices"]:
        return text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{name}:='{text}' is no value of a parameter; a list is written '[1.0, 2.0]'") from error
    return list(with_decimals(of, name, tuple(value))) if isinstance(value, list) else with_decimals(of, name, value)


def view_arguments() -> list[DeclareLaunchArgument]:
    """The arguments by which a launch file offers the page in a browser; `start_view` reads them."""
    return [
        switch("view", "false", "Also show the hands in a browser, from a process of its own; needs viser, from pip."),
        argument("view_host", "Address to show them at; others than 127.0.0.1 need a token.", default="127.0.0.1"),
        argument("view_port", "Port of that page; empty: 8080, or the next free one."),
        switch("view_estop", "false", "With a button on that page that stops robots which follow a hand."),
        argument(
            "view_hand_model",
            "Right hand model of that page's meshes, as hand_model of nodes; empty: what the node says, or human.",
        ),
        argument("view_hand_model_left", "Left hand model of its meshes, likewise."),
    ]


def start_view(context: Any, topics: list[str], image: str = "", models: dict[str, str] | None = None) -> list[Node]:
    """The page in a browser, where it is asked for, of HandPair topics, of all that are published where none is given.

    image: of the only camera. models: the node's hand_model and hand_model_left, for a page that is given none. Its end is not
    the end of the launch: nothing depends on who looks.
    """
    value = values_of(view_arguments(), context)
    if value["view"] != "true":
        return []
    given = {name: value[f"view_{name}"] for name in ("hand_model", "hand_model_left")}
    options = ["--host", value["view_host"]]
    options += ["--port", value["view_port"]] if value["view_port"] else []
    options += ["--estop"] if value["view_estop"] == "true" else []
    for name, model in (given if any(given.values()) else models or given).items():
        options += [f"--{name.replace('_', '-')}", model] if model else []
    options += ["--image", image] if image else []
    return [start_node("hands_view", arguments=[*topics, *options], on_exit=None)]


def hands_shown(namespace: str, cameras: list[str], images: list[str], fused: bool) -> tuple[list[str], str]:
    """The HandPair topics of the node's cameras, those of fused hands first; of a single camera its image topic, where not
    beside the hands."""
    shown = [absolute(namespace, _below(camera, "hands")) for camera in cameras]
    beside_images = [beside(name, "hands") for name in (absolute(namespace, image) for image in images)]
    image = absolute(namespace, images[0]) if len(cameras) == 1 and beside_images != shown else ""
    return [*([absolute(namespace, "hands")] if fused else []), *shown], image


def absolute(namespace: str, name: str) -> str:
    """A name as it is in a namespace, from the root."""
    return name if name.startswith("/") else "/" + _below(namespace.strip("/"), name)


def _below(namespace: str, name: str) -> str:
    return name if name.startswith("/") else "/".join(filter(None, (namespace, name)))
