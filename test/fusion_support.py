"""Views of hands whose truth is known, as a detector with errors would give them: no pictures are drawn."""

import numpy as np

from fourdhands_core.fusion.fusion import HandFusion
from fourdhands_core.fusion.views import View
from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.hand_model.landmarks import landmarks_at_joints, landmarks_of_both
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT
from fourdhands_core.media.choreography import demo_motion
from fourdhands_core.pipeline.frame import Frame
from fourdhands_core.pipeline.settings import TrackerSettings
from fourdhands_core.pipeline.types import ABSENT, TRACKED, HandEstimate, HandPairEstimate

ASSETS = pair_of(load_generic_hand())
HANDS = HandArrays(ASSETS)
CAMERA = Camera.from_fov(640, 480, 60.0, calibrated=True)
STEP = 240
FRAME = STEP // 30
LATER = 3
"""Moments, 12.5 ms, by which the second camera's images come after the first one's."""


class Scene:
    """The demo's hands before cameras on an arc around them. All is given in the fixed frame, whose origin is in their middle.

    angles: of the cameras, degrees. distance: of each from the middle, metres. noise: pixels of the landmarks. wrong: relative
    error of the single views' distances. nods: metres by which the hands also go up and down. tilt: radians by which single
    views take the palms to be turned towards them. beside: the landmarks lie where the detector sees the joints, else at the
    joints.
    """

    def __init__(self, angles=(-25.0, 25.0), distance=0.5, noise=1.0, wrong=0.08, seed=3, nods=0.0, tilt=0.0, beside=True):
        motion = demo_motion(12.0, STEP, seed)
        self.rng = np.random.default_rng(seed)
        angle = np.concatenate([motion.global_orient[:, :, None], motion.hand_pose.reshape(-1, 2, 15, 3)], axis=2)
        self.rotations, self.betas = matrix_from_axis_angle(angle), motion.betas
        self.wrists = motion.wrist - (0.0, 0.0, 0.5)
        if nods:
            self.wrists[..., 1] += nods * np.sin(2.0 * np.pi * 1.1 * np.arange(len(self.wrists))[:, None] / STEP)
        self.noise, self.wrong, self.tilt = noise, wrong, tilt
        self.seen_at = landmarks_of_both(ASSETS) if beside else landmarks_at_joints()
        self.poses = []
        for one in np.radians(angles):
            turn = matrix_from_axis_angle(np.array([0.0, -one, 0.0]))
            self.poses.append(Rigid(turn, turn @ np.array([0.0, 0.0, -distance])))
        self.betas_seen = np.zeros((2, 10))

    def stamp(self, moment):
        return 1 + round(moment * 1e9 / STEP)

    def truth(self, moment):
        """Joints (2, 21, 3)."""
        r = self.rotations[moment]
        return HANDS.joints(r[:, 0], r[:, 1:], self.betas) + self.wrists[moment][:, None]

    def landmarks(self, moment):
        """(2, 21, 3) what a detector takes for the joints."""
        r = self.rotations[moment]
        joints, bones = HANDS.joints_and_bones(r[:, 0], r[:, 1:], self.betas)
        return joints + self.seen_at.beside(bones) + self.wrists[moment][:, None]

    def view(self, number, moment, sides=(LEFT, RIGHT), exchanged=False, stamp=None, pose=None, name=None, elsewhere=None):
        """What camera `number` sees. exchanged: it takes one hand for the other. pose: where it says that it stands.
        elsewhere: (3,) metres by which what it sees is another person's."""
        true = self.poses[number]
        points = self.landmarks(moment) + (0.0 if elsewhere is None else np.asarray(elsewhere))
        local = true.inverse().apply(points)
        pixels = CAMERA.project(local) + self.noise * self.rng.normal(size=(2, 21, 2))
        rays = CAMERA.unproject(pixels)
        hands = []
        for side in (LEFT, RIGHT):
            shown = 1 - side if exchanged else side
            if shown not in sides:
                hands.append(HandEstimate(side, False, ABSENT, float("nan")))
                continue
            r = self.rotations[moment, shown].copy()
            r[0] = true.rotation.T @ r[0]
            tilt = matrix_from_axis_angle(0.08 * self.rng.normal(size=(16, 3)))
            r = r @ tilt
            r[0] = r[0] @ matrix_from_axis_angle(np.array([0.0, 0.0, self.tilt]))
            angles = axis_angle_from_matrix(r)
            posed = np.stack([r, r])
            joints = HANDS.joints(posed[:, 0], posed[:, 1:], self.betas_seen)[side]
            wrist = (1.0 + self.wrong) * true.inverse().apply(self.wrists[moment, shown])
            hands.append(
                HandEstimate(
                    side,
                    True,
                    TRACKED,
                    0.0,
                    0.9,
                    joints=joints + wrist,
                    joints_raw=joints + wrist,
                    joints_2d=pixels[shown],
                    joint_confidence=np.full(21, 0.9),
                    wrist_rotation=r[0],
                    global_orient=angles[0],
                    hand_pose=angles[1:].reshape(45),
                    betas=np.zeros(10),
                    scaled=True,
                )
            )
        if exchanged:
            rays = rays[::-1].copy()
        pair = HandPairEstimate(self.stamp(moment) if stamp is None else stamp, hands[0], hands[1], CAMERA, rays=rays)
        return View(name or f"camera_{number}", pose or true, pair, rays)


class SceneTracker:
    """Sees what a camera of a scene sees at an image's stamp, whatever the image shows."""

    assets, betas, landmarks = ASSETS, None, landmarks_of_both(ASSETS)

    def __init__(self, scene, number=0):
        self.scene, self.number, self.made, self.settings = scene, number, number, TrackerSettings()

    def apply(self, settings):
        self.settings = settings

    def for_another_camera(self):
        self.made += 1
        return SceneTracker(self.scene, self.made)

    def observe(self, image, stamp, camera, first=False):
        return Frame(stamp, camera, [], first=first)

    def estimate(self, frame, with_vertices=False):
        view = self.scene.view(self.number, round(frame.stamp * 1e-9 * STEP), stamp=frame.stamp)
        self.seen = view.rays
        return view.estimate

    def flush(self, with_vertices=False):
        return None

    def rays(self, stamp):
        return self.seen

    def close(self):
        pass


def wrist_errors(scene, fused, moment):
    """Metres, by side, NaN where not valid."""
    truth = scene.truth(moment)[:, 0]
    return np.array([np.linalg.norm(h.joints[0] - truth[h.side]) if h.valid else np.nan for h in fused.pair.hands])


def run(scene, moments, views, fusion=None):
    """Fused estimates and the moments that they are of. views: from a moment to [View]."""
    fusion = fusion or HandFusion(ASSETS)
    results = []
    for moment in moments:
        for view in views(moment):
            for fused in fusion.add(view):
                results.append((fused, round((fused.pair.stamp - 1) * 1e-9 * STEP)))
    return fusion, results


def both(scene, late=LATER, **second):
    return lambda moment: [scene.view(0, moment), scene.view(1, moment + late, **second)]
