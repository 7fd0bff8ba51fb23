"""Exported hands are HandPair's numbers at its stamps to 1e-6, whichever the pose, the action, the format and the frame."""

import math
from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="bags need ROS 2 (pip install 'fourdhands[ros]')")

import episode_support
from bag_support import read_bag, write_bag
from episode_support import CAMERA, TYPES, Demonstration, hand, rows, run
from ros_support import SECOND, T0
from scipy.spatial.transform import Rotation
from view_bag_support import transform_message

from fourdhands_core.episodes.actions import ACTIONS
from fourdhands_core.episodes.exported import ExportedDataset
from fourdhands_core.episodes.plain_formats import egodex_name
from fourdhands_core.geometry.rigid import Rigid
from fourdhands_core.hand_model.skeleton import FINGERS, JOINT_NAMES, MANO_JOINT_NAMES, SIDES, TIP_JOINTS
from fourdhands_core.pipeline.types import HandPairEstimate
from fourdhands_ros.convert.encoders import HandPairEncoder
from fourdhands_ros.episodes.export import export
from fourdhands_ros.episodes.options import Options
from fourdhands_ros.episodes.source import CAMERA_FRAME, Chosen
from fourdhands_ros.pypi.message_types import typestore

pytestmark = pytest.mark.skipif(not find_spec("pyarrow"), reason="datasets need it (pip install 'fourdhands[dataset]')")

BOUND, COUNT = 1e-6, 240
ANGLES = [0.0, *(10.0**-k for k in range(1, 11)), *(math.pi - 10.0**-k for k in range(1, 10))]
"""Radians, from none to almost half a turn, near which an axis-angle hangs on the last digits of a quaternion."""


def base() -> Rotation:
    """How the camera stands in `base`, at (1, -2, 0.5); asked where it is used, as SciPy looks for torch at that."""
    return Rotation.from_rotvec([0.3, -1.1, 2.0])


def turns(rng, count: int) -> np.ndarray:
    """(count, 3) axis-angles: every second by one of ANGLES, the others by any angle."""
    angles = rng.uniform(0, math.pi, count)
    angles[::2] = np.resize(ANGLES, len(angles[::2]))
    axes = rng.normal(size=(count, 3))
    return axes / np.linalg.norm(axes, axis=1, keepdims=True) * angles[:, None]


def wrists(rng) -> Rotation:
    """COUNT turns, of which each fourth has a pitch of almost 90 degrees, where yaw and roll hang on last digits."""
    found = Rotation.from_rotvec(turns(rng, COUNT)).as_quat()
    steep = len(found[3::4])
    pitch = rng.choice([-1, 1], steep) * (np.pi / 2 - 10.0 ** -rng.uniform(0, 5, steep))
    found[3::4] = Rotation.from_euler(
        "ZYX", np.stack([rng.uniform(-3, 3, steep), pitch, rng.uniform(-3, 3, steep)], 1)
    ).as_quat()
    return Rotation.from_quat(found)


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """A bag of hands in all poses, and what its HandPairs say."""
    rng, encoder = np.random.default_rng(18), HandPairEncoder("net", "generic")
    turned, entries = [wrists(rng) for _ in SIDES], []
    for number in range(COUNT):
        stamp, sides = T0 + round(number / 30 * SECOND), []
        for side in range(2):
            joints = rng.uniform(-1, 1, 3) + (0, 0, 1.5) + rng.uniform(-0.1, 0.1, (21, 3))
            joints[9] = joints[0] + 0.09 * turned[side][number].as_matrix()[0]  # of one size
            wrist = turned[side][number]
            shape = {"hand_pose": turns(rng, 15).ravel(), "betas": rng.normal(size=10)}
            place = {"joints": joints, "joints_raw": joints, "joints_2d": rng.uniform(0, 100, (21, 2))}
            orientation = {"wrist_rotation": wrist.as_matrix(), "global_orient": wrist.as_rotvec()}
            sides.append(replace(hand(side, 0.0), **place, **orientation, **shape))
        data = encoder.encode(HandPairEstimate(stamp, *sides, camera=CAMERA), "cam_optical", {}, (number + 1, 0, 0))
        entries.append(("/cam/hands", stamp, data))
    data = transform_message("base", "cam_optical", Rigid(base().as_matrix(), np.array([1.0, -2.0, 0.5])))
    entries.insert(0, ("/tf_static", T0, data))
    types = {"/cam/hands": TYPES["/cam/hands"], "/tf_static": "tf2_msgs/msg/TFMessage"}
    path = write_bag(tmp_path_factory.mktemp("posed") / "bag", entries, types)
    pairs = [typestore().deserialize_cdr(data, types[name]) for name, _, data in read_bag(path) if name == "/cam/hands"]
    return path, pairs


def said(pairs, moved: bool) -> SimpleNamespace:
    """The HandPairs' numbers as arrays (N, 2, ...) in float64, in the frame `base` where moved."""
    both = [(pair.left, pair.right) for pair in pairs]
    joints = np.array([[[(p.x, p.y, p.z) for p in one.joints] for one in two] for two in both])
    turns = [[one.wrist.orientation for one in two] for two in both]
    wrist = Rotation.from_quat(np.array([[(q.x, q.y, q.z, q.w) for q in two] for two in turns]).reshape(-1, 4))
    if moved:
        joints, wrist = base().apply(joints.reshape(-1, 3)).reshape(joints.shape) + (1, -2, 0.5), base() * wrist
    names = "hand_pose", "betas", "joints_2d", "joint_confidence"
    return SimpleNamespace(
        joints=joints, wrist=wrist, **{name: np.array([[getattr(one, name) for one in two] for two in both]) for name in names}
    )


