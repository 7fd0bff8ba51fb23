"""Parts together, over DDS: a reset while an image is in work, a jump in time with depth, a mirror and a rectified lens."""

import threading

import numpy as np
import pytest
from pipeline_support import CAMERA, HANDS, Script, Truth
from ros_support import PATIENT, PERIOD, RELIABLE, SECOND, T0, info_message
from sensor_msgs.msg import Image
from test_ros_depth import depth_message, give
from test_ros_services import call, large_image

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_ros.pypi.message_types import Hand


class Moving(Script):
    """The script's two hands at rest in images of 640x480."""

    def __init__(self, camera=CAMERA):
        super().__init__()
        self.rotations[:, 0] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]  # the palms face the camera
        self.joints = HANDS.joints(self.rotations[:, 0], self.rotations[:, 1:], np.zeros((2, 10)))
        self.camera, self.wrists, self.number = camera, np.array([[-0.22, 0.0, 0.6], [0.22, 0.0, 0.6]]), 0

    def landmarks(self, number):
        return self.camera.project(self.joints + self.wrists[:, None])


@pytest.fixture
def image_model(bench):
    """Makes a Bench whose tracker follows the hands of a Moving script with the image model."""

    def make(script, parameters=None, **settings):
        tracker = HandPairTracker(TrackerSettings(detect_every=1000, **settings), script, Truth(script))
        return bench(parameters, tracker=tracker)

    return make


def test_hands_from_before_a_reset_do_not_come_back_whatever_is_in_work(image_model):
    """Two images are on their way when the reset is asked for: one is being estimated, and one has been observed."""
    script = Moving()
    made = image_model(script)
    observe, observed = made.tracker.observe, []

    def noted(*arguments, **options):
        observed.append(observe(*arguments, **options))
        return observed[-1]

    made.tracker.observe = noted
    for number in range(4):
        made.send(large_image(T0 + number * PERIOD))
    assert made.pairs[-1].left.valid and made.pairs[-1].right.valid and len(script.looked) == 1, "they are not followed"

    begun, go_on, regression = threading.Event(), threading.Event(), script.regression

    def waits(frame):
        begun.set()
        assert go_on.wait(PATIENT)
        return regression(frame)

    script.regression = waits
    statistics = made.channel.statistics
    for number in (4, 5):
        made.images.publish(large_image(T0 + number * PERIOD))
        assert made.ros.spin_until(lambda: len(observed) == number + 1)
    assert begun.wait(PATIENT)
    script.detect = lambda image: script.looked.append(0) or []  # the hands have left; the network would still see them
    assert call(made, "reset").success
    made.images.publish(large_image(T0 + 6 * PERIOD))
    assert made.ros.spin_until(lambda: len(observed) == 7)
    go_on.set()
    assert made.ros.spin_until(lambda: statistics.published == 7)
    made.send(large_image(T0 + 7 * PERIOD))
    assert made.ros.spin_until(lambda: len(made.pairs) == 8)
    for pair in made.pairs[6:]:
        assert (pair.left.state, pair.right.state) == (Hand.ABSENT, Hand.ABSENT)


@pytest.mark.parametrize("jump", [-60 * SECOND, 60 * SECOND])
def test_after_a_jump_in_time_depth_is_that_of_the_new_time(image_model, jump):
    """The hands are 20 % further away than the model's size says, then, after the jump, they are where it says."""
    script = Moving()
    made = image_model(script, {"depth": True})
    depths = made.user.create_publisher(Image, "depth/image_raw", RELIABLE)
    made.inform(info_message(CAMERA.width, CAMERA.height, CAMERA.matrix[0, 0]))
    made.ros.join(made.node, depths)
    for before, distance in ((True, 0.72), (False, 0.6)):
        for number in range(15):
            stamp = T0 + (number if before else 15 + number) * PERIOD + (0 if before else jump)
            wall = np.full((48, 64), round(1000 * distance) - 8, np.uint16)
            give(made, depths, [depth_message(stamp, wall, "16UC1")])
            made.send(large_image(stamp))
        assert made.ros.spin_until(lambda: len(made.pairs) == (15 if before else 30))
        newest = made.pairs[-1]
        for hand in (newest.left, newest.right):
            assert hand.valid and abs(hand.joints[9].z - distance) < 0.03, (hand.joints[9].z, distance)
        first = made.pairs[0 if before else 15]
        assert abs(first.left.joints[9].z - distance) < 0.06, "the hand's size from before the jump was kept"
    assert made.channel.statistics.events["images without a depth image of their moment"] == 0


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rectified", ["true", "false"])
def test_mirrored_and_rectified(image_model, mirrored, rectified):
    """The hands are where they are, by the lens that their images have: P of rectified ones, K and D of raw ones."""
    k = np.array([[420.0, 0.0, 300.0], [0.0, 415.0, 250.0], [0.0, 0.0, 1.0]])
    p = np.array([[380.0, 0.0, 335.0], [0.0, 380.0, 235.0], [0.0, 0.0, 1.0]])
    distortion = np.array([-0.2, 0.05, 0.002, -0.001, 0.0])
    camera = Camera(640, 480, p) if rectified == "true" else Camera(640, 480, k, "plumb_bob", distortion)
    script = Moving(camera.mirrored() if mirrored else camera)
    made = image_model(script, {"rectified": rectified}, mirrored=mirrored)
    info = info_message(640, 480)
    info.k, info.d = k.ravel().tolist(), distortion.tolist()
    info.p = np.hstack([p, np.zeros((3, 1))]).ravel().tolist()
    made.inform(info)
    for number in range(6):
        made.send(large_image(T0 + number * PERIOD))
    assert made.ros.spin_until(lambda: len(made.pairs) == 6)
    for side, hand in ((LEFT, made.pairs[-1].left), (RIGHT, made.pairs[-1].right)):
        assert hand.valid and hand.scaled
        wrist = hand.wrist.position
        np.testing.assert_allclose((wrist.x, wrist.y, wrist.z), script.wrists[side], atol=0.02)
    assert len(script.looked) == 1, "the hands were looked for where they are not"
