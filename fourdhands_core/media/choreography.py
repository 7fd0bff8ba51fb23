"""The movements of rendered hands: what a clip's motion is, and the choreography of the demo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from ..geometry.rotations import axis_angle_from_matrix, matrix_from_axis_angle, mirror_axis_angle
from ..hand_model.arrays import HandArrays
from ..hand_model.assets import HandAsset, load_generic_hand, mirror
from ..hand_model.limits import LOWER, UPPER, from_angles
from ..hand_model.skeleton import FINGERS, FINGERTIP_VERTICES, LEFT, MANO_JOINT_NAMES, RIGHT


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
_UPRIGHT = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])

# Finger poses: curl of thumb, index, middle, ring and little finger (0 straight, 1 fist), then spread.
_OPEN = (0.0, 0.0, 0.0, 0.0, 0.0, 0.6)
_RELAXED = (0.25, 0.15, 0.2, 0.25, 0.25, 0.2)
_FLAT = (0.4, 0.03, 0.0, 0.03, 0.05, 0.0)
_FIST = (0.9, 0.95, 0.95, 0.95, 0.95, 0.0)
_POINT = (0.8, 0.02, 0.9, 0.92, 0.92, 0.0)
_VICTORY = (0.85, 0.03, 0.03, 0.9, 0.92, 0.9)
_THREE = (0.1, 0.03, 0.03, 0.85, 0.9, 0.7)
_PINCH = (0.55, 0.5, 0.15, 0.1, 0.1, 0.3)
_CLAW = (0.3, 0.5, 0.5, 0.5, 0.5, 0.5)

# Key poses at seconds of a clip of 12 s. Every hand is described as a right hand: a left one is mirrored, so that both
# keep to negative x on their own side. Positions: wrist x, y, z in metres. Angles in degrees: tilt of the fingers in the
# picture towards the other hand, turn about the forearm (0 palm to the camera, 180 back), pitch of the fingertips towards
# the camera.
_RIGHT_PLACES = (
    (0.0, -0.14, 0.09, 0.52),
    (1.2, -0.15, 0.07, 0.50),
    (2.4, -0.13, 0.08, 0.46),
    (3.4, -0.16, 0.06, 0.44),
    (4.2, -0.14, 0.09, 0.45),
    (5.3, 0.11, 0.09, 0.42),
    (5.9, 0.12, 0.07, 0.42),
    (7.0, -0.13, 0.09, 0.48),
    (8.2, -0.10, 0.05, 0.52),
    (9.0, -0.13, 0.09, 0.52),
    (10.1, -0.11, 0.09, 0.50),
    (10.5, -0.11, 0.07, 0.50),
    (11.3, -0.14, 0.09, 0.52),
    (12.0, -0.13, 0.08, 0.55),
)
_LEFT_PLACES = (
    (0.0, -0.13, 0.08, 0.54),
    (1.2, -0.14, 0.09, 0.52),
    (2.4, -0.15, 0.07, 0.55),
    (3.4, -0.13, 0.09, 0.58),
    (4.2, -0.14, 0.08, 0.60),
    (5.3, 0.10, 0.09, 0.62),
    (5.9, 0.11, 0.10, 0.62),
    (7.0, -0.14, 0.08, 0.56),
    (7.7, -0.60, 0.12, 0.55),
    (8.3, -0.60, 0.12, 0.55),
    (9.1, -0.14, 0.08, 0.52),
    (10.1, -0.11, 0.09, 0.50),
    (10.5, -0.11, 0.07, 0.50),
    (11.3, -0.14, 0.08, 0.52),
    (12.0, -0.15, 0.09, 0.54),
)
_RIGHT_ANGLES = (
    (0.0, 0, 5, 0),
    (1.0, 8, -10, 5),
    (2.0, -5, 10, -5),
    (2.5, 0, 20, 0),
    (3.3, 5, 165, 8),
    (4.3, 5, 175, 5),
    (5.3, 12, 170, 0),
    (5.9, -5, 185, 5),
    (7.0, 0, 170, 0),
    (7.8, 5, 20, -8),
    (8.6, -15, 0, 10),
    (9.2, 10, 20, 0),
    (10.1, 42, 10, 0),
    (10.5, 42, 10, 0),
    (11.3, 0, 0, 0),
    (12.0, -5, 10, 5),
)
_LEFT_ANGLES = (
    (0.0, 0, 0, 0),
    (1.0, -6, 10, -5),
    (2.0, 8, -5, 5),
    (3.0, 0, 10, 8),
    (4.2, 5, 0, 0),
    (5.3, 8, 10, 5),
    (5.9, 0, -10, 0),
    (7.0, 0, 10, 0),
    (7.7, -25, 10, 0),
    (8.3, -25, 10, 0),
    (9.2, 0, 10, 0),
    (10.1, 42, 10, 0),
    (10.5, 42, 10, 0),
    (11.3, 5, 20, 5),
    (12.0, 0, 5, 0),
)
_RIGHT_FINGERS = (
    (0.0, _OPEN),
    (0.5, _OPEN),
    (0.9, _FIST),
    (1.2, _FIST),
    (1.6, _OPEN),
    (2.0, _VICTORY),
    (2.4, _VICTORY),
    (2.9, _RELAXED),
    (3.4, _OPEN),
    (3.8, _POINT),
    (4.2, _POINT),
    (4.7, _OPEN),
    (5.9, _RELAXED),
    (6.4, _OPEN),
    (7.2, _OPEN),
    (7.6, _PINCH),
    (7.9, _OPEN),
    (8.2, _PINCH),
    (8.6, _THREE),
    (8.9, _THREE),
    (9.4, _FLAT),
    (10.7, _FLAT),
    (11.2, _OPEN),
    (11.6, _CLAW),
    (12.0, _OPEN),
)
_LEFT_FINGERS = (
    (0.0, _RELAXED),
    (0.4, _OPEN),
    (0.7, (0.0, 0.0, 0.0, 0.0, 0.9, 0.3)),
    (1.0, (0.0, 0.0, 0.1, 0.9, 0.9, 0.2)),
    (1.3, (0.0, 0.1, 0.9, 0.9, 0.9, 0.1)),
    (1.6, _FIST),
    (2.1, _OPEN),
    (2.6, _PINCH),
    (3.0, _OPEN),
    (3.4, _PINCH),
    (3.9, _OPEN),
    (4.7, _RELAXED),
    (5.3, _OPEN),
    (6.2, _CLAW),
    (6.8, _OPEN),
    (9.0, _OPEN),
    (9.5, _FLAT),
    (10.7, _FLAT),
    (11.2, _OPEN),
    (11.5, _FIST),
    (11.8, _POINT),
    (12.0, _POINT),
)


_TOUCH = (9.5, 10.1, 10.5, 11.1)
"""Seconds between which the hands approach until they touch, stay in touch, and part again."""


def pose_hands(motion: ClipMotion, asset: HandAsset | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (T, 2, 778, 3) and joints (T, 2, 21, 3) of a motion, metres, camera frame, of present and absent hands.

    asset: a right hand, the generic one by default; the left hand is its mirror image.
    """
    asset = asset or load_generic_hand()
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
    for side, places, angles, fingers in (
        (LEFT, _LEFT_PLACES, _LEFT_ANGLES, _LEFT_FINGERS),
        (RIGHT, _RIGHT_PLACES, _RIGHT_ANGLES, _RIGHT_FINGERS),
    ):
        degrees = _keyed(angles, times) + 2.0 * _wander(rng, times, 3)
        curls = _keyed([(t, *values) for t, values in fingers], times) + 0.02 * _wander(rng, times, 6)
        orient[:, side] = axis_angle_from_matrix(_orientation(np.radians(degrees)))
        pose[:, side] = axis_angle_from_matrix(from_curls(curls))
        wrist[:, side] = _keyed(places, times) + 0.003 * _wander(rng, times, 3)
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
    curls = np.clip(np.asarray(curls, np.float64), 0.0, 1.0)
    angles = np.zeros(curls.shape[:-1] + (15, 3))
    for i, name in enumerate(MANO_JOINT_NAMES[1:]):
        finger, joint = name[:-2], int(name[-1])
        curl = curls[..., FINGERS.index(finger)]
        if finger == "thumb":
            angles[..., i, :] = curl[..., None] * _THUMB_CLOSED[joint - 1]
            continue
        # The knuckle of a slightly curled finger bends least and the middle joint most.
        angles[..., i, 0] = UPPER[i, 0] * (curl**1.4, curl, 0.8 * curl)[joint - 1] * 0.95
        if joint == 1:
            # Fingers cannot spread once they are curled.
            angles[..., i, 1] = _SPREAD[finger] * (curls[..., 5] - 0.3) * (1.0 - curl)
    return from_angles(np.clip(angles, LOWER, UPPER))


