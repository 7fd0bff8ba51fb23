"""`fourdhands calibrate-cameras` of running cameras: what their topics show, and what is said of topics that are none."""

import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest
from fusion_support import ASSETS, STEP, Scene, SceneTracker
from program_support import python
from ros_context import ended
from ros_support import PERIOD, RELIABLE, image_message, info_message, stamp_to
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fourdhands_core.errors import InputError
from fourdhands_core.fusion.rig.extrinsics import calibrate, compare
from fourdhands_core.geometry.camera_source import CALIBRATED
from fourdhands_core.media.track_cameras import collect
from fourdhands_ros.tools import live_cameras
from fourdhands_ros.tools.live_cameras import TrackedCamera

TOPICS = {"left/image_raw": Image, "cell/right/image_raw/compressed": CompressedImage}
NAMES = ["left", "cell/right"]


def compressed_message(stamp):
    """Of a picture in one colour."""
    message = CompressedImage(format="png", data=cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    stamp_to(message, stamp)
    return message


def test_where_running_cameras_stand(ros):
    """A raw and a compressed topic, hands as a detector with errors sees them, the distance between the cameras given."""
    scene = Scene(distance=0.6)
    user, node = ros.node("user"), ros.node("calibration")
    images = {topic: user.create_publisher(kind, topic, RELIABLE) for topic, kind in TOPICS.items()}
    assert ros.spin_until(lambda: all(node.count_publishers(f"/{topic}") for topic in TOPICS))
    cameras = [TrackedCamera(node, f"/{topic}", SceneTracker(scene, k), 60.0) for k, topic in enumerate(TOPICS)]
    assert [camera.name for camera in cameras] == NAMES
    assert ros.spin_until(lambda: all(image.get_subscription_count() for image in images.values()))
    seen = []
    for moment in range(0, 75 * STEP // 15, STEP // 15):
        stamp = scene.stamp(moment)
        for camera, message in zip(cameras, (image_message(stamp), compressed_message(stamp))):
            came = camera.images
            ros.deliver(images[camera.topic.lstrip("/")], message)
            assert ros.spin_until(lambda: seen.extend(live_cameras.take([camera])) or camera.images > came)
    assert len(seen) == 150 and all(camera.hands == 150 for camera in cameras)
    true = dict(zip(NAMES, scene.poses))
    distance = float(np.linalg.norm(true["left"].position - true["cell/right"].position))
    found = calibrate(collect(seen, NAMES), ASSETS, distance=distance)
    difference = compare(true, found)["cell/right"]
    assert difference.angle < 1.0 and difference.baseline < 0.03


class SlowTracker(SceneTracker):
    """Takes so long that something happens meanwhile, `during`."""

    during = staticmethod(lambda: None)

    def estimate(self, frame, with_vertices=False):
        self.during()
        return super().estimate(frame)


def test_cameras_are_looked_at_at_one_moment(ros):
    """However long tracking takes: the second camera's image was as much newer, and hands of other moments say nothing."""
    scene, stamps = Scene(), {name: [] for name in NAMES}
    user, node, tracker = ros.node("user"), ros.node("calibration"), SlowTracker(scene)
    images = [user.create_publisher(Image, f"{name}/image_raw", RELIABLE) for name in NAMES]
    assert ros.spin_until(lambda: all(node.count_publishers(one.topic_name) for one in images))
    cameras = [
        TrackedCamera(node, one.topic_name, tracker if not k else SceneTracker(scene, k), 60.0) for k, one in enumerate(images)
    ]
    moments = iter(range(0, 5 * STEP // 15, STEP // 15))

    def send():
        stamp = scene.stamp(next(moments))
        for image in images:
            ros.deliver(image, image_message(stamp))

    send()
    tracker.during = send
    while len(stamps[NAMES[0]]) < 4:
        for name, estimate, _ in live_cameras.take(cameras):
            stamps[name].append(estimate.stamp)
    assert stamps[NAMES[0]] == stamps[NAMES[1]]


class CameraTracker(SceneTracker):
    """Calls its estimates calibrated only as the camera of their images is."""

    def estimate(self, frame, with_vertices=False):
        return replace(super().estimate(frame), camera=frame.camera)


class DepthTracker(SceneTracker):
    """Keeps the depth images of its images, by stamp."""

    def __init__(self, scene):
        super().__init__(scene)
        self.depths = {}

    def add_depth(self, frame, depth):
        self.depths[frame.stamp] = depth


def test_depth_images_beside_an_image(ros):
    """Are those of its moment, though they come after it; without any the camera goes without."""
    scene = Scene()
    user, node, tracker = ros.node("user"), ros.node("calibration"), DepthTracker(scene)
    image, depth = (user.create_publisher(Image, f"left/{name}", RELIABLE) for name in ("image_raw", "depth/image_raw"))
    assert ros.spin_until(lambda: all(node.count_publishers(one.topic_name) for one in (image, depth)))
    camera = TrackedCamera(node, "/left/image_raw", tracker, 60.0, with_depth=True)
    assert camera.depth_topic == "/left/depth/image_raw"
    assert ros.spin_until(lambda: image.get_subscription_count() and depth.get_subscription_count())
    stamps = [scene.stamp(moment * STEP // 15) for moment in range(3)]

    def heard(stamp):
        return bool(live_cameras.take([camera])) | (stamp in [one for one, _ in camera._depth.messages])

    for number, stamp in enumerate(stamps):
        ros.deliver(image, image_message(stamp))
        assert ros.spin_until(lambda: bool(live_cameras.take([camera])) | (camera.images > number))
        message = Image(
            width=64, height=48, encoding="16UC1", step=128, data=np.full((48, 64), 500 + number, np.uint16).tobytes()
        )
        message.header.frame_id = "camera"
        stamp_to(message, stamp)
        ros.publish_until(depth, message, lambda stamp=stamp: heard(stamp))  # best effort may lose it
    assert {stamp: int(one[0, 0]) for stamp, one in tracker.depths.items()} == {stamps[0]: 500, stamps[1]: 501}
    assert TrackedCamera(node, "/left/image_raw", tracker, 60.0).depth_topic == ""


def test_what_is_nearest_an_image_says_its_lens(ros):
    """CameraInfo below the image topic counts before that of its namespace, whichever comes first; what is none is told of."""
    user, node = ros.node("user"), ros.node("calibration")
    user.create_publisher(Image, "cell/left", RELIABLE)
    infos = [user.create_publisher(CameraInfo, topic, RELIABLE) for topic in ("cell/left/camera_info", "cell/camera_info")]
    assert ros.spin_until(lambda: node.count_publishers("/cell/left"))
    camera = TrackedCamera(node, "/cell/left", SceneTracker(Scene()), None)

    def focal():
        live_cameras.take([camera])
        one = camera._source.camera_for(64, 48)
        return one.matrix[0, 0] if camera._source.state == CALIBRATED else None

    for info, sent, used in ((1, 50.0, 50.0), (0, 60.0, 60.0), (1, 70.0, 60.0), (0, 80.0, 80.0)):
        ros.publish_until(infos[info], info_message(focal=sent), lambda used=used: focal() == used)
    with pytest.raises(InputError, match="camera_info is of type sensor_msgs/msg/CameraInfo, and no topic of images"):
        TrackedCamera(node, "/cell/left/camera_info", SceneTracker(Scene()), None)


def test_images_wait_for_the_lens_of_their_camera(ros, monkeypatch, capsys):
    """What is missing is told before the time runs, and a camera that falls silent at its end."""
    user, node, stop = ros.node("user"), ros.node("calibration"), threading.Event()
    images = user.create_publisher(Image, "left/image_raw", RELIABLE)
    infos = user.create_publisher(CameraInfo, "left/camera_info", RELIABLE)
    assert ros.spin_until(lambda: node.count_publishers("/left/image_raw"))
    camera = TrackedCamera(node, "/left/image_raw", CameraTracker(Scene()), None)
    assert ros.spin_until(lambda: images.get_subscription_count() and infos.get_subscription_count())

    def shown(stamp):
        seen, came = [], camera.images
        ros.deliver(images, image_message(stamp))
        assert ros.spin_until(lambda: seen.extend(live_cameras.take([camera])) or camera.images > came)
        return seen

    monkeypatch.setattr(live_cameras, "_PATIENCE", 0.0)
    with pytest.raises(InputError, match="no images came on /left/image_raw within 0 s"):
        live_cameras._watch([camera], stop, 0.1, progress=False)
    assert shown(1) == []
    with pytest.raises(InputError, match="the lens of left is not known: no CameraInfo came on .*; give --fov"):
        live_cameras._watch([camera], stop, 0.1, progress=False)
    ros.publish_until(infos, info_message(focal=0.0), lambda: live_cameras.take([camera]) or camera._has_lens)
    assert shown(PERIOD) == [] and camera.uncalibrated == "the focal length in CameraInfo is zero or NaN"
    ros.publish_until(infos, info_message(), lambda: live_cameras.take([camera]) or camera._source.newest[1] == CALIBRATED)
    assert len(shown(2 * PERIOD)) == 1 and not camera.uncalibrated
    monkeypatch.setattr(live_cameras, "_SILENT", 0.0)
    assert live_cameras._watch([camera], stop, 0.1, progress=False) == []
    assert "left: no images came for the last 0 s of 0" in capsys.readouterr().err


def test_topics_that_nobody_publishes(ros):
    user, node = ros.node("user"), ros.node("calibration")
    said = ended(ros.process("-m", "fourdhands_core", "calibrate-cameras", "/left/image_raw", "/right/image_raw"), 2)
    assert "no node publishes /left/image_raw; topics of images are: none" in said
    user.create_publisher(Image, "left/image_raw", RELIABLE)
    assert ros.spin_until(lambda: node.count_publishers("/left/image_raw"))
    with pytest.raises(InputError, match="no node publishes /right/image_raw; topics of images are: /left/image_raw"):
        TrackedCamera(node, "/right/image_raw", SceneTracker(Scene()), None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("/left/image_raw", "/left/image_raw is one camera's, and one alone does not tell where it stands; give all topics"),
        ("/left/image_raw right.mp4", "/left/image_raw is a topic and right.mp4 a recording; give one kind at a time"),
        ("/left/image_raw /right/image_raw --names a b", "--names means nothing to `calibrate-cameras /left/image_raw"),
        ("a.mp4 b.mp4 --fov 60 --depth", "--depth means nothing to `calibrate-cameras a.mp4 b.mp4"),
        ("/left/image_raw /right/image_raw --seconds 0", "--seconds 0 is not between 5 and 3600"),
    ],
)
def test_what_is_refused(arguments, words):
    run = python("-m", "fourdhands_core", "calibrate-cameras", *arguments.split())
    assert run.returncode == 2 and words in run.stderr
