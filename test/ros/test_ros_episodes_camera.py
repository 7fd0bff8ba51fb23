"""Which camera the hands of a bag are of: its pictures, and the lens by which their joints fall on their pixels."""

import contextlib
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

import episode_support
from bag_support import camera_entries, rendered, write_bag  # noqa: F401
from episode_support import CAMERA, HEIGHT, WIDTH, Demonstration, export, hand, number_in, picture, rows, run, told
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo

from fourdhands_core.episodes.exported import ExportedDataset
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.view.dataset_recording import DatasetRecording
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.episodes.own_camera import Seen
from fourdhands_ros.tools.camera import camera_info
from fourdhands_ros.view.bag_topics import camera_topics

pytestmark = pytest.mark.skipif(not find_spec("pyarrow"), reason="datasets need pyarrow (pip install 'fourdhands[dataset]')")
OTHER = Camera.from_fov(WIDTH, HEIGHT, 90.0, calibrated=True)


@pytest.fixture
def seen(monkeypatch):
    """Hands of demonstrations lie in their images where a camera sees them; mirrored: in the mirror."""

    def by(camera, mirrored=False):
        def one(side, seconds, valid=True):
            found = hand(side, seconds, valid)
            sign = np.array([-1.0 if mirrored else 1.0, 1.0, 1.0])
            return replace(found, joints_2d=camera.project(found.joints * sign)) if valid else found

        monkeypatch.setattr(episode_support, "hand", one)

    return by


def bag(path, names=None, info=None, beside=(), images=True):
    """A demonstration whose topics have other names, or none, and whose CameraInfo is another one; beside: more entries."""
    names = names or {}
    entries, types = Demonstration(seconds=2, robot=False, images=images).entries()
    made = []
    for topic, time, data in entries:
        if info is not None and topic == "/cam/camera_info":
            info.header = deserialize_message(data, CameraInfo).header
            data = serialize_message(info)
        made.append((names.get(topic, topic), time, data))
    types = {names.get(topic, topic): kind for topic, kind in types.items()}
    for other, kinds in beside:
        made += other
        types |= kinds
    return write_bag(path, sorted(made, key=lambda entry: entry[1]), types)


def side_camera():
    """Entries and types of another camera beside, of another frame and lens."""
    info = camera_info(WIDTH, HEIGHT, OTHER, "side_optical")
    entries, types = Demonstration(seconds=2, robot=False).entries()
    found = []
    for topic, time, data in entries:
        if topic == "/cam/camera_info":
            info.header.stamp = deserialize_message(data, CameraInfo).header.stamp
            found.append(("/side/camera_info", time, serialize_message(info)))
        elif topic == "/cam/image_raw":
            found.append(("/side/image_raw", time, data.replace(b"cam_optical\0", b"sid_optical\0")))
    return found, {f"/side/{name}": types[f"/cam/{name}"] for name in ("image_raw", "camera_info")}


def off(dataset, mirrored=False):
    """Pixels by which the joints of a dataset lie beside those that its intrinsics put them at."""
    table = rows(dataset)
    points, pixels = table["hand.joints"].reshape(-1, 42, 3), table["hand.joints_2d"].reshape(-1, 42, 2)
    fx, fy, cx, cy = (column[:, None] for column in table["camera.intrinsics"].T)
    x = (-1 if mirrored else 1) * points[..., 0] / points[..., 2]
    there = np.stack([fx * x + cx, fy * points[..., 1] / points[..., 2] + cy], axis=-1)
    return float(np.abs(there - pixels).max())


