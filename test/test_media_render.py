"""The renderer against analytic truth: spheres, planes, single triangles, lens distortion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.hand_model.assets import load_generic_hand
from fourdhands_core.media.render import Light, render_meshes, vertex_normals
from fourdhands_core.media.skin import Forearm, boundary_loop, skin_texture

GREY = np.full((120, 160, 3), 90, np.uint8)
CAMERA = Camera.from_fov(160, 120, 60.0)


def sphere(centre, radius, n=30):
    """A closed sphere of 12 n^2 triangles: a cube's faces, cut into a grid, blown up."""
    t = np.tan(np.linspace(-np.pi / 4, np.pi / 4, n + 1))
    u, v = (grid.ravel() for grid in np.meshgrid(t, t, indexing="ij"))
    sides = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            side = np.empty((len(u), 3))
            side[:, axis], side[:, (axis + 1) % 3], side[:, (axis + 2) % 3] = sign, sign * u, v
            sides.append(side)
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(n), np.arange(n), indexing="ij"))
    a, b = i * (n + 1) + j, i * (n + 1) + j + 1
    quads = np.concatenate([np.stack([a, a + n + 1, b], 1), np.stack([b, a + n + 1, b + n + 1], 1)])
    faces = np.concatenate([quads + k * len(u) for k in range(6)])
    points = np.concatenate(sides)
    _, first, weld = np.unique(points.round(9), axis=0, return_index=True, return_inverse=True)
    unit = points[first] / np.linalg.norm(points[first], axis=1, keepdims=True)
    return unit * radius + centre, weld.ravel()[faces], np.full((len(unit), 3), 0.7)


def rays(camera):
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.concatenate([camera.unproject(np.stack([x, y], -1)), np.ones((camera.height, camera.width, 1))], -1)


def sphere_depth(camera, centre, radius):
    """Exact z of the first hit of each pixel's ray with a sphere, inf where it misses."""
    d = rays(camera)
    b, a = d @ centre, (d * d).sum(-1)
    root = b * b - a * (centre @ centre - radius**2)
    return np.where(root > 0, (b - np.sqrt(np.maximum(root, 0))) / a, np.inf)


DISTORTED = [
    CAMERA,
    Camera(160, 120, CAMERA.matrix, "plumb_bob", [-0.25, 0.08, 0.002, -0.001, 0.0]),
    Camera(160, 120, CAMERA.matrix, "rational_polynomial", [0.2, -0.1, 0.001, 0.0, 0.01, 0.3, -0.05, 0.0]),
    Camera(160, 120, CAMERA.matrix, "equidistant", [0.05, -0.01, 0.002, 0.0]),
]


@pytest.mark.parametrize("camera", DISTORTED, ids=lambda camera: camera.distortion_model or "pinhole")
def test_sphere_silhouette_and_depth(camera):
    centre, radius = np.array([0.06, -0.04, 0.5]), 0.12
    image, depth = render_meshes(GREY, [sphere(centre, radius)], camera)
    truth = sphere_depth(camera, centre, radius)
    inside, hit = np.isfinite(truth), np.isfinite(depth)
    assert (inside & hit).sum() / (inside | hit).sum() > 0.99
    assert not (inside & ~hit).sum() > 0.01 * inside.sum()
    with np.errstate(invalid="ignore"):
        hits = rays(camera) * truth[..., None]
        facing = -((hits - centre) / radius * hits / np.linalg.norm(hits, axis=-1, keepdims=True)).sum(-1)
    front = facing > 0.4  # away from the rim, where depth changes fast within a pixel
    np.testing.assert_allclose(depth[front], truth[front], atol=1e-3)
    assert (image[~hit] == 90).all() and (image[front] != 90).any(axis=-1).mean() > 0.9


def test_slanted_plane_has_exact_depth_and_no_holes():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.linspace(-2, 2, 25), np.linspace(-2, 2, 25)), -1).reshape(-1, 2)
    grid += rng.uniform(-0.05, 0.05, grid.shape)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(24), np.arange(24), indexing="ij"))
    a = i * 25 + j
    faces = np.concatenate([np.stack([a, a + 1, a + 25], 1), np.stack([a + 1, a + 26, a + 25], 1)])
    normal, offset = np.array([0.5, -0.3, 1.0]), 1.0
    vertices = np.column_stack([grid, offset - grid @ normal[:2]])
    _, depth = render_meshes(GREY, [(vertices, faces, np.ones_like(vertices))], CAMERA)
    np.testing.assert_allclose(depth, offset / (rays(CAMERA) @ normal), rtol=2e-6)


