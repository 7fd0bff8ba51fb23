"""The page's ROS side: single messages of bags by their index, bags as recordings, topics that are open only for clients."""

import contextlib
import signal
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
from bag_support import TYPES, image_entry, write_bag
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import serialize_message
from ros_support import LATCHED, PATIENT, PERIOD, T0, make_pair
from sensor_msgs.msg import CameraInfo, Image
from video_support import number_in, numbered_picture
from view_bag_support import transform_message
from view_support import CAMERA, HANDS, mirrored, moving

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.pipeline.types import HELD, TRACKED
from fourdhands_core.view.moments import KEPT, SEEN, UNKNOWN, Moment
from fourdhands_ros.bags.index import BagIndex
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.convert.decoders import pair_estimate
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.node.diagnostics import diagnostic_status
from fourdhands_ros.pypi.message_types import HandPair, TFMessage, deserialize
from fourdhands_ros.tools.camera import camera_info
from fourdhands_ros.view.bag_recording import BagRecording

with contextlib.suppress(ModuleNotFoundError):  # a workspace, in which the plugins of launch import this file, may lack viser
    from fourdhands_core.view.serving import serve
    from fourdhands_core.view.sights import Sight
    from fourdhands_ros.view.live import LivePage
    from fourdhands_ros.view.live_camera import LiveCamera, image_beside
needs_viser = pytest.mark.skipif("LiveCamera" not in globals(), reason="the extra view is not installed")

KINDS = {
    "/cam/hands": "fourdhands_ros/msg/HandPair",
    "/cam/image_raw": TYPES["image_raw"],
    "/cam/camera_info": TYPES["camera_info"],
}


def entries_of(count=40, without=(), late=60_000_000):
    """A camera's images and their hands, which are recorded later; images `without` were not recorded."""
    encoder = HandPairEncoder("landmark", "generic")
    entries, info = [], camera_info(640, 480, CAMERA, "cam_optical")
    for i, pair in enumerate(moving(count)):
        stamp = T0 + i * PERIOD
        pair = replace(pair, stamp=stamp)
        if i not in without:
            entries.append(image_entry("/cam/image_raw", stamp, numbered_picture(i), "cam_optical"))
        entries.append(("/cam/camera_info", stamp + 1_000_000, serialize_message(info)))
        counts = i + 1, i // 10, int(i >= 30)
        entries.append(
            ("/cam/hands", stamp + late, encoder.encode(pair, "cam_optical", {"detect": 0.01, "total": 0.02}, counts))
        )
    return sorted(entries, key=lambda entry: entry[1])


