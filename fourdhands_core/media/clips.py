"""Clips of two rendered hands whose truth is known: rendering, writing, reading, and the demo's clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml

from ..errors import InputError
from ..geometry.calibration_file import read_views
from ..geometry.camera import Camera
from ..geometry.rotations import matrix_from_axis_angle
from ..hand_model.assets import HandAsset, load_human_hand
from ..hand_model.skeleton import LEFT, RIGHT
from ..outputs import write_text, writing
from .choreography import ClipMotion, demo_motion, pose_hands
from .render import Light, render_meshes
from .scenery import Sensor, background
from .skin import Forearm, skin_texture
from .video import VideoReader, VideoWriter

Progress: TypeAlias = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps what is gone through, for a progress bar."""


def clip_truth(motion: ClipMotion, camera: Camera, joints: np.ndarray) -> dict[str, np.ndarray]:
    """What is true in every frame, under the keys, shapes and units of hands.npz (NaN where valid is False).

    joints: (T, 2, 21, 3) of pose_hands. A hand is valid where it is present and at least half of its joints lie in
    the image, even when the other hand hides it. joint_in_image (T, 2, 21) bool; confidence and joint_confidence are 1.
    """
    count = len(motion.stamp)
    points = camera.project(joints)
    with np.errstate(invalid="ignore"):
        inside = ((points >= -0.5) & (points < np.array([camera.width, camera.height]) - 0.5)).all(axis=-1)
    inside &= motion.present[..., None]
    valid = inside.sum(axis=-1) >= 11
    arrays = {
        "confidence": np.ones((count, 2)),
        "joints": joints,
        "joints_2d": points,
        "joint_confidence": np.ones((count, 2, 21)),
        "wrist_rotation": matrix_from_axis_angle(motion.global_orient),
        "hand_pose": motion.hand_pose,
        "betas": np.broadcast_to(motion.betas, (count, 2, 10)),
    }
    truth = {"stamp": motion.stamp, "valid": valid, "joint_in_image": inside}
    for name, values in arrays.items():
        truth[name] = np.where(valid.reshape(count, 2, *[1] * (values.ndim - 2)), values, np.nan)
    truth["left_root_relative"] = truth["joints"][:, LEFT, 0] - truth["joints"][:, RIGHT, 0]
    return truth


