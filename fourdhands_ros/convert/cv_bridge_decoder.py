"""cv_bridge, the usual decoder of ROS images, where it imports and for what it is right."""

from __future__ import annotations

import array
import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

_SIDE = 16
"""Pixels of the picture on which a layout is tried: even, as YUV and mosaics need it."""
_LAYOUTS = 64
"""As many are remembered: no camera has more, but damaged messages may."""


class BridgeDecoder:
    """Decodes images to RGB with cv_bridge, in those layouts (encoding, padding, order of bytes) that it is right for.

    Not all are, nor the same in each version: the one on PyPI ignores padding; the one of ROS shears rows whose padding is no
    whole number of pixels; with numpy 2 both fail where is_bigendian is set; mosaics, YUV and OpenCV's own types are known to
    some only. So each layout is tried on a small picture first, and cv_bridge is right where it makes the same of it as `own`.
    16 bits and rgb8 are not for it: it does not see that drivers put 10 or 12 bits into 16, and rgb8 needs no copy.

    own: decodes a message of any layout that is asked for.
    """

    def __init__(self, own: Callable[[Image], np.ndarray]) -> None:
        self._own = own
        self._right: dict[tuple[str, int, int], bool] = {}

    def decode(self, message: Image, row: int) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB, C-contiguous, or None where cv_bridge is not there or not right.

        message: whose step and length were checked. row: bytes of a row without its padding.
        """
        bridge = _bridge()
        if bridge is None:
            return None
        layout = message.encoding, message.step - row, message.is_bigendian
        if layout not in self._right:
            if len(self._right) >= _LAYOUTS:
                self._right.clear()
            trial = _trial(*layout, row // message.width)
            image = _decoded(bridge, trial)
            self._right[layout] = image is not None and np.array_equal(image, self._own(trial))
        return _decoded(bridge, message) if self._right[layout] else None


def _trial(encoding: str, padding: int, bigendian: int, pixel: int) -> Any:
    """A small image of noise in that layout; pixel: bytes of one."""
    step = _SIDE * pixel + padding
    data = np.random.default_rng(0).integers(0, 256, _SIDE * step, np.uint8)
    return Image(
        height=_SIDE, width=_SIDE, encoding=encoding, step=step, is_bigendian=bigendian, data=array.array("B", data.tobytes())
    )


def _decoded(bridge: Any, message: Any) -> np.ndarray | None:
    try:
        image = np.ascontiguousarray(bridge.imgmsg_to_cv2(message, "rgb8"))
    except Exception:  # cv_bridge raises its own errors, numpy's, OpenCV's and KeyError
        return None
    return image if image.shape == (message.height, message.width, 3) and image.dtype == np.uint8 else None


@functools.cache
def _bridge() -> Any:
    """A CvBridge, which keeps nothing of an image and so serves all threads; None where there is none."""
    try:
        from cv_bridge import CvBridge

        return CvBridge()
    except Exception:  # ImportError, or what numpy raises for one that was compiled for another numpy (vision_opencv 535)
        logging.debug("cv_bridge is not used", exc_info=True)
        return None


def decode_unknown(message: Image) -> np.ndarray | None:
    """An encoding that this package does not know, which a newer cv_bridge may; None where it does not either."""
    return _decoded(_bridge(), message)
