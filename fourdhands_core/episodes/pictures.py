"""Episodes' images as videos, by PyAV: every picture can be read by itself in a few milliseconds, and the file is the same on
every run."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..extras import needed_for
from ..files import from_root

CODECS = {
    "h264": ("libx264", {"preset": "ultrafast", "crf": "26", "bf": "0"}),
    "av1": ("libsvtav1", {"preset": "10", "crf": "30"}),
}
"""Encoder and its options by what --vcodec names. With a key frame every second picture, x264's ultrafast at 26 is as like the
pictures as its veryfast at 23 (41.7 and 41.8 dB, filmed hands), in a third of the time, in files a sixth larger."""
_KEY = 2
"""Every so many pictures one that needs no other, as LeRobot has it: random reads decode two at most."""
_THREADS = 2
"""Not those of the machine, with whose number the bytes would change."""


def check_codec(name: str) -> None:
    """Raises InputError for an encoder that is unknown, or not in this PyAV."""
    if name not in CODECS:
        raise InputError(f"--vcodec {name}: give one of {', '.join(CODECS)}")
    with needed_for("the export of images", "dataset"):
        import av
    if CODECS[name][0] not in av.codecs_available:
        raise InputError(f"--vcodec {name}: this PyAV has no {CODECS[name][0]}; give another one")


def pixel_format(width: int, height: int, vcodec: str) -> str:
    """FFmpeg's name of how a video of this size keeps its colours: for x264 a picture of odd sides has no half of them;
    SVT-AV1 knows halves alone, and rounds them up."""
    return "yuv420p" if vcodec == "av1" or (width % 2 == 0 and height % 2 == 0) else "yuv444p"


class EpisodeVideo:
    """A video at a fixed rate. A context manager; the file is whole only after it. width, height: pixels."""

    def __init__(self, path: Path, width: int, height: int, fps: int, vcodec: str = "h264") -> None:
        import av

        self._size = width, height
        encoder, options = CODECS[vcodec]
        self._container = av.open(from_root(path), "w", options={"fflags": "+bitexact"})
        stream: Any = self._container.add_stream(encoder, rate=Fraction(fps), options={**options, "g": str(_KEY)})
        stream.width, stream.height = width, height
        self._even = width % 2 == 0 and height % 2 == 0
        stream.pix_fmt = pixel_format(width, height, vcodec)
        stream.codec_context.thread_count = _THREADS
        stream.codec_context.time_base = Fraction(1, fps)
        self._stream, self._count, self._fps = stream, 0, fps

    def add(self, image: np.ndarray) -> None:
        """(H, W, 3) uint8 RGB of the size given. Raises InputError for another size."""
        import av

        if (image.shape[1], image.shape[0]) != self._size:
            raise InputError(
                f"an image is {image.shape[1]}x{image.shape[0]}, those before were {self._size[0]}x{self._size[1]}; trim the "
                "recording to end before it, or leave that camera out (--images, --no-images)"
            )
        if self._even:  # OpenCV's conversion, to the same colours, takes a third of FFmpeg's time
            halved = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(halved, format="yuv420p")
        else:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self._count, Fraction(1, self._fps)
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> EpisodeVideo:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
