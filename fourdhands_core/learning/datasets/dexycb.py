"""DexYCB (Chao et al., CVPR 2021): one hand, right or left, that takes objects, seen by eight cameras.

Source: NVlabs/dex-ycb-toolkit (README.md: folders; dex_ycb_toolkit/dex_ycb.py: subjects, cameras, setups s0 to s3, keys,
order of the joints; examples/visualize_pose.py: pose in 45 principal components from MANO's mean pose, then the
translation, camera's frame; dex_ycb_toolkit/hpe_eval.py: -1 where there is no hand) and the paper (section 3: 30 frames a
second). Not documented is which statement of MANO's left model (vchoutas/smplx issue 48) the left hands were fitted with;
manopth, which the toolkit draws them with, reads the model as released, and so they are read here.

    ROOT/20200709-weiy/ ... (10 subjects)/SEQUENCE/meta.yml                       num_frames, mano_sides, mano_calib
    ROOT/SUBJECT/SEQUENCE/SERIAL/{color_000000.jpg,labels_000000.npz}             pose_m, joint_3d, joint_2d
    ROOT/calibration/intrinsics/SERIAL_640x480.yml, calibration/mano_NAME/mano.yml
"""

from __future__ import annotations

import numpy as np

from ...errors import DatasetError
from ...geometry.camera import Camera
from ...hand_model.skeleton import LEFT, SIDES
from .files import read_yaml, reading, understood
from .frames import DatasetFrame, HandTruth, VideoDataset, box_around, read_image
from .joint_orders import OPENPOSE
from .mano import ManoTruth

SUBJECTS = (
    "20200709-weiy 20200813-ceppner 20200820-amousavian 20200903-ynarang 20200908-yux 20200918-ftozetoramos "
    "20200928-ahanda 20201002-dieterf 20201015-ychao 20201022-lmanuelli"
).split()
SERIALS = "836212060125 839512060362 840412060917 841412060263 932122060857 932122060861 932122061900 932122062010".split()
SEQUENCES = 100
"""Of each subject."""
_ALL = tuple(range(10)), tuple(range(8)), tuple(range(SEQUENCES))
_SIZE = 640, 480


def _parts(split: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Numbers of the subjects, cameras and sequences of a split: s0 unseen sequences, s1 subjects, s2 views, s3 objects."""
    setup, part = split.split("_")
    subjects, cameras, sequences = _ALL
    if setup == "s0":
        if part != "train":
            subjects = (0, 1) if part == "val" else tuple(range(2, 10))
        sequences = tuple(k for k in sequences if (k % 5 == 4) == (part != "train"))
    elif setup == "s1":
        subjects = {"train": (0, 1, 2, 3, 4, 5, 9), "val": (6,), "test": (7, 8)}[part]
    elif setup == "s2":
        cameras = {"train": (0, 1, 2, 3, 4, 5), "val": (6,), "test": (7,)}[part]
    else:
        held_out = {"val": (3, 19), "test": (7, 11, 15)}
        sequences = tuple(
            k for k in sequences if (k // 5 in held_out[part] if part in held_out else k // 5 not in (3, 7, 11, 15, 19))
        )
    return subjects, cameras, sequences


class DexYcb(VideoDataset):
    """Frames of sequences by camera; the hand is absent where the toolkit has no pose of it."""

    name = "DexYCB"
    splits = tuple(f"s{setup}_{part}" for setup in range(4) for part in ("train", "val", "test"))
    frame_rate = 30.0

    def _open(self) -> None:
        subjects, cameras, chosen = _parts(self.split)
        serials = [SERIALS[k] for k in cameras]
        self._cameras = {serial: self._camera(serial) for serial in serials}
        self._mano = ManoTruth(self.hands, flat=False, components=True, left_as_released=True)
        self._betas: dict[str, np.ndarray] = {}
        for subject in (SUBJECTS[k] for k in subjects):
            folder = self.need(subject, "a subject's sequences")
            names = sorted(path.name for path in folder.iterdir() if path.is_dir())
            if len(names) != SEQUENCES:
                raise DatasetError(
                    f"{folder} holds {len(names)} sequences, {SEQUENCES} were published, and the splits count "
                    "on them; unpack the whole of it"
                )
            for name in (names[k] for k in chosen):
                self._add(f"{subject}/{name}", serials)

    def _add(self, sequence, serials):
        path = self.need(f"{sequence}/meta.yml", "the sequence's length, side and person")
        meta = read_yaml(path)
        with understood(f"{path} is not DexYCB's"):
            length, side = int(meta["num_frames"]), SIDES.index(meta["mano_sides"][0])
            person = str(meta["mano_calib"][0])
        if person not in self._betas:
            self._betas[person] = self._shape(person)
        for serial in serials:
            self.need(f"{sequence}/{serial}", "a camera's images and labels")
            self._add_video(f"{sequence}/{serial}", length, sequence, serial, person, side)

    def _camera(self, serial):
        path = self.need(f"calibration/intrinsics/{serial}_{_SIZE[0]}x{_SIZE[1]}.yml", "a camera's intrinsics")
        with understood(f"{path} lacks color: fx, fy, ppx, ppy"):
            colour = read_yaml(path)["color"]
            fx, fy, cx, cy = (float(colour[key]) for key in ("fx", "fy", "ppx", "ppy"))
        return Camera(*_SIZE, np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]))

    def _shape(self, person):
        path = self.need(f"calibration/mano_{person}/mano.yml", "a person's shape")
        with understood(f"{path} lacks 10 betas"):
            return np.array(read_yaml(path)["betas"], np.float64).reshape(10)

    def __getitem__(self, index: int) -> DatasetFrame:
        sequence, serial, person, side, number = self._find(index)
        path = self.root / sequence / serial / f"color_{number:06d}.jpg"
        hand = self._hand(path.with_name(f"labels_{number:06d}.npz"), side, person)
        hands = (hand, None) if side == LEFT else (None, hand)
        key = f"{sequence}/{serial}/{number:06d}"
        return DatasetFrame(key, hands, self._cameras[serial], lambda: read_image(path), complete=False)

    def _hand(self, path, side, person):
        with reading(path) as opened, np.load(opened, allow_pickle=False) as file:
            joints = file["joint_3d"].astype(np.float64).reshape(21, 3)[OPENPOSE]
            points = file["joint_2d"].astype(np.float64).reshape(21, 2)[OPENPOSE]
            pose = file["pose_m"].astype(np.float64).reshape(51)
        if (joints == -1.0).all():
            return None
        fields = self._mano.fields(side, pose[:48], self._betas[person], pose[48:])
        fields["joints"] = joints
        return HandTruth(box_around(points), points, **fields)
