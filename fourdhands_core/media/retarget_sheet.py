"""A picture of human poses and what a robot makes of them, side by side: `fourdhands retarget --check`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..geometry.camera import Camera
from ..retargeting.check import Fit
from ..retargeting.human import palm_axes
from ..retargeting.model import RobotModel
from ..retargeting.retargeter import GripperRetargeter, HandRetargeter, Retargeter
from .draw import contact_sheet, draw_text
from .robot_drawing import ModelMeshes, View, human_meshes

_SIZE = 260, 300


def check_sheet(robot: Retargeter, fits: Sequence[Fit]) -> np.ndarray:
    """Picture (H, W, 3) uint8 RGB: a cell a pose, the human hand on the left, the robot's on the right, palms alike."""
    return contact_sheet([_cell(robot, fit) for fit in fits], columns=5, cell_width=2 * _SIZE[0])


def hand_view(reach: float) -> View:
    """From the palm's side and a little from the thumb's, in palm axes (back, thumb, fingers); reach: metres to the tips."""
    camera = Camera.from_fov(*_SIZE, 40.0, calibrated=True)
    return View(camera, (-1.35 * reach, 0.85 * reach, 0.75 * reach), (0.0, 0.1 * reach, 0.45 * reach))


def robot_picture(robot: Retargeter, q: np.ndarray) -> np.ndarray:
    """The robot hand with its joints at q (n,), seen as the human's in `human_picture`."""
    if isinstance(robot, HandRetargeter):
        model, axes = robot.robot, robot.axes
    else:
        assert isinstance(robot, GripperRetargeter)
        model, axes = RobotModel(robot.config), np.array([[-1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
        q = _joints_of_gripper(robot, model, float(q[0]))
    shapes = ModelMeshes(model.model, sticks=True)
    model.pose(model.neutral)  # seen from where all of it is in the picture, however it is bent
    points = np.concatenate([np.zeros((1, 3)), *(vertices for vertices, _, _ in shapes.meshes(model.data))])[1:] @ axes.T
    if not len(points):
        return _draw([], axes, 0.1)
    middle, reach = points.mean(axis=0), float(np.ptp(points[:, 1:], axis=0).max())
    shift = np.array([middle[0], middle[1], points[:, 2].min()])
    model.pose(q)
    meshes = shapes.meshes(model.data)
    placed = [(vertices @ axes.T - shift, faces, colours) for vertices, faces, colours in meshes]
    return _draw(placed, axes, max(reach, 0.1))


def _joints_of_gripper(robot: GripperRetargeter, model: RobotModel, width: float) -> np.ndarray:
    """(n,) of the model's joints with the gripper so wide: those of its fingers are as far between their ends, of which the one
    nearer to 0 is closed."""
    ends = np.stack([model.lower, model.upper])
    closed, wide = np.take_along_axis(ends, np.abs(ends).argsort(axis=0), axis=0)
    share = (width - robot.lower[0]) / (robot.upper[0] - robot.lower[0])
    return np.where(np.isin(model.names, robot.config.joints), closed + share * (wide - closed), model.neutral)


def human_picture(joints: np.ndarray, side: str) -> np.ndarray:
    """A human hand's joints (21, 3), in any frame, seen in its palm's axes."""
    axes = palm_axes(joints, side)
    points = (joints - joints[0]) @ axes.T
    return _draw(human_meshes(points, side), axes, 0.19)


def _draw(meshes: list, axes: np.ndarray, reach: float) -> np.ndarray:
    # Palm axes of a right hand are a mirror image; the picture of it is mirrored back by exchanging right and left.
    mirrored = np.linalg.det(axes) < 0
    picture = hand_view(reach).draw(meshes)
    return np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture


def _cell(robot: Retargeter, fit: Fit) -> np.ndarray:
    cell = np.hstack([human_picture(fit.joints, robot.side), robot_picture(robot, fit.q)])
    draw_text(cell, fit.name, (6, 6), scale=0.5)
    if fit.errors:
        worst = max(fit.errors, key=lambda name: fit.errors[name])
        draw_text(cell, f"{worst} {100 * fit.errors[worst]:.0f} % off", (_SIZE[0] + 6, 6), scale=0.45)
    else:
        draw_text(cell, f"{1000 * fit.q[0]:.0f} mm", (_SIZE[0] + 6, 6), scale=0.45)
    return cell
