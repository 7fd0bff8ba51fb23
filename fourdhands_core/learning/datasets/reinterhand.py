"""Re:InterHand (Moon et al., NeurIPS 2023 datasets track): relighted interacting hands, third-person and egocentric.

Published at https://mks0601.github.io/ReInterHand. Source: facebookresearch/InterWild (data/ReInterHand: files, units,
joints, which egocentric frames are left out; tool/ReInterHand/render: MANO's pose counts from the mean pose, the left
shape directions are put right).

    ROOT/m--*/frame_list.txt                                        "segment frame" a line, 30 frames a second
    ROOT/m--*/Mugsy_cameras/cam_params.json, Mugsy_cameras/{envmap}/images/CAMERA/000000.png
    ROOT/m--*/Ego_cameras/{envmap}/truncation_ratio.json, cam_params/000000.json, images/000000.png
    ROOT/m--*/orig_fits/{left,right}/Keypoints/keypoint-000000.json  (24, 3) millimetres, world
    ROOT/m--*/mano_fits/params/0_{left,right}.json                   pose, shape, trans, metres, world

{envmap} is envmap_per_segment (a light for a whole segment: video) or envmap_per_frame (a light a frame). Not read are
the meshes, masks, frame_list_orig.txt and keypoints_orig (42 keypoints in an order that the toolkit does not state).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from ...hand_model.skeleton import FINGERS, LEFT, RIGHT, SIDES
from .files import read_json, understood
from .frames import DatasetFrame, HandDataset, hand_in_view, read_image, without_gaps
from .joint_orders import from_names
from .mano import ManoTruth

_TEST = (
    "m--20221215--0949--RNS217--pilot--ProjectGoliathScript--Hands--two-hands",
    "m--20221216--0953--NKC880--pilot--ProjectGoliathScript--Hands--two-hands",
    "m--20230317--1130--QZX685--pilot--ProjectGoliath--Hands--two-hands",
)
"""Captures that InterWild tests on."""
_ORDER = from_names(
    [
        "wrist",
        "thumb_0",
        *(f"{finger}_{i}" for finger in FINGERS[:4] for i in range(1, 5)),
        "little_0",
        *(f"little_{i}" for i in range(1, 5)),
        "forearm",
    ]
)
_MILLIMETRES = 1e-3
_LEAST_RATIO = 0.2
"""Of truncation_ratio.json; InterWild leaves frames with less out. The number's definition is not published."""


