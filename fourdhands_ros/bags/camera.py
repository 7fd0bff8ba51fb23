"""One camera of a bag: which topics it has, and from its recorded images to the messages that the node would publish."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo

from fourdhands_core.episodes.folder import content_key
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.session import Counts, HandSession, Notes, Result
from fourdhands_core.pipeline.settings import OFFLINE_LOOKAHEAD
from fourdhands_core.pipeline.shape_calibration import tracker_with_shape

from ..convert.camera_info import calibration_from_info, info_topics, is_rectified
from ..convert.images import ImageDecoder, stamp_of
from ..node.parameters import Parameters
from ..pypi.message_types import deserialize_ros
from .depth import AUTO, DepthTopic, RecordedDepth
from .messages import HandMessages
from .reading import Bag, Entry
from .topics import CAMERA_INFO, IMAGES, Topic, may_hold_pictures, no_camera_words, topic_words

if TYPE_CHECKING:
    from fourdhands_core.fusion.rig import Rig

_FIRST = 15
"""Images among which one is sought that can be decoded: whose size a given lens has to fit, and which names its frame; and
CameraInfo among which one is sought that unpacks."""


@dataclass(frozen=True)
class Options:
    """How bags are converted.

    parameters: the node's. topics: image topics; empty for every camera. camera_info: topic of the only camera's, where
    it does not lie beside the image. depth: topic of the only camera's depth images, or see `bag_depth.find_depth`.
    fov, intrinsics: of images without CameraInfo, see CameraSource. markers: write the meshes. interval: images after
    which what was done is safe. rig: where the cameras stand, of a file; fixed_frame: in which they all see one pair of hands:
    with neither, each camera's hands are all there is.

    Another one is an argument of `commands/bag.py` with its place in `bag` there; a run that was begun with another value is
    refused by itself.
    """

    parameters: Parameters = field(default_factory=lambda: Parameters(lookahead=OFFLINE_LOOKAHEAD))
    topics: tuple[str, ...] = ()
    camera_info: str = ""
    depth: str = AUTO
    fov: float | None = None
    intrinsics: Path | None = None
    markers: bool = True
    interval: int = 1000
    rig: Rig | None = None
    fixed_frame: str = ""

    @property
    def fused_frame(self) -> str:
        """The frame of all cameras' common hands; empty where there are to be none. Raises InputError where the rig has another
        one."""
        return self.rig.frame(self.fixed_frame) if self.rig else self.fixed_frame

    def plain(self) -> dict[str, Any]:
        """The options in plain values, with what is in the files that they name, so that another content is another option."""
        given = self.parameters
        texts = given.weights, given.hand_model, given.hand_model_left, given.hand_shape, self.intrinsics
        files = {str(text): content_key([Path(text)], "") for text in texts if text and Path(text).is_file()}
        return json.loads(json.dumps({**asdict(self), "named files": files}, default=str))

    def text(self) -> str:
        """The same as one line, by which a run of today knows that of before."""
        return json.dumps(self.plain(), sort_keys=True)


@dataclass(frozen=True)
class CameraTopics:
    """Topics of one camera. info: empty where there is none. namespace: of what is written, without a slash at its end.
    frame_prefix: of the hands' frames. other_infos: where there is no info, CameraInfo topics that may be this camera's."""

    image: str
    compressed: bool
    info: str
    namespace: str
    frame_prefix: str
    other_infos: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the camera is called: its namespace without slashes at its ends."""
        return self.namespace.strip("/") or "camera"