def test_pictures_and_lens_of_a_node_whose_image_topic_is_mapped(tmp_path, capsys, seen):
    """`hands.launch.py image:=/camera/color/image_raw` tells /hands: there were neither pictures nor intrinsics."""
    seen(CAMERA)
    color = {"/cam/image_raw": "/camera/color/image_raw", "/cam/camera_info": "/camera/color/camera_info"}
    path = bag(tmp_path / "bag", {"/cam/hands": "/hands", **color}, beside=[side_camera()])
    export(capsys, path, tmp_path / "out")
    assert off(tmp_path / "out") < 0.01
    assert rows(tmp_path / "out")["stamp.pictures"].shape == (60,)
    with Bag(path) as opened:
        assert camera_topics(opened, "/hands", None).image == "/camera/color/image_raw"
    infos = bag(tmp_path / "infos", {"/cam/hands": "/hands", **color})
    assert "camera.intrinsics" not in export(capsys, infos, tmp_path / "lens", "--no-images") and off(tmp_path / "lens") < 0.01


def test_two_cameras_of_one_frame_are_told_apart_by_their_namespaces(tmp_path, capsys, seen):
    """`cameras:='[left, right]' image:=camera/color/image_raw`, of drivers that both name the frame of their kind."""
    seen(CAMERA)
    entries, types = side_camera()
    entries = [(topic, time, data.replace(b"sid_optical\0", b"cam_optical\0")) for topic, time, data in entries]
    names = {f"/side/{name}": f"/right/color/{name}" for name in ("image_raw", "camera_info")}
    right = [(names[topic], time, data) for topic, time, data in entries], {names[name]: kind for name, kind in types.items()}
    left = {f"/cam/{name}": f"/left/color/{name}" for name in ("image_raw", "camera_info")}
    export(capsys, bag(tmp_path / "bag", {"/cam/hands": "/left/hands", **left}, beside=[right]), tmp_path / "out")
    assert off(tmp_path / "out") < 0.01
    assert [*ExportedDataset(tmp_path / "out").sizes] == ["observation.images.left_color"]
    path = bag(tmp_path / "none", {"/cam/hands": "/hands", **left}, beside=[right])
    said = export(capsys, path, tmp_path / "plain")
    assert "choose them with --images: /left/color/image_raw, /right/color/image_raw" in said
    export(capsys, path, tmp_path / "asked", "--images", "/left/color/image_raw")
    assert off(tmp_path / "asked") < 0.01


def test_the_lens_is_that_of_the_hands_own_camera(tmp_path, capsys, seen):
    """Whichever pictures are taken, in whatever order: it was that of the first ones."""
    seen(CAMERA)
    path = bag(tmp_path / "bag", beside=[side_camera()])
    export(capsys, path, tmp_path / "both", "--images", "/side/image_raw", "--images", "/cam/image_raw")
    assert off(tmp_path / "both") < 0.01
    assert next(iter(ExportedDataset(tmp_path / "both").sizes)) == "observation.images.cam"
    said = export(capsys, path, tmp_path / "other", "--images", "/side/image_raw")
    assert off(tmp_path / "other") < 0.01 and "/cam/hands is of the camera /cam/image_raw: in the pictures, which are" in said
    with contextlib.closing(DatasetRecording(ExportedDataset(tmp_path / "other"), 0, (None, None))) as shown:
        assert shown.image(0) is None and "of other cameras than the hands'" in shown.warnings[0]
        assert shown.moment(0).pair.camera.matrix[0, 0] == pytest.approx(CAMERA.matrix[0, 0])
    with contextlib.closing(DatasetRecording(ExportedDataset(tmp_path / "other"), 0, (None, None), "side")) as shown:
        assert number_in(shown.image(7)) == 7
    assert run(capsys, "import", tmp_path / "other", "--out", tmp_path / "bags", "--quiet")[0] == 0
    said = export(capsys, tmp_path / "bags", tmp_path / "again", "--images", "/side/image_raw/compressed")
    assert off(tmp_path / "again") < 0.01 and "/hands is of the camera cam_optical: in the pictures" in said, said


