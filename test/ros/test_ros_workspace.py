"""The package in a real ROS 2 workspace, used from the shell: ros2 launch, topic, param, lifecycle, service, bag."""

import importlib.util
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import pytest
from ros_domain import Domain
from ros_support import PATIENT, REPOSITORY, wait_until

from fourdhands_ros.node.parameters import Parameters
from fourdhands_ros.teleop.parameters import TeleopParameters

# No skip of the module as a whole: launch_testing's plugin would skip the folder with it.
pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("launch_ros") is None or shutil.which("ros2") is None,
        reason="needs ros2 launch, which ROS 2 from PyPI lacks: run `colcon test` in a workspace",
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("fourdhands_ros.msg") is None,
        reason="build the package with colcon and source install/setup.bash",
    ),
]


def catches_signals(pid) -> bool:
    """Whether a process handles SIGTERM, as Python by itself does not."""
    with open(f"/proc/{pid}/status") as file:
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", file.read())
    return bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


class Shell:
    """Commands on a domain of their own. `launch` starts one that goes on; `end` interrupts it as Ctrl-C does."""

    def __init__(self, folder):
        self.folder, self.domain = folder, Domain()
        self.environment = {**os.environ, "ROS_DOMAIN_ID": str(self.domain.number), "ROS_LOG_DIR": str(folder / "log")}
        self.launched = []

    def ros2(self, *command, timeout=2 * PATIENT) -> str:
        """The output of a ros2 command, which must succeed."""
        done = subprocess.run(
            ["ros2", *command],
            env=self.environment,
            cwd=self.folder,
            text=True,
            timeout=timeout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def launch(self, file, *arguments):
        """Start a launch file; returns what `said` and `end` take."""
        output = open(self.folder / f"{file}.{len(self.launched)}.txt", "w+")
        process = subprocess.Popen(
            ["ros2", "launch", "fourdhands_ros", file, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.launched.append((process, output))
        return self.launched[-1]

    def said(self, launched, words, timeout=2 * PATIENT, count=1) -> str:
        """Wait until a launched file has said the words, `count` times; returns all that it said."""
        process, output = launched
        deadline = time.monotonic() + timeout
        while True:
            ended = process.poll() is not None
            output.seek(0)
            text = output.read()
            if text.count(words) >= count:
                return text
            assert not ended and time.monotonic() < deadline, f"{words!r} was not said, but:\n{text}"
            time.sleep(0.1)

    def end(self, launched, failed=0) -> str:
        """Ctrl-C: every process ends in order, with 0 but for as many as failed, as then the launch does too. Returns all that
        was said."""
        process, output = launched
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENT) == int(failed > 0)
        output.seek(0)
        text = output.read()
        assert "Traceback" not in text and "escalating" not in text and text.count("process has died") == failed, text
        return text

    def close(self):
        for process, output in self.launched:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.close()
        subprocess.run(["ros2", "daemon", "stop"], env=self.environment, capture_output=True, timeout=PATIENT)
        self.domain.close()


@pytest.fixture
def shell(tmp_path):
    made = Shell(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def video(real_data, tmp_path_factory):
    """Two seconds of two hands, 320 x 180: small enough for a loopback without tuning."""
    path = str(tmp_path_factory.mktemp("video") / "hands.mp4")
    source = cv2.VideoCapture(str(real_data / "video" / "two_hands.mp4"))
    target = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), 30, (320, 180))
    for _ in range(60):
        target.write(cv2.resize(source.read()[1], (320, 180)))
    target.release()
    return path


@pytest.mark.parametrize("folder", ["/", str(REPOSITORY)])
def test_messages_import_from_anywhere(folder):
    """Also where this repository's folder of the same name comes first on the path."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from fourdhands_ros.msg import HandPair, Hand, HandFaces; HandPair(); import fourdhands_ros.node.node",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", ["hands", "record", "replay", "teleop"])
def test_arguments_are_described(shell, file):
    shown = shell.ros2("launch", "fourdhands_ros", f"{file}.launch.py", "--show-args")
    names = re.findall(r"(?m)^ {4}'(\w+)':\n {8}(.*)", shown)
    declaring = REPOSITORY / "launch" / f"{file}.launch.py", REPOSITORY / "fourdhands_ros" / "tools" / "launching.py"
    text = "".join(path.read_text() for path in declaring)
    declared = set(re.findall(r'(?:argument|switch)\(\s*"(\w+)"', text))
    for node, of_node in (("hands", Parameters), ("teleop", TeleopParameters)):
        declared |= of_node.__dataclass_fields__.keys() if file == node else set()
    assert {name for name, _ in names} == declared
    assert all(len(words) > 10 for _, words in names)


def test_a_video_tracked_recorded_and_replayed(shell, video):
    """What the README says of a workspace, from `ros2 launch` to the bag; Ctrl-C ends it."""
    launched = shell.launch(
        "hands.launch.py",
        f"video:={video}",
        "fov:=60",
        "tf:=joints",
        "frame_prefix:=robot/",
        "record:=true",
        "bag:=bag",
        "rviz:=false",
    )
    shell.said(launched, '"ready": true')
    assert "frame_id: camera_optical_frame" in shell.ros2("topic", "echo", "/hands", "--once", "--no-arr", timeout=2 * PATIENT)
    assert "child_frame_id: robot/" in shell.ros2("topic", "echo", "/tf", "--once", timeout=2 * PATIENT)
    info = shell.ros2("topic", "info", "/hands")
    assert "fourdhands_ros/msg/HandPair" in info and "Publisher count: 1" in info
    described = shell.ros2("param", "describe", "/hands", "default_fov", "tf")
    assert "Min value: 10.0" in described and "one of: none, wrist, joints" in described
    assert "tf" in shell.ros2("param", "list", "/hands")
    assert "successful" in shell.ros2("param", "set", "/hands", "tf", "wrist")
    assert "is not one of none, wrist, joints" in shell.ros2("param", "set", "/hands", "tf", "all")
    assert "success=True" in shell.ros2("service", "call", "/hands/reset", "std_srvs/srv/Trigger")
    text = shell.end(launched)
    assert len(re.findall("process has finished cleanly", text)) == 3
    assert re.search(r"recorded to bag: .*/hands [1-9]", text), text
    if importlib.util.find_spec("rosbag2_py"):
        info = shell.ros2("bag", "info", "bag")
        assert re.search(r"Topic: /hands \| Type: fourdhands_ros/msg/HandPair \| Count: [1-9]", info), info
        shell.ros2("bag", "play", "bag", "--rate", "10")

    playing = shell.launch("replay.launch.py", "bag:=bag", "what:=hands", "loop:=true")
    shell.said(playing, "playing /")
    assert "joints" in shell.ros2("topic", "echo", "/hands", "--once", timeout=2 * PATIENT)
    shell.end(playing)


def test_the_lifecycle_by_its_command(shell, video, tmp_path):
    """configure, activate, deactivate, clean up and shut down, each seen from outside."""
    parameters = tmp_path / "hands.yaml"
    parameters.write_text("/**:\n  ros__parameters:\n    autostart: false\n")
    launched = shell.launch(
        "hands.launch.py",
        f"params_file:={parameters}",
        "cameras:=[left, right]",
        f"video:={video}",
        "depth:=true",
        "depth_transport:=compressedDepth",
    )
    deadline = time.monotonic() + PATIENT
    while "/hands" not in shell.ros2("lifecycle", "nodes") and time.monotonic() < deadline:
        pass
    for transition, state in itertools.chain(
        [("configure", "inactive")],
        2 * [("activate", "active"), ("deactivate", "inactive"), ("cleanup", "unconfigured"), ("configure", "inactive")],
    ):
        assert "Transitioning successful" in shell.ros2("lifecycle", "set", "/hands", transition)
        assert shell.ros2("lifecycle", "get", "/hands").startswith(state)
    shell.ros2("lifecycle", "set", "/hands", "activate")
    for side in ("left", "right"):
        assert "frame_id" in shell.ros2("topic", "echo", f"/{side}/hands", "--once", "--no-arr", timeout=2 * PATIENT)
    topics = shell.ros2("topic", "list", "-t")
    assert "/left/depth/image_raw/compressedDepth [sensor_msgs/msg/CompressedImage]" in topics
    shell.end(launched)


def test_record_launch_file(shell):
    launched = shell.launch("record.launch.py", "bag:=only", "images:=raw")
    shell.said(launched, "recording to only")
    text = shell.end(launched, failed=1)
    assert "nothing came that is recorded" in text and "exit code 2" in text and not (shell.folder / "only").exists()


@pytest.mark.skipif(not importlib.util.find_spec("rosbag2_py"), reason="ros2 bag is not installed")
def test_recording_by_rosbag2(shell, video):
    """The same topics, also those that come later; Ctrl-C completes the bag."""
    launched = shell.launch("record.launch.py", "bag:=theirs", "images:=raw", "rosbag2:=true")
    shell.said(launched, "Recording...")
    node = shell.launch("hands.launch.py", f"video:={video}", "image:=/front/image", "rviz:=false")
    for topic in ("/hands", "/hands/markers", "/tf"):
        shell.said(launched, f"Subscribed to topic '{topic}'")
    shell.end(node)
    shell.end(launched)
    assert "Topic: /hands | Type: fourdhands_ros/msg/HandPair" in shell.ros2("bag", "info", "theirs")


def test_mistakes_are_told(shell, tmp_path):
    """A package that is missing, an argument that is wrong: a sentence, no traceback, and the launch fails."""
    if not shutil.which("rviz2"):
        launched = shell.launch("hands.launch.py", "rviz:=true")
        assert "rviz2 is not installed" in shell.said(launched, "tracking hands")
        shell.end(launched)
    for file, arguments, words in [
        ("hands", ["cameras:=left"], "is not a list of namespaces"),
        ("hands", ["tf:=all"], "Valid options are"),
        ("hands", ["cameras:=[left, right]", "image:=/camera/image_raw"], "is one topic for the 2 cameras"),
        ("hands", ["params_file:=none.yaml"], "none.yaml cannot be read (No such file or directory)"),
        ("hands", ["model:=image"], "weights"),
        ("hands", ["video:=none.mp4"], "none.mp4 does not exist"),
        ("record", ["bag:=/dev/null/bag"], "/dev/null"),
        ("replay", ["bag:=none"], "none cannot be opened"),
    ]:
        process, _ = launched = shell.launch(f"{file}.launch.py", *arguments)
        shell.said(launched, words)
        assert process.wait(PATIENT) == 1
        assert "Traceback" not in shell.said(launched, words)


def test_a_program_that_is_killed_ends_the_launch(shell, video):
    """With the reason; the others end in order."""
    process, _ = launched = shell.launch("hands.launch.py", f"video:={video}", "record:=true", "bag:=bag")
    text = shell.said(launched, "process started with pid", count=3)
    shell.said(launched, '"ready": true')
    shell.said(launched, "recording to bag")
    shell.ros2("topic", "echo", "/hands", "--once", "--no-arr")  # so that there is something to record
    os.kill(int(re.search(r"hands_node-\d+\]: process started with pid \[(\d+)\]", text)[1]), signal.SIGKILL)
    text = shell.said(launched, "ended with exit code -9")
    assert process.wait(PATIENT) == 1
    text = shell.said(launched, "recorded to bag")
    assert len(re.findall("process has finished cleanly", text)) == 2 and "Traceback" not in text, text


@pytest.mark.parametrize("group", [False, True])
def test_an_interrupt_for_all_or_for_launch_alone(shell, video, group):
    """Without a terminal launch passes SIGINT on to programs that have had it already; a second Ctrl-C changes nothing."""
    launched = shell.launch("hands.launch.py", f"video:={video}", "record:=true", "bag:=bag")
    started = shell.said(launched, "process started with pid", count=3)
    for pid in re.findall(r"hands_\w+-\d+\]: process started with pid \[(\d+)\]", started):
        assert wait_until(lambda: catches_signals(pid))  # before that it is Python that starts
    if group:
        shell.said(launched, "recording to bag")
        shell.ros2("topic", "echo", "/hands", "--once", "--no-arr")  # so that there is something to record
        os.killpg(launched[0].pid, signal.SIGINT)
    text = shell.end(launched)
    assert len(re.findall("process has finished cleanly", text)) == 3, text


def test_the_command_is_there(shell):
    """On the PATH, by ros2 run and as a module of the installed package."""
    for command in (["fourdhands"], ["ros2", "run", "fourdhands_ros", "fourdhands"], [sys.executable, "-m", "fourdhands_core"]):
        done = subprocess.run(
            [*command, "track", "none.mp4", "--out", "out"],
            cwd=shell.folder,
            env=shell.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2 and done.stderr.startswith("fourdhands: error: video none.mp4 does not exist"), done
    help = shell.ros2("run", "fourdhands_ros", "hands_node", "--help")
    assert help.startswith("usage: hands_node [-h]") and "hold" in help


def test_the_time_of_a_simulation(shell, video):
    launched = shell.launch("hands.launch.py", f"video:={video}", "use_sim_time:=true")
    shell.said(launched, "tracking hands")
    assert "True" in shell.ros2("param", "get", "/hands", "use_sim_time")
    shell.end(launched)
