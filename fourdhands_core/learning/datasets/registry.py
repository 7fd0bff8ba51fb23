"""The datasets by name."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from ...errors import DatasetError
from ...hand_model.assets import HandAsset
from .frames import HandDataset

_CLASSES = {
    "InterHand2.6M": "interhand:InterHand",
    "InterHand2.6M-30fps": "interhand:InterHand30",
    "InterHand2.6M-all": "interhand:InterHandAll",
    "InterHand2.6M-30fps-all": "interhand:InterHand30All",
    "ReInterHand": "reinterhand:ReInterHand",
    "ReInterHand-frames": "reinterhand:ReInterHandFrames",
    "ReInterHand-ego": "reinterhand:ReInterHandEgo",
    "ReInterHand-ego-frames": "reinterhand:ReInterHandEgoFrames",
    "HIC": "hic:Hic",
    "RenderIH": "renderih:RenderIH",
    "H2O3D": "h2o3d:H2o3d",
    "ARCTIC": "arctic:Arctic",
    "ARCTIC-ego": "arctic:ArcticEgo",
    "MTC": "mtc:Mtc",
    "DexYCB": "dexycb:DexYcb",
    "FreiHAND": "freihand:FreiHand",
    "HO3D": "ho3d:Ho3d",
    "RHD": "rhd:Rhd",
    "COCO-WholeBody": "whole_body:CocoWholeBody",
    "Halpe": "whole_body:Halpe",
    "MPII-NZSL": "nzsl:MpiiNzsl",
    "synthetic": "synthetic:Synthetic",
}
"""Name -> module of this folder and its class, imported when asked for."""

NAMES = tuple(_CLASSES)


def dataset_class(name: str) -> type[HandDataset]:
    """The class of a dataset; case and punctuation of the name do not count. DatasetError for an unknown name."""
    wanted = _plain(name)
    for known, where in _CLASSES.items():
        if _plain(known) == wanted:
            module, attribute = where.split(":")
            return getattr(import_module(f".{module}", __package__), attribute)
    raise DatasetError(f"there is no dataset {name!r}; there are {', '.join(NAMES)}")


def open_dataset(
    name: str, root: Path, split: str | None = None, hands: tuple[HandAsset, HandAsset] | None = None
) -> HandDataset:
    """A dataset of the registry, read in place (frames.HandDataset says what the arguments are).

    split: None for the dataset's first. DatasetError where the name, the split or the folder is wrong, or no frame is there.
    """
    kind = dataset_class(name)
    dataset = kind(Path(root), kind.splits[0] if split is None else split, hands)
    if not len(dataset):
        raise DatasetError(f"{name} in {root} has no frame in split {dataset.split}")
    return dataset


def _plain(name):
    return re.sub("[^a-z0-9]", "", name.lower())
