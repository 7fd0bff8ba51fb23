"""The camera of a bag's hands: its images, its CameraInfo, and through which lens the hands were seen."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from sensor_msgs.msg import CameraInfo

from fourdhands_core.episodes.order import in_order
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.calibration import Calibration
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.hand_model.seen_through import lens_of, lie_mirrored
from fourdhands_core.pipeline.settings import TrackerSettings

from ..bags.camera import Options, find_cameras
from ..bags.reading import Bag
from ..bags.topics import CAMERA_INFO, topics_of
from ..convert.camera_info import calibration_from_info, info_topics, is_rectified, rectified_by_name
from ..pypi.message_types import deserialize_ros
from .beside import stamp_or_time

_ALIKE = 0.9
"""Correlation of where joints are and where they are seen, above which they are seen by a camera."""
_EVERY, _LOOKED_AT = 15, 500
"""Of the hands every so many tell how they were seen, up to so many."""


@dataclass
class Seen:
    """Some of the hands in a camera's frame, and where they lie in its images. points: metres; pixels: of the same joints."""

    points: list[np.ndarray] = field(default_factory=list)
    pixels: list[np.ndarray] = field(default_factory=list)
    _count: int = 0

    def add(self, points: Callable[[], np.ndarray], pixels: Sequence[float] | np.ndarray) -> None:
        """One more hand. points: gives (21, 3). pixels: 42 numbers."""
        self._count += 1
        if self._count % _EVERY == 1 and len(self.points) < _LOOKED_AT:
            place, pixel = points(), np.asarray(pixels, np.float64).reshape(-1, 2)
            if np.isfinite(place).all() and np.isfinite(pixel).all():  # a joint may lie behind the camera
                self.points.append(place)
                self.pixels.append(pixel)

    @property
    def mirrored(self) -> bool:
        """Whether the images are mirrored."""
        return self._tell and lie_mirrored(np.concatenate(self.points), np.concatenate(self.pixels))

    def lens(self, cameras: Sequence[Camera]) -> int:
        """Which of the cameras saw them; see lens_of."""
        if not self._tell:
            return 0
        return lens_of(np.stack(self.points), np.stack(self.pixels), cameras, self.mirrored)

    @property
    def _tell(self) -> bool:
        """Whether they are in a camera's frame at all, which hands of a dataset in a robot's frame are not."""
        if not self.points:
            return False
        points, pixels = np.concatenate(self.points), np.concatenate(self.pixels)
        with np.errstate(all="ignore"):
            rays = points[:, :2] / points[:, 2:]
            alike = [np.corrcoef(rays[:, axis], pixels[:, axis])[0, 1] for axis in range(2)]
        return bool(abs(alike[0]) > _ALIKE and alike[1] > _ALIKE)


def own_images(bag: Bag, namespace: str, frame: str, names: Sequence[str]) -> str:
    """The topic of the images that hands are of: in their namespace, or else of their frame, the only one or one that was asked
    for; empty where none is.

    namespace: of the topic of HandPair. frame: that these name. names: topics that were asked for, which go before others.
    """
    found = [*names, *(camera.image for camera in _cameras(bag, ()))]
    for name in found:
        if any(camera.namespace == namespace for camera in _cameras(bag, (name,))):
            return name
    alike = [name for name in dict.fromkeys(found) if bag.frame(name) == frame]
    return next((name for name in alike if name in names), "") or _only(alike, namespace)


def _only(topics: list[str], namespace: str) -> str:
    """The only one of topics, or of those within a namespace, as drivers of two cameras may name one frame; empty for none."""
    within = [name for name in topics if name.startswith(f"{namespace}/")]
    return within[0] if len(within) == 1 else topics[0] if len(topics) == 1 else ""


def _cameras(bag: Bag, names: tuple[str, ...]):
    try:
        return find_cameras(bag.topics, Options(topics=names), bag.unread)
    except InputError:
        return []


