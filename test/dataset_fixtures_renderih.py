"""RenderIH's layout with known hands, written from adwardlee/RenderIH's steps.md and step 7."""

import pickle

import numpy as np
from dataset_support import camera_pose, make_truth, write_image
from scipy.spatial.transform import Rotation

MATRIX = np.array([[500.0, 0.0, 128.0], [0.0, 500.0, 126.0], [0.0, 0.0, 1.0]])


def write(root, hands, seed=5):
    """Images 366358 and 1000000. Returns ({(number, side): Truth}, {number: (R, t)})."""
    rng = np.random.default_rng(seed)
    ground_truth, poses = {}, {}
    folder = root / "train"
    (folder / "color_annot").mkdir(parents=True)
    for number in ("366358", "1000000"):
        rotation, offset = poses[number] = camera_pose(rng)
        params = {}
        for side, hand, x in (("left", hands[0], 0.02), ("right", hands[1], -0.02)):
            truth = ground_truth[number, side] = make_truth(hand, (x, 0.0, 0.0), rng, components=44)
            params[side] = {
                "R": Rotation.from_rotvec(truth.pose[:3]).as_matrix()[None].astype(np.float32),
                "pose": np.append(truth.pose[3:], 0.0)[None].astype(np.float32),
                "shape": truth.betas[None].astype(np.float32),
                "trans": truth.translation[None].astype(np.float32),
            }
        data = {
            "inter_idx": 0,
            "mano_params": params,
            "camera": {"R": rotation.astype(np.float32), "t": offset.astype(np.float32), "camera": MATRIX},
        }
        (folder / "color_annot" / f"{number}.pkl").write_bytes(pickle.dumps(data))
        write_image(folder / "color_img" / f"{number}.jpg", 256, 256)
    return ground_truth, poses
