"""Pictures of the simulated scene: what never moves is drawn once, the rest over it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..geometry.camera import Camera
from ..simulation.robot import SimulatedRobot
from .robot_drawing import ModelMeshes, View

SIZE = 480, 360
EYE, AT = (1.15, -0.55, 0.60), (0.28, 0.02, 0.22)
FOV = 48.0


class ScenePicture:
    """Draws a SimulatedRobot as a camera beside the table sees it; size: (width, height), pixels."""

    def __init__(self, robot: SimulatedRobot, size: tuple[int, int] = SIZE) -> None:
        self.camera = Camera.from_fov(*size, FOV, calibrated=True)
        self._robot, self._view = robot, View(self.camera, EYE, AT)
        model = robot.model
        fixed = [model.geom(i).name for i in range(model.ngeom) if model.geom_bodyid[i] == 0]
        moving = [name for i in range(model.ngeom) if (name := model.geom(i).name) and name not in fixed]
        ground = ModelMeshes(model, skip=[*moving, ""]).meshes(robot.data)
        self._ground = self._view.draw(ground)
        self._moving = ModelMeshes(model, skip=fixed)

    def draw(self, data: Any = None) -> np.ndarray:
        """Picture (H, W, 3) uint8 RGB of the scene as it is now, or was when geom_xpos and geom_xmat of `data` were copied."""
        return self._view.draw(self._moving.meshes(self._robot.data if data is None else data), self._ground)
