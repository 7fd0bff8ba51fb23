"""What the demo of teleoperation reports, against worked values, and what it refuses."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the demo needs ROS 2 (pip install 'fourdhands[ros]')")

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.media.choreography import from_curls, pose_hands
from fourdhands_core.media.pick_motion import OPEN_HAND, PINCHING, pick_motion
from fourdhands_core.retargeting import load_retargeter
from fourdhands_core.retargeting.human import measure
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.simulation.outcome import cube_report
from fourdhands_ros.tools.demo import check_alone
from fourdhands_ros.tools.demo_teleop import CUBE, DEPTH, FPS, PINCH, cube_for, main, motion_of, pick_of, report

SAID = {"state": "IDLE", "age": None, "reasons": ["hand_not_seen"], "limits": []}


def operator(heights, aside=0.12, arm=(0.15, 0.3, 0.3, 0.15)):
    """Who heard of a cube at these heights, metres over its place, and of a robot's end at those, 3 mm beside its target."""
    steps = np.linspace(0.0, 1.0, len(heights))
    cubes = [(t, np.array([0.4, aside * t, 0.0175 + height])) for t, height in zip(steps, heights)]
    states = [SAID, {**SAID, "state": "RAMP", "age": 0.1, "reasons": [], "limits": ["ramp"]}]
    states += [{**SAID, "state": state, "age": 0.05, "reasons": []} for state in ("ENGAGED", "HOLD", "ENGAGED", "HOLD")]
    return SimpleNamespace(
        cubes=cubes,
        states=[(0.1 * i, said) for i, said in enumerate(states)],
        places=[(t, np.array([0.4, t, height])) for t, height in zip(steps, arm)],
        targets=[(t, np.array([0.403, t, height])) for t, height in zip(steps, arm)],
        engaged=1,
        clock=SimpleNamespace(slowed=0.0),
    )


@pytest.mark.parametrize(
    "heights, lifted, placed",
    [([0, 0.1, 0.15, 0.0], True, True), ([0, 0.1, 0.15, 0.15], True, False), ([0, 0.02, 0.0, 0.0], False, False)],
)
def test_the_report(heights, lifted, placed):
    numbers = report(operator(heights), {"published": 30, "skipped": 1})
    cube = numbers["cube"]
    assert (cube["lifted"], cube["placed"]) == (lifted, placed)
    assert cube["highest_metres"] == max(heights) and cube["moved_aside_metres"] == 0.12
    assert numbers["holds"] == 2 and numbers["states"]["ENGAGED"] == 2 and numbers["limits_reached"] == ["ramp"]
    assert numbers["age_ms"]["median"] == 50.0 and numbers["following_error_mm"]["median"] == 3.0
    assert numbers["reasons_not_to_follow"] == {"hand_not_seen": 1} and numbers["images"] == {
        "published": 30,
        "skipped": 1,
        "slowed_seconds": 0.0,
    }


@pytest.mark.parametrize("topic", ["hands", "/clock"])
def test_a_domain_with_anothers_hands_or_time_is_refused(topic):
    def publishers(name):
        names = ("demo", "gazebo") if name == topic else ("demo",)
        return [SimpleNamespace(node_namespace="/", node_name=one) for one in names]

    listener = SimpleNamespace(get_publishers_info_by_topic=publishers, resolve_topic_name=lambda name: name)
    with pytest.raises(InputError, match=f"2 nodes publish {topic} in this ROS domain .*/demo, /gazebo"):
        check_alone(listener)


def test_a_cube_that_fell_was_not_placed():
    cube = report(operator([0, 0.1, 0.15, 0.0], arm=(0.15, 0.3, 0.3, 0.3)), {})["cube"]
    assert cube["lifted"] and not cube["placed"]


def test_a_pinch_that_is_measured_as_wide_as_the_left_hands_grips_the_cube():
    """33 mm, as of the tracked left hand low in the image: the fingertips then go to half the cube; the open hand is wider."""
    pytest.importorskip("mujoco")
    hand = HandArrays([load_generic_hand()])

    def posed(share):
        curls = (1.0 - share) * np.array(OPEN_HAND) + share * np.array(PINCHING)
        return hand.joints(np.eye(3)[None], from_curls(curls)[None], np.zeros((1, 10)))[0]

    hands = [posed(share) for share in np.linspace(0.0, 1.0, 41)]
    seen = min(hands, key=lambda joints: abs(measure(joints, "right").gaps[1] - 0.033))
    robot = load_retargeter("five_fingers_right", operator=OperatorRange(pinch=np.array([0.0, *[PINCH] * 4])))
    between = []
    for joints in (hands[0], seen):
        tips = robot.robot.pose(robot.solve(joints, None)).points[:2]
        between.append(np.linalg.norm(tips[0] - tips[1]) - robot.radii[:2].sum())
    assert between[1] < CUBE / 2.0 and between[0] > CUBE + 0.01


