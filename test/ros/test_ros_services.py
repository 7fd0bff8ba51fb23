"""What people ask of the node: forget, learn a hand's shape, show what it sees."""

import array
import re
import threading
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from pipeline_support import CAMERA, IMAGE, TruthDetector, shown
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import ReliabilityPolicy
from ros_support import (
    HEIGHT,
    PATIENT,
    PERIOD,
    T0,
    WIDTH,
    FakeTracker,
    image_message,
    info_message,
    make_pair,
    stamp_of,
    stamp_to,
)
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.draw import draw_hands
from fourdhands_core.pipeline.shape_calibration import ShapeCalibration, hand_length, load_shape
from fourdhands_core.pipeline.tracker import HandPairTracker
from fourdhands_ros.node import services


def call(bench, name, meanwhile=lambda: None, data=None):
    """The answer of a service of the node, a SetBool with `data`, else a Trigger; `meanwhile` is called while awaited."""
    kind = Trigger if data is None else SetBool
    client = bench.user.create_client(kind, f"{bench.node.get_name()}/{name}")
    assert bench.ros.spin_until(client.service_is_ready)
    future = client.call_async(kind.Request() if data is None else kind.Request(data=data))  # of the same process: none is lost

    def answered():
        meanwhile()
        return future.done()

    assert bench.ros.spin_until(answered), f"{name} did not answer"
    bench.user.destroy_client(client)
    return future.result()


def test_reset_forgets_the_tracks(bench):
    bench = bench()
    bench.good(T0)
    assert call(bench, "reset").success
    assert bench.good(T0 + PERIOD).left.valid and bench.tracker.resets == 1
    bench.good(T0 + 2 * PERIOD)
    assert bench.tracker.resets == 1 and bench.diagnosis()["resets asked for"] == "1"


def test_services_of_a_node_that_is_not_active(bench):
    """They answer, in words, that nothing was done."""
    bench = bench(activate=False)
    for name in ("reset", "calibrate_hand"):
        answer = call(bench, name)
        assert not answer.success and answer.message == "the node is not active"
    answer = call(bench, "pause", data=True)
    assert not answer.success and answer.message == "the node is not active"


def test_a_pause_keeps_the_model_and_takes_no_images(bench):
    """Nothing is subscribed to or published, viewers show nothing; then tracking starts anew."""
    bench = bench({"marker_lifetime": 0.0})
    bench.good(T0)
    assert bench.ros.spin_until(lambda: bench.markers)
    for _ in range(2):  # a second time changes nothing
        assert call(bench, "pause", data=True).success
    assert bench.ros.spin_until(lambda: not bench.images.get_subscription_count())
    assert bench.ros.spin_until(lambda: len(bench.markers) == 2)
    assert [(m.id, m.action) for m in bench.markers[1].markers] == [(0, 2), (1, 2)]
    bench.images.publish(image_message(T0 + PERIOD))
    told = bench.diagnosis()
    assert (told["level"], told["message"], told["left hand"]) == (DiagnosticStatus.OK, "paused", "absent")
    answer = call(bench, "calibrate_hand")
    assert not answer.success and "paused" in answer.message
    assert not bench.tracker.closed and len(bench.pairs) == 1 and bench.channel.statistics.received == 1

    answer = call(bench, "pause", data=False)
    assert answer.success and "anew" in answer.message
    bench.connect()
    resets = bench.tracker.resets
    assert bench.good(T0 + 2 * PERIOD).left.valid and bench.tracker.resets == resets + 1
    assert bench.ros.spin_until(lambda: len(bench.markers) == 3)
    bench.good(T0 + 3 * PERIOD)
    assert bench.tracker.resets == resets + 1 and bench.diagnosis()["message"] != "paused"


def test_an_image_in_work_when_the_pause_comes_is_not_shown(bench):
    """Its hands would stay in viewers; it is counted as dropped."""
    paused = threading.Event()

    class Slow(FakeTracker):
        def estimate(self, *args, **kwargs):
            assert paused.wait(PATIENT)
            return super().estimate(*args, **kwargs)

    bench = bench({"marker_lifetime": 0.0}, tracker=Slow())
    bench.images.publish(image_message(T0))
    assert bench.ros.spin_until(lambda: bench.channel.statistics.received == 1)
    assert call(bench, "pause", data=True).success
    paused.set()
    assert bench.ros.spin_until(lambda: bench.channel.statistics.dropped == 1)
    assert not bench.channel.outputs._meshes.shown and bench.channel.statistics.published == 0
    bench.diagnosis()
    assert not bench.markers and not bench.pairs


