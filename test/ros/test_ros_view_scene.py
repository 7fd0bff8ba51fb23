"""Several cameras of a bag in one scene, depth, robots, episodes: what a bag's recording gives for any row."""

import contextlib
import json
import shutil
import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from bag_support import write_bag
from rclpy.serialization import serialize_message
from ros_support import PERIOD, T0
from std_msgs.msg import String
from view_bag_support import BASE, CAMERA, KINDS, PLANE, SECOND, state_text, two_cameras
from view_support import HANDS, moving
from view_support import hand as made

from fourdhands_core.cli import main
from fourdhands_core.commands.view import episodes_of, open_chosen
from fourdhands_core.errors import FourDHandsError
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.pipeline.types import ABSENT
from fourdhands_core.view.moments import Moment, words
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.view.bag_recording import BagRecording

with contextlib.suppress(ModuleNotFoundError):  # a workspace, in which the plugins of launch import this file, may lack viser
    from fourdhands_core.view.serving import serve
    from fourdhands_core.view.sights import PARTS
    from fourdhands_core.view.stage import Stage

    ALL = dict.fromkeys(PARTS, True)

MANO = "/left/hands: poses are of the hand model mano, meshes of human: give --hand-model."
pytestmark = pytest.mark.skipif("Stage" not in globals(), reason="the extra view is not installed")


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return write_bag(tmp_path_factory.mktemp("bag") / "bag", two_cameras(), KINDS)


@pytest.fixture
def recording(bag):
    made = BagRecording(bag, HANDS)
    yield made
    made.close()


def test_all_cameras_see_the_same_hands_where_tf_says_they_stand(recording):
    """At whatever row, forwards and backwards: the second camera's hands, moved by its pose, lie on the first one's."""
    for row in (20, 3, 4, 29, 0):
        first, second = recording.sights(row, ALL)
        assert (first.name, second.name) == ("/left/hands", "/right/hands") and not second.problem
        assert first.moment.stamp == second.moment.stamp == T0 + row * PERIOD
        np.testing.assert_allclose(second.pose.position, SECOND.position, atol=1e-9)
        for one, other in zip(first.moment.pair.hands, second.moment.pair.hands):
            np.testing.assert_allclose(second.pose.apply(other.joints), one.joints, atol=1e-5)
        assert first.image is not None and second.image is not None
        assert not first.fused and not recording.warnings
    assert recording.sights(3, {**ALL, "Image": False})[1].image is None


def test_hands_are_drawn_with_the_shipped_model_that_the_bag_names(bag, closing):
    """Poses of the one are not those of the other, which the command draws where nobody names one. Of a model that is not
    shipped it is said."""
    recording, served = closing(BagRecording(bag, pair_of(load_human_hand()))), closing(serve(port=0))
    stage = Stage(served.server, recording.hands)
    for row, model, said in ((5, "generic", []), (6, "human", []), (7, "mano", [MANO]), (8, "generic", [])):
        sight = recording.sights(row, ALL)[0]
        assert sight.model == "generic"
        assert stage.draw([replace(sight, model=model)]) == said
        for nodes, expected in zip(stage.cameras["/left/hands"].hands, moving(40, camera=CAMERA)[row].hands):
            off = np.abs(nodes.mesh.vertices + nodes.mesh.position - expected.vertices).max()
            assert (off < 1e-4) == (model == "generic")


def test_another_camera_may_be_the_main_one(bag, closing):
    recording = closing(BagRecording(bag, HANDS, "/right/hands"))
    first, second = recording.sights(5, ALL)
    assert (first.name, second.name) == ("/right/hands", "/left/hands")
    np.testing.assert_allclose(second.pose.position, SECOND.inverse().position, atol=1e-9)


def test_the_depth_image_as_points(recording):
    """On the wall that it sees, within the camera's view, without what it did not measure, in the image's colours."""
    first, second = recording.sights(7, ALL)
    assert second.cloud is None
    assert len(first.cloud.points) == 48 * 64 - 64
    np.testing.assert_allclose(first.cloud.points[:, 2], PLANE, atol=1e-3)
    pixels = CAMERA.project(first.cloud.points.astype(float))
    assert pixels.min() > -0.6 and pixels[:, 0].max() < 64 and pixels[:, 1].max() < 48
    assert (first.cloud.colours == 67).all()
    assert recording.sights(7, {**ALL, "Depth cloud": False})[0].cloud is None


def test_a_robot_as_it_was_at_a_row(recording):
    for row in (25, 2):
        (robot,) = recording.robots(row)
        assert robot.name == "/hands_teleop" and robot.state.state == "ENGAGED" and not robot.problem
        np.testing.assert_allclose(robot.pose.position, BASE.position)
        assert robot.state.measured.end.position[0] == pytest.approx(0.4 + 0.002 * (row - 1), abs=0.003)
        np.testing.assert_allclose(robot.state.workspace, [[0.2, -0.3, 0.05], [0.7, 0.3, 0.6]])


