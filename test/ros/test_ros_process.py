"""The four programs from their first import to their end: signals at every moment, ROS's arguments, help, a log folder."""

import argparse
import os
import re
import signal
import sys

import pytest
from ros_support import PATIENT, REPOSITORY, ended
from test_ros_start import FAKE
from video_support import plain_video

from fourdhands_ros.executable import Stop
from fourdhands_ros.node.parameters import Parameters
from fourdhands_ros.process import parse, refusal

PROGRAMS = {name: [f"fourdhands_ros/hands_{name}"] for name in ("node", "camera", "recorder", "player", "view")}
MODULES = {
    "node": ["-m", "fourdhands_ros"],
    **{name: ["-m", f"fourdhands_ros.{name}"] for name in ("camera", "recorder", "player")},
}
BOTH = [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT)]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def said(process, words) -> str:
    """The lines up to the one with the words."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


ENDLESS = """
import builtins, time
def hooked(name, *arguments, original=builtins.__import__, **options):
    if name.partition(".")[0] == "rclpy":
        print("importing", flush=True)
        while True:  # one long sleep would go on where the signal comes between Python's look for it and the system's sleep
            time.sleep(0.01)
    return original(name, *arguments, **options)
builtins.__import__ = hooked
"""
"""Lets the first import of rclpy take for ever: a signal comes in it for sure."""


@pytest.mark.parametrize("first, second", BOTH)
@pytest.mark.parametrize("command", [*PROGRAMS.values(), *MODULES.values()], ids=" ".join)
def test_signals_while_it_is_imported(ros, tmp_path, command, first, second):
    """At once, with a sentence and 0."""
    (tmp_path / "sitecustomize.py").write_text(ENDLESS)
    path = filter(None, (str(tmp_path), str(REPOSITORY), os.environ.get("PYTHONPATH")))  # a workspace has ROS there
    process = ros.process(*command, "something", environment={"PYTHONPATH": os.pathsep.join(path)})
    said(process, "importing")
    for number in (first, second):
        process.send_signal(number)
    assert ended(process).count("\n") == 1


BUSY = """
import sys, time
sys.path.insert(0, "test/ros")
from ros_support import FakeTracker
from fourdhands_ros.executable import end
from fourdhands_ros.node.node import main

class Busy(FakeTracker):
    def __init__(self):
        super().__init__()
        print("loading", flush=True)
        time.sleep(0.5)

    def close(self):
        print("closing", flush=True)
        time.sleep(0.5)
        super().close()

end(main(tracker_factory=lambda _: Busy()))
"""


@pytest.mark.parametrize("first, second", BOTH)
@pytest.mark.parametrize("moment", ["loading", "tracking hands in", "closing"])
def test_signals_to_the_node(ros, moment, first, second):
    """While the model is loaded, while it runs and while it closes, two signals each time."""
    process = ros.process("-c", BUSY)
    before = said(process, "tracking hands in" if moment == "closing" else moment)
    if moment == "closing":
        process.send_signal(first)
        before += said(process, moment)
    for number in (first, second):
        process.send_signal(number)
    assert "closing" in ended(process, before=before)


def test_a_model_that_takes_for_ever_does_not_keep_the_node_from_ending(ros):
    process = ros.process(
        "-c",
        BUSY.replace("0.5", "3600").replace(
            "import sys, time",
            """
