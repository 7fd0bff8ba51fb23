"""Makes the generic hand, a hand model of our own in MANO's format, and writes the file that the package ships.

    python tools/generic_hand.py [FILE]

The skin is the zero set of `hand_shape.skin_distance`, polygonised, reduced to MANO's 778 vertices and 1538 faces and
skinned to MANO's 16 joints. The result is the same to the last bit at every run. Needs scikit-image.
"""

from __future__ import annotations

import hand_shape as shape
import numpy as np
from hand_rig import BOUNDARY, VERTICES, arrays_of, density, ordered, segment, shape_directions, write
from mesh_reduction import check_disc, reduce_mesh, smooth_mesh

from fourdhands_core.hand_model.assets import GENERIC, SHIPPED_HANDS
from fourdhands_core.hand_model.skeleton import (
    DORSAL,
    FINGERS,
    JOINT_NAMES,
    MANO_IN_21,
    MANO_JOINT_NAMES,
    MANO_PARENTS,
    TIP_JOINTS,
)

_GRID = 0.002


def _dense_skin() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The skin at the grid's fineness: vertices (V, 3), faces (F, 3), and the vertices at the five fingertips (5,)."""
    from skimage.measure import marching_cubes

    x = shape.WRIST_CUT - _GRID * np.arange(108)[::-1]
    y = -0.040 + _GRID * np.arange(37)
    z = -0.076 + _GRID * np.arange(88)
    grid = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    distance = shape.skin_distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces, _, _ = marching_cubes(distance, 0.0, spacing=(_GRID, _GRID, _GRID))
    vertices = vertices.astype(np.float64) + np.array([x[0], y[0], z[0]])
    check_disc(faces, len(vertices))
    targets = shape.rest_joints()[TIP_JOINTS]
    tips = np.array([((vertices - target) ** 2).sum(1).argmin() for target in targets])
    vertices[tips] = targets
    return smooth_mesh(vertices, faces, tips, 4), faces, tips


def _onto_skin(points: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """Points moved along the distance field's gradient onto the skin; those of the boundary stay in its plane."""
    step = 1e-4
    for _ in range(2):
        distance = shape.skin_distance(points)
        gradient = np.stack([shape.skin_distance(points + step * axis) - distance for axis in np.eye(3)], 1) / step
        gradient[boundary, 0] = 0.0
        squared = (gradient * gradient).sum(1, keepdims=True)
        points = points - distance[:, None] * gradient / np.maximum(squared, 0.25)
    return points


def _skin_weights(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 16) weights in MANO's joint order: each vertex to its nearest bone, then diffused along the skin."""
    joints = shape.rest_joints()
    fingers = {finger: joints[JOINT_NAMES.index(f"{finger}_1") :][:4] for finger in FINGERS}
    distances = {finger: segment(points, chain[0], chain[3])[1] for finger, chain in fingers.items()}
    nearest = np.stack([distances[finger] for finger in FINGERS], 1).argmin(1)
    owner = np.zeros(len(points), int)
    spread = np.full(len(points), 0.6)
    for i, finger in enumerate(FINGERS):
        chain = fingers[finger]
        mine = nearest == i
        if finger == "thumb":
            _, metacarpal = segment(points, chain[0], chain[1])
            knuckles = [fingers[other][0] for other in FINGERS[1:]]
            rays = [segment(points, np.array([-0.015, 0.0, 0.2 * knuckle[2]]), knuckle)[1] for knuckle in knuckles]
            palm = np.min(rays, axis=0)
            mine &= (metacarpal < palm + 0.002) | (((points - chain[1]) * (chain[2] - chain[1])).sum(1) > 0)
            mine &= points[:, 0] < chain[0, 0] + 0.004
            spread[mine] = 1.0
        else:
            before = chain[0] / np.sqrt((chain[0] ** 2).sum())
            after = (chain[1] - chain[0]) / np.sqrt(((chain[1] - chain[0]) ** 2).sum())
            mine &= ((points - chain[0]) * (before + after)).sum(1) > 0
        owner[mine] = MANO_JOINT_NAMES.index(f"{finger}_1")
        for joint in (1, 2):
            bend = chain[joint + 1] - chain[joint - 1]
            beyond = mine & (((points - chain[joint]) * bend).sum(1) > 0)
            owner[beyond] = MANO_JOINT_NAMES.index(f"{finger}_{joint + 1}")
            near = mine & (((points - 0.5 * (chain[joint - 1] + chain[joint])) * bend).sum(1) > 0)
            spread[near] = 0.5 if joint == 1 else 0.35
    weights = np.eye(16)[owner]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    start, end = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0).T
    count = np.bincount(start)[:, None]
    for _ in range(40):
        mean = np.stack([np.bincount(start, weights[end, j]) for j in range(16)], 1) / count
        weights = weights + spread[:, None] * 0.5 * (mean - weights)
    return weights


