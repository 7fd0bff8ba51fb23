"""Bags as other people's drivers and recorders write them: read as they are meant, or named for what they are."""

import array
import io
import sqlite3

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from backports import zstd
from bag_support import camera_entries, read_bag, rendered, write_bag  # noqa: F401
from mcap.writer import Writer
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from fourdhands_core import cli
from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.pypi.message_types import HandPair, TFMessage, deserialize


@pytest.fixture(scope="module")
def six(rendered):
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
    # The last two a quarter as bright.
    dim = [*with_images(entries[:8], narrow(4)), *with_images(entries[8:], narrow(2))]
    found = converted(tmp_path / "dim", dim, types, "--interval", "4")
    assert levels[:4] == bright[:4] and levels[4:] == [level // 4 for level in bright[4:]]
    for pairs in (pairs_of(whole), pairs_of(found)[:4]):
        assert all(pair.left.valid and pair.right.valid for pair in pairs)


def an_mcap(*channels, profile="") -> bytes:
    """An mcap with a message of each (topic, type, encoding of schema, encoding of messages); type "": without schema."""
    file = io.BytesIO()
    writer = Writer(file)
    writer.start(profile)
    for topic, kind, schema, encoding in channels:
        number = writer.register_schema(kind, schema, b"uint8 data") if kind else 0
        channel = writer.register_channel(topic, encoding, number)
        writer.add_message(channel, 5, b"\0\1\0\0\0", 5)
    writer.finish()
    return file.getvalue()


FFMPEG = ("/cam/image_raw/ffmpeg", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket", "ros2msg", "cdr")
POSE = ("/pose", "geometry_msgs/msg/Pose", "ros2msg", "cdr")
SOME_JSON = ("/cam/image", "foxglove.RawImage", "jsonschema", "json")


@pytest.mark.parametrize(
    "channels, profile, words",
    [
        (
            [("/cam/image_raw", "sensor_msgs/Image", "ros1msg", "ros1")],
            "ros1",
            "its messages are of ROS 1, not ROS 2's (/cam/image_raw of sensor_msgs/Image); convert the .bag that it was made "
            "of: rosbags-convert --src FILE.bag --dst FOLDER",
        ),
        (
            [("/cam/image", "foxglove.CompressedImage", "protobuf", "protobuf")],
            "",
            "its messages are protobuf, not ROS 2's (/cam/image of foxglove.CompressedImage); record them as sensor_msgs/I",
        ),
        ([SOME_JSON], "", "its messages are JSON, not ROS 2's (/cam/image of foxglove.RawImage)"),
        (
            [("/cam/image", "", "", "json"), ("/cam/more", "a.B", "flatbuffer", "flatbuffer")],
            "",
            "its messages are flatbuffer and JSON, not ROS 2's (/cam/image of no type, /cam/more of a.B)",
        ),
        (
            [FFMPEG],
            "ros2",
            "no topic of a camera is in this bag: /cam/image_raw/ffmpeg is video ("
            "ffmpeg_image_transport_msgs/msg/FFMPEGPacket), which is not read; record the images raw or compressed",
        ),
        (
            [("/video", "foxglove_msgs/msg/CompressedVideo", "ros2msg", "cdr"), POSE],
            "ros2",
            "in this bag: /video is video (foxglove_msgs/msg/CompressedVideo), which is not read",
        ),
        ([("/cam/image_raw/theora", "theora_image_transport/msg/Packet", "ros2msg", "cdr")], "ros2", "theora is video ("),
        (
            [("/cam", "stereo_msgs/msg/DisparityImage", "ros2msg", "cdr")],
            "ros2",
            "/cam is of type stereo_msgs/msg/DisparityImage, which is not read; record sensor_msgs/Image or CompressedImage",
        ),
        (
            [("/cam/depth/image_raw/compressedDepth", "sensor_msgs/msg/CompressedImage", "ros2msg", "cdr")],
            "ros2",
            "compressedDepth is compressed depth, where colour, grey or infrared is needed; record the camera's colour images",
        ),
        ([POSE, SOME_JSON], "", "in this bag: /cam/image is JSON (foxglove.RawImage), not ROS 2's CDR"),
        ([POSE], "ros2", "no topic of a camera is in this bag: it holds /pose, and no images"),
        (
            [(f"/pose{i}", *POSE[1:]) for i in range(9)],
            "ros2",
            "it holds /pose0, /pose1, /pose2, /pose3, /pose4, /pose5 and 3 more",
        ),
        (
            [("/cam/depth/image_raw", "sensor_msgs/msg/Image", "ros2msg", "cdr")],
            "ros2",
            "/cam/depth/image_raw is called depth, where colour, grey or infrared is needed; "
            "--topic /cam/depth/image_raw takes",
        ),
        (
            [("/cam/rgb", "sensor_msgs/msg/Image", "ros2msg", "cdr")],
            "ros2",
            "/cam/rgb is not called image; --topic /cam/rgb takes it",
        ),
    ],
)
def test_other_messages_are_named_for_what_they_are(channels, profile, words, tmp_path, capsys):
    (tmp_path / "a.mcap").write_bytes(an_mcap(*channels, profile=profile))
    assert cli.main(["bag", str(tmp_path / "a.mcap"), str(tmp_path / "out"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("fourdhands: error:") == 1 and "damaged" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mcap"]


def test_a_topic_that_is_asked_for_and_is_no_image_is_named_for_what_it_is(tmp_path, capsys):
    (tmp_path / "a.mcap").write_bytes(an_mcap(FFMPEG, POSE, profile="ros2"))
    for topic, words in [
        (FFMPEG[0], "image_raw/ffmpeg holds no images in this bag: /cam/image_raw/ffmpeg is video"),
        ("/pose", "/pose holds no images in this bag; image topics are: none"),
        ("/none", "/none holds no images in this bag"),
    ]:
        assert cli.main(["bag", str(tmp_path / "a.mcap"), str(tmp_path / "out"), "--quiet", "--topic", topic]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("other", [SOME_JSON, ("/pose", "geometry.Pose", "protobuf", "protobuf"), ("/none", "", "", "cbor")])
def test_messages_of_ros_2_are_read_beside_others(other, tmp_path):
    """Foxglove's recorders mix encodings in a file; a topic may even have two."""
    for channels in ([POSE, other], [other, POSE]):
        (tmp_path / "a.mcap").write_bytes(an_mcap(*channels))
        with Bag(tmp_path / "a.mcap") as bag:
            assert list(bag.topics) == ["/pose"] and bag.topics["/pose"].count == 1 and not bag.warnings
            assert len(list(bag.messages(["/pose"]))) == 1
            assert {name: topic.encoding for name, topic in bag.unread.items()} == {other[0]: other[3]}


def a_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE people (name TEXT)")


GOOD = an_mcap(POSE, profile="ros2")
ROS1 = b"#ROSBAG V2.0\nE\0\0\0"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("a.bag", ROS1, "is a bag of ROS 1; `rosbags-convert --src {path} --dst FOLDER` makes a bag of ROS 2 of it"),
        ("a.mcap", ROS1, "is a bag of ROS 1"),
        ("a.bag.active", ROS1, "is a bag of ROS 1"),
        *[(name, b"", "is empty") for name in ("a.mcap", "a.db3", "a.bag", "a.mcap.zstd")],
        ("a.mcap", b"\n<!DOCTYPE html><html>", "is a web page, not a recording; log in"),
        ("a.db3", b"<?xml version='1.0'?><Error><Code>AccessDenied", "is an XML text, not a recording"),
        (
            "a.mcap",
            POINTER,
            "is a Git LFS pointer, which stands for the file, not a recording; get the file itself with `git lfs pull`",
        ),
        ("a.db3", POINTER, "is a Git LFS pointer"),
        ("a.mcap.zstd", POINTER, "is a Git LFS pointer"),
        ("a.mcap", b'{"error": "no such file"}', "is a JSON text, not a recording"),
        ("a.mcap", b"PK\3\4....", "is a truncated zip archive, not a recording; copy or download it again"),
        ("a.zip", b"PK\5\6" + bytes(18), "is a zip archive, not a recording; unpack it"),
        ("a.mcap", bytes(4096), "begins with nothing but zeros"),
        ("a.mcap", b"\xff\xd8\xff\xe0", "is a picture"),
        ("a.mp4", b"\0\0\0\x20ftypisom", "is a video, which `fourdhands track` reads"),
        ("a.db3", GOOD, "is an mcap; name it with .mcap at its end"),
        ("a.mcap.zstd", GOOD, "is an mcap; name it with"),
        ("a.mcap", zstd.compress(GOOD), "is packed with zstd; name it with .zstd at its end, or unpack it"),
        ("a.mcap.zstd", zstd.compress(b"<html>"), "is a web page"),
        ("a.mcap", b"SQLite format 3\0", "is a SQLite database; name it with .db3 at its end"),
        ("a.db3", a_database, "is a SQLite database without the tables of a rosbag2"),
        ("metadata.yaml", b"rosbag2_bagfile_information:", "only describes a bag; give its folder"),
    ],
)
@pytest.mark.parametrize("in_folder", [False, True])
def test_other_files_are_named_for_what_they_are(name, data, words, in_folder, tmp_path):
    path = tmp_path / name
    data(path) if callable(data) else path.write_bytes(data)
    before = path.read_bytes()
    if in_folder and not path.name.removesuffix(".zstd").endswith((".mcap", ".db3")):
        return
    with pytest.raises(InputError) as caught:
        Bag(tmp_path if in_folder else path)
    assert str(caught.value).startswith(f"{path} {words.format(path=path)}") and path.read_bytes() == before
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    "names, words",
    [
        ([], "is an empty folder"),
        (["b.bag", "a.bag", "n.txt"], "is a folder with bags of ROS 1; `rosbags-convert --src {path}/a.bag --dst FOLDER`"),
        (["metadata.yaml"], "has the metadata.yaml of a bag, but no .mcap or .db3 file; copy those too"),
        (["one/one_0.mcap", "two/two_0.db3", "more/n.txt"], "is a folder of bags; give one or several of them: one, two"),
        (["meta/info.json"], "is a dataset, not a bag; bags of it are: fourdhands episodes import {path} --out BAGS"),
        (["a.png", "b.png"], "is a folder without an .mcap or .db3 file; it holds a.png, b.png"),
    ],
)
def test_folders_without_a_bag_are_named_for_what_they_hold(names, words, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError) as caught:
        Bag(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path} {words.format(path=tmp_path)}")


def test_a_split_bag_is_read_but_for_the_part_that_is_something_else(tmp_path):
    (tmp_path / "bag_0.mcap").write_bytes(GOOD)
    (tmp_path / "bag_1.mcap").write_bytes(POINTER)
    with Bag(tmp_path) as bag:
        assert [topic for topic, _, _ in bag.messages(["/pose"])] == ["/pose"]
        (warning,) = bag.warnings
    assert warning.startswith(f"{tmp_path / 'bag_1.mcap'} is a Git LFS pointer")


def test_a_file_that_may_not_be_read_is_named_for_that(tmp_path, monkeypatch):
    def refused(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "a.mcap").write_bytes(GOOD)
    monkeypatch.setattr(type(tmp_path), "open", refused)
    with pytest.raises(InputError, match=r"a\.mcap cannot be read \(Permission denied\)"):
        Bag(tmp_path / "a.mcap")