def find_cameras(
    topics: Mapping[str, Topic], options: Options, unread: Mapping[str, Topic] = MappingProxyType({})
) -> list[CameraTopics]:
    """The cameras of a bag: `/cam/image_raw` (or `/cam/image_raw/compressed`) with `/cam/camera_info` is `/cam`.

    Without options.topics these are all image topics whose last name begins with "image", depth images left out, one a
    namespace: image_raw before others, raw before compressed. Raises InputError where there is none, where a given topic
    holds no images, or where two are of one namespace. unread: see Bag.
    """
    images = {name: IMAGES[topic.type] for name, topic in topics.items() if topic.type in IMAGES and topic.count}
    there = ", ".join(sorted(images)) or "none"
    if options.topics:
        chosen = list(dict.fromkeys(options.topics))
        for name in chosen:
            if name not in images:
                what = {**unread, **topics}.get(name)
                why = f": {topic_words(name, what)}" if what and may_hold_pictures(what) else ""
                raise InputError(f"topic {name} holds no images in this bag{why}; image topics are: {there}")
    else:
        usual = [name for name in images if _is_usual(name) and "depth" not in name]
        usual.sort(key=lambda name: (_plain(name).rpartition("/")[2] != "image_raw", images[name], name))
        chosen = list({_plain(name).rpartition("/")[0]: name for name in reversed(usual)}.values())
        if not chosen:
            raise InputError(no_camera_words(topics, unread))
    if options.camera_info:
        if len(chosen) > 1:
            raise InputError(
                f"--camera-info {options.camera_info} is one camera's, but {', '.join(sorted(chosen))} "
                "are to be converted; choose one with --topic"
            )
        if options.camera_info not in topics or topics[options.camera_info].type != CAMERA_INFO:
            raise InputError(f"--camera-info {options.camera_info} is no CameraInfo topic of this bag")
    found: dict[str, CameraTopics] = {}
    for name in chosen:
        info = next((info for info in info_topics(name) if info in topics and topics[info].type == CAMERA_INFO), "")
        namespace = (info or (_plain(name) if _is_usual(name) else name)).rpartition("/")[0]
        if namespace in found:
            raise InputError(f"{found[namespace].image} and {name} would both be written to {namespace}/hands; choose one")
        prefix = options.parameters.frame_prefix
        if len(chosen) > 1:  # else every camera's hands would be the same frames
            prefix += f"{namespace.lstrip('/')}/" if namespace else ""
        info = options.camera_info or info
        others = () if info else tuple(name for name, topic in sorted(topics.items()) if topic.type == CAMERA_INFO)
        found[namespace] = CameraTopics(name, images[name], info, namespace, prefix, others)
    options.parameters.tracker_settings().check_cameras(camera.name for camera in found.values())
    return [camera for _, camera in sorted(found.items())]


def _plain(topic: str) -> str:
    """The base name of a topic of image_transport."""
    return topic.removesuffix("/compressed")


def _is_usual(topic: str) -> bool:
    """Whether an image topic is called as image_transport's are, in its camera's namespace."""
    return _plain(topic).rpartition("/")[2].startswith("image")


def check_lens(bag: Bag, topics: CameraTopics, options: Options) -> None:
    """Raises InputError where the lens given for a camera without CameraInfo is none, or not of its images' shape."""
    source = _camera_source(topics, options)
    if options.intrinsics is None:
        return
    if info := first_info(bag, topics):
        source.update(calibration_from_info(deserialize_ros(info, CameraInfo)))
    for _, _, image in first_images(bag, topics):
        source.camera_for(image.shape[1], image.shape[0])
        return


def first_info(bag: Bag, topics: CameraTopics) -> bytes:
    """The first of a camera's CameraInfo that unpacks, serialised, empty for none; of the others it is told in their turn."""
    for _, _, data in itertools.islice(bag.messages([topics.info]), _FIRST):
        with contextlib.suppress(Exception):  # rclpy's RMWError has no public name
            deserialize_ros(data, CameraInfo)
            return data
    return b""


def first_images(bag: Bag, topics: CameraTopics) -> Iterator[tuple[int, Any, np.ndarray]]:
    """(time of recording, header, image) of a camera's first images that can be decoded; of the others it is told in their
    turn."""
    decoder = ImageDecoder(topics.compressed)
    for _, time, data in itertools.islice(bag.messages([topics.image]), _FIRST):
        with contextlib.suppress(InputError):
            yield time, *decoder.decode(data)


def _camera_source(topics: CameraTopics, options: Options) -> CameraSource:
    others = f"has no CameraInfo on {topics.info} that can be read, for" if topics.info else "has no CameraInfo for"
    if topics.other_infos:
        others = f"has CameraInfo on {', '.join(topics.other_infos)} only, not by"
    return CameraSource(
        options.parameters.default_fov,
        fov=options.fov,
        intrinsics=options.intrinsics,
        rectified=is_rectified(options.parameters.rectified, topics.image),
        unknown=f"the bag {others} {topics.image} (--camera-info, --fov and --intrinsics give one)",
    )


