"""Exporting bags as a user does: HandPair's own numbers, cuts where a hand is lost, and the same bytes on every run."""

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

from bag_support import camera_entries, read_bag, rendered, write_bag  # noqa: F401
from episode_support import CAMERA, Demonstration, bags, exported, files, hand, number_in, rows, run, told  # noqa: F401
from geometry_msgs.msg import TransformStamped
from rclpy.serialization import serialize_message
from ros_support import SECOND, T0
from std_msgs.msg import Bool, String
from test_ros_transforms import message as transforms

from fourdhands_core import cli
from fourdhands_core.episodes.actions import ACTIONS
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, quaternion_from_matrix
from fourdhands_ros.pypi.message_types import typestore

with contextlib.suppress(ModuleNotFoundError):  # a workspace, in which the plugins of launch import this file, may lack it
    import av
pytestmark = pytest.mark.skipif("av" not in globals(), reason="datasets need PyAV (pip install 'fourdhands[dataset]')")


def numbers_of(pair_hands, action) -> np.ndarray:
    """A layout of two hands, by hand."""
    parts = []
    for one in pair_hands:
        matrix = matrix_from_axis_angle(one.global_orient)
        if action == "mano102":
            parts += [one.joints[0], one.global_orient, one.hand_pose]
        elif action == "tips48":
            parts += [one.joints[0], matrix[:, 0], matrix[:, 1], one.joints[[4, 8, 12, 16, 20]].ravel()]
        else:
            pitch = np.arcsin(-matrix[2, 0])
            angles = np.arctan2(matrix[1, 0], matrix[0, 0]), pitch, np.arctan2(matrix[2, 1], matrix[2, 2])
            parts += [one.joints[0], np.array(angles)]
    return np.concatenate(parts)


def test_numbers_are_those_of_handpair_at_its_stamps(exported):
    table = rows(exported)
    on_a_message = np.abs(table["stamp.row"] - table["stamp.hands"]) <= 100_000
    assert on_a_message[table["episode_index"] < 2].all()
    for k in np.flatnonzero(on_a_message):
        hands = [hand(side, (table["stamp.hands"][k] - T0) / SECOND) for side in range(2)]
        assert np.abs(table["observation.state"][k] - numbers_of(hands, "mano102")).max() < 1e-6
        assert np.abs(table["hand.joints"][k] - np.concatenate([one.joints.ravel() for one in hands])).max() < 1e-6
    assert table["observation.state"][:, 0].max() < 0 < table["observation.state"][:, 51].min()  # left is left


def test_between_messages_hands_are_where_they_were(exported):
    """Of a motion of some 0.1 m/s sampled at 30 Hz with jitter."""
    table = rows(exported)
    for k in np.flatnonzero(table["episode_index"] == 2):
        hands = [hand(side, (table["stamp.row"][k] - T0) / SECOND) for side in range(2)]
        assert np.abs(table["observation.state"][k] - numbers_of(hands, "mano102")).max() < 1e-3


def test_how_far_rows_are_off_is_told(exported):
    """The estimate that the recording gives is near what it is against truth; rows on messages are not off at all."""
    table, bags = rows(exported), {one["bag"]: one for one in told(exported)["bags"]}
    off = []
    for k in np.flatnonzero(table["episode_index"] == 2):
        truth = np.stack([hand(side, (table["stamp.row"][k] - T0) / SECOND).joints for side in range(2)])
        off.append(1e3 * np.linalg.norm(table["hand.joints"][k].reshape(2, 21, 3) - truth, axis=-1).mean(axis=1).max())
    estimate = bags["bag_10"]["resampling"]
    assert 0.7 < estimate["mean_mm"] / np.mean(off) < 1.4 and 0.7 < estimate["most_mm"] / np.max(off) < 1.4
    assert bags["bag_2"]["resampling"] == {"mean_mm": 0.0, "p95_mm": 0.0, "most_mm": 0.0}
    assert f"{estimate['mean_mm']:.2f}, {estimate['p95_mm']:.2f}" in (exported / "card.html").read_text()


