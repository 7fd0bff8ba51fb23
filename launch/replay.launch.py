"""Launches the player of a bag or a dataset: its images as a camera, or its hands, with RViz where asked for."""

from pathlib import Path

from fourdhands_ros.tools import launching
from fourdhands_ros.tools.rviz import start_rviz

CONFIG = Path(__file__).resolve().parents[1] / "config"

ARGUMENTS = [
    launching.argument(
        "bag",
        "Bag to play, a folder or file, mcap or sqlite3; one cut off plays as far as it goes. Or a folder of bags, or a "
        "LeRobot dataset, as `fourdhands episodes export` makes it.",
        default=None,
    ),
    launching.argument("episode", "Of a folder of bags or a dataset which one to play, from 0; empty for all in turn."),
    launching.argument(
        "what",
        "images: images and CameraInfo, as from a camera; hands: HandPair, frames, meshes; all: both.",
        default="all",
        choices=["images", "hands", "all"],
    ),
    launching.argument("rate", "How many times as fast as recorded.", default="1.0"),
    launching.switch("loop", "false", "Begin again at the end."),
    launching.switch("clock", "true", "Publish /clock, the time of the recording; RViz then follows it."),
    launching.argument("namespace", "Namespace of the camera that RViz shows, such as front."),
    *launching.view_arguments(),
    launching.switch("rviz", "false", "Also start RViz."),
    launching.argument(
        "fixed_frame",
        "RViz's fixed frame: the frame_id of the images, or one that it hangs on.",
        default="camera_optical_frame",
    ),
]


def start_player(context) -> list:
    """The player, and RViz where asked for."""
    value = launching.values_of(ARGUMENTS, context)
    arguments = [value["bag"], "--what", value["what"], "--rate", value["rate"]]
    arguments += ["--episode", value["episode"]] if value["episode"] else []
    arguments += [f"--{name}" for name in ("loop", "clock") if value[name] == "true"]
    # RViz stays open at the end of the bag.
    actions = [launching.start_node("hands_player", arguments=arguments, on_exit=launching.end_launch_on_failure)]
    shown = [launching.absolute(value["namespace"], "hands")] if value["namespace"] else []
    actions += launching.start_view(context, shown)
    if value["rviz"] == "true":
        actions.append(
            start_rviz(
                CONFIG,
                value["fixed_frame"],
                namespace=value["namespace"],
                parameters=[{"use_sim_time": value["clock"] == "true"}],
                remappings=[("/hands/markers", "hands/markers"), ("/image_raw", "image_raw")],
            )
        )
    return actions


def generate_launch_description():
    """The arguments and what they start."""
    return launching.description(ARGUMENTS, start_player)
