"""Hands whose truth is known, and a detector that sees them as they are: for the tracker's tests, with ROS and without."""

import numpy as np
import pytest

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_human_hand, pair_of
from fourdhands_core.hand_model.landmarks import landmarks_of_both
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.media.choreography import ClipMotion, demo_motion, from_curls
from fourdhands_core.media.clips import clip_truth, pose_hands
from fourdhands_core.perception.detector import Detector, HandDetection
from fourdhands_core.pipeline.regression import Regression
from fourdhands_core.pipeline.tracker import HandPairTracker, TrackerSettings

SIZE = (640, 480)
IMAGE = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
CAMERA = Camera.from_fov(*SIZE, 64.0, calibrated=True)
SMALL_CAMERA = Camera.from_fov(320, 240, 60.0)
HANDS = HandArrays(pair_of(load_human_hand()))


def landmarks_beside(truth, lens, hands):
    """(T, 2, 21, 2) pixels from the joints to where the detector sees them; 0 of hands of which nothing is said."""
    fingers = matrix_from_axis_angle(truth["hand_pose"].reshape(-1, 2, 15, 3))
    _, bones = HandArrays(hands).joints_and_bones(truth["wrist_rotation"], fingers, truth["betas"])
    wrist, landmarks = truth["joints"][:, :, :1], landmarks_of_both(hands)
    seen = wrist + landmarks.size * (truth["joints"] + landmarks.beside(bones) - wrist)
    return np.nan_to_num(lens.project(seen) - lens.project(truth["joints"]))


class TruthDetector(Detector):
    """Sees the true hands of a clip, frame by frame, where the detector sees joints, with a little noise.

    lens: the clip's. hands: the models, left and right, that are seen.
    """

    def __init__(self, truth, noise=0.0, mirrored=False, lens=CAMERA, hands=pair_of(load_human_hand())):
        self.truth, self.noise, self.mirrored = truth, noise, mirrored
        self.beside = landmarks_beside(truth, lens, hands)
        self.rng = np.random.default_rng(0)
        self.frame = -1
        self.blind = set()

    def detect(self, image):
        self.frame += 1
        found = []
        for side in (LEFT, RIGHT):
            if not self.truth["valid"][self.frame, side] or (self.frame, side) in self.blind:
                continue
            joints = self.truth["joints"][self.frame, side]
            pixels = (self.truth["joints_2d"] + self.beside)[self.frame, side] + self.noise * self.rng.normal(size=(21, 2))
            found.append(HandDetection(side, 0.95, pixels, joints - joints.mean(0), np.ones(21)))
        return found


