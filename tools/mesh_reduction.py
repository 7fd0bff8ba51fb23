"""Reduction of a triangle mesh with one open boundary to an exact number of vertices, by edge collapse."""

from __future__ import annotations

import heapq

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph


class _Mesh:
    """Faces around vertices and quadrics of a mesh that is being reduced."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        self.points = [tuple(map(float, vertex)) for vertex in vertices]
        self.faces = {i: tuple(map(int, face)) for i, face in enumerate(faces)}
        self.around = [set() for _ in vertices]
        for i, face in self.faces.items():
            for vertex in face:
                self.around[vertex].add(i)
        self.alive = len(vertices)
        self.version = [0] * len(vertices)
        edges = {}
        for a, b, c in self.faces.values():
            for edge in ((a, b), (b, c), (c, a)):
                key = (min(edge), max(edge))
                edges[key] = edges.get(key, 0) + 1
        self.boundary = {vertex for edge, count in edges.items() if count == 1 for vertex in edge}
        self.edges = sorted(edges)
        self.quadrics = self._quadrics(vertices, faces)

    @staticmethod
    def _quadrics(vertices, faces) -> list[tuple]:
        """Area-weighted plane quadrics: the ten numbers of the symmetric 4x4 matrix, per vertex."""
        a, b, c = (vertices[faces[:, i]] for i in range(3))
        normal = np.cross(b - a, c - a)
        area = np.sqrt((normal * normal).sum(1))
        normal = normal / np.maximum(area, 1e-30)[:, None]
        plane = np.concatenate([normal, -(normal * a).sum(1, keepdims=True)], axis=1)
        rows, columns = np.triu_indices(4)
        per_face = plane[:, rows] * plane[:, columns] * (area / 6.0)[:, None]
        quadrics = np.zeros((len(vertices), 10))
        for corner in range(3):
            np.add.at(quadrics, faces[:, corner], per_face)
        return [tuple(map(float, quadric)) for quadric in quadrics]

    def neighbours(self, vertex: int) -> set[int]:
        return {other for face in self.around[vertex] for other in self.faces[face]} - {vertex}

    def normal(self, a, b, c):
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx

    @staticmethod
    def longest2(a, b, c) -> float:
        return max(1e-12, *(sum((p[k] - q[k]) ** 2 for k in range(3)) for p, q in ((a, b), (b, c), (c, a))))

    def keeps_shape(self, vertex: int, other: int, point) -> bool:
        """Whether moving `vertex` to `point` leaves its faces (but those shared with `other`) unfolded and not thin."""
        for face in self.around[vertex]:
            corners = self.faces[face]
            if other in corners:
                continue
            i = corners.index(vertex)
            b, c = self.points[corners[i - 2]], self.points[corners[i - 1]]
            old = self.normal(self.points[vertex], b, c)
            new = self.normal(point, b, c)
            dot = old[0] * new[0] + old[1] * new[1] + old[2] * new[2]
            old2 = old[0] ** 2 + old[1] ** 2 + old[2] ** 2
            new2 = new[0] ** 2 + new[1] ** 2 + new[2] ** 2
            thin = new2 / self.longest2(point, b, c) ** 2
            old_thin = old2 / self.longest2(self.points[vertex], b, c) ** 2
            if thin < 0.05 and thin < old_thin:
                return False
            # The normal of a sliver, as marching cubes leaves them, says nothing.
            if old_thin > 0.01 and (dot <= 0 or dot * dot < 0.25 * old2 * new2):
                return False
        return True

    def can_collapse(self, a: int, b: int, point) -> bool:
        """Whether the mesh stays a manifold with 3 to 9 faces a vertex and no folded or thin face."""
        shared = self.neighbours(a) & self.neighbours(b)
        if len(shared) != 2 or any(len(self.around[vertex]) <= 3 for vertex in shared):
            return False
        if len(self.around[a]) + len(self.around[b]) - 4 > 9:
            return False
        return self.keeps_shape(a, b, point) and self.keeps_shape(b, a, point)

    def collapse(self, kept: int, gone: int, point) -> None:
        for face in self.around[kept] & self.around[gone]:
            for vertex in self.faces.pop(face):
                self.around[vertex].discard(face)
        for face in self.around[gone]:
            self.faces[face] = tuple(kept if vertex == gone else vertex for vertex in self.faces[face])
            self.around[kept].add(face)
        self.around[gone] = set()
        self.points[kept] = point
        self.quadrics[kept] = tuple(p + q for p, q in zip(self.quadrics[kept], self.quadrics[gone]))
        self.boundary.discard(gone)
        self.alive -= 1
        self.version[gone] = -1
        self.version[kept] += 1

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        used = [vertex for vertex, version in enumerate(self.version) if version >= 0]
        index = {vertex: i for i, vertex in enumerate(used)}
        faces = np.array([[index[vertex] for vertex in self.faces[face]] for face in sorted(self.faces)])
        return np.array([self.points[vertex] for vertex in used]), faces


def _best_point(q, p, r):
    """The point of least quadric error `q` on the edge from p to r (three candidates and the parabola's minimum)."""
    direction = (r[0] - p[0], r[1] - p[1], r[2] - p[2])

    def error(x):
        return (
            q[0] * x[0] * x[0]
            + 2 * q[1] * x[0] * x[1]
            + 2 * q[2] * x[0] * x[2]
            + 2 * q[3] * x[0]
            + q[4] * x[1] * x[1]
            + 2 * q[5] * x[1] * x[2]
            + 2 * q[6] * x[1]
            + q[7] * x[2] * x[2]
            + 2 * q[8] * x[2]
            + q[9]
        )

    def at(t):
        return (p[0] + t * direction[0], p[1] + t * direction[1], p[2] + t * direction[2])

    e0, e1, middle = error(p), error(r), error(at(0.5))
    curvature = 2.0 * (e0 + e1 - 2.0 * middle)
    t = 0.5 if curvature <= 1e-24 else min(1.0, max(0.0, 0.5 + 0.5 * (e0 - e1) / curvature))
    point = at(t)
    return max(error(point), 0.0), point


def reduce_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    count: int,
    boundary_count: int,
    density: np.ndarray,
    pinned: np.ndarray,
    evenness: float = 0.005,
) -> tuple[np.ndarray, np.ndarray]:
    """Collapse edges until `count` vertices are left, `boundary_count` of them on the one open boundary.

    vertices (V, 3), faces (F, 3): manifold. density (V,): how finely the surroundings of a vertex are kept (the cost
    of an edge's length is multiplied by it). pinned: indices of vertices that keep their places. evenness: weight of
    edge length against the quadric error (Garland & Heckbert, 1997).

    Returns (count, 3) vertices and, for a disc, (2 count - 2 - boundary_count, 3) faces.
    Raises ValueError where the mesh cannot be reduced that far.
    """
    mesh = _Mesh(vertices, faces)
    _reduce_boundary(mesh, boundary_count)
    fixed = set(mesh.boundary) | {int(vertex) for vertex in pinned}
    density = [float(value) for value in density]
    heap = []

    def push(a: int, b: int):
        if a in fixed and b in fixed:
            return
        if b in fixed:
            a, b = b, a
        p, r = mesh.points[a], mesh.points[b]
        quadric = tuple(x + y for x, y in zip(mesh.quadrics[a], mesh.quadrics[b]))
        error, point = (0.0, p) if a in fixed else _best_point(quadric, p, r)
        length2 = sum((x - y) ** 2 for x, y in zip(p, r))
        cost = error + evenness * length2 * length2 * max(density[a], density[b])
        heapq.heappush(heap, (cost, a, b, mesh.version[a], mesh.version[b], point))

    for a, b in mesh.edges:
        if mesh.version[a] >= 0 and mesh.version[b] >= 0:
            push(a, b)
    waiting, before = [], mesh.alive + 1
    while mesh.alive > count:
        if not heap or mesh.alive < 0.97 * before:
            # What one collapse forbade, later ones may have made possible.
            if not heap and mesh.alive == before:
                raise ValueError(f"mesh cannot be reduced below {mesh.alive} vertices; {count} were wanted")
            heap.extend(waiting)
            heapq.heapify(heap)
            waiting, before = [], mesh.alive
            continue
        entry = heapq.heappop(heap)
        _, a, b, version_a, version_b, point = entry
        if mesh.version[a] != version_a or mesh.version[b] != version_b:
            continue
        if not mesh.can_collapse(a, b, point):
            waiting.append(entry)
            continue
        mesh.collapse(a, b, point)
        for other in sorted(mesh.neighbours(a)):
            push(a, other)
    return mesh.result()


