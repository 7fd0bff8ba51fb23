"""Draws estimates onto frames: skeletons with side, state and confidence, translucent meshes, and contact sheets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from ..hand_model.skeleton import BONES, SIDES
from ..pipeline.types import HELD, HandPairEstimate
from .render import Light, render_meshes

SIDE_COLOURS = ((60, 150, 255), (255, 140, 40))
"""RGB of the left hand (cool, as a test holds) and the right hand (warm): labels, wrist and mesh."""
FINGER_COLOURS = (
    ((170, 110, 255), (90, 110, 255), (40, 180, 255), (30, 215, 190), (80, 220, 90)),
    ((255, 80, 150), (255, 80, 60), (255, 150, 30), (255, 215, 40), (200, 220, 60)),
)
"""RGB of thumb, index, middle, ring and little finger of the left and of the right hand."""

_SUBPIXEL = 4  # cv2 draws with this many binary places, so a skeleton does not jitter by whole pixels


def draw_hands(image: np.ndarray, pair: HandPairEstimate, faces: Sequence[np.ndarray] | None = None) -> None:
    """Draw both hands of an estimate on its frame, in place.

    image: (H, W, 3) uint8 RGB, the frame that the estimate was made from. faces: (left (F, 3), right (F, 3)) to draw
    the hands' meshes translucently too, where the estimate carries vertices. A finger has its own colour, warm on the
    right hand and cool on the left; a joint with a confidence below 0.5 is hollow; a held hand (not seen in this
    frame) is drawn thin. The label gives side, state and confidence.
    """
    if faces is not None:
        draw_meshes(image, pair, faces)
    for hand in pair.hands:
        if hand.joints_2d is not None and hand.valid:
            sure = None if hand.joint_confidence is None else np.asarray(hand.joint_confidence) >= 0.5
            draw_skeleton(image, hand.joints_2d, hand.side, sure, hand.state == HELD)
    taken = None
    for hand in pair.hands:
        if hand.joints_2d is not None and hand.valid:
            taken = _draw_label(image, hand, taken)


def draw_skeleton(image: np.ndarray, points: np.ndarray, side: int, sure: np.ndarray | None = None, thin: bool = False) -> None:
    """Draw one hand's bones and joints in place; points: (21, 2) pixels, NaN where unknown; sure: (21,), hollow where False."""
    height, width = image.shape[:2]
    thick = max(1, round(max(height, width) / 400))
    points = np.asarray(points, np.float64)
    # NaN is behind the camera; far outside, cv2's fixed-point coordinates would overflow.
    drawable = (np.abs(np.nan_to_num(points, nan=np.inf)) < 20 * max(height, width)).all(axis=1)
    fixed = np.round(np.where(drawable[:, None], points, 0.0) * 2**_SUBPIXEL).astype(int).tolist()
    sure = np.ones(21, bool) if sure is None else sure
    colours = FINGER_COLOURS[side]
    for parent, child in BONES:
        if drawable[parent] and drawable[child]:
            cv2.line(
                image, fixed[parent], fixed[child], colours[(child - 1) // 4], 1 if thin else thick, cv2.LINE_AA, _SUBPIXEL
            )
    radius = (thick + 1) * 2**_SUBPIXEL
    for joint in np.flatnonzero(drawable):
        colour = SIDE_COLOURS[side] if joint == 0 else colours[(joint - 1) // 4]
        cv2.circle(image, fixed[joint], radius, colour, -1 if sure[joint] and not thin else 1, cv2.LINE_AA, _SUBPIXEL)


def draw_meshes(image: np.ndarray, pair: HandPairEstimate, faces: Sequence[np.ndarray]) -> None:
    """Draw the valid hands' meshes in place, half opaque, where the estimate carries vertices."""
    meshes = []
    for hand in pair.hands:
        if hand.valid and hand.vertices is not None:
            colour = 0.5 + 0.5 * np.asarray(SIDE_COLOURS[hand.side]) / 255.0  # paler than the skeleton on top
            vertices, triangles = hand.vertices, faces[hand.side]
            if pair.mirrored:  # as its image and camera are
                vertices, triangles = vertices * (-1.0, 1.0, 1.0), triangles[:, ::-1]
            meshes.append((vertices, triangles, np.tile(colour, (len(vertices), 1))))
    if meshes:
        image[:], _ = render_meshes(image, meshes, pair.camera, Light(ambient=0.15, specular=0.2), alpha=0.55)


def draw_text(
    image: np.ndarray,
    text: str,
    position: tuple[float, float],
    colour: tuple[int, int, int] = (255, 255, 255),
    scale: float | None = None,
    taken: tuple[int, int, int, int] | None = None,
) -> tuple[int, int, int, int]:
    """Write text in place on a dark ground, position (x, y) its top left corner in pixels, kept inside the image.

    taken: a rectangle (x, y, width, height) that another text covers; this one goes below or above it.
    Returns the rectangle of the text.
    """
    text = text.encode("ascii", "replace").decode()  # OpenCV draws no other letters, and crashes on a part of a name's bytes
    height, width = image.shape[:2]
    scale = scale or max(height, width) / 1600.0 + 0.1
    thickness = max(1, round(1.6 * scale))
    (w, h), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    pad = max(2, h // 4)
    x = int(np.clip(position[0], 0, max(width - w - 2 * pad, 0)))
    y = int(np.clip(position[1], 0, max(height - h - base - 2 * pad, 0)))
    w, tall = w + 2 * pad, h + base + 2 * pad
    if taken and x < taken[0] + taken[2] and taken[0] < x + w and y < taken[1] + taken[3] and taken[1] < y + tall:
        below = taken[1] + taken[3]
        y = below if below + tall <= height else max(taken[1] - tall, 0)
    ground = image[y : y + tall, x : x + w]
    ground //= 4
    cv2.putText(image, text, (x + pad, y + pad + h), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return x, y, w, tall


def contact_sheet(frames: Iterable[np.ndarray], columns: int = 4, cell_width: int = 320) -> np.ndarray:
    """Frames (each (H, W, 3) uint8 RGB, any sizes) side by side on one image, in rows of `columns`, in order.

    Each cell has the first frame's proportions and is cell_width pixels wide; a frame of other proportions is
    centred in its cell.
    """
    frames = list(frames)
    if not frames:
        raise ValueError("a contact sheet needs at least one frame")
    columns = max(1, min(columns, len(frames)))
    gap = 4
    cell_height = max(1, round(cell_width * frames[0].shape[0] / frames[0].shape[1]))
    rows = math.ceil(len(frames) / columns)
    sheet = np.full((rows * (cell_height + gap) + gap, columns * (cell_width + gap) + gap, 3), 32, np.uint8)
    for i, frame in enumerate(frames):
        factor = min(cell_width / frame.shape[1], cell_height / frame.shape[0])
        size = (max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor)))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        y = gap + (i // columns) * (cell_height + gap) + (cell_height - size[1]) // 2
        x = gap + (i % columns) * (cell_width + gap) + (cell_width - size[0]) // 2
        sheet[y : y + size[1], x : x + size[0]] = small
    return sheet


def _draw_label(image, hand, taken):
    points = np.asarray(hand.joints_2d)
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return taken
    state = f"held {hand.age:.2f} s" if hand.state == HELD else hand.state
    text = f"{SIDES[hand.side]} {state} {hand.confidence:.2f}"
    x, y = points[:, 0].mean() - 0.05 * image.shape[1], points[:, 1].max() + 0.02 * image.shape[0]
    return draw_text(image, text, (x, y), SIDE_COLOURS[hand.side], taken=taken)
