"""Depth images over DDS: each image gets the one of its moment, and none that is stale or malformed."""

import array
import io
import struct
import threading

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_support import CAMERA, IMAGE, TruthDetector, shown
from rclpy.serialization import serialize_message
from ros_support import PATIENT, PERIOD, RELIABLE, T0, FakeTracker, image_message, info_message, stamp_to
from sensor_msgs.msg import CompressedImage, Image
from test_ros_images import refusal
from test_ros_services import large_image

from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.hand_model.skeleton import RIGHT
from fourdhands_core.media.clips import pose_hands
from fourdhands_core.media.render import render_meshes
from fourdhands_core.pipeline.session import Counts, Notes
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_ros.convert.depth_buffer import DepthBuffer
from fourdhands_ros.convert.images import MalformedImage, decode_compressed_depth, decode_depth
from fourdhands_ros.pypi.message_types import typestore

SIZE = 64, 48
"""Of the images, pixels."""


def depth_message(stamp, values, encoding, padding=0, big_endian=False):
    """An Image of depth values (H, W), with bytes of padding after each row."""
    height, width = values.shape
    kind = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4"}[encoding]
    rows = values.astype((">" if big_endian else "<") + kind).view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    message = Image(width=width, height=height, encoding=encoding, step=rows.shape[1], is_bigendian=int(big_endian))
    message.data = array.array("B", rows.tobytes())
    stamp_to(message, stamp)
    return message


def values(encoding, seed=0, shape=(24, 32)):
    """Depths of half a metre to two, with holes, in the encoding's unit."""
    metres = np.random.default_rng(seed).uniform(0.5, 2.0, shape)
    metres[:3, :5] = np.nan if encoding == "32FC1" else 0.0
    return metres.astype(np.float32) if encoding == "32FC1" else np.round(1000.0 * metres).astype(np.uint16)


@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
@pytest.mark.parametrize("padding, big_endian", [(0, False), (6, False), (4, True)])
def test_encodings(encoding, padding, big_endian):
    depth = values(encoding)
    found = decode_depth(depth_message(T0, depth, encoding, padding, big_endian))
    assert found.dtype == depth.dtype and found.dtype.isnative
    np.testing.assert_array_equal(found, depth)


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(encoding="rgb8"), "encoding"),
        (dict(encoding="64FC1"), "encoding"),
        (dict(step=10), "step"),
        (dict(width=0), "size"),
        (dict(height=2**31), "size"),
        (dict(data=array.array("B", b"short")), "data"),
    ],
)
def test_malformed_depth_images(change, reason):
    assert refusal(depth_message(T0, values("16UC1"), "16UC1"), change, decode_depth).reason == reason


DEPTH_MAX, QUANTISATION = np.float32(10.0), np.float32(100.0)
"""image_transport_plugins' defaults, metres."""


def quantise(metres):
    """(H, W) float32 metres to 16-bit inverse depth, pixel by pixel as compressed_depth_image_transport does; and a, b."""
    a = QUANTISATION * (QUANTISATION + np.float32(1.0))
    b = np.float32(1.0) - a / DEPTH_MAX
    stored = np.array([[int(a / z + b) if z < DEPTH_MAX else 0 for z in row] for row in metres], np.uint16)
    return stored, float(a), float(b)


def compressed_depth(stamp, values, encoding, form="{}; compressedDepth png"):
    """A CompressedImage as compressed_depth_image_transport publishes it, its PNG written by Pillow."""
    stored, a, b = quantise(values) if encoding == "32FC1" else (values, 0.0, 0.0)
    png = io.BytesIO()
    PIL.Image.fromarray(stored).save(png, "PNG")
    message = CompressedImage(format=form.format(encoding))
    message.data = array.array("B", struct.pack("<iff", 0, a, b) + png.getvalue())
    stamp_to(message, stamp)
    return message


@pytest.mark.parametrize("form", ["{}; compressedDepth png", "{}; compressedDepth", "{};compressedDepth png"])
def test_compressed_depth(form):
    """Millimetres come back exactly, metres within the step of the quantisation: z**2 / 10,100 m, 0.4 mm at 2 m."""
    millimetres = values("16UC1", 3, (48, 64))
    found = decode_compressed_depth(compressed_depth(T0, millimetres, "16UC1", form))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, millimetres)
    metres = values("32FC1", 4, (48, 64))
    metres[10, :6] = (11.0, np.inf, 0.4, 9.9, 5.0, np.nan)
    found = decode_compressed_depth(compressed_depth(T0, metres, "32FC1", form))
    assert found.dtype == np.float32
    known = metres < DEPTH_MAX
    np.testing.assert_array_equal(np.isfinite(found), known)
    steps = metres[known].astype(float) ** 2 / 10_100.0
    assert (np.abs(found[known] - metres[known]) < 1.1 * steps).all()