def from_when(motion, seconds):
    """The motion from then on."""
    frames = {name: getattr(motion, name)[round(seconds * FPS) :] for name in vars(motion) if name != "betas"}
    return replace(motion, **frames)


@pytest.mark.parametrize("side, seed", [("left", 8), ("left", 6), ("right", 0)])
def test_the_hand_that_carries_the_cube_is_whole_in_the_image(side, seed):
    """Fingertips beyond the image's edge are measured as an open hand, and the cube is dropped."""
    pick = pick_of(lose=False)
    there = from_when(motion_of(side, seed, False), pick.seconds[2])
    carried = replace(
        there,
        stamp=there.stamp[:120:10],
        **{name: getattr(there, name)[:120:10] for name in ("global_orient", "hand_pose", "wrist", "present")},
    )
    assert there.stamp[120] * 1e-9 > pick.seconds[4]
    pixels = Camera.from_fov(640, 480, 64.0).project(pose_hands(carried)[0][:, SIDES.index(side)].reshape(-1, 3))
    assert (pixels > 8.0).all() and (pixels < (632.0, 472.0)).all()


@pytest.mark.parametrize("side", SIDES)
def test_five_fingers_grip_the_cube_of_a_hand_measured_as_the_tracked_one(side):
    """The index finger 14 degrees more bent in each joint than it is, and the hand 2 cm further away as it closes."""
    pytest.importorskip("mujoco")
    from fourdhands_core.simulation.replay import Track, replay, replay_settings
    from fourdhands_core.simulation.robot import SimulatedRobot
    from fourdhands_core.simulation.scene import Cube

    tool, column, pick = f"five_fingers_{side}", SIDES.index(side), pick_of(lose=False)
    x, y, turn = cube_for(tool, side, motion_of(side, 0, False))
    robot, retargeter = SimulatedRobot(tool, [Cube(x, y, CUBE, turn=turn)]), load_retargeter(tool, side, OperatorRange.exact())
    opened, closed = (tuple(np.add(curls, [0, 0.15, 0, 0, 0, 0])) for curls in (pick.opened, pick.closed))
    seen = from_when(pick_motion(column, replace(pick, opened=opened, closed=closed), FPS), 7.0)
    stamp = (seen.stamp - seen.stamp[0]) * 1e-9
    away = np.clip((stamp - 5.0) / 2.5, 0.0, 1.0)[:, None, None] * [0.0, 0.0, 0.02]
    rotation = matrix_from_axis_angle(seen.global_orient[:, column])
    track = Track(stamp, pose_hands(seen)[1][:, column] + away, rotation, seen.present[:, column])
    settings = replace(replay_settings(robot, retargeter, track), max_speed=0.4, scale_depth=DEPTH)
    where = []
    replay(track, robot, retargeter, settings, lambda _: where.append(robot.cube_positions()[0].copy()))
    assert max(where, key=lambda at: at[2])[2] > 0.1
    assert where[-1][1] - where[0][1] > 0.05 and abs(where[-1][2] - CUBE / 2.0) < 0.005


def test_a_video_that_is_not_there(tmp_path, capsys):
    pytest.importorskip("mujoco")
    assert main(["--video", str(tmp_path / "gone.mp4"), "--out", str(tmp_path / "out")]) == 2
    assert "gone.mp4" in capsys.readouterr().err


@pytest.mark.parametrize("falls, held", [(0.0, True), (0.05, False)])
def test_a_cube_that_is_held_while_the_hand_is_lost(falls, held):
    """For two seconds nothing is followed while the cube is lifted; a shorter loss, and one before the lift, say nothing."""
    when = np.linspace(0.0, 10.0, 101)
    heights = np.interp(when, [0, 3, 4, 5, 6, 8, 9, 10], [0, 0, 0.15, 0.15, 0.15 - falls, 0.15 - falls, 0, 0])
    cubes = np.column_stack([np.zeros((101, 2)), 0.02 + heights])
    places = cubes + (0.0, 0.0, 0.1)
    states = [(at, "HOLD" if 0.5 < at < 2.0 or 5.0 < at < 7.0 else "ENGAGED") for at in when]
    assert cube_report(when, cubes, when, places, states)["held"] is held
    assert cube_report(when, cubes, when, places, [(at, name) for at, name in states if at < 5.5])["held"] is None