_SPREAD = {"index": 0.20, "middle": 0.04, "ring": -0.12, "little": -0.24}
_THUMB_CLOSED = np.radians([[35.0, 15.0, 15.0], [35.0, 0.0, 0.0], [50.0, 0.0, 0.0]])


def _orientation(angles):
    """Wrist rotations (T, 3, 3) of a right hand from tilt, turn and pitch (T, 3), radians."""
    tilt, turn, pitch = (angles[:, i, None] for i in range(3))
    around = [
        matrix_from_axis_angle(angle * np.array(axis))
        for angle, axis in ((tilt, [0.0, 0.0, 1.0]), (pitch, [1.0, 0.0, 0.0]), (turn, [0.0, -1.0, 0.0]))
    ]
    return around[0] @ around[1] @ around[2] @ _UPRIGHT


def _keyed(keys, times):
    """Smooth values (T, n) through key rows (time, n values), without overshoot between them."""
    keys = np.array(keys, np.float64)
    return PchipInterpolator(keys[:, 0], keys[:, 1:])(times)


def _wander(rng, times, count):
    """Slow irregular movement (T, count) of about unit size: a hand is never quite still."""
    rates = rng.uniform(0.15, 0.9, (4, count))
    waves = np.sin(2.0 * np.pi * (times[:, None, None] * rates + rng.uniform(0.0, 1.0, (4, count))))
    return waves.sum(axis=1) / np.sqrt(2.0)
