"""HandPairTracker with the shipped weights: on detections whose truth is known, and on real video."""

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest
from pipeline_support import CAMERA, FLAT, IMAGE, SIZE, Seen, TruthDetector, clip, estimates, gather, run  # noqa: F401 (fixtures)

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import matrix_from_axis_angle, mirror_matrix
from fourdhands_core.hand_model.assets import load_human_hand
from fourdhands_core.hand_model.limits import LOWER, UPPER, clamp, from_angles, joint_frames, to_angles
from fourdhands_core.hand_model.skeleton import BONES, LEFT, RIGHT
from fourdhands_core.learning.evaluation import metrics
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings, within
from fourdhands_core.pipeline.types import ABSENT, HELD, SOURCE_JOINT, SOURCE_NONE, TRACKED


def test_every_detected_hand_is_there_on_its_side_and_no_other(clip, estimates):
    """Where one hand lies over the other, two detections of one place may be taken for one hand seen twice."""
    _, truth = clip
    missing = 0
    for estimate, valid in zip(estimates, truth["valid"]):
        for side, hand in enumerate(estimate.hands):
            assert hand.side == side and (valid[side] or not hand.valid)
            missing += bool(valid[side] and not hand.valid)
            if hand.valid:
                assert hand.state == TRACKED and hand.age == 0.0
            else:
                assert hand.state in (HELD, ABSENT)
    assert missing <= 0.02 * truth["valid"].sum()


def test_an_absent_hand_is_empty(estimates):
    absent = [h for e in estimates for h in e.hands if h.state == ABSENT]
    assert absent
    for hand in absent:
        assert all(
            getattr(hand, name) is None
            for name in "joints joints_raw joints_2d joint_confidence wrist_rotation global_orient hand_pose betas".split()
        )


def test_wrists_and_joints_are_near_the_truth(clip, estimates):
    _, truth = clip
    for side in (LEFT, RIGHT):
        joints = gather(estimates, side, "joints")
        valid = [e.hands[side].valid for e in estimates]
        true = truth["joints"][valid, side]
        assert np.median(np.linalg.norm(joints[:, 0] - true[:, 0], axis=-1)) < 0.08
        # 16 and 37 if all hands were like the mean one
        assert np.median(metrics.mpvpe_scaled(joints, true, joints, true)) < 12.0
        pixels = gather(estimates, side, "joints_2d")
        true_pixels = truth["joints_2d"][valid, side]
        assert np.median(np.linalg.norm(pixels - true_pixels, axis=-1)) < 15.0


def test_relative_root_is_the_difference_of_the_wrists(estimates):
    pairs = 0
    for e in estimates:
        if e.left.valid and e.right.valid:
            pairs += 1
            assert e.left_root_source == SOURCE_JOINT
            assert e.left_root_relative == pytest.approx(e.left.joints[0] - e.right.joints[0])
        else:
            assert e.left_root_relative is None and e.left_root_source == SOURCE_NONE
    assert pairs > 100


def test_bones_keep_their_lengths_over_a_track_and_angles_their_limits(estimates):
    for side in (LEFT, RIGHT):
        track = []
        for estimate in [*estimates, None]:
            hand = estimate.hands[side] if estimate else None
            if hand is not None and hand.state != ABSENT:
                track.append(hand)
                continue
            if track:
                rigid = [(a, b) for a, b in BONES if b not in (4, 8, 12, 16, 20)]
                lengths = np.array([[np.linalg.norm(h.joints[a] - h.joints[b]) for a, b in rigid] for h in track])
                assert np.ptp(lengths, axis=0).max() < 1e-6
                assert len({tuple(h.betas) for h in track}) == 1
            track = []
        pose = matrix_from_axis_angle(gather(estimates, side, "hand_pose").reshape(-1, 15, 3))
        if side == LEFT:
            flip = np.diag([-1.0, 1.0, 1.0])
            pose = flip @ pose @ flip
        angles = to_angles(pose, joint_frames(load_human_hand()))
        assert (angles > LOWER - 1e-4).all() and (angles < UPPER + 1e-4).all()


def test_a_hand_whose_shape_is_not_known_is_the_mean_one(estimates):
    """One camera does not tell a person's shape, whatever the network says: hands were 2.4 % too short in the mean."""
    assert not gather(estimates, LEFT, "betas").any() and not gather(estimates, RIGHT, "betas").any()