def png_message(picture, form="16UC1; compressedDepth png", header=struct.pack("<iff", 0, 1.0, 0.0)):
    png = io.BytesIO()
    PIL.Image.fromarray(picture).save(png, "PNG")
    return CompressedImage(format=form, data=array.array("B", header + png.getvalue()))


def claiming(width, height):
    """A PNG whose first bytes claim a size."""
    message = png_message(np.full((24, 32), 7, np.uint16))
    message.data[28:36] = array.array("B", struct.pack(">II", width, height))
    return message


GREY = np.full((24, 32), 700, np.uint16)


@pytest.mark.parametrize(
    "message, reason",
    [
        (png_message(GREY, "32FC1; compressedDepth rvl"), "encoding"),
        (png_message(GREY, "png"), "encoding"),
        (png_message(GREY, "64FC1; compressedDepth png"), "encoding"),
        (png_message(GREY, ""), "encoding"),
        (png_message(GREY, header=b""), "compressed"),
        (png_message(GREY[:8]), "size"),
        (claiming(60_000, 60_000), "size"),
        (png_message(GREY.astype(np.uint8)), "compressed"),
        (png_message(np.zeros((24, 32, 3), np.uint8)), "compressed"),
        (CompressedImage(format="16UC1; compressedDepth png"), "compressed"),
        (png_message(GREY, "32FC1; compressedDepth png", struct.pack("<iff", 0, 0.0, 0.0)), "compressed"),
        (png_message(GREY, "32FC1; compressedDepth png", struct.pack("<iff", 0, np.nan, 0.0)), "compressed"),
        (png_message(GREY, "32FC1; compressedDepth png", struct.pack("<iff", 0, 1.0, np.inf)), "compressed"),
    ],
)
def test_malformed_compressed_depth(message, reason):
    assert refusal(message, {}, decode_compressed_depth).reason == reason


WHOLE = bytes(compressed_depth(T0, values("32FC1"), "32FC1").data)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["16UC1", "32FC1"]),
    st.integers(0, len(WHOLE) - 1),
    st.binary(min_size=1, max_size=8),
    st.integers(0, len(WHOLE)),
)
def test_damaged_compressed_depth_is_refused_or_decodes(encoding, at, garbage, end):
    """Whatever bytes are changed or missing: MalformedImage, or an image of finite depths and holes."""
    data = (WHOLE[:at] + garbage + WHOLE[at + len(garbage) :])[:end]
    message = CompressedImage(format=f"{encoding}; compressedDepth png", data=array.array("B", data))
    try:
        found = decode_compressed_depth(message)
    except MalformedImage:
        return
    assert found.ndim == 2 and not np.isinf(found).any() and (encoding == "16UC1" or not (found <= 0).any())


@pytest.mark.parametrize("little_endian", [True, False])
def test_a_stamp_is_read_in_the_order_of_bytes_that_the_message_has(little_endian):
    """As of a recorder or a bridge on another kind of computer."""
    buffer = DepthBuffer(0.02, Counts(), Notes())
    for number in range(3):
        message = depth_message(T0 + number * PERIOD, values("16UC1", number), "16UC1")
        message = typestore().deserialize_cdr(serialize_message(message), "sensor_msgs/msg/Image")
        buffer.put(bytes(typestore().serialize_cdr(message, "sensor_msgs/msg/Image", little_endian=little_endian)))
    np.testing.assert_array_equal(buffer.find(T0 + PERIOD, SIZE), values("16UC1", 1))
    assert buffer.find(T0 + 10 * PERIOD, SIZE) is None


@pytest.mark.parametrize("first, then", [(0, 0), (-5_000_000, 5_000_000), (5_000_000, -5_000_000)])
def test_of_two_depth_images_of_a_moment_the_newest_is_taken(first, then):
    """Where a recording is played again, the other one is of the turn before."""
    buffer = DepthBuffer(0.02, Counts(), Notes())
    for number, apart in enumerate((first, then)):
        buffer.put(serialize_message(depth_message(T0 + apart, values("16UC1", number), "16UC1")))
    np.testing.assert_array_equal(buffer.find(T0, SIZE), values("16UC1", 1))


@pytest.mark.parametrize("shape, taken", [((24, 32), True), ((27, 48), False), ((30, 50), False)])
def test_depth_of_another_shape_is_of_another_view(shape, taken):
    """As what a depth camera sees itself, with another lens: it was stretched over the image, and hands were placed by it."""
    counts, notes = Counts(), Notes()
    buffer = DepthBuffer(0.02, counts, notes)
    for i in range(2):
        buffer.put(serialize_message(depth_message(T0 + i * PERIOD, values("16UC1", i, shape), "16UC1")))
        assert (buffer.find(T0 + i * PERIOD, SIZE) is not None) == taken
    assert counts.events["depth images of another view"] == (0 if taken else 2)
    assert taken or f"{shape[1]}x{shape[0]} pixels are of another view than images of 64x48" in notes.kept[0]


