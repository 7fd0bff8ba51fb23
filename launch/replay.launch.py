"""Launches the player of a bag: its images as a camera, or its hands, with RViz where asked for."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from fourdhands_ros.tools.launching import end_launch_on_failure, start_node
from fourdhands_ros.tools.rviz import start_rviz

CONFIG = Path(__file__).resolve().parents[1] / "config"

ARGUMENTS = [
    DeclareLaunchArgument(
        "bag", description="Bag to play, a folder or file, mcap or sqlite3; one cut off plays as far as it goes."
    ),
    DeclareLaunchArgument(
        "what",
        default_value="all",
        choices=["images", "hands", "all"],
        description="images: images and CameraInfo, as from a camera; hands: HandPair, frames, meshes; all: both.",
    ),
    DeclareLaunchArgument("rate", default_value="1.0", description="How many times as fast as recorded."),
    DeclareLaunchArgument("loop", default_value="false", choices=["false", "true"], description="Begin again at the end."),
    DeclareLaunchArgument(
        "clock",
        default_value="true",
        choices=["true", "false"],
        description="Publish /clock, the time of the recording; RViz then follows it.",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Namespace of the camera that RViz shows, such as front."),
    DeclareLaunchArgument("rviz", default_value="false", choices=["false", "true"], description="Also start RViz."),
    DeclareLaunchArgument(
        "fixed_frame",
        default_value="camera_optical_frame",
        description="RViz's fixed frame: the frame_id of the images, or one that it hangs on.",
    ),
]


def start_player(context) -> list:
    """The player, and RViz where asked for."""
    value = {
        name: LaunchConfiguration(name).perform(context)
        for name in ("bag", "what", "rate", "loop", "clock", "namespace", "rviz", "fixed_frame")
    }
    arguments = [value["bag"], "--what", value["what"], "--rate", value["rate"]]
    arguments += [f"--{name}" for name in ("loop", "clock") if value[name] == "true"]
    # RViz stays open at the end of the bag.
    actions = [start_node("hands_player", arguments=arguments, on_exit=end_launch_on_failure)]
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


def generate_launch_description() -> LaunchDescription:
    """The arguments and what they start."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_player)])
