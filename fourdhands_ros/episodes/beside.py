"""What a bag holds beside the hands: the images' stamps and pictures, marks of episodes."""

from __future__ import annotations

import contextlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from std_msgs.msg import Bool, String

from fourdhands_core.episodes.clocks import Clock
from fourdhands_core.episodes.order import in_order
from fourdhands_core.episodes.recording import Camera, Recording
from fourdhands_core.episodes.resampling import TOPIC
from fourdhands_core.errors import InputError

from ..bags.reading import Bag
from ..bags.topics import IMAGES, topics_of
from ..convert.cdr import stamp_in
from ..convert.images import ImageDecoder
from ..pypi.message_types import deserialize_ros

_FIRST = 15
"""Images among which one is sought that can be decoded."""
_MARKS = {"std_msgs/msg/Bool": Bool, "std_msgs/msg/String": String}


def read_cameras(bag: Bag, names: tuple[str, ...], clock: Clock) -> tuple[dict[str, Camera], Counter[str], list[str]]:
    """Of image topics the cameras by the names that they get, in this order; how many images are not taken, by reason; and what
    the user should know. clock: the hands'.

    Raises InputError where one holds no images.
    """
    unusable: Counter[str] = Counter()
    check_images(bag, names)
    cameras: dict[str, Camera] = {}
    notes: list[str] = []
    for topic in names:
        space = topic.removesuffix("/compressed").rpartition("/")[0].strip("/").replace("/", "_") or "camera"
        name = f"observation.images.{space}"
        if name in cameras:
            name = f"observation.images.{topic.strip('/').replace('/', '_')}"
        camera, refused, words = _image_stamps(bag, topic, clock)
        notes += [f"{topic}: {words}"] if words else []
        unusable[f"image of {topic} whose stamp is repeated or out of order, or that does not decode"] += refused
        if camera is not None:
            cameras[name] = camera
        else:
            bag.warnings.append(f"no image of {topic} can be read: it is left out")
    return cameras, unusable, notes


def check_images(bag: Bag, names: Iterable[str]) -> None:
    """Raise InputError where one of the topics holds no images."""
    there = topics_of(bag.topics, *IMAGES)
    for topic in names:
        if topic not in there:
            raise InputError(f"--images {topic} holds no images in {bag.path}; image topics are: {', '.join(there) or 'none'}")


def _image_stamps(bag: Bag, topic: str, clock: Clock) -> tuple[Camera | None, int, str]:
    """The stamps of a topic's images, how many are not taken, and Clock.other; the first that can be read gives the size."""
    decoder, size = ImageDecoder(IMAGES[bag.topics[topic].type]), (0, 0)
    stamps, times, before = array("q"), array("q"), 0
    for _, time, data in bag.messages([topic]):
        if not size[0]:
            try:
                image = decoder.decode(data)[1]
            except InputError:
                before += 1
                continue
            size = image.shape[1], image.shape[0]
        stamps.append(stamp_or_time(data, time))
        times.append(time)
    if not stamps:
        return None, before, ""
    stamp, time_of = np.frombuffer(stamps, np.int64), np.frombuffer(times, np.int64)
    kept = in_order(stamp, time_of)
    camera = Camera(topic, stamp[kept], before + kept, *size)
    return camera, before + len(stamp) - len(kept), clock.other(stamp[kept], time_of[kept])


def image_size(bag: Bag, topic: str) -> tuple[int, int] | None:
    """Width and height of a topic's images; None where none of the first can be read."""
    decoder = ImageDecoder(IMAGES[bag.topics[topic].type])
    for _, _, data in itertools.islice(bag.messages([topic]), _FIRST):
        with contextlib.suppress(InputError):
            height, width = decoder.decode(data)[1].shape[:2]
            return width, height
    return None


def stamp_or_time(data: bytes, time: int) -> int:
    """The stamp of a serialised message's header, ns; of one without, the time at which it was recorded."""
    stamp = stamp_in(data) or 0
    return stamp if stamp > 0 else time


_STARTS, _ENDS = ("start", "begin", "true"), ("stop", "end", "false")
"""Words of a String that mark an episode, in capitals or not."""


def read_marks(bag: Bag, split: str, clock: Clock | None = None) -> tuple[list[tuple[int, int]] | None, Counter[str]]:
    """The parts between the starts and ends that a topic of Bool (true, false) or String (start, stop) says; and how many
    messages say neither, by reason, which change nothing. clock: of the stamps in which the parts are; None: of recording."""
    unusable: Counter[str] = Counter()
    if not split.startswith(f"{TOPIC}:"):
        return None, unusable
    topic = split.partition(":")[2]
    kind = bag.topics[topic].type if topic in bag.topics else ""
    if kind not in _MARKS:
        raise InputError(f"--split {split}: {bag.path} has no topic {topic} of std_msgs/Bool or String")
    marks, moment = [], clock.moment if clock else int
    begun: int | None = None
    other = ""
    for _, time, data in bag.messages([topic]):
        try:
            value = deserialize_ros(data, _MARKS[kind]).data
        except Exception:  # rclpy's RMWError has no public name
            unusable[f"message of {topic} that does not unpack"] += 1
            continue
        word = str(value).strip().lower()
        if word not in _STARTS + _ENDS:
            other = other or f"String of {topic} that is neither start nor stop, as {value[:40]!r}: it changes nothing"
            unusable[other] += 1
            continue
        starts = word in _STARTS
        if starts and begun is None:
            begun = moment(time)
        elif not starts and begun is not None:
            marks.append((begun, moment(time)))
            begun = None
    if begun is not None:
        marks.append((begun, 2**62))
    return marks, unusable


def pictures_of(bag: Bag, recording: Recording, camera: str, numbers: np.ndarray) -> Iterator[np.ndarray | None]:
    """The images (H, W, 3) uint8 RGB of a camera's messages by their numbers, rising; None for one that does not decode."""
    topic = recording.cameras[camera].topic
    decoder, wanted = ImageDecoder(IMAGES[bag.topics[topic].type]), map(int, numbers)
    following = next(wanted, None)
    for number, (_, _, data) in enumerate(bag.messages([topic])):
        if following is None:
            return
        if number != following:
            continue
        following = next(wanted, None)
        try:
            yield decoder.decode(data)[1]
        except InputError:
            yield None


def intrinsics_at(recording: Recording, stamp: np.ndarray) -> np.ndarray:
    """(N, 4) fx, fy, cx, cy at moments, of the last CameraInfo before or else the first; zeros where there is none."""
    stamps, rows = recording.intrinsics
    if not len(stamps):
        return np.zeros((len(stamp), 4))
    return rows[np.maximum(np.searchsorted(stamps, stamp, side="right") - 1, 0)]
