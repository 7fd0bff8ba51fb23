"""Draws MuJoCo's models without OpenGL: their shapes as triangles, through this package's rasteriser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..geometry.camera import Camera
from ..hand_model.skeleton import BONES, SIDES
from .draw import FINGER_COLOURS
from .render import Light, render_meshes

Mesh = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Vertices (V, 3) metres, faces (F, 3), colours (V, 3) RGB 0-1, as render_meshes takes them."""
_GROUND = (226, 230, 235)
_STICK, _STICK_COLOUR = 0.004, np.array([0.45, 0.5, 0.6])
"""Metres, and RGB, of what stands for links without shapes."""


class View:
    """A camera that looks at a point from a place, in the scene's frame; z is up in the picture where `up` is left out.

    camera: its lens. eye, at: (3,) metres. up: (3,) what is up in the picture.
    """

    def __init__(
        self, camera: Camera, eye: Sequence[float], at: Sequence[float], up: Sequence[float] = (0.0, 0.0, 1.0)
    ) -> None:
        self.camera, self.eye = camera, np.asarray(eye, np.float64)
        forward = np.asarray(at, np.float64) - self.eye
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, np.asarray(up, np.float64))
        right = right / np.linalg.norm(right)
        self.rotation = np.stack([right, np.cross(forward, right), forward])

    def transform(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the scene in the camera's optical frame."""
        return (points - self.eye) @ self.rotation.T

    def draw(self, meshes: Sequence[Mesh], ground: np.ndarray | None = None) -> np.ndarray:
        """Picture (H, W, 3) uint8 RGB of meshes in the scene's frame, over `ground` or a plain one."""
        if ground is None:
            ground = np.full((self.camera.height, self.camera.width, 3), _GROUND, np.uint8)
        seen = [(self.transform(vertices), faces, colours) for vertices, faces, colours in meshes]
        return render_meshes(ground, seen, self.camera, Light(ambient=0.35, specular=0.12))[0]


def edges(box: np.ndarray) -> np.ndarray:
    """(24, 3) both ends of each edge of a box, given two opposite corners (2, 3)."""
    corners = np.array([[box[k >> axis & 1, axis] for axis in range(3)] for k in range(8)])
    return corners[[k for a in range(8) for b in range(a + 1, 8) if (a ^ b) in (1, 2, 4) for k in (a, b)]]


class ModelMeshes:
    """The visible shapes of a model as meshes, wherever its joints are.

    model: a mujoco.MjModel. skip: names of shapes that are not drawn. sticks: draw a stick from each link without a shape, such
    as one whose file is missing, to the next. Planes and height fields are not drawn. parts: of each shape its number in the
    model, vertices and faces in its own frame, colours.
    """

    def __init__(self, model: Any, skip: Sequence[str] = (), sticks: bool = False) -> None:
        self.parts: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]] = []
        for geom in range(model.ngeom):
            rgba = model.geom_rgba[geom]
            if model.geom_matid[geom] >= 0:
                rgba = model.mat_rgba[model.geom_matid[geom]]
            if rgba[3] < 0.1 or model.geom(geom).name in skip or not (shape := _shape(model, geom)):
                continue
            vertices, faces = shape
            self.parts.append((geom, vertices, faces, np.tile(rgba[:3], (len(vertices), 1))))
        shaped = {0, *(int(model.geom_bodyid[geom]) for geom, *_ in self.parts)}
        links = range(1, model.nbody) if sticks else ()
        self._sticks = [(int(model.body_parentid[i]), i) for i in links if int(model.body_parentid[i]) not in shaped]

    def meshes(self, data: Any) -> list[Mesh]:
        """All of them at the places of a mujoco.MjData whose kinematics are up to date."""
        shapes = [
            (vertices @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom], faces, colours)
            for geom, vertices, faces, colours in self.parts
        ]
        ends = [(data.xpos[one], data.xpos[other]) for one, other in self._sticks]
        return shapes + [stick(*pair, _STICK, _STICK_COLOUR) for pair in ends if np.linalg.norm(pair[1] - pair[0]) > 1e-6]


