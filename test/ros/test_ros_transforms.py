"""Where frames stood: chains, interpolation, what is not there."""

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st

from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, quaternion_from_matrix
from fourdhands_ros.convert.transforms import TransformBuffer, TransformError
from fourdhands_ros.node.frames import Tf2Frames
from fourdhands_ros.pypi.message_types import typestore

SECOND = 10**9


def rigid(seed):
    rng = np.random.default_rng(seed)
    return Rigid(matrix_from_axis_angle(rng.normal(0, 1, 3)), rng.normal(0, 1, 3))


def message(*transforms):
    """A serialised TFMessage of (parent, child, Rigid, stamp)."""
    types = typestore().types
    made = []
    for parent, child, pose, stamp in transforms:
        time = types["builtin_interfaces/msg/Time"](*divmod(stamp, SECOND))
        header = types["std_msgs/msg/Header"](stamp=time, frame_id=parent)
        transform = types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](*pose.position.tolist()),
            rotation=types["geometry_msgs/msg/Quaternion"](*quaternion_from_matrix(pose.rotation).tolist()),
        )
        made.append(types["geometry_msgs/msg/TransformStamped"](header=header, child_frame_id=child, transform=transform))
    return bytes(typestore().serialize_cdr(types["tf2_msgs/msg/TFMessage"](transforms=made), "tf2_msgs/msg/TFMessage"))


def near(one, other):
    np.testing.assert_allclose(one.rotation, other.rotation, atol=1e-9)
    np.testing.assert_allclose(one.position, other.position, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 1.0))
def test_a_moving_arm_between_two_stamps(seed, share):
    buffer = TransformBuffer()
    base, first, second, lens = (rigid(seed + k) for k in range(4))
    assert buffer.put(message(("world", "base", base, 0), ("hand", "/camera", lens, 0)), static=True)
    assert buffer.put(message(("base", "hand", first, 5 * SECOND)))
    assert buffer.put(message(("base", "hand", second, 6 * SECOND)))
    stamp = 5 * SECOND + round(share * SECOND)
    at = (stamp - 5 * SECOND) / SECOND
    expected = base @ first.towards(second, at) @ lens
    near(buffer.lookup("world", "camera", stamp), expected)
    near(buffer.lookup("camera", "world", stamp), expected.inverse())
    near(buffer.lookup("/hand", "camera", stamp), lens)
    near(buffer.lookup("camera", "camera", stamp), Rigid())


def test_halfway_is_half_the_turn():
    turned = Rigid(matrix_from_axis_angle(np.array([0.0, 0.0, 1.0])), np.array([1.0, 0.0, 0.0]))
    middle = Rigid().towards(turned, 0.5)
    near(middle, Rigid(matrix_from_axis_angle(np.array([0.0, 0.0, 0.5])), np.array([0.5, 0.0, 0.0])))
    assert Rigid().angle_to(turned) == pytest.approx(1.0)


