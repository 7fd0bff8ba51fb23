"""How a synthetic picture looks: skins, light, background, things in front, and a view of it drawn at any size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...hand_model.assets import HandAsset
from ...hand_model.skeleton import LEFT
from ...media.scenery import background
from ...media.skin import Forearm, skin_texture
from .raster import draw, shade
from .settings import LookSettings

NOTHING, OBJECT = 0, 3
"""Labels of a view's pixels; those of the hands are 1 + side."""


@dataclass(frozen=True, eq=False)
class View:
    """Where a picture is drawn from: pixel of the picture = scale * (pixel of the camera's image) + offset, each (2,).

    scale: negative in x for a mirrored picture. width, height: of the picture.
    """

    scale: np.ndarray
    offset: np.ndarray
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Look:
    """The looks of one clip: texels of each side, light, background, and the object in front.

    texels: (F, n, n, 3) of either hand, times tint (3,). cloth: (3,) colour of the sleeves, None without. direction,
    ambient, specular, shininess: as media.render.Light. picture, placed: a background and the (2, 3) matrix from the
    camera's pixels to its own. occluder: None, or a polygon (N, 2) in units of the hand's box around its centre, the side
    it lies in front of, and the background that it is cut from. lengths: (2,) forearms, metres; bends: (2, 3) added to
    their directions.
    """

    texels: np.ndarray
    tint: np.ndarray
    cloth: np.ndarray | None
    direction: np.ndarray
    ambient: float
    specular: float
    shininess: float
    picture: np.ndarray
    placed: np.ndarray
    occluder: tuple[np.ndarray, int, np.ndarray] | None
    lengths: np.ndarray
    bends: np.ndarray


