"""Launches the node that tracks both hands in a camera's images."""

from pathlib import Path

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

CONFIG = Path(__file__).resolve().parents[1] / "config"
PARAMETERS = ("image_transport", "tf", "frame_prefix", "mirrored")
"""Arguments that are parameters of the node; left empty, the value of params_file holds."""

ARGUMENTS = [
    DeclareLaunchArgument(
        "image", default_value="image_raw",
        description="Image topic, sensor_msgs/Image; with image_transport:=compressed its base name."),
    DeclareLaunchArgument(
        "camera_info", default_value="camera_info",
        description="CameraInfo topic of the same camera. Without one a field of view is assumed: no true metres."),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the node and of its topics, one for each camera."),
    DeclareLaunchArgument("name", default_value="hands", description="Name of the node."),
    DeclareLaunchArgument(
        "params_file", default_value=str(CONFIG / "hands.yaml"),
        description="YAML file of parameters; config/hands.yaml explains each."),
    DeclareLaunchArgument(
        "image_transport", default_value="", choices=["", "raw", "compressed"],
        description="compressed: subscribe to <image>/compressed, sensor_msgs/CompressedImage."),
    DeclareLaunchArgument(
        "tf", default_value="", choices=["", "none", "wrist", "joints"],
        description="Frames on /tf: none, both wrists, or every joint."),
    DeclareLaunchArgument("frame_prefix", default_value="", description="Put before the names of the hands' frames."),
    DeclareLaunchArgument(
        "mirrored", default_value="", choices=["", "false", "true"],
        description="Whether the camera delivers mirrored images, as in a selfie."),
    DeclareLaunchArgument(
        "log_level", default_value="info", choices=["debug", "info", "warn", "error"], description="Least to log."),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=["false", "true"],
        description="Also start RViz with the meshes, the frames and the image."),
    DeclareLaunchArgument(
        "fixed_frame", default_value="camera_optical_frame",
        description="RViz's fixed frame: the frame_id of the images, or one that it hangs on."),
]


def start_nodes(context) -> list[Node]:
    """The node, and RViz where asked for."""
    given = {name: LaunchConfiguration(name).perform(context) for name in PARAMETERS}
    # As YAML would read it: "false" is a boolean. A prefix is a string whatever it looks like.
    parameters = {name: value if name == "frame_prefix" else yaml.safe_load(value)
                  for name, value in given.items() if value}
    image, info = LaunchConfiguration("image"), LaunchConfiguration("camera_info")
    namespace = LaunchConfiguration("namespace")
    hands = Node(
        package="fourdhands_ros", executable="hands_node", name=LaunchConfiguration("name"), namespace=namespace,
        output="screen", parameters=[LaunchConfiguration("params_file"), parameters],
        remappings=[("image_raw", image), ("camera_info", info)],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")])
    rviz = Node(
        package="rviz2", executable="rviz2", name="rviz", namespace=namespace,
        arguments=["-d", str(CONFIG / "hands.rviz"), "-f", LaunchConfiguration("fixed_frame")],
        remappings=[("/hands/markers", "hands/markers"), ("/image_raw", image)],
        condition=IfCondition(LaunchConfiguration("rviz")))
    return [hands, rviz]


def generate_launch_description() -> LaunchDescription:
    """The arguments and what they start."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_nodes)])
