"""One image on its way through the stages, and what stays of it while it is in the window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..geometry.camera import Camera
from ..hand_model.skeleton import LEFT, RIGHT
from ..perception.detector import HandDetection
from .depth import DepthImage
from .types import HandEstimate


@dataclass(eq=False)
class Frame:
    """What the stages know of one image. Each field has one owner, which alone sets it."""

    # detect
    stamp: int
    """Nanoseconds."""
    camera: Camera
    """Of the picture that the detector sees, which is unmirrored."""
    found: list[HandDetection]
    """Raw detections, of any number and side."""
    detect_seconds: float = 0.0
    first: bool = False
    """What came before is forgotten."""
    followed: bool = False
    """`found` is not what the detector saw, but where the hands were before."""
    epoch: int = 0
    """Resets before it, by which a frame from before one is known."""
    given: Camera | None = None
    """The camera of the image as given: where images are mirrored it is not `camera`."""
    image: np.ndarray | None = None
    """(H, W, 3) uint8 RGB, unmirrored, for a network that sees it, until that has cropped it."""
    since: int | None = None
    """Stamp of the first of the images in a row that are like this one."""
    depth: DepthImage | None = None
    """Of the same moment and view."""

    # identify; where the network itself sees the hands, regress puts what it sees in their place
    detections: tuple[HandDetection | None, HandDetection | None] = (None, None)
    """Assigned detections of the (left, right) hand."""
    rays: np.ndarray = field(default_factory=lambda: np.zeros((2, 21, 2)))
    """Their landmarks as undistorted x/z, y/z."""

    # regress
    radius: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """(2,) RMS radius of each hand as seen from the camera, in units of the focal length."""
    tokens: Any = None
    """What the regressor keeps of the frame for the windows that it will be in."""
    uncertain: bool = False
    """The network does not see a hand where it was looked for."""

    # tracker
    withheld: dict[int, HandEstimate] = field(default_factory=dict)
    """By side what is given out of a hand that may have jumped, in place of its estimate: who follows it is to know."""

    def drop(self, sides: np.ndarray) -> None:
        """Count the hands of these sides, (2,) bool, as not seen."""
        left, right = self.detections
        self.detections = None if sides[LEFT] else left, None if sides[RIGHT] else right

    @property
    def present(self) -> np.ndarray:
        """(2,) bool: the (left, right) hand was seen."""
        left, right = self.detections
        return np.array((left is not None, right is not None))

    @property
    def confidence(self) -> np.ndarray:
        """(2, 21) confidence of the landmarks; 0 of a hand that was not seen."""
        return np.array([np.zeros(21) if detection is None else detection.confidence for detection in self.detections])
