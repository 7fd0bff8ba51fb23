"""The camera made of a file: on a busy computer it leaves frames out and says so, and what is wrong goes to the log."""

import itertools
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from program_support import python
from ros_support import RELIABLE, stamp_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from video_support import plain_video

from fourdhands_ros.executable import make_room_for_images
from fourdhands_ros.tools.camera import Pace

MS = 10**6
START = 1_700_000_000 * 10**9


def play(frames, decode, publish, period=33 * MS, stalls=()):
    """Plays a file by Pace on an imagined clock; decode, publish: what a frame takes. Returns Pace and (stamp, lateness)."""
    pace, now, published = Pace(START), START, []
    for number in range(frames):
        now += decode + dict(stalls).get(number, 0)
        if pace.overdue(number * period, now):
            continue
        stamp = pace.due(number * period)
        now = max(now, stamp) + publish
        published.append((stamp, now - stamp))
    return pace, published


def test_in_time_every_frame_is_published():
    pace, published = play(300, 5 * MS, 5 * MS)
    assert pace.skipped == pace.slowed == 0
    assert [stamp for stamp, _ in published] == [START + i * 33 * MS for i in range(300)]


@pytest.mark.parametrize("publish", [40, 60, 100, 300])
def test_where_publishing_takes_too_long_frames_are_left_out(publish):
    """Stamps stay near now, however long it goes on; each frame has its own time."""
    pace, published = play(3000, 2 * MS, publish * MS)
    late = [lateness for _, lateness in published]
    assert max(late) < (200 + 2 + publish) * MS and pace.slowed == 0
    assert pace.skipped + len(published) == 3000 and pace.skipped > 300
    assert all((stamp - START) % (33 * MS) == 0 for stamp, _ in published)


def test_where_decoding_takes_too_long_the_file_plays_slower():
    """Frames that are left out were decoded all the same: that gains nothing."""
    pace, published = play(1000, 50 * MS, 2 * MS)
    stamps = [stamp for stamp, _ in published]
    assert max(lateness for _, lateness in published) < 260 * MS and stamps == sorted(set(stamps))
    assert pace.skipped < 50 and len(published) > 950 and pace.slowed == pytest.approx(1000 * 19 * MS, rel=0.1)


def test_a_stall_is_caught_up_with():
    pace, published = play(300, 2 * MS, 2 * MS, stalls=[(100, 1500 * MS)])
    assert 30 < pace.skipped < 60 and pace.slowed == 0
    assert [stamp for stamp, _ in published[-50:]] == [START + i * 33 * MS for i in range(250, 300)]


@pytest.mark.parametrize("gap, waited", [(59, 59_000 * MS), (61, 33_333_333), (3 * 365 * 86400, 33_333_333)])
def test_a_minute_or_years_without_a_frame_are_not_waited_for(gap, waited):
    """As where the recorder was paused, or its clock set."""
    pace, times, stamps = Pace(START), [0, 33 * MS, 33 * MS + gap * 1000 * MS, 66 * MS + gap * 1000 * MS], []
    told = []
    for time_in_file in times:
        told.append(pace.passed_over(time_in_file))
        now = stamps[-1] if stamps else START
        assert not pace.overdue(time_in_file, now)
        stamps.append(pace.awaited(time_in_file, pace.due(time_in_file)))
    assert [b - a for a, b in itertools.pairwise(stamps)] == [33 * MS, waited, 33 * MS]
    assert told == [0, 0, 0 if gap < 60 else gap * 1000 * MS, 0] and pace.slowed == pace.skipped == 0


def test_after_a_sleep_of_the_computer_the_file_goes_on_from_where_it_was():
    pace, published = play(300, 2 * MS, 2 * MS, stalls=[(100, 3600 * 1000 * MS)])
    assert pace.skipped == 0 and len(published) == 300 and pace.slowed > 3590 * 1000 * MS


def test_where_the_clock_is_set_back_the_file_goes_on_from_where_it_was():
    """And is not played once the clock shows again what it had shown: an hour later, without a word."""
    pace, published = play(300, 2 * MS, 2 * MS, stalls=[(100, -3600 * 1000 * MS)])
    stamps = [stamp for stamp, _ in published]
    assert pace.skipped == 0 and len(stamps) == 300 and -3600 * 1000 * MS <= stamps[100] - stamps[99] < -3599 * 1000 * MS
    assert (np.diff(stamps[100:]) == 33 * MS).all()
    assert pace.awaited(299 * 33 * MS, stamps[-1] - 10**10) == stamps[-1] - 10**10  # while it was waited for


