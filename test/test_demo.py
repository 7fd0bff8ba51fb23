"""The demo as a user runs it: processes over real DDS, a bag that others can read, honest numbers, errors."""

import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from ros_domain import process_domain

pytest.importorskip("rclpy", reason="the demo needs ROS 2 (pip install 'fourdhands[ros]')")

from program_support import begun, in_process, python
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from video_support import plain_video

from fourdhands_core.media.video import VideoReader
from fourdhands_ros.pypi.message_types import typestore
from fourdhands_ros.tools.demo import CameraProcess
from fourdhands_ros.tools.demo import main as demo_command


def apart(**environment) -> dict[str, str]:
    """The environment of programs on a ROS domain of this test process."""
    return {**os.environ, "ROS_DOMAIN_ID": str(process_domain()), **environment}


def run(module: str, *arguments, **environment):
    return python("-m", module, *arguments, timeout=900, env=apart(**environment))


def read(bag: Path) -> dict[str, list]:
    """Messages by topic, read with nothing but ROS's own types and the definitions that the bag itself carries."""
    store, result = get_typestore(Stores.ROS2_JAZZY), {}
    with Reader(bag) as reader:
        for connection in reader.connections:
            types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
            store.register({name: value for name, value in types.items() if name not in store.types})
            result[connection.topic] = []
        for connection, _, data in reader.messages():
            result[connection.topic].append(store.deserialize_cdr(data, connection.msgtype))
    return result


