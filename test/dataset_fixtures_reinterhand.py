"""Re:InterHand's layout with known hands, written from facebookresearch/InterWild's description of the files."""

import json

import numpy as np
from dataset_support import camera_pose, make_truth, write_image

CAPTURES = (
    "m--20210701--1058--0000000--pilot--relightablehandsy--participant0--two-hands",
    "m--20221215--0949--RNS217--pilot--ProjectGoliathScript--Hands--two-hands",
)
JOINTS = (
    ["wrist", "thumb_0", "thumb_1", "thumb_2", "thumb_3", "thumb_4"]
    + [f"{finger}_{i}" for finger in ("index", "middle", "ring") for i in (1, 2, 3, 4)]
    + [f"little_{i}" for i in range(5)]
    + ["forearm"]
)
FOCAL, CENTRE = np.array([900.0, 905.0]), np.array([250.0, 180.0])
FISHEYE = np.array([0.05, -0.02, 0.01, -0.003])
EGO_FOCAL = np.array([240.0, 242.0])


def fisheye(points):
    """Kannala-Brandt projection, written out."""
    ray = points[:, :2] / points[:, 2:]
    r = np.linalg.norm(ray, axis=1)
    theta = np.arctan(r)
    bent = theta * (1 + FISHEYE[0] * theta**2 + FISHEYE[1] * theta**4 + FISHEYE[2] * theta**6 + FISHEYE[3] * theta**8)
    return ray * (bent / r)[:, None] * EGO_FOCAL + CENTRE


def write(root, hands, seed=2):
    """A training and a test capture: frames 7 and 8 of segment 0 and 20 of segment 1, Mugsy camera 400002 and the headset.

    Returns ({(capture, frame, side name): Truth}, Mugsy (R, t), {(capture, frame): headset (R, t)}).
    """
    rng = np.random.default_rng(seed)
    ground_truth, mugsy, ego = {}, camera_pose(rng), {}
    for capture in CAPTURES:
        base = root / capture
        for folder in ("orig_fits/left/Keypoints", "orig_fits/right/Keypoints", "mano_fits/params", "Mugsy_cameras"):
            (base / folder).mkdir(parents=True)
        (base / "frame_list.txt").write_text("seg000 8\nseg000 7\nseg001 20\n")
        camera = {"R": mugsy[0].tolist(), "t": (mugsy[1] * 1000).tolist(), "focal": FOCAL.tolist(), "princpt": CENTRE.tolist()}
        (base / "Mugsy_cameras" / "cam_params.json").write_text(json.dumps({"400002": camera}))
        for frame in (7, 8, 20):
            ego[capture, frame] = camera_pose(rng)
            for side, hand, x in (("left", hands[0], 0.06), ("right", hands[1], -0.06)):
                truth = ground_truth[capture, frame, side] = make_truth(hand, (x, 0.0, 0.0), rng)
                named = {**truth.joints, "thumb_0": np.zeros(3), "little_0": np.zeros(3), "forearm": np.ones(3)}
                (base / "orig_fits" / side / "Keypoints" / f"keypoint-{frame:06d}.json").write_text(
                    json.dumps([(named[name] * 1000).tolist() for name in JOINTS])
                )
                (base / "mano_fits" / "params" / f"{frame}_{side}.json").write_text(
                    json.dumps(
                        {"pose": truth.pose.tolist(), "shape": truth.betas.tolist(), "trans": truth.translation.tolist()}
                    )
                )
            for lights in ("envmap_per_segment", "envmap_per_frame"):
                if lights == "envmap_per_segment" or frame != 8:  # 5 frames a second
                    write_image(base / "Mugsy_cameras" / lights / "images" / "400002" / f"{frame:06d}.png", 500, 360)
                folder = base / "Ego_cameras" / lights
                write_image(folder / "images" / f"{frame:06d}.png", 512, 400)
                (folder / "cam_params").mkdir(exist_ok=True)
                rotation, offset = ego[capture, frame]
                (folder / "cam_params" / f"{frame:06d}.json").write_text(
                    json.dumps(
                        {
                            "R": rotation.tolist(),
                            "t": (offset * 1000).tolist(),
                            "focal": EGO_FOCAL.tolist(),
                            "princpt": CENTRE.tolist(),
                            "D": FISHEYE.tolist(),
                        }
                    )
                )
                (folder / "truncation_ratio.json").write_text(json.dumps({"000007": 1.0, "000008": 0.1, "000020": 0.9}))
    return ground_truth, mugsy, ego
