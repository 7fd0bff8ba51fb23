"""Bags as other people's drivers and recorders write them: read as they are meant, or named for what they are."""

import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from bag_support import camera_entries, read_bag, rendered, write_bag  # noqa: F401
from fourdhands_core import cli
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_ros.message_types import HandPair, TFMessage, deserialize


@pytest.fixture(scope="module")
def six(rendered):  # noqa: F811
    """A bag's entries and types: six images of two hands."""
    entries, types = camera_entries(rendered, "/cam")
    return entries[:12], types


def with_images(entries, change):
    """The entries with each Image as `change` makes it."""
    for topic, time, data in entries:
        if topic == "/cam/image_raw":
            message = deserialize_message(data, Image)
            change(message)
            data = serialize_message(message)
        yield topic, time, data


def converted(tmp_path, entries, types, *options) -> list:
    """What `fourdhands bag` makes of these entries: (topic, time, data)."""
    tmp_path.mkdir(exist_ok=True)
    bag = write_bag(tmp_path / "bag", entries, types)
    assert cli.main(["bag", str(bag), str(tmp_path / "out"), *options]) == 0
    return read_bag(tmp_path / "out")


def pairs_of(written) -> list:
    return [deserialize(data, HandPair) for topic, _, data in written if topic == "/cam/hands"]


def test_slashes_before_a_frame_are_left_out_of_all_that_is_written(six, tmp_path):
    def slash(message):
        message.header.frame_id = "/" + message.header.frame_id

    written = converted(tmp_path, with_images(six[0], slash), six[1])
    frames, children = set(), set()
    for topic, _, data in written:
        if topic == "/cam/hands":
            pair = deserialize(data, HandPair)
            frames |= {part.header.frame_id for part in (pair, pair.left, pair.right)}
        elif topic == "/tf":
            transforms = deserialize(data, TFMessage).transforms
            frames |= {transform.header.frame_id for transform in transforms}
            children |= {transform.child_frame_id for transform in transforms}
        elif topic == "/cam/hands/markers":
            frames |= {marker.header.frame_id for marker in deserialize_message(data, MarkerArray).markers}
    assert frames == {"cam_optical"} and children == {"left_wrist", "right_wrist"}


def test_twelve_bits_in_16_are_seen_as_all_of_them_also_after_an_interval(six, tmp_path, monkeypatch):
    """What is known of the camera's bits is part of the state from which a conversion goes on."""
    levels, process = [], HandPairTracker.process

    def watched(tracker, image, *args, **kwargs):
        levels.append(int(image.max()))
        return process(tracker, image, *args, **kwargs)

    def narrow(shift):
        def change(message):
            grey = np.frombuffer(message.data, np.uint8)[1::3].astype(np.uint16) << shift
            message.encoding, message.step = "mono16", 2 * message.width
            message.data = array.array("B", grey.tobytes())
        return change

    monkeypatch.setattr(HandPairTracker, "process", watched)
    entries, types = six
    whole = converted(tmp_path / "whole", with_images(entries, narrow(8)), types)
    bright, levels[:] = levels[:], []
    dim = [*with_images(entries[:8], narrow(4)), *with_images(entries[8:], narrow(2))]  # the last two a quarter as bright
    found = converted(tmp_path / "dim", dim, types, "--interval", "4")
    assert levels[:4] == bright[:4] and levels[4:] == [level // 4 for level in bright[4:]]
    for pairs in (pairs_of(whole), pairs_of(found)[:4]):
        assert all(pair.left.valid and pair.right.valid for pair in pairs)
