"""What a page shows that has a beginning and an end: hands.npz of `fourdhands track`, or a video that is tracked meanwhile."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..geometry.camera_source import CameraSource
from ..hand_model.assets import HandAsset
from ..hand_model.seen_through import SIZES, lie_mirrored, resized
from ..media.hands_file import is_fused, read_hands
from ..media.images import jpeg
from ..media.video import VideoReader
from ..pipeline.session import Counts, HandSession, Notes
from ..pipeline.settings import TrackerSettings
from ..pipeline.tracker import HandPairTracker
from ..pipeline.types import SOURCE_JOINT, SOURCE_NONE, TRACKED, HandEstimate, HandPairEstimate, absent
from ..streams import counted
from .moments import Course, Moment
from .sights import RobotSight, Sight
from .sought_frames import SoughtFrames

_OF_A_HAND = "joints", "joints_2d", "joint_confidence", "wrist_rotation", "hand_pose", "betas"
_NEEDED = "stamp", "valid", "scaled", "confidence", *_OF_A_HAND
"""Keys of hands.npz; one that has others more, or no others, is shown."""
ASSUMED_FOV = TrackerSettings.default_fov
"""Degrees, where nothing tells of the camera."""
_KEPT_WIDTH = 960
_OFF_CENTRE = 0.3
"""Share of an image's size by which twice a lens's principal point may differ from it."""


class Recording(ABC):
    """Hands over time, read when they are asked for; from one thread at a time.

    name: for people. course: of the main camera, a row an image; rows may be added or filled in by `advance`. warnings:
    sentences about what could not be read. about: sentences of what it is, such as an episode's task. overlaid: the images have
    the hands drawn in them. fused: hands are of several cameras, in a fixed frame. hands: models (left, right), of which the
    poses are where `model` is empty, which names another.
    span: nanoseconds on the course's time line between which the demonstration is, None for all.
    """

    name: str
    course: Course
    warnings: list[str]
    about: Sequence[str] = ()
    overlaid = fused = False
    hands: tuple[HandAsset, HandAsset]
    model = ""
    span: tuple[int, int] | None = None
    _next = 0

    @abstractmethod
    def moment(self, row: int) -> Moment:
        """The hands in an image."""

    @abstractmethod
    def image(self, row: int) -> np.ndarray | None:
        """The image (H, W, 3) uint8 RGB; None where there is none."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""

    def sights(self, row: int, shown: Mapping[str, bool]) -> list[Sight]:
        """What all cameras see at a row, the main one first; images and depth only where they are `shown`, by sights.PARTS."""
        image = self.image(row) if shown["Image"] else None
        return [Sight("camera", self.moment(row), image, self.overlaid, fused=self.fused, model=self.model)]

    def robots(self, row: int) -> list[RobotSight]:
        """Robots that follow a hand there."""
        return []

    def advance(self) -> bool:
        """Read a little more into `course`, the next row where all are there from the beginning; False where all was read."""
        if self._next < len(self.course):
            self.moment(self._next)
            self._next += 1
        return self._next < len(self.course)