def test_a_node_that_is_deactivated_while_paused_starts_unpaused(bench):
    bench = bench()
    assert call(bench, "pause", data=True).success
    assert bench.node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert not call(bench, "pause", data=False).success
    bench.tracker.closed = False
    assert bench.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.connect()
    assert bench.good(T0).left.valid and bench.diagnosis()["message"] != "paused"


def test_a_pause_of_all_cameras_with_depth_and_reliable_delivery(bench):
    """What was learnt of the network stays: the topic opens as it was closed."""
    bench = bench({"cameras": ["a", "b"], "depth": True, "image_reliability": "auto"}, activate=False)
    bench.node.trigger_configure()
    bench.node.trigger_activate()
    images = [subscription for channel in bench.node.channels for subscription in channel.images]
    assert len(images) == 4
    images[0]._change(ReliabilityPolicy.RELIABLE, "for a test")
    assert call(bench, "pause", data=True).success
    topics = [subscription.topic for subscription in images]
    assert bench.ros.spin_until(lambda: not any(bench.user.count_subscribers(topic) for topic in topics))
    assert call(bench, "pause", data=False).success
    assert bench.ros.spin_until(lambda: all(bench.user.count_subscribers(topic) == 1 for topic in topics))
    offers = [bench.user.get_subscriptions_info_by_topic(topic)[0].qos_profile.reliability for topic in topics]
    assert offers == [ReliabilityPolicy.RELIABLE, *[ReliabilityPolicy.BEST_EFFORT] * 3]


def test_a_real_tracker_forgets(bench):
    """A hand that is held for a while is absent at once after a reset."""
    motion, truth = shown(np.zeros(10), count=20)
    detector = TruthDetector(truth)
    detector.blind = {(frame, 1) for frame in range(10, 20)}
    bench = bench({"hold": 5.0}, tracker=HandPairTracker(detector=detector))
    for i in range(12):
        pair = bench.good(int(motion.stamp[i]) + T0)
    assert not pair.right.valid and pair.right.state == pair.right.HELD
    call(bench, "reset")
    assert bench.good(int(motion.stamp[12]) + T0).right.state == pair.right.ABSENT


def large_image(stamp):
    message = Image(width=CAMERA.width, height=CAMERA.height, encoding="rgb8", step=3 * CAMERA.width)
    message.data = array.array("B", IMAGE.tobytes())
    stamp_to(message, stamp)
    return message


def camera_with_a_hand(bench, motion):
    """A function that publishes the next image of a hand each time that the last one was dealt with."""
    sent, statistics = 0, bench.channel.statistics
    before = statistics.received

    def publish():
        nonlocal sent
        done = statistics.published + statistics.dropped + statistics.rejected
        if sent < len(motion.stamp) and done == before + sent:
            bench.images.publish(large_image(T0 + int(motion.stamp[sent])))
            sent += 1

    return publish


class Repeating(TruthDetector):
    """Sees the clip's frames over and over, whichever images the node drops."""

    def detect(self, image):
        if self.frame + 1 == len(self.truth["valid"]):
            self.frame = -1
        return super().detect(image)