def test_no_joint_leaves_its_limits_whatever_the_network_says_and_however_the_filter_swings(clip):
    """Fingers that are bent back and then quickly to beyond the fist; raw joints are inside the limits too."""
    motion, truth = clip
    count, bend = 24, np.zeros((15, 3))
    bend[:, 0] = 1.0
    frames = joint_frames(load_human_hand())
    right = from_angles(np.concatenate([np.linspace(-1.5, 2.4, 12), np.full(12, 2.4)])[:, None, None] * bend, frames)
    rotations = np.tile(np.eye(3), (count, 2, 16, 1, 1))
    rotations[:, RIGHT, 1:], rotations[:, LEFT, 1:] = right, mirror_matrix(right)
    tracker = HandPairTracker(TrackerSettings(detect_every=1, smoothing=0.6), TruthDetector(truth), Seen(rotations))
    for k in range(count):
        pair = tracker.process(IMAGE, int(motion.stamp[k]), CAMERA)
        for side, hand in enumerate(pair.hands):
            pose = matrix_from_axis_angle(hand.hand_pose.reshape(15, 3))
            angles = to_angles(mirror_matrix(pose) if side == LEFT else pose, frames)
            assert (angles > LOWER - 1e-5).all() and (angles < UPPER + 1e-5).all()
            inside = rotations[k].copy()
            inside[RIGHT, 1:] = clamp(right[k], frames)
            inside[LEFT, 1:] = mirror_matrix(inside[RIGHT, 1:])
            expected = tracker.hands.joints(inside[:, 0], inside[:, 1:], np.zeros((2, 10)))[side]
            np.testing.assert_allclose(hand.joints_raw - hand.joints_raw[0], expected, atol=1e-6)


@pytest.mark.parametrize("broken", ["rotations", "betas", "joint_sigma", "relative"])
def test_a_result_that_is_not_finite_is_refused_and_leaves_nothing_behind(clip, broken):
    """No filter keeps it: the next image gives what it gives a new tracker."""
    motion, truth = clip
    results = []
    for start in (0, 7):
        detector, network = TruthDetector(truth), Seen(itertools.repeat(FLAT))
        detector.frame = start - 1
        tracker = HandPairTracker(TrackerSettings(detect_every=1), detector, network)
        for k in range(start, 12):
            network.broken = broken if k == 6 else ""
            with pytest.raises(InputError, match="not finite") if k == 6 else contextlib.nullcontext():
                pair = tracker.process(IMAGE, int(motion.stamp[k]), CAMERA)
            if k > 6:
                results.append([(hand.joints, hand.joints_raw) for hand in pair.hands])
    np.testing.assert_array_equal(results[:5], results[5:])
    assert np.isfinite(results).all()


def test_how_sure_a_hand_and_its_joints_are(clip):
    """The network's word times the detector's: who holds an arm where hands are uncertain needs both."""
    motion, truth = clip
    sure = np.linspace(0.1, 1.0, 21)

    class Unsure(TruthDetector):
        def detect(self, image):
            return [dataclasses.replace(found, score=0.7, confidence=sure) for found in super().detect(image)]

    detector = Unsure(truth)
    detector.blind = {(0, LEFT)}
    tracker = HandPairTracker(TrackerSettings(), detector, Seen([FLAT]))
    hand = tracker.process(IMAGE, int(motion.stamp[0]), CAMERA).right
    near = within(0.02, np.array([0.008]))[0]
    np.testing.assert_allclose(hand.joint_confidence, near * sure)
    assert hand.confidence == pytest.approx(0.7 * near)


@pytest.mark.parametrize("how", ["lost", "reset"])
def test_a_track_s_shape_ends_with_it(clip, how):
    """The next one has the mean of all shapes so far; after a reset, of none before: it may be another person's."""
    motion, truth = clip
    detector, network = TruthDetector(truth), Seen(itertools.repeat(FLAT))
    if how == "lost":
        detector.blind = {(k, RIGHT) for k in range(10, 30)}
    tracker = HandPairTracker(TrackerSettings(detect_every=1), detector, network)
    betas = []
    for k in range(40):
        network.betas = np.full(10, 1.0 if k < 10 else -0.5)
        if k == 30 and how == "reset":
            tracker.reset()
        betas.append(tracker.process(IMAGE, int(motion.stamp[k]), CAMERA).right.betas)
    for k in range(30, 40):
        # 10 images of two hands said 1, then 20 of the left one and the first of both -0.5
        np.testing.assert_allclose(betas[k], (20 * 1.0 - 21 * 0.5) / 41 if how == "lost" else -0.5, atol=0.02)
        assert (betas[k] == betas[30]).all()
    np.testing.assert_allclose(betas[:10], 1.0)


