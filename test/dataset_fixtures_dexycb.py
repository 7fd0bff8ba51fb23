"""DexYCB's layout with known hands, written from NVlabs/dex-ycb-toolkit's README and dex_ycb_toolkit/dex_ycb.py."""

import numpy as np
import yaml
from dataset_support import make_truth, pinhole, released_left, write_image

JOINTS = ["wrist"] + [f"{finger}_{i}" for finger in ("thumb", "index", "middle", "ring", "little") for i in (1, 2, 3, 4)]
FOCAL, CENTRE = np.array([615.0, 614.0]), np.array([312.5, 245.25])
SUBJECTS = ["20200709-weiy", "20200813-ceppner"]
SERIALS = "836212060125 839512060362 840412060917 841412060263 932122060857 932122060861 932122061900 932122062010".split()
NAMED = "20200709_141754"
"""The fifth sequence, so of s0's val; its last frame has no hand. Its hand is a left one."""
LENGTH = 3


def write(root, hands, seed=5):
    """Both subjects of s0_val; of other sequences than NAMED a frame without a hand. All cameras see the same.

    Returns (ground_truth by frame, betas of the person) of NAMED."""
    rng = np.random.default_rng(seed)
    left = released_left(hands[0])
    betas = rng.normal(0.0, 1.0, 10)
    _write_calibration(root, betas)
    for subject in SUBJECTS:
        for number in range(100):
            _write_sequence(root, subject, number)
    folder = root / SUBJECTS[0] / NAMED / SERIALS[0]
    ground_truth = [make_truth(left, (-0.05, 0.02, 0.8), rng, components=45, betas=betas) for _ in range(LENGTH)]
    for frame, truth in enumerate(ground_truth):
        _write_frame(folder, frame, truth)
    for recording in sorted(root.glob("20*/*/*")):
        if recording.is_dir() and recording != folder:
            frames = range(LENGTH) if recording.parent == folder.parent else [LENGTH - 1]
            for number, frame in enumerate(frames):
                for name, suffix in (("labels", "npz"), ("color", "jpg")):
                    (recording / f"{name}_{number:06d}.{suffix}").hardlink_to(folder / f"{name}_{frame:06d}.{suffix}")
    return ground_truth, betas


def _write_calibration(root, betas):
    for serial in SERIALS:
        colour = {"fx": float(FOCAL[0]), "fy": float(FOCAL[1]), "ppx": float(CENTRE[0]), "ppy": float(CENTRE[1])}
        _yaml(root / "calibration" / "intrinsics" / f"{serial}_640x480.yml", {"color": colour, "depth": dict(colour, fx=1.0)})
    for person in ("subject-01_left", "subject-02_right"):
        _yaml(root / "calibration" / f"mano_{person}" / "mano.yml", {"betas": betas.tolist()})


def _write_sequence(root, subject, number):
    """Each fifth is s0_val's and has its description; NAMED is one of the first subject, before those of the afternoon."""
    later = subject == SUBJECTS[0] and number > 4
    name = NAMED if subject == SUBJECTS[0] and number == 4 else f"20200709_{(142000 if later else 141000) + number}"
    sequence = root / subject / name
    if number % 5 != 4:
        sequence.mkdir(parents=True)
        return
    for serial in SERIALS:
        (sequence / serial).mkdir(parents=True)
    described = {
        "serials": SERIALS,
        "num_frames": LENGTH if name == NAMED else 1,
        "mano_sides": ["left" if name == NAMED else "right"],
        "mano_calib": ["subject-01_left" if name == NAMED else "subject-02_right"],
        "ycb_ids": [1],
    }
    _yaml(sequence / "meta.yml", described)


def _write_frame(folder, frame, truth):
    """A frame of NAMED, the last one without its hand."""
    joints = truth.listed(JOINTS)
    points = pinhole(joints, FOCAL, CENTRE)
    pose = np.concatenate([truth.pose, truth.translation])
    if frame == LENGTH - 1:
        joints, points, pose = (np.full_like(joints, -1.0), np.full_like(points, -1.0), np.zeros(51))
    np.savez(
        folder / f"labels_{frame:06d}.npz",
        seg=np.zeros((480, 640), np.uint8),
        pose_y=np.zeros((1, 3, 4), np.float32),
        pose_m=pose[None].astype(np.float32),
        joint_3d=joints[None].astype(np.float32),
        joint_2d=points[None].astype(np.float32),
    )
    write_image(folder / f"color_{frame:06d}.jpg", 640, 480)


def _yaml(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
