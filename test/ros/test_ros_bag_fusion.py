"""A bag of several cameras becomes one pair of hands, as videos of the same images do; what is asked for in vain is told."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import assert_same_hands, camera_entries, read_bag, write_bag
from rclpy.serialization import deserialize_message, serialize_message
from ros_support import SECOND, T0
from sensor_msgs.msg import CameraInfo, Image
from test_ros_bag_convert import HAND_PAIR, TRANSFORMS, joints_of, messages, stamp_of
from test_ros_transforms import message

from fourdhands_core import cli
from fourdhands_core.errors import InputError
from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.rig import Rig, extrinsics, load_rig, save_rig
from fourdhands_core.fusion.rig.extrinsics import Certainty, FoundPoses
from fourdhands_core.geometry.rigid import Rigid

NAMES = ["left", "right"]
COUNT = 12
TF_TYPE = "tf2_msgs/msg/TFMessage"


class Clip:
    """One camera's images, as `camera_entries` takes them, 30 a second."""

    def __init__(self, camera, images):
        self.camera, self.images = camera, [(round(k * 1e9 / 30), image) for k, image in enumerate(images)]


class Recorded:
    """Rendered hands before two cameras: each one's images, where they stand, and files of both."""

    def __init__(self, folder):
        # a workspace has no torch, and launch_testing imports this file for the tests of others
        pytest.importorskip("torch", reason="the rendered hands need torch (pip install 'fourdhands[torch]')")
        from cameras_support import Layout, SeenByCameras, arc

        layout = Layout(0.5, arc(0.3, 0.5), (30.0, 30.0), (0.0, 0.0), COUNT / 30, size=(320, 240))
        seen = SeenByCameras(layout, 80003)
        self.folder, self.fov = folder, layout.fov
        self.poses = dict(zip(NAMES, [Rigid(np.eye(3), np.array([0.0, 0.0, 1.0])) @ pose for pose in seen.poses]))
        self.clips = {
            name: Clip(camera, [image.copy() for _, image in seen.images(k)])
            for k, (name, camera) in enumerate(zip(NAMES, seen.cameras))
        }
        self.rig = folder / "rig.yaml"
        save_rig(self.rig, Rig("cell", self.poses, {name: {"fov": self.fov} for name in NAMES}))
        self.entries, self.types = [], {}
        for name, clip in self.clips.items():
            entries, types = camera_entries(clip, f"/{name}", compressed=True)
            self.entries += entries
            self.types.update(types)
        self.entries.sort(key=lambda entry: entry[1])
        self.bag = write_bag(folder / "drive", self.entries, self.types)

    def with_tf(self, name, moving=(), space=""):
        """The same bag with the cameras' places on /tf_static, those of `moving` on /tf at 20 a second, in a namespace."""
        still = [("cell", f"{one}_optical", self.poses[one], 0) for one in NAMES if one not in moving]
        rows, types = [(f"{space}/tf_static", T0 - 10**9, message(*still))], {f"{space}/tf_static": TF_TYPE}
        for k in range(-2, 20):
            stamp = T0 + k * 50_000_000
            for one in moving:
                rows.append((f"{space}/tf", stamp + 30_000_000, message(("cell", f"{one}_optical", self.poses[one], stamp))))
                types[f"{space}/tf"] = TF_TYPE
        entries = sorted(self.entries + rows, key=lambda entry: entry[1])
        return write_bag(self.folder / name, entries, {**self.types, **types})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return Recorded(tmp_path_factory.mktemp("recorded"))


def convert(bag, out, *options):
    assert cli.main(["bag", str(bag), str(out), "--quiet", "--no-markers", *map(str, options)]) == 0
    return [pair for _, pair in messages(out, "/hands", HAND_PAIR)]


@pytest.fixture(scope="module")
def fused(recorded):
    return convert(recorded.bag, recorded.folder / "out", "--lookahead", 0, "--cameras", recorded.rig)


def compared(pairs, other):
    """Whether two lists of HandPairs say the same of the hands."""
    assert [stamp_of(pair.header) for pair in pairs] == [stamp_of(pair.header) for pair in other]
    for one, two in zip(pairs, other):
        for hand, same in zip((one.left, one.right), (two.left, two.right)):
            assert hand.valid == same.valid
            np.testing.assert_allclose(joints_of(hand), joints_of(same), rtol=0, atol=1e-4)


