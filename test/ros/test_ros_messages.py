"""Serialised messages against rosbags' and rclpy's own readers; types made at run time against rosidl's."""

import contextlib
import dataclasses
import itertools
import signal

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.utilities import get_rmw_implementation_identifier
from ros_support import FACES, REPOSITORY, make_hand, make_pair
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from fourdhands_core import signals
from fourdhands_core.errors import DependencyError
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, matrix_from_quaternion
from fourdhands_core.hand_model.skeleton import JOINT_NAMES, JOINT_PARENTS, MANO_IN_21, SIDES
from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED
from fourdhands_ros.convert.encoders import (
    SOURCES,
    STATES,
    HandPairEncoder,
    MarkerEncoder,
    TransformEncoder,
    encode_faces,
    joint_poses,
    wrist_pose,
)
from fourdhands_ros.convert.images import ImageDecoder, MalformedImage
from fourdhands_ros.pypi import message_types
from fourdhands_ros.pypi.message_types import HandFaces, HandPair, TFMessage, deserialize, deserialize_ros, typestore
from fourdhands_ros.tools.camera import image_template

STATES_OF_BOTH = list(itertools.product((ABSENT, TRACKED, HELD), repeat=2))
FRAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=9)
HAND_FIELDS = ("joints_raw", "joint_confidence", "joints_2d", "global_orient", "hand_pose", "betas")


def points(sequence) -> np.ndarray:
    return np.array([(p.x, p.y, p.z) for p in sequence])