def _shape(model: Any, geom: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Vertices and faces of a shape in its own frame; None for kinds that are not drawn."""
    kind, size = int(model.geom_type[geom]), model.geom_size[geom]
    if kind in (2, 4):
        vertices, faces = sphere(1.0)
        return vertices * (size if kind == 4 else size[0]), faces
    if kind in (3, 5):
        return capsule(size[0], size[1]) if kind == 3 else cylinder(size[0], size[1])
    if kind == 6:
        return box(size)
    if kind == 7:
        mesh = int(model.geom_dataid[geom])
        first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        start, faces_count = model.mesh_faceadr[mesh], model.mesh_facenum[mesh]
        vertices = np.asarray(model.mesh_vert[first : first + count], np.float64)
        return vertices, np.asarray(model.mesh_face[start : start + faces_count])
    return None


def capsule(radius: float, half: float, around: int = 14, rings: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A capsule along z, from -half to half between the middles of its ends."""
    angles = np.concatenate([np.linspace(-np.pi / 2, 0.0, rings + 1), np.linspace(0.0, np.pi / 2, rings + 1)])
    height = radius * np.sin(angles) + np.repeat([-half, half], rings + 1)
    return _turned(radius * np.cos(angles), height, around)


def sphere(radius: float, around: int = 14, rings: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A sphere about the origin."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)
    return _turned(radius * np.cos(angles), radius * np.sin(angles), around)


def cylinder(radius: float, half: float, around: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A cylinder along z; its edges are sharp."""
    return _turned(np.array([0.0, radius, radius, radius, radius, 0.0]), half * np.array([-1.0, -1, -1, 1, 1, 1]), around)


def box(half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box of these half sides; each side has corners of its own, for its own shade."""
    vertices: list[np.ndarray] = []
    faces: list[list[int]] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, (axis + 1) % 3] = np.array([-1.0, 1.0, 1.0, -1.0])
            corners[:, (axis + 2) % 3] = sign * np.array([-1.0, -1.0, 1.0, 1.0])
            faces += [[len(vertices) + corner for corner in face] for face in ((0, 1, 2), (0, 2, 3))]
            vertices += list(corners)
    return np.array(vertices) * np.asarray(half), np.array(faces)


def _turned(radii: np.ndarray, heights: np.ndarray, around: int) -> tuple[np.ndarray, np.ndarray]:
    """A surface of revolution about z; two rings of one place have separate corners."""
    turn = np.arange(around) * 2.0 * np.pi / around
    circle = np.stack([np.cos(turn), np.sin(turn), np.zeros(around)], axis=-1)
    vertices = (circle[None] * radii[:, None, None] + heights[:, None, None] * np.array([0.0, 0.0, 1.0])).reshape(-1, 3)
    faces = []
    for ring in range(len(radii) - 1):
        if radii[ring] == radii[ring + 1] and heights[ring] == heights[ring + 1]:
            continue
        low = ring * around + np.arange(around)
        next_low = ring * around + (np.arange(around) + 1) % around
        faces += [np.stack([low, next_low, low + around], -1), np.stack([next_low, next_low + around, low + around], -1)]
    return vertices, np.concatenate(faces)


def human_meshes(joints: np.ndarray, side: str, radius: float = 0.007) -> list[Mesh]:
    """A human hand's joints (21, 3), in any frame, as bones of round sticks in the fingers' colours."""
    colours = np.array(FINGER_COLOURS[SIDES.index(side)]) / 255.0
    return [
        stick(joints[parent], joints[child], radius, colours[(child - 1) // 4])
        for parent, child in BONES
        if np.linalg.norm(joints[child] - joints[parent]) > 1e-9
    ]


def stick(start: np.ndarray, end: np.ndarray, radius: float, colour: np.ndarray) -> Mesh:
    """A round stick between two places (3,), which are not the same; colour: (3,) RGB 0-1."""
    length = float(np.linalg.norm(end - start))
    vertices, faces = capsule(radius, length / 2.0, 10, 3)
    z = (end - start) / length
    x = np.cross([1.0, 0.0, 0.0] if abs(z[0]) < 0.9 else [0.0, 1.0, 0.0], z)
    x = x / np.linalg.norm(x)
    frame = np.stack([x, np.cross(z, x), z])
    return vertices @ frame + (start + end) / 2.0, faces, np.tile(colour, (len(vertices), 1))