class NpzRecording(Recording):
    """The results in a hands.npz, with the frames of its video where that is known.

    path: the file. video: that it was made of, or None: then overlay.mp4 beside it is shown, where there is one. camera: of
    the video; None: the pinhole camera by which its points in space and in the image fit best.

    Raises InputError where the file is not one of `fourdhands track`.
    """

    def __init__(
        self, path: Path, hands: tuple[HandAsset, HandAsset], video: str | None = None, cameras: CameraSource | None = None
    ) -> None:
        self.name, self.hands = str(path), hands
        self.warnings: list[str] = []
        self._arrays = read_hands(path, _NEEDED)
        nowhere = self._arrays["valid"].astype(bool) & ~np.isfinite(self._arrays["joints"]).all(axis=(2, 3))
        if count := int(nowhere.any(axis=1).sum()):  # lost, as a robot that follows takes it
            self._arrays["valid"] = self._arrays["valid"].astype(bool) & ~nowhere
            self.warnings.append(f"in {counted(count, 'images')} a valid hand has joints that are no numbers: it is ABSENT")
        self._frames: SoughtFrames | None = None
        self._missed = False
        overlay = path.with_name("overlay.mp4")
        self.overlaid, self.fused = video is None, is_fused(self._arrays)
        if self.fused and video is not None:
            raise InputError(
                f"{path} has hands of fused cameras, which lie on no video's images; give that of one camera, CAMERA/hands.npz"
            )
        if self.fused:
            self.warnings.append("hands of fused cameras, in their fixed frame: there are no images")
        elif video is not None:
            self._frames = SoughtFrames(video)
            try:
                self._check_video(self._frames)
            except InputError:
                self._frames.close()
                raise
        elif overlay.is_file():
            try:
                self._frames = SoughtFrames(str(overlay))
            except InputError as error:
                self.warnings.append(f"no images: {error}")
        else:
            self.warnings.append(f"no images: {overlay} is not there; give the video with --video")
        size = self._frames.size if self._frames is not None else None
        calibrated = bool(self._arrays["scaled"].all())
        if size is not None and cameras is not None:
            self._camera = cameras.camera_for(*size)
        else:
            self._camera = fitted_camera(self._arrays["joints"], self._arrays["joints_2d"], size, calibrated)
        self._mirrored = lie_mirrored(self._arrays["joints"], self._arrays["joints_2d"])
        self.course = Course(self._arrays["stamp"])
        for row in range(len(self.course)):
            self.course.fill(row, self.moment(row))

    def _check_video(self, frames: SoughtFrames) -> None:
        """Raise InputError where a video cannot be the one that this is a result of; say where it hardly is.

        A result has a row for each frame, with its stamp, and pixels of its size.
        """
        stamps, source = self._arrays["stamp"], frames.source
        refusal = f"{self.name} is no result of {source}: "
        if not frames.has(int(stamps[-1])):
            raise InputError(
                f"{refusal}that ends before the last of its {len(stamps)} stamps, {stamps[-1] / 1e9:.2f} s; give its own video"
            )
        half = len(stamps) // 2
        for stamp in stamps[half : half + 2].tolist():  # two, as a video of another rate may have one of them
            if not frames.has(stamp, 0.1):
                raise InputError(f"{refusal}that has no frame at {stamp / 1e9:.3f} s, as this has; give its own video")
        pixels = self._arrays["joints_2d"]
        if np.isfinite(pixels).any():
            fitted = fitted_camera(self._arrays["joints"], pixels, None, True)
            if (np.abs(np.array([fitted.width, fitted.height]) / frames.size - 1.0) > _OFF_CENTRE).any():
                size, own = "x".join(map(str, frames.size)), f"{fitted.width}x{fitted.height}"
                raise InputError(f"{refusal}its pixels are those of images of about {own}, not {size}; give its own video")
        if frames.count is not None and len(stamps) < frames.count - 2:
            self.warnings.append(
                f"{source} has {frames.count} frames and this {len(stamps)} rows: unless tracking was ended early, it is "
                "another video's result"
            )

    def moment(self, row: int) -> Moment:
        """See Recording."""
        return Moment(_pair(self._arrays, row, self._camera, self._mirrored))

    def image(self, row: int) -> np.ndarray | None:
        """See Recording. The overlay has a frame a row; another video's are found by their stamps."""
        if self._frames is None:
            return None
        frames, stamp = self._frames, int(self._arrays["stamp"][row])
        image = frames.by_number(row) if self.overlaid else frames.by_stamp(stamp)
        if image is None and not self._missed:
            self._missed = True
            self.warnings.append(f"{frames.source} has no image {row}: it is shorter, damaged or taken away")
        return image

    def advance(self) -> bool:
        """See Recording."""
        return False

    def close(self) -> None:
        """See Recording."""
        if self._frames is not None:
            self._frames.close()


class VideoRecording(Recording):
    """A video, tracked frame by frame as `advance` is called; frames are kept, as JPEG, in a temporary file.

    tracker: is closed with this. cameras: the lens. Raises InputError where the video cannot be read.
    """

    def __init__(self, video: str, tracker: HandPairTracker, cameras: CameraSource, hands: tuple[HandAsset, HandAsset]) -> None:
        self.name, self.hands = str(video), hands
        self.warnings: list[str] = []
        self.course = Course()
        self._moments: list[Moment] = []
        self._places: list[tuple[int, int]] = []
        self._tracker = tracker
        self._session = HandSession(tracker, cameras, Counts(), Notes(self.warnings.append))
        self._video = VideoReader(video)
        cameras.camera_for(self._video.width, self._video.height)  # raises what is wrong with it at once
        self._frames: Iterator[tuple[int, np.ndarray]] | None = iter(self._video)
        self._file = tempfile.TemporaryFile()
        self._cameras: tuple[Camera, Camera] | None = None

    def moment(self, row: int) -> Moment:
        """See Recording."""
        return self._moments[row]

    def image(self, row: int) -> np.ndarray | None:
        """See Recording."""
        start, length = self._places[row]
        self._file.seek(start)
        stored = np.frombuffer(self._file.read(length), np.uint8)
        image = cv2.imdecode(stored, cv2.IMREAD_COLOR)
        return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def advance(self) -> bool:
        """See Recording: the next frame."""
        if self._frames is None:
            return False
        try:
            frame = next(self._frames, None)
        except InputError as error:  # of its resolution, which changes
            frame = None
            self.warnings.append(str(error))
        if frame is None:
            self._frames = None
            results = self._session.finish()
            self._session.tell_unseen(self.name)
            if self._video.missing:
                self.warnings.append(f"{counted(self._video.missing, 'frames')} of {self.name} could not be read")
        else:
            stamp, image = frame
            results = self._session.process(lambda: (image, stamp, image))
        for pair, image in results:
            self._keep(pair, image)
        return self._frames is not None

    def close(self) -> None:
        """See Recording."""
        self._video.close()
        self._tracker.close()
        self._file.close()

    def _smaller(self, camera: Camera) -> Camera:
        """That of the images that are kept; the same one for the same camera."""
        if self._cameras is None or self._cameras[0] is not camera:
            self._cameras = camera, camera.resized(_KEPT_WIDTH, max(1, round(camera.height * _KEPT_WIDTH / camera.width)))
        return self._cameras[1]

    def _keep(self, pair: HandPairEstimate, image: np.ndarray) -> None:
        refused = sum(self._session.counts.refused.values())
        coded = jpeg(image, 85, _KEPT_WIDTH)
        if image.shape[1] > _KEPT_WIDTH:
            pair = _in_smaller_image(pair, self._smaller(pair.camera))
        moment = Moment(pair, {**pair.timings, "total": sum(pair.timings.values())}, rejected=refused)
        start = self._file.seek(0, 2)
        self._file.write(coded)
        self._places.append((start, len(coded)))
        self._moments.append(moment)
        self.course.add(moment)


