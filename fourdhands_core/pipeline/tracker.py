"""HandPairTracker: a frame in, both hands out. The one door for the node, the command line, bags and benchmarks."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.rotations import axis_angle_from_matrix, mirror_matrix
from ..hand_model.arrays import HandArrays
from ..hand_model.assets import load_generic_hand, load_hand, pair_of
from ..hand_model.limits import clamp, joint_frames
from ..hand_model.skeleton import LEFT, RIGHT
from ..perception.detector import Detector, HandDetection, check_image
from ..perception.identity import HandIdentity
from ..perception.mediapipe_detector import MediaPipeDetector
from .depth import DepthImage, SizeMemory, measure
from .following import Following, doubted
from .hand_track import HandTrack, ShapeMemory
from .refinement import SPREAD, PoseRefinement
from .regression import MIRROR, Frame, Regression, forget_old
from .regressors import make_regressor
from .translation import solve_translations
from .types import SOURCE_JOINT, SOURCE_NETWORK, SOURCE_NONE, TRACKED, HandEstimate, HandPairEstimate

CHOICES = {"model": ("landmark", "image"), "device": ("cpu", "cuda", "onnx"),
           "precision": ("float32", "float16", "bfloat16")}
"""Values of the settings of these names."""


@dataclass(frozen=True)
class TrackerSettings:
    """Settings of a HandPairTracker.

    weights: safetensors file; empty for the shipped landmark network. hand_model: npz of a right hand from `fourdhands
    convert-mano`; empty for the generic hand. hand_model_left: the left hand's; empty for the right hand's mirror image.
    mirrored: images are mirrored (selfie): poses are in the optical frame of the camera as it would be unmirrored,
    `joints_2d` in the image as given. lookahead: frames of the future to wait for; 0 for a robot; for recordings the
    window's half, 4 with the landmark model. temporal: False estimates every frame alone, unfiltered. default_fov:
    horizontal field of view, degrees, assumed where there are no intrinsics. hold: seconds for which an unseen hand is
    HELD. smoothing: memory of the pose filter, 0-0.9. acceleration: of the position filter, m^2/s^3. landmark_error:
    expected error of the detector's landmarks in units of their RMS radius. threads: of the network and the hand model, for
    the whole process; at a frame's sizes more threads only wait for one another and for the detector's. model: "landmark",
    or "image": the paper's, with weights from `fourdhands import-weights`. device: "cpu", where onnxruntime, if installed,
    runs a landmark network of the shipped one's sizes, and torch any other; "cuda", for the image model; "onnx", where
    `weights` is the folder that `fourdhands export` wrote: onnxruntime, without torch. precision: of the image model,
    "float32", "float16" or "bfloat16". detect_every: with the image model and no lookahead, the detector looks at every so
    many images at least, at others only on loss or doubt.
    """

    weights: str = ""
    hand_model: str = ""
    hand_model_left: str = ""
    mirrored: bool = False
    lookahead: int = 0
    temporal: bool = True
    default_fov: float = 65.0
    hold: float = 0.3
    smoothing: float = 0.37
    acceleration: float = 10.0
    landmark_error: float = 0.17
    threads: int = 1
    model: str = "landmark"
    device: str = "cpu"
    precision: str = "float32"
    detect_every: int = 5

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"{name} = {getattr(self, name)!r} is not known; give one of {', '.join(choices)}")
        ranges = {"lookahead": (0, 60), "detect_every": (1, 1000), "default_fov": (10.0, 170.0), "hold": (0.0, 5.0), "smoothing": (0.0, 0.9),
                  "acceleration": (0.01, 1e4), "landmark_error": (1e-3, 1.0), "threads": (1, 64)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
                raise InputError(f"{name} = {value!r} is out of range; give a number from {low} to {high}")


class HandPairTracker:
    """Tracks both hands of one person in one camera's images.

    `process` takes frames in order of their stamps; `reset` forgets the past (another video, a jump back in time).
    betas: the shape (10,) that both hands are known to have, which may be set at any time; None to estimate it.
    regressor: to share another tracker's, see `for_another_camera`. Raises AssetError or CheckpointError for unusable files
    when made, InputError for malformed frames.
    """

    def __init__(self, settings: TrackerSettings = TrackerSettings(), detector: Detector | None = None, regressor=None):
        self.settings = settings
        threadpool_limits(settings.threads, user_api="blas")
        right = load_hand(settings.hand_model) if settings.hand_model else load_generic_hand()
        left, right = pair_of(right, load_hand(settings.hand_model_left) if settings.hand_model_left else None)
        self.hands = HandArrays((left, right))
        self._joint_frames = joint_frames(right)
        self._palm = right.weights[:, 0] > 0.5
        flip = MIRROR[LEFT][:, None]
        self._refine = PoseRefinement(self.hands, np.stack([flip * self._joint_frames, self._joint_frames]))
        self.regressor = regressor or make_regressor(settings, self.hands, right.hands_mean)
        self._following = Following(1 if settings.lookahead else settings.detect_every)
        self.detector = detector or MediaPipeDetector()
        self.identity = HandIdentity()
        smoothing = settings.smoothing if settings.temporal else 0.0
        self.tracks = tuple(HandTrack(side, settings.hold, smoothing, settings.acceleration) for side in (LEFT, RIGHT))
        self.betas: np.ndarray | None = None
        self._assumed: Camera | None = None
        self._mirror: tuple[Camera, Camera] | None = None
        self.reset()

    def for_another_camera(self) -> HandPairTracker:
        """A tracker for another camera of the same person: this one's network and known shape, its own detector and past.

        Each may run in threads of its own.
        """
        self.regressor.add_camera()
        other = HandPairTracker(self.settings, regressor=self.regressor)
        other.betas = self.betas
        return other

    @property
    def faces(self) -> tuple[np.ndarray, np.ndarray]:
        """Triangles (1538, 3) of the (left, right) mesh, counter-clockwise from outside."""
        return tuple(self.hands.faces)

    @property
    def detections(self) -> tuple[HandDetection | None, HandDetection | None]:
        """What the detector saw of the (left, right) hand in the newest frame."""
        return self._frames[-1].detections if self._frames else (None, None)

    def rays(self, stamp: int) -> np.ndarray | None:
        """Landmarks (2, 21, 2) as undistorted x/z, y/z that the estimate of that stamp, one of the last, was made of."""
        return next((frame.rays for frame in reversed(self._frames) if frame.stamp == stamp), None)

    def reset(self) -> None:
        """Forget the past: identities, tracks, the window and the person's shape as far as it was estimated."""
        self._following.reset()
        self._forget()

    def _forget(self) -> None:
        self.identity.reset()
        self.shape = ShapeMemory()
        self.size = SizeMemory(), SizeMemory()
        for track in self.tracks:
            track.end()
        self._frames: deque[Frame] = deque()
        self._pending = 0

    def close(self) -> None:
        """Free the detector."""
        self.detector.close()

    def process(self, image: np.ndarray, stamp: int, camera: Camera | None = None, with_vertices: bool = False,
                depth: np.ndarray | None = None) -> HandPairEstimate | None:
        """Estimate both hands: `observe`, then `estimate`.

        image: (H, W, 3) uint8 RGB. stamp: nanoseconds, increasing. camera: intrinsics for this image's size; None where
        there are none. depth: (H, W) uint16 millimetres or float32 metres, in the image's view at any resolution. Returns
        the estimate of the frame `lookahead` frames before this one; None in the first ones.
        Raises InputError for a malformed image, a camera of another size, a stamp that does not increase.
        """
        return self.estimate(self.observe(image, stamp, camera, depth), with_vertices)

    def observe(self, image: np.ndarray, stamp: int, camera: Camera | None = None,
                depth: np.ndarray | None = None, first: bool = False) -> Frame:
        """Look for hands in an image. One thread may observe the next image while another one estimates the last.

        first: forget the past as `reset` does, from this image on: neither does an earlier one that is still to be estimated
        change what this one is tracked from, nor this one what becomes of that.
        """
        check_image(image)
        height, width = image.shape[:2]
        camera = camera or self._assumed_camera(width, height)
        if (camera.width, camera.height) != (width, height):
            raise InputError(f"the image is {width}x{height} but its camera is {camera.width}x{camera.height}; "
                             "give the intrinsics of this image size")
        began = time.perf_counter()
        given = camera
        if self.settings.mirrored:
            image, camera = np.ascontiguousarray(image[:, ::-1]), self._unmirrored(camera)
        if first:
            self._following.reset()
        epoch = self._following.epoch
        expected = self._following.expected() if self.regressor.sees else None
        found = self.detector.detect(image) if expected is None else expected
        frame = Frame(stamp, camera, found, time.perf_counter() - began, first, expected is not None, epoch, given)
        if self.regressor.sees:
            frame.image = image
        if depth is not None:
            self.add_depth(frame, depth)
        return frame

    def add_depth(self, frame: Frame, depth: np.ndarray) -> None:
        """Give a frame its depth image, see `process`, before `estimate`: it may come later than its image."""
        if frame.camera.calibrated:
            frame.depth = DepthImage.of(depth[:, ::-1] if self.settings.mirrored else depth)

    def estimate(self, frame: Frame, with_vertices: bool = False) -> HandPairEstimate | None:
        """Take in a frame from `observe`, in the order of their stamps; see `process`."""
        if frame.first:
            self._forget()
        if frame.followed and frame.epoch != self._following.epoch:
            frame.found = []  # hands of a past that is forgotten; nobody looked for any in this image
        if self._frames and frame.stamp <= self._frames[-1].stamp:
            raise InputError(f"stamp {frame.stamp} does not come after {self._frames[-1].stamp}; "
                             "drop the frame, or call reset() when time has jumped back")
        laps = _Laps(detect=frame.detect_seconds)
        frame.detections = self.identity.update(frame.found, frame.stamp, (frame.camera.width, frame.camera.height))
        laps("identity")
        for side in np.flatnonzero(frame.present):
            frame.rays[side] = frame.camera.unproject(frame.detections[side].landmarks)
        beyond = frame.present & ~frame.camera.sees(frame.rays).all(axis=1)  # of a fisheye's view, where it has no rays
        frame.detections = tuple(None if beyond[side] else frame.detections[side] for side in (LEFT, RIGHT))
        self.regressor.encode(frame)
        laps("network")
        self._frames.append(frame)
        self._pending += 1
        if self._pending <= self.settings.lookahead:
            return None
        return self._estimate(laps, with_vertices)

    def flush(self, with_vertices: bool = False) -> HandPairEstimate | None:
        """With lookahead, the next of the last frames' estimates after the video has ended; None when all are out."""
        if self._pending == 0:
            return None
        return self._estimate(_Laps(), with_vertices)

    def _assumed_camera(self, width, height):
        if self._assumed is None or (self._assumed.width, self._assumed.height) != (width, height):
            self._assumed = Camera.from_fov(width, height, self.settings.default_fov)
        return self._assumed

    def _unmirrored(self, camera):
        """The camera of the pictures that the detector sees, from that of the mirrored images; the same object again."""
        if self._mirror is None or self._mirror[0] is not camera:
            self._mirror = camera, camera.mirrored()
        return self._mirror[1]

    def _estimate(self, laps, with_vertices):
        """The estimate of the oldest frame that has none yet."""
        frame = self._frames[-self._pending]
        self._pending -= 1
        estimates, regressed, doubt = {}, None, np.zeros(2, bool)
        if frame.present.any():
            regressed = self.regressor.regress(self._frames if self.settings.temporal else [frame], frame)
            laps("network")
            if regressed.landmarks is not None:
                doubt = self._look_again(frame, regressed)
        seen = np.flatnonzero(frame.present)
        if len(seen):
            estimates = self._pose(frame, seen, regressed, laps, with_vertices)
        left, right = (estimates[side] if side in estimates else track.unseen(frame.stamp)
                       for side, track in enumerate(self.tracks))
        relative, source = None, SOURCE_NONE
        if len(seen) == 2:
            if frame.camera.calibrated:
                relative, source = left.joints[0] - right.joints[0], SOURCE_JOINT
            else:  # an assumed focal length scales the wrists' distance, but not what the network says of it
                relative, source = regressed.relative, SOURCE_NETWORK
        forget_old(self._frames, frame, self.regressor.half_window)
        pair = HandPairEstimate(
            frame.stamp, left, right, frame.given, relative, source, laps.seconds, self.settings.mirrored)
        if self.regressor.sees:
            self._following.seen(pair, frame, doubt.any())
        laps("hand_model")
        return pair

    def _look_again(self, frame, regressed):
        """Takes the landmarks for what the network sees; where that is doubted, what the detector saw in this very image
        stays, and a hand that was only followed is not seen. Returns the (2,) doubts."""
        doubt = doubted(regressed, frame)
        for side in np.flatnonzero(frame.present):
            if not doubt[side]:
                frame.rays[side] = frame.camera.unproject(regressed.landmarks[side])
        if frame.followed:
            frame.detections = tuple(None if doubt[side] else frame.detections[side] for side in (LEFT, RIGHT))
        frame.radius = np.sqrt(np.square(frame.rays - frame.rays.mean(1, keepdims=True)).sum(-1).mean(1))
        return doubt

    def _pose(self, frame, seen, regressed: Regression, laps, with_vertices):
        """Estimates by side of the hands in `seen`."""
        betas = np.zeros((2, 10))
        intervals = {}
        for side in seen:
            track = self.tracks[side]
            intervals[side] = track.begin_frame(frame.stamp, frame.camera)
            self.shape.add(regressed.betas[side])
            if self.betas is not None:
                track.betas = self.betas
            elif track.betas is None:
                track.betas = self.shape.mean
            betas[side] = track.betas
        raw, start = regressed.rotations, None
        if regressed.landmarks is None:  # the network is told the landmarks, but not held to them
            sigma = self.settings.landmark_error * SPREAD * frame.radius[:, None] / np.sqrt(frame.confidence.clip(0.05))
            raw, wrists = self._refine(raw, betas, frame.rays, sigma, seen, regressed.doubt)
            start = wrists[seen]
        raw = self._within_limits(raw)
        filtered = raw.copy()
        for side in seen:
            prompt = None if regressed.prompt is None else regressed.prompt[side]
            filtered[side] = self.tracks[side].smooth(raw[side], prompt, intervals[side])
        filtered = self._within_limits(filtered)
        both = np.stack([filtered, raw])
        joints, joints_raw = self.hands.joints(both[:, :, 0], both[:, :, 1:], np.stack([betas, betas]))[:, seen]
        laps("hand_model")

        vertices = None
        if with_vertices or frame.depth is not None:
            vertices = self.hands.vertices(filtered[:, 0], filtered[:, 1:], betas)
            laps("hand_model")
        wrists, wrists_raw = self._place(frame, seen, regressed, joints, joints_raw, start, intervals, vertices)
        laps("solve")
        if not (np.isfinite(wrists).all() and np.isfinite(wrists_raw).all() and np.isfinite(both[:, seen]).all()):
            self.reset()  # its filters have taken it in
            raise InputError("the hands in this image come to no finite numbers; check weights, hand model and intrinsics")

        apparent = self._scales(seen) * joints + wrists[:, None]
        joints = joints + wrists[:, None]
        pixels = frame.camera.project(apparent)
        if self.settings.mirrored:
            pixels = pixels * MIRROR[LEFT, :2] + (frame.camera.width - 1.0, 0.0)
        axis_angle = axis_angle_from_matrix(filtered)
        estimates = {}
        for k, side in enumerate(seen):
            detection = frame.detections[side]
            near = within(0.02, regressed.joint_sigma[side])
            estimate = HandEstimate(
                side=int(side), valid=True, state=TRACKED, age=0.0,
                confidence=float(detection.score * near.mean()), joints=joints[k],
                joints_raw=joints_raw[k] + wrists_raw[k], joints_2d=pixels[k],
                joint_confidence=near * detection.confidence, wrist_rotation=filtered[side, 0],
                global_orient=axis_angle[side, 0], hand_pose=axis_angle[side, 1:].reshape(45), betas=betas[side],
                vertices=vertices[side] + wrists[k] if with_vertices else None, scaled=frame.camera.calibrated)
            self.tracks[side].seen(estimate, frame.stamp)
            estimates[int(side)] = estimate
        return estimates

    def _within_limits(self, rotations):
        """Rotations (2, 16, 3, 3), each in its side's convention, with every joint angle inside the human limits."""
        own = rotations.copy()
        own[LEFT] = mirror_matrix(rotations[LEFT])
        own[:, 1:] = clamp(own[:, 1:], self._joint_frames)
        own[LEFT] = mirror_matrix(own[LEFT])
        return own

    def _place(self, frame, seen, regressed, joints, joints_raw, start, intervals, vertices):
        """Wrists (N, 3) of the filtered and of the raw hands, metres, camera optical frame."""
        rays = frame.rays[seen]
        radius = frame.radius[seen]
        scales = self._scales(seen)
        joints, joints_raw = scales * joints, scales * joints_raw
        distance = np.linalg.norm(joints - joints.mean(1, keepdims=True), axis=-1).mean(1) / radius
        sigma = np.sqrt(
            (self.settings.landmark_error * radius[:, None]) ** 2 / frame.confidence[seen].clip(0.05)
            + (regressed.joint_sigma[seen] / distance[:, None]) ** 2)
        scale = scales.mean()
        relative = (scale * regressed.relative, scale * regressed.relative_sigma) if len(seen) == 2 else None
        raw, _ = solve_translations(joints_raw, rays, sigma, start, relative=relative)
        mean, information = raw.copy(), np.zeros((len(seen), 3, 3))
        if self.settings.temporal:
            for k, side in enumerate(seen):
                prior = self.tracks[side].position.predict(intervals[side])
                if prior:
                    mean[k], information[k] = prior
        if frame.depth is not None:
            meshes = [scales[k] * vertices[side] + raw[k] for k, side in enumerate(seen)]
            faces = [self.hands.faces[side] for side in seen]
            for k, measured in enumerate(measure(frame.depth, frame.camera, meshes, faces, self._palm)):
                if measured is not None:
                    self._take_depth(measured, self.size[seen[k]], raw[k], mean[k], information[k])
        elif not self.settings.temporal:
            return raw, raw
        wrists, covariance = solve_translations(
            joints, rays, sigma, start=raw, prior=(mean, information), relative=relative)
        if self.settings.temporal:
            for k, side in enumerate(seen):
                self.tracks[side].position.update(wrists[k], covariance[k])
        return wrists, raw

    def _take_depth(self, measured, size, raw, mean, information):
        """Join what depth says of one wrist along its viewing ray to its prior, mean (3,) and information (3, 3)."""
        ratio = 1.0 + measured.offset / raw[2]
        ray = raw / np.linalg.norm(raw)
        known = float(ray @ information @ ray)
        surprise = abs(ray @ (ratio * raw - mean)) - 3.0 / np.sqrt(known) if known > 0.0 else 0.0
        if not size.accepts(ratio, surprise):
            return
        precise = np.outer(ray, ray) / (measured.sigma * np.linalg.norm(raw) / raw[2]) ** 2
        both = information + precise
        mean[:] = np.linalg.solve(both + 1e-6 * np.eye(3), information @ mean + precise @ (ratio * raw) + 1e-6 * raw)
        information[:] = both

    def _scales(self, seen):
        """(N, 1, 1): how large the hands in `seen` are beside their models, as far as depth has told."""
        return np.array([self.size[side].scale for side in seen])[:, None, None]


class _Laps:
    """Seconds by stage of one frame: `laps(stage)` counts the time since the last call to `stage`."""

    def __init__(self, **seconds: float):
        self.seconds = seconds
        self._since = time.perf_counter()

    def __call__(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now


def within(distance: float, sigma: np.ndarray) -> np.ndarray:
    """Probability that a joint whose error has density proportional to exp(-|e| / sigma) lies within `distance`, metres."""
    r = distance / sigma
    return 1.0 - np.exp(-r) * (1.0 + r + 0.5 * r * r)