def test_the_lens_is_that_of_the_images_as_they_are(tmp_path, capsys, seen):
    """Of a region, binned, smaller than CameraInfo says: the tracker takes it so, and the column had K as it stood there."""
    seen(CAMERA)
    whole = camera_info(2 * WIDTH, 2 * HEIGHT, CAMERA.resized(2 * WIDTH, 2 * HEIGHT), "cam_optical")
    export(capsys, bag(tmp_path / "small", info=whole), tmp_path / "smaller")
    assert off(tmp_path / "smaller") < 0.01
    part = camera_info(4 * WIDTH, 4 * HEIGHT, CAMERA.resized(2 * WIDTH, 2 * HEIGHT), "cam_optical")
    part.k[2] += 20.0
    part.k[5] += 40.0
    part.binning_x = part.binning_y = 2
    part.roi.x_offset, part.roi.y_offset, part.roi.width, part.roi.height = 20, 40, 2 * WIDTH, 2 * HEIGHT
    export(capsys, bag(tmp_path / "part", info=part), tmp_path / "region")
    assert off(tmp_path / "region") < 0.01
    none = camera_info(WIDTH, HEIGHT, CAMERA, "cam_optical")
    none.k[0] = none.k[4] = 0.0
    said = export(capsys, bag(tmp_path / "none", info=none), tmp_path / "out")
    assert "/cam/camera_info: the focal length in CameraInfo is zero or NaN: camera.intrinsics is 0" in said
    assert not rows(tmp_path / "out")["camera.intrinsics"].any()


def test_rectified_images_are_known_by_their_pixels(tmp_path, capsys, seen):
    """Of a node with `rectified:=true`, which nothing else in a bag tells."""
    seen(OTHER)
    info = camera_info(WIDTH, HEIGHT, CAMERA, "cam_optical")
    info.d, info.distortion_model = [-0.3, 0.1, 0.0, 0.0, 0.0], "plumb_bob"
    info.p[0], info.p[5], info.p[2], info.p[6] = OTHER.matrix[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    export(capsys, bag(tmp_path / "bag", info=info), tmp_path / "out")
    assert off(tmp_path / "out") < 0.01


def test_mirrored_images_are_told(tmp_path, capsys, seen):
    """Positions are the unmirrored camera's, pictures and pixels as they came."""
    seen(CAMERA, mirrored=True)
    said = export(capsys, bag(tmp_path / "bag"), tmp_path / "out")
    assert "the images are mirrored" in said and told(tmp_path / "out")["bags"][0]["facts"]["mirrored"]
    assert off(tmp_path / "out", mirrored=True) < 0.01
    seen(CAMERA)
    assert "mirrored" not in export(capsys, bag(tmp_path / "other"), tmp_path / "plain")
    assert "mirrored" not in told(tmp_path / "plain")["bags"][0]["facts"]


def test_hands_in_a_robots_frame_are_not_taken_for_mirrored():
    """Those of a dataset with `--frame` that was imported: their x and y are no image's."""
    told = Seen()
    for k in range(200):
        points = hand(k % 2, k / 10).joints
        told.add(lambda points=points: points @ np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), CAMERA.project(points))
    assert not told.mirrored and told.lens([OTHER, CAMERA]) == 0


def test_a_joint_behind_the_camera_hides_neither_that_images_are_mirrored_nor_their_lens():
    """Its pixel is no number."""
    told, mirrored = Seen(), CAMERA.mirrored()
    for k in range(200):
        points = hand(k % 2, k / 10).joints
        pixels = mirrored.project(points * (-1.0, 1.0, 1.0))
        pixels[3] = np.nan if k == 15 else pixels[3]
        told.add(lambda points=points: points, pixels)
    assert told.mirrored and told.lens([OTHER, mirrored]) == 1


