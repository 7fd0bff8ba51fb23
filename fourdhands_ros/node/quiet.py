"""Publishers and subscriptions without rclpy's own warnings of others with another QoS, and what the middleware loses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks, UnsupportedEventTypeError

PUBLISHES_QUIETLY = PublisherEventCallbacks(use_default_callbacks=False)
"""rclpy's own callbacks tell of subscribers with another QoS, as those do themselves. The executor goes through every
publisher's two before it waits for the next image: with a dozen, longer than through all the rest."""
LISTENS_QUIETLY = SubscriptionEventCallbacks(use_default_callbacks=False)


def listen(node: Node, *arguments: Any, lost: Callable[[Any], None], warns: bool = False, **more: Any) -> Any:
    """A subscription to serialised messages. lost: called where the middleware tells that it lost some. warns: of publishers
    with another QoS. arguments, more: rclpy's."""
    events = SubscriptionEventCallbacks(message_lost=lost, use_default_callbacks=warns)
    try:
        return node.create_subscription(*arguments, raw=True, event_callbacks=events, **more)
    except UnsupportedEventTypeError:  # a middleware that does not tell
        events.message_lost = None
        return node.create_subscription(*arguments, raw=True, event_callbacks=events, **more)