def test_what_is_not_known_is_said():
    buffer = TransformBuffer()
    with pytest.raises(TransformError, match="no frame is called world or camera"):
        buffer.lookup("world", "camera", 0)
    buffer.put(message(("base", "camera", Rigid(), 5 * SECOND)))
    with pytest.raises(TransformError, match="no frame is called world"):
        buffer.lookup("world", "camera", 0)
    buffer.put(message(("world", "arm", Rigid(), 0)), static=True)
    with pytest.raises(TransformError, match="two trees"):
        buffer.lookup("world", "camera", 0)
    buffer.put(message(("world", "base", Rigid(), 0)), static=True)
    with pytest.raises(TransformError, match=r"pose of camera in base on /tf is 2\.000 s away"):
        buffer.lookup("world", "camera", 7 * SECOND)
    near(buffer.lookup("world", "camera", 5 * SECOND + SECOND // 50), Rigid())


def test_circles_late_and_malformed_transforms():
    buffer = TransformBuffer()
    assert not buffer.put(b"\0\1\0\0\xff\xff\xff\xff")
    for stamp in (3, 1, 2, 2):  # in whatever order they come
        buffer.put(message(("a", "b", Rigid(position=np.array([float(stamp), 0, 0])), stamp * SECOND)))
    assert buffer.lookup("a", "b", round(1.5 * SECOND)).position[0] == pytest.approx(1.5)
    buffer.put(message(("a", "b", Rigid(position=np.array([np.nan, 0, 0])), 4 * SECOND)))
    assert buffer.lookup("a", "b", 3 * SECOND).position[0] == 3.0
    buffer.put(message(("b", "a", Rigid(), 0)), static=True)
    with pytest.raises(TransformError, match="circle"):
        buffer.lookup("a", "b", SECOND)


def test_what_is_older_than_ten_seconds_is_forgotten():
    buffer = TransformBuffer()
    for second in range(30):
        buffer.put(message(("a", "b", Rigid(), second * SECOND)))
    with pytest.raises(TransformError):
        buffer.lookup("a", "b", 10 * SECOND)
    assert len(buffer._moving["b"].stamps) <= 11


@pytest.mark.parametrize("wrong", [3600, -100, -3600])
def test_a_wrong_stamp_does_not_push_the_others_out(wrong):
    buffer, poses = TransformBuffer(), [rigid(k) for k in range(8)]
    for number, pose in enumerate(poses):
        buffer.put(message(("base", "hand", pose, (5000 + number) * SECOND)))
        if number == 3:
            buffer.put(message(("base", "hand", rigid(99), (5000 + number + wrong) * SECOND)))
    for number, pose in enumerate(poses):
        near(buffer.lookup("base", "hand", (5000 + number) * SECOND), pose)
    for number in range(2):  # the clock is another now
        buffer.put(message(("base", "hand", poses[number], (9000 + number) * SECOND)))
    near(buffer.lookup("base", "hand", 9000 * SECOND), poses[0])
    assert buffer.newest("base", "hand") == 9001 * SECOND


@pytest.mark.parametrize("back", [3, 6, 60])
def test_places_of_two_times_are_not_mixed(back):
    """Of a simulation that began anew within what is kept: at its stamps a frame stood halfway to where it had been before."""
    buffer = TransformBuffer()
    for k in range(160):
        buffer.put(moved(1000.0 + 0.05 * k, 1.0))
    first = 1008.0 - back + 0.02
    for k in range(40):
        buffer.put(moved(first + 0.05 * k, 2.0))
        assert buffer.lookup("a", "b", round((first + 0.05 * k) * SECOND)).position[0] == 2.0
        if k:
            assert buffer.lookup("a", "b", round((first + 0.05 * k - 0.03) * SECOND)).position[0] == 2.0


def test_a_frame_that_is_told_seldom_is_where_it_was_told_to_be():
    """Not for ever where it was first."""
    buffer = TransformBuffer()
    for number in range(5):
        buffer.put(moved(1000.0 + 15 * number, number))
    assert buffer.newest("a", "b") == 1060 * SECOND
    assert buffer.lookup("a", "b", 1060 * SECOND).position[0] == 4.0


def moved(second, place):
    return message(("a", "b", Rigid(position=np.array([place, 0.0, 0.0])), round(second * SECOND)))


def test_what_moves_is_forgotten_when_a_clock_went_back_and_what_is_static_holds():
    buffer = TransformBuffer()
    buffer.put(message(("world", "a", Rigid(position=np.array([0.0, 1.0, 0.0])), 0)), static=True)
    buffer.put(moved(100.0, 1.0))
    buffer.clear()
    assert buffer.newest("a", "b") is None
    with pytest.raises(TransformError, match="no frame is called b"):
        buffer.lookup("a", "b", 100 * SECOND)
    assert buffer.lookup("world", "a", 7 * SECOND).position[1] == 1.0
    buffer.put(moved(97.0, 3.0))
    assert buffer.lookup("a", "b", 97 * SECOND).position[0] == 3.0


def test_a_pose_that_seldom_comes_holds_at_once():
    """Beyond what is kept after the last one, and not only when the next has come; a wrong stamp still pushes nothing out."""
    buffer = TransformBuffer()
    for number in range(1, 6):
        stamp = number * 12 * SECOND
        buffer.set("base", "camera", rigid(number), stamp)
        near(buffer.lookup("base", "camera", stamp + SECOND // 50), rigid(number))
        with pytest.raises(TransformError, match=r"is 2\.000 s away"):
            buffer.lookup("base", "camera", stamp + 2 * SECOND)
    last = 60 * SECOND
    buffer.set("base", "camera", rigid(5), last)
    buffer.set("base", "camera", rigid(6), last + SECOND)
    buffer.set("base", "camera", rigid(7), 3600 * SECOND)
    near(buffer.lookup("base", "camera", last + SECOND), rigid(6))
    near(buffer.lookup("base", "camera", last + SECOND // 2), rigid(5).towards(rigid(6), 0.5))


def waved(second):
    """Where a camera on an arm is that waves by 8 cm and 9 degrees twice in a second."""
    angle = 4.0 * np.pi * second
    return Rigid(matrix_from_axis_angle(np.array([0.0, 0.16 * np.sin(angle), 0.0])), np.array([0.08 * np.cos(angle), 0.0, 0.0]))


class Tf2:
    """What of tf2_ros a camera's place is asked of, with a buffer of poses in the order in which they come."""

    class TransformException(Exception):
        pass

    class ExtrapolationException(TransformException):
        pass

    class TransformListener:
        def __init__(self, buffer, node):
            self.unregister = lambda: None

    class Buffer:
        def __init__(self):
            self.kept = TransformBuffer()
            self.clear = self.kept.clear

        def lookup_transform(self, target, source, time):
            newest = self.kept.newest(target, source)
            stamp = time.nanoseconds or newest
            try:
                pose = self.kept.lookup(target, source, stamp, 0.0)
            except TransformError as error:
                raise Tf2.ExtrapolationException(str(error)) from error
            message_ = TransformStamped()
            message_.header.stamp.sec, message_.header.stamp.nanosec = divmod(stamp, SECOND)
            place, turn = message_.transform.translation, message_.transform.rotation
            place.x, place.y, place.z = pose.position.tolist()
            turn.x, turn.y, turn.z, turn.w = quaternion_from_matrix(pose.rotation).tolist()
            return message_


@pytest.fixture(params=["own", "tf2"])
def frames(request, ros):
    """Frames of which `put` tells, by this package's buffer or by tf2's."""
    if request.param == "own":
        buffer = found = TransformBuffer()
    else:
        found = Tf2Frames(ros.node("tf2"), Tf2)
        buffer = found._buffer.kept
    found.put_at = lambda second, pose: buffer.set("base", "camera", pose, round(second * SECOND))
    return found


@pytest.mark.parametrize("interval", [0.005, 0.02, 0.05])
def test_a_camera_goes_on_as_it_moved_until_tf_says_more(frames, interval):
    """It stood for 0.05 s where it was told last: of an arm's camera that was 40 mm and 4 degrees wrong."""
    for number in range(round(2.0 / interval)):
        frames.put_at(100.0 + number * interval, waved(number * interval))
    last = number * interval
    for beyond in (0.0, 0.01, 0.03, 0.05):
        seen, true = frames.lookup("base", "camera", round((100.0 + last + beyond) * SECOND)), waved(last + beyond)
        reach = beyond * (beyond + interval) * (4.0 * np.pi) ** 2  # what it may have gained by in that time
        assert np.linalg.norm(seen.position - true.position) <= 0.08 * reach + 1e-6
        assert seen.angle_to(true) <= 0.16 * reach + 1e-6
    with pytest.raises(TransformError):
        frames.lookup("base", "camera", round((100.06 + last) * SECOND))


def test_a_frame_that_jumps_goes_on_nowhere(frames):
    for number, place in enumerate((0.0, 0.0, 0.3)):
        frames.put_at(100.0 + 0.02 * number, Rigid(position=np.array([place, 0.0, 0.0])))
    assert frames.lookup("base", "camera", round(100.06 * SECOND)).position[0] == pytest.approx(0.3)


def test_a_pose_that_is_asked_for_as_told_does_not_go_on():
    """As where the age of a robot's pose is what counts."""
    buffer = TransformBuffer()
    for number in range(3):
        buffer.set("base", "tool", Rigid(position=np.array([0.1 * number, 0.0, 0.0])), round((100.0 + 0.1 * number) * SECOND))
    assert buffer.lookup("base", "tool", round(100.23 * SECOND), 0.2).position[0] == pytest.approx(0.2)
    assert buffer.lookup("base", "tool", round(100.23 * SECOND)).position[0] == pytest.approx(0.23)
