"""Reads frames with their stamps from video files, folders of images and cameras, and writes mp4 files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..files import local_path, utf8_name
from ..outputs import writing
from ..signals import held
from .captures import CameraFrames, FileFrames, PictureFrames
from .mp4 import is_whole
from .sources import camera_index, pictures_of

_FEW = 0.1
"""Part of a video's frames that may come later than its rate says before that is taken for its way, and not for losses."""

_PAUSE = 60_000_000_000
"""Nanoseconds without a frame that are a recorder's pause, and no losses."""
_TAIL = 0.2
"""Seconds by which sound may end after the images: a duration is that of all tracks."""


class VideoReader(contextlib.AbstractContextManager["VideoReader"]):
    """Frames of a video file, camera or images, in order, once, as a player shows them: upright, with square pixels.

    source: path of a video file; index of a camera (int, or a string of digits that is no file) or /dev/videoN; an image,
    a folder of images, or a pattern of their names (frame_%04d.png).
    Iterating yields (stamp, image): stamp int nanoseconds, strictly increasing, from the container's presentation
    times for a file (0 at its start) and the clock at capture for a camera; image (H, W, 3) uint8 RGB. Damaged frames
    are passed over. files: what it reads, none of a camera. width, height: pixels. fps: as the container or camera
    states it. frame_count: frames that the container announces, None where unknown; some files hold fewer. missing:
    how many of them have not come, at the end.

    Raises InputError where the source is missing, unreadable or holds no frame, or where images differ in size.
    """

    def __init__(self, source: str | Path | int):
        self.source = source = local_path(source) if isinstance(source, str) else source
        index = camera_index(source)
        self.is_camera = index is not None
        self._frames: CameraFrames | PictureFrames | FileFrames
        if index is not None:
            self.files, self._frames = [], CameraFrames(index, str(source))
        elif pictures := pictures_of(str(source)):
            self.files, self._frames = pictures, PictureFrames(pictures)
        else:
            self.files, self._frames = [Path(str(source))], FileFrames(Path(str(source)))
        self.fps = self._frames.fps
        # The first frame is decoded here, so that a file without frames fails at once and the size is the true one.
        self._begin()
        self._first = self._read()
        if self._first is None:
            problem = self._frames.nothing()
            self.close()
            raise InputError(problem)
        self.frame_count = self._frames.frame_count
        self.height, self.width = self._first[1].shape[:2]

    @property
    def missing(self) -> int:
        """Frames that could not be decoded or that the file announces and does not hold; to be asked at the end."""
        lacking = (self.frame_count or 0) - self._count
        if not self._frames.stated:  # then it is the duration times the rate
            lacking -= round(self._paused * self.fps / 1e9)
            uneven = self._uneven > _FEW * self._count  # then the duration is no number of frames, nor is a gap
            end = round((self._stamp + uneven * self._longest) * self.fps / 1e9) + 1
            lacking = min(lacking, max((self.frame_count or 0) - end, 0) + (not uneven) * self._holes)
            if lacking <= _TAIL * self.fps:
                lacking = 0
        return max(self._failed, lacking)

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        while True:
            frame, self._first = self._first or self._read(), None
            if frame is None:
                return
            yield frame

    def _begin(self) -> None:
        self._count = self._failed = self._uneven = self._holes = self._longest = self._paused = 0
        self._stamp = -1

    def _read(self):
        failed, frame = 0, None
        while failed < self._frames.patience and (frame := self._frames.read()) is None:
            failed += 1
        if frame is None:
            return None
        stamp, image = frame
        if self._count and stamp <= self._stamp:  # containers without presentation times report 0
            stamp = self._stamp + round((1 + failed) * 1e9 / self.fps)
        gap = stamp - self._stamp if self._count else 0
        self._uneven += abs(gap * self.fps / 1e9 - 1) > 0.5 and self._count > 0
        self._holes += max(int(gap * self.fps / 1e9 + 0.25) - 1, 0)
        self._longest = max(self._longest, gap)
        self._paused += gap if gap > _PAUSE else 0
        self._stamp = stamp = max(stamp, 0)
        self._count += 1
        self._failed += failed
        return stamp, image

    def seek(self, number: int) -> None:
        """Go on with about the frame of this place, from 0: what the container's times say; its stamp tells which one came.

        `missing` counts from there. Raises InputError of a camera.
        """
        if self.is_camera:
            raise InputError(f"{self.source} is a camera, which has no frames of the past; give a video")
        self._frames.seek(number)
        self._first = None
        self._begin()

    def close(self) -> None:
        """Release the file or camera."""
        self._frames.close()

    def __exit__(self, *_) -> None:
        self.close()


class VideoWriter(contextlib.AbstractContextManager["VideoWriter"]):
    """Writes an mp4 file (MPEG-4 part 2) at a constant frame rate; the first frame decides the size.

    The codec holds even sizes only: an odd width or height grows by one pixel, a copy of the last column or row.
    Closing it (or leaving the with block, also by an exception) completes the file, which then appears under its name; see
    outputs.writing. Without a frame no file is made.
    Raises InputError where the file cannot be made, a frame has another size, or the finished file cannot be read.
    """

    def __init__(self, path: str | Path, fps: float):
        if not 0.0 < fps < 1e4:
            raise InputError(f"frame rate {fps} is not positive; give frames per second, such as 30")
        self.path, self.fps, self.frames = Path(path), float(fps), 0
        self._writer: cv2.VideoWriter | None = None
        self._file = contextlib.ExitStack()

    def write(self, image: np.ndarray) -> None:
        """Append an image (H, W, 3) uint8 RGB."""
        # Asked to end while the file is being made, nobody would have it to complete.
        with held() if self._writer is None else contextlib.nullcontext():
            self._write(image)

    def _write(self, image: np.ndarray) -> None:
        if image.shape[0] % 2 or image.shape[1] % 2:
            image = cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
        height, width = image.shape[:2]
        if self._writer is None:
            self._size = (width, height)
            self._partial = self._file.enter_context(writing(self.path))
            with utf8_name(self._partial) as name:
                self._writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), self.fps, self._size)
            if not self._writer.isOpened():
                self._writer, problem = None, InputError(f"{self.path} cannot be written as a video of {width}x{height}")
                with self._file:
                    raise problem
        if (width, height) != self._size:
            raise InputError(
                f"{self.path} is {self._size[0]}x{self._size[1]}, a frame is {width}x{height}; write frames of one size"
            )
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Complete the file and check that it can be read."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        with self._file:  # where it is not whole, nothing of it is left
            writer.release()
            if not is_whole(self._partial):  # OpenCV does not say so
                with self._partial.open("ab") as file:  # raises where the disk takes no more
                    file.write(bytes(1 << 16))
                    file.flush()
                raise InputError(f"{self.path} could not be written as a whole; make room on the disk")
            with VideoReader(self._partial) as reader:
                if (reader.width, reader.height) != self._size:
                    raise InputError(f"{self.path} was written at {self._size} but reads as {reader.width}x{reader.height}")

    def __exit__(self, *_) -> None:
        self.close()
