"""Which topics of a bag belong to one camera's hands."""

from __future__ import annotations

from dataclasses import dataclass

from fourdhands_core.errors import InputError

from ..bags.depth import AUTO, DepthTopic, find_depth
from ..bags.reading import Bag
from ..bags.topics import CAMERA_INFO, IMAGES, TF_MESSAGE, Topic, topics_of
from ..convert.camera_info import info_topics

DIAGNOSTICS = "/diagnostics"
_TYPES = {DIAGNOSTICS: "diagnostic_msgs/msg/DiagnosticArray"}
STRING = "std_msgs/msg/String"


@dataclass(frozen=True)
class HandTopics:
    """pairs: of HandPair. image, info: empty where there is none. depth: in the image's view, None where there is none."""

    pairs: str
    image: str = ""
    info: str = ""
    depth: DepthTopic | None = None

    def names(self) -> list[str]:
        """All of them."""
        return [name for name in (self.pairs, self.image, self.info, self.depth.name if self.depth else "") if name]


def camera_topics(bag: Bag, pairs: str, image: str | None) -> HandTopics:
    """Those of a HandPair topic. image: its images, None for those beside it. Raises InputError where they are not there."""
    found = _image_topic(bag, pairs, image)
    depth = find_depth(bag, found, AUTO) if found and any("depth" in name for name in bag.topics) else None
    return HandTopics(pairs, found, _info_topic(bag.topics, pairs, found), depth)


def present(bag: Bag, name: str) -> str:
    """DIAGNOSTICS, or a topic of `frame_topics`, where the bag has messages on it, else an empty text."""
    topic = bag.topics.get(name)
    return name if topic and topic.count and topic.type == _TYPES.get(name, TF_MESSAGE) else ""


def _image_topic(bag: Bag, pairs: str, image: str | None) -> str:
    there = topics_of(bag.topics, *IMAGES)
    if image is not None:
        if image not in there:
            raise InputError(f"{bag.path} holds no images on {image}; image topics are: {', '.join(sorted(there)) or 'none'}")
        return image
    beside, frame = pairs.rpartition("/")[0] + "/", bag.frame(pairs)
    there = [name for name in there if "depth" not in name and "debug" not in name]
    usual = [name for name in there if name.startswith(beside)]
    usual = [name for name in usual if name.removeprefix(beside).startswith("image")] or usual
    if not any(name.removeprefix(beside).startswith("image") for name in usual):  # of a node whose image topic is mapped
        usual = [name for name in there if bag.frame(name) == frame] or usual
    return min(usual, key=lambda name: (not IMAGES[bag.topics[name].type], len(name), name), default="")


def _info_topic(topics: dict[str, Topic], pairs: str, image: str) -> str:
    names = info_topics(image) if image else (pairs.rpartition("/")[0] + "/camera_info",)
    return next((name for name in names if name in topics and topics[name].type == CAMERA_INFO and topics[name].count), "")
