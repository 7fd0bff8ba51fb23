"""The simulated robot: targets are reached, stale twists stop, cubes are lifted and set down; a lost hand holds."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rotations import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    quaternion_from_matrix,
)
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.media.choreography import pose_hands
from fourdhands_core.media.pick_motion import Pick, pick_motion
from fourdhands_core.retargeting import load_retargeter
from fourdhands_core.retargeting.operator_range import OperatorRange

pytest.importorskip("mujoco")
pytest.importorskip("ruckig")

from fourdhands_core.simulation.replay import Track, grip_place, replay, replay_settings
from fourdhands_core.simulation.robot import TWIST_TIMEOUT, SimulatedRobot
from fourdhands_core.simulation.scene import Cube
from fourdhands_core.simulation.tools import LOWEST


@pytest.mark.parametrize("tool", LOWEST)
def test_a_pose_is_reached_and_said(tool):
    robot = SimulatedRobot(tool)
    start = robot.state()
    assert start.names == (*robot.arm_names, *robot.hand_names) and len(start.positions) == len(start.names)
    turn = matrix_from_axis_angle(np.array([0.0, 0.2, 0.3])) @ matrix_from_quaternion(start.quaternion)
    goal = start.position + (0.08, -0.1, 0.05)
    robot.command_pose(goal, quaternion_from_matrix(turn))
    robot.advance(2.0)
    there = robot.state()
    np.testing.assert_allclose(there.position, goal, atol=2e-3)
    off = axis_angle_from_matrix(turn @ matrix_from_quaternion(there.quaternion).T)
    assert np.linalg.norm(off) < 0.02 and abs(robot.time - 2.0) < 1e-6


@pytest.mark.parametrize("tool", LOWEST)
def test_a_hand_knows_what_it_was_told(tool):
    robot = SimulatedRobot(tool)
    here = robot.state().positions[len(robot.arm_names) :]
    np.testing.assert_allclose(robot.hand_told(), here, atol=1e-9)
    retargeter = load_retargeter(tool)
    told = 0.7 * retargeter.lower + 0.3 * retargeter.upper
    assert robot.command_hand(told)
    np.testing.assert_allclose(robot.hand_told(), told, atol=1e-9)


def test_a_twist_moves_until_it_is_stale():
    """Servo's rule: TWIST_TIMEOUT after the last one the arm stops; one that is already stale moves nothing."""
    robot = SimulatedRobot("gripper")
    start = robot.state().position
    robot.command_twist(np.array([0.0, 0.2, 0.0]), np.zeros(3), age=TWIST_TIMEOUT)
    robot.advance(0.3)
    np.testing.assert_allclose(robot.state().position, start, atol=1e-4)
    for _ in range(50):
        robot.command_twist(np.array([0.0, 0.2, 0.0]), np.zeros(3))
        robot.advance(0.01)
    robot.advance(1.0)
    moved = robot.state().position - start
    np.testing.assert_allclose(moved, [0.0, 0.2 * (0.5 + TWIST_TIMEOUT), 0.0], atol=0.012)
    still = robot.state().position
    robot.advance(0.5)
    np.testing.assert_allclose(robot.state().position, still, atol=1e-4)


def test_what_is_no_command_is_not_taken():
    robot = SimulatedRobot("five_fingers_right")
    start = robot.state()
    assert not robot.command_hand(np.zeros(3)) and not robot.command_hand(np.full(16, np.nan))
    robot.command_pose(np.full(3, np.nan), start.quaternion)
    robot.command_twist(np.full(3, np.inf), np.zeros(3))
    robot.advance(0.2)
    np.testing.assert_allclose(robot.state().position, start.position, atol=1e-4)
    with pytest.raises(InputError, match="there is no robot 'claw'"):
        SimulatedRobot("claw")


