"""Reads calibration files: ROS's camera_info YAML, CameraInfo as `ros2 topic echo` prints it, OpenCV's, Kalibr's."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from ..errors import InputError
from ..files import kind_of, kind_of_start
from . import CALIBRATION_FILES
from .calibration import Calibration, View

# A file of another program: its keys here; another arrangement as Kalibr's in `_entry` and `_calibration`, and in
# `read_views`, which says where there are no coefficients; another syntax in `_document`, which refuses what
# `files.kind_of_start` knows. What is read is told in `CALIBRATION_FILES`, in `_NEEDED`, in the README, and by tests, which
# also name what is not.
_WIDTH, _HEIGHT = ("image_width", "width", "image_Width"), ("image_height", "height", "image_Height")
_SIZE = "resolution", "image_size", "cameraResolution"
_K, _P = ("camera_matrix", "k", "K", "cameraMatrix"), ("projection_matrix", "p", "P")
_D = "distortion_coefficients", "d", "D", "distCoeffs", "dist_coeffs", "distortion_coeffs"
"""What files call a thing: ROS's camera_calibration, CameraInfo in ROS 2 and 1, OpenCV's programs, Kalibr."""
_NEEDED = "it needs image_width, image_height, camera_matrix.data (9 numbers) and distortion_coefficients.data"

_LONGEST = 1 << 20
"""Bytes; no calibration has more."""


class _Loader(yaml.SafeLoader):
    """YAML with OpenCV's matrices, as the mappings that they are."""


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", cast(Any, yaml.SafeLoader.construct_yaml_map))


def read_views(path: str | Path, rectified: bool | None = False) -> list[View]:
    """The cameras that images can be of which a calibration file describes, see Calibration.views; at least one.

    Raises InputError, which names the file, where that cannot be.
    """
    try:
        entry = _entry(_document(Path(path)))
        calibration = _calibration(entry)
    except InputError as error:
        raise InputError(f"intrinsics file {path} {error}") from error
    try:
        views = calibration.views(rectified)
    except InputError as error:
        raise InputError(f"intrinsics file {path}: {error}") from error
    if not views:
        raise InputError(
            f"intrinsics file {path} is an uncalibrated camera's: its focal length is zero or NaN; "
            "calibrate the camera, or give its field of view"
        )
    if rectified or _value(entry, _D) is not None:
        return views
    other = _other_distortion(entry)
    what = f"its {other} are taken for those" if other else "the lens is taken to have none"
    remark = f"intrinsics file {path} has no distortion coefficients: {what}"
    return [View(view.camera, (*view.remarks, remark)) for view in views]


def _document(path: Path) -> dict:
    """The first document with something in it: `ros2 topic echo` puts a mark behind each."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST)
    except OSError as error:
        known = {errno.ENOENT: "does not exist", errno.EISDIR: "is a folder"}
        what = known.get(error.errno or 0, f"cannot be read ({error.strerror})")
        raise InputError(f"{what}; give a camera_info YAML") from error
    text = _text(data)
    kind, advice = kind_of_start(data if text is None else text[:4096].encode())
    if kind == "a zip archive" and path.is_file():  # not a pipe; of which kind tells its end
        kind, advice = kind_of(path)
    if text is None:
        raise InputError(f"is {kind or 'not text'}; {advice or f'give {CALIBRATION_FILES}'}")
    if kind not in ("", "empty", "a JSON text", "an XML text"):  # JSON is YAML
        raise InputError(f"is {kind}; {advice or 'give a camera_info YAML'}")
    if re.search(r"^\[image\]\s*$", text, re.MULTILINE):
        raise InputError(
            "is an INI of camera_calibration_parsers; `ros2 run camera_calibration_parsers convert IN.ini "
            "OUT.yaml` makes a YAML of it"
        )
    if text.lstrip().startswith("<"):
        raise InputError("is XML; have OpenCV write it as .yml")
    try:
        # OpenCV's first line, %YAML:1.0, is not YAML's.
        documents = yaml.load_all(re.sub(r"\A\s*%YAML[^\n]*\n", "", text), _Loader)
        document = next((document for document in documents if document is not None), None)
    except Exception as error:  # YAML's tags have constructors that fail in many ways
        words = " ".join(str(error).split())
        raise InputError(f"is not a camera_info YAML ({type(error).__name__}: {words}); {_NEEDED}") from error
    if not isinstance(document, dict):
        raise InputError(f"is not a camera_info YAML; {_NEEDED}")
    return document


def _text(data: bytes) -> str | None:
    """The text, in UTF-8, in UTF-16 as Windows' editors write it, or else in Latin-1, as in a camera's name; None where it is
    none."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\0" in data[:64]:  # without a mark the zeros tell
        encodings = ["utf-16-le" if data[1:2] == b"\0" else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "latin-1"]
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            if not re.search(r"[\0-\x08\x0e-\x1a\x1c-\x1f]", text):
                return text.replace("\r\n", "\n")
    return None


