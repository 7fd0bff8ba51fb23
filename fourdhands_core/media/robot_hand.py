"""The shapes of a robot's hand by its name, wherever its joints are, for who draws it."""

from __future__ import annotations

import numpy as np

from .robot_drawing import ModelMeshes


class RobotHand:
    """robot: name or file of a robot of retargeting. shapes: of each (vertices (V, 3), faces (F, 3)) in its own frame, metres.

    Raises InputError, and DependencyError where mujoco is not installed.
    """

    def __init__(self, robot: str) -> None:
        from ..retargeting.config import read_config
        from ..retargeting.model import RobotModel

        config = read_config(robot)
        self._model = RobotModel(config)
        self._grips = [self._model.joints.index(name) for name in config.joints if name in self._model.joints]
        self._meshes = ModelMeshes(self._model.model)
        self.shapes = [(vertices, faces) for _, vertices, faces, _ in self._meshes.parts]

    def poses(self, fingers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each shape the rotation (N, 3, 3) and position (N, 3) in the hand's root for joints as commanded or measured."""
        model = self._model
        positions = model.positions(model.neutral)
        if self._grips and len(fingers) == 1:
            positions[self._grips] = fingers[0] / len(self._grips)
        elif len(fingers) == len(model.names):
            positions = model.positions(fingers)
        data = model.data
        data.qpos[:] = positions
        model._mujoco.mj_kinematics(model.model, data)
        geoms = [geom for geom, *_ in self._meshes.parts]
        return data.geom_xmat[geoms].reshape(-1, 3, 3), data.geom_xpos[geoms]