def picked(tool, side, lost=None, seed=0, cube=0.03, down=None, lowest=0.10, turns=True, misread=0.0):
    """What became of the cube, and the log, where the robot follows the true hand of the pick; misread: of a curl, by which
    thumb and index finger are more bent in it than they are."""
    pick = Pick(down=down or (0.152 if tool == "gripper" else 0.162), lost=lost)
    motion = pick_motion(side, pick, seed=seed)
    joints = pose_hands(motion)[1][:, side]
    retargeter = load_retargeter(tool, side=SIDES[side], operator=OperatorRange.exact())
    x, y, turn = grip_place(SimulatedRobot(tool), retargeter, joints[30], joints[180], cube)
    robot = SimulatedRobot(tool, [Cube(x, y, cube, turn)])
    rotation = matrix_from_axis_angle(motion.global_orient[:, side])
    opened, closed = (tuple(np.add(curls, [misread / 2, misread, 0, 0, 0, 0])) for curls in (pick.opened, pick.closed))
    seen = pose_hands(pick_motion(side, replace(pick, opened=opened, closed=closed), seed=seed))[1][:, side]
    track = Track(motion.stamp * 1e-9, seen, rotation, motion.present[:, side])
    where, held = [], []

    def look(_):
        where.append(robot.cube_positions()[0])
        held.append(robot.held()[0])

    settings = replace(
        replay_settings(robot, retargeter, track), turns=turns, workspace=(0.15, -0.5, lowest, 0.75, 0.5, 0.65)
    )  # a true hand's turns are true, and nothing keeps it from the table by default
    log = replay(track, robot, retargeter, settings, look)
    return np.array(where), np.array(held), log, pick


@pytest.mark.parametrize("tool, side", [("gripper", 1), ("gripper", 0), ("five_fingers_right", 1), ("five_fingers_left", 0)])
def test_a_cube_is_lifted_and_set_down(tool, side):
    """Over 8 cm high and carried aside; by the gripper held all the way and on the table at the end, 8 to 16 cm beside."""
    where, held, log, _ = picked(tool, side)
    assert where[:, 2].max() > 0.08 and held[200:240].mean() > 0.9
    assert 0.05 < where[-1, 1] - where[0, 1] < 0.16
    if tool == "gripper":
        assert held[240:300].all() and not held[-5:].any() and abs(where[-1, 2] - 0.015) < 0.005
    numbers = log.arrays()
    assert np.linalg.norm(numbers["ee"][:, :3] - numbers["ee_target"][:, :3], axis=1).max() < 0.06


@pytest.mark.parametrize("tool, side", [("five_fingers_right", 1), ("five_fingers_left", 0)])
def test_five_fingers_reach_the_middle_of_a_cube_on_the_table(tool, side):
    """Inside the workspace that the replay keeps it to, grip it, and set it down aside, a little misread too."""
    for seed, misread in enumerate((0.0, 0.1)):  # a tenth of a curl is 9 degrees in each joint of the finger
        where, held, _, _ = picked(
            tool, side, seed=seed, cube=0.04, down=0.22, lowest=LOWEST[tool], turns=False, misread=misread
        )
        assert held[200:240].mean() > 0.95 and where[240, 2] > where[200:240, 2].max() - 0.02 > 0.12
        assert where[-1, 1] - where[0, 1] > 0.05 and abs(where[-1, 2] - 0.02) < 0.005


@pytest.mark.parametrize("tool", LOWEST)
def test_nothing_sticks_to_a_hand(tool):
    """Friction is rubber's at most, and what turns in a fingertip is held by a pad of millimetres; a cube is of wood."""
    model = SimulatedRobot(tool, [Cube(0.4, 0.0)]).model
    assert model.geom_friction[:, 0].max() <= 1.2 and model.geom_friction[:, 1].max() <= 0.005
    assert model.body("cube_0").mass[0] == pytest.approx(600.0 * 0.04**3)
    assert not model.body_gravcomp[model.body("cube_0").id]


def test_the_cube_stays_held_while_the_hand_is_lost():
    """For two seconds in mid-lift nothing is commanded to move once it has stopped; afterwards the cube is set down."""
    where, held, log, _ = picked("gripper", 1, lost=(6.5, 8.5))
    numbers = log.arrays()
    lost = (numbers["time"] > 6.9) & (numbers["time"] < 8.4)
    assert (numbers["state"][lost] == "HOLD").all() and np.ptp(numbers["ee_target"][lost], axis=0).max() < 2e-4
    assert np.ptp(numbers["hand_target"][lost], axis=0).max() < 1e-4
    assert held[200:255].all() and abs(where[-1, 2] - 0.015) < 0.005


