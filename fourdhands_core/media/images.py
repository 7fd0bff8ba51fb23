"""Image files in and out by OpenCV's decoders, under any name: OpenCV itself crashes on names that are not UTF-8."""

from __future__ import annotations

import heapq
import warnings
from collections import deque
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Picture

from ..errors import InputError
from ..outputs import writing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Of files that are images to a folder of them."""
_ORIENTATION = 0x0112
"""EXIF's tag."""
_SPARE = 10_000
"""Of so many numbers of an image one may be above the range that is shown, as a defective pixel is."""
_GLARE = 1.5
"""Fractions up to 1 are a little above it where light is glaring or a filter has overshot."""
_SEEN = 300
"""Of so many images it is remembered how bright they were."""


class VisibleBits:
    """Makes one camera's images with more than 8 bits a number visible, alike.

    needed: the fewest bits that hold each of the last such images, newest last: of whole numbers, as cameras put 10 or 12 bits
    into 16 without a word; of fractions 0 where the brightest is 1.
    """

    def __init__(self) -> None:
        self.needed: deque[int] = deque(maxlen=_SEEN)

    @property
    def bits(self) -> int:
        """How many are shown: so many that no more than two of these images needed more, which may be damaged or overexposed.
        Images are many, so that the brightness does not flicker."""
        return min(heapq.nlargest(3, self.needed), default=8)

    def show(self, image: np.ndarray) -> np.ndarray:
        """An image of any numbers as one of uint8; one of those as it is."""
        if image.dtype == np.uint8:
            return image
        fractions = image.dtype.kind == "f"
        self.needed.append(16)
        for bits in (0, 8) if fractions else range(8, 16):
            if np.count_nonzero(image > (_GLARE * 2**bits if fractions else 2**bits - 1)) <= image.size // _SPARE:
                self.needed[-1] = bits
                break
        full = max(2**self.bits - 1, 1)
        shown = np.clip(np.nan_to_num(image) if fractions else image, 0, full)
        return (shown * (255 / full) if fractions else shown >> (self.bits - 8)).astype(np.uint8)


class ImageFiles:
    """Reads one camera's image files, which are made visible alike."""

    def __init__(self) -> None:
        self._visible = VisibleBits()

    def read(self, path: str | Path) -> np.ndarray | None:
        """See `read_image`."""
        try:
            data = np.fromfile(path, np.uint8)
            image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH) if data.size else None
        except (OSError, cv2.error):  # OpenCV raises where the header states a size beyond all measure
            return None
        if image is None:
            return None
        return cv2.cvtColor(self._visible.show(image), cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)


def read_image(path: str | Path) -> np.ndarray | None:
    """An image file as (H, W, 3) uint8 RGB, upright by its EXIF; None where it is missing, damaged or none. Of more than 8
    bits a number, those are shown that hold its brightest; of several of one camera see ImageFiles."""
    return ImageFiles().read(path)


def stated_size(path: str | Path) -> tuple[int, int] | None:
    """(width, height) in pixels that an image file's header states, of the image upright by its EXIF; None where none can be
    told. The pixels are not decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes beyond measure, which the decoder refuses in its own words
        try:
            with Picture.open(path) as header:
                sideways = header.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
                width, height = header.size
        except Exception:  # Pillow lets out whatever a damaged header brings about
            return None
    return (height, width) if sideways else (width, height)


def images_in(path: str | Path) -> int:
    """How many images of one size an image file holds, as an animation or a stack of them does; 1 where that cannot be told.
    Of a JPEG always: what phones put behind it belongs to the same moment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Picture.open(path) as file:
                count, size = 1 if file.format == "MPO" else getattr(file, "n_frames", 1), file.size
                if count > 1:  # of another size it is a thumbnail
                    file.seek(1)
                return count if file.size == size else 1
        except Exception:  # as in stated_size
            return 1


def check_ending(path: str | Path) -> Path:
    """The path of an image that is to be written; InputError where its ending names no format."""
    path = Path(path)
    if not cv2.haveImageWriter(f"image{path.suffix}"):
        raise InputError(f"{path} has no ending that names a format of images; give .png or .jpg")
    return path


def jpeg(image: np.ndarray, quality: int = 95, width: int | None = None) -> bytes:
    """An image (H, W, 3) uint8 RGB as the bytes of a JPEG file. width: to which a wider one is made smaller."""
    if width is not None and image.shape[1] > width:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures (H, W, 3) beside each other, the left one made as high as the right one."""
    width = round(left.shape[1] * right.shape[0] / left.shape[0] / 2) * 2
    return np.hstack([cv2.resize(left, (width, right.shape[0]), interpolation=cv2.INTER_AREA), right])


def write_image(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write an image (H, W, 3) uint8 RGB in the format of the name's ending. quality: of JPEG. InputError where it cannot."""
    path = check_ending(path)
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    with writing(path) as partial:
        partial.write_bytes(data.tobytes())
