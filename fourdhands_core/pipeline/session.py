"""One camera's images in, both hands out or the reason why not: alike under the node, `fourdhands bag` and `track`."""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.camera_source import CALIBRATED, INVALID, MISMATCH, UNCALIBRATED, UNKNOWN, CameraSource
from ..perception.tone import some_pixels
from ..streams import counted
from .depth_use import UNPLACED, DepthUse
from .frame import Frame
from .settings import RESET_GAP
from .types import HandPairEstimate

INTERNAL = "internal error"
"""The reason under which images are refused that made this package fail."""
DARK = "dark images"
"""The event under which images are counted that are nearly black."""
LENS = "changes of the lens"
"""The event under which images are counted whose camera is another than the last one's: hands are not valid in them."""
_DARK, _LIT = 12, 0.01
"""An image is dark where fewer of its pixels than a share are brighter than a level of 255: a 25th of a usual scene's light,
of which two thirds of two hands' and all of one hand's looks are still found (benchmarks/tones.json)."""


class Logger(Protocol):
    """Says things to people: rclpy's logger, logging.Logger, Notes."""

    def info(self, text: str) -> None:
        """Something to know."""

    def warning(self, text: str) -> None:
        """Something is lost or not as it should be."""

    def error(self, text: str) -> None:
        """This package failed."""


