"""A picture of cameras and where hands were: from above and from the side."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from ..geometry.rigid import Rigid

_SIDE, _MARGIN, _DEPTH = 480, 50, 0.12
"""Pixels of each of the two pictures and around what is in it; metres that a camera's field of view is drawn far."""
_COLOURS = ((40, 90, 200), (210, 110, 20), (30, 150, 60), (150, 40, 150), (90, 90, 90))
_AXES = (("from above", 0, 2), ("from the side", 2, 1))


def draw_rig(poses: Mapping[str, Rigid], points: np.ndarray, lines: Mapping[str, str] | None = None) -> np.ndarray:
    """Cameras and hands, (H, W, 3) uint8 RGB.

    poses: of each camera, optical frame in the frame of `points`, which are (N, 3) metres, hands' middles. lines: words
    below, by camera.
    """
    words = dict(lines or {})
    picture = np.full((_SIDE + 30 + 22 * len(words), 2 * _SIDE, 3), 255, np.uint8)
    corners = np.concatenate([np.array([pose.position for pose in poses.values()]), np.percentile(points, [2, 98], axis=0)])
    low, high = corners.min(0) - 0.1, corners.max(0) + 0.1
    scale = (_SIDE - 2 * _MARGIN) / float((high - low).max())
    middle = (low + high) / 2
    for panel, (title, right, down) in enumerate(_AXES):

        def place(xyz: np.ndarray, right: int = right, down: int = down, panel: int = panel) -> tuple[int, int]:
            # away from the first camera is up, seen from above
            sign = -1.0 if down == 2 else 1.0
            x, y = scale * (xyz[right] - middle[right]), sign * scale * (xyz[down] - middle[down])
            return int(panel * _SIDE + _SIDE / 2 + x), int(_SIDE / 2 + y)

        cv2.putText(picture, title, (panel * _SIDE + 10, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        for point in points[:: max(1, len(points) // 400)]:
            cv2.circle(picture, place(point), 2, (190, 190, 190), -1, cv2.LINE_AA)
        for k, (name, pose) in enumerate(poses.items()):
            colour = _COLOURS[k % len(_COLOURS)]
            for x in (-0.5, 0.5):
                edge = pose.apply(_DEPTH * np.array([x, 0.0, 1.0]))
                cv2.line(picture, place(pose.position), place(edge), colour, 2, cv2.LINE_AA)
            cv2.circle(picture, place(pose.position), 6, colour, -1, cv2.LINE_AA)
            x, y = place(pose.position)
            cv2.putText(picture, name, (x + 8, y - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
        bar = int(0.1 * scale)
        left = panel * _SIDE + 15
        cv2.line(picture, (left, _SIDE - 10), (left + bar, _SIDE - 10), (0, 0, 0), 2)
        cv2.putText(picture, "0.1 m", (left, _SIDE - 18), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    for k, (name, text) in enumerate(words.items()):
        spot = (10, _SIDE + 22 + 22 * k)
        cv2.putText(picture, f"{name}: {text}", spot, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return picture
