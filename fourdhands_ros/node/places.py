"""Where each camera of several stands in the fixed frame at an image's stamp: from a file, or from TF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.pipeline.types import HandPairEstimate

from ..convert.transforms import TransformError

if TYPE_CHECKING:
    from fourdhands_core.fusion.rig import Rig

    from .frames import Frames


class Unplaced(TransformError):
    """What a camera saw has no place in the fixed frame. reason: in few words, to be counted under."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason


class Places:
    """frame: the fixed one. rig: a file's poses; None where `frames` tell."""

    def __init__(self, frame: str, rig: Rig | None, frames: Frames | None) -> None:
        self.frame, self._rig, self._frames = frame, rig, frames
        self._named: dict[str, str] = {}  # by camera the frame that its images name

    def pose(self, camera: str, frame_id: str, estimate: HandPairEstimate) -> Rigid:
        """Of a camera at its estimate's stamp. frame_id: of its images. Raises Unplaced."""
        if not estimate.camera.calibrated:
            raise Unplaced("not calibrated", f"{camera} is not calibrated: its images place no hand in metres")
        if self._rig is not None:
            return self._rig.poses[camera.lstrip("/")]
        assert self._frames is not None, "there is no file"
        if not frame_id:
            raise Unplaced("no transform", f"the images of {camera} name no frame, so that TF cannot tell where it stands")
        self._named[camera] = frame_id.lstrip("/")
        if alike := [name for name, frame in self._named.items() if frame == self._named[camera] and name != camera]:
            problem = (
                f"the images of {camera} and {', '.join(alike)} name one frame, {frame_id}: give each driver its own frame_id"
            )
            raise Unplaced("no frame of its own", problem)
        try:
            return self._frames.lookup(self.frame, frame_id, estimate.stamp)
        except TransformError as error:
            raise Unplaced("no transform", f"where {camera} stands in {self.frame} is not known: {error}") from error


def check_named(rig: Rig, cameras: Sequence[str], path: object) -> None:
    """Raise InputError where a file's poses lack a camera."""
    missing = [name for name in cameras if name.lstrip("/") not in rig.poses]
    if missing:
        raise InputError(f"{path} does not say where {', '.join(missing)} stands; it names {', '.join(rig.poses)}")
