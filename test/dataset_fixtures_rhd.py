"""RHD's layout with known hands, written from the release's README as lmb-freiburg/hand3d uses it."""

import pickle

import numpy as np
from dataset_support import make_truth, pinhole, write_image

ONE_HAND = ["wrist"] + [f"{finger}_{i}" for finger in ("thumb", "index", "middle", "ring", "little") for i in (4, 3, 2, 1)]
MATRIX = np.array([[380.0, 0.0, 160.0], [0.0, 380.0, 160.0], [0.0, 0.0, 1.0]])
NUMBERS = (0, 1, 17)


def write(root, hands, split="training", seed=7):
    """Left and right hands; in number 1 no keypoint of the right hand is visible. Returns {(number, side): Truth}."""
    rng = np.random.default_rng(seed)
    ground_truth, annotations = {}, {}
    for number in NUMBERS:
        pair = [make_truth(hands[side], (0.08 - 0.16 * side, 0.0, 0.6), rng) for side in (0, 1)]
        ground_truth.update({(number, side): pair[side] for side in (0, 1)})
        joints = np.concatenate([truth.listed(ONE_HAND) for truth in pair])
        visible = np.ones((42, 1))
        visible[[3, 8]] = 0.0
        if number == 1:
            visible[21:] = 0.0
        points = pinhole(joints, MATRIX[[0, 1], [0, 1]], MATRIX[:2, 2])
        annotations[number] = {
            "xyz": joints.astype(np.float32),
            "uv_vis": np.hstack([points, visible]),
            "K": MATRIX.astype(np.float32),
        }
        write_image(root / split / "color" / f"{number:05d}.png", 320, 320)
    (root / split / f"anno_{split}.pickle").write_bytes(pickle.dumps(annotations, 2))
    return ground_truth
