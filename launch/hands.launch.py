"""Launches the node that tracks both hands in the images of one camera or several, or of a video; RViz; a recording."""

from pathlib import Path

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration

from fourdhands_core.errors import InputError
from fourdhands_ros.tools.launching import beside, camera_topics, read_parameters, remappings, start_camera, start_node
from fourdhands_ros.tools.rviz import start_rviz

CONFIG = Path(__file__).resolve().parents[1] / "config"
PARAMETERS = (
    "cameras",
    "image_transport",
    "image_reliability",
    "model",
    "weights",
    "device",
    "precision",
    "hand_model",
    "hand_model_left",
    "depth",
    "depth_transport",
    "tf",
    "frame_prefix",
    "mirrored",
    "rectified",
)
"""Arguments that are parameters of the node; left empty, the value of params_file holds."""
TEXTS = ("weights", "hand_model", "hand_model_left", "frame_prefix")
"""Those that are texts, whatever they look like."""

ARGUMENTS = [
    DeclareLaunchArgument(
        "image",
        default_value="image_raw",
        description="Image topic, sensor_msgs/Image; with image_transport:=compressed its base name. Of several cameras its "
        "name in the namespace of each, such as color/image_raw, or a list with a topic for each.",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="",
        description="CameraInfo topic, likewise; not given, the one beside the image topic. Without one a field of view is "
        "assumed: no true metres.",
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Namespace of the node and of its topics, one for each camera."
    ),
    DeclareLaunchArgument("name", default_value="hands", description="Name of the node."),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="Namespaces of several cameras for one node, such as [left, right]: left/image_raw, left/hands, ...",
    ),
    DeclareLaunchArgument(
        "model",
        default_value="",
        choices=["", "landmark", "image"],
        description="landmark: the network that comes with the package; image: the paper's, which needs weights.",
    ),
    DeclareLaunchArgument(
        "weights", default_value="", description="Weights of the network: safetensors, or for onnx a folder."
    ),
    DeclareLaunchArgument(
        "device", default_value="", choices=["", "cpu", "cuda", "onnx"], description="Where the network runs."
    ),
    DeclareLaunchArgument(
        "precision",
        default_value="",
        choices=["", "float32", "float16", "bfloat16"],
        description="Numbers that the image model computes with.",
    ),
    DeclareLaunchArgument(
        "hand_model",
        default_value="",
        description="MANO's right hand, an npz from `fourdhands convert-mano`; the generic hand without.",
    ),
    DeclareLaunchArgument(
        "hand_model_left", default_value="", description="MANO's left hand, likewise; the right one's mirror image without."
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(CONFIG / "hands.yaml"),
        description="YAML file of parameters; config/hands.yaml explains each.",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="compressed: subscribe to <image>/compressed, sensor_msgs/CompressedImage.",
    ),
    DeclareLaunchArgument(
        "image_reliability",
        default_value="",
        choices=["", "auto", "best_effort", "reliable"],
        description="How images are asked for; auto: best effort, and reliable where too few come.",
    ),
    DeclareLaunchArgument(
        "depth",
        default_value="",
        choices=["", "false", "true"],
        description="Use a depth image in the colour image's view, for true distances.",
    ),
    DeclareLaunchArgument(
        "depth_image",
        default_value="depth/image_raw",
        description="Its topic, sensor_msgs/Image, 16UC1 or 32FC1; with depth_transport:=compressedDepth its base name. Of "
        "several cameras as image.",
    ),
    DeclareLaunchArgument(
        "depth_transport",
        default_value="",
        choices=["", "raw", "compressedDepth"],
        description="compressedDepth: subscribe to <depth_image>/compressedDepth, sensor_msgs/CompressedImage.",
    ),
    DeclareLaunchArgument(
        "tf",
        default_value="",
        choices=["", "none", "wrist", "joints"],
        description="Frames on /tf: none, both wrists, or every joint.",
    ),
    DeclareLaunchArgument("frame_prefix", default_value="", description="Put before the names of the hands' frames."),
    DeclareLaunchArgument(
        "mirrored",
        default_value="",
        choices=["", "false", "true"],
        description="Whether the camera delivers mirrored images, as in a selfie.",
    ),
    DeclareLaunchArgument(
        "rectified",
        default_value="",
        choices=["", "auto", "false", "true"],
        description="Whether the images are rectified; auto: by the name of their topic.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", "false", "true"],
        description="Whether all programs take the time from /clock, of a simulation or a bag.",
    ),
    DeclareLaunchArgument(
        "video",
        default_value="",
        description="A video file, or the number of a webcam, to play as the camera; a file as each of several.",
    ),
    DeclareLaunchArgument(
        "fov", default_value="", description="Horizontal field of view of the video, degrees: makes positions metric."
    ),
    DeclareLaunchArgument(
        "record",
        default_value="false",
        choices=["false", "true"],
        description="Also record the hands; record.launch.py has more choices.",
    ),
    DeclareLaunchArgument("bag", default_value="", description="Folder for the recording; empty for hands_ and the time."),
    DeclareLaunchArgument(
        "log_level", default_value="info", choices=["debug", "info", "warn", "error"], description="Least to log."
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=["false", "true"],
        description="Also start RViz with the meshes, the frames and the image.",
    ),
    DeclareLaunchArgument(
        "fixed_frame",
        default_value="camera_optical_frame",
        description="RViz's fixed frame: the frame_id of the images, or one that it hangs on.",
    ),
]


