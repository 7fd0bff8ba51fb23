"""InterHand2.6M's layout with known hands, written from https://mks0601.github.io/InterHand2.6M."""

import json

import numpy as np
from dataset_support import camera_pose, make_truth, moved, write_image

JOINTS = [f"{finger}_{i}" for finger in ("thumb", "index", "middle", "ring", "little") for i in (4, 3, 2, 1)] + ["wrist"]
FOCAL, CENTRE = np.array([1250.0, 1260.0]), np.array([160.0, 250.0])


def write(root, hands, split="train", seed=1):
    """Two captures' frames 30 and 33 seen by one camera each, both hands; then a right hand alone, an invalid hand type, an
    interacting frame without MANO fit of the left hand. Returns {(frame, side name): Truth} in the world and {camera: (R, t)}.
    """
    rng = np.random.default_rng(seed)
    folder = root / "annotations" / split
    folder.mkdir(parents=True)
    (root / "annotations" / "skeleton.txt").write_text("")
    ground_truth, images, annotations, joints, fits = {}, [], [], {"7": {}}, {"7": {}}
    rotation, offset = camera_pose(rng)
    cases = {33: "both", 30: "both", 40: "right", 41: "unknown", 42: "no left fit"}
    for number, (frame, case) in enumerate(cases.items()):
        left = make_truth(hands[0], (0.1, 0.0, 0.0), rng)
        right = make_truth(hands[1], (-0.1, 0.0, 0.0), rng)
        ground_truth[frame, "left"], ground_truth[frame, "right"] = left, right
        world = 1000.0 * np.concatenate([right.listed(JOINTS), left.listed(JOINTS)])
        valid = np.ones((42, 1), int)
        valid[2] = 0  # the right hand's thumb_2 was not measured
        if case == "right":
            valid[21:] = 0
        joints["7"][str(frame)] = {
            "world_coord": world.tolist(),
            "joint_valid": valid.tolist(),
            "hand_type": "right" if case == "right" else "interacting",
            "hand_type_valid": [1],
        }
        fits["7"][str(frame)] = {
            side: {"pose": truth.pose.tolist(), "shape": truth.betas.tolist(), "trans": truth.translation.tolist()}
            for side, truth in (("left", left), ("right", right))
        }
        if case in ("right", "no left fit"):
            fits["7"][str(frame)]["left"] = None
        name = f"Capture7/0266_dh_pray/cam400030/image{frame}.jpg"
        images.append(
            {
                "id": 100 + number,
                "file_name": name,
                "width": 334,
                "height": 512,
                "capture": 7,
                "subject": 0,
                "seq_name": "0266_dh_pray",
                "camera": "400030",
                "frame_idx": frame,
            }
        )
        annotations.append(
            {
                "id": 900 + number,
                "image_id": 100 + number,
                "bbox": [10, 10, 200, 300],
                "joint_valid": valid.reshape(-1).tolist(),
                "hand_type": "right" if case == "right" else "interacting",
                "hand_type_valid": 0 if case == "unknown" else 1,
            }
        )
        write_image(root / "images" / split / name, 334, 512, value=3 if frame == 33 else 120)
    position = -rotation.T @ offset * 1000.0
    cameras = {
        "7": {
            "campos": {"400030": position.tolist()},
            "camrot": {"400030": rotation.tolist()},
            "focal": {"400030": FOCAL.tolist()},
            "princpt": {"400030": CENTRE.tolist()},
        }
    }
    for what, content in (
        ("data", {"images": images, "annotations": annotations}),
        ("camera", cameras),
        ("joint_3d", joints),
        ("MANO_NeuralAnnot", fits),
    ):
        (folder / f"InterHand2.6M_{split}_{what}.json").write_text(json.dumps(content))
    return ground_truth, (rotation, offset)


def in_camera(points, pose):
    return moved(points, *pose)