def test_an_action_is_the_next_state(exported):
    table = rows(exported)
    same = np.flatnonzero(np.diff(table["episode_index"]) == 0)
    np.testing.assert_array_equal(table["action"][same], table["observation.state"][same + 1])


def test_a_lost_hand_is_in_no_episode(exported):
    table = rows(exported)
    seconds = (table["stamp.row"] - T0) / SECOND
    first = seconds[table["episode_index"] < 2]
    assert not ((first > 2.5) & (first < 3.52)).any() and table["hand.valid"].all() and table["hand.next_valid"].all()
    (one,) = [one for one in told(exported)["bags"] if one["bag"] == "bag_2"]
    (piece,) = one["left_out"]
    assert piece["reason"] == "right hand not seen"
    assert abs(piece["start"] - 1.5) < 0.04 and abs(piece["seconds"] - 1.0) < 0.07
    assert one["episodes"] == 2 and abs(one["seconds_exported"] + piece["seconds"] - one["seconds"]) < 0.1


def test_bags_are_in_the_order_of_their_numbers(exported):
    assert [one["bag"] for one in told(exported)["bags"]] == ["bag_2", "bag_10"]


def test_pictures_robot_and_stamps_belong_to_their_rows(exported):
    table, frames = rows(exported), []
    for video in sorted((exported / "videos").rglob("*.mp4")):
        with av.open(str(video)) as container:
            frames += [number_in(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert len(frames) == len(table["index"])
    stamps = {0: Demonstration(seconds=4).stamps(), 1: Demonstration(seconds=2, jitter=0.004, seed=3).stamps()}
    for k, number in enumerate(frames):
        which = stamps[int(table["episode_index"][k] == 2)] + T0
        assert which[number] == table["stamp.pictures"][k] == which[np.abs(which - table["stamp.row"][k]).argmin()]
    seconds = (table["stamp.row"] - T0) / SECOND
    np.testing.assert_allclose(table["observation.robot_state"], np.stack([seconds, -2 * seconds], 1), atol=1e-5)
    matrix = CAMERA.matrix
    np.testing.assert_allclose(
        table["camera.intrinsics"][0], [matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]], rtol=1e-6
    )


@pytest.mark.parametrize("action", ["tips48", "wrist"])
def test_other_actions(bags, tmp_path, capsys, action):
    code, _, said = run(capsys, "export", bags / "bag_2", "--out", tmp_path / "out", "--action", action, "--no-images")
    assert code == 0, said
    table = rows(tmp_path / "out")
    assert table["action"].shape[1] == len(ACTIONS[action].names)
    for k in range(0, len(table["index"]), 7):
        hands = [hand(side, (table["stamp.hands"][k] - T0) / SECOND) for side in range(2)]
        assert np.abs(table["observation.state"][k] - numbers_of(hands, action)).max() < 1e-6


def test_split_by_bag_masks_the_lost_hand(bags, tmp_path, capsys):
    command = ["export", bags / "bag_2", "--out", tmp_path / "out", "--split", "bag", "--no-images", "--min-valid", "0.7"]
    assert run(capsys, *command)[0] == 0
    table = rows(tmp_path / "out")
    assert len(table["index"]) == 120 and 29 <= (~table["hand.valid"][:, 1]).sum() <= 32 and table["hand.valid"][:, 0].all()
    assert np.abs(table["observation.state"][~table["hand.valid"][:, 1], 51:]).max() == 0
    stats = json.loads((tmp_path / "out" / "meta" / "stats.json").read_text())["observation.state"]
    there = table["observation.state"][table["hand.valid"][:, 1], 51]
    assert abs(stats["mean"][51] - there.mean()) < 1e-6 and abs(stats["min"][51] - there.min()) < 1e-6  # no zeros counted


def test_split_by_a_topic(tmp_path, capsys):
    marks = [(1.5, True), (2.6, False), (3.2, True), (4.4, False)]
    entries = [("/go", T0 + round(at * 1e9), serialize_message(Bool(data=value))) for at, value in marks]
    bag = Demonstration(seconds=4, images=False, robot=False, extra=(entries, {"/go": "std_msgs/msg/Bool"})).write(
        tmp_path / "bag"
    )
    assert run(capsys, "export", bag, "--out", tmp_path / "out", "--split", "topic:/go")[0] == 0
    table = rows(tmp_path / "out")
    seconds = (table["stamp.row"] - T0) / SECOND
    spans = [(seconds[table["episode_index"] == k].min(), seconds[table["episode_index"] == k].max()) for k in range(2)]
    np.testing.assert_allclose(spans, [(1.5, 2.56), (3.2, 4.36)], atol=0.04)


def test_words_that_mark_nothing_change_nothing(tmp_path, capsys):
    """Of a topic on which others say something too; how many there were is told."""
    marks = [(1.5, "start"), (1.8, "pause"), (2.2, "a cup"), (3.2, " STOP"), (3.5, "well")]
    entries = [("/mark", T0 + round(at * 1e9), serialize_message(String(data=value))) for at, value in marks]
    demo = Demonstration(seconds=3, images=False, robot=False, extra=(entries, {"/mark": "std_msgs/msg/String"}))
    code, out, _ = run(capsys, "export", demo.write(tmp_path / "bag"), "--out", tmp_path / "out", "--split", "topic:/mark")
    assert code == 0 and out.count("3 times String of /mark that is neither start nor stop, as 'pause'") == 1
    table = rows(tmp_path / "out")
    seconds = (table["stamp.row"] - T0) / SECOND
    assert not table["episode_index"].any() and abs(seconds[0] - 1.5) < 0.04 and abs(seconds[-1] - 3.16) < 0.04


def test_hands_in_a_frame_of_tf(tmp_path, capsys):
    """The camera moves under `base`; the hands are exported in it, at the camera's pose of each stamp."""

    def pose(seconds):
        return matrix_from_axis_angle(np.array([0.0, 0.2 * seconds, 0.3])), np.array([0.1 * seconds, -0.2, 1.0])

    entries = []
    for k in range(600):
        seconds = k / 100
        rotation, position = pose(seconds)
        one = TransformStamped()
        one.header.frame_id, one.child_frame_id = "base", "cam_optical"
        one.header.stamp.sec, one.header.stamp.nanosec = divmod(T0 + round(seconds * 1e9), SECOND)
        for name, value in zip("xyz", position):
            setattr(one.transform.translation, name, float(value))
        for name, value in zip("xyzw", quaternion_from_matrix(rotation)):
            setattr(one.transform.rotation, name, float(value))
        message = typestore().serialize_cdr(
            typestore().types["tf2_msgs/msg/TFMessage"]([typestore().deserialize_cdr(serialize_message(one), TF)]), TF_MESSAGE
        )
        entries.append(("/tf", T0 + round(seconds * 1e9) + 3_000_000, bytes(message)))
    demo = Demonstration(seconds=2, images=False, robot=False, extra=(entries, {"/tf": TF_MESSAGE}))
    bag = demo.write(tmp_path / "bag")
    assert run(capsys, "export", bag, "--out", tmp_path / "out", "--frame", "base", "--action", "tips48")[0] == 0
    table = rows(tmp_path / "out")
    for k in range(0, 60, 5):
        seconds = (table["stamp.hands"][k] - T0) / SECOND
        rotation, position = pose(seconds)
        wrist = rotation @ hand(0, seconds).joints[0] + position
        np.testing.assert_allclose(table["observation.state"][k, :3], wrist, atol=1e-5)
        turned = rotation @ matrix_from_axis_angle(hand(0, seconds).global_orient)
        np.testing.assert_allclose(table["observation.state"][k, 3:9], np.r_[turned[:, 0], turned[:, 1]], atol=1e-4)
    code, _, said = run(capsys, "export", bag, "--out", tmp_path / "none", "--frame", "moon")
    assert code == 2 and "no frame is called moon" in said and not (tmp_path / "none").exists()


TF, TF_MESSAGE = "geometry_msgs/msg/TransformStamped", "tf2_msgs/msg/TFMessage"


@pytest.mark.parametrize(
    "options, words",
    [
        (["--fps", "0"], "--fps 0"),
        (["--min-valid", "1.5"], "--min-valid 1.5"),
        (["--split", "never"], "--split never"),
        (["--action", "feet"], "--action feet: give one of mano102"),
        (["--action", "robot:arm"], "arm"),
        (["--images", "/nothing"], "--images /nothing holds no images"),
        (["--robot", "/nothing"], "--robot /nothing holds no JointState"),
        (["--topic", "/nothing"], "--topic /nothing holds no HandPair"),
        (["--split", "topic:/nothing"], "has no topic /nothing"),
        (["--hands", "both", "--min-seconds", "300"], "shorter than --min-seconds"),
        (["--outcome", "success"], "its outcome is not said"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(bags, tmp_path, capsys, options, words):
    code, _, said = run(capsys, "export", bags / "bag_10", "--out", tmp_path / "out", "--quiet", *options)
    assert code == 2 and words in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_bag_with_nobody_is_left_out_with_its_reason(bags, tmp_path, capsys):
    nobody = Demonstration(seconds=1, there=lambda side, seconds: False, robot=True).write(tmp_path / "nobody")
    code, out, _ = run(capsys, "export", bags / "bag_10", nobody, "--out", tmp_path / "out")
    assert code == 0 and "nobody: left out, no episode: the left hand in 0 % and the right hand in 0 % of the HandPairs" in out


def changed_hands(path, change, frames=None) -> Path:
    """A bag of 4 s whose HandPairs are changed in place by `change` (number, pair). frames: on /robot/tf_static."""
    entries, types = Demonstration(seconds=4, images=False, robot=False).entries()
    for number, (topic, time, data) in enumerate(entries):
        pair = typestore().deserialize_cdr(data, types[topic])
        change(number, pair)
        entries[number] = topic, time, bytes(typestore().serialize_cdr(pair, types[topic]))
    more = [("/robot/tf_static", T0, frames)] if frames else []
    return write_bag(path, [*more, *entries], types | {name: "tf2_msgs/msg/TFMessage" for name, *_ in more})


def test_a_hand_that_lacks_numbers_is_not_there(tmp_path, capsys):
    def change(number, pair):
        if 60 <= number < 62:
            pair.right.hand_pose = np.full_like(pair.right.hand_pose, np.inf)
        elif 62 <= number < 64:
            pair.right.betas = np.full_like(pair.right.betas, np.nan)
        elif number == 64:
            pair.right.hand_pose = pair.right.hand_pose[:3]
        elif number == 65:
            pair.right.joints = []
        elif number == 66:
            for axis in "xyzw":
                setattr(pair.right.wrist.orientation, axis, 0.0)

    place = "base", "cam_optical", Rigid(np.eye(3), np.ones(3)), T0
    bag = changed_hands(tmp_path / "bag", change, transforms(place))
    for frame in "camera", "base":
        code, out, _ = run(capsys, "export", bag, "--out", tmp_path / frame, "--frame", frame)
        assert code == 0 and "7 times hand with numbers that are not finite" in out
        assert "left out 0.27 s from 1.97 s on: right hand not seen" in out
        assert run(capsys, "check", tmp_path / frame)[0] == 0


def test_an_episode_ends_where_the_clock_is_set_back(tmp_path, capsys):
    """What came after it moved on, unseen by the stamps, until they had caught up."""

    def change(number, pair):
        if number > 60:
            pair.header.stamp.sec -= 1

    bag = changed_hands(tmp_path / "bag", change)
    code, out, _ = run(capsys, "export", bag, "--out", tmp_path / "out", "--min-seconds", "0.5", "--split", "bag")
    assert code == 0 and "2 episodes" in out and "its clock was set back" in out
    table = rows(tmp_path / "out")
    same = np.diff(table["episode_index"]) == 0
    assert np.abs(np.diff(table["hand.joints"], axis=0))[same].max() < 0.01


def test_the_shorter_part_of_a_bag_whose_clock_went_far_back_is_told(tmp_path, capsys):
    def change(number, pair):
        if number > 60:
            pair.header.stamp.sec -= 100

    code, out, said = run(capsys, "export", changed_hands(tmp_path / "bag", change), "--out", tmp_path / "out", "--quiet")
    assert code == 0 and "1 episode," in out and "s of HandPairs with stamps repeated or out of order are left out" in said


def test_a_stamp_that_is_no_time_costs_one_message_wherever_a_bag_is_looked_at(tmp_path, capsys):
    """The export left it out; `bag info`, `episodes list` and `check` took the whole bag for damaged."""

    def change(number, pair):
        if number == 60:
            pair.header.stamp.sec = -5

    bag = changed_hands(tmp_path / "bag", change)
    code, out, _ = run(capsys, "export", bag, "--out", tmp_path / "out", "--split", "bag")
    assert code == 0 and "1 episode," in out
    assert cli.main(["bag", "info", str(bag)]) == 0 and "stamps 1 HandPair repeated" in capsys.readouterr().out
    assert "damaged" not in run(capsys, "list", bag)[1]
    assert "of 121 HandPairs of /cam/hands 1 have stamps repeated or out of order" in run(capsys, "check", bag)[2]


def test_a_wrong_stamp_costs_one_message(tmp_path, capsys):
    """Of HandPair, of images, of JointState: the rest is as it were without that message."""
    entries, types = Demonstration(seconds=4).entries()
    kept = list(entries)
    for topic in ("/cam/hands", "/cam/image_raw", "/joint_states"):
        at = [k for k, entry in enumerate(entries) if entry[0] == topic][50]
        _, time, data = entries[at]
        kept.remove(entries[at])
        later = int.from_bytes(data[4:8], "little") + 3600  # the seconds of the header's stamp
        entries[at] = topic, time, data[:4] + later.to_bytes(4, "little") + data[8:]
    tables = {}
    for name, some in (("wrong", entries), ("without", kept)):
        (tmp_path / name).mkdir()
        bag = write_bag(tmp_path / name / "bag", some, types)
        assert run(capsys, "export", bag, "--out", tmp_path / name / "out", "--quiet")[0] == 0
        tables[name] = rows(tmp_path / name / "out")
    assert all(np.array_equal(column, tables["without"][name]) for name, column in tables["wrong"].items())
    (one,) = told(tmp_path / "wrong" / "out")["bags"]
    assert one["episodes"] == 1 and not one["left_out"] and abs(one["seconds"] - 4.0) < 0.01
    assert sorted(one["unusable"].values()) == [1, 1, 1]
    code, out, _ = run(capsys, "list", tmp_path / "wrong" / "bag")
    assert code == 0 and "/cam/hands 4.0 s" in out


def test_an_image_that_does_not_decode_is_told(tmp_path, capsys):
    """Its row has the picture before; the stamps alone do not tell."""
    entries, types = Demonstration(seconds=2).entries()
    at = [k for k, entry in enumerate(entries) if entry[0] == "/cam/image_raw"][30]
    name, time, data = entries[at]
    entries[at] = name, time, data[: len(data) // 2]
    bag = write_bag(tmp_path / "bag", entries, types)
    assert run(capsys, "export", bag, "--out", tmp_path / "out", "--quiet")[0] == 0
    assert told(tmp_path / "out")["bags"][0]["unusable"] == {
        "image of /cam/image_raw that does not decode: the one before stands in for it": 1
    }


def test_a_bag_without_camera_info_is_told(tmp_path, capsys):
    entries, types = Demonstration(seconds=1.5).entries()
    kept = [entry for entry in entries if entry[0] != "/cam/camera_info"]
    write_bag(tmp_path / "bag", kept, {name: kind for name, kind in types.items() if name != "/cam/camera_info"})
    code, _, said = run(capsys, "export", tmp_path / "bag", "--out", tmp_path / "out", "--quiet")
    assert code == 0 and "no CameraInfo beside /cam/image_raw: camera.intrinsics is 0" in said
    assert not rows(tmp_path / "out")["camera.intrinsics"].any()


def test_a_bag_of_other_columns_is_left_out(bags, tmp_path, capsys):
    plain = Demonstration(seconds=2, robot=False).write(tmp_path / "plain")
    code, out, _ = run(capsys, "export", bags / "bag_10", plain, "--out", tmp_path / "out")
    assert code == 0 and "plain: left out, it has other columns than bag_10: observation.robot_state" in out
    first = Demonstration(seconds=2, robot=False, images=False).write(tmp_path / "aborted")
    shutil.copytree(bags / "bag_10", tmp_path / "bag_11")
    code, out, _ = run(capsys, "export", first, bags / "bag_10", tmp_path / "bag_11", "--out", tmp_path / "most")
    assert code == 0 and "aborted: left out, it has other columns than bag_10: " in out and "2 episodes" in out


def test_a_robots_joints_are_the_retargeters(bags, tmp_path, capsys):
    """Row by row, each search beginning at the row before; rows are those of the hand that leads."""
    pytest.importorskip("mujoco", reason="retargeting needs mujoco (pip install 'fourdhands[robot]')")
    from fourdhands_core.retargeting import load_retargeter

    name = "three_fingers"  # which comes with the package
    code, _, said = run(
        capsys, "export", bags / "bag_10", "--out", tmp_path / "out", "--action", f"robot:{name}", "--no-images", "--fps", "10"
    )
    assert code == 0, said
    table, retargeter, previous = rows(tmp_path / "out"), load_retargeter(name), None
    for state, joints in zip(table["observation.state"], table["hand.joints"].reshape(-1, 2, 21, 3)):
        previous = retargeter.solve(joints[["left", "right"].index(retargeter.side)], previous)
        np.testing.assert_allclose(state, previous, atol=1e-4)
    assert json.loads((tmp_path / "out" / "meta" / "info.json").read_text())["features"]["action"]["names"] == [
        *retargeter.names
    ]


def test_hands_are_found_where_a_bag_has_images_alone(rendered, tmp_path, capsys):
    """As `fourdhands bag` finds them, and with the images of the bag itself."""
    bag = write_bag(tmp_path / "bag", *camera_entries(rendered, "/cam"))
    code, _, said = run(capsys, "export", bag, "--out", tmp_path / "out", "--min-seconds", "0.2")
    assert code == 0, said
    assert cli.main(["bag", str(bag), str(tmp_path / "hands"), "--no-markers", "--quiet"]) == 0
    found = {}
    for name, _, data in read_bag(tmp_path / "hands"):
        if name == "/cam/hands":
            pair = typestore().deserialize_cdr(data, "fourdhands_ros/msg/HandPair")
            found[pair.header.stamp.sec * SECOND + pair.header.stamp.nanosec] = pair
    table = rows(tmp_path / "out")
    for k, stamp in enumerate(table["stamp.hands"]):
        if abs(stamp - table["stamp.row"][k]) <= 100_000:
            for side, one in enumerate((found[stamp].left, found[stamp].right)):
                assert bool(one.valid) == table["hand.valid"][k, side]
                if one.valid:
                    assert np.abs(table["hand.mano"][k, 51 * side + 6 : 51 * (side + 1)] - one.hand_pose).max() < 1e-6
    assert len(table["index"]) > 10 and table["observation.state"].any()
