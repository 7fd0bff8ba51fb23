"""The camera's image with the hands drawn on it, for people, beside the path that robots wait for."""

from __future__ import annotations

import array
import threading
import traceback
from collections import deque
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from fourdhands_core.media.draw import draw_hands
from fourdhands_core.media.images import jpeg
from fourdhands_core.pipeline.types import HandPairEstimate

from ..convert.encoders import split_stamp
from .mailbox import Mailbox

_IN_WORK = 4
"""Images between the one that is looked at and the one that is drawn, at most."""


class DebugImage:
    """Draws estimates on their images in a thread of its own; what comes faster than it draws is left out.

    Its topics have `debug` in their names and do not begin with `image`, by which nobody takes them for a bag's cameras
    (`view/bag_topics.py`, `bags/camera.py`).

    publisher, compressed: of sensor_msgs/Image and of sensor_msgs/CompressedImage (JPEG). lookahead: images that an estimate
    is behind its image. `keep` and `show` may be called from different threads.
    """

    def __init__(self, publisher: Any, compressed: Any, logger: Any, lookahead: int = 0) -> None:
        self._plain, self._compressed, self._logger = publisher, compressed, logger
        self._images: deque[tuple[int, np.ndarray]] = deque(maxlen=lookahead + _IN_WORK)
        self._mailbox = Mailbox()
        self._thread = threading.Thread(target=self._work, name="debug image", daemon=True)
        self._thread.start()

    @property
    def wanted(self) -> bool:
        """True while somebody subscribes."""
        return any(publisher.get_subscription_count() for publisher in (self._plain, self._compressed))

    def keep(self, stamp: int, image: np.ndarray) -> None:
        """Hand over an image (H, W, 3) uint8 RGB, which is not changed, before its estimate."""
        self._images.append((stamp, image))

    def show(self, estimate: HandPairEstimate, frame_id: str) -> None:
        """Have an estimate drawn; returns at once."""
        self._mailbox.put((estimate, frame_id))

    def stop(self) -> None:
        """End the thread."""
        self._mailbox.close()
        self._thread.join()

    def _work(self) -> None:
        while (item := self._mailbox.take()) is not None:
            try:
                self._draw(*item)
            except Exception:  # a picture for people must not end what robots use
                self._logger.error(f"no debug image: {traceback.format_exc()}", throttle_duration_sec=60.0)

    def _draw(self, estimate: HandPairEstimate, frame_id: str) -> None:
        image = next((image for stamp, image in tuple(self._images) if stamp == estimate.stamp), None)
        if image is None:
            return
        image = image.copy()
        draw_hands(image, estimate)
        if self._plain.get_subscription_count():
            height, width = image.shape[:2]
            message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
            _publish(self._plain, message, image.tobytes(), frame_id, estimate.stamp)
        if self._compressed.get_subscription_count():
            message = CompressedImage(format="rgb8; jpeg compressed bgr8")  # as image_transport names it
            _publish(self._compressed, message, jpeg(image), frame_id, estimate.stamp)


def _publish(publisher: Any, message: Any, data: bytes, frame_id: str, stamp: int) -> None:
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = split_stamp(stamp)
    message.data = array.array("B", data)  # anything else is checked element by element
    publisher.publish(message)