def test_wrists_do_not_jump_when_the_other_hand_comes_and_goes(clip, estimates):
    _, truth = clip
    for side in (LEFT, RIGHT):
        before = None
        for index, estimate in enumerate(estimates):
            hand = estimate.hands[side]
            if not hand.valid:
                before = None
                continue
            if before is not None:
                moved = hand.joints[0] - before[0]
                truly = truth["joints"][index, side, 0] - before[1]
                assert np.linalg.norm(moved - truly) < 0.05
            before = hand.joints[0], truth["joints"][index, side, 0]


def test_a_lost_hand_is_held_with_its_age_then_absent_and_never_valid(clip):
    _, truth = clip
    detector = TruthDetector(truth)
    detector.blind = {(k, RIGHT) for k in range(30, 60)}
    estimates = run(clip, detector=detector, frames=61)
    held = [e.right for e in estimates[30:60] if e.right.state == HELD]
    assert len(held) == pytest.approx(30 * TrackerSettings().hold, abs=1) and not any(h.valid for h in held)
    assert held[-1].age == pytest.approx(len(held) / 30.0, abs=1e-3)
    assert (held[-1].joints == estimates[29].right.joints).all()
    assert estimates[59].right.state == ABSENT
    assert estimates[60].right.valid


def test_without_a_hold_a_hand_goes_on_from_before_as_with_one(clip):
    """Nothing but what is shown of an unseen hand hangs on it; with 0 nothing was filtered, and a reset's jump was valid."""
    motion, truth = clip
    runs = []
    for hold in (0.3, 0.0):
        detector = TruthDetector(truth, noise=1.0)
        detector.blind = {(k, RIGHT) for k in (12, 13)}
        tracker, pairs = HandPairTracker(TrackerSettings(hold=hold), detector), []
        for k in range(30):
            frame = tracker.observe(IMAGE, int(motion.stamp[k]), CAMERA, first=k == 25)
            pairs.append(tracker.estimate(frame).right)
        runs.append(pairs)
    for k, (hand, same) in enumerate(zip(*runs)):
        assert hand.valid == same.valid == (k not in (12, 13, 25))
        assert (hand.joints == same.joints).all() if hand.valid else same.state == ABSENT


def test_hold_and_smoothing_change_between_two_frames_and_nothing_jumps(clip):
    motion, truth = clip
    detector, calm = TruthDetector(truth, noise=1.0), run(clip, detector=TruthDetector(truth, noise=1.0), frames=30)
    detector.blind = {(k, RIGHT) for k in range(30, 60)}
    tracker = HandPairTracker(detector=detector)
    pairs = []
    for k in range(60):
        if k == 15:
            tracker.apply(TrackerSettings(hold=0.1, smoothing=0.0))
        pairs.append(tracker.process(IMAGE, int(motion.stamp[k]), CAMERA))
    assert [pair.right.state for pair in pairs[30:]] == [HELD] * 3 + [ABSENT] * 27
    changed = [np.linalg.norm(a.right.joints - b.right.joints, axis=1).max() for a, b in zip(pairs, calm)]
    assert max(changed[:15]) == 0.0 < min(changed[15:]) and max(changed) < 0.01
    tracker.apply(TrackerSettings(weights="another", lookahead=3, hold=0.2))
    assert tracker.settings == TrackerSettings(hold=0.2), "the others are of the start"


@pytest.mark.parametrize("mirrored", [False, True])
def test_all_that_is_said_of_a_hand_is_one_hand(clip, mirrored):
    """Joints, mesh, rotations and image points agree, whichever hands there are."""
    motion, truth = clip
    detector = TruthDetector(truth, noise=1.0)
    detector.blind = {(k, LEFT) for k in range(10, 20)} | {(k, RIGHT) for k in range(25, 35)}
    tracker = HandPairTracker(TrackerSettings(mirrored=mirrored), detector)
    assert all(truth["valid"][:45].all(axis=1))
    for k in range(45):
        pair = tracker.process(IMAGE, int(motion.stamp[k]), CAMERA, with_vertices=True)
        assert pair.stamp == motion.stamp[k] and pair.camera is CAMERA and pair.mirrored == mirrored
        seen = [hand for hand in pair.hands if hand.valid]
        assert len(seen) == 2 - ((k, LEFT) in detector.blind) - ((k, RIGHT) in detector.blind)
        for hand in seen:
            rotations, betas = np.tile(np.eye(3), (2, 16, 1, 1)), np.zeros((2, 10))
            pose = np.vstack([hand.global_orient, hand.hand_pose.reshape(15, 3)])
            rotations[hand.side] = matrix_from_axis_angle(pose)
            betas[hand.side] = hand.betas
            model = tracker.hands.joints(rotations[:, 0], rotations[:, 1:], betas)[hand.side]
            np.testing.assert_allclose(hand.joints, model + hand.joints[0], atol=1e-6)
            mesh = tracker.hands.vertices(rotations[:, 0], rotations[:, 1:], betas)[hand.side]
            np.testing.assert_allclose(hand.vertices, mesh + hand.joints[0], atol=1e-6)
            np.testing.assert_allclose(hand.wrist_rotation, rotations[hand.side, 0], atol=1e-5)
            pixels = CAMERA.project(hand.joints[0] + tracker.landmarks.size * (hand.joints - hand.joints[0]))
            if mirrored:
                pixels = np.array([SIZE[0] - 1, 0]) + pixels * [-1, 1]
            np.testing.assert_allclose(hand.joints_2d, pixels, atol=1e-6)
            assert metrics.rotation_error(hand.wrist_rotation, truth["wrist_rotation"][k, hand.side]) < 30.0
            assert 0.0 < hand.confidence < 0.97 and (hand.joint_confidence < 1.0).all()


