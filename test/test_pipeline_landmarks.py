"""One camera places hands by where the detector sees their joints, not by where the model has them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_support import CAMERA, IMAGE, TruthDetector, shown

from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.assets import load_generic_hand, load_human_hand, pair_of
from fourdhands_core.hand_model.landmarks import landmarks_at_joints, landmarks_of_both
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.pipeline.regression import Regression
from fourdhands_core.pipeline.shape_calibration import ShapeCalibration, hand_length
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings

ASSETS = {"human": load_human_hand(), "generic": load_generic_hand()}
BOTH = (LEFT, RIGHT)


class Knowing:
    """A network that is told landmarks, and whatever they are knows both hands' pose and shape."""

    sees, half_window = False, 0.0

    def __init__(self, truth):
        pose = matrix_from_axis_angle(truth["hand_pose"].reshape(-1, 2, 15, 3))
        self.rotations = np.concatenate([truth["wrist_rotation"][:, :, None], pose], axis=2)
        self.truth = truth

    def encode(self, frame):
        frame.radius = np.sqrt(np.square(frame.rays - frame.rays.mean(1, keepdims=True)).sum(-1).mean(-1))

    def regress(self, frames, target):
        k = int(np.searchsorted(self.truth["stamp"], target.stamp))
        sigma, apart = np.full((2, 21), 0.008), self.truth["left_root_relative"][k]
        return Regression(self.rotations[k].copy(), self.truth["betas"][k], sigma, apart, 0.02)


def wrists_off(model, betas, curl, beside, **options):
    """(T, 2) metres between found and true wrists; beside: take into account where the detector sees joints."""
    motion, truth = shown(betas, curl, count=12, sides=BOTH, asset=ASSETS[model])
    detector = TruthDetector(truth, hands=pair_of(ASSETS[model]))
    tracker = HandPairTracker(TrackerSettings(hand_model=model, **options), detector, Knowing(truth))
    if not beside:
        nowhere = landmarks_at_joints()
        tracker._refine._landmarks = tracker._refine._solve.landmarks = nowhere
    pairs = [tracker.process(IMAGE, int(stamp), CAMERA) for stamp in motion.stamp]
    found = np.array([[hand.joints[0] for hand in pair.hands] for pair in pairs])
    return np.linalg.norm(found - truth["joints"][:, :, 0], axis=-1)


@pytest.mark.parametrize("temporal", [True, False])
@pytest.mark.parametrize("model", ASSETS)
@settings(max_examples=4, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 0.6))
def test_a_wrist_is_where_it_is_though_landmarks_lie_beside_the_joints(model, temporal, seed, curl):
    """Of landmarks that are taken for the joints it is up to a tenth of its distance too far away."""
    betas = np.random.default_rng(seed).normal(size=10).clip(-1.5, 1.5)
    assert wrists_off(model, betas, curl, beside=True, temporal=temporal).max() < 0.002
    assert np.median(wrists_off(model, betas, curl, beside=False, temporal=temporal)) > 0.01


class Seeing(Knowing):
    """One that sees the image, and in it the joints."""

    sees = True

    def encode(self, frame):
        frame.image = None

    def regress(self, frames, target):
        return replace(super().regress(frames, target), landmarks=np.array([one.landmarks for one in target.detections]))


def test_a_network_that_sees_joints_is_not_corrected():
    """It was trained to see them where the model has them; the detector's landmarks only say where to look."""
    motion, truth = shown(np.zeros(10), count=3, sides=BOTH)
    detector = TruthDetector(truth)
    detector.beside = np.zeros_like(detector.beside)
    tracker = HandPairTracker(TrackerSettings(detect_every=1), detector, Seeing(truth))
    for k, stamp in enumerate(motion.stamp):
        for side, hand in enumerate(tracker.process(IMAGE, int(stamp), CAMERA).hands):
            assert np.linalg.norm(hand.joints[0] - truth["joints"][k, side, 0]) < 0.002
    assert not tracker.landmarks.before.any() and not tracker.landmarks.after.any()


@pytest.mark.parametrize("side", BOTH)
@pytest.mark.parametrize("model", ASSETS)
def test_a_calibrated_shape_is_that_of_the_bones_not_of_the_landmarks(model, side):
    """With the pose known, every bone is true to a millimetre; of landmarks taken for joints bones would be too short."""
    asset, betas = ASSETS[model], np.random.default_rng(3).normal(size=10).clip(-1.5, 1.5)
    motion, truth = shown(betas, count=20, sides=(side,), asset=asset)
    mean = {**truth, "betas": np.zeros_like(truth["betas"])}
    tracker = HandPairTracker(TrackerSettings(hand_model=model), TruthDetector(truth, hands=pair_of(asset)), Knowing(mean))
    off, flat = [], np.tile(np.eye(3), (2, 16, 1, 1))
    for landmarks in (landmarks_of_both(pair_of(asset)), landmarks_at_joints()):
        calibration = ShapeCalibration(tracker.hands, hand_length(tracker.hands, betas), landmarks)
        tracker.reset()
        tracker.detector.frame = -1
        for stamp in motion.stamp:
            estimate = tracker.process(IMAGE, int(stamp), CAMERA)
            calibration.add(estimate)
        shapes = (np.tile(shape, (2, 1)) for shape in (calibration.result(), betas))
        found, true = (tracker.hands.joints(flat[:, 0], flat[:, 1:], both)[RIGHT] for both in shapes)
        off.append(np.linalg.norm(found - true, axis=-1).mean())
    assert off[0] < 0.0025 and off[0] < 0.7 * off[1], off
