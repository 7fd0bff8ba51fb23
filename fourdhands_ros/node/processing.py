"""From one camera's image messages to published estimates, in two threads."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node

from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.pipeline.session import HandSession, Logger, Observed, Result
from fourdhands_core.pipeline.types import HELD, HandPairEstimate

from ..convert.depth_buffer import DepthBuffer
from ..convert.images import ImageDecoder, stamp_of
from .diagnostics import Statistics
from .mailbox import Mailbox
from .outputs import Outputs
from .parameters import Parameters

_PATIENCE = 30
"""Images without any CameraInfo before that is told: the two topics need not start together."""
_MAX_TRANSPORT = 10.0
"""Seconds; above, the stamps come from another clock (a bag, a camera's own) and the time of transport is unknown."""
_AHEAD = 0.1
"""Seconds by which no stamp is ahead of the node's clock where both belong to one time."""


@dataclass
class _Item:
    """What goes with an image from the first thread to its message.

    received: when, time.perf_counter; received_clock: the same by the node's clock, nanoseconds. latency: seconds by
    stage so far.
    """

    frame_id: str
    received: float
    received_clock: int
    latency: dict[str, float]


class FrameProcessor:
    """Decodes, tracks and publishes the newest image in two threads of its own.

    One thread decodes an image and looks for hands in it (`HandSession.observe`); the other estimates and publishes
    (`HandSession.estimate`). So while the hands in one image are estimated, the next image is looked at.

    node: rclpy's, for its clock. logger: the camera's. tracker: HandPairTracker or what behaves like it. cameras: gives the
    camera of each image; depth: the depth image of each, if there are any. `session`: decides what becomes of each image.
    `watcher`, where it is set, is called in the second thread with each estimate after that is published; `fuse` likewise, with
    the image's frame and when the image came (time.perf_counter).
    """

    def __init__(
        self,
        node: Node,
        logger: Logger,
        parameters: Parameters,
        tracker: Any,
        outputs: Outputs,
        cameras: CameraSource,
        statistics: Statistics,
        depth: DepthBuffer | None,
    ) -> None:
        self.session = HandSession(tracker, cameras, statistics, logger, parameters.reset_gap, _PATIENCE, live=True)
        self._outputs, self._statistics, self._depth = outputs, statistics, depth
        self._decoder, self._clock = ImageDecoder(parameters.image_transport == "compressed"), node.get_clock()
        self._mailbox = Mailbox()
        self._observed: queue.Queue[Observed | None] = queue.Queue(maxsize=1)
        self.hand_states = ("absent", "absent")
        self.watcher: Callable[[HandPairEstimate], None] | None = None
        self.fuse: Callable[[HandPairEstimate, str, float], None] | None = None
        self.frame_id = ""
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("observe", self._observe), ("estimate", self._estimate))
        ]
        for thread in self._threads:
            thread.start()

    def put(self, data: bytes) -> None:
        """Hand over a serialised image message; returns at once."""
        self._statistics.count_received()
        if self._mailbox.put((data, time.perf_counter(), self._clock.now().nanoseconds)):
            self._statistics.count_dropped()

    def stop(self) -> None:
        """Finish the images in work, with lookahead also those that waited for others, and end the threads."""
        self._mailbox.close()
        for thread in self._threads:
            thread.join()

    def _observe(self) -> None:
        """First thread: from messages to observed frames."""
        while (item := self._mailbox.take()) is not None:
            observed = self.session.observe(lambda: self._load(*item))
            if observed is not None:
                self._observed.put(observed)
        self._observed.put(None)

    def _load(self, data: bytes, received: float, received_clock: int) -> tuple[np.ndarray, int, _Item]:
        started = time.perf_counter()
        header, image = self._decoder.decode(data)
        stamp = stamp_of(header)
        latency = {"wait": started - received, "decode": time.perf_counter() - started}
        self._outputs.keep_image(stamp, image)
        if stamp - received_clock > _AHEAD * 1e9:
            self._statistics.count_event("stamps ahead of the clock")
        return image, stamp, _Item(header.frame_id, received, received_clock, latency)

    def _estimate(self) -> None:
        """Second thread: from observed frames to messages."""
        with_vertices = False
        while (observed := self._observed.get()) is not None:
            depth = None
            if self._depth is not None:
                # Only now: a depth image often comes later than its image, and detection has taken a while.
                began = time.perf_counter()
                frame, item = observed.frame, observed.companion
                depth = self._depth.find(frame.stamp, (frame.camera.width, frame.camera.height), item.frame_id)
                item.latency["depth"] = time.perf_counter() - began
            with_vertices = self._outputs.wants_vertices
            self._publish_all(self.session.estimate(observed, depth, with_vertices))
        self._publish_all(self.session.finish(with_vertices))  # with lookahead the last images' estimates are still to come

    def _publish_all(self, results: list[Result]) -> None:
        for estimate, item in results:
            with self.session.guard():
                self._publish(estimate, item)

    def _publish(self, estimate: HandPairEstimate, item: _Item) -> None:
        statistics = self._statistics
        transport = (item.received_clock - estimate.stamp) / 1e9
        latency = {
            "transport": transport if 0.0 <= transport <= _MAX_TRANSPORT else float("nan"),
            **item.latency,
            **estimate.timings,
        }
        if not self._outputs.publish(estimate, item.frame_id, latency, item.received, statistics):
            return
        statistics.count_published({**latency, "age": latency["transport"] + latency["total"]})
        left, right = (
            f"{hand.state}, seen {hand.age:.2f} s before" if hand.state == HELD else hand.state for hand in estimate.hands
        )
        self.hand_states = left, right
        self.frame_id = item.frame_id
        if (watcher := self.watcher) is not None:
            watcher(estimate)
        if (fuse := self.fuse) is not None:
            fuse(estimate, item.frame_id, item.received)
