"""An episode of an exported dataset as a Recording: its rows, with the pictures of its video."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..episodes.columns import picture_column
from ..episodes.exported import EpisodeOf, ExportedDataset
from ..episodes.rows import pair_of_row
from ..errors import InputError
from ..extras import needed_for
from ..files import from_root
from ..geometry.camera import Camera
from ..geometry.rigid import Rigid
from ..hand_model.assets import HandAsset
from ..hand_model.seen_through import SIZES, resized
from ..pipeline.types import HandPairEstimate
from .lens import SeenThrough
from .moments import Course, Moment
from .posing import moved
from .recordings import ASSUMED_FOV, Recording

_AROUND = 8
"""Rows that are read on to one rather than sought."""
_FEWEST = 8
"""Points by which a camera is placed."""
_LOOKED_AT = 12
"""Rows that tell how hands are seen in the images."""


class DatasetRecording(Recording):
    """One episode. camera: whose pictures are shown, by the name of its column or the end of it; None for the hands' own.

    Raises DatasetError where its rows cannot be read, InputError where the camera is not there. A video that is missing or
    damaged is among the warnings, and the hands are shown without it.
    """

    def __init__(
        self, dataset: ExportedDataset, number: int, hands: tuple[HandAsset, HandAsset], camera: str | None = None
    ) -> None:
        self._dataset, self._episode = dataset, dataset.episodes[number]
        self._facts: dict[str, Any] = self._episode.facts.get("facts") or {}
        self.name, self.hands = f"{dataset.path}, episode {number} of {len(dataset.episodes)}", hands
        self.warnings: list[str] = []
        self._table = dataset.columns(number)
        self._pictures = self._open_pictures(camera)
        length, fps = self._episode.length, dataset.fps
        if "stamp.row" in self._table:
            stamps = np.asarray(self._table["stamp.row"], np.int64).reshape(-1)
        else:
            stamps = np.round(np.arange(length) / fps * 1e9).astype(np.int64)
        self.course = Course(stamps)
        self._size = None if self._facts.get("other_pictures") else next(iter(dataset.sizes.values()), None)
        self._camera, self._intrinsics = Camera.from_fov(*(self._size or (640, 480)), ASSUMED_FOV), np.zeros(4)
        self._seen, self._mirrored, self._seen_size = SeenThrough(), False, SIZES[0]
        if self._dataset.moved:
            self._mirrored, self._seen_size = self._how_seen()
        self.about, self.model = self._said(self._episode), str(self._facts.get("hand_model") or "")

    def moment(self, row: int) -> Moment:
        """See Recording."""
        camera = self._camera_at(row)
        pair = pair_of_row(self._table, row, int(self.course.stamp[row]), camera)
        notes: tuple[str, ...] = ()
        seen = [hand for hand in pair.hands if hand.valid]
        if self._dataset.moved or any(hand.joints_2d is None for hand in seen):  # those of fused cameras are in a fixed frame
            if (placed := camera_pose(pair, self._mirrored, self._seen_size)) is not None:
                pair = replace(moved(pair, placed[0].inverse()), mirrored=self._mirrored)
            elif seen:
                notes = ("The camera cannot be placed by this row's points: hands are in the dataset's frame.",)
        else:
            pair = self._seen.pair(pair, camera)
        if "stamp.pictures" in self._table and self._pictures is not None and self._column is not None:
            late = abs(int(np.ravel(self._table["stamp.pictures"][row])[self._column]) - pair.stamp) / 1e9
            notes += (f"The picture is {1e3 * late:.0f} ms off the row.",) if late > 1.0 / self._dataset.fps else ()
        moment = Moment(pair, notes=notes)
        self.course.fill(row, moment)
        return moment

    def image(self, row: int) -> np.ndarray | None:
        """See Recording."""
        if self._pictures is None:
            return None
        try:
            return self._pictures.at(row)
        except InputError as error:
            if str(error) not in self.warnings:
                self.warnings.append(str(error))
            return None

    def close(self) -> None:
        """See Recording."""
        if self._pictures is not None:
            self._pictures.close()

    def _open_pictures(self, wanted: str | None) -> EpisodePictures | None:
        videos = self._episode.videos
        names = [name for name in videos if wanted in (None, name, name.rpartition(".")[2])]
        if wanted is not None and not names:
            there = ", ".join(name.rpartition(".")[2] for name in videos) or "none"
            raise InputError(f"{self._dataset.path} has no pictures {wanted}; cameras are: {there}")
        if not names:
            self.warnings.append("no images: the dataset was exported without")
            return None
        if self._facts.get("other_pictures") and wanted is None:
            there = ", ".join(name.rpartition(".")[2] for name in videos)
            self.warnings.append(f"no images: those of {there} are of other cameras than the hands', choose them with --image")
            return None
        if others := [name.rpartition(".")[2] for name in videos if name != names[0]]:
            self.warnings.append(f"pictures of {', '.join(others)} are not shown; choose them with --image")
        self._column = picture_column(self._dataset.features, names[0])
        try:
            return EpisodePictures(*videos[names[0]], self._dataset.fps)
        except InputError as error:
            self.warnings.append(f"no images: {error}")
            return None

    def _camera_at(self, row: int) -> Camera:
        """By the row's intrinsics; of an assumed field of view where they are not known."""
        if (column := self._table.get("camera.intrinsics")) is None:
            return self._camera
        values = np.asarray(column[row], np.float64).reshape(-1)
        if not np.array_equal(values, self._intrinsics) and len(values) == 4:
            self._intrinsics = values
            fx, fy, cx, cy = values
            width, height = self._size or (max(16, round(2 * cx + 1)), max(16, round(2 * cy + 1)))
            try:
                matrix = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
                self._camera = Camera(width, height, matrix, calibrated=True)
            except InputError:
                self._camera = Camera.from_fov(width, height, ASSUMED_FOV)
        return self._camera

    def _how_seen(self) -> tuple[bool, float]:
        """Whether hands in a frame that is not the camera's lie at their pixels as in mirrored images, and how large they are
        there, of SIZES: of a flat hand one row cannot tell, which is then as likely seen from behind."""
        off = np.zeros((2, len(SIZES)))
        for row in np.unique(np.linspace(0, self._episode.length - 1, _LOOKED_AT).astype(int)).tolist():
            pair = pair_of_row(self._table, row, int(self.course.stamp[row]), self._camera_at(row))
            found = [camera_pose(pair, mirrored, size) for mirrored in (False, True) for size in SIZES]
            off += np.reshape([one[1] for one in found if one], off.shape) if all(found) else 0.0
        mirrored = bool(off[1].min() < 0.5 * off[0].min())
        return mirrored, SIZES[int(off[int(mirrored)].argmin())]

    def _said(self, episode: EpisodeOf) -> list[str]:
        facts: dict[str, Any] = episode.facts
        lines = [f"Task: {episode.task}."] if episode.task else []
        if facts.get("outcome"):
            lines.append(f"Outcome: {facts['outcome']}.")
        if facts.get("bag"):
            lines.append(f"Of the bag {facts['bag']}.")
        if self._dataset.moved:
            lines.append(f"Positions are in {facts.get('frame') or 'a fixed frame'}; they are shown in the camera's.")
        return lines


