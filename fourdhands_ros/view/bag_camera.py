"""One camera's hands in a bag, with their images, at whatever row."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.types import HandPairEstimate, absent
from fourdhands_core.view.cloud import Cloud, CloudMaker
from fourdhands_core.view.lens import SeenThrough, same_camera
from fourdhands_core.view.moments import Moment
from fourdhands_core.view.recordings import ASSUMED_FOV, fitted_to

from ..bags.index import BagIndex
from ..bags.info import HAND_PAIR, pair_store
from ..bags.reading import Bag
from ..bags.topics import IMAGES
from ..convert.camera_info import lenses_of
from ..convert.cdr import stamp_in
from ..convert.decoders import pair_estimate, without_numbers
from ..convert.images import ImageDecoder, decode_compressed_depth, decode_depth
from ..pypi.message_types import deserialize_ros
from .bag_topics import HandTopics

_NEAR = 20_000_000
"""Nanoseconds by which the stamp of an image may differ that is shown for want of the right one."""
_SEARCHED, _FURTHER = 200, 50
"""Of the first messages, and of those after them, in which hands are looked for that tell whose they are, and the camera where
no CameraInfo does."""


class RecordedCamera:
    """The hands of one HandPair topic. times: (N,) nanoseconds, when each of its messages was recorded.

    warnings: sentences about what could not be read. fused: the hands are made of several cameras' images. model: of the
    poses, empty where it is not said. frame: that the messages name, of the last that was read. Raises InputError where the
    bag's definition of HandPair is damaged.
    """

    def __init__(self, bag: Bag, index: BagIndex, topics: HandTopics) -> None:
        self.topics, self._index = topics, index
        self.times = index.times[topics.pairs]
        self._store = pair_store(bag.path, topics.pairs, bag.topics[topics.pairs])
        self._decoder = ImageDecoder(IMAGES[bag.topics[topics.image].type] if topics.image else False)
        self.warnings: list[str] = []
        self.fused, self.model, self.frame = False, "", ""
        self._delays: dict[str, int] = {}
        self._maker: CloudMaker | None = None
        self._seen = SeenThrough()
        self._look_ahead()
        if self.fused:  # what is beside them is another camera's
            self.topics = HandTopics(topics.pairs)
        self._lenses = self._find_lenses()
        self._camera = self._lenses[0]

    def moment(self, row: int) -> Moment:
        """The hands in a message; where it does not unpack none, and a note."""
        try:
            message = self._message(row)
            pair = pair_estimate(message, self._camera)
            notes = without_numbers(message)
            if not self.fused:
                pair = self._seen.pair(pair, *self._lenses)
                self._camera = pair.camera
            self.frame = str(message.header.frame_id)
            latency = dict(zip(message.latency_stages, map(float, message.latency)))
            return Moment(pair, latency, int(message.frames_dropped), int(message.frames_rejected), notes)
        except Exception as error:  # rosbags lets out whatever it runs into
            pair = HandPairEstimate(int(self.times[row]), absent(LEFT), absent(RIGHT), self._camera)
            return Moment(pair, notes=(f"message {row} of {self.topics.pairs} is damaged ({type(error).__name__})",))

    def stamp(self, row: int) -> int:
        """Of the image that the hands of a row were found in, nanoseconds."""
        return self._stamp(self.topics.pairs, row)

    def image(self, row: int) -> np.ndarray | None:
        """The image that the hands of a row were found in."""
        number = self._number_at(self.topics.image, row)
        if number is None:
            return None
        try:
            return self._decoder.decode(self._index.read(self.topics.image, number))[1]
        except Exception:  # damaged: what the page can do is to show none
            return None

    def cloud(self, row: int, image: np.ndarray | None) -> Cloud | None:
        """The depth image of a row's moment as points, in the colours of its image."""
        depth = self.topics.depth
        number = self._number_at(depth.name, row) if depth else None
        if depth is None or number is None:
            return None
        kind, decode = (CompressedImage, decode_compressed_depth) if depth.compressed else (Image, decode_depth)
        try:
            found = decode(deserialize_ros(self._index.read(depth.name, number), kind))
        except Exception:  # as above
            return None
        if self._maker is None or not same_camera(self._maker.camera, self._camera):
            self._maker = CloudMaker(self._camera)
        return self._maker.make(found, image, self._seen.mirrored)

    def row_at(self, time: int) -> int | None:
        """The last row that was recorded until a time, nanoseconds, or just after it; None where that is a second ago."""
        row = int(np.searchsorted(self.times, time + _NEAR, "right")) - 1
        return row if row >= 0 and time - self.times[row] < 1_000_000_000 else None

    def _message(self, row: int) -> Any:
        return self._store.deserialize_cdr(self._index.read(self.topics.pairs, row), HAND_PAIR)

    def _number_at(self, topic: str, row: int) -> int | None:
        """The message of an image topic that has the stamp of a row's hands, or nearly."""
        if not topic or not len(self._index.times[topic]):
            return None
        wanted, times = self._stamp(self.topics.pairs, row), self._index.times[topic]
        number = int(np.searchsorted(times, self.times[row] - self._delays.get(topic, 0), "right")) - 1
        stamps: dict[int, int] = {}
        low, high, step = -1, len(times), 1  # stamps come in their order: from where it is expected by longer and longer steps
        while high - low > 1:
            if not low < number < high:
                number = (low + high) // 2
            stamps[number] = self._stamp(topic, number)
            if stamps[number] <= wanted:
                low, number = number, number + step
            else:
                high, number = number, number - step
            if stamps.get(low) == wanted:
                break
            step *= 2
        best = min(stamps, key=lambda one: abs(stamps[one] - wanted))
        if abs(stamps[best] - wanted) > _NEAR:
            return None
        self._delays[topic] = int(self.times[row]) - int(times[best])
        return best

    def _stamp(self, topic: str, number: int) -> int:
        """Of a message, nanoseconds; when it was recorded where it is damaged or its stamp is 0."""
        try:
            stamp = stamp_in(self._index.read(topic, number))
        except Exception:  # as whatever the libraries raise
            stamp = None
        return stamp or int(self._index.times[topic][number])

    def _some_rows(self) -> list[int]:
        """The first ones, and some of all others, as nobody may be seen at first."""
        rows = np.concatenate([np.arange(_SEARCHED), np.linspace(_SEARCHED, max(len(self.times) - 1, _SEARCHED), _FURTHER)])
        return [row for row in dict.fromkeys(rows.astype(int).tolist()) if row < len(self.times)]

    def _look_ahead(self) -> None:
        """What messages say of all: the model, and what those with hands do."""
        for row in self._some_rows():
            try:
                message = self._message(row)
            except Exception:
                continue
            self.frame = self.frame or str(message.header.frame_id)
            self.model = self.model or str(message.left.model)
            hand = next((hand for hand in (message.left, message.right) if hand.valid), None)
            if hand is not None:
                self.model, self.fused = str(hand.model), not len(hand.joints_2d)
                return

    def _find_lenses(self) -> list[Camera]:
        """The camera of the images, and others that it may be."""
        topics = self.topics
        if topics.info and len(self._index.times[topics.info]):
            try:
                info = deserialize_ros(self._index.read(topics.info, 0), CameraInfo)
                if lenses := lenses_of(info, topics.image):
                    return lenses
            except Exception as error:  # InputError of what is no camera's, and whatever damage brings about
                self.warnings.append(f"{topics.info}: {error}")
        size = None
        if topics.image and len(self._index.times[topics.image]):
            try:
                image = self._decoder.decode(self._index.read(topics.image, 0))[1]
                size = image.shape[1], image.shape[0]
            except Exception as error:
                self.warnings.append(f"{topics.image}: {error}")
        guess = Camera.from_fov(*(size or (640, 480)), ASSUMED_FOV)
        for row in () if self.fused else self._some_rows():
            try:
                pair = pair_estimate(self._message(row), guess)
            except Exception:
                continue
            if (fitted := fitted_to(pair, size)) is not None:
                return [fitted]
        return [guess]