def _in_smaller_image(pair: HandPairEstimate, camera: Camera) -> HandPairEstimate:
    """The hands with their pixels in an image of the same view that a smaller camera has."""
    scale = np.array([camera.width / pair.camera.width, camera.height / pair.camera.height])

    def one(hand: HandEstimate) -> HandEstimate:
        if hand.joints_2d is None:
            return hand
        return replace(hand, joints_2d=(np.asarray(hand.joints_2d) + 0.5) * scale - 0.5)

    return replace(pair, left=one(pair.left), right=one(pair.right), camera=camera)


def fitted_camera(joints: np.ndarray, pixels: np.ndarray, size: tuple[int, int] | None, calibrated: bool) -> Camera:
    """The pinhole camera by which hands (..., 21, 3) of one of SIZES fall nearest to pixels (..., 21, 2), by least squares.

    Of mirrored images it is the camera of the images as they are, see `lie_mirrored`.
    size: of its images, pixels; None: twice the principal point. Where there are too few points, one of ASSUMED_FOV.
    """
    hands = np.stack([resized(np.asarray(joints, np.float64), one) for one in SIZES]).reshape(len(SIZES), -1, 3)
    pixels = np.asarray(pixels, np.float64).reshape(-1, 2)
    good = np.isfinite(pixels).all(axis=1) & (np.isfinite(hands).all(axis=2) & (hands[..., 2] > 1e-3)).all(axis=0)
    width, height = size or (640, 480)
    if good.sum() < 42:
        return Camera.from_fov(width, height, ASSUMED_FOV, calibrated)
    matrix, least = np.eye(3), np.inf
    for points in hands[:, good]:
        fitted, off = np.eye(3), 0.0
        for axis in range(2):
            rays = np.stack([points[:, axis] / points[:, 2], np.ones(len(points))], axis=1)
            fitted[axis, [axis, 2]] = np.linalg.lstsq(rays, pixels[good, axis], rcond=None)[0]
            off += float(np.square(rays @ fitted[axis, [axis, 2]] - pixels[good, axis]).sum())
        if off < least:
            matrix, least = fitted, off
    matrix[0, 0] = abs(matrix[0, 0])
    if size is None:
        width, height = (max(16, round(2 * matrix[axis, 2] + 1)) for axis in range(2))
    try:
        return Camera(width, height, matrix, calibrated=calibrated)
    except InputError:  # all points on a line, or numbers that are no camera's
        return Camera.from_fov(width, height, ASSUMED_FOV, calibrated)


def fitted_to(pair: HandPairEstimate, size: tuple[int, int] | None) -> Camera | None:
    """The camera that a pair tells of where no calibration does, see `fitted_camera`; None where not both hands are seen."""
    joints = [hand.joints for hand in pair.hands if hand.valid and hand.joints is not None]
    pixels = [hand.joints_2d for hand in pair.hands if hand.valid and hand.joints_2d is not None]
    if len(joints) < 2 or len(pixels) < 2:
        return None
    return fitted_camera(np.stack(joints), np.stack(pixels), size, all(hand.scaled for hand in pair.hands))


def _pair(arrays: dict[str, np.ndarray], row: int, camera: Camera, mirrored: bool) -> HandPairEstimate:
    hands = []
    for side in range(2):
        if not arrays["valid"][row, side]:
            hands.append(absent(side))
            continue
        fields: dict[str, Any] = {name: np.asarray(arrays[name][row, side], np.float64) for name in _OF_A_HAND}
        if np.isnan(fields["joints_2d"]).all():  # several cameras see it at no one pixel
            fields["joints_2d"] = None
        sure, scaled = float(arrays["confidence"][row, side]), bool(arrays["scaled"][row])
        hands.append(HandEstimate(side, True, TRACKED, 0.0, sure, scaled=scaled, **fields))
    both = all(hand.valid for hand in hands)
    relative = hands[0].joints[0] - hands[1].joints[0] if both else None  # type: ignore[index]
    return HandPairEstimate(
        *(int(arrays["stamp"][row]), hands[0], hands[1], camera, relative, SOURCE_JOINT if both else SOURCE_NONE),
        mirrored=mirrored,
    )