def start_nodes(context) -> list:
    """The node, and what else was asked for."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    # As YAML would read it: "false" is a boolean.
    parameters = {name: value(name) if name in TEXTS else yaml.safe_load(value(name)) for name in PARAMETERS if value(name)}
    in_file = read_parameters(value("params_file"), value("name"))
    cameras = parameters.get("cameras") or in_file.get("cameras") or [""]
    if not isinstance(cameras, list) or not all(isinstance(camera, str) for camera in cameras):
        raise InputError(f"cameras:={value('cameras')} is not a list of namespaces; give cameras:='[left, right]'")
    images = camera_topics("image", value("image") or "image_raw", cameras)
    depths = camera_topics("depth_image", value("depth_image") or "depth/image_raw", cameras)
    topics = {"image_raw": images, "depth/image_raw": depths}
    if value("camera_info"):  # else the node looks for it around the image
        topics["camera_info"] = camera_topics("camera_info", value("camera_info"), cameras)
    namespace = value("namespace")
    time = [{"use_sim_time": value("use_sim_time") == "true"}] if value("use_sim_time") else []
    nodes = [
        start_node(
            "hands_node",
            name=value("name"),
            namespace=namespace,
            parameters=[value("params_file"), parameters, *time],
            remappings=remappings(cameras, topics),
            arguments=["--ros-args", "--log-level", value("log_level")],
        )
    ]
    if value("video"):
        lens = ["--fov", value("fov")] if value("fov") else []
        infos = topics.get("camera_info") or [beside(image, "camera_info") for image in images]
        nodes += [
            start_camera(
                namespace,
                camera,
                {"image_raw": image, "camera_info": info},
                parameters=time,
                arguments=[value("video"), "--loop", "--subscribers", "1", *lens],
            )
            for camera, image, info in zip(cameras, images, infos)
        ]
    if value("record") == "true":
        nodes.append(start_node("hands_recorder", parameters=time, arguments=[value("bag")] if value("bag") else []))
    if value("rviz") == "true":
        first = cameras[0] + "/" if cameras[0] else ""
        nodes.append(
            start_rviz(
                CONFIG,
                value("fixed_frame"),
                namespace=namespace,
                parameters=time,
                remappings=[("/hands/markers", first + "hands/markers"), ("/image_raw", images[0])],
            )
        )
    return nodes


def generate_launch_description() -> LaunchDescription:
    """The arguments and what they start."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_nodes)])
