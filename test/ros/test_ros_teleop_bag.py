"""`fourdhands teleop BAG`: a bag's hands move the robot as the same hands in hands.npz do."""

from dataclasses import replace

import numpy as np
import pytest
from bag_support import write_bag
from ros_support import make_pair

from fourdhands_core.cli import main
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.media.choreography import pose_hands
from fourdhands_core.media.hands_file import PairRecord
from fourdhands_core.media.pick_motion import Pick, pick_motion
from fourdhands_ros.bags.hands import read_bag_hands
from fourdhands_ros.convert.encoders import HandPairEncoder

HANDS = "/camera/hands"


@pytest.fixture(autouse=True)
def _with_robot():
    for name in ("mujoco", "ruckig"):
        pytest.importorskip(name, reason="teleoperation needs it (pip install 'fourdhands[robot]')")


@pytest.fixture(scope="module")
def pairs():
    """A right hand that picks in four seconds and is lost for a moment, as estimates."""
    pick = Pick(down=0.05, seconds=(1.5, 1.8, 2.3, 2.5, 2.8, 3.1, 3.5, 3.8), lost=(2.4, 2.6))
    motion = pick_motion(1, pick, fps=15.0)
    joints, rotation = pose_hands(motion)[1], matrix_from_axis_angle(motion.global_orient)
    made = []
    for i, stamp in enumerate(motion.stamp.tolist()):
        pair = make_pair(10**18 + stamp)
        left, right = (
            replace(
                hand, valid=bool(motion.present[i, side]), joints=joints[i, side], wrist_rotation=rotation[i, side],
                global_orient=motion.global_orient[i, side],
            )
            for side, hand in enumerate((pair.left, pair.right))
        )  # fmt: skip
        made.append(replace(pair, left=left, right=right, left_root_relative=None))
    return made


def entries(pairs, topic=HANDS):
    encoder = HandPairEncoder("landmark", "human")
    return [(topic, pair.stamp + 5_000_000, encoder.encode(pair, "lens", {"total": 0.01})) for pair in pairs]


def types(*topics):
    return {"/rosout_of_another": "std_msgs/msg/String", **dict.fromkeys(topics, "fourdhands_ros/msg/HandPair")}


def trajectory(folder):
    with np.load(folder / "trajectory.npz") as file:
        return dict(file)


@pytest.mark.parametrize("plugin, whole", [("sqlite3", True), ("mcap", False)])
def test_a_bag_moves_the_robot_as_its_hands_in_a_file_do(tmp_path, pairs, capsys, plugin, whole):
    record = PairRecord()
    for pair in pairs:
        record.append(pair)
    record.save(tmp_path / "hands.npz")
    # the last one first, as a queue that was held up lets go of them
    shuffled = entries(pairs)
    shuffled.insert(0, shuffled.pop(3))
    bag = write_bag(tmp_path / "bag", shuffled, types(HANDS), plugin)
    source = bag if whole else next(bag.glob("*.mcap"))
    for name, given in (("of_npz", tmp_path / "hands.npz"), ("of_bag", source)):
        assert main(["teleop", str(given), "--robot", "gripper", "--out", str(tmp_path / name), "--quiet"]) == 0
    one, other = (trajectory(tmp_path / name) for name in ("of_npz", "of_bag"))
    assert one.keys() == other.keys() and {"RAMP", "HOLD"} <= set(one["state"].tolist())
    for name, values in one.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(other[name], values, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(other[name], values, err_msg=name)
    assert "following the right hand" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "of_bag").iterdir()} == {"trajectory.npz", "trajectory.csv", "robot.mp4"}


