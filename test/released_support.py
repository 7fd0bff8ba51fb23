"""A small released checkpoint, and what an independent implementation computes with it (test/data/released)."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).parent / "data" / "released"
SHAPES = json.loads((DATA / "parameter_shapes_depth2.json").read_text())
"""Shapes by name of the tensors of a released file, with 2 backbone blocks."""


def weights(name, shape):
    """The weights of the check, made from a tensor's name."""
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(int(np.prod(shape))).reshape(shape)
    if name == "time_head.init_cam":
        return torch.tensor([[4.0, 0.0, 0.0]])
    if "pos_embed" in name:
        z = 0.1 * z
    elif len(shape) >= 2:
        z = z / np.sqrt(np.prod(shape[1:]))
    elif ("norm" in name and name.endswith("weight")) or name.endswith("map_head.1.weight"):
        z = 1 + 0.1 * z
    else:
        z = 0.1 * z
    return torch.from_numpy(z.astype(np.float32))


def checkpoint():
    """Names and tensors of a released file with 2 backbone blocks, and one tensor that nothing needs."""
    return {**{name: weights(name, shape) for name, shape in SHAPES.items()}, "mano.shapedirs": torch.zeros(3)}


def inputs():
    """Crops (18, 3, 256, 192), squares (9, 2, 4) of a window of 9 frames, (left, right); the truth's first rows are of it."""
    crops = np.random.RandomState(20240530).standard_normal((2, 2, 9, 3, 256, 192)).astype(np.float32)
    crops = torch.from_numpy(crops).permute(0, 2, 1, 3, 4, 5).flip(2).flatten(0, 2)
    truth = np.load(DATA / "reference_depth2.npz")
    squares = np.stack([truth["boxes_left"], truth["boxes_right"]], 2).reshape(18, 2, 4)
    return crops[:18], torch.from_numpy(squares[:9]), truth