class EpisodePictures:
    """Pictures of an episode's rows in whatever order. path: the video. begin: second at which the episode begins in it.

    Raises InputError where the file is missing or no video.
    """

    def __init__(self, path: Path, begin: float, fps: float) -> None:
        with needed_for("pictures of a dataset", "dataset"):
            import av
        self._errors: tuple[type[Exception], ...] = (OSError, av.FFmpegError)
        self._path, self._begin, self._fps = path, begin, fps
        if not path.is_file():
            raise InputError(f"the video {path} is not there; export the dataset again, or copy it whole")
        try:
            self._container: Any = av.open(from_root(path))
            self._stream: Any = self._container.streams.video[0]
        except (*self._errors, IndexError) as error:
            raise InputError(f"the video {path} cannot be read ({error}); export the dataset again") from error
        self._frames: Any = None
        self._row, self._image = -1, None  # type: tuple[int, np.ndarray | None]

    def at(self, row: int) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB; None beyond the video's end. Raises InputError where it is damaged."""
        if row == self._row:
            return self._image
        try:
            if self._frames is None or not self._row < row <= self._row + _AROUND:
                self._seek(row)
            for frame in self._frames:
                at = round((float(frame.time or 0.0) - self._begin) * self._fps)
                if at >= row:
                    self._row, self._image = at, frame.to_ndarray(format="rgb24")
                    return self._image if at == row else None
        except self._errors as error:
            self._frames, self._row = None, -1
            raise InputError(f"the video {self._path} is damaged ({error}); export the dataset again") from error
        self._frames, self._row = None, -1
        return None

    def close(self) -> None:
        """Release the file."""
        self._container.close()

    def _seek(self, row: int) -> None:
        seconds = max(0.0, self._begin + (row - 0.5) / self._fps)
        self._container.seek(int(seconds / self._stream.time_base), stream=self._stream)
        self._frames, self._row = self._container.decode(self._stream), -1


def camera_pose(pair: HandPairEstimate, mirrored: bool = False, size: float = 1.0) -> tuple[Rigid, float] | None:
    """Where a camera stands in the frame of the hands, by which pixels their joints are seen at, and by how many the joints are
    beside them; None where that is not known. mirrored: the images are, and the camera is as it would be unmirrored. size: how
    large the hands are seen beside their joints.

    By SQPnP and its refinement as OpenCV has them; without the lens's distortion.
    """
    points, pixels = [], []
    for hand in pair.hands:
        if hand.valid and hand.joints is not None and hand.joints_2d is not None and np.abs(hand.joints_2d).max() > 0:
            points.append(resized(hand.joints, size))
            pixels.append(hand.joints_2d)
    if not points:
        return None
    given, seen = np.concatenate(points), np.concatenate(pixels)
    good = np.isfinite(given).all(axis=1) & np.isfinite(seen).all(axis=1)
    if good.sum() < _FEWEST:
        return None
    camera = pair.camera.mirrored() if mirrored else pair.camera
    if mirrored:
        seen = np.array([camera.width - 1.0, 0.0]) + seen * (-1.0, 1.0)
    known = given[good], seen[good], camera.matrix, np.zeros(4)
    try:
        done, turn, place = cv2.solvePnP(*known, flags=cv2.SOLVEPNP_SQPNP)
        if not done:
            return None
        turn, place = cv2.solvePnPRefineLM(*known, turn, place)
    except cv2.error:
        return None
    found = Rigid(cv2.Rodrigues(turn)[0], place.ravel()).inverse()
    there = cv2.projectPoints(known[0], turn, place, *known[2:])[0].reshape(-1, 2)
    off = float(np.median(np.linalg.norm(there - known[1], axis=1)))
    return (found, off) if np.isfinite([*found.rotation.ravel(), *found.position, off]).all() else None
