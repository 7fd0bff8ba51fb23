"""A robot in the scene: the box that its end stays in, where it is, and as a ghost where it is told to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import viser

from ..errors import FourDHandsError
from ..geometry.rigid import Rigid
from ..media.robot_drawing import edges
from .posing import wxyz
from .robots import Posed, RobotState
from .scene import add_mesh
from .sights import RobotSight

_BOX, _OUT = (90, 150, 220), (230, 90, 70)
_MEASURED, _GHOST = (120, 125, 135), (90, 200, 120)
_LEFT_OF = 0.5
"""Metres to the camera's left at which a robot is drawn of which /tf does not tell where it stands."""


class RobotScene:
    """One robot below a name of the scene tree. shown: by sights.PARTS what is drawn. problem: why no hand is, or empty."""

    def __init__(self, server: viser.ViserServer, name: str, shown: dict[str, bool]) -> None:
        self._scene, self._name, self._shown = server.scene, name, shown
        self.root = self._scene.add_frame(name, axes_length=0.15, axes_radius=0.003)
        self.box: Any = None
        self._balls: list[Any] = []
        self._drawn: tuple[bytes, bytes] = (b"", b"")
        self.ends = [_End(server, f"{name}/measured", _MEASURED, None), _End(server, f"{name}/commanded", _GHOST, 0.35)]
        self._model: _HandModel | None = None
        self._beside: Rigid | None = None
        self.problem = ""

    def draw(self, sight: RobotSight) -> None:
        """Show what a robot says of itself."""
        state = sight.state
        self.root.visible = True
        pose = sight.pose or self._place_beside(state)
        self.root.position, self.root.wxyz = pose.position, wxyz(pose.rotation)
        self._draw_limits(state)
        model = self._hand_of(state)
        for end, posed in zip(self.ends, (state.measured, state.commanded)):
            end.draw(posed if self._shown["Robot"] else None, model)

    def hide(self) -> None:
        """Show nothing of it until the next `draw`."""
        self.root.visible = False

    def _place_beside(self, state: RobotState) -> Rigid:
        """To the left of what the first camera sees, turned as the operator is to the robot."""
        if self._beside is None:
            rotation = state.axes.T
            corners = edges(state.workspace) @ rotation.T if state.workspace is not None else np.zeros((1, 3))
            low, high = corners.min(axis=0), corners.max(axis=0)
            self._beside = Rigid(rotation, np.array([-_LEFT_OF - high[0], -0.5 * (low[1] + high[1]), 0.6 - low[2]]))
        return self._beside

    def _draw_limits(self, state: RobotState) -> None:
        box = b"" if state.workspace is None else state.workspace.tobytes()
        if (box, state.keep_out.tobytes()) != self._drawn:
            self._drawn = box, state.keep_out.tobytes()
            for node in (self.box, *self._balls):
                if node is not None:
                    node.remove()
            self.box = None
            if state.workspace is not None:
                lines = edges(state.workspace).reshape(12, 2, 3).astype(np.float32)
                self.box = self._scene.add_line_segments(f"{self._name}/workspace", lines, _BOX, thickness=0.003)
            self._balls = [
                self._scene.add_icosphere(
                    f"{self._name}/keep_out/{k}", float(ball[3]), _OUT, opacity=0.3, position=ball[:3], cast_shadow=False
                )
                for k, ball in enumerate(state.keep_out)
                if 0 < ball[3] and np.linalg.norm(ball[:3]) < 5.0  # the default is far away: none
            ]
        for node in (self.box, *self._balls):
            if node is not None:
                node.visible = self._shown["Workspace"]

    def _hand_of(self, state: RobotState) -> _HandModel | None:
        if not state.robot:
            return None
        if self._model is None or self._model.robot != state.robot:
            self._model = _HandModel(state.robot)
            self.problem = self._model.problem
        return self._model


class _HandModel:
    """The shapes of a robot's hand. problem: why there are none, or empty."""

    def __init__(self, robot: str) -> None:
        self.robot, self.problem = robot, ""
        self.shapes: list[tuple[np.ndarray, np.ndarray]] = []
        try:
            from ..media.robot_hand import RobotHand

            hand = RobotHand(robot)
            self.shapes = [(vertices.astype(np.float32), faces.astype(np.uint32)) for vertices, faces in hand.shapes]
            self.poses = hand.poses
        except FourDHandsError as error:
            self.problem = f"{robot} is not drawn: {error}"


class _End:
    """The arm's end at one place: its frame, and the hand on it."""

    def __init__(self, server: viser.ViserServer, name: str, colour: tuple[int, int, int], opacity: float | None) -> None:
        self._scene, self._name, self._colour, self._opacity = server.scene, name, colour, opacity
        self.frame = self._scene.add_frame(name, axes_length=0.08, axes_radius=0.0025, visible=False)
        self._model: _HandModel | None = None
        self.parts: list[Any] = []

    def draw(self, posed: Posed | None, model: _HandModel | None) -> None:
        self.frame.visible = posed is not None
        if posed is None:
            return
        self.frame.position, self.frame.wxyz = posed.end.position, wxyz(posed.end.rotation)
        if model is not self._model:
            for part in self.parts:
                part.remove()
            self._model = model
            self.parts = [
                add_mesh(self._scene, f"{self._name}/{k}", *shape, self._colour, self._opacity)
                for k, shape in enumerate(model.shapes if model else [])
            ]
        if model is None or not self.parts:
            return
        rotations, positions = model.poses(posed.fingers)
        for part, turn, place in zip(self.parts, wxyz(rotations), positions):
            part.position, part.wxyz = place, turn