class BagCamera:
    """Tracks the hands in one camera's recorded images and hands out the messages, serialised as the node serialises them.

    depth: the bag and topic of the depth images beside them; they are read on by themselves. `info` and `track` take
    the recorded messages in order, `flush` comes after the last. images, published: counts. session: decides what
    becomes of each image; notes: what it said.
    """

    def __init__(self, topics: CameraTopics, options: Options, depth: tuple[Bag, DepthTopic] | None = None) -> None:
        self.topics = topics
        parameters = options.parameters
        settings, measured = parameters.tracker_settings().of_camera(topics.name), bool(options.fused_frame)
        self.tracker = tracker_with_shape(settings, parameters.hand_shape, measured)
        self.messages = HandMessages(self.tracker.faces, parameters, topics.namespace, topics.frame_prefix, options.markers)
        self._source = _camera_source(topics, options)
        self.notes = Notes()
        counts = Counts()
        self.session = HandSession(self.tracker, self._source, counts, self.notes, parameters.reset_gap)
        self._depth = RecordedDepth(*depth, parameters.depth_tolerance, counts, self.notes) if depth else None
        self._decoder = ImageDecoder(topics.compressed)
        self._info, self._unset_stamps = b"", False
        self.images, self.published = 0, 0

    def close(self) -> None:
        """Free the tracker."""
        self.tracker.close()

    def state(self) -> dict:
        """All that a new BagCamera needs to go on from here; shared with this one."""
        counts = self.session.counts
        return {
            "tracker": self.tracker.memory(),
            "session": self.session.state(),
            "info": self._info,
            "shown": self.messages.meshes.shown,
            "images": self.images,
            "published": self.published,
            "refused": dict(counts.refused),
            "events": dict(counts.events),
            "notes": list(self.notes.kept),
            "unset_stamps": self._unset_stamps,
            "needed": list(self._decoder.visible.needed),
        }

    def restore(self, state: dict) -> None:
        """Go on from the state of another BagCamera."""
        self._decoder.visible.needed.extend(state["needed"])
        self.tracker.recall(state["tracker"])
        if state["info"]:
            self.info(state["info"])
        self.session.restore(state["session"])
        self.messages.meshes.shown = state["shown"]
        self.images, self.published, self._unset_stamps = state["images"], state["published"], state["unset_stamps"]
        self.session.counts.refused.update(state["refused"])
        self.session.counts.events.update(state["events"])
        self.notes.kept.extend(state["notes"])

    def info(self, data: bytes) -> None:
        """Take a serialised CameraInfo."""
        try:
            self._source.update(calibration_from_info(deserialize_ros(data, CameraInfo)))
            self._info = data
        except Exception as error:  # rclpy's RMWError has no public name
            if self.session.counts.count_event("CameraInfo messages that do not unpack"):
                words = "does not unpack, it is damaged or of another type"
                self.notes.warning(f"a message of {self.topics.info} {words} ({error}); further ones are counted only")

    def look_at_stamps(self, bag: Bag) -> None:
        """Whether the camera's driver has set the stamps of its first images; if not, times of recording stand in for them."""
        self._unset_stamps = bag.unset_stamps(self.topics.image)
        self.session.foresee(bag.first_stamps(self.topics.image))
        if self._unset_stamps:
            self.notes.warning(
                "the first images' stamps are all 0: the times at which they were recorded are taken in their place"
            )

    def track(self, data: bytes, time: int) -> list[Result]:
        """Take a serialised image that was recorded at `time`; returns the estimates that are ready, each with its image's
        frame and time."""
        self.images += 1

        def load() -> tuple[np.ndarray, int, Any]:
            header, image = self._decoder.decode(data)
            stamp = stamp_of(header)
            return image, time if self._unset_stamps and not stamp else stamp, (header.frame_id, time)

        def depth(frame: Frame) -> np.ndarray | None:
            size = frame.camera.width, frame.camera.height
            return None if self._depth is None else self._depth.find(frame.stamp, size, time)

        return self.session.process(load, depth, self.messages.with_vertices)

    def flush(self) -> list[Result]:
        """The estimates that waited for images of the future, likewise."""
        results = self.session.finish(self.messages.with_vertices)
        self.session.tell_depth(whole=True)
        self.session.tell_unseen(self.topics.image)
        return results

    def encode(self, results: list[Result]) -> list[Entry]:
        """What the node publishes for estimates."""
        messages: list[Entry] = []
        for estimate, (frame_id, time) in results:
            self.published += 1
            if (problem := self.messages.problem(frame_id)) and problem not in self.notes.kept:
                self.notes.warning(problem)
            counts = self.published, 0, self.session.counts.rejected
            messages += self.messages.encode(estimate, frame_id, time, counts)
        return messages


def by_info(cameras: Iterable[BagCamera]) -> dict[str, list[BagCamera]]:
    """Cameras by their CameraInfo topic, which several may have in common."""
    found: dict[str, list[BagCamera]] = {}
    for camera in cameras:
        found.setdefault(camera.topics.info, []).append(camera)
    return found


def written_topics(cameras: Sequence[CameraTopics], options: Options) -> dict[str, tuple[str, QoSProfile]]:
    """What a conversion writes: of each topic its type, and how the node would offer it."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    written = {}
    for namespace in [camera.namespace for camera in cameras] + [""] * bool(options.fused_frame):
        written[f"{namespace}/hands"] = "fourdhands_ros/msg/HandPair", QoSProfile(depth=5)
        written[f"{namespace}/hands/faces"] = "fourdhands_ros/msg/HandFaces", latched
        if options.markers:
            written[f"{namespace}/hands/markers"] = "visualization_msgs/msg/MarkerArray", QoSProfile(depth=5)
    if options.parameters.tf != "none":
        written["/tf"] = "tf2_msgs/msg/TFMessage", QoSProfile(depth=100)
    return written
