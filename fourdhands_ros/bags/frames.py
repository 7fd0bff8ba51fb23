"""Where frames stood at an image's stamp, from the messages of /tf and /tf_static that a bag has around it."""

from __future__ import annotations

from ..convert.images import stamp_of
from ..convert.transforms import KEPT, TransformBuffer, TransformError
from .camera import CameraTopics, first_images
from .reading import Bag
from .topics import frame_topics

_AHEAD = 1_000_000_000
"""Nanoseconds of recording after an image in which the transforms of its stamp were recorded."""
_SOON = 10_000_000_000
"""Nanoseconds of recording after a camera's first image in which /tf has to say where it stood."""


class RecordedFrames(TransformBuffer):
    """The transforms of a bag, read on by themselves as far as `read_to` says. Static ones hold for all of it."""

    def __init__(self, bag: Bag) -> None:
        super().__init__()
        moving, static = frame_topics(bag.topics)
        for _, _, data in bag.messages([static]):
            self.put(data, static=True)
        self._entries = bag.messages([moving])
        self._next = next(self._entries, None)

    def read_to(self, time: int, ahead: int = _AHEAD) -> None:
        """Read on until an image that was recorded at `time`, nanoseconds, and `ahead` beyond it."""
        while self._next is not None and self._next[1] <= time + ahead:
            if self._next[1] >= time - int(KEPT * 1e9):
                self.put(self._next[2])
            self._next = next(self._entries, None)

    def destroy(self) -> None:
        """Nothing: the bag is closed by who opened it."""


def look_up_first(bag: Bag, camera: CameraTopics, frames: RecordedFrames, target: str, soon: int = _SOON) -> None:
    """Raise TransformError where no way leads from a camera's first image to a frame. soon: nanoseconds of recording after it
    in which /tf has to know one."""
    for time, header, _ in first_images(bag, camera):
        frames.read_to(time, soon)
        if not header.frame_id:
            raise TransformError("its images name no frame")
        frames.lookup(target, header.frame_id, stamp_of(header), float("inf"))
        return