def test_calibrate_hand(bench, tmp_path, monkeypatch):
    """An open hand of known length: its shape is fixed, published, kept in the file and used at the next start."""
    monkeypatch.setattr(services, "CALIBRATION_SECONDS", 3.0)
    monkeypatch.setattr(services, "time", SimpleNamespace(monotonic=lambda: len(first.pairs) / 30.0))  # of the images
    betas = np.random.default_rng(1).normal(0.0, 1.2, 10).clip(-2.5, 2.5)
    motion, truth = shown(betas, count=300)
    tracker = HandPairTracker(detector=Repeating(truth, noise=1.0))
    length = hand_length(tracker.hands, betas)
    path = tmp_path / "person.yaml"
    parameters = {"hand_shape": str(path), "hand_length": length}
    first = bench(parameters, tracker=tracker)
    first.inform(info_message(CAMERA.width, CAMERA.height, CAMERA.matrix[0, 0]))
    answer = call(first, "calibrate_hand", camera_with_a_hand(first, motion))
    assert answer.success and str(path) in answer.message, answer.message
    assert int(re.search(r"(\d+) mm", answer.message)[1]) == pytest.approx(1e3 * length, abs=4.0)
    kept = load_shape(path, "human")
    assert hand_length(tracker.hands, kept) == pytest.approx(length, abs=0.004)
    assert len(first.pairs) > 15  # it went on publishing meanwhile
    assert first.good(T0 + 10**12).right.valid
    np.testing.assert_allclose(first.pairs[-1].right.betas, kept, atol=1e-4)

    second = bench(parameters, tracker=HandPairTracker(detector=Repeating(truth)))
    np.testing.assert_allclose(second.good(T0).right.betas, kept, atol=1e-4)


def test_calibrate_hand_without_a_hand(bench, tmp_path, monkeypatch):
    """Where no open hand is seen, it is asked twice, or the node is deactivated: it says so, and nothing is kept."""
    monkeypatch.setattr(services, "CALIBRATION_SECONDS", 0.3)
    path = tmp_path / "person.yaml"
    motion, truth = shown(np.zeros(10), count=10)
    bench = bench({"hand_shape": str(path)}, tracker=HandPairTracker(detector=TruthDetector(truth)))
    answer = call(bench, "calibrate_hand")
    assert not answer.success and "seen 0 times" in answer.message

    begun = []
    monkeypatch.setattr(services, "ShapeCalibration", lambda *args: begun.append(args) or ShapeCalibration(*args))
    monkeypatch.setattr(services, "CALIBRATION_SECONDS", 3600.0)
    asked = bench.user.create_client(Trigger, f"{bench.node.get_name()}/calibrate_hand")
    assert bench.ros.spin_until(asked.service_is_ready)
    future = asked.call_async(Trigger.Request())
    assert bench.ros.spin_until(lambda: begun)
    assert call(bench, "calibrate_hand").message == "a calibration is under way"
    bench.node.trigger_deactivate()
    assert bench.ros.spin_until(future.done)
    assert "deactivated" in future.result().message and not path.exists()


def test_a_shape_that_cannot_be_kept(bench, tmp_path, monkeypatch):
    """It is told before anybody looks at hands; where it shows at the end only, the answer says that the shape is in use."""
    file = tmp_path / "shape" / "person.yaml"
    file.parent.write_text("in the way")
    motion, truth = shown(np.zeros(10), count=300)
    one = bench({"hand_shape": str(file)}, tracker=HandPairTracker(detector=Repeating(truth)))
    monkeypatch.setattr(services, "CALIBRATION_SECONDS", 3600.0)
    answer = call(one, "calibrate_hand")
    assert not answer.success and f"{file.parent} is a file, not a folder" in answer.message
    assert one.tracker.betas is None

    def full(*_):
        raise InputError(f"{file} cannot be written (No space left on device)")

    file.parent.unlink()
    monkeypatch.setattr(services, "CALIBRATION_SECONDS", 3.0)
    monkeypatch.setattr(services, "time", SimpleNamespace(monotonic=lambda: len(one.pairs) / 30.0))
    monkeypatch.setattr(services, "save_shape", full)
    one.inform(info_message(CAMERA.width, CAMERA.height, CAMERA.matrix[0, 0]))
    answer = call(one, "calibrate_hand", camera_with_a_hand(one, motion))
    assert not answer.success and "in use until the node is deactivated, but not kept" in answer.message
    assert "No space left" in answer.message and one.tracker.betas is not None


def test_a_calibration_with_a_bug_ends_nothing(bench):
    bench = bench()  # whose tracker lacks what a calibration needs
    assert "an error of this package" in call(bench, "calibrate_hand").message
    assert bench.good(T0).left.valid