class ReInterHand(HandDataset):
    """Third-person video (30 frames a second, a light a segment), both hands in every frame.

    The joints are the tracker's own keypoints, which differ from MANO's joints by some millimetres. split "all" is what
    the paper of this package trains on; "train" and "test" are InterWild's.
    """

    name = "ReInterHand"
    splits = ("all", "train", "test")
    frame_rate = 30.0
    lights: ClassVar[str] = "envmap_per_segment"
    folder: ClassVar[str] = "Mugsy_cameras"

    def _open(self) -> None:
        self._mano = ManoTruth(self.hands, flat=False)
        self._cameras: dict[str, dict] = {}
        self._sizes: dict[tuple[str, str], tuple[int, int]] = {}
        captures = [path for path in sorted(self.root.glob("m--*")) if path.is_dir()]
        if self.split != "all":
            captures = [path for path in captures if (path.name in _TEST) == (self.split == "test")]
        if not captures:
            raise DatasetError(
                f"{self.name}: {self.root} has no capture m--* of split {self.split}; give the folder that holds them"
            )
        for capture in captures:
            for side in SIDES:
                self.need(f"{capture.name}/orig_fits/{side}/Keypoints", "the keypoints")
            self.need(f"{capture.name}/mano_fits/params", "the MANO fits")
            self._take_capture(capture.name)

    def _take_capture(self, capture):
        self._cameras[capture] = read_json(self.need(f"{capture}/Mugsy_cameras/cam_params.json", "the cameras"))
        self.need(f"{capture}/{self.folder}/{self.lights}/images", "the images")
        for segment, frames in self._segments(capture).items():
            for camera in self._cameras[capture]:
                self._add(f"{capture}/{camera}/{segment}", [(capture, camera, frame) for frame in frames])

    def _segments(self, capture) -> dict[str, list[int]]:
        """DatasetFrame numbers in order by the segment's name."""
        path = self.need(f"{capture}/frame_list.txt", "segments and frames")
        segments: dict[str, list[int]] = {}
        with understood(f"{path} must have a segment and a frame number a line"):
            for segment, frame in (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()):
                segments.setdefault(segment, []).append(int(frame))
        return {segment: sorted(frames) for segment, frames in segments.items()}

    def _add(self, sequence, frames):
        if frames:
            self._sequences[sequence] = list(range(len(self._frames), len(self._frames) + len(frames)))
            self._frames += frames

    def _lens(self, capture, camera, frame):
        """(parameters by the published names, the image's path)."""
        image = self.root / capture / self.folder / self.lights / "images" / camera / f"{frame:06d}.png"
        return self._cameras[capture][camera], image

    def __getitem__(self, index: int) -> DatasetFrame:
        capture, name, number = self._frames[index]
        lens, path = self._lens(capture, name, number)
        with understood(f"{self.name}: camera {name} of {capture} has no usable R, t, focal, princpt"):
            rotation, offset = np.array(lens["R"], np.float64).reshape(3, 3), np.array(lens["t"], np.float64).reshape(3)
            (fx, fy), (cx, cy) = np.ravel(lens["focal"]), np.ravel(lens["princpt"])
            distortion = np.ravel(lens.get("D", ()))
        if (capture, name) not in self._sizes:  # no annotation tells it; it is one within a camera
            height, width = read_image(path).shape[:2]
            self._sizes[capture, name] = width, height
        width, height = self._sizes[capture, name]
        camera = Camera(
            width, height, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), "equidistant" if len(distortion) else "", distortion
        )
        extrinsics = rotation, offset * _MILLIMETRES
        hands = tuple(self._hand(capture, number, side, camera, extrinsics) for side in (LEFT, RIGHT))
        return DatasetFrame(str(path.relative_to(self.root)), hands, camera, lambda: read_image(path))

    def _hand(self, capture, number, side, camera, extrinsics):
        folder = self.root / capture
        fit = read_json(folder / "mano_fits" / "params" / f"{number}_{SIDES[side]}.json")
        keypoints = folder / "orig_fits" / SIDES[side] / "Keypoints" / f"keypoint-{number:06d}.json"
        with understood(f"{keypoints} or the MANO fit of that frame is not Re:InterHand's"):
            world = np.array(read_json(keypoints), np.float64).reshape(24, 3)[_ORDER] * _MILLIMETRES
            fields = self._mano.fields(side, fit["pose"], fit["shape"], fit["trans"], extrinsics)
        fields["joints"] = world @ extrinsics[0].T + extrinsics[1]
        return hand_in_view(camera, fields)


class ReInterHandFrames(ReInterHand):
    """Third-person single images (rendered at 5 frames a second), a light of its own for each."""

    name = "ReInterHand-frames"
    frame_rate = 5.0
    lights = "envmap_per_frame"

    def _take_capture(self, capture):
        self._cameras[capture] = read_json(self.need(f"{capture}/Mugsy_cameras/cam_params.json", "the cameras"))
        images = self.need(f"{capture}/{self.folder}/{self.lights}/images", "the images")
        for camera in self._cameras[capture]:
            frames = sorted(int(path.stem) for path in (images / camera).glob("*.png"))
            self._add(f"{capture}/{camera}", [(capture, camera, frame) for frame in frames])


class ReInterHandEgo(ReInterHand):
    """Egocentric video through fisheye lenses (30 frames a second, a light a segment); a hand may be out of view."""

    name = "ReInterHand-ego"
    folder = "Ego_cameras"

    def _take_capture(self, capture):
        base = f"{capture}/Ego_cameras/{self.lights}"
        ratio = read_json(self.need(f"{base}/truncation_ratio.json", "how much of the hands is in view"))
        self.need(f"{base}/cam_params", "a camera a frame")
        self.need(f"{base}/images", "the images")
        for segment, frames in self._segments(capture).items():
            kept = [frame for frame in frames if ratio.get(f"{frame:06d}", 0.0) >= _LEAST_RATIO]
            for name, run in without_gaps(f"{capture}/ego/{segment}", kept):
                self._add(name, [(capture, "ego", kept[k]) for k in run])

    def _lens(self, capture, camera, frame):
        base = self.root / capture / "Ego_cameras" / self.lights
        return read_json(base / "cam_params" / f"{frame:06d}.json"), base / "images" / f"{frame:06d}.png"


class ReInterHandEgoFrames(ReInterHandEgo):
    """Egocentric images, a light of its own for each."""

    name = "ReInterHand-ego-frames"
    lights = "envmap_per_frame"
