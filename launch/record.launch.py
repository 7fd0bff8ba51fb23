"""Launches the recorder: the hands, their frames and meshes, CameraInfo and, where asked for, the images, into an mcap."""

from fourdhands_ros.tools.launching import (
    argument,
    description,
    start_node,
    start_view,
    switch,
    values_of,
    view_arguments,
    view_options,
)

ARGUMENTS = [
    argument("bag", "Folder to write, which must not be there; empty for hands_ and the time, in the working directory."),
    argument(
        "images",
        "Also record the images: sensor_msgs/Image, or CompressedImage of the topics .../compressed.",
        default="none",
        choices=["none", "raw", "compressed"],
    ),
    switch("markers", "true", "Record the meshes, hands/markers. The node computes them only while somebody takes them."),
    argument("topics", "Further topics to record: regular expressions of their whole names, apart by spaces."),
    argument(
        "episodes",
        "Record episodes one by one as bags of this folder, by the services /hands_recorder/start, stop, toggle, keep, "
        "discard, success, failure, or by the keys of `ros2 run fourdhands_ros hands_recorder --keys` in another terminal; "
        "empty for one bag.",
    ),
    argument("task", "With episodes: what is shown in them."),
    argument("countdown", "With episodes: seconds from start to go.", default="3.0"),
    switch(
        "rosbag2",
        "false",
        "Have `ros2 bag record` do it: with its options of storage, but silent on what is lost on the way to it.",
    ),
    switch(
        "use_sim_time",
        "false",
        "Whether messages are recorded with the time of /clock, of a simulation, in place of the computer's.",
    ),
    *view_arguments(),
]


def start_recorder(context) -> list:
    """The recorder with the arguments' values."""
    value = values_of(ARGUMENTS, context)
    arguments = [*filter(None, [value["bag"]]), "--images", value["images"]]
    if value["markers"] == "false":
        arguments.append("--no-markers")
    if value["episodes"]:
        arguments += [word for name in ("episodes", "task", "countdown") for word in (f"--{name}", value[name])]
    if value["rosbag2"] == "true":
        arguments.append("--rosbag2")
    for topic in value["topics"].split():
        arguments += ["--topic", topic]
    recorder = start_node("hands_recorder", arguments=arguments, parameters=[{"use_sim_time": value["use_sim_time"] == "true"}])
    page = view_options(context)
    return [recorder] if page is None else [recorder, start_view(page, [])]


def generate_launch_description():
    """The arguments and what they start."""
    return description(ARGUMENTS, start_recorder)
