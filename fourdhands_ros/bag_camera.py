"""One camera of a bag: which topics it has, and from its recorded images to the messages that the node would publish."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.network.config import SHIPPED
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_core.pipeline.tracker_state import give_memory, tracker_memory
from fourdhands_core.pipeline.types import HandPairEstimate

from .bag_reading import Entry, Topic
from .camera_info import calibration_from_info
from .conversion import HandPairEncoder, MarkerEncoder, TransformEncoder, encode_faces
from .image_decoding import ImageDecoder, MalformedImage, stamp_of
from .parameters import Parameters

IMAGES = {"sensor_msgs/msg/Image": False, "sensor_msgs/msg/CompressedImage": True}
"""Types of image topics, and whether they are compressed."""
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
RECENT = 15
"""Images that the detector of a new tracker sees again: it finds a hand that it follows in poses in which it would not
find it anew. In 7 of 25 places of a clip of two hands a fresh detector saw one hand less, for up to 11 images."""


@dataclass(frozen=True)
class Options:
    """How bags are converted.

    parameters: the node's. topics: image topics; empty for every camera. camera_info: topic of the only camera's, where
    it does not lie beside the image. fov, intrinsics: of images without CameraInfo, see CameraSource. markers: write
    the meshes. interval: images after which what was done is safe.
    """

    parameters: Parameters = field(default_factory=lambda: Parameters(lookahead=4))
    topics: tuple[str, ...] = ()
    camera_info: str = ""
    fov: float | None = None
    intrinsics: Path | None = None
    markers: bool = True
    interval: int = 1000


@dataclass(frozen=True)
class CameraTopics:
    """Topics of one camera. info: empty where there is none. namespace: of what is written, without a slash at its end.
    frame_prefix: of the hands' frames."""

    image: str
    compressed: bool
    info: str
    namespace: str
    frame_prefix: str


def find_cameras(topics: Mapping[str, Topic], options: Options) -> list[CameraTopics]:
    """The cameras of a bag: `/cam/image_raw` (or `/cam/image_raw/compressed`) with `/cam/camera_info` is `/cam`.

    Without options.topics these are all image topics whose last name begins with "image", depth images left out, one a
    namespace: image_raw before others, raw before compressed. Raises InputError where there is none, where a given topic
    holds no images, or where two are of one namespace.
    """
    images = {name: IMAGES[topic.type] for name, topic in topics.items() if topic.type in IMAGES and topic.count}
    there = ", ".join(sorted(images)) or "none"
    chosen: dict[str, str] = {}
    if options.topics:
        for name in options.topics:
            if name not in images:
                raise InputError(f"topic {name} holds no images in this bag; image topics are: {there}")
            if (other := chosen.setdefault(_namespace(name), name)) != name:
                raise InputError(f"{other} and {name} would both be written to {_namespace(name)}/hands; choose one")
    else:
        plain = {name: name.removesuffix("/compressed") if images[name] else name for name in images}
        usual = [name for name in images if _last(plain[name]).startswith("image") and "depth" not in name]
        for name in sorted(usual, key=lambda name: (_last(plain[name]) != "image_raw", images[name], name)):
            chosen.setdefault(_namespace(name), name)
        if not chosen:
            raise InputError(f"no topic of a camera is in this bag; image topics are: {there}; choose with --topic")
    if options.camera_info:
        if len(chosen) > 1:
            raise InputError(f"--camera-info {options.camera_info} is one camera's, but {', '.join(chosen.values())} "
                             "are to be converted; choose one with --topic")
        if options.camera_info not in topics or topics[options.camera_info].type != CAMERA_INFO:
            raise InputError(f"--camera-info {options.camera_info} is no CameraInfo topic of this bag")
    found = []
    for namespace, name in sorted(chosen.items()):
        info = options.camera_info or f"{namespace}/camera_info"
        prefix = options.parameters.frame_prefix
        if len(chosen) > 1:  # else every camera's hands would be the same frames
            prefix = f"{namespace.lstrip('/')}/{prefix}".lstrip("/")
        there = info in topics and topics[info].type == CAMERA_INFO
        found.append(CameraTopics(name, images[name], info if there else "", namespace, prefix))
    return found


