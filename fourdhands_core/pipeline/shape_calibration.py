"""A person's hand shape, fixed from a few seconds of an open hand, and the file that keeps it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from ..errors import AssetError, InputError
from ..files import check_file, not_a
from ..geometry.rotations import matrix_from_axis_angle
from ..hand_model.arrays import HandArrays
from ..hand_model.landmarks import Landmarks
from ..hand_model.skeleton import JOINT_NAMES, RIGHT
from ..outputs import write_text
from .detect import radius_of
from .settings import TrackerSettings
from .tracker import HandPairTracker
from .types import HandEstimate, HandPairEstimate

_MIDDLE_TIP = JOINT_NAMES.index("middle_4")
_TELLING = np.array([joint for joint, name in enumerate(JOINT_NAMES) if not name.startswith("thumb")])
"""Joints whose landmarks tell a shape. Of a thumb that points towards the camera or away, one camera takes the shortening for
a short thumb (by 5 mm on average, of rendered hands), where no other finger's being straight says so."""

LEAST_SEEN = 15
"""Sightings of an open hand that a calibration needs: fewer follow single views."""
_OPEN = 0.9
"""Least distance from a finger's root to its tip, as a part of the finger's length, of an open hand."""
_LANDMARK_ERROR, _INDEPENDENT = 0.05, 4.0
"""Error of landmarks in units of the hand's RMS radius as seen, and how many sightings' worth of information all
together give: a detector errs the same way again and again, so a thousand images do not make it exact."""
_LENGTH_ERROR = 0.001
"""Metres, of a length that was measured with a ruler."""
_GUESSED = "guessed"
"""Of a shape's size in its file, where one camera without a length has found it."""
_LARGEST = 10.0
"""No person's shape has a coefficient beyond this (hands of 0.10 to 0.28 m): a file that says so is damaged."""


class ShapeCalibration:
    """The shape whose bones agree best with the landmarks of an open hand, seen in many images.

    hands: the tracker's. length: from the wrist to the tip of the stretched middle finger, metres; 0 where not known. One
    camera sees a large hand far away as it sees a small one near: without the length, the size stays the usual one and
    only the proportions are fixed. A bent finger hides its length, so only open hands are taken in, and of them not the thumb.
    landmarks: the tracker's.
    """

    def __init__(self, hands: HandArrays, length: float, landmarks: Landmarks) -> None:
        self._hands, self._length, self._landmarks = hands, length, landmarks
        self._normal, self._right = np.zeros((10, 10)), np.zeros(10)
        self.count = 0

    def add(self, estimate: HandPairEstimate) -> None:
        """Take in a camera's estimate, with the rays that it was made of."""
        if estimate.rays is None or not any(_is_open(hand) for hand in estimate.hands):
            return
        rotations = np.tile(np.eye(3), (2, 16, 1, 1))
        for side, hand in enumerate(estimate.hands):
            if hand.valid and hand.global_orient is not None and hand.hand_pose is not None:
                rotations[side] = matrix_from_axis_angle(np.vstack([hand.global_orient, hand.hand_pose.reshape(15, 3)]))
        # With the pose known, joints are an affine function of the shape: its value at 0 and at each unit vector.
        shapes = np.tile(np.vstack([np.zeros(10), np.eye(10)])[:, None], (1, 2, 1))
        rotations = np.tile(rotations, (11, 1, 1, 1, 1))
        joints, bones = self._hands.joints_and_bones(rotations[:, :, 0], rotations[:, :, 1:], shapes)
        landmarks = joints + self._landmarks.beside(bones)
        for side, hand in enumerate(estimate.hands):
            if hand.joints is not None and _is_open(hand):
                self._add(landmarks[:, side], estimate.rays[side], hand.joints[:, 2].mean())
                self.count += 1

    def _add(self, landmarks: np.ndarray, rays: np.ndarray, depth: float) -> None:
        """landmarks: (11, 21, 3) relative to the wrist, for shape 0 and each unit vector; depth: of the hand, metres."""
        scale = depth * _LANDMARK_ERROR * radius_of(rays)
        landmarks, rays = landmarks[:, _TELLING], rays[_TELLING]
        # (x + t_x) - u (z + t_z) = 0 of every landmark, in units of its error; the same of y.
        rows = (landmarks[..., :2] - rays * landmarks[..., 2:]) / scale
        free = np.zeros((len(rays), 2, 3))
        free[:, 0, 0] = free[:, 1, 1] = 1.0
        free[..., 2] = -rays
        free = np.linalg.qr(free.reshape(-1, 3))[0]
        rows = rows.reshape(11, -1)
        rows = rows - (rows @ free) @ free.T  # what the wrist's position cannot explain
        shape = rows[1:] - rows[0]
        self._normal += shape @ shape.T
        self._right -= shape @ rows[0]

    def result(self) -> np.ndarray:
        """The most likely shape (10,). Raises InputError where too few open hands were seen, or the length is no hand's."""
        if self.count < LEAST_SEEN:
            raise InputError(
                f"an open hand was seen {self.count} times and {LEAST_SEEN} are needed; hold one or both "
                "hands into the image, fingers stretched, palm or back towards the camera"
            )
        weight = _INDEPENDENT / self.count
        lengths = np.array([hand_length(self._hands, betas) for betas in np.vstack([np.zeros(10), np.eye(10)])])
        gradient = (lengths[1:] - lengths[0]) / _LENGTH_ERROR
        # Without any length the smallest hand would fit best, as its errors in metres are the smallest.
        missing = (self._length - lengths[0] if self._length else 0.0) / _LENGTH_ERROR
        betas = np.linalg.solve(
            weight * self._normal + np.eye(10) + np.outer(gradient, gradient), weight * self._right + gradient * missing
        )
        if np.abs(betas).max() > _LARGEST:
            raise InputError(
                f"hand_length is {self._length:g}, which is no hand's; give metres from the crease of the wrist to the tip of "
                "the stretched middle finger, such as 0.19, or 0 where that is not known"
            )
        return betas


