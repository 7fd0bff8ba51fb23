"""Where a VideoReader's frames come from: a camera, a video file, or image files, each with the same few members.

fps; frame_count, None where unknown; stated: whether that was counted, and is not the duration times fps; patience: how many
frames in a row may fail to come before the end is assumed; `read`: the next (stamp in nanoseconds, image (H, W, 3) uint8 RGB
as a player shows it), None where it fails to come; `nothing`: the sentence for a source without a single frame; `seek`: go on
with about the frame of a number; `close`.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError
from ..files import kind_of, not_a, utf8_name
from .coded_size import CodedSizes, Size
from .images import ImageFiles, images_in, stated_size
from .mp4 import counts_from_zero, display_matrix, empty_frames, states_frames, table

# What FFmpeg says of each damaged frame; the readers say how many there were.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

ASSUMED_FPS = 30.0
"""Frames per second where neither the container nor the camera states it, and of images."""
_SQUARE, _NARROWEST = 0.01, 1 / 8
"""Pixels of which one side is so little longer count as square; beyond the other shape the statement is damaged."""
_CODECS = {"av01": "AV1", "vvc1": "H.266", "vvi1": "H.266", "ap4h": "ProRes", "apch": "ProRes", "apcn": "ProRes"}


class CameraFrames:
    """A camera through OpenCV, by its index; stamps by the clock at capture. InputError where it cannot be opened."""

    patience, stated = 3, False
    frame_count: int | None = None

    def __init__(self, index: int, name: str):
        there = ", ".join(path.name.removeprefix("video") for path in sorted(Path("/dev").glob("video[0-9]*"))) or "none"
        self._problem = (
            f"camera {name} cannot be opened; check that it is plugged in, that no other program has it, and its "
            f"index (there are now: {there})"
        )
        if sys.platform == "linux" and not os.path.exists(f"/dev/video{index}"):
            raise InputError(self._problem)  # without OpenCV's lines about every kind of camera that it has tried
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise InputError(self._problem)
        self.fps = _fps(self._capture)

    def read(self) -> tuple[int, np.ndarray] | None:
        """See the module."""
        if not self._capture.grab():
            return None
        stamp = time.time_ns()
        ok, image = self._capture.retrieve()
        return (stamp, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)) if ok and image is not None else None

    def seek(self, number: int) -> None:
        """A camera stays where it is."""

    def nothing(self) -> str:
        """See the module."""
        return f"{self._problem} (it opened, but gave no image)"

    def close(self) -> None:
        """Release it."""
        self._capture.release()


_MAY_BE_VIDEOS = "", "a video", "a picture", "an XML text"
"""Kinds of `kind_of`; in others FFmpeg finds what is none: in a bag the JPEG images of all cameras, one after the other."""
_BAGS = "an mcap recording", "an SQLite database"
_TEXTS = "ansi", "bint", "xbin", "idf"
"""Codecs by which FFmpeg draws the letters of a text, as their first four letters."""


class FileFrames:
    """A video file through OpenCV, turned and stretched as its metadata say. InputError where it cannot be opened."""

    patience = 300

    def __init__(self, path: Path):
        self._path = path
        if kind_of(path)[0] not in _MAY_BE_VIDEOS:
            raise InputError(self._not_opened())
        with utf8_name(path) as name:
            self._capture = cv2.VideoCapture(name)
        if not self._capture.isOpened():
            raise InputError(self._not_opened())
        if self._codec() in _TEXTS:
            self._capture.release()
            raise InputError(f"{path} is a text, not a video, though its letters could be drawn as one; give a video file")
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0.0)
        width, height = (int(self._capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        self._sizes, self._number = CodedSizes(path, self._codec(), (width, height)), 0
        self._mirror = _mirroring(path)
        # OpenCV turns, and takes a mirror for a turn: a right hand would come out as a left one.
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, float(self._mirror is None))
        self.fps = _fps(self._capture)
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)) - empty_frames(path)
        self.frame_count, self.stated = count if count > 0 else None, states_frames(path)
        self._late = counts_from_zero(path)
        self._wide = self._width_of_pixels()

    def read(self) -> tuple[int, np.ndarray] | None:
        """See the module. Raises InputError where the resolution changes: OpenCV makes torn images of that, or crashes."""
        if not self._capture.grab():
            return None
        milliseconds = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        since, size = self._sizes.at(milliseconds)
        if size is not None and size != self._sizes.first:  # a stream may have no times
            raise InputError(self._changes(since or self._number * 1e3 / self.fps, self._sizes.first, size))
        self._number += 1
        if self._late and self.frame_count:  # until the first frame
            self.frame_count = max(self.frame_count - round(self._capture.get(cv2.CAP_PROP_PTS)), 1)
        self._late = False
        if size is None:
            return None
        stamp = round(milliseconds * 1e6)
        try:
            ok, image = self._capture.retrieve()
        except cv2.error:  # of a damaged header, whose image is narrower than OpenCV takes it for
            return None
        if not ok or image is None:
            return None
        if self._mirror is not None:
            image = _shown(image, self._mirror)
        if self._wide != 1.0:  # the longer side of the pixels gets more of them, so that no detail is lost
            image = cv2.resize(image, None, fx=max(1.0, self._wide), fy=max(1.0, 1.0 / self._wide))
        return stamp, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def seek(self, number: int) -> None:
        """See the module."""
        self._capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        self._sizes.seek(number)

    def nothing(self) -> str:
        """See the module."""
        code = self._codec()
        if code in _CODECS:
            return self._not_decoded(code)
        return (
            f"video {self._path} holds no frame that can be decoded (codec {code or 'unknown'}); it is cut off or damaged: "
            "copy or download it again"
        )

    def close(self) -> None:
        """Release it."""
        self._capture.release()
        self._sizes.close()

    def _codec(self) -> str:
        """Its code of up to four letters; "" where it has none."""
        number = int(self._capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        return number.to_bytes(4, "little").decode("latin1").strip("\0 ").lower()

    def _width_of_pixels(self) -> float:
        """Of a pixel as it is shown, its width by its height."""
        wide, high = (self._capture.get(name) for name in (cv2.CAP_PROP_SAR_NUM, cv2.CAP_PROP_SAR_DEN))
        if not (wide > 0 and high > 0 and _NARROWEST <= wide / high <= 1 / _NARROWEST) or abs(wide / high - 1) < _SQUARE:
            return 1.0
        sideways = self._capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90 if self._mirror is None else self._mirror[0, 1]
        return high / wide if sideways else wide / high

    def _not_opened(self) -> str:
        kind, _ = kind_of(self._path)
        if kind not in ("", "a video"):
            advice = f"run: fourdhands bag {shlex.quote(str(self._path))} OUT" if kind in _BAGS else "give a video file"
            return not_a(self._path, "a video", advice=advice)
        index, codes = table(self._path)
        if not index:
            return (
                f"video {self._path} lacks its index (moov), which a recorder writes at the end: the recording or the copy "
                "of it was cut off; copy it again, or have a tool such as untrunc restore it"
            )
        if codes:
            return self._not_decoded(codes[0])
        return (
            f"video {self._path} cannot be read; give a file in a format that OpenCV's FFmpeg decodes, such as mp4 with H.264"
        )

    def _changes(self, milliseconds: float, before: Size, after: Size) -> str:
        target, at = self._path.with_name(f"{self._path.stem}_rest{self._path.suffix}"), math.ceil(milliseconds / 10) / 100
        return (
            f"video {self._path} changes from {before[0]}x{before[1]} to {after[0]}x{after[1]} at {at} s; give each part by "
            f"itself, the rest as made by: ffmpeg -ss {at} -i {shlex.quote(str(self._path))} {shlex.quote(str(target))}"
        )

    def _not_decoded(self, code: str) -> str:
        target = self._path.with_name(f"{self._path.stem}_h264.mp4")
        return (
            f"video {self._path} is {_CODECS.get(code, f'of the codec {code}')}, which is not decoded here; convert it: "
            f"ffmpeg -i {shlex.quote(str(self._path))} -c:v libx264 -crf 18 {shlex.quote(str(target))}"
        )


class PictureFrames:
    """Image files as the frames of a video of ASSUMED_FPS; damaged ones fail. InputError where their sizes differ, or where it
    is one of several images, of which OpenCV reads the first."""

    fps, stated = ASSUMED_FPS, True

    def __init__(self, paths: list[Path]):
        self._paths, self._next, self._read_file = paths, 0, ImageFiles().read
        self._size: tuple[int, int] | None = None
        self.frame_count = self.patience = len(paths)
        if len(paths) == 1 and (count := images_in(paths[0])) > 1:
            raise InputError(f"{paths[0]} is one file of {count} images; make a video of them, or a folder of one file each")
        first: tuple[Path, tuple[int, int]] | None = None
        for path in paths:  # by their headers, before any is looked at
            if (size := stated_size(path)) is not None:
                first = first or (path, size)
                if size != first[1]:
                    raise InputError(self._differ(path, size, *first))

    def read(self) -> tuple[int, np.ndarray] | None:
        """See the module."""
        if self._next == len(self._paths):
            return None
        path, number = self._paths[self._next], self._next
        self._next += 1
        image = self._read_file(path)
        if image is None:
            return None
        size = image.shape[1], image.shape[0]
        if self._size is not None and size != self._size:
            raise InputError(self._differ(path, size, self._paths[number - 1], self._size))
        self._size = size
        return round(number * 1e9 / self.fps), image

    def _differ(self, path: Path, size: tuple[int, int], first: Path, other: tuple[int, int]) -> str:
        return f"{path} is {size[0]}x{size[1]}, {first} is {other[0]}x{other[1]}; give images of one size, those of one camera"

    def seek(self, number: int) -> None:
        """See the module."""
        self._next = min(max(number, 0), len(self._paths))

    def nothing(self) -> str:
        """See the module."""
        kind, advice = kind_of(self._paths[0])
        told = "copy or download it again"
        if kind == "a video":
            told = "it is a video; give it the name of one, such as " + shlex.quote(str(self._paths[0].with_suffix(".mp4")))
        elif kind not in ("", "a picture"):
            told = f"it is {kind}; {advice or 'give an image'}"
        more = f", nor {len(self._paths) - 1} more" if len(self._paths) > 1 else ""
        return f"image {self._paths[0]} cannot be read{more}: {told}"

    def close(self) -> None:
        """Nothing is open."""


def _fps(capture) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0.0 < fps < 1e4 else ASSUMED_FPS


def _mirroring(path: Path) -> np.ndarray | None:
    """The display matrix (2, 2) of a video that players show mirrored; None for all others. Raises InputError where it
    slants."""
    matrix = display_matrix(path)
    if matrix is None or (area := float(np.linalg.det(matrix))) == 0.0:
        return None
    mirrored = area < 0.0
    signs = np.sign(np.where(np.abs(matrix) > 0.01 * np.abs(matrix).max(), matrix, 0.0)).astype(int)
    if sorted(np.abs(signs).sum(axis=0)) != [1, 1] or sorted(np.abs(signs).sum(axis=1)) != [1, 1]:
        raise InputError(
            f"video {path} states that it is shown {'mirrored and ' if mirrored else ''}at an angle, which is not done here; "
            "write it upright with: "
            f"ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(path.with_name(path.stem + '_upright.mp4')))}"
        )
    return signs if mirrored else None


def _shown(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """An image as `display_matrix` has it shown, of which every entry is -1, 0 or 1."""
    if matrix[0, 1]:  # columns become rows
        image = image.transpose(1, 0, 2)
    across, down = matrix.sum(axis=0)  # the sign of what becomes x, and y
    return np.ascontiguousarray(image[:: int(down), :: int(across)])
