"""HandPairTracker: a frame in, both hands out, through the stages detect, identify, regress, refine and place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.rotations import axis_angle_from_matrix
from ..hand_model.arrays import HandArrays
from ..hand_model.assets import open_pair
from ..hand_model.landmarks import landmarks_at_joints, landmarks_of_both
from ..hand_model.limits import joint_frames
from ..hand_model.skeleton import LEFT, RIGHT
from ..perception.detector import Detector, HandDetection
from ..perception.hand_detector import HandDetector, detector_beside_torch, make_detector
from .depth import DepthImage
from .detect import Detect, interval_of
from .frame import Frame
from .hand_track import HandTrack
from .identify import Identify
from .place import Place, Placement
from .refine import Pose, Refine
from .regress import Regress
from .regression import MIRROR, Regression, Regressor
from .regressors import make_regressor
from .settings import TrackerSettings
from .types import SOURCE_JOINT, SOURCE_NETWORK, SOURCE_NONE, TRACKED, HandEstimate, HandPairEstimate


class HandPairTracker:
    """Tracks both hands of one person in one camera's images.

    `process` takes frames in order of their stamps; `reset` forgets the past (another video, a jump back in time).
    detector, regressor: in place of those that the settings ask for; a regressor may be another tracker's, see
    `for_another_camera`. detectors: makes a detector for this tracker, and another one for each other camera's. faces:
    triangles (1538, 3) of the (left, right) mesh, counter-clockwise from outside. betas: the shape (10,) that both hands are
    known to have, which may be set at any time; None to estimate it. Raises AssetError or CheckpointError for unusable files
    when made, InputError for malformed frames.
    """

    def __init__(
        self,
        settings: TrackerSettings = TrackerSettings(),
        detector: Detector | None = None,
        regressor: Regressor | None = None,
        detectors: Callable[[], Detector] | None = None,
    ) -> None:
        self.settings = settings
        threadpool_limits(settings.threads, user_api="blas")
        self.assets = _, right = open_pair(settings.hand_model, settings.hand_model_left)
        self.hands = HandArrays(self.assets)
        self.faces = self.hands.faces
        self.betas: np.ndarray | None = None
        self.regressor = regressor or make_regressor(settings, self.hands, right.hands_mean)
        self.landmarks = landmarks_at_joints() if self.regressor.sees else landmarks_of_both(self.assets)
        self._detectors, self._own_detector = detectors, detector is not None
        if detector is None and detectors is not None:
            detector = detectors()
        left_track, right_track = (
            HandTrack(side, settings.hold, _smoothing(settings), settings.acceleration) for side in (LEFT, RIGHT)
        )
        self._tracks = left_track, right_track
        if detector is None and settings.model == "image":
            detector = detector_beside_torch(settings.search, settings.device, settings.threads)
        detector = detector or make_detector(
            settings.search, settings.device, settings.threads, settings.precision, looks=settings.looks
        )
        self._detect = Detect(detector, settings, keeps_image=self.regressor.sees)
        self._identify = Identify()
        self._regress = Regress(self.regressor, settings)
        self._refine = Refine(self.hands, joint_frames(right), self.landmarks, self._tracks, settings)
        self._place = Place(self.hands, right.weights[:, 0] > 0.5, self.landmarks.size, self._tracks, settings)

    def for_another_camera(self) -> HandPairTracker:
        """A tracker for another camera of the same person: this one's network and known shape, its own detector and past.

        Each may run in threads of its own. Raises InputError where this one was made with `detector` and without
        `detectors`: a detector remembers one camera's images, and the other would look with another kind, without a word.
        """
        if self._own_detector and self._detectors is None:
            raise InputError(
                "this tracker was made with one detector, and another camera needs its own; give HandPairTracker `detectors`, "
                "a function that makes one"
            )
        self.regressor.add_camera()
        other = HandPairTracker(self.settings, regressor=self.regressor, detectors=self._detectors)
        other.betas = self.betas
        return other

    @property
    def detector(self) -> Detector:
        """What looks for hands; another one may take its place between two frames."""
        return self._detect.detector

    @detector.setter
    def detector(self, detector: Detector) -> None:
        self._detect.detector = detector

    @property
    def detections(self) -> tuple[HandDetection | None, HandDetection | None]:
        """What the detector saw of the (left, right) hand in the newest frame."""
        frames = self._regress.frames
        return frames[-1].detections if frames else (None, None)

    def reset(self) -> None:
        """Forget the past: identities, tracks, the window and the person's shape as far as it was estimated."""
        self._detect.reset()
        self._forget()

    def _forget(self) -> None:
        for stage in (self._identify, self._regress, self._refine, self._place):
            stage.reset()
        for track in self._tracks:
            track.forget()

    def apply(self, settings: TrackerSettings) -> None:
        """Use other values of `hold`, `smoothing` and `detect_every`, of nothing else, from the next frame on; any thread may
        call this. Of `mirrored` too, which is the camera's own, before its first frame."""
        changed = {name: getattr(settings, name) for name in ("hold", "smoothing", "detect_every", "mirrored")}
        self.settings = settings = replace(self.settings, **changed)
        for track in self._tracks:
            track.apply(settings.hold, _smoothing(settings))
        self._detect.schedule.interval = interval_of(settings)
        self._detect.mirrored = settings.mirrored

    def memory(self) -> dict[str, Any]:
        """All that `reset` forgets, shared with this tracker; of other detectors than HandDetector nothing."""
        return {
            "detector": self.detector.memory if isinstance(self.detector, HandDetector) else None,
            "schedule": self._detect.schedule,
            "repeats": self._detect.repeats,
            "identity": self._identify.identity,
            "shape": self._refine.shape,
            "size": self._place.size,
            "tracks": self._tracks,
            "frames": list(self._regress.frames),
            "pending": self._regress.pending,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from the memory of another tracker of the same settings."""
        if isinstance(self.detector, HandDetector):
            self.detector.memory = memory["detector"]
        self._detect.schedule, self._detect.repeats = memory["schedule"], memory["repeats"]
        self._identify.identity, self._refine.shape, self._place.size = memory["identity"], memory["shape"], memory["size"]
        self._tracks = self._refine.tracks = self._place.tracks = memory["tracks"]
        self._regress.reset()
        self._regress.frames.extend(memory["frames"])
        self._regress.pending = memory["pending"]

    def close(self) -> None:
        """Free the detector."""
        self.detector.close()

    def process(
        self,
        image: np.ndarray,
        stamp: int,
        camera: Camera | None = None,
        with_vertices: bool = False,
        depth: np.ndarray | None = None,
    ) -> HandPairEstimate | None:
        """Estimate both hands: `observe`, then `estimate`.

        image: (H, W, 3) uint8 RGB. stamp: nanoseconds, increasing. camera: intrinsics for this image's size; None where
        there are none. depth: (H, W) uint16 millimetres or float32 metres, in the image's view at any resolution. Returns
        the estimate of the frame `lookahead` frames before this one; None in the first ones.
        Raises InputError for a malformed image, a camera of another size, a stamp that does not increase.
        """
        frame = self.observe(image, stamp, camera)
        if depth is not None:
            self.add_depth(frame, depth)
        return self.estimate(frame, with_vertices)

    def observe(self, image: np.ndarray, stamp: int, camera: Camera | None = None, first: bool = False) -> Frame:
        """Look for hands in an image. One thread may observe the next image while another one estimates the last.

        first: forget the past as `reset` does, from this image on: neither does an earlier one that is still to be estimated
        change what this one is tracked from, nor this one what becomes of that.
        """
        return self._detect(image, stamp, camera, first)

    def add_depth(self, frame: Frame, depth: np.ndarray) -> None:
        """Give a frame its depth image, see `process`, before `estimate`: it may come later than its image."""
        if frame.camera.calibrated:
            frame.depth = DepthImage.of(depth[:, ::-1] if self.settings.mirrored else depth)

    def estimate(self, frame: Frame, with_vertices: bool = False) -> HandPairEstimate | None:
        """Take in a frame from `observe`, in the order of their stamps; see `process`."""
        if frame.first:
            just_seen = {track.side for track in self._tracks if track.begin(frame.stamp) > 0.0}
            self._forget()
            frame.withheld = {side: self._tracks[side].withheld(frame.stamp) for side in just_seen}
        self._detect.settle(frame)
        frames = self._regress.frames
        if frames and frame.stamp <= frames[-1].stamp:
            raise InputError(
                f"stamp {frame.stamp} does not come after {frames[-1].stamp}; "
                "drop the frame, or call reset() when time has jumped back"
            )
        timings = _StageTimings(detect=frame.detect_seconds)
        self._identify(frame)
        timings("identity")
        self._regress.take(frame)
        timings("network")
        if self._regress.pending <= self.settings.lookahead:
            return None
        return self._estimate(timings, with_vertices)

    def flush(self, with_vertices: bool = False) -> HandPairEstimate | None:
        """With lookahead, the next of the last frames' estimates after the video has ended; None when all are out."""
        if self._regress.pending == 0:
            return None
        return self._estimate(_StageTimings(), with_vertices)

    def _estimate(self, timings: _StageTimings, with_vertices: bool) -> HandPairEstimate:
        """The estimate of the oldest frame that has none yet."""
        frame = self._regress.next()
        regressed = self._regress(frame)
        timings("network")
        seen = np.flatnonzero(frame.present)
        estimates = self._hands_seen(frame, seen, regressed, timings, with_vertices) if regressed and len(seen) else {}
        left, right = (
            estimates[side] if side in estimates else track.unseen(frame.stamp) for side, track in enumerate(self._tracks)
        )
        relative, source = None, SOURCE_NONE
        if regressed and len(seen) == 2:
            if frame.camera.calibrated:
                assert left.joints is not None and right.joints is not None, "both are seen"
                relative, source = left.joints[0] - right.joints[0], SOURCE_JOINT
            else:  # an assumed focal length scales the wrists' distance, but not what the network says of it
                relative, source = regressed.relative, SOURCE_NETWORK
        self._regress.forget_before(frame)
        pair = HandPairEstimate(
            frame.stamp,
            left,
            right,
            frame.given or frame.camera,
            relative,
            source,
            timings.seconds,
            self.settings.mirrored,
            rays=frame.rays,
            since=frame.since,
        )
        if self.regressor.sees:
            self._detect.schedule.seen(pair, frame)
        timings("hand_model")
        if not any(pair.hands[side].valid for side in frame.withheld):
            return pair
        left, right = (frame.withheld.get(hand.side, hand) for hand in pair.hands)
        return replace(pair, left=left, right=right, left_root_relative=None, left_root_source=SOURCE_NONE)

    def _hands_seen(
        self, frame: Frame, seen: np.ndarray, regressed: Regression, timings: _StageTimings, with_vertices: bool
    ) -> dict[int, HandEstimate]:
        """Estimates by side of the hands in `seen`."""
        for track in (self._tracks[side] for side in seen):
            if track.is_of_another_lens(frame.camera):
                frame.withheld[track.side] = track.withheld(frame.stamp)
        intervals = {side: self._tracks[side].begin_frame(frame.stamp, frame.camera) for side in seen}
        pose = self._refine(frame, seen, intervals, regressed, self.betas)
        vertices = None
        if with_vertices or frame.depth is not None:
            vertices = self.hands.vertices(pose.rotations[:, 0], pose.rotations[:, 1:], pose.betas)
        timings("hand_model")
        placement = self._place(frame, seen, intervals, regressed, pose, vertices)
        timings("solve")
        if not all(
            np.isfinite(values).all()
            for values in (placement.wrists, placement.wrists_raw, pose.rotations[seen], pose.raw[seen], regressed.betas[seen])
        ):
            self.reset()  # its filters have taken it in
            raise InputError("the network's result for this image is not finite; check weights, hand model and intrinsics")
        return self._as_estimates(frame, seen, regressed, pose, placement, vertices if with_vertices else None)

    def _as_estimates(
        self,
        frame: Frame,
        seen: np.ndarray,
        regressed: Regression,
        pose: Pose,
        placement: Placement,
        vertices: np.ndarray | None,
    ) -> dict[int, HandEstimate]:
        """The estimates, by side, of the hands that are seen. seen: their sides; vertices: (2, V, 3) from the wrist."""
        wrists = placement.wrists
        pixels = frame.camera.project(placement.scales * pose.joints + wrists[:, None])
        if self.settings.mirrored:
            pixels = pixels * MIRROR[LEFT, :2] + (frame.camera.width - 1.0, 0.0)
        axis_angle = axis_angle_from_matrix(pose.rotations)
        estimates = {}
        for k, side in enumerate(seen):
            detection = frame.detections[side]
            assert detection is not None, "it is seen"
            near = within(0.02, regressed.joint_sigma[side])
            estimate = HandEstimate(
                side=int(side),
                valid=True,
                state=TRACKED,
                age=0.0,
                confidence=float(detection.score * near.mean()),
                joints=pose.joints[k] + wrists[k],
                joints_raw=pose.joints_raw[k] + placement.wrists_raw[k],
                joints_2d=pixels[k],
                joint_confidence=near * detection.confidence,
                wrist_rotation=pose.rotations[side, 0],
                global_orient=axis_angle[side, 0],
                hand_pose=axis_angle[side, 1:].reshape(45),
                betas=pose.betas[side],
                vertices=None if vertices is None else vertices[side] + wrists[k],
                scaled=frame.camera.calibrated,
                by_depth=None if frame.depth is None else bool(placement.by_depth[k]),
            )
            if placement.jumped[k]:  # depth says at last how far away it is
                frame.withheld[int(side)] = self._tracks[side].withheld(frame.stamp)
            self._tracks[side].seen(estimate, frame.stamp)
            estimates[int(side)] = estimate
        return estimates


def _smoothing(settings: TrackerSettings) -> float:
    """The rotation filter's memory."""
    return settings.smoothing if settings.temporal else 0.0


class _StageTimings:
    """Seconds by stage of one frame: `timings(stage)` counts the time since the last call to `stage`."""

    def __init__(self, **seconds: float) -> None:
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
