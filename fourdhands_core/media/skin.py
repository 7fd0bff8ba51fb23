"""The looks of a rendered hand: a skin with creases and nails, and a forearm on the open wrist of a mesh."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.interpolate import CubicSpline

from ..hand_model.assets import HandAsset
from ..hand_model.skeleton import DORSAL, FINGERS, FINGERTIP_VERTICES, MANO_JOINT_NAMES
from .render import vertex_normals

_TONES = np.array(
    [[0.96, 0.80, 0.70], [0.91, 0.72, 0.59], [0.83, 0.62, 0.48], [0.71, 0.50, 0.36], [0.55, 0.37, 0.26], [0.38, 0.25, 0.18]]
)
"""Back-of-the-hand colours from light to dark, sRGB 0-1; a skin tone mixes neighbours."""

# Creases of the palm as points (share of the way from a knuckle to the wrist, millimetres towards the thumb).
_PALM_CREASES = (
    (("little", 0.12, -9.0), ("ring", 0.17, 0.0), ("middle", 0.14, 0.0), ("middle", 0.02, 9.0)),  # heart
    (("index", 0.30, 12.0), ("middle", 0.36, 0.0), ("ring", 0.46, 0.0), ("little", 0.52, -4.0)),  # head
    (("index", 0.30, 12.0), ("index", 0.46, 0.0), ("middle", 0.64, 3.0), ("middle", 0.80, 4.0), ("middle", 0.95, 9.0)),
)


def skin_texture(rng: np.random.Generator, asset: HandAsset, tone: float | None = None, cells: int = 8) -> np.ndarray:
    """Texels (1538, cells, cells, 3) of a right hand's skin, RGB 0-1, as render_meshes takes them.

    tone: 0 lightest to 1 darkest; drawn from rng by default. Palm and nails tell the front from the back as on a real
    hand: the palm is paler and has its creases, fingers have creases in front, wrinkles and nails behind. A left hand,
    a right one mirrored, takes the same texels.
    """
    tone = rng.uniform(0.0, 0.85) if tone is None else float(np.clip(tone, 0.0, 1.0))
    position = tone * (len(_TONES) - 1)
    low = min(int(position), len(_TONES) - 2)
    base = _TONES[low] + (position - low) * (_TONES[low + 1] - _TONES[low])

    points, normals = _texel_points(asset, cells)
    fingers = _finger_coordinates(asset, points, normals)
    back = fingers["back"]
    front = np.clip(0.5 - 1.5 * back, 0.0, 1.0)[:, None]
    pale = 0.45 * base + 0.55 * np.array([0.94, 0.66, 0.57])
    colours = base + (0.45 + 0.4 * tone) * front * (pale - base)
    # Smooth blotches: a few waves of some centimetres in random directions; the palm has more.
    waves = rng.normal(0.0, 110.0, (8, 3))
    blotch = np.sin(points @ waves.T + rng.uniform(0, 2 * np.pi, 8)).mean(axis=1, keepdims=True)
    colours = colours + (0.6 + front) * blotch * np.array([0.03, -0.02, -0.02])
    # Fingertips and knuckles have more blood under them.
    colours = colours + (1.0 - 0.6 * tone) * fingers["red"][:, None] * np.array([0.03, -0.05, -0.04])
    colours = colours * (1.0 - fingers["crease"][:, None] * np.array([0.25, 0.38, 0.38]))
    palm = fingers["on_palm"] & (back < -0.2)
    colours[palm] *= 1.0 - _palm_crease(asset, points[palm])[:, None] * np.array([0.22, 0.38, 0.38])
    nail = fingers["nail"][:, None]
    colours = colours + np.clip(nail, 0, 1) * (0.3 * base + 0.7 * np.array([0.95, 0.74, 0.71]) - colours)
    colours = colours + (nail > 1.5) * (np.array([0.95, 0.92, 0.87]) - colours) * 0.7
    colours = colours * (1.0 - 0.35 * fingers["fold"][:, None])
    colours = colours + rng.normal(0.0, 0.008, (len(colours), 1))
    return np.clip(colours, 0.02, 1.0).astype(np.float32).reshape(len(asset.faces), cells, cells, 3)


def _texel_points(asset, cells):
    """Rest positions and unit normals (F * cells * cells, 3) of the texels' middles."""
    second, third = np.meshgrid((np.arange(cells) + 0.5) / cells, (np.arange(cells) + 0.5) / cells, indexing="ij")
    weights = np.stack([np.maximum(1.0 - second - third, 0.0), second, third], axis=-1).reshape(-1, 3)
    weights /= weights.sum(axis=1, keepdims=True)  # cells beyond the long edge are never seen but by rounding
    corners = np.concatenate([asset.v_template, vertex_normals(asset.v_template, asset.faces)], axis=1)[asset.faces]
    values = np.einsum("tc,fca->fta", weights, corners).reshape(-1, 6)
    normals = values[:, 3:]
    return values[:, :3], normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def _smooth_step(value, start, end):
    share = np.clip((value - start) / (end - start), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _finger_coordinates(asset, points, normals):
    """Marks (P,) of the fingers: back (-1 front to 1 back), red, crease, nail (2 at its free end), fold, on_palm."""
    joints = asset.J_regressor @ asset.v_template
    nearest = np.full(len(points), np.inf)
    marks = {name: np.zeros(len(points)) for name in ("red", "crease", "nail", "fold")}
    marks.update(back=normals[:, 1].copy(), on_palm=np.ones(len(points), bool))
    for finger in FINGERS:
        first = MANO_JOINT_NAMES.index(f"{finger}_1")
        chain = np.concatenate([joints[first : first + 3], asset.v_template[[FINGERTIP_VERTICES[finger]]]])
        for i in range(3):
            length = np.linalg.norm(chain[i + 1] - chain[i])
            bone = (chain[i + 1] - chain[i]) / length
            up = DORSAL[finger] - (DORSAL[finger] @ bone) * bone
            up = up / np.linalg.norm(up)
            offset = points - chain[i]
            along = offset @ bone
            distance = np.linalg.norm(offset - np.clip(along, 0, length)[:, None] * bone, axis=1)
            mine = np.flatnonzero(
                (along > (-0.006 if i == 0 else -0.2 * length))
                & (along < 1.2 * length)
                & (distance < np.minimum(nearest, 0.016))
            )
            nearest[mine] = distance[mine]
            along, across, facing = along[mine], offset[mine] @ np.cross(bone, up), normals[mine] @ up
            marks["back"][mine] = facing
            metacarpal = finger == "thumb" and i == 0
            if not metacarpal:
                marks["on_palm"][mine[along > 0.25 * length]] = False
                depth = _finger_crease(i, length, along, across, facing)
                marks["crease"][mine] = np.maximum(marks["crease"][mine], depth)
            red = 0.6 * _smooth_step(facing, 0.2, 0.6) * np.exp(-((along / 0.007) ** 2))
            if i == 2:
                red = np.maximum(red, _smooth_step(-facing, 0.0, 0.5) * _smooth_step(along, 0.3 * length, 0.8 * length))
                marks["nail"][mine], marks["fold"][mine] = _nail(finger, length, along, across, facing)
            marks["red"][mine] = np.maximum(marks["red"][mine], red)
    return marks


def _finger_crease(phalanx, length, along, across, facing):
    """Depth 0-1 of the lines at a phalanx's inner end; phalanx: 0 next to the palm to 2 the last."""
    # In front one deep line where the joint bends; at the base, where the finger leaves the palm.
    line = 0.42 * length if phalanx == 0 else 0.0
    depth = _smooth_step(-facing, 0.0, 0.5) * np.exp(-(((along - line) / 0.0007) ** 2))
    if phalanx > 0:  # behind, three fine wrinkles over the joint
        for shift in (-0.0025, 0.0, 0.0025):
            wrinkle = np.exp(-(((along - shift) / 0.0006) ** 2)) * (np.abs(across) < 0.006)
            depth = depth + 0.45 * _smooth_step(facing, 0.2, 0.6) * wrinkle
    return depth


def _nail(finger, length, along, across, facing):
    """Nail (1, at its free end 2) and the fold of skin around it (1) on a last phalanx, each 0 elsewhere."""
    # The nail covers the outer half of the phalanx and two thirds of its width.
    half = {"thumb": 0.0058, "little": 0.0039}.get(finger, 0.0047)
    begin, end = 0.48 * length, 0.95 * length
    sideways, lengthways = np.abs(across) / half, np.abs(along - 0.5 * (begin + end)) / (0.5 * (end - begin))
    inside = sideways**4 + lengthways**4 < 1.0
    nail = (facing > 0.1) & inside
    fold = (facing > 0.1) & ~inside & (np.maximum(sideways, lengthways) < 1.22) & (along < end)
    return np.where(nail, np.where(along > end - 0.0014, 2.0, 1.0), 0.0), fold.astype(float)


def _palm_crease(asset, points):
    """Depth (P,) 0-1 of the palm's three great creases, seen along the palm's normal."""
    joints = asset.J_regressor @ asset.v_template
    knuckle = {finger: joints[MANO_JOINT_NAMES.index(f"{finger}_1")] for finger in FINGERS}
    depth = np.zeros(len(points))
    plane = points[:, [0, 2]]
    for line in _PALM_CREASES:
        stops = np.array(
            [knuckle[f] + share * (joints[0] - knuckle[f]) + [0.0, 0.0, 1e-3 * shift] for f, share, shift in line]
        )[:, [0, 2]]
        curve = CubicSpline(np.arange(len(stops)), stops)(np.linspace(0, len(stops) - 1, 25))
        for a, b in pairwise(curve):
            share = np.clip(((plane - a) @ (b - a)) / ((b - a) @ (b - a)), 0.0, 1.0)
            distance = np.linalg.norm(plane - a - share[:, None] * (b - a), axis=1)
            depth = np.maximum(depth, np.exp(-((distance / 0.0008) ** 2)))
    return depth


class Forearm:
    """A short tapered tube that continues a hand's mesh behind its open wrist; it is only to be looked at.

    faces: (F, 3) of a mesh with exactly one open boundary, the wrist's. `faces` then holds the mesh's own faces and
    the forearm's; the mesh's own vertices keep their numbers.
    """

    RINGS = 9
    HEM = 3
    """This many rings are bare skin below a sleeve."""

    def __init__(self, faces: np.ndarray):
        self.loop = boundary_loop(faces)
        count, first = len(self.loop), int(faces.max()) + 1
        rings = np.concatenate([self.loop[None], first + np.arange(self.RINGS * count).reshape(self.RINGS, count)])
        a, b = rings[:-1], rings[1:]
        a2, b2 = np.roll(a, -1, axis=1), np.roll(b, -1, axis=1)
        # The loop runs as the hand's own faces do along it, so the tube's faces run the other way.
        quads = np.stack([np.stack([a2, a, b], axis=-1), np.stack([a2, b, b2], axis=-1)], axis=2)
        centre = first + self.RINGS * count
        cap = np.stack([np.roll(rings[-1], -1), rings[-1], np.full(count, centre)], axis=-1)
        self._touching = [np.flatnonzero((faces == vertex).any(axis=1)) for vertex in self.loop]
        self.faces = np.concatenate([faces, quads.reshape(-1, 3), cap])

    def extend(
        self, vertices: np.ndarray, sleeve: bool = False, length: float = 0.30, direction: np.ndarray | None = None
    ) -> np.ndarray:
        """Vertices (V + forearm, 3) of the posed mesh (V, 3), metres, with its forearm.

        sleeve: the outer two thirds are a little wider. length: metres. direction: (3,) from the wrist to the elbow,
        the wrist's own axis by default.
        """
        loop = vertices[self.loop]
        centre = loop.mean(axis=0)
        axis = np.cross(loop, np.roll(loop, -1, axis=0)).sum(axis=0)  # normal of the loop's plane
        axis /= np.linalg.norm(axis)
        axis *= np.sign((centre - vertices.mean(axis=0)) @ axis)
        away = axis if direction is None else np.asarray(direction) / np.linalg.norm(direction)
        along = np.linspace(0.0, 1.0, self.RINGS + 1)[1:, None, None]
        along[self.HEM] = along[self.HEM - 1] + 1e-3  # two rings at the sleeve's hem make it a sharp edge
        offset = loop - centre
        # The ring grows from the wrist's outline to a forearm, rounder and about half as wide again.
        radius = np.linalg.norm(offset, axis=1, keepdims=True)
        rounder = offset * (1.0 + 0.6 * along * (radius.mean() / radius - 1.0))
        blend = np.minimum(3.0 * along, 1.0)  # bends into the forearm's direction over its first third
        rings = centre + length * along * ((1.0 - blend) * axis + blend * away)
        wide = np.ones(self.RINGS)
        if sleeve:
            wide[self.HEM :] = 1.12 + 0.06 * np.sin(2.1 * np.arange(self.RINGS - self.HEM))
        rings = rings + rounder * (1.0 + 0.55 * along**1.3) * wide[:, None, None]
        end = rings[-1].mean(axis=0) + 0.01 * away
        return np.concatenate([vertices, rings.reshape(-1, 3), end[None]])

    def paint(self, texels: np.ndarray, sleeve: np.ndarray | None = None) -> np.ndarray:
        """Texels of mesh and forearm from the mesh's (F, n, n, 3); sleeve: RGB 0-1 of a sleeve, None for a bare arm."""
        count, cells = len(self.loop), texels.shape[1]
        painted = np.empty((len(self.faces), cells, cells, 3), texels.dtype)
        painted[: len(texels)] = texels
        # The skin goes on along the arm as it is at the wrist, paler on the palm's side.
        around = np.stack([texels[faces].mean(axis=(0, 1, 2)) for faces in self._touching])
        around = 0.5 * (around + np.roll(around, -1, axis=0))
        quads = np.broadcast_to(around[None, :, None], (self.RINGS, count, 2, 3)).reshape(-1, 3)
        painted[len(texels) :] = np.concatenate([quads, around])[:, None, None]
        if sleeve is not None:
            painted[len(texels) + 2 * count * self.HEM :] = sleeve
        return painted


def boundary_loop(faces: np.ndarray) -> np.ndarray:
    """Vertex ids (N,) around the one open boundary of a mesh, in the direction of the faces that end there.

    Raises ValueError where the mesh has no boundary, or not one simple loop.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    known = set(map(tuple, edges.tolist()))
    following = {a: b for a, b in known if (b, a) not in known}
    if not following:
        raise ValueError("the mesh is closed: it has no open wrist for a forearm")
    start = min(following)
    loop = [start]
    while (following_vertex := following.get(loop[-1])) != start:
        if following_vertex is None or len(loop) > len(following):
            raise ValueError("the mesh's open boundary is not one simple loop")
        loop.append(following_vertex)
    if len(loop) != len(following):
        raise ValueError("the mesh has more than one open boundary")
    return np.array(loop)