def _sample(values: np.ndarray, points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values (N, C) known at points (N, 3), at other points (M, 3): inverse-distance mean of the four nearest."""
    squared = np.stack([((points - point) ** 2).sum(1) for point in at])
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :4]
    close = 1.0 / (np.take_along_axis(squared, nearest, 1) + 1e-8)
    close = close / close.sum(1, keepdims=True)
    return sum(close[:, k : k + 1] * values[nearest[:, k]] for k in range(4))


def _pose_directions(vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(778, 3, 135): knuckles that stay full when a finger bends, where linear skinning alone flattens them.

    MANO's pose feature is R - I of each joint; the sum of its diagonal is 2 (cos(angle) - 1), whatever the axis.
    """
    joints = shape.rest_joints()
    directions = np.zeros((len(vertices), 3, 135))
    for mano, joint in enumerate(MANO_IN_21):
        finger = JOINT_NAMES[joint].split("_")[0]
        if mano == 0 or JOINT_NAMES[joint] == "thumb_1":
            continue
        bone = joints[joint + 1] - joints[joint]
        bone = bone / np.sqrt((bone * bone).sum())
        back = DORSAL[finger] - (DORSAL[finger] * bone).sum() * bone
        back = back / np.sqrt((back * back).sum())
        offset = vertices - joints[joint]
        height = (offset * back).sum(1) / 0.009
        along = (offset * bone).sum(1) / 0.010
        across = np.sqrt(np.maximum((offset * offset).sum(1) - (0.010 * along) ** 2 - (0.009 * height) ** 2, 0)) / 0.012
        parent = weights[:, MANO_PARENTS[mano]] + weights[:, mano]
        swell = np.clip(height, 0, 1) * np.clip(1 - along**2, 0, 1) * np.clip(1 - across**2, 0, 1) * parent
        quarter_turn = 0.0025 * swell[:, None] * back
        for diagonal in (0, 4, 8):
            directions[:, :, 9 * (mano - 1) + diagonal] = -0.5 * quarter_turn
    return directions


def build() -> dict[str, np.ndarray]:
    """All arrays of the generic right hand, named and laid out as in MANO's files."""
    joints = shape.rest_joints()
    dense, dense_faces, dense_tips = _dense_skin()
    vertices, faces = reduce_mesh(dense, dense_faces, VERTICES, BOUNDARY, density(dense, joints), dense_tips)
    tips = np.array([((vertices - dense[tip]) ** 2).sum(1).argmin() for tip in dense_tips])
    vertices = smooth_mesh(vertices, faces, tips, 8, _onto_skin)
    weights = _sample(_skin_weights(dense, dense_faces), dense, vertices)
    vertices, faces, weights, _ = ordered(vertices, faces, weights, tips, joints, least=0.002)
    moves = shape.joint_shape_directions(joints)
    directions = shape_directions(vertices, weights, joints, moves).round(8)
    poses = _pose_directions(vertices, weights).round(8)
    return arrays_of("generic", vertices, faces, weights, directions, poses, joints, moves)


if __name__ == "__main__":
    write(build(), SHIPPED_HANDS[GENERIC])
