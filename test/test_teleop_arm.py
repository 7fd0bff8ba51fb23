"""An arm that is told joints: its model, its inverse kinematics, what it does where it reaches no further."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourdhands_core.errors import InputError
from fourdhands_core.simulation.scene import HOME
from fourdhands_core.teleop import ENGAGED, HandSample, Inputs, RobotSample, TeleopSettings, TeleopState, step
from fourdhands_core.teleop.turns import angle_between, matrix_of, vector_of

pytest.importorskip("mink", reason="mink, which the extra [robot] brings, is not installed")
pytest.importorskip("ruckig", reason="ruckig, which the extra [robot] brings, is not installed")

from fourdhands_core.retargeting.arm import SerialArm

ARM = SerialArm("seven_joints")
URDF = """<robot name="two">
  <link name="base_link"/><link name="upper"/><link name="lower"/><link name="tool0"/><link name="finger"/>
  <joint name="shoulder" type="revolute"><parent link="base_link"/><child link="upper"/><axis xyz="0 0 1"/>
    <limit lower="-1" upper="2" velocity="1.5" effort="1"/></joint>
  <joint name="elbow" type="revolute"><parent link="upper"/><child link="lower"/><origin xyz="0.3 0 0"/><axis xyz="0 0 1"/>
    <limit lower="-2" upper="2" velocity="0.5" effort="1"/></joint>
  <joint name="flange" type="fixed"><parent link="lower"/><child link="tool0"/><origin xyz="0.2 0 0"/></joint>
  <joint name="grip" type="prismatic"><parent link="tool0"/><child link="finger"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="0.04" velocity="1" effort="1"/></joint>
