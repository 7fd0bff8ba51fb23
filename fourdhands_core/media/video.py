"""Reads frames with their stamps from video files and cameras, and writes mp4 files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError

ASSUMED_FPS = 30.0
"""Frames per second where neither the container nor the camera states it."""


class VideoReader:
    """Frames of a video file or camera, in order, once.

    source: path of a video file, or the index of a camera (int or a string of digits that is no file).
    Iterating yields (stamp, image): stamp int nanoseconds, strictly increasing, from the container's presentation
    times for a file (0 at its start) and the clock at capture for a camera; image (H, W, 3) uint8 RGB.
    width, height: pixels. fps: as the container or camera states it. frame_count: frames that the container
    announces, None where unknown; some files hold fewer.

    Raises InputError where the source is missing, unreadable or holds no frame.
    """

    def __init__(self, source: str | Path | int):
        self.is_camera = isinstance(source, int) or (str(source).isdigit() and not Path(source).exists())
        self.source = source
        if self.is_camera:
            self._capture = cv2.VideoCapture(int(source))
            problem = f"camera {source} cannot be opened; check that it is plugged in, or try another index (0, 1, ...)"
        else:
            path = Path(source)
            if not path.is_file():
                raise InputError(f"video {path} does not exist; give a video file or a camera's index")
            self._capture = cv2.VideoCapture(str(path))
            problem = f"video {path} cannot be read; give a file in a format that OpenCV's FFmpeg decodes, such as mp4"
        if not self._capture.isOpened():
            raise InputError(problem)
        self.fps = self._capture.get(cv2.CAP_PROP_FPS)
        if not 0.0 < self.fps < 1e4:
            self.fps = ASSUMED_FPS
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frame_count = count if count > 0 and not self.is_camera else None
        # The first frame is decoded here, so that a file without frames fails at once and the size is the true one.
        self._index, self._stamp = 0, -1
        self._first = self._read()
        if self._first is None:
            self.close()
            raise InputError(f"{problem} (it opened, but holds no frame that can be decoded)")
        self.height, self.width = self._first[1].shape[:2]

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        while True:
            frame, self._first = self._first or self._read(), None
            if frame is None:
                return
            yield frame

    def _read(self):
        if not self._capture.grab():
            return None
        if self.is_camera:
            stamp = time.time_ns()
        else:
            stamp = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
            if self._index > 0 and stamp <= self._stamp:  # containers without presentation times report 0
                stamp = self._stamp + round(1e9 / self.fps)
        ok, image = self._capture.retrieve()
        if not ok or image is None:
            return None
        self._index += 1
        self._stamp = stamp = max(stamp, self._stamp + 1)
        return stamp, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        """Release the file or camera."""
        self._capture.release()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class VideoWriter:
    """Writes an mp4 file (MPEG-4 part 2) at a constant frame rate; the first frame decides the size.

    The codec holds even sizes only: an odd width or height grows by one pixel, a copy of the last column or row.
    Closing it (or leaving the with block, also by an exception) completes the file. Without a frame no file is made.
    Raises InputError where the file cannot be made, a frame has another size, or the finished file cannot be read.
    """

    def __init__(self, path: str | Path, fps: float):
        if not 0.0 < fps < 1e4:
            raise InputError(f"frame rate {fps} is not positive; give frames per second, such as 30")
        self.path, self.fps, self.frames = Path(path), float(fps), 0
        self._writer = None

    def write(self, image: np.ndarray) -> None:
        """Append an image (H, W, 3) uint8 RGB."""
        if image.shape[0] % 2 or image.shape[1] % 2:
            image = cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
        height, width = image.shape[:2]
        if self._writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._size = (width, height)
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*"mp4v"), self.fps, self._size)
            if not self._writer.isOpened():
                raise InputError(f"cannot write the video {self.path} at {width}x{height}; check folder and rights")
        if (width, height) != self._size:
            raise InputError(f"{self.path} is {self._size[0]}x{self._size[1]}, a frame is {width}x{height}; "
                             "write frames of one size")
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Complete the file and check that it can be read."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        with VideoReader(self.path) as reader:  # raises where a full disk or a missing codec left no frame
            if (reader.width, reader.height) != self._size:
                raise InputError(f"{self.path} was written at {self._size} but reads as {reader.width}x{reader.height}")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *_) -> None:
        self.close()