def test_a_camera_that_could_not_run_for_a_while(ros, tmp_path):
    """Stopped for longer than it may be late: it leaves out what is overdue, counts it, and stamps are near now."""
    plain_video(tmp_path / "video.mp4", (i % 250 for i in range(3000)))  # longer than anybody is held up
    node, images = ros.node("listener"), []
    node.create_subscription(Image, "image_raw", lambda image: images.append(stamp_of(image.header)), RELIABLE)
    node.create_subscription(CameraInfo, "camera_info", lambda message: None, RELIABLE)
    camera = ros.process("-m", "fourdhands_ros.tools.camera", str(tmp_path / "video.mp4"), "--subscribers", "1")
    assert ros.spin_until(lambda: len(images) > 5)
    camera.send_signal(signal.SIGSTOP)
    ros.spin_for(1.5)
    resumed, before = time.time_ns(), len(images)
    camera.send_signal(signal.SIGCONT)
    assert ros.spin_until(lambda: len(images) > before + 5)
    camera.send_signal(signal.SIGINT)
    assert ros.spin_until(lambda: camera.poll() is not None)
    output = camera.stdout.read()
    told = json.loads(output.splitlines()[-1])
    assert ros.spin_until(lambda: len(images) == told["published"])
    assert told["skipped"] > 0
    assert "left out so far" in output and images == sorted(set(images))
    assert all(stamp > resumed - 3 * 10**8 for stamp in images[before + 2 :])  # one or two were on their way


def test_a_file_that_is_played_by_the_time_of_a_simulation(ros, tmp_path):
    """Each image once, in order and with its own stamp, none left out, however slowly /clock goes on; none before its time."""
    plain_video(tmp_path / "video.mp4", range(0, 240, 30))
    node, images, early = ros.node("listener"), [], []
    clock = node.create_publisher(Clock, "/clock", 10)
    node.create_subscription(Image, "image_raw", lambda image: images.append(stamp_of(image.header)), RELIABLE)
    node.create_subscription(CameraInfo, "camera_info", lambda message: None, RELIABLE)
    arguments = str(tmp_path / "video.mp4"), "--subscribers", "1", "--ros-args", "-p", "use_sim_time:=true"
    camera = ros.process("-m", "fourdhands_ros.tools.camera", *arguments)
    now = Clock()

    def heard(count):
        clock.publish(now)
        return len(images) >= count

    for number in range(8):
        nanoseconds = START + number * 10**9 // 30 + 10**6 * (1 + (number > 0))
        now.clock.sec, now.clock.nanosec = divmod(nanoseconds, 10**9)
        assert ros.spin_until(lambda: heard(number + 1))
        ros.spin_for(0.25)  # longer than a frame may be late
        early.append(len(images) - number - 1)
    assert ros.spin_until(lambda: camera.poll() is not None)
    told = json.loads(camera.stdout.read().splitlines()[-1])
    assert early == [0] * 8 and told["published"] == 8 and told["skipped"] == 0 and images[0] == START + 10**6
    np.testing.assert_allclose(np.diff(images), 10**9 / 30, atol=10**6)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{tmp}/none.mp4"], "does not exist"),
        (["{tmp}/text.mp4"], "text.mp4"),
        (["97"], "camera 97"),
        (["{tmp}/video.mp4", "--intrinsics", "{tmp}/none.yaml"], "none.yaml"),
    ],
)
def test_what_is_wrong_goes_to_the_log(tmp_path, arguments, words):
    """One sentence on stderr, where the ROS log is; stdout is for who reads its lines as JSON."""
    (tmp_path / "text.mp4").write_text("this is no video")
    plain_video(tmp_path / "video.mp4", [0])
    result = python("-m", "fourdhands_ros.tools.camera", *(one.replace("{tmp}", str(tmp_path)) for one in arguments))
    assert result.returncode == 2 and not result.stdout
    assert any("[ERROR]" in line and "[camera]" in line and words in line for line in result.stderr.splitlines())
    assert "Traceback" not in result.stderr


def test_there_is_room_for_images_unless_the_user_chose_what_fast_dds_reads():
    """Of 1280x720 images an eighth came to a page on a busy machine with its own 512 kB, with this nine tenths."""
    environment = {}
    make_room_for_images(environment)
    assert len(set(environment.values())) == 1 and Path(environment["FASTRTPS_DEFAULT_PROFILES_FILE"]).is_file()
    chosen = {"FASTDDS_DEFAULT_PROFILES_FILE": "mine.xml"}
    make_room_for_images(chosen)
    assert chosen == {"FASTDDS_DEFAULT_PROFILES_FILE": "mine.xml"}