def layout(action: str, hands: SimpleNamespace) -> np.ndarray:
    """(N, 2, half) of an action, by SciPy."""
    place = hands.joints[:, :, 0]
    matrix = hands.wrist.as_matrix().reshape(*place.shape, 3)
    if action == "mano102":
        return np.concatenate([place, hands.wrist.as_rotvec().reshape(place.shape), hands.hand_pose], axis=-1)
    if action == "tips48":
        tips = hands.joints[:, :, TIP_JOINTS].reshape(*place.shape[:2], 15)
        return np.concatenate([place, matrix[..., 0], matrix[..., 1], tips], axis=-1)
    return np.concatenate([place, hands.wrist.as_euler("ZYX").reshape(place.shape)], axis=-1)


def off(there: np.ndarray, expected: np.ndarray) -> float:
    """The most by which numbers differ."""
    return float(np.abs(there.reshape(expected.shape).astype(np.float64) - expected).max())


@pytest.mark.parametrize("frame", [CAMERA_FRAME, "base"])
@pytest.mark.parametrize("form", ["lerobot", "hdf5", "npz"])
@pytest.mark.parametrize("action", [*ACTIONS])
def test_numbers_are_handpairs(posed, tmp_path, action, form, frame):
    path, pairs = posed
    options = Options(action=action, chosen=Chosen(frame=frame))
    assert export([path], tmp_path / "out", options, form, jobs=1, quiet=True).rows == COUNT - 1
    table = ExportedDataset(tmp_path / "out").columns(0)
    assert table["hand.valid"].all() and (np.abs(table["stamp.row"] - table["stamp.hands"]) <= 1).all()
    hands = said(pairs, moved=frame != CAMERA_FRAME)
    numbers, mano = layout(action, hands), layout("mano102", hands)
    assert off(table["observation.state"], numbers[:-1]) < BOUND
    assert off(table["action"], numbers[1:]) < BOUND
    assert off(table["hand.mano"], mano[:-1]) < BOUND
    for name in "joints", "betas", "joint_confidence":
        assert off(table[f"hand.{name}"], getattr(hands, name)[:-1]) < BOUND, name
    assert off(table["hand.joints_2d"], hands.joints_2d[:-1]) == 0.0  # float32 in both
    if form == "hdf5":
        poses_are(tmp_path / "out" / "episode_000000.hdf5", hands)


def poses_are(path, hands) -> None:
    """EgoDex's transforms of all joints, whose turns follow one after the other."""
    import h5py

    with h5py.File(path) as file:
        for number, side in enumerate(SIDES):
            for finger in FINGERS:
                turn = hands.wrist[number::2]
                for name in ["wrist", *(f"{finger}_{bone}" for bone in range(1, 5))]:
                    if name in MANO_JOINT_NAMES[1:]:
                        k = 3 * MANO_JOINT_NAMES[1:].index(name)
                        turn = turn * Rotation.from_rotvec(hands.hand_pose[:, number, k : k + 3])
                    pose = file[f"transforms/{egodex_name(side, name)}"][()]
                    assert off(pose[:, :3, :3], turn.as_matrix()[:-1]) < BOUND, name
                    assert off(pose[:, :3, 3], hands.joints[:-1, number, JOINT_NAMES.index(name)]) < BOUND, name


@pytest.mark.parametrize("larger, scaled, later", [(1.4, False, False), (1.06, True, False), (1.06, True, True)])
def test_nothing_lies_between_hands_that_are_measured_otherwise(tmp_path, capsys, monkeypatch, larger, scaled, later):
    """Where CameraInfo came late, or a hand was measured meanwhile, an episode went on, with a jump of centimetres in it.

    later: only the hand that need not be there, which is masked in the row between.
    """

    def seen(side, seconds, valid=True):
        one = hand(side, seconds, valid)
        if seconds > 2.95 or (later and side == 0):
            return one
        return replace(one, joints=one.joints * larger, joints_raw=one.joints * larger, betas=one.betas + 1.0, scaled=scaled)

    monkeypatch.setattr(episode_support, "hand", seen)
    bag = Demonstration(seconds=4, images=False, robot=False).write(tmp_path / "bag")
    command = "export", bag, "--out", tmp_path / "out", "--fps", "40", "--hands", "left" if later else "both"
    code, out, said = run(capsys, *command)
    assert code == 0, said
    table = rows(tmp_path / "out")
    steps = np.linalg.norm(np.diff(table["hand.joints"].reshape(-1, 2, 21, 3)[:, :, 0], axis=0), axis=-1)
    apart = (np.diff(table["episode_index"])[:, None] > 0) | ~(table["hand.valid"][1:] & table["hand.valid"][:-1])
    assert steps[~apart].max() < 0.006 and steps.max() > 0.02  # metres from row to row, and where it changes
    assert ("distances are others from here on" in out) == (not later) == bool(table["episode_index"].max())
    assert table["hand.valid"][:, 0].all() and (~table["hand.valid"]).sum() == later
