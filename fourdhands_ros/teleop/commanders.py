"""Who else leads the robot: other publishers of what it is told, and other nodes of this kind, as the graph tells."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable

from rclpy.node import Node
from std_msgs.msg import String

from ..lifecycle import open_publisher
from .parameters import TeleopParameters

_INPUTS = "target_frame", "delta_twist_cmds", "pose_target_cmds", "delta_joint_cmds"
"""Topics, in one namespace, by which a controller of an arm's end is led; MoveIt Servo has the last three."""
_KILLED = "; if one of that name was killed, wait: it is forgotten after 20 seconds or so"
"""The time is Fast DDS's."""


class Commanders:
    """Counts who commands the robot, this node included.

    own: topics, in full, that this node publishes and nobody else may. arm: names of the joints of an arm that is told joints;
    hand: of the robot's hand, empty where it is not led. `made` gets what undoes it.

    Nodes of this kind that lead the same arm or hand by other topics are seen by publishers of a hidden topic without messages,
    named after what they lead: an arm by its frames, joints by their names, both together with where they are heard of.
    """

    def __init__(
        self,
        node: Node,
        parameters: TeleopParameters,
        own: Iterable[str],
        arm: Iterable[str],
        hand: Iterable[str],
        made: contextlib.ExitStack,
    ) -> None:
        self._node, self._alone = node, dict.fromkeys(own, "")
        self._none: list[str] = []
        if parameters.arm in ("pose", "twist"):
            for topic in list(self._alone):
                space, _, name = topic.rpartition("/")
                if name in _INPUTS:
                    self._none += [f"{space}/{other}" for other in _INPUTS if other != name]
        base, end = (frame.lstrip("/") for frame in (parameters.base_frame, parameters.end_frame))
        joints, pose = map(node.resolve_topic_name, ("joint_states", "ee_pose"))
        led = {
            f"the joints {', '.join(names)}": ("joints", joints, *sorted(names)) for names in (tuple(arm), tuple(hand)) if names
        }
        if parameters.arm != "none":
            led[f"{end} in {base}"] = ("arm", joints, pose, base, end)
        for what, key in led.items():
            digest = hashlib.sha256("\n".join(key).encode()).hexdigest()[:16]
            publisher = open_publisher(node, made, String, f"/_hands_teleop/leads_{digest}", 1)
            self._alone[publisher.topic_name] = what

    def count(self) -> int:
        """How many there are, this node included."""
        count = self._node.count_publishers
        return max([1, *map(count, self._alone), *(1 + count(topic) for topic in self._none)])

    def problem(self) -> str:
        """Who else there is, in words; else empty."""
        for topic, led in self._alone.items():
            if several := more_than_one(self._node, topic, led):
                return several
        for topic in self._none:
            if names := publishers_of(self._node, topic):
                return f"the arm can be led by {topic} too, whose publishers have to end: {', '.join(names)}"
        return ""


def publishers_of(node: Node, topic: str) -> list[str]:
    """Full names of the nodes that publish a topic; of a node that is just coming or going its name may not be known."""
    found = node.get_publishers_info_by_topic(topic)
    return [
        "a node of unknown name" if "UNKNOWN" in one.node_name else f"{one.node_namespace.rstrip('/')}/{one.node_name}"
        for one in found
    ]


def more_than_one(node: Node, topic: str, led: str = "") -> str:
    """In words which publishers a topic has; empty where it is one at most. led: what these nodes lead, where the topic's name
    says nothing."""
    names = publishers_of(node, topic)
    if len(names) < 2:
        return ""
    said = (
        f"{led} is led by {len(names)} nodes, and may be by one"
        if led
        else f"{topic} has {len(names)} publishers, and may have one"
    )
    killed = "" if len({*names}) == len(names) else _KILLED
    return f"{said}: {', '.join(names)}{killed}"