def test_one_of_several_cameras(tmp_path, pairs, capsys):
    lost = [replace(pair, right=replace(pair.right, valid=False)) for pair in pairs]
    bag = write_bag(tmp_path / "bag", entries(lost, "/a/hands") + entries(pairs, "/b/hands"), types("/a/hands", "/b/hands"))
    teleop = ["teleop", str(bag), "--robot", "gripper", "--quiet", "--out", str(tmp_path / "out")]
    assert main(teleop) == 2 and "no image shows a right hand" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*teleop, "--topic", "/b/hands"]) == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["bag", "--topic", "/hands"], "holds no hands on /hands; topics with hands are: /camera/hands"),
        (["bag", "--fov", "60"], "--fov means nothing to `teleop bag, in which hands are found already`"),
        (["hands.npz", "--mirrored"], "--mirrored means nothing to `teleop hands.npz"),
        (["hands.npz", "--topic", "/hands"], "--topic means nothing to `teleop hands.npz, which is no bag`"),
        (["others"], "holds no hands, but /rosout_of_another\n"),
        (["gone.mcap"], "gone.mcap does not exist"),
        (["gone.mcap", "--fov", "60"], "gone.mcap does not exist"),
        (["gone", "--topic", "/hands"], "gone does not exist"),
        (["gone.npz", "--mirrored"], "gone.npz does not exist"),
        (["0", "--topic", "/hands"], "--topic means nothing to `teleop 0, which is no bag`"),
        (["text.mcap"], "text.mcap"),
    ],
)
def test_what_it_refuses(tmp_path, monkeypatch, pairs, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    write_bag(tmp_path / "bag", entries(pairs[:3]), types(HANDS))
    word = b"\x00\x01\x00\x00\x02\x00\x00\x00a\x00"
    (tmp_path / "hands.npz").touch()
    write_bag(tmp_path / "others", [("/rosout_of_another", 1, word)], {"/rosout_of_another": "std_msgs/msg/String"})
    (tmp_path / "text.mcap").write_text("no recording")
    assert main(["teleop", *arguments, "--robot", "gripper", "--out", "out", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said and not (tmp_path / "out").exists()


def test_hands_of_two_times_under_the_same_stamps_do_not_take_turns(tmp_path, pairs, capsys):
    """A clock is set back by a second and a half: an arm went to and fro between where the hand was then and before."""
    back, third = 1_500_000_001, len(pairs) * 2 // 3
    shown = [(HANDS, pair.stamp + 5_000_000, pair) for pair in pairs[:third]]
    shown += [(HANDS, pair.stamp + 5_000_000, replace(pair, stamp=pair.stamp - back)) for pair in pairs[third:]]
    encoder = HandPairEncoder("landmark", "human")
    bag = write_bag(tmp_path / "bag", [(t, time, encoder.encode(pair, "lens", {})) for t, time, pair in shown], types(HANDS))
    arrays = read_bag_hands(bag)
    first = [pair.stamp for pair in pairs[:third]]
    assert arrays["stamp"].tolist()[:third] == first and (np.diff(arrays["stamp"]) > 0).all()
    assert "have stamps out of order, as where a clock was set back: left out" in capsys.readouterr().err


def test_messages_that_do_not_unpack_are_counted(tmp_path, pairs, capsys):
    whole = entries(pairs)
    spoilt = [(topic, time, data[:50] if i % 7 == 3 else data) for i, (topic, time, data) in enumerate(whole)]
    bag = write_bag(tmp_path / "bag", spoilt, types(HANDS))
    assert main(["teleop", str(bag), "--robot", "gripper", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert "messages on /camera/hands do not unpack" in capsys.readouterr().err


def test_a_hand_whose_numbers_are_no_hands_is_lost_there(tmp_path, pairs, capsys):
    """As the node takes it; one such message ended the command."""
    spoilt = [replace(pair.right, joints=np.full((21, 3), value)) for pair, value in zip(pairs[30:32], (np.nan, 0.3))]
    shown = [*pairs[:30], *(replace(pair, right=hand) for pair, hand in zip(pairs[30:32], spoilt)), *pairs[32:]]
    record = PairRecord()
    for pair in shown:
        record.append(pair)
    record.save(tmp_path / "hands.npz")
    bag = write_bag(tmp_path / "bag", entries(shown), types(HANDS))
    for given in bag, tmp_path / "hands.npz":
        out = tmp_path / f"of_{given.name}"
        assert main(["teleop", str(given), "--robot", "gripper", "--out", str(out), "--quiet"]) == 0
        assert "in 2 images the numbers of the right hand are none of a hand's" in capsys.readouterr().err
        assert all(np.isfinite(values).all() for values in trajectory(out).values() if values.dtype.kind == "f")


@pytest.mark.parametrize("frame, told", [("base_link", True), ("left_optical_frame", False)])
def test_hands_of_fused_cameras_are_in_no_cameras_frame(tmp_path, pairs, capsys, frame, told):
    encoder, data = HandPairEncoder("landmark", "human"), []
    for pair in pairs[:5]:
        fused = replace(pair, left=replace(pair.left, joints_2d=None), right=replace(pair.right, joints_2d=None))
        data.append((HANDS, pair.stamp + 5_000_000, encoder.encode(fused, frame, {})))
    arrays = read_bag_hands(write_bag(tmp_path / "bag", data, types(HANDS)))
    assert arrays["valid"][:, 1].all() and ("hands of fused cameras in base_link" in capsys.readouterr().err) == told
