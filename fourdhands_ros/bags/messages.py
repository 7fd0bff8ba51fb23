"""What the node would publish of estimates, as entries of a bag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fourdhands_core.hand_model.assets import HUMAN
from fourdhands_core.network.landmark_config import SHIPPED
from fourdhands_core.pipeline.types import HandPairEstimate

from ..convert.encoders import HandPairEncoder, MarkerEncoder, TransformEncoder, encode_faces
from ..node.parameters import Parameters
from .reading import Entry


class HandMessages:
    """HandPair, frames and meshes of one camera's estimates, or of those of several together, serialised as the node does it.

    faces: triangles of the (left, right) mesh. namespace: of the topics, without a slash at its end. frame_prefix: of the
    hands' frames. markers: lay the meshes out. faces_data: the message of `hands/faces`. with_vertices: estimates need them.
    """

    def __init__(
        self, faces: Sequence[np.ndarray], parameters: Parameters, namespace: str, frame_prefix: str, markers: bool
    ) -> None:
        self.namespace, self._vertices = namespace, parameters.publish_vertices
        model = Path(parameters.hand_model).stem or HUMAN
        self.faces_data = encode_faces(faces, model)
        self._pairs = HandPairEncoder(Path(parameters.weights or SHIPPED).stem, model)
        self._transforms = None
        if parameters.tf != "none":
            self._transforms = TransformEncoder(parameters.tf, frame_prefix)
        self._markers = MarkerEncoder(faces, parameters.marker_lifetime) if markers else None
        self.with_vertices = markers or parameters.publish_vertices

    @property
    def shown(self) -> dict:
        """What viewers show, which another one goes on from."""
        return self._markers.shown if self._markers else {}

    @shown.setter
    def shown(self, shown: dict) -> None:
        if self._markers:
            self._markers.shown = shown

    def problem(self, frame_id: str) -> str:
        """Why there are no frames of hands in images of that frame, or ""."""
        return self._transforms.problem(frame_id) if self._transforms else ""

    def faces(self, time: int) -> Entry:
        """The triangles of the meshes, once for all."""
        return f"{self.namespace}/hands/faces", time, self.faces_data

    def encode(self, estimate: HandPairEstimate, frame_id: str, time: int, counts: tuple[int, int, int]) -> list[Entry]:
        """What the node publishes for an estimate, but for the seconds that it took, which are no two times the same. counts:
        see HandPairEncoder.encode."""
        pair = self._pairs.encode(estimate, frame_id, {}, counts, self._vertices)
        messages: list[tuple[str, bytes | None]] = [(f"{self.namespace}/hands", pair)]
        if self._transforms:
            messages.append(("/tf", self._transforms.encode(estimate, frame_id)))
        if self._markers:
            messages.append((f"{self.namespace}/hands/markers", self._markers.encode(estimate, frame_id)))
        return [(topic, time, data) for topic, data in messages if data is not None]