def test_the_stage_shows_all_of_it(recording, closing):
    served = closing(serve(port=0))
    stage = Stage(served.server, HANDS)
    said = stage.draw(recording.sights(5, ALL), recording.robots(5))
    assert said == ["/hands_teleop ENGAGED: the robot follows the right hand.", "It is held back by the speed."]
    np.testing.assert_allclose(stage.cameras["/right/hands"].root.position, SECOND.position)
    assert stage.cameras["/left/hands"].cloud.visible
    robot = stage.robots["/hands_teleop"]
    np.testing.assert_allclose(robot.root.position, BASE.position)
    measured, commanded = robot.ends
    np.testing.assert_allclose(commanded.frame.position - measured.frame.position, [0.05, 0, 0], atol=1e-9)
    assert len(measured.parts) == len(commanded.parts) > 3 and commanded.parts[0].opacity < 0.5
    fingers = [part.position for part in measured.parts]
    assert max(place[1] for place in fingers) > 0.015  # the gripper is open by 4 cm
    eye, pose = stage.eye()
    assert eye.camera.width == 64 and not pose.position.any()
    stage.shown["Workspace"] = stage.shown["Robot"] = False
    stage.draw(recording.sights(6, ALL), recording.robots(6))
    assert not robot.box.visible and not measured.frame.visible
    stage.draw(recording.sights(7, ALL)[:1])
    assert not stage.cameras["/right/hands"].root.visible and not robot.root.visible


def test_without_transforms_what_stands_where_is_said(tmp_path, closing):
    entries = [entry for entry in two_cameras(5) if not entry[0].startswith("/tf")]
    kinds = {name: kind for name, kind in KINDS.items() if not name.startswith("/tf")}
    recording = closing(BagRecording(write_bag(tmp_path / "bag", entries, kinds), HANDS))
    served = closing(serve(port=0))
    said = Stage(served.server, HANDS).draw(recording.sights(3, ALL), recording.robots(3))
    assert "/hands_teleop is drawn beside the camera: no transform from base_link to left_optical is on /tf" in said[2]
    assert "/right/hands is drawn beside the first camera: " in said[3]


def test_fused_hands_have_no_image(tmp_path, closing):
    """They are in a fixed frame and at no pixels; the words name the cameras that each hand is made of."""
    encoder = HandPairEncoder("landmark", "generic")
    entries = two_cameras(5)
    for i, pair in enumerate(moving(5)):
        pair = type(pair)(T0 + i * PERIOD, pair.left, pair.right, CAMERA, cameras=(("left", "right"), ("left",)))
        for hand in pair.hands:
            object.__setattr__(hand, "joints_2d", None)
        entries.append(("/hands", T0 + i * PERIOD + 70_000_000, encoder.encode(pair, "base_link", {}, (i + 1, 0, 0))))
    kinds = {**KINDS, "/hands": KINDS["/left/hands"]}
    recording = closing(BagRecording(write_bag(tmp_path / "bag", sorted(entries, key=lambda entry: entry[1]), kinds), HANDS))
    first, second, third = recording.sights(3, ALL)
    assert first.name == "/hands" and first.fused and first.image is None and first.moment.pair.left.valid
    np.testing.assert_allclose(second.pose.position, BASE.inverse().position, atol=1e-9)
    said = words(first.moment)[0]  # and not how far it is from the fixed frame's origin, as if that were a camera
    assert "left TRACKED" in said and said.endswith("made of left and right") and "away" not in said
    assert not any("no images" in warning for warning in recording.warnings)
    served = closing(serve(port=0))
    stage = Stage(served.server, HANDS)
    stage.draw([first, second, third])
    assert stage.cameras["/hands"].frustum is None and stage.eye()[0] is stage.cameras["/left/hands"].pinhole


def test_fused_hands_that_come_late_are_in_no_picture_either(tmp_path, closing):
    """Of a recording that shows nobody in its first messages."""
    encoder, entries = HandPairEncoder("landmark", "generic"), two_cameras(5)
    for i, pair in enumerate(moving(230, lost=range(0))):
        hands = [replace(one, joints_2d=None) if i >= 220 else made(one.side, state=ABSENT) for one in pair.hands]
        pair = replace(pair, stamp=T0 + i * PERIOD, left=hands[0], right=hands[1])
        entries.append(("/hands", pair.stamp + 70_000_000, encoder.encode(pair, "base_link", {}, (i + 1, 0, 0))))
    kinds = {**KINDS, "/hands": KINDS["/left/hands"]}
    recording = closing(BagRecording(write_bag(tmp_path / "bag", sorted(entries, key=lambda entry: entry[1]), kinds), HANDS))
    first, *_ = recording.sights(225, ALL)
    assert (first.name, first.fused, first.model, first.image) == ("/hands", True, "generic", None)
    assert first.moment.pair.left.valid and recording.image(3) is None


