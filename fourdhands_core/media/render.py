"""Renders triangle meshes over a picture with numpy alone: z-buffer, smooth shading, lens distortion, no OpenGL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..geometry.camera import Camera

NEAR = 0.01
"""Triangles with a corner nearer than this many metres to the camera are left out."""


@dataclass(frozen=True)
class Light:
    """One directional light and an ambient term.

    direction: from the scene towards the light, camera optical frame (need not be of unit length).
    ambient: 0-1, the share of light that does not depend on the surface's direction. specular: strength of the
    highlight; shininess: its exponent. colour: RGB factors on the light.
    """

    direction: tuple[float, float, float] = (-0.4, -0.7, -0.8)
    ambient: float = 0.30
    specular: float = 0.08
    shininess: float = 12.0
    colour: tuple[float, float, float] = (1.0, 0.98, 0.95)


def render_meshes(
    background: np.ndarray,
    meshes: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    camera: Camera,
    light: Light = Light(),
    alpha: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw shaded meshes over a picture.

    background: (H, W, 3) uint8 RGB, not changed. meshes: list of (vertices (V, 3) metres in the camera's optical
    frame, faces (F, 3) int, colours RGB 0-1). colours: (V, 3), or (F, n, n, 3) texels: cell (i, j) of a face colours
    its points with weights i/n to (i+1)/n of the face's second corner and j/n to (j+1)/n of its third. Both sides of a
    face are drawn, whatever its winding. camera: its image size must be the background's; lens distortion bends the
    vertices. alpha: opacity of the meshes, 0-1.

    Returns (image (H, W, 3) uint8 RGB, depth (H, W) float32 metres along z at the pixel, inf where there is no mesh).
    """
    height, width = background.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise ValueError(f"background is {width}x{height}, the camera {camera.width}x{camera.height}")
    image = background.copy()
    depth = np.full((height, width), np.inf, np.float32)
    scene = _gather(meshes, camera)
    if scene is None:
        return image, depth
    # Only the rectangle that the meshes cover is rasterised.
    triangles, attributes, textures = scene
    low = np.floor(np.nanmin(triangles[..., :2], axis=(0, 1))).astype(int) - 1
    high = np.ceil(np.nanmax(triangles[..., :2], axis=(0, 1))).astype(int) + 2
    left, top = np.clip(low, 0, (width, height))
    right, bottom = np.clip(high, 0, (width, height))
    if right <= left or bottom <= top:
        return image, depth
    triangles = triangles.copy()
    triangles[..., :2] -= left, top
    size = bottom - top, right - left
    inverse_depth, owner = _rasterise(triangles, size)
    covered = np.flatnonzero(inverse_depth)
    if len(covered) == 0:
        return image, depth
    owner = owner[covered]
    weights = _corner_weights(triangles, covered, owner, size[1])
    normals, colours = _interpolate(attributes, textures, owner, weights)
    colours = _light(normals, colours, _towards_camera(covered, size[1], camera, (left, top)), light)

    window = image[top:bottom, left:right]
    flat = window.reshape(-1, 3)  # a copy where the window is narrower than the image
    if alpha < 1.0:
        colours = alpha * colours + (1.0 - alpha) * flat[covered]
    flat[covered] = colours.astype(np.uint8)
    window[:] = flat.reshape(window.shape)
    with np.errstate(divide="ignore"):
        depth[top:bottom, left:right] = (1.0 / inverse_depth).reshape(size)
    return image, depth


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), area-weighted over the faces at each vertex, outwards for counter-clockwise faces."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face = np.cross(b - a, c - a)
    corners = faces.T.ravel()
    normals = np.stack([np.bincount(corners, np.tile(face[:, i], 3), len(vertices)) for i in range(3)], axis=1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _gather(meshes, camera):
    """What can be seen of the meshes, or None where nothing can.

    Triangles (T, 3, 3) as pixel x, pixel y, 1/z; their attributes (T, 3, 6) as normal and colour; and textures, a list
    of (first triangle, last triangle + 1, texels (last - first, n, n, 3)) of the meshes that have texels.
    """
    triangles, attributes, textures, count = [], [], [], 0
    limit = _largest_ray(camera)
    for vertices, faces, colours in meshes:
        vertices, faces, colours = np.asarray(vertices, np.float64), np.asarray(faces), np.asarray(colours)
        with np.errstate(invalid="ignore", divide="ignore"):
            z = vertices[:, 2]
            points = np.column_stack([camera.project(vertices), 1.0 / z])
            # A distortion polynomial folds back outside the lens's field of view: such rays are not in the picture.
            seen = (z > NEAR) & (np.linalg.norm(vertices[:, :2], axis=1) <= limit * z)
        keep = seen[faces].all(axis=1) & np.isfinite(points).all(axis=1)[faces].all(axis=1)
        faces_seen = faces[keep]
        vertex = np.zeros((len(vertices), 6), np.float32)
        vertex[:, :3] = vertex_normals(vertices, faces)
        if colours.ndim == 2:
            vertex[:, 3:] = colours
        else:
            textures.append((count, count + len(faces_seen), colours[keep]))
        count += len(faces_seen)
        triangles.append(points[faces_seen])
        attributes.append(vertex[faces_seen])
    return (np.concatenate(triangles), np.concatenate(attributes), textures) if count else None


def _largest_ray(camera):
    """Largest x/z, y/z radius that can be in the picture, with a margin; infinite for an undistorted camera."""
    if not camera.distortion.any():
        return np.inf
    w, h = camera.width - 1.0, camera.height - 1.0
    border = np.array([[0, 0], [w / 2, 0], [w, 0], [w, h / 2], [w, h], [w / 2, h], [0, h], [0, h / 2]])
    radii = np.linalg.norm(camera.unproject(border), axis=-1)
    return camera.widest if np.isnan(radii).any() else 1.2 * radii.max()


def _rasterise(triangles, size):
    """Nearest triangle per pixel: 1/z (H*W,) float32, 0 where none, and the triangle's index (H*W,) int32.

    Every triangle is cut into pixel rows and every row into pixels, both by np.repeat, so the work is one pass over
    exactly the covered pixels of all triangles together.
    """
    height, width = size
    inverse_depth = np.zeros(height * width, np.float32)
    owner = np.zeros(height * width, np.int32)
    x, y, iz = triangles[..., 0], triangles[..., 1], triangles[..., 2]

    first = np.maximum(np.ceil(_smallest(y)), 0)
    last = np.minimum(np.floor(-_smallest(-y)), height - 1)
    count = np.maximum(last - first + 1, 0).astype(np.int64)
    tri = np.repeat(np.arange(len(triangles)), count)
    row = np.arange(len(tri)) - np.repeat(np.cumsum(count) - count, count) + first[tri].astype(np.int64)

    # Where each row enters and leaves the triangle: the interval between the edges it crosses. The crossing is
    # computed from the edge's upper to its lower end, so neighbours that share the edge agree to the last bit.
    enter, leave = np.full(len(tri), np.inf), np.full(len(tri), -np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        swap = y[:, i] > y[:, j]
        xa, ya = np.where(swap, x[:, j], x[:, i]), np.where(swap, y[:, j], y[:, i])
        xb, yb = np.where(swap, x[:, i], x[:, j]), np.where(swap, y[:, i], y[:, j])
        slope = (xb - xa) / np.maximum(yb - ya, 1e-12)
        crossing = xa[tri] + (row - ya[tri]) * slope[tri]
        inside = (row >= ya[tri]) & (row <= yb[tri]) & (yb > ya)[tri]
        enter = np.where(inside, np.minimum(enter, crossing), enter)
        leave = np.where(inside, np.maximum(leave, crossing), leave)
    start = np.maximum(np.ceil(enter), 0)
    length = np.minimum(np.floor(leave), width - 1) - start + 1
    keep = length > 0
    tri, row, start, length = tri[keep], row[keep], start[keep].astype(np.int64), length[keep].astype(np.int64)
    if len(tri) == 0:
        return inverse_depth, owner

    dx, dy = _gradient(triangles, iz)
    row_iz = (iz[tri, 0] + dx[tri] * (start - x[tri, 0]) + dy[tri] * (row - y[tri, 0])).astype(np.float32)
    # Rounding, and near-degenerate slivers, must not push a pixel outside the depths of its own triangle.
    low, high = _smallest(iz).astype(np.float32)[tri], -_smallest(-iz).astype(np.float32)[tri]
    step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    pixel = np.repeat(row * width + start, length) + step
    value = np.repeat(row_iz, length) + np.repeat(dx[tri].astype(np.float32), length) * step.astype(np.float32)
    value = np.clip(value, np.repeat(low, length), np.repeat(high, length))
    np.maximum.at(inverse_depth, pixel, value)
    wins = value == inverse_depth[pixel]
    owner[pixel[wins]] = np.repeat(tri, length)[wins]
    return inverse_depth, owner


def _smallest(corners):
    """Least of each row of (T, 3); several times faster than min(axis=1) on so short an axis."""
    return np.minimum(np.minimum(corners[:, 0], corners[:, 1]), corners[:, 2])


def _gradient(triangles, values):
    """Change (T,), (T,) per pixel in x and y of a quantity (T, 3) that is linear over each triangle."""
    e1, e2 = triangles[:, 1, :2] - triangles[:, 0, :2], triangles[:, 2, :2] - triangles[:, 0, :2]
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    area = np.where(np.abs(area) < 1e-9, np.inf, area)
    v1, v2 = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    return (v1 * e2[:, 1] - v2 * e1[:, 1]) / area, (v2 * e1[:, 0] - v1 * e2[:, 0]) / area


def _corner_weights(triangles, covered, owner, width):
    """Weights of the three corners, a list of (P,) float32, at the covered pixels, in perspective."""
    y, x = np.divmod(covered, width)
    # Offsets from the triangle's first corner are small, so float32 loses nothing and halves the time.
    from_x = (x - triangles[:, 0, 0][owner]).astype(np.float32)
    from_y = (y - triangles[:, 0, 1][owner]).astype(np.float32)
    inverse_depth = triangles[..., 2].astype(np.float32)
    share = []
    for corner in (1, 2):
        dx, dy = _gradient(triangles, np.broadcast_to(np.eye(3)[corner], (len(triangles), 3)))
        value = dx.astype(np.float32)[owner] * from_x + dy.astype(np.float32)[owner] * from_y
        share.append(np.clip(value, 0.0, 1.0))
    share.insert(0, np.maximum(1.0 - share[0] - share[1], 0.0))
    share = [value * inverse_depth[:, corner][owner] for corner, value in enumerate(share)]
    total = share[0] + share[1] + share[2]
    return [value / total for value in share]


def _interpolate(attributes, textures, owner, weights):
    """Normals (P, 3), not of unit length, and colours (P, 3), RGB 0-1, at the pixels."""
    width = 3 if textures and sum(last - first for first, last, _ in textures) == len(attributes) else 6
    mixed = sum(weight[:, None] * attributes[:, corner, :width][owner] for corner, weight in enumerate(weights))
    colours = mixed[:, 3:] if width == 6 else np.empty_like(mixed)
    for first, last, texels in textures:
        mine = np.flatnonzero((owner >= first) & (owner < last))
        cells = texels.shape[1]
        column, row = (np.minimum((weight[mine] * cells).astype(np.int64), cells - 1) for weight in weights[1:])
        colours[mine] = texels.reshape(-1, 3)[((owner[mine] - first) * cells + column) * cells + row]
    return mixed[:, :3], colours


def _towards_camera(covered, width, camera, window):
    """Unit vectors (P, 3) from the surface to the camera; the lens's distortion does not matter for a highlight."""
    y, x = np.divmod(covered, width)
    left, top = window
    k = camera.matrix
    view = np.empty((len(covered), 3), np.float32)
    view[:, 0] = -(x + left - k[0, 2]) / k[0, 0]
    view[:, 1] = -(y + top - k[1, 2]) / k[1, 1]
    view[:, 2] = -1.0
    return view / np.sqrt(_dot(view, view))[:, None]


def _light(normals, colours, view, light):
    """Lit colours (P, 3) float32, 0-255: half Lambert (soft, as skin is) with a highlight (Blinn-Phong)."""
    # Turned towards the viewer: both sides of a face are drawn, whatever the winding of its mesh.
    sign = np.where(_dot(normals, view) < 0, -1.0, 1.0).astype(np.float32)
    normals = normals * (sign / np.sqrt(np.maximum(_dot(normals, normals), 1e-12)))[:, None]
    direction = np.asarray(light.direction, np.float32)
    direction = direction / np.linalg.norm(direction)
    half_lambert = (0.5 + 0.5 * (normals @ direction)) ** 2
    half = view + direction
    cosine = _dot(normals, half) / np.sqrt(np.maximum(_dot(half, half), 1e-12))
    highlight = light.specular * np.maximum(cosine, 0.0) ** light.shininess
    lit = colours * (light.ambient + (1.0 - light.ambient) * half_lambert)[:, None] + highlight[:, None]
    return np.clip(255.0 * lit * np.asarray(light.colour, np.float32) + 0.5, 0.0, 255.0)


def _dot(a, b):
    return np.einsum("pi,pi->p", a, b)
