"""Bags for tests: small ones to cut, and rendered hands as a camera records them."""

from __future__ import annotations

import array
from dataclasses import fields, is_dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from ros_support import T0, stamp_to
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from sensor_msgs.msg import CompressedImage, Image

from fourdhands_core.media.clips import demo_clip
from fourdhands_ros.pypi.message_types import typestore
from fourdhands_ros.tools.camera import camera_info

TYPES = {
    "image_raw": "sensor_msgs/msg/Image",
    "image_raw/compressed": "sensor_msgs/msg/CompressedImage",
    "camera_info": "sensor_msgs/msg/CameraInfo",
}


def write_bag(path: Path, entries, types: dict[str, str], plugin="mcap", compression="none", chunk=0, store=None) -> Path:
    """A bag of (topic, time in nanoseconds, serialised message) in a folder that is not there yet.

    chunk: messages in a chunk of an mcap; 0 for rosbags' own choice. store: of the types' definitions; None for today's.
    """
    store = store or typestore()
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[plugin.upper()])
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {name: writer.add_connection(name, kind, typestore=store) for name, kind in types.items()}
        for number, (topic, time, data) in enumerate(entries, 1):
            writer.write(connections[topic], time, data)
            if chunk and number % chunk == 0:
                writer.storage.close_chunk()
    return path


def read_bag(path: Path) -> list[tuple[str, int, bytes]]:
    """All messages of a whole bag, by rosbags alone."""
    with Reader(path) as reader:
        return [(connection.topic, time, bytes(data)) for connection, time, data in reader.messages()]


KINDS = {
    "hands": "fourdhands_ros/msg/HandPair",
    "tf": "tf2_msgs/msg/TFMessage",
    "markers": "visualization_msgs/msg/MarkerArray",
    "faces": "fourdhands_ros/msg/HandFaces",
}
"""Types by the ends of the topics' names."""


def assert_same_hands(one, other) -> None:
    """Two lists of what `read_bag` gives say the same: numbers up to their last digits, in which a process that has done
    other work before may round otherwise, and all else as it is."""
    assert [entry[:2] for entry in one] == [entry[:2] for entry in other]
    for (topic, _, data), (_, _, again) in zip(one, other):
        if data != again:
            kind = KINDS[topic.rpartition("/")[2]]
            for value, same in zip(*(_leaves(typestore().deserialize_cdr(part, kind)) for part in (data, again)), strict=True):
                if np.asarray(value).dtype.kind == "f":
                    np.testing.assert_allclose(value, same, rtol=1e-4, atol=1e-6, err_msg=topic)
                else:
                    np.testing.assert_array_equal(value, same, err_msg=topic)


def _leaves(value):
    """The numbers, texts and arrays of a message, in order."""
    parts = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else value
    if isinstance(parts, list):
        for part in parts:
            yield from _leaves(part)
    else:
        yield parts


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def image_entry(topic: str, stamp: int, image: np.ndarray, frame_id: str):
    """An RGB image as a recorded message, JPEG where the topic ends in /compressed; recorded 2 ms after its stamp."""
    if topic.endswith("/compressed"):
        data = cv2.imencode(".png", image[..., ::-1])[1]
        message = CompressedImage(format="png", data=array.array("B", data.tobytes()))
    else:
        message = Image(
            width=image.shape[1],
            height=image.shape[0],
            encoding="rgb8",
            step=3 * image.shape[1],
            data=array.array("B", image.tobytes()),
        )
    message.header.frame_id = frame_id
    stamp_to(message, stamp)
    return topic, stamp + 2_000_000, serialize_message(message)


def camera_entries(clip, namespace: str, compressed=False, flipped=False, delay=0):
    """(entries, types) of a camera that recorded a rendered clip; flipped: in the mirror; delay: of the stamps, ns."""
    image_topic = f"{namespace}/image_raw" + ("/compressed" if compressed else "")
    info = camera_info(clip.camera.width, clip.camera.height, clip.camera, f"{namespace.lstrip('/')}_optical")
    entries = []
    for stamp, image in clip.images:
        stamp += T0 + delay
        stamp_to(info, stamp)
        entries.append((f"{namespace}/camera_info", stamp + 1_000_000, serialize_message(info)))
        picture = np.ascontiguousarray(image[:, ::-1]) if flipped else image
        entries.append(image_entry(image_topic, stamp, picture, info.header.frame_id))
    return entries, {
        image_topic: TYPES["image_raw/compressed" if compressed else "image_raw"],
        f"{namespace}/camera_info": TYPES["camera_info"],
    }


class RenderedImages:
    """45 images of 320x240 of two hands. camera: theirs. images: (stamp in nanoseconds, RGB)."""

    def __init__(self, folder: Path):
        clip = demo_clip(folder, seconds=1.5, size=(320, 240))
        self.camera, self.images = clip.camera, [(stamp, image.copy()) for stamp, image in clip.frames()]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> RenderedImages:
    """Two rendered hands; import it into a test module to use it."""
    return RenderedImages(tmp_path_factory.mktemp("rendered"))
