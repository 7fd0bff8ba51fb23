"""Robots drawn without OpenGL: shapes have their sizes and outward sides, pictures show the robot where it is."""

import numpy as np
import pytest

from fourdhands_core.geometry.camera import Camera
from fourdhands_core.media.robot_drawing import View, box, capsule, cylinder, human_meshes, sphere


@pytest.mark.parametrize(
    "shape, volume, half",
    [
        (sphere(0.1, 40, 30), 4 / 3 * np.pi * 0.1**3, (0.1, 0.1, 0.1)),
        (capsule(0.1, 0.3, 40, 20), 4 / 3 * np.pi * 0.1**3 + np.pi * 0.1**2 * 0.6, (0.1, 0.1, 0.4)),
        (cylinder(0.1, 0.3, 60), np.pi * 0.1**2 * 0.6, (0.1, 0.1, 0.3)),
        (box(np.array([0.1, 0.2, 0.3])), 8 * 0.1 * 0.2 * 0.3, (0.1, 0.2, 0.3)),
    ],
)
def test_shapes_are_closed_and_as_large_as_said(shape, volume, half):
    """The volume of the signed tetrahedra from the origin, positive where sides face outwards."""
    vertices, faces = shape
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    assert np.einsum("fi,fi->f", a, np.cross(b, c)).sum() / 6 == pytest.approx(volume, rel=0.03)
    np.testing.assert_allclose(np.abs(vertices).max(axis=0), half, rtol=0.01)


def test_a_view_looks_where_it_is_told():
    view = View(Camera.from_fov(160, 120, 60.0), (1.0, 0.0, 0.5), (0.0, 0.0, 0.5))
    np.testing.assert_allclose(view.transform(np.array([0.0, 0.0, 0.5])), [0.0, 0.0, 1.0], atol=1e-12)
    x, y, _ = view.transform(np.array([0.0, 0.2, 0.6]))
    assert x > 0.19 and y < -0.09  # from the front, the scene's left is right and up is up
    vertices, faces = sphere(0.1)
    picture = view.draw([(vertices + (0.0, 0.0, 0.5), faces, np.tile([0.9, 0.1, 0.1], (len(vertices), 1)))])
    red = (picture[..., 0].astype(int) - picture[..., 1]) > 40
    ys, xs = np.nonzero(red)
    assert abs(xs.mean() - 79.5) < 1 and abs(ys.mean() - 59.5) < 1.5
    assert len(human_meshes(np.random.default_rng(0).normal(size=(21, 3)), "left")) == 20


def test_the_scene_shows_the_cube_where_it_is():
    pytest.importorskip("mujoco")
    from fourdhands_core.media.robot_scene import ScenePicture
    from fourdhands_core.simulation.robot import SimulatedRobot
    from fourdhands_core.simulation.scene import Cube

    robot = SimulatedRobot("gripper", [Cube(0.5, 0.2, 0.06, colour=(0.1, 0.9, 0.1))])
    scene = ScenePicture(robot)
    picture = scene.draw()
    green = (picture[..., 1].astype(int) - picture[..., 0]) > 60
    ys, xs = np.nonzero(green)
    expected = scene.camera.project(scene._view.transform(robot.cube_positions()[0]))
    assert np.hypot(xs.mean() - expected[0], ys.mean() - expected[1]) < 4 and len(xs) > 50
