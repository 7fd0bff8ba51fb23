"""All that the 3-D scene shows: the cameras of a recording or of running nodes, each where it stands, and robots."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import viser

from ..geometry.rigid import Rigid
from ..hand_model.assets import HandAsset
from ..media.draw import SIDE_COLOURS
from .lens import Pinhole
from .posing import hands_of_model
from .robot_scene import RobotScene
from .robots import robot_words
from .scene import CameraScene
from .sights import PARTS, RobotSight, Sight

_BESIDE = 1.5
"""Metres to the right at which a camera is drawn of which it is not known where it stands."""


class Stage:
    """Cameras and robots below one name of the scene tree, made as they come.

    hands: models (left, right), of sights whose poses are of no other. name: of the tree, empty for its root. colours: RGB of
    the hands (left, right). shown: by sights.PARTS, what is drawn; to be changed from outside, then `draw` again.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        hands: tuple[HandAsset, HandAsset],
        name: str = "",
        colours: Sequence[tuple[int, int, int]] = SIDE_COLOURS,
    ) -> None:
        self._server, self._hands, self._name, self._colours = server, hands, name, colours
        self.shown = dict.fromkeys(PARTS, True)
        self.cameras: dict[str, CameraScene] = {}
        self.robots: dict[str, RobotScene] = {}
        self._drawn: dict[str, Sight] = {}
        self._models: dict[str, tuple[str, tuple[HandAsset, HandAsset] | None, str]] = {}

    def draw(self, sights: Sequence[Sight], robots: Sequence[RobotSight] = ()) -> list[str]:
        """Show these and nothing else; the first sight's frame is the scene's. A sight that was drawn before, the same object,
        is left as it is. Returns what is to be said of robots, of hand models, and of where all stand."""
        said = self._draw_robots(robots)
        for name in self.cameras.keys() - {sight.name for sight in sights}:
            self.cameras[name].hide()
        for number, sight in enumerate(sights):
            if sight.name not in self.cameras:
                tree = f"{self._name}/{_tree_name(sight.name)}"
                self.cameras[sight.name] = CameraScene(self._server, tree, self._hands, self._colours, self.shown)
            camera = self.cameras[sight.name]
            model, known, problem = self._models.get(sight.name, ("", None, ""))
            if sight.model != model or sight.hands is not known:
                hands, problem = (sight.hands, "") if sight.hands is not None else hands_of_model(sight.model, self._hands)
                camera.change_hands(hands)
                self._models[sight.name] = sight.model, sight.hands, problem
            if problem:
                said.append(f"{sight.name}: {problem}.")
            if self._drawn.get(sight.name) is not sight:
                camera.draw(sight)
            pose = Rigid() if number == 0 else sight.pose
            if pose is None:
                pose = Rigid(position=np.array([_BESIDE * number, 0.0, 0.0]))
                said.append(f"{sight.name} is drawn beside the first camera: {sight.problem}.")
            camera.place(pose)
        self._drawn = {sight.name: sight for sight in sights}
        return said

    def eye(self) -> tuple[Pinhole, Rigid] | None:
        """The first camera that has an image, and where it stands in the scene."""
        found = (camera for camera in self.cameras.values() if camera.pinhole is not None)
        camera = next(found, None)
        return None if camera is None or camera.pinhole is None else (camera.pinhole, camera.pose)

    def forget(self) -> None:
        """What was before, after a jump in time."""
        for camera in self.cameras.values():
            camera.forget()

    def _draw_robots(self, robots: Sequence[RobotSight]) -> list[str]:
        said = []
        for name in self.robots.keys() - {robot.name for robot in robots}:
            self.robots[name].hide()
        for robot in robots:
            if robot.name not in self.robots:
                tree = f"{self._name}/robot_{_tree_name(robot.name)}"
                self.robots[robot.name] = RobotScene(self._server, tree, self.shown)
            scene = self.robots[robot.name]
            scene.draw(robot)
            said += robot_words(robot.name, robot.state)
            if scene.problem:
                said.append(f"{scene.problem}.")
            if robot.pose is None:
                said.append(f"{robot.name} is drawn beside the camera: {robot.problem}.")
        return said


def _tree_name(name: str) -> str:
    """A name as one step of the scene's tree."""
    return re.sub(r"\W+", "_", name).strip("_") or "camera"