FORMS = {
    "mcap": {},
    "mcap in chunks": {"chunk": 7},
    "mcap with packed chunks": {"compression": "storage", "chunk": 7},
    "packed messages": {"compression": "message"},
    "packed file": {"compression": "file"},
    "sqlite3": {"plugin": "sqlite3"},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_single_messages_are_those_of_the_bag(tmp_path, form):
    """In any order, of each topic, from every kind of file."""
    entries = entries_of()
    with Bag(write_bag(tmp_path / "bag", entries, KINDS, **form)) as bag:
        index = BagIndex(bag, KINDS)
        for topic in KINDS:
            expected = [(time, data) for name, time, data in entries if name == topic]
            assert index.times[topic].tolist() == [time for time, _ in expected]
            for number in (len(expected) - 1, 0, 17, 3, 18):
                assert index.read(topic, number) == expected[number][1]
        index.close()


def test_a_bag_that_ends_in_the_middle(tmp_path, closing):
    """What can be read is shown, and what is missing is said."""
    path = write_bag(tmp_path / "bag", entries_of(), KINDS, chunk=6)
    (file,) = path.glob("*.mcap")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    recording = closing(BagRecording(path, HANDS))
    assert 5 < len(recording.course) < 40 and any("cut off" in warning for warning in recording.warnings)
    while recording.advance():
        pass
    assert recording.course.read == len(recording.course)
    assert number_in(recording.image(3)) == 3


@pytest.mark.parametrize("late", [60_000_000, 900_000_000, -5_000_000_000], ids=["60 ms", "a slow node", "another clock"])
def test_a_bag_as_a_recording(tmp_path, late, closing):
    """late: nanoseconds after its image that hands were recorded."""
    recording = closing(BagRecording(write_bag(tmp_path / "bag", entries_of(without=(11,), late=late), KINDS), HANDS))
    assert recording.name.endswith("/cam/hands") and not recording.warnings
    assert (recording.course.state == UNKNOWN).all()  # nothing has been read
    for row in (25, 3, 39):
        assert number_in(recording.image(row)) == row
        moment = recording.moment(row)
        assert moment.stamp == T0 + row * PERIOD and moment.latency["total"] == pytest.approx(0.02)
        assert moment.dropped == row // 10 and moment.rejected == int(row >= 30)
    assert recording.image(11) is None  # not another moment's
    np.testing.assert_allclose(recording.moment(0).pair.camera.matrix, CAMERA.matrix)
    assert recording.course.read == 4  # and the first, for the hand model
    while recording.advance():
        pass
    assert (recording.course.state[20:23, 0] == KEPT).all() and (recording.course.state[:, 1] == SEEN).all()


@pytest.mark.parametrize(
    "topic, rectified, flip", [("image_raw", True, False), ("image_rect", False, True), ("image_raw", False, True)]
)
def test_hands_of_a_bag_tell_how_its_images_are_read(tmp_path, topic, rectified, flip, closing):
    """Whether they are mirrored, or rectified though their topic's name says otherwise: parameters of a node that is gone."""
    lens = Camera(640, 480, CAMERA.matrix, "plumb_bob", np.array([-0.3, 0.1, 0, 0, 0]))
    info = camera_info(640, 480, lens, "cam_optical")
    info.p[0], info.p[2], info.p[5] = 450.0, 300.0, 450.0
    used = Camera(640, 480, np.reshape(info.p, (3, 4))[:, :3]) if rectified else lens
    encoder, entries = HandPairEncoder("landmark", "generic"), [("/cam/camera_info", T0, serialize_message(info))]
    for i, pair in enumerate(moving(5, camera=used.mirrored() if flip else used)):
        pair = replace(mirrored(pair) if flip else pair, stamp=T0 + i * PERIOD)
        entries.append((f"/cam/{topic}", pair.stamp, image_entry("", pair.stamp, numbered_picture(i), "cam_optical")[2]))
        entries.append(("/cam/hands", pair.stamp, encoder.encode(pair, "cam_optical", {}, (i, 0, 0))))
    types = {"/cam/hands": KINDS["/cam/hands"], f"/cam/{topic}": TYPES["image_raw"], "/cam/camera_info": TYPES["camera_info"]}
    recording = closing(BagRecording(write_bag(tmp_path / "bag", entries, types), HANDS))
    found = recording.moment(2).pair
    assert found.mirrored == flip
    np.testing.assert_allclose(found.camera.matrix, used.matrix)
    np.testing.assert_allclose(found.camera.distortion, used.distortion)


def test_without_camera_info_the_points_tell_of_the_camera(tmp_path, closing):
    entries = [entry for entry in entries_of() if entry[0] == "/cam/hands"]
    recording = closing(BagRecording(write_bag(tmp_path / "bag", entries, {"/cam/hands": KINDS["/cam/hands"]}), HANDS))
    np.testing.assert_allclose(recording.moment(0).pair.camera.matrix, CAMERA.matrix, rtol=1e-3)
    assert recording.image(0) is None and "no images beside the hands in this bag" in recording.warnings


def test_damaged_messages_are_said(tmp_path, closing):
    entries = [
        (name, time, data[:200] if name == "/cam/hands" and k % 2 else data)
        for k, (name, time, data) in enumerate(entries_of())
    ]
    entries = [(name, time, data[:100] if name == "/cam/image_raw" else data) for name, time, data in entries]
    recording = closing(BagRecording(write_bag(tmp_path / "bag", entries, KINDS), HANDS))
    while recording.advance():
        pass
    notes = [recording.moment(row).notes for row in range(40)]
    assert any(notes) and not all(notes) and "is damaged" in next(filter(None, notes))[0]
    assert recording.image(5) is None


def test_bags_without_hands(tmp_path):
    images = [entry for entry in entries_of(3) if entry[0] != "/cam/hands"]
    path = write_bag(tmp_path / "bag", images, {name: kind for name, kind in KINDS.items() if name != "/cam/hands"})
    with pytest.raises(InputError, match="holds no hands, but .*`fourdhands bag"):
        BagRecording(path, HANDS)
    path = write_bag(tmp_path / "other", entries_of(3), KINDS)
    with pytest.raises(InputError, match="holds no hands on /nothing; topics with hands are: /cam/hands"):
        BagRecording(path, HANDS, "/nothing")
    with pytest.raises(InputError, match="holds no images on /nothing"):
        BagRecording(path, HANDS, image="/nothing")


@pytest.mark.parametrize("states", [(TRACKED, HELD), (HELD, TRACKED)])
def test_messages_become_the_estimates_that_they_were_made_of(states):
    pair = make_pair(states=states, vertices=True)
    message = deserialize(HandPairEncoder("n", "m").encode(pair, "f", {}, (1, 0, 0), with_vertices=True), HandPair)
    back = pair_estimate(message, pair.camera)
    for one, other in zip(pair.hands, back.hands):
        assert (one.state, one.valid, one.scaled) == (other.state, other.valid, other.scaled)
        for name in (
            "joints",
            "joints_raw",
            "joints_2d",
            "joint_confidence",
            "global_orient",
            "hand_pose",
            "betas",
            "vertices",
        ):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-5, atol=1e-5)
    assert back.stamp == pair.stamp and back.left_root_source == pair.left_root_source


