"""The depth images that a bag has beside a camera's images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.session import Counts, Logger

from ..convert.depth_buffer import DepthBuffer, elsewhere
from .reading import Bag

AUTO, NONE = "auto", "none"
"""What may be asked for in place of a topic: one that surely is in the image's view, if there is any; none at all."""
_TYPES = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
COMPRESSED = "/compressedDepth"
_SPAN = 500_000_000
"""Nanoseconds of recording around an image within which its depth image was recorded."""
_KEPT = 64
"""Depth images that may be recorded in twice that time."""


@dataclass(frozen=True)
class DepthTopic:
    """name: of the topic. compressed: it holds CompressedImage of image_transport's compressedDepth, else Image. recorded: its
    images are those of the moment at which they were recorded, as stamps do not tell."""

    name: str
    compressed: bool
    recorded: bool = False


class RecordedDepth:
    """Finds the depth image of an image's moment, reading on in a bag as far as that needs.

    tolerance: seconds between the stamps of an image and its depth image at most.
    """

    def __init__(self, bag: Bag, topic: DepthTopic, tolerance: float, counts: Counts, logger: Logger) -> None:
        self._buffer = DepthBuffer(tolerance, counts, logger, topic.compressed, _KEPT)
        self._recorded = topic.recorded
        self._entries = bag.messages([topic.name])
        self._next = next(self._entries, None)

    def find(self, stamp: int, size: tuple[int, int], time: int) -> np.ndarray | None:
        """See DepthBuffer.find; `find_depth` has compared frames. time: when the image was recorded, nanoseconds; never earlier
        than in the call before."""
        while self._next is not None and self._next[1] <= time + _SPAN:
            if self._next[1] >= time - _SPAN:
                self._buffer.put(self._next[2], self._next[1] if self._recorded else None)
            self._next = next(self._entries, None)
        return self._buffer.find(time if self._recorded else stamp, size)


def find_depth(bag: Bag, image: str, wanted: str) -> DepthTopic | None:
    """The topic of the depth images in the view of an image topic.

    wanted: a topic, or NONE, or AUTO: a depth topic beside the image whose messages name the image's own frame, as drivers
    do where they align the two; one that names another frame is told among `bag.warnings` and left out, a given one only told.
    Raises InputError where the given topic holds no images.
    """
    if wanted == NONE:
        return None
    frame = bag.frame(image)
    if wanted != AUTO:
        found = _topic(bag, wanted) or _topic(bag, wanted + COMPRESSED)
        if found is None:
            raise InputError(
                f"--depth {wanted} holds no images in this bag; image topics are: "
                + (", ".join(sorted(name for name in bag.topics if _topic(bag, name))) or "none")
            )
        if words := elsewhere(bag.frame(found.name), frame):
            bag.warnings.append(f"--depth {wanted}: {words}")
        return found
    for name in usual_depth_names(image):
        for candidate in (name, name + COMPRESSED):
            found = _topic(bag, candidate)
            if found is None:
                continue
            if (other := bag.frame(candidate)) == frame:
                return found
            bag.warnings.append(
                f"{candidate} is of frame {other!r} and {image} of {frame!r}: its depth is not used; where "
                f"it is aligned with the image all the same, give --depth {candidate}"
            )
    return None


def compared(bag: Bag, image: str, depth: DepthTopic) -> DepthTopic:
    """How depth images are found for an image topic: by stamps, or where a driver has not set those of one of the two, by the
    times at which both were recorded; of the depth images' own it is told among `bag.warnings`."""
    unset = bag.unset_stamps(depth.name)
    if unset:
        bag.warnings.append(
            f"the first stamps of {depth.name} are all 0: its images are taken for those of the {image} recorded with them"
        )
    return replace(depth, recorded=unset or bag.unset_stamps(image))


def usual_depth_names(image: str) -> list[str]:
    """As drivers call depth images aligned with /camera/color/image_raw, or with /camera/image_raw."""
    beside = image.removesuffix("/compressed").rpartition("/")[0]
    above = beside.rpartition("/")[0]
    return [
        f"{space}/{name}/{last}"
        for space in dict.fromkeys((beside, above))
        for name in ("aligned_depth_to_color", "depth_registered", "depth")
        for last in ("image_raw", "image_rect", "image")
    ]


def _topic(bag: Bag, name: str) -> DepthTopic | None:
    topic = bag.topics.get(name)
    if topic is None or topic.type not in _TYPES or not topic.count:
        return None
    return DepthTopic(name, topic.type == "sensor_msgs/msg/CompressedImage")
