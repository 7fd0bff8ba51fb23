"""Subscriptions whose messages are taken when asked for: no executor waits for them, and none is woken by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..pypi.message_types import TFMessage
from .quiet import listen


class _Unattended(CallbackGroup):
    """Whose members no executor may execute, so that it leaves them out."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


def frame_topics(node: Node, depth: int) -> list[PolledSubscription]:
    """/tf and /tf_static. depth: messages between two looks that are not lost."""
    latched = QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    moving = QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)
    return [PolledSubscription(node, TFMessage, name, qos) for name, qos in (("/tf", moving), ("/tf_static", latched))]


class PolledSubscription:
    """A topic's serialised messages. Of more than the depth of `qos` between two calls of `take` the oldest are lost.

    lost: how many the middleware says did not arrive, so far as it tells; brought up to date by `count_lost`.
    """

    def __init__(self, node: Node, message_type: Any, topic: str, qos: QoSProfile) -> None:
        self._node, self.topic, self.lost = node, topic, 0
        ignored, group = lambda _: None, _Unattended()
        self._subscription = listen(node, message_type, topic, ignored, qos, lost=ignored, callback_group=group)

    def take(self) -> Iterator[tuple[bytes, dict]]:
        """What has come since, oldest first, each with what the middleware tells of it (source_timestamp and so on)."""
        handle, kind = self._subscription.handle, self._subscription.msg_type
        while True:
            with handle:
                taken = handle.take_message(kind, True)
            if taken is None:
                break
            yield taken

    def count_lost(self) -> None:
        """Ask the middleware what was lost."""
        for event in self._subscription.event_handlers:
            event._ready_to_take_data = True  # what an executor that waits for it would set
            if status := event.take_data():
                self.lost += status.total_count_change

    def publisher_count(self) -> int:
        """How many publishers it is connected to."""
        count = getattr(self._subscription, "get_publisher_count", None)  # Humble lacks it
        return count() if count else self._node.count_publishers(self.topic)

    def destroy(self) -> None:
        """Close the topic."""
        self._node.destroy_subscription(self._subscription)