@pytest.mark.parametrize("lookahead, mirrored", [(0, []), (4, []), (0, NAMES), (0, NAMES[1:])])
def test_one_pair_of_hands_as_of_videos_of_the_same_images(recorded, fused, tmp_path, lookahead, mirrored):
    """mirrored: the cameras whose videos are mirrored, where that is said: all, or one alone."""
    folders = []
    for name, clip in recorded.clips.items():
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        for k, (_, image) in enumerate(clip.images):
            across = -1 if name in mirrored else 1
            cv2.imwrite(str(folders[-1] / f"{k:03}.png"), np.ascontiguousarray(image[:, ::across, ::-1]))
    command = ["track", *folders, "--cameras", recorded.rig, "--out", tmp_path / "tracked", "--lookahead", lookahead]
    told = ["--mirrored"] if mirrored == NAMES else ["--mirrored-cameras", *mirrored] if mirrored else []
    assert cli.main([str(word) for word in (*command, "--quiet", *told)]) == 0
    tracked = np.load(tmp_path / "tracked" / "hands.npz")
    pairs = fused
    if lookahead:
        pairs = convert(recorded.bag, tmp_path / "ahead", "--lookahead", lookahead, "--cameras", recorded.rig)
    stamps = np.array([stamp_of(pair.header) for pair in pairs]) - T0
    np.testing.assert_array_equal(stamps, tracked["stamp"])
    assert len(pairs) == COUNT and all(pair.header.frame_id == "cell" for pair in pairs)
    both = 0
    for k, pair in enumerate(pairs):
        for side, (hand, cameras) in enumerate(((pair.left, pair.left_cameras), (pair.right, pair.right_cameras))):
            assert hand.valid == tracked["valid"][k, side]
            if hand.valid:
                both += list(cameras) == NAMES
                np.testing.assert_allclose(joints_of(hand), tracked["joints"][k, side], rtol=0, atol=1e-6)
    assert both > COUNT


def test_a_camera_of_a_bag_that_alone_mirrors(recorded, fused, tmp_path, capsys):
    entries = []
    for name, clip in recorded.clips.items():
        entries += camera_entries(clip, f"/{name}", compressed=True, flipped=name == "right")[0]
    bag = write_bag(tmp_path / "drive", sorted(entries, key=lambda entry: entry[1]), recorded.types)
    options = "--lookahead", 0, "--cameras", recorded.rig, "--mirrored-cameras"
    compared(convert(bag, tmp_path / "out", *options, "/right"), fused)
    command = ["bag", bag, tmp_path / "other", *options, "rigth"]
    assert cli.main([str(word) for word in command]) == cli.EXIT_USER_ERROR
    assert "mirrored_cameras names rigth, and the cameras are left, right" in capsys.readouterr().err


def test_each_cameras_own_hands_are_there_too_and_frames_in_the_fixed_one(recorded, fused, capsys):
    alone = recorded.folder / "alone"
    assert cli.main(["bag", str(recorded.bag), str(alone), "--quiet", "--no-markers", "--lookahead", "0"]) == 0
    out = recorded.folder / "out"
    for name in NAMES:
        one, other = ([row for row in read_bag(path) if row[0] == f"/{name}/hands"] for path in (alone, out))
        assert_same_hands(one, other)
        assert len(one) == COUNT
    assert "/hands" not in {topic for topic, _, _ in read_bag(alone)}
    frames = {t.child_frame_id: t.header.frame_id for _, one in messages(out, "/tf", TRANSFORMS) for t in one.transforms}
    assert frames["left_wrist"] == frames["right_wrist"] == "cell" and frames["right/left_wrist"] == "right_optical"
    assert len(messages(out, "/hands/faces", "fourdhands_ros/msg/HandFaces")) == 1
    capsys.readouterr()
    assert cli.main(["bag", "info", str(out)]) == 0
    assert f"/hands: {COUNT} HandPairs" in capsys.readouterr().out


@pytest.mark.parametrize("space", ["", "/robot1"])
def test_places_from_the_bags_tf_are_those_of_a_file(recorded, fused, tmp_path, space):
    """One camera's on /tf_static, the other's on /tf; also of a robot whose frames are in its own namespace."""
    bag = recorded.with_tf(f"tf{len(space)}", ("right",), space)
    compared(convert(bag, tmp_path / "out", "--lookahead", 0, "--fixed-frame", "cell"), fused)


