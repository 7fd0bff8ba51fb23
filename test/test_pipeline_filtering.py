"""HandPairTracker over time: hands that are steadier than their images and do not lag behind."""

import itertools

import numpy as np
from pipeline_support import CAMERA, FLAT, IMAGE, Seen, TruthDetector, clip, gather, run, shown  # noqa: F401 (clip is a fixture)

from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.learning.evaluation import metrics
from fourdhands_core.media.clips import clip_truth, pose_hands
from fourdhands_core.media.video import VideoReader
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings


def test_what_the_window_says_is_right_on_average_and_what_the_frame_says_is_prompt(clip):
    """A prompt rotation that is always off by as much moves nothing; one that turns on moves the hand at once."""
    motion, truth = clip
    off = np.where(np.arange(80) < 70, 0.2, 0.5)
    prompts = np.tile(FLAT, (80, 1, 1, 1, 1))
    prompts[:, :, 0] = matrix_from_axis_angle(off[:, None, None] * np.array([1.0, 0.0, 0.0]))
    detector = TruthDetector(truth)
    tracker = HandPairTracker(TrackerSettings(detect_every=1), detector, Seen(itertools.repeat(FLAT), prompts))
    turned = [tracker.process(IMAGE, int(stamp), CAMERA).right.global_orient[0] for stamp in motion.stamp[:72]]
    np.testing.assert_allclose(turned[60:70], 0.0, atol=0.01)
    assert turned[71] > 0.15


def test_frames_that_are_missing_are_bridged(clip):
    """The past is moved on by the time that has passed: a hand in steady motion is not placed behind, at whatever rate."""
    motion, _ = shown(np.zeros(10), count=70)
    motion.global_orient[:] = motion.global_orient[0]
    motion.wrist[:, RIGHT] = [-0.1, 0.08, 0.5] + np.arange(70)[:, None] / 30 * [0.1, -0.02, 0.1]
    taken = np.cumsum(np.tile([1, 3, 1, 5, 2, 1], 5))
    truth = {name: values[taken] for name, values in clip_truth(motion, CAMERA, pose_hands(motion)[1]).items()}
    tracker = HandPairTracker(TrackerSettings(), TruthDetector(truth))
    hands = [tracker.process(IMAGE, int(stamp), CAMERA).right for stamp in motion.stamp[taken]]
    assert max(np.linalg.norm(hand.joints[0] - hand.joints_raw[0]) for hand in hands[8:]) < 0.0035


def test_a_wrist_at_rest_is_steadier_than_its_images(clip):
    motion, _ = shown(np.zeros(10), count=200)
    motion.global_orient[:] = motion.global_orient[0]
    truth = clip_truth(motion, CAMERA, pose_hands(motion)[1])
    tracker = HandPairTracker(TrackerSettings(), TruthDetector(truth, noise=2.0))
    hands = [tracker.process(IMAGE, int(stamp), CAMERA).right for stamp in motion.stamp][20:]
    restless, steady = (
        np.abs(np.diff([joints[0, 2] for joints in wrists])).mean()
        for wrists in ([hand.joints_raw for hand in hands], [hand.joints for hand in hands])
    )
    assert restless > 1.4 * steady


def test_without_a_past_nothing_is_filtered(clip):
    motion, truth = clip
    tracker = HandPairTracker(TrackerSettings(temporal=False), TruthDetector(truth, noise=2.0))
    for stamp in motion.stamp[:20]:
        for hand in tracker.process(IMAGE, int(stamp), CAMERA).hands:
            np.testing.assert_allclose(hand.joints, hand.joints_raw, atol=1e-6)


def test_raw_joints_are_those_before_the_filter(clip):
    """Each image's own, wrists too: those who filter by themselves take no other filter's lag with them."""
    motion, truth = clip
    estimates = run(clip, detector=TruthDetector(truth, noise=2.0), frames=200)
    for side in (LEFT, RIGHT):
        filtered, raw = (gather(estimates, side, name) for name in ("joints", "joints_raw"))
        assert np.linalg.norm((filtered - raw)[0], axis=-1).max() < 0.02
        for part in (lambda joints: joints[:, 0], lambda joints: joints - joints[:, :1]):
            restless, steady = (np.median(np.abs(np.diff(part(joints), 2, axis=0))) for joints in (raw, filtered))
            assert restless > 1.05 * steady


def test_right_hand_video_is_steadier_than_mediapipe_without_lagging(real_data):
    """Jitter and lag beside MediaPipe's world landmarks; and in every image it is a right hand and no left one."""
    tracker = HandPairTracker(TrackerSettings())
    ours, theirs = [], []
    with VideoReader(real_data / "video" / "right_hand.mp4") as reader:
        for stamp, image in reader:
            estimate = tracker.process(image, stamp)
            assert estimate.right.valid and not estimate.left.valid
            ours.append(estimate.right.joints)
            theirs.append(tracker.detections[RIGHT].world)
    tracker.close()
    assert len(ours) == 621
    ours, theirs = np.array(ours), np.array(theirs)
    assert metrics.jitter(ours) < 0.5 * metrics.jitter(theirs)
    assert metrics.lag(ours, theirs) < 0.5
