"""Several cameras fused in one node: poses from TF or a file, and what goes wrong over DDS."""

import sys
import threading

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from fused_support import FRAME, LATER, NAMES, fused  # noqa: F401 (the fixture too)
from rclpy.parameter import Parameter
from ros_support import PATIENT, RELIABLE, REPOSITORY, Unread, image_message, stamp_of
from std_srvs.srv import SetBool
from visualization_msgs.msg import MarkerArray

from fourdhands_core.errors import InputError
from fourdhands_ros.node.parameters import Parameters

sys.path.insert(0, str(REPOSITORY / "test"))
from fusion_support import Scene


def test_two_cameras_of_a_file(fused):
    """One pair of hands in the fixed frame with frames and names of the cameras, and each camera's own."""
    bench = fused(Scene())
    bench.run(range(0, 16 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 15 and len(bench.pairs["left"]) == 16)
    last = bench.fused[-1]
    assert last.header.frame_id == "cell" and last.left.header.frame_id == "cell"
    assert list(last.left_cameras) == list(last.right_cameras) == NAMES
    assert len(last.left.joints) == 21 and len(last.left.joints_2d) == 0 and last.left.scaled
    assert np.nanmean(bench.errors(bench.fused[5:])) < 0.008
    single = bench.pairs["left"][-1]
    assert single.header.frame_id == "left_optical" and list(single.left_cameras) == []
    frames = {t.child_frame_id: t.header.frame_id for one in bench.transforms for t in one.transforms}
    assert frames["left_wrist"] == "cell" and frames["right/left_wrist"] == "right_optical"
    _, values = bench.diagnosis()
    assert values["left hand"] == "tracked, by left, right" and "problems" not in values and values["poses"] == "file"


def test_a_problem_whose_numbers_change_is_logged_once(fused, monkeypatch):
    """As how far the newest transform is away: it was each second."""
    channel, told = fused(Scene()).node.fused, []
    monkeypatch.setattr(channel._node.get_logger(), "warning", lambda text, **_: told.append(text))
    said = [["cam_1 is 0.067 s away"], ["cam_1 is 12.5 s away"], ["cam_2 is 3 s away"]]
    monkeypatch.setattr(channel.fusion.consistency, "problems", lambda stamp: said.pop(0))
    while said:
        channel.statistics.count_received()  # of which nothing is published, but why is told before that
        assert channel.status().message in ("cam_1 is 0.067 s away", "cam_1 is 12.5 s away", "cam_2 is 3 s away")
    assert told == ["fusion: cam_1 is 0.067 s away", "fusion: cam_2 is 3 s away"]


def test_no_stamp_comes_again_after_a_reset(fused):
    """As of estimates that were in work when it came."""
    scene = Scene()
    channel = fused(scene).node.fused

    def take(moments):
        for moment in moments:
            for number, camera in enumerate(NAMES):
                channel.take(camera, scene.view(number, moment).estimate, f"{camera}_optical", 0.0)
        return channel.statistics.published

    published = take(range(0, 8 * FRAME, FRAME))
    channel.reset()
    assert 0 < published == take(range(4 * FRAME, 8 * FRAME, FRAME)) < take(range(8 * FRAME, 12 * FRAME, FRAME))


def test_what_cameras_have_in_work_when_the_node_is_deactivated_is_fused_too(fused):
    """Its topics were closed before the cameras ended: that image's hands were lost, or an error."""
    bench = fused(Scene())
    bench.run(range(0, 4 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 3)
    right, begun, ends, fusion = bench.of("right"), threading.Event(), threading.Event(), bench.node.fused.statistics
    estimate, close = right.tracker.estimate, right.processor._mailbox.close
    right.tracker.estimate = lambda *args: begun.set() or (ends.wait(PATIENT) and estimate(*args))
    published, received = fusion.published, fusion.received
    bench.send("left", 4 * FRAME)
    assert bench.ros.spin_until(lambda: fusion.received == received + 1)
    bench.images["right"].publish(image_message(bench.scene.stamp(4 * FRAME + LATER), (255, 255, 0), frame_id="right_optical"))
    assert bench.ros.spin_until(begun.is_set)
    right.processor._mailbox.close = lambda: (ends.set(), close())
    bench.node.trigger_deactivate()
    assert fusion.received == received + 2 and fusion.published > published and not right.statistics.refused


def test_a_pause_hides_the_fused_hands_too(fused):
    """With a marker_lifetime of 0 their meshes stayed in viewers."""
    bench, markers = fused(Scene(), marker_lifetime=0.0), Unread(MarkerArray)
    bench.user.create_subscription(MarkerArray, "hands/markers", markers.append, RELIABLE, raw=True)
    bench.ros.join(bench.user, bench.node.fused.outputs.markers)
    bench.run(range(0, 4 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: markers and bench.fused)
    client = bench.user.create_client(SetBool, "hands/pause")
    assert bench.ros.ask(client, SetBool.Request(data=True)).success
    assert bench.ros.spin_until(lambda: [one.action for one in markers[-1].markers] == [2, 2])
    level, values = bench.diagnosis()
    assert level == DiagnosticStatus.OK and values["left hand"] == "absent"
    assert bench.ros.ask(client, SetBool.Request(data=False)).success
    bench.ros.join(bench.node, *bench.images.values())
    count = len(bench.fused)
    bench.run(range(4 * FRAME, 8 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: len(bench.fused) > count)


def test_a_camera_that_dies_and_comes_back(fused):
    bench = fused(Scene())
    bench.run(range(0, 10 * FRAME, FRAME))
    bench.run(range(10 * FRAME, 20 * FRAME, FRAME), ["left"])
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 18)
    assert list(bench.fused[-1].left_cameras) == ["left"]
    assert np.nanmax(bench.errors(bench.fused[5:])) < 0.03
    bench.run(range(20 * FRAME, 26 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: list(bench.fused[-1].left_cameras) == NAMES)


def test_a_dark_camera_shows_nothing_and_disturbs_nothing(fused):
    bench = fused(Scene())
    bench.run(range(0, 6 * FRAME, FRAME))
    for moment in range(6 * FRAME, 20 * FRAME, FRAME):
        bench.send("left", moment)
        bench.send("right", moment + LATER, (0, 0, 0))
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 18)
    assert all(pair.left.valid for pair in bench.fused[1:]) and list(bench.fused[-1].left_cameras) == ["left"]
    for moment in range(20 * FRAME, 36 * FRAME, FRAME):
        bench.run([moment], pixel=(0, 0, 0))
    assert bench.ros.spin_until(lambda: bench.fused[-1].left.state == bench.fused[-1].left.ABSENT)
    assert not bench.fused[-1].left.valid and len(bench.fused[-1].left.joints) == 0


def test_hold_of_fused_hands_changes_while_the_node_runs(fused):
    bench = fused(Scene())
    bench.run(range(0, 6 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 5) and bench.fused[-1].left.valid
    assert bench.node.set_parameters([Parameter("hold", value=0.0)])[0].successful
    bench.run(range(6 * FRAME, 10 * FRAME, FRAME), pixel=(0, 0, 255))
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 9)
    assert not bench.fused[-1].left.valid and len(bench.fused[-1].left.joints) == 0, "it is not held for 0.3 s"


def test_a_camera_that_shows_another_person(fused):
    """The hands that both cameras saw go on from the other camera alone, and it is told."""
    bench = fused(Scene())
    bench.run(range(0, 12 * FRAME, FRAME))
    bench.trackers[1].elsewhere = np.array([0.35, 0.1, 0.2])
    before = len(bench.fused)
    bench.run(range(12 * FRAME, 50 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: len(bench.fused) >= 48)
    after = bench.fused[before + 2 :]
    assert np.nanmax(bench.errors(after)) < 0.035 and all(pair.left.valid and pair.right.valid for pair in after)
    assert all(list(pair.left_cameras) == list(pair.right_cameras) == ["left"] for pair in after)
    level, values = bench.diagnosis()
    assert level == DiagnosticStatus.WARN and "right is left out: it sees a hand where" in values["problems"]
    bench.trackers[1].elsewhere = None
    bench.run(range(50 * FRAME, 56 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: list(bench.fused[-1].left_cameras) == NAMES)


def test_cameras_that_show_two_persons_from_the_start(fused):
    """Which of them is meant is not known: no hand is valid, single cameras go on."""
    bench = fused(Scene())
    bench.trackers[1].elsewhere = np.array([0.35, 0.1, 0.2])
    bench.run([0])
    assert bench.ros.spin_until(lambda: len(bench.node.fused.fusion.newest()) == 2)  # until then one camera is all there is
    bench.run(range(FRAME, 40 * FRAME, FRAME))
    assert bench.ros.spin_until(lambda: len(bench.pairs["left"]) == len(bench.pairs["right"]) == 40 and len(bench.fused) >= 38)
    later = [pair for pair in bench.fused if stamp_of(pair.header) >= bench.scene.stamp(FRAME)]
    assert len(later) > 30 and not any(hand.valid for pair in later for hand in (pair.left, pair.right))
    assert all(pair.left.valid for camera in NAMES for pair in bench.pairs[camera])
    level, values = bench.diagnosis()
    assert level == DiagnosticStatus.WARN and "left out" in values["problems"]


def test_clocks_that_are_apart_are_told(fused):
    scene = Scene(angles=(-30.0, 30.0), noise=0.5, nods=0.05)
    bench = fused(scene)
    bench.trackers[1].clock = 50_000_000
    for moment in range(60 * FRAME, 200 * FRAME, FRAME):
        bench.send("left", moment)
        bench.send("right", moment)
    words = "clocks are apart: stamps of right are"
    assert bench.ros.spin_until(lambda: words in bench.diagnosis()[1].get("problems", "")), bench.diagnosis()


def test_swapped_topics_are_told(fused):
    """With poses from a file each camera's images are taken for the other's: no wrong hand goes out unnoticed."""
    scene = Scene(angles=(-30.0, 20.0))
    scene.poses.reverse()
    bench = fused(scene)
    scene.poses.reverse()
    bench.run(range(0, 40 * FRAME, FRAME))
    level, values = bench.diagnosis()
    assert level == DiagnosticStatus.WARN and values["problems"], values
    assert np.isnan(bench.errors(bench.fused)).all() or any(name in values["problems"] for name in NAMES)


@pytest.mark.parametrize(
    "parameters, words",
    [({"fusion": True}, "one camera cannot be fused"), ({"fusion": True, "cameras": ("a", "b")}, "name the fixed_frame")],
)
def test_parameters_that_make_no_sense(parameters, words):
    with pytest.raises(InputError, match=words):
        Parameters(**parameters)
