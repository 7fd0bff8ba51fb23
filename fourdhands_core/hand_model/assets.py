"""Hand models in MANO's format as plain arrays: the two hands of this package, or the user's MANO, either side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import AssetError
from ..files import check_file, not_a
from .skeleton import MANO_PARENTS

HUMAN, GENERIC = "human", "generic"
"""HUMAN: the hand model that is used where none is named."""
SHIPPED_HANDS = {name: Path(__file__).parent / "assets" / f"{name}_hand.npz" for name in (HUMAN, GENERIC)}
"""The hand models that come with the package, by the names that settings have for them. What is learned is learned of each."""

SHAPES = {
    "v_template": (778, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "f": (1538, 3),
    "kintree_table": (2, 16),
    "hands_mean": (45,),
}
"""Arrays of a hand model and their shapes, by MANO's names."""
OPTIONAL_SHAPES = {"hands_components": (45, 45)}
"""Arrays that only some uses of a hand model need."""
_LENGTHS = 0.05, 0.5
"""Metres, of a person's hand: one beyond them is in other units."""


@dataclass(frozen=True, eq=False)
class HandAsset:
    """A hand model in MANO's format, float64, metres; see Romero et al., "Embodied Hands", SIGGRAPH Asia 2017.

    v_template: (778, 3) mean hand, flat. shapedirs: (778, 3, 10) metres per unit of each beta. posedirs: (778, 3, 135)
    metres per unit of R - I of the 15 finger joints, row by row. J_regressor: (16, 778). weights: (778, 16).
    faces: (1538, 3) int64, counter-clockwise from outside. parents: (16,), -1 for the wrist. hands_mean: (45,)
    axis-angle of MANO's mean pose relative to the flat hand. name: "generic", or the file's. hands_components: (45, 45)
    principal components of the pose, one a row, in which some datasets state it; None where the file has none.
    """

    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray
    J_regressor: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    parents: np.ndarray
    hands_mean: np.ndarray
    is_right: bool
    name: str
    hands_components: np.ndarray | None = None


def check_arrays(arrays: dict[str, np.ndarray], source: str) -> None:
    """Raise AssetError unless `arrays` (by MANO's names) have the shapes of a hand model and finite numbers."""
    missing = sorted(set(SHAPES) - set(arrays))
    if missing:
        raise AssetError(
            f"{source} lacks {', '.join(missing)}; it is not a MANO hand model "
            "(give MANO_RIGHT.pkl or MANO_LEFT.pkl to `fourdhands convert-mano`)"
        )
    for name, shape in {**SHAPES, **OPTIONAL_SHAPES}.items():
        if name not in arrays:
            continue
        array = np.asarray(arrays[name])
        if array.dtype.kind not in "fiu":
            raise AssetError(f"{source}: {name} holds {array.dtype}, not numbers; get the file anew")
        if array.shape != shape:
            raise AssetError(
                f"{source}: {name} has shape {array.shape}, MANO's is {shape}; SMPL-H, SMPL-X and NIMBLE files do not fit here"
            )
        if not np.isfinite(array).all():
            raise AssetError(f"{source}: {name} holds values that are not finite; the file is damaged, get it anew")
    length = float(np.ptp(np.asarray(arrays["v_template"], dtype=float), axis=0).max())
    if not _LENGTHS[0] <= length <= _LENGTHS[1]:
        raise AssetError(f"{source}: the hand in v_template is {length:.3g} m long, which no hand is; give it in metres")
    faces = np.asarray(arrays["f"])
    if faces.min() < 0 or faces.max() >= 778:
        raise AssetError(f"{source}: f names vertex {faces.max()} of 778; the file is damaged, get it anew")
    parents = np.asarray(arrays["kintree_table"])[0, 1:].astype(np.int64)
    if not np.array_equal(parents, MANO_PARENTS[1:]):
        raise AssetError(f"{source}: joint parents {parents.tolist()} are not MANO's {MANO_PARENTS[1:].tolist()}")


def asset_from_arrays(arrays: dict[str, np.ndarray], is_right: bool, name: str, source: str = "") -> HandAsset:
    """A HandAsset from arrays by MANO's names; AssetError where they are not a hand model's. source: what that calls them."""
    check_arrays(arrays, source or name)
    same = {*SHAPES, *OPTIONAL_SHAPES} - {"f", "kintree_table"}
    numbers = {key: np.ascontiguousarray(array, dtype=np.float64) for key, array in arrays.items() if key in same}
    faces = np.ascontiguousarray(arrays["f"], dtype=np.int64)
    return HandAsset(faces=faces, parents=MANO_PARENTS.copy(), is_right=is_right, name=name, **numbers)


