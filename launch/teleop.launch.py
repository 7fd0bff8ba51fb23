"""Launches hands_teleop: an arm and its hand follow a human hand. hands.launch.py, with the camera, is launched beside it."""

from pathlib import Path

from fourdhands_ros.teleop.parameters import TeleopParameters
from fourdhands_ros.tools.launching import (
    absolute,
    argument,
    description,
    parameter_argument,
    read_parameters,
    start_node,
    start_view,
    values_of,
    view_arguments,
    view_options,
)

CONFIG = Path(__file__).resolve().parents[1] / "config"
PARAMETERS = ("side", "robot", "operator", "arm", "arm_model", "hand", "base_frame", "end_frame")
"""Arguments that are parameters of the node; all others are set in params_file."""

ARGUMENTS = [
    argument("params_file", "Parameters of the node.", default=str(CONFIG / "teleop.yaml")),
    argument("namespace", "Of the node and its topics, such as right_arm."),
    argument("hands", "Topic of the hands, relative to the namespace.", default="hands"),
    *[parameter_argument(name, TeleopParameters) for name in PARAMETERS],
    *view_arguments(),
]


def start_teleop(context) -> list:
    """The node, with what the arguments say above what the file says."""
    value = values_of(ARGUMENTS, context)
    parameters = read_parameters(value["params_file"], "hands_teleop")
    parameters.update({name: value[name] for name in PARAMETERS if value[name]})
    teleop = start_node(
        "hands_teleop",
        name="hands_teleop",
        namespace=value["namespace"],
        parameters=[parameters],
        remappings=[("hands", value["hands"])],
    )
    page = view_options(context)
    shown = absolute(value["namespace"], value["hands"])
    return [teleop] if page is None else [teleop, start_view(page, [shown])]


def generate_launch_description():
    """What `ros2 launch fourdhands_ros teleop.launch.py` starts."""
    return description(ARGUMENTS, start_teleop)