def test_depth_of_another_frame_is_told(bench):
    """`fourdhands bag` leaves it out unless it is named; in the node, which is given a topic, it was taken without a word."""
    bench, publisher = depth_bench(bench)
    bench.inform(info_message())
    messages = set()

    def told(frame, image=iter(range(10**6))):
        stamp = T0 + next(image) * PERIOD
        depth = depth_message(stamp, values("16UC1"), "16UC1")
        depth.header.frame_id = frame
        give(bench, publisher, [depth])
        bench.good(stamp)
        messages.update(status.message for array_ in bench.diagnostics for status in array_.status)
        return messages

    words = "depth images are of frame depth_optical, the images of camera"
    assert bench.ros.spin_until(lambda: any(message.startswith(words) for message in told("depth_optical")))
    messages.clear()
    bench.diagnostics.clear()
    assert bench.ros.spin_until(lambda: "tracking" in told("camera"))


def test_depth_images_that_say_nothing_are_told(bench):
    """Of a sensor that is covered, or switched off: hands came from colour alone, without a word."""
    bench, publisher = depth_bench(bench)
    bench.inform(info_message())
    messages, shown = set(), set()

    def told(depth, image=iter(range(10**6))):
        stamp = T0 + next(image) * PERIOD
        give(bench, publisher, [depth_message(stamp, depth, "16UC1")])
        bench.good(stamp)
        for status in (status for array_ in bench.diagnostics for status in array_.status):
            messages.add(status.message)
            shown.update(value.value for value in status.values if value.key == "depth")
        return messages

    words = "depth images hold no usable distances (all pixels are 0), colour alone places hands: see whether"
    assert bench.ros.spin_until(lambda: any(message.startswith(words) for message in told(np.zeros((24, 32), np.uint16))))
    assert "all pixels are 0" in shown
    messages.clear()
    bench.diagnostics.clear()
    assert bench.ros.spin_until(lambda: "tracking" in told(values("16UC1")))


def depth_bench(bench, **kwargs):
    parameters = {"depth": True, **kwargs.pop("parameters", {})}
    compressed = parameters.get("depth_transport") == "compressedDepth"
    made = bench(parameters, **kwargs)
    publisher = made.user.create_publisher(
        CompressedImage if compressed else Image, "depth/image_raw" + ("/compressedDepth" if compressed else ""), RELIABLE
    )
    made.ros.join(made.node, publisher)
    return made, publisher


def give(bench, publisher, messages):
    """Publish one message after the other, as they arrive: the node's subscription holds one."""
    taken, events = bench.channel.depth.messages, bench.channel.statistics.events

    def newest():
        return taken[-1][1] if taken else None, events["malformed depth images"]

    for message in messages:
        before = newest()
        publisher.publish(message)
        assert bench.ros.spin_until(lambda: newest() != before)


def test_each_image_gets_the_depth_of_its_moment(bench):
    """Neither the one before nor the one after, in whatever order they come; without one the image is tracked as ever."""
    bench, publisher = depth_bench(bench)
    give(bench, publisher, [depth_message(T0 + i * PERIOD + 1_000_000, values("16UC1", i), "16UC1") for i in (0, 2, 1)])
    for i in range(4):
        assert bench.good(T0 + i * PERIOD).left.valid
    assert sorted(bench.tracker.depths) == [T0, T0 + PERIOD, T0 + 2 * PERIOD]
    for i in range(3):
        np.testing.assert_array_equal(bench.tracker.depths[T0 + i * PERIOD], values("16UC1", i))
    assert bench.diagnosis()["images without a depth image of their moment"] == "1"
    assert "depth" in bench.pairs[-1].latency_stages


def test_a_depth_image_that_comes_later_than_its_image(bench):
    """It is waited for as long as the detector looks at the image anyway."""
    looking = threading.Event()

    class Looking(FakeTracker):
        def observe(self, *args, **kwargs):
            assert looking.wait(PATIENT)
            return super().observe(*args, **kwargs)

    bench, publisher = depth_bench(bench, tracker=Looking())
    bench.images.publish(image_message(T0))
    assert bench.ros.spin_until(lambda: bench.channel.statistics.received == 1)
    give(bench, publisher, [depth_message(T0, values("32FC1"), "32FC1")])
    looking.set()
    assert bench.ros.spin_until(lambda: bench.pairs)
    np.testing.assert_array_equal(bench.tracker.depths[T0], values("32FC1"))