import sys, time, fourdhands_ros.process
fourdhands_ros.process.run_ros.__defaults__ = (2, 0.5)""",
        ),
    )
    before = said(process, "loading")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert "while still busy 0.5 s after it was asked to end" in ended(process, before=before)


def video(folder) -> str:
    """A second of black images."""
    return str(plain_video(folder / "black.mp4", 30 * [0]))


@pytest.mark.parametrize("first, second", BOTH)
def test_signals_to_the_recorder(ros, tmp_path, first, second):
    """That nothing came is told, however often the recorder itself told how it is, and fails; a bag with nothing in it is not
    kept, but what somebody put beside it."""
    process = ros.process(*PROGRAMS["recorder"], str(tmp_path / "bag"))
    before = said(process, "nothing has come yet")
    if first == signal.SIGTERM:
        (tmp_path / "bag/notes.txt").touch()
    for number in (first, second, first):
        process.send_signal(number)
    assert re.search(r"\[ERROR\].*nothing came that is recorded, and .* is not kept", ended(process, 2, before=before))
    assert [path.name for path in tmp_path.rglob("*")] == (["bag", "notes.txt"] if first == signal.SIGTERM else [])


@pytest.mark.parametrize(
    "arguments, moment", [(["--subscribers", "1"], None), (["--wait"], '"ready": true'), (["--loop"], '"ready": true')]
)
def test_signals_to_the_camera(ros, tmp_path, arguments, moment):
    """While it waits for subscribers or for a line, and while it plays."""
    process = ros.process(*PROGRAMS["camera"], video(tmp_path), *arguments, stdin=-1)
    if moment is None:
        watcher = ros.node()
        assert ros.spin_until(lambda: watcher.count_publishers("image_raw"), PATIENT)
    before = said(process, moment) if moment else ""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    assert '"published": ' in ended(process, before=before)


def test_a_stop_wakes_who_waits_and_lets_go_of_the_signals():
    """Also where signals come faster than they are handled; afterwards they are whose they were before."""
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with Stop(patience=60.0) as stop:
        assert not stop.wait(0.0) and not stop.is_set()
        for number in former:
            os.kill(os.getpid(), number)
        assert stop.wait(3600.0) and stop.is_set() and stop.wait(3600.0)
    assert {number: signal.getsignal(number) for number in former} == former


def test_a_hangup_that_nohup_ignores_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.wait(0.0)
    finally:
        signal.signal(signal.SIGHUP, former)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--params-file", "nofile.yaml"], "nofile.yaml is not taken: it does not exist"),
        (["--params-file", "config"], "config is not taken: it is a folder"),
        (["--params-file", "setup.py"], "setup.py is not taken: "),
        (["-p", "hold"], "does not take the parameter override rule -p hold"),
        (["-r", "__ns:=/a b"], "is no namespace in ROS"),
        (["--log-level", "loud"], "does not take the log level --log-level loud"),
        (["--nonsense"], "ROS has no arguments '--nonsense'"),
        (["--params-file", "n\udce9.yaml"], "ROS takes names in UTF-8 alone, and n\\udce9.yaml is not"),
        (["-p", "weights:=/w\udce9.safetensors"], "ROS takes names in UTF-8 alone, and weights:=/w\\udce9.safetensors is not"),
    ],
)
def test_arguments_that_ros_refuses(monkeypatch, capsys, arguments, words):
    """A sentence of what was given and what to give."""
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(sys, "argv", ["hands_node", "--ros-args", *arguments])
    with pytest.raises(SystemExit) as error:
        parse(argparse.ArgumentParser("hands_node"), None)
    output = capsys.readouterr().err
    assert error.value.code == 2 and words in output and output.startswith("hands_node: error: "), output
    assert ".c:" not in output and output.count("\n") == 1, output


def test_each_program_tells_of_a_file_of_parameters_that_is_missing(ros):
    processes = {
        name: ros.process(*command, *([] if name == "node" else ["something"]), "--ros-args", "--params-file", "no.yaml")
        for name, command in PROGRAMS.items()
    }
    for name, process in processes.items():
        assert ended(process, 2) == (
            f"hands_{name}: error: the file of parameters no.yaml is not taken: it does not exist; give a YAML file laid out "
            "as config/hands.yaml\n"
        )


def test_parameters_of_rclpy_of_the_wrong_type(ros, tmp_path):
    """Also those that the programs do not declare themselves, and those of topics, which the node has while it is active."""
    for command, name, code in (
        (["-c", FAKE], "use_sim_time", 1),
        (["-c", FAKE], "qos_overrides./image_raw.subscription.depth", 1),
        ([*PROGRAMS["recorder"], str(tmp_path / "bag")], "use_sim_time", 2),
    ):
        output = ended(ros.process(*command, "--ros-args", "-p", f"{name}:=abc"), code)
        assert f"parameter '{name}' to 'abc'" in output, output


def test_refusals_are_a_sentence_whatever_rclpy_says():
    error = RuntimeError("failed to initialize rcl: something new, at /project/src/a.c:12, at b/c.cpp:3")
    assert refusal(error) == "something new"


@pytest.mark.parametrize("commands, name", [*((PROGRAMS, name) for name in PROGRAMS), (MODULES, "node"), (MODULES, "player")])
def test_help(ros, commands, name):
    """It ends with 0, starts nothing, and names the program as it was started."""
    output = ended(ros.process(*commands[name], "--help"))
    started = f"hands_{name}" if commands is PROGRAMS else "python " + " ".join(MODULES[name])
    assert output.startswith(f"usage: {started} [-h]") and "[INFO]" not in output, output
    if name == "node":
        assert all(f"\n  {parameter}: " in output for parameter in Parameters.__dataclass_fields__)
        assert "  image_raw or image_raw/compressed" in output and "ros2 launch fourdhands_ros hands.launch.py" in output


@pytest.mark.parametrize(
    "environment, words",
    [
        ({"HOME": None}, "HOME is not set"),
        ({"HOME": "/dev/null"}, "/dev/null/.ros/log cannot be written to"),
        ({"ROS_LOG_DIR": "/dev/null/log"}, "/dev/null/log cannot be written to"),
        ({"HOME": None, "ROS_LOG_DIR": "~/log"}, "HOME is not set"),
    ],
)
def test_without_a_folder_for_logs(ros, environment, words):
    """As a service of systemd, or of a user without a home: it runs, logs to the terminal, and says what to set."""
    process = ros.process("-c", FAKE, environment={"ROS_LOG_DIR": None, "ROS_HOME": None, **environment})
    before = said(process, "tracking hands in")
    assert words in before and "set ROS_LOG_DIR" in before
    ended(process, before=before, by=signal.SIGTERM)


def test_a_log_folder_that_can_be_written_to_is_used(ros, tmp_path):
    process = ros.process("-c", FAKE, environment={"HOME": None, "ROS_LOG_DIR": str(tmp_path / "log")})
    before = said(process, "tracking hands in")
    assert "ROS_LOG_DIR" not in before
    ended(process, before=before, by=signal.SIGTERM)
    assert any("tracking hands in" in file.read_text() for file in (tmp_path / "log").glob("*.log"))


@pytest.mark.parametrize("domain", ["9999", "233", "-1", "abc", "1.5"])
def test_a_domain_that_is_none(ros, domain):
    output = ended(ros.process(*MODULES["player"], "nothing", environment={"ROS_DOMAIN_ID": domain}), 2)
    assert f"ROS_DOMAIN_ID is {domain}, and a domain is a number from 0 to 232" in output
    assert output.count("\n") == 1, output


@pytest.mark.parametrize(
    "argument, words",
    [
        ("__ns:=a b", "'a b' is no namespace in ROS"),
        ("__ns:=/2", "'/2' is no namespace in ROS"),
        ("__node:=a-b", "'a-b' is no name in ROS"),
        ("hands:__ns:=/a b", "'/a b' is no namespace in ROS"),
    ],
)
def test_a_name_that_is_none(ros, argument, words):
    assert words in ended(ros.process(*MODULES["node"], "--ros-args", "-r", argument), 2)
