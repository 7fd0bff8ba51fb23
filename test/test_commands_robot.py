"""`fourdhands retarget` and `fourdhands teleop`: what they write, and what they say of what cannot be used."""

import cv2
import numpy as np
import pytest
from video_support import plain_video

from fourdhands_core.cli import main
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.media.choreography import from_curls, pose_hands
from fourdhands_core.media.pick_motion import Pick, pick_motion
from fourdhands_core.retargeting import robot_names
from fourdhands_core.retargeting.operator_range import OperatorRange

pytest.importorskip("mujoco")
pytest.importorskip("ruckig")


@pytest.fixture(scope="module")
def hands(tmp_path_factory):
    """hands.npz of a right hand that picks in four seconds and is lost for a moment."""
    pick = Pick(down=0.05, seconds=(1.5, 1.8, 2.3, 2.5, 2.8, 3.1, 3.5, 3.8), lost=(2.4, 2.6))
    motion = pick_motion(1, pick, fps=15.0)
    path = tmp_path_factory.mktemp("hands") / "hands.npz"
    rotation = matrix_from_axis_angle(motion.global_orient)
    np.savez(path, stamp=motion.stamp, valid=motion.present, joints=pose_hands(motion)[1], wrist_rotation=rotation)
    return path


def test_a_robot_is_checked(tmp_path, capsys):
    picture = tmp_path / "check.png"
    assert main(["retarget", "--check", "five_fingers_left", "--out", str(picture)]) == 0
    said = capsys.readouterr().out
    assert "left hand, 16 joints" in said and "everything fits" in said
    assert cv2.imread(str(picture)).shape[1] > 1000


@pytest.mark.parametrize("side", ["left", "right"])
def test_three_fingers_fit_each_joint_of_them_moved(tmp_path, capsys, side):
    """Of the left hand it was said that the palm's back is the other way round, with every start too."""
    assert main(["retarget", "--check", "three_fingers", "--side", side, "--out", str(tmp_path / "check.png")]) == 0
    assert "everything fits" in capsys.readouterr().out


def test_a_wrong_description_is_complained_of(tmp_path, capsys):
    """Fingers that are said to point out of the palm's back fit in no pose, which is said with what to look at."""
    from fourdhands_core.retargeting.config import ROBOTS

    text = (ROBOTS / "five_fingers_right.yaml").read_text()
    text = text.replace("fingers: [0, 0, 1], back: [-1, 0, 0]", "fingers: [-1, 0, 0], back: [0, 0, -1]")
    (tmp_path / "wrong.yaml").write_text(text.replace("five_fingers_right.xml", str(ROBOTS / "five_fingers_right.xml")))
    assert main(["retarget", "--check", str(tmp_path / "wrong.yaml"), "--out", str(tmp_path / "check.png")]) == 0
    assert "palm: no finger fits; check that its fingers and back are axes" in capsys.readouterr().out


