"""Which CameraInfo a bag's images have, and which of its matrices."""

import numpy as np
import pytest
from bag_support import TYPES, image_entry, write_bag
from rclpy.serialization import serialize_message
from ros_support import HEIGHT, PERIOD, T0, WIDTH, make_pair, stamp_to
from test_ros_camera_info import full_info

from fourdhands_core import cli
from fourdhands_core.errors import InputError
from fourdhands_ros.bags.camera import BagCamera, Options, find_cameras
from fourdhands_ros.bags.topics import Topic
from fourdhands_ros.node.parameters import Parameters


def found(*topics, info="", asked=()):
    """The cameras of a bag with these image topics and, of those that end in camera_info, CameraInfo topics."""
    kinds = {
        name: TYPES["camera_info"]
        if name.endswith("info")
        else TYPES["image_raw/compressed" if name.endswith("compressed") else "image_raw"]
        for name in topics
    }
    cameras = find_cameras(
        {name: Topic(kind, 5) for name, kind in kinds.items()}, Options(topics=tuple(asked), camera_info=info)
    )
    return {camera.image: (camera.info, camera.namespace) for camera in cameras}


@pytest.mark.parametrize(
    "topics, asked, expected",
    [
        (["/cam/image_raw", "/cam/camera_info"], [], {"/cam/image_raw": ("/cam/camera_info", "/cam")}),
        (["/cam/image_raw/compressed", "/cam/camera_info"], [], {"/cam/image_raw/compressed": ("/cam/camera_info", "/cam")}),
        (
            ["/sim/Scene/compressed", "/sim/Scene/camera_info", "/sim/camera_info"],
            ["/sim/Scene/compressed"],
            {"/sim/Scene/compressed": ("/sim/Scene/camera_info", "/sim/Scene")},
        ),
        (["/sim/Scene", "/sim/Scene/camera_info"], ["/sim/Scene"], {"/sim/Scene": ("/sim/Scene/camera_info", "/sim/Scene")}),
        (["/sim/Scene", "/sim/camera_info"], ["/sim/Scene"], {"/sim/Scene": ("/sim/camera_info", "/sim")}),
        (
            ["/wrist_camera/compressed", "/wrist_camera/camera_info"],
            ["/wrist_camera/compressed"],
            {"/wrist_camera/compressed": ("/wrist_camera/camera_info", "/wrist_camera")},
        ),
        (["/wrist_camera/compressed"], ["/wrist_camera/compressed"], {"/wrist_camera/compressed": ("", "/wrist_camera")}),
        (
            ["/left/compressed", "/right/compressed", "/left/camera_info", "/right/camera_info"],
            ["/left/compressed", "/right/compressed"],
            {"/left/compressed": ("/left/camera_info", "/left"), "/right/compressed": ("/right/camera_info", "/right")},
        ),
        (["/image_raw", "/camera_info"], [], {"/image_raw": ("/camera_info", "")}),
        (["/cam/image_raw", "/other/camera_info"], [], {"/cam/image_raw": ("", "/cam")}),
        (["/cam/image_rect", "/cam/image_raw", "/cam/camera_info"], [], {"/cam/image_raw": ("/cam/camera_info", "/cam")}),
        (["/cam/image_rect", "/cam/camera_info"], [], {"/cam/image_rect": ("/cam/camera_info", "/cam")}),
        (
            ["/cam/depth/image_rect_raw", "/cam/color/image_raw", "/cam/color/camera_info", "/cam/depth/camera_info"],
            [],
            {"/cam/color/image_raw": ("/cam/color/camera_info", "/cam/color")},
        ),
    ],
)
def test_the_camera_info_of_a_bags_images(topics, asked, expected):
    assert found(*topics, asked=asked) == expected


def test_camera_info_that_is_asked_for_changes_no_namespace():
    assert found(
        "/wrist/compressed", "/wrist/camera_info", "/x/camera_info", info="/x/camera_info", asked=["/wrist/compressed"]
    ) == {"/wrist/compressed": ("/x/camera_info", "/wrist")}
    with pytest.raises(InputError, match="/cam/image_raw and /cam/image_raw/compressed would both be written to /cam/hands"):
        found("/cam/image_raw", "/cam/image_raw/compressed", asked=["/cam/image_raw", "/cam/image_raw/compressed"])


def a_bag(path, image_topic="/cam/image_raw", info_topic="/cam/camera_info", count=3, size=(WIDTH, HEIGHT), damaged=0):
    """Empty images with a CameraInfo each, of which the first are cut."""
    info, entries = full_info(*size), []
    for i in range(count):
        stamp_to(info, T0 + i * PERIOD)
        entries += [
            (info_topic, T0 + i * PERIOD, serialize_message(info)[: 60 if i < damaged else None]),
            image_entry(image_topic, T0 + i * PERIOD, np.zeros((size[1], size[0], 3), np.uint8), "camera"),
        ]
    return write_bag(path, entries, {image_topic: TYPES["image_raw"], info_topic: TYPES["camera_info"]})


@pytest.mark.parametrize(
    "name, rectified, focal",
    [
        ("image_rect", "auto", 45.0),
        ("image_raw", "auto", 60.0),
        ("image", "auto", 60.0),
        ("image", "true", 45.0),
        ("image_raw", "true", 45.0),
        ("image_rect", "false", 60.0),
    ],
)
def test_a_bags_images_are_rectified_by_name_or_option(name, rectified, focal):
    (topics,) = find_cameras(
        {f"/cam/{name}": Topic(TYPES["image_raw"], 1), "/cam/camera_info": Topic(TYPES["camera_info"], 1)}, Options()
    )
    camera = BagCamera(topics, Options(Parameters(rectified=rectified)))
    try:
        camera.info(serialize_message(full_info()))
        _, _, image = image_entry(topics.image, T0, np.zeros((HEIGHT, WIDTH, 3), np.uint8), "camera")
        camera.track(image, T0)
        lens = camera.session.cameras.camera_for(WIDTH, HEIGHT)
        assert lens.matrix[0, 0] == focal and lens.distortion.any() == (focal == 60.0)
        told = [note for note in camera.notes.kept if "rectified" in note]
        assert bool(told) == (name == "image" and rectified == "auto")
    finally:
        camera.close()


