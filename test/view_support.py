"""Made-up results for tests of the page: two hands of known poses, and recordings of them."""

from dataclasses import replace

import numpy as np

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.geometry.rotations import matrix_from_axis_angle
from fourdhands_core.hand_model.arrays import HandArrays
from fourdhands_core.hand_model.assets import load_generic_hand, load_human_hand, pair_of
from fourdhands_core.media.hands_file import PairRecord
from fourdhands_core.pipeline.types import ABSENT, HELD, TRACKED, HandEstimate, HandPairEstimate

HANDS = pair_of(load_generic_hand())
CAMERA = Camera.from_fov(640, 480, 60.0, calibrated=True)
UPRIGHT = matrix_from_axis_angle(np.array([0.0, 0.0, np.pi / 2]))
PERIOD = 33_333_333


def hand(side, wrist=(0.1, 0.05, 0.5), bend=0.0, state=TRACKED, camera=CAMERA, betas=None, turn=(0.3, 0.2, 1.2)):
    """A hand of the generic model with its wrist at a place, its fingers bent by so many radians at each joint."""
    if state == ABSENT:
        return HandEstimate(side, False, ABSENT, float("nan"))
    pose = np.zeros((15, 3))
    pose[:, 2] = bend if side else -bend
    betas = np.zeros(10) if betas is None else np.asarray(betas, float)
    orient = np.array(turn)
    arrays = HandArrays([HANDS[side]])
    given = matrix_from_axis_angle(orient)[None], matrix_from_axis_angle(pose)[None], betas[None]
    joints = arrays.joints(*given)[0] + wrist
    return HandEstimate(
        side,
        state == TRACKED,
        state,
        0.0 if state == TRACKED else 0.1,
        0.9 if state == TRACKED else 0.0,
        joints=joints,
        joints_raw=joints,
        joints_2d=camera.project(joints),
        joint_confidence=np.linspace(0.0, 1.0, 21),
        wrist_rotation=given[0][0],
        global_orient=orient,
        hand_pose=pose.ravel(),
        betas=betas,
        vertices=arrays.vertices(*given)[0] + np.asarray(wrist),
        scaled=camera.calibrated,
    )


def pair(stamp=0, left=None, right=None, camera=CAMERA):
    """A pair; a side that is not given is absent."""
    left = hand(0, state=ABSENT) if left is None else left
    right = hand(1, state=ABSENT) if right is None else right
    return HandPairEstimate(stamp, left, right, camera)


def moving(count=60, lost=range(20, 30), camera=CAMERA):
    """Pairs of two hands that move to the sides; the left one is HELD, then ABSENT, in some images."""
    pairs = []
    for i in range(count):
        x = 0.1 * np.sin(i / 10)
        state = TRACKED if i not in lost else HELD if i < lost[0] + 3 else ABSENT
        left = hand(0, (-0.12 + x, 0.05, 0.5), 0.01 * i, state, camera, turn=(0.3, -0.2, -1.2))
        pairs.append(pair(i * PERIOD, left, hand(1, (0.12 + x, 0.05, 0.5), 0.01 * i, camera=camera), camera))
    return pairs


def mirrored(one):
    """The pair as it comes of the mirrored image: its pixels are there, its positions where they are."""
    hands = [
        hand
        if hand.joints_2d is None
        else replace(hand, joints_2d=hand.joints_2d * (-1.0, 1.0) + (one.camera.width - 1.0, 0.0))
        for hand in one.hands
    ]
    return replace(one, left=hands[0], right=hands[1])


def write_npz(path, pairs):
    """hands.npz as `fourdhands track` writes it."""
    record = PairRecord()
    for one in pairs:
        record.append(replace(one, left_root_relative=np.zeros(3)))
    record.save(path)
    return path


def write_hand(path, size):
    """A hand model as convert-mano writes it: the human hand, so many times as large."""
    hand = load_human_hand()
    arrays = {name: getattr(hand, name) for name in ("J_regressor", "weights", "hands_mean")}
    arrays |= {name: size * getattr(hand, name) for name in ("v_template", "shapedirs", "posedirs")}
    np.savez(path, f=hand.faces, kintree_table=np.stack([hand.parents, np.arange(16)]), is_right=True, **arrays)
    return path
