"""From one camera's image messages to published estimates, in two threads."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CALIBRATED, UNKNOWN, CameraSource
from fourdhands_core.pipeline.regression import Frame
from fourdhands_core.pipeline.types import HELD, HandPairEstimate

from .depth import DepthBuffer
from .diagnostics import INTERNAL, Statistics
from .image_decoding import ImageDecoder, MalformedImage, stamp_of
from .mailbox import Mailbox
from .outputs import Outputs

_PATIENCE = 30
"""Images without any CameraInfo before that is said: the two topics need not start together."""
_MAX_TRANSPORT = 10.0
"""Seconds; above, the stamps come from another clock (a bag, a camera's own) and the time of transport is unknown."""
_AHEAD = 0.1
"""Seconds by which no stamp is ahead of the node's clock where both belong to one time."""


@dataclass
class _Item:
    """An image between the two threads.

    received: when, time.perf_counter; received_clock: the same by the node's clock, nanoseconds. latency: seconds by
    stage so far. restart: the tracker forgets the past first.
    """

    frame: Frame
    frame_id: str
    received: float
    received_clock: int
    latency: dict[str, float]
    restart: bool


class FrameProcessor:
    """Decodes, tracks and publishes the newest image in two threads of its own.

    One thread decodes an image and looks for hands in it (`HandPairTracker.observe`); the other estimates and publishes
    (`HandPairTracker.estimate`). So while the hands in one image are estimated, the next image is looked at.

    tracker: HandPairTracker or what behaves like it. cameras: gives the camera of each image; depth: the depth image of
    each, if there are any. compressed: the messages are CompressedImage, else Image. reset_gap: see Parameters. clock:
    the node's, for the time of transport. logger: the node's. `watcher`, where it is set, is called in the second thread
    with the tracker and each estimate after that is published.
    """

    def __init__(self, tracker, outputs: Outputs, cameras: CameraSource, statistics: Statistics, *,
                 depth: DepthBuffer | None = None, compressed: bool, reset_gap: float, clock, logger):
        self._tracker, self._outputs, self._cameras, self._statistics = tracker, outputs, cameras, statistics
        self._depth = depth
        self._decoder = ImageDecoder(compressed)
        self.reset_gap, self._clock, self._logger = reset_gap, clock, logger
        self._mailbox = Mailbox()
        self._observed: queue.Queue[_Item | None] = queue.Queue(maxsize=1)
        self._last_stamp: int | None = None
        self._late_stamp: int | None = None
        self._restart = False
        self._said: set[str] = set()
        self._without_info = 0
        self.hand_states = ("absent", "absent")
        self.watcher: Callable[[object, HandPairEstimate], None] | None = None
        self.frame_id = ""
        self._threads = [threading.Thread(target=work, name=name, daemon=True)
                         for name, work in (("observe", self._observe), ("estimate", self._estimate))]
        for thread in self._threads:
            thread.start()

    def put(self, data: bytes) -> None:
        """Hand over a serialised image message; returns at once."""
        self._statistics.count_received()
        if self._mailbox.put((data, time.perf_counter(), self._clock.now().nanoseconds)):
            self._statistics.count_dropped()

    def reset(self) -> None:
        """Have the next image tracked as the first one."""
        self._statistics.count_event("resets asked for")
        self._restart_next()

    def stop(self) -> None:
        """Finish the images in work and end the threads."""
        self._mailbox.close()
        for thread in self._threads:
            thread.join()

    def _observe(self) -> None:
        """First thread: from messages to observed frames."""
        while (item := self._mailbox.take()) is not None:
            with self._survived(self._restart_next):
                observed = self._observe_one(*item)
                if observed is not None:
                    self._observed.put(observed)
        self._observed.put(None)

    def _observe_one(self, data: bytes, received: float, received_clock: int) -> _Item | None:
        started = time.perf_counter()
        header, image = self._decoder.decode(data)
        stamp = stamp_of(header)
        decoded = time.perf_counter()
        if not self._follow(stamp):
            return None
        self._outputs.keep_image(stamp, image)
        camera = self._cameras.camera_for(image.shape[1], image.shape[0])
        self._tell_calibration()
        frame = self._tracker.observe(image, stamp, camera)
        if restart := self._restart:  # which another thread may set; it is never set back unseen
            self._restart = False
        if stamp - received_clock > _AHEAD * 1e9:
            self._statistics.count_event("stamps ahead of the clock")
        latency = {"wait": started - received, "decode": decoded - started}
        return _Item(frame, header.frame_id, received, received_clock, latency, restart)

    def _estimate(self) -> None:
        """Second thread: from observed frames to messages."""
        while (item := self._observed.get()) is not None:
            with self._survived(self._tracker.reset):
                if item.restart:
                    self._tracker.reset()
                if self._depth is not None:
                    self._add_depth(item)
                estimate = self._tracker.estimate(item.frame, with_vertices=self._outputs.wants_vertices)
                if estimate is not None:  # None: the first images with lookahead
                    self._publish(estimate, item)
                    if (watcher := self.watcher) is not None:
                        watcher(self._tracker, estimate)

    def _add_depth(self, item: _Item) -> None:
        """Only now: a depth image often comes later than its image, and detection has taken a while."""
        began = time.perf_counter()
        depth = self._depth.find(item.frame.stamp)
        if depth is not None:
            self._tracker.add_depth(item.frame, depth)
        item.latency["depth"] = time.perf_counter() - began

    def _publish(self, estimate, item: _Item) -> None:
        statistics = self._statistics
        transport = (item.received_clock - estimate.stamp) / 1e9
        latency = {"transport": transport if 0.0 <= transport <= _MAX_TRANSPORT else float("nan"),
                   **item.latency, **estimate.timings}
        counts = statistics.published + 1, statistics.dropped, statistics.rejected
        self._outputs.publish(estimate, item.frame_id, latency, item.received, counts)
        statistics.count_published({**latency, "age": latency["transport"] + latency["total"]})
        self.hand_states = tuple(
            f"{hand.state}, seen {hand.age:.2f} s before" if hand.state == HELD else hand.state
            for hand in estimate.hands)
        self.frame_id = item.frame_id

    @contextlib.contextmanager
    def _survived(self, forget):
        """What goes wrong with one image is counted and told; the next one is processed, by a tracker that `forget`s."""
        try:
            yield
        except MalformedImage as error:
            self._refuse(error.reason, str(error))
        except InputError as error:
            self._refuse("input", str(error))
        except Exception as error:  # one bad image must not end the node; the next one starts from nothing
            if self._statistics.count_refused(INTERNAL, repr(error)):
                self._logger.error(f"an image could not be processed:\n{traceback.format_exc()}")
            forget()

    def _follow(self, stamp: int) -> bool:
        """Compare with the last image's stamp: False to leave this image out; resets the tracker where time jumps."""
        last = self._last_stamp
        if last == stamp:
            self._refuse("repeated stamp", f"two images in a row have the stamp {stamp} ns")
            return False
        late, self._late_stamp = self._late_stamp, None
        if last is not None and stamp < last:
            if last - stamp <= self.reset_gap * 1e9 and (late is None or stamp <= late):
                # Overtaken by others on its way; where another one follows that is newer than it, time went back.
                self._late_stamp = stamp
                self._refuse("late", f"an image is {(last - stamp) / 1e9:.3f} s older than the one before it")
                return False
            self._jump("stamps that went backwards")
        elif last is not None and stamp - last > self.reset_gap * 1e9:
            self._jump("pauses of the camera")
        self._last_stamp = stamp
        return True

    def _refuse(self, reason: str, problem: str) -> None:
        if self._statistics.count_refused(reason, problem):
            self._logger.warning(f"image refused ({reason}): {problem}; further ones are counted on /diagnostics")

    def _jump(self, event: str) -> None:
        """Time has jumped: this image is tracked as the first one."""
        self._statistics.count_event(event)
        self._restart_next()

    def _restart_next(self) -> None:
        self._restart = True

    def _tell_calibration(self) -> None:
        state = self._cameras.state
        self._without_info += state == UNKNOWN
        if state in self._said or (state == UNKNOWN and self._without_info < _PATIENCE):
            return
        if state != CALIBRATED:
            self._logger.warning(
                f"{self._cameras.problem}: assuming a horizontal field of view of {self._cameras.default_fov:g} "
                "degrees; positions are marked as not scaled")
        elif self._said:
            self._logger.info("the camera is calibrated now")
        self._said.add(state)
