"""Episodes recorded by services, as a user does: started, judged, killed; what is missing is told."""

import errno
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="recording needs ROS 2 (pip install 'fourdhands[ros]')")

import rclpy
from bag_support import read_bag
from diagnostic_msgs.msg import DiagnosticArray
from episode_support import CAMERA, files, hand
from rclpy.duration import Duration
from ros_support import PATIENT, RELIABLE, SECOND, T0
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from fourdhands_core.episodes.sidecar import read_sidecar
from fourdhands_core.errors import InputError
from fourdhands_core.pipeline.types import HandPairEstimate
from fourdhands_ros.bags import episode_keys
from fourdhands_ros.bags.episode_recorder import EpisodeRecorder, Watch
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.bags.recorded_topics import Selection
from fourdhands_ros.bags.writing import BagWriter
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.pypi.message_types import HandPair


class Person:
    """Shows hands to a recorder, and calls its services."""

    def __init__(self, ros):
        self.ros, self.node = ros, ros.node("person", enable_rosout=False)
        self.hands = self.node.create_publisher(HandPair, "/cam/hands", RELIABLE)
        # Made at the beginning: an answer to a client that the service does not know yet is lost.
        words = "start", "stop", "keep", "discard", "success"
        self.clients = {word: self.node.create_client(Trigger, f"/hands_recorder/{word}") for word in words}
        self.notes = self.node.create_publisher(String, "/hands_recorder/note", RELIABLE)
        self.encoder, self.count, self.told = HandPairEncoder(), 0, []
        self.node.create_subscription(DiagnosticArray, "/diagnostics", lambda array: self.told.extend(array.status), 10)

    def show(self):
        seconds = self.count / 30
        pair = HandPairEstimate(T0 + round(seconds * SECOND), *(hand(side, seconds) for side in range(2)), camera=CAMERA)
        self.hands.publish(self.encoder.encode(pair, "camera", {}))
        self.count += 1
        self.ros.spin_for(0.01)

    def show_until(self, condition):
        assert self.ros.spin_until(lambda: (self.show(), condition())[1])

    def call(self, word):
        return self.ros.ask(self.clients[word], Trigger.Request())


def begun(bag):
    """Whether the count-down is over."""
    sidecar = read_sidecar(bag)
    return sidecar is not None and sidecar.span is not None


def test_episodes_by_services_and_kill(ros, tmp_path):
    person, demos = Person(ros), tmp_path / "d\udce9mos"
    process = ros.process("-m", "fourdhands_ros.recorder", "--episodes", str(demos), "--task", "pour", "--countdown", "0.2")
    assert ros.spin_until(lambda: any("no HandPair comes" in one.message for one in person.told))
    person.notes.publish(String(data="of nothing"))  # is told, and ends nothing
    assert not person.call("stop").success and not person.call("keep").success
    person.show_until(lambda: person.told and person.told[-1].message == "waiting")
    first = demos / "episode_000000"
    assert person.call("start").success and "is being recorded" in person.call("start").message
    person.show_until(lambda: begun(first) and person.hands.get_subscription_count() > 1)
    for _ in range(40):
        person.show()
    assert person.hands.wait_for_all_acked(Duration(seconds=PATIENT))
    ros.deliver(person.notes, String(data="spilt"))
    assert person.call("success").success and person.call("stop").success
    sidecar = read_sidecar(first)
    assert (sidecar.task, sidecar.state, sidecar.outcome) == ("pour", "kept", "success")
    assert ros.spin_until(lambda: read_sidecar(first).notes == ["spilt"])
    stamps = [topic for topic, _, _ in read_bag(first) if topic == "/cam/hands"]
    assert len(stamps) >= 30 and sidecar.span[0] < sidecar.span[1]
    assert person.call("start").success and person.call("discard").success
    assert read_sidecar(demos / "episode_000001").state == "discarded"
    third = demos / "episode_000002"
    assert person.call("start").success
    person.show_until(lambda: begun(third) and person.hands.get_subscription_count() > 1)

    def kept():
        try:
            with Bag(third) as bag:
                return sum(topic.count for topic in bag.topics.values()) > 20
        except Exception:  # nothing of it has been written yet
            return False

    person.show_until(kept)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(PATIENT)
    assert read_sidecar(third).state == "recording" and kept()