def test_a_run_in_parts_goes_on_with_what_fusion_remembered(recorded, tmp_path):
    """Intervals are what a killed run continues from; the frames of a moving camera are read on across them."""
    bag = recorded.with_tf("intervals", ("left",))
    whole = convert(bag, tmp_path / "whole", "--fixed-frame", "cell")
    convert(bag, tmp_path / "parts", "--fixed-frame", "cell", "--interval", 7)
    one, other = ([row for row in read_bag(tmp_path / name) if row[0] == "/hands"] for name in ("whole", "parts"))
    assert_same_hands(one, other)
    assert len(whole) == COUNT


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_camera_that_ends_early_is_fused_to_its_end_and_one_that_pauses_is_not_said_to_stand_nowhere(
    recorded, tmp_path, capsys, comes_back
):
    """With lookahead its last images wait for further ones, and meanwhile the transforms of their time are forgotten."""
    entries, types = [], {"/tf": TF_TYPE}
    for name, clip in recorded.clips.items():
        images = [image for _, image in clip.images]
        short = Clip(clip.camera, images[:6])
        if name == "left" or comes_back:
            short.images += [((60 + 5 * k if comes_back else 5 + 5 * k) * 10**9, images[6]) for k in range(12)]
        if name == "left" and comes_back:
            short.images[6:6] = [((5 + 5 * k) * 10**9, images[6]) for k in range(11)]
        rows, kinds = camera_entries(short, f"/{name}", compressed=True)
        entries += rows
        types.update(kinds)
        for k in range(-1, 130):
            stamp = T0 + k * 10**9
            entries.append(("/tf", stamp, message(("cell", f"{name}_optical", recorded.poses[name], stamp))))
    bag = write_bag(tmp_path / "early", sorted(entries, key=lambda entry: entry[1]), types)
    pairs = convert(bag, tmp_path / "out", "--fixed-frame", "cell", "--lookahead", 4)
    told = "".join(capsys.readouterr())
    assert "away from" not in told and "no transform" not in told
    if comes_back:
        assert "right, too late" in told
    else:
        assert sum(list(pair.left_cameras) == NAMES for pair in pairs[:6]) > 3


