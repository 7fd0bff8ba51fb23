"""HO3D's layout with known hands, written from shreyashampali/ho3d's README, vis_HO3D.py and utils/vis_utils.py."""

import json
import pickle

import numpy as np
from dataset_support import MANO_ORDER, make_truth, write_image

JOINTS = MANO_ORDER + [f"{finger}_4" for finger in ("thumb", "index", "middle", "ring", "little")]
MATRIX = np.array([[614.6, 0.0, 320.3], [0.0, 614.6, 241.6], [0.0, 0.0, 1.0]])
TRAIN = {"ABF10": ("0002", "0000", "0001", "0007"), "MC1": ("0005",)}
EVALUATION = {"SM1": ("0000", "0001")}


def write(root, hands, version=2, late=("xyz", "verts"), seed=4):
    """Right hands in OpenGL's frame; ABF10 lacks images 3 to 6, MC1's one image has no annotation. late: what came out
    when the challenge ended. Returns {(split, sequence, frame): Truth} in OpenGL's frame."""
    rng = np.random.default_rng(seed)
    ground_truth, published = {}, {"xyz": [], "verts": []}
    for split, sequences in (("train", TRAIN), ("evaluation", EVALUATION)):
        lines = [f"{sequence}/{frame}\n" for sequence, frames in sequences.items() for frame in frames]
        (root / split).mkdir(parents=True)
        (root / f"{split}.txt").write_text("".join(lines))
        for sequence, frame in (line.strip().split("/") for line in lines):
            folder = root / split / sequence
            (folder / "meta").mkdir(parents=True, exist_ok=True)
            truth = ground_truth[split, sequence, frame] = make_truth(hands[1], (0.02, 0.03, -0.6), rng, flat=True)
            meta = {"camMat": MATRIX, "objName": "021_bleach_cleanser", "objRot": np.ones((3, 1)), "objTrans": np.zeros(3)}
            if split == "evaluation":
                meta.update(handJoints3D=truth.joints["wrist"], handBoundingBox=[100, 110, 300, 320])
                published["xyz"].append(truth.listed(JOINTS).tolist())
                published["verts"].append(truth.vertices.tolist())
            else:
                meta.update(
                    handPose=truth.pose, handBeta=truth.betas, handTrans=truth.translation, handJoints3D=truth.listed(JOINTS)
                )
            if sequence == "MC1":
                meta.update(dict.fromkeys(("handPose", "handBeta", "handTrans", "handJoints3D", "objRot")))
            (folder / "meta" / f"{frame}.pkl").write_bytes(pickle.dumps(meta, 2))
            write_image(folder / "rgb" / f"{frame}.{'png' if version == 2 else 'jpg'}", 640, 480)
    for what in late:
        (root / f"evaluation_{what}.json").write_text(json.dumps(published[what]))
    return ground_truth
