"""Nearest points on a triangle mesh, and where among its vertices they lie."""

from __future__ import annotations

import numpy as np
import scipy.spatial


class Surface:
    """A triangle mesh: vertices (V, 3), faces (F, 3)."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self.vertices, self.faces = vertices, faces
        self._centres = scipy.spatial.cKDTree(vertices[faces].mean(1))

    def nearest(self, points: np.ndarray, but: np.ndarray = ()) -> np.ndarray:
        """The nearest points (N, 3) of the surface; those numbered `but` stay as they are."""
        found = self.barycentric(points) @ self.vertices
        found[but] = points[but]
        return found

    def barycentric(self, points: np.ndarray, candidates: int = 40) -> np.ndarray:
        """(N, V) shares of the vertices that make each point's nearest point on the surface; three of a row are not 0."""
        faces = self._centres.query(points, candidates)[1]
        a, b, c = (self.vertices[self.faces[faces][..., k]] for k in range(3))
        shares = _clamped(points[:, None], a, b, c)
        on_face = shares[..., 0, None] * a + shares[..., 1, None] * b + shares[..., 2, None] * c
        best = ((on_face - points[:, None]) ** 2).sum(-1).argmin(1)
        rows = np.arange(len(points))
        result = np.zeros((len(points), len(self.vertices)))
        np.add.at(result, (rows[:, None], self.faces[faces[rows, best]]), shares[rows, best])
        return result


def _clamped(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(..., 3) shares of the corners a, b, c of triangles for their points nearest to p: inside, or best of three edges."""
    ab, ac, ap = b - a, c - a, p - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (ap * ab).sum(-1), (ap * ac).sum(-1)
    area = np.maximum(d00 * d11 - d01 * d01, 1e-30)
    v, w = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    inner = np.stack([1.0 - v - w, v, w], -1)
    best, least = None, None
    for corners, start, end in (((0, 1), a, b), ((1, 2), b, c), ((2, 0), c, a)):
        edge = end - start
        t = np.clip(((p - start) * edge).sum(-1) / np.maximum((edge * edge).sum(-1), 1e-30), 0.0, 1.0)
        shares = np.zeros(t.shape + (3,))
        shares[..., corners[0]], shares[..., corners[1]] = 1.0 - t, t
        distance = ((start + t[..., None] * edge - p) ** 2).sum(-1)
        if best is None:
            best, least = shares, distance
        else:
            nearer = distance < least
            best, least = np.where(nearer[..., None], shares, best), np.where(nearer, distance, least)
    return np.where((inner >= 0).all(-1, keepdims=True), inner, best)