</robot>"""


def limits(arm):
    return {f"arm_{name}": tuple(getattr(arm, name).tolist()) for name in ("lower", "upper", "velocity")}


class Follower:
    """An arm that is at once where it is told to be. told, ends, turns, acting: of each step since it was
    engaged."""

    def __init__(self, arm=ARM, home=HOME, **changes):
        self.arm, given = (
            arm,
            dict(axes=(1, 0, 0, 0, 1, 0, 0, 0, 1), need_deadman=False, ramp=0.1, workspace=(-1, -1, 0.05, 1, 1, 1.4)),
        )
        self.settings = TeleopSettings(**{**given, **limits(arm), **changes})
        self.state, self.now, self.joints = TeleopState(self.settings, arm=arm), 10.0, home.copy()
        self.told, self.ends, self.turns, self.acting = [], [], [], set()

    def step(self, place, turn=np.eye(3), seen=True):
        self.now += 0.01
        robot = RobotSample(self.now, *self.arm.pose(self.joints), joints=self.joints)
        hand = HandSample(self.now - 0.02, place, turn, valid=seen)
        self.state, command = step(self.state, Inputs(hand, robot, engage=True), self.now, elapsed=0.01)
        if command.publish:
            self.joints = command.joints
            self.told.append(command.joints)
            self.ends.append(command.position)
            self.turns.append(command.rotation)
            self.acting.update(command.limits)


def fastest(one):
    """Of its end along and about an axis, as a share of the limit."""
    turns = [vector_of(turn @ before.T) for before, turn in pairwise(one.turns)]
    rates = np.concatenate([np.diff(one.ends, axis=0), turns], axis=1) / 0.01
    return np.abs(rates / one.settings.end_speed).max()


@settings(max_examples=5, deadline=None)
@given(st.tuples(*[st.floats(-0.12, 0.12)] * 3))
def test_its_end_goes_as_far_as_the_hand(way):
    one, way = Follower(), np.array(way)
    start = ARM.pose(HOME)
    for i in range(250):
        one.step(way * min(max(i - 20, 0) / 100, 1.0))
    place, turn = ARM.pose(one.joints)
    np.testing.assert_allclose(place, start[0] + way, atol=1e-3)
    assert angle_between(turn, start[1]) < 5e-3 and one.state.state == ENGAGED
    np.testing.assert_array_equal(one.told[0], HOME)
    assert fastest(one) <= 1.001


@pytest.mark.parametrize("seed", range(4))
def test_its_end_is_never_faster_than_it_may_be_and_stays_where_it_may(seed):
    """With a hand that waves beyond reach and workspace, turns, and is lost in mid-motion. Joints that catch up each by itself,
    or brake so, would lead the end elsewhere, and faster."""
    rng, start = np.random.default_rng(seed), ARM.pose(HOME)[0]
    box = (*(start - rng.uniform(0.05, 0.3, 3)), *(start + rng.uniform(0.05, 0.3, 3)))
    ball = (*(start + [0.0, 0.12, 0.0]), 0.08)
    one = Follower(max_hand_speed=20.0, workspace=box if seed % 2 else (-1, -1, 0.05, 1, 1, 1.4), keep_out=ball)
    pace, wide = rng.uniform(0.5, 5.0, 3), rng.uniform(0.1, 0.4, 3)
    for i in range(600):
        swing = np.sin(pace * 0.01 * max(i - 20, 0))
        one.step(wide * swing, matrix_of(1.2 * swing), i % 150 < 130)
    low, high = one.settings.bounds[0][:3], one.settings.bounds[1][:3]
    assert len(one.ends) > 500 and fastest(one) <= 1.001
    assert (one.ends >= low - 1e-3).all() and (one.ends <= high + 1e-3).all()
    assert np.linalg.norm(one.ends - np.array(ball[:3]), axis=1).min() >= ball[3] - 1e-3


def test_beyond_its_reach_it_stays_clear_of_itself_and_turns_back_with_the_hand():
    one = Follower(turns=False)
    for i in range(500):
        one.step(np.array([0.003 * max(i - 20, 0), 0.0, 0.001 * i]))
    assert "reach" in one.acting and one.state.state == ENGAGED
    far = one.ends[-1]
    for i in range(120):  # stretched, its elbow has to turn fast for the end to come back
        one.step(np.array([0.003 * (480 - i), 0.0, 0.5]))
    assert one.ends[-1][0] < far[0] - 0.05
    told = np.array(one.told)
    rates = one.settings.arm_limits.rates
    for order, most in enumerate(rates, 1):
        assert (np.abs(np.diff(told, order, axis=0)) / 0.01**order <= most * (1.0 + 1e-3)).all()
    assert min(map(ARM.clearance, told[::5])) > 0.0


def test_a_urdf_alone_is_an_arm(tmp_path):
    path = tmp_path / "two.urdf"
    path.write_text(URDF)
    arm = SerialArm(path, "tool0", "base_link")
    assert arm.names == ("shoulder", "elbow") and "two.urdf is not kept clear of itself" in arm.problem and not ARM.problem
    np.testing.assert_allclose([arm.lower, arm.upper, arm.velocity], [[-1, -2], [2, 2], [1.5, 0.5]])
    place, turn = arm.pose(np.array([0.5, 0.4]))
    expected = [0.3 * np.cos(0.5) + 0.2 * np.cos(0.9), 0.3 * np.sin(0.5) + 0.2 * np.sin(0.9), 0.0]
    np.testing.assert_allclose(place, expected, atol=1e-9)
    np.testing.assert_allclose(turn[:2, 0], [np.cos(0.9), np.sin(0.9)], atol=1e-9)
    (tmp_path / "two.yaml").write_text("model: two.urdf\nend: tool0\njoints: [elbow, shoulder]\nlimits: {elbow: [-1, 1]}\n")
    other = SerialArm(tmp_path / "two.yaml")
    assert other.names == ("elbow", "shoulder") and other.upper.tolist() == [1.0, 2.0]
    np.testing.assert_allclose(other.pose(np.array([0.4, 0.5]))[0], expected, atol=1e-9)
    (tmp_path / "two.yaml").write_text("model: two.urdf\nend: tool0\nbase: base_link\n")
    np.testing.assert_allclose(SerialArm(tmp_path / "two.yaml").pose(np.array([0.5, 0.4]))[0], expected, atol=1e-9)
    with pytest.raises(InputError, match="two.urdf: the model has no body 'nowhere'; name the arm's base"):
        SerialArm(path, "tool0", "nowhere")
    np.testing.assert_allclose(SerialArm(path, "tool0", "upper").pose(np.array([0.4]))[0][0], 0.3 + 0.2 * np.cos(0.4))


def test_an_arm_of_few_joints_goes_where_the_hand_does_and_turns_as_that_wants_it(tmp_path):
    """Weighed against its place, the turn kept a three-joint arm 12 cm from there."""
    (tmp_path / "two.urdf").write_text(URDF)
    arm, home = SerialArm(tmp_path / "two.urdf", "tool0", "base_link"), np.array([0.2, 1.2])
    assert ARM.turns and not arm.turns
    one, start, way = Follower(arm, home, workspace=(-1, -1, -0.1, 1, 1, 1.4)), arm.pose(home)[0], np.array([-0.05, 0.08, 0.0])
    for i in range(250):
        one.step(way * min(max(i - 20, 0) / 100, 1.0))
    np.testing.assert_allclose(one.ends[-1], start + way, atol=1e-3)
    assert one.state.state == ENGAGED and "reach" not in one.acting and fastest(one) <= 1.001


def test_limits_that_a_urdf_does_not_say(tmp_path):
    path, said = tmp_path / "two.urdf", '<limit lower="-1" upper="2" velocity="1.5" effort="1"/>'
    for kind, limit in (("revolute", said.replace("-1", "0").replace("2", "0")), ("revolute", ""), ("prismatic", "")):
        path.write_text(URDF.replace(said, limit).replace("revolute", kind, 1))
        with pytest.raises(InputError, match=r"two.urdf: the model has no limits of shoulder.*limits: {shoulder: \[-1, 1\]}"):
            SerialArm(path, "tool0", "base_link")
        (tmp_path / "two.yaml").write_text("model: two.urdf\nend: tool0\nlimits: {shoulder: [-0.3, 1]}\n")
        assert SerialArm(tmp_path / "two.yaml").lower.tolist() == [-0.3, -2.0]
    path.write_text(URDF.replace(said, "").replace("revolute", "continuous", 1))
    arm = SerialArm(path, "tool0", "base_link")
    assert [arm.lower[0], arm.upper[0], arm.velocity[0]] == [-2 * np.pi, 2 * np.pi, 1.5]


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf"])
def test_a_urdf_whose_speeds_are_none(tmp_path, speed):
    """They became 1.5 rad/s, or no limit at all, without a word. Of joints beside the arm they are no matter."""
    path = tmp_path / "two.urdf"
    path.write_text(URDF.replace('velocity="1"', f'velocity="{speed}"'))
    assert SerialArm(path, "tool0", "base_link").velocity.tolist() == [1.5, 0.5]
    path.write_text(URDF.replace('velocity="0.5"', f'velocity="{speed}"'))
    with pytest.raises(InputError, match=rf"velocity limit of elbow is {speed}, which is no speed.*velocity: {{elbow: 1.0}}"):
        SerialArm(path, "tool0", "base_link")
    (tmp_path / "two.yaml").write_text("model: two.urdf\nend: tool0\nvelocity: {elbow: 0.7}\n")
    assert SerialArm(tmp_path / "two.yaml").velocity.tolist() == [1.5, 0.7]


@pytest.mark.parametrize("speed", ["180", "1e9"])
def test_a_speed_that_is_in_degrees_or_stands_for_none_is_refused(tmp_path, speed):
    """Half of it was what the joint was led with."""
    path = tmp_path / "two.urdf"
    path.write_text(URDF.replace('velocity="0.5"', f'velocity="{speed}"'))
    with pytest.raises(InputError, match=r"velocity limit of elbow is (180|1e\+09), which no arm's joint reaches.*rad/s"):
        SerialArm(path, "tool0", "base_link")


@pytest.mark.parametrize("joint", [0, 2, 6])
def test_where_a_joint_is_at_its_limit_the_others_lead_the_end_on(joint):
    """It stood still before, for as long as the hand asked for what is beyond: going there as fast as there was room, the joint
    could not have stopped before its limit in the time in which the others stop."""
    upper = np.array(limits(ARM)["arm_upper"])
    upper[joint] = HOME[joint] + 0.02
    one, way = Follower(arm_upper=tuple(upper.tolist())), np.array([0.0, 0.15, 0.0])
    for i in range(160):
        one.step(way * min(max(i - 20, 0) / 80, 1.0))
    np.testing.assert_allclose(one.ends[-1], one.ends[0] + way, atol=2e-3)
    assert np.max(one.told, axis=0)[joint] > upper[joint] - 0.005 and fastest(one) <= 1.001


@pytest.mark.parametrize("beyond", [0.0015, 0.03])
def test_no_joint_jumps_to_its_limits_on_engaging(beyond):
    """What an encoder's noise puts beyond them does not count; an arm that stands beyond is not engaged."""
    upper = np.array(limits(ARM)["arm_upper"])
    upper[1] = HOME[1] - beyond
    one = Follower(arm_upper=tuple(upper.tolist()))
    for _ in range(30):
        one.step(np.zeros(3))
    if beyond > 0.01:
        assert not one.told and "robot_outside_limits" in one.state.reasons
    else:
        np.testing.assert_allclose(one.told[0], HOME, atol=0.002)


