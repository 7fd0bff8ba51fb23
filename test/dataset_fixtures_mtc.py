"""MTC's a4_release with known joints, written from CMU's MonocularTotalCapture (POF/data/DomeReader.py)."""

import pickle

import numpy as np
from dataset_support import camera_pose, make_truth, write_image

JOINTS = ["wrist"] + [f"{finger}_{i}" for finger in ("thumb", "index", "middle", "ring", "little") for i in (1, 2, 3, 4)]
MATRIX = np.array([[1600.0, 0.0, 950.0], [0.0, 1605.0, 540.0], [0.0, 0.0, 1.0]])
LENS = np.array([-0.2, 0.1, 0.001, -0.0005, 0.02])
SEQUENCE, FRAME = "171026_pose1", "00002975"


def panoptic(points):
    """The Panoptic Studio's lens model, written out."""
    x, y = (points[:, :2] / points[:, 2:]).T
    k1, k2, p1, p2, k3 = LENS
    r2 = x**2 + y**2
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    bent = (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y**2))
    return np.stack(bent, axis=1) * MATRIX[[0, 1], [0, 1]] + MATRIX[:2, 2]


def write(root, hands, seed=8):
    """One training sample in cameras 0 (both hands), 3 (the left is occluded), 5 (no hand usable), 6 (no image), and a
    test sample with a right hand in camera 3. Returns ({(frame, side): Truth}, {camera: (R, t)}), metres.
    """
    rng = np.random.default_rng(seed)
    poses = {camera: camera_pose(rng) for camera in (0, 3, 5, 6)}
    ground_truth = {}

    def sample(frame, sides, cameras):
        made = {"seqName": SEQUENCE, "frame_str": frame, "id": 0, "body": {"landmarks": [0.0] * 57}}
        for side, hand, x in (("left", hands[0], 0.06), ("right", hands[1], -0.06)):
            if side in sides:
                truth = ground_truth[frame, side] = make_truth(hand, (x, 0.0, 0.0), rng)
                state = {
                    camera: {"insideImg": np.ones(21, bool), "occluded": [False] * 21, "overlap": False} for camera in cameras
                }
                if 5 in state:
                    state[5]["overlap"] = True
                if 3 in state and side == "left":
                    state[3]["occluded"][4] = True
                made[f"{side}_hand"] = {"landmarks": (100.0 * truth.listed(JOINTS)).ravel().tolist(), "2D": state}
        return made

    data = {
        "training_data": [sample(FRAME, ("left", "right"), (0, 3, 5, 6))],
        "testing_data": [sample("00003310", ("right",), (3,))],
    }
    cameras = {
        SEQUENCE: {
            camera: {"K": MATRIX, "R": rotation, "t": 100.0 * offset[:, None], "distCoef": LENS}
            for camera, (rotation, offset) in poses.items()
        }
    }
    root.mkdir(exist_ok=True)
    (root / "annotation.pkl").write_bytes(pickle.dumps(data, 2))
    (root / "camera_data.pkl").write_bytes(pickle.dumps(cameras, 2))
    for camera, frame in ((0, FRAME), (3, FRAME), (5, FRAME), (3, "00003310")):
        write_image(root / "hdImgs" / SEQUENCE / frame / f"00_{camera:02d}_{frame}.jpg", 1920, 1080)
    return ground_truth, poses
