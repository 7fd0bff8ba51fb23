"""What becomes of a bag's images: stamps of every kind, depth beside them, no scale, nothing usable; and what is said of it."""

import array
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import TYPES, camera_entries, image_entry, read_bag, rendered, write_bag  # noqa: F401
from rclpy.serialization import serialize_message
from ros_support import SECOND, T0, stamp_of, stamp_to
from sensor_msgs.msg import Image

from fourdhands_core import cli
from fourdhands_core.pipeline.depth_use import UNPLACED
from fourdhands_ros.bags.depth import RecordedDepth
from fourdhands_ros.pypi.message_types import typestore

TOPIC = "/cam/image_raw/compressed"


def convert(capsys, *arguments) -> tuple[int, str, str]:
    """The command in this process, without meshes: exit code, and what it said."""
    code = cli.main(["bag", *map(str, arguments), "--quiet", "--no-markers"])
    return code, *capsys.readouterr()


def info(capsys, *arguments) -> str:
    assert cli.main(["bag", "info", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def pairs(bag: Path, topic: str = "/cam/hands") -> list:
    return [
        typestore().deserialize_cdr(data, "fourdhands_ros/msg/HandPair") for name, _, data in read_bag(bag) if name == topic
    ]


@pytest.fixture(scope="module")
def short(rendered):
    """The first 16 of the rendered images."""
    return SimpleNamespace(camera=rendered.camera, images=rendered.images[:16])


@pytest.fixture(scope="module")
def plain(short, tmp_path_factory):
    """A bag of one camera, and the same with hands."""
    folder = tmp_path_factory.mktemp("plain")
    bag = write_bag(folder / "in", *camera_entries(short, "/cam", True))
    assert cli.main(["bag", str(bag), str(folder / "out"), "--quiet", "--no-markers"]) == 0
    return bag, folder / "out"


def test_a_clip_that_was_played_in_a_loop_loses_one_image_a_turn(short, tmp_path, capsys):
    """As the node takes it: stamps that go back by less than reset_gap are an overtaken image until another one follows."""
    entries, types = camera_entries(short, "/cam", True)
    turns = [(topic, time + k * SECOND, data) for k in range(4) for topic, time, data in entries]
    code, said, _ = convert(capsys, write_bag(tmp_path / "turns", turns, types), tmp_path / "out")
    assert code == 0 and "64 images, 61 HandPairs, 3 refused (late), stamps that went backwards: 3" in said


@pytest.mark.parametrize("cameras", [1, 2])
def test_stamps_that_a_driver_never_set_are_those_of_the_recording(short, tmp_path, capsys, cameras):
    """A camera whose stamps are set, and begin at 0 as a simulation's do, keeps them."""
    entries, types = [], {}
    for k, name in enumerate(["/cam", "/sim"][:cameras]):
        for number, (stamp, image) in enumerate(short.images):
            topic, _, data = image_entry(f"{name}/image_raw", k * number * 50_000_000, image, "optical")
            entries.append((topic, T0 + stamp, data))
        types[f"{name}/image_raw"] = TYPES["image_raw"]
    bag = write_bag(tmp_path / "unset", sorted(entries, key=lambda entry: entry[1]), types)
    code, said, warned = convert(capsys, bag, tmp_path / "out", "--fov", "60")
    assert code == 0 and "/cam: 16 images, 16 HandPairs\n" in said and warned.count("images' stamps are all 0") == 1
    assert [stamp_of(pair.header) for pair in pairs(tmp_path / "out")] == [T0 + stamp for stamp, _ in short.images]
    if cameras == 2:
        assert [stamp_of(pair.header) for pair in pairs(tmp_path / "out", "/sim/hands")] == [k * 50_000_000 for k in range(16)]


@pytest.mark.parametrize("unset", [1, 3])
def test_unset_stamps_before_those_that_are_set_are_refused(short, tmp_path, capsys, unset):
    """One was a HandPair with the stamp 0; of several all stamps were said to be 0, and their times were another clock's."""
    entries, types = camera_entries(short, "/cam")
    entries = [entry for entry in entries if entry[0] == "/cam/camera_info"]
    for number, (stamp, image) in enumerate(short.images):
        topic, _, data = image_entry("/cam/image_raw", 0 if number < unset else 1000 * SECOND + stamp, image, "optical")
        entries.append((topic, T0 + stamp, data))
    bag = write_bag(tmp_path / "in", sorted(entries, key=lambda entry: entry[1]), types)
    code, said, warned = convert(capsys, bag, tmp_path / "out", "--interval", "7")
    assert code == 0 and f"/cam: 16 images, {16 - unset} HandPairs, {unset} refused (unset stamp)\n" in said, said
    assert "all 0" not in warned and warned.count("an image has the stamp 0, which the camera") == 1
    stamps = [stamp_of(pair.header) for pair in pairs(tmp_path / "out")]
    assert stamps == [1000 * SECOND + stamp for stamp, _ in short.images[unset:]]


def test_of_images_none_of_which_can_be_used_nothing_is_left(short, tmp_path, capsys):
    entries, types = camera_entries(short, "/cam")
    entries = [(topic, time, data[:-7] if topic == "/cam/image_raw" else data) for topic, time, data in entries]
    code, said, warned = convert(capsys, write_bag(tmp_path / "bad", entries, types), tmp_path / "out")
    assert code == 2 and not said and "none of the images of" in warned and "image refused (message)" in warned
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_positions_without_a_scale_are_told(short, plain, tmp_path, capsys):
    entries, types = camera_entries(short, "/cam", True)
    bag = write_bag(tmp_path / "bare", [entry for entry in entries if entry[0] == TOPIC], {TOPIC: types[TOPIC]})
    code, _, warned = convert(capsys, bag, tmp_path / "out")
    assert code == 0 and warned.count(f"/cam: the bag has no CameraInfo for {TOPIC}") == 1, warned
    assert "not metres" in warned and "--fov" in warned
    assert "scaled   0.0 %" in info(capsys, tmp_path / "out") and '"scaled": 0.0' in info(capsys, tmp_path / "out", "--json")
    assert "scaled" not in info(capsys, plain[1]) and '"scaled": 1.0' in info(capsys, plain[1], "--json")
    assert convert(capsys, bag, tmp_path / "wide", "--fov", "60")[2] == ""


def wall(topic: str, stamp: int, frame_id: str, late: int, z: int = 470):
    """A recorded depth image of a wall at z millimetres, `late` nanoseconds after its stamp."""
    data = array.array("B", np.full((24, 32), z, np.uint16).tobytes())
    message = Image(width=32, height=24, encoding="16UC1", step=64, data=data)
    message.header.frame_id = frame_id
    stamp_to(message, stamp)
    return topic, stamp + late, serialize_message(message)


@pytest.mark.parametrize(
    "topic, frame, late, options, used",
    [
        ("/cam/depth/image_raw", "cam_optical", 0, [], True),
        ("/aligned_depth_to_color/image_raw", "cam_optical", 300_000_000, [], True),
        ("/cam/depth/image_raw", "depth_optical", 0, [], False),
        ("/cam/depth/image_raw", "depth_optical", -100_000_000, ["--depth", "/cam/depth/image_raw"], True),
        ("/cam/depth/image_raw", "cam_optical", 0, ["--depth", "none"], False),
        ("/cam/depth/image_raw", "cam_optical", 200_000_000, ["--topic", TOPIC, "--interval", "5"], True),
        ("/other/range", "cam_optical", 0, [], False),
        ("/other/range", "cam_optical", 0, ["--depth", "/other/range"], True),
    ],
)
def test_depth_images_place_the_hands_whenever_they_were_recorded(
    short, plain, tmp_path, capsys, topic, frame, late, options, used
):
    """A wall in which all skin seems to lie: with it the wrists are elsewhere than without."""
    entries, types = camera_entries(short, "/cam", True)
    walls = [wall(topic, T0 + stamp, frame, late) for stamp, _ in short.images]
    bag = write_bag(tmp_path / "in", sorted(entries + walls, key=lambda entry: entry[1]), {**types, topic: TYPES["image_raw"]})
    code, said, warned = convert(capsys, bag, tmp_path / "out", *options)
    assert code == 0 and "without a depth image" not in said
    assert (frame == "depth_optical" and not options) == ("its depth is not used" in warned), warned
    assert (frame == "depth_optical" and used) == ("unless they are in one view all the same" in warned), warned
    z, colour = (
        [hand.joints[9].z for pair in pairs(out) for hand in (pair.left, pair.right) if hand.valid]
        for out in (tmp_path / "out", plain[1])
    )
    assert len(colour) > 16 and len(z) > 16
    assert (len(z) != len(colour) or np.abs(np.subtract(z, colour)).max() > 1e-3) == used


@pytest.mark.parametrize(
    "z, words",
    [
        (0, ["hold no usable distances (all pixels are 0)", "covered, switched off"]),
        (2, ["hold no usable distances (100 % of the pixels say 2 mm)", "look like metres"]),
        (4700, ["fit none of the hands (100 % of the pixels say 4700 mm; hands seem 0.", "aligned"]),
        (470, []),
    ],
)
@pytest.mark.parametrize("options", [[], ["--interval", "5"]], ids=["", "interval"])
def test_depth_images_that_say_nothing_are_told(short, tmp_path, capsys, z, words, options):
    """Hands came from colour alone, and were called scaled, without a word; also of a bag that is shorter than a while."""
    topic = "/cam/depth/image_raw"
    entries, types = camera_entries(short, "/cam", True)
    walls = [wall(topic, T0 + stamp, "cam_optical", 0, z) for stamp, _ in short.images]
    bag = write_bag(tmp_path / "in", sorted(entries + walls, key=lambda entry: entry[1]), {**types, topic: TYPES["image_raw"]})
    code, said, warned = convert(capsys, bag, tmp_path / "out", *options)
    assert code == 0 and warned.count("depth images") == bool(words) and all(part in warned for part in words), warned
    assert (f"{UNPLACED}: 16" in said) == bool(words)


@pytest.mark.parametrize("unset", [("image", "depth"), ("depth",), ("image",)], ids="-".join)
def test_depth_of_unset_stamps_is_that_which_was_recorded_with_the_image(short, tmp_path, capsys, unset):
    """Only the images had their times of recording, and all depth was left out, which nothing but a count told. Set stamps are
    of 80 ms before, as a camera's that is slow to send, and yet it is the depth of another image that has them."""
    entries, depths = [], {}
    for number, (stamp, image) in enumerate(short.images):
        set_to = T0 + stamp - 80_000_000
        topic, _, data = image_entry("/cam/image_raw", 0 if "image" in unset else set_to, image, "optical")
        depth, _, message = wall("/cam/depth/image_raw", 0 if "depth" in unset else set_to, "optical", 0, 470 + number)
        entries += [(depth, T0 + stamp, message), (topic, T0 + stamp, data)]
    bag = write_bag(tmp_path / "in", entries, {topic: TYPES["image_raw"], depth: TYPES["image_raw"]})
    find = RecordedDepth.find

    def found(self, stamp, size, time):
        depths[time] = find(self, stamp, size, time)
        return depths[time]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecordedDepth, "find", found)
        code, said, warned = convert(capsys, bag, tmp_path / "out", "--fov", "60")
    assert code == 0 and "without a depth image" not in said, said
    assert [depth is not None and depth[0, 0] for depth in depths.values()] == [470 + number for number in range(16)]
    assert ("the first stamps of /cam/depth/image_raw are all 0" in warned) == ("depth" in unset)


def test_a_depth_topic_that_is_none_is_named(plain, tmp_path, capsys):
    code, _, error = convert(capsys, plain[0], tmp_path / "out", "--depth", "/cam/camera_info")
    assert code == 2 and "--depth /cam/camera_info holds no images" in error and TOPIC in error
    assert not (tmp_path / "out").exists()