def test_without_hands_the_clock_says_where_an_episode_is_and_a_silent_robot_is_told(ros, tmp_path):
    """Of images in which the hands are found later; into a folder whose parents are not there either."""
    person, demos = Person(ros), tmp_path / "new" / "demos"
    robot = person.node.create_publisher(JointState, "/joint_states", 10)
    ros.process("-m", "fourdhands_ros.recorder", "--episodes", str(demos), "--topic", "/joint_states", "--countdown", "0.2")

    def told():
        return person.told[-1].message if person.told else ""

    def comes():
        robot.publish(JointState())
        return robot.get_subscription_count() > 0 and told() and "no JointState" not in told()

    assert ros.spin_until(comes)
    assert ros.spin_until(lambda: "no JointState comes on /joint_states" in told())
    arm, gripper = JointState(name=["elbow"]), JointState(name=["finger"])
    assert ros.spin_until(lambda: (robot.publish(arm), robot.publish(gripper), "JointState" not in told())[2])
    words = "no JointState of finger comes on /joint_states"
    assert ros.spin_until(lambda: (robot.publish(arm), words in told())[1])
    before = time.time_ns()
    assert person.call("start").success
    assert ros.spin_until(lambda: begun(demos / "episode_000000"))
    assert person.call("stop").success
    begin, end = read_sidecar(demos / "episode_000000").span
    assert before < begin < end <= time.time_ns()


def test_a_folder_that_cannot_be_made(ros, tmp_path):
    (tmp_path / "file").write_text("")
    process = ros.process("-m", "fourdhands_ros.recorder", "--episodes", str(tmp_path / "file" / "demos"))
    assert process.wait(PATIENT) == 2


