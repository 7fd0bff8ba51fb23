"""Topics of a bag, and in words why they are not read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

IMAGES = {"sensor_msgs/msg/Image": False, "sensor_msgs/msg/CompressedImage": True}
"""Types of image topics, and whether they are compressed."""
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TF, TF_STATIC = "/tf", "/tf_static"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"
JOINT_STATE = "sensor_msgs/msg/JointState"
CONVERT = "`rosbags-convert --src {} --dst FOLDER` makes a bag of ROS 2 of it"
_ENCODINGS = {"ros1": "of ROS 1", "json": "JSON"}
_VIDEO = re.compile(r"video|ffmpeg|theora|h26\d", re.IGNORECASE)
_PICTURES = re.compile(rf"image|img|rgbd|{_VIDEO.pattern}", re.IGNORECASE)
"""In the name of a type: of messages that hold pictures, in whatever way."""
_NAMED = 6
"""So many are named, others counted."""


@dataclass(frozen=True)
class Topic:
    """type: as "sensor_msgs/msg/Image". count: its messages. definition: the text of the type, where the bag has it.
    encoding: of the messages, as mcap calls it; only "cdr" is read."""

    type: str
    count: int = 0
    definition: str = ""
    encoding: str = "cdr"


def topics_of(topics: Mapping[str, Topic], *types: str) -> list[str]:
    """Sorted, those of one of these types that hold messages."""
    return sorted(name for name, topic in topics.items() if topic.type in types and topic.count)


def frame_topics(topics: Mapping[str, Topic]) -> tuple[str, str]:
    """Where a bag has the transforms of moving frames and of static ones: TF and TF_STATIC, or with neither those of the only
    namespace that has some, as of a robot whose nodes were remapped (/robot1/tf). The names may not be there."""
    there = topics_of(topics, TF_MESSAGE)
    spaces = {name.removesuffix(one) for name in there for one in (TF, TF_STATIC) if name.endswith(one)}
    space = "" if "" in spaces or len(spaces) != 1 else spaces.pop()
    return space + TF, space + TF_STATIC


def encoding_words(unread: Mapping[str, Topic]) -> str:
    """That these topics' messages are not ROS 2's, and how they become so."""
    encodings = sorted({topic.encoding for topic in unread.values()})
    held = some(f"{name} of {topic.type or 'no type'}" for name, topic in sorted(unread.items()))
    what = " and ".join(_ENCODINGS.get(encoding, encoding) for encoding in encodings)
    do = (
        "convert the .bag that it was made of: rosbags-convert --src FILE.bag --dst FOLDER"
        if encodings == ["ros1"]
        else "record them as sensor_msgs/Image or CompressedImage with `ros2 bag record`"
    )
    return f"its messages are {what}, not ROS 2's ({held}); {do}"


def no_camera_words(topics: Mapping[str, Topic], unread: Mapping[str, Topic]) -> str:
    """Why none of a bag's topics is taken for a camera's."""
    pictures = {name: topic for name, topic in {**unread, **topics}.items() if may_hold_pictures(topic)}
    if not pictures:
        held = some(sorted(topics)) if topics else "nothing that is read"
        return f"no topic of a camera is in this bag: it holds {held}, and no images"
    why = some(topic_words(name, topic) for name, topic in sorted(pictures.items()))
    return f"no topic of a camera is in this bag: {why}"


def may_hold_pictures(topic: Topic) -> bool:
    """Whether its type is called as such types are."""
    return _PICTURES.search(topic.type) is not None


def topic_words(name: str, topic: Topic) -> str:
    """Why a topic with pictures is not taken for a camera's, or only where it is asked for."""
    if topic.encoding != "cdr":
        return f"{name} is {_ENCODINGS.get(topic.encoding, topic.encoding)} ({topic.type}), not ROS 2's CDR"
    if not topic.count:
        return f"{name} is empty"
    if topic.type not in IMAGES:
        if _VIDEO.search(topic.type):
            return (
                f"{name} is video ({topic.type}), which is not read; record the images raw or compressed, or have "
                "image_transport's republish make them so"
            )
        return f"{name} is of type {topic.type}, which is not read; record sensor_msgs/Image or CompressedImage"
    if "compresseddepth" in name.lower():
        return f"{name} is compressed depth, where colour, grey or infrared is needed; record the camera's colour images too"
    if "depth" in name:
        return f"{name} is called depth, where colour, grey or infrared is needed; --topic {name} takes it all the same"
    return f"{name} is not called image; --topic {name} takes it"


def some(words: Iterable[str]) -> str:
    """The first few, and how many there are more."""
    words = list(words)
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more
