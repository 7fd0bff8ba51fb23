"""What is fuzzed: of every kind of input a function that takes its bytes through the code that a user's input goes through.

A target returns whether the input was taken, False where it was refused as a user's mistake is (FourDHandsError, or what
the node catches and counts). It raises where the input does what no input may: any other exception, an estimate called
valid that is not finite, seconds of work, or hundreds of megabytes.
"""

from __future__ import annotations

import functools
import resource
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import rclpy
from file_inputs import BACKBONE
from pipeline_support import CAMERA, TruthDetector
from rcl_interfaces.msg import ParameterEvent
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message
from ros_support import FakeTracker, make_pair
from sensor_msgs.msg import CameraInfo, Image

from fourdhands_core.errors import FourDHandsError
from fourdhands_core.geometry.camera_source import CameraSource
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_hand, pair_of
from fourdhands_core.hand_model.mano_files import convert_mano
from fourdhands_core.media.choreography import demo_motion
from fourdhands_core.media.clips import clip_truth, pose_hands
from fourdhands_core.media.track_video import camera_for_video
from fourdhands_core.network.checkpoint import load_weights
from fourdhands_core.network.import_weights import import_backbone, import_released
from fourdhands_core.perception.detector import Detector
from fourdhands_core.pipeline import shape_calibration
from fourdhands_core.pipeline.checkpoint import load_memory
from fourdhands_core.pipeline.depth import DepthImage
from fourdhands_core.pipeline.session import INTERNAL
from fourdhands_core.pipeline.shape_calibration import load_shape
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_ros.bags.camera import BagCamera, Options, find_cameras
from fourdhands_ros.bags.info import plain, summarise, text
from fourdhands_ros.bags.reading import Bag
from fourdhands_ros.convert.camera_info import calibration_from_info
from fourdhands_ros.convert.depth_buffer import DepthBuffer
from fourdhands_ros.convert.encoders import HandPairEncoder, TransformEncoder
from fourdhands_ros.convert.images import ImageDecoder, stamp_of
from fourdhands_ros.node.diagnostics import Statistics
from fourdhands_ros.node.node import HandsNode
from fourdhands_ros.pypi.message_types import HandPair, deserialize

LONGEST, LARGEST = 5.0, 600
"""Seconds of processor time, and megabytes beyond the most so far, that no single input may take."""
rclpy.logging.get_logger("fuzz").set_level(rclpy.logging.LoggingSeverity.FATAL)
_STAMP = 1_700_000_000_000_000_000


def run(target, data: bytes) -> bool:
    """Run a target on one input within LONGEST and LARGEST; see the module."""
    began, most = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        taken = target(data) is not False
    except FourDHandsError as error:
        assert str(error), "an error without a word"
        taken = False
    assert time.process_time() - began < LONGEST, "it took too long"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < LARGEST << 10, "it took too much memory"
    return taken


def image(data: bytes, compressed: bool = False) -> None:
    """A serialised Image as the node takes it, and what it makes of the header."""
    header, pixels = ImageDecoder(compressed).decode(data)
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.flags.c_contiguous
    pair = make_pair(stamp_of(header))
    sent = deserialize(HandPairEncoder("landmark", "generic").encode(pair, header.frame_id, {"total": 0.01}), HandPair)
    assert sent.header.frame_id == header.frame_id and sent.left.valid and header.frame_id[:1] != "/"
    if header.frame_id:
        TransformEncoder().encode(pair, header.frame_id)


def compressed_image(data: bytes) -> None:
    """A serialised CompressedImage, likewise."""
    image(data, compressed=True)