def _entry(document: dict) -> dict:
    """What describes the camera: in Kalibr's files the entry of the only one."""
    cameras = [name for name, value in document.items() if re.fullmatch(r"cam\d+", str(name)) and isinstance(value, dict)]
    if len(cameras) > 1:
        topics = ", ".join(f"{name} ({document[name].get('rostopic', 'no topic')})" for name in cameras)
        raise InputError(f"is Kalibr's, of several cameras, {topics}; give a file with the camera's own entry alone")
    return document[cameras[0]] if cameras else document


def _calibration(document: dict) -> Calibration:
    """What the keys of one camera say, under any of their names."""
    if "intrinsics" in document:
        return _of_kalibr(document)
    if (size := _value(document, _SIZE)) is not None:
        width, height = map(_pixels, _numbers(size, _SIZE[0], 2))
    else:
        width, height = (_pixels(*_numbers(_value(document, names), names[0], 1)) for names in (_WIDTH, _HEIGHT))
    roi, p = document.get("roi"), _value(document, _P)
    roi = roi if isinstance(roi, dict) else {}
    roi = [roi.get(name) or 0 for name in ("x_offset", "y_offset", "width", "height")]
    binning = [document.get(name) or 0 for name in ("binning_x", "binning_y")]
    model = document.get("distortion_model") or document.get("camera_model") or ""
    if document.get("fisheye_model") in (1, True, "1"):
        model = "equidistant"
    other = _other_distortion(document)
    left, top, across, down = map(_pixels, _numbers(roi, "roi", 4))
    binning_x, binning_y = map(_pixels, _numbers(binning, "binning", 2))
    return Calibration(
        width,
        height,
        _numbers(_value(document, _K), _K[0], 9),
        str(model),
        _numbers(_value(document, (*_D, other)) or [], other or _D[0]),
        _numbers(p, _P[0], 12) if p is not None else (),
        (left, top, across, down),
        (binning_x, binning_y),
    )


def _other_distortion(document: dict) -> str:
    """Another name under which coefficients are, in files of people's own scripts, or misspelt; empty without one."""
    others = {str(name): _value(document, (name,)) for name in document if str(name).startswith("dist")}
    return next((name for name, value in others.items() if isinstance(value, list) and len(list(_flat(value))) >= 4), "")


def _flat(values: list) -> Iterator[Any]:
    for value in values:
        yield from _flat(value) if isinstance(value, list) else (value,)


def _of_kalibr(camera: dict) -> Calibration:
    if (model := camera.get("camera_model")) != "pinhole":
        raise InputError(
            f"is Kalibr's with the camera model {model!r}, which is not known; calibrate with pinhole-radtan or pinhole-equi"
        )
    fx, fy, cx, cy = _numbers(camera.get("intrinsics"), "intrinsics", 4)
    width, height = _numbers(camera.get("resolution"), "resolution", 2)
    return Calibration(
        _pixels(width),
        _pixels(height),
        (fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0),
        str(camera.get("distortion_model") or ""),
        _numbers(camera.get("distortion_coeffs") or [], "distortion_coeffs"),
    )


def _value(document: dict, names: Iterable[str]) -> Any:
    """The value under the first of the names that is there, a matrix's numbers; None without one."""
    value = next((document[name] for name in names if name in document), None)
    return value.get("data") if isinstance(value, dict) else value


def _numbers(value: Any, name: str, count: int | None = None) -> tuple[float, ...]:
    if value is None:
        raise InputError(f"has no {name}; {_NEEDED}")
    try:
        numbers = tuple(np.array(value, dtype=np.float64).ravel().tolist())
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"has a {name} that is not numbers ({error}); {_NEEDED}") from error
    if count is not None and len(numbers) != count:
        raise InputError(f"has {len(numbers)} numbers as {name}, not {count}; {_NEEDED}")
    return numbers


def _pixels(value: float) -> int:
    """A whole number; 0, which every check refuses, for what is none."""
    return int(value) if np.isfinite(value) and 0 <= value < 2**31 else 0