def test_a_bags_calibration_that_is_no_cameras_and_a_frame_that_is_a_hands():
    """Both are told with the conversion, once; hands are written without scale, and no frame that is its own parent."""
    (topics,) = find_cameras(
        {"/cam/image_raw": Topic(TYPES["image_raw"], 1), "/cam/camera_info": Topic(TYPES["camera_info"], 1)}, Options()
    )
    camera = BagCamera(topics, Options())
    try:
        info = full_info()
        info.k[2] = 1000.0
        camera.info(serialize_message(info))
        for number in range(3):
            _, _, image = image_entry(topics.image, T0 + number, np.zeros((HEIGHT, WIDTH, 3), np.uint8), "left_wrist")
            camera.track(image, T0 + number)
        assert not camera.session.cameras.camera_for(WIDTH, HEIGHT).calibrated
        written = camera.encode([(make_pair(vertices=True), ("left_wrist", T0 + number)) for number in range(2)])
        assert {topic for topic, _, _ in written} == {"/cam/hands", "/cam/hands/markers"}
        for words in ("far outside of 64x48: this is no camera's", "'left_wrist' is the name of a hand's frame"):
            assert sum(words in note for note in camera.notes.kept) == 1
    finally:
        camera.close()


LENS = (
    "image_width: {}\nimage_height: {}\ncamera_matrix: {{data: [60, 0, 32, 0, 60, 24, 0, 0, 1]}}\n"
    "distortion_coefficients: {{data: []}}\n"
)


@pytest.mark.parametrize(
    "lens, words",
    [
        (None, "lens.yaml does not exist; give a camera_info YAML"),
        (LENS.format(480, 480), "lens.yaml are for 480x480, the images are 64x48: other proportions mean another crop"),
        (LENS.format(0, 48), "image size 0x48"),
        ("{}", "has no image_width"),
    ],
)
def test_a_bad_lens_for_a_bag_fails_at_once_and_leaves_nothing(lens, words, tmp_path, capsys):
    bag = a_bag(tmp_path / "in", info_topic="/other/camera_info")
    if lens is not None:
        (tmp_path / "lens.yaml").write_text(lens)
    for sources in ([bag], [bag, a_bag(tmp_path / "second", info_topic="/other/camera_info")]):
        code = cli.main(
            ["bag", "--quiet", "--intrinsics", str(tmp_path / "lens.yaml"), *map(str, sources), str(tmp_path / "out")]
        )
        error = capsys.readouterr().err
        assert code == 2 and words in error and "Traceback" not in error
        if len(sources) == 1:
            assert len([line for line in error.splitlines() if line.startswith("fourdhands: ")]) == 1
            assert not list(tmp_path.glob("out*"))


def test_a_lens_is_not_needed_where_camera_info_can_be_used(tmp_path, capsys):
    """It stands in for what is missing; the other shape then matters to nobody."""
    (tmp_path / "lens.yaml").write_text(LENS.format(480, 480))
    bag = a_bag(tmp_path / "in")
    assert cli.main(["bag", "--quiet", "--intrinsics", str(tmp_path / "lens.yaml"), str(bag), str(tmp_path / "out")]) == 0
    assert "3 images, 3 HandPairs" in capsys.readouterr().out


def test_camera_info_elsewhere_in_the_bag_is_told(tmp_path, capsys):
    bag = a_bag(tmp_path / "in", info_topic="/other/camera_info")
    assert cli.main(["bag", "--quiet", str(bag), str(tmp_path / "out")]) == 0
    assert "the bag has CameraInfo on /other/camera_info only, not by /cam/image_raw (--camera-info" in capsys.readouterr().err
    assert cli.main(["bag", "--quiet", "--camera-info", "/other/camera_info", str(bag), str(tmp_path / "other")]) == 0
    assert "not scaled" not in capsys.readouterr().err


@pytest.mark.parametrize("damaged", [0, 2, 3])
@pytest.mark.parametrize("interval", [1000, 1])
def test_camera_info_that_is_damaged_is_no_refused_image(damaged, interval, tmp_path, capsys):
    """It was counted among the images, before the first one and at each interval again, and said not to be there."""
    bag = a_bag(tmp_path / "in", damaged=damaged)
    assert cli.main(["bag", "--quiet", "--interval", str(interval), str(bag), str(tmp_path / "out")]) == 0
    said, warned = capsys.readouterr()
    assert "3 images, 3 HandPairs, " in said and "refused" not in said + warned, said + warned
    assert (f"HandPairs, CameraInfo messages that do not unpack: {damaged}, " in said) == (damaged > 0)
    assert warned.count("a message of /cam/camera_info does not unpack") == (damaged > 0)
    assert warned.count("the bag has no CameraInfo on /cam/camera_info that can be read") == (damaged == 3)


def test_a_calibration_that_was_changed_begins_anew(tmp_path):
    """A killed conversion went on with the other lens: a file was known by its name."""
    lens, other = tmp_path / "lens.yaml", tmp_path / "other.yaml"
    lens.write_text("one")
    before = Options(intrinsics=lens).text()
    assert before == Options(intrinsics=lens).text() != Options(intrinsics=other).text()
    lens.write_text("two")
    assert Options(intrinsics=lens).text() != before
