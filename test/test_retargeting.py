"""Human hands to robot hands: limits, pinches, sizes, sides, jitter, collisions; the operator's range; what are refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_retargeting_model import YAML, described, urdf

from fourdhands_core.errors import DependencyError, InputError
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.media.choreography import from_curls
from fourdhands_core.retargeting import load_retargeter, robot_names
from fourdhands_core.retargeting.human import JOINTS, bends, bent, measure
from fourdhands_core.retargeting.operator_range import OperatorRange
from fourdhands_core.retargeting.retargeter import HandRetargeter

pytest.importorskip("mujoco")

HAND = HandArrays([load_generic_hand()])
OPEN, FIST, PINCH = (0, 0, 0, 0, 0, 0.6), (0.9, 0.95, 0.95, 0.95, 0.95, 0.0), (0.55, 0.5, 0.15, 0.1, 0.1, 0.3)
OURS = "five_fingers_right", "five_fingers_left", "three_fingers", "gripper"
MIRROR = np.array([-1.0, 1.0, 1.0])
curls = st.tuples(*[st.floats(0.0, 1.0)] * 6)


def human(curl, side="right"):
    """A hand's joints (21, 3) in its wrist's frame, metres."""
    joints = HAND.joints(np.eye(3)[None], from_curls(np.array(curl))[None], np.zeros((1, 10)))[0]
    return joints * MIRROR if side == "left" else joints


@pytest.fixture(scope="module")
def robots():
    return {name: load_retargeter(name, operator=OperatorRange.exact()) for name in OURS}


@pytest.mark.parametrize("name", robot_names())
def test_every_robot_is_described(name):
    """What comes with the package loads; what needs a package of another says which."""
    try:
        robot = load_retargeter(name)
    except DependencyError:
        raise
    except InputError as error:
        assert "pip install" in str(error) and name not in OURS
        return
    count = len(robot.names)
    assert robot.lower.shape == robot.upper.shape == robot.velocity.shape == (count,)
    assert (robot.lower < robot.upper).all() and (robot.velocity > 0).all() and robot.side in ("left", "right")
    q = robot.solve(human(OPEN, robot.side), None)
    assert q.shape == (count,) and (q >= robot.lower).all() and (q <= robot.upper).all()


@settings(max_examples=25, deadline=None)
@given(curls, curls)
def test_limits_are_held_and_nothing_collides(robots, first, second):
    for name in OURS:
        robot = robots[name]
        q = None
        for curl in (first, second):
            q = robot.solve(human(curl, robot.side), q)
            assert (q >= robot.lower).all() and (q <= robot.upper).all()
            if isinstance(robot, HandRetargeter):
                assert robot.robot.depth(robot.robot.pose(q)) == 0.0


def test_tips_go_where_the_humans_are(robots):
    """Within 6 % of the finger, where the robot's joints reach; the thumb, which stands elsewhere, within 15 %."""
    robot = robots["five_fingers_right"]
    for curl in (OPEN, (0.3, 0.5, 0.5, 0.5, 0.5, 0.5), (0.4, 0.03, 0.0, 0.03, 0.05, 0.0)):
        joints = human(curl)
        pose = robot.robot.pose(robot.solve(joints))
        error = np.linalg.norm(pose.points[:5] - robot.targets(joints)[0], axis=1) / robot.lengths
        assert np.median(error) < 0.06 and error.max() < 0.15, error


def test_a_pinch_closes_the_tips(robots):
    """Tips 18 mm apart, which is less than the tracker makes of a pinch, touch; those of an open hand are far from it."""
    for name in ("five_fingers_right", "five_fingers_left", "three_fingers"):
        robot = load_retargeter(name, operator=OperatorRange())
        gaps = []
        for curl in (OPEN, PINCH):
            pose = robot.robot.pose(robot.solve(human(curl, robot.side)))
            gaps.append(np.linalg.norm(pose.points[0] - pose.points[1]) - robot.radii[:2].sum())
        assert gaps[0] > 0.05 and gaps[1] < 0.005, (name, gaps)


