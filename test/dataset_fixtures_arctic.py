"""ARCTIC's layout with known hands, written from zc-alexfan/arctic's data_doc.md."""

import json

import numpy as np
from dataset_support import camera_pose, make_truth, released_left, write_image

OFFSET, COUNT = 3, 24
FOCAL, CENTRE = np.array([1200.0, 1210.0]), np.array([700.0, 500.0])
EGO_FOCAL, EGO_CENTRE = np.array([900.0, 905.0]), np.array([640.0, 480.0])
LENS = np.array([0.1, -0.05, 0.001, -0.002, 0.01, 0.08, -0.03, 0.005])


def rational(points):
    """OpenCV's rational lens with tangential terms, written out."""
    x, y = (points[:, :2] / points[:, 2:]).T
    k1, k2, p1, p2, k3, k4, k5, k6 = LENS
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    bent = (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y**2))
    return np.stack(bent, axis=1) * EGO_FOCAL + EGO_CENTRE


def write(root, hands, seed=7):
    """Sequence s01/box_grab_01 (train), s05/box_use_01 (val); image number n shows row n - 3 of 24.

    In s01 the left hand is behind the camera of view 2.
    Returns ({(sequence, row, side): Truth}, {view: (R, t)}, {(sequence, row): headset (R, t)}).
    """
    rng = np.random.default_rng(seed)
    models = {"left": released_left(hands[0]), "right": hands[1]}
    ground_truth, ego, subjects = {}, {}, {}
    views = {view: camera_pose(rng) for view in range(1, 9)}
    views[2] = views[2][0], np.array([0.0, 0.0, 0.15])
    matrix = [[FOCAL[0], 0, CENTRE[0]], [0, FOCAL[1], CENTRE[1]], [0, 0, 1]]
    for subject, sequence in (("s01", "box_grab_01"), ("s05", "box_use_01")):
        name, shape = f"{subject}/{sequence}", rng.normal(0, 1, 10)
        data = {}
        for side, hand in models.items():
            # view 2 sees the world's origin at a depth of 0.15 m: the left hand is put behind that camera
            centre = views[2][0].T @ np.array([-0.05, 0.0, -0.4]) if side == "left" else np.array([0.0, 0.0, 0.0])
            rows = [make_truth(hand, centre, _FixedShape(rng, shape))] * COUNT
            for row in range(7, 11):  # the only ones that images of the splits show
                rows[row] = ground_truth[name, row, side] = make_truth(hand, centre, _FixedShape(rng, shape))
            data[side] = {
                "rot": np.array([t.pose[:3] for t in rows]),
                "pose": np.array([t.pose[3:] for t in rows]),
                "trans": np.array([t.translation for t in rows]),
                "shape": shape,
                "fitting_err": np.zeros(COUNT),
            }
        poses = [camera_pose(rng) for _ in range(COUNT)]
        ego.update({(name, row): pose for row, pose in enumerate(poses)})
        (root / "raw_seqs" / subject).mkdir(parents=True)
        np.save(root / "raw_seqs" / f"{name}.mano.npy", data)
        np.save(
            root / "raw_seqs" / f"{name}.egocam.dist.npy",
            {
                "R_k_cam_np": np.array([r for r, _ in poses]),
                "T_k_cam_np": np.array([t for _, t in poses])[..., None],
                "intrinsics": np.array([[EGO_FOCAL[0], 0, EGO_CENTRE[0]], [0, EGO_FOCAL[1], EGO_CENTRE[1]], [0, 0, 1]]),
                "dist8": LENS,
                "ego_markers.label": ["a", "b"],
            },
        )
        subjects[subject] = {
            "gender": "female",
            "ioi_offset": OFFSET,
            "image_size": [[1280, 960]] + [[1400, 1000]] * 8,
            "intris_mat": [matrix] * 8,
            "world2cam": [np.block([[r, t[:, None]], [np.zeros((1, 3)), 1.0]]).tolist() for r, t in views.values()],
        }
        for view, size in enumerate(subjects[subject]["image_size"]):
            first = root / "images" / name / str(view) / "00010.jpg"
            write_image(first, *size)
            for number in range(11, 14):
                first.with_name(f"{number:05d}.jpg").hardlink_to(first)
    for folder in ("meta", "splits_json"):
        (root / folder).mkdir()
    (root / "meta" / "misc.json").write_text(json.dumps(subjects))
    for protocol in ("p1", "p2"):
        (root / "splits_json" / f"protocol_{protocol}.json").write_text(
            json.dumps({"train": ["s01/box_grab_01", "s05/box_use_01"], "val": ["s05/box_use_01"], "test": []})
        )
    return ground_truth, views, ego


class _FixedShape:
    """A generator that gives the subject's shape for 10 numbers."""

    def __init__(self, rng, shape):
        self.rng, self.shape = rng, shape

    def normal(self, mean, deviation, size):
        return self.shape.copy() if size == 10 else self.rng.normal(mean, deviation, size)