def test_limits_are_held_whatever_the_hand_does():
    """It waves, jumps by half a metre and gets lost: commands start where the robot is and keep limits and workspace."""
    rng = np.random.default_rng(0)
    robot, retargeter = SimulatedRobot("gripper"), load_retargeter("gripper")
    start = robot.state()
    joints = np.repeat(pose_hands(pick_motion(1, fps=2.0))[1][:1, 1], 300, axis=0)
    times = np.arange(300) / 30.0
    joints += np.repeat(rng.uniform(-0.25, 0.25, (5, 3)), 60, axis=0)[:, None] + 0.2 * np.sin(5.0 * times)[:, None, None]
    valid = np.arange(300) % 90 < 80
    track = Track(times, joints, np.repeat(np.eye(3)[None], 300, axis=0), valid)
    settings = replay_settings(robot, retargeter, track)
    numbers = replay(track, robot, retargeter, settings).arrays()
    assert {"ENGAGED", "HOLD"} <= set(numbers["state"])
    place, width = numbers["ee_target"][:, :3], numbers["hand_target"]
    np.testing.assert_allclose(place[0], start.position, atol=1e-4)
    assert np.ptp(place, axis=0).max() > 0.1
    assert (place > np.array(settings.workspace[:3]) - 1e-6).all() and (place < np.array(settings.workspace[3:]) + 1e-6).all()
    state = numbers["state"]
    engaging = (state[:-1] == "READY") & (state[1:] == "RAMP")  # where it begins anew from what is measured
    velocity = (np.diff(place, axis=0) / np.diff(numbers["time"])[:, None])[~engaging]
    assert np.abs(velocity).max() <= settings.max_speed + 1e-6
    assert np.abs(np.diff(velocity, axis=0)).max() / 0.01 <= settings.max_acceleration * 1.01
    assert np.abs(np.diff(width, axis=0)).max() / 0.01 <= retargeter.velocity[0] + 1e-6


def test_a_trajectory_is_written(tmp_path):
    """npz and CSV hold the same numbers."""
    motion = pick_motion(1, Pick(seconds=(0.2, 0.4, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0)))
    robot, retargeter = SimulatedRobot("gripper"), load_retargeter("gripper")
    rotation = matrix_from_axis_angle(motion.global_orient[:, 1])
    track = Track(motion.stamp * 1e-9, pose_hands(motion)[1][:, 1], rotation, motion.present[:, 1])
    replay(track, robot, retargeter, replay_settings(robot, retargeter, track)).write(tmp_path)
    with np.load(tmp_path / "trajectory.npz") as file:
        arrays = dict(file)
    rows = list(csv.DictReader(open(tmp_path / "trajectory.csv")))
    assert len(rows) == len(arrays["time"]) == pytest.approx(197, abs=6) and rows[-1]["state"] == "RAMP"
    np.testing.assert_allclose([float(row["target_z"]) for row in rows], arrays["ee_target"][:, 2], atol=1e-6)
    np.testing.assert_allclose([float(row["width"]) for row in rows], arrays["joints"][:, -1], atol=1e-6)


def test_a_recording_without_that_hand_is_refused():
    arrays = {
        "stamp": np.arange(3),
        "valid": np.zeros((3, 2), bool),
        "joints": np.full((3, 2, 21, 3), np.nan),
        "wrist_rotation": np.full((3, 2, 3, 3), np.nan),
    }
    with pytest.raises(InputError, match="no image shows a left hand"):
        Track.of_arrays(arrays, "left")
    with pytest.raises(InputError, match="lacks 'valid'"):
        Track.of_arrays({"stamp": np.arange(3)}, "left")
    arrays["valid"][:] = True
    arrays["joints"], arrays["wrist_rotation"] = (
        np.repeat(pose_hands(pick_motion(1, fps=2.0))[1][:1], 3, axis=0),
        np.ones((3, 2, 3, 3)),
    )
    with pytest.raises(InputError, match="3 images over 0.000 s are nothing to follow"):
        Track.of_arrays(arrays, "left")