def test_refusals_with_their_reason(tmp_path, closing):
    """What the node told last before an image's hands is shown with them; not what it told of another camera."""

    def told(level, message, values, frame="cam_optical"):
        status = diagnostic_status("hands", frame, level, message, {"left hand": "tracked", **values})
        return serialize_message(DiagnosticArray(status=[status]))

    refused = {"refused: stamp": "3", "refused: dark": "1", "last problem": "the image is late", "calibration": "assumed"}
    said = [
        (5, told(b"\x00", "tracking", {"calibration": "calibrated"})),
        (10, told(b"\x01", "3 images refused", refused)),
        (15, told(b"\x01", "no images", {}, "other")),
        (20, b"\x00\x01"),
    ]
    entries = [*entries_of(), *(("/diagnostics", T0 + i * PERIOD + 50_000_000, data) for i, data in said)]
    kinds = {**KINDS, "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray"}
    recording = closing(BagRecording(write_bag(tmp_path / "bag", sorted(entries, key=lambda entry: entry[1]), kinds), HANDS))
    notes = [recording.moment(row).notes for row in range(25)]
    assert notes[4] == notes[5] == notes[15] == notes[20] == ()
    assert notes[12] == (
        "3 images refused.",
        "Refused so far: 3 (stamp), 1 (dark).",
        "Last problem: the image is late.",
        "Calibration: assumed.",
    )


@needs_viser
def test_which_image_is_beside_the_hands():
    topics = [
        "/cam/image_raw",
        "/cam/image_raw/compressed",
        "/other/image_raw",
        "/cam/depth/image_raw",
        "/cam/hands/debug_image",
    ]
    assert image_beside("/cam/hands", topics) == "/cam/image_raw/compressed"
    assert image_beside("/cam/hands", topics[2:]) == "" and image_beside("/hands", ["/image_raw"]) == "/image_raw"


@contextlib.contextmanager
def live(ros, image=None):
    """The topics of a camera, taken in by a node of their own."""
    node = ros.node()
    camera = LiveCamera(node, "/cam/hands", image)
    try:
        yield camera
    finally:
        camera.close()


