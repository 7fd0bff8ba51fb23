"""What the ROS tests share: a tracker whose answers are known, messages, and nodes on a domain of their own."""

from __future__ import annotations

import array
import gc
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from ros_context import PATIENT, REPOSITORY, Ros, ended, wait_until  # noqa: F401 (for who imports this)
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from visualization_msgs.msg import MarkerArray

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.settings import TrackerSettings
from fourdhands_core.pipeline.types import ABSENT, SOURCE_JOINT, SOURCE_NONE, TRACKED, HandEstimate, HandPairEstimate
from fourdhands_ros.node import node as node_module
from fourdhands_ros.node.node import HandsNode
from fourdhands_ros.pypi.message_types import HandFaces, HandPair, TFMessage, create_subscription

WIDTH, HEIGHT = 64, 48
SECOND = 10**9
T0 = 1_700_000_000 * SECOND
PERIOD = SECOND // 30
RELIABLE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FACES = np.random.default_rng(0).integers(0, 778, (1538, 3))

# Looking for garbage whenever a node is activated takes 0.3 s among all that a test process holds: only nodes in processes of
# their own do it, as those of test_ros_start. What is there is kept out of later looks as always.
node_module.gc = SimpleNamespace(collect=lambda: None, freeze=gc.freeze, unfreeze=gc.unfreeze)


class Unread(list):
    """Messages of a kind as bytes, which become one when it is asked for: a mesh's thousands of points take 30 ms."""

    def __init__(self, kind):
        super().__init__()
        self._kind = kind

    def __getitem__(self, index):
        return deserialize_message(super().__getitem__(index), self._kind)

    def __iter__(self):
        return (self[index] for index in range(len(self)))


def make_hand(side: int, seed: int = 0, state: str = TRACKED, vertices: bool = False) -> HandEstimate:
    """A hand of random but legal numbers, the same for the same seed."""
    if state == ABSENT:
        return HandEstimate(side, False, ABSENT, float("nan"))
    rng = np.random.default_rng((seed, side))
    joints = rng.normal(0, 0.1, (21, 3)) + (0.1 * (1 if side == RIGHT else -1), 0, 0.6)
    orient = rng.normal(0, 1, 3)
    return HandEstimate(
        side,
        state == TRACKED,
        state,
        0.0 if state == TRACKED else 0.125,
        confidence=rng.uniform(0.5, 1),
        joints=joints,
        joints_raw=joints + rng.normal(0, 1e-3, (21, 3)),
        joints_2d=rng.uniform(0, 640, (21, 2)),
        joint_confidence=rng.uniform(0, 1, 21),
        wrist_rotation=matrix_from_axis_angle(orient),
        global_orient=orient,
        hand_pose=rng.normal(0, 0.4, 45),
        betas=rng.normal(0, 1, 10),
        vertices=rng.normal(0, 0.1, (778, 3)) if vertices else None,
        scaled=True,
    )


def make_pair(
    stamp: int = 1_234_567_890_123_456_789,
    states=(TRACKED, TRACKED),
    vertices: bool = False,
    seed: int = 0,
    camera: Camera | None = None,
) -> HandPairEstimate:
    """Both hands; relative root and source as the pipeline gives them."""
    left, right = (make_hand(side, seed, state, vertices) for side, state in zip((LEFT, RIGHT), states))
    both = left.valid and right.valid
    if camera is not None:
        left, right = (replace(hand, scaled=hand.scaled and camera.calibrated) for hand in (left, right))
    return HandPairEstimate(
        stamp,
        left,
        right,
        camera or Camera.from_fov(640, 480, 60.0),
        left_root_relative=left.joints[0] - right.joints[0] if both else None,
        left_root_source=SOURCE_JOINT if both else SOURCE_NONE,
        timings={"detect": 0.025, "network": 0.003},
    )


class FakeTracker:
    """Sees in the first pixel which hands there are: red above 127 the left, green above 127 the right.

    The hands' numbers are those of make_pair with the blue value as seed. It checks what the tracker is promised: RGB
    uint8, C-contiguous, increasing stamps between resets. `delay`: seconds that an image takes.
    """

    faces = (FACES, FACES[:, ::-1])

    def __init__(self, delay: float = 0.0):
        self.delay, self.resets, self.closed, self.last, self.others = delay, 0, False, None, []
        self.depths: dict[int, np.ndarray] = {}
        self.settings = TrackerSettings()

    def apply(self, settings) -> None:
        self.settings = settings

    def for_another_camera(self) -> FakeTracker:
        self.others.append(FakeTracker())
        return self.others[-1]

    def observe(self, image, stamp, camera, first=False) -> Frame:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.flags.c_contiguous
        assert image.shape[:2] == (camera.height, camera.width)
        time.sleep(self.delay)
        return Frame(stamp, camera, found=[int(value) for value in image[0, 0]], first=first)

    def add_depth(self, frame, depth) -> None:
        assert depth.dtype in (np.uint16, np.float32) and depth.ndim == 2
        self.depths[frame.stamp] = depth

    def estimate(self, frame, with_vertices=False) -> HandPairEstimate:
        if frame.first:
            self.reset()
        assert self.last is None or frame.stamp > self.last
        self.last = frame.stamp
        red, green, blue = frame.found
        states = [TRACKED if value > 127 else ABSENT for value in (red, green)]
        if blue == 251:
            raise RuntimeError("a bug in the tracker")
        return make_pair(frame.stamp, states, with_vertices, blue, frame.camera)

    def flush(self, with_vertices=False) -> None:
        return None

    def reset(self) -> None:
        self.resets += 1
        self.last = None

    def close(self) -> None:
        self.closed = True