def test_the_nearer_surface_wins_in_either_order():
    red, blue = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    near, far = sphere([0.0, 0, 0.5], 0.08), sphere([0.04, 0, 0.6], 0.12)
    near, far = (*near[:2], np.tile(red, (len(near[0]), 1))), (*far[:2], np.tile(blue, (len(far[0]), 1)))
    first, depth = render_meshes(GREY, [near, far], CAMERA)
    second, _ = render_meshes(GREY, [far, near], CAMERA)
    np.testing.assert_array_equal(first, second)
    nearest = np.minimum(
        sphere_depth(CAMERA, np.array([0, 0, 0.5]), 0.08), sphere_depth(CAMERA, np.array([0.04, 0, 0.6]), 0.12)
    )
    both = np.isfinite(nearest) & np.isfinite(depth)
    assert np.abs(depth[both] - nearest[both]).mean() < 1e-3
    assert first[60, 79, 0] > first[60, 79, 2] and first[60, 110, 2] > first[60, 110, 0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-30, 190), st.floats(-30, 150), st.floats(0.2, 3.0)), min_size=3, max_size=3))
def test_a_triangle_covers_exactly_the_pixel_centres_inside_it(corners):
    corners = np.array(corners)
    xy = corners[:, :2]
    edge = np.roll(xy, -1, axis=0) - xy
    area = np.cross(edge[0], edge[1])
    if abs(area) < 1.0:
        return
    k = CAMERA.matrix
    vertices = np.column_stack([(xy - k[:2, 2]) / k[0, 0] * corners[:, 2:], corners[:, 2]])
    _, depth = render_meshes(GREY, [(vertices, np.array([[0, 1, 2]]), np.ones((3, 3)))], CAMERA)
    pixels = np.stack(np.meshgrid(np.arange(160), np.arange(120)), -1)
    # Signed distance of each pixel centre to each edge; pixels on an edge may fall either way.
    side = np.sign(area) * np.stack([np.cross(e, pixels - p) / max(np.linalg.norm(e), 1e-9) for e, p in zip(edge, xy)])
    inside, outside = (side > 1e-5).all(0), (side < -1e-5).any(0)
    assert np.isfinite(depth[inside]).all() and np.isinf(depth[outside]).all()
    hit = np.isfinite(depth)
    assert ((depth >= corners[:, 2].min() * 0.9999) & (depth <= corners[:, 2].max() * 1.0001))[hit].all()


@pytest.mark.parametrize("camera", DISTORTED, ids=lambda camera: camera.distortion_model or "pinhole")
def test_rendered_points_lie_where_the_camera_projects_them(camera):
    for point in np.array([[0.0, 0.0, 0.6], [0.2, 0.1, 0.6], [-0.25, -0.15, 0.6]]):
        _, depth = render_meshes(GREY, [sphere(point, 0.02, 8)], camera)
        y, x = np.nonzero(np.isfinite(depth))
        np.testing.assert_allclose([x.mean(), y.mean()], camera.project(point), atol=0.3)


def test_a_mirrored_mesh_gives_the_mirrored_picture():
    vertices, faces, colours = sphere([0.03, 0.02, 0.4], 0.08)
    camera = Camera(161, 120, [[140, 0, 80], [0, 140, 59.5], [0, 0, 1]])
    ground = np.full((120, 161, 3), 90, np.uint8)
    light = Light(direction=(0.0, -1.0, -1.0))
    image, depth = render_meshes(ground, [(vertices, faces, colours)], camera, light)
    mirrored, other = render_meshes(ground, [(vertices * [-1, 1, 1], faces, colours)], camera, light)
    # Where a pixel centre falls exactly on an edge, the mirrored edge may round the other way.
    assert (np.isfinite(other[:, ::-1]) != np.isfinite(depth)).mean() < 1e-3
    difference = np.abs(mirrored[:, ::-1].astype(int) - image)
    assert np.median(difference) == 0 and (difference > 3).mean() < 0.002


