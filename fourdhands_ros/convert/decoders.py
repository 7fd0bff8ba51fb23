"""HandPair messages as the pipeline's estimates, which is what drawings and pages take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.skeleton import LEFT, RIGHT, SIDES
from fourdhands_core.pipeline.types import ABSENT, SOURCE_NONE, HandEstimate, HandPairEstimate, absent

from .encoders import SOURCES, STATES
from .images import stamp_of

_STATE_NAMES = {value: name for name, value in STATES.items()}
_NUMBERS = {"joint_confidence": 21, "hand_pose": 45, "global_orient": 3, "betas": 10}
_SOURCE_NAMES = {value: name for name, value in SOURCES.items()}


def points(sequence: Iterable[Any]) -> np.ndarray:
    """A sequence of geometry_msgs/Point as (N, 3)."""
    return np.array([(p.x, p.y, p.z) for p in sequence]).reshape(-1, 3)


def pair_estimate(pair: Any, camera: Camera) -> HandPairEstimate:
    """A HandPair message, as rosidl or rosbags has it, as the pipeline's type. camera: of its image.

    A hand whose joints are no finite numbers is ABSENT, as a robot takes it; `without_numbers` says so.
    Raises ValueError where an array has another length than HandPair says, MalformedImage where the stamp is not a time.
    """
    hands = [_hand(pair.left, LEFT), _hand(pair.right, RIGHT)]
    relative = pair.left_root_relative
    source = _SOURCE_NAMES.get(pair.left_root_source, SOURCE_NONE)
    return HandPairEstimate(
        stamp_of(pair.header),
        hands[LEFT],
        hands[RIGHT],
        camera,
        np.array([relative.x, relative.y, relative.z]) if source != SOURCE_NONE else None,
        source,
        # which bags of before several cameras were fused do not have
        cameras=(tuple(map(str, getattr(pair, "left_cameras", ()))), tuple(map(str, getattr(pair, "right_cameras", ())))),
    )


def without_numbers(pair: Any) -> tuple[str, ...]:
    """Which hands a HandPair calls valid whose joints are no numbers, a sentence each."""
    hands = [(side, hand) for side, hand in zip(SIDES, (pair.left, pair.right)) if hand.valid]
    wrong = "is called valid, and its joints are no finite numbers: it is ABSENT; look at who publishes it"
    return tuple(f"the {side} hand {wrong}" for side, hand in hands if not np.isfinite(points(hand.joints)).all())


def _hand(hand: Any, side: int) -> HandEstimate:
    fields: dict[str, Any] = {}
    state = _STATE_NAMES.get(hand.state, ABSENT)
    if state != ABSENT:  # a held hand has its last pose
        joints = points(hand.joints).reshape(21, 3)
        if not np.isfinite(joints).all():
            return absent(side)
        fields = {
            "joints": joints,
            "joints_raw": points(hand.joints_raw).reshape(21, 3),
            # of several cameras' images there are none
            "joints_2d": np.reshape(hand.joints_2d, (21, 2)).astype(float) if len(hand.joints_2d) else None,
            **{name: np.array(getattr(hand, name), float).reshape(count) for name, count in _NUMBERS.items()},
            "vertices": np.reshape(hand.vertices, (-1, 3)).astype(float) if len(hand.vertices) else None,
        }
    return HandEstimate(
        side, bool(hand.valid), state, float(hand.age), float(hand.confidence), scaled=bool(hand.scaled), **fields
    )
