"""What is in the scene at a moment: what each camera sees, and robots that follow a hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.rigid import Rigid
from ..hand_model.assets import HandAsset
from .cloud import Cloud
from .moments import Moment
from .robots import RobotState

PARTS = "Image", "Skeleton on the image", "Meshes", "Joints", "Wrist frames", "Trails", "Depth cloud", "Workspace", "Robot"
"""What can be shown and left out."""


@dataclass(frozen=True, eq=False)
class Sight:
    """One camera's hands at a moment, or those of several cameras that are fused.

    name: of the camera, for people and for the scene's tree. image: (H, W, 3) uint8 RGB, None where there is none or it is not
    to be drawn. overlaid: hands are drawn in it. cloud: of the depth image. fused: positions are in a fixed frame, there is no
    image. pose: where its frame stands in the first sight's; None where that is not known, and `problem` says why. model: the
    hand model of the poses, empty where it is not said. hands: that model (left, right), where it is not one that the page has.
    """

    name: str
    moment: Moment
    image: np.ndarray | None = None
    overlaid: bool = False
    cloud: Cloud | None = None
    fused: bool = False
    pose: Rigid | None = None
    problem: str = ""
    model: str = ""
    hands: tuple[HandAsset, HandAsset] | None = None


@dataclass(frozen=True, eq=False)
class RobotSight:
    """A robot that follows a hand. name: of its node. pose: of its base in the first sight's frame; None as in Sight."""

    name: str
    state: RobotState
    pose: Rigid | None = None
    problem: str = ""
