"""Looks whether somebody else publishes the hands' frames on /tf as well: transforms would jump between the two."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable

from rclpy.node import Node

from ..pypi.message_types import TFMessage, deserialize
from .outputs import Outputs
from .polling import frame_topics

_DEPTH = 100
"""Messages that are looked at each time, the newest: enough to meet another node's, whatever a robot's joints publish."""
_MEMORY = 10.0
"""Seconds for which frames of somebody else's are told after they were seen."""


class FrameWatch:
    """Watches /tf and /tf_static for frames that this node publishes, in messages that it did not.

    node: the rclpy node. Another node with hands that has the same names comes up when both see the same hand; a robot's
    own link of that name at once.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._topics = frame_topics(node, _DEPTH)
        self._seen: dict[str, float] = {}  # when; what is static is seen for ever

    def look(self, outputs: Iterable[Outputs]) -> dict[Outputs, str]:
        """Of those outputs whose frames somebody else publishes too, what is wrong. Call it every second or so."""
        outputs = list(outputs)
        # First what came, then what was sent: nothing of it that came is missed.
        came = [(static, data) for static, topic in enumerate(self._topics) for data, _ in topic.take()]
        own = {number for one in outputs for number in tuple(one.sent)}
        names = [frame.encode() for one in outputs for frame in one.frames]
        now = time.monotonic()
        for static, data in came:
            if hash(data) not in own and any(name in data for name in names):  # unpacking is slow
                self._seen.update(dict.fromkeys(_children(data), math.inf if static else now))
        problems = {}
        for one in outputs:
            shared = sorted(name for name in one.frames if now - self._seen.get(name, -math.inf) < _MEMORY)
            if shared:
                problems[one] = self._problem(shared)
        return problems

    def _problem(self, shared: list[str]) -> str:
        node, names = self._node, Counter[str]()
        topics = [node.resolve_topic_name(topic.topic) for topic in self._topics]
        for info in (info for topic in topics for info in node.get_publishers_info_by_topic(topic)):
            names[f"{info.node_namespace.rstrip('/')}/{info.node_name}"] += 1
        named_so = names.pop(node.get_fully_qualified_name(), 0)
        alike = named_so > sum(publisher.topic_name in topics for publisher in node.publishers)
        others = "a node of the same name" if alike or not names else ", ".join(sorted(names))
        frames = ", ".join(shared[:2]) + (f" and {len(shared) - 2} more" if len(shared) > 2 else "")
        return f"frames that somebody else publishes too ({others} on /tf): {frames}; give one of the two another frame_prefix"

    def destroy(self) -> None:
        """Close the topics."""
        for topic in self._topics:
            topic.destroy()


def _children(data: bytes) -> list[str]:
    """The names of the frames in a serialised TFMessage."""
    try:
        return [transform.child_frame_id.lstrip("/") for transform in deserialize(data, TFMessage).transforms]
    except Exception:  # rclpy's and rosbags' own, for what is no TFMessage
        return []