class Counts:
    """Counts of what became of one camera's images that gave no estimate. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.refused: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.last_problem = ""

    @property
    def rejected(self) -> int:
        """Images that were refused, for whatever reason."""
        return sum(self.refused.values())

    def count_refused(self, reason: str, problem: str) -> bool:
        """An image was refused. True the first time that it is for this reason."""
        with self._lock:
            self.refused[reason] += 1
            self.last_problem = problem
            return self.refused[reason] == 1

    def count_event(self, event: str) -> bool:
        """Something else worth counting, such as a reset. True the first time."""
        with self._lock:
            self.events[event] += 1
            return self.events[event] == 1


@dataclass
class Notes:
    """A Logger that keeps warnings and errors, and passes each on to `say`."""

    say: Callable[[str], None] = lambda text: None
    kept: list[str] = field(default_factory=list)

    def info(self, text: str) -> None:
        """Not kept."""

    def warning(self, text: str) -> None:
        """Keep it."""
        self.kept.append(text)
        self.say(text)

    error = warning


@dataclass
class Observed:
    """An image in which hands were looked for. companion: what the caller gave with it, and gets back with its estimate."""

    frame: Frame
    companion: Any


Result = tuple[HandPairEstimate, Any]
"""An estimate and the companion of its image."""


def loaded(image: np.ndarray, stamp: int, companion: Any = None) -> Callable[[], tuple[np.ndarray, int, Any]]:
    """`load` of `HandSession.observe` for an image that is there already."""
    return lambda: (image, stamp, companion)


class HandSession:
    """Decides what becomes of each image of one camera: an estimate by `tracker`, or a refusal that is counted and told.

    tracker: HandPairTracker or what behaves like it. cameras: gives the camera of each image. logger: is told the first
    refusal for each reason, and where positions have no scale. reset_gap: seconds between the stamps of two images, forwards
    or back, after which tracking starts anew; may be changed. patience: images without any CameraInfo before that is told;
    live, the topics need not start together. live: the images come from running cameras, whose first stamp is not set if it
    is 0; a simulation that begins there loses that one.

    depth_use: what depth images are good for, of which it is told where that is nothing for a while.

    `observe` and `estimate` may be called by two threads, one each, and `reset` by any; `process` is both in one.
    """

    def __init__(
        self,
        tracker: Any,
        cameras: CameraSource,
        counts: Counts,
        logger: Logger,
        reset_gap: float = RESET_GAP,
        patience: int = 0,
        live: bool = False,
    ) -> None:
        self.tracker, self.cameras, self.counts, self._logger = tracker, cameras, counts, logger
        self.reset_gap, self._patience = reset_gap, patience
        self._last: int | None = None
        self._late: int | None = None
        self._restart, self._unset = False, live
        self._said: list[str] = []
        self._without_info = 0
        self._camera: Camera | None = None
        self._waiting: dict[int, Any] = {}
        self._images, self._hands = 0, 0
        self.depth_use = DepthUse()

    def process(
        self,
        load: Callable[[], tuple[np.ndarray, int, Any]],
        depth: Callable[[Frame], np.ndarray | None] | None = None,
        with_vertices: bool = False,
    ) -> list[Result]:
        """`observe`, then `estimate`. depth: from a frame to the depth image of its moment and view."""
        observed = self.observe(load)
        if observed is None:
            return []
        return self.estimate(observed, depth and depth(observed.frame), with_vertices)

    def foresee(self, stamps: Iterable[int]) -> None:
        """Where the images are recorded: the stamps of the first ones, nanoseconds, before they come. One of 0 is not set if
        the first that is set is far from it; else a simulation's clock begins there."""
        self._unset = next(filter(None, stamps), 0) > self.reset_gap * 1e9

    def observe(self, load: Callable[[], tuple[np.ndarray, int, Any]]) -> Observed | None:
        """Look for hands in an image. None where it is refused.

        load: called once, returns the image (H, W, 3) uint8 RGB, its stamp in nanoseconds, and anything that is to come back
        with its estimate; raises InputError where there is none. An error's `reason`, if it has one, is what it is counted
        under.
        """
        with self.guard(self._restart_next):
            image, stamp, companion = load()
            if not self._follows(stamp):
                return None
            before, camera = self._camera, self.cameras.camera_for(image.shape[1], image.shape[0])
            self._camera = camera
            if before is not None and not camera.is_like(before):
                self.counts.count_event(LENS)
            self._tell_calibration()
            self._tell_darkness(image)
            if first := self._restart:  # which another thread may set; it is never set back unseen
                self._restart = False
            try:
                return Observed(self.tracker.observe(image, stamp, camera, first=first), companion)
            except BaseException:
                self._restart = self._restart or first
                raise
        return None

    def estimate(self, observed: Observed, depth: np.ndarray | None = None, with_vertices: bool = False) -> list[Result]:
        """The estimates that are ready now, most often that of this image; with lookahead of an earlier one, or none.

        depth: (H, W) uint16 millimetres or float32 metres, of the image's moment and view.
        """
        frame, results = observed.frame, []
        if frame.first:
            results += self.finish(with_vertices)
        self._waiting[frame.stamp] = observed.companion
        with self.guard(self._lost, self._lost):
            if depth is not None:
                self.tracker.add_depth(frame, depth)
                self.depth_use.look(depth)
                self.tell_depth()
            estimate = self.tracker.estimate(frame, with_vertices)
            if estimate is not None:
                results.append(self._result(estimate))
        return results

    def finish(self, with_vertices: bool = False) -> list[Result]:
        """The estimates that waited for images of the future."""
        results = []
        with self.guard(self._lost, self._lost):
            while (estimate := self.tracker.flush(with_vertices)) is not None:
                results.append(self._result(estimate))
        self._waiting.clear()
        return results

    def tell_depth(self, whole: bool = False) -> None:
        """Say where depth images are of no use. whole: after the last image of a recording."""
        problem = self.depth_use.problem(whole)
        if problem and (kind := problem.partition("(")[0]) not in self._said:
            self._said.append(kind)
            self._logger.warning(problem)

    def tell_unseen(self, images: str) -> None:
        """At the end of a recording: say, once, where not one hand was seen. images: whose they are, in words."""
        if self._images and not self._hands and images not in self._said:
            self._said.append(images)
            self._logger.warning(
                f"no hand was seen in any of the {counted(self._images, 'images')} of {images}; look at them: hands are found "
                "where they are in view, bare, lit, sharp and not far away"
            )

    def reset(self) -> None:
        """Have the next image tracked as the first one."""
        self._jump("resets asked for")

    @property
    def waiting(self) -> list[int]:
        """Stamps of the images whose estimates are still to come."""
        return list(self._waiting)

    def state(self) -> dict[str, Any]:
        """What another session needs to go on from here, beside the tracker's memory and the counts; plain values."""
        return {
            "last": self._last,
            "late": self._late,
            "restart": self._restart,
            "said": list(self._said),
            "unset": self._unset,
            "waiting": dict(self._waiting),
            "depth_use": self.depth_use,
            "looked": (self._images, self._hands),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from another session's state."""
        self._last, self._late, self._restart = state["last"], state["late"], state["restart"]
        self._said, self._unset, self._waiting = list(state["said"]), state["unset"], dict(state["waiting"])
        self.depth_use, (self._images, self._hands) = state["depth_use"], state["looked"]

    def refuse(self, reason: str, problem: str) -> None:
        """Count an image that gives no estimate; the first for a reason is told."""
        if self.counts.count_refused(reason, problem):
            self._logger.warning(f"image refused ({reason}): {problem}; further ones are counted only")

    @contextlib.contextmanager
    def guard(
        self, after_error: Callable[[], None] = lambda: None, after_refusal: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """What goes wrong with one image within this context is counted and told, and does not end what comes after it."""
        try:
            yield
        except InputError as error:
            self.refuse(getattr(error, "reason", "input"), str(error))
            after_refusal()
        except Exception as error:  # one bad image must not end it all; the next one starts from nothing
            if self.counts.count_refused(INTERNAL, repr(error)):
                self._logger.error(f"an image could not be processed:\n{traceback.format_exc()}")
            after_error()

    def _result(self, estimate: HandPairEstimate) -> Result:
        self._images += 1
        self._hands += sum(hand.valid for hand in estimate.hands)
        if not self.depth_use.placed(estimate):
            self.counts.count_event(UNPLACED)
        return estimate, self._waiting.pop(estimate.stamp)

    def _lost(self) -> None:
        """The tracker's past cannot be trusted: it is forgotten, and with it images that waited for others."""
        self.tracker.reset()
        for _ in range(len(self._waiting) - 1):  # the one that failed is counted
            self.refuse("lost", "its estimate waited for later images, and one of those could not be processed")
        self._waiting.clear()

    def _follows(self, stamp: int) -> bool:
        """Compare with the last image's stamp: False to leave this image out; where time jumps, tracking starts anew."""
        last = self._last
        if last == stamp:
            self.refuse(
                "repeated stamp",
                f"two images in a row have the stamp {stamp} ns"
                + (", which the camera's driver has not set" if stamp == 0 else ""),
            )
            return False
        if stamp == 0 and (self._unset if last is None else last > self.reset_gap * 1e9):
            # A simulation's clock begins there anew, too: then the next image tells.
            self.refuse("unset stamp", "an image has the stamp 0, which the camera's driver has not set; check that")
            return False
        late, self._late = self._late, None
        if last is not None and stamp < last:
            if last - stamp <= self.reset_gap * 1e9 and (late is None or stamp <= late):
                # Overtaken by others on its way; where another one follows that is newer than it, time went back.
                self._late = stamp
                self.refuse("late", f"an image is {(last - stamp) / 1e9:.3f} s older than the one before it")
                return False
            self._jump("stamps that went backwards")
        elif last is not None and stamp - last > self.reset_gap * 1e9:
            self._jump("pauses of the camera")
        self._last = stamp
        return True

    def _jump(self, event: str) -> None:
        """The next image is tracked as the first one."""
        self.counts.count_event(event)
        self._restart_next()

    def _restart_next(self) -> None:
        self._restart = True

    def _tell_darkness(self, image: np.ndarray) -> None:
        brightest = some_pixels(image).max(axis=0)
        if np.count_nonzero(brightest > _DARK) < _LIT * brightest.size and self.counts.count_event(DARK):
            self._logger.warning(
                f"an image is nearly black (99 of 100 pixels are below {_DARK} of 255), and few hands are "
                "found in such: more light or exposure is needed; further ones are counted only"
            )

    def _tell_calibration(self) -> None:
        for remark in self.cameras.remarks:
            if remark not in self._said:
                self._said.append(remark)
                self._logger.warning(remark)
        state = self.cameras.state
        self._without_info += state == UNKNOWN
        if state in self._said or (state == UNKNOWN and self._without_info < self._patience):
            return
        if state != CALIBRATED:
            self._logger.warning(
                f"{self.cameras.problem}: assuming a horizontal field of view of {self.cameras.default_fov:g} degrees; "
                "positions are marked as not scaled, they are not metres"
            )
        elif {UNKNOWN, UNCALIBRATED, INVALID, MISMATCH} & set(self._said):
            self._logger.info("the camera is calibrated now")
        self._said.append(state)