@pytest.mark.parametrize("centre", [[0, 0, -0.5], [0, 0, 0.0], [5.0, 0, 0.5], [0.0, 0.0, 0.06]])
def test_what_is_behind_beside_or_around_the_camera_does_no_harm(centre):
    image, depth = render_meshes(GREY, [sphere(centre, 0.05)], CAMERA)
    assert image.shape == GREY.shape and not np.isnan(depth).any() and (depth > 0).all()
    np.testing.assert_array_equal(render_meshes(GREY, [], CAMERA)[0], GREY)


def test_transparent_meshes_let_the_background_through():
    mesh = sphere([0, 0, 0.5], 0.1)
    opaque, depth = render_meshes(GREY, [mesh], CAMERA)
    half, _ = render_meshes(GREY, [mesh], CAMERA, alpha=0.5)
    hit = np.isfinite(depth)
    np.testing.assert_allclose(half[hit], 0.5 * opaque[hit] + 45.0, atol=1.5)


def test_a_forearm_continues_the_wrist_and_closes_the_mesh():
    vertices, faces, _ = sphere([0, 0, 0], 0.05, 8)
    keep = (vertices[faces][..., 0] < 0.03).all(1)  # cut open towards +x, as a hand's wrist is
    faces = faces[keep]
    used, faces = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], faces.reshape(-1, 3)  # numpy 1 and 2 shape the inverse differently
    texels = np.full((len(faces), 4, 4, 3), 0.6, np.float32)
    loop = boundary_loop(faces)
    forearm = Forearm(faces)
    longer, painted = forearm.extend(vertices, length=0.2), forearm.paint(texels, sleeve=(0.1, 0.1, 0.4))
    np.testing.assert_array_equal(longer[: len(vertices)], vertices)
    assert len(longer) == forearm.faces.max() + 1 and len(painted) == len(forearm.faces)
    np.testing.assert_allclose(painted[len(faces)], 0.6, rtol=1e-6)
    np.testing.assert_allclose(painted[-1], np.broadcast_to([0.1, 0.1, 0.4], (4, 4, 3)), rtol=1e-6)
    assert longer[:, 0].max() == pytest.approx(vertices[loop][:, 0].mean() + 0.21, abs=0.02)
    with pytest.raises(ValueError, match="closed"):
        boundary_loop(np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]))
    # Every edge is now shared by two faces that run along it in opposite directions.
    edges = {(int(f[i]), int(f[(i + 1) % 3])) for f in forearm.faces for i in range(3)}
    open_edges = [edge for edge in edges if edge[::-1] not in edges]
    assert not [edge for edge in open_edges if set(edge) & set(loop.tolist())]


def test_texels_lie_where_their_weights_say():
    vertices = np.array([[-0.3, -0.2, 1.0], [0.3, -0.2, 1.0], [-0.3, 0.25, 1.0]])
    texels = np.zeros((1, 2, 2, 3))
    texels[0, 0, 0], texels[0, 1, 0], texels[0, 0, 1] = [1, 0, 0], [0, 1, 0], [0, 0, 1]
    image, depth = render_meshes(GREY, [(vertices, np.array([[0, 1, 2]]), texels)], CAMERA)
    for weights, channel in (((0.8, 0.1, 0.1), 0), ((0.2, 0.7, 0.1), 1), ((0.2, 0.1, 0.7), 2)):
        x, y = CAMERA.project(np.array(weights) @ vertices).round().astype(int)
        assert image[y, x].argmax() == channel and image[y, x, channel] > 2 * np.sort(image[y, x])[1]


def test_skin_is_valid_repeatable_and_tells_palm_from_back():
    asset = load_generic_hand()
    first = skin_texture(np.random.default_rng(4), asset, tone=0.6)
    assert first.shape == (1538, 8, 8, 3) and first.min() > 0 and first.max() <= 1
    np.testing.assert_array_equal(first, skin_texture(np.random.default_rng(4), asset, tone=0.6))
    middle = asset.v_template[asset.faces].mean(axis=1)
    normal = vertex_normals(asset.v_template, asset.faces)[asset.faces].mean(axis=1)
    on_palm = (middle[:, 0] > -0.07) & (middle[:, 0] < -0.02) & (np.abs(middle[:, 2]) < 0.02)
    palm, back = (first[on_palm & (side * normal[:, 1] > 0.5)].mean() for side in (-1, 1))
    assert palm > 1.05 * back
    light, dark = (skin_texture(np.random.default_rng(1), asset, tone, cells=2).mean() for tone in (0.0, 1.0))
    assert light > 1.7 * dark
