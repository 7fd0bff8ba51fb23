"""Second stage: which detection is the left hand and which the right, and along which rays their landmarks lie."""

from __future__ import annotations

from ..perception.identity import HandIdentity
from .frame import Frame


class Identify:
    """Sets a frame's `detections` and `rays`. identity: its memory of both hands."""

    def __init__(self) -> None:
        self.identity = HandIdentity()

    def __call__(self, frame: Frame) -> None:
        """Take in a frame, in the order of their stamps."""
        camera = frame.camera
        frame.detections = self.identity.update(frame.found, frame.stamp, (camera.width, camera.height))
        for side, detection in enumerate(frame.detections):
            if detection is not None:
                frame.rays[side] = camera.unproject(detection.landmarks)
        beyond = frame.present & ~camera.sees(frame.rays).all(axis=1)  # where the lens has no rays
        frame.rays[beyond] = 0.0
        frame.drop(beyond)

    def reset(self) -> None:
        """Forget both hands."""
        self.identity.reset()
