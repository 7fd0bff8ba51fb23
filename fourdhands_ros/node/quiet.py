"""Publishers and subscriptions without rclpy's own warnings of others with another QoS: `event_callbacks` of both."""

from __future__ import annotations

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

PUBLISHES_QUIETLY = PublisherEventCallbacks(use_default_callbacks=False)
"""rclpy's own callbacks tell of subscribers with another QoS, as those do themselves. The executor goes through every
publisher's two before it waits for the next image: with a dozen, longer than through all the rest."""
LISTENS_QUIETLY = SubscriptionEventCallbacks(use_default_callbacks=False)
