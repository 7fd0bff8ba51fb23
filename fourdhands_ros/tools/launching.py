"""What the launch files share: topics of one camera or several, and ends of programs. They run in the system's Python."""

from __future__ import annotations

from pathlib import Path

import yaml
from launch.actions import Shutdown
from launch_ros.actions import Node

from fourdhands_core.errors import InputError

PATIENCE = "20"
"""Seconds that a process has after Ctrl-C before it is killed: a model that is being loaded, a bag on a slow disk."""


def start_node(executable: str, **node) -> Node:
    """A program of this package, whose end is the end of the launch. node: further arguments of launch_ros' Node."""
    return Node(
        package="fourdhands_ros",
        executable=executable,
        output="screen",
        sigterm_timeout=PATIENCE,
        **{"on_exit": end_launch, **node},
    )


def end_launch(event, context):
    """For `on_exit`: the other programs end too, and the reason is told. A program that failed makes the launch fail."""
    if context.is_shutdown:
        return None
    reason = f"{event.process_name} ended with exit code {event.returncode}"
    if event.returncode:
        raise InputError(f"{reason}; what it said stands above")
    return [Shutdown(reason=reason)]


def end_launch_on_failure(event, context):
    """The same for a program that comes to an end, such as the player of a bag."""
    return end_launch(event, context) if event.returncode else None


def read_parameters(file: str, name: str) -> dict:
    """What a file of parameters gives a node of that name. Raises InputError where it is no such file."""
    try:
        content = yaml.safe_load(Path(file).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"params_file:={file} cannot be read ({getattr(error, 'strerror', 'it is no text')}); give a YAML "
            "file laid out as config/hands.yaml"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(
            f"params_file:={file} is no YAML ({' '.join(str(error).split())}); lay it out as config/hands.yaml"
        ) from error
    parameters = {}
    for node, below in _nodes("", content):
        if node.rpartition("/")[2] in (name, "*", "**"):
            parameters.update(below)
    return parameters


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


def start_camera(namespace: str, camera: str, topics: dict[str, str], **node) -> Node:
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


def _below(namespace: str, name: str) -> str:
    return name if name.startswith("/") else "/".join(filter(None, (namespace, name)))