def test_single_frames_do_not_depend_on_the_past(clip):
    motion, truth = clip
    alone = run(clip, temporal=False, frames=101)
    detector = TruthDetector(truth)
    detector.frame = 99
    tracker = HandPairTracker(TrackerSettings(temporal=False), detector)
    fresh = tracker.process(IMAGE, int(motion.stamp[100]), CAMERA)
    # the person's shape is remembered, so the bones may differ a little
    assert fresh.right.hand_pose == pytest.approx(alone[100].right.hand_pose, abs=0.02)


def test_since_when_an_image_is_the_same_is_told_of_each_by_its_own_stamp_and_goes_on_in_another_part(clip):
    _, truth = clip
    other = IMAGE.copy()
    other[::8] += 1
    trackers = [HandPairTracker(TrackerSettings(lookahead=2), TruthDetector(truth)) for _ in range(2)]
    told = [trackers[0].process(image, stamp, CAMERA) for stamp, image in ((10, IMAGE), (20, IMAGE), (30, other), (40, other))]
    trackers[1].recall(trackers[0].memory())
    told += [trackers[1].process(image, stamp, CAMERA) for stamp, image in ((50, other), (60, IMAGE), (70, IMAGE))]
    assert [(one.stamp, one.since) for one in told if one] == [(10, 10), (20, 10), (30, 30), (40, 30), (50, 30)]
    trackers[1].reset()
    assert [trackers[1].process(IMAGE, stamp, CAMERA) for stamp in (5, 6, 7)][-1].since == 5  # where time went back


def test_the_same_video_gives_the_same_numbers_after_a_reset(clip):
    motion, truth = clip
    tracker = HandPairTracker(TrackerSettings(), TruthDetector(truth, noise=0.0))
    first = [tracker.process(IMAGE, int(s), CAMERA) for s in motion.stamp[:20]]
    tracker.reset()
    tracker.detector.frame = -1
    again = [tracker.process(IMAGE, int(s), CAMERA) for s in motion.stamp[:20]]
    for a, b in zip(first, again):
        assert (a.right.joints == b.right.joints).all()


@pytest.mark.parametrize(
    "wrong, said",
    [(dict(smoothing=1.5), "smoothing"), (dict(lookahead=-1), "lookahead"), (dict(default_fov=float("nan")), "default_fov")],
)
def test_settings_out_of_range_are_refused_by_name(wrong, said):
    with pytest.raises(InputError, match=said):
        TrackerSettings(**wrong)


def test_wrong_frames_are_refused_and_the_next_good_one_is_taken(clip):
    motion, truth = clip
    tracker = HandPairTracker(TrackerSettings(), TruthDetector(truth))
    assert tracker.process(IMAGE, 1000, CAMERA).right.valid
    for image, stamp, camera, said in (
        (IMAGE, 1000, CAMERA, "does not come after"),
        (IMAGE, 2000, Camera.from_fov(320, 240, 60.0), "320x240"),
        (IMAGE[..., 0], 2000, CAMERA, "shape"),
        (IMAGE.astype(float), 2000, CAMERA, "uint8"),
    ):
        with pytest.raises(InputError, match=said):
            tracker.process(image, stamp, camera)
    assert tracker.process(IMAGE, 2000, CAMERA).right.valid


def test_probability_within_a_distance():
    assert within(0.02, np.array([1e-4]))[0] == pytest.approx(1.0)
    assert within(0.0, np.array([0.01]))[0] == 0.0
    # Gamma(3) distribution: the median radius is 2.674 sigma
    assert within(0.02674, np.array([0.01]))[0] == pytest.approx(0.5, abs=1e-3)
