"""Depth images beside a camera's images: the newest few are kept, and each image gets the one of its moment."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from fourdhands_core.geometry.camera_source import of_one_shape
from fourdhands_core.pipeline.session import Counts, Logger

from .cdr import stamp_in
from .images import MalformedImage, decode_compressed_depth, decode_depth, unpack

_KEPT = 8
"""Messages: a quarter of a second at 30 Hz, which is longer than an image takes to be processed."""

_ALIGNED = "take what the driver calls aligned or registered depth"


def elsewhere(frame: str, image: str) -> str:
    """In words, that depth images of a frame are hardly in the view of images of another one; "" where they are of one, or one
    is not named."""
    if not (frame and image) or frame == image:
        return ""
    return (
        f"depth images are of frame {frame}, the images of {image}: unless they are in one view all the same, hands "
        f"are placed wrongly; {_ALIGNED}"
    )


class DepthBuffer:
    """Takes in serialised depth images and finds the one that belongs to an image's stamp.

    tolerance: seconds between the two stamps at most; may be changed. compressed: the messages are CompressedImage of
    image_transport's compressedDepth, else Image. kept: messages. Only a depth image that is used is unpacked.
    Malformed ones, those of another shape than the image, which are of another view, and images without one are counted and
    told; those are placed without depth. elsewhere: in words, that depth images name another frame than their images, and so
    are hardly in their view; "" otherwise. `put` and `find` may be called from different threads.
    """

    def __init__(self, tolerance: float, counts: Counts, logger: Logger, compressed: bool = False, kept: int = _KEPT) -> None:
        self.tolerance, self._counts, self._logger = tolerance, counts, logger
        self.message_type, self._decode = (CompressedImage, decode_compressed_depth) if compressed else (Image, decode_depth)
        self._lock = threading.Lock()
        self.messages: deque[tuple[int, bytes]] = deque(maxlen=kept)
        self._found = self._missed = 0
        self.elsewhere = ""

    def put(self, data: bytes, time: int | None = None) -> None:
        """Hand over a serialised message; returns at once. time: nanoseconds that stand in for its stamp, None for none."""
        stamp = stamp_in(data)
        if stamp is None:
            self._refuse(f"a message that is not of type {self.message_type.__name__}")
            return
        with self._lock:
            self.messages.append((stamp if time is None else time, data))

    def absent(self) -> bool:
        """Whether none of the images since the last call had a depth image."""
        with self._lock:
            absent = self._missed and not self._found
            self._found = self._missed = 0
        return bool(absent)

    def find(self, stamp: int, size: tuple[int, int], frame_id: str = "") -> np.ndarray | None:
        """The depth image (H, W), uint16 millimetres or float32 metres, of an image; or None.

        stamp: the image's, nanoseconds. size: its width and height, pixels. frame_id: its frame, "" where that is not to be
        compared.
        """
        depth = self._find(stamp, size, frame_id)
        with self._lock:
            self._found += depth is not None
            self._missed += depth is None
        return depth

    def _find(self, stamp: int, size: tuple[int, int], frame_id: str) -> Any:
        with self._lock:
            found = min(reversed(self.messages), key=lambda item: abs(item[0] - stamp), default=None)
        if found is None or abs(found[0] - stamp) > self.tolerance * 1e9:
            self._counts.count_event("images without a depth image of their moment")
            return None
        try:
            message = unpack(found[1], self.message_type)
            depth = self._decode(message)
        except MalformedImage as error:
            self._refuse(str(error))
        except Exception as error:  # rclpy's RMWError has no public name
            self._refuse(f"a message that is not of type {self.message_type.__name__}: {error}")
        else:
            if of_one_shape((depth.shape[1], depth.shape[0]), size):
                self._compare(message.header.frame_id.lstrip("/"), frame_id.lstrip("/"))
                return depth
            self._refuse(
                f"{depth.shape[1]}x{depth.shape[0]} pixels are of another view than images of {size[0]}x{size[1]}; {_ALIGNED}",
                "depth images of another view",
            )
        return None

    def _compare(self, frame: str, image: str) -> None:
        before, self.elsewhere = self.elsewhere, elsewhere(frame, image)
        if self.elsewhere and not before:
            self._logger.warning(self.elsewhere)

    def _refuse(self, problem: str, event: str = "malformed depth images") -> None:
        if self._counts.count_event(event):
            self._logger.warning(f"depth image refused: {problem}; further ones are counted only")
