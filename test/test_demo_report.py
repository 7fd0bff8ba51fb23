"""The demo's numbers against worked values, and the recorder on topics of every kind."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="the demo needs ROS 2 (pip install 'fourdhands[ros]')")

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_support import Ros
from rosbags.rosbag2 import Reader
from std_msgs.msg import String

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_ros.bags.recorded_topics import Selection
from fourdhands_ros.bags.recorder import Recorder
from fourdhands_ros.convert.camera_info import calibration_from_info
from fourdhands_ros.tools.camera import camera_info
from fourdhands_ros.tools.demo_report import Recording, errors, messages, summary, text

START, PERIOD = 1_700_000_000 * 10**9, 10**9 // 30


def recording(frames, joints) -> Recording:
    """A recording whose images have these numbers of frames; 3 dropped, 1 rejected."""
    pair = SimpleNamespace(latency_stages=["detect", "solve"], latency=[0.02, np.nan], frames_dropped=3, frames_rejected=1)
    stamp = START + np.array(frames, np.int64) * PERIOD
    return Recording([pair] * len(frames), stamp, np.full(len(frames), 0.05), joints, {"/image_raw": 10}, None)


def truth_of(count: int) -> dict:
    joints = np.random.default_rng(0).normal(0, 0.05, (count, 2, 21, 3)) + (0, 0, 0.5)
    valid = np.ones((count, 2), bool)
    valid[5:, 0] = False
    joints[~valid] = np.nan
    return {"stamp": np.arange(count) * PERIOD, "joints": joints, "valid": valid}


def test_errors_are_those_of_the_matching_frames():
    truth, frames = truth_of(10), [0, 2, 3, 6, 9]
    joints = truth["joints"][frames].copy()
    joints[:, 1] += (0.003, 0.0, 0.004)  # the whole right hand 5 mm off
    joints[0, 0, 1:] += (0.0, 0.0, 0.021)  # the left hand's pose in one of three frames: 20 of 21 joints 21 mm off
    joints[4, 1] = np.nan  # a right hand missed
    joints[3, 0] = 0.1  # a left hand where there is none
    result = errors(recording(frames, joints), truth, START, 30.0)
    assert result["wrist_right"] == pytest.approx(5.0) and result["wrist_left"] == pytest.approx(0.0, abs=1e-9)
    assert result["mpjpe_right"] == pytest.approx(0.0, abs=1e-9) and result["mpjpe_left"] == pytest.approx(20.0 / 3)
    assert result["mrrpe"] == pytest.approx(5.0) and result["frames_with_both"] == 3
    assert result["found"] == pytest.approx(7 / 8) and result["found_right"] == pytest.approx(4 / 5)
    assert result["false_hands"] == 1 and result["true_hands"] == 8


def test_every_frame_is_accounted_for_and_stages_that_did_not_run_are_nan():
    numbers = summary(recording([0, 2, 3, 6, 9], np.full((5, 2, 21, 3), np.nan)), 10)
    assert numbers["rates"] == {
        "frames_in": 10,
        "frames_out": 5,
        "dropped": 3,
        "rejected": 1,
        "not_received": 1,
        "images_recorded": 10,
        "fps": pytest.approx(4 / (9 * PERIOD / 1e9)),
    }
    assert numbers["latency_ms"]["detect"] == pytest.approx([20, 20, 20])
    assert np.isnan(numbers["latency_ms"]["solve"]).all()
    assert numbers["latency_ms"]["stamp to arrival"] == pytest.approx([50, 50, 50])
    printed = text(numbers)
    assert "10 in, 5 out" in printed and "not calibrated" in printed and "MPJPE" not in printed


@pytest.mark.parametrize(
    "camera",
    [
        Camera.from_fov(640, 480, 60.0, calibrated=True),
        Camera(64, 48, [[60, 0, 31.5], [0, 61, 23.5], [0, 0, 1]], "plumb_bob", [0.1, 0.01, 0, 0, 0]),
        Camera(64, 48, [[60, 0, 31.5], [0, 61, 23.5], [0, 0, 1]], "equidistant", [0.1, 0.01, 0, 0.1]),
    ],
)
def test_camera_info_carries_the_whole_camera(camera):
    back = calibration_from_info(camera_info(camera.width, camera.height, camera, "camera")).camera()
    points = np.random.default_rng(1).uniform(-0.3, 0.3, (9, 3)) + (0, 0, 1)
    np.testing.assert_allclose(back.project(points), camera.project(points), atol=1e-9)
    assert calibration_from_info(camera_info(640, 480, None, "camera")).camera() is None


@pytest.fixture
def ros(closing):
    return closing(Ros())


def wait(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_the_recorder_keeps_every_message_of_every_topic(ros, tmp_path):
    import rclpy

    talker = rclpy.create_node("talker", context=ros.context)
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    latched = talker.create_publisher(String, "latched", kept)
    latched.publish(String(data="before"))
    node, chosen = rclpy.create_node("recorder", context=ros.context), Selection(["/latched", "/loose"])
    recorder = Recorder(node, tmp_path / "bag", chosen, memory=100)
    loose = talker.create_publisher(String, "loose", QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT))
    secret = talker.create_publisher(String, "secret", 1)
    assert wait(lambda: recorder.publishers("loose") and recorder.counts.get("/latched"))
    assert wait(lambda: loose.get_subscription_count() > 0)
    began = time.time_ns()
    for i in range(30):
        loose.publish(String(data=str(i)))
        secret.publish(String(data="not this"))
        time.sleep(0.01)
    assert wait(lambda: recorder.counts["/loose"] == 30), recorder.counts
    recorder.close()
    talker.destroy_node()
    rows = list(messages(tmp_path / "bag", "/loose"))
    assert [message.data for _, message in rows] == [str(i) for i in range(30)]
    assert all(began - 10**9 < at < time.time_ns() for at, _ in rows)
    assert [message.data for _, message in messages(tmp_path / "bag", "/latched")] == ["before"]
    with Reader(tmp_path / "bag") as reader:
        offers = {connection.topic: connection.ext.offered_qos_profiles[0] for connection in reader.connections}
    assert "/secret" not in offers and offers["/loose"].reliability.name == "BEST_EFFORT"
    assert offers["/latched"].durability.name == "TRANSIENT_LOCAL"


def test_a_recording_that_cannot_be_written_is_told(ros, tmp_path):
    import rclpy

    talker = rclpy.create_node("talker", context=ros.context)
    recorder = Recorder(rclpy.create_node("recorder", context=ros.context), tmp_path / "bag", memory=0)
    publisher = talker.create_publisher(String, "words", 10)
    assert wait(lambda: recorder.publishers("words"))

    def full(*_):
        raise OSError(28, "No space left on device")

    recorder._queue._writer.write = full
    publisher.publish(String(data="x"))
    assert wait(lambda: recorder._queue.error is not None)
    with pytest.raises(InputError, match="No space left"):
        recorder.close()
    talker.destroy_node()
