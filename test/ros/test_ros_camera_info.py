"""Which CameraInfo an image topic has and which of its matrices, by name and in the node over DDS."""

import array

import numpy as np
import pytest
from bag_support import image_entry
from pipeline_support import IMAGE, SIZE, TruthDetector, shown
from rclpy.lifecycle import TransitionCallbackReturn
from ros_support import (
    HEIGHT,
    PERIOD,
    RELIABLE,
    T0,
    WIDTH,
    FakeTracker,
    Ros,
    hands_node,
    image_message,
    info_message,
    makes,
    stamp_of,
    stamp_to,
)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from video_support import plain_video

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.calibration import Calibration
from fourdhands_core.media.clips import clip_truth, pose_hands
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_ros.convert.camera_info import calibration_from_info, info_topics, is_rectified, rectified_by_name
from fourdhands_ros.node.parameters import Parameters
from fourdhands_ros.pypi.message_types import HandPair, create_subscription
from fourdhands_ros.tools import camera as video_camera

D = [-0.3, 0.1, 0.0, 0.0, 0.0]


def full_info(width=WIDTH, height=HEIGHT, focal=60.0, rectified_focal=45.0) -> CameraInfo:
    """A CameraInfo with distortion, and another focal length for rectified images."""
    message = info_message(width, height, focal)
    message.d = D
    message.p = [rectified_focal, 0.0, 0.45 * width, 0.0, 0.0, rectified_focal, 0.52 * height, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


# By names


RECTIFIED = {
    True: "/cam/image_rect /cam/image_rect_color /camera/infra1/image_rect_raw /camera/color/image_rect_raw/compressed "
    "/cam/image_rect_color/compressed image_rect /cam/Image_Rectified /cam/image_undistorted "
    "/zed/zed_node/rgb/color/rect/image /stereo/left/rectified/image/compressed /zed/zed_node/left_raw/image_rect_color",
    False: "/cam/image_raw /cam/image_raw/compressed /zed/rgb_raw/image_raw_color /zed/zed_node/rgb/color/raw/image "
    "/rect/image_raw /camera/color/image_raw",
    None: "/cam/image /cam/image_color /cam/image_mono/compressed /rectangle/image /direct/image /compressed /corrections/draw",
}


@pytest.mark.parametrize("topic, rectified", [(name, kind) for kind, names in RECTIFIED.items() for name in names.split()])
def test_topics_whose_images_are_rectified(topic, rectified):
    assert rectified_by_name(topic) is rectified
    assert is_rectified("auto", topic) is rectified
    assert is_rectified("true", topic) is True and is_rectified("false", topic) is False


@pytest.mark.parametrize(
    "image, below, beside",
    [
        ("/camera/color/image_raw", "/camera/color/image_raw/camera_info", "/camera/color/camera_info"),
        ("/camera/color/image_raw/compressed", "/camera/color/image_raw/camera_info", "/camera/color/camera_info"),
        ("/airsim/front/Scene/compressed", "/airsim/front/Scene/camera_info", "/airsim/front/camera_info"),
        ("/wrist_camera/compressed", "/wrist_camera/camera_info", "/camera_info"),
        ("/image_raw", "/image_raw/camera_info", "/camera_info"),
    ],
)
def test_where_camera_info_is(image, below, beside):
    assert info_topics(image) == (below, beside)


# In the node


class Seeing(FakeTracker):
    """Keeps the cameras that images came with."""

    def __init__(self):
        super().__init__()
        self.cameras = []

    def observe(self, image, stamp, camera, **kwargs):
        self.cameras.append(camera)
        return super().observe(image, stamp, camera, **kwargs)


class Remapped:
    """The node with remappings and parameters, in this process; `image` and `infos` publish to the given topics."""

    def __init__(self, remap, image, infos, parameters=None, tracker=None, image_type=Image):
        self.ros, self.tracker = Ros(), tracker or Seeing()
        arguments = ["--ros-args", *(word for rule in remap for word in ("-r", rule))]
        overrides = {"image_reliability": "reliable", **(parameters or {})}
        self.node = hands_node(self.ros, overrides, lambda: self.tracker, cli_args=arguments)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.channel = self.node.channels[0]
        user = self.ros.node()
        self.image = user.create_publisher(image_type, image, RELIABLE)
        self.infos = [user.create_publisher(CameraInfo, info, RELIABLE) for info in infos]
        self.pairs = []
        create_subscription(user, HandPair, "hands", self.pairs.append, RELIABLE)
        self.ros.join(self.node, self.image)
        self.ros.join(user, self.channel.outputs.hands)

    def tell(self, number: int, message: CameraInfo, arrives=True) -> None:
        """Publish a CameraInfo on one of the topics, and wait until the node has it, or see that it does not take it."""
        publisher, before = self.infos[number], self.channel._infos
        if arrives:
            assert self.ros.spin_until(publisher.get_subscription_count)
            self.ros.publish_until(publisher, message, lambda: self.channel._infos > before)
            return
        for _ in range(5):
            publisher.publish(message)
            self.ros.spin_for(0.2)
        assert self.channel._infos == before

    def see(self, message):
        """The camera that an image's estimate was made with, and the estimate."""
        before = len(self.pairs)
        self.image.publish(message)
        assert self.ros.spin_until(lambda: len(self.pairs) > before)
        return getattr(self.tracker, "cameras", [None])[-1], self.pairs[-1]

    def close(self):
        self.ros.close()


@pytest.fixture
def remapped():
    yield from makes(Remapped)


def test_camera_info_is_taken_from_beside_the_images(remapped):
    """`image_raw:=/camera/color/image_raw` alone is enough, and the node's own namespace is not looked into."""
    bench = remapped(
        ["image_raw:=/camera/color/image_raw"], "/camera/color/image_raw", ["/camera/color/camera_info", "/camera_info"]
    )
    bench.tell(0, info_message(focal=50.0))
    bench.tell(1, info_message(focal=70.0), arrives=False)
    camera, _ = bench.see(image_message(T0))
    assert camera.calibrated and camera.matrix[0, 0] == 50.0


def test_camera_info_below_the_images_goes_first(remapped):
    """As AirSim has it; what lies beside may be another camera's."""
    bench = remapped(["image_raw:=/sim/Scene"], "/sim/Scene", ["/sim/camera_info", "/sim/Scene/camera_info"])
    bench.tell(0, info_message(focal=70.0))
    assert bench.see(image_message(T0))[0].matrix[0, 0] == 70.0
    bench.tell(1, info_message(focal=50.0))
    bench.tell(0, info_message(focal=70.0), arrives=False)
    assert bench.see(image_message(T0 + PERIOD))[0].matrix[0, 0] == 50.0


def test_a_remapped_camera_info_is_the_one(remapped):
    bench = remapped(
        ["image_raw:=/cam/image_raw", "camera_info:=/calibration/info"],
        "/cam/image_raw",
        ["/calibration/info", "/cam/camera_info"],
    )
    bench.tell(0, info_message(focal=50.0))
    bench.tell(1, info_message(focal=70.0), arrives=False)
    assert bench.see(image_message(T0))[0].matrix[0, 0] == 50.0


@pytest.mark.parametrize(
    "rule, topic, info",
    [
        ("image_raw:=/wrist_camera", "/wrist_camera/compressed", "/wrist_camera/camera_info"),
        ("image_raw/compressed:=/q/image_raw/compressed", "/q/image_raw/compressed", "/q/camera_info"),
    ],
)
def test_camera_info_of_compressed_images_whatever_is_mapped(remapped, rule, topic, info):
    """Directly in the camera's namespace; or mapped by their own topic, where CameraInfo was sought by another and the log
    named that."""
    bench = remapped([rule], topic, [info], {"image_transport": "compressed"}, image_type=CompressedImage)
    assert str(bench.channel) == topic
    bench.tell(0, info_message(focal=50.0))
    _, _, data = image_entry(topic, T0, np.full((HEIGHT, WIDTH, 3), 255, np.uint8), "camera")
    camera, _ = bench.see(data)
    assert camera.calibrated and camera.matrix[0, 0] == 50.0


@pytest.mark.parametrize(
    "topic, parameters, focal",
    [
        ("/cam/image_rect", {}, 45.0),
        ("/cam/image_raw", {}, 60.0),
        ("/cam/image", {}, 60.0),
        ("/cam/image", {"rectified": "true"}, 45.0),
        ("/cam/image", {"rectified": True}, 45.0),
        ("/cam/image_rect", {"rectified": False}, 60.0),
    ],
)
def test_rectified_images_have_ps_lens(remapped, topic, parameters, focal):
    """By the topic's name after remapping, or the parameter, also as the boolean that YAML makes of it."""
    bench = remapped([f"image_raw:={topic}"], topic, ["/cam/camera_info"], parameters)
    bench.tell(0, full_info())
    camera, _ = bench.see(image_message(T0))
    assert camera.matrix[0, 0] == focal and camera.distortion.any() == (focal == 60.0)
    values = {value.key: value.value for value in bench.channel.status().values}
    assert str(bench.channel) == topic + (" (rectified)" if focal == 45.0 else "")
    in_doubt = topic == "/cam/image" and not parameters
    assert values["images"] == ("rectified" if focal == 45.0 else "raw, unless a parameter says so" if in_doubt else "raw")
    assert ("nothing says whether the images are rectified" in values["calibration"]) == in_doubt


def test_the_parameter_rectified():
    assert Parameters(rectified=True).rectified == "true" and Parameters(rectified=False).rectified == "false"
    for value in (1, "yes", None):
        with pytest.raises(InputError, match="parameter rectified: "):
            Parameters(rectified=value)


def test_mirrored_and_rectified_together(remapped):
    """Hands in mirrored, rectified images over DDS are where they are before the camera: as far as its rectified image says,
    and seen unmirrored. K is another lens's and its principal point lies on the other side."""
    width, height = SIZE
    info = info_message(width, height, 520.0)
    info.d = D
    info.k[2], info.k[5] = 250.0, 200.0
    info.p = [400.0, 0.0, 370.0, 0.0, 0.0, 410.0, 250.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    world = calibration_from_info(info).camera(rectified=True).mirrored()  # of the picture as it would be without the mirror
    motion, _ = shown(np.zeros(10), count=25)
    truth = clip_truth(motion, world, pose_hands(motion)[1])
    direct = HandPairTracker(TrackerSettings(), TruthDetector(truth, lens=world))
    expected = [direct.process(IMAGE, T0 + int(stamp), world) for stamp in motion.stamp]
    bench = remapped(
        ["image_raw:=/cam/image_rect"],
        "/cam/image_rect",
        ["/cam/camera_info"],
        {"mirrored": True},
        HandPairTracker(TrackerSettings(mirrored=True), TruthDetector(truth, lens=world)),
    )
    bench.tell(0, info)
    message = Image(width=width, height=height, encoding="rgb8", step=3 * width, data=array.array("B", IMAGE.tobytes()))
    hands = 0
    for number, (stamp, wanted) in enumerate(zip(motion.stamp, expected)):
        stamp_to(message, T0 + int(stamp))
        _, pair = bench.see(message)
        assert stamp_of(pair.header) == wanted.stamp
        for hand, other in zip((pair.left, pair.right), wanted.hands):
            assert hand.valid == other.valid
            if hand.valid:
                assert hand.scaled
                joints = np.array([(p.x, p.y, p.z) for p in hand.joints])
                np.testing.assert_allclose(joints, other.joints, atol=1e-4)
                middle, true = joints.mean(0), truth["joints"][number, hand.side].mean(0)
                np.testing.assert_allclose(middle, true, atol=0.04)  # its size is a guess
                hands += 1
    assert hands == 25


def test_a_camera_made_of_a_file_publishes_camera_info_beside_its_images(ros, tmp_path):
    """As image_transport's CameraPublisher does, so that both nodes find each other by `image_raw` alone."""
    plain_video(tmp_path / "clip.mp4", 3 * [0])
    for rules, image, info in (
        (["image_raw:=/front/image"], "/front/image", "/front/camera_info"),
        (["image_raw:=/front/image", "camera_info:=/lens"], "/front/image", "/lens"),
        ([], "/image_raw", "/camera_info"),
    ):
        node = ros.node(cli_args=["--ros-args", *(word for rule in rules for word in ("-r", rule))])
        with VideoReader(tmp_path / "clip.mp4") as source:
            publisher = video_camera.CameraPublisher(node, source, None, "camera", stop=None)
            assert (publisher._images.topic_name, publisher._infos.topic_name) == (image, info)


def test_a_calibration_is_all_that_camera_info_says():
    message = full_info(640, 480, 500.0)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 10, 20, 300, 200
    message.binning_x, message.binning_y = 2, 1
    assert calibration_from_info(message) == Calibration(
        640, 480, tuple(message.k), "plumb_bob", tuple(D), tuple(message.p), (10, 20, 300, 200), (2, 1)
    )
