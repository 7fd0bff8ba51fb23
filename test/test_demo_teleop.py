"""What the demo of teleoperation reports, against worked values, and what it refuses."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the demo needs ROS 2 (pip install 'fourdhands[ros]')")

from fourdhands_core.errors import InputError
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.media.choreography import from_curls
from fourdhands_core.media.pick_motion import OPEN_HAND, PINCHING
from fourdhands_core.retargeting import load_retargeter
from fourdhands_core.retargeting.human import measure
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.simulation.outcome import cube_report
from fourdhands_ros.tools.demo import check_alone
from fourdhands_ros.tools.demo_teleop import CUBE, PINCH, main, report

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