def check_hand(message, hand, frame_id, stamp, with_vertices):
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == divmod(stamp, 10**9)
    assert message.header.frame_id == frame_id
    assert (message.side, message.valid, message.state) == (hand.side, hand.valid, STATES[hand.state])
    np.testing.assert_equal(message.age, np.float32(hand.age))
    assert message.confidence == np.float32(hand.confidence if hand.valid else 0)
    assert message.scaled == hand.scaled and message.flat_hand_mean and message.model == "model"
    wrist = message.wrist
    position = [wrist.position.x, wrist.position.y, wrist.position.z]
    quaternion = [wrist.orientation.x, wrist.orientation.y, wrist.orientation.z, wrist.orientation.w]
    if hand.joints is None:
        assert np.isnan(position + quaternion).all()
        for field in ("joints", "vertices", *HAND_FIELDS):
            assert len(getattr(message, field)) == 0
        return
    np.testing.assert_array_equal(position, hand.joints[0])
    np.testing.assert_allclose(matrix_from_quaternion(np.array(quaternion)), hand.wrist_rotation, atol=1e-12)
    np.testing.assert_array_equal(points(message.joints), hand.joints)
    np.testing.assert_array_equal(points(message.joints_raw), hand.joints_raw)
    for field in HAND_FIELDS[1:]:
        np.testing.assert_array_equal(getattr(message, field), np.ravel(getattr(hand, field)).astype(np.float32))
    expected = hand.vertices if with_vertices and hand.vertices is not None else np.zeros(0)
    np.testing.assert_array_equal(message.vertices, np.ravel(expected).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(
    frame_id=FRAMES,
    network=FRAMES,
    states=st.sampled_from(STATES_OF_BOTH),
    vertices=st.booleans(),
    asked=st.booleans(),
    stages=st.lists(st.text("abc_", max_size=5), max_size=4, unique=True),
    stamp=st.integers(0, 2**31 * 10**9 - 1),
)
def test_hand_pair_reads_back(frame_id, network, states, vertices, asked, stages, stamp):
    """Names of any length shift what follows them: every number must still be where a reader looks for it."""
    pair = make_pair(stamp, states, vertices)
    latency = {stage: i / 8 for i, stage in enumerate(stages)}
    data = HandPairEncoder(network, "model").encode(pair, frame_id, latency, (7, 8, 2**40), asked)
    message = deserialize(data, HandPair)
    for hand, part in zip(pair.hands, (message.left, message.right)):
        check_hand(part, hand, frame_id, stamp, asked)
    relative = message.left_root_relative
    expected = np.full(3, np.nan) if pair.left_root_relative is None else pair.left_root_relative
    np.testing.assert_array_equal([relative.x, relative.y, relative.z], expected)
    assert message.left_root_source == SOURCES[pair.left_root_source]
    assert (message.network, message.frames_published) == (network, 7)
    assert (message.frames_dropped, message.frames_rejected) == (8, 2**40)
    assert dict(zip(message.latency_stages, message.latency)) == latency
    # The same message written by rosbags is the same bytes: no padding or alignment is left to luck.
    if not message_types.is_compiled(HandPair):
        assert bytes(typestore().serialize_cdr(message, "fourdhands_ros/msg/HandPair")) == data


def test_a_template_is_patched_with_every_number():
    """The second message from a template carries nothing of the first."""
    encoder = HandPairEncoder("network", "model")
    for seed in range(3):
        pair = make_pair(seed * 10**9 + seed, vertices=True, seed=seed)
        data = encoder.encode(pair, "camera", {"total": seed}, (seed,) * 3, True)
        fresh = HandPairEncoder("network", "model").encode(pair, "camera", {"total": seed}, (seed,) * 3, True)
        assert data == fresh
    assert encoder._template.cache_info().currsize == 1


def test_templates_do_not_pile_up():
    """A camera that changes its frame id with every image does not fill the memory."""
    encoder = TransformEncoder()
    for i in range(1000):
        encoder.encode(make_pair(), f"frame{i}")
    assert encoder._template.cache_info().currsize <= 64


@settings(max_examples=40, deadline=None)
@given(frame_id=FRAMES, prefix=FRAMES, states=st.sampled_from(STATES_OF_BOTH), level=st.sampled_from(["wrist", "joints"]))
def test_transforms_read_back(frame_id, prefix, states, level):
    """Only valid hands have frames: a held pose with the image's stamp would be a stale pose without its age."""
    pair = make_pair(states=states)
    encoder = TransformEncoder(level, prefix)
    data = encoder.encode(pair, frame_id)
    valid = [hand for hand in pair.hands if hand.valid]
    assert (data is None) == (not valid or bool(encoder.problem(frame_id)))
    if data is None:
        return
    transforms = deserialize(data, TFMessage).transforms
    expected = []
    for hand in valid:
        side = SIDES[hand.side]
        expected.append((frame_id, f"{prefix}{side}_wrist"))
        if level == "joints":
            expected += [
                (f"{prefix}{side}_{JOINT_NAMES[JOINT_PARENTS[j]]}", f"{prefix}{side}_{JOINT_NAMES[j]}") for j in range(1, 21)
            ]
    assert [(t.header.frame_id, t.child_frame_id) for t in transforms] == expected
    assert {(t.header.stamp.sec, t.header.stamp.nanosec) for t in transforms} == {divmod(pair.stamp, 10**9)}


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-7, 1e-3, 1.0, np.pi - 1e-9, np.pi, 3.5, 6.2, 40.0])
def test_quaternions_are_those_of_tf_transformations(angle):
    """Of wrists and of all joints, each about another axis; PyPI has only transforms3d, of which that package makes them."""
    transforms3d = pytest.importorskip("transforms3d")
    try:
        from tf_transformations import quaternion_about_axis
    except ImportError:

        def quaternion_about_axis(angle, axis):
            return np.roll(transforms3d.quaternions.axangle2quat(axis, angle), -1)

    axes = np.random.default_rng(0).normal(size=(16, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    expected = np.array([quaternion_about_axis(angle, axis) for axis in axes])
    hand = dataclasses.replace(make_hand(1), global_orient=angle * axes[0], hand_pose=(angle * axes[1:]).ravel())
    np.testing.assert_allclose(wrist_pose(hand)[3:], expected[0], atol=1e-13)
    np.testing.assert_allclose(joint_poses([hand])[0, MANO_IN_21, 3:], expected, atol=1e-13)


def test_chained_transforms_are_the_joints():
    """Following the frames from the camera to each joint ends at that joint, turned as MANO's chain of poses says."""
    hand = make_hand(1, seed=3)
    matrices = []
    for joint, pose in enumerate(joint_poses([make_hand(0), hand])[1]):
        step = np.eye(4)
        step[:3, :3], step[:3, 3] = matrix_from_quaternion(pose[3:]), pose[:3]
        matrices.append(matrices[JOINT_PARENTS[joint]] @ step if joint else step)
    np.testing.assert_allclose(matrices[0][:3, :3], hand.wrist_rotation, atol=1e-12)
    np.testing.assert_allclose([m[:3, 3] for m in matrices], hand.joints, atol=1e-12)
    local = dict(zip(MANO_IN_21[1:], matrix_from_axis_angle(hand.hand_pose.reshape(15, 3))))
    for joint in range(1, 21):
        turned = matrices[JOINT_PARENTS[joint]][:3, :3] @ local.get(joint, np.eye(3))
        np.testing.assert_allclose(matrices[joint][:3, :3], turned, atol=1e-12)


@pytest.mark.parametrize("level, frame_id", [("wrist", ""), ("wrist", "p/left_wrist"), ("joints", "p/right_thumb_2")])
def test_no_frame_is_its_own_ancestor(level, frame_id):
    encoder = TransformEncoder(level, "p/")
    assert encoder.encode(make_pair(), frame_id) is None and "nothing is published on /tf" in encoder.problem(frame_id)
    for other in ("camera", "left_wrist", "p/left_wrist2", *([] if level == "joints" else ["p/left_thumb_1"])):
        assert encoder.encode(make_pair(), other) is not None and not encoder.problem(other)


@pytest.mark.parametrize("frame_id", ["camera", "a", "ab", "abc", ""])
def test_markers_read_back_through_rclpy(frame_id):
    """Two meshes on ADD, one DELETE when a hand goes, nothing while it is away."""
    encoder = MarkerEncoder((FACES, FACES[:, ::-1]), lifetime=1.25)
    pair = make_pair(vertices=True)
    data = encoder.encode(pair, frame_id)
    message = deserialize_message(data, MarkerArray)
    assert len(serialize_message(message)) == len(data)
    again = typestore().deserialize_cdr(data, "visualization_msgs/msg/MarkerArray")
    assert bytes(typestore().serialize_cdr(again, "visualization_msgs/msg/MarkerArray")) == data
    assert [(m.ns, m.id, m.type, m.action) for m in message.markers] == [("hands", 0, 11, 0), ("hands", 1, 11, 0)]
    for marker, hand, faces in zip(message.markers, pair.hands, (FACES, FACES[:, ::-1])):
        assert marker.header.frame_id == frame_id
        assert (marker.header.stamp.sec, marker.header.stamp.nanosec) == divmod(pair.stamp, 10**9)
        np.testing.assert_array_equal(points(marker.points), hand.vertices[faces].reshape(-1, 3))
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 250_000_000)
        assert (marker.pose.orientation.w, marker.scale.x, marker.color.a) == (1, 1, 1)

    one = make_pair(states=(ABSENT, TRACKED), vertices=True)
    gone = deserialize_message(encoder.encode(one, frame_id), MarkerArray)
    assert sorted((m.id, m.action) for m in gone.markers) == [(0, 2), (1, 0)]
    away = deserialize_message(encoder.encode(one, frame_id), MarkerArray)
    assert [(m.id, m.action) for m in away.markers] == [(1, 0)]
    assert [(m.id, m.action) for m in deserialize_message(encoder.clear(), MarkerArray).markers] == [(1, 2)]
    assert encoder.clear() is None and encoder.encode(make_pair(states=(ABSENT, ABSENT)), frame_id) is None


def test_faces_read_back():
    message = deserialize(encode_faces((FACES, FACES[::-1]), "hand"), HandFaces)
    assert message.model == "hand"
    np.testing.assert_array_equal(message.left, FACES.ravel())
    np.testing.assert_array_equal(message.right, FACES[::-1].ravel())


def test_values_of_constants():
    """The numbers that conversion writes are those that the messages name."""
    assert STATES == {ABSENT: message_types.Hand.ABSENT, TRACKED: message_types.Hand.TRACKED, HELD: message_types.Hand.HELD}
    assert SOURCES == {"none": HandPair.NONE, "network": HandPair.NETWORK, "joint": HandPair.JOINT}
    names = [name.upper() for name in JOINT_NAMES]
    assert [getattr(message_types.Hand, name) for name in names] == list(range(21))


def test_a_type_made_at_run_time_is_what_rosidl_made(ros):
    """For a message that has both: name and hash over DDS are equal, and one understands the other."""
    if get_rmw_implementation_identifier() != "rmw_fastrtps_cpp":
        with pytest.raises(DependencyError, match="build this package with colcon"):
            message_types._runtime_type("geometry_msgs/msg/TransformStamped")
        return
    made = message_types._runtime_type("geometry_msgs/msg/TransformStamped")
    node = ros.node(enable_rosout=False)
    publishers = [node.create_publisher(kind, topic, 1) for kind, topic in ((made, "made"), (TransformStamped, "compiled"))]
    topics = "made", "compiled"
    assert ros.spin_until(lambda: all(map(node.get_publishers_info_by_topic, topics)))
    infos = [node.get_publishers_info_by_topic(topic)[0] for topic in topics]
    assert infos[0].topic_type == infos[1].topic_type == "geometry_msgs/msg/TransformStamped"
    assert infos[0].topic_type_hash == infos[1].topic_type_hash
    received = []
    message_types.create_subscription(node, TransformStamped, "made", received.append, 1)
    sent = TransformStamped(child_frame_id="child")
    assert ros.spin_until(lambda: publishers[0].publish(serialize_message(sent)) or received)
    assert received[0] == sent


def descriptions(made_name: str):
    """The description of a type made at run time as nested tuples, read back from the C structures."""
    import ctypes

    support = message_types._type_support(message_types._runtime_type(made_name))
    address = message_types._Getter(support.get_type_description)(ctypes.addressof(support))
    return message_types._Description.from_address(address)


def test_description_of_nested_types():
    """A recorder that asks the node for the type gets every type in it, sorted, with what each field is."""
    if message_types.is_compiled(HandPair):
        pytest.skip("the types are compiled")
    description = descriptions("fourdhands_ros/msg/HandPair")
    sequence = description.referenced
    kinds = (message_types._IndividualDescription * sequence.size).from_address(sequence.data)
    names = [kind.type_name.data.decode() for kind in kinds]
    assert names == sorted(names) and set(names) == set(
        (
            "builtin_interfaces/msg/Time std_msgs/msg/Header geometry_msgs/msg/Point geometry_msgs/msg/Pose "
            "geometry_msgs/msg/Quaternion geometry_msgs/msg/Vector3 fourdhands_ros/msg/Hand"
        ).split()
    )
    hand = kinds[names.index("fourdhands_ros/msg/Hand")]
    fields = (message_types._Field * hand.fields.size).from_address(hand.fields.data)
    described = {f.name.data.decode(): (f.type.type_id, f.type.nested.data.decode()) for f in fields}
    assert described["joints"] == (144 + 1, "geometry_msgs/msg/Point")
    assert described["betas"] == (144 + 10, "") and described["side"] == (3, "")


def test_a_type_made_at_run_time_says_what_it_cannot_do():
    if message_types.is_compiled(HandPair):
        pytest.skip("the types are compiled")
    with pytest.raises(TypeError, match="moves serialised messages only"):
        HandPair()


@given(FRAMES, st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_a_played_image_is_the_message_that_rclpy_would_make(frame_id, width, height, sec):
    image = np.random.default_rng(sec).integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = Image(height=height, width=width, encoding="rgb8", step=3 * width, data=image.tobytes())
    expected.header.frame_id, expected.header.stamp.sec, expected.header.stamp.nanosec = frame_id, sec, 7
    message = image_template(width, height, frame_id).fill(sec=sec, nanosec=7, data=image)
    assert len(message) == len(serialize_message(expected)) and deserialize_message(message, Image) == expected


def test_every_field_is_explained():
    """Each field of the messages has a comment above it, or shares that of the field above."""
    for path in sorted((REPOSITORY / "msg").glob("*.msg")):
        lines = path.read_text().splitlines()
        assert (lines[0].startswith("# ") and lines[1].strip() in ("", "#")) or lines[1].startswith("#")
        for block in "\n".join(lines).split("\n\n"):
            if any(line and not line.startswith("#") for line in block.splitlines()):
                assert block.startswith("#"), f"{path.name}: {block.splitlines()[0]}"


@pytest.mark.parametrize("data", [b"", b"\x00\x01", b"\x00\x01\x00"])
def test_what_is_shorter_than_a_header_is_no_message(data):
    """rmw_cyclonedds reads beyond its end, and the process ends with a segmentation fault."""
    with pytest.raises(ValueError, match="are no message"):
        deserialize_ros(data, Image)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_native_code_is_no_damaged_message(number, monkeypatch):
    """rclpy makes a TypeError of what a signal raises in what it calls: the image was refused, and the command went on."""

    def interrupted(data, kind):
        with contextlib.suppress(signals.Asked):
            signal.raise_signal(number)
        raise TypeError("Unable to convert function return value to a Python type!")

    monkeypatch.setattr(message_types, "deserialize_message", interrupted)
    with pytest.raises(signals.Asked) as asked, signals.running():
        ImageDecoder(compressed=False).decode(bytes(100))
    assert asked.value.number == number
    with pytest.raises(MalformedImage):
        ImageDecoder(compressed=False).decode(bytes(3))