def test_malformed_and_stale_depth_do_not_harm(bench):
    """Such images are tracked without depth, and diagnostics tell how many there were."""
    bench, publisher = depth_bench(bench, parameters={"depth_tolerance": 0.005})
    bad = depth_message(T0, values("16UC1"), "16UC1")
    bad.data = bad.data[:7]
    stale = depth_message(T0 + PERIOD - 6_000_000, values("16UC1"), "16UC1")
    give(bench, publisher, [bad, b"\x00\x01\x00\x00", b"\x00\x01\x00\x00" + bytes(4) + b"garbage", stale])
    assert bench.good(T0).left.valid and bench.good(T0 + PERIOD).left.valid and not bench.tracker.depths
    diagnosis = bench.diagnosis()
    assert diagnosis["malformed depth images"] == "2" and diagnosis["refused"] == "0"
    assert diagnosis["images without a depth image of their moment"] == "1"


def test_a_depth_camera_that_dies_is_told(bench):
    bench, publisher = depth_bench(bench)
    bench.inform(info_message())
    messages = set()

    def told(with_depth, image=iter(range(10**6))):
        stamp = T0 + next(image) * PERIOD
        if with_depth:
            give(bench, publisher, [depth_message(stamp, values("16UC1"), "16UC1")])
        bench.good(stamp)
        messages.update(status.message for array_ in bench.diagnostics for status in array_.status)
        return messages

    assert bench.ros.spin_until(lambda: "tracking" in told(True))
    messages.clear()
    bench.diagnostics.clear()
    assert bench.ros.spin_until(lambda: any("no depth images" in message for message in told(False)))


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_compressed_depth_over_dds(bench, encoding):
    """Images of compressedDepth arrive as raw ones do; what is malformed among them is counted."""
    bench, publisher = depth_bench(bench, parameters={"depth_transport": "compressedDepth"})
    depth = values(encoding)
    give(bench, publisher, [compressed_depth(T0, depth, encoding), png_message(GREY, "png")])
    assert bench.good(T0).left.valid and bench.good(T0 + PERIOD).left.valid
    np.testing.assert_allclose(bench.tracker.depths[T0], depth, rtol=1e-3 if encoding == "32FC1" else 0)
    assert bench.diagnosis()["images without a depth image of their moment"] == "1"
    stamped = png_message(GREY, "png")
    stamp_to(stamped, T0 + 2 * PERIOD)
    give(bench, publisher, [stamped])
    assert bench.good(T0 + 2 * PERIOD).left.valid and bench.diagnosis()["malformed depth images"] == "1"


def test_without_the_parameter_nobody_subscribes(bench):
    bench = bench()
    publisher = bench.user.create_publisher(Image, "depth/image_raw", RELIABLE)
    assert not bench.ros.spin_until(publisher.get_subscription_count, 0.5)


def test_a_real_tracker_is_corrected_by_depth(bench):
    """A hand larger than the model by 15 %, so that by its colour alone it seems nearer than it is by as much.

    From its first depth image on, with a wall behind it, the wrist is more than twice as near to where it is. In that one it
    jumps, and is not valid, so that nobody follows it there.
    """
    size = 1.15
    motion, truth = shown(np.zeros(10), count=25, asset=load_generic_hand())
    vertices, _ = pose_hands(motion, load_generic_hand())
    detector = TruthDetector(truth, hands=pair_of(load_generic_hand()))
    made, publisher = depth_bench(bench, tracker=HandPairTracker(TrackerSettings(hand_model="generic"), detector))
    made.inform(info_message(CAMERA.width, CAMERA.height, CAMERA.matrix[0, 0]))
    faces = made.tracker.faces[RIGHT]
    for i, stamp in enumerate(motion.stamp):
        if i >= 10:
            _, depth = render_meshes(IMAGE, [(size * vertices[i, RIGHT], faces, np.ones((778, 3)))], CAMERA)
            millimetres = np.round(1000.0 * np.minimum(depth, 1.5)).astype(np.uint16)
            give(made, publisher, [depth_message(T0 + int(stamp), millimetres, "16UC1")])
        made.send(large_image(T0 + int(stamp)))
    assert made.ros.spin_until(lambda: len(made.pairs) == len(motion.stamp))
    found = [(p.right.wrist.position.x, p.right.wrist.position.y, p.right.wrist.position.z) for p in made.pairs]
    errors = np.linalg.norm(np.array(found) - size * truth["joints"][:, RIGHT, 0], axis=1)
    assert [i for i, pair in enumerate(made.pairs) if not pair.right.valid] == [10]
    assert np.median(errors[:10]) > 0.08 and errors[11:].max() < 0.45 * np.median(errors[:10])
