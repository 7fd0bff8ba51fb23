"""What hand models of any skin share: their meshing, shape directions, joint regressor, and MANO's order of vertices.

`joints` everywhere: (21, 3) rest joints of the mean hand, in the order of skeleton.JOINT_NAMES, metres, MANO's axes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hand_shape as shape
import numpy as np

from fourdhands_core.hand_model.skeleton import (
    FINGERS,
    FINGERTIP_VERTICES,
    JOINT_NAMES,
    MANO_IN_21,
    MANO_JOINT_NAMES,
    MANO_PARENTS,
    TIP_JOINTS,
)

VERTICES, BOUNDARY = 778, 16
"""Vertices of MANO's mesh, and of these those around the open wrist."""
SECOND_TIP_VERTICES = {"thumb": 745, "index": 317, "middle": 445, "ring": 556, "little": 673}
"""Vertices that other software takes for MANO's fingertips instead: these lie beside the tips."""


def segment(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position (N,) of points' projections on a segment, 0 at start, 1 at end, and their distances (N,) to it."""
    axis = end - start
    t = ((points - start) * axis).sum(1) / (axis * axis).sum()
    nearest = start + np.clip(t, 0.0, 1.0)[:, None] * axis
    return t, np.sqrt(((points - nearest) ** 2).sum(1))


def density(points: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """How finely the skin is meshed (N,): finer toward the fingertips, coarsest on the palm and the back."""
    density = np.ones(len(points))
    for first in TIP_JOINTS - 3:
        _, distance = segment(points, joints[first + (first == 1)], joints[first + 3])
        density = np.maximum(density, np.where(distance < 0.013, 10.0, 1.0))
        tip = np.sqrt(((points - joints[first + 3]) ** 2).sum(1))
        density = np.maximum(density, np.where(tip < 0.009, 400.0, 1.0))
    return density


def shape_directions(vertices: np.ndarray, weights: np.ndarray, joints: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(778, 3, 10): each vertex goes with the bones it hangs on, and away from them where a part grows thicker.

    moves: (21, 3, 10) of the joints, `hand_shape.joint_shape_directions`.
    """
    directions = np.zeros((len(vertices), 3, 10))
    palm = np.zeros_like(directions)
    total = np.zeros(len(vertices))
    for finger in FINGERS:
        knuckle = JOINT_NAMES.index(f"{finger}_1")
        t, distance = segment(vertices, joints[0], joints[knuckle])
        share = 1.0 / (distance**2 + 0.006**2) ** 2
        palm += (share * np.clip(t, 0.0, 1.2))[:, None, None] * moves[knuckle]
        total += share
    directions += weights[:, :1, None] * palm / total[:, None, None]
    outward = np.zeros_like(vertices)
    for mano, first in enumerate(MANO_IN_21):
        if mano == 0:
            continue
        t, _ = segment(vertices, joints[first], joints[first + 1])
        t = np.clip(t, -0.15, 1.0)[:, None, None]
        directions += weights[:, mano, None, None] * ((1.0 - t) * moves[first] + t * moves[first + 1])
        axis = joints[first + 1] - joints[first]
        outward += weights[:, mano, None] * (vertices - joints[first] - np.clip(t[:, :, 0], 0.0, 1.0) * axis)
    depth = vertices * np.array([0.0, 1.0, 0.0]) + np.array([0.0, 0.003, 0.0])
    thumb_ball = weights[:, MANO_JOINT_NAMES.index("thumb_1"), None]
    palm_share = weights[:, :1] + 0.5 * thumb_ball
    directions[:, :, 0] = 0.039 * vertices
    for number, (part, fraction) in shape.THICKENING.items():
        directions[:, :, number] += fraction * (outward if part == "finger" else palm_share * depth)
    return directions


def regressor(vertices: np.ndarray, directions: np.ndarray, joints: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """(16, 778): each joint as a mean of the skin around it that follows the joint's moves (21, 3, 10) under every shape."""
    regressor = np.zeros((16, len(vertices)))
    for mano, joint in enumerate(MANO_IN_21):
        distance = np.sqrt(((vertices - joints[joint]) ** 2).sum(1))
        ring = np.argsort(distance, kind="stable")[:96]
        prior = 1.0 / (distance[ring] + 0.002) ** 2
        prior /= prior.sum()
        # The mean hand's joint is met exactly, its motion with the shape within 0.15 mm a unit: for less, the weights
        # would have to be large and of both signs.
        rows = np.concatenate(
            [np.full((1, 96), 30.0), 600.0 * (vertices[ring] - joints[joint]).T, 300.0 * directions[ring].reshape(96, 30).T]
        )
        wanted = np.concatenate([[30.0], np.zeros(3), 300.0 * moves[joint].reshape(30)])
        scaled = rows * np.sqrt(prior)
        change = scaled.T @ np.linalg.solve(scaled @ scaled.T + 1e-4 * np.eye(34), wanted - rows @ prior)
        regressor[mano, ring] = prior + np.sqrt(prior) * change
    return regressor


def arrays_of(
    name: str,
    vertices: np.ndarray,
    faces: np.ndarray,
    weights: np.ndarray,
    directions: np.ndarray,
    poses: np.ndarray,
    joints: np.ndarray,
    moves: np.ndarray,
) -> dict[str, np.ndarray]:
    """A right hand's file: its arrays by MANO's names. directions, poses: (778, 3, 10) and (778, 3, 135) of shape and pose."""
    return {
        "v_template": vertices.astype(np.float32),
        "shapedirs": directions.astype(np.float32),
        "posedirs": poses.astype(np.float32),
        "J_regressor": regressor(vertices, directions, joints, moves).round(6).astype(np.float32),
        "weights": weights.round(5).astype(np.float32),
        "f": faces.astype(np.int32),
        "kintree_table": np.stack([MANO_PARENTS, np.arange(16)]).astype(np.int32),
        "hands_mean": np.zeros(45, np.float32),
        "is_right": np.array(True),
        "name": np.array(name),
    }


def write(arrays: dict[str, np.ndarray], into: Path) -> None:
    """Write a hand's file, to the place that the command line names, or else into the package."""
    target = Path(sys.argv[1]) if sys.argv[1:] else into
    np.savez_compressed(target, **arrays)
    print(f"{target}: {target.stat().st_size} bytes")


def ordered(
    vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, tips: np.ndarray, joints: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and weights in MANO's order, and which vertex takes each place; weights below `least` become 0."""
    order = order_of(vertices, tips, weights, joints)
    vertices, weights, faces = vertices[order].round(6), weights[order], np.argsort(order)[faces]
    weights = np.where(weights < least, 0.0, weights)
    return vertices, faces[np.lexsort(faces.T[::-1])], weights / weights.sum(1, keepdims=True), order


def order_of(vertices: np.ndarray, tips: np.ndarray, weights: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(778,) which vertex takes each place: by bone and then from the wrist outwards, fingertips at MANO's numbers."""
    places = {}
    for finger, tip, joint in zip(FINGERS, tips, TIP_JOINTS):
        places[FINGERTIP_VERTICES[finger]] = tip
        distance = ((vertices - joints[joint]) ** 2).sum(1)
        places[SECOND_TIP_VERTICES[finger]] = np.argsort(distance, kind="stable")[1]
    taken = set(places.values())
    rest = [i for i in np.lexsort((-vertices[:, 0], weights.argmax(1))) if i not in taken]
    free = [place for place in range(len(vertices)) if place not in places]
    places.update(zip(free, rest))
    return np.array([places[place] for place in range(len(vertices))])
