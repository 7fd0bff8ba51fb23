"""A subscription to images, best effort as sensor data is, that asks for reliable delivery where too little comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from ..convert.cdr import stamp_in
from .delivery import EVIDENCE, Interval, Spacing
from .quiet import listen

RELIABILITIES = {
    "auto": ReliabilityPolicy.BEST_EFFORT,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
    "reliable": ReliabilityPolicy.RELIABLE,
}
"""What a subscription starts with by the value of the parameter image_reliability."""
_PATIENCE = 2.0
"""Seconds between two looks at how much comes. Each change to reliable doubles them, up to _MOST_PATIENCE, so that
publishers that come and go do not turn the subscription to and fro."""
_MOST_PATIENCE = 64.0


class ImageSubscription:
    """Newest serialised message of one topic to a callback, by keep last 1.

    A large image is hundreds of packets, and best effort loses it with any of them: with a system's usual socket buffers
    some DDS deliver no image of 1280x720 at all, or some and then none. With reliability "auto" the subscription becomes
    reliable where all publishers of the topic offer that and too few of the images that are due come (`Interval`), or none
    do; and best effort again where a publisher appears that offers no more. It changes only while the topic's publishers
    are those of the last look: Fast DDS ends the process where a publisher is found while a subscription is destroyed
    (eProsima/Fast-DDS, issue 3303), and what speaks for a change often is that one has just been found.

    rate: images a second that the camera sends, as far as that can be told; 0 where it cannot. missing: what is wrong
    with the last stretch of time, or "".
    """

    def __init__(self, node: Node, message_type: Any, topic: str, callback: Callable, reliability: str = "auto") -> None:
        self.node, self._type, self.topic, self._callback = node, message_type, topic, callback
        # Who overrides the QoS of the topic has decided.
        overridden = f"qos_overrides.{topic}.subscription.reliability" in getattr(node, "_parameter_overrides", {})
        self._watched = reliability == "auto" and not overridden
        self.patience = _PATIENCE
        self.rate = 0.0
        self._arrived = 0.0
        self.came = self._lost = self._lost_ever = self._infos_before = 0
        self._was_short = False
        self._spacing = Spacing()
        self._publishers: dict[bytes, ReliabilityPolicy] = {}
        self.reliability = RELIABILITIES[reliability]
        self._policies = QoSOverridingOptions.with_default_policies()
        self.open()

    def open(self) -> None:
        """Open the topic, at first and after `close`."""
        self._looked: float | None = None
        self.missing = ""
        wanted = self._type, self.topic, self._take, QoSProfile(depth=1, reliability=self.reliability)
        policies = self._policies
        self._subscription = listen(self.node, *wanted, lost=self._count_lost, warns=True, qos_overriding_options=policies)

    def _take(self, data: Any) -> None:
        self.came += 1
        self._arrived = time.monotonic()
        if (stamp := stamp_in(data)) is not None:
            self._spacing.add(stamp)
        self._callback(data)

    def _count_lost(self, event: Any) -> None:
        self._lost += event.total_count_change

    def watch(self, infos: int = 0) -> bool:
        """Look whether enough comes; call every second or so. True where the subscription was changed.

        infos: how many CameraInfo messages of the same camera have come so far.
        """
        before, self._publishers = self._publishers, self._found() if self._watched else {}
        settled, offered = before == self._publishers, set(self._publishers.values())
        if settled and self.reliability == ReliabilityPolicy.RELIABLE and ReliabilityPolicy.BEST_EFFORT in offered:
            self._change(ReliabilityPolicy.BEST_EFFORT, "a publisher of it offers best effort only: asking for no more")
            return True
        now = time.monotonic()
        if self._publishers and not before:
            self._arrived = now  # nobody was there who could have sent any
        if self._looked is None:  # before, the node was busy with its start, or the publishers with finding it
            self._arrived = now
            self._look(now, infos)
            return False
        seconds = now - self._looked
        if seconds < (self.patience if self.reliability == ReliabilityPolicy.BEST_EFFORT else _PATIENCE):
            return False
        interval = Interval(
            seconds,
            self.came,
            self._lost,
            infos - self._infos_before,
            0 if self._lost_ever + self._lost else self._spacing.count(),  # less exact, for a middleware that does not tell
            now - self._arrived,
            paired=infos >= EVIDENCE,
        )
        if not (interval.conclusive or interval.paused or interval.stalled):
            return False
        self._look(now, infos)
        if interval.conclusive:
            self.rate = interval.due / seconds
        reliable = ReliabilityPolicy.RELIABLE in offered and ReliabilityPolicy.BEST_EFFORT not in offered
        return self._judge(interval, settled and reliable)

    def _look(self, now: float, infos: int) -> None:
        """Begin another interval."""
        self._looked, self._infos_before = now, infos
        self._lost_ever += self._lost
        self.came = self._lost = 0
        self._spacing.forget()

    def _judge(self, interval: Interval, reliable: bool) -> bool:
        """Change to reliable delivery where too little came and it can be had."""
        again, self._was_short = self._was_short, interval.short
        told = f"{interval.came} of {interval.due} images came in {interval.seconds:.1f} s"
        self.missing = told if interval.surely_short else ""
        if not (interval.starved or (interval.short and again)):
            return False
        if not reliable or self.reliability == ReliabilityPolicy.RELIABLE:
            return False
        self.patience = min(2.0 * self.patience, _MOST_PATIENCE)
        self._was_short = False
        if not interval.surely_short:  # a camera that has slowed down looks the same
            told = f"{interval.came} images came in {interval.seconds:.1f} s, perhaps of {interval.due}"
        self._change(
            ReliabilityPolicy.RELIABLE,
            (f"no image has come for {interval.silent:.1f} s, though somebody publishes them" if interval.stalled else told)
            + ": asking for reliable delivery (parameter image_reliability; larger buffers help: docs/troubleshooting.md)",
        )
        return True

    def _found(self) -> dict[bytes, ReliabilityPolicy]:
        """The topic's publishers, and what each offers."""
        infos = self.node.get_publishers_info_by_topic(self.topic)
        return {bytes(info.endpoint_gid): info.qos_profile.reliability for info in infos}

    def _change(self, reliability: ReliabilityPolicy, words: str) -> None:
        self.close()
        self.reliability, self._policies = reliability, QoSOverridingOptions((QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH))
        self.open()
        self.node.get_logger().warning(f"{self.topic}: {words}")

    def close(self) -> None:
        """Close the topic; what is known of it stays."""
        self.node.destroy_subscription(self._subscription)
