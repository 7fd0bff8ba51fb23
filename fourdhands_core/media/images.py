"""Image files in and out by OpenCV's decoders, under any name: OpenCV itself crashes on names that are not UTF-8."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Of files that are images to a folder of them."""


def read_image(path: str | Path) -> np.ndarray | None:
    """An image file as (H, W, 3) uint8 RGB, upright by its EXIF; None where it is missing, damaged or none."""
    try:
        data = np.fromfile(path, np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error):  # OpenCV raises where the header states a size beyond all measure
        return None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write an image (H, W, 3) uint8 RGB in the format of the name's ending. quality: of JPEG. InputError where it cannot."""
    path = Path(path)
    try:
        _, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise InputError(f"{path} has no ending that names a format of images; give .png or .jpg") from error
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); give a file in a folder that exists, on a disk with room"
        ) from error