def _reduce_boundary(mesh: _Mesh, count: int) -> None:
    """Collapse the shortest edges along the boundary until `count` vertices are on it."""
    while len(mesh.boundary) > count:
        candidates = []
        for a in sorted(mesh.boundary):
            for b in mesh.neighbours(a) & mesh.boundary:
                if b > a and len(mesh.around[a] & mesh.around[b]) == 1:
                    p, r = mesh.points[a], mesh.points[b]
                    candidates.append((sum((x - y) ** 2 for x, y in zip(p, r)), a, b))
        for _, a, b in sorted(candidates):
            if len(mesh.neighbours(a) & mesh.neighbours(b)) == 1:
                middle = tuple(0.5 * (x + y) for x, y in zip(mesh.points[a], mesh.points[b]))
                mesh.collapse(a, b, middle)
                break
        else:
            raise ValueError(f"boundary cannot be reduced below {len(mesh.boundary)} vertices; {count} were wanted")


def smooth_mesh(vertices: np.ndarray, faces: np.ndarray, pinned: np.ndarray, rounds: int, onto=None) -> np.ndarray:
    """Move each vertex half-way to the mean of its neighbours, `rounds` times, to even out the triangles.

    The boundary slides along itself and the vertices `pinned` stay. onto: function (V, 3), (B,) boundary indices ->
    (V, 3) that puts the vertices back on the surface after each round.
    """
    boundary = check_disc(faces, len(vertices))
    inner = np.ones(len(vertices), bool)
    inner[boundary] = False
    start = np.concatenate([faces[:, 0], faces[:, 1], faces[:, 2]])
    end = np.concatenate([faces[:, 1], faces[:, 2], faces[:, 0]])
    start, end = np.concatenate([start, end]), np.concatenate([end, start])
    pairs = np.unique(np.stack([start, end], 1)[inner[start]], axis=0)
    along = np.stack([np.concatenate([boundary, boundary]), np.concatenate([np.roll(boundary, 1), np.roll(boundary, -1)])], 1)
    start, end = np.concatenate([pairs, along]).T
    count = np.bincount(start, minlength=len(vertices))[:, None]
    vertices = vertices.copy()
    for _ in range(rounds):
        mean = np.stack([np.bincount(start, vertices[end, axis], len(vertices)) for axis in range(3)], 1) / count
        moved = 0.5 * (vertices + mean)
        if onto is not None:
            moved = onto(moved, boundary)
        moved[pinned] = vertices[pinned]
        vertices = moved
    return vertices