class Looks:
    """Draws looks and the pictures of hands that have them. seed: of the skins and backgrounds that are kept."""

    def __init__(self, seed: int, asset: HandAsset, settings: LookSettings = LookSettings()):
        self.settings, self._forearm = settings, Forearm(asset.faces)
        self._seed, self._asset = seed, asset
        self._made: dict = {}
        self.faces = np.ascontiguousarray(self._forearm.faces, np.int64)
        self._first_cloth = len(asset.faces) + 2 * len(self._forearm.loop) * Forearm.HEM

    def _kept(self, what: str, number: int) -> np.ndarray:
        """A skin's texels, or a background, made when first asked for."""
        if (what, number) not in self._made:
            rng = np.random.default_rng([self._seed, len(what), number])
            self._made[what, number] = (
                background(rng, 480, 360) if what == "background" else self._forearm.paint(skin_texture(rng, self._asset))
            )
        return self._made[what, number]

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Look:
        """The look of a clip for a camera of that (width, height)."""
        s = self.settings
        texels, tint = self._kept("skin", int(rng.integers(s.skins))), rng.uniform(0.85, 1.1, 3)
        cloth = None
        if rng.random() < s.sleeved:
            cloth = np.clip(rng.uniform(0.05, 0.9) * (1.0 + 0.4 * rng.uniform(-1, 1, 3)), 0.0, 1.0)
        direction = np.array([rng.uniform(-1, 1), rng.uniform(-1, 0.5), rng.uniform(-1, -0.2)])
        picture = self._kept("background", int(rng.integers(s.backgrounds)))
        zoom, turn = picture.shape[1] / size[0] * np.exp(rng.uniform(-0.9, 0.2)), rng.uniform(-0.3, 0.3)
        linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear[:, 0] *= rng.choice((-1.0, 1.0))
        middle = rng.uniform(0.3, 0.7, 2) * picture.shape[1::-1]
        placed = np.column_stack([linear, middle - linear @ (np.array(size) / 2)])
        occluder = None
        if rng.random() < s.occluded:
            source = self._kept("background", int(rng.integers(s.backgrounds)))
            occluder = self._shape(rng), int(rng.integers(2)), source
        return Look(
            texels,
            tint,
            cloth,
            direction / np.linalg.norm(direction),
            rng.uniform(0.1, 0.45),
            rng.uniform(0.0, 0.18),
            rng.uniform(6.0, 30.0),
            picture,
            placed,
            occluder,
            rng.uniform(*s.forearm, 2),
            0.35 * rng.normal(size=(2, 3)),
        )

    @staticmethod
    def _shape(rng):
        """A bar or a lump that covers up to half of a hand: a polygon (N, 2) around the middle of a box of side 1."""
        turn, centre = rng.uniform(0, 2 * np.pi), rng.uniform(-0.45, 0.45, 2)
        if rng.random() < 0.5:
            half = np.array([rng.uniform(0.5, 1.5), rng.uniform(0.03, 0.14)])
            corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 9))))
            corners = rng.uniform(0.1, 0.3) * np.column_stack([np.cos(angles), rng.uniform(0.5, 1.0) * np.sin(angles)])
        return corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + centre

    def meshes(self, look: Look, vertices: np.ndarray, present: np.ndarray) -> list:
        """(side, vertices with the forearm, light) of a frame's hands, all in their own coordinates.

        vertices: (2, 778, 3) of the (left, right) hand, camera frame, the left one's mirrored in x. present: (2,) bool.
        """
        meshes = []
        for side in np.flatnonzero(present):
            points = vertices[side].astype(np.float64)
            elbow = points[self._forearm.loop].mean(0) - points.mean(0)
            elbow = elbow / np.linalg.norm(elbow) + look.bends[side]
            points = self._forearm.extend(points, look.cloth is not None, look.lengths[side], elbow)
            direction = look.direction * ((-1.0, 1.0, 1.0) if side == LEFT else 1.0)
            light = shade(points, self.faces, direction, look.ambient, look.specular, look.shininess)
            meshes.append((int(side), points, light))
        return meshes

    def view(
        self, look: Look, meshes: list, boxes: np.ndarray, camera: np.ndarray, size: tuple[int, int], view: View
    ) -> tuple[np.ndarray, np.ndarray]:
        """A picture (H, W, 3) uint8 RGB, black outside the camera's image, and the labels (H, W) of what shows in it.

        meshes: of `meshes`. boxes: (2, 4) x1, y1, x2, y2 of the hands in the camera's pixels, for the object in front.
        camera: (3, 3) matrix. size: (width, height) of the camera's image.
        """
        shape = (view.width, view.height)
        back = np.diag([*(1.0 / view.scale), 1.0])
        back[:2, 2] = -view.offset / view.scale
        ways = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        picture = cv2.warpAffine(look.picture, look.placed @ back, shape, flags=ways, borderMode=cv2.BORDER_REFLECT_101)
        picture = picture.astype(np.float32)
        nearness = np.zeros((view.height, view.width), np.float32)
        label = np.zeros((view.height, view.width), np.uint8)
        target = picture, nearness, label
        cloth, first_cloth = (np.zeros(3), len(self.faces)) if look.cloth is None else (look.cloth, self._first_cloth)
        for side, points, light in meshes:
            own = side == LEFT
            places = points[:, :2] * (-1.0 if own else 1.0, 1.0)
            w = 1.0 / np.where(points[:, 2] > 0.02, points[:, 2], -1.0)
            places = view.scale * (np.diag(camera)[:2] * places * w[:, None] + camera[:2, 2]) + view.offset
            pixels = np.column_stack([places, w]).astype(np.float32)
            mirrored = (view.scale[0] < 0) != own
            draw(*target, pixels, self.faces, light, look.texels, look.tint, cloth, first_cloth, 1 + side, mirrored)
        if look.occluder is not None:
            self._cover(look.occluder, boxes, view, picture, label)
        self._frame(size, view, picture, label)
        return picture.astype(np.uint8), label

    @staticmethod
    def _cover(occluder, boxes, view, picture, label):
        polygon, side, source = occluder
        box = boxes[side]
        if not np.isfinite(box).all():
            return
        corners = (box[:2] + box[2:]) / 2 + polygon * (box[2:] - box[:2]).max()
        corners = (corners * view.scale + view.offset).clip(-5000, 5000)
        mask = np.zeros(label.shape, np.uint8)
        outline: np.ndarray = np.round(corners).astype(np.int32)
        cv2.fillPoly(mask, [outline], (1,))
        covered = mask.astype(bool)
        patch = cv2.resize(source[::2, ::2], (view.width, view.height), interpolation=cv2.INTER_LINEAR)
        picture[covered] = patch[covered]
        label[covered] = OBJECT

    @staticmethod
    def _frame(size, view, picture, label):
        """Black outside the camera's image, as a crop of it is."""
        ends = np.sort(np.array([[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5]]) * view.scale + view.offset, axis=0)
        (left, top), (right, bottom) = np.clip(np.round(ends), 0, (view.width, view.height)).astype(int)
        for part in (np.s_[:top], np.s_[bottom:], np.s_[:, :left], np.s_[:, right:]):
            picture[part], label[part] = 0, NOTHING
