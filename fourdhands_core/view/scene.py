"""The 3-D scene of one camera: its image in its frustum, meshes, joints, wrists and where they have been."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import viser

from ..geometry.camera import Camera
from ..geometry.rigid import Rigid
from ..hand_model.assets import HandAsset
from ..hand_model.skeleton import BONES, SIDES, TIP_JOINTS
from ..media.draw import SIDE_COLOURS, draw_hands
from ..pipeline.types import ABSENT, HELD, HandEstimate, HandPairEstimate
from .cloud import Cloud
from .lens import Pinhole, same_camera
from .posing import HandPoser, wrist_rotation, wxyz
from .sights import PARTS, Sight

TRAIL = 2.0
"""Seconds of the past that a trail shows."""
_FARTHEST, _STEP = 0.8, 1.25
"""Metres at which the image stands at first, behind the hands; by so much further it goes where a hand is behind it."""
_TRAILED = 0, TIP_JOINTS[1]
_QUALITY = 75
_OPAQUE, _FAINT = 0.55, 0.25
"""Of meshes: joints within are seen with their colours."""
_KEPT = 500_000_000
"""Nanoseconds for which an image stays where none comes with newer hands."""
_DOUBTFUL, _SURE = np.array([230.0, 60.0, 40.0]), np.array([60.0, 220.0, 90.0])
"""RGB of a joint of confidence 0 and of one of confidence 1."""


class CameraScene:
    """What one camera sees, below one name of the scene tree.

    name: such as "/camera"; its frame is the camera's optical frame. hands: the models (left, right), for the meshes.
    colours: RGB (left, right). shown: by PARTS, what is drawn; to be changed from outside, then `draw` again; None for a
    dictionary of its own, in which all is shown.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        name: str,
        hands: Sequence[HandAsset],
        colours: Sequence[tuple[int, int, int]] = SIDE_COLOURS,
        shown: dict[str, bool] | None = None,
    ) -> None:
        self._scene, self.name = server.scene, name
        self.shown = dict.fromkeys(PARTS, True) if shown is None else shown
        self.pinhole: Pinhole | None = None
        self._plane = _FARTHEST
        self.frustum: viser.CameraFrustumHandle | None = None
        self._imaged: int | None = None
        self.cloud: Any = None
        self._clouded: Cloud | None = None
        self.pose = Rigid()
        self.root = self._scene.add_frame(name, show_axes=False)
        self.hands = [_HandNodes(server, f"{name}/{side}", HandPoser(hands[k]), colours[k]) for k, side in enumerate(SIDES)]

    def change_hands(self, hands: Sequence[HandAsset]) -> None:
        """Draw other models (left, right) from now on."""
        for nodes, hand in zip(self.hands, hands):
            nodes.change_hand(HandPoser(hand))

    def draw(self, sight: Sight) -> None:
        """Show a moment. Without an image the last one is kept for a while; a sight of no camera of its own has no frustum."""
        pair = sight.moment.pair
        self.root.visible = True
        for nodes, hand in zip(self.hands, pair.hands):
            nodes.draw(hand, pair.stamp, self.shown)
        self._draw_cloud(sight.cloud)
        if sight.fused:
            self.hide_image()
            return
        camera = pair.camera.mirrored() if pair.mirrored else pair.camera  # positions are those of the camera as it is
        deepest = [float(hand.joints[:, 2].max()) for hand in pair.hands if hand.joints is not None]
        while deepest and self._plane < min(max(deepest), 20.0) + 0.05:
            self._plane *= _STEP
            self.pinhole = None
        if self.pinhole is None or (self.pinhole.camera is not camera and not same_camera(self.pinhole.camera, camera)):
            self._set_camera(camera)
        self._draw_image(pair, sight.image, sight.overlaid)

    def place(self, pose: Rigid) -> None:
        """Show where the camera stands among others."""
        self.pose = pose
        self.root.position, self.root.wxyz = pose.position, wxyz(pose.rotation)

    def hide(self) -> None:
        """Show nothing of it until the next `draw`."""
        self.root.visible = False
        self.forget()

    def hide_image(self) -> None:
        """Without the image and its frustum, until one comes."""
        self.pinhole = None
        if self.frustum is not None:
            self.frustum.visible = False

    def forget(self) -> None:
        """What was before, after a jump in time: where the hands have been, and the image where none comes."""
        self._imaged = None
        for nodes in self.hands:
            nodes.trail.clear()

    def _set_camera(self, camera: Camera) -> None:
        self.pinhole = lens = Pinhole(camera)
        half_height = np.tan(0.5 * lens.fov)
        # viser gives a frustum of scale 1 the volume of a unit cube, whatever its shape
        scale = self._plane * np.cbrt(half_height**2 * lens.aspect / 3.0)
        if self.frustum is None:
            self.frustum = self._scene.add_camera_frustum(
                f"{self.name}/image",
                lens.fov,
                lens.aspect,
                scale=scale,
                thickness=0.003,
                color=(90, 90, 90),
                format="jpeg",
                jpeg_quality=_QUALITY,
                cast_shadow=False,
                receive_shadow=False,
            )
        else:
            self.frustum.fov, self.frustum.aspect, self.frustum.scale = lens.fov, lens.aspect, scale

    def _draw_cloud(self, cloud: Cloud | None) -> None:
        wanted = cloud is not None and len(cloud.points) > 0 and self.shown["Depth cloud"]
        if self.cloud is not None:
            self.cloud.visible = wanted
        if not wanted or cloud is None or cloud is self._clouded:
            return
        self._clouded = cloud
        if self.cloud is None:
            self.cloud = self._scene.add_point_cloud(
                f"{self.name}/depth", cloud.points, cloud.colours, point_size=0.004, point_shape="square", point_shading="flat"
            )
        self.cloud.points, self.cloud.colors = cloud.points, cloud.colours

    def _draw_image(self, pair: HandPairEstimate, image: np.ndarray | None, overlaid: bool) -> None:
        assert self.frustum is not None and self.pinhole is not None
        self.frustum.visible = self.shown["Image"]
        if not self.shown["Image"]:
            return
        if image is None:
            if self._imaged is None or abs(pair.stamp - self._imaged) > _KEPT:
                self.frustum.image = None
            return
        self._imaged = pair.stamp
        if self.shown["Skeleton on the image"] and not overlaid:
            image = image.copy()
            draw_hands(image, pair)
        if pair.mirrored:
            image = image[:, ::-1]
        self.frustum.image = self.pinhole.picture(np.ascontiguousarray(image))


