"""Pictures as the detector's landmark network sees them, of rendered hands and where it should put their landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from ...geometry.camera import Camera
from ...hand_model.arrays import HandArrays
from ...hand_model.assets import open_hand
from ...hand_model.landmarks import landmarks_of
from ...hand_model.skeleton import LEFT
from ...media.scenery import Sensor, line_kernel
from ...perception.hand_networks import HAND_SIZE
from ...perception.squares import Square, around_landmarks, cut
from ..synthesis.clips import Clip, ClipSynthesis
from ..synthesis.settings import FAMILIES, LookSettings, SynthesisSettings

SETTINGS = SynthesisSettings(
    depth_range=(0.28, 0.95),
    view_angle=20.0,
    upright=0.4,
    grasps=0.5,
    fov=(50.0, 80.0),
    looks=LookSettings(skins=48, backgrounds=120, occluded=0.25),
)
_LOOKS = 4242
"""Seed of the skins, backgrounds and grasps, which all clips share."""
_FRAMES, _APART = 4, 0.4
"""Of a clip, and seconds between them, in which a hand moves on."""
_LEAST_SHOWN = 0.35
"""A hand of which less shows of what would without other things is left out."""
_GLOVED = 0.12
"""Share of clips whose hands and forearms have one colour that skin need not have."""
_FAR_OFF = 0.2
"""Share of squares that are three times as far off as others."""
_MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Crop:
    """picture: (224, 224, 3) uint8 RGB. points: (21, 2) its pixels, where the detector should see the landmarks; None: no hand.

    side: of the hand, LEFT or RIGHT.
    """

    picture: np.ndarray
    points: np.ndarray | None = None
    side: int | None = None


def rendered(seed: int, family: int) -> Iterator[Crop]:
    """The crops of one clip of a hand of FAMILIES, three a hand and frame, and one of no hand where it comes to lie so."""
    synthesis = _synthesis(family)
    rng = np.random.default_rng([seed, family, 3])
    (clip,) = synthesis.draw(seed, 1, _APART * np.arange(_FRAMES))
    points, camera = landmarks(clip, family), _Camera(rng, clip.camera)
    glove = rng.uniform(0.05, 1.0, 3) if rng.random() < _GLOVED else None
    for t in range(_FRAMES):
        if not clip.present[t].any():
            continue
        picture, label = synthesis.image(clip, t)
        if glove is not None:
            picture = _gloved(picture, label, glove)
        picture = camera(picture)
        for side in np.flatnonzero(clip.present[t]):
            if not _shows(label, clip, t, side):
                continue
            square = around_landmarks(points[t, side])
            for _ in range(3):
                moved = jittered(square, rng)
                crop = cut(picture, moved, HAND_SIZE, cv2.BORDER_REPLICATE)
                yield Crop(coloured(crop, rng), in_square(points[t, side], moved), int(side))
        if (square := elsewhere(picture, list(points[t, clip.present[t]]), rng)) is not None:
            yield Crop(coloured(cut(picture, square, HAND_SIZE, cv2.BORDER_REPLICATE), rng))


def landmarks(clip: Clip, family: int) -> np.ndarray:
    """(T, 2, 21, 2) pixels: where the detector sees the joints of the clip's hands on average, not where they are."""
    asset, betas = _synthesis(family).asset, np.broadcast_to(clip.betas, (len(clip.root), 2, 10))
    _, bones = HandArrays((asset, asset)).joints_and_bones(clip.rotations[:, :, 0], clip.rotations[:, :, 1:], betas)
    places = clip.joints + landmarks_of(asset).beside(bones) + clip.root[:, :, None]
    places[:, LEFT] *= _MIRROR
    return clip.camera.project(places)


def in_square(points: np.ndarray, square: Square) -> np.ndarray:
    """Points (..., 2) of an image in the pixels of its crop."""
    cosine, sine = np.cos(square.angle), np.sin(square.angle)
    u, v = points[..., 0] - square.x, points[..., 1] - square.y
    along = np.stack([cosine * u + sine * v, cosine * v - sine * u], axis=-1)
    return (along / square.side + 0.5) * HAND_SIZE


def elsewhere(picture: np.ndarray, hands: list[np.ndarray], rng: np.random.Generator) -> Square | None:
    """A square anywhere in a picture in which none of these hands (21, 2) has its middle; None where it comes to lie on one."""
    side = float(np.exp(rng.uniform(np.log(60.0), np.log(400.0))))
    x, y = (float(rng.uniform(0.0, size)) for size in picture.shape[1::-1])
    near = any(np.linalg.norm(hand.mean(0) - (x, y)) <= side for hand in hands)
    return None if near else Square(x, y, side, rng.uniform(-3.0, 3.0))


