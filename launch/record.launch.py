"""Launches the recorder: the hands, their frames and meshes, CameraInfo and, where asked for, the images, into an mcap."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from fourdhands_ros.tools.launching import start_node

ARGUMENTS = [
    DeclareLaunchArgument(
        "bag",
        default_value="",
        description="Folder to write, which must not be there; empty for hands_ and the time, in the working directory.",
    ),
    DeclareLaunchArgument(
        "images",
        default_value="none",
        choices=["none", "raw", "compressed"],
        description="Also record the images: sensor_msgs/Image, or CompressedImage of the topics .../compressed.",
    ),
    DeclareLaunchArgument(
        "markers",
        default_value="true",
        choices=["true", "false"],
        description="Record the meshes, hands/markers. The node computes them only while somebody takes them.",
    ),
    DeclareLaunchArgument(
        "topics",
        default_value="",
        description="Further topics to record: regular expressions of their whole names, apart by spaces.",
    ),
    DeclareLaunchArgument(
        "rosbag2",
        default_value="false",
        choices=["false", "true"],
        description="Have `ros2 bag record` do it: with its options of storage, but silent on what is lost on the way to it.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["false", "true"],
        description="Whether messages are recorded with the time of /clock, of a simulation, in place of the computer's.",
    ),
]


def start_recorder(context) -> list:
    """The recorder with the arguments' values."""
    bag, images, markers, topics, rosbag2, sim_time = (
        LaunchConfiguration(name).perform(context) for name in ("bag", "images", "markers", "topics", "rosbag2", "use_sim_time")
    )
    arguments = [*([bag] if bag else []), "--images", images]
    if markers == "false":
        arguments.append("--no-markers")
    if rosbag2 == "true":
        arguments.append("--rosbag2")
    for topic in topics.split():
        arguments += ["--topic", topic]
    return [start_node("hands_recorder", arguments=arguments, parameters=[{"use_sim_time": sim_time == "true"}])]


def generate_launch_description() -> LaunchDescription:
    """The arguments and what they start."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_recorder)])