def test_a_terminal_that_is_not_its_own(monkeypatch):
    """As after setsid: it can be read, and does not stop who does."""
    ours, theirs = pty.openpty()
    with open(ours, "rb"), open(theirs, "rb", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert episode_keys.can_read()


def test_what_is_typed():
    told = [episode_keys.word_of(line) for line in ("\n", "k\n", "n it slipped\n", "stop\n")]
    assert told == [("toggle", ""), ("keep", ""), ("note", "it slipped"), ("stop", "")]


def test_keys_of_another_terminal(ros, tmp_path):
    """As beside `ros2 launch`, which leaves its programs no keyboard."""
    first, space = tmp_path / "episode_000000", ("--ros-args", "-r", "__ns:=/left")
    keys = ros.process("-m", "fourdhands_ros.recorder", "--keys", *space, stdin=subprocess.PIPE)
    process = ros.process("-m", "fourdhands_ros.recorder", "--episodes", str(tmp_path), "--countdown", "0", *space)
    for line, done in (
        ("what\n\n", lambda: begun(first)),
        ("n it slipped\nf\n", lambda: read_sidecar(first).outcome == "failure"),
        ("\n", lambda: read_sidecar(first).state == "discarded"),  # no hand was shown
        ("n twice\nk\n", lambda: read_sidecar(first).state == "kept" and len(read_sidecar(first).notes) == 2),
    ):
        print(line, end="", file=keys.stdin, flush=True)
        assert ros.spin_until(done)
    said = keys.communicate(timeout=PATIENT)[0]  # which ends its input
    assert keys.returncode == 0 and "'what' means nothing" in said and read_sidecar(first).notes == ["it slipped", "twice"]
    process.send_signal(signal.SIGINT)
    assert "fourdhands_ros.recorder --keys --ros-args -r __ns:=/left" in process.communicate(timeout=PATIENT)[0]


def test_a_wrong_stamp_does_not_say_which_moment_it_is(tmp_path):
    clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=7))
    watch = Watch(SimpleNamespace(get_clock=lambda: clock), tmp_path, Selection())
    hand = SimpleNamespace(valid=False)

    def take(sec, nanosec=0):
        stamp = SimpleNamespace(sec=sec, nanosec=nanosec)
        watch._take(SimpleNamespace(header=SimpleNamespace(stamp=stamp), left=hand, right=hand))

    def moment():
        return watch.moment(time.monotonic())

    take(-1), take(T0 // SECOND, SECOND)  # no times at all
    assert abs(moment() - 7) < SECOND
    for wrong in (0, 3600, 0, 0, -T0 // SECOND):
        take(T0 // SECOND + wrong)
    assert abs(moment() - T0) < 600 * SECOND


def test_images_that_are_asked_for_and_nobody_publishes_are_missing(ros, tmp_path):
    """As of a camera with raw images alone where compressed ones are to be recorded."""
    node, camera = ros.node("hands_recorder", enable_rosout=False), ros.node("camera", enable_rosout=False)
    watch = Watch(node, tmp_path, Selection(images="compressed"))
    told = "nobody publishes compressed images"
    assert (watch.look(), watch.missing()[1:])[1] == [told]
    camera.create_publisher(Image, "/cam/image_raw", 1)
    assert ros.spin_until(lambda: (watch.look(), watch.missing()[1:])[1] == [f"{told}, but raw ones: record --images raw"])
    camera.create_publisher(CompressedImage, "/cam/image_raw/compressed", 1)
    assert ros.spin_until(lambda: (watch.look(), watch.missing()[1:])[1] == [])


def recorder_of(ros, folder):
    def make():
        return rclpy.create_node("episode", context=ros.context, enable_rosout=False)

    node = ros.node("hands_recorder", enable_rosout=False)
    return EpisodeRecorder(node, folder, "", Selection(["/nothing"]), 0.0, make)


def test_a_folder_that_is_removed_while_nothing_is_recorded_is_told_and_made_again(ros, tmp_path):
    """It ended the recorder with a bare "No such file or directory"."""
    recorder = recorder_of(ros, tmp_path / "demos")
    (tmp_path / "demos").rmdir()
    recorder.tick()
    assert recorder.watch.missing()[-1] == f"the folder {tmp_path / 'demos'} is not there (No such file or directory)"
    assert recorder.try_to("start")[1] and (tmp_path / "demos/episode_000000").is_dir()
    recorder.close()


def test_a_topic_that_is_asked_for_and_nobody_publishes_is_missing(ros, tmp_path):
    """As where the robot is in a namespace: all demonstrations were without its joints, and nothing said so."""
    node, robot = ros.node("hands_recorder", enable_rosout=False), ros.node("robot", enable_rosout=False)
    watch = Watch(node, tmp_path, Selection(["/joint_states", "/arm/.*"]))
    names = "/joint_states", "/arm/.*"
    words = [f"nobody publishes a topic whose whole name is {name}, which is to be recorded" for name in names]
    robot.create_subscription(String, "/joint_states", lambda message: None, 1)
    robot.create_publisher(JointState, "/robot/joint_states", 1)
    assert (watch.look(), watch.missing()[1:])[1] == words
    robot.create_publisher(String, "/arm/state", 1)
    assert ros.spin_until(lambda: (watch.look(), watch.missing()[1:])[1] == words[:1])


@pytest.mark.parametrize("stopped", [False, True])
def test_an_episode_begins_where_it_does_though_hands_come_later(ros, tmp_path, monkeypatch, stopped):
    """Of a clock of their own, as of a bag that is played, or a simulation: the computer's time was taken for their stamps, and
    nothing of it was exported. stopped: before that was looked after."""
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], monotonic_ns=lambda: round(now[0] * 1e9))
    monkeypatch.setattr("fourdhands_ros.bags.episode_recorder.time", clock)

    recorder = recorder_of(ros, tmp_path)
    bag, unseen = tmp_path / "episode_000000", SimpleNamespace(valid=False)

    def take(stamp):
        stamps = SimpleNamespace(sec=stamp // SECOND, nanosec=stamp % SECOND)
        recorder.watch._take(SimpleNamespace(header=SimpleNamespace(stamp=stamps), left=unseen, right=unseen))

    for _ in range(5):
        take(50 * SECOND)  # of another clock, long ago
    now[0] = 104.0
    recorder.do("start"), recorder.tick()
    assert read_sidecar(bag).span[0] > T0  # as yet by the computer's clock
    now[0] = 110.0
    for _ in range(3):
        take(7 * SECOND)
    if not stopped:
        recorder.tick()
        assert read_sidecar(bag).span == (SECOND, None)
    now[0] = 111.0
    recorder.do("stop")
    assert read_sidecar(bag).span == (SECOND, 8 * SECOND)


def test_without_hands_the_stamps_of_images_say_where_an_episode_is(ros, tmp_path):
    """In which the hands are found later, of a camera with a clock of its own: nothing of it was exported."""
    recorder, camera = recorder_of(ros, tmp_path), ros.node("camera", enable_rosout=False)
    publisher, info = camera.create_publisher(CameraInfo, "/cam/camera_info", 1), CameraInfo()
    info.header.stamp.sec = T0 // SECOND
    assert ros.spin_until(lambda: (recorder.watch.look(), publisher.publish(info), recorder.watch.stamped)[2])
    recorder.do("start"), recorder.tick(), recorder.do("keep")
    assert all(abs(stamp - T0) < 600 * SECOND for stamp in read_sidecar(tmp_path / "episode_000000").span)


def test_of_a_start_that_is_refused_nothing_stays(ros, tmp_path, monkeypatch):
    """And what is said then is said of no other episode."""
    recorder = recorder_of(ros, tmp_path)
    recorder.do("start"), recorder.tick(), recorder.do("stop")
    before = files(tmp_path)
    with monkeypatch.context() as full:
        full.setattr("fourdhands_ros.bags.writing.RESERVE", 1 << 60)
        with pytest.raises(InputError, match="make room on the disk"):
            recorder.do("start")
    for word in ("keep", "discard", "success", "note"):
        with pytest.raises(InputError, match="the last start was refused"):
            recorder.do(word)
    assert files(tmp_path) == before and len([*tmp_path.iterdir()]) == 1
    assert recorder.do("start").startswith("episode_000001") and read_sidecar(tmp_path / "episode_000001").span is None
    recorder.close()


def test_names_that_another_recorder_takes_in_the_same_moment(ros, tmp_path, monkeypatch):
    """The second got a traceback, or no episode. A link to nothing is there for whoever makes it, not for who looks before."""
    recorder = recorder_of(ros, tmp_path)
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter(()))  # as it was when it looked
    (tmp_path / "episode_000000").mkdir()
    (tmp_path / "episode_000001").symlink_to("nowhere")
    assert recorder.do("start").startswith("episode_000002: ")
    recorder.close()
    with pytest.raises(InputError, match="episode_000001 is there already; choose another name"):
        BagWriter(tmp_path / "episode_000001")
    assert not [*os.scandir(tmp_path / "episode_000000")] and (tmp_path / "episode_000001").is_symlink()


def test_an_episode_that_shows_nothing_is_discarded(ros, tmp_path):
    """Such as one of the recorder's own diagnostics alone: it was kept, and an export failed for it. It can be kept then."""
    recorder = recorder_of(ros, tmp_path)
    for word in "stop", "keep":
        recorder.do("start"), recorder.tick()
        assert ros.spin_until(lambda: recorder._recorder.counts.get("/diagnostics"))
        assert "discarded, as neither hands nor images came; /diagnostics" in recorder.do(word)
    assert read_sidecar(tmp_path / "episode_000001").state == "discarded"
    assert "kept" in recorder.do("keep") and read_sidecar(tmp_path / "episode_000001").state == "kept"


@pytest.mark.parametrize("gone", [False, True])
def test_what_becomes_of_an_episode_whose_recording_has_stopped(ros, tmp_path, gone):
    """It was kept where it was discarded on a full disk. Of one whose folder was removed no node is left."""
    node, destroyed = ros.node("hands_recorder", enable_rosout=False), []

    def make():
        under = rclpy.create_node("episode", context=ros.context, enable_rosout=False)
        destroy, under.destroy_node = under.destroy_node, lambda: destroyed.append(destroy())
        return under

    recorder = EpisodeRecorder(node, tmp_path / "demos", "", Selection(["/nothing"]), 0.0, make)
    recorder.do("start"), recorder.tick()
    bag = tmp_path / "demos" / "episode_000000"
    if gone:
        shutil.rmtree(bag)
    recorder._recorder._queue.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(InputError, match="cannot be written" if gone else "No space left"):
        recorder.do("discard")
    assert len(destroyed) == 1 and (gone or read_sidecar(bag).state == "discarded")
    assert recorder.do("start")
    recorder.close()


def test_keys_without_a_keyboard(monkeypatch):
    """As with `<&-`, or of a terminal that is gone: the input has ended, and nobody waits for it."""
    gone = SimpleNamespace(buffer=open(os.open(os.devnull, os.O_WRONLY), "rb"))  # which cannot be read
    for nobody in (None, gone):
        monkeypatch.setattr(sys, "stdin", nobody)
        assert episode_keys.lines_typed().get(timeout=PATIENT) is None