UPRIGHT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""A right hand with its fingers up and its palm towards the camera."""


def shown(betas, curl=0.0, count=60, sides=(RIGHT,), asset=None):
    """Motion and truth of hands, a right one or others, that are shown to the camera and turn a little.

    curl 0 is open, 1 a fist. The left hand is the right one in the mirror. asset: the hand, the human one by default.
    """
    times = np.arange(count) / 30.0
    orient = np.zeros((count, 2, 3))
    sway = 0.3 * np.stack([np.sin(2 * times), np.cos(3 * times), np.sin(4 * times)], axis=1)
    orient[:, RIGHT] = axis_angle_from_matrix(matrix_from_axis_angle(sway) @ UPRIGHT)
    orient[:, LEFT] = mirror_axis_angle(orient[:, RIGHT])
    fingers = np.tile(axis_angle_from_matrix(from_curls(np.array([*[curl] * 5, 0.5]))), (count, 2, 1, 1))
    fingers[:, LEFT] = mirror_axis_angle(fingers[:, RIGHT])
    wrists = np.array([[-0.1, 0.08, 0.5], [0.1, 0.08, 0.5]]) if len(sides) == 2 else np.array([[0.02, 0.08, 0.5]] * 2)
    present = np.zeros((count, 2), bool)
    present[:, sides] = True
    motion = ClipMotion(
        1 + np.round(times * 1e9).astype(np.int64),
        orient,
        fingers.reshape(count, 2, 45),
        np.tile(betas, (2, 1)),
        np.tile(wrists, (count, 1, 1)),
        present,
    )
    return motion, clip_truth(motion, CAMERA, pose_hands(motion, asset)[1])


class Truth:
    """Stands in for the network: sees the hands of a script exactly, where they are looked for."""

    sees, half_window = True, 0.0

    def __init__(self, script):
        self.script = script

    def encode(self, frame):
        frame.image = None

    def regress(self, frames, target):
        return self.script.regression(target)


class Script(Detector):
    """Two flat hands 0.6 m away that move apart; the left one leaves at frame 20."""

    def __init__(self):
        self.looked, self.number = [], -1
        self.rotations = np.tile(np.eye(3), (2, 16, 1, 1))
        self.joints = HANDS.joints(self.rotations[:, 0], self.rotations[:, 1:], np.zeros((2, 10)))

    def landmarks(self, number):
        wrists = np.array([[-0.22 - 0.001 * number, 0.0, 0.6], [0.22 + 0.001 * number, 0.0, 0.6]])
        return SMALL_CAMERA.project(self.joints + wrists[:, None])

    def detect(self, image):
        self.looked.append(self.number)
        hands = (LEFT, RIGHT) if self.number < 20 else (RIGHT,)
        return [
            HandDetection(
                side, 1.0, self.landmarks(self.number)[side], self.joints[side] - self.joints[side].mean(0), np.ones(21)
            )
            for side in hands
        ]

    def regression(self, frame):
        landmarks = self.landmarks(self.number)
        if self.number >= 20:
            landmarks[LEFT] += 200.0  # nothing is left of it where it is looked for
        return Regression(
            self.rotations.copy(),
            np.zeros((2, 10)),
            np.full((2, 21), 0.008),
            np.array([-0.44 - 0.002 * self.number, 0, 0]),
            0.02,
            landmarks,
        )


@pytest.fixture(scope="module")
def clip():
    motion = demo_motion(12.0, 30.0, 0)
    _, joints = pose_hands(motion)
    return motion, clip_truth(motion, CAMERA, joints)


def run(clip, camera=CAMERA, detector=None, frames=None, **settings):
    """The estimates of the clip's images, or of so many of its first ones."""
    motion, truth = clip
    tracker = HandPairTracker(TrackerSettings(**settings), detector or TruthDetector(truth, lens=camera or CAMERA))
    estimates = [tracker.process(IMAGE, int(stamp), camera) for stamp in motion.stamp[:frames]]
    while (rest := tracker.flush()) is not None:
        estimates.append(rest)
    return [e for e in estimates if e is not None]


@pytest.fixture(scope="module")
def estimates(clip):
    return run(clip)


def gather(estimates, side, name):
    return np.array([getattr(e.hands[side], name) for e in estimates if e.hands[side].valid])


class Seen:
    """A network that sees the landmarks where the detector does, and in each image the next rotations (2, 16, 3, 3).

    prompts: rotations from each frame alone, like them. betas: the shape (10,) of both hands. broken: the name of what is
    not a number in the next image; or "".
    """

    sees, half_window = True, 0.0

    def __init__(self, rotations, prompts=None):
        self.rotations, self.prompts = iter(rotations), None if prompts is None else iter(prompts)
        self.betas, self.broken = np.zeros(10), ""

    def encode(self, frame):
        frame.image = None

    def regress(self, frames, target):
        landmarks = np.array([np.zeros((21, 2)) if seen is None else seen.landmarks for seen in target.detections])
        values = {
            "rotations": next(self.rotations).copy(),
            "betas": np.tile(self.betas, (2, 1)),
            "joint_sigma": np.full((2, 21), 0.008),
            "relative": np.array([-0.3, 0.0, 0.0]),
        }
        if self.broken:
            values[self.broken].flat[-1] = np.nan
        return Regression(
            **values, relative_sigma=0.02, landmarks=landmarks, prompt=None if self.prompts is None else next(self.prompts)
        )


FLAT = np.tile(np.eye(3), (2, 16, 1, 1))
