"""HandPairTracker and lenses: without intrinsics, mirrored, with another lens, and where a lens has no rays."""

import numpy as np
import pytest
from pipeline_support import CAMERA, IMAGE, SIZE, TruthDetector, clip, estimates, run, shown  # noqa: F401 (fixtures)

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.media.clips import clip_truth, pose_hands
from fourdhands_core.perception.detector import HandDetection
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.regress import Regress
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings
from fourdhands_core.pipeline.types import SOURCE_NETWORK


def test_without_intrinsics_positions_are_marked_unscaled(clip, estimates):
    assert all(h.scaled for e in estimates for h in e.hands if h.valid)
    unscaled = run(clip, camera=None, frames=120)
    assert not any(h.scaled for e in unscaled for h in e.hands)
    pairs = [e for e in unscaled if e.left_root_relative is not None]
    assert pairs and all(e.left_root_source == SOURCE_NETWORK and np.isfinite(e.left_root_relative).all() for e in pairs)


def test_a_mirrored_image_gives_the_same_hands(clip, estimates):
    """The detector sees the picture unmirrored; poses stay, pixels are those of the mirrored picture."""
    mirrored = run(clip, frames=161, mirrored=True)
    for a, b in zip(estimates[::20], mirrored[::20]):
        for hand, other in zip(a.hands, b.hands):
            if hand.valid:
                assert other.joints == pytest.approx(hand.joints, abs=1e-4)
                assert other.joints_2d[:, 0] == pytest.approx(SIZE[0] - 1 - hand.joints_2d[:, 0], abs=0.01)


@pytest.mark.parametrize("hold", [0.3, 0.0])
@pytest.mark.parametrize("before", [Camera.from_fov(*SIZE, 100.0), Camera.from_fov(*SIZE, 40.0, calibrated=True)])
def test_where_the_lens_changes_no_position_lags_behind(clip, estimates, before, hold):
    """CameraInfo that comes after the first images, and a zoom: the hands are at once where this lens sees them, but for one
    image in which they are not valid, that a robot does not follow them there."""
    motion, truth = clip
    tracker = HandPairTracker(TrackerSettings(hold=hold), TruthDetector(truth))
    for i in range(30):
        found = tracker.process(IMAGE, int(motion.stamp[i]), before if i < 20 else CAMERA)
        for hand, known in zip(found.hands, estimates[i].hands):
            assert hand.valid == (known.valid and i != 20)
            if i > 20 and known.valid:
                assert hand.scaled and np.linalg.norm(hand.joints[0] - known.joints[0]) < 0.04 * known.joints[0, 2]
            elif known.valid and (i < 20 or hold):
                assert np.linalg.norm(hand.joints[0] - known.joints[0]) > 0.2 * known.joints[0, 2]


def test_a_lens_is_known_at_other_resolutions():
    for size in ((320, 240), (1280, 960), (213, 160)):
        assert CAMERA.is_like(CAMERA.resized(*size)) and CAMERA.resized(*size).is_like(CAMERA)
    distorted = Camera(*SIZE, CAMERA.matrix, "plumb_bob", [0.1, 0.0, 0.0, 0.0, 0.0])
    region = Camera(320, 240, CAMERA.matrix - [[0, 0, 160], [0, 0, 120], [0, 0, 0]])
    for other in (Camera.from_fov(*SIZE, 64.0), Camera.from_fov(*SIZE, 66.0, calibrated=True), distorted, region):
        assert not CAMERA.is_like(other) and not other.is_like(CAMERA)


@pytest.mark.parametrize("model, d", [("plumb_bob", [-0.5, 0, 0, 0]), ("equidistant", [-0.3, -0.1, 0, 0])])
def test_a_hand_where_the_lens_has_no_rays_is_not_seen_and_the_other_is_as_alone(model, d):
    """In a corner that a calibration's polynomial does not reach, there is no telling where a hand is."""
    camera = Camera(*SIZE, [[420.0, 0, 319.5], [0, 420.0, 239.5], [0, 0, 1]], model, d)
    motion, truth = shown(np.zeros(10), count=5)
    truth = clip_truth(motion, camera, pose_hands(motion)[1])
    alone = run((motion, truth), camera)
    truth["valid"][:, LEFT] = True
    truth["joints"][:, LEFT] = truth["joints"][:, RIGHT] * [-1, 1, 1]
    truth["joints_2d"][:, LEFT] = truth["joints_2d"][:, RIGHT] * 0.2 + [570, 420] - 0.2 * truth["joints_2d"][:, RIGHT, :1]
    for one, both in zip(alone, run((motion, truth), camera), strict=True):
        assert one.right.valid and both.right.valid and not both.left.valid
        np.testing.assert_allclose(one.right.joints, both.right.joints, rtol=0, atol=1e-9)


def test_landmarks_of_a_network_where_the_lens_has_no_rays_are_not_taken():
    """What the detector saw stays; a hand that was only followed there is not seen."""
    camera = Camera(*SIZE, [[420.0, 0, 319.5], [0, 420.0, 239.5], [0, 0, 1]], "plumb_bob", [-0.5, 0, 0, 0])
    seen = np.random.default_rng(0).uniform(-30, 30, (21, 2)) + [440, 320]
    hand = HandDetection(RIGHT, 0.9, seen, np.zeros((21, 3)), np.ones(21))
    landmarks = np.stack([seen, seen + 5.0])
    landmarks[RIGHT, 4] = 570, 420
    for followed in (False, True):
        frame = Frame(1, camera, [], followed=followed)
        frame.detections, frame.rays[RIGHT] = (None, hand), camera.unproject(seen)
        before = frame.rays.copy()
        Regress._take_landmarks(frame, landmarks)
        np.testing.assert_array_equal(frame.rays, before)
        assert frame.uncertain and frame.present.tolist() == [False, not followed]
        landmarks_within = landmarks.copy()
        landmarks_within[RIGHT, 4] = seen[4]
        frame.detections = None, hand
        Regress._take_landmarks(frame, landmarks_within)
        assert not frame.uncertain and frame.present[RIGHT] and (frame.rays[RIGHT] != before[RIGHT]).any()
