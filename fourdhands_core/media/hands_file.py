"""hands.npz, which `fourdhands track` writes: its keys, writing and reading; see docs/hands_npz.md."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import check_file, not_a
from ..outputs import writing
from ..pipeline.types import HandPairEstimate

_PER_HAND: dict[str, tuple[int, ...]] = {
    "confidence": (),
    "joints": (21, 3),
    "joints_2d": (21, 2),
    "joint_confidence": (21,),
    "wrist_rotation": (3, 3),
    "hand_pose": (45,),
    "betas": (10,),
}
"""A field of HandEstimate, and a key of the file."""
SHAPES: dict[str, tuple[int, ...]] = {
    "stamp": (),
    "valid": (2,),
    "scaled": (),
    "left_root_relative": (3,),
    **{name: (2, *shape) for name, shape in _PER_HAND.items()},
}
"""By its key the shape of a frame's part. What a hand has where it is not valid too, as `valid`, is not in `_PER_HAND`."""
_ADVICE = "give the hands.npz that `fourdhands track` wrote"


class PairRecord:
    """Collects estimates frame by frame and lays them out as the arrays of hands.npz."""

    def __init__(self):
        self._pairs = []

    def __len__(self) -> int:
        return len(self._pairs)

    def append(self, pair: HandPairEstimate) -> None:
        """Add the estimate of the next frame."""
        values: dict[str, Any] = {name: np.full((2, *shape), np.nan) for name, shape in _PER_HAND.items()}
        for side, hand in enumerate(pair.hands):
            if hand.valid:
                for name in _PER_HAND:
                    if (value := getattr(hand, name)) is not None:  # several cameras see it at no one pixel
                        values[name][side] = value
        values["stamp"], values["valid"] = pair.stamp, [hand.valid for hand in pair.hands]
        values["scaled"] = pair.camera.calibrated
        both = all(values["valid"]) and pair.left_root_relative is not None
        values["left_root_relative"] = pair.left_root_relative if both else np.full(3, np.nan)
        self._pairs.append(values)  # one step: an interrupt cannot leave half a frame behind

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of hands.npz over N frames; axis 1 is the side, 0 left and 1 right.

        stamp (N,) int64 nanoseconds; valid (N, 2) bool; scaled (N,) bool, positions are metres, otherwise of an assumed
        field of view; confidence (N, 2) 0-1; joints (N, 2, 21, 3) metres in the camera's optical frame; joints_2d
        (N, 2, 21, 2) pixels; joint_confidence (N, 2, 21) 0-1; wrist_rotation (N, 2, 3, 3) wrist to camera; hand_pose
        (N, 2, 45) axis-angle, MANO's order, relative to the flat hand; betas (N, 2, 10); left_root_relative
        (N, 3) metres, left wrist minus right wrist. NaN where the hand is invalid.
        """
        kinds = {"stamp": np.int64, "valid": bool, "scaled": bool}
        return {
            name: np.array([pair[name] for pair in self._pairs], kinds.get(name, np.float64)).reshape(-1, *shape)
            for name, shape in SHAPES.items()
        }

    def counts(self) -> tuple[int, int, int, int]:
        """How many frames there are, those with the left hand, with the right, with both."""
        valid = np.array([pair["valid"] for pair in self._pairs], bool).reshape(-1, 2)
        left, right = valid.sum(axis=0).tolist()
        return len(valid), left, right, int(valid.all(axis=1).sum())

    def save(self, path: str | Path) -> None:
        """Write the npz; the file appears complete or not at all."""
        whole = io.BytesIO()  # what zipfile could not write to a full disk it tries again in __del__, and says so
        np.savez_compressed(whole, **self.arrays())
        with writing(path) as partial:
            partial.write_bytes(whole.getbuffer())


def read_hands(path: str | Path, keys: Iterable[str] = SHAPES) -> dict[str, np.ndarray]:
    """The arrays of a hands.npz, see `PairRecord.arrays`. keys: those that are needed; others may be missing or anything.

    Raises InputError where it is none, lacks one of them, holds no frame, or has stamps that do not increase.
    """
    path = check_file(path, "result", _ADVICE)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy's reading of headers fail in many ways on a damaged file
        raise InputError(not_a(path, "a hands.npz", f"{type(error).__name__}: {error}", _ADVICE)) from error
    keys = tuple(keys)
    missing = [name for name in keys if name not in arrays]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; {_ADVICE}")
    count = len(np.atleast_1d(arrays[keys[0]]))
    for name in keys:
        array, shape = arrays[name], (count, *SHAPES[name])
        if array.shape != shape or array.dtype.kind not in "biuf":
            raise InputError(f"{path}: {name} is {array.dtype} of shape {array.shape}, not {shape}; {_ADVICE}")
    if not count:
        raise InputError(f"{path} holds no frame; {_ADVICE}")
    if "stamp" in keys:
        _check_stamps(arrays["stamp"], path)
    return arrays


def _check_stamps(stamp: np.ndarray, path: Path) -> None:
    """Raise InputError where they do not increase."""
    if not np.isfinite(stamp[0]):
        raise InputError(f"{path}: stamp {stamp[0]} of frame 0 is no time; {_ADVICE}")
    if (wrong := ~(np.isfinite(stamp[1:]) & (stamp[1:] > stamp[:-1]))).any():
        row = int(wrong.argmax())
        raise InputError(
            f"{path}: stamp {stamp[row + 1]} of frame {row + 1} is not after {stamp[row]} of frame {row}; {_ADVICE}"
        )


def is_fused(arrays: dict[str, np.ndarray]) -> bool:
    """Whether the arrays of `read_hands` are of several cameras together, which see a hand at no one pixel."""
    valid, pixels = arrays["valid"].astype(bool), arrays.get("joints_2d")
    if pixels is None or pixels.dtype.kind not in "biuf" or pixels.shape[:2] != valid.shape:
        return False
    return bool(valid.any()) and not np.isfinite(pixels[valid]).any()