class BagCamera:
    """Tracks the hands in one camera's recorded images and hands out the messages, serialised as the node serialises them.

    `info` and `image` take the recorded messages in order, `finish` comes after the last. images, published, refused:
    counts, the last by reason.
    """

    def __init__(self, topics: CameraTopics, options: Options):
        self.topics, self._options = topics, options
        parameters = options.parameters
        self.tracker = HandPairTracker(parameters.tracker_settings())
        model = Path(parameters.hand_model).stem or "generic"
        self.faces = encode_faces(self.tracker.faces, model)
        self._pairs = HandPairEncoder(Path(parameters.weights or SHIPPED).stem, model)
        self._transforms = None
        if parameters.tf != "none":
            self._transforms = TransformEncoder(parameters.tf, topics.frame_prefix)
        self._markers = MarkerEncoder(self.tracker.faces, parameters.marker_lifetime) if options.markers else None
        self._with_vertices = options.markers or parameters.publish_vertices
        self._source = CameraSource(parameters.default_fov, fov=options.fov, intrinsics=options.intrinsics)
        self._decoder = ImageDecoder(topics.compressed)
        self._info, self._last = b"", None
        self._waiting: dict[int, tuple[str, int]] = {}
        self.images, self.published, self.refused = 0, 0, Counter()

    def close(self) -> None:
        """Free the tracker."""
        self.tracker.close()

    def state(self) -> dict:
        """All that a new BagCamera needs to go on from here, but for the last images; shared with this one."""
        return {"tracker": tracker_memory(self.tracker), "info": self._info, "last": self._last,
                "waiting": self._waiting, "shown": self._markers.shown if self._markers else {}, "bits": self._decoder.bits,
                "images": self.images, "published": self.published, "refused": dict(self.refused)}

    def restore(self, state: dict, recent: Sequence[bytes]) -> None:
        """Go on from the state of another BagCamera; recent: the last image messages before."""
        self._decoder.bits = state["bits"]
        for data in recent:
            try:
                image = self._decoder.decode(data)[1]
                self.tracker.observe(image, 0)
            except Exception:  # it was counted when it came up
                logging.debug("an image of %s was refused", self.topics.image, exc_info=True)
        give_memory(self.tracker, state["tracker"])
        if state["info"]:
            self.info(state["info"])
        self._last, self._waiting = state["last"], state["waiting"]
        if self._markers:
            self._markers.shown = state["shown"]
        self.images, self.published, self.refused = state["images"], state["published"], Counter(state["refused"])

    def info(self, data: bytes) -> None:
        """Take a serialised CameraInfo."""
        self._info = data
        try:
            self._source.update(calibration_from_info(deserialize_message(data, CameraInfo)))
        except Exception:  # rclpy's RMWError has no public name
            self.refused["CameraInfo"] += 1

    def image(self, data: bytes, time: int) -> list[Entry]:
        """Take a serialised image that was recorded at `time`; returns what there is to write."""
        self.images += 1
        messages = []
        try:
            header, image = self._decoder.decode(data)
            stamp = stamp_of(header)
            messages += self._follow(stamp)
            camera = self._source.camera_for(image.shape[1], image.shape[0])
            self._waiting[stamp] = header.frame_id, time
            estimate = self.tracker.process(image, stamp, camera, with_vertices=self._with_vertices)
        except MalformedImage as error:
            self.refused[error.reason] += 1
        except InputError:
            self.refused["input"] += 1
        except Exception:  # as in the node: one bad image must not end it all; the next one starts from nothing
            if not self.refused["internal error"]:
                logging.exception("an image of %s could not be processed; further ones are counted", self.topics.image)
            self.refused["internal error"] += 1
            self._forget()
        else:
            if estimate is not None:
                messages += self._encode(estimate)
        return messages

    def finish(self) -> list[Entry]:
        """The estimates that waited for images of the future."""
        messages = []
        while (estimate := self.tracker.flush(with_vertices=self._with_vertices)) is not None:
            messages += self._encode(estimate)
        return messages

    def _follow(self, stamp: int) -> list[Entry]:
        """Compare with the last image's stamp: where time jumps, tracking starts anew, and what waited is returned.

        Raises MalformedImage for one that is repeated or late.
        """
        last, gap = self._last, self._options.parameters.reset_gap * 1e9
        if last is not None and last - gap <= stamp <= last:
            raise MalformedImage("stamp order", f"the stamp {stamp} ns does not come after {last} ns")
        messages = []
        if last is not None and abs(stamp - last) > gap:
            messages = self.finish()
            self._forget()
        self._last = stamp
        return messages

    def _forget(self) -> None:
        self.tracker.reset()
        self._waiting.clear()

    def _encode(self, estimate: HandPairEstimate) -> list[Entry]:
        """What the node publishes for an estimate, but for the seconds that it took, which are no two times the same."""
        frame_id, time = self._waiting[estimate.stamp]
        self._waiting = {stamp: value for stamp, value in self._waiting.items() if stamp > estimate.stamp}
        self.published += 1
        counts = self.published, 0, self.refused.total()
        space, vertices = self.topics.namespace, self._options.parameters.publish_vertices
        messages = [(f"{space}/hands", time, self._pairs.encode(estimate, frame_id, {}, counts, vertices))]
        if self._transforms and frame_id:
            messages.append(("/tf", time, self._transforms.encode(estimate, frame_id)))
        if self._markers:
            messages.append((f"{space}/hands/markers", time, self._markers.encode(estimate, frame_id)))
        return [message for message in messages if message[2] is not None]


def written_topics(cameras: Sequence[CameraTopics], options: Options) -> dict[str, tuple[str, QoSProfile]]:
    """What a conversion writes: of each topic its type, and how the node would offer it."""
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    written = {}
    for camera in cameras:
        written[f"{camera.namespace}/hands"] = "fourdhands_ros/msg/HandPair", QoSProfile(depth=5)
        written[f"{camera.namespace}/hands/faces"] = "fourdhands_ros/msg/HandFaces", latched
        if options.markers:
            written[f"{camera.namespace}/hands/markers"] = "visualization_msgs/msg/MarkerArray", QoSProfile(depth=5)
    if options.parameters.tf != "none":
        written["/tf"] = "tf2_msgs/msg/TFMessage", QoSProfile(depth=100)
    return written


def _last(topic: str) -> str:
    return topic.rpartition("/")[2]


def _namespace(topic: str) -> str:
    return topic.removesuffix("/compressed").rpartition("/")[0]
