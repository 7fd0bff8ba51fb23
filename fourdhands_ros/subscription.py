"""A subscription to images, best effort as sensor data is, that asks for reliable delivery where too little comes."""

from __future__ import annotations

import time

from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

RELIABILITIES = {"auto": ReliabilityPolicy.BEST_EFFORT, "best_effort": ReliabilityPolicy.BEST_EFFORT,
                 "reliable": ReliabilityPolicy.RELIABLE}
"""What a subscription starts with by the value of the parameter image_reliability."""
_PATIENCE = 2.0
"""Seconds between two looks at how much comes."""
_EVIDENCE = 10
"""So many messages must be due before their absence says anything; a camera that pauses is not a lossy one."""


class ImageSubscription:
    """Newest serialised message of one topic to a callback, by keep last 1.

    A large image is hundreds of packets, and best effort loses it with any of them: with a system's usual socket buffers
    some DDS deliver no image of 1280x720 at all. With reliability "auto" the subscription becomes reliable where all
    publishers of the topic offer that and less than half of what is expected comes (or nothing ever did, where nothing is
    known of what to expect), and best effort again where a publisher appears that offers no more.
    """

    def __init__(self, node, message_type, topic: str, callback, reliability: str = "auto"):
        self._node, self._type, self.topic, self._callback = node, message_type, topic, callback
        self._watched = reliability == "auto"
        self._came = self._came_before = self._expected_before = 0
        self._looked: float | None = None
        self._create(RELIABILITIES[reliability], QoSOverridingOptions.with_default_policies())

    def _create(self, reliability, options):
        self.reliability = reliability
        self._subscription = self._node.create_subscription(
            self._type, self.topic, self._take, QoSProfile(depth=1, reliability=reliability), raw=True,
            qos_overriding_options=options)

    def _take(self, data):
        self._came += 1
        self._callback(data)

    def watch(self, expected: int) -> bool:
        """Look whether enough comes; call every second or so. True where the subscription was changed.

        expected: how many messages the topic should have brought so far, if that is known from another topic, else 0.
        """
        now = time.monotonic()
        if self._looked is None:  # before, the node was busy with its start
            self._looked = now
        if not self._watched or now - self._looked < _PATIENCE:
            return False
        came, due = self._came - self._came_before, expected - self._expected_before
        self._looked, self._came_before, self._expected_before = now, self._came, expected
        starved = came < due / 2 if due >= _EVIDENCE else self._came + expected == 0
        wanted = self.reliability
        if starved or wanted == ReliabilityPolicy.RELIABLE:
            offered = {info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)}
            if ReliabilityPolicy.BEST_EFFORT in offered:
                wanted = ReliabilityPolicy.BEST_EFFORT
            elif offered:
                wanted = ReliabilityPolicy.RELIABLE
        if wanted == self.reliability:
            return False
        self._node.destroy_subscription(self._subscription)
        self._create(wanted, QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)))
        self._node.get_logger().warning(
            f"{came} messages of {self.topic} came in {_PATIENCE:.0f} s" + (f" of {due}" if due else "") + ": asking for "
            f"{wanted.name.lower()} delivery (parameter image_reliability; larger socket buffers help, see README)"
            if wanted == ReliabilityPolicy.RELIABLE else
            f"a publisher of {self.topic} offers best effort only: asking for no more")
        return True

    def destroy(self) -> None:
        """Close the topic."""
        self._node.destroy_subscription(self._subscription)