def read_intrinsics(
    bag: Bag, namespace: str, frame: str, image: str, size: tuple[int, int] | None, seen: Seen, found: Options | None = None
) -> tuple[tuple[np.ndarray, np.ndarray], list[str]]:
    """Stamps (K,) from which on fx, fy, cx, cy (K, 4) hold for the hands' images, zeros where the camera is not calibrated; and
    what the user should know.

    As the tracker takes CameraInfo, with its region, binning and size; of rectified images P, if their name or the hands'
    pixels say that they are. image: see own_images. size: of the images, None where there are none: then as CameraInfo has it.
    found: the options by which hands were found in them, where CameraInfo's topic may be given, or a lens for want of it.
    """
    topic = found.camera_info if found else ""
    topic = topic or _info_topic(bag, image or f"{namespace}/image_raw", frame, namespace)
    what = image or f"the camera of {namespace}/hands"
    likely = is_rectified(found.parameters.rectified, image) if found else rectified_by_name(image)
    lenses = [_Lens(size, rectified, found) for rectified in (likely, not likely)]
    if not topic and (given := lenses[0].of(None)):
        return (np.zeros(1, np.int64), _row(given)[None]), []
    if not topic:
        return (np.zeros(0, np.int64), np.zeros((0, 4))), [f"no CameraInfo beside {what}: camera.intrinsics is 0"]
    stamps, times, told = array("q"), array("q"), []
    last = None
    for _, time, data in bag.messages([topic]):
        try:
            calibration = calibration_from_info(deserialize_ros(data, CameraInfo))
        except Exception:  # rclpy's RMWError has no public name; the conversion or the node told it in its turn
            continue
        if calibration != last:
            last = calibration
            stamps.append(stamp_or_time(data, time))
            times.append(time)
            told.append([lens.of(calibration) for lens in lenses])
    known = next((cameras for cameras in told if all(cameras)), ())
    which = seen.lens([camera for camera in known if camera]) if known else 0
    cameras = [one[which] for one in told]
    if not told:
        return (np.zeros(0, np.int64), np.zeros((0, 4))), [f"no CameraInfo on {topic} can be read: camera.intrinsics is 0"]
    notes = [] if all(cameras) else [f"{topic}: {lenses[which].problem}: camera.intrinsics is 0"]
    rows = [_row(camera) for camera in cameras]
    stamp = np.frombuffer(stamps, np.int64)
    kept = in_order(stamp, np.frombuffer(times, np.int64))
    return (stamp[kept], np.array(rows).reshape(-1, 4)[kept]), notes


def _row(camera: Camera | None) -> np.ndarray:
    """(4,) fx, fy, cx, cy; zeros of none."""
    return np.zeros(4) if camera is None else camera.matrix[[0, 1, 0, 1], [0, 1, 2, 2]]


def _info_topic(bag: Bag, image: str, frame: str, namespace: str) -> str:
    """CameraInfo beside an image topic, or else the only one that names its frame; empty where none does."""
    there = topics_of(bag.topics, CAMERA_INFO)
    if beside := [name for name in info_topics(image) if name in there]:
        return beside[0]
    return _only([name for name in there if frame and "depth" not in name and bag.frame(name) == frame], namespace)


class _Lens:
    """What CameraInfo says of images, of a size or of its own, that are rectified or not. problem: why it does not."""

    def __init__(self, size: tuple[int, int] | None, rectified: bool | None, found: Options | None) -> None:
        self._size, self._rectified, self.problem = size, rectified, ""
        given = (found.fov, found.intrinsics) if found else (None, None)
        self._source = CameraSource(TrackerSettings.default_fov, fov=given[0], intrinsics=given[1], rectified=rectified)

    def of(self, calibration: Calibration | None) -> Camera | None:
        """The images' camera; None where it is not calibrated, nor given."""
        if self._size is not None:
            if calibration is not None:
                self._source.update(calibration)
            found = self._source.camera_for(*self._size)
            self.problem = self._source.problem or self.problem
            return found if found.calibrated else None
        if calibration is None:
            return None
        try:
            if not (calibration.width and calibration.height):  # as `episodes import` writes it of datasets without pictures
                width, height = (max(16, round(2 * calibration.k[k] + 1)) for k in (2, 5))
                calibration = replace(calibration, width=width, height=height)
            camera = calibration.camera(self._rectified)
            self.problem = self.problem if camera else "the focal length is zero or NaN"
            return camera
        except (InputError, ValueError, OverflowError) as error:  # the last two of a centre that is no number
            self.problem = str(error)
            return None
