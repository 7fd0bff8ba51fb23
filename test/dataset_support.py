"""Known hands for the datasets' fixtures, made with smplx and independent of the readers under test."""

import contextlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation
from smplx import MANO
from smplx.utils import Struct

from fourdhands_core.hand_model.assets import load_generic_hand, pair_of
from fourdhands_core.hand_model.skeleton import FINGERS, JOINT_NAMES, TIP_VERTICES

MANO_ORDER = ["wrist"] + [f"{f}_{i}" for f in ("index", "middle", "little", "ring", "thumb") for i in (1, 2, 3)]
SHAPE_BUG = np.array([-1.0, 1.0, 1.0])[:, None]


def hand_models(seed: int = 3):
    """(left, right) as a user's MANO: the generic hand with a mean pose and principal components that are not trivial."""
    rng = np.random.default_rng(seed)
    right = replace(
        load_generic_hand(), hands_mean=rng.normal(0.0, 0.15, 45), hands_components=np.linalg.qr(rng.normal(size=(45, 45)))[0]
    )
    return pair_of(right)


def released_left(left):
    """MANO's left model as released: its shape directions are wrong in x (vchoutas/smplx issue 48)."""
    return replace(left, shapedirs=left.shapedirs * SHAPE_BUG)


def arrays_of(hand):
    """The arrays of a hand model by their names in MANO's files."""
    names = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "hands_mean")
    return {name: getattr(hand, name) for name in names} | {
        "f": hand.faces,
        "kintree_table": np.stack([hand.parents, np.arange(16)]),
        "hands_components": np.eye(45) if hand.hands_components is None else hand.hands_components,
    }


def smplx_mano(hand, **options):
    """smplx's model of a hand, as the datasets' own toolkits make it (pose from MANO's mean pose unless told otherwise)."""
    data = Struct(**arrays_of(hand))
    MANO.SHAPE_SPACE_DIM = 10
    return MANO(
        "",
        data_struct=data,
        is_rhand=hand.is_right,
        num_betas=10,
        dtype=torch.float64,
        **{"use_pca": False, "flat_hand_mean": False, **options},
    )


@dataclass
class Truth:
    """A hand as a dataset states it, and what that means in the frame in which it is stated."""

    pose: np.ndarray
    """(48,) or fewer with principal components."""
    betas: np.ndarray
    translation: np.ndarray
    vertices: np.ndarray
    joints: dict[str, np.ndarray]
    """By name of JOINT_NAMES."""
    rotations: np.ndarray
    """(16, 3, 3), relative to the flat hand."""

    def listed(self, names) -> np.ndarray:
        """The joints in a dataset's own order."""
        return np.array([self.joints[name] for name in names])


def make_truth(hand, centre, rng, flat=False, components=None, betas=None) -> Truth:
    """A random pose (and shape, unless `betas` (10,) is given) whose wrist lies near `centre` (3,), metres."""
    pose = rng.normal(0.0, 0.25, 3 + (components or 45))
    pose[:3] = rng.normal(0.0, 1.0, 3)
    betas = rng.normal(0.0, 1.0, 10) if betas is None else betas
    translation = np.asarray(centre) + rng.normal(0.0, 0.01, 3)
    options = {"flat_hand_mean": flat}
    stated = pose[3:]
    if components == 45:  # which smplx takes for axis-angle, unlike manopth
        stated = stated @ hand.hands_components
    elif components:
        options.update(use_pca=True, num_pca_comps=components)
    as_row = lambda array: torch.from_numpy(array)[None]
    output = smplx_mano(hand, **options)(
        global_orient=as_row(pose[:3]), hand_pose=as_row(stated), betas=as_row(betas), transl=as_row(translation)
    )
    vertices, joints = output.vertices[0].detach().numpy(), output.joints[0].detach().numpy()
    named = dict(zip(MANO_ORDER, joints[:16]))
    named.update({f"{finger}_4": vertices[vertex] for finger, vertex in zip(FINGERS, TIP_VERTICES)})
    fingers = pose[3:] if components is None else pose[3:] @ hand.hands_components[:components]
    full = np.concatenate([pose[:3], fingers + (0.0 if flat else hand.hands_mean)]).reshape(16, 3)
    return Truth(pose, betas, translation, vertices, named, Rotation.from_rotvec(full).as_matrix())


def camera_pose(rng):
    """(R, t): world to camera, so that the world's origin lies about 0.8 m in front of the camera."""
    rotation = Rotation.from_rotvec(rng.normal(0.0, 1.0, 3)).as_matrix()
    return rotation, np.array([0.02, -0.03, 0.8])


def moved(points, rotation, offset):
    return np.asarray(points) @ rotation.T + offset


def pinhole(points, focal, centre):
    """Pixels (N, 2) of points in the camera's frame."""
    return points[:, :2] / points[:, 2:] * focal + centre


def write_image(path, width, height, value=120):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), value, np.uint8))


@contextlib.contextmanager
def without(root, name):
    """Meanwhile a file or folder of a dataset is missing."""
    aside = root.with_name("aside")
    if there := (root / name).exists():
        (root / name).rename(aside)
    try:
        yield
    finally:
        if there:
            aside.rename(root / name)


def assert_hand(found, truth: Truth, rotation=np.eye(3), offset=np.zeros(3), pixels=None, betas=True, joints=True):
    """The reader's hand is the truth moved to the camera, in this package's order; pixels(points) -> (N, 2)."""
    in_camera = moved(truth.listed(JOINT_NAMES), rotation, offset)
    if joints:
        np.testing.assert_allclose(found.joints, in_camera, atol=2e-6)
        if pixels is not None:
            np.testing.assert_allclose(found.points, pixels(in_camera), atol=2e-2)
            low, high = found.box[:2], found.box[2:]
            assert (low < found.points).all() and (found.points < high).all()
    np.testing.assert_allclose(found.vertices, moved(truth.vertices, rotation, offset), atol=2e-6)
    wrist = rotation @ truth.rotations[0]
    np.testing.assert_allclose(found.rotations, np.concatenate([wrist[None], truth.rotations[1:]]), atol=1e-6)
    if betas:
        np.testing.assert_allclose(found.betas, truth.betas, atol=1e-6)