def jittered(square: Square, rng: np.random.Generator) -> Square:
    """A square as far off as that of the image before, or of a palm."""
    wide = np.exp(0.5 * rng.normal()) * (3.0 if rng.random() < _FAR_OFF else 1.0)
    x, y = (square.side * 0.035 * wide * rng.normal(size=2)).tolist()
    moved = square._replace(x=square.x + x, y=square.y + y)
    return moved.turned(float(np.radians(5.0) * wide * rng.normal()), float(np.exp(0.06 * wide * rng.normal())))


def stretched(picture: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A crop (S, S, 3) of a hand and its points (21, 2), of other proportions: stretched along a direction, or coarser."""
    size, turn = len(picture), rng.uniform(0.0, np.pi)
    along = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = along @ np.diag(np.exp(0.13 * rng.normal() * np.array([0.5, -0.5]))) @ along.T
    middle = np.full(2, (size - 1) / 2.0)
    affine = np.column_stack([matrix, middle - matrix @ middle])
    if rng.random() < 0.3:
        small = int(size / rng.uniform(1.5, 4.0))
        coarse = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    warped = cv2.warpAffine(picture, affine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return warped, points @ matrix.T + affine[:, 2]


def coloured(picture: np.ndarray, rng: np.random.Generator, tint: float = 0.05) -> np.ndarray:
    """A crop (S, S, 3) uint8 in another light, or grey, or dark, or blurred. tint: how much its channels differ, in e-folds."""
    result: np.ndarray = picture.astype(np.float32)
    if rng.random() < 0.12:
        result = np.repeat(result @ np.array([0.299, 0.587, 0.114], np.float32)[:, None], 3, axis=2)
    if rng.random() < 0.5:
        result = 255.0 * (result / 255.0) ** np.float32(np.exp(0.3 * rng.normal()))
    dark = rng.uniform(0.15, 0.6) if rng.random() < 0.15 else 1.0
    gain = dark * np.exp(0.12 * rng.normal() + tint * rng.normal(size=3))
    result = (result - 128.0) * np.float32(np.exp(0.12 * rng.normal())) + 128.0
    result *= gain.astype(np.float32)
    if rng.random() < 0.2:
        shake = rng.uniform(2.0, 9.0)
        turn = rng.uniform(0, 2 * np.pi)
        result = cv2.filter2D(result, -1, line_kernel(shake * np.array([np.cos(turn), np.sin(turn)])))
    if rng.random() < 0.3:
        result = cv2.GaussianBlur(result, (0, 0), rng.uniform(0.5, 2.0))
    if rng.random() < 0.4:
        cells = int(rng.choice((HAND_SIZE, HAND_SIZE // 2)))
        noise = rng.normal(0.0, rng.uniform(1.0, 7.0), (cells, cells, 3)).astype(np.float32)
        if cells != HAND_SIZE:
            noise = cv2.resize(noise, (HAND_SIZE, HAND_SIZE), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        result = result + noise
    return np.clip(result + 0.5, 0, 255).astype(np.uint8)


def _gloved(picture: np.ndarray, label: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """The hands (labels 1 and 2) in one colour (3,), 0-1, under the light that they are in."""
    hands = (label == 1) | (label == 2)
    light = picture.mean(-1, keepdims=True) / max(float(picture[hands].mean()) if hands.any() else 1.0, 1.0)
    return np.where(hands[..., None], np.clip(255.0 * colour * light, 0, 255), picture).astype(np.uint8)


class _Camera:
    """Lens and sensor of one clip."""

    def __init__(self, rng: np.random.Generator, camera: Camera) -> None:
        self._sensor = _sensor(int(rng.integers(6)), camera.width, camera.height)
        self._noise, self._blur = rng.uniform(0.5, 4.0), rng.uniform(0.3, 1.3)
        self._rng, self._shake = rng, rng.uniform(1.0, 7.0) if rng.random() < 0.25 else 0.0

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        self._sensor.noise, self._sensor.blur = self._noise, self._blur
        return self._sensor(picture, self._shake * self._rng.normal(size=2))


@lru_cache(maxsize=6)
def _sensor(number: int, width: int, height: int) -> Sensor:
    return Sensor(np.random.default_rng([_LOOKS, number]), width, height, jpeg=None)


@lru_cache(maxsize=len(FAMILIES))
def _synthesis(family: int) -> ClipSynthesis:
    """Its skins, backgrounds and grasps are made once."""
    return ClipSynthesis(SETTINGS, _LOOKS, open_hand(FAMILIES[family]))


def _shows(label: np.ndarray, clip: Clip, t: int, side: int) -> bool:
    """Whether enough pixels of a hand's hull are its own."""
    hull = np.zeros(label.shape, np.uint8)
    outline: np.ndarray = cv2.convexHull(clip.points[t, side].clip(-4000, 4000).astype(np.int32)).astype(np.int32)
    cv2.fillConvexPoly(hull, outline, (1,))
    return bool((label[hull > 0] == 1 + side).mean() > _LEAST_SHOWN)