def load_hand(path: str | Path) -> HandAsset:
    """Read a hand model from an npz of `fourdhands convert-mano` (or of generic_hand); AssetError if it is none."""
    path = check_file(path, "hand model", "make it with `fourdhands convert-mano MANO_RIGHT.pkl`", AssetError)
    if path.suffix == ".pkl":
        raise AssetError(
            f"{path} is a pickle, which is not read at run time; convert it once with "
            f"`fourdhands convert-mano {path}` and name the npz that this writes"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # zipfile, zlib and numpy's reading of headers fail in many ways on a damaged file
        raise AssetError(
            not_a(
                path,
                "a readable npz",
                f"{type(error).__name__}: {error}",
                "make it again with `fourdhands convert-mano`",
                ["a numpy archive (npz)"],
            )
        ) from error
    right = np.asarray(arrays.get("is_right", ""))  # numpy gives bytes for what is no array
    if right.size != 1 or right.dtype.kind not in "biu":
        raise AssetError(f"{path} does not say which side it is (is_right); make it with `fourdhands convert-mano`")
    return asset_from_arrays(arrays, bool(right), str(arrays.get("name", path.stem)), str(path))


@lru_cache
def _shipped(name: str) -> HandAsset:
    return load_hand(SHIPPED_HANDS[name])


def load_generic_hand() -> HandAsset:
    """The generic right hand that ships with the package (made by tools/generic_hand.py, no licence but the package's)."""
    return _shipped(GENERIC)


def load_human_hand() -> HandAsset:
    """The right hand of the mean adult that ships with the package (made by tools/human_hand.py of assets under CC0)."""
    return _shipped(HUMAN)


def open_hand(name: str | Path) -> HandAsset:
    """The right hand model that a setting names: of SHIPPED_HANDS, HUMAN where empty, or a file; AssetError if it is none."""
    name = str(name) or HUMAN
    return _shipped(name) if name in SHIPPED_HANDS else load_hand(name)


def open_left(name: str | Path) -> HandAsset | None:
    """The left hand model that a setting names: the mirror image of one of SHIPPED_HANDS, or a file; None where empty."""
    name = str(name)
    return mirror(_shipped(name)) if name in SHIPPED_HANDS else load_hand(name) if name else None


def open_pair(right: str | Path, left: str | Path = "") -> tuple[HandAsset, HandAsset]:
    """The (left, right) hand models that two settings name, see `open_hand`; without a left one its mirror image."""
    return pair_of(open_hand(right), open_left(left))


def mirror(asset: HandAsset) -> HandAsset:
    """The other side's hand: mirrored in x, faces turned so that they stay counter-clockwise from outside.

    A pose (x, y, z) in axis-angle of the one is (x, -y, -z) of the other (`geometry.rotations.mirror_axis_angle`).
    """
    flip = np.array([-1.0, 1.0, 1.0])
    # R' - I = M (R - I) M for the mirrored pose: its entries with one x index change sign.
    feature = np.tile(np.outer(flip, flip).reshape(-1), 15)
    pose = np.tile([1.0, -1.0, -1.0], 15)
    return replace(
        asset,
        v_template=asset.v_template * flip,
        shapedirs=asset.shapedirs * flip[:, None],
        posedirs=asset.posedirs * flip[:, None] * feature,
        faces=np.ascontiguousarray(asset.faces[:, ::-1]),
        hands_mean=asset.hands_mean * pose,
        is_right=not asset.is_right,
        hands_components=None if asset.hands_components is None else asset.hands_components * pose,
    )


def needs_shape_flip(left: HandAsset, right: HandAsset) -> bool:
    """Whether the left model's shape directions have their x the wrong way round (vchoutas/smplx issue 48).

    In MANO's released left hand they equal the right hand's instead of their mirror image. Measured on the data: the
    mirrored right directions are compared with the left ones as they are and with x flipped. The vertices of the two
    sides correspond in MANO, so that a match is clear; where neither is (not a pair), nothing is flipped.
    """
    expected = mirror(right).shapedirs
    as_given = np.abs(left.shapedirs - expected).mean()
    flipped = np.abs(left.shapedirs * np.array([-1.0, 1.0, 1.0])[:, None] - expected).mean()
    return bool(flipped < as_given)


def pair_of(right: HandAsset, left: HandAsset | None = None) -> tuple[HandAsset, HandAsset]:
    """(left, right) of hands for a tracker: `left` with its shape directions put right, or the mirrored right hand.

    Raises AssetError where a hand is given for the wrong side.
    """
    if not right.is_right:
        raise AssetError(f"{right.name} is a left hand, given for the right one; exchange the two files")
    if left is None:
        return mirror(right), right
    if left.is_right:
        raise AssetError(f"{left.name} is a right hand, given for the left one; exchange the two files")
    if needs_shape_flip(left, right):
        left = replace(left, shapedirs=left.shapedirs * np.array([-1.0, 1.0, 1.0])[:, None])
    return left, right
