"""Which topics of the ROS graph belong to the hands, and what of each of them arrives."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..convert.cdr import stamp_in
from ..node.delivery import Spacing
from ..node.polling import PolledSubscription
from .topics import TF_MESSAGE

if TYPE_CHECKING:
    from rclpy.node import Node


_DEPTH = 200
"""Messages that wait in the middleware while the recorder is busy: seconds of any topic."""

HANDS = (r"(.*/)?hands", r"(.*/)?hands/faces", r"/tf", r"/tf_static", r"(.*/)?camera_info", r"/diagnostics")
"""Topics that belong to the hands, regular expressions of whole names."""
MARKERS = r"(.*/)?hands/markers"
IMAGES = {"none": (), "raw": (r"(.*/)?image_\w+",), "compressed": (r"(.*/)?image_\w+/compressed",)}
_PAIR, _FACES, _MARKERS = "fourdhands_ros/msg/HandPair", "fourdhands_ros/msg/HandFaces", "visualization_msgs/msg/MarkerArray"
_INFO, _IMAGE, _COMPRESSED = (f"sensor_msgs/msg/{name}" for name in ("CameraInfo", "Image", "CompressedImage"))
_SPACING = 5
"""Looks between two counts by the spacing of stamps, which need some."""
_KEPT, _UNDER_WAY = 200, 10
"""Images whose CameraInfo may still come, and CameraInfo whose images may."""
_STAMPED = (_IMAGE, _COMPRESSED, _INFO)
"""Types that cameras send at a steady rate, with a header first."""


class Selection:
    """Chooses topics by name, and what is remapped by what it is: all of the nodes that publish a HandPair.

    names: regular expressions of whole names; images: a key of IMAGES; markers: also the meshes. everything: every topic.
    """

    def __init__(self, names: Sequence[str] = (), images: str = "none", markers: bool = True, everything: bool = False) -> None:
        self._asked = [re.compile(name) for name in names]
        names = [*HANDS, *IMAGES[images], *names, *([MARKERS] if markers else [])]
        self._names = re.compile("|".join(f"(?:{name})" for name in names))
        self._images, self._markers, self._everything = images, markers, everything

    def missing(self, node: Node) -> list[str]:
        """In words, what is to be recorded and nobody publishes: images, topics that were asked for."""
        words = []
        if self._images != "none" and not self._has_images(node):
            other = "compressed" if self._images == "raw" else "raw"
            there = Selection(images=other)._has_images(node)
            advice = f", but {other} ones: record --images {other}" if there else ""
            words.append(f"nobody publishes {self._images} images{advice}")
        published = [topic for topic, _ in node.get_topic_names_and_types() if node.count_publishers(topic)]
        absent = [name.pattern for name in self._asked if not any(map(name.fullmatch, published))]
        return [*words, *(f"nobody publishes a topic whose whole name is {name}, which is to be recorded" for name in absent)]

    def _has_images(self, node: Node) -> bool:
        kind = _IMAGE if self._images == "raw" else _COMPRESSED
        return any(type_name == kind and node.count_publishers(name) for name, type_name in self(node).items())

    def for_rosbag2(self, node: Node) -> list[str]:
        """Arguments of `ros2 bag record` for the same topics, by name and type, and for what is remapped now."""
        # Not as --topics: where those are found it looks for no more.
        names = "|".join([self._names.pattern, *map(re.escape, sorted(self(node)))])
        return ["--regex", f"^({names})$", "--topic-types", _PAIR, _FACES]

    def __call__(self, node: Node) -> dict[str, str]:
        """The types of the chosen topics by name, of those that somebody publishes or takes now."""
        present = {topic: types[0] for topic, types in node.get_topic_names_and_types()}
        if self._everything:
            return present
        chosen = {topic for topic, kind in present.items() if self._names.fullmatch(topic) or kind in (_PAIR, _FACES)}
        pairs = [topic for topic in chosen if present[topic] == _PAIR]
        nodes = {(info.node_name, info.node_namespace) for topic in pairs for info in node.get_publishers_info_by_topic(topic)}
        for name in nodes:
            chosen |= self._of_node(node, name)
        return {topic: present[topic] for topic in chosen & present.keys()}

    def _of_node(self, node: Node, name: tuple[str, str]) -> set[str]:
        """What a node that publishes hands publishes and takes."""
        try:
            published, taken = (
                {topic: types[0] for topic, types in ask(*name)}
                for ask in (node.get_publisher_names_and_types_by_node, node.get_subscriber_names_and_types_by_node)
            )
        except Exception:  # it has ended meanwhile; rclpy's class for that has no public name
            return set()
        chosen = {topic for topic, kind in (published | taken).items() if kind in (_INFO, TF_MESSAGE)}
        if self._markers:
            chosen |= {topic for topic, kind in published.items() if kind == _MARKERS}
        for topic, kind in taken.items():
            if self._images == "raw" and kind in (_IMAGE, _COMPRESSED):
                chosen.add(re.sub(r"/compressed(Depth)?$", "", topic))
            elif self._images == "compressed" and kind == _COMPRESSED:
                chosen.add(topic)
            elif self._images == "compressed" and kind == _IMAGE:
                chosen.add(topic + "/compressed")
        return chosen


class Companions:
    """Counts images that are missing beside their CameraInfo, which has the same stamp and is too small to get lost.

    missing: how many; 0 where no stamp was ever the same.
    """

    def __init__(self) -> None:
        self._alone: set[int] = set()
        self._images: deque[int] = deque(maxlen=_KEPT)
        self._missing, self._matched = 0, False

    def info(self, stamp: int) -> None:
        """A CameraInfo came; the two topics need not keep step."""
        if stamp in self._images:
            self._matched = True
        else:
            self._alone.add(stamp)
            if not self._matched and len(self._alone) > _KEPT:
                self._alone.clear()

    def image(self, stamp: int) -> None:
        """An image came: those before it do not come any more."""
        matched = self._matched
        if stamp in self._alone:
            self._alone.remove(stamp)
            self._matched = True
        before = {one for one in self._alone if one < stamp}
        self._alone -= before
        self._missing += len(before) if matched else 0
        self._images.append(stamp)

    @property
    def missing(self) -> int:
        """How many images are missing so far."""
        waiting = len(self._alone) if self._matched else 0
        return self._missing + (waiting if waiting > _UNDER_WAY else 0)


class RecordedTopic:
    """A topic's messages, and how many of them do not arrive.

    kind: the type's class, type_name: its name. connection: the bag's. written: messages for the bag. newest: the time of the
    last, nanoseconds. refused: messages that came and were not written, as the disk is too slow.
    Subscribes with the reliability and durability that all publishers offer: a reliable subscription hears no best-effort
    publisher, and so on.
    """

    def __init__(self, node: Node, kind: Any, type_name: str, topic: str, connection: Any) -> None:
        self._node, self._kind, self.topic, self.connection = node, kind, topic, connection
        self.written = self.newest = self.refused = 0
        self._told_before = self._gaps = 0
        self._sequence: int | None = None
        self._alone, self._numbered = True, False
        self._spacing = Spacing() if type_name in _STAMPED else None
        self.type_name = type_name
        self._companions: Companions | None = None
        self.listeners: list[Callable[[int], None]] = []
        self._sparse = self._looks = 0
        self._profile = self._common()
        self._subscription = PolledSubscription(node, kind, topic, self._profile)

    def _common(self) -> QoSProfile:
        offers = [info.qos_profile for info in self._node.get_publishers_info_by_topic(self.topic)]
        reliable = bool(offers) and all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
        latched = bool(offers) and all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
        return QoSProfile(
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )

    def beside(self, topics: dict[str, RecordedTopic]) -> None:
        """Compare with the CameraInfo beside this topic, if both are recorded; call it when topics are added."""
        folder = re.sub(r"/compressed$", "", self.topic).rpartition("/")[0]
        info = topics.get(folder + "/camera_info")
        if self.type_name not in (_IMAGE, _COMPRESSED) or self._companions is not None or info is None:
            return
        self._companions = companions = Companions()
        self.listeners.append(companions.image)
        info.listeners.append(companions.info)

    def take(self) -> Iterator[tuple[bytes, int]]:
        """Messages that have come, as (data, time of reception in nanoseconds or 0)."""
        for data, info in self._subscription.take():
            number = info.get("publication_sequence_number")
            if number is not None:  # that a publisher gives its messages, where the middleware tells it
                self._numbered = True
                if self._sequence is not None and number > self._sequence:
                    self._gaps += number - self._sequence - 1
                self._sequence = number
            if self._spacing is not None and (stamp := stamp_in(data)) is not None:
                self._spacing.add(stamp)
                for listener in self.listeners:
                    listener(stamp)
            yield data, info.get("received_timestamp", 0)

    def look(self, last: bool = False) -> None:
        """Keep up with publishers that come and go, and with what is lost; call every second or so, and at the end."""
        self._alone &= self._subscription.publisher_count() <= 1
        self._subscription.count_lost()
        self._looks += 1
        if self._spacing is not None and (last or self._looks % _SPACING == 0):
            self._sparse += self._spacing.missing()
            self._spacing.forget()
        if last:
            return
        profile, before = self._common(), self._profile
        same = (profile.reliability, profile.durability) == (before.reliability, before.durability)
        if not same and self._node.count_publishers(self.topic):
            self._told_before += self._subscription.lost
            self._subscription.destroy()
            self._profile, self._sequence = profile, None
            self._subscription = PolledSubscription(self._node, self._kind, self.topic, profile)

    @property
    def lost(self) -> int:
        """Messages that were published after the first that came, and are not written."""
        told = self._told_before + self._subscription.lost
        return self.refused + max(told, self._gaps if self._alone else 0)

    @property
    def losses(self) -> str:
        """In words, how many messages are not there; "" where none is known to be missing."""
        if self.lost:
            return f"{self.lost} lost"
        if self._numbered or not self._alone:
            return ""
        if self._companions is not None and self._companions.missing:
            return f"{self._companions.missing} lost whose CameraInfo came"
        return f"about {self._sparse} missing by the spacing of their stamps" if self._sparse else ""

    @property
    def publishers(self) -> int:
        """How many publishers it is connected to."""
        return self._subscription.publisher_count()

    def destroy(self) -> None:
        """Close the topic."""
        self._subscription.destroy()
