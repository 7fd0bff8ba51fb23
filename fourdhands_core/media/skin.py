"""The looks of a rendered hand: skin colours, nails and a forearm on the open wrist of a mesh."""

from __future__ import annotations

import numpy as np

from ..hand_model.skeleton import FINGERTIP_VERTICES
from .render import vertex_normals

_TONES = np.array([
    [0.96, 0.80, 0.70], [0.91, 0.72, 0.59], [0.83, 0.62, 0.48], [0.71, 0.50, 0.36], [0.55, 0.37, 0.26],
    [0.38, 0.25, 0.18],
])
"""Back-of-the-hand colours from light to dark, sRGB 0-1; `skin_colours` mixes neighbours."""


def skin_colours(rng: np.random.Generator, vertices: np.ndarray, faces: np.ndarray, tone: float | None = None,
                 nails: bool = True) -> np.ndarray:
    """Colours (V, 3), RGB 0-1, for a right hand's mesh in its rest pose (fingers toward -x, palm toward -y).

    vertices: (V, 3) metres. tone: 0 lightest to 1 darkest; drawn from rng by default. The palm is paler than the back,
    fingertips and knuckles redder, and a smooth pattern varies the whole by some per cent. A left hand, a right one
    mirrored, takes the same colours.
    """
    tone = rng.uniform(0.0, 0.85) if tone is None else float(np.clip(tone, 0.0, 1.0))
    index = tone * (len(_TONES) - 1)
    low = min(int(index), len(_TONES) - 2)
    base = _TONES[low] + (index - low) * (_TONES[low + 1] - _TONES[low])
    normals = vertex_normals(vertices, faces)
    palm = np.clip(0.5 - 0.8 * normals[:, 1], 0.0, 1.0)[:, None]
    pale = 0.5 * base + 0.5 * np.array([0.93, 0.68, 0.57])
    colours = base + (0.35 + 0.4 * tone) * palm * (pale - base)
    # Smooth blotches: a few waves of 3-10 cm with random directions.
    waves = rng.normal(0.0, 60.0, (6, 3))
    blotch = np.sin(vertices @ waves.T + rng.uniform(0, 2 * np.pi, 6)).mean(axis=1, keepdims=True)
    colours = colours * (1.0 + 0.06 * blotch) + blotch * np.array([0.015, -0.005, -0.005])
    if len(vertices) > max(FINGERTIP_VERTICES.values()):
        tips = vertices[list(FINGERTIP_VERTICES.values())]
        near = np.exp(-(np.linalg.norm(vertices[:, None] - tips, axis=-1).min(axis=1) / 0.014) ** 2)[:, None]
        colours = colours + near * (1.0 - 0.6 * tone) * np.array([0.03, -0.045, -0.035])
        if nails:
            colours = _paint_nails(colours, vertices, normals, tips)
    return np.clip(colours + rng.normal(0.0, 0.006, (len(vertices), 1)), 0.02, 1.0)


def _paint_nails(colours, vertices, normals, tips):
    """Pale pink on the back of the last centimetre of each finger; the thumb shows its nail toward (1, 1, 1)."""
    dorsal = np.tile([0.0, 1.0, 0.0], (len(tips), 1))
    dorsal[0] = np.ones(3) / np.sqrt(3.0)
    for tip, up in zip(tips, dorsal):
        distance = np.linalg.norm(vertices - tip, axis=1)
        nail = (distance < 0.012) & (normals @ up > 0.55)
        colours[nail] = 0.35 * colours[nail] + 0.65 * np.array([0.93, 0.76, 0.72])
    return colours


class Forearm:
    """A short tapered tube that continues a hand's mesh behind its open wrist; it is only to be looked at.

    faces: (F, 3) of a mesh with exactly one open boundary, the wrist's. `faces` then holds the mesh's own faces and
    the forearm's; the mesh's own vertices keep their numbers.
    """

    RINGS = 9

    def __init__(self, faces: np.ndarray):
        self.loop = boundary_loop(faces)
        count, first = len(self.loop), int(faces.max()) + 1
        rings = np.concatenate([self.loop[None], first + np.arange(self.RINGS * count).reshape(self.RINGS, count)])
        a, b = rings[:-1], rings[1:]
        a2, b2 = np.roll(a, -1, axis=1), np.roll(b, -1, axis=1)
        # The loop runs as the hand's own faces do along it, so the tube's faces run the other way.
        quads = np.concatenate([np.stack([a2, a, b], axis=-1), np.stack([a2, b, b2], axis=-1)]).reshape(-1, 3)
        centre = first + self.RINGS * count
        cap = np.stack([np.roll(rings[-1], -1), rings[-1], np.full(count, centre)], axis=-1)
        self.faces = np.concatenate([faces, quads, cap])

    def extend(self, vertices: np.ndarray, colours: np.ndarray, sleeve=None, length: float = 0.22,
               direction: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and colours (V + forearm, 3) of the mesh with its forearm.

        vertices: (V, 3) posed, metres. colours: (V, 3) RGB 0-1. sleeve: RGB 0-1 of a sleeve over the outer two thirds,
        None for a bare arm. length: metres. direction: (3,) from the wrist to the elbow, the wrist's own axis by
        default.
        """
        loop = vertices[self.loop]
        centre = loop.mean(axis=0)
        axis = np.cross(loop, np.roll(loop, -1, axis=0)).sum(axis=0)  # normal of the loop's plane
        axis /= np.linalg.norm(axis)
        axis *= np.sign((centre - vertices.mean(axis=0)) @ axis)
        away = axis if direction is None else np.asarray(direction) / np.linalg.norm(direction)
        along = np.linspace(0.0, 1.0, self.RINGS + 1)[1:, None, None]
        start = self.RINGS // 3
        along[start] = along[start - 1] + 1e-3  # two rings at the sleeve's hem make it a sharp edge
        offset = loop - centre
        # The ring grows from the wrist's outline to a forearm, rounder and about half as wide again.
        radius = np.linalg.norm(offset, axis=1, keepdims=True)
        rounder = offset * (1.0 + 0.6 * along * (radius.mean() / radius - 1.0))
        rings = centre + rounder * (1.0 + 0.55 * along ** 1.3)
        blend = np.minimum(3.0 * along, 1.0)  # bends into the forearm's direction over its first third
        rings = rings + length * along * ((1.0 - blend) * axis + blend * away)
        end = rings[-1].mean(axis=0) + 0.01 * away
        skin = np.broadcast_to(colours[self.loop].mean(axis=0), (self.RINGS, len(self.loop), 3)).copy()
        tail = skin[-1, 0]
        if sleeve is not None:
            skin[start:] = sleeve
            folds = 1.0 + 0.06 * np.sin(np.arange(self.RINGS - start) * 2.1)[:, None]
            rings[start:] += 0.12 * (rings[start:] - rings[start:].mean(axis=1, keepdims=True)) * folds[..., None]
            tail = np.asarray(sleeve)
        return (np.concatenate([vertices, rings.reshape(-1, 3), end[None]]),
                np.concatenate([colours, skin.reshape(-1, 3), tail[None]]))


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
