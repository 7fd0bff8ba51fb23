"""HIC's layout with known hands: InterWild's HIC.json, Tzionas's sequences and the MANO fits."""

import json
import pickle

import numpy as np
from dataset_support import make_truth, released_left, write_image

FOCAL, CENTRE = np.array([525.0, 525.0]), np.array([319.5, 239.5])
FITS = "IJCV16___Results_MANO___parms_for___joints21"


def write_ply(path, vertices, faces, binary):
    """A mesh as MeshLab and psbody write it."""
    kind = "binary_little_endian" if binary else "ascii"
    header = (
        f"ply\nformat {kind} 1.0\ncomment made by hand\nelement vertex {len(vertices)}\nproperty float x\n"
        f"property float y\nproperty float z\nproperty uchar red\nelement face {len(faces)}\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(header.encode())
        for x, y, z in vertices:
            file.write(np.array([x, y, z], "<f4").tobytes() + b"\x80" if binary else f"{x:.7f} {y:.7f} {z:.7f} 128\n".encode())
        for face in faces:
            file.write(b"\x03" + np.array(face, "<i4").tobytes() if binary else b"3 %d %d %d\n" % tuple(face))


def write(root, hands, components=None, seed=4):
    """Frames 000 and 005 of sequence 01 with both hands, frame 000 of 15 with a right hand whose parameters do not fit.

    components: how the pickles state the pose, see dataset_support.make_truth. Returns {(sequence, frame, side): Truth}.
    """
    rng = np.random.default_rng(seed)
    models = {"left": released_left(hands[0]), "right": hands[1]}
    ground_truth, images, annotations = {}, [], []
    for number, (sequence, frame, sides) in enumerate((("01", "005", "LR"), ("01", "000", "LR"), ("15", "000", "R"))):
        name, meshes = f"{sequence}/1/rgb/{frame}.png", {"left": None, "right": None}
        for side in ("left", "right"):
            if side[0].upper() not in sides:
                continue
            truth = ground_truth[sequence, frame, side] = make_truth(
                models[side], (0.08 if side == "right" else -0.08, 0.0, 0.7), rng, components=components
            )
            meshes[side] = f"{FITS}/IJCV16___fakeGT___IJCV___{sequence}___Model_Hand_{side[0].upper()}___ncomps45/{frame}.ply"
            write_ply(root / meshes[side], truth.vertices, models[side].faces[:5], binary=sequence == "01")
            translation = truth.translation + (0.0 if sequence == "01" else 0.02)
            (root / meshes[side]).with_suffix(".pkl").write_bytes(
                pickle.dumps(
                    {"pose": truth.pose, "betas": truth.betas, "trans": translation, "v": truth.vertices, "ncomps": 45}, 2
                )
            )
        images.append({"id": number, "file_name": name, "width": 640, "height": 480})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "hand_type": "interacting" if sides == "LR" else "right",
                "left_mano_path": meshes["left"],
                "right_mano_path": meshes["right"],
            }
        )
        write_image(root / name, 640, 480)
    (root / "HIC.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return ground_truth