class HandScene:
    """How rendered hands look: background, skin, sleeves, light and sensor, all drawn from a seed.

    camera: its size is the pictures' size. kind: a background of scenery.BACKGROUNDS, drawn by default. tone: of the
    skin, 0-1 (see skin_texture), drawn by default. forearms: continue the wrists. sensor: False for clean pictures.
    asset: as in pose_hands.
    """

    def __init__(
        self,
        camera: Camera,
        seed: int = 0,
        kind: str | None = None,
        tone: float | None = None,
        forearms: bool = True,
        sensor: bool = True,
        asset: HandAsset | None = None,
    ):
        rng = np.random.default_rng(seed)
        self.asset, self.camera = asset or load_human_hand(), camera
        self.background = background(rng, camera.width, camera.height, kind)
        self.texels, self.faces = skin_texture(rng, self.asset, tone), self.asset.faces
        self.light = Light(
            direction=(rng.uniform(-0.8, 0.8), rng.uniform(-1.0, -0.3), -1.0),
            ambient=rng.uniform(0.15, 0.4),
            specular=rng.uniform(0.03, 0.15),
        )
        self.forearm = Forearm(self.asset.faces) if forearms else None
        self._sleeve = rng.random() < 0.6
        cloth = np.clip(rng.uniform(0.05, 0.8) * (1.0 + 0.3 * rng.uniform(-1, 1, 3)), 0.0, 1.0)
        if self.forearm is not None:
            self.faces = self.forearm.faces
            self.texels = self.forearm.paint(self.texels, cloth if self._sleeve else None)
        self._sensor = None
        if sensor:
            gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
            self._sensor = Sensor(rng, camera.width, camera.height, noise=rng.uniform(1.0, 4.0), jpeg=None, gain=gain)

    def render(self, vertices: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Picture (H, W, 3) uint8 RGB before the sensor, and depth (H, W) metres, of hands (each (V, 3) camera frame)."""
        if self.forearm is not None:
            vertices = [self.forearm.extend(points, self._sleeve) for points in vertices]
        meshes = [(points, self.faces, self.texels) for points in vertices]
        return render_meshes(self.background, meshes, self.camera, self.light)

    def sense(self, picture: np.ndarray) -> np.ndarray:
        """The picture as the camera's sensor gives it."""
        return picture if self._sensor is None else self._sensor(picture)


def render_frames(
    motion: ClipMotion, scene: HandScene, vertices: np.ndarray, shutter: float = 0.0, samples: int = 4
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures (H, W, 3) uint8 RGB and depths (H, W) metres, frame by frame.

    vertices: (T, 2, V, 3) of pose_hands. shutter: share of the time between frames for which the shutter is open,
    centred on the stamp; the pictures of `samples` moments are then averaged into motion blur.
    """
    count = len(motion.stamp)
    for i in range(count):
        hands = [side for side in (LEFT, RIGHT) if motion.present[i, side]]
        picture, depth = scene.render([vertices[i, side] for side in hands])
        if shutter > 0.0 and 0 < i < count - 1:
            total = np.zeros(picture.shape, np.float32)
            for offset in (np.arange(samples) + 0.5) / samples * shutter - shutter / 2.0:
                other = vertices[i + 1 if offset > 0 else i - 1]
                moved = [(1 - abs(offset)) * vertices[i, side] + abs(offset) * other[side] for side in hands]
                total += scene.render(moved)[0]
            picture = (total / samples + 0.5).astype(np.uint8)
        yield scene.sense(picture), depth


def rendered(
    motion: ClipMotion, camera: Camera, seed: int, asset: HandAsset | None = None
) -> tuple[Iterator[tuple[np.ndarray, np.ndarray]], np.ndarray, dict[str, np.ndarray]]:
    """Pictures and depths of a motion before a scene drawn from a seed, its joints (T, 2, 21, 3), and `clip_truth`."""
    scene = HandScene(camera, seed=seed, asset=asset)
    vertices, joints = pose_hands(motion, scene.asset)
    return render_frames(motion, scene, vertices), joints, clip_truth(motion, camera, joints)


@dataclass(frozen=True)
class RenderedClip:
    """A rendered clip on disk: video.mp4, truth.npz and camera.yaml in one folder.

    camera: the camera it was rendered with. truth: the arrays of clip_truth. fps: frames per second.
    """

    folder: Path
    camera: Camera
    truth: dict[str, np.ndarray]
    fps: float

    @property
    def video(self) -> Path:
        """Path of the mp4 file."""
        return self.folder / "video.mp4"

    @property
    def intrinsics(self) -> Path:
        """Path of the camera_info YAML."""
        return self.folder / "camera.yaml"

    def frames(self) -> Iterator[tuple[int, np.ndarray]]:
        """(stamp in nanoseconds as in truth, image (H, W, 3) uint8 RGB) of every frame."""
        with VideoReader(self.video) as reader:
            for stamp, (_, image) in zip(self.truth["stamp"].tolist(), reader):
                yield stamp, image

    @classmethod
    def write(
        cls,
        folder: str | Path,
        motion: ClipMotion,
        scene: HandScene,
        shutter: float = 0.0,
        keep_vertices: bool = False,
        progress: Progress = lambda frames: frames,
    ) -> RenderedClip:
        """Render a motion into a folder and return the clip.

        keep_vertices: also store `vertices` (T, 2, V, 3) float32 in the truth. progress: wraps the iterator of frames,
        for a progress bar.
        """
        folder = Path(folder)
        vertices, joints = pose_hands(motion, scene.asset)
        truth = clip_truth(motion, scene.camera, joints)
        if keep_vertices:
            truth["vertices"] = np.where(truth["valid"][..., None, None], vertices, np.nan).astype(np.float32)
        fps = 1e9 / float(np.diff(motion.stamp).mean()) if len(motion.stamp) > 1 else 30.0
        with VideoWriter(folder / "video.mp4", fps) as writer:
            for image, _ in progress(render_frames(motion, scene, vertices, shutter)):
                writer.write(image)
        with writing(folder / "truth.npz") as partial, partial.open("wb") as file:
            np.savez_compressed(file, **truth)
        write_text(folder / "camera.yaml", camera_yaml(scene.camera))
        return cls(folder, scene.camera, truth, fps)

    @classmethod
    def read(cls, folder: str | Path) -> RenderedClip:
        """Open a folder that `write` made. Raises InputError where a file is missing or unreadable."""
        folder = Path(folder)
        for name in ("video.mp4", "truth.npz", "camera.yaml"):
            if not (folder / name).is_file():
                raise InputError(f"{folder} is not a rendered clip: {name} is missing; render it again")
        try:
            with np.load(folder / "truth.npz", allow_pickle=False) as file:
                truth = dict(file)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{folder / 'truth.npz'} cannot be read ({error}); render the clip again") from error
        with VideoReader(folder / "video.mp4") as reader:
            fps = reader.fps
        return cls(folder, read_views(folder / "camera.yaml")[0].camera, truth, fps)


def camera_yaml(camera: Camera) -> str:
    """A camera_info YAML, as ROS's camera_calibration writes it, that read_views reads back."""

    def numbers(rows, cols, values):
        return {"rows": rows, "cols": cols, "data": [float(v) for v in np.ravel(values)]}

    matrix = camera.matrix
    return yaml.safe_dump(
        {
            "image_width": camera.width,
            "image_height": camera.height,
            "camera_name": "rendered",
            "camera_matrix": numbers(3, 3, matrix),
            "distortion_model": camera.distortion_model,
            "distortion_coefficients": numbers(1, len(camera.distortion), camera.distortion),
            "rectification_matrix": numbers(3, 3, np.eye(3)),
            "projection_matrix": numbers(3, 4, np.column_stack([matrix, np.zeros(3)])),
        },
        sort_keys=False,
        default_flow_style=None,
    )


def demo_clip(
    folder: str | Path,
    seconds: float = 12.0,
    size: tuple[int, int] = (640, 480),
    fps: float = 30.0,
    seed: int = 0,
    progress: Progress = lambda frames: frames,
) -> RenderedClip:
    """Render the demo's clip into a folder: two hands apart, crossing, one leaving and returning, touching.

    size: (width, height), pixels. The same arguments give the same pictures. progress: as in RenderedClip.write.
    """
    camera = Camera.from_fov(*size, 64.0, calibrated=True)
    motion = demo_motion(seconds, fps, seed)
    return RenderedClip.write(folder, motion, HandScene(camera, seed, "indoor", tone=0.3), progress=progress)