def test_a_damaged_shape_is_refused_at_activation(bench, tmp_path):
    path = tmp_path / "person.yaml"
    path.write_text("betas: [1, 2]\nhand_model: generic\n")
    bench = bench({"hand_shape": str(path)}, activate=False)
    logged = []
    bench.node.get_logger().error = logged.append
    bench.node.trigger_configure()
    assert bench.node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert "person.yaml" in logged[0] and "calibrate again" in logged[0]
    path.unlink()
    assert bench.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.connect()
    assert bench.good(T0).left.valid


def test_the_debug_image(bench):
    """While somebody subscribes, the image with the hands drawn on it, under the image's header; otherwise nothing."""
    bench = bench()
    bench.good(T0)
    debug = bench.channel.outputs.debug
    assert not debug._images
    images = []
    subscription = bench.user.create_subscription(Image, "hands/debug_image", images.append, 1)
    assert bench.ros.spin_until(lambda: debug.wanted)
    bench.good(T0 + PERIOD, (255, 255, 7))
    assert bench.ros.spin_until(lambda: images)
    (image,) = images
    assert stamp_of(image.header) == T0 + PERIOD and image.header.frame_id == "camera"
    assert (image.encoding, image.width, image.height, image.step) == ("rgb8", WIDTH, HEIGHT, 3 * WIDTH)
    expected = np.full((HEIGHT, WIDTH, 3), (255, 255, 7), np.uint8)
    draw_hands(expected, make_pair(T0 + PERIOD, seed=7, camera=Camera.from_fov(WIDTH, HEIGHT, 65.0)))
    np.testing.assert_array_equal(np.array(image.data, np.uint8).reshape(expected.shape), expected)
    assert (expected != (255, 255, 7)).any()
    bench.user.destroy_subscription(subscription)
    assert bench.ros.spin_until(lambda: not debug.wanted)
    bench.good(T0 + 2 * PERIOD)
    bench.ros.spin_for(0.1)
    assert len(images) == 1


def test_the_compressed_debug_image(bench, monkeypatch):
    """The same picture as JPEG, drawn once for both topics, and only while somebody subscribes to it."""
    drawn = []
    monkeypatch.setattr(
        "fourdhands_ros.node.debug_image.draw_hands",
        lambda image, estimate: drawn.append(estimate.stamp) or draw_hands(image, estimate),
    )
    bench = bench()
    debug = bench.channel.outputs.debug
    compressed, plain = [], []
    bench.user.create_subscription(CompressedImage, "hands/debug_image/compressed", compressed.append, 1)
    assert bench.ros.spin_until(lambda: debug.wanted)
    bench.good(T0, (200, 255, 7))
    assert bench.ros.spin_until(lambda: compressed)
    bench.user.create_subscription(Image, "hands/debug_image", plain.append, 1)
    assert bench.ros.spin_until(lambda: debug._plain.get_subscription_count())
    bench.good(T0 + PERIOD, (200, 255, 7))
    assert bench.ros.spin_until(lambda: plain and len(compressed) == 2)
    assert drawn == [T0, T0 + PERIOD]
    message = compressed[1]
    assert stamp_of(message.header) == T0 + PERIOD and message.header.frame_id == "camera"
    assert message.format == "rgb8; jpeg compressed bgr8"
    shown_picture = cv2.imdecode(np.array(message.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    picture = np.array(plain[0].data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert np.abs(shown_picture.astype(int) - picture).mean() < 12


def test_a_debug_image_that_fails_ends_nothing(bench, monkeypatch):
    """A picture for people that cannot be drawn is logged; the hands go on."""
    bench = bench()
    images, logged = [], []
    bench.user.create_subscription(Image, "hands/debug_image", images.append, 1)
    debug = bench.channel.outputs.debug
    debug._logger.error = lambda text, **_: logged.append(text)
    assert bench.ros.spin_until(lambda: debug.wanted)
    monkeypatch.setattr("fourdhands_ros.node.debug_image.draw_hands", lambda *_: 1 / 0)
    assert bench.good(T0).left.valid
    assert bench.ros.spin_until(lambda: logged)
    monkeypatch.undo()
    bench.good(T0 + PERIOD)
    assert bench.ros.spin_until(lambda: images) and "ZeroDivisionError" in logged[0]