def test_hands_go_on_where_the_cameras_clocks_were_set_back(recorded, tmp_path, capsys):
    """By more than frames are kept for: a file says where the cameras stand, at any time."""
    entries, minute = [], 60 * 10**9
    for name, clip in recorded.clips.items():
        back = Clip(clip.camera, [])
        back.images = [(stamp - minute * (k >= COUNT // 2), image) for k, (stamp, image) in enumerate(clip.images)]
        rows, types = camera_entries(back, f"/{name}", compressed=True)
        # recorded one after the other, whatever their stamps
        entries += [(topic, time + minute * (time < T0), data) for topic, time, data in rows]
    bag = write_bag(tmp_path / "back", sorted(entries, key=lambda entry: entry[1]), recorded.types)
    pairs = convert(bag, tmp_path / "out", "--lookahead", 0, "--cameras", recorded.rig)
    assert "not fused" not in "".join(capsys.readouterr())
    assert len(pairs) == COUNT and sum(stamp_of(pair.header) < T0 for pair in pairs) == COUNT - COUNT // 2


@pytest.mark.parametrize("back", [5, 60])
def test_hands_of_two_times_are_fused_one_after_the_other(recorded, tmp_path, monkeypatch, back):
    """A simulation began anew: with lookahead the last hands of before were put among those of the same stamps after."""
    entries, seen, add = [], [], HandFusion.add
    for name, clip in recorded.clips.items():
        twice = Clip(clip.camera, [])
        twice.images = clip.images + [(stamp - back * SECOND, image) for stamp, image in clip.images]
        rows, _ = camera_entries(twice, f"/{name}", compressed=True)
        entries += [
            (topic, time + (back + 1) * SECOND * (2 * k >= len(rows)), data) for k, (topic, time, data) in enumerate(rows)
        ]
    bag = write_bag(tmp_path / "twice", sorted(entries, key=lambda entry: entry[1]), recorded.types)
    monkeypatch.setattr(HandFusion, "add", lambda self, view, *rest: (seen.append(view.stamp), add(self, view, *rest))[1])
    convert(bag, tmp_path / "out", "--lookahead", 4, "--cameras", recorded.rig)
    assert len(seen) == 4 * COUNT
    assert all(stamp >= T0 for stamp in seen[: 2 * COUNT]) and all(stamp < T0 for stamp in seen[2 * COUNT :])


@pytest.mark.parametrize(
    "options, words",
    [
        (["--fixed-frame", "cell"], "on /tf or /tf_static, so that nothing says where its cameras stand in cell"),
        (["--cameras", "{rig}", "--topic", "/left/image_raw/compressed"], "one camera cannot be fused, and /left/image_raw"),
        (["--cameras", "{tmp}/other.yaml"], "does not say where right stands; it names left, top"),
        (["--cameras", "{tmp}/none.yaml"], "none.yaml"),
        (["--cameras", "{rig}", "--fixed-frame", "base_link"], "is said in cell, and hands are asked for in base_link"),
    ],
)
def test_what_cannot_be_fused_is_told_in_one_sentence(recorded, tmp_path, capsys, options, words):
    save_rig(tmp_path / "other.yaml", Rig("cell", {"left": Rigid(), "top": Rigid(np.eye(3), np.ones(3))}))
    options = [word.replace("{rig}", str(recorded.rig)).replace("{tmp}", str(tmp_path)) for word in options]
    code = cli.main(["bag", str(recorded.bag), str(tmp_path / "out"), "--quiet", *options])
    error = capsys.readouterr().err.strip()
    assert code == 2 and words in error and len(error.splitlines()) == 1, error
    assert not list(tmp_path.glob("out*"))


def test_a_frame_that_tf_does_not_know_is_told(recorded, tmp_path, capsys):
    bag = recorded.with_tf("named")
    code = cli.main(["bag", str(bag), str(tmp_path / "out"), "--quiet", "--fixed-frame", "base_link"])
    error = capsys.readouterr().err
    assert code == 2 and "where left stands in base_link is not known" in error and "no frame is called base_link" in error
    assert not list(tmp_path.glob("out*"))


def test_tf_of_several_robots_is_told(recorded, tmp_path, capsys):
    entries = [(f"/robot{number}/tf_static", T0, b"\0\1\0\0\0\0\0\0") for number in (1, 2)]
    bag = write_bag(
        tmp_path / "two", recorded.entries + entries, recorded.types | {name: "tf2_msgs/msg/TFMessage" for name, *_ in entries}
    )
    code = cli.main(["bag", str(bag), str(tmp_path / "out"), "--quiet", "--fixed-frame", "base_link"])
    assert code == 2 and "(and /robot1/tf_static, /robot2/tf_static are those of several robots)" in capsys.readouterr().err


def test_without_a_lens_nothing_is_fused(recorded, tmp_path, capsys):
    entries = [entry for entry in recorded.entries if entry[0] != "/right/camera_info"]
    types = {name: kind for name, kind in recorded.types.items() if name != "/right/camera_info"}
    bag = write_bag(tmp_path / "blind", entries, types)
    code = cli.main(["bag", str(bag), str(tmp_path / "out"), "--quiet", "--cameras", str(recorded.rig)])
    error = capsys.readouterr().err
    assert code == 2 and "the lens of /right/image_raw/compressed is not known" in error
    found = convert(bag, tmp_path / "out", "--cameras", recorded.rig, "--fov", recorded.fov)
    assert any(list(pair.left_cameras) == NAMES for pair in found)


def test_depth_images_that_a_calibration_asks_for(recorded, tmp_path, capsys, monkeypatch):
    """Go to their camera; a bag without any is told."""
    command = "calibrate-cameras", "--depth", "--quiet"
    assert cli.main([*command, str(recorded.bag)]) == 2
    said = capsys.readouterr().err
    assert "holds no depth images in the view of /left/image_raw/compressed or /right/image_raw/compressed" in said
    entries = []
    for _, time, data in (entry for entry in recorded.entries if entry[0] == "/left/camera_info"):
        info = deserialize_message(data, CameraInfo)
        depth = Image(header=info.header, width=32, height=24, encoding="16UC1", step=64, data=bytes(2 * 32 * 24))
        entries.append(("/left/depth/image_raw", time, serialize_message(depth)))
    types = {**recorded.types, "/left/depth/image_raw": "sensor_msgs/msg/Image"}
    bag = write_bag(tmp_path / "drive", sorted(recorded.entries + entries, key=lambda entry: entry[1]), types)
    asked = {}

    def camera(topics, options, depth):
        asked[topics.name] = depth and depth[1].name
        if len(asked) == 2:
            raise InputError("that is enough")

    monkeypatch.setattr("fourdhands_ros.bags.cameras.BagCamera", camera)
    assert cli.main([*command, str(bag)]) == 2
    assert "that is enough" in capsys.readouterr().err and asked == {"left": "/left/depth/image_raw", "right": None}


def test_found_poses_are_of_the_frames_that_the_images_name(recorded, tmp_path, monkeypatch):
    """Others were made up, which are on no /tf: fused hands hung on nothing, and the launch file's transforms helped nobody."""
    sure = Certainty(100, 0.001, 0.1, 0.001)
    poses = {"left": Rigid(), "right": Rigid(np.eye(3), np.array([0.4, 0.0, 0.0]))}
    found = FoundPoses(poses, dict.fromkeys(NAMES, sure), "a hand of 190 mm", np.zeros((0, 3)))
    monkeypatch.setattr(extrinsics, "calibrate", lambda *_: found)
    files = "--out", str(tmp_path / "rig.yaml"), "--launch", str(tmp_path / "rig.launch.py")
    assert cli.main(["calibrate-cameras", str(recorded.bag), "--quiet", *files]) == 0
    assert load_rig(tmp_path / "rig.yaml").fixed_frame == "left_optical"
    launch = (tmp_path / "rig.launch.py").read_text()
    assert "'--frame-id', 'left_optical', '--child-frame-id', 'right_optical'" in launch and "replace" not in launch