def test_joints_that_cannot_be_led_as_the_model_says(tmp_path):
    path = tmp_path / "two.urdf"
    path.write_text(URDF.replace('lower="-2" upper="2"', 'lower="-170" upper="170"'))
    with pytest.raises(InputError, match=r"limits of elbow, -170 to 170, are beyond three turns; a model counts in radians"):
        SerialArm(path, "tool0", "base_link")
    (tmp_path / "two.yaml").write_text("model: two.urdf\nend: tool0\nlimits: {elbow: [-2.5, 2.5]}\n")
    assert SerialArm(tmp_path / "two.yaml").upper.tolist() == [2.0, 2.5]
    path.write_text(URDF.replace('<limit lower="-2"', '<mimic joint="shoulder" multiplier="-1"/><limit lower="-2"'))
    with pytest.raises(InputError, match="elbow of the arm follows shoulder"):  # as in an arm of parallelograms
        SerialArm(path, "tool0", "base_link")
    path.write_text(URDF.replace('<limit lower="0"', '<mimic joint="elbow"/><limit lower="0"'))
    assert SerialArm(path, "tool0", "base_link").names == ("shoulder", "elbow")  # beside the arm it is no matter


@pytest.mark.parametrize(
    "text, words",
    [
        ("model: two.urdf", "has no site or body ''"),
        ("model: two.urdf\nend: nothing", "has no site or body 'nothing' to lead; it has"),
        ("model: two.urdf\nend: tool0\nbase: nowhere", "has no body 'nowhere'"),
        ("model: two.urdf\nend: tool0\nbase: lower", "no hinges and slides alone lead to tool0"),
        ("model: two.urdf\nend: tool0\njoints: [elbow]", "joints names elbow, and the arm has shoulder, elbow"),
        ("model: two.urdf\nend: tool0\nlimits: {wrist: [0, 1]}", "has no joint 'wrist'"),
        ("model: two.urdf\nend: tool0\nlimits: {elbow: [5, 6]}", "limits of elbow leave it nothing"),
        ("model: two.urdf\nend: tool0\nspeed: 3", "there is no key speed"),
        ("model: two.urdf\nend: tool0\njoints: elbow", "joints 'elbow' is no list of names"),  # it was taken letter by letter
        ("model: two.urdf\nend: tool0\napart: [l1, l2]", r"apart \['l1', 'l2'\] is no list of pairs"),  # likewise
        ("model: two.urdf\nend: tool0\nlimits: [0, 1]", r"limits \[0, 1\] is no list of keys and values"),
        ("model: two.urdf\nend: tool0\nvelocity: fast", "cannot be used"),
        ("model: none.urdf\nend: tool0", "cannot be read"),
    ],
)
def test_an_arm_that_is_none(tmp_path, text, words):
    (tmp_path / "two.urdf").write_text(URDF)
    (tmp_path / "two.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        SerialArm(tmp_path / "two.yaml")
    with pytest.raises(InputError, match="there is no arm 'none'; name seven_joints"):
        SerialArm("none")