def depth_image(data: bytes) -> bool:
    """A serialised depth image through the node's buffer, for the image of its own moment and size."""
    statistics = Statistics()
    buffer = DepthBuffer(0.02, statistics, rclpy.logging.get_logger("fuzz"))
    buffer.put(data)
    stamps = [stamp for stamp, _ in buffer.messages]
    try:
        message = deserialize_message(data, Image)
        size = max(message.width, 1), max(message.height, 1)
    except Exception:
        size = CAMERA.width, CAMERA.height
    found = buffer.find(stamps[0] if stamps else _STAMP, size)
    assert (found is None) == (statistics.events.total() > 0)
    if found is None:
        return False
    metres = DepthImage.of(found).metres
    assert metres.ndim == 2 and (np.isnan(metres) | (metres > 0.0)).all()
    return True


@functools.cache
def _seen():
    """A tracker whose detector sees two hands, and the images in which it does: stamps."""
    motion = demo_motion(1.0, 30.0, 0)
    truth = clip_truth(motion, CAMERA, pose_hands(motion)[1])
    return HandPairTracker(detector=TruthDetector(truth)), [int(stamp) for stamp in motion.stamp[:3]]


def _track(camera) -> None:
    """Three images of two hands with this camera: what is valid is finite."""
    tracker, stamps = _seen()
    tracker.reset()
    tracker.detector.frame = -1
    picture = np.zeros((camera.height, camera.width, 3), np.uint8)
    for stamp in stamps:
        pair = tracker.process(picture, stamp, camera, with_vertices=True)
        for hand in pair.hands:
            if hand.valid:
                for name in ("joints", "joints_raw", "wrist_rotation", "hand_pose", "betas", "vertices"):
                    assert np.isfinite(getattr(hand, name)).all(), f"{name} is valid and not finite"
                assert 0.0 <= hand.confidence <= 1.0


def camera_info(data: bytes) -> bool:
    """A serialised CameraInfo: its camera for images of its own and other sizes, and hands seen with it."""
    try:
        message = deserialize_message(data, CameraInfo)
    except Exception:  # as in Channel, which counts it
        return False
    for rectified in (None, True, False):
        source = CameraSource(65.0, rectified=rectified)
        source.update(calibration_from_info(message))
        for size in ((640, 480), (320, 240), (64, 48), (16, 4096)):
            camera = source.camera_for(*size)
            assert (camera.width, camera.height) == size
    camera = source.camera_for(640, 480)
    try:
        _track(camera)
    except FourDHandsError:  # counted as a refused image
        return False
    return camera.calibrated


@functools.cache
def _node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=99)
    return HandsNode(lambda _: FakeTracker(), context=context, enable_rosout=False, start_parameter_services=False)


def _parameters(data: bytes) -> list[Parameter] | None:
    try:
        message = deserialize_message(data, ParameterEvent)
        return [Parameter.from_parameter_msg(parameter) for parameter in message.new_parameters]
    except Exception:  # what rclpy's own service would not pass on
        return None


def set_parameters(data: bytes) -> bool:
    """Parameters set on a node, one after the other; the good ones are then the node's."""
    given = _parameters(data)
    if given is None:
        return False
    node, taken = _node(), True
    for parameter in given:
        if not node.has_parameter(parameter.name):
            continue
        before = node.parameters
        result = node.set_parameters([parameter])[0]
        assert result.successful or (result.reason and node.parameters == before)
        taken &= result.successful
        if result.successful and hasattr(before, parameter.name):
            value = parameter.value
            assert getattr(node.parameters, parameter.name) == (tuple(value) if isinstance(value, list) else value)
    return taken


def start_parameters(data: bytes) -> bool:
    """A node that is started with parameters: it starts, or says which one is wrong."""
    given = _parameters(data)
    if given is None or not all(parameter.name and "\0" not in parameter.name for parameter in given):
        return False
    node = HandsNode(
        lambda _: FakeTracker(),
        context=_node().context,
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=given,
    )
    node.destroy_node()
    return True


def _in_file(name: str):
    """Decorates a target of a path: the bytes are written to a file of that name in a folder of its own."""

    def decorate(function):
        @functools.wraps(function)
        def target(data: bytes):
            with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
                path = Path(folder, name)
                path.write_bytes(data)
                return function(path)

        return target

    return decorate