def check_disc(faces: np.ndarray, vertex_count: int) -> np.ndarray:
    """The boundary vertices, in order, of a mesh that must be one manifold disc; ValueError where it is not."""
    directed = {(int(face[i]), int(face[(i + 1) % 3])) for face in faces for i in range(3)}
    if len(directed) != 3 * len(faces):
        raise ValueError("two faces use an edge in the same direction")
    following = {b: a for a, b in directed if (b, a) not in directed}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError("the mesh has more than one boundary")
    edges = (len(directed) + len(loop)) // 2
    if vertex_count - edges + len(faces) != 1 or len(np.unique(faces)) != vertex_count:
        raise ValueError("the mesh is not a disc")
    # Corners of faces that meet at a vertex and share an edge belong together: every vertex must have one such fan.
    start, end = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    corner = np.arange(3 * len(faces)).reshape(-1, 3)
    following_corner = np.roll(corner, -1, axis=1).reshape(-1)
    lower, upper = np.minimum(start, end), np.maximum(start, end)
    order = np.lexsort((upper, lower))
    twin = (lower[order[1:]] == lower[order[:-1]]) & (upper[order[1:]] == upper[order[:-1]])
    one, other = order[:-1][twin], order[1:][twin]
    links = np.concatenate([np.stack([one, following_corner[other]], 1), np.stack([following_corner[one], other], 1)])
    graph = scipy.sparse.coo_matrix((np.ones(len(links)), links.T), shape=(corner.size, corner.size))
    if scipy.sparse.csgraph.connected_components(graph, directed=False)[0] != vertex_count:
        raise ValueError("a vertex joins two fans of faces")
    return np.array(loop)