def stamp(header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A run of three seconds: its output folder, and what it printed."""
    out = tmp_path_factory.mktemp("demo")
    result = run("fourdhands_ros.tools.demo", "--seconds", 3, "--out", out)
    assert result.returncode == 0, result.stderr + (out / "node.log").read_text()
    return out, result.stdout


@pytest.fixture(scope="module")
def bag(demo):
    return read(demo[0] / "bag")


def test_the_bag_holds_every_topic_with_the_images_stamps(bag):
    images = [stamp(message.header) for message in bag["/image_raw"]]
    assert len(images) == len(set(images)) and bag["/hands"]  # of 90, of which a busy camera leaves some out
    assert set(images) >= {stamp(message.header) for message in bag["/hands"]}
    assert set(images) >= {stamp(transform.header) for message in bag["/tf"] for transform in message.transforms}
    markers = [marker for message in bag["/hands/markers"] for marker in message.markers]
    shown = [marker for marker in markers if marker.action == 0]
    assert set(images) >= {stamp(marker.header) for marker in shown}
    assert shown and all(marker.type == 11 and len(marker.points) == 3 * 1538 for marker in shown)
    assert len(bag["/hands/faces"]) == 1 and len(bag["/hands/faces"][0].left) == 3 * 1538
    assert {"/camera_info", "/diagnostics"} <= set(bag)


def test_the_bag_says_its_types_and_how_they_were_offered(demo):
    with Reader(demo[0] / "bag") as reader:
        connections = {connection.topic: connection for connection in reader.connections}
    for topic, name in (("/hands", "fourdhands_ros/msg/HandPair"), ("/tf", "tf2_msgs/msg/TFMessage")):
        assert connections[topic].msgtype == name
        assert connections[topic].digest == typestore().hash_rihs01(name)
    durabilities = {topic: connection.ext.offered_qos_profiles[0].durability.name for topic, connection in connections.items()}
    assert durabilities["/hands/faces"] == "TRANSIENT_LOCAL" and durabilities["/hands"] == "VOLATILE"


def test_hands_are_whole_where_they_are_and_empty_where_not(bag):
    for pair in bag["/hands"]:
        for side, hand in ((0, pair.left), (1, pair.right)):
            assert hand.side == side and stamp(hand.header) == stamp(pair.header)
            there = hand.state != hand.ABSENT
            assert hand.valid == (hand.state == hand.TRACKED)
            assert len(hand.joints) == len(hand.joint_confidence) == (21 if there else 0)
            assert math.isfinite(hand.wrist.position.z) == there


def test_numbers_are_finite_add_up_and_are_those_of_hands(demo):
    out, printed = demo
    numbers = json.loads((out / "report.json").read_text())
    rates, errors = numbers["rates"], numbers["errors_mm"]
    assert rates["frames_in"] + rates["skipped"] == 90  # a busy camera leaves frames out
    assert rates["frames_in"] == sum(rates[key] for key in ("frames_out", "dropped", "rejected", "not_received"))
    assert 0 < rates["fps"] < 31
    for stage in ("transport", "wait", "decode", "detect", "network", "total", "stamp to arrival"):
        p50, p95, p99 = numbers["latency_ms"][stage]
        assert 0 <= p50 <= p95 <= p99 < 10_000, stage
    told = ["frames", "FPS", "p50", "p95", "p99", "detect"]
    if errors is None:  # so busy a machine that the video played slower
        told.append("so that errors are not known")
    else:
        assert all(math.isfinite(value) for value in errors.values()), errors
        # Three seconds hold twelve seconds' movements and a slow machine misses frames, so the bounds are wide.
        assert errors["found"] > 0.5 and errors["mpjpe"] < 40 and errors["wrist"] < 150 and errors["mrrpe"] < 150, errors
        told += ["MPJPE", "MRRPE", "wrist"]
    assert [word for word in told if word not in printed] == []


def test_overlay_and_contact_sheet_show_every_recorded_image(demo, bag):
    out, _ = demo
    with VideoReader(out / "overlay.mp4") as video:
        assert (video.width, video.height) == (640, 480)
        assert sum(1 for _ in video) == len(bag["/image_raw"])
    assert cv2.imread(str(out / "contact_sheet.png")).shape[1] > 1000


def test_the_report_for_a_browser(demo):
    """Complete in itself, and its path is printed."""
    out, printed = demo
    text = (out / "report.html").read_text()
    assert str(out / "report.html") in printed
    assert "://" not in text and text.count("data:image/jpeg;base64,") >= 3 and "stage</th><th>p50" in text


def test_a_video_goes_the_same_way_without_truth(demo, tmp_path):
    result = run("fourdhands_ros.tools.demo", "--video", demo[0] / "clip" / "video.mp4", "--seconds", 1, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    assert "not calibrated" in result.stdout and "MPJPE" not in result.stdout
    numbers = json.loads((tmp_path / "report.json").read_text())
    assert numbers["errors_mm"] is None and numbers["rates"]["frames_out"] > 0
    assert not any(hand.scaled for pair in read(tmp_path / "bag")["/hands"] for hand in (pair.left, pair.right))


def test_ctrl_c_ends_the_recording_and_still_reports(tmp_path):
    plain_video(tmp_path / "long.mp4", (i % 255 for i in range(1200)))
    command = [sys.executable, "-m", "fourdhands_ros.tools.demo", "--video", tmp_path / "long.mp4", "--out", tmp_path / "out"]
    process = begun(command, env=apart())
    said = ""
    while not re.search(r"tracking: .* [1-9]\d*/1200", said) and process.poll() is None:
        said += process.stderr.read(20)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and "frames" in stdout, said
    numbers = json.loads((tmp_path / "out" / "report.json").read_text())
    assert 0 < numbers["rates"]["frames_out"] <= numbers["rates"]["frames_in"] < 1200
    assert numbers["hands"] == {"left": 0, "right": 0}


def test_what_libraries_print_beside_the_cameras_lines_is_passed_over():
    process = SimpleNamespace(stdout=["[XMLPARSER Error] no file\n", '{"published": 3}\n'])
    camera = SimpleNamespace(process=process, said={}, ended=threading.Event())
    CameraProcess._listen(camera)
    assert camera.said == {"published": 3} and camera.ended.is_set()


def test_a_camera_that_has_ended_is_judged_once_what_it_said_is_read():
    """Its end was seen before its last line at times, and the whole demo failed with "ended with exit code 0"."""
    process = SimpleNamespace(stdout=['{"published": 3}\n'], poll=lambda: 0)
    camera = SimpleNamespace(process=process, said={}, ended=threading.Event())
    CameraProcess.check(camera)
    CameraProcess._listen(camera)
    CameraProcess.check(camera)


@pytest.fixture
def here(monkeypatch):
    """The demo in this process, which has loaded everything: what it leaves in the process is put back."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(process_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, "")  # what Fast DDS reads now it would keep for all tests in this process
    before = signal.getsignal(signal.SIGTERM)
    yield demo_command
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--video", "{tmp}/none.mp4"], "does not exist"),
        (["--video", "{tmp}/text.mp4"], "cannot be read"),
        (["--video", "a.mp4", "--camera", "0"], "not allowed with"),
        (["--video", "rtsp://127.0.0.1/x"], "rtsp://127.0.0.1/x is an address"),
        (["--video", "{tmp}/kept/overlay.mp4", "--out", "{tmp}/kept"], "overlay.mp4 is an input and would be written over"),
        (["--video", "{tmp}/kept/bag/in.mp4", "--out", "{tmp}/kept"], "in.mp4 is an input and would be written over"),
        (["--camera", "97"], "camera 97 cannot be opened"),
        (["--seconds", "-1"], "not positive"),
        (["--video", "{tmp}/video.mp4", "--intrinsics", "{tmp}/none.yaml"], "does not exist"),
        (["--out", "{tmp}/mine"], "no recording"),
        (["--out", "{tmp}/kept"], "no recording of the demo's"),
        (["--out", "{tmp}/text.mp4"], "is a file, not a folder"),
    ],
)
def test_a_users_error_is_one_message_and_exit_code_2(tmp_path, here, capsys, arguments, message):
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "mine" / "bag").mkdir(parents=True)
    plain_video(tmp_path / "video.mp4", [0])
    (tmp_path / "kept" / "bag").mkdir(parents=True)
    for name in ("overlay.mp4", "bag/in.mp4", "bag/bag_0.mcap"):  # an earlier demo's, and what somebody put beside it
        shutil.copy(tmp_path / "video.mp4", tmp_path / "kept" / name)
    arguments = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    if "--out" not in arguments:
        arguments += ["--out", str(tmp_path / "out")]
    code, _, error = in_process(capsys, here, *arguments)
    assert code == 2 and message in error
    assert (tmp_path / "mine" / "bag").is_dir() and (tmp_path / "kept" / "bag" / "bag_0.mcap").is_file()


