"""What ~/estop says, of however many publishers: ROS does not tell which of them a message is of."""

from __future__ import annotations

from rclpy.node import Node

from .commanders import publishers_of

_PAGE = "/hands_view"
"""What a name of `fourdhands view --estop` ends with, whose button is pushed and never held: it says true alone."""


class EmergencyStop:
    """Any publisher's true presses it; a false lets it go where it can only be of the one who pressed it: where no other
    publisher is there. node: of the subscription."""

    def __init__(self, node: Node) -> None:
        self._node, self._topic, self.pressed = node, node.resolve_topic_name("~/estop"), False

    def take(self, pressed: bool) -> None:
        """A message came."""
        self.pressed = pressed or (self.pressed and len(self._holders()) > 1)

    def problem(self) -> str:
        """What has to be done before the robot can be reset, in words; empty where it is not pressed."""
        if not self.pressed:
            return ""
        if len(names := self._holders()) > 1:
            return (
                f"{self._topic} says true, and its publishers are {', '.join(names)}: no one's false counts for another; "
                "see that none holds it, end all but one, and have that publish false"
            )
        return "~/estop says true; publish false there first"

    def _holders(self) -> list[str]:
        """Names of all who may hold it."""
        return [name for name in publishers_of(self._node, self._topic) if not name.endswith(_PAGE)]