def hand_length(hands: HandArrays, betas: np.ndarray) -> float:
    """From the wrist to the tip of the stretched middle finger, metres, of a shape (10,)."""
    flat = np.tile(np.eye(3), (2, 16, 1, 1))
    joints = hands.joints(flat[:, 0], flat[:, 1:], np.tile(betas, (2, 1)))[RIGHT]
    return float(np.linalg.norm(joints[_MIDDLE_TIP] - joints[0]))


def straightness(joints: np.ndarray) -> float:
    """How far the most bent of the four fingers reaches, of its length; joints (21, 3) in any unit. 1 is straight."""
    fingers = joints[5:].reshape(4, 4, 3)
    lengths = np.linalg.norm(np.diff(fingers, axis=1), axis=-1).sum(1)
    return float((np.linalg.norm(fingers[:, 3] - fingers[:, 0], axis=-1) / lengths).min())


def _is_open(hand: HandEstimate) -> bool:
    return hand.valid and hand.joints is not None and straightness(hand.joints) > _OPEN


def save_shape(path: str | Path, betas: np.ndarray, model: str, measured: bool = True) -> None:
    """Write a shape (10,) and the name of the hand model that it belongs to; the file appears complete or not at all.

    measured: its size is, and no guess. Raises InputError where it cannot be written.
    """
    content = {"hand_model": model, "betas": [round(float(b), 5) for b in betas], "size": "measured" if measured else _GUESSED}
    text = yaml.safe_dump(content)
    try:
        write_text(Path(path).expanduser(), "# Hand shape of a person: MANO's betas, as ~/calibrate_hand found them.\n" + text)
    except InputError as error:
        raise InputError(f"the hand shape cannot be kept: {error}") from error


def load_shape(path: str | Path, model: str, measured: bool = False) -> np.ndarray:
    """The shape (10,) in a file of `save_shape`. measured: it has to be. Raises AssetError where it is missing, damaged, of
    another hand model, or not as asked for."""
    path = check_file(Path(path).expanduser(), "hand shape", "give the file that the node's ~/calibrate_hand wrote", AssetError)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        betas, kept = np.array(content["betas"], dtype=float), content["hand_model"]
    except Exception as error:  # YAML's tags have constructors that fail in many ways
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise AssetError(not_a(path, "a hand shape", reason, "give a file that ~/calibrate_hand wrote, or none")) from error
    if betas.shape != (10,) or not (np.abs(betas) <= _LARGEST).all():
        raise AssetError(f"{path}: betas are not 10 numbers between {-_LARGEST:g} and {_LARGEST:g}; calibrate again")
    if kept != model:
        raise AssetError(f"{path} was calibrated with hand model {kept!r} and this one is {model!r}; calibrate again")
    if measured and content.get("size") == _GUESSED:
        raise AssetError(
            f"the hands' size in {path} is a guess, of one camera without hand_length, and several cameras measure it: give no "
            "hand shape, or calibrate again, with several cameras or hand_length"
        )
    return betas


def tracker_with_shape(settings: TrackerSettings, path: str | Path | None, measured: bool = False) -> HandPairTracker:
    """A tracker that knows the person's hand shape, of a file of `save_shape`, where one is given. measured: see `load_shape`.
    Raises as both do."""
    betas = load_shape(path, settings.hand_name, measured) if path else None
    tracker = HandPairTracker(settings)
    tracker.betas = betas
    return tracker