def test_a_users_error_on_the_command_line_has_no_traceback(tmp_path):
    result = run("fourdhands_ros.tools.demo", "--video", tmp_path / "none.mp4", "--out", tmp_path / "out")
    assert result.returncode == 2 and "does not exist" in result.stderr and "Traceback" not in result.stderr, result.stderr


def test_without_ros_it_says_what_to_install(tmp_path):
    (tmp_path / "rclpy.py").write_text("raise ModuleNotFoundError('No module named rclpy', name='rclpy')")
    result = run("fourdhands_ros.tools.demo", "--out", tmp_path / "out", PYTHONPATH=str(tmp_path))
    # The interpreter puts the working directory first for -m, but nothing there is called rclpy.
    assert result.returncode == 2 and "rclpy is not installed" in result.stderr and "fourdhands[ros]" in result.stderr
    assert "Traceback" not in result.stderr


def test_another_camera_in_the_domain_is_refused(tmp_path):
    """Whenever it is found, which takes long on a busy computer: the video is longer, and is not played to its end."""
    for name, frames in (("other.mp4", 1), ("video.mp4", 300)):
        plain_video(tmp_path / name, frames * [0], fps=1)
    command = [sys.executable, "-m", "fourdhands_ros.tools.camera", tmp_path / "other.mp4", "--wait"]
    other = begun(command, env=apart(ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST"), stdin=subprocess.PIPE)
    try:
        assert json.loads(other.stdout.readline()) == {"ready": True}
        result = run("fourdhands_ros.tools.demo", "--video", tmp_path / "video.mp4", "--out", tmp_path / "out")
    finally:
        assert other.communicate("\n", timeout=300)[0].startswith('{"published": ')
    assert result.returncode == 2 and "2 nodes publish /image_raw" in result.stderr, result.stderr