class _Blind(Detector):
    """A detector that takes no time."""

    def detect(self, image):
        return []


def _read_bag(path: Path) -> bool:
    """All that `fourdhands bag` and `bag info` do with a bag: its messages, its cameras' hands, the hands in it."""
    with Bag(path) as bag:
        for topic, when, message in bag.messages(bag.topics):
            assert topic in bag.topics and isinstance(when, int) and isinstance(message, bytes)
        warned = bool(bag.warnings)
    with Bag(path) as bag:
        try:
            cameras = find_cameras(bag.topics, Options(), bag.unread)
        except FourDHandsError:
            cameras = []
        for topics in cameras:
            camera = BagCamera(topics, Options())
            for topic, when, message in bag.messages({topics.image, topics.info}):
                (camera.info(message) if topic == topics.info else camera.encode(camera.track(message, when)))
            camera.encode(camera.flush())
            assert camera.published + camera.session.counts.rejected >= camera.images
            assert not camera.session.counts.refused[INTERNAL], "an image made the tracker fail"
    try:
        summaries, _ = summarise(path)
        assert text(summaries) and plain(summaries)
    except FourDHandsError:
        pass
    return not warned


@functools.cache
def _regressor():
    """One network for all trackers."""
    return HandPairTracker(detector=_Blind()).regressor


def _read_blindly(path):
    """Bags are converted without the detector, which is not what is fuzzed here."""
    network = _regressor()
    with mock.patch.object(shape_calibration, "HandPairTracker", lambda settings: HandPairTracker(settings, _Blind(), network)):
        return _read_bag(path)


@_in_file("bag.mcap")
def mcap(path: Path) -> bool:
    """A rosbag2's mcap."""
    return _read_blindly(path)


@_in_file("bag.db3")
def sqlite3(path: Path) -> bool:
    """A rosbag2's database."""
    return _read_blindly(path)


@_in_file("weights.safetensors")
def weights(path: Path) -> None:
    """Weights of either network."""
    load_weights(path)


@_in_file("Demo_Video.pth")
def checkpoint(path: Path) -> bool:
    """A torch checkpoint to import: its backbone, and the whole of it."""
    refused = 0
    for read in (lambda: import_backbone(path, BACKBONE), lambda: import_released(path)):
        try:
            read()
        except FourDHandsError as error:
            assert str(error), "an error without a word"
            refused += 1
    return refused < 2


@_in_file("state.npz")
def memory(path: Path) -> None:
    """What a conversion that was killed left."""
    assert isinstance(load_memory(path), dict)


@_in_file("MANO_RIGHT.pkl")
def mano(path: Path) -> None:
    """A pickle that says it is MANO's."""
    load_hand(convert_mano(path, path.parent)[0])


@_in_file("hand.npz")
def hand_model(path: Path) -> None:
    """A hand model's npz."""
    hands = HandArrays(pair_of(load_hand(path)))
    with np.errstate(over="ignore", invalid="ignore"):
        hands.joints(np.tile(np.eye(3), (2, 1, 1)), np.tile(np.eye(3), (2, 15, 1, 1)), np.zeros((2, 10)))


@_in_file("shape.yaml")
def hand_shape(path: Path) -> None:
    """A person's hand shape."""
    betas = load_shape(path, "generic")
    assert betas.shape == (10,) and np.isfinite(betas).all()


@_in_file("camera.yaml")
def intrinsics(path: Path) -> None:
    """A camera_info YAML, and hands seen with that camera."""
    _track(camera_for_video(640, 480, intrinsics=path))


TARGETS = {
    function.__name__: function
    for function in (
        image,
        compressed_image,
        depth_image,
        camera_info,
        set_parameters,
        start_parameters,
        mcap,
        sqlite3,
        weights,
        checkpoint,
        memory,
        mano,
        hand_model,
        hand_shape,
        intrinsics,
    )
}
"""All targets by name."""
