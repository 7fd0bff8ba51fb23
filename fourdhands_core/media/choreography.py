"""The movements of rendered hands: what a clip's motion is, and the choreography of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.interpolate import PchipInterpolator

from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_axis_angle
from ..hand_model.arrays import HandArrays
from ..hand_model.assets import HandAsset, load_human_hand, mirror
from ..hand_model.limits import CURLS, LOWER, UPPER, angles_of_curls, from_angles
from ..hand_model.skeleton import FINGERTIP_VERTICES, LEFT, RIGHT, SIDES


@dataclass(frozen=True, eq=False)
class ClipMotion:
    """Two hands over T frames, axis 1 the side (0 left, 1 right), in the convention that estimates are published in.

    stamp: (T,) int64 nanoseconds, increasing. global_orient: (T, 2, 3) axis-angle, wrist to camera optical frame.
    hand_pose: (T, 2, 45) axis-angle of MANO's 15 joints in MANO's order, relative to the flat hand. betas: (2, 10).
    wrist: (T, 2, 3) metres, camera optical frame. present: (T, 2) bool, False where the hand is not drawn.
    """

    stamp: np.ndarray
    global_orient: np.ndarray
    hand_pose: np.ndarray
    betas: np.ndarray
    wrist: np.ndarray
    present: np.ndarray


# Rotation of a right hand whose fingers point up in the picture and whose palm faces the camera.
UPRIGHT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

_KEYS = Path(__file__).with_name("demo_motion.yaml")
_TOUCH = (9.5, 10.1, 10.5, 11.1)
"""Seconds between which the hands approach until they touch, stay in touch, and part again."""


def pose_hands(motion: ClipMotion, asset: HandAsset | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (T, 2, 778, 3) and joints (T, 2, 21, 3) of a motion, metres, camera frame, of present and absent hands.

    asset: a right hand, the human one by default; the left hand is its mirror image.
    """
    asset = asset or load_human_hand()
    hands = HandArrays([mirror(asset), asset])
    count = len(motion.stamp)
    orient = matrix_from_axis_angle(motion.global_orient)
    pose = matrix_from_axis_angle(motion.hand_pose.reshape(count, 2, 15, 3))
    betas = np.broadcast_to(motion.betas, (count, 2, 10))
    vertices, joints = np.empty((count, 2, len(asset.v_template), 3)), np.empty((count, 2, 21, 3))
    for i in range(0, count, 32):  # in blocks: skinning all frames of a clip at once would take much memory
        block = slice(i, i + 32)
        vertices[block] = hands.vertices(orient[block], pose[block], betas[block]) + motion.wrist[block, :, None]
        joints[block] = hands.joints(orient[block], pose[block], betas[block]) + motion.wrist[block, :, None]
    return vertices, joints


def demo_motion(seconds: float = 12.0, fps: float = 30.0, seed: int = 0) -> ClipMotion:
    """Both hands facing the camera at 0.4-0.6 m: apart, crossing, the left one leaving and returning, touching.

    seed: of the hands' shape (both hands of one person) and of small movements on top of the key poses.
    """
    rng = np.random.default_rng(seed)
    stamp = np.round(np.arange(round(seconds * fps)) * 1e9 / fps).astype(np.int64)
    times = np.minimum(stamp * 1e-9 * 12.0 / seconds, 12.0)
    betas = np.clip(rng.normal(0.0, 0.6, 10), -1.5, 1.5) + np.zeros((2, 10))
    orient, pose, wrist = np.empty((len(times), 2, 3)), np.empty((len(times), 2, 15, 3)), np.empty((len(times), 2, 3))
    keys = yaml.safe_load(_KEYS.read_text(encoding="utf-8"))
    for side, name in enumerate(SIDES):
        degrees = keyed(keys[name]["angles"], times) + 2.0 * wander(rng, times, 3)
        fingers = [(t, *(CURLS[one] if isinstance(one, str) else one)) for t, one in keys[name]["fingers"]]
        curls = keyed(fingers, times) + 0.02 * wander(rng, times, 6)
        orient[:, side] = axis_angle_from_matrix(_orientation(np.radians(degrees)))
        pose[:, side] = axis_angle_from_matrix(from_curls(curls))
        wrist[:, side] = keyed(keys[name]["places"], times) + 0.003 * wander(rng, times, 3)
    # Until here both are right hands; the left one is mirrored.
    orient[:, LEFT], pose[:, LEFT] = mirror_axis_angle(orient[:, LEFT]), mirror_axis_angle(pose[:, LEFT])
    wrist[:, LEFT, 0] *= -1.0
    present = np.ones((len(times), 2), bool)
    motion = ClipMotion(stamp, orient, pose.reshape(-1, 2, 45), betas, wrist, present)
    # While they touch, each hand's foremost point, which is the index fingertip, lies on the plane x = 0 between them,
    # both fingertips at one height and depth.
    vertices, _ = pose_hands(motion)
    share = PchipInterpolator([0.0, *_TOUCH, 12.0], [0.0, 0.0, 1.0, 1.0, 0.0, 0.0])(times)[:, None]
    relative = vertices - wrist[:, :, None]
    for side, inwards in ((LEFT, -1.0), (RIGHT, 1.0)):
        point = relative[:, side, FINGERTIP_VERTICES["index"]].copy()
        point[:, 0] = inwards * (inwards * relative[:, side, :, 0]).max(axis=1)
        wrist[:, side] += share * (np.array([0.0, -0.03, 0.5]) - point - wrist[:, side])
    return motion


def from_curls(curls: np.ndarray) -> np.ndarray:
    """Rotations (..., 15, 3, 3) of a right hand's joints, inside the human limits, from six numbers (..., 6), 0 to 1.

    curls: thumb, index, middle, ring, little finger (0 straight, 1 closed), then the fingers' spread.
    """
    return from_angles(np.clip(angles_of_curls(curls), LOWER, UPPER))


def _orientation(angles):
    """Wrist rotations (T, 3, 3) of a right hand from tilt, turn and pitch (T, 3), radians."""
    tilt, turn, pitch = (angles[:, i, None] for i in range(3))
    around = [
        matrix_from_axis_angle(angle * np.array(axis))
        for angle, axis in ((tilt, [0.0, 0.0, 1.0]), (pitch, [1.0, 0.0, 0.0]), (turn, [0.0, -1.0, 0.0]))
    ]
    return around[0] @ around[1] @ around[2] @ UPRIGHT


def keyed(keys: Sequence[Sequence[float]], times: np.ndarray) -> np.ndarray:
    """Smooth values (T, n) through key rows (time, n values), without overshoot between them."""
    rows = np.array(keys, np.float64)
    return np.asarray(PchipInterpolator(rows[:, 0], rows[:, 1:])(times))


def wander(rng: np.random.Generator, times: np.ndarray, count: int, slowest: float = 0.15, fastest: float = 0.9) -> np.ndarray:
    """Slow irregular movement (T, count) of about unit size, Hz: a hand is never quite still."""
    rates = rng.uniform(slowest, fastest, (4, count))
    waves = np.sin(2.0 * np.pi * (times[:, None, None] * rates + rng.uniform(0.0, 1.0, (4, count))))
    return waves.sum(axis=1) / np.sqrt(2.0)
