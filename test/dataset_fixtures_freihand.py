"""FreiHAND's layout with known hands, written from lmb-freiburg/freihand's README and utils/fh_utils.py."""

import json

import numpy as np
from dataset_support import make_truth, write_image

JOINTS = ["wrist"] + [f"{finger}_{i}" for finger in ("thumb", "index", "middle", "ring", "little") for i in (1, 2, 3, 4)]
MATRIX = np.array([[480.0, 0.0, 112.5], [0.0, 479.0, 111.0], [0.0, 0.0, 1.0]])
COUNT = 3


def write(root, hands, split="training", versions=4, vertices=True, seed=2):
    """COUNT right hands and `versions` backgrounds of each; MANO's mean pose is counted from. Returns a Truth a hand."""
    rng = np.random.default_rng(seed)
    ground_truth = [make_truth(hands[1], (0.0, 0.0, 0.7), rng) for _ in range(COUNT)]
    lists = {
        "K": [MATRIX.tolist()] * COUNT,
        "xyz": [truth.listed(JOINTS).tolist() for truth in ground_truth],
        "mano": [[[*truth.pose, *truth.betas, 110.0, 112.0, 600.0]] for truth in ground_truth],
        "scale": [0.03] * COUNT,
    }
    if vertices:
        lists["verts"] = [truth.vertices.tolist() for truth in ground_truth]
    for what, content in lists.items():
        (root / f"{split}_{what}.json").write_text(json.dumps(content))
    for number in range(COUNT * versions):
        write_image(root / split / "rgb" / f"{number:08d}.jpg", 224, 224, value=40 + 10 * number)
    return ground_truth