@pytest.mark.parametrize("gap", [0.022, 0.025, 0.028, 0.031, 0.034])
def test_a_pinch_does_not_open_and_close_with_the_trackers_noise(gap):
    """Three fingers rest 7 cm apart; held at any distance they once followed a noise of 1.4 mm to and fro between that and a
    pinch. What has closed stays so until the human's tips are well apart."""
    robot, rng = load_retargeter("three_fingers", operator=OperatorRange()), np.random.default_rng(0)
    between = [human(np.array(PINCH) + share * (np.array(OPEN) - PINCH)) for share in np.linspace(0.0, 0.5, 60)]
    joints = min(between, key=lambda hand: abs(measure(hand, "right").gaps[1] - gap))
    noise, q, closed = np.zeros((21, 3)), None, []
    for _ in range(120):
        noise = 0.7 * noise + np.sqrt(1.0 - 0.7**2) * rng.normal(0.0, 0.001, (21, 3))
        q = robot.solve(joints + noise, q)
        points = robot.robot.pose(q).points
        apart = np.linalg.norm(points[0] - points[1])
        closed += [True] if apart < 0.04 else [False] if apart > 0.06 else []
    assert np.count_nonzero(np.diff(closed)) <= 1


def test_after_a_jump_the_search_begins_with_fingers_that_are_near(robots):
    robot = robots["five_fingers_right"]
    for curl in (OPEN, FIST):
        wanted = np.concatenate(robot.targets(human(curl)))
        for joints in (robot.lower, robot.upper):
            before = robot.robot.pose(joints).points
            after = robot.robot.pose(robot._postures.begin(joints, before, wanted)).points
            tips = [np.linalg.norm(points[:5] - wanted[:5], axis=1) / robot.lengths for points in (before, after)]
            assert (tips[1] <= tips[0] + 1e-9).all() and tips[1].max() < 0.5
    near = robot.solve(human(FIST))
    assert robot._postures.begin(near, robot.robot.pose(near).points, wanted) is near


def test_a_thumb_opposite_closes_as_the_humans_does(robots):
    """Its own back is the palm's turned about: bent the other way it once stayed wide open in every pose, the fist too."""
    robot = robots["three_fingers"]
    thumb = [robot.names.index(name) for name in ("thumb_base_bend", "thumb_last_bend")]
    opened, fist = (robot.solve(human(curl))[thumb] for curl in (OPEN, FIST))
    assert fist.sum() > opened.sum() + np.radians(60.0), np.degrees([opened, fist])


def test_a_finger_that_stands_elsewhere(tmp_path):
    """`shift` moves where its tip and middle joint are to go, in the palm body's axes; the others' stay."""
    from fourdhands_core.retargeting.config import ROBOTS

    text = (ROBOTS / "five_fingers_right.yaml").read_text().replace("five_", f"{ROBOTS}/five_")
    places = []
    for shift in ("", ", shift: [0.01, 0, -0.03]"):
        (tmp_path / "hand.yaml").write_text(text.replace("tip: thumb_tip", f"tip: thumb_tip{shift}"))
        robot = load_retargeter(tmp_path / "hand.yaml", operator=OperatorRange.exact())
        places.append(robot.targets(human(PINCH)))
    for before, after in zip(*places):
        np.testing.assert_allclose((after - before)[0], [0.01, 0.0, -0.03], atol=1e-9)
        np.testing.assert_allclose(after[1:], before[1:], atol=1e-9)


def test_a_gripper_follows_the_distance(robots):
    """From 0 in a pinch to its whole width, ever wider with the distance."""
    robot = robots["gripper"]
    apart = human(PINCH)
    widths = []
    for millimetres in (5, 15, 30, 60, 80, 140):
        joints = apart.copy()
        direction = joints[8] - joints[4]
        joints[8] = joints[4] + direction / np.linalg.norm(direction) * millimetres * 1e-3 * measure(apart, "right").size
        widths.append(robot.solve(joints)[0])
    assert widths[0] == 0.0 and widths[1] < 1e-9 and widths[-1] == robot.upper[0] and (np.diff(widths[1:]) > 0).all()


@pytest.mark.parametrize("name", OURS)
def test_size_frame_and_side_do_not_matter(robots, name):
    """A hand 20 % smaller, turned and elsewhere, gives the same joints; a left hand's are the mirrored right hand's."""
    robot, joints = robots[name], human((0.3, 0.4, 0.2, 0.6, 0.5, 0.4), robots[name].side)
    expected = robot.solve(joints)
    turned = 0.8 * joints @ matrix_from_axis_angle(np.array([0.4, -1.0, 2.0])).T + (0.1, 0.2, 0.5)
    np.testing.assert_allclose(robot.solve(turned), expected, atol=2e-3)
    if name.startswith("five"):
        other = robots["five_fingers_left" if robot.side == "right" else "five_fingers_right"]
        np.testing.assert_allclose(other.solve(joints * MIRROR), expected, atol=2e-3)