class _HandNodes:
    """The nodes of one hand. A hand that is HELD is shown faint where it was seen last, an ABSENT one not at all."""

    def __init__(self, server: viser.ViserServer, name: str, poser: HandPoser, colour: tuple[int, int, int]) -> None:
        self._scene, self._name, self._poser, self._colour = server.scene, name, poser, colour
        self.mesh: Any = None
        self.trail: deque[tuple[int, np.ndarray]] = deque()
        nothing = np.zeros((1, 3), np.float32)
        self.joints = self._scene.add_point_cloud(
            f"{name}/joints", nothing, nothing.astype(np.uint8), point_size=0.006, point_shape="circle", precision="float32"
        )
        self.lines = self._scene.add_line_segments(
            f"{name}/bones", np.zeros((len(BONES), 2, 3), np.float32), colour, thickness=0.002
        )
        self.wrist = self._scene.add_frame(f"{name}/wrist", axes_length=0.06, axes_radius=0.002)
        self.past = self._scene.add_line_segments(f"{name}/trail", np.zeros((1, 2, 3), np.float32), colour, thickness=0.0015)
        for node in (self.joints, self.lines, self.wrist, self.past):
            node.visible = False

    def change_hand(self, poser: HandPoser) -> None:
        """Draw another model from now on."""
        self._poser = poser
        if self.mesh is not None:
            self.mesh.remove()
            self.mesh = None

    def draw(self, hand: HandEstimate, stamp: int, shown: dict[str, bool]) -> None:
        """Show the hand as it is at a stamp, nanoseconds."""
        points = hand.joints if hand.state != ABSENT else None
        here = points is not None
        self.joints.visible = self.lines.visible = here and shown["Joints"]
        rotation = wrist_rotation(hand) if here else None
        self.wrist.visible = rotation is not None and shown["Wrist frames"]
        if points is not None:
            sure = np.ones(21) if hand.joint_confidence is None else np.clip(hand.joint_confidence, 0.0, 1.0)
            self.joints.points = np.asarray(points, np.float32)
            self.joints.colors = (_DOUBTFUL + np.asarray(sure)[:, None] * (_SURE - _DOUBTFUL)).astype(np.uint8)
            self.lines.points = np.asarray(points, np.float32)[np.array(BONES)]
            self.wrist.position = points[0]
            if rotation is not None:
                self.wrist.wxyz = wxyz(rotation)
        self._draw_mesh(hand, here and shown["Meshes"])
        self._draw_trail(hand, stamp, shown["Trails"])

    def _draw_mesh(self, hand: HandEstimate, wanted: bool) -> None:
        """Vertices are sent, not bones, which leave out a model's corrections for each pose: millimetres of the human hand's
        (benchmarks/view_meshes.py). And viser 1.1's skinned meshes take the page down when it connects again."""
        vertices = self._poser.vertices(hand) if wanted else None
        if vertices is None or hand.joints is None:
            if self.mesh is not None:
                self.mesh.visible = False
            return
        if self.mesh is None:
            self.mesh = add_mesh(self._scene, f"{self._name}/mesh", vertices, self._poser.faces, self._colour, _OPAQUE)
        self.mesh.vertices = vertices
        self.mesh.position = hand.joints[0]
        self.mesh.opacity = _FAINT if hand.state == HELD else _OPAQUE
        self.mesh.visible = True

    def _draw_trail(self, hand: HandEstimate, stamp: int, wanted: bool) -> None:
        if self.trail and not 0 <= stamp - self.trail[-1][0] < TRAIL * 1e9:
            self.trail.clear()
        if hand.valid and hand.joints is not None and (not self.trail or stamp > self.trail[-1][0]):
            self.trail.append((stamp, np.asarray(hand.joints, np.float32)[list(_TRAILED)]))
        while self.trail and stamp - self.trail[0][0] > TRAIL * 1e9:
            self.trail.popleft()
        self.past.visible = wanted and len(self.trail) > 1
        if self.past.visible:
            places = np.stack([place for _, place in self.trail])  # (time, point, 3)
            self.past.points = np.stack([places[:-1], places[1:]], axis=2).reshape(-1, 2, 3)


def add_mesh(
    scene: viser.SceneApi,
    name: str,
    vertices: np.ndarray,
    faces: np.ndarray,
    colour: tuple[int, int, int],
    opacity: float | None,
) -> Any:
    """A mesh of one colour, without shadows."""
    return scene.add_mesh_simple(name, vertices, faces, color=colour, opacity=opacity, cast_shadow=False, receive_shadow=False)
