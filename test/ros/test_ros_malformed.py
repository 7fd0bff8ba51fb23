"""Nothing that a camera sends stops the node: malformed images and intrinsics, jumps of time, pauses, bugs."""

import array
import contextlib
import itertools

import numpy as np
import pytest
from rclpy.parameter import Parameter
from ros_support import PERIOD, SECOND, T0, image_message, info_message, stamp_to
from sensor_msgs.msg import Image

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.tracker import HandPairTracker


def malformed(i: int, good_stamp: int):
    """The i-th of many malformed inputs: (image or bytes, reason it is counted under)."""
    kind, stamp = i % 10, good_stamp + 1000 + i
    if kind == 8:
        return bytes([0, 1, 0, 0]) + np.random.default_rng(i).bytes(i % 300), "message"
    if kind == 9:
        return image_message(good_stamp), "repeated stamp"
    message = image_message(stamp)
    if kind == 0:
        message.step = (0, 17, 191, 193, 2**32 - 1)[i // 10 % 5]
        return message, "step" if message.step < 192 else "data"
    if kind == 1:
        message.encoding = ("", "rgb9", "32FC1", "\U0001f44b", "h264")[i // 10 % 5]
        return message, "encoding"
    if kind == 2:
        message.width = 0
    elif kind == 3:
        message.height = 0
    elif kind == 4:
        message.width, message.height, message.step = 2**31, 2**31, 2**31
    elif kind in (5, 6):
        message.data = message.data[: (0, 1, 9215)[i // 10 % 3]] if kind == 5 else message.data + message.data
        return message, "data"
    else:
        message.header.stamp.sec = -1 - i
        return message, "stamp"
    return message, "size"


def test_a_thousand_malformed_images(bench):
    """All refused under their names, none changes a result, and the next good image is answered in full."""
    bench = bench()
    first = bench.good(T0)
    expected = {}
    for i in range(1000):
        message, reason = malformed(i, T0)
        bench.send(message)
        expected[reason] = expected.get(reason, 0) + 1
    statistics = bench.channel.statistics
    assert dict(statistics.refused) == expected and statistics.rejected == 1000
    assert len(bench.pairs) == 1 and bench.tracker.resets == 0
    diagnosis = bench.diagnosis()
    assert diagnosis["refused"] == "1000" and diagnosis["refused: encoding"] == "100"
    last = bench.good(T0 + PERIOD, (255, 255, 0))
    assert last.frames_rejected == 1000 and last.frames_published == 2
    for field in ("hand_pose", "betas", "joints_2d"):
        np.testing.assert_array_equal(getattr(last.left, field), getattr(first.left, field))


def test_a_real_video_between_malformed_images(bench, real_data):
    """What comes out for a real hand is what the tracker gives without ROS, whatever comes between the images."""
    with contextlib.closing(VideoReader(real_data / "video" / "right_hand.mp4")) as video:
        frames = [image for _, image in itertools.islice(video, 40)]
    height, width = frames[0].shape[:2]
    with contextlib.closing(HandPairTracker()) as tracker:
        camera = Camera.from_fov(width, height, 60.0, calibrated=True)
        expected = [tracker.process(image, T0 + i * PERIOD, camera) for i, image in enumerate(frames)]
    assert sum(pair.right.valid for pair in expected) > 35

    bench = bench(tracker=HandPairTracker())
    bench.inform(info_message(width, height, camera.matrix[0, 0]))
    for i, (image, wanted) in enumerate(zip(frames, expected)):
        for k in range(5):
            bench.send(malformed(5 * i + k, T0 + (i - 1) * PERIOD)[0])
        message = Image(width=width, height=height, encoding="rgb8", step=3 * width)
        message.data = array.array("B", image.tobytes())
        stamp_to(message, T0 + i * PERIOD)
        message.header.frame_id = "camera"
        bench.send(message)
        assert bench.ros.spin_until(lambda: len(bench.pairs) == i + 1)
        pair = bench.pairs[-1]
        assert not pair.left.valid and pair.right.valid == wanted.right.valid
        if wanted.right.valid:
            assert pair.right.scaled
            np.testing.assert_allclose([(p.x, p.y, p.z) for p in pair.right.joints], wanted.right.joints, atol=1e-4)
            np.testing.assert_allclose(pair.right.hand_pose, wanted.right.hand_pose, atol=1e-3)
    assert bench.channel.statistics.rejected == 200


def test_malformed_camera_info_in_between(bench):
    """Zero, NaN and negative intrinsics, other sizes, garbage: positions unscaled, then scaled again."""
    bench = bench()
    nan = float("nan")
    stamp = T0
    bad = []
    for matrix in ([0.0] * 9, [nan] * 9, [-60.0, 0, 31, 0, -60, 23, 0, 0, 1], [60.0, 0, nan, 0, 60, 23, 0, 0, 1]):
        bad.append(info_message())
        bad[-1].k = matrix
    bad += [info_message(0, 0), info_message(640, 360), bytes([0, 1, 0, 0]), b"garbage"]
    cameras, events = bench.channel.cameras, bench.channel.statistics.events

    for i in range(80):
        bench.inform(info_message(), lambda: cameras.camera_for(64, 48).calibrated)
        message, unpacked = bad[i % len(bad)], events.total()
        bench.inform(message, lambda: events.total() > unpacked or not cameras.camera_for(64, 48).calibrated)
        stamp += PERIOD
        assert bench.good(stamp).left.valid
        assert (cameras.state == "calibrated") == isinstance(message, bytes)
    bench.inform(info_message(), lambda: cameras.camera_for(64, 48).calibrated)
    bench.good(stamp + PERIOD)
    assert cameras.state == "calibrated" and events["CameraInfo messages that do not unpack"] >= 20


def test_a_camera_that_pauses(bench):
    """After ten seconds tracking starts anew; after a short hiccup it does not."""
    bench = bench()
    bench.good(T0)
    bench.good(T0 + SECOND)
    assert bench.tracker.resets == 0
    assert bench.good(T0 + 11 * SECOND).left.valid
    assert bench.tracker.resets == 1
    assert bench.diagnosis()["pauses of the camera"] == "1"


def test_uncalibrated_says_so(bench):
    """Without CameraInfo an assumed field of view; with zeros at once; both in diagnostics."""
    bench = bench({"default_fov": 90.0})
    bench.good(T0)
    assert bench.channel.cameras.camera_for(64, 48).matrix[0, 0] == pytest.approx(32.0)
    diagnosis = bench.diagnosis()
    assert diagnosis["calibration"] == "unknown: no CameraInfo has been received"
    message = info_message()
    message.k = [0.0] * 9
    bench.inform(message, lambda: bench.channel.cameras.newest[1] == "uncalibrated")
    bench.good(T0 + PERIOD)
    assert bench.diagnosis()["calibration"].startswith("uncalibrated: the focal length")


def test_an_image_without_a_frame_has_no_transforms(bench):
    """tf2 refuses a frame without a name; the message goes out all the same."""
    bench = bench()
    assert bench.good(T0, frame_id="").left.valid
    assert bench.good(T0 + PERIOD, frame_id="/").header.frame_id == ""
    told = bench.diagnosis()
    assert told["frames"].startswith("the images name no frame_id, so nothing is published on /tf") and told["level"] != b"\0"
    bench.good(T0 + 2 * PERIOD)
    assert bench.ros.spin_until(lambda: bench.transforms)
    assert bench.transforms[0].transforms[0].header.frame_id == "camera"
    assert "frames" not in bench.diagnosis()


@pytest.mark.parametrize("level, frame_id", [("wrist", "left_wrist"), ("wrist", "/right_wrist"), ("joints", "left_index_2")])
def test_a_camera_whose_frame_is_a_hands(bench, monkeypatch, level, frame_id):
    """No frame is its own parent, or its own child's child; it is told once, and another prefix helps."""
    bench, said = bench({"tf": level}), []
    monkeypatch.setattr(type(bench.node.get_logger()), "warning", lambda _, text, **__: said.append(text), raising=False)
    for number in range(3):
        assert bench.good(T0 + number * PERIOD, frame_id=frame_id).left.valid
        words = bench.diagnosis()["frames"]
        assert repr(frame_id.lstrip("/")) in words and "give another frame_prefix" in words
    assert said.count(words) == 1
    assert bench.node.set_parameters([Parameter("frame_prefix", value="a_")])[0].successful
    bench.good(T0 + 5 * PERIOD, frame_id=frame_id)
    assert bench.ros.spin_until(lambda: bench.transforms)
    for one in bench.transforms[0].transforms:
        assert one.child_frame_id.startswith("a_") and one.header.frame_id != one.child_frame_id
    assert "frames" not in bench.diagnosis() and all(len(one.transforms) in (2, 42) for one in bench.transforms)


WRONG_INFOS = {
    "principal point": dict(k=[60.0, 0, 400, 0, 60, 24, 0, 0, 1]),
    "another resolution": dict(k=[120.0, 0, 64, 0, 120, 48, 0, 0, 1]),
    "focal lengths": dict(k=[60.0, 0, 32, 0, 6, 24, 0, 0, 1]),
    "scaled": dict(k=[120.0, 0, 64, 0, 120, 48, 0, 0, 2]),
    "transposed": dict(k=[60.0, 0, 0, 0, 60, 0, 32, 24, 1]),
    "negative": dict(k=[-60.0, 0, 32, 0, 60, 24, 0, 0, 1]),
    "folds": dict(d=[-5.0, 0, 0, 0, 0]),
}


def test_calibrations_that_are_no_cameras_have_no_scale(bench, monkeypatch):
    """Over DDS: hands go on without scale, the log and diagnostics say why; the right one is used again."""
    bench, said = bench(), []
    monkeypatch.setattr(type(bench.node.get_logger()), "warning", lambda _, text, **__: said.append(text), raising=False)
    for number, (kind, change) in enumerate(WRONG_INFOS.items()):
        bench.inform(info_message())
        assert bench.good(T0 + 2 * number * PERIOD).left.scaled
        message = info_message()
        for name, value in change.items():
            setattr(message, name, list(map(float, value)))
        bench.inform(message, lambda: bench.channel.cameras.newest[1] == "invalid")
        pair = bench.good(T0 + (2 * number + 1) * PERIOD)
        assert pair.left.valid and pair.right.valid and not pair.left.scaled and not pair.right.scaled, kind
        told = bench.diagnosis()
        assert told["calibration"].startswith("invalid: CameraInfo is malformed: "), kind
    assert any("CameraInfo is malformed" in text and "positions are marked as not scaled" in text for text in said)


@pytest.mark.parametrize("frame_id", ["/camera", "//camera"])
def test_slashes_before_a_frame_are_left_out_everywhere(bench, frame_id):
    """As drivers and bags from ROS 1 have them; tf2 refuses to look such a frame up."""
    bench = bench({"tf": "joints", "frame_prefix": "robot/"})
    drawn = []
    bench.user.create_subscription(Image, "hands/debug_image", drawn.append, 10)
    assert bench.ros.spin_until(lambda: bench.channel.outputs.debug.wanted)
    pair = bench.good(T0, frame_id=frame_id)
    assert {pair.header.frame_id, pair.left.header.frame_id, pair.right.header.frame_id} == {"camera"}
    assert bench.ros.spin_until(lambda: bench.transforms and bench.markers and drawn)
    frames = {t.child_frame_id: t.header.frame_id for t in bench.transforms[0].transforms}
    assert frames["robot/left_wrist"] == "camera"
    assert not any(name.startswith("/") for one in frames.items() for name in one)
    assert {marker.header.frame_id for marker in bench.markers[0].markers} == {drawn[0].header.frame_id} == {"camera"}
    bench.diagnosis()
    assert bench.diagnostics[-1].status[0].hardware_id == "camera"