def test_mirrored_images_of_an_unknown_camera(rendered, tmp_path, capsys):
    """Of a bag with images alone, that it is mirrored and its lens can be given: the hands are those of the other export."""
    path = write_bag(tmp_path / "plain", *camera_entries(rendered, "/cam"))
    export(capsys, path, tmp_path / "out", "--min-seconds", "0.2")
    entries, types = camera_entries(rendered, "/cam", flipped=True)
    mirrored = write_bag(
        tmp_path / "other", [one for one in entries if "info" not in one[0]], {"/cam/image_raw": types["/cam/image_raw"]}
    )
    fov = np.degrees(2 * np.arctan(0.5 * rendered.camera.width / rendered.camera.matrix[0, 0]))
    said = export(capsys, mirrored, tmp_path / "back", "--min-seconds", "0.2", "--mirrored", "--fov", fov)
    assert "the images are mirrored" in said and "no CameraInfo" not in said, said
    one, other = rows(tmp_path / "out"), rows(tmp_path / "back")
    assert one["hand.valid"].any() and other["hand.scaled"][other["hand.valid"]].all()
    np.testing.assert_array_equal(one["hand.valid"], other["hand.valid"])
    assert np.abs(one["hand.joints"] - other["hand.joints"]).max() < 0.005
    assert np.abs(one["camera.intrinsics"] - other["camera.intrinsics"]).max() < 1.0
    code, _, said = run(capsys, "export", mirrored, "--out", tmp_path / "back", "--min-seconds", "0.2", "--quiet")
    assert code == 2 and "of other bags or options" in said, said


def test_images_are_taken_for_what_is_said_of_them(rendered, tmp_path, capsys):
    """Their CameraInfo is elsewhere, they are rectified, which their name does not tell, and one camera mirrors."""
    entries, types = camera_entries(rendered, "/cam")
    export(capsys, write_bag(tmp_path / "plain", entries, types), tmp_path / "out", "--min-seconds", "0.2")
    entries, _ = camera_entries(rendered, "/cam", flipped=True)
    info = camera_info(rendered.camera.width, rendered.camera.height, rendered.camera, "lens")
    info.d, info.distortion_model = [-0.3, 0.1, 0.0, 0.0, 0.0], "plumb_bob"
    elsewhere = [("/lens/info", time, serialize_message(info)) for name, time, _ in entries if "info" in name]
    types = {"/cam/image_raw": types["/cam/image_raw"], "/lens/info": types["/cam/camera_info"]}
    pictures = [one for one in entries if "info" not in one[0]]
    odd = write_bag(tmp_path / "odd", sorted(pictures + elsewhere, key=lambda one: one[1]), types)
    given = "--camera-info", "/lens/info", "--rectified", "true", "--mirrored-cameras", "cam", "--depth", "none"
    said = export(capsys, odd, tmp_path / "back", "--min-seconds", "0.2", *given)
    assert "no CameraInfo" not in said, said
    one, other = rows(tmp_path / "out"), rows(tmp_path / "back")
    assert one["hand.valid"].any() and other["hand.scaled"][other["hand.valid"]].all()
    np.testing.assert_array_equal(one["hand.valid"], other["hand.valid"])
    assert np.abs(one["hand.joints"] - other["hand.joints"]).max() < 0.005
    assert np.abs(one["camera.intrinsics"] - other["camera.intrinsics"]).max() < 1.0


def test_images_that_become_others_midway_are_named(tmp_path, capsys, monkeypatch):
    """With the topic, and what to do; trimmed to before that, the recording is exported."""
    monkeypatch.setattr(
        episode_support, "picture", lambda number: picture(number)[:: 1 + (number > 40), :: 1 + (number > 40)].copy()
    )
    path = Demonstration(seconds=2, robot=False).write(tmp_path / "bag")
    code, _, said = run(capsys, "export", path, "--out", tmp_path / "out", "--quiet")
    words = (
        f"/cam/image_raw: an image is {WIDTH // 2}x{HEIGHT // 2}, those before were {WIDTH}x{HEIGHT}; trim the recording to end"
    )
    assert code == 2 and words in said, said
    assert run(capsys, "trim", path, "--end", "1.2")[0] == 0
    export(capsys, path, tmp_path / "out")
