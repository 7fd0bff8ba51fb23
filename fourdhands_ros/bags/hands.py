"""The hands that a bag holds, as the arrays of hands.npz."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np

from fourdhands_core.episodes.order import in_order
from fourdhands_core.errors import InputError
from fourdhands_core.geometry.rotations import matrix_from_quaternion
from fourdhands_core.hand_model.skeleton import SIDES
from fourdhands_core.streams import counted, warn

from ..convert.images import stamp_of
from .info import HAND_PAIR, pair_store, pair_topics
from .reading import Bag

_HELD_UP = 1_000_000_000
"""Nanoseconds by which messages of one time come one after the other at most."""


def read_bag_hands(path: str | Path, topic: str | None = None) -> dict[str, np.ndarray]:
    """Of a bag's HandPairs stamp (N,), valid (N, 2), joints (N, 2, 21, 3) and wrist_rotation (N, 2, 3, 3), as in hands.npz, in
    the order of their stamps.

    topic: None for the first with hands. What cannot be read is said on stderr. Raises InputError where there are none.
    """
    path = Path(path)
    with Bag(path) as bag:
        name = pair_topics(bag, topic)[0]
        store = pair_store(path, name, bag.topics[name])
        rows: list[list[np.ndarray]] = []
        stamps, times, spoilt, fixed = array("q"), array("q"), 0, ""
        for _, time, data in bag.messages([name]):
            try:
                pair = store.deserialize_cdr(data, HAND_PAIR)
                stamp, *row = _row(pair)
                if any(hand.valid and not len(hand.joints_2d) for hand in (pair.left, pair.right)):  # of fused cameras
                    fixed = str(pair.header.frame_id)
            except Exception:  # rosbags lets out whatever it runs into in a damaged message
                spoilt += 1
                continue
            rows.append(row)
            stamps.append(stamp)
            times.append(time)
        if fixed and not fixed.removesuffix("_frame").endswith("optical"):
            warn(
                f"{name} has hands of fused cameras in {fixed}, which are followed as if that was a camera's frame (x right, "
                "y down, z forward); choose a camera's hands with --topic"
            )
        warnings = [*bag.warnings, *([f"{path}: {spoilt} messages on {name} do not unpack"] if spoilt else [])]
    if not rows:
        raise InputError(f"{path}: no message on {name} can be read; it is damaged")
    rising, kept = _in_order(np.array(stamps, np.int64), np.array(times, np.int64))
    if left_out := len(np.unique(stamps)) - len(kept):
        words = "have stamps out of order, as where a clock was set back: left out"
        warnings.append(f"{path}: of {counted(len(rows), 'HandPairs')} of {name} {left_out} {words}")
    for warning in warnings:
        warn(warning)
    valid, joints, rotation = (np.array(column) for column in zip(*(rows[k] for k in kept)))
    return {"stamp": rising, "valid": valid, "joints": joints, "wrist_rotation": rotation}


def _in_order(stamp: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rising stamps and whose they are, of messages as they came: all of them, each once; where a clock was set back, those
    that an export takes, as there are hands of two times."""
    if (np.maximum.accumulate(stamp) - stamp).max() > _HELD_UP:
        kept = in_order(stamp, time)
        return stamp[kept], kept
    return np.unique(stamp, return_index=True)


def _row(pair: Any) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    valid, joints, rotation = np.zeros(2, bool), np.full((2, 21, 3), np.nan), np.full((2, 3, 3), np.nan)
    for side, name in enumerate(SIDES):
        hand = getattr(pair, name)
        if hand.valid and len(hand.joints) == 21:
            turn = hand.wrist.orientation
            valid[side] = True
            joints[side] = [(joint.x, joint.y, joint.z) for joint in hand.joints]
            rotation[side] = matrix_from_quaternion(np.array([turn.x, turn.y, turn.z, turn.w]))
    return stamp_of(pair.header), valid, joints, rotation