def stamp_to(message, stamp: int) -> None:
    """Write nanoseconds into a message's header."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)


def image_message(stamp: int, pixel=(255, 255, 0), encoding="rgb8", frame_id="camera", size=(HEIGHT, WIDTH)) -> Image:
    """An Image of one colour that FakeTracker understands."""
    message = Image(height=size[0], width=size[1], encoding=encoding, step=3 * size[1])
    message.data = array.array("B", np.full((*size, 3), pixel, np.uint8).tobytes())
    message.header.frame_id = frame_id
    stamp_to(message, stamp)
    return message


def info_message(width=WIDTH, height=HEIGHT, focal=60.0) -> CameraInfo:
    """A CameraInfo without distortion."""
    message = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = [focal, 0.0, (width - 1) / 2, 0.0, focal, (height - 1) / 2, 0.0, 0.0, 1.0]
    message.header.frame_id = "camera"
    return message


def hands_node(ros, parameters, tracker=FakeTracker, **options) -> HandsNode:
    """The node in this process, on the domain of a Ros. tracker: makes one at each activation. options: HandsNode's."""
    given = [Parameter(name, value=value) for name, value in parameters.items()]
    options = {"context": ros.context, "enable_rosout": False, "parameter_overrides": given, **options}
    return ros.add(HandsNode(lambda _: tracker(), **options))


class Bench:
    """The node with a FakeTracker in this process, a camera and a user of every output, on one domain."""

    def __init__(self, parameters=None, tracker=None, compressed=False, markers=True, activate=True):
        self.ros = Ros()
        self.tracker = tracker or FakeTracker()
        # Reliable, so that every image of a test arrives, and no subscription is made anew on a busy computer.
        overrides = {"diagnostics_period": 0.2, "image_reliability": "reliable", **(parameters or {})}
        self.node = hands_node(self.ros, overrides, lambda: self.tracker)
        user = self.user = self.ros.node()
        # Reliable with a deep queue, so that every message of a test arrives; the node takes the newest all the same.
        self.images = user.create_publisher(
            CompressedImage if compressed else Image, "image_raw" + ("/compressed" if compressed else ""), RELIABLE
        )
        self.infos = user.create_publisher(CameraInfo, "camera_info", RELIABLE)
        self.pairs, self.transforms, self.faces, self.diagnostics = [], [], [], []
        self.markers = Unread(MarkerArray)
        create_subscription(user, HandPair, "hands", self.pairs.append, RELIABLE)
        create_subscription(user, TFMessage, "/tf", self.transforms.append, RELIABLE)
        create_subscription(user, HandFaces, "hands/faces", self.faces.append, LATCHED)
        user.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        if markers:
            user.create_subscription(MarkerArray, "hands/markers", self.markers.append, RELIABLE, raw=True)
        if activate:
            self.activate()

    @property
    def channel(self):
        """The camera's channel."""
        return self.node.channels[0]

    def activate(self):
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.connect()

    def connect(self):
        self.ros.join(self.node, self.images, self.infos)
        self.join_outputs(self.channel.outputs)

    def join_outputs(self, outputs):
        """Wait until this user hears what a channel publishes."""
        heard = {one.topic_name for one in self.user.subscriptions}
        publishers = outputs.hands, outputs.tf, outputs.markers
        self.ros.join(self.user, *(one for one in publishers if one.topic_name in heard))
        assert self.ros.spin_until(lambda: outputs.tf.get_subscription_count() > 1)  # the node watches /tf itself

    def inform(self, message, taken=None) -> None:
        """Publish a CameraInfo until `taken`, or until the node is calibrated: it is asked for by best effort."""
        taken = taken or (lambda: self.channel.cameras.newest[1] == "calibrated")
        self.ros.publish_until(self.infos, message, taken)

    def send(self, message) -> None:
        """Publish an image and wait until the node has dealt with it."""
        statistics = self.channel.statistics
        before = statistics.received
        self.images.publish(message)
        assert self.ros.spin_until(lambda: statistics.received > before), "the image did not arrive"
        assert self.ros.spin_until(
            lambda: statistics.published + statistics.dropped + statistics.rejected == statistics.received
        )

    def good(self, stamp, pixel=(255, 255, 0), **kwargs):
        """Send a good image and return the HandPair that comes of it, not of one before that was still on its way."""
        before = len(self.pairs)
        self.send(image_message(stamp, pixel, **kwargs))
        of_it = lambda: [pair for pair in self.pairs[before:] if stamp_of(pair.header) == stamp]
        assert self.ros.spin_until(of_it), "no HandPair came"
        return of_it()[-1]

    def diagnosis(self) -> dict:
        """The values of the next diagnostics, with its level and message."""
        self.diagnostics.clear()
        assert self.ros.spin_until(lambda: len(self.diagnostics) > 1)
        status = self.diagnostics[-1].status[0]
        return {**{v.key: v.value for v in status.values}, "level": status.level, "message": status.message}

    def close(self):
        self.ros.close()


def stamp_of(header) -> int:
    """The stamp of a header, nanoseconds."""
    return header.stamp.sec * SECOND + header.stamp.nanosec


def makes(kind):
    """For a fixture: makes things of a kind, and closes them after the test."""
    made = []

    def make(*args, **kwargs):
        made.append(kind(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close()