def test_where_a_clock_was_set_no_years_are_replayed(capsys):
    """A robot's computer that has no battery begins in 1970, and is set once it is in a network."""
    robot, retargeter = SimulatedRobot("gripper"), load_retargeter("gripper")
    arrays = {
        "stamp": np.arange(60) * 33_333_333 + 10**9 + (np.arange(60) >= 30) * 1_700_000_000 * 10**9,
        "valid": np.ones((60, 2), bool),
        "joints": np.repeat(pose_hands(pick_motion(1, fps=2.0))[1][:1], 60, axis=0),
        "wrist_rotation": np.tile(np.eye(3), (60, 2, 1, 1)),
    }
    track = Track.of_arrays(arrays, "right")
    assert track.stamp[29] == pytest.approx(29 / 30.0) and track.stamp[30] == pytest.approx(29 / 30.0 + 10.0)
    assert "1699999990 s in which no image came" in capsys.readouterr().err
    log = replay(track, robot, retargeter, replay_settings(robot, retargeter, track)).arrays()
    assert log["time"][-1] == pytest.approx(track.stamp[-1], abs=0.1) and log["state"][-1] == "IDLE"


CLAW = """<robot name="claw"><link name="base"><collision><geometry><box size="0.03 0.06 0.08"/></geometry></collision></link>
{links}{joints}</robot>"""
LINK = '<link name="{0}"><collision><geometry><capsule radius="0.008" length="0.04"/></geometry></collision></link>'
JOINT = """<joint name="{0}" type="revolute"><parent link="{1}"/><child link="{0}"/><origin xyz="{2}"/><axis xyz="0 {3} 0"/>
<limit lower="-0.5" upper="1.2" effort="1" velocity="3"/>{4}</joint>"""
FINGER = "{{base: {0}1, middle: {0}2, tip: {0}2, offset: [0.04, 0, 0], radius: 0.008}}"


def claw(folder):
    """A YAML file of two fingers along their root's x, whose second joints follow the first ones, 0.8 times as far."""
    joints = ""
    for name, side in (("t", -1), ("f", 1)):
        joints += JOINT.format(f"{name}1", "base", f"0.02 0 {0.03 * side}", side, "")
        joints += JOINT.format(f"{name}2", f"{name}1", "0.05 0 0", side, f'<mimic joint="{name}1" multiplier="0.8"/>')
    links = "".join(LINK.format(name) for name in ("t1", "t2", "f1", "f2"))
    (folder / "claw.urdf").write_text(CLAW.format(links=links, joints=joints))
    fingers = f"  thumb: {FINGER.format('t')}\n  index: {FINGER.format('f')}\n"
    said = "model: claw.urdf\nside: either\npalm: {body: base, fingers: [1, 0, 0], back: [0, 0, 1]}\nfingers:\n"
    (folder / "claw.yaml").write_text(said + fingers)
    return folder / "claw.yaml"


def test_a_hand_of_anybodys_is_carried_with_its_fingers_away_from_the_arm(tmp_path):
    """It goes where it is told to, those joints that follow too; the flange stays as far up as the fingers are long."""
    robot, retargeter = SimulatedRobot(claw(tmp_path)), load_retargeter(tmp_path / "claw.yaml")
    assert robot.hand_names == retargeter.names == ("t1", "f1") and 0.1 < robot.tool.lowest < 0.14
    start = robot.state()
    robot.command_hand(np.array([0.5, -0.3]))
    robot.command_pose(start.position + (0.0, 0.05, 0.05), start.quaternion)
    robot.advance(1.5)
    here = robot.state()
    np.testing.assert_allclose(here.positions[-2:], [0.5, -0.3], atol=2e-3)
    np.testing.assert_allclose(here.position, start.position + (0.0, 0.05, 0.05), atol=2e-3)
    assert robot.data.joint("hand/t2").qpos[0] == pytest.approx(0.4, abs=2e-3)
    down = robot.data.body("hand/f1").xpos - robot.data.body("hand/base").xpos
    assert down[2] == pytest.approx(-0.02, abs=1e-3)


