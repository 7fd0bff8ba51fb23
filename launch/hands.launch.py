"""Launches the node that tracks both hands in the images of one camera or several, or of a video; RViz; a recording."""

from pathlib import Path

from fourdhands_core.errors import InputError
from fourdhands_core.files import local_path
from fourdhands_core.fusion.rig import load_rig
from fourdhands_ros.node.parameters import Parameters
from fourdhands_ros.tools import launching
from fourdhands_ros.tools.rviz import start_rviz

CONFIG = Path(__file__).resolve().parents[1] / "config"
PARAMETERS = tuple(Parameters.__dataclass_fields__)
"""All of them are arguments; left empty, the value of params_file holds."""

ARGUMENTS = [
    launching.argument(
        "image",
        "Image topic, sensor_msgs/Image; with image_transport:=compressed its base name. Of several cameras its "
        "name in the namespace of each, such as color/image_raw, or a list with a topic for each.",
        default="image_raw",
    ),
    launching.argument(
        "camera_info",
        "CameraInfo topic, likewise; not given, the one beside the image topic. Without one a field of view is "
        "assumed: no true metres.",
    ),
    launching.argument(
        "depth_image",
        "With depth its topic, sensor_msgs/Image, 16UC1 or 32FC1; with depth_transport:=compressedDepth its base "
        "name. Of several cameras as image.",
        default="depth/image_raw",
    ),
    launching.argument("namespace", "Namespace of the node and of its topics, one for each camera."),
    launching.argument("name", "Name of the node.", default="hands"),
    launching.argument(
        "params_file", "YAML file of parameters; config/hands.yaml explains each.", default=str(CONFIG / "hands.yaml")
    ),
    *[launching.parameter_argument(name) for name in PARAMETERS if name != "fixed_frame"],
    launching.argument(
        "fixed_frame", "Frame of fused hands, and RViz's: camera_optical_frame, or one that the images' frames hang on."
    ),
    launching.switch("use_sim_time", "", "Whether all programs take the time from /clock, of a simulation or a bag."),
    launching.argument("video", "A video file, or the number of a webcam, to play as the camera; a file as each of several."),
    launching.argument("fov", "Horizontal field of view of the video, degrees: makes positions metric."),
    launching.switch("record", "false", "Also record the hands; record.launch.py has more choices."),
    launching.argument("bag", "Folder for the recording; empty for hands_ and the time."),
    launching.argument("log_level", "Least to log.", default="info", choices=["debug", "info", "warn", "error"]),
    launching.switch("rviz", "false", "Also start RViz with the meshes, the frames and the image."),
    *launching.view_arguments(),
]


def start_nodes(context) -> list:
    """The node, and what else was asked for."""
    value = launching.values_of(ARGUMENTS, context)
    given = {name: value[name] for name in PARAMETERS if value[name]}
    parameters = {name: launching.as_parameter(name, text) for name, text in given.items()}
    in_file = launching.read_parameters(value["params_file"], value["name"], value["namespace"])
    cameras = parameters.get("cameras") or in_file.get("cameras") or [""]
    if not isinstance(cameras, list) or not all(isinstance(camera, str) for camera in cameras):
        raise InputError(f"cameras:={value['cameras']} is not a list of namespaces; give cameras:='[left, right]'")
    images = launching.camera_topics("image", value["image"] or "image_raw", cameras)
    depths = launching.camera_topics("depth_image", value["depth_image"] or "depth/image_raw", cameras)
    topics = {"image_raw": images, "depth/image_raw": depths}
    if value["camera_info"]:  # else the node looks for it around the image
        topics["camera_info"] = launching.camera_topics("camera_info", value["camera_info"], cameras)
    namespace = value["namespace"]
    time = [{"use_sim_time": value["use_sim_time"] == "true"}] if value["use_sim_time"] else []
    fused = bool(parameters.get("fusion", in_file.get("fusion")))
    nodes = [
        launching.start_node(
            "hands_node",
            name=value["name"],
            namespace=namespace,
            parameters=[value["params_file"], parameters, *time],
            remappings=launching.remappings(cameras, topics),
            arguments=["--ros-args", "--log-level", value["log_level"]],
        )
    ]
    if value["video"]:
        lens = ["--fov", value["fov"]] if value["fov"] else []
        infos = topics.get("camera_info") or [launching.beside(image, "camera_info") for image in images]
        nodes += [
            launching.start_camera(
                namespace,
                camera,
                {"image_raw": image, "camera_info": info},
                parameters=time,
                arguments=[value["video"], "--loop", "--subscribers", "1", *lens],
            )
            for camera, image, info in zip(cameras, images, infos)
        ]
    if value["record"] == "true":
        nodes.append(launching.start_node("hands_recorder", parameters=time, arguments=[value["bag"]] if value["bag"] else []))
    if value["rviz"] == "true":
        first = cameras[0] + "/" if cameras[0] and not fused else ""
        frame, poses = (str(parameters.get(name) or in_file.get(name) or "") for name in ("fixed_frame", "camera_poses"))
        frame = load_rig(local_path(poses)).frame(frame) if fused and poses else frame
        nodes.append(
            start_rviz(
                CONFIG,
                frame or "camera_optical_frame",
                namespace=namespace,
                parameters=time,
                remappings=[("/hands/markers", first + "hands/markers"), ("/image_raw", images[0])],
            )
        )
    models = {name: str(parameters.get(name) or in_file.get(name) or "") for name in ("hand_model", "hand_model_left")}
    return nodes + launching.start_view(context, *launching.hands_shown(namespace, cameras, images, fused), models)


def generate_launch_description():
    """The arguments and what they start."""
    return launching.description(ARGUMENTS, start_nodes)