def test_what_a_robot_says_may_be_anything(tmp_path, closing):
    """Other strings are no robot's; what is damaged in its words is left out, and the hands are shown."""
    entries = [entry for entry in two_cameras(5) if entry[0] != "/hands_teleop/state"]
    texts = ["{", "[]", json.dumps({"state": "IDLE"}), state_text(workspace=[1, "a"], measured={"position": [1]}, axes=7)]
    for k, text in enumerate(texts):
        entries.append((f"/r{k}/state", T0, serialize_message(String(data=text))))
    entries.append(("/r9/state", T0, struct.pack("<4sI", b"\x00\x01\x00\x00", 10**9)))
    kinds = {**KINDS, **{f"/r{k}/state": "std_msgs/msg/String" for k in (0, 1, 2, 3, 9)}}
    del kinds["/hands_teleop/state"]
    recording = closing(BagRecording(write_bag(tmp_path / "bag", sorted(entries, key=lambda entry: entry[1]), kinds), HANDS))
    (robot,) = recording.robots(0)
    assert robot.name == "/r3" and robot.state.workspace is None and robot.state.measured is None
    assert len(recording.sights(0, ALL)) == 2


def test_episodes_say_what_is_known_of_them(bag, tmp_path, closing):
    """The part that is exported, on the time line of recording; task, outcome, notes."""
    path = write_bag(tmp_path / "episode_000000", two_cameras(30), KINDS)
    said = {"task": "put it away", "state": "kept", "outcome": "success", "notes": ["quick"], "missing": ["no hand is seen"]}
    said["span"] = [T0 + 10 * PERIOD, T0 + 20 * PERIOD]
    (path / "episode.json").write_text(json.dumps(said))
    recording = closing(BagRecording(path, HANDS))
    text = " ".join(recording.about)
    assert "Task: put it away." in text and "kept, success" in text and "Note: quick" in text and "no hand is seen" in text
    assert recording.span == (int(recording.course.stamp[10]), int(recording.course.stamp[20]))
    slow = [
        (topic, T0 + 2 * (time - T0), data) for topic, time, data in two_cameras(30)
    ]  # of a bag that was played at half speed
    path = write_bag(tmp_path / "slow", slow, KINDS)
    trim = {"span": None, "trim": [5 * PERIOD / 1e9, 15 * PERIOD / 1e9]}
    for more, begin, end in ({}, 10, 20), (trim, 5, 15):
        (path / "episode.json").write_text(json.dumps({**said, **more}))
        recording = closing(BagRecording(path, HANDS))
        assert recording.span == (int(recording.course.stamp[begin]), int(recording.course.stamp[end]))
    (path / "episode.json").write_text("{")
    recording = closing(BagRecording(path, HANDS))
    assert recording.span is None and any("episode.json is no episode's file" in warning for warning in recording.warnings)


@pytest.mark.parametrize("spoil", ["hands", "tf", "depth"])
def test_damaged_messages_spoil_only_themselves(tmp_path, spoil, closing):
    topic = {"hands": "/right/hands", "tf": "/tf", "depth": "/left/depth/image_raw"}[spoil]
    entries = [(name, time, data[:40] if name == topic else data) for name, time, data in two_cameras(5)]
    recording = closing(BagRecording(write_bag(tmp_path / "bag", entries, KINDS), HANDS))
    first, second = recording.sights(3, ALL)
    assert first.moment.pair.left.valid
    if spoil == "hands":
        assert second.moment.pair.left.state == ABSENT and "is damaged" in second.moment.notes[0]
    if spoil == "tf":
        assert second.pose is None and "no transform" in second.problem
    if spoil == "depth":
        assert first.cloud is None


def test_a_report_of_one_episode_of_a_folder(bag, tmp_path, capsys):
    assert main(["report", str(bag.parent), "--episode", "0", "--out", str(tmp_path / "r.html"), "--quiet"]) == 0
    assert "/left/hands" in (tmp_path / "r.html").read_text()
    assert main(["report", str(bag.parent), "--episode", "1", "--out", str(tmp_path / "r.html"), "--quiet"]) == 2
    assert "has the episodes 0 to 0" in capsys.readouterr().err


def test_an_episode_that_cannot_be_opened_is_passed_over(bag, tmp_path, capsys):
    """And why is told; one that was named is not."""
    for number, name in enumerate(("a", "b")):
        shutil.copytree(bag, tmp_path / name)
        if not number:
            next((tmp_path / name).glob("*.mcap")).write_text("nonsense")
    args = SimpleNamespace(episode=None, topic=None, image=None)
    episodes = episodes_of(str(tmp_path), args, HANDS)
    number, recording = open_chosen(args, str(tmp_path), episodes, pass_over=True)
    assert number == 1 and "episode 0: a is passed over: " in capsys.readouterr().err
    recording.close()
    for named, pass_over in ((0, True), (None, False)):
        args.episode = named
        with pytest.raises(FourDHandsError, match="nonsense"):
            open_chosen(args, str(tmp_path), episodes, pass_over)


def test_words_of_a_moment_without_fusion():
    assert "made of" not in " ".join(words(Moment(moving(1)[0])))
