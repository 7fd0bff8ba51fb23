"""The inner loop of fast rendering: shaded, textured triangles into a picture with a depth buffer, compiled by Numba."""

from __future__ import annotations

import numpy as np

from ...errors import DependencyError

try:
    from numba import njit
except ImportError as error:
    raise DependencyError("rendering pictures to train on needs Numba: pip install 'fourdhands[train]'") from error


@njit(cache=True, nogil=True)
def shade(
    vertices: np.ndarray, faces: np.ndarray, direction: np.ndarray, ambient: float, specular: float, shininess: float
) -> np.ndarray:
    """Light (V, 2) float32 at the vertices (V, 3) of a mesh, camera frame: half Lambert, and a highlight (Blinn-Phong).

    faces: (F, 3), counter-clockwise from outside. direction: (3,) unit vector towards the light. The first column
    multiplies the surface's colour, the second is added to it.
    """
    normals = np.zeros_like(vertices)
    for f in range(len(faces)):
        a, b, c = faces[f]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in (a, b, c):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    light = np.empty((len(vertices), 2), np.float32)
    for k in range(len(vertices)):
        nx, ny, nz = normals[k]
        scale = 1.0 / max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-20)
        nx, ny, nz = nx * scale, ny * scale, nz * scale
        x, y, z = vertices[k]
        scale = -1.0 / max(np.sqrt(x * x + y * y + z * z), 1e-20)
        hx, hy, hz = direction[0] + x * scale, direction[1] + y * scale, direction[2] + z * scale
        scale = 1.0 / max(np.sqrt(hx * hx + hy * hy + hz * hz), 1e-20)
        lambert = 0.5 + 0.5 * (nx * direction[0] + ny * direction[1] + nz * direction[2])
        facing = max((nx * hx + ny * hy + nz * hz) * scale, 0.0)
        light[k, 0] = ambient + (1.0 - ambient) * lambert * lambert
        light[k, 1] = specular * facing**shininess
    return light


@njit(cache=True, nogil=True)
def draw(
    picture: np.ndarray,
    nearness: np.ndarray,
    label: np.ndarray,
    points: np.ndarray,
    faces: np.ndarray,
    light: np.ndarray,
    texels: np.ndarray,
    tint: np.ndarray,
    cloth: np.ndarray,
    first_cloth: int,
    mark: int,
    mirrored: bool,
) -> None:
    """Draw a mesh's faces that look at the camera into picture (H, W, 3) float32, where nothing nearer is drawn yet.

    nearness: (H, W) float32, 1/z of what is drawn, 0 where nothing is. label: (H, W) uint8, set to `mark` where this mesh
    shows. points: (V, 3) float32 pixel x, pixel y (centres at integers), 1/z; a face with 1/z <= 0 is left out. light:
    (V, 2) of `shade`. texels: (F, n, n, 3) float32 0-1, as media.render takes them, times tint (3,); the faces from number
    first_cloth on have the colour cloth (3,) instead. mirrored: the picture is mirrored in x,
    so that faces turn the other way.
    """
    height, width = nearness.shape
    cells = texels.shape[1]
    for f in range(len(faces)):
        a, b, c = faces[f]
        xa, ya, wa = points[a]
        xb, yb, wb = points[b]
        xc, yc, wc = points[c]
        if wa <= 0.0 or wb <= 0.0 or wc <= 0.0:
            continue
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        # y points down in a picture: a face that is counter-clockwise from outside has a negative area there
        if (area if mirrored else -area) <= 1e-6:
            continue
        left, right = int(np.ceil(max(min(xa, xb, xc), 0.0))), int(np.floor(min(max(xa, xb, xc), width - 1.0)))
        top, bottom = int(np.ceil(max(min(ya, yb, yc), 0.0))), int(np.floor(min(max(ya, yb, yc), height - 1.0)))
        inverse = 1.0 / area
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                second = ((x - xa) * (yc - ya) - (y - ya) * (xc - xa)) * inverse
                third = ((xb - xa) * (y - ya) - (yb - ya) * (x - xa)) * inverse
                first = 1.0 - second - third
                if first < 0.0 or second < 0.0 or third < 0.0:
                    continue
                w = first * wa + second * wb + third * wc
                if w <= nearness[y, x]:
                    continue
                nearness[y, x] = w
                label[y, x] = mark
                # a face is a few pixels wide: without perspective its colours are off by a fraction of a texel
                diffuse = first * light[a, 0] + second * light[b, 0] + third * light[c, 0]
                shine = first * light[a, 1] + second * light[b, 1] + third * light[c, 1]
                i, j = min(int(second * cells), cells - 1), min(int(third * cells), cells - 1)
                for k in range(3):
                    colour = cloth[k] if f >= first_cloth else texels[f, i, j, k] * tint[k]
                    picture[y, x, k] = 255.0 * min(colour * diffuse + shine, 1.0)