def test_either_side_leads_a_gripper():
    left = load_retargeter("gripper", side="left", operator=OperatorRange.exact())
    right = load_retargeter("gripper", operator=OperatorRange.exact())
    assert (left.side, right.side) == ("left", "right")
    np.testing.assert_allclose(left.solve(human(PINCH, "left")), right.solve(human(PINCH)), atol=1e-9)


def test_joints_shake_no_more_than_the_humans(robots):
    """1 mm of noise on the human's joints, over poses that the robot holds."""
    rng, robot = np.random.default_rng(3), robots["five_fingers_right"]
    ours, theirs = [], []
    for _ in range(12):
        joints = human(rng.uniform(0.0, 0.8, 6))
        q = robot.solve(joints, robot.solve(joints))
        shaken = [joints + rng.normal(0.0, 0.001, (21, 3)) for _ in range(6)]
        ours.append(np.std([robot.solve(one, q) for one in shaken], axis=0).mean())
        theirs.append(np.std([bends(measure(one, "right"))[1:] for one in shaken], axis=0).mean())
    assert np.mean(ours) < np.mean(theirs)


@given(curls)
@settings(max_examples=40, deadline=None)
def test_bends_are_what_they_are_set_to(curl):
    """Bending a hand to other angles gives those angles, and bones as long as before."""
    fingers = measure(human(curl), "right")
    wanted = 0.7 * bends(fingers) + 0.1
    joints = np.zeros((21, 3))
    joints[JOINTS] = bent(fingers, wanted)
    changed = type(fingers)(joints[JOINTS], fingers.lengths, fingers.size, fingers.gaps)
    np.testing.assert_allclose(bends(changed)[1:], wanted[1:], atol=0.05)
    lengths = [np.linalg.norm(np.diff(points, axis=1), axis=-1) for points in (fingers.points, changed.points)]
    np.testing.assert_allclose(*lengths, atol=1e-9)


def shrunk(curl, gain=0.6, offset=np.radians(18.0), side="right"):
    """What a tracker that shrinks bends makes of a hand, (21, 3), in its palm's axes."""
    fingers = measure(human(curl, side), side)
    measured = bends(fingers)
    measured[1:] = gain * measured[1:] + offset
    joints = np.zeros((21, 3))
    joints[JOINTS] = bent(fingers, measured)
    return joints * (1.0 if side == "left" else np.array([-1.0, 1.0, 1.0]))


def test_the_operators_range_is_undone(tmp_path):
    """Of 0.6 · truth + 18 degrees: an open hand, a fist and a pinch give it back, over the file too."""
    rng = np.random.default_rng(0)
    shots = [
        np.array([shrunk(curl) + rng.normal(0.0, 5e-4, (21, 3)) for _ in range(20)] + [np.full((21, 3), np.nan)])
        for curl in (OPEN, FIST, PINCH)
    ]
    found = OperatorRange.of_recordings(*shots, side="right")
    np.testing.assert_allclose(found.gain[1:, :2], 0.6, atol=0.04)
    np.testing.assert_allclose(np.degrees(found.offset[1:, :2]), 18.0, atol=3.0)
    found.write(tmp_path / "me.yaml")
    again = OperatorRange.read(tmp_path / "me.yaml")
    np.testing.assert_allclose(again.gain, found.gain, atol=1e-3)
    robot = load_retargeter("five_fingers_right", operator=tmp_path / "me.yaml")
    truth = load_retargeter("five_fingers_right", operator=OperatorRange.exact())
    plain = load_retargeter("five_fingers_right", operator=OperatorRange.exact())
    bent_joints = [i for i, name in enumerate(robot.names) if "bend" in name and "thumb" not in name]
    for curl in (OPEN, FIST):
        measured = shrunk(curl)
        expected = truth.solve(human(curl))[bent_joints]
        undone = np.abs(robot.solve(measured)[bent_joints] - expected).mean()
        assert undone < 0.12 and undone < 0.4 * np.abs(plain.solve(measured)[bent_joints] - expected).mean()