GRIPPER = """<mujoco><worldbody><geom type="plane" size="1 1 1"/><body name="palm"><geom type="box" size="0.02 0.05 0.02"/>
<body name="l"><joint name="l" type="{0}" axis="0 1 0" range="0 0.04"/><geom type="sphere" size="0.01" pos="0 0.01 0.08"/>
</body><body name="r"><joint name="r" type="{0}" axis="0 1 0" range="-0.04 0"/>
<geom type="sphere" size="0.01" pos="0 -0.01 0.08"/></body></body></worldbody></mujoco>"""
COUPLED = '<equality><joint joint1="r" joint2="l" polycoef="0 -1 0 0 0"/></equality>'


@pytest.mark.parametrize("joints, coupled", [("[l, r]", ""), ("[l]", COUPLED), ("[l, r]", COUPLED)])
def test_a_gripper_of_anybodys_opens_to_its_width_whichever_way_its_joints_go(tmp_path, joints, coupled):
    """A slide that follows another one moves with it, named or not."""
    (tmp_path / "grip.xml").write_text(GRIPPER.format("slide").replace("</mujoco>", f"{coupled}</mujoco>"))
    (tmp_path / "grip.yaml").write_text(f"model: grip.xml\nside: either\nkind: gripper\njoints: {joints}\nwidth: [0, 0.08]\n")
    robot = SimulatedRobot(tmp_path / "grip.yaml")
    assert robot.state().positions[-1] == pytest.approx(0.08) and robot.hand_told() == pytest.approx(0.08)
    robot.command_hand(np.array([0.03]))
    robot.advance(1.0)
    assert robot.state().positions[-1] == pytest.approx(0.03, abs=1e-3)
    assert robot.data.joint("hand/r").qpos[0] == pytest.approx(-0.015, abs=1e-3)


def test_a_gripper_that_cannot_be_carried(tmp_path):
    (tmp_path / "grip.yaml").write_text("model: grip.xml\nside: either\nkind: gripper\njoints: [l, r]\nwidth: [0, 0.08]\n")
    (tmp_path / "grip.xml").write_text(GRIPPER.format("slide").replace('<body name="palm">', '<body name="palm"><freejoint/>'))
    with pytest.raises(InputError, match="cannot carry .*free joint"):
        SimulatedRobot(tmp_path / "grip.yaml")
    light = GRIPPER.format("slide").replace('<geom type="sphere" size="0.01" pos="0 0.01 0.08"/>', "")  # a link without mass
    (tmp_path / "grip.xml").write_text(light)
    assert SimulatedRobot(tmp_path / "grip.yaml").tool.lowest == pytest.approx(0.1, abs=0.01)
    (tmp_path / "grip.xml").write_text(GRIPPER.format("hinge"))
    with pytest.raises(InputError, match="the joint l of the gripper is no slide"):
        SimulatedRobot(tmp_path / "grip.yaml")


def test_a_hand_whose_file_counts_in_degrees_goes_no_further_than_its_joints(tmp_path):
    """As MJCF does where it does not say."""
    finger = '<body name="{0}" pos="0.02 0 {1}"><joint name="{0}" axis="0 1 0" range="-30 70"/><geom size="0.01"/></body>'
    fingers = finger.format("t", -0.03) + finger.format("f", 0.03)
    (tmp_path / "d.xml").write_text(
        f'<mujoco><worldbody><body name="base"><geom size="0.03"/>{fingers}</body></worldbody></mujoco>'
    )
    said = "model: d.xml\nside: either\npalm: {body: base, fingers: [1, 0, 0], back: [0, 0, 1]}\nfingers:\n"
    said += "".join(
        f"  {one}: {{base: {of}, tip: {of}, offset: [0.04, 0, 0]}}\n" for one, of in (("thumb", "t"), ("index", "f"))
    )
    (tmp_path / "d.yaml").write_text(said)
    robot = SimulatedRobot(tmp_path / "d.yaml")
    robot.command_hand(np.array([2.0, -1.0]))
    np.testing.assert_allclose(robot.hand_told(), np.radians([70.0, -30.0]))