def test_a_gripper_is_checked_none_of_whose_joints_follows_another(tmp_path, capsys):
    """Its fingers stand in the picture where its width says, whichever way their joints go."""
    fingers = "".join(
        f'<body pos="0 0 0.1"><joint name="{name}" type="slide" axis="0 1 0" range="{ends}"/>'
        '<geom type="box" size="0.005 0.005 0.05"/></body>'
        for name, ends in (("left", "0 0.04"), ("right", "-0.04 0"))
    )
    (tmp_path / "grip.xml").write_text(f"<mujoco><worldbody><body>{fingers}</body></worldbody></mujoco>")
    text = "model: grip.xml\nside: either\nkind: gripper\njoints: [left, right]\nwidth: [0, 0.08]\n"
    (tmp_path / "grip.yaml").write_text(text)
    picture = tmp_path / "check.png"
    assert main(["retarget", "--check", str(tmp_path / "grip.yaml"), "--out", str(picture)]) == 0
    assert "1 joint: width" in capsys.readouterr().out
    sheet = cv2.imread(str(picture)).astype(int)
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 5
    open_, pinched = (
        sheet[row * height + 40 : (row + 1) * height - 4, column * width + width // 2 + 4 : (column + 1) * width - 4]
        for row, column in ((0, 0), (1, 2))
    )
    assert np.abs(open_ - pinched).max() > 50


def test_robots_are_listed(capsys):
    assert main(["retarget", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(robot_names())


def test_an_operator_is_calibrated(tmp_path, capsys):
    """Out of three stretches of one recording."""
    from fourdhands_core.hand_model.arrays import HandArrays
    from fourdhands_core.hand_model.assets import load_generic_hand

    hand = HandArrays([load_generic_hand()])
    curls = (0, 0, 0, 0, 0, 0.6), (0.9, 0.95, 0.95, 0.95, 0.95, 0), (0.55, 0.5, 0.15, 0.1, 0.1, 0.3)
    shown = [hand.joints(np.eye(3)[None], from_curls(np.array(one))[None], np.zeros((1, 10)))[0] for one in curls]
    joints = np.full((30, 2, 21, 3), np.nan)
    joints[:, 1] = np.repeat(shown, 10, axis=0)
    path, out = tmp_path / "hands.npz", tmp_path / "me.yaml"
    np.savez(path, stamp=np.arange(30) * 100_000_000, joints=joints)
    parts = ["--open", "0:0.9", "--fist", "1:1.9", "--pinch", "2:2.9"]
    assert main(["retarget", "--calibrate", str(path), *parts, "--out", str(out)]) == 0
    np.testing.assert_allclose(OperatorRange.read(out).gain[1:, :2], 1.0, atol=0.06)
    assert "written to" in capsys.readouterr().out
    assert main(["retarget", "--calibrate", str(path), *parts[:-1], "20:22", "--out", str(out)]) == 2
    assert f"--pinch 20:22: {path} is 2.90 s long; give a part of it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "name one thing to do: --check ROBOT, --calibrate NPZ, or --list"),
        (["--list", "--check", "gripper"], "name one thing to do"),
        (["--list", "--out", "a.png"], "--out means nothing to `retarget --list`"),
        (["--check", "gripper", "--fist", "0:1"], "--fist means nothing to `retarget --check`"),
        (["--check", "claw"], "there is no robot 'claw'"),
        (["--check", "gone.yaml"], "cannot be read"),
        (["--calibrate", "gone.npz", "--open", "0:1"], "gone.npz does not exist"),
    ],
)
def test_what_retarget_refuses(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["retarget", *arguments]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["retarget", "--calibrate"], ["teleop", "--robot", "gripper"]])
def test_a_result_that_is_cut_off(tmp_path, hands, capsys, command):
    cut, out = tmp_path / "cut.npz", ["--out", str(tmp_path / "out")]
    cut.write_bytes(hands.read_bytes()[:3000])
    assert main([*command, str(cut), *out]) == 2
    assert "cut.npz is a truncated zip archive, not a hands.npz" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_recorded_hand_moves_the_robot(tmp_path, hands, capsys):
    """Without ROS and without tracking again: a trajectory and a video with a frame an image."""
    assert main(["teleop", str(hands), "--robot", "gripper", "--out", str(tmp_path), "--quiet"]) == 0
    with np.load(tmp_path / "trajectory.npz") as file:
        assert len(file["time"]) > 150 and {"RAMP", "HOLD"} <= set(file["state"].tolist())
    video = cv2.VideoCapture(str(tmp_path / "robot.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 60
    assert "following the right hand" in capsys.readouterr().out


def test_a_video_is_tracked_first(tmp_path, capsys):
    """It ended in a traceback, whatever was in the video."""
    video = plain_video(tmp_path / "grey.mp4", [90] * 8)
    assert main(["teleop", str(video), "--robot", "gripper", "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "no image shows a right hand" in capsys.readouterr().err


def test_a_hand_of_the_users_own_follows_too(tmp_path, hands, capsys):
    """A YAML file beside a model, as `fourdhands retarget --check` takes it; neither is written over."""
    from fourdhands_core.retargeting.config import ROBOTS

    for name in ("three_fingers.yaml", "three_fingers.xml"):
        (tmp_path / name).write_bytes((ROBOTS / name).read_bytes())
    mine, out = tmp_path / "three_fingers.yaml", tmp_path / "out"
    assert main(["teleop", str(hands), "--robot", str(mine), "--side", "right", "--out", str(out), "--quiet"]) == 0
    with np.load(out / "trajectory.npz") as file:
        assert len(file["hand_names"]) == file["hand_target"].shape[1] > 3 and "RAMP" in file["state"]
        moving = file["hand_target"][file["state"] == "RAMP"]
    said = capsys.readouterr()
    assert np.ptp(moving, axis=0).max() > 0.05 and "following the right hand" in said.out and not said.err
    (tmp_path / "three_fingers.xml").rename(tmp_path / "robot.mp4")
    mine.write_text(mine.read_text().replace("three_fingers.xml", "robot.mp4"))
    assert main(["teleop", str(hands), "--robot", str(mine), "--out", str(tmp_path), "--quiet"]) == 2
    assert (tmp_path / "robot.mp4").read_bytes() == (ROBOTS / "three_fingers.xml").read_bytes()


def test_what_looks_wrong_with_the_users_own_hand_is_told(tmp_path, hands, capsys):
    """Of one in millimetres it was said that a workspace, which nobody had given, is no box."""
    from fourdhands_core.retargeting.config import ROBOTS

    text = (ROBOTS / "three_fingers.yaml").read_text() + "\nnear: 40\n"
    (tmp_path / "mine.yaml").write_text(text.replace("three_fingers.xml", str(ROBOTS / "three_fingers.xml")))
    mine, out = str(tmp_path / "mine.yaml"), str(tmp_path / "out")
    assert main(["teleop", str(hands), "--robot", mine, "--side", "right", "--out", out, "--quiet"]) == 0
    assert f"{mine}: near: 40 m are between no two tips" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--robot", "five_fingers_left"], "no image shows a left hand"),
        (["--robot", "gripper", "--scale", "0"], "--scale 0.0 is no number from 0.01 to 10"),
        (["--robot", "hook"], "there is no robot 'hook'"),
        (["--robot", "hook.yaml"], "the robot's file hook.yaml cannot be read"),
        (["--robot", "five_fingers_right", "--side", "left"], "is a right hand, and a left one was asked for"),
    ],
)
def test_what_teleop_refuses(tmp_path, hands, capsys, arguments, words):
    assert main(["teleop", str(hands), *arguments, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("fused", [True, False, None])
def test_hands_of_fused_cameras_are_in_no_cameras_frame(hands, tmp_path, capsys, fused):
    with np.load(hands) as file:
        arrays = dict(file)
    pixels = np.full((*arrays["valid"].shape, 21, 2), np.nan)
    if fused is False:
        pixels[arrays["valid"]] = 100.0
    if fused is None:  # a file of somebody else, whose further arrays may be anything
        pixels = np.full(arrays["valid"].shape, "none")
    np.savez(tmp_path / "hands.npz", joints_2d=pixels, **arrays)
    out = str(tmp_path / "out")
    assert main(["teleop", str(tmp_path / "hands.npz"), "--robot", "gripper", "--out", out, "--quiet"]) == 0
    assert ("has hands of fused cameras" in capsys.readouterr().err) == bool(fused)