@needs_viser
def test_a_second_camera_stands_where_tf_says(ros, closing):
    """In the first one's frame; beside it, with words, where /tf does not tell."""
    served = closing(serve(port=0))
    node, publisher = ros.node("viewer"), ros.node()
    static = publisher.create_publisher(TFMessage, "/tf_static", LATCHED)
    page = LivePage(served, node, [LiveCamera(node, f"/{name}/hands", None) for name in "ab"], HANDS, 15.0)
    try:
        page.switch(True)
        page.turn()
        page.cameras[0].frame_id = "a_optical"
        first, moment = Sight("/a/hands", Moment(moving(1)[0])), Moment(moving(1)[0])
        words = page.stage.draw([first, Sight("/b/hands", moment, None, False, None, False, *page.pose("b_optical", T0))])
        assert "/b/hands is drawn beside the first camera: " in words[0]
        np.testing.assert_allclose(page.stage.cameras["/b/hands"].root.position, [1.5, 0, 0])
        static.publish(transform_message("a_optical", "b_optical", Rigid(position=np.array([0.4, 0.0, 0.0]))))
        assert ros.spin_until(lambda: page.pose("b_optical", T0)[0] is not None, PATIENT)
        assert not page.stage.draw([first, Sight("/b/hands", moment, None, False, None, False, *page.pose("b_optical", T0))])
        np.testing.assert_allclose(page.stage.cameras["/b/hands"].root.position, [0.4, 0, 0])
    finally:
        page.switch(False)


@needs_viser
def test_the_program_serves_until_it_is_told_to_end(ros):
    """Its address is printed, the page comes, and SIGINT ends it with 0."""
    process = ros.process("fourdhands_ros/hands_view", "/cam/hands", "--port", "0")
    line = next(line for line in process.stdout if line.startswith("open http://localhost:"))
    with urllib.request.urlopen(line.split()[1], timeout=PATIENT) as answer:
        assert answer.status == 200 and b"<html" in answer.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENT) == 0
    assert "Traceback" not in process.stdout.read()


@needs_viser
def test_live_topics_are_open_only_while_somebody_looks(ros):
    """Hands come with the image of their own moment; what is malformed is said; afterwards nobody subscribes."""
    publisher = ros.node()
    hands = publisher.create_publisher(HandPair, "/cam/hands", 10)
    images = publisher.create_publisher(Image, "/cam/image_raw", 10)
    infos = publisher.create_publisher(CameraInfo, "/cam/camera_info", 10)
    messages = [(name, data) for name, _, data in entries_of(30, late=400_000_000)]
    with live(ros) as camera:
        ros.spin_until(lambda: False, 0.5)
        assert publisher.count_subscribers("/cam/hands") == publisher.count_subscribers("/cam/image_raw") == 0
        camera.open()
        assert ros.spin_until(
            lambda: (
                (camera.look_for_images(publisher.get_topic_names_and_types()), hands.get_subscription_count())[1]
                and images.get_subscription_count()
                and infos.get_subscription_count()
            ),
            PATIENT,
        )
        seen = []

        def shown():
            if (newest := camera.newest()) is not None:
                seen.append(newest)
                camera.add(newest[0])
            return not camera.waiting

        for name, data in messages:
            {"/cam/hands": hands, "/cam/image_raw": images, "/cam/camera_info": infos}[name].publish(data)
            ros.spin_until(lambda: (camera.take(), camera.waiting)[1], 5.0 if name == "/cam/hands" else 0.01)
            shown()
        assert ros.spin_until(shown, PATIENT) and len(seen) > 3
        with_image = [(moment, image) for moment, image in seen if image is not None]
        assert with_image and all(
            stamp > seen[-1][0].stamp for stamp, _ in camera.images
        )  # what no hands can come for is let go
        for moment, image in with_image:
            assert moment.stamp == T0 + number_in(image) * PERIOD
        np.testing.assert_allclose(with_image[-1][0].pair.camera.matrix, CAMERA.matrix)
        hands.publish(b"\x00\x01\x00\x00" + bytes(20))
        told = "/cam/hands does not unpack"
        assert ros.spin_until(lambda: camera.newest() is None and told in camera.problems.get("image", ""), PATIENT)
        camera.close()
        assert ros.spin_until(lambda: hands.get_subscription_count() == images.get_subscription_count() == 0, PATIENT)
