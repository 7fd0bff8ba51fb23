"""What the pipeline hands out for a frame: plain frozen dataclasses of numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..geometry.camera import Camera

ABSENT, TRACKED, HELD = "absent", "tracked", "held"
"""States of a hand: not seen; seen in this frame; not seen in this frame but shortly before (pose is `age` old).
Of a frame in which a hand is seen that depth places elsewhere at last, through another lens or after a reset, it is HELD or
ABSENT too: who follows it is to know of the jump.

Who uses a hand looks at `valid`. Another state is decided in `pipeline/hand_track.py`, of several cameras in
`fusion/fusion.py`; it is a constant of Hand.msg, in `STATES` of `convert/encoders.py`, in `_STATES` of `view/moments.py`,
with a shade in `view/timeline.py`, drawn by `media/draw.py` and `view/scene.py`, and a word in `docs/view.md` and README.md.
"""

SOURCE_NONE, SOURCE_NETWORK, SOURCE_JOINT = "none", "network", "joint"
"""Where the left root relative to the right comes from: not both hands there; the network's regression alone
(no calibrated camera); the joint solution of the network's regression and both hands' reprojection."""


@dataclass(frozen=True, eq=False)
class HandEstimate:
    """One hand in one frame. All positions are in the camera's optical frame (x right, y down, z forward), metres.

    valid: the hand was seen in this frame and the fields below describe it. state: TRACKED where valid; HELD where it was
    not seen in this frame but shortly before: valid is False and the fields hold its last pose, `age` seconds old;
    ABSENT: valid False and None in every array field, never zeros, never another hand's numbers.

    side: 0 left, 1 right (`hand_model.skeleton.LEFT`, `RIGHT`). age: seconds since the hand was last detected (0 when
    TRACKED; NaN when never). confidence: 0-1. joints: (21, 3) filtered. joints_raw: (21, 3) before the temporal filter.
    joints_2d: (21, 2) pixels of the image as given, where the hand is seen: the projection of the joints of a hand as large
    as it is seen, not of `joints` (`Landmarks.size`; with depth, of the hand's true size). joint_confidence: (21,) 0-1.
    wrist_rotation: (3, 3), wrist frame (MANO's root frame of that side) to camera optical frame. global_orient: (3,)
    axis-angle of the same rotation. hand_pose: (45,) axis-angle of MANO's 15 joints in MANO's order, flat_hand_mean=True
    (relative to the flat hand). betas: (10,) shape. vertices: (778, 3) or None when not asked for. scaled: False where the
    camera's focal length was assumed, so that positions have no metric scale; how far away they are comes from the hand's
    size, unless by_depth. by_depth: a depth image of the frame has placed the hand; False where there was one that says
    nothing of it, or what is not believed; None without one, and where cameras are fused.
    """

    side: int
    valid: bool
    state: str
    age: float
    confidence: float = 0.0
    joints: np.ndarray | None = None
    joints_raw: np.ndarray | None = None
    joints_2d: np.ndarray | None = None
    joint_confidence: np.ndarray | None = None
    wrist_rotation: np.ndarray | None = None
    global_orient: np.ndarray | None = None
    hand_pose: np.ndarray | None = None
    betas: np.ndarray | None = None
    vertices: np.ndarray | None = None
    scaled: bool = False
    by_depth: bool | None = None


def absent(side: int) -> HandEstimate:
    """A hand of which nothing is known."""
    return HandEstimate(side, valid=False, state=ABSENT, age=float("nan"))


@dataclass(frozen=True, eq=False)
class HandPairEstimate:
    """Both hands in one frame.

    stamp: the image's stamp, nanoseconds. left, right: always present; an unseen hand has valid False.
    left_root_relative: (3,) the left wrist minus the right wrist, metres, camera optical frame; None unless both are
    valid. left_root_source: SOURCE_NONE, SOURCE_NETWORK or SOURCE_JOINT. camera: the camera used.
    timings: seconds by stage, in order: "detect", "identity", "network", "solve", "hand_model". mirrored: the image and its
    camera are mirrored; positions are in the optical frame of the camera as it would be unmirrored. cameras: of an estimate of
    several cameras those that saw the (left, right) hand. rays: (2, 21, 2) landmarks as undistorted x/z, y/z that it was made
    of; None of an estimate of several cameras. since: stamp of the first of the images in a row that are alike, as of a camera
    that is frozen; None where that is not known.
    """

    stamp: int
    left: HandEstimate
    right: HandEstimate
    camera: Camera
    left_root_relative: np.ndarray | None = None
    left_root_source: str = SOURCE_NONE
    timings: dict[str, float] = field(default_factory=dict)
    mirrored: bool = False
    cameras: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    rays: np.ndarray | None = field(default=None, repr=False)
    since: int | None = None

    @property
    def hands(self) -> tuple[HandEstimate, HandEstimate]:
        """(left, right)."""
        return self.left, self.right
