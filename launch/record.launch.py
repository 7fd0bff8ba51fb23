"""Launches the recorder: the hands, their frames and meshes, CameraInfo and, where asked for, the images, into an mcap."""

from fourdhands_ros.tools import launching

ARGUMENTS = [
    launching.argument(
        "bag", "Folder to write, which must not be there; empty for hands_ and the time, in the working directory."
    ),
    launching.argument(
        "images",
        "Also record the images: sensor_msgs/Image, or CompressedImage of the topics .../compressed.",
        default="none",
        choices=["none", "raw", "compressed"],
    ),
    launching.switch(
        "markers", "true", "Record the meshes, hands/markers. The node computes them only while somebody takes them."
    ),
    launching.argument("topics", "Further topics to record: regular expressions of their whole names, apart by spaces."),
    launching.argument(
        "episodes",
        "Record episodes one by one as bags of this folder, by the services /hands_recorder/start, stop, toggle, keep, "
        "discard, success, failure, or by the keys of `ros2 run fourdhands_ros hands_recorder --keys` in another terminal; "
        "empty for one bag.",
    ),
    launching.argument("task", "With episodes: what is shown in them."),
    launching.argument("countdown", "With episodes: seconds from start to go.", default="3.0"),
    launching.switch(
        "rosbag2",
        "false",
        "Have `ros2 bag record` do it: with its options of storage, but silent on what is lost on the way to it.",
    ),
    launching.switch(
        "use_sim_time",
        "false",
        "Whether messages are recorded with the time of /clock, of a simulation, in place of the computer's.",
    ),
    *launching.view_arguments(),
]


def start_recorder(context) -> list:
    """The recorder with the arguments' values."""
    value = launching.values_of(ARGUMENTS, context)
    arguments = [*filter(None, [value["bag"]]), "--images", value["images"]]
    if value["markers"] == "false":
        arguments.append("--no-markers")
    if value["episodes"]:
        arguments += [word for name in ("episodes", "task", "countdown") for word in (f"--{name}", value[name])]
    if value["rosbag2"] == "true":
        arguments.append("--rosbag2")
    for topic in value["topics"].split():
        arguments += ["--topic", topic]
    recorder = launching.start_node(
        "hands_recorder", arguments=arguments, parameters=[{"use_sim_time": value["use_sim_time"] == "true"}]
    )
    return [recorder, *launching.start_view(context, [])]


def generate_launch_description():
    """The arguments and what they start."""
    return launching.description(ARGUMENTS, start_recorder)
