"""Launches hands_teleop: an arm and its hand follow a human hand. hands.launch.py, with the camera, is launched beside it."""

from pathlib import Path

from fourdhands_ros.teleop.parameters import TeleopParameters
from fourdhands_ros.tools import launching

CONFIG = Path(__file__).resolve().parents[1] / "config"
PARAMETERS = tuple(TeleopParameters.__dataclass_fields__)
"""All of them are arguments: `ros2 launch` passes over one that there is not, and the arm would go by another limit."""

ARGUMENTS = [
    launching.argument("params_file", "Parameters of the node.", default=str(CONFIG / "teleop.yaml")),
    launching.argument("namespace", "Of the node and its topics, such as right_arm."),
    launching.argument("hands", "Topic of the hands, relative to the namespace.", default="hands"),
    *[launching.parameter_argument(name, TeleopParameters) for name in PARAMETERS],
    launching.switch("use_sim_time", "", "Whether steps and ages go by /clock, of a simulation or a bag."),
    *launching.view_arguments(),
]


def start_teleop(context) -> list:
    """The node, with what the arguments say above what the file says."""
    value = launching.values_of(ARGUMENTS, context)
    parameters = launching.read_parameters(value["params_file"], "hands_teleop", value["namespace"])
    given = {name: value[name] for name in PARAMETERS if value[name]}
    parameters.update({name: launching.as_parameter(name, text, TeleopParameters) for name, text in given.items()})
    if value["use_sim_time"]:
        parameters["use_sim_time"] = value["use_sim_time"] == "true"
    teleop = launching.start_node(
        "hands_teleop",
        name="hands_teleop",
        namespace=value["namespace"],
        parameters=[parameters],
        remappings=[("hands", value["hands"])],
    )
    return [teleop, *launching.start_view(context, [launching.absolute(value["namespace"], value["hands"])])]


def generate_launch_description():
    """What `ros2 launch fourdhands_ros teleop.launch.py` starts."""
    return launching.description(ARGUMENTS, start_teleop)
