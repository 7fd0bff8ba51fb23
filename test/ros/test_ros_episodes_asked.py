"""What is asked of a bag: of images it is told before hands are looked for in them, and only of the camera that is meant."""

import shutil
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import image_entry, write_bag
from episode_support import Demonstration, export, picture, run
from ros_support import T0

from fourdhands_ros.episodes import export as export_module

pytestmark = pytest.mark.skipif(not find_spec("pyarrow"), reason="datasets need pyarrow (pip install 'fourdhands[dataset]')")


def images(path, cameras):
    """A bag with three images of each camera."""
    entries, types = [], {}
    for name in cameras:
        for number in range(3):
            entries.append(image_entry(f"/{name}/image_raw", T0 + number * 33_000_000, picture(number), f"{name}_optical"))
        types[f"/{name}/image_raw"] = "sensor_msgs/msg/Image"
    return write_bag(path, sorted(entries, key=lambda entry: entry[1]), types)


@pytest.mark.parametrize(
    "given, words",
    [
        ((), "drive has several cameras and no hands; there would be /left/hands, /right/hands of its images; choose one with"),
        (("--topic", "/hands"), "--topic /hands holds no HandPair in {bag}; there would be /left/hands, /right/hands"),
        (("--topic", "/left/hands", "--images", "/left/image"), "--images /left/image holds no images in {bag}"),
        (("--topic", "/left/hands", "--frame", "cell"), "{bag}: --frame cell: no transform from left_optical to cell is on"),
        (("--topic", "/left/hands", "--camera-info", "/left/info"), "--camera-info /left/info is no CameraInfo topic"),
        (("--topic", "/left/hands", "--depth", "/left/depth"), "--depth /left/depth holds no images in this bag; image topics"),
        (("--topic", "/left/hands", "--mirrored-cameras", "middle"), "mirrored_cameras names middle, and the cameras are left"),
        (("--topic", "/left/hands", "--robot", "/joint_states"), "--robot /joint_states holds no JointState in {bag}"),
        (("--topic", "/left/hands", "--split", "topic:/mark"), "{bag} has no topic /mark of std_msgs/Bool"),
    ],
)
def test_what_is_wrong_is_told_before_hands_are_looked_for(tmp_path, capsys, monkeypatch, given, words):
    """In hours of images, of all cameras, after which it was told of a bag in the export's own folder."""
    bag = images(tmp_path / "drive", ("left", "right"))
    monkeypatch.setattr(export_module, "convert", None)
    code, _, said = run(capsys, "export", bag, "--out", tmp_path / "out", "--jobs", "1", "--quiet", *given)
    assert code == 2 and words.format(bag=bag) in said.replace(f"{bag}: {bag}", str(bag)), said


def test_of_several_cameras_only_the_one_whose_hands_are_wanted_is_tracked(tmp_path, capsys, monkeypatch):
    """And what is said of it while its hands are found, as of depth that places none, is told with the dataset's."""
    bag = Demonstration(seconds=2).write(tmp_path / "hands")
    drive = images(tmp_path / "drive", ("cam", "side"))
    asked = []

    def convert(source, out, options, progress):
        asked.append(options.topics)
        shutil.copytree(bag, out)
        return SimpleNamespace(warnings=["/cam: depth images hold nothing"])

    monkeypatch.setattr(export_module, "convert", convert)
    words = "--topic", "/cam/hands", "--no-images", "--jobs", "1", "--quiet"
    code, _, said = run(capsys, "export", drive, "--out", tmp_path / "out", *words)
    assert code == 0 and asked == [("/cam/image_raw",)], said
    assert said.count("warning: ") == said.count("/cam: depth images hold nothing") == 1, said


@pytest.mark.parametrize("given", [("--mirrored",), ("--fov", "70"), ("--rectified", "true"), ("--search", "fast")])
def test_what_is_said_of_images_whose_hands_are_there_already_is_told_to_be_unused(tmp_path, capsys, given):
    bag = Demonstration(seconds=1.5).write(tmp_path / "bag")
    words = "bag has hands already: what was said of its images and of how hands are found is not used"
    assert words not in export(capsys, bag, tmp_path / "plain")
    assert words in export(capsys, bag, tmp_path / "out", *given)


def test_less_than_a_row_is_named_as_such(tmp_path, capsys):
    """It was "shorter than --min-seconds 0"."""
    short = Demonstration(seconds=0.1, images=False).write(tmp_path / "short")
    code, _, said = run(capsys, "export", short, "--out", tmp_path / "out", "--fps", "5", "--min-seconds", "0")
    assert code == 2 and "shorter than a row of --fps 5 between two losses" in said
