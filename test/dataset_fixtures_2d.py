"""The layouts of COCO-WholeBody, Halpe and MPII NZSL with known points, written from their documentation."""

import json

import numpy as np
from dataset_support import write_image


def keypoints(rng, unknown=()):
    """Random points (21, 2) and the list x, y, v * 21 that states them; `unknown` ones are 0, 0, 0."""
    points = rng.uniform(20.0, 220.0, (21, 2)).round(2)
    stated = np.hstack([points, np.full((21, 1), 2.0)])
    stated[list(unknown)] = 0.0
    points[list(unknown)] = np.nan
    return points, stated


def write_coco(root, split="val", seed=8):
    """Four people in two pictures: both hands; a left hand with two keypoints unknown; neither hand valid; a right hand
    whose left one is labelled but not valid. Returns [(key, left or None, right or None)]."""
    rng = np.random.default_rng(seed)
    (left0, l0), (right0, r0), (left1, l1), (right3, r3) = (keypoints(rng, unknown) for unknown in ((), (), (4, 20), ()))
    zero = np.zeros((21, 3))
    people = [
        (11, 139, l0, r0, True, True),
        (12, 139, l1, zero, True, False),
        (13, 285, zero, zero, False, False),
        (14, 285, l0, r3, False, True),
    ]
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": [1, 2, 200, 300],
            "keypoints": [0] * 51,
            "num_keypoints": 0,
            "face_box": [0.0] * 4,
            "face_valid": False,
            "lefthand_kpts": left.reshape(-1).tolist(),
            "righthand_kpts": right.reshape(-1).tolist(),
            "lefthand_valid": left_valid,
            "righthand_valid": right_valid,
            "lefthand_box": [10, 10, 30, 30],
            "righthand_box": [10, 10, 30, 30],
        }
        for number, image, left, right, left_valid, right_valid in people
    ]
    _coco(root / "annotations" / f"coco_wholebody_{split}_v1.0.json", annotations)
    for number in (139, 285):
        write_image(root / f"{split}2017" / f"{number:012d}.jpg", 240, 230)
    return [("000000000139.jpg#11", left0, right0), ("000000000139.jpg#12", left1, None), ("000000000285.jpg#14", None, right3)]


def write_halpe(root, split="train", as_alphapose=False, seed=9):
    """Three people: both hands, no hand, no keypoints at all. as_alphapose: in the folders of AlphaPose's instructions.
    Returns [(key, left, right)]."""
    rng = np.random.default_rng(seed)
    (left, left_numbers), (right, right_numbers) = keypoints(rng, (3,)), keypoints(rng)
    body = np.zeros((136, 3))
    body[:94] = rng.uniform(0, 200, (94, 3))
    both = body.copy()
    both[94:115], both[115:] = left_numbers, right_numbers
    annotations = [
        {"id": 5, "image_id": 139, "keypoints": both.reshape(-1).tolist(), "bbox": [0, 0, 9, 9]},
        {"id": 6, "image_id": 139, "keypoints": body.reshape(-1).tolist()},
        {"id": 7, "image_id": 139},
    ]
    name = "HICO_train2015_00000139.jpg" if split == "train" else "000000000139.jpg"
    images = {
        ("train", False): "hico_20160224_det/images/train2015",
        ("train", True): "images/train2015",
        ("val", False): "val2017",
        ("val", True): "images/val2017",
    }[split, as_alphapose]
    _coco(root / ("annotations" if as_alphapose else "") / f"halpe_{split}_v1.json", annotations, {139: name})
    write_image(root / images / name, 240, 230)
    return [(f"{name}#5", left, right)]


def write_nzsl(root, seed=10):
    """A left hand in every part and a right one, with the index finger unknown, in manual_test. Returns
    {part: [(key, left or None, right or None)]} in order of the file names."""
    rng = np.random.default_rng(seed)
    found = {}
    for part in ("manual_train", "manual_test", "synth1", "synth2", "synth3", "synth4"):
        folder = f"hand_labels/{part}" if part.startswith("manual") else f"hand_labels_synth/{part}"
        rows = [("000015774_01_l" if "manual" in part else "0001", True, ())]
        if part == "manual_test":
            rows.append(("Berry_roof_story.flv_000053_r", False, (5, 6, 7, 8)))
        for stem, is_left, unknown in rows:
            points, stated = keypoints(rng, unknown)
            stated[:, 2] = stated[:, 2] > 0
            write_image(root / folder / f"{stem}.jpg", 240, 230)
            (root / folder / f"{stem}.json").write_text(
                json.dumps({"hand_pts": stated.tolist(), "is_left": int(is_left), "hand_box_center": [120.0, 120.0]})
            )
            found.setdefault(part, []).append(
                (f"{folder}/{stem}.jpg", points if is_left else None, None if is_left else points)
            )
    return found


def _coco(path, annotations, names=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    names = names or {number: f"{number:012d}.jpg" for number in sorted({a["image_id"] for a in annotations})}
    images = [{"id": number, "file_name": name, "width": 240, "height": 230} for number, name in names.items()]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}))
