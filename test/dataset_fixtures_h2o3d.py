"""H2O3D's layout with known hands, written from shreyashampali/ho3d's README and vis_H2O3D.py."""

import pickle

import numpy as np
from dataset_support import MANO_ORDER, make_truth, released_left, write_image
from scipy.spatial.transform import Rotation

TO_OPENGL = np.diag([1.0, -1.0, -1.0])
MATRIX = np.array([[615.0, 0.0, 310.0], [0.0, 614.0, 240.0], [0.0, 0.0, 1.0]])
JOINTS = MANO_ORDER + [f"{finger}_4" for finger in ("thumb", "index", "middle", "ring", "little")]


def write(root, hands, released=True, seed=6):
    """Frames 0001 and 0000 of train/AB1, 0000 of evaluation/CD1, one without annotations. The hands are posed in OpenGL's
    frame. released: left hands made with MANO's left model as released. Returns {(split, frame, side): Truth} there.
    """
    rng = np.random.default_rng(seed)
    left = released_left(hands[0]) if released else hands[0]
    ground_truth = {}
    for split, sequence, frames in (("train", "AB1", ("0001", "0000", "0002")), ("evaluation", "CD1", ("0000",))):
        (root / split / sequence / "meta").mkdir(parents=True)
        (root / f"{split}.txt").write_text("".join(f"{sequence}/{frame}\n" for frame in frames))
        for frame in frames:
            meta = {"camMat": MATRIX, "objName": "003_cracker_box", "objRot": np.zeros((3, 1)), "handBeta": None}
            for side, hand, x in (("left", left, -0.1), ("right", hands[1], 0.1)):
                truth = ground_truth[split, frame, side] = make_truth(hand, (x, 0.0, -0.7), rng, flat=True)
                if side == "right":  # both hands of a person have one shape
                    truth = ground_truth[split, frame, side] = _with_betas(hand, truth, meta["handBeta"])
                meta["handBeta"] = truth.betas
                if split == "train":
                    meta.update(
                        {
                            f"{side}HandPose": truth.pose,
                            f"{side}HandTrans": truth.translation,
                            f"{side}HandJoints3D": truth.listed(JOINTS),
                        }
                    )
                else:
                    meta.update({f"{side}HandJoints3D": truth.joints["wrist"], f"{side}HandBoundingBox": [100, 110, 200, 220]})
            if frame == "0002":
                meta = {key: meta[key] if key == "camMat" else None for key in meta}
            (root / split / sequence / "meta" / f"{frame}.pkl").write_bytes(pickle.dumps(meta, 2))
            write_image(root / split / sequence / "rgb" / f"{frame}.jpg", 640, 480)
    return ground_truth


def _with_betas(hand, truth, betas):
    class Fixed:
        """A generator that gives this pose, these betas and this translation in make_truth's order."""

        def __init__(self):
            self.values = [truth.pose, truth.pose[:3], betas, truth.translation]

        def normal(self, *_):
            return self.values.pop(0).copy()

    return make_truth(hand, np.zeros(3), Fixed(), flat=True)


def moved_truth_rotation(truth):
    """The wrist's rotation in the camera's optical frame."""
    return TO_OPENGL @ Rotation.from_rotvec(truth.pose[:3]).as_matrix()