def test_the_thumb_of_a_fist_calibrates_nothing():
    """It is folded in anyhow; taken for one pose it moved the robot's open thumb by 2 cm."""
    found = OperatorRange.of_recordings(*(human(curl)[None] for curl in (OPEN, FIST, PINCH)), side="right")
    assert (found.gain[0] == 1.0).all() and (found.offset[0] == 0.0).all()
    assert (found.gain[1:, :2] != 1.0).all()


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_the_fist_of_a_person_who_bends_to_60_percent_is_a_fist(offset):
    """Its tips are measured 22 to 34 mm from the thumb's, and were taken for pinches, which opened fingers by 40 degrees."""
    shots = [shrunk(curl, 0.6, np.radians(offset))[None] for curl in (OPEN, FIST, PINCH)]
    robot = load_retargeter("five_fingers_right", operator=OperatorRange.of_recordings(*shots, side="right"))
    truth = load_retargeter("five_fingers_right", operator=OperatorRange.exact())
    bent_joints = [i for i, name in enumerate(robot.names) if "bend" in name and "thumb" not in name]
    found, wanted = robot.solve(shots[1][0]), truth.solve(human(FIST))
    np.testing.assert_allclose(found[bent_joints], wanted[bent_joints], atol=np.radians(5.0))
    points = robot.robot.pose(robot.solve(shots[2][0])).points
    assert np.linalg.norm(points[0] - points[1]) - robot.radii[:2].sum() < 0.005


def test_what_is_no_range_is_refused(tmp_path):
    still = np.array([human(OPEN)] * 3)
    opened, fist, pinch = (human(curl)[None] for curl in (OPEN, FIST, PINCH))
    with pytest.raises(InputError, match="are bent in what is given as the open hand, .* exchange the two"):
        OperatorRange.of_recordings(fist, opened, pinch, "right")
    with pytest.raises(InputError, match="pinch, thumb and index finger are 93 mm apart, in the open hand 93 mm"):
        OperatorRange.of_recordings(opened, fist, opened, "right")
    with pytest.raises(InputError, match="no frame of the open hand shows a right hand"):
        OperatorRange.of_recordings(np.zeros((3, 21, 3)), fist, pinch, "right")
    with pytest.raises(InputError, match="hardly differ in the"):
        OperatorRange.of_recordings(still, still, pinch, "right")
    with pytest.raises(InputError, match="no frame of the fist shows a right hand"):
        OperatorRange.of_recordings(still, np.full((2, 21, 3), np.nan), still, "right")
    (tmp_path / "me.yaml").write_text("gain: 3\n")
    with pytest.raises(InputError, match="cannot be read"):
        OperatorRange.read(tmp_path / "me.yaml")


@pytest.mark.parametrize(
    "joints, words",
    [
        (np.full((21, 3), np.nan), "21 finite joints"),
        (np.zeros((20, 3)), "21 finite joints"),
        (np.zeros((21, 3)), "span no palm"),
    ],
)
def test_what_is_no_hand_is_refused(robots, joints, words):
    for robot in robots.values():
        with pytest.raises(InputError, match=words):
            robot.solve(joints)


def test_a_urdf_with_joints_that_follow(tmp_path):
    """A follower is no joint to command; it and its leader stay within their limits, at both their speeds."""
    model = urdf().replace(
        'lower="0" upper="1.57" effort="1" velocity="3"/><mimic', 'lower="0.18" upper="0.7" velocity="2"/><mimic'
    )
    path = described(tmp_path, YAML, model.replace('multiplier="0.9"', 'multiplier="0.8" offset="0.1"'))
    robot = load_retargeter(path, operator=OperatorRange.exact())
    one, leader = robot.names.index("index_a"), robot.names.index("index_b")
    assert "index_c" not in robot.names
    np.testing.assert_allclose(robot.upper[[one, leader]], [1.57, 0.75])  # (0.7 - 0.1) / 0.8
    np.testing.assert_allclose(robot.lower[[one, leader]], [0.0, 0.1])
    np.testing.assert_allclose(robot.velocity[[one, leader]], [3.0, 2.5])
    q = robot.solve(human(FIST))
    assert (q >= robot.lower).all() and (q <= robot.upper).all() and q[leader] > 0.5 > robot.solve(human(OPEN))[leader]


def test_names_and_sides_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no robot 'hnad'; name one of .*gripper"):
        load_retargeter("hnad")
    with pytest.raises(InputError, match="is a right hand, and a left one was asked for"):
        load_retargeter("five_fingers_right", side="left")
    with pytest.raises(InputError, match="cannot be read"):
        load_retargeter(tmp_path / "none.yaml")
